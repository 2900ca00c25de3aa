"""Drawings: aligned, marked, self-contained."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from rdkit import Chem

from molgen.report.depiction import alert_atoms, align, draw
from tests.report.runs import identity

XARELTO = "O=C1COCCN1c1ccc(cc1)N1C[C@H](CNC(=O)c2ccc(Cl)s2)OC1=O"
QUINOLINES = ["Cc1ccc2ncccc2c1", "CCOc1ccc2ncccc2c1", "O=C(O)c1cnc2ccccc2c1", "c1cnc2ccccc2c1"]


def laid_out(smiles: list[str], cores: tuple[str, ...] = ()) -> list[Chem.Mol]:
    """Aligned molecules with their true scaffolds."""
    scaffolds = [identity(1, s)["scaffold"] for s in smiles]
    return align([Chem.MolFromSmiles(s) for s in smiles], scaffolds, cores)


def positions(mol: Chem.Mol, pattern: Chem.Mol) -> np.ndarray:
    """Sorted coordinates of the atoms that match: symmetric matches compare equal, [n, 2]."""
    xy = mol.GetConformer().GetPositions()[list(mol.GetSubstructMatch(pattern)), :2]
    return np.array(sorted(map(tuple, np.round(xy, 2))))


def test_molecules_of_one_scaffold_share_its_coordinates() -> None:
    scaffold = Chem.MolFromSmiles("c1ccc2ncccc2c1")
    first, *others = laid_out(QUINOLINES)
    for other in others:
        np.testing.assert_allclose(positions(other, scaffold), positions(first, scaffold))


@pytest.mark.parametrize(
    ("core", "largest_piece"),
    [
        ("[*:1]C(=O)Nc1ccccc1", "C(=O)Nc1ccccc1"),
        ("[*:1]n1cccc1", "n1cccc1"),
        ("[*:1]C1CC1.[*:2]n1cccc1C", "n1cccc1C"),
    ],
)
def test_molecules_with_the_same_core_share_its_coordinates(core: str, largest_piece: str) -> None:
    smiles = ["CCC(=O)Nc1ccc(F)cc1", "O=C(Nc1ccccc1)C1CC1n1cccc1C", "CC(=O)Nc1ccccc1-n1cccc1C",
              "CCn1cccc1CC1CC1"]  # fmt: skip
    pattern = Chem.MolFromSmarts(largest_piece)
    containing = [m for m in laid_out(smiles, (core,)) if m.HasSubstructMatch(pattern)]
    assert len(containing) >= 2
    heart = positions(containing[0], pattern)
    for other in containing[1:]:
        np.testing.assert_allclose(positions(other, pattern), heart, atol=0.02)


def test_alignment_changes_neither_its_input_nor_the_molecules() -> None:
    mols = [Chem.MolFromSmiles(s) for s in (XARELTO, *QUINOLINES)]
    after = align(mols, [""] * len(mols))
    assert [m.GetNumConformers() for m in mols] == [0] * len(mols)
    assert [Chem.MolToSmiles(m) for m in after] == [Chem.MolToSmiles(m) for m in mols]


def test_alignment_is_the_same_every_time() -> None:
    one, two = laid_out([XARELTO, *QUINOLINES]), laid_out([XARELTO, *QUINOLINES])
    assert [Chem.MolToMolBlock(m) for m in one] == [Chem.MolToMolBlock(m) for m in two]


def test_relatives_with_different_scaffolds_point_the_same_way() -> None:
    chlorothiophene = Chem.MolFromSmarts("Clc1cccs1")
    relatives = [XARELTO, "O=C(NCC1CN(c2ccc(C)cc2)C(=O)O1)c1ccc(Cl)s1",
                 "O=C(NCC1CN(c2ccc(C3CCNCC3)cc2)C(=O)O1)c1ccc(Cl)s1"]  # fmt: skip
    sides = {np.sign(positions(m, chlorothiophene)[:, 0].mean()) for m in laid_out(relatives)}
    assert len(sides) == 1


def test_a_scaffold_that_does_not_match_still_gives_coordinates() -> None:
    mol, _ = align([Chem.MolFromSmiles(s) for s in ("CCO", "CCN")], ["c1ccccc1"] * 2)
    assert mol.GetNumConformers() == 1


def test_a_drawing_is_well_formed_and_refers_to_nothing_outside() -> None:
    svg = draw(laid_out([XARELTO])[0])
    ElementTree.fromstring(svg)
    assert not re.search(r"https?:|href|url\(|font-family|<text", svg)


def test_highlighted_atoms_change_the_drawing() -> None:
    mol = Chem.MolFromSmiles("CCO")
    assert draw(mol, highlight=[0, 1]) != draw(mol)


def test_alerts_name_the_atoms_that_cause_them() -> None:
    mol = Chem.MolFromSmiles("CCCCC1=CC(=O)C=CC1=O")
    alerts = alert_atoms(mol, ["PAINS"])
    assert list(alerts) == ["PAINS quinone_A(370)"]
    ring = {a.GetIdx() for a in mol.GetAtoms() if a.IsInRing()}
    assert ring <= set(alerts["PAINS quinone_A(370)"])
    assert 0 not in alerts["PAINS quinone_A(370)"]
    assert alert_atoms(Chem.MolFromSmiles("CCO"), ["PAINS", "BRENK"]) == {}
    assert alert_atoms(mol, []) == {}
