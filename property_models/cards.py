"""The numbers and sentences of a model card."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from property_models import evaluate, slices
from property_models.calibration import (
    LEVEL,
    Calibrated,
    Calibration,
    NormalisedIntervals,
    calibrate,
    conformal_quantile,
    exact_rows,
    held_out_errors,
)
from property_models.difficulty import SIGNALS, Evidence, held_out_evidence
from property_models.domain import FARTHEST_SHARE, HARDEST_SHARE
from property_models.endpoints import Endpoint, Task
from property_models.features import Features
from property_models.measurements import Relations
from property_models.member_files import recipe_entry
from property_models.model_card import ModelCard, feature_columns

if TYPE_CHECKING:
    from property_models.cross_validation import HeldOut
    from property_models.datasets import Rows, Table
    from property_models.ensemble import MemberRecipe

Array = NDArray[np.float64]

MIN_PER_PART = 10  # fewer compounds inside or outside the domain give no metrics
# Metrics with a bootstrap interval, of the raw score or of the calibrated value. None for the
# calibration error: a resampled set is less well calibrated than the set, so it would be too high.
_BOOTSTRAPPED: dict[Task, dict[str, tuple[str, ...]]] = {
    "regression": {"score": ("rmse", "mae", "r2", "spearman")},
    "classification": {"score": ("auroc", "auprc"), "value": ("brier",)},
}


# -- metrics --------------------------------------------------------------------------------


def held_out_metrics(
    task: Task,
    measured: Array,
    features: Features,
    held_out: HeldOut,
    *,
    cluster: HeldOut | None,
    names: Sequence[str],
    seed: int,
    assay: Sequence[str] | None = None,
    relation: Relations | None = None,
) -> dict[str, Any]:
    """Metrics of out-of-fold scores; what judges a fold was calibrated on other folds.

    Args:
        task: Of the endpoint.
        measured: Values or labels 0/1, shape (n,).
        features: Of the n compounds.
        held_out: Out-of-fold scores by scaffold.
        cluster: Out-of-fold scores by cluster of similar compounds, a harder test; None: left
            out. They are calibrated as the shipped predictor is, on the scaffold folds (less the
            compounds of the cluster fold at hand), so their coverage tells what the intervals are
            worth for new chemistry.
        names: Name of each member, one per row of `by_member`.
        seed: Of the bootstrap.
        assay: Assay or source of each compound, '' where unknown; None: nothing is known.
        relation: '=', '<' or '>' of each value; None: all exact.

    Returns:
        Metrics of the scaffold split by name, of the compounds with an exact value, with
        `intervals_95`, `by_member`, `slices` and `worst_slice`; the metrics of the cluster split
        under `cluster`. Undefined ones are left out; numbers are rounded for reading.
    """
    exact = exact_rows(measured, relation)
    of_all = held_out_errors(task, measured, held_out, relation)  # neighbours report theirs, too
    evidence = held_out_evidence(held_out, of_all, features.packed_bits).where(exact)
    measured, errors, fold = measured[exact], of_all[exact], held_out.fold[exact]
    calibrated = _calibrated_across(task, measured, errors, fold, evidence, evidence, fold)
    found = _split_metrics(task, measured, evidence, calibrated, seed)
    if task == "regression":
        found["plain_mean_width"] = _plain_width(errors, fold)
    if len(names) > 1:
        found["by_member"] = {
            name: evaluate.metrics(task, measured, score[exact])
            for name, score in zip(names, held_out.by_member, strict=True)
        }
    judged = features.take(np.flatnonzero(exact))
    assays = None if assay is None else [a for a, used in zip(assay, exact, strict=True) if used]
    similarity = held_out.similarity[exact]
    found |= _by_slice(task, measured, calibrated.value, judged, similarity, assays)
    if cluster is not None:
        new_chemistry = held_out_evidence(cluster, of_all, features.packed_bits).where(exact)
        recalibrated = _calibrated_across(
            task, measured, errors, fold, evidence, new_chemistry, cluster.fold[exact]
        )
        found["cluster"] = _split_metrics(task, measured, new_chemistry, recalibrated, seed)
    return finite(found)


def _calibrated_across(
    task: Task,
    measured: Array,
    errors: Array,
    calibration_fold: NDArray[np.int64],
    evidence: Evidence,
    judged: Evidence,
    judged_fold: NDArray[np.int64],
) -> Calibrated:
    """Calibrates each fold of `judged` on `evidence` of all compounds that are not in it."""
    n = len(measured)
    value, low, high, expected = (np.empty(n) for _ in range(4))
    in_domain = np.empty(n, bool)
    for number in np.unique(judged_fold):
        inside = judged_fold == number
        others = ~inside
        calibration = calibrate(
            task,
            measured[others],
            evidence.where(others),
            errors[others],
            calibration_fold[others],
        )
        part = calibration.apply(judged.where(inside))
        value[inside], low[inside], high[inside] = part.value, part.low, part.high
        expected[inside], in_domain[inside] = part.expected_error, part.in_domain
    return Calibrated(value, low, high, expected, in_domain)


def _split_metrics(
    task: Task, measured: Array, evidence: Evidence, calibrated: Calibrated, seed: int
) -> dict[str, Any]:
    """Metrics of one split: the predictions, their intervals and their domain."""
    score, value = evidence.value, calibrated.value
    # A classifier is ranked by its raw score: calibration per fold only adds ties between folds.
    found: dict[str, Any] = dict(evaluate.metrics(task, measured, score))
    intervals = {
        name: interval
        for judged, names in _BOOTSTRAPPED[task].items()
        for name, interval in evaluate.bootstrap_intervals(
            task,
            measured,
            score if judged == "score" else value,
            rng=np.random.default_rng(seed),
            names=names,
        ).items()
    }
    if task == "classification":
        found["brier"] = evaluate.brier(measured, value)
        found["ece"] = evaluate.ece(measured, value)
        found["calibration_curve"] = evaluate.calibration_curve(measured, value)
    found["intervals_95"] = {name: list(interval) for name, interval in intervals.items()}
    found["mean_width"] = float(np.mean(calibrated.high - calibrated.low))
    if task == "regression":
        found["coverage"] = evaluate.coverage(measured, calibrated.low, calibrated.high)
        found["coverage_by_similarity"] = evaluate.coverage_by_similarity(
            measured, calibrated.low, calibrated.high, evidence.similarity
        )
        # The standard deviation of a normal distribution with the same 90 % interval.
        implied = (calibrated.high - calibrated.low) / (2 * 1.6449)
        found["ence"] = evaluate.ence(measured, value, implied)
        found["error_rank_correlation"] = evaluate.spearman(
            calibrated.expected_error, np.abs(measured - value)
        )
    return found | _domain_metrics(task, measured, score, calibrated)


def _domain_metrics(
    task: Task, measured: Array, score: Array, calibrated: Calibrated
) -> dict[str, Any]:
    inside = calibrated.in_domain
    found: dict[str, Any] = {"share_in_domain": float(np.mean(inside))}
    for name, mask in (("in_domain", inside), ("outside_domain", ~inside)):
        if mask.sum() >= MIN_PER_PART:
            part: dict[str, Any] = dict(evaluate.metrics(task, measured[mask], score[mask]))
            part["n"] = int(mask.sum())
            if task == "regression":
                part["coverage"] = evaluate.coverage(
                    measured[mask], calibrated.low[mask], calibrated.high[mask]
                )
            else:
                part["brier"] = evaluate.brier(measured[mask], calibrated.value[mask])
                part["ece"] = evaluate.ece(measured[mask], calibrated.value[mask])
            found[name] = part
    error = "mae" if task == "regression" else "brier"
    if "in_domain" in found and "outside_domain" in found and found["in_domain"][error] > 0:
        found["domain_error_ratio"] = found["outside_domain"][error] / found["in_domain"][error]
    return found


def _plain_width(errors: Array, fold: NDArray[np.int64]) -> float:
    """Mean width of plain split-conformal intervals: the same for all compounds of a fold."""
    widths = np.empty(len(errors))
    for number in np.unique(fold):
        widths[fold == number] = 2 * conformal_quantile(errors[fold != number], LEVEL)
    return float(widths.mean())


def _by_slice(
    task: Task,
    measured: Array,
    value: Array,
    features: Features,
    similarity: Array,
    assay: Sequence[str] | None,
) -> dict[str, Any]:
    groups = slices.groups_by_structure(features) | slices.groups_by_similarity(similarity)
    if assay is not None:
        groups |= slices.groups_by_label(assay, kind="assay")
    entries = slices.errors_by_group(task, measured, value, groups)
    return {
        "slice_error": "mae" if task == "regression" else "brier",
        "slices": entries,
        "worst_slice": slices.worst_group(entries),
        "under_represented": slices.under_represented(slices.groups_by_structure(features)),
    }


def finite(content: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping without undefined (NaN) metrics, rounded for reading."""
    return dict(_finite_items(content))


