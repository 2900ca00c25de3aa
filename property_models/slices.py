"""Groups of compounds by size, ionisation, lipophilicity and kind: where a predictor errs most.

The groups overlap; each is decided from the structure alone, so the same groups describe what a
table holds and where its predictor fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from property_models.descriptors import DESCRIPTOR_NAMES
from property_models.endpoints import Task
from property_models.evaluate import SIMILARITY_EDGES
from property_models.features import Features
from property_models.structure_kinds import (
    Charge,
    charge_class,
    is_acyclic,
    is_macrocycle,
    is_peptide,
    unusual_elements,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_COMPOUNDS = 30  # the mean error of fewer is mostly chance
FEW_SHARE = 0.02  # a kind of compound below this share counts as under-represented
_WEIGHTS = (0.0, 250.0, 350.0, 450.0, 600.0, np.inf)  # g/mol
_LOGPS = (-np.inf, 0.0, 2.0, 4.0, np.inf)
_CHARGES: dict[Charge, str] = {  # and the names of their groups
    "acid": "acid",
    "base": "base",
    "zwitterion": "acid and base",
    "charged": "permanently charged",
    "neutral": "neither acid nor base",
}


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
    charges = [charge_class(mol) for mol in features.mols]
    for charge, name in _CHARGES.items():
        groups[name] = np.array([found == charge for found in charges], bool)
    groups["acyclic"] = _where(features.mols, is_acyclic)
    groups["macrocycle"] = _where(features.mols, is_macrocycle)
    groups["peptide"] = _where(features.mols, is_peptide)
    groups["unusual element"] = _where(features.mols, unusual_elements)
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
