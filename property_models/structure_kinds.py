"""Kinds of compounds, told from the structure alone: one definition for reports and for cards.

The report on a table says of which kinds it holds too few (`coverage`), a predictor's card on
which kinds it errs (`slices`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Literal

from rdkit import Chem

Charge = Literal["acid", "base", "zwitterion", "neutral", "charged"]

MACROCYCLE_ATOMS = 12  # the usual definition
BORON = 5

_ACIDS = (
    "[CX3](=O)[OX2H1]",  # carboxylic
    "[#16X4](=O)(=O)[OX2H1]",  # sulfonic
    "[PX4](=O)[OX2H1]",  # phosphonic, phosphoric
    "c1nnn[nH]1",  # tetrazole, and its tautomer
    "c1nn[nH]n1",
    "[CX3](=O)[NX3H1][SX4](=O)=O",  # acyl sulfonamide
)
_BASES = (
    # aliphatic amine: no amide, aniline, enamine, cyanamide, N-N, N-O
    "[NX3;!$(N~[!#6;!#1]);!$(N-C=[O,N,S]);!$(N-c);!$(N-C=C);!$(N-C#N)]",
    "[NX3][CX3]=[NX2]",  # amidine, guanidine
    "[nX2]1c[nH]cc1",  # imidazole
)
_QUATERNARY = ("[+;!$([+]~[-])]",)  # not the nitrogen of a nitro group
_PEPTIDE = ("[NX3][CX4][CX3](=O)" * 3,)  # three residues of alpha-amino acids in a row
_USUAL_ELEMENTS = frozenset([1, 6, 7, 8, 9, 15, 16, 17, 35, 53])


def has(mol: Chem.Mol, smarts: Iterable[str]) -> bool:
    """Whether a molecule matches one of the patterns."""
    return any(mol.HasSubstructMatch(_pattern(text)) for text in smarts)


@cache
def _pattern(smarts: str) -> Chem.Mol:
    pattern = Chem.MolFromSmarts(smarts)
    assert pattern is not None, smarts
    return pattern


def charge_class(mol: Chem.Mol) -> Charge:
    """What a molecule is near pH 7 by its functional groups; 'charged' is so at any pH.

    A rough rule by patterns, not a pKa: strong enough to tell series apart, no more.
    """
    if Chem.GetFormalCharge(mol) != 0 or has(mol, _QUATERNARY):
        return "charged"
    acid, base = has(mol, _ACIDS), has(mol, _BASES)
    if acid and base:
        return "zwitterion"
    return "acid" if acid else "base" if base else "neutral"


def is_acyclic(mol: Chem.Mol) -> bool:
    """Whether there is no ring."""
    return bool(mol.GetRingInfo().NumRings() == 0)


def is_macrocycle(mol: Chem.Mol) -> bool:
    """Whether a ring has `MACROCYCLE_ATOMS` or more; rings around fused ones do not count."""
    return any(len(ring) >= MACROCYCLE_ATOMS for ring in mol.GetRingInfo().AtomRings())


def is_peptide(mol: Chem.Mol) -> bool:
    """Whether three or more residues of alpha-amino acids stand in a row."""
    return has(mol, _PEPTIDE)


def unusual_elements(mol: Chem.Mol) -> set[int]:
    """Atomic numbers of the elements that are rare in drugs, such as boron, silicon and metals."""
    return {atom.GetAtomicNum() for atom in mol.GetAtoms()} - _USUAL_ELEMENTS
