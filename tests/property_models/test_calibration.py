"""Intervals keep their promise on exchangeable data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from property_models.calibration import N_GRID, fit_conformal, fit_venn_abers


def test_conformal_covers_ninety_percent_in_every_similarity_bin(rng: np.random.Generator) -> None:
    n = 6000
    similarity = rng.uniform(0.1, 1.0, n)
    predicted = rng.normal(size=n)
    measured = predicted + rng.normal(size=n) * (1.5 - similarity)  # noisier far away
    half = n // 2
    intervals = fit_conformal(measured[:half], predicted[:half], similarity[:half])
    low, high = intervals.interval(predicted[half:], similarity[half:])
    inside = (measured[half:] >= low) & (measured[half:] <= high)
    assert 0.88 <= inside.mean() <= 0.93
    for start in (0.1, 0.4, 0.7):
        near = (similarity[half:] >= start) & (similarity[half:] < start + 0.3)
        assert inside[near].mean() > 0.86


def test_conformal_width_never_grows_with_similarity(rng: np.random.Generator) -> None:
    intervals = fit_conformal(rng.normal(size=500), rng.normal(size=500), rng.uniform(size=500))
    assert (np.diff(intervals.half_widths) <= 0).all()


def test_conformal_quantile_is_the_ceil_of_n_plus_one_times_level() -> None:
    residuals = np.arange(1.0, 20.0)  # n = 19: the 18th smallest
    intervals = fit_conformal(residuals, np.zeros(19), np.full(19, 0.5))
    assert intervals.half_widths.tolist() == [18.0]


def test_conformal_survives_one_compound_and_equal_similarities() -> None:
    one = fit_conformal(np.array([1.0]), np.array([0.5]), np.array([0.2]))
    assert one.half_widths.tolist() == [0.5]
    many = fit_conformal(np.ones(300), np.zeros(300), np.full(300, 0.3))
    low, high = many.interval(np.zeros(2), np.array([0.1, 0.9]))
    assert np.all(low == -1.0) and np.all(high == 1.0)


@given(st.integers(0, 1000))
def test_venn_abers_grid_is_the_two_isotonic_fits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 80))
    score = rng.integers(0, N_GRID, n) / (N_GRID - 1)
    label = (rng.uniform(size=n) < score).astype(float)
    test = rng.integers(0, N_GRID, 4) / (N_GRID - 1)
    _, p0, p1 = fit_venn_abers(label, score).probability(test)
    for i, point in enumerate(test):
        for assumed, found in ((0.0, p0[i]), (1.0, p1[i])):
            direct = IsotonicRegression(y_min=0, y_max=1).fit(
                np.append(score, point), np.append(label, assumed)
            )
            assert found == pytest.approx(direct.predict([point])[0], abs=1e-9)


def test_venn_abers_probabilities_are_ordered_and_calibrated(rng: np.random.Generator) -> None:
    score = rng.uniform(size=4000)
    label = (rng.uniform(size=4000) < score**2).astype(float)  # the raw score is too high
    calibration = fit_venn_abers(label[:2000], score[:2000])
    probability, low, high = calibration.probability(score[2000:])
    assert (low <= probability).all() and (probability <= high).all()
    assert np.abs(probability - score[2000:] ** 2).mean() < 0.04
    assert (np.diff(calibration.p0) >= -1e-12).all() and (np.diff(calibration.p1) >= -1e-12).all()