def _finite_items(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, float):
            if math.isfinite(value):
                yield key, _rounded(value)
        elif isinstance(value, Mapping):
            yield key, finite(value)
        elif isinstance(value, list):
            yield key, [_listed(entry) for entry in value]
        else:
            yield key, value


def _listed(entry: Any) -> Any:
    if isinstance(entry, Mapping):
        return finite(entry)
    return _rounded(entry) if isinstance(entry, float) else entry


def _rounded(value: float) -> float:
    """Four decimals, and four digits below 0.1."""
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")


# -- card -----------------------------------------------------------------------------------


def make_card(
    rows: Rows,
    table: Table,
    endpoint: Endpoint,
    *,
    recipes: Sequence[MemberRecipe],
    weights: Sequence[float],
    split: str,
    seed: int,
    metrics: Mapping[str, Any],
    official_test: Mapping[str, Any],
    calibration: Calibration,
) -> ModelCard:
    """The card of a predictor; its `files` are filled in when it is saved.

    Args:
        rows: What was read.
        table: What was trained on.
        endpoint: What is predicted.
        recipes: One per member.
        weights: What each member's score counts, as used in prediction.
        split: How the metrics were obtained, in words.
        seed: Of the training.
        metrics: From `held_out_metrics`.
        official_test: Result on a public test split; {} without.
        calibration: As shipped.
    """
    return ModelCard(
        endpoint=endpoint.name,
        task=endpoint.task,
        unit=endpoint.unit,
        higher_is=endpoint.higher_is,
        meaning=endpoint.meaning,
        assay=endpoint.assay,
        source=endpoint.source,
        licence=str(rows.provenance.get("licence", "not stated")),
        data={**rows.provenance, **table.counts},
        split=split,
        metrics=metrics,
        official_test=official_test,
        calibration=_calibration_entry(calibration),
        domain=_domain_entry(calibration),
        members=[recipe_entry(recipe) for recipe in recipes],
        weights=[round(float(weight), 4) for weight in weights],
        seed=seed,
        features=feature_columns(),
        versions=_versions(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        intended_use="Ranking and filtering of drug-like organic molecules in research.",
        limits=(
            "Not for clinical or regulatory decisions. The largest organic fragment is predicted, "
            "uncharged; tautomers are taken as written. Outside the domain the interval is an "
            "extrapolation."
        ),
        files={},
    )


def _calibration_entry(calibration: Calibration) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "method": "Venn-Abers on a grid of the score; low and high are its p0 and p1",
        "fitted_on": "out-of-fold scores of all rows by scaffold; the metrics calibrate each fold "
        "on the other folds",
    }
    if isinstance(calibration.intervals, NormalisedIntervals):
        entry["method"] = (
            "conformal, half-width = multiple x (expected absolute error ^ exponent); the expected "
            "error is log-linear in the signals below"
        )
        entry["level"] = LEVEL
        entry["multiple"] = round(calibration.intervals.multiple, 4)
        entry["exponent"] = calibration.intervals.exponent
    slopes = calibration.difficulty.slopes.tolist()
    entry["expected_error_change_by_one_sd"] = {
        name: round(math.exp(slope), 3) for name, slope in zip(SIGNALS, slopes, strict=True)
    }
    return entry


def _domain_entry(calibration: Calibration) -> dict[str, Any]:
    return {
        "similarity_threshold": round(calibration.domain.min_similarity, 6),
        "expected_error_threshold": round(calibration.domain.max_difficulty, 6),
        "meaning": "inside: ECFP4 (1024 bits) Tanimoto similarity to the nearest training compound "
        "at or above the first, and expected absolute error at or below the second; these are "
        f"the {FARTHEST_SHARE:.0%} and the {1 - HARDEST_SHARE:.0%} quantile of compounds held "
        "out by scaffold",
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in ("molgen", "rdkit", "lightgbm", "torch", "torch-geometric", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
