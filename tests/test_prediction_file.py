"""`molgen predict`: every row comes back, in order, with its prediction or the reason for none."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.errors import ConfigError, DataError
from molgen.objectives import SHIPPED_PREDICTORS, prediction_file, prediction_workers
from molgen.objectives.prediction_file import predict_file
from property_models import load_predictors, predict_table
from property_models.errors import PropertyModelError
from tests.property_models.drugs import DRUGS

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
CAFFEINE = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"

pytestmark = pytest.mark.skipif(
    not (SHIPPED_PREDICTORS / "dili" / "card.json").is_file(),
    reason="the shipped predictors are not there",
)


@pytest.fixture
def predict(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Predict liver injury for the text of an input file; every cell as text."""

    def run(text: str | bytes, *, name: str = "in.csv", column: str = "smiles") -> pd.DataFrame:
        content = text.encode() if isinstance(text, str) else text
        (tmp_path / name).write_bytes(content)
        output = tmp_path / "out.csv"
        n_rows, n_failed = predict_file(
            str(tmp_path / name), output, endpoints=["dili"], smiles_column=column
        )
        table = pd.read_csv(output, dtype=str, keep_default_na=False)
        assert (n_rows, n_failed) == (len(table), int((table["reason"] != "").sum()))
        return table

    return run


def sdf(*records: tuple[str, str, dict[str, str]]) -> str:
    """An SDF of (title, SMILES, fields)."""
    text = io.StringIO()
    with Chem.SDWriter(text) as writer:
        for title, smiles, fields in records:
            mol = Chem.MolFromSmiles(smiles)
            mol.SetProp("_Name", title)
            for field, value in fields.items():
                mol.SetProp(field, value)
            writer.write(mol)
    return text.getvalue()


# -------------------------------------------------------------------------------------- predictions


def test_values_are_those_of_predict_table(predict: Callable[..., pd.DataFrame]) -> None:
    smiles = DRUGS[:20]
    found = predict("\n".join(smiles), name="in.smi")
    wanted = predict_table(load_predictors(SHIPPED_PREDICTORS, ["dili"]), smiles)
    assert list(found.columns) == ["smiles", "name", *wanted.columns]
    for part in ("dili", "dili_low", "dili_high", "dili_neighbour_similarity"):
        assert pd.to_numeric(found[part]).tolist() == pytest.approx(wanted[part].tolist())
    assert found["dili_in_domain"].tolist() == wanted["dili_in_domain"].astype(str).tolist()


