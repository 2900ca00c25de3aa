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
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

T = TypeVar("T")

_SINGLE, _DOUBLE = Chem.BondType.SINGLE, Chem.BondType.DOUBLE
_N_TRIES = 20
# Element and how often it is drawn; valences as in neutral organic molecules.
_ELEMENTS = {6: 0.4, 7: 0.2, 8: 0.2, 16: 0.06, 9: 0.08, 17: 0.05, 35: 0.01}
_VALENCE = {6: 4, 7: 3, 8: 2, 16: 2, 9: 1, 17: 1, 35: 1}
_DOUBLE_SHARE = 0.15  # of the atoms that are appended, where there is room
_RING_PATHS = (4, 5)  # bonds between the ends of a path that closes to a ring of 5 or 6

_GROUP_ATOMS = (2, 10)  # of a group that is put on; single atoms are appended

Change = Callable[[Chem.RWMol], None]  # of a Kekulé molecule, in place
Part = tuple[Chem.Mol, set[int], int]  # a Kekulé molecule, some of its atoms, the one that binds


@lru_cache(maxsize=4096)
def read(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES; not to be changed, for who asks again has the same."""
    return Chem.MolFromSmiles(smiles)


def mutate(mol: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """One random change of an atom, a bond, a ring or a group; None where none was found."""
    kekule = _kekule(mol)
    for _ in range(_N_TRIES):
        kind = int(rng.choice(len(_KINDS), p=_SHARES))
        changes, p = _changes(kekule, kind)
        made = _changed(kekule, changes[int(rng.choice(len(changes), p=p))]) if changes else None
        if made is not None:
            return made
    return None


def neighbours(mol: Chem.Mol, n: int, rng: np.random.Generator) -> list[Chem.Mol]:
    """What n different changes make, or all there are, less what is no molecule.

    Changes are drawn without replacement, each as likely as by `mutate`. Two of them may make the
    same where atoms are equivalent.
    """
    kekule = _kekule(mol)
    kinds = [_changes(kekule, kind) for kind in range(len(_KINDS))]
    changes = [change for changes, _ in kinds for change in changes]
    p = np.concatenate([share * p for share, (_, p) in zip(_SHARES, kinds, strict=True)])
    if not changes:
        return []
    drawn = rng.choice(len(p), min(n, len(p)), replace=False, p=p / p.sum())
    made = [_changed(kekule, changes[int(i)]) for i in drawn]
    return [child for child in made if child is not None]


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


@lru_cache(maxsize=256)  # by the object itself: many children have the same parent
def _kekule(mol: Chem.Mol) -> Chem.Mol:
    """The Kekulé form without stereo, hydrogens implicit, to be copied and not changed."""
    flat = Chem.RWMol(mol)
    Chem.RemoveStereochemistry(flat)
    Chem.Kekulize(flat, clearAromaticFlags=True)
    for atom in _atoms(flat):
        atom.SetNoImplicit(False)
        atom.SetNumRadicalElectrons(0)
        if not atom.GetFormalCharge():
            atom.SetNumExplicitHs(0)
    flat.UpdatePropertyCache()
    return flat.GetMol()


def _sanitised(mol: Chem.RWMol) -> Chem.Mol | None:
    """The molecule after a round trip through SMILES; None where it is none, or falls apart."""
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    text = Chem.MolToSmiles(mol)
    return None if "." in text else read(text)


@lru_cache(maxsize=1024)
def _changes(kekule: Chem.Mol, kind: int) -> tuple[list[Change], NDArray[np.float64]]:
    """All changes of a kind, and how likely each is; shape (n,)."""
    found = _KINDS[kind](kekule)
    weights = np.array([weight for weight, _ in found])
    return [change for _, change in found], weights / weights.sum()


def _changed(kekule: Chem.Mol, change: Change) -> Chem.Mol | None:
    mol = Chem.RWMol(kekule)
    change(mol)
    return _sanitised(mol)


# -- kinds of changes: of a Kekulé molecule all that can be done, each with its weight ----------


def _element_changes(mol: Chem.Mol) -> list[tuple[float, Change]]:
    neutral = [
        (atom.GetIdx(), atom.GetAtomicNum(), _used(atom))
        for atom in _atoms(mol) if not atom.GetFormalCharge()
    ]  # fmt: skip
    return [
        (weight, partial(_set_element, atom, element))
        for atom, own, used in neutral
        for element, weight in _ELEMENTS.items()
        if element != own and used <= _VALENCE[element]
    ]


def _set_element(atom: int, element: int, mol: Chem.RWMol) -> None:
    mol.GetAtomWithIdx(atom).SetAtomicNum(element)


def _appended_atoms(mol: Chem.Mol) -> list[tuple[float, Change]]:
    found: list[tuple[float, Change]] = []
    for host in _atoms(mol):
        n_free = host.GetTotalNumHs()
        for element, weight in _ELEMENTS.items() if n_free else ():
            double = _DOUBLE_SHARE if n_free > 1 and _VALENCE[element] > 1 else 0.0
            for order, share in ((_SINGLE, 1.0 - double), (_DOUBLE, double)):
                if share:
                    found.append((weight * share, partial(_append, host.GetIdx(), element, order)))
    return found


def _append(host: int, element: int, order: Chem.BondType, mol: Chem.RWMol) -> None:
    mol.AddBond(host, mol.AddAtom(Chem.Atom(element)), order)


def _inserted_atoms(mol: Chem.Mol) -> list[tuple[float, Change]]:
    return [
        (weight, partial(_insert, bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), element))
        for bond in _bonds(mol) if bond.GetBondType() == _SINGLE
        for element, weight in _ELEMENTS.items() if _VALENCE[element] > 1
    ]  # fmt: skip


def _insert(a: int, b: int, element: int, mol: Chem.RWMol) -> None:
    mol.RemoveBond(a, b)
    new = mol.AddAtom(Chem.Atom(element))
    mol.AddBond(a, new, _SINGLE)
    mol.AddBond(new, b, _SINGLE)


def _deleted_atoms(mol: Chem.Mol) -> list[tuple[float, Change]]:
    found: list[tuple[float, Change]] = []
    for atom in _atoms(mol) if mol.GetNumAtoms() > 2 else ():
        around = [n.GetIdx() for n in atom.GetNeighbors()]
        is_bridge = len(around) == 2 and mol.GetBondBetweenAtoms(*around) is None
        if len(around) < 2 or is_bridge:
            found.append((1.0, partial(_delete, atom.GetIdx(), around)))
    return found


def _delete(atom: int, around: Sequence[int], mol: Chem.RWMol) -> None:
    if len(around) == 2:
        mol.AddBond(around[0], around[1], _SINGLE)
    mol.RemoveAtom(atom)


def _bond_changes(mol: Chem.Mol) -> list[tuple[float, Change]]:
    found: list[tuple[float, Change]] = []
    for bond in _bonds(mol):
        is_single = bond.GetBondType() == _SINGLE
        ends = (bond.GetBeginAtom(), bond.GetEndAtom())
        if not is_single or all(atom.GetTotalNumHs() for atom in ends):
            order = _DOUBLE if is_single else _SINGLE
            found.append((1.0, partial(_set_order, bond.GetIdx(), order)))
    return found


def _set_order(bond: int, order: Chem.BondType, mol: Chem.RWMol) -> None:
    mol.GetBondWithIdx(bond).SetBondType(order)


def _closed_rings(mol: Chem.Mol) -> list[tuple[float, Change]]:
    distance = Chem.GetDistanceMatrix(mol)
    free = [atom for atom in _atoms(mol) if atom.GetTotalNumHs()]
    pairs = [
        (a.GetIdx(), b.GetIdx())
        for a in free if not a.IsInRing()
        for b in free if distance[a.GetIdx(), b.GetIdx()] in _RING_PATHS
    ]  # fmt: skip
    return [(1.0, partial(_bind, a, b)) for a, b in pairs]


def _bind(a: int, b: int, mol: Chem.RWMol) -> None:
    mol.AddBond(a, b, _SINGLE)


def _opened_rings(mol: Chem.Mol) -> list[tuple[float, Change]]:
    return [
        (1.0, partial(_unbind, bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        for bond in _bonds(mol)
        if bond.IsInRing() and bond.GetBondType() == _SINGLE
    ]


def _unbind(a: int, b: int, mol: Chem.RWMol) -> None:
    mol.RemoveBond(a, b)


def _moved_groups(mol: Chem.Mol) -> list[tuple[float, Change]]:
    """The smaller side of a bond goes to another atom of the larger one."""
    free = [atom.GetIdx() for atom in _atoms(mol) if atom.GetTotalNumHs()]
    found: list[tuple[float, Change]] = []
    for inner, outer in _cuts(mol):
        group = _side(mol, inner, outer)
        if 2 * len(group) > mol.GetNumAtoms():
            inner, outer = outer, inner
            group = set(range(mol.GetNumAtoms())) - group
        hosts = [a for a in free if a not in group and a != outer]
        found += [(1.0 / len(hosts), partial(_move, inner, outer, host)) for host in hosts]
    return found


def _move(inner: int, outer: int, host: int, mol: Chem.RWMol) -> None:
    mol.RemoveBond(inner, outer)
    mol.AddBond(inner, host, _SINGLE)


_KINDS = (
    _element_changes, _appended_atoms, _inserted_atoms, _deleted_atoms, _bond_changes,
    _closed_rings, _opened_rings, _moved_groups,
)  # fmt: skip
_SHARES = np.array([0.09, 0.16, 0.17, 0.18, 0.05, 0.1, 0.07, 0.18])


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


def _used(atom: Chem.Atom) -> int:
    """Valence taken by bonds to heavy atoms, in the Kekulé form."""
    return int(atom.GetTotalValence() - atom.GetTotalNumHs())


def _cuts(mol: Chem.Mol) -> list[tuple[int, int]]:
    """Single bonds outside rings, each as (atom, atom)."""
    return [
        (b.GetBeginAtomIdx(), b.GetEndAtomIdx())
        for b in _bonds(mol)
        if b.GetBondType() == _SINGLE and not b.IsInRing()
    ]


def _side(mol: Chem.Mol, inner: int, outer: int) -> set[int]:
    """Atoms on the inner atom's side of the bond between the two."""
    around, found, border = _around(mol), {inner}, [inner]
    while border:
        new = [n for n in around[border.pop()] if n not in found and n != outer]
        found.update(new)
        border += new
    return found


@lru_cache(maxsize=256)  # by the object itself, as `_kekule`
def _around(mol: Chem.Mol) -> list[list[int]]:
    """Of each atom its neighbours."""
    found: list[list[int]] = [[] for _ in range(mol.GetNumAtoms())]
    for bond in _bonds(mol):
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        found[a].append(b)
        found[b].append(a)
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
