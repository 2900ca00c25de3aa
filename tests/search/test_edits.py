"""Edits of graphs: what comes out is a molecule, whatever goes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.search.edits import (
    cross,
    graft,
    groups_of,
    mutate,
    neighbours,
    read,
    ring_systems_of,
    side_of_a_cut,
    swap_ring,
)

DRUGS = [
    "O=C1COCCN1c1ccc(N2CC(CNC(=O)c3ccc(Cl)s3)OC2=O)cc1",  # rivaroxaban, flat
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",  # ibuprofen
    "CN1CCC23c4c5ccc(O)c4OC2C(O)C=CC3C1C5",  # morphine, flat
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",  # caffeine
    "O=[N+]([O-])c1ccc(N)cc1",
    "C[N+](C)(C)CCO",  # choline
    "C[C@H](N)C(=O)O",
    "N#Cc1ccccc1",
]
drugs = st.sampled_from(DRUGS)
seeds = st.integers(0, 2**32 - 1)


def is_one_sound_molecule(mol: Chem.Mol) -> bool:
    text = Chem.MolToSmiles(mol)
    read = Chem.MolFromSmiles(text)
    return (
        read is not None
        and "." not in text
        and not any(a.GetNumRadicalElectrons() for a in read.GetAtoms())
        and Chem.MolToSmiles(read) == text
    )


@given(drugs, seeds)
def test_a_mutant_is_one_sound_molecule_a_few_atoms_from_its_parent(smiles: str, seed: int) -> None:
    parent = Chem.MolFromSmiles(smiles)
    child = mutate(parent, np.random.default_rng(seed))
    assert child is not None
    assert is_one_sound_molecule(child)
    assert abs(child.GetNumAtoms() - parent.GetNumAtoms()) <= 1


@settings(max_examples=20)
@given(drugs, seeds)
def test_a_mutant_is_one_of_all_neighbours(smiles: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    child = mutate(Chem.MolFromSmiles(smiles), rng)
    everything = neighbours(read(smiles), 10_000, rng)
    assert child is not None
    assert Chem.MolToSmiles(child) in {Chem.MolToSmiles(m) for m in everything}
    assert all(is_one_sound_molecule(m) for m in everything[:5])


def test_the_neighbours_of_methanol_are_what_one_change_makes_of_it() -> None:
    other_element = ["OO", "NO", "OS", "OF", "OCl", "OBr", "CC", "CN", "CS", "CF", "CCl", "CBr"]
    on_carbon = ["CCO", "NCO", "OCO", "OCS", "OCF", "OCCl", "OCBr", "C=CO", "N=CO", "O=CO", "OC=S"]
    on_oxygen = ["COC", "CON", "COO", "COS", "COF", "COCl", "COBr"]
    between = ["CCO", "CNO", "COO", "CSO"]
    exchanged = ["OC"]
    expected = [*other_element, *exchanged, *on_carbon, *on_oxygen, *between, "C=O"]
    made = neighbours(Chem.MolFromSmiles("CO"), 1000, np.random.default_rng(0))
    assert sorted(map(Chem.MolToSmiles, made)) == sorted(map(Chem.CanonSmiles, expected))


@pytest.mark.parametrize(
    ("smiles", "isomers"),
    [
        ("Cc1ccccn1", ["Cc1cccnc1", "Cc1ccncc1"]),  # the nitrogen walks
        ("CCCOC", ["CCOCC"]),  # the oxygen is shifted
        ("C1CCCC1C", ["C1CCCCC1", "CCC1CCC1"]),  # a carbon of the chain, or of the ring
        ("C1CCC2(C1)CCCC2", ["C1CCC2CCCC2C1"]),  # a bond of a ring is moved
    ],
)
def test_some_neighbours_are_isomers(smiles: str, isomers: list[str]) -> None:
    made = neighbours(Chem.MolFromSmiles(smiles), 1000, np.random.default_rng(0))
    assert set(map(Chem.CanonSmiles, isomers)) <= {Chem.MolToSmiles(m) for m in made}


@given(drugs, seeds, st.integers(0, 40))
def test_few_of_the_neighbours_that_are_drawn_are_the_same(smiles: str, seed: int, n: int) -> None:
    made = neighbours(Chem.MolFromSmiles(smiles), n, np.random.default_rng(seed))
    assert len(made) <= n
    assert len({Chem.MolToSmiles(m) for m in made}) >= 0.5 * len(made)


@given(drugs, seeds)
def test_a_parent_is_left_as_it_was(smiles: str, seed: int) -> None:
    parent = Chem.MolFromSmiles(smiles)
    mutate(parent, np.random.default_rng(seed))
    assert Chem.MolToSmiles(parent) == Chem.CanonSmiles(smiles)


@given(drugs, drugs, seeds)
def test_a_cross_is_one_sound_molecule_with_atoms_of_both(
    first: str, second: str, seed: int
) -> None:
    mols = [Chem.MolFromSmiles(s) for s in (first, second)]
    child = cross(mols[0], mols[1], np.random.default_rng(seed))
    if child is None:  # caffeine's methyl groups are less than a tenth of a pair
        return
    assert is_one_sound_molecule(child)
    assert child.GetNumAtoms() < sum(m.GetNumAtoms() for m in mols)
    known = {a.GetSymbol() for m in mols for a in m.GetAtoms()}
    assert {a.GetSymbol() for a in child.GetAtoms()} <= known


@given(drugs, drugs, seeds)
def test_a_graft_is_one_sound_molecule_with_a_group_of_the_donor(
    smiles: str, donor: str, seed: int
) -> None:
    parent = Chem.MolFromSmiles(smiles)
    groups = groups_of([Chem.MolFromSmiles(donor)])
    child = graft(parent, groups, np.random.default_rng(seed))
    if child is None:
        assert not groups
        return
    assert is_one_sound_molecule(child)
    sizes = [len(part) for _, part, _ in groups]
    grown = child.GetNumAtoms() - parent.GetNumAtoms()
    assert min(sizes) - parent.GetNumAtoms() // 2 <= grown <= max(sizes)


def groups_in(*donors: str) -> list[str]:
    """As SMILES that begin with the atom that binds."""
    return sorted(
        Chem.MolFragmentToSmiles(mol, sorted(part), rootedAtAtom=end)
        for mol, part, end in groups_of([Chem.MolFromSmiles(d) for d in donors])
    )


def test_groups_are_what_hangs_at_a_single_bond_as_often_as_it_occurs() -> None:
    assert groups_in("Cc1ccc(S(N)(=O)=O)cc1") == ["S(N)(=O)=O"]  # a methyl group is too small
    assert groups_in("COc1ccccc1OC") == ["OC", "OC"]
    assert groups_in("c1ccccc1", "CC") == []


def test_a_sulphonamide_that_no_edit_makes_is_grafted() -> None:
    aniline, seeds = Chem.MolFromSmiles("Nc1ccccc1"), range(200)
    groups = groups_of([Chem.MolFromSmiles("Cc1ccc(S(N)(=O)=O)cc1")])
    grafted = {Chem.MolToSmiles(graft(aniline, groups, np.random.default_rng(s))) for s in seeds}
    assert {"NS(=O)(=O)c1ccccc1", "Nc1ccc(S(N)(=O)=O)cc1", "NS(=O)(=O)Nc1ccccc1"} <= grafted
    edited = {Chem.MolToSmiles(mutate(aniline, np.random.default_rng(s))) for s in seeds}
    assert not any("S(=O)(=O)" in smiles for smiles in edited)


def test_without_groups_nothing_is_grafted() -> None:
    assert graft(Chem.MolFromSmiles("Nc1ccccc1"), [], np.random.default_rng(0)) is None


@given(drugs, drugs, seeds)
def test_a_swap_of_rings_is_one_sound_molecule_with_as_many_atoms_as_the_new_ring_brings(
    smiles: str, donor: str, seed: int
) -> None:
    parent = Chem.MolFromSmiles(smiles)
    systems = ring_systems_of([Chem.MolFromSmiles(donor)])
    child = swap_ring(parent, systems, np.random.default_rng(seed))
    if child is None:  # no ring, or none with room for what hangs on it
        return
    assert is_one_sound_molecule(child)
    grown = child.GetNumAtoms() - parent.GetNumAtoms()
    old, new = ring_systems_of([parent]), systems
    assert grown in {len(n.atoms) - len(o.atoms) for n in new for o in old}


def ring_systems_in(*donors: str) -> list[str]:
    return sorted(
        Chem.MolFragmentToSmiles(s.mol, sorted(s.atoms))
        for s in ring_systems_of([Chem.MolFromSmiles(d) for d in donors])
    )


def test_ring_systems_are_rings_that_share_atoms_with_what_is_doubly_bound_to_them() -> None:
    assert ring_systems_in(DRUGS[0]) == ["C1=CC=CC=C1", "C1=CSC=C1", "O=C1COCCN1", "O=C1NCCO1"]
    assert len(ring_systems_in("c1ccc2ncncc2c1")) == 1, "fused"
    assert len(ring_systems_in("C1CCC2(CC1)OCCO2")) == 1, "spiro"
    assert ring_systems_in("CC=C1CCCCC1", "C[n+]1ccccc1") == [], "a double bond leaves it; charged"


def test_of_ring_systems_alike_the_root_of_their_number_is_kept() -> None:
    assert ring_systems_in(*["Cc1ccccc1"] * 9, "C1CC1") == ["C1=CC=CC=C1"] * 3 + ["C1CC1"]


def test_a_quinazoline_takes_the_place_of_a_benzene_with_its_two_substituents() -> None:
    parent, seeds = Chem.MolFromSmiles("COc1ccc(NC)cc1"), range(300)
    systems = ring_systems_of([Chem.MolFromSmiles("COc1ccc2ncnc(NC)c2c1")])
    made = [swap_ring(parent, systems, np.random.default_rng(s)) for s in seeds]
    assert {Chem.MolToSmiles(m) for m in made if m} >= {
        Chem.CanonSmiles("COc1ccc2ncnc(NC)c2c1"), Chem.CanonSmiles("CNc1ccc2ncnc(OC)c2c1"),
        Chem.CanonSmiles("CNc1ccc2c(OC)ncnc2c1"),
    }  # fmt: skip


def test_where_nothing_fits_no_ring_is_swapped() -> None:
    rng, benzene = np.random.default_rng(0), ring_systems_of([Chem.MolFromSmiles("c1ccccc1")])
    assert swap_ring(Chem.MolFromSmiles("Nc1ccccc1"), [], rng) is None
    assert swap_ring(Chem.MolFromSmiles("CCO"), benzene, rng) is None
    assert swap_ring(Chem.MolFromSmiles("c1ccccc1"), benzene, rng) is None, "nothing hangs on it"
    crowded = Chem.MolFromSmiles("CC1(C)C(C)(C)C(C)(C)C1(C)C")
    assert swap_ring(crowded, benzene, rng) is None, "eight places are needed"


def test_the_same_seed_gives_the_same_edit() -> None:
    parent = Chem.MolFromSmiles(DRUGS[0])
    texts = [
        [Chem.MolToSmiles(mutate(parent, np.random.default_rng(s))) for s in range(30)]
        for _ in range(2)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 20


def test_what_cannot_be_cut_is_not_crossed() -> None:
    benzene, ibuprofen = Chem.MolFromSmiles("c1ccccc1"), Chem.MolFromSmiles(DRUGS[1])
    rng = np.random.default_rng(0)
    assert cross(benzene, ibuprofen, rng) is None
    assert side_of_a_cut(benzene, rng) is None


@pytest.mark.parametrize("smiles", DRUGS[:3])
def test_a_side_of_a_cut_hangs_by_one_single_bond(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    for seed in range(20):
        side = side_of_a_cut(mol, np.random.default_rng(seed))
        assert side is not None
        crossing = [
            b for b in mol.GetBonds()
            if (b.GetBeginAtomIdx() in side) != (b.GetEndAtomIdx() in side)
        ]  # fmt: skip
        assert len(crossing) == 1
        assert crossing[0].GetBondType() == Chem.BondType.SINGLE
