"""Train a predictor: cross-validate, stack, calibrate, refit on everything, write the card."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from property_models import evaluate
from property_models.additive import MAX_MOLECULES, MIN_MOLECULES, AdditiveModel, fit_additive
from property_models.auxiliary import Auxiliary
from property_models.calibration import fit_calibration, held_out_errors
from property_models.cards import finite, held_out_metrics, make_card
from property_models.cleaning import clean
from property_models.cross_validation import (
    HeldOut,
    Map,
    OnMetrics,
    Weights,
    cross_validate,
    stacked_scores,
)
from property_models.datasets import Rows, Table
from property_models.domain import ReferenceIndex
from property_models.endpoints import Endpoint
from property_models.ensemble import (
    Member,
    MemberRecipe,
    derived_seed,
    fit_members,
)
from property_models.errors import DataError
from property_models.features import Features, featurise
from property_models.member_files import recipe_kind
from property_models.molecules import inchikey_block, standardise_all
from property_models.predictor import Predictor
from property_models.sources import DATASETS, DataSource
from property_models.splits import cluster_folds, scaffold_folds
from property_models.stacking import Loss
from property_models.store import Parts

Array = NDArray[np.float64]
_log = logging.getLogger("property_models")

MIN_COMPOUNDS = 40
MIN_PER_CLASS = 10


@dataclass(frozen=True)
class _Training:
    """The arguments of `fit_predictor` that cross-validation, refit and official test share."""

    recipes: Sequence[MemberRecipe]
    n_folds: int
    weights: Weights
    loss: Loss
    auxiliary: Auxiliary | None
    strict: bool
    cluster_split: bool
    seed: int


def fit_predictor(
    rows: Rows,
    endpoint: Endpoint,
    *,
    recipes: Sequence[MemberRecipe],
    n_folds: int = 5,
    weights: Weights = "stacked",
    loss: Loss = "mse",
    auxiliary: Auxiliary | None = None,
    strict: bool = True,
    cluster_split: bool = True,
    seed: int = 0,
    official_test: bool = False,
    on_metrics: OnMetrics | None = None,
    map: Map = map,
) -> Predictor:
    """Trains, calibrates and evaluates a predictor.

    Metrics come from scaffold folds: each compound is predicted by members fitted on the other
    folds, weighted as the other folds say. Compounds with a bound for a value are learnt from, but
    judge and calibrate nothing. The members kept are fitted again on all compounds;
    the calibration stays that of the out-of-fold scores.

    Args:
        rows: Measurements from `datasets.read_dataset` or `datasets.read_file`.
        endpoint: What they measure.
        recipes: One per member.
        n_folds: Number of folds of each split.
        weights: Of the members: 'stacked' on out-of-fold scores, or 'fixed' by the recipes.
        loss: What stacking minimises in regression.
        auxiliary: Sister assays, learnt by networks beside the endpoint.
        strict: Leave a held-out compound out of the sister assays as well.
        cluster_split: Cross-validate by clusters of similar compounds as well; its metrics stand
            on the card. Doubles the time.
        seed: Decides everything random.
        official_test: Also fit on the source's official training rows and evaluate on its test
            rows once, for the card.
        on_metrics: Called with (metrics, step): one step per scaffold fold (named fold_...), then
            all.
        map: Runs the folds, e.g. in other processes; the order of results is kept.

    Raises:
        DataError: Too few usable compounds, classes or scaffolds.
    """
    training = _Training(recipes, n_folds, weights, loss, auxiliary, strict, cluster_split, seed)
    table = clean(rows, task=endpoint.task)
    _check_size(table, endpoint, rows)
    source = _official_source(rows) if official_test else None
    _log.info("%s: %d compounds; computing features", endpoint.name, len(table))
    features = _features_of(table)
    _build_shared(features, recipes)
    held_out, cluster = _held_out(table, features, endpoint, training, map, on_metrics)
    metrics = held_out_metrics(
        endpoint.task,
        table.values,
        features,
        held_out,
        cluster=cluster,
        names=_names(recipes),
        seed=derived_seed(seed, "bootstrap"),
        assay=table.assay,
        relation=table.relation,
    )
    if on_metrics is not None:
        flat = {k: v for k, v in metrics.items() if isinstance(v, float)}
        on_metrics(flat, n_folds)
    official = _official_test(rows, source, endpoint, training, map) if source else {}
    parts = _refit(table, features, endpoint, training, held_out)
    card = make_card(
        rows,
        table,
        endpoint,
        recipes=recipes,
        weights=parts.weights,
        split=_split_text(training, int((_bounds(table) != 0).sum())),
        seed=seed,
        metrics=metrics,
        official_test=official,
        calibration=parts.calibration,
    )
    return Predictor(card, parts)


def _held_out(
    table: Table,
    features: Features,
    endpoint: Endpoint,
    training: _Training,
    map: Map,
    on_metrics: OnMetrics | None,
) -> tuple[HeldOut, HeldOut | None]:
    """Out-of-fold scores by scaffold and, where wanted, by cluster."""
    validate = partial(
        cross_validate,
        training.recipes,
        features,
        table.values,
        task=endpoint.task,
        seed=training.seed,
        weights=training.weights,
        loss=training.loss,
        auxiliary=training.auxiliary,
        strict_keys=table.inchikeys if training.strict else None,
        map=map,
    )
    # Both before the first fit: a table that cannot be split is told at once.
    scaffolds = scaffold_folds(table, training.n_folds)
    clusters = cluster_folds(table, training.n_folds) if training.cluster_split else None
    for fold in (scaffolds, clusters):
        _check_exact(table, fold)
    by_scaffold = validate(fold=scaffolds, on_metrics=on_metrics)
    if clusters is None:
        return by_scaffold, None
    _log.info("cross-validating by clusters of similar compounds")
    return by_scaffold, validate(fold=clusters)


def _check_exact(table: Table, fold: NDArray[np.int64] | None) -> None:
    """DataError where the folds beside one hold too few exact values to judge it by."""
    if fold is None or table.relation is None:
        return
    exact = table.relation == "="
    fewest = min(int((exact & (fold != number)).sum()) for number in np.unique(fold))
    if fewest < MIN_PER_CLASS:
        raise DataError(
            f"{int(exact.sum())} of {len(table)} compounds have an exact value, the others a "
            f"bound, and {fewest} of them are left beside one of the folds: intervals need at "
            f"least {MIN_PER_CLASS}"
        )


def _refit(
    table: Table,
    features: Features,
    endpoint: Endpoint,
    training: _Training,
    held_out: HeldOut,
) -> Parts:
    """What is kept: members fitted on all rows, calibrated on the scores by scaffold."""
    _log.info("fitting on all %d compounds", len(table))
    members = fit_members(
        training.recipes,
        features,
        table.values,
        task=endpoint.task,
        seed=derived_seed(training.seed, "all"),
        auxiliary=training.auxiliary,
    )
    errors = held_out_errors(endpoint.task, table.values, held_out, table.relation)
    # Those that the calibrated scores were combined with, but for the fold left out.
    weights = held_out.weights.tolist()
    return Parts(
        members,
        weights,
        fit_calibration(
            endpoint.task, table.values, held_out, features.packed_bits, table.relation
        ),
        ReferenceIndex(
            features.packed_bits,
            table.inchikeys,
            table.values,
            errors.astype(np.float32),
            _bounds(table),
        ),
        _surrogate(members, weights, features, endpoint, training.seed),
    )


def _bounds(table: Table) -> NDArray[np.int8]:
    return np.select([table.relation == "<", table.relation == ">"], [-1, 1]).astype(np.int8)


def _surrogate(
    members: Sequence[Member],
    weights: Sequence[float],
    features: Features,
    endpoint: Endpoint,
    seed: int,
) -> AdditiveModel | None:
    """What explanations ask beside the members; None where there are too few compounds."""
    from property_models.explain.attribution import attributed_score

    if len(features) < MIN_MOLECULES:
        return None
    rows = np.random.default_rng(derived_seed(seed, "surrogate")).permutation(len(features))
    some = features.take(np.sort(rows[:MAX_MOLECULES]))
    scores = attributed_score(members, weights, endpoint.task, some)
    return fit_additive(some, scores, seed=derived_seed(seed, "surrogate"))


def _features_of(table: Table) -> Features:
    mols = [molecule.mol for molecule in table.molecules if molecule.mol is not None]
    return featurise(mols, [molecule.smiles for molecule in table.molecules])


def _build_shared(features: Features, recipes: Sequence[MemberRecipe]) -> None:
    """Computes what the members look at once, so that folds and processes share it."""
    kinds = {recipe_kind(recipe) for recipe in recipes}
    if "network" in kinds:
        _ = features.graphs
    if "tanimoto_kernel" in kinds:
        _ = features.fcfp, features.atom_pairs, features.torsions


def _names(recipes: Sequence[MemberRecipe]) -> list[str]:
    """Kind of each member, numbered where it is not alone."""
    kinds = [recipe_kind(recipe) for recipe in recipes]
    return [
        f"{kind}_{kinds[:i].count(kind) + 1}" if kinds.count(kind) > 1 else kind
        for i, kind in enumerate(kinds)
    ]


def _split_text(training: _Training, n_bounds: int) -> str:
    stacked = (
        "Member weights of each fold come from the other folds. "
        if training.weights == "stacked"
        else ""
    )
    clusters = (
        " Under `cluster`: the same with folds of Taylor-Butina clusters."
        if training.cluster_split
        else ""
    )
    bounds = (
        f" {n_bounds:,} compounds with a bound for a value are learnt from, but judge nothing."
        if n_bounds
        else ""
    )
    return (
        f"{training.n_folds} folds by Bemis-Murcko scaffold (sets from DeepChem's "
        "ScaffoldSplitter, dealt to folds of equal size; acyclic molecules by connectivity). "
        f"Metrics are out-of-fold; the shipped weights are refitted on all rows. {stacked}"
        f"{_auxiliary_text(training)}{clusters}{bounds}"
    ).strip()


def _auxiliary_text(training: _Training) -> str:
    if training.auxiliary is None:
        return ""
    names = ", ".join(training.auxiliary.names)
    held_out = "left out of" if training.strict else "kept in"
    return f"Networks learn {names} as well; held-out compounds are {held_out} these."


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


# -- official test split --------------------------------------------------------------------


def _official_source(rows: Rows) -> DataSource:
    source = DATASETS.get(str(rows.provenance.get("dataset")))
    if source is None or not rows.official_test.any():
        raise DataError(
            f"{rows.provenance.get('dataset', 'this table')} has no official test split: "
            "set `official_test: false`"
        )
    return source


def _official_test(
    rows: Rows, source: DataSource, endpoint: Endpoint, training: _Training, map: Map
) -> dict[str, Any]:
    """Fits on the official training rows, evaluates once on the official test rows.

    A test row without a value, or with a bound for one, judges nothing; it is counted.
    """
    task = endpoint.task
    table = clean(rows.where(~rows.official_test), task=task)
    test = rows.where(rows.official_test)
    exact = np.isfinite(test.values)
    if test.relation is not None:
        exact &= test.relation == "="
    n_without_value = int((~exact).sum())
    test = test.where(exact)
    molecules = standardise_all(test.smiles)
    usable = np.array([molecule.mol is not None for molecule in molecules], bool)
    if not usable.any():
        raise DataError(
            f"{rows.provenance.get('dataset', 'this table')}: no row of the official test split "
            "has an exact value and a usable structure: set `official_test: false`"
        )
    mols = [molecule.mol for molecule in molecules if molecule.mol is not None]
    auxiliary = training.auxiliary
    if auxiliary is not None and training.strict:
        auxiliary = auxiliary.without([inchikey_block(mol) for mol in mols])
    score = stacked_scores(
        training.recipes,
        _features_of(table),
        table.values,
        featurise(mols),
        fold=cluster_folds(table, training.n_folds),
        task=task,
        seed=derived_seed(training.seed, "official"),
        weights=training.weights,
        loss=training.loss,
        auxiliary=auxiliary,
        strict_keys=table.inchikeys if training.strict else None,
        map=map,
    )
    measured = test.values[usable]
    rng = np.random.default_rng(derived_seed(training.seed, "bootstrap"))
    intervals = evaluate.bootstrap_intervals(task, measured, score, rng=rng)
    metric = source.official_metric
    found = evaluate.metrics(task, measured, score)
    return finite(
        {
            "split": "official split of the source; evaluated once, never used to choose",
            "n_train": len(table),
            "n_test": int(usable.sum()),
            "n_test_without_prediction": int((~usable).sum()),
            "n_test_without_value": n_without_value,
            "metric": metric,
            "value": found[metric],
            "interval_95": list(intervals[metric]),
            "peer": source.peer,
            "peer_value": source.peer_value,
            # The score is not calibrated: how good it is as a probability is no result.
            "all": {k: v for k, v in found.items() if k not in ("brier", "ece")},
        }
    )
