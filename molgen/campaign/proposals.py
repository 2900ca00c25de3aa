"""A round's proposals, from the search's orders to the molecules that enter the ledger."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from molgen.config.campaign import RunConfig
from molgen.ledger import Ledger, NewMolecule
from molgen.runtime.executor import Executor
from molgen.search.engine import Search, origin_of
from molgen.search.moves import Made, Order
from molgen.search.pool import Pool
from molgen.search.proposing import MadeShard, Proposal
from molgen.search.surrogate import Description, together

T = TypeVar("T")

_SHARDS = 1000  # numbers of shards for each generation, so that no two have one seed
_RESERVE = 2  # so many times the molecules wanted are identified and filtered, best first


@dataclass(frozen=True)
class Proposed:
    """A round's distinct new molecules.

    Attributes:
        made: those that are not in the ledger, one of each; empty where the surrogate ranks.
        pool: what may be chosen where it does, spares of the round before included.
        statistics: n_proposed, n_proposed_<arm>, n_implausible, n_unique, uniqueness; of what was
            made for this round.
    """

    made: list[Made]
    pool: Pool | None
    statistics: dict[str, float]


@dataclass
class _Maker:
    """Has orders carried out, and counts: shards of fixed size, each with a seed of its own."""

    executor: Executor
    ledger: Ledger
    seed: tuple[int, int]  # of the run, and the round
    policy: tuple[int, bytes | None]  # version and weights
    ranks: bool
    arms: Counter[str] = field(default_factory=Counter)
    made: list[str] = field(default_factory=list)
    n_implausible: int = 0

    def carry_out(
        self, ordered: Sequence[Sequence[Order]], first_shard: int
    ) -> tuple[list[Made], Description | None]:
        """All that was made, repeats included, and its description where the surrogate ranks."""
        sent = [
            self.executor.submit(
                "generator", "propose", *self.policy, orders, (*self.seed, shard), self.ranks
            )
            for shard, orders in enumerate(ordered, start=first_shard)
        ]
        answers: list[MadeShard] = [future.result() for future in sent]
        fresh = [m for answer in answers for m in answer.made]
        self.arms.update(o.arm for orders in ordered for o in orders for _ in o.parents)
        self.made += [m.smiles for m in fresh]
        self.n_implausible += sum(a.n_implausible for a in answers)
        parts = [a.described for a in answers if a.described is not None]
        return fresh, together(parts) if parts else None

    def new(self, made: Sequence[Made], besides: Sequence[Made] = ()) -> NDArray[np.int64]:
        """Places of those that neither the ledger holds nor `besides`, one of each, ascending."""
        place: dict[str, int] = {}
        for i, molecule in enumerate(made):
            place.setdefault(molecule.smiles, i)
        known = {m.smiles for m in besides} | self.ledger.known(list(place)).keys()
        return np.array(sorted(i for s, i in place.items() if s not in known), np.int64)

    def statistics(self) -> dict[str, float]:
        """See `Proposed`."""
        n_unique = len(set(self.made))
        by_arm: dict[str, float] = {f"n_proposed_{arm}": k for arm, k in sorted(self.arms.items())}
        return by_arm | {
            "n_proposed": sum(self.arms.values()),
            "n_implausible": self.n_implausible,
            "n_unique": n_unique,
            "uniqueness": n_unique / max(1, len(self.made)),
        }


def propose(
    executor: Executor, search: Search, ledger: Ledger, number: int, config: RunConfig, *,
    version: int, weights: bytes | None,
) -> Proposed:  # fmt: skip
    """Carry out the search's orders; where it ranks, breed from the best by its judgement alone."""
    maker = _Maker(executor, ledger, (config.seed, number), (version, weights), search.ranks)
    made, described = maker.carry_out([*search.orders(number), *search.neighbour_orders()], 0)
    if described is None:
        return Proposed([made[i] for i in maker.new(made)], None, maker.statistics())
    made = [*made, *search.spares]
    described = together([described, search.described_spares()])
    pool = _judged(search, number, made, described, maker.new(made))
    for generation in range(1, config.search.n_generations + 1):
        orders = search.breeding_orders(number, generation, pool)
        made, described = maker.carry_out(orders, generation * _SHARDS)
        if described is None:
            break
        rows = maker.new(made, besides=pool.made)
        pool = pool.joined(_judged(search, number, made, described, rows))
    search.keep_spares(pool)
    return Proposed([], pool, maker.statistics())


def _judged(
    search: Search, number: int, made: Sequence[Made], described: Description,
    rows: NDArray[np.int64],
) -> Pool:  # fmt: skip
    return search.judge(number, [made[i] for i in rows], described.take(rows))


def screen(
    executor: Executor, search: Search, ledger: Ledger, number: int, proposed: Proposed,
    config: RunConfig,
) -> list[NewMolecule]:  # fmt: skip
    """The molecules of a round: the most promising first, filtered ones named, the budget kept."""
    made, wanted = proposed.made, math.inf
    if proposed.pool is not None:
        wanted = search.round_size
        chosen = search.choose(number, proposed.pool, _RESERVE * search.round_size)
        made = [proposed.pool.made[i] for i in chosen]
    if config.budget.n_oracle_calls is not None:
        wanted = min(wanted, config.budget.n_oracle_calls - ledger.n_oracle_calls())
    new: list[Proposal] = _in_shards(executor, "generator", "identify", made, config)
    reasons: list[str] = _in_shards(
        executor, "scorer", "filter", [p.smiles for p in new], config
    )  # fmt: skip
    constitutions = set(ledger.known_constitutions([p.constitution for p in new]))
    molecules = []
    for proposal, reason in zip(new, reasons, strict=True):
        if wanted <= 0:
            break
        repeated = proposal.constitution in constitutions
        repeated = repeated and not config.objective.is_stereo_aware
        constitutions.add(proposal.constitution)
        status = "filtered" if reason else "duplicate" if repeated else "pending"
        wanted -= status == "pending"
        molecules.append(_new_molecule(proposal, status, reason))
    return molecules


def _new_molecule(p: Proposal, status: Any, reason: str) -> NewMolecule:
    reason = reason or ("same constitution as an earlier molecule" if status == "duplicate" else "")
    origin = origin_of(p.arm, p.prompt)
    return NewMolecule(
        p.smiles, p.inchikey, p.constitution, p.scaffold, origin, p.parents, status, reason
    )


def _in_shards(
    executor: Executor, pool: str, method: str, items: Sequence[Any], config: RunConfig
) -> list[Any]:
    sent = [
        executor.submit(pool, method, shard) for shard in shards(items, config.score_shard_size)
    ]
    return [answer for future in sent for answer in future.result()]


def shards(items: Sequence[T], size: int) -> list[list[T]]:
    """The items in their order, so many together."""
    return [list(items[i : i + size]) for i in range(0, len(items), size)]
