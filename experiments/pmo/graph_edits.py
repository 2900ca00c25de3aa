"""The crossover and the mutations of Jensen's graph-based genetic algorithm.

Jensen 2019, https://doi.org/10.1039/C8SC05372C: two parents exchange a part across one acyclic
bond or across two bonds of a ring; a mutation inserts, deletes, appends or changes an atom, changes
a bond, opens or closes a ring, with the paper's odds. Written here as edits of Kekulé graphs, not
as reactions. Unlike the original there is no limit of size (as in Mol GA), and stereochemistry is
dropped: the oracles do not see it.

Every function takes Kekulé graphs of `kekule` and a generator, and returns a sanitised child or
None where it found none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, permutations, product
from typing import TypeVar

import numpy as np
from rdkit import Chem, rdBase

T = TypeVar("T")
Mol = Chem.Mol
Edit = Callable[[Mol, np.random.Generator], Iterator[Chem.RWMol]]

SINGLE, DOUBLE, TRIPLE = Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE
MAX_RING = 6
N_TRIES = 10

# order of the new bond, its odds, the atoms it may lead to
_APPENDED = (
    (SINGLE, 0.60, (6, 7, 8, 9, 16, 17, 35)), (DOUBLE, 0.35, (6, 7, 8)), (TRIPLE, 0.05, (6, 7)),
)  # fmt: skip
_INSERTED = ((SINGLE, 0.60, (6, 7, 8, 16)), (DOUBLE, 0.35, (6, 7)), (TRIPLE, 0.05, (6,)))
_RING_ODDS = {3: 0.05, 4: 0.05, 5: 0.45, 6: 0.45}
_ELEMENTS = (6, 7, 8, 9, 16, 17, 35)
_ELEMENT_ODDS = (0.15, 0.15, 0.14, 0.14, 0.14, 0.14, 0.14)


def kekule(smiles: str) -> Mol:
    """A molecule as a graph of single, double and triple bonds, hydrogens left to the valence."""
    mol = Chem.MolFromSmiles(smiles)
    Chem.RemoveStereochemistry(mol)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    for atom in mol.GetAtoms():
        # [nH] and the like would keep their hydrogen whatever becomes of their bonds
        atom.SetNumExplicitHs(0)
        atom.SetNoImplicit(False)
    mol.UpdatePropertyCache()
    return mol


def finished(mol: Mol, *, new_rings: bool) -> Mol | None:
    """The sanitised copy of an edited graph; None where it is no molecule or its rings are bad."""
    child = Chem.Mol(mol)
    with rdBase.BlockLogs():
        failed = Chem.SanitizeMol(child, catchErrors=True)
    if failed or len(Chem.GetMolFrags(child)) > 1 or (new_rings and not rings_ok(child)):
        return None
    return child


_CUMULATED = Chem.MolFromSmarts("[R]=[R]=[R]")
_SMALL_DOUBLE = Chem.MolFromSmarts("[r3,r4]=[r3,r4]")


def rings_ok(mol: Mol) -> bool:
    """No ring above six atoms, no allene in a ring, no double bond in a ring of three or four."""
    rings = mol.GetRingInfo().AtomRings()
    return not rings or not (
        max(map(len, rings)) > MAX_RING
        or mol.HasSubstructMatch(_CUMULATED)
        or mol.HasSubstructMatch(_SMALL_DOUBLE)
    )


# -- mutations ------------------------------------------------------------------------------


def mutate(mol: Mol, rng: np.random.Generator) -> Mol | None:
    """One random edit; a kind of edit that finds no place gives way to another, ten times."""
    for _ in range(N_TRIES):
        edit = _EDITS[rng.choice(len(_EDITS), p=_EDIT_ODDS)]
        for graph in edit(mol, rng):
            child = finished(graph, new_rings=True)
            if child is not None:
                return child
    return None


def append_atom(mol: Mol, rng: np.random.Generator) -> Iterator[Chem.RWMol]:
    """A new atom on an atom that has the hydrogens for it."""
    order, element = _bond_and_element(_APPENDED, rng)
    for atom in _shuffled([a.GetIdx() for a in mol.GetAtoms() if _n_h(a) >= int(order)], rng):
        graph = Chem.RWMol(mol)
        graph.AddBond(atom, graph.AddAtom(Chem.Atom(element)), order)
        yield graph


def insert_atom(mol: Mol, rng: np.random.Generator) -> Iterator[Chem.RWMol]:
    """A new atom into a bond; to one side it may be bound doubly or triply."""
    order, element = _bond_and_element(_INSERTED, rng)
    for a, b in _shuffled(list(_bonds_both_ways(mol)), rng):
        if _n_h(mol.GetAtomWithIdx(a)) < int(order) - 1:
            continue
        graph = Chem.RWMol(mol)
        graph.RemoveBond(a, b)
        new = graph.AddAtom(Chem.Atom(element))
        graph.AddBond(a, new, order)
        graph.AddBond(new, b, SINGLE)
        yield graph


def delete_atom(mol: Mol, rng: np.random.Generator) -> Iterator[Chem.RWMol]:
    """An atom less; its neighbours are joined, in a chain or all to one of them."""
    degree = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.25, 0.25, 0.25]))
    star = degree == 4 and rng.random() < 0.25
    atoms = [a.GetIdx() for a in mol.GetAtoms() if a.GetDegree() == degree]
    for atom in _shuffled(atoms, rng):
        around = _shuffled([n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors()], rng)
        pairs = [(around[0], a) for a in around[1:]] if star else list(pairwise(around))
        if any(mol.GetBondBetweenAtoms(a, b) for a, b in pairs):
            continue
        graph = Chem.RWMol(mol)
        for a, b in pairs:
            graph.AddBond(a, b, SINGLE)
        graph.RemoveAtom(atom)
        yield graph


def change_bond(mol: Mol, rng: np.random.Generator) -> Iterator[Chem.RWMol]:
    """Another order for a bond."""
    kind = rng.choice(4, p=[0.45, 0.45, 0.05, 0.05])
    for bond in _shuffled(list(mol.GetBonds()), rng):
        old = bond.GetBondType()
        if kind == 0 and old != SINGLE:
            new = SINGLE
        elif (kind == 1 and old == SINGLE) or (kind == 2 and old == TRIPLE):
            new = DOUBLE
        elif kind == 3 and old != TRIPLE and not bond.IsInRing():
            new = TRIPLE
        else:
            continue
        graph = Chem.RWMol(mol)
        graph.GetBondWithIdx(bond.GetIdx()).SetBondType(new)
        yield graph


def open_ring(mol: Mol, rng: np.random.Generator) -> Iterator[Chem.RWMol]:
    """A ring bond less."""
    for bond in _shuffled([b for b in mol.GetBonds() if b.IsInRing()], rng):
        graph = Chem.RWMol(mol)
        graph.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        yield graph


def close_ring(mol: Mol, rng: np.random.Generator) -> Iterator[Chem.RWMol]:
    """A bond between two atoms outside rings that closes a ring of three to six."""
    size = int(rng.choice(list(_RING_ODDS), p=list(_RING_ODDS.values())))
    distance = Chem.GetDistanceMatrix(mol)
    ends = [a.GetIdx() for a in mol.GetAtoms() if not a.IsInRing() and _n_h(a)]
    pairs = [(a, b) for a in ends for b in ends if a < b and distance[a, b] == size - 1]
    for a, b in _shuffled(pairs, rng):
        graph = Chem.RWMol(mol)
        graph.AddBond(a, b, SINGLE)
        yield graph


def change_atom(mol: Mol, rng: np.random.Generator) -> Iterator[Chem.RWMol]:
    """Another element for an atom."""
    present = {a.GetAtomicNum() for a in mol.GetAtoms()}
    odds = np.array(_ELEMENT_ODDS) * [element in present for element in _ELEMENTS]
    if not odds.any():
        return
    old = int(rng.choice(_ELEMENTS, p=odds / odds.sum()))
    odds = np.array(_ELEMENT_ODDS) * [element != old for element in _ELEMENTS]
    new = int(rng.choice(_ELEMENTS, p=odds / odds.sum()))
    for atom in _shuffled([a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() == old], rng):
        graph = Chem.RWMol(mol)
        graph.GetAtomWithIdx(atom).SetAtomicNum(new)
        yield graph


_EDITS: tuple[Edit, ...] = (
    insert_atom, change_bond, open_ring, close_ring, delete_atom, change_atom, append_atom,
)  # fmt: skip
_EDIT_ODDS = (0.15, 0.14, 0.14, 0.14, 0.14, 0.14, 0.15)


# -- crossover ------------------------------------------------------------------------------


def cross(a: Mol, b: Mol, rng: np.random.Generator) -> Mol | None:
    """A child of parts of both parents, unlike either; ten tries."""
    parents = {_smiles(a), _smiles(b)}
    for _ in range(N_TRIES):
        cut = cut_bond if rng.random() < 0.5 else cut_ring
        one, other = cut(a, rng), cut(b, rng)
        if one is None or other is None:
            continue
        for child in _joined(a, one, b, other, rng):
            if _smiles(child) not in parents:
                return child
    return None


# Both parts of a cut molecule: their atoms, and those of them that lost a bond.
Cut = list[tuple[list[int], list[int]]]


def cut_bond(mol: Mol, rng: np.random.Generator) -> Cut | None:
    """Two parts, by a random single bond outside rings."""
    bonds = [b for b in mol.GetBonds() if b.GetBondType() == SINGLE and not b.IsInRing()]
    return _parts(mol, [bonds[rng.integers(len(bonds))]]) if bonds else None


def cut_ring(mol: Mol, rng: np.random.Generator) -> Cut | None:
    """Two parts, by two bonds of a ring that share a branched atom or have one bond between."""
    for _ in range(N_TRIES):
        pairs = _ring_pairs(mol, apart=bool(rng.random() < 0.5))
        if not pairs:
            return None
        parts = _parts(mol, pairs[rng.integers(len(pairs))])
        if parts is not None:
            return parts
    return None


def _ring_pairs(mol: Mol, *, apart: bool) -> list[list[Chem.Bond]]:
    pairs = []
    for ring in mol.GetRingInfo().BondRings():
        bonds = [mol.GetBondWithIdx(i) for i in ring]
        n = len(bonds)
        if apart:
            pairs += [[bonds[i], bonds[(i + 2) % n]] for i in range(n) if n > 3]
            continue
        for i in range(n):
            one, other = bonds[i], bonds[(i + 1) % n]
            shared = {one.GetBeginAtomIdx(), one.GetEndAtomIdx()} & {
                other.GetBeginAtomIdx(), other.GetEndAtomIdx()
            }  # fmt: skip
            if mol.GetAtomWithIdx(shared.pop()).GetDegree() > 2:
                pairs.append([one, other])
    return pairs


def _parts(mol: Mol, bonds: Sequence[Chem.Bond]) -> Cut | None:
    graph = Chem.RWMol(mol)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    for a, b in ends:
        graph.RemoveBond(a, b)
    parts = [list(part) for part in Chem.GetMolFrags(graph)]
    if len(parts) != 2:
        return None
    loose = [i for pair in ends for i in pair]
    return [(part, [i for i in loose if i in set(part)]) for part in parts]


def _joined(a: Mol, cut_a: Cut, b: Mol, cut_b: Cut, rng: np.random.Generator) -> Iterator[Mol]:
    """Finished children of all pairs of parts, in random order."""
    both = Chem.CombineMols(a, b)
    shift = a.GetNumAtoms()
    ways = []
    for (part_a, loose_a), (part_b, loose_b) in product(cut_a, cut_b):
        # in a ring two bonds are made, each single or double; across an acyclic bond one
        orders = product((SINGLE, DOUBLE), repeat=2) if len(loose_a) == 2 else [(SINGLE,)]
        for order, turned in product(list(orders), set(permutations(loose_b))):
            ways.append((part_a, part_b, list(zip(loose_a, turned, order, strict=True))))
    for part_a, part_b, bonds in _shuffled(ways, rng):
        if len({(i, j) for i, j, _ in bonds}) < len(bonds):
            continue  # both bonds would join the same two atoms
        kept = {*part_a, *(i + shift for i in part_b)}
        graph = Chem.RWMol(both)
        for i, j, order in bonds:
            graph.AddBond(i, j + shift, order)
        for atom in reversed(range(graph.GetNumAtoms())):
            if atom not in kept:
                graph.RemoveAtom(atom)
        child = finished(graph, new_rings=len(bonds) > 1)
        if child is not None:
            yield child


# -- small things ---------------------------------------------------------------------------


def _smiles(mol: Mol) -> str:
    child = Chem.Mol(mol)
    Chem.SanitizeMol(child)
    return str(Chem.MolToSmiles(child))


def _n_h(atom: Chem.Atom) -> int:
    return int(atom.GetTotalNumHs())


def _bonds_both_ways(mol: Mol) -> Iterator[tuple[int, int]]:
    for bond in mol.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        yield ends
        yield ends[::-1]


def _bond_and_element(
    table: Sequence[tuple[Chem.BondType, float, tuple[int, ...]]], rng: np.random.Generator
) -> tuple[Chem.BondType, int]:
    order, _, elements = table[rng.choice(len(table), p=[odds for _, odds, _ in table])]
    return order, int(rng.choice(elements))


def _shuffled(items: Sequence[T], rng: np.random.Generator) -> list[T]:
    return [items[i] for i in rng.permutation(len(items))]
