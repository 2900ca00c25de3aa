"""Stacking finds who can be trusted, and does not trust small tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from property_models.endpoints import Task
from property_models.stacking import Loss, _cross_entropy, nested_weights, stacked_weights

Array = NDArray[np.float64]


def scores_of(values: Array, noise: tuple[float, ...], rng: np.random.Generator) -> Array:
    return np.array([values + s * rng.normal(size=len(values)) for s in noise])


def test_independent_members_count_by_their_precision(rng: np.random.Generator) -> None:
    values = rng.normal(size=20_000)
    scores = scores_of(values, (0.5, 1.0), rng)
    # Of unbiased independent members: 1 / variance, here 4 to 1.
    assert np.allclose(stacked_weights(scores, values, task="regression"), [0.8, 0.2], atol=0.02)


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_the_weighted_mean_is_no_worse_than_the_best_member(
    loss: Loss, rng: np.random.Generator
) -> None:
    values = 100.0 + 30.0 * rng.normal(size=3000)
    scores = scores_of(values, (5.0, 9.0, 60.0), rng)
    weights = stacked_weights(scores, values, task="regression", loss=loss)
    power = 2 if loss == "mse" else 1
    best = min(np.mean(np.abs(score - values) ** power) for score in scores)
    assert np.mean(np.abs(weights @ scores - values) ** power) < best


def test_absolute_error_ignores_a_member_that_only_outliers_favour(
    rng: np.random.Generator,
) -> None:
    values = rng.normal(size=2000)
    good = values + 0.1 * rng.normal(size=2000)
    good[:20] += 50.0
    scores = np.array([good, values + rng.normal(size=2000)])
    by_loss = {
        loss: stacked_weights(scores, values, task="regression", loss=loss)[0]
        for loss in ("mse", "mae")
    }
    assert by_loss["mae"] > 0.85 > by_loss["mse"]


def test_a_classifier_is_weighed_by_its_ranking_not_its_calibration(
    rng: np.random.Generator,
) -> None:
    latent = rng.normal(size=4000)
    labels = (latent + 0.3 * rng.normal(size=4000) > 0).astype(float)
    timid = 0.5 + 0.05 * np.tanh(latent)  # ranks well, calibrated badly
    random = np.clip(0.5 + 0.2 * rng.normal(size=4000), 0.01, 0.99)
    weights = stacked_weights(np.array([timid, random]), labels, task="classification")
    assert weights[0] > 0.9


def test_the_cross_entropys_gradient_is_its_slope(rng: np.random.Generator) -> None:
    labels = (rng.random(50) > 0.5).astype(float)
    scores = rng.random((3, 50))
    at = np.array([0.2, 0.5, 0.3, 1.4, -0.2])
    slope = _cross_entropy(at, scores, labels)[1]
    for i, step in enumerate(np.eye(5) * 1e-6):
        high, low = (_cross_entropy(at + s * step, scores, labels)[0] for s in (1, -1))
        assert slope[i] == pytest.approx((high - low) / 2e-6, abs=1e-6)


def test_a_small_table_keeps_near_equal_weights(rng: np.random.Generator) -> None:
    values = rng.normal(size=1000)
    scores = scores_of(values, (0.1, 2.0), rng)
    few = stacked_weights(scores[:, :40], values[:40], task="regression")
    many = stacked_weights(scores, values, task="regression")
    assert 0.5 < few[0] < many[0]


@given(st.integers(1, 5), st.sampled_from(["regression", "classification"]), st.integers(0, 999))
def test_weights_are_shares(n_members: int, task: Task, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=60)
    scores = rng.random((n_members, 60))
    if task == "classification":
        values = (values > 0).astype(float)
    weights = stacked_weights(scores, values, task=task)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1.0)


def test_a_fold_takes_no_part_in_its_own_weights(rng: np.random.Generator) -> None:
    values = rng.normal(size=300)
    scores = scores_of(values, (0.5, 1.0), rng)
    fold = np.arange(300) % 3
    weights = nested_weights(scores, values, fold, task="regression")
    changed = values.copy()
    changed[fold == 1] = rng.normal(size=100)
    again = nested_weights(scores, changed, fold, task="regression")
    assert np.array_equal(weights[:, fold == 1], again[:, fold == 1])
    assert not np.array_equal(weights[:, fold == 0], again[:, fold == 0])
