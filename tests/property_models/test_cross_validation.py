"""Out-of-fold scores: who sees what, and who decides the weights."""

from __future__ import annotations

import numpy as np
import pytest

from property_models.auxiliary import Auxiliary
from property_models.cross_validation import HeldOut, cross_validate, stacked_scores
from property_models.datasets import Table
from property_models.ensemble import MemberRecipe
from property_models.features import Features, featurise
from property_models.kernel import KernelRecipe
from property_models.network import NetworkRecipe
from property_models.splits import cluster_folds
from property_models.trees import TreesRecipe

RECIPES: list[MemberRecipe] = [TreesRecipe(n_trees=20), KernelRecipe(("ecfp",), descriptors=False)]


@pytest.fixture(scope="module")
def features(logp_table: Table) -> Features:
    return featurise([m.mol for m in logp_table.molecules if m.mol is not None])


@pytest.fixture(scope="module")
def fold(logp_table: Table) -> np.ndarray:
    return cluster_folds(logp_table, 3)


@pytest.fixture(scope="module")
def held_out(features: Features, logp_table: Table, fold: np.ndarray) -> HeldOut:
    return cross_validate(
        RECIPES, features, logp_table.values, fold=fold, task="regression", seed=1
    )


def test_every_compound_is_scored_by_every_member(held_out: HeldOut, features: Features) -> None:
    assert held_out.by_member.shape == (2, len(features))
    assert np.isfinite(held_out.by_member).all() and np.isfinite(held_out.score).all()
    assert (held_out.spread > 0).all() and held_out.weights.sum() == pytest.approx(1.0)


def test_the_score_lies_between_the_members(held_out: HeldOut) -> None:
    low, high = held_out.by_member.min(axis=0), held_out.by_member.max(axis=0)
    assert (held_out.score >= low - 1e-12).all() and (held_out.score <= high + 1e-12).all()


def test_a_compounds_own_value_does_not_change_what_members_say_of_it(
    held_out: HeldOut, features: Features, logp_table: Table, fold: np.ndarray
) -> None:
    values = logp_table.values.copy()
    values[fold == 2] += 5.0
    again = cross_validate(RECIPES, features, values, fold=fold, task="regression", seed=1)
    assert np.array_equal(again.by_member[:, fold == 2], held_out.by_member[:, fold == 2])
    assert not np.array_equal(again.by_member[:, fold == 0], held_out.by_member[:, fold == 0])


def test_fixed_weights_are_the_recipes(
    features: Features, logp_table: Table, fold: np.ndarray
) -> None:
    recipes: list[MemberRecipe] = [
        TreesRecipe(n_trees=5, weight=3.0),
        KernelRecipe(("ecfp",), descriptors=False),
    ]
    found = cross_validate(
        recipes,
        features,
        logp_table.values,
        fold=fold,
        task="regression",
        seed=1,
        weights="fixed",
    )
    assert found.weights.tolist() == [0.75, 0.25]
    assert np.allclose(found.score, 0.75 * found.by_member[0] + 0.25 * found.by_member[1])


def test_progress_is_told_fold_by_fold(
    features: Features, logp_table: Table, fold: np.ndarray
) -> None:
    told: list[tuple[int, list[str]]] = []
    cross_validate(
        [TreesRecipe(n_trees=5)],
        features,
        logp_table.values,
        fold=fold,
        task="regression",
        seed=1,
        on_metrics=lambda metrics, step: told.append((step, sorted(metrics))),
    )
    assert [step for step, _ in told] == [0, 1, 2]
    assert all("fold_rmse" in names for _, names in told)


def test_strict_folds_hide_held_out_compounds_from_sister_assays(
    features: Features, logp_table: Table, fold: np.ndarray
) -> None:
    """A sister assay with the very same values gives a held-out compound away, unless hidden."""
    sister = Auxiliary(
        features,
        logp_table.inchikeys,
        logp_table.values[:, None],
        ("twin",),
        ("regression",),
        ("twins",),
    )
    recipe = NetworkRecipe(n_layers=1, n_channels=16, n_epochs=2)

    def scores(keys: list[str] | None, values: np.ndarray) -> np.ndarray:
        twin = Auxiliary(features, sister.keys, values[:, None], *sister_names(sister))
        return cross_validate(
            [recipe],
            features,
            logp_table.values,
            fold=fold,
            task="regression",
            seed=1,
            auxiliary=twin,
            strict_keys=keys,
        ).score[fold == 0]

    other = logp_table.values.copy()
    other[fold == 0] = np.nan
    keys = logp_table.inchikeys
    assert not np.array_equal(scores(None, logp_table.values), scores(keys, logp_table.values))
    # Hidden or never measured: the standardised twin differs by its mean alone.
    assert np.allclose(scores(keys, logp_table.values), scores(keys, other))


def sister_names(sister: Auxiliary) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return sister.names, sister.tasks, sister.families


def test_stacked_scores_learn_from_the_training_rows_alone(
    features: Features, logp_table: Table
) -> None:
    train, test = np.arange(70), np.arange(70, len(features))
    found = stacked_scores(
        RECIPES,
        features.take(train),
        logp_table.values[train],
        features.take(test),
        fold=train % 3,
        task="regression",
        seed=1,
    )
    assert found.shape == (len(test),)
    assert np.corrcoef(found, logp_table.values[test])[0, 1] > 0.5
