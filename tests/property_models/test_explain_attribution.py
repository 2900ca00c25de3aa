"""Attributions say what a score is known to be made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from property_models import additive
from property_models.additive import _atoms_of, _environments
from property_models.endpoints import Endpoint
from property_models.errors import DataError
from property_models.explain import (
    attribute_atoms,
    attribute_parts,
    attribution_unit,
    blend,
    explain,
    fit_additive,
    fragment_contributions,
    fragments,
    predictor_score,
)
from property_models.explain.attribution import hide, log_odds
from property_models.features import Features, featurise
from property_models.molecules import standardise
from property_models.predictor import Predictor, load_predictor
from property_models.store import save
from property_models.trees import TreesRecipe, fit_boosted_trees
from tests.property_models.drugs import DRUGS

Array = NDArray[np.float64]


def mol_of(smiles: str) -> Chem.Mol:
    mol = standardise(smiles).mol
    assert mol is not None
    return mol


def n_chlorine(features: Features) -> Array:
    """A score whose cause is known: two for each chlorine."""
    return np.array(
        [2.0 * sum(atom.GetAtomicNum() == 17 for atom in mol.GetAtoms()) for mol in features.mols]
    )


def crippen(mol: Chem.Mol) -> Array:
    """True contributions to Crippen's logP, hydrogens with the atom that bears them."""
    with_h = Chem.AddHs(mol)
    each = [logp for logp, _ in rdMolDescriptors._CalcCrippenContribs(with_h)]
    found = np.array(each[: mol.GetNumAtoms()])
    for atom in list(with_h.GetAtoms())[mol.GetNumAtoms() :]:
        found[atom.GetNeighbors()[0].GetIdx()] += each[atom.GetIdx()]
    return found


@pytest.mark.parametrize("hiding", ["wildcard", "deletion"])
def test_only_the_atoms_that_the_score_counts_are_coloured(hiding: str) -> None:
    mols = [mol_of("Clc1ccccc1CCN"), mol_of("CCO")]
    found = attribute_atoms(mols, n_chlorine, hiding=hiding)  # type: ignore[arg-type]
    for mol, atoms in zip(mols, found, strict=True):
        truth = [2.0 * (atom.GetAtomicNum() == 17) for atom in mol.GetAtoms()]
        np.testing.assert_allclose(atoms, truth)


def test_a_part_is_hidden_all_at_once() -> None:
    mol = mol_of("Clc1cccc(Cl)c1")
    chlorines = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() == 17]
    both, none = attribute_parts([mol], [[chlorines, []]], n_chlorine)[0]
    assert both == 4.0 and none == 0.0


def test_what_cannot_be_built_without_the_atom_is_nan_and_not_zero() -> None:
    (atoms,) = attribute_atoms([Chem.MolFromSmiles("C")], n_chlorine, hiding="deletion")
    assert np.isnan(atoms).all()


def test_no_molecules_give_no_attributions() -> None:
    assert attribute_atoms([], n_chlorine) == []


def test_a_molecules_attributions_do_not_depend_on_the_others(rng: np.random.Generator) -> None:
    weights = rng.normal(size=2048)

    def score(features: Features) -> Array:
        return np.asarray([float(row @ weights) for row in features.ecfp.astype(float)])

    mols = [mol_of(smiles) for smiles in DRUGS[:3]]
    together = attribute_atoms(mols, score)
    np.testing.assert_array_equal(together[1], attribute_atoms([mols[1]], score)[0])


@pytest.mark.parametrize("hiding", ["wildcard", "deletion"])
def test_hiding_any_atom_of_any_drug_leaves_a_sound_molecule(hiding: str) -> None:
    for smiles in DRUGS[::4]:
        mol = mol_of(smiles)
        for atom in range(0, mol.GetNumAtoms(), 5):
            rest = hide(mol, [atom], hiding=hiding)  # type: ignore[arg-type]
            assert rest is not None, (smiles, atom)
            expected = mol.GetNumAtoms() - (hiding == "deletion")
            assert rest.GetNumAtoms() == expected


