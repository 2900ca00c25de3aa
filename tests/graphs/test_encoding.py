"""Molecules as units: any atom order and any Kekulé form give the same ring systems."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molgen.errors import DataError
from molgen.graphs.decoding import canonical_smiles
from molgen.graphs.encoding import MAX_RING_ATOMS, RingSystem, encode, flatten
from tests.graphs.building import flat, same, shuffled
from tests.property_models.drugs import DRUGS


def ring_keys(mol: Chem.Mol) -> Counter[str]:
    return Counter(u.key for u in encode(mol).units if isinstance(u, RingSystem))


def n_ring_systems(mol: Chem.Mol) -> int:
    """Connected sets of ring bonds, found by RDKit alone: cut all other bonds and count."""
    cut = [b.GetIdx() for b in mol.GetBonds() if not b.IsInRing()]
    pieces = Chem.FragmentOnBonds(mol, cut, addDummies=False) if cut else mol
    fragments = Chem.GetMolFrags(pieces)
    return sum(len(atoms) > 1 for atoms in fragments)


@given(st.sampled_from(DRUGS), st.integers(0, 2**32))
def test_a_ring_system_has_one_key_in_any_atom_order(smiles: str, seed: int) -> None:
    assert ring_keys(shuffled(flat(smiles), seed)) == ring_keys(flat(smiles))


@given(st.sampled_from(DRUGS), st.integers(0, 2**32))
def test_atoms_of_equal_keys_can_be_laid_one_on_the_other(smiles: str, seed: int) -> None:
    """The order within a key is canonical: the same types at the same places, bonded alike."""
    first, second = encode(flat(smiles)), encode(shuffled(flat(smiles), seed))
    here = {u.key: u for u in first.units if isinstance(u, RingSystem)}
    for unit in second.units:
        if isinstance(unit, RingSystem):
            other = here[unit.key]
            assert unit.atom_types == other.atom_types
            assert {b[:2] for b in unit.bonds} == {b[:2] for b in other.bonds}


def test_two_kekule_forms_are_one_ring_system() -> None:
    forms = ["CC1=CC=CC=C1C", "CC1=C(C)C=CC=C1", "Cc1ccccc1C"]
    assert len({frozenset(ring_keys(Chem.MolFromSmiles(s))) for s in forms}) == 1


def test_rings_that_differ_in_hydrogens_alone_differ() -> None:
    cyclohexane, cyclohexene, benzene = (
        ring_keys(flat(s)) for s in ("C1CCCCC1", "C1CC=CCC1", "c1ccccc1")
    )
    assert not cyclohexane & cyclohexene and not cyclohexene & benzene


@pytest.mark.parametrize("smiles", DRUGS)
def test_units_cover_every_atom_once_and_every_bond_once(smiles: str) -> None:
    mol = flat(smiles)
    encoded = encode(mol)
    assert sorted(encoded.source_atoms) == list(range(mol.GetNumAtoms()))
    systems = [u for u in encoded.units if isinstance(u, RingSystem)]
    assert len(systems) == n_ring_systems(mol)
    n_bonds = len(encoded.bonds) + sum(len(u.bonds) for u in systems)
    assert n_bonds == mol.GetNumBonds()
    ring_atoms = {a for atoms in mol.GetRingInfo().AtomRings() for a in atoms}
    in_systems = encoded.source_atoms[: sum(len(u.atom_types) for u in systems)]
    assert set(in_systems) == ring_atoms


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("CCO.Cl", "more than one fragment"),
        ("C[CH2]", "unpaired electron"),
        ("[O-][Pt+2]([O-])N", "atom Pt with charge 2"),
        ("*CC", "atom \\* with charge 0"),
        ("N->[Cu]", "bond type DATIVE"),
        ("C$C", "bond type QUADRUPLE"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(smiles: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        encode(Chem.MolFromSmiles(smiles))


def test_a_very_large_ring_is_left_as_loose_atoms() -> None:
    n = MAX_RING_ATOMS + 1
    encoded = encode(Chem.MolFromSmiles("C1" + "C" * (n - 1) + "1"))
    assert not any(isinstance(u, RingSystem) for u in encoded.units)
    assert len(encoded.bonds) == n


def test_flattening_removes_stereo_and_isotopes_and_nothing_else() -> None:
    flat_mol = flatten(Chem.MolFromSmiles("[2H]OC[C@H](F)/C=C/[13CH3]"))
    assert Chem.MolToSmiles(flat_mol) == "CC=CC(F)CO" and flat_mol.GetNumAtoms() == 7
    mol = Chem.MolFromSmiles("C[C@H](N)C(=O)O")
    flatten(mol)
    assert Chem.MolToSmiles(mol) == "C[C@H](N)C(=O)O"


@given(st.sampled_from(DRUGS), st.integers(0, 2**32))
def test_a_flat_molecule_has_its_atoms_in_one_order_however_it_was_written(
    smiles: str, seed: int
) -> None:
    mol = Chem.MolFromSmiles(smiles)
    one, other = flatten(mol), flatten(shuffled(mol, seed))
    assert [a.GetAtomicNum() for a in one.GetAtoms()] == [
        a.GetAtomicNum() for a in other.GetAtoms()
    ]
    assert np.array_equal(Chem.GetAdjacencyMatrix(one), Chem.GetAdjacencyMatrix(other))


@given(st.sampled_from(DRUGS), st.integers(0, 2**32))
def test_canonicalising_twice_is_canonicalising_once(smiles: str, seed: int) -> None:
    once = canonical_smiles(shuffled(flat(smiles), seed))
    assert canonical_smiles(Chem.MolFromSmiles(once)) == once
    assert once == same(flat(smiles))
