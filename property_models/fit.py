"""Train a predictor: cross-validate by scaffold, calibrate, refit on everything, write the card."""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from property_models import evaluate
from property_models.calibration import (
    LEVEL,
    ConformalIntervals,
    VennAbers,
    fit_conformal,
    fit_venn_abers,
)
from property_models.datasets import DATASETS, DataSource, Rows, Table, clean, scaffold_folds
from property_models.domain import OUTSIDE_SHARE, ReferenceIndex, domain_threshold, nearest
from property_models.endpoints import Endpoint, Task
from property_models.ensemble import (
    MemberRecipe,
    derived_seed,
    fit_members,
    mean_score,
    member_scores,
)
from property_models.errors import DataError
from property_models.features import Features, featurise
from property_models.molecules import standardise_all
from property_models.predictor import Predictor
from property_models.store import ModelCard, Parts, feature_columns, recipe_entry, recipe_kind

Array = NDArray[np.float64]
OnMetrics = Callable[[dict[str, float], int], None]
_log = logging.getLogger("property_models")

MIN_COMPOUNDS = 40
MIN_PER_CLASS = 10


class Map(Protocol):
    """Like the built-in map: applies a picklable function, keeps the order."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]:
        """Results in the order of the items."""
        ...


@dataclass(frozen=True)
class HeldOut:
    """Out-of-fold results, each of shape (n,).

    Attributes:
        score: Mean score of the members fitted on the other folds.
        by_member: Score of each member, shape (n_members, n).
        similarity: To the nearest compound of the other folds.
        fold: Fold number.
    """

    score: Array
    by_member: Array
    similarity: Array
    fold: NDArray[np.int64]


def fit_predictor(
    rows: Rows,
    endpoint: Endpoint,
    *,
    recipes: Sequence[MemberRecipe],
    n_folds: int = 5,
    seed: int = 0,
    official_test: bool = False,
    on_metrics: OnMetrics | None = None,
    map: Map = map,
) -> Predictor:
    """Trains, calibrates and evaluates a predictor.

    Metrics come from scaffold folds: each compound is predicted by members fitted on the other
    folds. The members kept are fitted again on all compounds; the calibration stays that of the
    out-of-fold scores.

    Args:
        rows: Measurements from `datasets.read_dataset` or `datasets.read_file`.
        endpoint: What they measure.
        recipes: One per member.
        n_folds: Number of scaffold folds.
        seed: Decides everything random.
        official_test: Also fit on the source's official training rows and evaluate on its test
            rows once, for the card.
        on_metrics: Called with (metrics, step): one step per fold (named fold_...), then all.
        map: Runs the folds, e.g. in other processes; the order of results is kept.

    Raises:
        DataError: Too few usable compounds, classes or scaffolds.
    """
    table = clean(rows, task=endpoint.task)
    _check_size(table, endpoint, rows)
    official_source = _official_source(rows) if official_test else None
    _log.info("%s: %d compounds; computing features", endpoint.name, len(table))
    features = _features_of(table)
    held_out = _cross_validate(
        table, features, endpoint.task, recipes, n_folds, seed, on_metrics, map
    )
    metrics = _held_out_metrics(endpoint.task, table.values, held_out, recipes, seed)
    if on_metrics is not None:
        flat = {k: v for k, v in metrics.items() if isinstance(v, float)}
        on_metrics(flat, n_folds)
    official = (
        _official_test(rows, official_source, endpoint, recipes, seed) if official_source else {}
    )
    threshold = round(domain_threshold(held_out.similarity), 6)
    _log.info("fitting on all %d compounds", len(table))
    members = fit_members(
        recipes, features, table.values, task=endpoint.task, seed=derived_seed(seed, "all")
    )
    reference = ReferenceIndex(features.packed_bits, table.inchikeys, table.values, threshold)
    calibration = _calibrate(endpoint.task, table.values, held_out, np.ones(len(table), bool))
    card = _card(rows, table, endpoint, recipes, n_folds, seed, metrics, official, threshold)
    return Predictor(card, Parts(members, _weights(recipes), calibration, reference))


def _features_of(table: Table) -> Features:
    mols = [molecule.mol for molecule in table.molecules if molecule.mol is not None]
    return featurise(mols, [molecule.smiles for molecule in table.molecules])


def _weights(recipes: Sequence[MemberRecipe]) -> list[float]:
    return [recipe.weight for recipe in recipes]


def _check_size(table: Table, endpoint: Endpoint, rows: Rows) -> None:
    where = rows.provenance.get("file", "table")
    if len(table) < MIN_COMPOUNDS:
        raise DataError(
            f"{where}: {len(table)} usable compounds ({dict(table.counts)}); "
            f"a predictor needs at least {MIN_COMPOUNDS}"
        )
    if endpoint.task == "classification":
        n_positive = int(table.values.sum())
        if min(n_positive, len(table) - n_positive) < MIN_PER_CLASS:
            raise DataError(
                f"{where}: {n_positive} positive and {len(table) - n_positive} negative "
                f"compounds; classification needs at least {MIN_PER_CLASS} of each"
            )
    elif np.ptp(table.values) == 0:
        raise DataError(f"{where}: every compound has the value {table.values[0]:g}")


# -- held-out evaluation --------------------------------------------------------------------


def _cross_validate(
    table: Table,
    features: Features,
    task: Task,
    recipes: Sequence[MemberRecipe],
    n_folds: int,
    seed: int,
    on_metrics: OnMetrics | None,
    map: Map,
) -> HeldOut:
    fold = scaffold_folds(table, n_folds)
    by_member, similarity = np.empty((len(recipes), len(table))), np.empty(len(table))
    work = partial(_fit_fold, features, table.values, fold, task, tuple(recipes), seed)
    for number, (fold_scores, fold_similarity) in enumerate(map(work, range(n_folds))):
        rows = np.flatnonzero(fold == number)
        by_member[:, rows], similarity[rows] = fold_scores, fold_similarity
        _log.info("fold %d of %d is done", number + 1, n_folds)
        if on_metrics is not None:
            mean = mean_score(fold_scores, _weights(recipes), task=task)
            found = evaluate.metrics(task, table.values[rows], mean)
            on_metrics({f"fold_{name}": value for name, value in found.items()}, number)
    score = mean_score(by_member, _weights(recipes), task=task)
    return HeldOut(score, by_member, similarity, fold)


def _fit_fold(
    features: Features,
    values: Array,
    fold: NDArray[np.int64],
    task: Task,
    recipes: tuple[MemberRecipe, ...],
    seed: int,
    number: int,
) -> tuple[Array, Array]:
    """Members' scores of a fold, fitted on the others, and its similarities to the others."""
    inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
    train, test = features.take(outside), features.take(inside)
    members = fit_members(
        recipes, train, values[outside], task=task, seed=derived_seed(seed, "fold", number)
    )
    similarity = nearest(test.packed_bits, train.packed_bits)[1]
    return member_scores(members, test), similarity


