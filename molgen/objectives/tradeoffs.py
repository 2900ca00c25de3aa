"""What a run has reached in each of its components, beside the one reward.

With `search.pareto` every round aims at weights of its own, drawn at random, so that the rounds
together cover the whole Pareto front (ParEGO, Knowles 2006,
https://doi.org/10.1109/TEVC.2005.851274).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from molgen.config.objective import ObjectiveConfig, component_name

Array = NDArray[np.float64]

_SUM_SHARE = 0.05  # of the plain weighted sum beside the worst component, as in the paper
_MOST_EXACT = 4  # components up to which the hypervolume is computed and not estimated


class Tradeoffs:
    """Desirabilities of everything scored, shape (n, K), 1 is best.

    Args:
        objective: of the run; K components.
    """

    def __init__(self, objective: ObjectiveConfig) -> None:
        self._names = desirability_columns(objective)
        self._weights = np.array([c.weight for c in objective.components])
        self._points: list[list[float]] = []
        self._front = np.empty((0, len(self._names)))

    def add(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Take note of scored molecules' values, in the order of the ledger."""
        new = [[float(v[name]) for name in self._names] for v in values]
        self._points += new
        if new:
            together = np.concatenate([self._front, np.array(new)])
            self._front = together[moocore.is_nondominated(together, maximise=True)]

    def hypervolume(self) -> float:
        """Share of the unit cube of desirabilities that the Pareto front dominates.

        Up to four components exactly, else an estimate without chance in it
        (moocore's `hv_approx`).
        """
        if not len(self._front):
            return 0.0
        compute = moocore.hypervolume if len(self._names) <= _MOST_EXACT else moocore.hv_approx
        return float(compute(self._front, ref=0.0, maximise=True))

    def aimed(self, rng: np.random.Generator) -> Array:
        """How good each scored molecule is by weights drawn anew, float64, shape (n,).

        The augmented Tchebycheff scalarisation of the paper: minus the largest weighted distance
        of a component from 1, and a little of their sum. Weights are uniform on the simplex, times
        the components' own.
        """
        weights = rng.dirichlet(np.ones(len(self._names))) * self._weights
        weights /= weights.sum()
        points = np.array(self._points).reshape(-1, len(self._names))
        missed = weights * (1.0 - points)
        aimed: Array = -missed.max(axis=1) - _SUM_SHARE * missed.sum(axis=1)
        return aimed


def desirability_columns(objective: ObjectiveConfig) -> list[str]:
    """The ledger's columns of the components' desirabilities."""
    return [f"{component_name(c)}_desirability" for c in objective.components]


def pareto_fronts(desirabilities: Array) -> NDArray[np.int64]:
    """On which front each point lies, int64, shape (n,).

    1: no point is at least as good in every component and better in one; 2: none but those of
    front 1 is; and so on.
    """
    if not len(desirabilities):
        return np.empty(0, np.int64)
    ranks: NDArray[np.int64] = moocore.pareto_rank(desirabilities, maximise=True).astype(np.int64)
    return ranks + 1
