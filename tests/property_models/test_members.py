"""The members of an ensemble learn, repeat, agree with their definitions and survive storage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem

from property_models.auxiliary import Auxiliary, join_tables
from property_models.datasets import Table
from property_models.ensemble import (
    MemberRecipe,
    combined,
    derived_seed,
    fit_members,
    mean_score,
    scores_and_deviations,
)
from property_models.errors import DataError
from property_models.features import Features, featurise
from property_models.graphs import Batch, molecule_graph
from property_models.kernel import KernelRecipe, TanimotoKernel, fit_tanimoto_kernel
from property_models.marginal_likelihood import _block, _loss, _parameters, _start
from property_models.member_files import load_member, member_bytes, member_files, recipe_entry
from property_models.network import Network, NetworkRecipe, fit_network
from property_models.sparse_counts import SHARED_UNIT, sparse, tanimoto_to
from property_models.transforms import Transform, forward, inverse
from property_models.trees import ForestRecipe, TreesRecipe, fit_boosted_trees, fit_random_forest

SMALL = NetworkRecipe(n_layers=2, n_channels=32, n_epochs=80, dropout=0.0, batch_size=12)
TINY = NetworkRecipe(n_layers=1, n_channels=8, n_epochs=2)
ONE_KERNEL = KernelRecipe(("ecfp",), descriptors=False)
ONE_SHARED = KernelRecipe(("ecfp_shared",), descriptors=False)


@pytest.fixture(scope="module")
def features(logp_table: Table) -> Features:
    return featurise([m.mol for m in logp_table.molecules if m.mol is not None])


def first(features: Features, n: int) -> Features:
    return features.take(np.arange(n))


# -- kernel ---------------------------------------------------------------------------------


def test_the_kernel_is_the_sum_of_minima_over_the_sum_of_maxima(features: Features) -> None:
    found = tanimoto_to(sparse(features.ecfp[:5]), sparse(features.ecfp))
    for i in range(5):
        for j in range(0, len(features), 7):
            a, b = (features.ecfp[k].astype(int) for k in (i, j))
            assert found[i, j] == np.minimum(a, b).sum() / np.maximum(a, b).sum()


def test_sparse_rows_can_be_taken_in_any_order(features: Features) -> None:
    rows = np.array([5, 0, 5])
    part, direct = sparse(features.torsions).take(rows), sparse(features.torsions[rows])
    assert np.array_equal(part.starts, direct.starts)
    assert np.array_equal(part.columns, direct.columns)
    assert np.array_equal(part.counts, direct.counts)


@pytest.mark.parametrize("with_descriptors", [False, True])
def test_the_gaussian_process_is_its_textbook_formula(
    with_descriptors: bool, features: Features, logp_table: Table
) -> None:
    train, test = first(features, 60), features.take(np.arange(60, len(features)))
    recipe = KernelRecipe(("ecfp", "fcfp"), descriptors=with_descriptors)
    model = fit_tanimoto_kernel(train, logp_table.values[:60], recipe=recipe)
    k, cross = model.kernel(train), model.kernel(test)
    assert np.allclose(np.diag(k), 1.0) and np.allclose(k, k.T)
    noisy = k + model.noise_ratio * np.eye(60)
    residual = logp_table.values[:60] - model.mean
    assert np.allclose(model.predict(test), model.mean + cross @ np.linalg.solve(noisy, residual))
    exact = 1 - np.sum(cross * np.linalg.solve(noisy, cross.T).T, axis=1)
    deviation = model.score(test)[1]
    # Conditioned on fewer compounds: never below the exact one, and close to it.
    assert (deviation >= np.sqrt(model.variance * exact) * 0.999).all()
    assert (model.score(train)[1] < deviation.mean()).all()


def test_with_all_compounds_near_the_posterior_deviation_is_exact(
    features: Features, logp_table: Table
) -> None:
    train, test = first(features, 16), features.take(np.arange(60, len(features)))
    model = fit_tanimoto_kernel(train, logp_table.values[:16], recipe=ONE_KERNEL)
    cross = model.kernel(test)
    noisy = model.kernel(train) + model.noise_ratio * np.eye(16)
    exact = model.variance * (1 - np.sum(cross * np.linalg.solve(noisy, cross.T).T, axis=1))
    assert np.allclose(model.score(test)[1] ** 2, exact)


def test_shared_counts_are_the_sum_of_the_smaller_ones(
    features: Features, logp_table: Table
) -> None:
    model = fit_tanimoto_kernel(features, logp_table.values, recipe=ONE_SHARED)
    smaller = np.minimum(features.ecfp[:, None, :], features.ecfp).sum(axis=2)
    assert np.allclose(model.kernel(features), smaller / SHARED_UNIT)


def test_the_deviation_of_shared_counts_knows_that_a_kernel_of_equals_is_not_one(
    features: Features, logp_table: Table
) -> None:
    recipe = KernelRecipe(("ecfp_shared", "ecfp"), descriptors=False)
    train, test = first(features, 16), features.take(np.arange(16, len(features)))
    model = fit_tanimoto_kernel(train, logp_table.values[:16], recipe=recipe)
    cross = model.kernel(test)
    parts = dict(zip(model.fingerprints, model.shares, strict=True))
    own = parts.get("ecfp", 0.0) + parts["ecfp_shared"] * test.ecfp.sum(axis=1) / SHARED_UNIT
    assert own.std() > 0.01
    noisy = model.kernel(train) + model.noise_ratio * np.eye(16)
    exact = model.variance * (own - np.sum(cross * np.linalg.solve(noisy, cross.T).T, axis=1))
    assert np.allclose(model.score(test)[1] ** 2, exact)


def test_with_shared_counts_what_helped_here_is_expected_to_help_there() -> None:
    worth = {"C": 0.0, "O": 0.0, "N": 0.1, "S": 0.1, "F": 1.0, "Cl": 1.0, "Br": 0.9}
    pairs = [(a, b) for a in worth for b in worth if a <= b]
    values = np.array([worth[a] + worth[b] for a, b in pairs])
    chains = featurise([Chem.MolFromSmiles(f"{a}CCCCCC{b}") for a, b in pairs])
    known, new = np.flatnonzero(values < 1.5), np.flatnonzero(values >= 1.5)
    tanimotos, shared = (
        fit_tanimoto_kernel(chains.take(known), values[known], recipe=recipe).predict(
            chains.take(new)
        )
        for recipe in (ONE_KERNEL, ONE_SHARED)
    )
    assert (shared > values[known].max()).all()
    errors = [np.abs(found - values[new]).mean() for found in (tanimotos, shared)]
    assert errors[1] < 0.8 * errors[0]


def test_the_likelihoods_gradient_is_its_slope(features: Features, logp_table: Table) -> None:
    counts = (sparse(features.ecfp), sparse(features.torsions))
    x = np.clip(features.descriptors[:, :20].astype(float) / 50, -5, 5)
    values = (logp_table.values - logp_table.values.mean()) / logp_table.values.std()
    block = _block(counts, [False, True], x, values, np.arange(0, len(values), 2))
    theta = _start(2, [block])[0] + 0.1
    slope = _loss(theta, [block])[1]
    for i, step in enumerate(np.eye(len(theta)) * 1e-5):
        numeric = (_loss(theta + step, [block])[0] - _loss(theta - step, [block])[0]) / 2e-5
        assert slope[i] == pytest.approx(numeric, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("part", "noise", "is_kept"), [(0.03, 1e-3, True), (5e-3, 0.1, False)])
def test_a_part_is_left_out_for_explaining_nothing_not_for_being_smaller_than_another(
    part: float, noise: float, is_kept: bool
) -> None:
    # One kernel, noise, descriptors: a Gaussian of great length has a variance above the values'.
    theta = np.log([part, noise, 13.0, 40.0])
    found = _parameters(theta, 1, with_descriptors=True)
    assert (found.shares[0] > 0) == is_kept
    assert found.shares.sum() + found.descriptor_share == pytest.approx(1.0)
    assert found.noise_ratio == pytest.approx(noise / found.variance)


def test_the_kernel_takes_the_noise_that_the_data_have(
    features: Features, rng: np.random.Generator
) -> None:
    every = sparse(features.ecfp)
    signal = tanimoto_to(every, every) @ rng.normal(size=len(features))
    exact = fit_tanimoto_kernel(features, signal, recipe=ONE_KERNEL)
    noise = fit_tanimoto_kernel(features, rng.normal(size=len(features)), recipe=ONE_KERNEL)
    assert exact.noise_ratio < noise.noise_ratio


def test_landmarks_come_close_to_the_exact_fit(features: Features, logp_table: Table) -> None:
    exact = fit_tanimoto_kernel(features, logp_table.values, recipe=KernelRecipe())
    few = KernelRecipe(max_compounds=len(features) - 10)
    landmarks = fit_tanimoto_kernel(features, logp_table.values, recipe=few)
    assert len(landmarks) == len(features) - 10
    found, wanted = landmarks.predict(features), exact.predict(features)
    assert np.corrcoef(found, wanted)[0, 1] > 0.99


# -- trees ----------------------------------------------------------------------------------


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


def test_a_forest_of_one_value_says_it(features: Features) -> None:
    some = first(features, 20)
    for value in (1.0, 5.0):
        forest = fit_random_forest(some, np.full(20, value), recipe=ForestRecipe(), seed=1)
        score, _ = forest.score(features)
        assert score == pytest.approx(np.full(len(features), value))


def test_several_seeds_are_averaged_and_their_deviation_is_told(
    features: Features, logp_table: Table
) -> None:
    def fit(seed: int, n_seeds: int) -> tuple[np.ndarray, np.ndarray]:
        recipe = TreesRecipe(n_trees=20, n_seeds=n_seeds)
        model = fit_boosted_trees(
            features, logp_table.values, task="regression", recipe=recipe, seed=seed
        )
        return model.score(features)

    score, deviation = fit(1, 2)
    votes = np.array([fit(1, 1)[0], fit(2, 1)[0]])
    assert np.allclose(score, votes.mean(axis=0)) and np.allclose(deviation, votes.std(axis=0))
    assert (fit(1, 1)[1] == 0).all()


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_robust_losses_care_less_for_an_outlier(
    loss: str, features: Features, logp_table: Table
) -> None:
    values = logp_table.values.copy()
    values[0] += 1000.0

    def bias(loss: str) -> float:
        recipe = TreesRecipe(n_trees=30, learning_rate=0.2, loss=loss)  # type: ignore[arg-type]
        model = fit_boosted_trees(features, values, task="regression", recipe=recipe, seed=1)
        return float(np.mean(np.abs(model.predict(features) - values)[1:]))

    assert bias(loss) < bias("mse")


@pytest.mark.parametrize("transform", ["none", "log10", "logit_percent"])
def test_a_transform_is_undone(transform: Transform) -> None:
    values = np.array([0.1, 3.0, 50.0, 99.9])
    assert np.allclose(inverse(transform, forward(transform, values)), values)


def test_a_value_without_a_place_on_the_scale_is_refused() -> None:
    with pytest.raises(DataError, match="log10 needs values above 0"):
        forward("log10", np.array([1.0, 0.0]))
    with pytest.raises(DataError, match="between 0 and 100"):
        forward("logit_percent", np.array([50.0, 101.0]))


@pytest.mark.parametrize(
    "recipe",
    [
        TreesRecipe(n_trees=100, transform="log10"),
        ForestRecipe(n_trees=50, transform="log10"),
        KernelRecipe(transform="log10"),
    ],
)
def test_members_on_a_log_scale_predict_in_the_unit(
    recipe: MemberRecipe, features: Features, logp_table: Table
) -> None:
    values = 10.0**logp_table.values
    (member,) = fit_members([recipe], features, values, task="regression", seed=1)
    found, deviation = member.score(features)
    assert (found > 0).all() and (deviation >= 0).all()
    assert np.corrcoef(np.log10(found), logp_table.values)[0, 1] > 0.8


# -- network --------------------------------------------------------------------------------


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
    recipe = TINY
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


def test_a_network_rounds_no_more_in_a_unit_of_small_numbers(
    features: Features, logp_table: Table
) -> None:
    few = first(features, 24)
    values = logp_table.values[:24]
    small = fit_network(few, values * 1e-8, task="regression", recipe=SMALL, seed=3).predict(few)
    assert len(np.unique(small)) == 24
    assert np.corrcoef(small, values)[0, 1] > 0.97


def test_the_network_does_not_depend_on_the_order_of_atoms(
    features: Features, logp_table: Table
) -> None:
    recipe = NetworkRecipe(n_layers=2, n_channels=16, n_epochs=1)
    model = fit_network(features, logp_table.values, task="regression", recipe=recipe, seed=5)
    graph = molecule_graph(features.mols[0])
    turned = graph.clone()
    turned.x = graph.x.flip(0)
    turned.edge_index = len(graph.x) - 1 - graph.edge_index
    module = model.modules[0].double().eval()
    descriptors = torch.from_numpy(features.descriptors[:1]).double()
    with torch.no_grad():
        a, b = (module(Batch.from_data_list([g]), descriptors) for g in (graph, turned))
    assert torch.allclose(a, b, atol=1e-9)


def test_a_packed_batch_is_pygs_batch(features: Features) -> None:
    rows = np.array([4, 0, 9])
    found = features.graphs.take(np.arange(12)).batch(rows)
    wanted = Batch.from_data_list([molecule_graph(features.mols[i]) for i in rows])
    assert torch.equal(found.x, wanted.x) and torch.equal(found.batch, wanted.batch)

    def edges(graph: Batch) -> list[list[int]]:  # in any order
        columns = torch.cat([graph.edge_index, graph.edge_attr.T]).T
        return sorted(columns.tolist())

    assert edges(found) == edges(wanted)


def sisters(features: Features, logp_table: Table) -> Auxiliary:
    half = len(features) // 2
    values = np.full((len(features), 2), np.nan)
    values[:half, 0] = logp_table.values[:half] * 3 + 1
    values[half:, 1] = logp_table.values[half:] > 2
    return Auxiliary(
        features,
        logp_table.inchikeys,
        values,
        ("a", "b"),
        ("regression", "classification"),
        ("one", "other"),
    )


def test_sister_assays_help_where_the_endpoint_has_few_compounds(
    features: Features, logp_table: Table
) -> None:
    few = np.arange(0, len(features), 8)
    rest = np.setdiff1d(np.arange(len(features)), few)
    recipe = NetworkRecipe(n_layers=2, n_channels=32, n_epochs=40, min_steps=150, dropout=0.0)

    def error(auxiliary: Auxiliary | None) -> float:
        model = fit_network(
            features.take(few),
            logp_table.values[few],
            task="regression",
            recipe=recipe,
            seed=2,
            auxiliary=auxiliary,
        )
        found = model.predict(features.take(rest))
        return float(np.mean(np.abs(found - logp_table.values[rest])))

    assert error(sisters(features, logp_table)) < error(None)


def test_held_out_compounds_can_be_left_out_of_sister_assays(
    features: Features, logp_table: Table
) -> None:
    everything = sisters(features, logp_table)
    left = everything.without(logp_table.inchikeys[:10])
    assert len(left) == len(left.features) == len(everything) - 10
    assert np.array_equal(left.values, everything.values[10:], equal_nan=True)


def test_tables_join_by_structure(logp_table: Table) -> None:
    joined = join_tables({
        "logp": (logp_table, "regression", "one"),
        "again": (logp_table, "regression", "one"),
    })  # fmt: skip
    assert len(joined) == len(logp_table) and joined.names == ("logp", "again")
    assert np.array_equal(joined.values[:, 0], logp_table.values)
    assert np.array_equal(joined.values[:, 0], joined.values[:, 1])


def test_networks_of_an_ensemble_differ_and_are_averaged(
    features: Features, logp_table: Table
) -> None:
    recipe = NetworkRecipe(n_layers=1, n_channels=8, n_epochs=2, n_members=2, fingerprints=True)
    model = fit_network(features, logp_table.values, task="regression", recipe=recipe, seed=1)
    score, deviation = model.score(features)
    alone = [
        Network([module], "regression", model.mean, model.scale, recipe).predict(features)
        for module in model.modules
    ]
    assert np.allclose(score, np.mean(alone, axis=0)) and (deviation > 0).any()


# -- ensemble -------------------------------------------------------------------------------


def test_an_ensemble_is_the_weighted_mean_of_its_members(
    features: Features, logp_table: Table
) -> None:
    recipes = [TreesRecipe(n_trees=20), KernelRecipe()]
    members = fit_members(recipes, features, logp_table.values, task="regression", seed=1)
    assert isinstance(members[1], TanimotoKernel)
    scores, deviations = scores_and_deviations(members, features)
    expected = (3 * members[0].predict(features) + members[1].predict(features)) / 4
    found, spread = combined(scores, [3.0, 1.0], task="regression", deviations=deviations)
    assert np.allclose(found, expected)
    between = (3 * (scores[0] - found) ** 2 + (scores[1] - found) ** 2) / 4
    assert np.allclose(spread**2, between + deviations[1] ** 2 / 4)


def test_classification_scores_are_probabilities(features: Features, logp_table: Table) -> None:
    labels = (logp_table.values > 2).astype(float)
    recipes: list[MemberRecipe] = [
        TreesRecipe(n_trees=20),
        ForestRecipe(n_trees=50),
        KernelRecipe(),
    ]
    members = fit_members(recipes, features, labels, task="classification", seed=1)
    scores, _ = scores_and_deviations(members, features)
    mean = mean_score(scores, [1.0, 1.0, 1.0], task="classification")
    assert ((mean >= 0) & (mean <= 1)).all()
    assert (mean[labels == 1].mean() - mean[labels == 0].mean()) > 0.3


@pytest.mark.parametrize(
    "recipe",
    [
        TreesRecipe(n_trees=10, n_seeds=2, transform="log10"),
        ForestRecipe(n_trees=10),
        KernelRecipe(),
        KernelRecipe(("torsions",), descriptors=False, transform="log10"),
        KernelRecipe(("ecfp_shared", "ecfp"), descriptors=False),
        NetworkRecipe(n_layers=1, n_channels=8, n_epochs=2, n_members=2, fingerprints=True),
    ],
)
def test_a_stored_member_predicts_the_same(
    recipe: MemberRecipe, features: Features, logp_table: Table
) -> None:
    values = 10.0**logp_table.values
    (member,) = fit_members([recipe], features, values, task="regression", seed=1)
    blob = member_bytes(member)
    loaded = load_member(recipe_entry(recipe), blob, "regression")
    for found, wanted in zip(loaded.score(features), member.score(features), strict=True):
        assert np.array_equal(found, wanted)
    assert member_bytes(loaded) == blob


def test_a_score_does_not_depend_on_the_batch(features: Features, logp_table: Table) -> None:
    recipes: list[MemberRecipe] = [TreesRecipe(n_trees=10, n_seeds=2), KernelRecipe(), TINY]
    members = fit_members(recipes, features, logp_table.values, task="regression", seed=1)
    scores, deviations = scores_and_deviations(members, features)
    for row in (0, 31, 60):
        alone = scores_and_deviations(members, features.take(np.array([row])))
        assert np.array_equal(alone[0][:, 0], scores[:, row])
        assert np.array_equal(alone[1][:, 0], deviations[:, row])


def test_a_second_member_of_a_kind_has_a_file_of_its_own() -> None:
    kinds = ["boosted_trees", "network", "boosted_trees"]
    assert member_files(kinds) == ["trees.txt.xz", "network.safetensors.xz", "trees2.txt.xz"]


def test_derived_seeds_differ_by_part_and_repeat() -> None:
    assert derived_seed(1, "fold", 2) == derived_seed(1, "fold", 2)
    assert len({derived_seed(s, "fold", f) for s in range(5) for f in range(5)}) == 25
