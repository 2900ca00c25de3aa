"""Metrics against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

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


def test_bootstrap_intervals_can_be_of_chosen_metrics(rng: np.random.Generator) -> None:
    label = rng.integers(0, 2, 60).astype(float)
    found = evaluate.bootstrap_intervals(
        "classification", label, rng.uniform(size=60), rng=rng, names=("ece",), n_samples=20
    )
    assert list(found) == ["ece"]


def test_true_standard_deviations_have_a_small_normalised_calibration_error(
    rng: np.random.Generator,
) -> None:
    deviation = rng.uniform(0.5, 2.0, 20_000)
    measured = deviation * rng.normal(size=20_000)
    assert evaluate.ence(measured, np.zeros(20_000), deviation) < 0.05
    assert evaluate.ence(measured, np.zeros(20_000), 2 * deviation) == pytest.approx(0.5, abs=0.05)


def test_the_calibration_curve_is_scikit_learns(rng: np.random.Generator) -> None:
    score = rng.permutation(1000) / 1000
    label = (rng.uniform(size=1000) < score).astype(float)
    curve = evaluate.calibration_curve(label, score)
    observed, predicted = calibration_curve(label, score, n_bins=10, strategy="quantile")
    assert np.allclose([point["observed"] for point in curve], observed)
    assert np.allclose([point["predicted"] for point in curve], predicted)
    assert sum(point["n"] for point in curve) == 1000


def test_coverage_is_counted_in_every_similarity_bin() -> None:
    similarity = np.array([0.1, 0.35, 0.35, 1.0])
    measured = np.array([0.0, 0.0, 9.0, 0.0])
    bins = evaluate.coverage_by_similarity(measured, -np.ones(4), np.ones(4), similarity)
    assert [b["n"] for b in bins] == [1, 2, 1]
    assert [b["coverage"] for b in bins] == [1.0, 0.5, 1.0]


def test_equal_predictions_are_judged_alike_in_any_order_of_rows(
    rng: np.random.Generator,
) -> None:
    predicted = rng.choice([0.1, 0.3, 0.8], 97)
    label = (rng.uniform(size=97) < 0.4).astype(float)
    deviation = rng.choice([0.5, 1.0], 97)
    found = set()
    for order in (np.arange(97), np.argsort(label), np.argsort(-label), rng.permutation(97)):
        y, p = label[order], predicted[order]
        curve = [point["observed"] for point in evaluate.calibration_curve(y, p)]
        scale = evaluate.ence(y, p, deviation[order])
        found.add(tuple(np.round([evaluate.ece(y, p), scale, *curve], 9)))
    assert len(found) == 1
