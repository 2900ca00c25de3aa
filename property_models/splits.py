"""Splits of a table: folds for cross-validation; training, validation and test parts.

Folds are dealt: groups of compounds that must stay together (scaffolds, clusters) go, largest
first, each to the smallest fold so far.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from property_models.clusters import butina_clusters, packed_ecfp4
from property_models.datasets import Table
from property_models.errors import DataError
from property_models.molecules import scaffold

# Of ECFP4 to the centre of a cluster: a distance of 0.6, as in DeepChem's ButinaSplitter.
CLUSTER_SIMILARITY = 0.4

Folds = NDArray[np.int64]
Mask = NDArray[np.bool_]
DeepChemSplit = Literal["scaffold", "random", "butina"]


@dataclass(frozen=True)
class Parts:
    """Parts of a table; each a bool mask of shape (n,), every compound in exactly one."""

    train: Mask
    valid: Mask
    test: Mask


# -- folds ----------------------------------------------------------------------------------


def scaffold_folds(table: Table, n_folds: int) -> Folds:
    """Fold number of each compound; compounds that share a scaffold share a fold.

    Scaffold sets come from DeepChem's ScaffoldSplitter. Its k-fold split leaves folds of very
    unequal size, so the sets are dealt out here. Acyclic molecules have no scaffold in common
    and are grouped by connectivity instead. Stereoisomers always share a fold; tautomers do where
    their scaffolds are alike (hydroxypyridine and pyridone have different ones).

    Returns:
        int64, shape (n,), values 0 to n_folds - 1. The same table gives the same folds.

    Raises:
        DataError: Fewer scaffolds than folds.
    """
    groups: list[list[int]] = []
    for rows in _deepchem_scaffold_sets(table):
        if scaffold(_mols(table, rows[:1])[0]):
            groups.append(rows)
        else:
            groups.extend(_rows_by([table.inchikeys[row] for row in rows], rows))
    return _deal(groups, n_folds, "scaffolds")


def cluster_folds(
    table: Table, n_folds: int, *, min_similarity: float = CLUSTER_SIMILARITY
) -> Folds:
    """Fold number of each compound; compounds of one Taylor-Butina cluster share a fold.

    Harder than scaffolds: analogues with a changed ring stay together. Compounds with the same
    first InChIKey block (stereoisomers, tautomers) always share a fold. Two compounds of
    different clusters can still be alike, as only the similarity to a centre is bounded; and
    where one series makes up most of a table, its fold is larger than the others.

    Args:
        table: n compounds; time grows with n squared (20,000 take under a minute on one core),
            memory with n.
        n_folds: Number of folds.
        min_similarity: ECFP4 Tanimoto similarity to the centre of a cluster.

    Returns:
        int64, shape (n,), values 0 to n_folds - 1. The same table gives the same folds.

    Raises:
        DataError: Fewer clusters than folds.
    """
    clusters = cluster_numbers(table, min_similarity=min_similarity)
    return _deal(_rows_by(clusters.tolist(), range(len(table))), n_folds, "clusters")


def cluster_numbers(table: Table, *, min_similarity: float = CLUSTER_SIMILARITY) -> Folds:
    """Taylor-Butina cluster of each compound, int64, shape (n,); see `cluster_folds`."""
    groups = _rows_by(table.inchikeys, range(len(table)))
    bits = packed_ecfp4(_mols(table, [rows[0] for rows in groups]))
    clusters = np.empty(len(table), np.int64)
    for rows, number in zip(
        groups, butina_clusters(bits, min_similarity=min_similarity), strict=True
    ):
        clusters[rows] = number
    return clusters


def _mols(table: Table, rows: Iterable[int]) -> list[Chem.Mol]:
    found = [table.molecules[row].mol for row in rows]
    return [mol for mol in found if mol is not None]  # a table holds only molecules that have one


def _rows_by(keys: Sequence[object], rows: Iterable[int]) -> list[list[int]]:
    """The rows of each key, in the order in which keys first appear."""
    groups: dict[object, list[int]] = {}
    for key, row in zip(keys, rows, strict=True):
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _deal(groups: list[list[int]], n_folds: int, kind: str) -> Folds:
    n = sum(map(len, groups))
    cure = ", or lower `folds`" if len(groups) > 1 else ""
    cure += ", or leave this test out by `cluster_split: false`" if kind == "clusters" else ""
    if len(groups) < n_folds:
        raise DataError(
            f"{n} compounds have only {len(groups)} {kind}, too few for {n_folds} "
            f"folds: add compounds{cure}"
        )
    folds = np.empty(n, np.int64)
    sizes = np.zeros(n_folds, np.int64)
    for rows in sorted(groups, key=len, reverse=True):  # a stable sort: ties keep their order
        smallest = int(np.argmin(sizes))
        folds[rows] = smallest
        sizes[smallest] += len(rows)
    return folds


# -- parts ----------------------------------------------------------------------------------


def time_split(table: Table, *, valid_share: float = 0.1, test_share: float = 0.1) -> Parts:
    """Oldest compounds for training, the newest for the test.

    Compounds of one year are not torn apart, so shares are met as nearly as years allow.
    Compounds whose year is unknown go to training.

    Raises:
        DataError: Too few years to fill the parts that are asked for.
    """
    years = table.year if table.year is not None else np.full(len(table), np.nan)
    known = np.unique(years[np.isfinite(years)])
    age = np.where(np.isfinite(years), years, -np.inf)
    # share_from[i]: share of compounds of year known[i] or newer
    share_from = np.array([np.mean(age >= year) for year in known])

    def first_year(share: float) -> float:
        if not len(known) or share <= 0:
            return float("inf")
        return float(known[int(np.argmin(np.abs(share_from - share)))])

    test = age >= first_year(test_share)
    valid = (age >= first_year(valid_share + test_share)) & ~test
    parts = Parts(~test & ~valid, valid if valid_share > 0 else np.zeros(len(table), bool), test)
    _check_filled(parts, valid_share, test_share, f"a table with {len(known)} known years")
    return parts


def cluster_split(
    table: Table,
    *,
    valid_share: float = 0.1,
    test_share: float = 0.1,
    min_similarity: float = CLUSTER_SIMILARITY,
) -> Parts:
    """Whole Taylor-Butina clusters in each part: large ones in training, small ones in the test.

    Raises:
        DataError: Too few clusters to fill the parts.
    """
    clusters = cluster_numbers(table, min_similarity=min_similarity)
    groups = _rows_by(clusters.tolist(), range(len(table)))
    masks = {name: np.zeros(len(table), bool) for name in ("test", "valid", "train")}
    limits = {"test": test_share * len(table), "valid": valid_share * len(table)}
    for rows in sorted(groups, key=len):
        for name, limit in limits.items():
            if masks[name].sum() + len(rows) <= limit:
                masks[name][rows] = True
                break
        else:
            masks["train"][rows] = True
    parts = Parts(masks["train"], masks["valid"], masks["test"])
    _check_filled(parts, valid_share, test_share, f"a table with {len(groups)} clusters")
    return parts


def deepchem_split(
    table: Table,
    kind: DeepChemSplit,
    *,
    valid_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 0,
) -> Parts:
    """Parts by DeepChem's ScaffoldSplitter, RandomSplitter or ButinaSplitter.

    For comparison with published numbers. `seed` matters to 'random' alone; 'butina' keeps all
    pairwise distances and is for at most a few thousand compounds: see `cluster_split`.

    Raises:
        DataError: A part that is asked for is empty.
    """
    smiles = [molecule.smiles for molecule in table.molecules]
    with _silenced():
        import deepchem

        splitters = deepchem.splits
        splitter = {
            "scaffold": splitters.ScaffoldSplitter,
            "random": splitters.RandomSplitter,
            "butina": splitters.ButinaSplitter,
        }[kind]()
        shares = {
            "frac_train": 1.0 - valid_share - test_share,
            "frac_valid": valid_share,
            "frac_test": test_share,
        }
        found = splitter.split(_deepchem_dataset(smiles), seed=seed, **shares)
    masks = []
    for rows in found:
        mask = np.zeros(len(table), bool)
        mask[np.array(rows, np.int64)] = True
        masks.append(mask)
    parts = Parts(*masks)
    _check_filled(parts, valid_share, test_share, f"{len(table)} compounds")
    return parts


def _check_filled(parts: Parts, valid_share: float, test_share: float, what: str) -> None:
    wanted = {"train": 1.0, "valid": valid_share, "test": test_share}
    empty = [name for name, share in wanted.items() if share > 0 and not getattr(parts, name).any()]
    if empty:
        raise DataError(f"{what} leaves these parts of the split empty: {', '.join(empty)}")


# -- DeepChem -------------------------------------------------------------------------------


def _deepchem_dataset(smiles: Sequence[str]) -> Any:
    import deepchem

    return deepchem.data.NumpyDataset(X=np.zeros((len(smiles), 1)), ids=list(smiles))


def _deepchem_scaffold_sets(table: Table) -> list[list[int]]:
    """Rows of each scaffold set; every row is in exactly one."""
    smiles = [molecule.smiles for molecule in table.molecules]
    with _silenced():
        import deepchem

        splitter = deepchem.splits.ScaffoldSplitter()
        sets: list[list[int]] = splitter.generate_scaffolds(_deepchem_dataset(smiles))
    # Where RDKit finds no scaffold for a molecule DeepChem leaves it out: a set of its own.
    seen = {row for rows in sets for row in rows}
    return [list(rows) for rows in sets] + [[i] for i in range(len(smiles)) if i not in seen]


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keeps DeepChem quiet: it warns about optional packages and calls deprecated RDKit code."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            rdBase.BlockLogs(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
