"""The members of an ensemble learn, repeat and agree with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from property_models.datasets import Table
from property_models.ensemble import derived_seed, fit_members, mean_score, member_scores
from property_models.features import Features, featurise
from property_models.graphs import Batch
from property_models.kernel import KernelRecipe, TanimotoKernel, fit_tanimoto_kernel, tanimoto
from property_models.network import NetworkRecipe, fit_network
from property_models.trees import TreesRecipe, fit_boosted_trees

SMALL = NetworkRecipe(n_layers=2, n_channels=32, n_epochs=80, dropout=0.0, batch_size=12)


@pytest.fixture(scope="module")
def features(logp_table: Table) -> Features:
    return featurise([m.mol for m in logp_table.molecules if m.mol is not None])


def first(features: Features, n: int) -> Features:
    return features.take(np.arange(n))


def test_the_kernel_is_the_sum_of_minima_over_the_sum_of_maxima(features: Features) -> None:
    found = tanimoto(features.ecfp[:5], features.ecfp)
    for i in range(5):
        for j in range(len(features)):
            a, b = (features.ecfp[k].astype(int) for k in (i, j))
            assert found[i, j] == np.minimum(a, b).sum() / np.maximum(a, b).sum()


def test_the_gaussian_process_is_its_textbook_formula(
    features: Features, logp_table: Table
) -> None:
    train, test = first(features, 60), features.take(np.arange(60, len(features)))
    model = fit_tanimoto_kernel(train, logp_table.values[:60], recipe=KernelRecipe((0.1,)))
    k = tanimoto(train.ecfp, train.ecfp) + 0.1 * np.eye(60)
    cross = tanimoto(test.ecfp, train.ecfp)
    residual = logp_table.values[:60] - model.mean
    assert np.allclose(model.predict(test), model.mean + cross @ np.linalg.solve(k, residual))
    variance = residual @ np.linalg.solve(k, residual) / 60
    expected = np.sqrt(variance * (1 - np.sum(cross * np.linalg.solve(k, cross.T).T, axis=1)))
    assert np.allclose(model.spread(test), expected)
    assert (model.spread(train) < model.spread(test).mean()).all()


def test_the_kernel_takes_the_noise_that_the_data_have(
    features: Features, rng: np.random.Generator
) -> None:
    signal = tanimoto(features.ecfp, features.ecfp) @ rng.normal(size=len(features))
    exact = fit_tanimoto_kernel(features, signal, recipe=KernelRecipe())
    noise = fit_tanimoto_kernel(features, rng.normal(size=len(features)), recipe=KernelRecipe())
    assert exact.noise_ratio < noise.noise_ratio


def test_trees_learn_and_repeat(features: Features, logp_table: Table) -> None:
    def fit(seed: int) -> np.ndarray:
        model = fit_boosted_trees(
            features,
            logp_table.values,
            task="regression",
            recipe=TreesRecipe(n_trees=200),
            seed=seed,
        )
        return model.predict(features)

    assert np.corrcoef(fit(1), logp_table.values)[0, 1] > 0.95
    assert np.array_equal(fit(1), fit(1))
    assert not np.array_equal(fit(1), fit(2))


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_network_overfits_a_tiny_set(task: str, features: Features, logp_table: Table) -> None:
    values = logp_table.values[:24]
    if task == "classification":
        values = (values > np.median(values)).astype(float)
    losses: list[float] = []
    model = fit_network(
        first(features, 24),
        values,
        task=task,
        recipe=SMALL,
        seed=3,
        on_epoch=lambda _, loss: losses.append(loss),
    )
    found = model.predict(first(features, 24))
    assert losses[-1] < 0.1 * losses[0]
    assert np.corrcoef(found, values)[0, 1] > 0.97


def test_the_network_repeats_and_leaves_torchs_generator_alone(
    features: Features, logp_table: Table
) -> None:
    recipe = NetworkRecipe(n_layers=1, n_channels=8, n_epochs=2)
    state = torch.random.get_rng_state()
    n_threads = torch.get_num_threads()
    a, b = (
        fit_network(features, logp_table.values, task="regression", recipe=recipe, seed=5)
        for _ in range(2)
    )
    assert np.array_equal(a.predict(features), b.predict(features))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == n_threads


def test_the_network_does_not_see_the_other_molecules_of_a_batch(
    features: Features, logp_table: Table
) -> None:
    recipe = NetworkRecipe(n_layers=2, n_channels=64, n_epochs=3)
    model = fit_network(features, logp_table.values, task="regression", recipe=recipe, seed=5)
    together = model.predict(features)
    alone = np.concatenate([model.predict(features.take(np.array([i]))) for i in range(20)])
    assert np.array_equal(together[:20], alone)


def test_the_network_does_not_depend_on_the_order_of_atoms(
    features: Features, logp_table: Table
) -> None:
    recipe = NetworkRecipe(n_layers=2, n_channels=16, n_epochs=1)
    model = fit_network(features, logp_table.values, task="regression", recipe=recipe, seed=5)
    graph = features.graphs[0]
    turned = graph.clone()
    turned.x = graph.x.flip(0)
    turned.edge_index = len(graph.x) - 1 - graph.edge_index
    module = model.module.double().eval()
    descriptors = torch.from_numpy(features.descriptors[:1]).double()
    with torch.no_grad():
        a, b = (module(Batch.from_data_list([g]), descriptors) for g in (graph, turned))
    assert torch.allclose(a, b, atol=1e-9)


def test_an_ensemble_is_the_weighted_mean_of_its_members(
    features: Features, logp_table: Table
) -> None:
    recipes = [TreesRecipe(n_trees=20), KernelRecipe()]
    members = fit_members(recipes, features, logp_table.values, task="regression", seed=1)
    assert isinstance(members[1], TanimotoKernel)
    expected = (3 * members[0].predict(features) + members[1].predict(features)) / 4
    found = mean_score(member_scores(members, features), [3.0, 1.0], task="regression")
    assert np.allclose(found, expected)


def test_classification_scores_are_probabilities(features: Features, logp_table: Table) -> None:
    labels = (logp_table.values > 2).astype(float)
    recipes = [TreesRecipe(n_trees=20), KernelRecipe((0.01,))]
    members = fit_members(recipes, features, labels, task="classification", seed=1)
    scores = mean_score(member_scores(members, features), [1.0, 1.0], task="classification")
    assert ((scores >= 0) & (scores <= 1)).all()


def test_derived_seeds_differ_by_part_and_repeat() -> None:
    assert derived_seed(1, "fold", 2) == derived_seed(1, "fold", 2)
    assert len({derived_seed(s, "fold", f) for s in range(5) for f in range(5)}) == 25
