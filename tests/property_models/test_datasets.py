"""Finding and reading tables: known ones and the user's own."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from property_models.datasets import (
    dataset_path,
    known_structures,
    members_at_hand,
    read_dataset,
    read_file,
)
from property_models.errors import DataError
from property_models.measurements import read_numbers, text_column
from property_models.molecules import inchikey_block


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder and an empty folder of downloads."""
    data = tmp_path / "data"
    monkeypatch.setenv("MOLGEN_DATA", str(data))
    monkeypatch.setenv("MOLGEN_CACHE", str(tmp_path / "cache"))
    known_structures.cache_clear()
    return data


def write(folder: Path, file: str, columns: dict[str, list[object]]) -> None:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(folder / file)


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


# -- the user's own table -------------------------------------------------------------------


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
    with pytest.raises(DataError, match=message):
        read_file(csv(tmp_path, content))


def test_a_missing_or_unknown_kind_of_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_file(tmp_path / "none.csv")
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(DataError, match=r"give a \.csv or \.parquet"):
        read_file(tmp_path / "a.xlsx")


def test_signs_in_the_cells_are_read(tmp_path: Path) -> None:
    rows = read_file(csv(tmp_path, "smiles,value\nC,> 10\nCC,<0.5\nCCC,~3\nCCCC,2e-1\nCCCCC,\n"))
    assert np.array_equal(rows.values, [10, 0.5, 3, 0.2, np.nan], equal_nan=True)
    assert rows.relation is not None and rows.relation.tolist() == [">", "<", "=", "=", "="]


def test_a_concentration_becomes_a_potency_and_its_sign_turns(tmp_path: Path) -> None:
    path = csv(tmp_path, "smiles,ic50\nC,100\nCC,>10000\nCCC,0\n")
    rows = read_file(path, value_column="ic50", unit="nM", transform="neg_log10_molar")
    assert rows.values[:2] == pytest.approx([7.0, 5.0])
    assert rows.relation is not None and rows.relation.tolist() == ["=", "<", "="]
    assert rows.reasons is not None and "no logarithm" in rows.reasons[2]


def test_a_unit_column_brings_all_rows_to_one_unit(tmp_path: Path) -> None:
    text = "smiles,value,units,sign\nC,1,uM,'>'\nCC,20,nM,=\nCCC,3,ug/mL,<\n"
    path = csv(tmp_path, text)
    rows = read_file(path, unit="nM", unit_column="units", relation_column="sign")
    assert rows.values[:2] == pytest.approx([1000.0, 20.0])
    assert np.isnan(rows.values[2])
    assert rows.reasons == ["", "", "unit 'ug/mL' cannot be converted"]
    assert rows.relation is not None and rows.relation.tolist() == [">", "=", "<"]


def test_rows_without_a_unit_have_the_tables(tmp_path: Path) -> None:
    path = csv(tmp_path, "smiles,value,units\nC,1,uM\nCC,10,\n")
    rows = read_file(path, unit="nM", unit_column="units", transform="neg_log10_molar")
    assert rows.values == pytest.approx([6.0, 8.0])


def test_dates_are_read_as_years(tmp_path: Path) -> None:
    dates = pd.to_datetime(["2001-05-06", None])
    pd.DataFrame({"smiles": ["C", "CC"], "value": [1, 2], "day": dates}).to_parquet(
        tmp_path / "t.parquet"
    )
    year = read_file(tmp_path / "t.parquet", year_column="day").year
    assert year is not None and np.array_equal(year, [2001, np.nan], equal_nan=True)