def test_chunks_do_not_show_in_the_result(
    predict: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(["smiles,number", *(f"{s},{i}" for i, s in enumerate(DRUGS[:23]))])
    whole = predict(text)
    monkeypatch.setattr(prediction_file, "CHUNK_SIZE", 5)
    assert predict(text).equals(whole)
    assert whole["number"].tolist() == [str(i) for i in range(23)]


def test_without_a_choice_every_predictor_answers(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text(ASPIRIN)
    predict_file(str(tmp_path / "in.smi"), tmp_path / "out.parquet")
    table = pd.read_parquet(tmp_path / "out.parquet")
    endpoints = [folder.name for folder in SHIPPED_PREDICTORS.iterdir()]
    assert table[endpoints].notna().all(axis=None)


# ------------------------------------------------------------------------------------ kinds of file


def test_smiles_lines_bring_names_and_empty_lines_are_no_rows(
    predict: Callable[..., pd.DataFrame],
) -> None:
    found = predict(f"\ufeff{ASPIRIN}\tacetylsalicylic acid\n\n{CAFFEINE}\r\n", name="in.smi")
    assert found["smiles"].tolist() == [ASPIRIN, CAFFEINE]
    assert found["name"].tolist() == ["acetylsalicylic acid", ""]


def test_a_dash_reads_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{ASPIRIN}\noops\n".encode())))
    output = tmp_path / "out.csv"
    assert predict_file("-", output, endpoints=["dili"]) == (2, 1)
    assert pd.read_csv(output)["smiles"].tolist() == [ASPIRIN, "oops"]


def test_cells_of_a_table_come_back_as_they_stand(predict: Callable[..., pd.DataFrame]) -> None:
    text = f'id,structure,note\n007,{ASPIRIN},"a, ""b""\nc"\n1.50,{CAFFEINE},NA\n'
    found = predict(text, column="structure")
    assert found["id"].tolist() == ["007", "1.50"]
    assert found["note"].tolist() == ['a, "b"\nc', "NA"]
    assert (found["reason"] == "").all()


def test_tabs_separate_a_tsv(predict: Callable[..., pd.DataFrame]) -> None:
    found = predict(f"smiles\tname\n{ASPIRIN}\tone, two\n", name="in.tsv")
    assert found["name"].tolist() == ["one, two"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_beside_the_structure_survives(
    predict: Callable[..., pd.DataFrame], notes: list[str]
) -> None:
    table = pd.DataFrame({"note": notes, "smiles": [CAFFEINE] * len(notes)})
    assert predict(table.to_csv(index=False))["note"].tolist() == notes


def test_sdf_fields_become_columns_and_a_broken_record_keeps_its_row(
    predict: Callable[..., pd.DataFrame],
) -> None:
    good = sdf(("one", "OCC", {"batch": "7"}), ("three", CAFFEINE, {"note": "two\nlines"}))
    first, second = good.split("$$$$\n")[:2]
    broken = (
        first.replace("one", "two").replace(" C ", " Qx", 1).replace(">  <batch>", "> <lot> (1)")
    )
    found = predict("$$$$\n".join([first, broken, second, ""]), name="in.sdf")
    assert found["name"].tolist() == ["one", "two", "three"]
    assert found["smiles"].tolist() == ["CCO", "", Chem.CanonSmiles(CAFFEINE)]
    assert found["batch"].tolist() == ["7", "", ""]
    assert found["lot"].tolist() == ["", "7", ""]
    assert found["note"].tolist() == ["", "", "two\nlines"]
    assert found["reason"].tolist() == ["", "record 2: RDKit cannot read the structure", ""]


def test_the_fields_of_an_sdf_are_those_that_rdkit_reads(
    predict: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    text = sdf(*((f"m{i}", s, {"a": str(i), "b c": f"> {i} <"}) for i, s in enumerate(DRUGS[:9])))
    found = predict(text, name="in.sdf")
    for row, mol in zip(
        found.to_dict("records"), Chem.SDMolSupplier(str(tmp_path / "in.sdf")), strict=True
    ):
        assert {key: row[key] for key in ("a", "b c")} == mol.GetPropsAsDict(
            autoConvertStrings=False
        )
        assert row["smiles"] == Chem.MolToSmiles(mol)


def test_parquet_columns_keep_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "smiles": [ASPIRIN, None, CAFFEINE],
            "count": pa.array([1, None, 3], pa.int32()),
            "tags": [["a"], [], ["b", "c"]],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    output = tmp_path / "out.parquet"
    assert predict_file(str(tmp_path / "in.parquet"), output, endpoints=["dili"]) == (3, 1)
    found = pq.read_table(output)
    assert found.schema.field("count").type == pa.int32()
    assert found.select(["smiles", "count", "tags"]).to_pylist() == table.to_pylist()
    assert [value is None for value in found.column("dili").to_pylist()] == [False, True, False]
    predict_file(str(output), tmp_path / "again.csv", endpoints=["dili"])
    again = pd.read_csv(tmp_path / "again.csv", dtype=str, keep_default_na=False)
    assert again["count"].tolist() == ["1", "", "3"]


def test_tables_without_rows_give_tables_without_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"smiles": pa.array([], pa.string())}), tmp_path / "in.parquet")
    (tmp_path / "in.csv").write_text("smiles,name\n")
    for name in ("in.parquet", "in.csv"):
        written = tmp_path / "out.parquet"
        assert predict_file(str(tmp_path / name), written, endpoints=["dili"]) == (0, 0)
        found = pq.read_schema(tmp_path / "out.parquet")
        assert found.field("dili").type == pa.float64()
        assert pa.types.is_large_string(found.field("reason").type)


# ------------------------------------------------------------------------------- rows that go wrong


def test_a_bad_structure_is_a_row_with_a_reason(predict: Callable[..., pd.DataFrame]) -> None:
    found = predict(f"smiles,id\noops,1\n,2\n{ASPIRIN},3\n[Na+].[Cl-],4\n")
    assert found["id"].tolist() == ["1", "2", "3", "4"]
    assert [bool(value) for value in found["dili"]] == [False, False, True, False]
    assert found["reason"].tolist() == [
        "RDKit cannot parse the SMILES 'oops'", "empty SMILES", "", "has no carbon atom",
    ]  # fmt: skip


def test_a_line_with_too_many_cells_is_not_guessed_at(predict: Callable[..., pd.DataFrame]) -> None:
    found = predict(f"id,smiles,note\n1,{ASPIRIN}\n2,{CAFFEINE},a,b\n")
    assert found["note"].tolist() == ["", "a"]
    assert found["reason"].tolist()[0] == ""
    assert found["reason"].tolist()[1].startswith("line 3 has 4 cells, the header 3")


def test_an_input_column_that_is_named_like_a_result_gets_a_suffix(
    predict: Callable[..., pd.DataFrame],
) -> None:
    found = predict(f"smiles,dili,reason\n{ASPIRIN},measured,why not\n")
    assert found["dili_input"].tolist() == ["measured"]
    assert found["reason_input"].tolist() == ["why not"]
    assert 0 <= float(found["dili"][0]) <= 1
    found = predict(sdf(("one", "OCC", {"smiles": "mine"})), name="in.sdf")
    assert found[["smiles", "smiles_input"]].values.tolist() == [["CCO", "mine"]]


# -------------------------------------------------------------------------------- a user's mistakes


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("in.smi", "", "in.smi: is empty"),
        ("in.smi", "\n\n", "in.smi: holds no structure"),
        ("in.sdf", "\n\n", "in.sdf: holds no record"),
        ("in.csv", "SMILES,id\nC,1\n", r"no column 'smiles'.*SMILES, id.*--smiles-column"),
        ("in.csv", "smiles,a,a\nC,1,2\n", "two columns are called 'a'"),
        ("in.csv", "\nsmiles\nC\n", "the first line is empty"),
        ("in.csv", "smiles,dili,dili_input\nC,1,2\n", "'dili'.*'dili_input'.*rename"),
        ("in.csv", b"smiles,n\nC,1\nC,\xff\n", "line 3: cannot be read.*UTF-8"),
        ("in.csv", 'smiles\n"' + "C" * 140_000, "line 2: cannot be read.*field"),
        ("in.parquet", "no such thing", "cannot be read as Parquet"),
    ],
)
def test_a_broken_input_is_named(
    predict: Callable[..., pd.DataFrame], tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        predict(text, name=name)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("table", "output", "message"),
    [
        ("in.xlsx", "out.csv", "cannot read this kind of file; give .smi"),
        ("in.smi", "out.txt", "cannot write this kind of file; name a .csv or .parquet"),
        ("in.smi", "none/out.csv", "cannot be written .No such file"),
        ("in.smi", "folder.csv", "is a folder"),
    ],
)
def test_a_file_that_cannot_be_is_named(
    tmp_path: Path, table: str, output: str, message: str
) -> None:
    (tmp_path / table).write_text(ASPIRIN)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=message):
        predict_file(str(tmp_path / table), tmp_path / output)


