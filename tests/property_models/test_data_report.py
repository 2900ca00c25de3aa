"""The report on a table: true counts, kinds of compounds told apart, one page that stands alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from property_models.coverage import KINDS
from property_models.data_report import report_on, report_on_dataset, write_html
from property_models.datasets import Rows
from property_models.errors import DataError
from property_models.structure_kinds import charge_class
from tests.commands import molgen

CYCLOSPORIN_LIKE = "C1CCCCCCCCCCCCC(=O)NC1"


@pytest.fixture
def rows(logp_rows: Rows) -> Rows:
    """Drugs with their logP, one of them twice, one beyond use."""
    extra: list[object] = [logp_rows.smiles[0], "not a molecule", CYCLOSPORIN_LIKE]
    n = len(logp_rows) + len(extra)
    values = np.append(logp_rows.values, [logp_rows.values[0] + 0.4, 1.0, 4.0])
    return replace(
        logp_rows,
        smiles=[*logp_rows.smiles, *extra],
        values=values,
        official_test=np.arange(n) >= n - 3,
        relation=None,
        reasons=None,
        assay=["shake flask"] * (n - 1) + ["column"],
        year=np.full(n, 2001.0),
    )


def test_counts_add_up(rows: Rows) -> None:
    report = report_on(rows, title="mine", unit="log10")
    assert report.task == "regression"
    assert report.counts["n_rows_in"] == len(rows)
    assert report.dropped == {"structure not usable": 1}
    assert report.assays == {"shake flask": len(rows) - 1, "column": 1}
    assert report.years == {2001: len(report.compounds)}
    assert report.scaffolds["n"].sum() == (report.compounds["scaffold"] != "").sum()
    assert report.compounds["n_obs"].max() == 2


def test_a_test_row_that_was_trained_on_is_told(rows: Rows) -> None:
    leakage = report_on(rows, title="mine").leakage
    assert leakage is not None and len(leakage.rows) == 1 and leakage.n_test == 3
    no_split = replace(rows, official_test=np.zeros(len(rows), bool))
    assert report_on(no_split, title="mine").leakage is None


def test_rare_kinds_are_named(rows: Rows) -> None:
    kinds = report_on(rows, title="mine").kinds
    macrocycle = kinds.loc["macrocycle (ring of 12 atoms or more)"]
    assert macrocycle["n"] >= 1 and macrocycle["few"]
    assert kinds.loc["boron", "n"] == 0
    assert not kinds.loc["base", "few"]


@pytest.mark.parametrize(
    ("kind", "smiles"),
    [
        ("macrocycle", CYCLOSPORIN_LIKE),
        ("peptide", "NCC(=O)NC(C)C(=O)NC(Cc1ccccc1)C(=O)O"),
        ("covalent warhead", "C=CC(=O)Nc1ccccc1"),
        ("boron", "OB(O)c1ccccc1"),
        ("metal", "[Fe]CC"),
        ("permanently charged", "C[N+](C)(C)CCO"),
        ("acyclic", "CCCCO"),
        ("small", "CCO"),
        ("phosphorus", "CP(=O)(O)O"),
        ("undefined stereocentre", "CC(O)Cl"),
    ],
)
def test_each_kind_knows_its_own(kind: str, smiles: str) -> None:
    (test,) = [test for name, test in KINDS.items() if name.startswith(kind)]
    assert test(Chem.MolFromSmiles(smiles))
    assert not test(Chem.MolFromSmiles("CC(=O)Nc1ccc(Oc2ccccc2)cc1"))


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", "acid"),
        ("CNCCC(Oc1ccccc1)c1ccccc1", "base"),
        ("NC(Cc1ccccc1)C(=O)O", "zwitterion"),
        ("CC(=O)Nc1ccc(O)cc1", "neutral"),
        ("C[N+](C)(C)C", "charged"),
        ("CN(C)C(=N)NC(=N)N", "base"),
    ],
)
def test_charge_classes_of_known_compounds(smiles: str, expected: str) -> None:
    assert charge_class(Chem.MolFromSmiles(smiles)) == expected


def test_a_reversible_oxalamide_is_no_warhead() -> None:
    warhead = KINDS["covalent warhead"]
    assert not warhead(Chem.MolFromSmiles("CNC(=O)C(=O)Nc1ccccn1"))
    assert warhead(Chem.MolFromSmiles("CNC(=O)C(=O)CC"))


def test_a_table_of_ones_own_is_reported_by_the_rules_of_training(tmp_path: Path) -> None:
    twice = [f"{'C' * n}O,10,>\n{'C' * n}O,100000,=" for n in range(1, 8)]
    once = [f"{'C' * n}N,10,=" for n in range(1, 4)]
    (tmp_path / "T.CSV").write_text("\n".join(["smiles,ic50,sign", *twice, *once, ""]))
    asked = ["data", "report", tmp_path / "T.CSV", "-o", tmp_path / "r.html"]
    asked += ["--value-column", "ic50", "--unit", "nM", "--negative-log"]
    assert "3 compounds" in molgen(*asked).out  # four logarithms apart: in conflict
    assert "10 compounds" in molgen(*asked, "--conflict-limit", "5").out
    assert "10 compounds" in molgen(*asked, "--relation-column", "sign").out


def test_the_page_stands_alone_and_repeats(rows: Rows, tmp_path: Path) -> None:
    report = report_on(rows, title="<mine>", unit="log10")
    write_html(report, tmp_path / "a" / "report.html")
    write_html(report, tmp_path / "b.html")
    page = (tmp_path / "b.html").read_text()
    assert page == (tmp_path / "a" / "report.html").read_text()
    assert "&lt;mine&gt;" in page and "<mine>" not in page
    assert page.count("<svg") >= 5
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    for section in ("Values", "under-represented", "Scaffolds", "Duplicates", "Assays", "Years"):
        assert section in page


def test_labels_are_recognised_and_their_conflicts_shown(tmp_path: Path) -> None:
    smiles: list[object] = ["CCO", "OCC", "CCN", "CCC"]
    rows = Rows(smiles, np.array([1.0, 0.0, 1.0, 0.0]), np.zeros(4, bool))
    report = report_on(rows, title="labels")
    assert report.task == "classification" and report.conflicts == {"CCO": [1.0, 0.0]}
    write_html(report, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "1 of 2 compounds (50.0%) are positive" in page and "structures in conflict" in page


def test_a_table_without_a_usable_compound_is_a_data_error() -> None:
    rows = Rows(["xx"], np.array([1.0]), np.zeros(1, bool))
    with pytest.raises(DataError, match="no usable compound"):
        report_on(rows, title="empty")


def test_a_known_data_set_is_reported_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    monkeypatch.setenv("MOLGEN_DATA", str(tmp_path))
    (tmp_path / "property").mkdir()
    pd.DataFrame({"smiles": ["CCO", "CCN"], "NR-AR": [1, 0]}).to_parquet(
        tmp_path / "property" / "moleculenet_tox21.parquet"
    )
    report = report_on_dataset("tox21_nr_ar")
    assert report.task == "classification" and "NR-AR" in report.meaning


def test_a_repeated_bound_is_no_repeated_measurement(tmp_path: Path) -> None:
    smiles: list[object] = ["CCO", "CCO", "CCO", "CCN", "CCN", "CCC"]
    relation = np.array([">", ">", ">", "=", "=", "="])
    values = np.array([10.0, 10.0, 10.0, 2.0, 2.6, 3.0])
    rows = Rows(smiles, values, np.zeros(6, bool), relation=relation)
    write_html(report_on(rows, title="bounds"), tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "<th>compounds with several exact measurements</th><td>1</td>" in page
    assert "differ by less than 0.6:" in page  # not 0.3, as with a bound that agrees with itself
