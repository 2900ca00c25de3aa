"""Restarts: where nothing is gained any more, the search begins anew, away from where it was.

Parents are the best of everything scored, until the ten best gain too little for too many calls.
Then they come from a fresh population, which nothing enters that resembles the best of before;
when that gains no more, from everything again, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from molgen.ledger import LedgerRow
from molgen.search.population import Population
from molgen.search.surrogate import Description, describe
from property_models.sparse_counts import SparseCounts, sparse, tanimoto_to

_N_BEST = 10  # whose mean must rise, and from which a fresh population keeps away
_GAIN = 0.02  # of that mean at its last rise, or of what it lacked to 1: less is none
_ALIKE = 0.6  # similarity (Tanimoto, ECFP4 counts) from which a molecule resembles another


class Restarts:
    """The population that parents come from, and when it is a new one.

    It is a function of the scored rows in their order.

    Args:
        make_population: makes an empty one.
        patience: scored molecules without gain before a change; None: there is no change.
    """

    def __init__(self, make_population: Callable[[], Population], patience: int | None) -> None:
        self._make, self._patience = make_population, patience
        self._everything = make_population()
        self._fresh: Population | None = None
        self._left: list[SparseCounts] = []  # the best at each change, either way
        self._record, self._n_since, self._n_fresh = 0.0, 0, 0

    @property
    def population(self) -> Population:
        """Of the time."""
        return self._everything if self._fresh is None else self._fresh

    @property
    def n_fresh(self) -> int | None:
        """Scored since the search began anew; None where parents come from everything."""
        return None if self._fresh is None else self._n_fresh

    def left_behind(self, described: Description) -> NDArray[np.bool_]:
        """Of each molecule, whether a fresh population keeps away from it; shape (n,)."""
        found = np.zeros(len(described), bool)
        if self._fresh is not None:
            counts = sparse(described.ecfp)
            for best in self._left:
                found |= (tanimoto_to(counts, best) > _ALIKE).any(axis=1)
        return found

    def add(self, rows: Sequence[LedgerRow], described: Description) -> list[float]:
        """Take note of a round's scored molecules.

        Returns:
            Of each, by how much it bettered the population of the time (`Population.add`).
        """
        gains = [_add(self._everything, row) for row in rows]
        if self._fresh is not None:
            gains = [
                0.0 if left else _add(self._fresh, row)
                for row, left in zip(rows, self.left_behind(described), strict=True)
            ]
        if self._patience is not None:
            self._turn(len(rows), self._patience)
        return gains

    def _turn(self, n_scored: int, patience: int) -> None:
        self._n_fresh += n_scored
        mean = self.population.mean_of_best(_N_BEST)
        if self._fresh is None and mean == 0.0:  # nothing yet that could be left
            return
        # Near the top a share of the whole could never be gained.
        if mean - self._record > _GAIN * min(self._record, 1.0 - self._record):
            self._record, self._n_since = mean, 0
            return
        self._n_since += n_scored
        if self._n_since < patience:
            return
        best = self.population.members()[:_N_BEST]
        if best:
            self._left.append(sparse(describe(best).ecfp))
        if self._fresh is None:
            self._fresh, self._record, self._n_fresh = self._make(), 0.0, 0
        else:
            self._fresh, self._record = None, self._everything.mean_of_best(_N_BEST)
        self._n_since = 0


def _add(population: Population, row: LedgerRow) -> float:
    """What has no reward at all says nothing of where to go: it is nobody's parent."""
    return population.add(row.smiles, row.scaffold, row.reward) if row.reward > 0.0 else 0.0
