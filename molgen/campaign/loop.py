"""The campaign: propose, filter, score, learn, until the budget is spent.

Round t is proposed by the policy that has learnt from rounds before t - lag, and rounds are
learnt in their order. What happens therefore does not depend on how many workers there are or
when they answer. A round's molecules enter the ledger in one transaction before any is sent to
be scored, and each shard's scores as soon as they are there; after a kill the round is taken up
from there.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molgen.campaign.proposals import propose, screen, shards
from molgen.campaign.reuse import KnownScore
from molgen.campaign.statistics import proposal_statistics, score_statistics
from molgen.campaign.workers import ScoredShard
from molgen.config.campaign import RunConfig
from molgen.errors import ConfigError, DataError, ScorerError
from molgen.ledger import Ledger, LedgerRow, Score, Spare
from molgen.runtime.checkpoint import save_checkpoint
from molgen.runtime.executor import Executor, Future, WorkerDiedError
from molgen.search.engine import Search, arm_of, origin_of, prompt_of
from molgen.search.moves import Made
from molgen.search.policy import Lesson, Policy

if TYPE_CHECKING:
    import pandas as pd

MAX_BARREN_ROUNDS = 20  # in a row without a molecule to score, before the run ends
MAX_FAILED_SHARDS = 3  # in a row, before a scorer that fails stops the run
_PROPOSED = ("n_", "seconds_", "uniqueness")  # numbers of a round that its proposal gives
_CHECKPOINT_S = 20.0  # at least between two; what came after the last is learnt from the ledger


@dataclass(frozen=True, eq=False)
class _Sent:
    """Molecules that were sent to be scored together."""

    rows: list[LedgerRow]
    answer: Future


class _Failure(NamedTuple):
    """Who gave no answer for a shard, and why."""

    who: str
    why: str


@dataclass
class Campaign:
    """Everything a run needs, opened."""

    config: RunConfig
    ledger: Ledger
    executor: Executor
    policy: Policy
    search: Search
    checkpoints: Path
    next_round: int  # the first round that has not been learnt
    weights: bytes | None = None
    known: Mapping[str, KnownScore] = field(default_factory=dict)  # from earlier runs, by SMILES
    failed_shards: list[list[int]] = field(default_factory=list)
    under_way: list[_Sent] = field(default_factory=list)  # whose answers were not there yet
    saved_at: float = -math.inf  # monotonic clock, of the last checkpoint


@dataclass
class _Round:
    number: int
    began: float
    statistics: dict[str, float]
    sent: list[_Sent]


def run_campaign(c: Campaign, on_round: Callable[[int, dict[str, float]], None]) -> str:
    """Run until a bound of the budget is reached.

    Args:
        c: an open campaign, new or restored from its checkpoint.
        on_round: called with each finished round and its statistics.

    Returns:
        Which bound ended it.

    Raises:
        ConfigError: the budget is less than what the run has begun to score.
        ScorerError: a scorer failed three shards in a row.
    """
    check_budget(c)
    try:
        return _run_rounds(c, on_round)
    except BaseException:
        with contextlib.suppress(DataError):  # the ledger itself may be what failed
            _save_answers(c)
        raise


def _run_rounds(c: Campaign, on_round: Callable[[int, dict[str, float]], None]) -> str:
    began = time.monotonic()
    _score_leftovers(c)
    noted, stale = c.ledger.rounds(), False
    for number in range(c.next_round):
        rows, statistics = c.ledger.round_rows(number), _noted_in(noted, number, kept="")
        c.search.learn(rows, _proposed_by_arm(statistics))
        # What was left to score when a round was closed is missing in its numbers, and in the best
        # so far of those after it.
        stale |= statistics.get("n_scored") != sum(row.status == "scored" for row in rows)
        if stale:
            _note_scores(c, number, rows, statistics)
    c.search.spares = [
        Made(s.smiles, arm_of(s.origin), s.parents, prompt_of(s.origin)) for s in c.ledger.spares()
    ]
    under_way: deque[_Round] = deque()
    number = c.next_round
    while not (ended := _end_reached(c, number, began)):
        under_way.append(_open_round(c, number))
        number += 1
        if len(under_way) > c.config.lag:
            on_round(*_close_round(c, under_way.popleft()))
            if time.monotonic() - c.saved_at >= _CHECKPOINT_S:
                _save(c)
    # What is learnt below came too late for any round. With a larger budget the run goes on from
    # here, as if it had not ended, and learns it again in its turn.
    _save(c)
    while under_way:
        on_round(*_close_round(c, under_way.popleft()))
    return ended


def check_budget(c: Campaign) -> None:
    """A resumed run may have another budget; what it has begun to score is finished as it was.

    Raises:
        ConfigError: the budget is less than that.
    """
    pending = c.ledger.pending()
    if not pending:
        return
    budget, n_calls = c.config.budget, c.ledger.n_oracle_calls()
    n_rounds = 1 + max(row.round for row in pending)
    for name, bound, begun, what in (
        ("n_oracle_calls", budget.n_oracle_calls, n_calls, "calls that the run has made or begun"),
        ("n_rounds", budget.n_rounds, n_rounds, "rounds that the run has begun"),
    ):
        if bound is not None and begun > bound:
            raise ConfigError(
                f"budget.{name}: {bound} are less than the {begun} {what} ({len(pending)} "
                f"molecules wait for their score); give {begun} or more"
            )


def _end_reached(c: Campaign, number: int, began: float) -> str:
    budget = c.config.budget
    if budget.n_rounds is not None and number >= budget.n_rounds:
        return f"{budget.n_rounds} rounds"
    # A round that is in the ledger already was paid for before the run was interrupted.
    if budget.n_oracle_calls is not None and not c.ledger.round_rows(number):
        if c.ledger.n_oracle_calls() >= budget.n_oracle_calls:
            return f"{budget.n_oracle_calls} oracle calls"
    if budget.time_limit_s is not None and time.monotonic() - began > budget.time_limit_s:
        return f"{budget.time_limit_s:g} s"
    return _enough(c, number)


def _enough(c: Campaign, number: int) -> str:
    """Whether the target is reached or nothing gained, by the rounds learnt before this one.

    Of rounds that may be under way nothing is asked: when it ends is the same on any workers. Of
    fewer than ten scored molecules the missing count as 0, for the mean of two is not of ten.
    """
    budget, rounds = c.config.budget, c.ledger.rounds()
    if not len(rounds):
        return ""
    learnt = rounds[rounds["round"] < number - c.config.lag].sort_values("round")
    if not len(learnt):
        return ""
    n_scored = learnt["n_scored"]
    best = (learnt["reward_top10"].fillna(0) * n_scored.cumsum().clip(upper=10) / 10).to_list()
    if budget.target_reward is not None and best[-1] >= budget.target_reward:
        return f"target reached: mean of the ten best {best[-1]:.4g}"
    patience = budget.patience
    if patience is not None and len(best) > patience and best[-1] <= best[-1 - patience]:
        return f"{patience} rounds without gain"
    latest = (n_scored + learnt["n_unscored"]).iloc[-MAX_BARREN_ROUNDS:]
    if len(latest) == MAX_BARREN_ROUNDS and not latest.any():
        return f"{MAX_BARREN_ROUNDS} rounds without a new molecule that passes the filters"
    return ""


def _open_round(c: Campaign, number: int) -> _Round:
    """Propose and filter a round, write it to the ledger, send it off."""
    began = time.perf_counter()
    rows = c.ledger.round_rows(number)
    statistics = _noted_in(c.ledger.rounds(), number)
    # A round that gave nothing new is noted as such; it must not be drawn again on resume.
    if not rows and statistics.get("n_new") != 0:
        made = propose(
            c.executor, c.search, c.ledger, number, c.config, version=c.policy.version,
            weights=c.weights if c.policy.version else None,
        )  # fmt: skip
        proposed = time.perf_counter()
        molecules = screen(c.executor, c.search, c.ledger, number, made, c.config)
        statistics = made.statistics | proposal_statistics(molecules)
        statistics["seconds_propose"] = proposed - began
        statistics["seconds_choose"] = time.perf_counter() - proposed
        spares = [Spare(m.smiles, origin_of(m.arm, m.prompt), m.parents) for m in c.search.spares]
        c.ledger.open_round(number, molecules, statistics, spares)
        rows = c.ledger.round_rows(number)
    pending = [row for row in rows if row.status == "pending"]
    return _Round(number, began, statistics, _send(c, _to_send(c, pending)))


def _noted_in(
    rounds: pd.DataFrame, number: int, kept: str | tuple[str, ...] = _PROPOSED
) -> dict[str, float]:
    """What was noted of a round when it was proposed; empty where it was not.

    Args:
        rounds: of the ledger.
        number: of the round.
        kept: how the names begin; '' for all, also what was noted when it was closed.
    """
    if not len(rounds) or number not in set(rounds["round"]):
        return {}
    noted = rounds.drop(columns="finished_at")[rounds["round"] == number].iloc[0].to_dict()
    del noted["round"]
    return {k: v for k, v in noted.items() if k.startswith(kept) and v == v}  # no NaN of others


def _proposed_by_arm(statistics: dict[str, float]) -> dict[str, float]:
    prefix = "n_proposed_"
    return {k.removeprefix(prefix): v for k, v in statistics.items() if k.startswith(prefix)}


def _to_send(c: Campaign, pending: Sequence[LedgerRow]) -> list[LedgerRow]:
    """All, or where `ledger.resend` is off those that no interrupted run has sent before."""
    if c.config.ledger.resend:
        return list(pending)
    reason = "sent, and the run was interrupted before the answer; ledger.resend is false"
    c.ledger.commit(_unscored([row for row in pending if row.attempts], reason))
    return [row for row in pending if not row.attempts]


def _send(c: Campaign, pending: Sequence[LedgerRow]) -> list[_Sent]:
    known = [row for row in pending if row.smiles in c.known]
    c.ledger.mark_sent([row.id for row in known])
    c.ledger.commit([_reused(row, c.known[row.smiles]) for row in known])
    pending = [row for row in pending if row.smiles not in c.known]
    return [_submit(c, rows) for rows in shards(pending, c.config.score_shard_size)]


def _submit(c: Campaign, rows: list[LedgerRow]) -> _Sent:
    n_ahead = c.config.executor.max_inflight
    if not c.config.ledger.resend:
        # What is sent once at most must not wait in a queue, where a kill would make it look sent.
        n_ahead = min(n_ahead, c.config.executor.n_workers)
    while len(c.under_way) >= n_ahead:
        _await_one(c)
    c.ledger.mark_sent([row.id for row in rows])
    shard = _Sent(rows, c.executor.submit("scorer", "score", [row.smiles for row in rows]))
    c.under_way.append(shard)
    _write_answers(c)
    return shard


def _await_one(c: Campaign) -> None:
    """Wait for one of the answers under way."""
    wait([shard.answer for shard in c.under_way], return_when=FIRST_COMPLETED)
    _write_answers(c)


def _write_answers(c: Campaign) -> None:
    """Make the answers that are there durable, whichever they are; failures wait for their turn."""
    for shard in [s for s in c.under_way if s.answer.done()]:
        if shard.answer.exception() is None and not shard.answer.result().failed:
            _commit(c, shard)
        c.under_way.remove(shard)


def _save_answers(c: Campaign) -> None:
    """As `_write_answers`, wherever that was interrupted."""
    pending = {row.id for row in c.ledger.pending()}
    c.under_way = [shard for shard in c.under_way if shard.rows[0].id in pending]
    _write_answers(c)


def _collect(c: Campaign, sent: Sequence[_Sent]) -> None:
    """Wait for all answers; what failed is counted in the order in which it was sent."""
    for shard in sent:
        failure = _settle(c, shard)
        if failure is None:
            c.failed_shards.clear()
        else:
            _count_failure(c, shard, failure)


def _settle(c: Campaign, shard: _Sent) -> _Failure | None:
    """Wait for a shard and note why it has no scores; None where it, or a part, was answered."""
    while shard in c.under_way:
        _await_one(c)
    error = shard.answer.exception()
    if isinstance(error, WorkerDiedError):
        if len(shard.rows) > 1 and c.config.ledger.resend:
            return _settle_one_by_one(c, shard.rows)
        c.ledger.commit(_unscored(shard.rows, f"the process that scored it died ({error.how})"))
        return _Failure("scorer", str(error))
    answer: ScoredShard = shard.answer.result()
    if not answer.failed:
        return None
    _commit(c, shard)
    reason = next((row["reason"] for row in answer.rows if row["reason"]), "no reason given")
    return _Failure(", ".join(sorted(answer.failed)), reason)


def _settle_one_by_one(c: Campaign, rows: Sequence[LedgerRow]) -> _Failure | None:
    """A molecule may kill its process and with it a whole shard: so that it costs no other one.

    After several in a row it is the scorer that is broken, and the rest is not sent.
    """
    failures: list[_Failure | None] = []
    while len(failures) < len(rows) and (len(failures) < 2 or None in failures[-2:]):
        failures.append(_settle(c, _submit(c, [rows[len(failures)]])))
    reason = "not scored: the two molecules before it had no answer, each alone"
    c.ledger.commit(_unscored(rows[len(failures) :], reason))
    return None if None in failures else failures[0]


def _unscored(rows: Sequence[LedgerRow], reason: str) -> list[Score]:
    return [Score(row.id, "unscored", reason, math.nan, {}, "", 0.0) for row in rows]


def _reused(row: LedgerRow, known: KnownScore) -> Score:
    return Score(row.id, "scored", "", known.reward, known.values, f"as in {known.source}", 0.0)


def _close_round(c: Campaign, done: _Round) -> tuple[int, dict[str, float]]:
    """Collect a round's scores and learn from them; its number and statistics."""
    waited = time.perf_counter()
    _collect(c, done.sent)
    scored = time.perf_counter()
    rows = c.ledger.round_rows(done.number)
    c.search.learn(rows, _proposed_by_arm(done.statistics))
    learnt = _learn(c, done.number)
    statistics = done.statistics | _scores(c, done.number, rows) | learnt
    if "seconds_round" not in statistics:  # else it was closed before a kill, and only learnt again
        statistics["seconds_score"] = scored - waited
        statistics["seconds_learn"] = time.perf_counter() - scored
        statistics["seconds_round"] = time.perf_counter() - done.began
    c.ledger.note_round(done.number, statistics)
    c.next_round = done.number + 1
    return done.number, statistics


