"""Groups of compounds by size, ionisation, lipophilicity and kind: where a predictor errs most.

The groups overlap; each is decided from the structure alone, so the same groups describe what a
table holds and where its predictor fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from property_models.descriptors import DESCRIPTOR_NAMES
from property_models.endpoints import Task
from property_models.evaluate import SIMILARITY_EDGES
from property_models.features import Features

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_COMPOUNDS = 30  # the mean error of fewer is mostly chance
FEW_SHARE = 0.02  # a kind of compound below this share counts as under-represented
MACROCYCLE_SIZE = 12  # atoms in the smallest ring; the usual definition
_WEIGHTS = (0.0, 250.0, 350.0, 450.0, 600.0, np.inf)  # g/mol
_LOGPS = (-np.inf, 0.0, 2.0, 4.0, np.inf)

# Charged at pH 7.4 in most molecules that have them. A rule of thumb, not a pKa prediction.
_ACID = (
    "[CX3](=O)[OX2H1]",  # carboxylic acid
    "[SX4](=O)(=O)[OX2H1]",  # sulfonic acid
    "[PX4](=O)[OX2H1]",  # phosphonic and phosphoric acid
    "[nH]1nnnc1",  # tetrazole
    "[nH]1nncn1",
    "[CX3](=O)[NX3H1][SX4](=O)=O",  # acyl sulfonamide
)
_BASE = (
    # An amine whose neighbours are all plain carbon: no amide, aniline, sulfonamide or hydrazine.
    "[NX3;H2,H1,H0;!$(N[#7,#8,#16,#15,F,Cl,Br,I]);!$(NC=[O,S,N]);!$(N[c,$(C=C),$(C#N)])]",
    "[NX3][CX3]=[NX2]",  # amidine, guanidine
    "[$([NX2]=[CX3][NX3])]",
)
_PERMANENT = ("[+;!$([+]~[-])]",)  # e.g. quaternary nitrogen; not a nitro group
_PEPTIDE = "[NX3][CX4][CX3](=O)[NX3][CX4][CX3](=O)[NX3][CX4][CX3]=O"  # three amino acids
_ORGANIC = frozenset([1, 6, 7, 8, 9, 15, 16, 17, 35, 53])


def groups_by_structure(features: Features) -> dict[str, Mask]:
    """Which compounds belong to which group.

    Args:
        features: Features of n molecules.

    Returns:
        Name of the group -> bool, shape (n,). Molecular weight in g/mol, Crippen logP; acid and
        base by functional group, for the uncharged form that predictors see.
    """
    groups: dict[str, Mask] = {}
    weight = features.descriptors[:, DESCRIPTOR_NAMES.index("MolWt")]
    logp = features.descriptors[:, DESCRIPTOR_NAMES.index("MolLogP")]
    for low, high in pairwise(_WEIGHTS):
        groups[_between("weight", low, high)] = (weight >= low) & (weight < high)
    for low, high in pairwise(_LOGPS):
        groups[_between("logP", low, high)] = (logp >= low) & (logp < high)
    acid, base, permanent = (_matching(features.mols, p) for p in (_ACID, _BASE, _PERMANENT))
    groups["acid"] = acid & ~base & ~permanent
    groups["base"] = base & ~acid & ~permanent
    groups["acid and base"] = acid & base & ~permanent
    groups["permanently charged"] = permanent
    groups["neither acid nor base"] = ~acid & ~base & ~permanent
    groups["acyclic"] = _where(features.mols, lambda mol: mol.GetRingInfo().NumRings() == 0)
    groups["macrocycle"] = _where(features.mols, _is_macrocycle)
    groups["peptide"] = _matching(features.mols, (_PEPTIDE,))
    groups["unusual element"] = _where(features.mols, _has_unusual_element)
    return groups


def groups_by_similarity(similarity: Array) -> dict[str, Mask]:
    """Groups by ECFP4 similarity to the nearest training compound, shape (n,): novelty."""
    groups = {}
    for low, high in pairwise(SIMILARITY_EDGES):
        inside = (similarity >= low) & ((similarity < high) | (high == SIMILARITY_EDGES[-1]))
        groups[f"similarity {low:g} to {high:g}"] = inside
    return groups


def groups_by_label(labels: Sequence[str], *, kind: str) -> dict[str, Mask]:
    """Groups by a label of each compound, such as its assay or source; '' belongs to none."""
    array = np.array(labels, dtype=object)
    return {f"{kind} {label}": array == label for label in sorted(set(labels) - {""})}


def errors_by_group(
    task: Task, measured: Array, value: Array, groups: Mapping[str, Mask]
) -> list[dict[str, Any]]:
    """Error of each group with enough compounds.

    The error is the mean absolute error (regression) or the Brier score (classification).

    Args:
        task: Of the endpoint.
        measured: Shape (n,).
        value: Held-out predictions, shape (n,).
        groups: As from the functions above.

    Returns:
        One entry a group of at least `MIN_COMPOUNDS`: slice, n, error, interval_95 (of the mean,
        by its standard error) and ratio to the error of all compounds; largest ratio first.
    """
    errors = np.abs(measured - value) if task == "regression" else (measured - value) ** 2
    overall = float(errors.mean())
    found = []
    for name, mask in groups.items():
        n = int(mask.sum())
        if n < MIN_COMPOUNDS or overall == 0.0:
            continue
        error = float(errors[mask].mean())
        margin = 1.96 * float(errors[mask].std(ddof=1)) / n**0.5
        found.append(
            {
                "slice": name,
                "n": n,
                "error": error,
                "interval_95": [max(error - margin, 0.0), error + margin],
                "ratio": error / overall,
            }
        )
    return sorted(found, key=lambda entry: (-entry["ratio"], entry["slice"]))


def worst_group(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entry of `errors_by_group` with the largest ratio that chance does not explain.

    Its interval must lie above the error of all compounds together; {} where none does.
    """
    for entry in entries:
        if entry["interval_95"][0] > entry["error"] / entry["ratio"]:
            return dict(entry)
    return {}


def under_represented(groups: Mapping[str, Mask]) -> dict[str, int]:
    """Groups that hold fewer than `FEW_SHARE` of the compounds, with their counts."""
    counts = {name: int(mask.sum()) for name, mask in groups.items()}
    return {name: count for name, count in counts.items() if count < FEW_SHARE * len(groups[name])}


def _between(name: str, low: float, high: float) -> str:
    if not np.isfinite(low) or (name == "weight" and low == 0.0):
        return f"{name} below {high:g}"
    return f"{name} {low:g} or more" if not np.isfinite(high) else f"{name} {low:g} to {high:g}"


def _where(mols: Sequence[Chem.Mol], test: Any) -> Mask:
    return np.array([bool(test(mol)) for mol in mols], bool)


def _matching(mols: Sequence[Chem.Mol], smarts: tuple[str, ...]) -> Mask:
    patterns = _patterns(smarts)
    return _where(mols, lambda mol: any(mol.HasSubstructMatch(p) for p in patterns))


@cache
def _patterns(smarts: tuple[str, ...]) -> list[Chem.Mol]:
    return [Chem.MolFromSmarts(text) for text in smarts]


def _is_macrocycle(mol: Chem.Mol) -> bool:
    return any(len(ring) >= MACROCYCLE_SIZE for ring in mol.GetRingInfo().AtomRings())


def _has_unusual_element(mol: Chem.Mol) -> bool:
    return any(atom.GetAtomicNum() not in _ORGANIC for atom in mol.GetAtoms())
