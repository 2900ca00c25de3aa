"""RDKit's descriptors, computed once where RDKit's own functions compute a whole family each time.

The numbers are RDKit's (a test compares them). RDKit offers each bin of the surface-area families
as a function of its own, and computes the family for each; its E-state indices are a double loop
in Python; and most of its fragment patterns need elements that most molecules lack.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import Descriptors, Fragments, rdMolDescriptors
from rdkit.Chem.EState.EState import GetPrincipleQuantumNumber
from rdkit.Chem.EState.EState_VSA import estateBins, vsaBins

Array = NDArray[np.float64]

# Left out: slow for what they add (timed on 150 drug-like molecules, these take 3.4 of the 4.8 ms
# of RDKit's 217 descriptors), or undefined and huge outside the usual organic elements.
SLOW_OR_FRAGILE = frozenset(
    [
        "qed",
        "SPS",
        "Ipc",
        "AvgIpc",
        "BertzCT",
        "BalabanJ",
        "BCUT2D_MWHI",
        "BCUT2D_MWLOW",
        "BCUT2D_CHGHI",
        "BCUT2D_CHGLO",
        "BCUT2D_LOGPHI",
        "BCUT2D_LOGPLOW",
        "BCUT2D_MRHI",
        "BCUT2D_MRLOW",
        "MaxPartialCharge",
        "MinPartialCharge",
        "MaxAbsPartialCharge",
        "MinAbsPartialCharge",
        "MaxEStateIndex",
        "MinEStateIndex",
        "MaxAbsEStateIndex",
        "MinAbsEStateIndex",
        "FpDensityMorgan1",
        "FpDensityMorgan2",
        "FpDensityMorgan3",
        "NumRadicalElectrons",
        "NumValenceElectrons",
        "Chi0",
        "Chi1",
        "Chi3n",
        "Chi3v",
        "Chi4n",
        "Chi4v",
        "Kappa3",
        "Phi",
        "fr_para_hydroxylation",
        "fr_aryl_methyl",
        "fr_Ndealkylation1",
        "fr_Ndealkylation2",
        "fr_phenol_noOrthoHbond",
        "fr_nitro_arom_nonortho",
        "fr_ArN",
        "fr_phos_ester",
        "fr_allylic_oxid",
        "fr_phos_acid",
        "fr_dihydropyridine",
        "fr_azide",
        "fr_Al_OH_noTert",
    ]
)
_ALL: list[tuple[str, Callable[[Chem.Mol], Any]]] = [
    (name, function) for name, function in Descriptors.descList if name not in SLOW_OR_FRAGILE
]
DESCRIPTOR_NAMES: tuple[str, ...] = tuple(name for name, _ in _ALL)
# What RDKit raises for example for an element without parameters.
_UNDEFINED = (ValueError, RuntimeError, ZeroDivisionError)


def descriptor_row(mol: Chem.Mol) -> Array:
    """Descriptors of a molecule in the order of DESCRIPTOR_NAMES, float64; NaN where undefined."""
    row = np.full(len(_ALL), np.nan)
    # RDKit's own sequence of atoms asks for its length at each step.
    atoms = [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]
    for place, function in _SINGLE:
        row[place] = _number(function, mol)
    for places, bins, family in _FAMILIES:
        with contextlib.suppress(*_UNDEFINED):
            row[places] = np.asarray(family(mol, atoms))[bins]
    row[_FRAGMENT_PLACES] = _fragment_counts(mol, atoms)
    row[~(np.abs(row) < 1e6)] = np.nan  # also infinities
    return row


def _number(function: Callable[[Chem.Mol], Any], mol: Chem.Mol) -> float:
    try:
        return float(function(mol))
    except _UNDEFINED:
        return float("nan")


# -- surface-area families ------------------------------------------------------------------


def _estate_families(mol: Chem.Mol, atoms: Sequence[Chem.Atom]) -> Array:
    """EState_VSA1 to 11, then VSA_EState1 to 10: surface by E-state and E-state by surface.

    E-state indices: Hall, Mohney and Kier 1991, https://doi.org/10.1021/ci00001a012.
    """
    table = Chem.GetPeriodicTable()
    intrinsic = np.zeros(len(atoms))
    for i, atom in enumerate(atoms):
        degree, number = atom.GetDegree(), atom.GetAtomicNum()
        if degree > 0:
            n = GetPrincipleQuantumNumber(number)  # type: ignore[no-untyped-call]  # RDKit
            valence = table.GetNOuterElecs(number) - atom.GetTotalNumHs()
            intrinsic[i] = (4.0 / (n * n) * valence + 1) / degree
    indices = _estate(intrinsic, Chem.GetDistanceMatrix(mol)).tolist()
    surfaces = list(rdMolDescriptors._CalcLabuteASAContribs(mol)[0])
    by_estate, by_surface = np.zeros(len(estateBins) + 1), np.zeros(len(vsaBins) + 1)
    for index, surface in zip(indices, surfaces, strict=True):
        by_estate[bisect_right(estateBins, index)] += surface
        by_surface[bisect_right(vsaBins, surface)] += index
    return np.concatenate([by_estate, by_surface])


@njit(cache=True)
def _estate(intrinsic: Array, distances: Array) -> Array:
    """E-state index of each atom, summed in RDKit's order; pairs without a path do not count."""
    n = len(intrinsic)
    found = intrinsic.copy()
    for i in range(n):
        change = 0.0
        for j in range(n):
            p = distances[i, j] + 1.0
            if i != j and p < 1e6:
                change += (intrinsic[i] - intrinsic[j]) / (p * p)
        found[i] = intrinsic[i] + change
    return found