def test_missing_files_and_unknown_endpoints_are_named(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with pytest.raises(DataError, match=r"none.smi: cannot be read .No such file"):
        predict_file(str(tmp_path / "none.smi"), output)
    (tmp_path / "in.smi").write_text(ASPIRIN)
    with pytest.raises(PropertyModelError, match=r"unknown endpoint 'dilli' .did you mean 'dili'"):
        predict_file(str(tmp_path / "in.smi"), output, endpoints=["dilli"])
    with pytest.raises(ConfigError, match="holds no predictor"):
        predict_file(str(tmp_path / "in.smi"), output, folder=tmp_path)


def test_a_failure_leaves_the_old_file_as_it_was(
    predict: Callable[..., pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = predict(f"smiles\n{ASPIRIN}\n")
    monkeypatch.setattr(prediction_file, "CHUNK_SIZE", 1)
    with pytest.raises(DataError):
        predict(b"smiles\nC\n\xff\n")
    assert pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False).equals(before)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
def test_a_quote_that_is_never_closed_swallows_no_row(
    name: str, predict: Callable[..., pd.DataFrame]
) -> None:
    separator = "," if name.endswith("csv") else "\t"
    rows = [["smiles", "name"], ["CCO", "a"], ["CCC", '"b'], ["CCN", "c"], ["CCF", "d"]]
    text = "\n".join(separator.join(cells) for cells in rows) + "\n"
    with pytest.raises(DataError, match="close every quoted cell"):
        predict(text, name=name)


# ----------------------------------------------------------------------------------------- workers


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks so small that a few molecules are work for several processes."""
    monkeypatch.setattr(prediction_file, "CHUNK_SIZE", 4)
    monkeypatch.setattr(prediction_workers, "MIN_CHUNKS", 2)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("ray", [None, "local"])
def test_any_number_of_workers_writes_the_same_file(ray: str | None, tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("\n".join([*DRUGS[:13], "oops", *DRUGS[13:18]]))

    def written(n_processes: int, ray: str | None) -> bytes:
        output = tmp_path / f"out_{n_processes}.csv"
        counts = predict_file(
            str(tmp_path / "in.smi"),
            output,
            endpoints=["dili"],
            n_processes=n_processes,
            ray=ray,
        )
        assert counts == (19, 1)
        return output.read_bytes()

    assert written(1, None) == written(2, ray)


@pytest.mark.usefixtures("small_chunks")
def test_what_is_wrong_with_the_predictors_is_said_before_processes_start(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("\n".join(DRUGS[:20]))
    with pytest.raises(PropertyModelError, match="did you mean 'dili'"):
        predict_file(
            str(tmp_path / "in.smi"), tmp_path / "out.csv", endpoints=["dilli"], n_processes=2
        )
    assert [path.name for path in tmp_path.iterdir()] == ["in.smi"]
