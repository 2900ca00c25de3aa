"""How desirabilities become a reward."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molgen.objectives.aggregation import Aggregation, aggregate

HOWS = get_args(Aggregation)
MEANS = ("geometric_mean", "arithmetic_mean")
hows = st.sampled_from(HOWS)
heights = st.one_of(st.floats(0, 1), st.just(float("nan")))
weights = st.floats(0.01, 100)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, list[float]]:
    """(components x molecules, weights)."""
    n_components, n_molecules = draw(st.integers(1, 5)), draw(st.integers(0, 6))
    rows = [
        draw(st.lists(heights, min_size=n_molecules, max_size=n_molecules))
        for _ in range(n_components)
    ]
    table = np.array(rows, float).reshape(n_components, n_molecules)
    return table, [draw(weights) for _ in range(n_components)]


Table = tuple[np.ndarray, list[float]]


@given(tables(), hows)
def test_a_reward_is_missing_exactly_where_a_desirability_is(t: Table, how: Aggregation) -> None:
    rewards = aggregate(list(t[0]), t[1], how=how)
    assert np.array_equal(np.isnan(rewards), np.isnan(t[0]).any(axis=0))
    known = rewards[~np.isnan(rewards)]
    assert ((known >= 0) & (known <= 1)).all()


@given(tables(), st.sampled_from(MEANS))
def test_a_mean_lies_between_its_smallest_and_its_largest_part(t: Table, how: Aggregation) -> None:
    table = t[0][:, ~np.isnan(t[0]).any(axis=0)]
    rewards = aggregate(list(table), t[1], how=how)
    assert (rewards >= table.min(axis=0)).all() and (rewards <= table.max(axis=0)).all()


@given(tables(), st.sampled_from(MEANS), st.floats(1e-3, 1e3))
def test_the_scale_of_the_weights_does_not_matter_to_a_mean(
    t: Table, how: Aggregation, scale: float
) -> None:
    scaled = aggregate(list(t[0]), [w * scale for w in t[1]], how=how)
    assert np.allclose(scaled, aggregate(list(t[0]), t[1], how=how), equal_nan=True, rtol=1e-9)


@given(tables(), hows, st.randoms(use_true_random=False))
def test_a_row_gets_the_same_reward_in_any_order_and_alone(
    t: Table, how: Aggregation, random: object
) -> None:
    together = aggregate(list(t[0]), t[1], how=how)
    order = np.random.default_rng(random.getrandbits(32)).permutation(t[0].shape[1])  # type: ignore[attr-defined]
    shuffled = aggregate(list(t[0][:, order]), t[1], how=how)
    assert np.array_equal(shuffled, together[order], equal_nan=True)
    for i in range(t[0].shape[1]):
        alone = aggregate(list(t[0][:, i : i + 1]), t[1], how=how)
        assert np.array_equal(alone, together[i : i + 1], equal_nan=True)


@given(tables(), hows)
def test_raising_a_desirability_never_lowers_the_reward(t: Table, how: Aggregation) -> None:
    table = np.nan_to_num(t[0])
    higher = table.copy()
    higher[0] = np.minimum(1, higher[0] + 0.1)
    before, after = (aggregate(list(x), t[1], how=how) for x in (table, higher))
    assert (after >= before - 1e-12).all()


@pytest.mark.parametrize("how", ["geometric_mean", "product"])
@pytest.mark.parametrize("weight", [1e-300, 1.0, 1e300])
def test_one_desirability_of_0_makes_the_reward_0_at_any_weight(
    how: Aggregation, weight: float
) -> None:
    assert aggregate([np.zeros(1), np.ones(1)], [weight, 1.0], how=how).tolist() == [0.0]


def test_a_desirability_of_0_beside_a_missing_one_is_still_missing() -> None:
    for how in HOWS:
        assert np.isnan(aggregate([np.zeros(1), np.full(1, np.nan)], [1, 1], how=how)).all()


def test_the_three_ways_by_hand() -> None:
    parts = [np.array([0.25]), np.array([0.81])]
    assert aggregate(parts, [1, 1], how="geometric_mean") == pytest.approx([0.45])
    assert aggregate(parts, [3, 1], how="arithmetic_mean") == pytest.approx([0.39])
    assert aggregate(parts, [1, 1], how="product") == pytest.approx([0.2025])
    assert aggregate(parts, [2, 0.5], how="product") == pytest.approx([0.0625 * 0.9])
