"""Reading, cleaning and splitting tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from property_models.datasets import (
    Rows,
    Table,
    clean,
    dataset_path,
    known_structures,
    read_dataset,
    read_file,
    scaffold_folds,
)
from property_models.errors import DataError
from property_models.molecules import inchikey_block, scaffold


def rows_of(smiles: list[object], values: list[float]) -> Rows:
    return Rows(smiles, np.array(values, float), np.zeros(len(values), bool), {"file": "t.csv"})


def test_duplicates_are_averaged_for_regression() -> None:
    table = clean(rows_of(["CCO", "OCC", "CCN"], [1.0, 2.0, 5.0]), task="regression")
    assert table.values.tolist() == [1.5, 5.0]
    assert table.counts["n_duplicates_merged"] == 1


def test_conflicting_labels_are_dropped_for_classification() -> None:
    rows = rows_of(["CCO", "OCC", "CCN", "NCC", "CCC"], [1, 0, 1, 1, 0])
    table = clean(rows, task="classification")
    assert [m.smiles for m in table.molecules] == ["CCN", "CCC"]
    assert table.counts["n_conflicting_structures_dropped"] == 1
    assert table.counts["n_used"] == 2


def test_salts_of_one_compound_are_duplicates() -> None:
    table = clean(rows_of(["CC(=O)O", "CC(=O)[O-].[Na+]"], [1.0, 3.0]), task="regression")
    assert table.values.tolist() == [2.0]


def test_unusable_rows_are_counted_not_lost() -> None:
    table = clean(rows_of(["CCO", "xx", None, "CCN"], [1, 1, 1, np.nan]), task="regression")
    assert table.counts["n_unusable_structures"] == 2
    assert table.counts["n_without_value"] == 1
    assert table.counts["n_used"] == 1


def test_a_label_that_is_neither_0_nor_1_names_its_row() -> None:
    with pytest.raises(DataError, match=r"t\.csv: row 2: .* found 0\.5"):
        clean(rows_of(["CCO", "CCN"], [1, 0.5]), task="classification")


def test_folds_share_no_scaffold_and_have_about_the_same_size(logp_table: Table) -> None:
    folds = scaffold_folds(logp_table, 4)
    homes: dict[str, set[int]] = {}
    for molecule, fold in zip(logp_table.molecules, folds, strict=True):
        name = scaffold(molecule.mol)
        if name:
            homes.setdefault(name, set()).add(int(fold))
    assert all(len(found) == 1 for found in homes.values())
    assert np.ptp(np.bincount(folds)) <= 2
    assert np.array_equal(folds, scaffold_folds(logp_table, 4))


def test_acyclic_stereoisomers_share_a_fold() -> None:
    smiles: list[object] = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CCO", "CCCN", "CC(C)S"]
    table = clean(rows_of(smiles, [1, 2, 3, 4, 5]), task="regression")
    folds = scaffold_folds(table, 3)
    assert folds[0] == folds[1]


def test_too_few_scaffolds_are_a_data_error() -> None:
    table = clean(rows_of(["c1ccccc1C", "c1ccccc1CC"], [1, 2]), task="regression")
    with pytest.raises(DataError, match="only 1 scaffolds"):
        scaffold_folds(table, 2)


def test_csv_and_parquet_read_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame({"structure": ["CCO", "CCN"], "pic50": [5.0, np.nan]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    a, b = (
        read_file(tmp_path / name, smiles_column="structure", value_column="pic50")
        for name in ("a.csv", "a.parquet")
    )
    assert a.smiles == b.smiles == ["CCO", "CCN"]
    assert np.array_equal(a.values, b.values, equal_nan=True)
    assert a.provenance["sha256"] != b.provenance["sha256"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("smile,value\nCCO,1\n", "no column 'smiles' .did you mean 'smile'"),
        ("smiles,value\nCCO,1\nCCN,high\n", "row 2, column 'value': 'high' is no number"),
        ("", "cannot be read as a table"),
    ],
)
def test_a_broken_table_says_what_and_where(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_file(path)


def test_a_missing_or_unknown_kind_of_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_file(tmp_path / "none.csv")
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(DataError, match=r"give a \.csv or \.parquet"):
        read_file(tmp_path / "a.xlsx")


def test_a_data_set_that_is_not_at_hand_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MOLGEN_DATA", raising=False)
    with pytest.raises(DataError, match="set the environment variable MOLGEN_DATA"):
        dataset_path("ames")
    monkeypatch.setenv("MOLGEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="does not exist"):
        read_dataset("ames")
    with pytest.raises(DataError, match="did you mean 'ames'"):
        read_dataset("ammes")


def test_a_data_set_is_read_from_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "property").mkdir()
    pd.DataFrame(
        {
            "task": ["ames", "ames", "dili"],
            "split": ["test", "train_val", "test"],
            "smiles": ["CC(=O)[O-].[Na+]", "CCN", "CCC"],
            "y": [1.0, 0.0, 1.0],
        }
    ).to_parquet(tmp_path / "property" / "tdc_admet_group.parquet")
    monkeypatch.setenv("MOLGEN_DATA", str(tmp_path))
    rows = read_dataset("ames")
    assert rows.official_test.tolist() == [True, False]
    assert rows.provenance["file"] == "property/tdc_admet_group.parquet"
    known_structures.cache_clear()
    structures = known_structures("ames")
    known_structures.cache_clear()
    key = inchikey_block(Chem.MolFromSmiles("CC(=O)O"))
    assert structures is not None and structures[key] == "CC(=O)O"


def test_structures_are_none_where_the_data_is_not_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MOLGEN_DATA", raising=False)
    known_structures.cache_clear()
    assert known_structures("fxa_pki") is None
    assert known_structures("an endpoint of my own") is None
    known_structures.cache_clear()