# -- fragments ------------------------------------------------------------------------------

_Needs = tuple[tuple[tuple[int, bool], int], ...]  # so many (element, aromatic) atoms
_SYMBOL = re.compile(r"\[?(Cl|Br|C|N|O|S|P|F|I|c|n|o|s)(?![a-z])")
_ELEMENTS = {"C": 6, "N": 7, "O": 8, "F": 9, "P": 15, "S": 16, "Cl": 17, "Br": 35, "I": 53}


def _fragment_counts(mol: Chem.Mol, atoms: Sequence[Chem.Atom]) -> list[int]:
    """Matches of each `fr_` pattern of DESCRIPTOR_NAMES, in their order."""
    have = Counter((atom.GetAtomicNum(), atom.GetIsAromatic()) for atom in atoms)
    return [
        len(mol.GetSubstructMatches(pattern)) if all(have[atom] >= n for atom, n in needs) else 0
        for pattern, needs in _PATTERNS
    ]


def _needs(pattern: Chem.Mol) -> _Needs:
    """Atoms without which the pattern cannot match: those its SMARTS names plainly."""
    found: Counter[tuple[int, bool]] = Counter()
    for atom in pattern.GetAtoms():
        smarts = atom.GetSmarts()
        symbol = _SYMBOL.match(smarts)
        if symbol and "," not in smarts:  # an alternative may be another element
            found[_ELEMENTS[symbol[1].capitalize()], symbol[1].islower()] += 1
    return tuple(found.items())


# -- what is computed how -------------------------------------------------------------------


def _family(prefix: str, first: int = 0) -> tuple[list[int], list[int]]:
    """Places in a row of the descriptors `<prefix>1`, `<prefix>2` ..., and their bins."""
    numbered = [
        (place, int(name.removeprefix(prefix)) - 1 + first)
        for place, name in enumerate(DESCRIPTOR_NAMES)
        if name.startswith(prefix)
    ]
    return [place for place, _ in numbered], [bin for _, bin in numbered]


def _joined(
    *families: tuple[list[int], list[int]],
) -> tuple[list[int], list[int]]:
    return [p for places, _ in families for p in places], [b for _, bins in families for b in bins]


_Family = Callable[[Chem.Mol, Sequence[Chem.Atom]], Sequence[float] | Array]
_FAMILIES: list[tuple[list[int], list[int], _Family]] = [
    (*_family("PEOE_VSA"), lambda mol, _: rdMolDescriptors.PEOE_VSA_(mol)),
    (*_family("SMR_VSA"), lambda mol, _: rdMolDescriptors.SMR_VSA_(mol)),
    (*_family("SlogP_VSA"), lambda mol, _: rdMolDescriptors.SlogP_VSA_(mol)),
    (
        *_joined(_family("EState_VSA"), _family("VSA_EState", len(estateBins) + 1)),
        _estate_families,
    ),
]
_SMARTS: dict[str, Chem.Mol] = {name: f.__defaults__[1] for name, f in Fragments.fns}
_FRAGMENT_PLACES = [i for i, name in enumerate(DESCRIPTOR_NAMES) if name in _SMARTS]
_PATTERNS: list[tuple[Chem.Mol, _Needs]] = [
    (_SMARTS[DESCRIPTOR_NAMES[i]], _needs(_SMARTS[DESCRIPTOR_NAMES[i]])) for i in _FRAGMENT_PLACES
]
_IN_FAMILIES = {place for places, _, _ in _FAMILIES for place in places} | set(_FRAGMENT_PLACES)
_SINGLE = [(i, function) for i, (_, function) in enumerate(_ALL) if i not in _IN_FAMILIES]
