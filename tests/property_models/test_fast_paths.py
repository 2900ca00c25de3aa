"""What was made fast gives what the libraries give, and the same in any batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Avalon import pyAvalonTools
from rdkit.Chem import Descriptors
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from property_models.datasets import Table
from property_models.descriptors import DESCRIPTOR_NAMES, descriptor_row
from property_models.features import Features, featurise
from property_models.kernel import KernelRecipe, fit_tanimoto_kernel
from property_models.member_files import load_member, member_bytes, recipe_entry
from property_models.posterior import explained, largest, squared_distances
from property_models.sparse_counts import add_similarities_among, sparse, tanimoto_to
from property_models.tree_scoring import BLOCK, blocks_of, read_lightgbm
from property_models.trees import (
    BoostedTrees,
    ForestRecipe,
    RandomForest,
    TreesRecipe,
    fit_boosted_trees,
    fit_random_forest,
)
from tests.property_models.drugs import DRUGS

UNUSUAL = ["C", "C[Se]CC[Pt]", "[SiH3]C#CC#C[SiH3]", "CB(O)O", "O=[N+]([O-])c1ccccc1", "c1ccsc1"]


@pytest.fixture(scope="module")
def features(logp_table: Table) -> Features:
    return featurise([m.mol for m in logp_table.molecules if m.mol is not None])


# -- descriptors ----------------------------------------------------------------------------


@pytest.mark.parametrize("smiles", [*DRUGS, *UNUSUAL])
def test_descriptors_are_rdkits_to_the_last_bit(smiles: str) -> None:
    functions = dict(Descriptors.descList)
    ours = descriptor_row(Chem.MolFromSmiles(smiles))
    other = Chem.MolFromSmiles(smiles)
    for name, found in zip(DESCRIPTOR_NAMES, ours, strict=True):
        wanted = float(functions[name](other))
        assert found == wanted or (np.isnan(found) and not abs(wanted) < 1e6), name


def test_avalon_counts_do_not_need_a_layout() -> None:
    for smiles in [*DRUGS[:20], "C/C=C/C", "C[C@H](N)C(=O)O", *UNUSUAL]:
        mol = Chem.MolFromSmiles(smiles)
        wanted = pyAvalonTools.GetAvalonCountFP(mol, 1024).GetNonzeroElements()
        found = featurise([mol]).avalon[0]
        assert {int(c): int(found[c]) for c in np.flatnonzero(found)} == wanted


# -- trees ----------------------------------------------------------------------------------


def with_gaps(features: Features) -> Features:
    """Some descriptors without a value, as for unusual elements."""
    some = features.take(np.arange(len(features)))
    some.descriptors[::3, ::2] = np.nan
    return some


@pytest.mark.parametrize("loss", ["mse", "mae", "binary", "forest"])
def test_trees_give_what_lightgbm_gives(loss: str, features: Features, logp_table: Table) -> None:
    values, trained_on = logp_table.values, with_gaps(features)
    model: BoostedTrees | RandomForest
    if loss == "forest":
        model = fit_random_forest(trained_on, values, recipe=ForestRecipe(n_trees=20), seed=1)
    elif loss == "binary":
        labels, recipe = (values > 2).astype(float), TreesRecipe(n_trees=40)
        model = fit_boosted_trees(trained_on, labels, task="classification", recipe=recipe, seed=1)
    else:
        recipe = TreesRecipe(n_trees=40, loss=loss)  # type: ignore[arg-type]
        model = fit_boosted_trees(trained_on, values, task="regression", recipe=recipe, seed=1)
    booster = lightgbm.Booster(model_str=model.text)
    for asked in (features, trained_on):
        wanted = booster.predict(asked.table, num_threads=1)
        assert np.array_equal(model.predict(asked), wanted)


def test_leaves_of_seven_digits_predict_as_those_of_seventeen(
    features: Features, logp_table: Table
) -> None:
    data = lightgbm.Dataset(features.table, label=logp_table.values)
    booster = lightgbm.train({"min_data_in_leaf": 2, "verbosity": -1}, data, num_boost_round=100)
    found = BoostedTrees.of([booster], "none")
    wanted = booster.predict(features.table)
    assert len(found.text) < 0.6 * len(booster.model_to_string())
    np.testing.assert_allclose(found.predict(features), wanted, rtol=0, atol=1e-5)


def test_a_missing_value_that_training_never_saw_counts_as_zero(
    features: Features, logp_table: Table
) -> None:
    recipe = TreesRecipe(n_trees=40)
    model = fit_boosted_trees(features, logp_table.values, task="regression", recipe=recipe, seed=1)
    booster = lightgbm.Booster(model_str=model.text)
    asked = with_gaps(features)
    assert np.array_equal(model.predict(asked), booster.predict(asked.table, num_threads=1))


def test_a_tree_of_one_leaf_is_a_constant(features: Features) -> None:
    few, values = features.take(np.arange(12)), np.arange(12.0)
    data = lightgbm.Dataset(few.table, label=values)
    flat = lightgbm.train({"min_data_in_leaf": 50, "verbosity": -1}, data, num_boost_round=3)
    found = read_lightgbm(flat.model_to_string()).predict(blocks_of(few.table), 12)
    assert np.array_equal(found, flat.predict(few.table))


@pytest.mark.parametrize("text", ["", "tree\n", "tree\nversion=v4\n\nTree=0\nend of trees"])
def test_other_text_is_no_model(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        read_lightgbm(text)


def test_a_table_of_other_columns_is_refused(features: Features, logp_table: Table) -> None:
    model = fit_boosted_trees(
        features, logp_table.values, task="regression", recipe=TreesRecipe(n_trees=2), seed=1
    )
    with pytest.raises(ValueError, match="columns"):
        model.models[0].predict(blocks_of(features.table[:, 1:]), len(features))


def test_blocks_hold_the_table_and_zeros() -> None:
    table = np.arange((BLOCK + 3) * 2, dtype=np.float32).reshape(-1, 2)
    blocks = blocks_of(table)
    assert blocks.shape == (2, 2, BLOCK)
    assert np.array_equal(np.concatenate([b.T for b in blocks])[: len(table)], table)
    assert (blocks[1, :, 3:] == 0).all()
    assert blocks_of(table[:0]).shape == (0, 2, BLOCK)


# -- Gaussian process -----------------------------------------------------------------------


def test_common_and_rare_columns_add_up_to_the_same_similarity(features: Features) -> None:
    counts = features.atom_pairs.astype(int)
    every = sparse(features.atom_pairs)
    found, dense = tanimoto_to(every, every), every.by_column
    assert 0 < len(dense.dense) < np.count_nonzero(counts.any(axis=0))
    both = [(i, j) for i in range(0, len(counts), 9) for j in range(len(counts))]
    for i, j in both:
        wanted = np.minimum(counts[i], counts[j]).sum() / np.maximum(counts[i], counts[j]).sum()
        assert found[i, j] == wanted


def test_similarities_among_a_few_rows_are_those_of_all(features: Features) -> None:
    rows = np.array([[7, 3, 11], [0, 1, 0]])
    found = np.zeros((2, 3, 3))
    add_similarities_among(found, 1.0, sparse(features.atom_pairs), rows)
    for some, wanted_rows in zip(found, rows, strict=True):
        part = sparse(features.atom_pairs[wanted_rows])
        assert np.array_equal(some, tanimoto_to(part, part))


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("starts", lambda a: a[::-1]),
        ("starts", lambda a: a + 1),
        ("starts", lambda a: a[:-1]),
        ("starts", lambda a: np.append(a[:-1], 10**9)),
        ("starts", lambda a: a.astype(np.float64)),
        ("columns", lambda a: np.full_like(a, 65_535)),
        ("counts", lambda a: a[:1]),
    ],
)
def test_counts_of_a_kernel_that_lead_out_of_their_arrays_are_refused(
    part: str, changed: Callable[[Any], Any], features: Features, logp_table: Table
) -> None:
    recipe = KernelRecipe(("ecfp",), descriptors=False)
    model = fit_tanimoto_kernel(features, logp_table.values, recipe=recipe)
    arrays = load_arrays(member_bytes(model))
    name = f"ecfp.{part}"
    arrays[name] = np.ascontiguousarray(changed(arrays[name]))
    with pytest.raises(ValueError, match="sparse counts"):
        load_member(recipe_entry(recipe), save_arrays(arrays), "regression")


def test_distances_are_exact_for_equals_and_the_same_in_any_batch(
    rng: np.random.Generator,
) -> None:
    x = rng.normal(size=(600, 7))
    by_column = np.ascontiguousarray(x.T)
    found = squared_distances(x[:11], by_column)
    assert np.allclose(found, ((x[:11, None] - x) ** 2).sum(axis=2))
    assert (found[np.arange(11), np.arange(11)] == 0).all()
    alone = np.concatenate([squared_distances(x[i : i + 1], by_column) for i in range(11)])
    assert np.array_equal(found, alone)


def test_the_largest_come_first_and_earlier_ones_among_equals(rng: np.random.Generator) -> None:
    values = rng.integers(0, 5, size=(20, 30)).astype(float)
    assert np.array_equal(largest(values, 7), np.argsort(-values, axis=1, kind="stable")[:, :7])


def test_the_explained_share_is_that_of_a_solver(rng: np.random.Generator) -> None:
    a, v = rng.normal(size=(5, 4, 4)), rng.normal(size=(5, 4))
    covariances = a @ a.transpose(0, 2, 1) + np.eye(4)
    wanted = [b @ np.linalg.solve(c, b) for c, b in zip(covariances, v, strict=True)]
    assert np.allclose(explained(covariances, v), wanted)
