"""All single changes of a molecular graph, by kind.

They are those of the graph genetic algorithms (Jensen 2019, https://doi.org/10.1039/C8SC05372C),
and some that keep the formula: where size and composition are near what is wanted, a change of
either is a step down, and what lies behind it is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

SINGLE, DOUBLE = Chem.BondType.SINGLE, Chem.BondType.DOUBLE
# Element and how often it is drawn; valences as in neutral organic molecules.
_ELEMENTS = {6: 0.4, 7: 0.2, 8: 0.2, 16: 0.06, 9: 0.08, 17: 0.05, 35: 0.01}
_VALENCE = {6: 4, 7: 3, 8: 2, 16: 2, 9: 1, 17: 1, 35: 1}
_DOUBLE_SHARE = 0.15  # of the atoms that are appended, where there is room
_RING_PATHS = (4, 5)  # bonds between the ends of a path that closes to a ring of 5 or 6

Change = Callable[[Chem.RWMol], None]  # of a Kekulé molecule, in place


@lru_cache(maxsize=1024)
def changes_of(kekule: Chem.Mol, kind: int) -> tuple[list[Change], NDArray[np.float64]]:
    """All changes of a kind, and how likely each is; shape (n,)."""
    found = KINDS[kind](kekule)
    weights = np.array([weight for weight, _ in found])
    return [change for _, change in found], weights / weights.sum()


# -- the kinds: of a Kekulé molecule all that can be done, each with its weight -----------------


def _element_changes(mol: Chem.Mol) -> list[tuple[float, Change]]:
    neutral = [
        (atom.GetIdx(), atom.GetAtomicNum(), _used(atom))
        for atom in atoms_of(mol) if not atom.GetFormalCharge()
    ]  # fmt: skip
    return [
        (weight, partial(_set_element, atom, element))
        for atom, own, used in neutral
        for element, weight in _ELEMENTS.items()
        if element != own and used <= _VALENCE[element]
    ]


def _set_element(atom: int, element: int, mol: Chem.RWMol) -> None:
    mol.GetAtomWithIdx(atom).SetAtomicNum(element)


def _exchanged_elements(mol: Chem.Mol) -> list[tuple[float, Change]]:
    """Two atoms take each other's element, as when a nitrogen walks around a ring."""
    neutral = [
        (atom.GetIdx(), atom.GetAtomicNum(), _used(atom))
        for atom in atoms_of(mol)
        if not atom.GetFormalCharge() and atom.GetAtomicNum() in _VALENCE
    ]
    return [
        (1.0, partial(_exchange, a, b))
        for i, (a, of_a, used_a) in enumerate(neutral)
        for b, of_b, used_b in neutral[:i]
        if of_a != of_b and used_a <= _VALENCE[of_b] and used_b <= _VALENCE[of_a]
    ]


def _exchange(a: int, b: int, mol: Chem.RWMol) -> None:
    first, second = mol.GetAtomWithIdx(a), mol.GetAtomWithIdx(b)
    of_first = first.GetAtomicNum()
    first.SetAtomicNum(second.GetAtomicNum())
    second.SetAtomicNum(of_first)


def _appended_atoms(mol: Chem.Mol) -> list[tuple[float, Change]]:
    found: list[tuple[float, Change]] = []
    for host in atoms_of(mol):
        n_free = host.GetTotalNumHs()
        for element, weight in _ELEMENTS.items() if n_free else ():
            double = _DOUBLE_SHARE if n_free > 1 and _VALENCE[element] > 1 else 0.0
            for order, share in ((SINGLE, 1.0 - double), (DOUBLE, double)):
                if share:
                    found.append((weight * share, partial(_append, host.GetIdx(), element, order)))
    return found


def _append(host: int, element: int, order: Chem.BondType, mol: Chem.RWMol) -> None:
    mol.AddBond(host, mol.AddAtom(Chem.Atom(element)), order)


