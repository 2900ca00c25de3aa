"""`molgen doctor` and `molgen data`: each line says what is there, or what to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from molgen import objectives
from molgen.doctor import _devices, data_lines, doctor_lines, fetch_data
from molgen.errors import DataError
from molgen.generator.weights import SHIPPED_PRIOR
from molgen.objectives import SHIPPED_PREDICTORS
from property_models import errors
from property_models.datasets import CACHE_VARIABLE, DATA_VARIABLE
from property_models.predictor import available
from property_models.sources import DATASETS
from tests.commands import complaint, molgen

FXA_FILE = "efficacy/moleculeace_27targets.parquet"
SHIPPED = SHIPPED_PRIOR.is_file() and SHIPPED_PREDICTORS.is_dir()


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that holds one file."""
    folder = tmp_path / "data"
    (folder / FXA_FILE).parent.mkdir(parents=True)
    (folder / FXA_FILE).touch()
    monkeypatch.setenv(DATA_VARIABLE, str(folder))
    return folder


def about(text: str, lines: list[str] | None = None) -> str:
    """The one line of the doctor that holds a text; asks the doctor where no lines are given."""
    (line,) = [line for line in lines or doctor_lines() if text in line]
    return line


# ---------------------------------------------------------------------------------------- doctor


@pytest.mark.skipif(not SHIPPED, reason="the shipped weights are not there")
def test_a_whole_installation_misses_nothing_but_the_data() -> None:
    lines = doctor_lines()
    assert all(line[:2] in ("✔ ", "✗ ") for line in lines)
    (missing,) = [line for line in lines if line.startswith("✗")]
    assert f"{DATA_VARIABLE} is not set" in missing
    text = "\n".join(lines)
    for piece in ("Python 3.11", "torch 2", "ray 2", "mlflow 3", "CPU:", "disk:", "runs go to"):
        assert piece in text
    assert re.search(
        r"prior: .* weights, [\d,]+ molecules seen in training, sha256 \w{12}$", text, re.M
    )
    for name in available(SHIPPED_PREDICTORS):
        assert re.search(
            rf"✔ predictor {name}: (rmse|auroc) \d+\.\d+ .*, [\d,]+ compounds, \d", text
        )


@pytest.mark.skipif(not SHIPPED, reason="the shipped weights are not there")
def test_a_damaged_predictor_and_a_missing_one_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SHIPPED_PREDICTORS / "dili", tmp_path / "dili")
    with (tmp_path / "dili" / "trees.txt.xz").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(objectives, "SHIPPED_PREDICTORS", tmp_path)
    lines = doctor_lines()
    assert about("predictor dili", lines).startswith("✗")
    assert "damaged" in about("predictor dili", lines)
    assert "molgen train-predictor configs/predictors/ames.yaml" in about("predictor ames", lines)


def test_a_gpu_is_told_what_it_is_good_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        total_memory = 80e9

    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: Gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "H1")
    (line,) = [line for line in _devices() if "GPU" in line]
    assert line.endswith("H1, 80 GB; sampling and campaigns compute on the CPU; training of the "
                         "generator uses the GPU")  # fmt: skip


def test_data_files_are_told_one_by_one(data: Path) -> None:
    lines = doctor_lines()
    assert about(FXA_FILE, lines) == f"✔ data: {data / FXA_FILE}"
    assert about("tdc_extra", lines).startswith("✗")
    shutil.rmtree(data)
    assert about(DATA_VARIABLE) == f"✗ {DATA_VARIABLE}: {data} is no folder"


def test_a_place_where_runs_cannot_go_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    assert about(str(tmp_path / "runs")).startswith("✗")


# ------------------------------------------------------------------------------------------ data


def test_every_table_is_listed_with_its_terms(data: Path) -> None:
    lines = data_lines()
    for source in DATASETS.values():
        (number,) = [i for i, line in enumerate(lines) if f" {Path(source.file).stem}: " in line]
        assert lines[number].startswith("✔" if source.file == FXA_FILE else "✗")
        assert "original: https://" in lines[number + 1]
        assert len(lines[number + 2].partition("licence: ")[2]) > 10
    assert any("chembl_structures" in line for line in lines)
    assert str(data) in lines[-1]


def test_fetching_gives_the_file_that_is_at_hand(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("moleculeace_fxa_ki", "fxa_pki", "moleculeace_27targets"):
        assert fetch_data(name) == data / FXA_FILE
    assert "CC BY-SA 3.0" in capsys.readouterr().out


def test_what_cannot_be_fetched_says_where_it_comes_from() -> None:
    with pytest.raises(DataError, match="ETHmodlab/BIMODAL"):
        fetch_data("chembl_structures")
    with pytest.raises(errors.DataError, match="wenhao-gao/mol_opt"):
        fetch_data("seh_pic50")


def test_a_mistyped_data_set_is_a_users_fault() -> None:
    with pytest.raises(errors.DataError, match="did you mean 'herg_karim'"):
        fetch_data("herg_karin")
    assert "unknown data set 'x'" in complaint(molgen("data", "fetch", "x"))
    assert molgen("data", "list").code == 0


def test_a_report_on_a_table_is_one_page(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("structure,ic50\nCCO,>100\nCCN,20\nc1ccccc1,5\n")
    outcome = molgen(
        "data", "report", "mine.csv", "-o", "report.html", "--smiles-column", "structure",
        "--value-column", "ic50", "--unit", "nM", "--negative-log",
    )  # fmt: skip
    assert outcome.code == 0 and outcome.out.startswith("3 compounds in report.html")
    assert "-log10(mol/L)" in (tmp_path / "report.html").read_text()
    outcome = molgen("data", "report", "ames", "-o", "report.html")
    assert outcome.code == 2 and "molgen data fetch ames" in outcome.err


def test_a_report_that_cannot_be_written_is_a_users_fault(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("smiles,value\nCCO,1\nCCN,2\nc1ccccc1,5\n")
    (tmp_path / "folder.html").mkdir()
    outcome = molgen("data", "report", "mine.csv", "-o", "folder.html")
    assert outcome.code == 2 and "folder.html: cannot be written" in outcome.err
    assert not list(tmp_path.glob("*.part"))
