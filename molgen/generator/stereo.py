"""Stereochemistry of prompts and samples: what is given is kept, what is open is said to be open.

A configuration is kept by neighbour order: the neighbours of a centre, attachment points among
them, lie the same way round in the sample as in the prompt. CIP labels (R, S, E, Z) depend on the
whole molecule and may change; they are never compared. Where a new atom took the place of a
centre's hydrogen, it lies where the hydrogen lay. Of several attachment points at one atom, the one
with the lowest number is taken by the new neighbour that was added first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem

from molgen.errors import ConfigError

_SMALLEST_STEREO_RING = 8  # in smaller rings a double bond is cis and RDKit gives it no mark

_CW, _CCW = Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW
_CIS, _TRANS = Chem.BondStereo.STEREOCIS, Chem.BondStereo.STEREOTRANS
_SAME_SIDE = (_CIS, Chem.BondStereo.STEREOZ)
_OPPOSITE_SIDES = (_TRANS, Chem.BondStereo.STEREOE)


@dataclass(frozen=True)
class Centre:
    """A tetrahedral centre.

    Attributes:
        atom: its index in the core.
        neighbours: three (a hydrogen or lone pair is the fourth) or four core atoms or
            attachment points; point p is written -1 - p.
        clockwise: whether, seen from the first neighbour, the others follow clockwise.
    """

    atom: int
    neighbours: tuple[int, ...]
    clockwise: bool


@dataclass(frozen=True)
class DoubleBond:
    """A double bond with a configuration.

    Attributes:
        atoms: its two core atoms.
        neighbours: one neighbour of each, written as in `Centre`.
        trans: whether these lie on opposite sides.
    """

    atoms: tuple[int, int]
    neighbours: tuple[int, int]
    trans: bool


@dataclass(frozen=True)
class Stereo:
    """The configurations that a prompt gives."""

    centres: tuple[Centre, ...] = ()
    double_bonds: tuple[DoubleBond, ...] = ()


def read_stereo(mol: Chem.Mol, names: dict[int, int], smiles: str) -> Stereo:
    r"""The configurations of a molecule as it was written, before RDKit removes any of them.

    Args:
        mol: parsed without sanitising; bond directions are turned into bond stereo in place.
        names: of each atom: its index in the core, or -1 - p for attachment point p.
        smiles: as the user wrote it, for messages.

    Raises:
        ConfigError: a kind of stereo other than @ and @@, / and \.
    """
    Chem.FastFindRings(mol)
    Chem.SetBondStereoFromDirections(mol)
    centres = []
    for atom in mol.GetAtoms():
        tag = atom.GetChiralTag()
        if tag == Chem.ChiralType.CHI_UNSPECIFIED:
            continue
        if tag not in (_CW, _CCW):
            raise ConfigError(
                f"prompt {smiles!r}: holds stereo other than @ and @@, / and \\; write it without"
            )
        around = tuple(names[_other(bond, atom)] for bond in atom.GetBonds())
        if len(around) in (3, 4):
            centres.append(Centre(names[atom.GetIdx()], around, tag == _CW))
    rings = mol.GetRingInfo()
    double_bonds = []
    for bond in mol.GetBonds():
        small = any(
            rings.IsBondInRingOfSize(bond.GetIdx(), n) for n in range(3, _SMALLEST_STEREO_RING)
        )
        if bond.GetStereo() in (_CIS, _TRANS) and not small:
            first, second = (names[a] for a in bond.GetStereoAtoms())
            ends = names[bond.GetBeginAtomIdx()], names[bond.GetEndAtomIdx()]
            double_bonds.append(DoubleBond(ends, (first, second), bond.GetStereo() == _TRANS))
    return Stereo(tuple(centres), tuple(double_bonds))


def finish(
    mol: Chem.Mol,
    kept: Sequence[int],
    isotopes: Sequence[int],
    points: Sequence[tuple[int, int]],
    stereo: Stereo,
) -> Chem.Mol:
    """Give a sample its prompt's isotopes and configurations.

    Args:
        mol: the sample, in building order, without stereo.
        kept: for each core atom of the prompt its index in `mol`.
        isotopes: for each core atom; 0 where the prompt gives none.
        points: for each attachment point its core atom and bond order.
        stereo: the configurations that the prompt gives.

    Returns:
        A copy with isotopes and stereo marks; a mark that means nothing in the whole molecule
        (two equal substituents) is left out.
    """
    finished = Chem.Mol(mol)
    for a, isotope in zip(kept, isotopes, strict=True):
        if isotope:
            finished.GetAtomWithIdx(a).SetIsotope(isotope)
    if not stereo.centres and not stereo.double_bonds:
        return finished
    place = _places(finished, kept, points)
    for centre in stereo.centres:
        around = [place[name] for name in centre.neighbours]
        _orient(finished.GetAtomWithIdx(place[centre.atom]), around, centre.clockwise)
    for double in stereo.double_bonds:
        first, second = (place[name] for name in double.atoms)
        left, right = (place[name] for name in double.neighbours)
        bond = finished.GetBondBetweenAtoms(first, second)
        if bond.GetBondType() != Chem.BondType.DOUBLE:
            continue  # its ring has become aromatic, where RDKit knows no configuration
        _turn(finished, (first, second), (left, right), double.trans)
    return settled(finished)


def settled(mol: Chem.Mol) -> Chem.Mol:
    """The molecule itself, with marks that mean nothing in it removed."""
    # Without directions at its neighbours RDKit would take a double bond's mark for a stale one.
    Chem.SetDoubleBondNeighborDirections(mol)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol


def copy_configurations(
    source: Chem.Mol, target: Chem.Mol, place: dict[int, int], copied: set[int]
) -> None:
    """Give copied atoms and double bonds the configurations they had; marks are set in place.

    Args:
        source: a molecule whose stereo is assigned.
        target: holds copies of its atoms.
        place: for each atom of `source` its index in `target`. A neighbour that is not bonded
            there has made way for a hydrogen.
        copied: atoms of `source` whose configurations, and those of whose bonds, are copied.
    """
    for a in copied:
        atom, copy = source.GetAtomWithIdx(a), target.GetAtomWithIdx(place[a])
        tag = atom.GetChiralTag()
        copy.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        if tag in (_CW, _CCW):
            _orient(copy, [place[_other(bond, atom)] for bond in atom.GetBonds()], tag == _CW)
    for bond in source.GetBonds():
        ends = (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        if bond.GetStereo() in (*_SAME_SIDE, *_OPPOSITE_SIDES) and not copied.isdisjoint(ends):
            first, second, left, right = (place[x] for x in (*ends, *bond.GetStereoAtoms()))
            pairs = ((first, second), (first, left), (second, right))
            if all(target.GetBondBetweenAtoms(*pair) for pair in pairs):
                trans = bond.GetStereo() in _OPPOSITE_SIDES
                _turn(target, (first, second), (left, right), trans)


def _orient(atom: Chem.Atom, around: Sequence[int], clockwise: bool) -> None:
    """Set a centre's mark from its neighbours' order; one of them may have come or gone.

    A missing neighbour is a hydrogen or lone pair; RDKit counts it last.
    """
    bonded = [_other(bond, atom) for bond in atom.GetBonds()]
    gone = [x for x in around if x not in bonded]
    come = [x for x in bonded if x not in around]
    if len(gone) > 1 or len(come) > 1:
        return
    before, after = list(around), list(bonded)
    if gone and come:
        before = [come[0] if x == gone[0] else x for x in before]
    elif come:
        before.append(come[0])
    elif gone:
        after.append(gone[0])
    if len(before) != len(after):
        return
    same = _is_even([after.index(x) for x in before])
    atom.SetChiralTag(_CW if clockwise == same else _CCW)


def _turn(mol: Chem.Mol, atoms: tuple[int, int], neighbours: tuple[int, int], trans: bool) -> None:
    """Set a double bond's mark from one neighbour of each of its atoms."""
    bond = mol.GetBondBetweenAtoms(*atoms)
    left, right = neighbours if bond.GetBeginAtomIdx() == atoms[0] else neighbours[::-1]
    bond.SetStereoAtoms(left, right)
    bond.SetStereo(_TRANS if trans else _CIS)


def _places(
    mol: Chem.Mol, kept: Sequence[int], points: Sequence[tuple[int, int]]
) -> dict[int, int]:
    """Where the core's atoms and what hangs at its attachment points are in a sample."""
    place = dict(enumerate(kept))
    inside = set(kept)
    new = {}
    for a in kept:
        around = [n.GetIdx() for n in mol.GetAtomWithIdx(a).GetNeighbors()]
        new[a] = sorted(x for x in around if x not in inside)
    for p, (atom, order) in enumerate(points):
        a = kept[atom]
        fitting = [n for n in new[a] if _fits(mol.GetBondBetweenAtoms(a, n), order)]
        if fitting:
            place[-1 - p] = fitting[0]
            new[a].remove(fitting[0])
    return place


def _fits(bond: Chem.Bond, order: int) -> bool:
    return bond.GetIsAromatic() or bond.GetBondTypeAsDouble() == order


def _other(bond: Chem.Bond, atom: Chem.Atom) -> int:
    return int(bond.GetOtherAtomIdx(atom.GetIdx()))


def _is_even(permutation: list[int]) -> bool:
    n = len(permutation)
    swaps = sum(permutation[i] > permutation[j] for i in range(n) for j in range(i + 1, n))
    return swaps % 2 == 0