def _inserted_atoms(mol: Chem.Mol) -> list[tuple[float, Change]]:
    return [
        (weight, partial(_insert, bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), element))
        for bond in bonds_of(mol) if bond.GetBondType() == SINGLE
        for element, weight in _ELEMENTS.items() if _VALENCE[element] > 1
    ]  # fmt: skip


def _insert(a: int, b: int, element: int, mol: Chem.RWMol) -> None:
    mol.RemoveBond(a, b)
    new = mol.AddAtom(Chem.Atom(element))
    mol.AddBond(a, new, SINGLE)
    mol.AddBond(new, b, SINGLE)


def _deleted_atoms(mol: Chem.Mol) -> list[tuple[float, Change]]:
    return [
        (1.0, partial(_delete, atom, beside))
        for atom, beside in enumerate(_around(mol))
        if mol.GetNumAtoms() > 2 and (len(beside) < 2 or _joins_two(mol, beside))
    ]


def _joins_two(mol: Chem.Mol, beside: Sequence[int]) -> bool:
    """Whether an atom's neighbours are two, and not bound to each other."""
    return len(beside) == 2 and mol.GetBondBetweenAtoms(*beside) is None


def _delete(atom: int, beside: Sequence[int], mol: Chem.RWMol) -> None:
    if len(beside) == 2:
        mol.AddBond(beside[0], beside[1], SINGLE)
    mol.RemoveAtom(atom)


