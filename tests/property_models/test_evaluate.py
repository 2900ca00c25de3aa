"""Metrics against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as reference

from property_models import evaluate


def test_regression_metrics_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    measured = rng.normal(size=200)
    predicted = measured + rng.normal(size=200)
    assert evaluate.rmse(measured, predicted) == pytest.approx(
        reference.root_mean_squared_error(measured, predicted)
    )
    assert evaluate.mae(measured, predicted) == pytest.approx(
        reference.mean_absolute_error(measured, predicted)
    )
    assert evaluate.r2(measured, predicted) == pytest.approx(
        reference.r2_score(measured, predicted)
    )
    assert evaluate.spearman(measured, predicted) == pytest.approx(
        spearmanr(measured, predicted).statistic
    )


def test_classification_metrics_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    score = np.round(rng.uniform(size=300), 1)  # with ties
    label = (rng.uniform(size=300) < score).astype(float)
    assert evaluate.auroc(label, score) == pytest.approx(reference.roc_auc_score(label, score))
    assert evaluate.brier(label, score) == pytest.approx(reference.brier_score_loss(label, score))


def test_metrics_that_are_undefined_are_nan_not_a_number() -> None:
    ones, scores = np.ones(5), np.linspace(0, 1, 5)
    assert np.isnan(evaluate.auroc(ones, scores))
    assert np.isnan(evaluate.spearman(ones, scores))
    assert np.isnan(evaluate.r2(ones, scores))


def test_a_perfectly_calibrated_score_has_a_small_calibration_error(
    rng: np.random.Generator,
) -> None:
    score = rng.uniform(size=20_000)
    label = (rng.uniform(size=20_000) < score).astype(float)
    assert evaluate.ece(label, score) < 0.02
    assert evaluate.ece(label, np.clip(score + 0.3, 0, 1)) > 0.2


def test_bootstrap_intervals_contain_the_estimate(rng: np.random.Generator) -> None:
    measured = rng.normal(size=100)
    predicted = measured + rng.normal(size=100)
    intervals = evaluate.bootstrap_intervals("regression", measured, predicted, rng=rng)
    low, high = intervals["rmse"]
    assert low < evaluate.rmse(measured, predicted) < high
