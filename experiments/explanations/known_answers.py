"""Tasks whose true atom contributions are known, and how to compare with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

Array = NDArray[np.float64]
Truth = Callable[[Chem.Mol], Array]

TOP_SHARE = 1 / 3  # of a molecule's atoms counts as its top
_TIE = 1e-4

# SMARTS of functional groups and what each occurrence adds to the made-up property.
GROUP_WEIGHTS: dict[str, float] = {
    "[c][F,Cl,Br]": 1.0,
    "[CX3](=O)[OX2H1]": -2.0,
    "[NX3;!$(NC=[O,S,N]);!$(NS(=O)=O);!$(N-a);!$(N~[!#6;!#1])]([#6])": 1.5,
    "[#16X4](=O)(=O)": -1.0,
    "[CX3](=O)[NX3]": -0.5,
}


def crippen(mol: Chem.Mol) -> Array:
    """Crippen's logP contribution of each heavy atom with its hydrogens, shape (n_atoms,).

    Source: Wildman and Crippen 1999, https://doi.org/10.1021/ci990307l, as in RDKit.
    """
    with_h = Chem.AddHs(mol)
    per_atom = np.array(
        [logp for logp, _ in rdMolDescriptors._CalcCrippenContribs(with_h)], dtype=np.float64
    )
    found = per_atom[: mol.GetNumAtoms()].copy()
    for atom in list(with_h.GetAtoms())[mol.GetNumAtoms() :]:
        found[atom.GetNeighbors()[0].GetIdx()] += per_atom[atom.GetIdx()]
    return found


def functional_groups(mol: Chem.Mol) -> Array:
    """Weight of each occurrence of a group, in equal parts on its atoms, shape (n_atoms,)."""
    found = np.zeros(mol.GetNumAtoms())
    for smarts, weight in GROUP_WEIGHTS.items():
        for match in mol.GetSubstructMatches(Chem.MolFromSmarts(smarts)):
            found[list(match)] += weight / len(match)
    return found


TASKS: dict[str, Truth] = {"crippen_logp": crippen, "functional_groups": functional_groups}


def top_k_iou(attribution: Array, truth: Array) -> float:
    """Intersection over union of the k atoms that raise the value most, by both accounts.

    k is a third of the atoms, and more where the truth has ties at the border (the six equal
    carbons of a phenyl ring count together): otherwise chance decides which of equals is "true".
    It is less where fewer atoms raise the value at all; NaN where none does.
    """
    k = max(1, round(TOP_SHARE * len(truth)))
    border = max(float(np.sort(truth)[::-1][k - 1]), 2 * _TIE)
    true_atoms = set(np.flatnonzero(truth >= border - _TIE).tolist())
    if not true_atoms:
        return float("nan")
    order = np.argsort(-np.nan_to_num(attribution, nan=-np.inf), kind="stable")
    found = set(order[: len(true_atoms)].tolist())
    return len(found & true_atoms) / len(found | true_atoms)


def strict_top_k_iou(attribution: Array, truth: Array) -> float:
    """The same with k exactly a third of the atoms, ties broken by atom index."""
    k = max(1, round(TOP_SHARE * len(truth)))
    found, true_atoms = (
        set(np.argsort(-np.nan_to_num(a, nan=-np.inf), kind="stable")[:k].tolist())
        for a in (attribution, truth)
    )
    return len(found & true_atoms) / len(found | true_atoms)


def overlap(attribution: Array, truth: Array) -> float:
    """Cosine of the two; 0 where one is all zero."""
    a = np.nan_to_num(attribution)
    norm = float(np.linalg.norm(a) * np.linalg.norm(truth))
    return float(a @ truth) / norm if norm > 0 else 0.0


def varies(truth: Array) -> bool:
    """Whether there is anything to find: not all atoms alike, and some that raise the value."""
    return float(np.ptp(truth)) > _TIE and float(truth.max()) > _TIE
