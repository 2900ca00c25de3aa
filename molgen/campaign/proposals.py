"""A round's proposals, from the search's orders to the molecules that enter the ledger."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from molgen.config.campaign import RunConfig
from molgen.ledger import Ledger, NewMolecule
from molgen.runtime.executor import Executor
from molgen.search.engine import Search, origin_of
from molgen.search.moves import Made
from molgen.search.proposing import MadeShard, Proposal
from molgen.search.surrogate import Description, together

T = TypeVar("T")

_RESERVE = 2  # so many times the molecules wanted are identified and filtered, best first


@dataclass(frozen=True)
class Proposed:
    """A round's distinct new molecules.

    Attributes:
        made: those that are not in the ledger, one of each, spares of the round before included.
        described: what the surrogate sees of them, where it ranks.
        statistics: n_proposed, n_proposed_<arm>, n_implausible, n_unique, uniqueness; of what was
            drawn for this round.
    """

    made: list[Made]
    described: Description | None
    statistics: dict[str, float]


def propose(
    executor: Executor, search: Search, ledger: Ledger, number: int, *, seed: int, version: int,
    weights: bytes | None,
) -> Proposed:  # fmt: skip
    """Carry out the search's orders: shards of fixed size, each with a seed of its own."""
    ranks = search.ranks
    ordered = search.orders(number)
    sent = [
        executor.submit(
            "generator", "propose", version, weights, orders, (seed, number, shard), ranks
        )
        for shard, orders in enumerate(ordered)
    ]
    answers: list[MadeShard] = [future.result() for future in sent]
    drawn = [m for answer in answers for m in answer.made]
    everything = [*drawn, *search.spares.made]
    place: dict[str, int] = {}
    for i, molecule in enumerate(everything):
        place.setdefault(molecule.smiles, i)
    seen = ledger.known(list(place))
    rows = sorted(i for smiles, i in place.items() if smiles not in seen)
    described = None
    parts = [part for part in (*(a.described for a in answers), search.spares.described) if part]
    if parts:
        described = together(parts).take(np.array(rows, np.int64))
    arms = Counter(o.arm for orders in ordered for o in orders for _ in o.parents)
    n = sum(arms.values())
    statistics: dict[str, float] = {f"n_proposed_{arm}": k for arm, k in sorted(arms.items())}
    n_unique = len({m.smiles for m in drawn})
    statistics |= {
        "n_proposed": n,
        "n_implausible": sum(a.n_implausible for a in answers),
        "n_unique": n_unique,
        "uniqueness": n_unique / max(1, len(drawn)),
    }
    return Proposed([everything[i] for i in rows], described, statistics)


def screen(
    executor: Executor, search: Search, ledger: Ledger, number: int, proposed: Proposed,
    config: RunConfig,
) -> list[NewMolecule]:  # fmt: skip
    """The molecules of a round: the most promising first, filtered ones named, the budget kept."""
    made, wanted = proposed.made, math.inf
    if proposed.described is not None:
        wanted = config.round_size
        chosen = search.choose(number, made, proposed.described, _RESERVE * config.round_size)
        made = [made[i] for i in chosen]
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