def _calibrate(
    task: Task, values: Array, held_out: HeldOut, rows: NDArray[np.bool_]
) -> ConformalIntervals | VennAbers:
    score = held_out.score[rows]
    if task == "regression":
        return fit_conformal(values[rows], score, held_out.similarity[rows])
    return fit_venn_abers(values[rows], score)


def _held_out_metrics(
    task: Task, values: Array, held_out: HeldOut, recipes: Sequence[MemberRecipe], seed: int
) -> dict[str, Any]:
    """Metrics of out-of-fold scores; each fold's intervals are calibrated on the other folds."""
    value, low, high = (np.empty(len(values)) for _ in range(3))
    in_domain = np.empty(len(values), bool)
    for number in np.unique(held_out.fold):
        inside = held_out.fold == number
        calibration = _calibrate(task, values, held_out, ~inside)
        score, similarity = held_out.score[inside], held_out.similarity[inside]
        if isinstance(calibration, ConformalIntervals):
            value[inside] = score
            low[inside], high[inside] = calibration.interval(score, similarity)
        else:
            value[inside], low[inside], high[inside] = calibration.probability(score)
        in_domain[inside] = similarity >= domain_threshold(held_out.similarity[~inside])
    found: dict[str, Any] = dict(evaluate.metrics(task, values, value))
    if task == "classification":
        # Ranking of the raw score: calibration per fold only adds ties between folds.
        found["auroc"] = evaluate.auroc(values, held_out.score)
        found["auprc"] = evaluate.auprc(values, held_out.score)
    ranked = value if task == "regression" else held_out.score
    intervals = evaluate.bootstrap_intervals(
        task, values, ranked, rng=np.random.default_rng(derived_seed(seed, "bootstrap"))
    )
    kept = ("brier", "ece")  # of calibrated probabilities, not of the raw score
    found["intervals_95"] = {k: list(v) for k, v in intervals.items() if k not in kept}
    found["mean_width"] = float(np.mean(high - low))
    if task == "regression":
        found["coverage"] = evaluate.coverage(values, low, high)
        found["coverage_by_similarity"] = _coverage_by_similarity(
            values, low, high, held_out.similarity
        )
    found["share_in_domain"] = float(np.mean(in_domain))
    for name, mask in (("in_domain", in_domain), ("outside_domain", ~in_domain)):
        if mask.sum() >= MIN_PER_CLASS:
            found[name] = evaluate.metrics(task, values[mask], ranked[mask])
            found[name]["n"] = int(mask.sum())
            if task == "regression":
                found[name]["coverage"] = evaluate.coverage(values[mask], low[mask], high[mask])
    if len(recipes) > 1:
        found["by_member"] = {
            recipe_kind(recipe): evaluate.metrics(task, values, score)
            for recipe, score in zip(recipes, held_out.by_member, strict=True)
        }
    return _finite(found)


