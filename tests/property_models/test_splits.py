"""Folds and parts: nothing that belongs together is torn apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.ML.Cluster import Butina

from property_models.cleaning import clean
from property_models.clusters import butina_clusters, packed_ecfp4
from property_models.datasets import Rows, Table
from property_models.errors import DataError
from property_models.molecules import scaffold
from property_models.splits import (
    Parts,
    cluster_folds,
    cluster_numbers,
    cluster_split,
    deepchem_split,
    scaffold_folds,
    time_split,
)
from tests.property_models.drugs import DRUGS


def table_of(smiles: list[object]) -> Table:
    values = np.arange(len(smiles), dtype=float)
    return clean(Rows(smiles, values, np.zeros(len(smiles), bool)), task="regression")


def covers(parts: Parts) -> bool:
    together = parts.train.astype(int) + parts.valid + parts.test
    return bool((together == 1).all())


def test_scaffold_folds_share_no_scaffold_and_have_about_the_same_size(logp_table: Table) -> None:
    folds = scaffold_folds(logp_table, 4)
    homes: dict[str, set[int]] = {}
    for molecule, fold in zip(logp_table.molecules, folds, strict=True):
        name = scaffold(molecule.mol)
        if name:
            homes.setdefault(name, set()).add(int(fold))
    assert all(len(found) == 1 for found in homes.values())
    assert np.ptp(np.bincount(folds)) <= 2
    assert np.array_equal(folds, scaffold_folds(logp_table, 4))


STEREOISOMERS: list[object] = [
    "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CCO", "CCCN", "CC(C)S", "c1ccccc1C", "CCOC(=O)C",
]  # fmt: skip


def test_stereoisomers_share_a_fold() -> None:
    table = table_of(STEREOISOMERS)
    for folds in (
        scaffold_folds(table, 3),
        cluster_folds(table, 3),
    ):
        assert folds[0] == folds[1]


def test_tautomers_that_inchi_merges_share_a_fold() -> None:
    table = table_of(["Cc1ccc[nH]1", "Cc1cnc[nH]1", "Cc1c[nH]cn1", "CCO", "CCCS"])
    assert table.inchikeys[1] == table.inchikeys[2]
    folds = cluster_folds(table, 3)
    assert folds[1] == folds[2]


def test_tautomers_with_other_rings_have_other_scaffolds() -> None:
    """What docs/data.md says of scaffold folds."""
    table = table_of(["Oc1ccccn1", "O=c1cccc[nH]1", "CCO"])
    assert table.inchikeys[0] == table.inchikeys[1]
    folds = scaffold_folds(table, 3)
    assert folds[0] != folds[1]


def test_too_few_groups_are_a_data_error() -> None:
    table = table_of(["c1ccccc1C", "c1ccccc1CC"])
    with pytest.raises(DataError, match="only 1 scaffolds"):
        scaffold_folds(table, 2)
    with pytest.raises(DataError, match="only 2 clusters"):
        cluster_folds(table, 3)


def test_clusters_are_those_of_rdkit() -> None:
    mols = [Chem.MolFromSmiles(smiles) for smiles in DRUGS]
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    fingerprints = [morgan.GetFingerprint(mol) for mol in mols]
    distances: list[float] = []
    for i in range(1, len(mols)):
        similar = DataStructs.BulkTanimotoSimilarity(fingerprints[i], fingerprints[:i])
        distances += [1 - value for value in similar]
    for limit in (0.3, 0.45):  # RDKit breaks ties between centres by the last row: compare sizes
        theirs = Butina.ClusterData(distances, len(mols), 1 - limit, isDistData=True)
        ours = np.bincount(butina_clusters(packed_ecfp4(mols), min_similarity=limit))
        assert ours.max() == max(map(len, theirs))
        assert abs(len(ours) - len(theirs)) <= 2


def test_every_compound_is_similar_to_the_centre_of_its_cluster() -> None:
    mols = [Chem.MolFromSmiles(smiles) for smiles in DRUGS]
    bits = np.unpackbits(packed_ecfp4(mols).view(np.uint8), axis=1).astype(int)
    common = bits @ bits.T
    similarity = common / (bits.sum(1)[:, None] + bits.sum(1) - common)
    clusters = butina_clusters(packed_ecfp4(mols), min_similarity=0.35)
    for number in np.unique(clusters):
        rows = np.flatnonzero(clusters == number)
        assert similarity[np.ix_(rows, rows)].min(axis=1).max() >= 0.35


def test_cluster_folds_hold_whole_clusters_and_repeat(logp_table: Table) -> None:
    folds, clusters = cluster_folds(logp_table, 4), cluster_numbers(logp_table)
    for number in np.unique(clusters):
        assert len(set(folds[clusters == number])) == 1
    assert np.ptp(np.bincount(folds)) <= 3
    assert np.array_equal(folds, cluster_folds(logp_table, 4))


def test_a_time_split_tests_on_the_newest(logp_table: Table) -> None:
    years = 1990.0 + np.arange(len(logp_table)) // 5
    years[0] = np.nan
    parts = time_split(replace(logp_table, year=years))
    assert covers(parts) and parts.train[0]
    assert np.nanmax(years[parts.train]) < years[parts.valid].min()
    assert years[parts.valid].max() < years[parts.test].min()
    assert abs(parts.test.mean() - 0.1) < 0.05


def test_a_time_split_without_years_is_a_data_error(logp_table: Table) -> None:
    with pytest.raises(DataError, match="0 known years leaves these parts of the split empty"):
        time_split(replace(logp_table, year=None))


def test_a_cluster_split_holds_whole_clusters(logp_table: Table) -> None:
    parts, clusters = cluster_split(logp_table), cluster_numbers(logp_table)
    assert covers(parts) and parts.valid.any() and parts.test.any()
    assert not set(clusters[parts.train]) & set(clusters[parts.test])
    assert abs(parts.test.mean() - 0.1) < 0.03


def test_deepchems_splits_cover_the_table(logp_table: Table) -> None:
    for kind in ("scaffold", "random", "butina"):
        parts = deepchem_split(logp_table, kind, seed=1)  # type: ignore[arg-type]
        assert covers(parts) and parts.test.any()
