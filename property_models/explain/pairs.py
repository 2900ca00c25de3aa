"""Matched molecular pairs: molecules that differ in one substituent, and what it changed.

Pairs share a core and differ in the group at one cut bond (Hussain and Rea 2010,
https://doi.org/10.1021/ci900450m); the cuts are RDKit's rdMMPA. A group is written as SMILES with
one attachment point, such as `Cl[*:1]`; hydrogen is `[H][*:1]`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdMMPA

Array = NDArray[np.float64]

HYDROGEN = "[H][*:1]"
MAX_GROUP_ATOMS = 10  # heavy atoms: beyond that a "replacement" is another molecule
_MAX_CUTS = 200  # bonds of one molecule; rdMMPA gives up above


@dataclass(frozen=True)
class Cut:
    """A molecule cut at one bond, or at one hydrogen.

    Attributes:
        core: The rest, SMILES with `[*:1]`.
        group: The substituent, SMILES with `[*:1]`.
    """

    core: str
    group: str


@dataclass(frozen=True)
class MatchedPair:
    """Two molecules that differ in one group.

    Attributes:
        first: Row of the one with `before`.
        second: Row of the one with `after`.
        core: What they share.
        before: Group of the first.
        after: Group of the second.
    """

    first: int
    second: int
    core: str
    before: str
    after: str


@dataclass(frozen=True)
class Replacement:
    """A change of one group into another, and what it did where it was measured.

    Attributes:
        before: Group, SMILES with `[*:1]`.
        after: Group, SMILES with `[*:1]`.
        n_pairs: Measured pairs; 0 for one that comes from a list.
        mean_change: Mean measured change; NaN without pairs.
        deviation: Standard deviation of the changes; NaN below two pairs.
    """

    before: str
    after: str
    n_pairs: int = 0
    mean_change: float = float("nan")
    deviation: float = float("nan")


def cuts(mol: Chem.Mol, *, hydrogens: bool = False) -> list[Cut]:
    """All ways to cut a group of at most `MAX_GROUP_ATOMS` heavy atoms off a larger core.

    Args:
        mol: Molecule; its stereochemistry is left out.
        hydrogens: Also each hydrogen as a group, equivalent ones once.
    """
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    with rdBase.BlockLogs():
        found = rdMMPA.FragmentMol(flat, maxCuts=1, maxCutBonds=_MAX_CUTS, resultsAsMols=False)
    pieces = {tuple(both.split(".")) for _, both in found}
    result = {
        Cut(core, group)
        for a, b in pieces
        for core, group in ((a, b), (b, a))
        if n_heavy(group) <= MAX_GROUP_ATOMS and n_heavy(group) < n_heavy(core)
    }
    if hydrogens:
        result |= {Cut(core, HYDROGEN) for core in _cores_less_a_hydrogen(flat)}
    return sorted(result, key=lambda cut: (cut.core, cut.group))


def join(core: str, group: str) -> str:
    """Canonical SMILES of a core with a group at its attachment point; '' where impossible."""
    with rdBase.BlockLogs():
        joined = Chem.MolFromSmiles(f"{core}.{group}")
        if joined is None:
            return ""
        try:
            whole = Chem.RemoveHs(Chem.molzip(joined))
            return str(Chem.MolToSmiles(whole))
        except (ValueError, RuntimeError):
            return ""


def n_heavy(smiles: str) -> int:
    """Heavy atoms of a group or core, attachment points not counted."""
    mol = Chem.MolFromSmiles(smiles)
    return sum(atom.GetAtomicNum() > 1 for atom in mol.GetAtoms()) if mol is not None else 0


def matched_pairs(mols: Sequence[Chem.Mol]) -> list[MatchedPair]:
    """All pairs of molecules that differ in one group, each in one direction.

    A pair that can be cut in several ways (phenyl by pyridyl, or benzyl by picolyl) is given
    once, with the smallest groups.
    """
    by_core: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row, mol in enumerate(mols):
        for cut in cuts(mol, hydrogens=True):
            by_core[cut.core].append((cut.group, row))
    best: dict[tuple[int, int], MatchedPair] = {}
    for core, members in by_core.items():
        for (before, first), (after, second) in combinations(sorted(members), 2):
            if first == second or before == after:
                continue
            pair = MatchedPair(first, second, core, before, after)
            key = (min(first, second), max(first, second))
            if key not in best or _group_size(pair) < _group_size(best[key]):
                best[key] = pair
    return [best[key] for key in sorted(best)]


def _group_size(pair: MatchedPair) -> tuple[int, str]:
    return len(pair.before) + len(pair.after), pair.core


def replacements_of(
    pairs: Iterable[MatchedPair], values: Array, *, min_pairs: int = 1
) -> list[Replacement]:
    """Replacements that measured pairs show, in both directions, the most frequent first.

    Args:
        pairs: From `matched_pairs`.
        values: Measured value by row, shape (n,).
        min_pairs: Rarer replacements are left out.
    """
    changes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for pair in pairs:
        change = float(values[pair.second] - values[pair.first])
        if np.isfinite(change):
            changes[pair.before, pair.after].append(change)
            changes[pair.after, pair.before].append(-change)
    found = [
        Replacement(
            before, after, len(seen), float(np.mean(seen)),
            float(np.std(seen, ddof=1)) if len(seen) > 1 else float("nan"),
        )
        for (before, after), seen in changes.items() if len(seen) >= min_pairs
    ]  # fmt: skip
    return sorted(found, key=lambda r: (-r.n_pairs, r.before, r.after))


def _cores_less_a_hydrogen(mol: Chem.Mol) -> Iterator[str]:
    """The molecule with one hydrogen replaced by `[*:1]`, for each distinct hydrogen."""
    seen = set()
    ranks = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    for atom in mol.GetAtoms():
        if not atom.GetTotalNumHs() or ranks[atom.GetIdx()] in seen:
            continue
        seen.add(ranks[atom.GetIdx()])
        editable = Chem.RWMol(mol)
        mark = Chem.Atom(0)
        mark.SetAtomMapNum(1)
        place = editable.AddAtom(mark)
        editable.AddBond(atom.GetIdx(), place, Chem.BondType.SINGLE)
        bearer = editable.GetAtomWithIdx(atom.GetIdx())
        bearer.SetNumExplicitHs(max(0, bearer.GetNumExplicitHs() - 1))
        core = editable.GetMol()
        if Chem.SanitizeMol(core, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
            # Read again: rdMMPA's cores are written from sanitised pieces in the same way.
            yield str(Chem.MolToSmiles(core))