def test_log_odds_are_finite_at_certainty() -> None:
    found = log_odds(np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(found).all() and found[1] == 0.0
    assert found[2] == pytest.approx(-found[0])


def test_a_predictors_score_is_its_own_value_for_regression(predictor: Predictor) -> None:
    smiles = DRUGS[:5]
    found = predictor_score(predictor)(featurise([mol_of(s) for s in smiles]))
    np.testing.assert_allclose(found, predictor.predict(smiles).value, atol=1e-6)
    assert attribution_unit(predictor.endpoint) == predictor.endpoint.unit


def test_a_classifiers_attributions_are_log_odds() -> None:
    assert attribution_unit(Endpoint("x", "classification", "probability", "worse", "")) == (
        "log-odds"
    )


# -- additive surrogate ---------------------------------------------------------------------


@settings(max_examples=15)
@given(st.sampled_from(DRUGS))
def test_the_environments_are_those_that_the_fingerprint_counts(smiles: str) -> None:
    mol = mol_of(smiles)
    columns = np.zeros(2048, int)
    for _radius, column, _centre in _environments(mol):
        columns[column] += 1
    np.testing.assert_array_equal(columns, featurise([mol]).ecfp[0])


def test_an_environment_reaches_as_far_as_its_radius() -> None:
    mol = mol_of("CCCCCCO")
    assert _atoms_of(mol, 3, 0) == [3]
    assert _atoms_of(mol, 3, 1) == [2, 3, 4]
    assert _atoms_of(mol, 3, 2) == [1, 2, 3, 4, 5]


def test_additive_contributions_add_up_exactly_to_the_surrogates_score(
    drug_features: Features,
) -> None:
    model = fit_additive(drug_features, n_chlorine(drug_features))
    summed = [atoms.sum() for atoms in model.attribute(drug_features.mols)]
    assert np.ptp(summed) > 1.0
    np.testing.assert_allclose(
        model.intercept + np.array(summed), model.predict(drug_features.mols)
    )


def test_an_additive_score_is_recovered_and_its_fidelity_is_high(drug_features: Features) -> None:
    scores = np.array([float(crippen(mol).sum()) for mol in drug_features.mols])
    model = fit_additive(drug_features, scores)
    assert model.fidelity > 0.6
    assert model.n_molecules == len(drug_features)


def test_too_few_molecules_for_a_surrogate_are_refused_with_the_number_needed(
    drug_features: Features,
) -> None:
    few = drug_features.take(np.arange(10))
    with pytest.raises(DataError, match=r"10 molecules with a score; .* needs 50"):
        fit_additive(few, np.zeros(10))


def test_a_molecule_without_a_score_does_not_spoil_the_surrogate(drug_features: Features) -> None:
    scores = n_chlorine(drug_features)
    scores[3] = np.nan
    model = fit_additive(drug_features, scores)
    assert np.isfinite(model.weights).all() and model.n_molecules == len(scores) - 1


def test_a_blend_is_a_third_masking_and_falls_back_where_masking_has_nothing() -> None:
    (found,) = blend([np.array([3.0, np.nan])], [np.array([6.0, 5.0])])
    np.testing.assert_allclose(found, [5.0, 5.0])


def test_a_large_table_is_sampled_and_the_seed_decides(
    drug_features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additive, "MAX_MOLECULES", 60)
    scores = n_chlorine(drug_features)
    first, again, other = (fit_additive(drug_features, scores, seed=s) for s in (1, 1, 2))
    assert first.n_molecules == 60
    assert np.array_equal(first.weights, again.weights)
    assert not np.array_equal(first.weights, other.weights)


def test_a_trained_predictor_keeps_its_surrogate(predictor: Predictor, tmp_path: Path) -> None:
    surrogate = predictor.parts.additive
    assert surrogate is not None and surrogate.fidelity > 0.3
    save(tmp_path / "logp", predictor.card, predictor.parts)
    kept = load_predictor(tmp_path / "logp").parts.additive
    assert kept is not None and np.array_equal(kept.weights, surrogate.weights)
    assert (kept.intercept, kept.n_molecules) == (surrogate.intercept, surrogate.n_molecules)
    mols = [mol_of(smiles) for smiles in DRUGS[:20]]
    scores = predictor_score(predictor)(featurise(mols))
    assert np.corrcoef(surrogate.predict(mols), scores)[0, 1] > 0.8


def test_an_explanation_uses_the_surrogate_that_the_predictor_keeps(predictor: Predictor) -> None:
    smiles = DRUGS[3]
    found = explain(predictor, smiles, replacements=[])
    assert found.mol is not None and predictor.parts.additive is not None
    masking = attribute_atoms([found.mol], predictor_score(predictor))
    wanted = blend(masking, predictor.parts.additive.attribute([found.mol]))
    np.testing.assert_array_equal(found.atoms, wanted[0])


# -- faithfulness ---------------------------------------------------------------------------


def iou_of_top(attribution: Array, truth: Array) -> float:
    """Of the third of the atoms that raise the value most; ties of the truth together."""
    border = np.sort(truth)[::-1][max(1, round(len(truth) / 3)) - 1]
    true = set(np.flatnonzero(truth >= border - 1e-4).tolist())
    found = set(np.argsort(-attribution, kind="stable")[: len(true)].tolist())
    return len(found & true) / len(found | true)


def test_trees_that_learnt_crippens_logp_are_explained_far_better_than_by_chance(
    drug_features: Features, rng: np.random.Generator
) -> None:
    truths = [crippen(mol) for mol in drug_features.mols]
    values = np.array([truth.sum() for truth in truths])
    test = np.arange(0, len(values), 8)
    train = np.setdiff1d(np.arange(len(values)), test)
    fitted = drug_features.take(train)
    trees = fit_boosted_trees(
        fitted, values[train], task="regression", recipe=TreesRecipe(n_trees=150), seed=0
    )
    mols = [drug_features.mols[i] for i in test if drug_features.mols[i].GetNumAtoms() > 8]
    asked = [crippen(mol) for mol in mols]
    surrogate = fit_additive(fitted, trees.predict(fitted)).attribute(mols)
    found = blend(attribute_atoms(mols, trees.predict), surrogate)

    def mean_iou(attributions: list[Array]) -> float:
        return float(np.mean([iou_of_top(a, t) for a, t in zip(attributions, asked, strict=True)]))

    by_chance = mean_iou([rng.normal(size=len(truth)) for truth in asked])
    assert mean_iou(found) > 0.54 > by_chance + 0.1


# -- fragments ------------------------------------------------------------------------------


@given(st.sampled_from(DRUGS))
def test_every_atom_is_in_exactly_one_fragment(smiles: str) -> None:
    mol = mol_of(smiles)
    atoms = [atom for fragment in fragments(mol) for atom in fragment.atoms]
    assert sorted(atoms) == list(range(mol.GetNumAtoms()))


def test_ring_systems_stay_whole_and_substituents_are_pieces_of_their_own() -> None:
    found = {f.smiles: f.is_ring for f in fragments(mol_of("COc1ccc2[nH]ccc2c1Cl"))}
    assert found == {"*OC": False, "*Cl": False, "*c1ccc2[nH]ccc2c1*": True}


def test_a_molecule_that_cannot_be_cut_is_one_fragment() -> None:
    (whole,) = fragments(mol_of("c1ccccc1"))
    assert whole.smiles == "c1ccccc1" and whole.atoms == (0, 1, 2, 3, 4, 5)


def test_a_fragments_contribution_is_both_its_sum_and_its_effect_as_a_whole() -> None:
    mol = mol_of("ClC(Cl)(Cl)c1ccccc1")
    atoms = attribute_atoms([mol], n_chlorine)
    first, *others = fragment_contributions([mol], atoms, n_chlorine)[0]
    assert first.fragment.smiles == "*C(Cl)(Cl)Cl"
    assert first.whole == first.atoms_sum == 6.0
    assert all(c.whole == 0.0 for c in others)
