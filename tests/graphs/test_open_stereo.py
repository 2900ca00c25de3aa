"""What a molecule leaves open, and its isomers."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molgen.graphs.open_stereo import MAX_ISOMERS, open_stereo

XARELTO = "O=C(NC[C@H]1CN(c2ccc(N3CCOCC3=O)cc2)C(=O)O1)c1ccc(Cl)s1"


def test_what_is_open_is_named_by_index() -> None:
    stereo = open_stereo(Chem.MolFromSmiles("CC=CC(F)[C@H](C)Cl"))
    assert (stereo.atoms, stereo.bonds) == ((3,), (1,))


def test_isomers_settle_what_is_open_and_nothing_else() -> None:
    assert open_stereo(Chem.MolFromSmiles("CC(N)C(=O)O")).isomers == (
        "C[C@@H](N)C(=O)O",
        "C[C@H](N)C(=O)O",
    )
    assert open_stereo(Chem.MolFromSmiles("CC=CC")).isomers == ("C/C=C/C", "C/C=C\\C")
    assert len(open_stereo(Chem.MolFromSmiles("CC(F)C(F)C")).isomers) == 3  # a meso form


def test_open_centres_and_double_bonds_are_counted_and_their_isomers_listed() -> None:
    stereo = open_stereo(Chem.MolFromSmiles("CC(O)C=CCl"))
    expected = ["C[C@H](O)/C=C/Cl", "C[C@H](O)/C=C\\Cl", "C[C@@H](O)/C=C/Cl", "C[C@@H](O)/C=C\\Cl"]
    assert (len(stereo.atoms), len(stereo.bonds), stereo.n_possible) == (1, 1, 4)
    assert set(stereo.isomers) == {Chem.CanonSmiles(s) for s in expected}


def test_symmetry_makes_isomers_equal() -> None:
    assert len(open_stereo(Chem.MolFromSmiles("CC(O)C(C)O")).isomers) == 3


def test_determined_molecules_have_nothing_open() -> None:
    assert open_stereo(Chem.MolFromSmiles(XARELTO)).n_open == 0


def test_many_isomers_are_cut_to_the_same_few() -> None:
    mol = Chem.MolFromSmiles("OC(F)C(O)C(Cl)C(O)C(Br)C(N)CO")
    first, second = open_stereo(mol), open_stereo(mol)
    assert first.n_possible == 64
    assert len(first.isomers) == MAX_ISOMERS
    assert first == second


@pytest.mark.parametrize("smiles", ["NC(=N)c1ccccc1", "CNC(=N)N", "N=C1CCCN1", "CCOC(C)=N"])
def test_an_imine_that_bears_only_hydrogen_leaves_nothing_open(smiles: str) -> None:
    assert open_stereo(Chem.MolFromSmiles(smiles)).n_open == 0


def test_an_oxime_without_configuration_is_open() -> None:
    assert len(open_stereo(Chem.MolFromSmiles("CC(CC)=NO")).bonds) == 1
