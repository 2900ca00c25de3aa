"""The expected error rises with every sign of trouble, and is what the errors say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from property_models.cross_validation import HeldOut
from property_models.difficulty import (
    Evidence,
    cross_fitted,
    fit_difficulty,
    held_out_evidence,
    make_evidence,
)
from property_models.domain import nearest_k

Array = NDArray[np.float64]


def some_evidence(n: int, rng: np.random.Generator) -> Evidence:
    similarity = rng.uniform(0.2, 1.0, n)
    return Evidence(
        value=rng.normal(-5, 1, n),
        spread=rng.uniform(0, 1, n),
        similarity=similarity,
        mean_similarity=similarity * 0.8,
        neighbour_error=rng.exponential(size=n),
    )


def test_it_finds_the_errors_that_were_put_in(rng: np.random.Generator) -> None:
    evidence = some_evidence(2000, rng)
    scale = np.exp(1.0 - 2.0 * evidence.similarity)
    errors = np.abs(rng.laplace(size=2000)) * scale
    expected = fit_difficulty(evidence, errors).expected_error(evidence)
    assert spearmanr(expected, scale).statistic > 0.95
    assert expected.mean() == pytest.approx(errors.mean(), rel=0.05)


@given(st.integers(0, 500), st.sampled_from([10, 60]))
def test_more_trouble_never_lowers_the_expected_error(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = some_evidence(n, rng)
    model = fit_difficulty(evidence, rng.exponential(size=n))
    before = model.expected_error(evidence)
    assert (before > 0).all() and np.isfinite(before).all()
    for worse in (
        replace(evidence, spread=evidence.spread * 2),
        replace(evidence, similarity=evidence.similarity * 0.5),
        replace(evidence, mean_similarity=evidence.mean_similarity * 0.5),
        replace(evidence, neighbour_error=evidence.neighbour_error * 2),
    ):
        assert (model.expected_error(worse) >= before - 1e-12).all()


def test_nothing_to_learn_from_gives_about_the_mean_error(rng: np.random.Generator) -> None:
    same = Evidence(*(np.full(50, x) for x in (1.0, 0.0, 0.5, 0.4, 0.3)))
    errors = rng.exponential(size=50)
    expected = fit_difficulty(same, errors).expected_error(same)
    assert np.allclose(expected, expected[0])
    assert expected[0] == pytest.approx(errors.mean(), rel=0.02)
    one = same.where(np.arange(50) == 0)
    assert np.isfinite(fit_difficulty(one, np.zeros(1)).expected_error(one)).all()


def test_cross_fitting_never_uses_the_fold_it_judges(rng: np.random.Generator) -> None:
    evidence, fold = some_evidence(60, rng), np.arange(60) % 3
    errors = rng.exponential(size=60)
    before = cross_fitted(evidence, errors, fold)
    changed = np.where(fold == 0, errors * 100, errors)
    after = cross_fitted(evidence, changed, fold)
    assert np.array_equal(before[fold == 0], after[fold == 0])
    assert not np.allclose(before[fold != 0], after[fold != 0])


def test_neighbours_come_from_the_other_folds(rng: np.random.Generator) -> None:
    bits = np.packbits(rng.uniform(size=(40, 128)) < 0.3, axis=1).view(np.uint64)
    bits[1::2] = bits[::2]  # compounds 2 i and 2 i + 1 are the same
    fold = np.arange(40) // 2 % 2  # and share a fold
    held_out = HeldOut(
        np.zeros(40), np.zeros((1, 40)), np.zeros(40), np.zeros(40), fold, np.ones(1)
    )
    errors = np.where(fold == 0, 1.0, 5.0)
    found = held_out_evidence(held_out, errors, bits)
    assert (found.similarity < 1).all()
    assert np.allclose(found.neighbour_error, np.where(fold == 0, 5.0, 1.0))


def test_nearer_neighbours_count_for_more() -> None:
    rows, similarity = np.array([[0, 1]]), np.array([[0.95, 0.0]])
    found = make_evidence(np.zeros(1), np.zeros(1), rows, similarity, np.array([1.0, 3.0]))
    assert found.neighbour_error[0] == pytest.approx((1.0 * 1.0 + 0.05 * 3.0) / 1.05)
    assert found.similarity[0] == 0.95 and found.mean_similarity[0] == 0.475


def test_fewer_compounds_than_neighbours_are_no_trouble(rng: np.random.Generator) -> None:
    bits = np.packbits(rng.uniform(size=(3, 64)) < 0.3, axis=1).view(np.uint64)
    rows, similarity = nearest_k(bits, bits, 5)
    assert rows.shape == similarity.shape == (3, 3)
