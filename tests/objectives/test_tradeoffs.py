"""Pareto fronts and hypervolumes of desirabilities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from molgen.objectives.tradeoffs import Tradeoffs, pareto_fronts
from tests.objectives.configs import QED, objective
from tests.objectives.test_objective import ALERTS, SIMILARITY

NAMES = ("qed", "n_alerts", "similarity")
POINTS = st.integers(0, 25).flatmap(
    lambda n: arrays(np.float64, (n, 3), elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1.0]))
)


def tradeoffs(points: np.ndarray) -> Tradeoffs:
    made = Tradeoffs(objective(QED, ALERTS, SIMILARITY))
    for half in np.array_split(points, 2):
        made.add([{f"{n}_desirability": x for n, x in zip(NAMES, p, strict=True)} for p in half])
    return made


@given(POINTS)
def test_nothing_on_the_first_front_is_dominated_and_all_else_is(points: np.ndarray) -> None:
    fronts = pareto_fronts(points)
    for point, front in zip(points, fronts, strict=True):
        better = (points >= point).all(axis=1) & (points > point).any(axis=1)
        assert (front == 1) == (not better.any())
        assert front == 1 or fronts[better].max() == front - 1


@given(POINTS)
def test_the_hypervolume_is_the_share_of_the_cube_that_is_dominated(points: np.ndarray) -> None:
    cells = np.array(list(itertools.product([0.125, 0.375, 0.625, 0.875], repeat=3)))
    covered = (points[:, None] >= cells[None]).all(axis=2).any(axis=0) if len(points) else 0
    assert tradeoffs(points).hypervolume() == pytest.approx(np.mean(covered))


@given(POINTS, st.integers(0, 99))
def test_whatever_is_aimed_at_a_better_molecule_is_not_worse(points: np.ndarray, seed: int) -> None:
    aimed = tradeoffs(points).aimed(np.random.default_rng(seed))
    assert aimed.shape == (len(points),)
    for (a, x), (b, y) in itertools.combinations(zip(points, aimed, strict=True), 2):
        assert x >= y - 1e-12 or not (a >= b).all()