def _scores(c: Campaign, number: int, rows: Sequence[LedgerRow]) -> dict[str, float]:
    """Numbers of a round that has been scored, when the search has learnt it and no later one."""
    scores = score_statistics(c.ledger, c.config.objective, number, rows)
    if c.search.tradeoffs:
        scores["hypervolume"] = c.search.tradeoffs.hypervolume()
    return scores


def _note_scores(
    c: Campaign, number: int, rows: Sequence[LedgerRow], noted: dict[str, float]
) -> None:
    c.ledger.note_round(number, noted | _scores(c, number, rows))


def _save(c: Campaign) -> None:
    save_checkpoint(
        c.checkpoints,
        tensors=c.policy.state() if c.policy.version else {},
        state={"next_round": c.next_round, "version": c.policy.version},
    )
    c.saved_at = time.monotonic()


def _commit(c: Campaign, shard: _Sent) -> None:
    scored: ScoredShard = shard.answer.result()
    each = scored.seconds / max(1, len(shard.rows))
    scores = []
    for row, answer in zip(shard.rows, scored.rows, strict=True):
        values = {k: v for k, v in answer.items() if k not in ("reward", "status", "reason")}
        scores.append(
            Score(row.id, answer["status"], answer["reason"], answer["reward"], values,
                  scored.worker, each)
        )  # fmt: skip
    c.ledger.commit(scores)