def _coverage_by_similarity(
    values: Array, low: Array, high: Array, similarity: Array
) -> list[dict[str, float]]:
    edges = [0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0]
    bins = []
    for start, stop in pairwise(edges):
        mask = (similarity >= start) & ((similarity < stop) | (stop == edges[-1]))
        if mask.any():
            bins.append(
                {
                    "similarity_from": start,
                    "similarity_to": stop,
                    "n": int(mask.sum()),
                    "coverage": evaluate.coverage(values[mask], low[mask], high[mask]),
                    "mean_width": float(np.mean(high[mask] - low[mask])),
                }
            )
    return bins


def _official_source(rows: Rows) -> DataSource:
    source = DATASETS.get(str(rows.provenance.get("dataset")))
    if source is None or not rows.official_test.any():
        raise DataError(
            f"{rows.provenance.get('dataset', 'this table')} has no official test split: "
            "set `official_test: false`"
        )
    return source


def _official_test(
    rows: Rows,
    source: DataSource,
    endpoint: Endpoint,
    recipes: Sequence[MemberRecipe],
    seed: int,
) -> dict[str, Any]:
    """Fits on the official training rows, evaluates once on the official test rows."""
    table = clean(rows.where(~rows.official_test), task=endpoint.task)
    test = rows.where(rows.official_test)
    molecules = standardise_all(test.smiles)
    usable = np.array([molecule.mol is not None for molecule in molecules])
    features = featurise([m.mol for m in molecules if m.mol is not None])
    members = fit_members(
        recipes,
        _features_of(table),
        table.values,
        task=endpoint.task,
        seed=derived_seed(seed, "official"),
    )
    scores = member_scores(members, features)
    score = mean_score(scores, _weights(recipes), task=endpoint.task)
    measured = test.values[usable]
    rng = np.random.default_rng(derived_seed(seed, "bootstrap"))
    intervals = evaluate.bootstrap_intervals(endpoint.task, measured, score, rng=rng)
    metric = source.official_metric
    return _finite(
        {
            "split": "official split of the source; evaluated once, never used to choose",
            "n_train": len(table),
            "n_test": int(usable.sum()),
            "n_test_without_prediction": int((~usable).sum()),
            "metric": metric,
            "value": evaluate.metrics(endpoint.task, measured, score)[metric],
            "interval_95": list(intervals[metric]),
            "peer": source.peer,
            "peer_value": source.peer_value,
            "all": evaluate.metrics(endpoint.task, measured, score),
        }
    )


def _finite(content: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping without undefined (NaN) metrics, rounded for reading."""
    return dict(_finite_items(content))


def _finite_items(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, float):
            if math.isfinite(value):
                yield key, round(value, 4)
        elif isinstance(value, Mapping):
            yield key, _finite(value)
        elif isinstance(value, list):
            yield (
                key,
                [
                    _finite(v)
                    if isinstance(v, Mapping)
                    else round(v, 4)
                    if isinstance(v, float)
                    else v
                    for v in value
                ],
            )
        else:
            yield key, value


# -- card -----------------------------------------------------------------------------------


def _card(
    rows: Rows,
    table: Table,
    endpoint: Endpoint,
    recipes: Sequence[MemberRecipe],
    n_folds: int,
    seed: int,
    metrics: Mapping[str, Any],
    official: Mapping[str, Any],
    threshold: float,
) -> ModelCard:
    regression = endpoint.task == "regression"
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
        split=(
            f"{n_folds} folds by Bemis-Murcko scaffold (sets from DeepChem's ScaffoldSplitter, "
            "dealt to folds of equal size; acyclic molecules by connectivity). Metrics are "
            "out-of-fold; the shipped weights are refitted on all rows."
        ),
        metrics=metrics,
        official_test=official,
        calibration={
            "method": "conformal, by similarity to the nearest training compound"
            if regression
            else "Venn-Abers on a grid of the score; low and high are its p0 and p1",
            **({"level": LEVEL} if regression else {}),
            "fitted_on": "out-of-fold scores of all rows; the metrics above calibrate each fold "
            "on the other folds",
        },
        domain={
            "similarity_threshold": threshold,
            "meaning": "ECFP4 (1024 bits) Tanimoto similarity to the nearest training compound; "
            f"the {OUTSIDE_SHARE:.0%} quantile of held-out compounds to their training folds",
        },
        members=[recipe_entry(recipe) for recipe in recipes],
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


def _versions() -> dict[str, str]:
    found = {}
    for package in ("molgen", "rdkit", "lightgbm", "torch", "torch-geometric", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
