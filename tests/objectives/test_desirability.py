"""The three curves: their ends, their direction, what they do with missing values."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm

from molgen.config.objective import Between, Decreasing, Increasing
from molgen.objectives.desirability import desirability, uncertain_desirability

numbers = st.floats(-1e9, 1e9, allow_subnormal=False)
widths = st.floats(1e-6, 1e9)


@st.composite
def increasing(draw: st.DrawFn) -> Increasing:
    start = draw(numbers)
    return Increasing(zero_at=start, one_at=max(start + draw(widths), np.nextafter(start, np.inf)))


@st.composite
def decreasing(draw: st.DrawFn) -> Decreasing:
    curve = draw(increasing())
    return Decreasing(one_at=curve.zero_at, zero_at=curve.one_at)


@st.composite
def between(draw: st.DrawFn) -> Between:
    low = draw(numbers)
    return Between(low=low, high=low + draw(widths), margin=draw(widths))


curves = st.one_of(increasing(), decreasing(), between())
values = st.lists(st.one_of(numbers, st.just(float("nan"))), max_size=20)


@given(curves, values)
def test_a_desirability_is_between_0_and_1_and_missing_exactly_where_the_value_is(
    curve: Increasing | Decreasing | Between, raw: list[float]
) -> None:
    height = desirability(curve, raw)
    assert np.array_equal(np.isnan(height), np.isnan(np.array(raw, float)))
    known = height[~np.isnan(height)]
    assert ((known >= 0) & (known <= 1)).all()


@given(increasing(), numbers, numbers)
def test_an_increasing_curve_never_falls(curve: Increasing, a: float, b: float) -> None:
    low, high = desirability(curve, [min(a, b), max(a, b)])
    assert low <= high


@given(decreasing(), numbers, numbers)
def test_a_decreasing_curve_never_rises(curve: Decreasing, a: float, b: float) -> None:
    low, high = desirability(curve, [min(a, b), max(a, b)])
    assert low >= high


@given(between(), numbers, numbers)
def test_a_between_curve_falls_with_the_distance_from_its_middle(
    curve: Between, a: float, b: float
) -> None:
    for inner, outer in ((min(a, b), max(a, b)), (max(a, b), min(a, b))):
        if curve.low <= inner <= curve.high or (inner > curve.high) == (inner < outer):
            near, far = desirability(curve, [inner, outer])
            assert near >= far


@given(increasing())
def test_the_ends_of_a_curve_are_exact(curve: Increasing) -> None:
    assert desirability(curve, [curve.zero_at, curve.one_at]).tolist() == [0.0, 1.0]
    mirrored = Decreasing(one_at=curve.zero_at, zero_at=curve.one_at)
    assert desirability(mirrored, [curve.zero_at, curve.one_at]).tolist() == [1.0, 0.0]


def test_the_flanks_are_linear() -> None:
    assert desirability(Increasing(zero_at=4.0, one_at=8.0), [5.0, 7.0]).tolist() == [0.25, 0.75]
    curve = Between(low=2.0, high=3.0, margin=2.0)
    assert desirability(curve, [-1, 0, 1, 2, 2.5, 3, 4, 9]).tolist() == [0, 0, 0.5, 1, 1, 1, 0.5, 0]


def test_the_shape_of_the_values_is_kept() -> None:
    assert desirability(Increasing(zero_at=0.0, one_at=1.0), np.zeros((3, 2))).shape == (3, 2)
    assert desirability(Increasing(zero_at=0.0, one_at=1.0), []).shape == (0,)


@pytest.mark.parametrize(
    ("curve", "numbers"),
    [
        (Increasing, {"zero_at": 1.0, "one_at": 1.0}),
        (Increasing, {"zero_at": float("-inf"), "one_at": 1.0}),
        (Decreasing, {"one_at": 2.0, "zero_at": 1.0}),
        (Between, {"low": 2.0, "high": 1.0, "margin": 1.0}),
        (Between, {"low": 1.0, "high": 2.0, "margin": 0.0}),
        (Between, {"low": 1.0, "high": float("nan"), "margin": 1.0}),
    ],
)
def test_a_curve_that_is_no_curve_is_refused(curve: type, numbers: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        curve(**numbers)


predictions = st.lists(
    st.tuples(st.floats(-100, 100), st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=10
).map(lambda rows: np.array([(x, x - a, x + b) for x, a, b in rows]).T)


@given(curves, predictions)
def test_the_worse_end_of_an_interval_bounds_whatever_lies_inside(
    curve: Increasing | Decreasing | Between, prediction: np.ndarray
) -> None:
    value, low, high = prediction
    bound = uncertain_desirability(curve, value, low, high, how="lower_bound")
    for share in np.linspace(0, 1, 11):
        inside = desirability(curve, low + share * (high - low))
        assert (bound <= inside + 1e-6).all()
    expected = uncertain_desirability(curve, value, low, high, how="expected")
    # Nine tenths of the distribution lie inside.
    assert (expected >= 0.89 * bound - 1e-6).all() and (expected <= 1).all()


@given(predictions, st.floats(-100, 100))
def test_on_a_step_the_expected_desirability_is_the_chance_of_meeting_it(
    prediction: np.ndarray, step: float
) -> None:
    value, low, high = prediction
    curve = Increasing(zero_at=step, one_at=np.nextafter(step, np.inf))
    found = uncertain_desirability(curve, value, low, high, how="expected")
    side = np.where(step < value, value - low, high - value) / 1.6448536
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = 1 - norm.cdf((step - value) / side)
    some_spread = side > 1e-6
    np.testing.assert_allclose(found[some_spread], chance[some_spread], atol=1 / 64)


@pytest.mark.parametrize("how", ["ignored", "expected", "lower_bound"])
def test_without_a_value_there_is_no_desirability_and_without_spread_it_is_the_values(
    how: Literal["ignored", "expected", "lower_bound"],
) -> None:
    curve = Increasing(zero_at=0, one_at=10)
    value = np.array([np.nan, 4.0])
    found = uncertain_desirability(curve, value, value, value, how=how)
    np.testing.assert_allclose(found, [np.nan, 0.4])
