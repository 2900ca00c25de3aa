"""The numbers on a card are the metrics they claim to be, and the page shows them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from property_models import evaluate
from property_models.card_page import card_page
from property_models.cards import finite, held_out_metrics
from property_models.cross_validation import HeldOut
from property_models.features import Features
from property_models.predictor import Predictor
from property_models.store import save

Array = NDArray[np.float64]


def scored(measured: Array, rng: np.random.Generator, *, noise: float, n_folds: int) -> HeldOut:
    n = len(measured)
    members = measured + noise * rng.normal(size=(2, n))
    return HeldOut(
        score=members.mean(axis=0),
        by_member=members,
        spread=members.std(axis=0),
        similarity=rng.uniform(0.2, 0.9, n),
        fold=np.arange(n) % n_folds,
        weights=np.full(2, 0.5),
    )


def test_regression_metrics_are_of_the_out_of_fold_scores(
    drug_features: Features, rng: np.random.Generator
) -> None:
    measured = rng.normal(size=len(drug_features))
    held_out = scored(measured, rng, noise=0.5, n_folds=4)
    cluster = scored(measured, rng, noise=1.0, n_folds=3)
    found = held_out_metrics(
        "regression", measured, drug_features, held_out, cluster=cluster, names=["a", "b"], seed=1
    )
    assert found["rmse"] == pytest.approx(evaluate.rmse(measured, held_out.score), abs=1e-3)
    assert found["cluster"]["mae"] == pytest.approx(evaluate.mae(measured, cluster.score), abs=1e-3)
    assert found["by_member"]["b"]["rmse"] == pytest.approx(
        evaluate.rmse(measured, held_out.by_member[1]), abs=1e-3
    )
    low, high = found["intervals_95"]["rmse"]
    assert low < found["rmse"] < high
    assert 0.75 <= found["coverage"] <= 1.0
    assert 0.5 <= found["mean_width"] / found["plain_mean_width"] <= 1.5
    assert found["cluster"]["mean_width"] > 0 and 0 < found["share_in_domain"] < 1
    assert {"slices", "worst_slice", "under_represented", "ence"} <= found.keys()
    json.dumps(found, allow_nan=False)


def test_bounds_judge_nothing(drug_features: Features, rng: np.random.Generator) -> None:
    measured = rng.normal(size=len(drug_features))
    held_out = scored(measured, rng, noise=0.5, n_folds=4)
    is_bound = np.arange(len(measured)) % 5 == 0
    relation = np.where(is_bound, "<", "=")
    of_bounds = np.where(is_bound, measured + 50.0, measured)  # true, and far from the score
    found = held_out_metrics(
        "regression", of_bounds, drug_features, held_out, cluster=held_out, names=["a", "b"],
        seed=1, relation=relation,
    )  # fmt: skip
    exact = ~is_bound
    error = evaluate.rmse(measured[exact], held_out.score[exact])
    assert found["rmse"] == pytest.approx(error, abs=1e-3)
    assert found["cluster"]["rmse"] == found["rmse"]
    assert found["by_member"]["a"]["rmse"] < 2 and found["mean_width"] < 5
    assert sum(n["n"] for n in found["coverage_by_similarity"]) == exact.sum()


def test_a_fold_is_judged_by_what_the_others_say(
    drug_features: Features, rng: np.random.Generator
) -> None:
    measured = rng.normal(size=len(drug_features))
    held_out = scored(measured, rng, noise=0.3, n_folds=4)
    far_off = measured + 100.0 * (held_out.fold == 0)  # wholly unlike the other folds
    found = held_out_metrics(
        "regression", far_off, drug_features, held_out, cluster=None, names=["a", "b"], seed=1
    )
    # Calibrated on the other folds, which contain its errors in no fold but itself, it is missed.
    assert found["coverage"] == pytest.approx(0.75, abs=0.03)


def test_a_classifiers_metrics_are_of_score_and_calibrated_probability(
    drug_features: Features, rng: np.random.Generator
) -> None:
    n = len(drug_features)
    truth = rng.uniform(size=n)
    label = (rng.uniform(size=n) < truth).astype(float)
    held_out = HeldOut(
        score=truth**2,  # ranks well, badly calibrated
        by_member=truth[None] ** 2,
        spread=np.zeros(n),
        similarity=np.full(n, 0.5),
        fold=np.arange(n) % 4,
        weights=np.ones(1),
    )
    found = held_out_metrics(
        "classification", label, drug_features, held_out, cluster=None, names=["a"], seed=1
    )
    assert found["auroc"] == pytest.approx(evaluate.auroc(label, truth), abs=1e-3)
    assert found["brier"] < evaluate.brier(label, np.full(n, label.mean()))
    assert set(found["intervals_95"]) == {"auroc", "auprc", "brier"}
    assert sum(point["n"] for point in found["calibration_curve"]) == n
    assert "coverage" not in found and "by_member" not in found


def test_undefined_numbers_are_left_out_and_the_others_rounded() -> None:
    content = {"a": float("nan"), "b": 0.123456, "c": {"d": float("inf"), "e": [0.98765]}, "f": "x"}
    assert finite(content) == {"b": 0.1235, "c": {"e": [0.9877]}, "f": "x"}


def test_a_saved_predictor_has_a_page_that_needs_nothing_else(
    predictor: Predictor, tmp_path: Path
) -> None:
    save(tmp_path / "logp", predictor.card, predictor.parts)
    page = (tmp_path / "logp" / "card.html").read_text()
    assert page == card_page(predictor.card)
    for text in ("logp", "Intended use", "cluster split", "Where it errs most", "Coverage by"):
        assert text in page
    assert f"{predictor.card.metrics['rmse']:.3g}" in page
    assert not re.search(r"(?:src|href)=", page) and "<script" not in page


def test_what_a_user_writes_is_escaped_on_the_page(predictor: Predictor) -> None:
    page = card_page(replace(predictor.card, meaning="<b>1 < 2</b>"))
    assert "&lt;b&gt;1 &lt; 2&lt;/b&gt;" in page and "<b>1" not in page


def test_an_official_test_without_a_published_result_is_shown_without_one(
    predictor: Predictor, tmp_path: Path
) -> None:
    test = {"metric": "mae", "value": 0.5, "interval_95": [0.4, 0.6], "n_test": 20, "peer": ""}
    alone = finite({**test, "peer_value": float("nan")})
    page = card_page(replace(predictor.card, official_test=alone))
    assert "mean absolute error 0.5 (0.4 to 0.6).</p>" in page and "to compare" not in page
    compared = {**test, "peer": "a forest", "peer_value": 0.7}
    assert "to compare: 0.7, a forest." in card_page(
        replace(predictor.card, official_test=compared)
    )


def test_what_cannot_be_saved_leaves_the_predictor_before_it(
    predictor: Predictor, tmp_path: Path
) -> None:
    save(tmp_path / "logp", predictor.card, predictor.parts)
    before = {path.name: path.read_bytes() for path in (tmp_path / "logp").iterdir()}
    broken = replace(predictor.card, official_test={"metric": "mae"})  # no page can be made of it
    with pytest.raises(KeyError):
        save(tmp_path / "logp", broken, replace(predictor.parts, weights=[1.0, 0.0]))
    assert {p.name: p.read_bytes() for p in (tmp_path / "logp").iterdir()} == before


def test_a_unit_that_is_not_stated_leaves_no_gap_on_the_page(predictor: Predictor) -> None:
    page = card_page(replace(predictor.card, unit=""))
    assert "regression, in a unit that is not stated; higher is neutral" in page
