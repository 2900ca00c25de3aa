"""The door for structures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from property_models.molecules import (
    MAX_HEAVY_ATOMS,
    inchikey,
    inchikey_block,
    parse,
    scaffold,
    standardise,
    standardise_all,
)
from tests.property_models.drugs import DRUGS

drugs = st.sampled_from(DRUGS)


def shuffled(smiles: str, seed: int) -> str:
    """The same molecule written in another atom order."""
    mol = Chem.MolFromSmiles(smiles)
    order = np.random.default_rng(seed).permutation(mol.GetNumAtoms())
    return Chem.MolToSmiles(Chem.RenumberAtoms(mol, order.tolist()), canonical=False)


@given(drugs)
def test_standardising_twice_is_standardising_once(smiles: str) -> None:
    once = standardise(smiles)
    assert standardise(once.smiles).smiles == once.smiles


@given(drugs, st.integers(0, 10_000))
def test_any_atom_order_gives_the_same_structure(smiles: str, seed: int) -> None:
    assert standardise(shuffled(smiles, seed)).smiles == standardise(smiles).smiles


@given(drugs, st.sampled_from(["Cl", "[Na+].[Cl-]", "O", "OC(=O)CC(O)(CC(=O)O)C(=O)O"]))
def test_the_larger_partner_of_a_mixture_is_kept(smiles: str, partner: str) -> None:
    if Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() > 13:
        assert standardise(f"{partner}.{smiles}").smiles == standardise(smiles).smiles


@pytest.mark.parametrize(
    ("charged", "neutral"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("C[NH2+]CCC1CCCCC1.[Cl-]", "CNCCC1CCCCC1"),
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
        ("C[N+](C)(C)CCO", "C[N+](C)(C)CCO"),  # no proton to give away
        ("O=[N+]([O-])c1ccccc1", "O=[N+]([O-])c1ccccc1"),  # charges that belong there
    ],
)
def test_charges_are_removed_where_protons_allow(charged: str, neutral: str) -> None:
    assert standardise(charged).smiles == Chem.CanonSmiles(neutral)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C[N+](C)(C)CC(O)CC(=O)[O-]", "C[N+](C)(C)CC(O)CC(=O)O.[Cl-]"),  # carnitine
        ("C[n+]1cccc(C(=O)[O-])c1", "C[n+]1cccc(C(=O)O)c1.[Cl-]"),  # trigonelline
        ("[Na]OC(=O)c1ccccc1", "[Na+].[O-]C(=O)c1ccccc1"),
    ],
)
def test_beside_a_permanent_charge_or_a_bonded_metal_a_form_stays_as_written(
    one: str, other: str
) -> None:
    first, second = standardise(one).smiles, standardise(other).smiles
    assert first and second and first != second


def test_atom_map_numbers_are_ignored() -> None:
    assert standardise("[CH3:1][OH:2]").smiles == standardise("CO").smiles


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("not a molecule", "parse"),
        ("C(C)(C)(C)(C)C", "parse"),
        ("", "empty"),
        ("  ", "empty"),
        (None, "not a SMILES string"),
        (float("nan"), "not a SMILES string"),
        ("[*:1]c1ccccc1", "attachment point"),
        ("O", "no carbon"),
        ("[Na+].[Cl-]", "no carbon"),
        ("C" * (MAX_HEAVY_ATOMS + 1), "heavy atoms"),
    ],
)
def test_what_cannot_be_predicted_has_a_reason_and_no_structure(bad: object, word: str) -> None:
    molecule = standardise(bad)
    assert molecule.mol is None and molecule.smiles == "" and word in molecule.reason


def test_every_input_keeps_its_place() -> None:
    molecules = standardise_all(["CCO", "xx", "CCN"])
    assert [m.mol is None for m in molecules] == [False, True, False]


def test_parse_changes_nothing() -> None:
    mol, reason = parse("CC(=O)[O-].[Na+]")
    assert mol is not None and mol.GetNumAtoms() == 5 and reason == ""


def test_the_inchikey_block_forgets_stereochemistry_only() -> None:
    left, right = (Chem.MolFromSmiles(s) for s in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"))
    assert inchikey(left) != inchikey(right)
    assert inchikey_block(left) == inchikey_block(right) == "QNAYBMKLOCPYGJ"


def test_scaffold_of_ring_and_chain() -> None:
    assert scaffold(Chem.MolFromSmiles("CCc1ccccc1")) == "c1ccccc1"
    assert scaffold(Chem.MolFromSmiles("CCCC")) == ""
