"""Edits of a molecular graph: one small change, or the parts of two molecules joined.

Operators of the graph genetic algorithms (Jensen 2019, https://doi.org/10.1039/C8SC05372C), less
stereo: a molecule that was edited has open centres. Each operator works on the Kekulé form and
gives None where it does not apply; `mutate` and `cross` try again and let nothing through that
RDKit cannot sanitise.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from rdkit import Chem

from molgen.search.changes import (
    KINDS,
    SHARES,
    SINGLE,
    Change,
    atoms_of,
    bonds_of,
    changes_of,
    cuts_of,
    side_of,
)

T = TypeVar("T")

_N_TRIES = 20
_GROUP_ATOMS = (2, 10)  # of a group that is put on; single atoms are appended

Part = tuple[Chem.Mol, set[int], int]  # a Kekulé molecule, some of its atoms, the one that binds


@lru_cache(maxsize=4096)
def read(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES; not to be changed, for who asks again has the same."""
    return Chem.MolFromSmiles(smiles)


def mutate(mol: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """One random change of an atom, a bond, a ring or a group; None where none was found."""
    kekule = kekule_form(mol)
    for _ in range(_N_TRIES):
        kind = int(rng.choice(len(KINDS), p=SHARES))
        changes, p = changes_of(kekule, kind)
        made = changed(kekule, changes[int(rng.choice(len(changes), p=p))]) if changes else None
        if made is not None:
            return made
    return None


def neighbours(mol: Chem.Mol, n: int, rng: np.random.Generator) -> list[Chem.Mol]:
    """What n different changes make, or all there are, less what is no molecule.

    Changes are drawn without replacement, each as likely as by `mutate`. Two of them may make the
    same where atoms are equivalent.
    """
    kekule = kekule_form(mol)
    kinds = [changes_of(kekule, kind) for kind in range(len(KINDS))]
    changes = [change for changes, _ in kinds for change in changes]
    p = np.concatenate([share * p for share, (_, p) in zip(SHARES, kinds, strict=True)])
    if not changes:
        return []
    drawn = rng.choice(len(p), min(n, len(p)), replace=False, p=p / p.sum())
    made = [changed(kekule, changes[int(i)]) for i in drawn]
    return [child for child in made if child is not None]


def cross(first: Chem.Mol, second: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """A part of each, cut at a single bond outside rings and joined there; None if none fits."""
    mols = [kekule_form(first), kekule_form(second)]
    cuts = [cuts_of(mol) for mol in mols]
    if not all(cuts):
        return None
    for _ in range(_N_TRIES):
        halves = []
        for mol, bonds in zip(mols, cuts, strict=True):
            inner, outer = _pick(bonds, rng)
            part = side_of(mol, inner, outer)
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
        mol = kekule_form(donor)
        for bond in cuts_of(mol):
            for inner, outer in (bond, bond[::-1]):
                part = side_of(mol, inner, outer)
                if _GROUP_ATOMS[0] <= len(part) <= min(_GROUP_ATOMS[1], mol.GetNumAtoms() // 2):
                    found.append((mol, part, inner))
    return found


def graft(mol: Chem.Mol, groups: Sequence[Part], rng: np.random.Generator) -> Chem.Mol | None:
    """One of the groups in place of a hydrogen or of a smaller side; None where none was found."""
    kekule = kekule_form(mol)
    everything, cuts = set(range(kekule.GetNumAtoms())), cuts_of(kekule)
    for _ in range(_N_TRIES if groups else 0):
        if cuts and rng.random() < 0.5:
            inner, outer = _pick(cuts, rng)
            kept, end = side_of(kekule, inner, outer), inner
            if 2 * len(kept) < len(everything):
                kept, end = everything - kept, outer
        else:
            host = _pick(atoms_of(kekule), rng)
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
        for system in _ring_systems(kekule_form(donor)):
            if not any(system.mol.GetAtomWithIdx(a).GetFormalCharge() for a in system.atoms):
                alike[Chem.MolFragmentToSmiles(system.mol, sorted(system.atoms))].append(system)
    return [s for same in alike.values() for s in same[: math.ceil(math.sqrt(len(same)))]]


def swap_ring(
    mol: Chem.Mol, systems: Sequence[RingSystem], rng: np.random.Generator
) -> Chem.Mol | None:
    """One of the systems in place of a ring system, with its substituents; None if none fits.

    They go where the new one had its own, or wherever there is room.
    """
    own = [system for system in _ring_systems(kekule_form(mol)) if system.bonds]
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
            if kekule.GetBondBetweenAtoms(a, b).GetBondType() == SINGLE:
                bonds.append((a, b))
                places.append(a)
            elif other.GetDegree() == 1:
                atoms.add(b)
            else:
                return None
    return RingSystem(kekule, atoms, tuple(bonds), tuple(places))


@lru_cache(maxsize=256)  # by the object itself: many children have the same parent
def kekule_form(mol: Chem.Mol) -> Chem.Mol:
    """The Kekulé form without stereo, hydrogens implicit, to be copied and not changed."""
    flat = Chem.RWMol(mol)
    Chem.RemoveStereochemistry(flat)
    Chem.Kekulize(flat, clearAromaticFlags=True)
    for atom in atoms_of(flat):
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


def changed(kekule: Chem.Mol, change: Change) -> Chem.Mol | None:
    """What a change makes of a Kekulé form; None where it is no molecule."""
    mol = Chem.RWMol(kekule)
    change(mol)
    return _sanitised(mol)


def side_of_a_cut(mol: Chem.Mol, rng: np.random.Generator) -> set[int] | None:
    """Atoms on a random side of a random single bond outside rings; None where there is none."""
    cuts = cuts_of(mol)
    if not cuts:
        return None
    inner, outer = _pick(cuts, rng)
    return side_of(mol, outer, inner) if rng.random() < 0.5 else side_of(mol, inner, outer)


# -- helpers ----------------------------------------------------------------------------------


def _pick(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]


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
        for bond in bonds_of(mol):
            a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            if a in part and b in part:
                both.AddBond(place[a], place[b], bond.GetBondType())
        places.append(place)
    for a, b in bonds:
        both.AddBond(places[0][a], places[1][b], SINGLE)
    return both