def test_numbers_of_any_type_are_read(tmp_path: Path) -> None:
    cells = [Decimal("3.25"), None, Decimal("7"), True, np.float32(0.5), " > 10", pd.NA, pd.NaT]
    values, relations = read_numbers(cells, "t: ROW")
    wanted = [3.25, np.nan, 7.0, 1.0, 0.5, 10.0, np.nan, np.nan]
    assert np.array_equal(values, wanted, equal_nan=True)
    assert relations.tolist() == ["="] * 5 + [">"] + ["="] * 2
    table = pd.DataFrame({"smiles": ["C", "CC"], "value": [Decimal("1.5"), None]})
    table.to_parquet(tmp_path / "t.parquet")
    assert np.array_equal(read_file(tmp_path / "t.parquet").values, [1.5, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    "cell", [datetime.date(2020, 1, 1), [1.0, 2.0], b"3", 1j, "inf", float("inf"), "> -inf"]
)
def test_what_is_neither_number_nor_text_is_refused_with_its_row(cell: object) -> None:
    with pytest.raises(DataError, match=r"t: row 2: .* is no number"):
        read_numbers([1.0, cell], "t: ROW")


def test_a_transform_without_a_known_unit_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "smiles,value\nC,1\n")
    with pytest.raises(DataError, match=r"cannot convert the unit 'mg/L'.*which salt"):
        read_file(path, unit="mg/L", transform="neg_log10_molar")


def test_an_unknown_sign_is_a_reason_not_an_error(tmp_path: Path) -> None:
    path = csv(tmp_path, "smiles,value,sign\nC,1,?\nCC,2,>=\n")
    rows = read_file(path, relation_column="sign")
    assert rows.reasons == ["unknown relation '?'", ""]
    assert np.isnan(rows.values[0])


def test_a_part_of_the_rows_keeps_every_column(tmp_path: Path) -> None:
    path = csv(tmp_path, "smiles,value,year,assay\nC,1,1999,a\nCC,>2,2005,b\n")
    rows = read_file(path, year_column="year", assay_column="assay")
    part = rows.where(np.array([False, True]))
    assert part.smiles == ["CC"] and part.assay == ["b"]
    assert part.year is not None and part.year.tolist() == [2005.0]
    assert part.relation is not None and part.relation.tolist() == [">"]


def test_assays_named_by_numbers_keep_their_names(tmp_path: Path) -> None:
    path = csv(tmp_path, "smiles,value,assay\nC,1,101\nCC,2,102\nCCC,3,\nCCCC,4,101\n")
    assert read_file(path, assay_column="assay").assay == ["101", "102", "", "101"]
    found = text_column([101, 101.0, np.float32(2), 1.5, Decimal("7"), " a ", None, np.nan, pd.NA])
    assert found == ["101", "101", "2", "1.5", "7", "a", "", "", ""]


def test_a_year_column_without_a_year_is_refused_by_name(tmp_path: Path) -> None:
    dates = csv(tmp_path, "smiles,value,when\nC,1,\nCC,2,May 1999\n")
    with pytest.raises(DataError, match=r"no cell of column 'when' is a year.*'May 1999'"):
        read_file(dates, year_column="when")
    some = read_file(csv(tmp_path, "smiles,value,when\nC,1,n/k\nCC,2,1999\n"), year_column="when")
    assert some.year is not None and np.array_equal(some.year, [np.nan, 1999.0], equal_nan=True)
    empty = read_file(csv(tmp_path, "smiles,value,when\nC,1,\nCC,2,\n"), year_column="when")
    assert empty.year is not None and np.isnan(empty.year).all()


# -- known data sets ------------------------------------------------------------------------


def test_a_data_set_that_is_not_at_hand_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DataError, match=r"tdc_admet_group.parquet does not exist.*data fetch ames"):
        read_dataset("ames")
    monkeypatch.delenv("MOLGEN_DATA")
    with pytest.raises(DataError, match=r"MOLGEN_DATA is not set.*data fetch ames"):
        dataset_path("ames")
    with pytest.raises(DataError, match="did you mean 'ames'"):
        read_dataset("ammes")


def test_a_long_table_is_filtered_and_its_official_split_is_read(folders: Path) -> None:
    write(
        folders,
        "property/tdc_admet_group.parquet",
        {
            "task": ["ames", "ames", "dili"],
            "split": ["test", "train_val", "test"],
            "smiles": ["CC(=O)[O-].[Na+]", "CCN", "CCC"],
            "y": [1.0, 0.0, 1.0],
        },
    )
    rows = read_dataset("ames")
    assert rows.official_test.tolist() == [True, False]
    assert rows.provenance["file"] == "property/tdc_admet_group.parquet"
    structures = known_structures("ames")
    key = inchikey_block(Chem.MolFromSmiles("CC(=O)O"))
    assert structures is not None and structures[key] == "CC(=O)O"
    with pytest.raises(DataError, match="no row has task = 'hia_hou'"):
        read_dataset("hia_hou")