def _shifted_atoms(mol: Chem.Mol) -> list[tuple[float, Change]]:
    """An atom at an end, or between two others, is taken out and put into another bond."""
    singles = [
        (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        for bond in bonds_of(mol) if bond.GetBondType() == SINGLE
    ]  # fmt: skip
    found: list[tuple[float, Change]] = []
    for atom, beside in enumerate(_around(mol)):
        if len(beside) == 1:
            binds_two = _VALENCE.get(mol.GetAtomWithIdx(atom).GetAtomicNum(), 0) > 1
        else:
            binds_two = _joins_two(mol, beside)
        if binds_two:
            found += [(1.0, partial(_shift, atom, beside, s)) for s in singles if atom not in s]
    return found


def _shift(atom: int, beside: Sequence[int], bond: tuple[int, int], mol: Chem.RWMol) -> None:
    element = mol.GetAtomWithIdx(atom).GetAtomicNum()
    _insert(*bond, element, mol)
    _delete(atom, beside, mol)


def _bond_changes(mol: Chem.Mol) -> list[tuple[float, Change]]:
    found: list[tuple[float, Change]] = []
    for bond in bonds_of(mol):
        is_single = bond.GetBondType() == SINGLE
        ends = (bond.GetBeginAtom(), bond.GetEndAtom())
        if not is_single or all(atom.GetTotalNumHs() for atom in ends):
            order = DOUBLE if is_single else SINGLE
            found.append((1.0, partial(_set_order, bond.GetIdx(), order)))
    return found


def _set_order(bond: int, order: Chem.BondType, mol: Chem.RWMol) -> None:
    mol.GetBondWithIdx(bond).SetBondType(order)


def _closed_rings(mol: Chem.Mol) -> list[tuple[float, Change]]:
    distance = Chem.GetDistanceMatrix(mol)
    free = [atom for atom in atoms_of(mol) if atom.GetTotalNumHs()]
    pairs = [
        (a.GetIdx(), b.GetIdx())
        for a in free if not a.IsInRing()
        for b in free if distance[a.GetIdx(), b.GetIdx()] in _RING_PATHS
    ]  # fmt: skip
    return [(1.0, partial(_bind, a, b)) for a, b in pairs]


def _bind(a: int, b: int, mol: Chem.RWMol) -> None:
    mol.AddBond(a, b, SINGLE)


def _opened_rings(mol: Chem.Mol) -> list[tuple[float, Change]]:
    return [
        (1.0, partial(_unbind, bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        for bond in bonds_of(mol)
        if bond.IsInRing() and bond.GetBondType() == SINGLE
    ]


def _unbind(a: int, b: int, mol: Chem.RWMol) -> None:
    mol.RemoveBond(a, b)


def _moved_bonds(mol: Chem.Mol) -> list[tuple[float, Change]]:
    """A bond of a ring is opened, and one of its ends closes another ring of 5 or 6."""
    free = [atom.GetIdx() for atom in atoms_of(mol) if atom.GetTotalNumHs()]
    found: list[tuple[float, Change]] = []
    for bond in bonds_of(mol):
        if not bond.IsInRing() or bond.GetBondType() != SINGLE:
            continue
        opened, ends = Chem.RWMol(mol), (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        opened.RemoveBond(*ends)
        distance = Chem.GetDistanceMatrix(opened, force=True)
        found += [
            (1.0, partial(_rebind, ends, end, other))
            for end in ends
            for other in free
            if other not in ends and distance[end, other] in _RING_PATHS
        ]
    return found


def _rebind(old: tuple[int, int], end: int, other: int, mol: Chem.RWMol) -> None:
    mol.RemoveBond(*old)
    mol.AddBond(end, other, SINGLE)


def _moved_groups(mol: Chem.Mol) -> list[tuple[float, Change]]:
    """The smaller side of a bond goes to another atom of the larger one."""
    free = [atom.GetIdx() for atom in atoms_of(mol) if atom.GetTotalNumHs()]
    found: list[tuple[float, Change]] = []
    for inner, outer in cuts_of(mol):
        group = side_of(mol, inner, outer)
        if 2 * len(group) > mol.GetNumAtoms():
            inner, outer = outer, inner
            group = set(range(mol.GetNumAtoms())) - group
        hosts = [a for a in free if a not in group and a != outer]
        found += [(1.0 / len(hosts), partial(_move, inner, outer, host)) for host in hosts]
    return found


def _move(inner: int, outer: int, host: int, mol: Chem.RWMol) -> None:
    mol.RemoveBond(inner, outer)
    mol.AddBond(inner, host, SINGLE)


KINDS = (
    _element_changes, _exchanged_elements, _appended_atoms, _inserted_atoms, _deleted_atoms,
    _shifted_atoms, _bond_changes, _closed_rings, _opened_rings, _moved_bonds, _moved_groups,
)  # fmt: skip
SHARES = np.array([0.08, 0.08, 0.13, 0.13, 0.13, 0.1, 0.04, 0.07, 0.05, 0.04, 0.15])


# -- helpers ----------------------------------------------------------------------------------


def atoms_of(mol: Chem.Mol) -> list[Chem.Atom]:
    """In their order."""
    # By their numbers: to walk RDKit's own sequences takes several times as long.
    return [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]


def bonds_of(mol: Chem.Mol) -> list[Chem.Bond]:
    """In their order."""
    return [mol.GetBondWithIdx(i) for i in range(mol.GetNumBonds())]


def _used(atom: Chem.Atom) -> int:
    """Valence taken by bonds to heavy atoms, in the Kekulé form."""
    return int(atom.GetTotalValence() - atom.GetTotalNumHs())


def cuts_of(mol: Chem.Mol) -> list[tuple[int, int]]:
    """Single bonds outside rings, each as (atom, atom)."""
    return [
        (b.GetBeginAtomIdx(), b.GetEndAtomIdx())
        for b in bonds_of(mol)
        if b.GetBondType() == SINGLE and not b.IsInRing()
    ]


def side_of(mol: Chem.Mol, inner: int, outer: int) -> set[int]:
    """Atoms on the inner atom's side of the bond between the two."""
    around, found, border = _around(mol), {inner}, [inner]
    while border:
        new = [n for n in around[border.pop()] if n not in found and n != outer]
        found.update(new)
        border += new
    return found


@lru_cache(maxsize=256)  # by the object itself, as the Kekulé form
def _around(mol: Chem.Mol) -> list[list[int]]:
    """Of each atom its neighbours."""
    found: list[list[int]] = [[] for _ in range(mol.GetNumAtoms())]
    for bond in bonds_of(mol):
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        found[a].append(b)
        found[b].append(a)
    return found
