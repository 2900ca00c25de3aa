"""What the pieces of a molecule contribute: ring systems, linkers and substituents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import BRICS

from property_models.explain.attribution import Hiding, Score, attribute_parts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fragment:
    """A connected piece of a molecule.

    Attributes:
        atoms: Indices of its atoms in the molecule, ascending.
        smiles: With `*` where it was cut.
        is_ring: Whether it holds a ring.
    """

    atoms: tuple[int, ...]
    smiles: str
    is_ring: bool


@dataclass(frozen=True)
class FragmentContribution:
    """What a fragment does to the score; positive raises it.

    Attributes:
        fragment: The piece.
        atoms_sum: Sum of its atoms' attributions; NaN where one is missing.
        whole: Score of the molecule less its score with the whole fragment hidden at once. Where
            it differs much from `atoms_sum`, the atoms act together.
    """

    fragment: Fragment
    atoms_sum: float
    whole: float


def fragments(mol: Chem.Mol) -> list[Fragment]:
    """Cuts a molecule into pieces; every atom is in exactly one.

    Cut are the bonds of BRICS (Degen et al. 2008, https://doi.org/10.1002/cmdc.200800178) and
    every acyclic single bond at a ring, so ring systems stay whole and their substituents are
    pieces of their own.
    """
    cuts = {
        mol.GetBondBetweenAtoms(a, b).GetIdx()
        for (a, b), _ in BRICS.FindBRICSBonds(mol)  # type: ignore[no-untyped-call]  # no stub
    }
    for bond in mol.GetBonds():
        at_ring = bond.GetBeginAtom().IsInRing() or bond.GetEndAtom().IsInRing()
        if at_ring and not bond.IsInRing() and bond.GetBondType() == Chem.BondType.SINGLE:
            cuts.add(bond.GetIdx())
    # An isotope-free attachment point on both sides, so that equal pieces have equal SMILES.
    cut = Chem.FragmentOnBonds(mol, sorted(cuts), dummyLabels=[(0, 0)] * len(cuts)) if cuts else mol
    places: list[tuple[int, ...]] = []
    pieces = Chem.GetMolFrags(cut, asMols=True, fragsMolAtomMapping=places)
    n_atoms = mol.GetNumAtoms()
    found = [
        Fragment(
            tuple(sorted(a for a in atoms if a < n_atoms)),
            Chem.MolToSmiles(piece),
            piece.GetRingInfo().NumRings() > 0,
        )
        for piece, atoms in zip(pieces, places, strict=True)
    ]
    return sorted(found, key=lambda fragment: fragment.atoms)


def fragment_contributions(
    mols: Sequence[Chem.Mol],
    atom_attributions: Sequence[Array],
    score: Score,
    *,
    hiding: Hiding = "wildcard",
) -> list[list[FragmentContribution]]:
    """Contributions of the fragments of each molecule, the largest in size first.

    Args:
        mols: Molecules from `molecules.standardise`.
        atom_attributions: Of each, shape (n_atoms,), from any method.
        score: Of features; what the fragments are hidden from.
        hiding: How; see `attribution`.
    """
    pieces = [fragments(mol) for mol in mols]
    whole = attribute_parts(mols, [[f.atoms for f in p] for p in pieces], score, hiding=hiding)
    return [
        sorted(
            (
                FragmentContribution(f, float(np.sum(atoms[list(f.atoms)])), float(change))
                for f, change in zip(parts, changes, strict=True)
            ),
            key=_size,
            reverse=True,
        )
        for parts, atoms, changes in zip(pieces, atom_attributions, whole, strict=True)
    ]


def _size(contribution: FragmentContribution) -> float:
    found = contribution.whole if np.isfinite(contribution.whole) else contribution.atoms_sum
    return float(np.nan_to_num(abs(found)))
