"""What a molecule leaves open: stereocentres and double bonds without a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rdkit import Chem
from rdkit.Chem import EnumerateStereoisomers

MAX_ISOMERS = 16
_enumeration: Any = EnumerateStereoisomers  # RDKit's module has no types


@dataclass(frozen=True)
class OpenStereo:
    """The undetermined part of a molecule's stereochemistry.

    Attributes:
        atoms: Indices of tetrahedral centres without a configuration.
        bonds: Indices of double bonds without a configuration.
        isomers: Canonical SMILES of distinct isomers, sorted, at most `MAX_ISOMERS`.
        n_possible: 2 to the power of the number of open elements: an upper bound of the number
            of isomers, since symmetry can make some of them equal.
    """

    atoms: tuple[int, ...]
    bonds: tuple[int, ...]
    isomers: tuple[str, ...]
    n_possible: int

    @property
    def n_open(self) -> int:
        """Number of open centres and double bonds."""
        return len(self.atoms) + len(self.bonds)


def open_elements(mol: Chem.Mol) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(atoms, bonds): indices of tetrahedral centres and double bonds left undetermined.

    A double bond to a nitrogen that bears nothing but hydrogen (amidines, guanidines) is none: its
    forms interchange, and no SMILES tells them apart.
    """
    atoms, bonds = [], []
    for element in Chem.FindPotentialStereo(Chem.Mol(mol)):
        if element.specified != Chem.StereoSpecified.Specified:
            if element.type == Chem.StereoType.Atom_Tetrahedral:
                atoms.append(int(element.centeredOn))
            elif element.type == Chem.StereoType.Bond_Double:
                bond = mol.GetBondWithIdx(element.centeredOn)
                if not any(map(_is_bare_nitrogen, (bond.GetBeginAtom(), bond.GetEndAtom()))):
                    bonds.append(int(element.centeredOn))
    return tuple(atoms), tuple(bonds)


def _is_bare_nitrogen(atom: Chem.Atom) -> bool:
    return bool(atom.GetAtomicNum() == 7 and atom.GetDegree() == 1)


def open_stereo(mol: Chem.Mol) -> OpenStereo:
    """Finds what is undetermined and lists its isomers; the same list on every call."""
    atoms, bonds = open_elements(mol)
    if not atoms and not bonds:
        return OpenStereo((), (), (), 1)
    options = _enumeration.StereoEnumerationOptions(
        onlyUnassigned=True, unique=True, maxIsomers=MAX_ISOMERS, rand=0
    )
    found = _enumeration.EnumerateStereoisomers(mol, options=options)
    isomers = {str(Chem.MolToSmiles(isomer)) for isomer in found}
    return OpenStereo(atoms, bonds, tuple(sorted(isomers)), 2 ** (len(atoms) + len(bonds)))
