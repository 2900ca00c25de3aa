"""Intervals keep their promise on exchangeable data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from property_models.calibration import (
    N_GRID,
    NormalisedIntervals,
    calibrate,
    conformal_quantile,
    fit_calibration,
    fit_normalised,
    fit_venn_abers,
    held_out_errors,
)
from property_models.cross_validation import HeldOut
from property_models.difficulty import held_out_evidence

Array = NDArray[np.float64]


def held_out(
    score: Array, spread: Array, similarity: Array, rng: np.random.Generator, *, n_folds: int = 5
) -> HeldOut:
    return HeldOut(
        score=score,
        by_member=score[None],
        spread=spread,
        similarity=similarity,
        fold=rng.integers(0, n_folds, len(score)),
        weights=np.ones(1),
    )


def random_bits(n: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    return np.packbits(rng.uniform(size=(n, 1024)) < 0.05, axis=1).view(np.uint64)


def noisy_where_members_disagree(
    n: int, rng: np.random.Generator
) -> tuple[Array, HeldOut, NDArray[np.uint64]]:
    """Measured values, scores whose error grows with the spread, and fingerprints."""
    spread = rng.uniform(0.1, 1.0, n)
    score = rng.normal(size=n)
    measured = score + rng.laplace(size=n) * spread
    return measured, held_out(score, spread, np.full(n, 0.5), rng), random_bits(n, rng)


def test_intervals_cover_ninety_percent_of_new_compounds(rng: np.random.Generator) -> None:
    measured, known, bits = noisy_where_members_disagree(3000, rng)
    errors = held_out_errors("regression", measured, known)
    evidence = held_out_evidence(known, errors, bits)
    first = np.arange(3000) < 2000
    found = calibrate(
        "regression", measured[first], evidence.where(first), errors[first], known.fold[first]
    ).apply(evidence.where(~first))
    inside = (measured[~first] >= found.low) & (measured[~first] <= found.high)
    assert 0.87 <= inside.mean() <= 0.93


def test_a_bound_is_missed_only_on_its_wrong_side_and_calibrates_nothing(
    rng: np.random.Generator,
) -> None:
    measured, known, bits = noisy_where_members_disagree(400, rng)
    relation = np.array(["=", "<", ">", "="] * 100)
    errors = held_out_errors("regression", measured, known, relation)
    above = known.score > measured
    assert (errors[relation == "<"] > 0).tolist() == above[relation == "<"].tolist()
    assert (errors[relation == ">"] > 0).tolist() == (~above)[relation == ">"].tolist()
    found = fit_calibration("regression", measured, known, bits, relation)
    far = np.where(relation == "<", measured + 1000, measured)
    far = np.where(relation == ">", measured - 1000, far)
    sided = fit_calibration("regression", far, known, bits, relation)
    assert isinstance(found.intervals, NormalisedIntervals)
    assert isinstance(sided.intervals, NormalisedIntervals)
    assert sided.intervals.multiple == pytest.approx(found.intervals.multiple, rel=0.2)


def test_intervals_widen_where_errors_do_and_are_narrower_on_average(
    rng: np.random.Generator,
) -> None:
    measured, known, bits = noisy_where_members_disagree(1500, rng)
    calibration = fit_calibration("regression", measured, known, bits)
    errors = held_out_errors("regression", measured, known)
    found = calibration.apply(held_out_evidence(known, errors, bits))
    width = found.high - found.low
    assert np.corrcoef(width, known.spread)[0, 1] > 0.9
    assert width.mean() < 2 * conformal_quantile(errors, 0.9)
    inside = (measured >= found.low) & (measured <= found.high)
    sure = known.spread < 0.3
    assert inside[sure].mean() > 0.85 and inside[~sure].mean() > 0.85


def test_the_conformal_quantile_is_the_ceil_of_n_plus_one_times_level() -> None:
    assert conformal_quantile(np.arange(1.0, 20.0), 0.9) == 18.0  # n = 19: the 18th smallest
    assert conformal_quantile(np.array([0.5]), 0.9) == 0.5  # too few: the largest


def test_constant_evidence_gives_plain_split_conformal_intervals(rng: np.random.Generator) -> None:
    n = 200
    errors = np.abs(rng.normal(size=n))
    expected = np.full(n, 0.7)
    low, high = fit_normalised(errors, expected).interval(np.zeros(3), np.full(3, 0.7))
    plain = conformal_quantile(errors, 0.9)
    assert np.allclose(high, plain) and np.allclose(low, -plain)


@given(st.integers(0, 1000), st.floats(0.0, 2.0))
def test_mean_width_is_at_most_a_hundredth_above_plain_intervals(seed: int, tail: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 300))
    errors, expected = rng.exponential(size=n), rng.lognormal(0.0, tail, n)
    low, high = fit_normalised(errors, expected).interval(np.zeros(n), expected)
    assert (high - low).mean() <= (1.01 + 1e-9) * 2 * conformal_quantile(errors, 0.9)
    assert np.mean(errors <= high + 1e-12) >= 0.9 or n < 9


def test_expected_errors_are_followed_as_far_as_they_are_right(rng: np.random.Generator) -> None:
    noise, expected = rng.laplace(size=2000), rng.lognormal(0.0, 0.5, 2000)
    right = fit_normalised(np.abs(noise) * expected, expected)
    wrong = fit_normalised(np.abs(noise), expected)
    assert right.exponent >= 0.6 > 0.2 >= wrong.exponent


def test_intervals_without_an_exponent_are_proportional_to_the_expected_error() -> None:
    low, high = NormalisedIntervals(2.0).interval(np.array([1.0, 1.0]), np.array([0.3, 0.7]))
    assert high.tolist() == [1.0 + 2.0 * 0.3, 1.0 + 2.0 * 0.7]
    assert low.tolist() == [1.0 - 2.0 * 0.3, 1.0 - 2.0 * 0.7]


def test_a_classifier_has_a_domain_that_its_score_does_not_decide(
    rng: np.random.Generator,
) -> None:
    n = 600
    score = rng.uniform(size=n)
    label = (rng.uniform(size=n) < score).astype(float)
    known = held_out(score, np.zeros(n), rng.uniform(size=n), rng)
    bits = random_bits(n, rng)
    calibration = fit_calibration("classification", label, known, bits)
    assert calibration.difficulty.slopes[-2:].tolist() == [0.0, 0.0]
    errors = held_out_errors("classification", label, known)
    found = calibration.apply(held_out_evidence(known, errors, bits))
    assert (found.low <= found.value).all() and (found.value <= found.high).all()
    assert 0.7 <= found.in_domain.mean() <= 1.0


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
