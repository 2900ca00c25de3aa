"""What could be scored in a round, and how the surrogate judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgen.search.moves import DRAWN, MOVE_OF, Made
from molgen.search.surrogate import Description, together
from property_models.sparse_counts import sparse, tanimoto_to

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Distinct proposals.

    Attributes:
        made: n of them.
        described: what the surrogate sees.
        mean: reward that it expects, shape (n,).
        deviation: of that, shape (n,).
    """

    made: Sequence[Made]
    described: Description
    mean: Array
    deviation: Array

    def __len__(self) -> int:
        return len(self.made)

    def joined(self, other: Pool) -> Pool:
        """The proposals of both, in their order."""
        return Pool(
            [*self.made, *other.made], together([self.described, other.described]),
            np.concatenate([self.mean, other.mean]),
            np.concatenate([self.deviation, other.deviation]),
        )  # fmt: skip

    def best(self, n: int, optimism: float, n_drawn: int = 0) -> Pool:
        """The n of highest mean plus so many deviations, the highest first.

        Args:
            n: how many.
            optimism: how many deviations.
            n_drawn: after them so many more of each move of the network.
        """
        order = np.argsort(-(self.mean + optimism * self.deviation), kind="stable")
        moves, rest = self._moves[order], order[n:]
        more = [rest[moves[n:] == move][:n_drawn] for move in DRAWN]
        rows = np.concatenate([order[:n], *more])
        return Pool(
            [self.made[i] for i in rows], self.described.take(rows), self.mean[rows],
            self.deviation[rows],
        )  # fmt: skip

    @property
    def _moves(self) -> NDArray[np.str_]:
        """Of each proposal; shape (n,)."""
        return np.array([MOVE_OF.get(m.arm, m.arm) for m in self.made], dtype=str)

    def choose(
        self, n: int, *, optimism: float, random_share: float, drawn_share: float,
        max_similarity: float, rng: np.random.Generator,
    ) -> list[int]:  # fmt: skip
        """Which proposals are worth an oracle call.

        Slot by slot, each with an optimism of its own (upper confidence bound, Auer 2002,
        https://jmlr.org/papers/v3/auer02a.html), and without two that are nearly the same.

        Args:
            n: how many at most.
            optimism: mean over the slots of how many deviations count for a molecule.
            random_share: share of the slots that chance fills.
            drawn_share: share of the slots for what one of the network's moves made, each move
                in its turn: the surrogate knows the neighbours of what was scored best, and
                would choose little else.
            max_similarity: of two chosen ones (Tanimoto on ECFP4 counts), while there are others.
            rng: decides what is left to chance.

        Returns:
            Indices of distinct proposals, the first chosen first.
        """
        n = min(n, len(self))
        counts = sparse(self.described.ecfp)
        free, apart = np.ones(len(self), bool), np.ones(len(self), bool)
        chosen: list[int] = []
        slots = rng.exponential(optimism, size=n)
        slots[rng.random(n) < random_share] = np.inf
        moves, turns = self._moves, rng.choice(DRAWN, size=n)
        turns[rng.random(n) >= drawn_share] = ""
        for slot, turn in zip(slots, turns, strict=True):
            allowed = free & apart if (free & apart).any() else free
            if (allowed & (moves == turn)).any():
                allowed = allowed & (moves == turn)
            if np.isinf(slot):
                best = int(rng.choice(np.flatnonzero(allowed)))
            else:
                value = np.where(allowed, self.mean + slot * self.deviation, -np.inf)
                best = int(np.argmax(value))
            chosen.append(best)
            free[best] = False
            apart &= tanimoto_to(counts.take(np.array([best])), counts)[0] <= max_similarity
        return chosen