def test_a_wide_table_is_read_by_the_slug_of_a_column(folders: Path) -> None:
    write(
        folders,
        "property/moleculenet_toxcast.parquet",
        {"smiles": ["C", "CC"], "ATG_X.1_up": [1, None], "APR_Y_dn": [0, 1]},
    )
    assert members_at_hand("toxcast") == ["toxcast_atg_x_1_up", "toxcast_apr_y_dn"]
    assert members_at_hand("toxcast", min_compounds=2) == ["toxcast_apr_y_dn"]
    values = read_dataset("toxcast_atg_x_1_up").values
    assert np.array_equal(values, [1.0, np.nan], equal_nan=True)
    with pytest.raises(DataError, match="no column 'atg_x_1_dn'"):
        read_dataset("toxcast_atg_x_1_dn")


def test_a_table_is_filtered_by_several_columns_and_converted(folders: Path) -> None:
    write(
        folders,
        "efficacy/chembl_seh.parquet",
        {
            "smiles": ["C", "CC", "CCC", "CCCC"],
            "standard_type": ["IC50", "IC50", "Ki", "IC50"],
            "standard_units": ["nM", "nM", "nM", "uM"],
            "standard_relation": ["'='", "'>'", "'='", "'='"],
            "standard_value": [10.0, 1e5, 1.0, 1.0],
            "document_year": [2001, 2002, 2003, 2004],
        },
    )
    rows = read_dataset("chembl_seh")
    assert rows.values == pytest.approx([8.0, 4.0])
    assert rows.relation is not None and rows.relation.tolist() == ["=", "<"]
    assert rows.year is not None and rows.year.tolist() == [2001.0, 2002.0]


def test_values_that_a_source_cannot_mean_are_left_out_with_a_reason(folders: Path) -> None:
    write(
        folders,
        "efficacy/chembl_blsets_pki.parquet",
        {"smiles": ["C", "CC"], "target_chembl_id": ["CHEMBL1"] * 2, "pKi": [14.2, 6.0]},
    )
    rows = read_dataset("blsets_chembl1")
    assert rows.reasons == ["outside 2 to 12", ""]
    assert members_at_hand("blsets") == ["blsets_chembl1"]


def test_the_data_folder_comes_before_the_downloads(folders: Path, tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {"task": ["jnk3"], "smiles": ["C"], "active": [1]}
    write(tmp_path / "cache", "efficacy/gsk3b_jnk3_binary.parquet", columns)
    assert dataset_path("jnk3").is_relative_to(tmp_path / "cache")
    write(folders, "efficacy/gsk3b_jnk3_binary.parquet", columns)
    assert dataset_path("jnk3").is_relative_to(folders)


def test_structures_are_none_where_the_data_is_not_at_hand() -> None:
    assert known_structures("fxa_pki") is None
    assert known_structures("an endpoint of my own") is None


SCALED = {"smiles": ["COc1ccc(C(=O)N(C)C)cc1", "CCO"], "freesolv": [-1.874, -0.31]}


def test_scaled_hydration_energies_of_an_earlier_download_are_refused(
    folders: Path, tmp_path: Path
) -> None:
    file = "property/moleculenet_freesolv.parquet"
    write(tmp_path / "cache", file, SCALED)  # type: ignore[arg-type]  # list is invariant
    with pytest.raises(
        DataError, match=r"-1\.874, but it should be below -10.*fetch it again.*--force"
    ):
        read_dataset("moleculenet_freesolv")
    write(folders, file, SCALED)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"data/property/.*replace it, or remove it and run"):
        read_dataset("moleculenet_freesolv")
    write(folders, file, {**SCALED, "freesolv": [-11.01, -5.0]})
    assert read_dataset("moleculenet_freesolv").values.tolist() == [-11.01, -5.0]