def _count_failure(c: Campaign, shard: _Sent, failure: _Failure) -> None:
    c.failed_shards.append([row.id for row in shard.rows])  # `reopen` passes over scored ones
    if len(c.failed_shards) == MAX_FAILED_SHARDS:
        ids = [i for failed in c.failed_shards for i in failed]
        if c.config.ledger.resend:
            c.ledger.reopen(ids)
        then = "wait to be scored again" if c.config.ledger.resend else "stay unscored"
        raise ScorerError(
            f"{failure.who}: failed {MAX_FAILED_SHARDS} batches in a row ({failure.why}); its "
            f"{len(ids)} molecules {then}"
        )


def _score_leftovers(c: Campaign) -> None:
    """What earlier rounds left unanswered, after a scorer stopped the run."""
    leftovers = [row for row in c.ledger.pending() if row.round < c.next_round]
    _collect(c, _send(c, _to_send(c, leftovers)))


def _learn(c: Campaign, number: int) -> dict[str, float]:
    if not c.config.learning.enabled:
        return {}
    n_best = 4 * c.config.learning.replay_size
    best = [_lesson(row) for row in c.ledger.best(n_best, before_round=number + 1)]
    learnt = c.policy.learn(best)
    c.weights = c.policy.weights()
    return learnt


def _lesson(row: LedgerRow) -> Lesson:
    return Lesson(row.smiles, row.scaffold, row.reward, prompt_of(row.origin))
