"""Edits of a molecular graph: one small change, or the parts of two molecules joined.

Operators of the graph genetic algorithms (Jensen 2019, https://doi.org/10.1039/C8SC05372C), less
stereo: a molecule that was edited has open centres. Each operator works on the Kekulé form and
gives None where it does not apply; `mutate` and `cross` try again and let nothing through that
RDKit cannot sanitise.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from rdkit import Chem

T = TypeVar("T")

_SINGLE, _DOUBLE = Chem.BondType.SINGLE, Chem.BondType.DOUBLE
_N_TRIES = 20
# Element and how often it is drawn; valences as in neutral organic molecules.
_ELEMENTS = {6: 0.4, 7: 0.2, 8: 0.2, 16: 0.06, 9: 0.08, 17: 0.05, 35: 0.01}
_VALENCE = {6: 4, 7: 3, 8: 2, 16: 2, 9: 1, 17: 1, 35: 1}
_RING_PATHS = (4, 5)  # bonds between the ends of a path that closes to a ring of 5 or 6

_GROUP_ATOMS = (2, 10)  # of a group that is put on; single atoms are appended

Edit = Callable[[Chem.RWMol, np.random.Generator], "Chem.RWMol | None"]
Part = tuple[Chem.Mol, set[int], int]  # a Kekulé molecule, some of its atoms, the one that binds


def mutate(mol: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """One random change of an atom, a bond, a ring or a group; None where none was found."""
    kekule = _kekule(mol)
    for _ in range(_N_TRIES):
        edit = _EDITS[int(rng.choice(len(_EDITS), p=_SHARES))]
        changed = edit(Chem.RWMol(kekule), rng)
        made = None if changed is None else _sanitised(changed)
        if made is not None:
            return made
    return None


def cross(first: Chem.Mol, second: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """A part of each, cut at a single bond outside rings and joined there; None if none fits."""
    mols = [_kekule(first), _kekule(second)]
    cuts = [_cuts(mol) for mol in mols]
    if not all(cuts):
        return None
    for _ in range(_N_TRIES):
        halves = []
        for mol, bonds in zip(mols, cuts, strict=True):
            inner, outer = _pick(bonds, rng)
            part = _side(mol, inner, outer)
            if rng.random() < 0.5:
                inner, part = outer, set(range(mol.GetNumAtoms())) - part
            halves.append((mol, part, inner))
        sizes = [len(part) for _, part, _ in halves]
        if min(sizes) < 0.1 * sum(sizes):
            continue
        made = _sanitised(_bound(*halves))
        if made is not None:
            return made
    return None


def groups_of(donors: Sequence[Chem.Mol]) -> list[Part]:
    """Groups of molecules, for `graft`: each as often as it occurs in them."""
    found = []
    for donor in donors:
        mol = _kekule(donor)
        for bond in _cuts(mol):
            for inner, outer in (bond, bond[::-1]):
                part = _side(mol, inner, outer)
                if _GROUP_ATOMS[0] <= len(part) <= min(_GROUP_ATOMS[1], mol.GetNumAtoms() // 2):
                    found.append((mol, part, inner))
    return found


def graft(mol: Chem.Mol, groups: Sequence[Part], rng: np.random.Generator) -> Chem.Mol | None:
    """One of the groups in place of a hydrogen or of a smaller side; None where none was found."""
    kekule = _kekule(mol)
    everything, cuts = set(range(kekule.GetNumAtoms())), _cuts(kekule)
    for _ in range(_N_TRIES if groups else 0):
        if cuts and rng.random() < 0.5:
            inner, outer = _pick(cuts, rng)
            kept, end = _side(kekule, inner, outer), inner
            if 2 * len(kept) < len(everything):
                kept, end = everything - kept, outer
        else:
            host = _pick(_atoms(kekule), rng)
            kept, end = everything, host.GetIdx()
            if not host.GetTotalNumHs():
                continue
        made = _sanitised(_bound((kekule, kept, end), _pick(groups, rng)))
        if made is not None:
            return made
    return None


@dataclass(frozen=True)
class RingSystem:
    """Rings that share atoms, with what is doubly bound to them and nothing more.

    Attributes:
        mol: in its Kekulé form.
        atoms: of the system.
        bonds: single bonds to the rest, each as (atom of the system, other atom).
        places: atoms of the system where something can be bound, as often as it can.
    """

    mol: Chem.Mol
    atoms: set[int]
    bonds: tuple[tuple[int, int], ...]
    places: tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """Of other molecules.

    Attributes:
        groups: what `graft` puts on.
        ring_systems: what `swap_ring` puts in.
    """

    groups: Sequence[Part] = ()
    ring_systems: Sequence[RingSystem] = ()


def ring_systems_of(donors: Sequence[Chem.Mol]) -> list[RingSystem]:
    """Ring systems of molecules, for `swap_ring`: of n alike the first sqrt(n), uncharged.

    So benzene is not half of all, and the rarer ones come oftener than the donors have them.
    """
    alike: dict[str, list[RingSystem]] = defaultdict(list)
    for donor in donors:
        for system in _ring_systems(_kekule(donor)):
            if not any(system.mol.GetAtomWithIdx(a).GetFormalCharge() for a in system.atoms):
                alike[Chem.MolFragmentToSmiles(system.mol, sorted(system.atoms))].append(system)
    return [s for same in alike.values() for s in same[: math.ceil(math.sqrt(len(same)))]]


def swap_ring(
    mol: Chem.Mol, systems: Sequence[RingSystem], rng: np.random.Generator
) -> Chem.Mol | None:
    """One of the systems in place of a ring system, with its substituents; None if none fits.

    They go where the new one had its own, or wherever there is room.
    """
    own = [system for system in _ring_systems(_kekule(mol)) if system.bonds]
    for _ in range(_N_TRIES if own and systems else 0):
        old, new = _pick(own, rng), _pick(systems, rng)
        places = new.places if rng.random() < 0.5 else tuple(a for a, _ in new.bonds)
        if len(places) < len(old.bonds):
            continue
        hosts = rng.choice(places, size=len(old.bonds), replace=False)
        rest = set(range(old.mol.GetNumAtoms())) - old.atoms
        bonds = [(end, int(host)) for (_, end), host in zip(old.bonds, hosts, strict=True)]
        made = _sanitised(_joined([(old.mol, rest), (new.mol, new.atoms)], bonds))
        if made is not None:
            return made
    return None


def _ring_systems(kekule: Chem.Mol) -> list[RingSystem]:
    """Those that are bound to the rest by single bonds alone."""
    merged: list[set[int]] = []
    for ring in kekule.GetRingInfo().AtomRings():
        touched = [s for s in merged if s & set(ring)]
        merged = [s for s in merged if not s & set(ring)] + [set(ring).union(*touched)]
    found = [_ring_system(kekule, rings) for rings in merged]
    return [system for system in found if system is not None]


def _ring_system(kekule: Chem.Mol, rings: set[int]) -> RingSystem | None:
    atoms, bonds, places = set(rings), [], []
    for a in sorted(rings):
        atom = kekule.GetAtomWithIdx(a)
        places += [a] * atom.GetTotalNumHs()
        for other in atom.GetNeighbors():
            b = other.GetIdx()
            if b in rings:
                continue
            if kekule.GetBondBetweenAtoms(a, b).GetBondType() == _SINGLE:
                bonds.append((a, b))
                places.append(a)
            elif other.GetDegree() == 1:
                atoms.add(b)
            else:
                return None
    return RingSystem(kekule, atoms, tuple(bonds), tuple(places))


def _kekule(mol: Chem.Mol) -> Chem.Mol:
    flat = Chem.RWMol(mol)
    Chem.RemoveStereochemistry(flat)
    Chem.Kekulize(flat, clearAromaticFlags=True)
    return flat


def _sanitised(mol: Chem.RWMol) -> Chem.Mol | None:
    """The molecule after a round trip through SMILES; None where it is none, or falls apart."""
    for atom in _atoms(mol):
        atom.SetNoImplicit(False)
        if not atom.GetFormalCharge():
            atom.SetNumExplicitHs(0)
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    if any(a.GetNumRadicalElectrons() for a in _atoms(mol)):
        return None
    text = Chem.MolToSmiles(mol)
    return None if "." in text else Chem.MolFromSmiles(text)


# -- the operators ----------------------------------------------------------------------------


def _change_element(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    atom = _pick(_atoms(mol), rng)
    element = _element(rng)
    if atom.GetFormalCharge() or element == atom.GetAtomicNum() or _used(atom) > _VALENCE[element]:
        return None
    atom.SetAtomicNum(element)
    return mol


def _append_atom(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    host = _pick(_atoms(mol), rng)
    if host.GetTotalNumHs() == 0:
        return None
    order = _DOUBLE if host.GetTotalNumHs() > 1 and rng.random() < 0.15 else _SINGLE
    element = _element(rng)
    if order == _DOUBLE and _VALENCE[element] < 2:
        return None
    mol.AddBond(host.GetIdx(), mol.AddAtom(Chem.Atom(element)), order)
    return mol


def _insert_atom(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    single = [b for b in _bonds(mol) if b.GetBondType() == _SINGLE]
    element = _element(rng)
    if not single or _VALENCE[element] < 2:
        return None
    bond = _pick(single, rng)
    a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    mol.RemoveBond(a, b)
    new = mol.AddAtom(Chem.Atom(element))
    mol.AddBond(a, new, _SINGLE)
    mol.AddBond(new, b, _SINGLE)
    return mol


def _delete_atom(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    atom = _pick(_atoms(mol), rng)
    around = [n.GetIdx() for n in atom.GetNeighbors()]
    if len(around) > 2 or mol.GetNumAtoms() < 3:
        return None
    if len(around) == 2:
        if mol.GetBondBetweenAtoms(*around) is not None:
            return None
        mol.AddBond(around[0], around[1], _SINGLE)
    mol.RemoveAtom(atom.GetIdx())
    return mol


def _change_bond(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    bond = _pick(_bonds(mol), rng) if mol.GetNumBonds() else None
    if bond is None:
        return None
    if bond.GetBondType() != _SINGLE:
        bond.SetBondType(_SINGLE)
        return mol
    if not (bond.GetBeginAtom().GetTotalNumHs() and bond.GetEndAtom().GetTotalNumHs()):
        return None
    bond.SetBondType(_DOUBLE)
    return mol


def _close_ring(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    distance = Chem.GetDistanceMatrix(mol)
    open_atoms = [a.GetIdx() for a in _atoms(mol) if a.GetTotalNumHs() and not a.IsInRing()]
    pairs = [
        (a, b.GetIdx())
        for a in open_atoms
        for b in _atoms(mol)
        if b.GetTotalNumHs() and distance[a, b.GetIdx()] in _RING_PATHS
    ]
    if not pairs:
        return None
    a, b = _pick(pairs, rng)
    mol.AddBond(a, b, _SINGLE)
    return mol


def _open_ring(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    bonds = [b for b in _bonds(mol) if b.IsInRing() and b.GetBondType() == _SINGLE]
    if not bonds:
        return None
    bond = _pick(bonds, rng)
    mol.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    return mol


def _move_group(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """The smaller side of a bond goes to another atom of the larger one."""
    cuts = _cuts(mol)
    if not cuts:
        return None
    inner, outer = _pick(cuts, rng)
    group = _side(mol, inner, outer)
    if 2 * len(group) > mol.GetNumAtoms():
        inner, outer = outer, inner
        group = set(range(mol.GetNumAtoms())) - group
    hosts = [
        a.GetIdx() for a in _atoms(mol)
        if a.GetIdx() not in group and a.GetIdx() != outer and a.GetTotalNumHs()
    ]  # fmt: skip
    if not hosts:
        return None
    mol.RemoveBond(inner, outer)
    mol.AddBond(inner, _pick(hosts, rng), _SINGLE)
    return mol


_EDITS: tuple[Edit, ...] = (
    _change_element, _append_atom, _insert_atom, _delete_atom, _change_bond, _close_ring,
    _open_ring, _move_group,
)  # fmt: skip
_SHARES = np.array([0.2, 0.2, 0.13, 0.17, 0.08, 0.06, 0.04, 0.12])


def side_of_a_cut(mol: Chem.Mol, rng: np.random.Generator) -> set[int] | None:
    """Atoms on a random side of a random single bond outside rings; None where there is none."""
    cuts = _cuts(mol)
    if not cuts:
        return None
    inner, outer = _pick(cuts, rng)
    return _side(mol, outer, inner) if rng.random() < 0.5 else _side(mol, inner, outer)


# -- helpers ----------------------------------------------------------------------------------


def _pick(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]


def _atoms(mol: Chem.Mol) -> list[Chem.Atom]:
    # By their numbers: to walk RDKit's own sequences takes several times as long.
    return [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]


def _bonds(mol: Chem.Mol) -> list[Chem.Bond]:
    return [mol.GetBondWithIdx(i) for i in range(mol.GetNumBonds())]


def _element(rng: np.random.Generator) -> int:
    return int(rng.choice(list(_ELEMENTS), p=list(_ELEMENTS.values())))


def _used(atom: Chem.Atom) -> int:
    """Valence taken by bonds to heavy atoms."""
    return int(sum(b.GetBondTypeAsDouble() for b in atom.GetBonds()))


def _cuts(mol: Chem.Mol) -> list[tuple[int, int]]:
    """Single bonds outside rings, each as (atom, atom)."""
    return [
        (b.GetBeginAtomIdx(), b.GetEndAtomIdx())
        for b in _bonds(mol)
        if b.GetBondType() == _SINGLE and not b.IsInRing()
    ]


def _side(mol: Chem.Mol, inner: int, outer: int) -> set[int]:
    """Atoms on the inner atom's side of the bond between the two."""
    found, border = {inner}, [inner]
    while border:
        for n in mol.GetAtomWithIdx(border.pop()).GetNeighbors():
            if n.GetIdx() not in found and n.GetIdx() != outer:
                found.add(n.GetIdx())
                border.append(n.GetIdx())
    return found


def _bound(first: Part, second: Part) -> Chem.RWMol:
    """Both with a single bond between their ends."""
    return _joined([first[:2], second[:2]], [(first[2], second[2])])


def _joined(
    parts: Sequence[tuple[Chem.Mol, set[int]]], bonds: Sequence[tuple[int, int]]
) -> Chem.RWMol:
    """Parts of two molecules, with single bonds between given atoms of the one and of the other."""
    both = Chem.RWMol()
    places: list[dict[int, int]] = []
    for mol, part in parts:
        place = {a: both.AddAtom(mol.GetAtomWithIdx(a)) for a in sorted(part)}
        for bond in _bonds(mol):
            a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            if a in part and b in part:
                both.AddBond(place[a], place[b], bond.GetBondType())
        places.append(place)
    for a, b in bonds:
        both.AddBond(places[0][a], places[1][b], _SINGLE)
    return both
