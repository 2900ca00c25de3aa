"""Random forests for GSK3beta and JNK3, trained here: ours, not the models that PMO ships.

    MOLGEN_DATA=... .venv/bin/python -m experiments.pmo.forests [--folder FOLDER]

Data: the actives and inactives of Li et al. 2018 (https://doi.org/10.1186/s13321-018-0287-6), as
multiobj-rationale published them (Jin et al. 2020, https://arxiv.org/abs/2002.03244). As there, the
input is a binary Morgan fingerprint, radius 2, 2048 bits, and the score the share of trees' votes.
Rows of one structure (without stereochemistry) are merged; where their labels differ the structure
is left out. Two cross-validations, with folds by structure and by Murcko scaffold, give an AUROC
of compounds no tree has seen; the forest that is kept learns from all rows. It is stored as arrays
(safetensors), with a card beside it, outside the repository. Needs MOLGEN_DATA. Seed 20261125.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_matrix

from experiments.recording import stamp
from molgen.errors import DataError
from property_models.datasets import cache_folder, read_dataset
from property_models.molecules import scaffold

FOREST_TASKS = ("gsk3b_ours", "jnk3_ours")

_SEED = 20261125
_N_TREES = 100
_N_FOLDS = 3
_N_BITS = 2048


class Forest:
    """Trees as arrays, all nodes in a row: a leaf has child -1 and the share of actives."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take the arrays of `arrays_of`."""
        self._roots = arrays["roots"]  # (trees,) int32: node a tree starts at
        self._bit = arrays["bit"]  # (nodes,) int32: bit asked for
        self._children = arrays["children"]  # (nodes, 2) int32: next node where it is off, on
        self._share = arrays["share"]  # (nodes,) float32
        self._fingerprint = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_N_BITS)

    def __call__(self, mol: Chem.Mol) -> float:
        """Mean share of actives over the trees' leaves, in [0, 1]."""
        bits = self._fingerprint.GetFingerprintAsNumPy(mol)
        nodes = self._roots
        while True:
            following = self._children[nodes, bits[self._bit[nodes]]]
            ended = following < 0
            if ended.all():
                return float(self._share[nodes].mean(dtype=np.float64))
            nodes = np.where(ended, nodes, following)


def arrays_of(model: Any) -> dict[str, NDArray[Any]]:
    """The trees of a fitted scikit-learn RandomForestClassifier on bits, labels 0 and 1."""
    trees = [estimator.tree_ for estimator in model.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    children, shares = [], []
    for tree, start in zip(trees, starts, strict=False):
        both = np.stack([tree.children_left, tree.children_right], axis=1)
        children.append(np.where(both < 0, -1, both + start))
        counts = tree.value[:, 0, :]
        shares.append(counts[:, 1] / counts.sum(axis=1))
    return {
        "roots": starts[:-1].astype(np.int32),
        "bit": np.concatenate([tree.feature.clip(0) for tree in trees]).astype(np.int32),
        "children": np.concatenate(children).astype(np.int32),
        "share": np.concatenate(shares).astype(np.float32),
    }


def forests_folder() -> Path:
    """Where the forests lie unless told otherwise: beside the downloads of data sets."""
    return cache_folder() / "pmo_forests"


def load_forest(task: str, folder: Path | None = None) -> Callable[[Chem.Mol], float]:
    """A trained forest.

    Raises:
        DataError: it has not been trained yet.
    """
    from safetensors.numpy import load_file

    path = (folder or forests_folder()) / f"{task}.safetensors"
    if not path.is_file():
        raise DataError(
            f"{path}: no forest for {task}; train it with `python -m experiments.pmo.forests`"
        )
    return Forest(load_file(path))


# -- training -------------------------------------------------------------------------------


def structures(smiles: Sequence[str], active: NDArray[np.float64]) -> dict[str, float]:
    """Flat canonical SMILES to label; structures whose labels differ are left out."""
    labels: dict[str, set[float]] = {}
    with rdBase.BlockLogs():
        for text, label in zip(smiles, active, strict=True):
            mol = Chem.MolFromSmiles(text)
            if mol is not None and np.isfinite(label):
                labels.setdefault(Chem.MolToSmiles(mol, isomericSmiles=False), set()).add(label)
    return {text: found.pop() for text, found in labels.items() if len(found) == 1}


def fingerprints(mols: Sequence[Chem.Mol]) -> csr_matrix:
    """Bits of n molecules, (n, 2048); sparse, which trains five times as fast as dense."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_N_BITS)
    on = [list(generator.GetFingerprint(mol).GetOnBits()) for mol in mols]
    ends = np.cumsum([0, *map(len, on)])
    ones = np.ones(ends[-1], np.float32)
    return csr_matrix((ones, np.concatenate(on), ends), shape=(len(mols), _N_BITS))


def fit_forest(bits: csr_matrix, active: NDArray[np.float64]) -> Any:
    """A scikit-learn forest with its default settings."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(_N_TREES, random_state=_SEED, n_jobs=1).fit(bits, active)


def out_of_fold_auroc(
    bits: csr_matrix, active: NDArray[np.float64], groups: NDArray[np.int64]
) -> float:
    """AUROC of predictions by forests that saw no compound of the same group."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    scores = np.empty(len(active))
    folds = StratifiedGroupKFold(_N_FOLDS, shuffle=True, random_state=_SEED)
    for train, test in folds.split(bits, active, groups):
        scores[test] = fit_forest(bits[train], active[train]).predict_proba(bits[test])[:, 1]
    return float(roc_auc_score(active, scores))


def train(task: str, folder: Path) -> dict[str, Any]:
    """Judge and train the forest of a task; writes it with its card, which is returned."""
    from safetensors.numpy import save_file

    rows = read_dataset(task.removesuffix("_ours"))
    labels = structures([str(s) for s in rows.smiles], rows.values)
    mols = [Chem.MolFromSmiles(text) for text in labels]
    active = np.array(list(labels.values()))
    bits = fingerprints(mols)
    _, scaffolds = np.unique([scaffold(mol) for mol in mols], return_inverse=True)

    card = {
        "task": task,
        "n_active": int(active.sum()),
        "n_inactive": int((active == 0).sum()),
        "auroc_by_structure": out_of_fold_auroc(bits, active, np.arange(len(active))),
        "auroc_by_scaffold": out_of_fold_auroc(bits, active, scaffolds),
        "n_folds": _N_FOLDS,
        "n_trees": _N_TREES,
        "data": dict(rows.provenance),
        "stamp": stamp(seed=_SEED),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays_of(fit_forest(bits, active)), folder / f"{task}.safetensors")
    (folder / f"{task}.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=forests_folder())
    parser.add_argument("--task", choices=FOREST_TASKS, help="default: both")
    arguments = parser.parse_args()
    for task in [arguments.task] if arguments.task else FOREST_TASKS:
        card = train(task, arguments.folder)
        print(
            f"{task}: {card['n_active']} actives, {card['n_inactive']} inactives, AUROC "
            f"{card['auroc_by_structure']:.3f} by structure, {card['auroc_by_scaffold']:.3f} by "
            f"scaffold; in {arguments.folder}",
            flush=True,
        )


if __name__ == "__main__":
    main()
