"""`molgen doctor` and `molgen data`: each line says what is there, or what to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from molgen import objectives
from molgen.doctor import data_lines, doctor_lines, find_data
from molgen.errors import ConfigError, DataError
from molgen.generator.weights import SHIPPED_PRIOR
from molgen.objectives import SHIPPED_PREDICTORS
from property_models import ENDPOINTS
from property_models.datasets import DATA_VARIABLE, DATASETS
from tests.commands import complaint, molgen

FXA_FILE = "efficacy/moleculeace_27targets.parquet"
SHIPPED = SHIPPED_PRIOR.is_file() and SHIPPED_PREDICTORS.is_dir()


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that holds one file."""
    folder = tmp_path / "data"
    (folder / FXA_FILE).parent.mkdir(parents=True)
    (folder / FXA_FILE).touch()
    monkeypatch.setenv(DATA_VARIABLE, str(folder))
    return folder


def about(text: str) -> str:
    """The one line of the doctor that holds a text."""
    (line,) = [line for line in doctor_lines() if text in line]
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
    for name, endpoint in ENDPOINTS.items():
        metric = "rmse" if endpoint.task == "regression" else "auroc"
        assert re.search(rf"✔ predictor {name}: {metric} \d\.\d+ .*, [\d,]+ compounds, \d", text)


@pytest.mark.skipif(not SHIPPED, reason="the shipped weights are not there")
def test_a_damaged_predictor_and_a_missing_one_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SHIPPED_PREDICTORS / "dili", tmp_path / "dili")
    with (tmp_path / "dili" / "trees.txt.gz").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(objectives, "SHIPPED_PREDICTORS", tmp_path)
    assert about("predictor dili").startswith("✗")
    assert "damaged" in about("predictor dili")
    assert "molgen train-predictor configs/predictors/ames.yaml" in about("predictor ames")


def test_data_files_are_told_one_by_one(data: Path) -> None:
    assert about(FXA_FILE) == f"✔ data: {data / FXA_FILE}"
    assert about("tdc_extra").startswith("✗")
    shutil.rmtree(data)
    assert about(DATA_VARIABLE) == f"✗ {DATA_VARIABLE}: {data} is no folder"


def test_a_place_where_runs_cannot_go_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    assert about(str(tmp_path / "runs")).startswith("✗")


# ------------------------------------------------------------------------------------------ data


def test_every_data_set_is_listed_with_its_terms(data: Path) -> None:
    lines = data_lines()
    for name in [*DATASETS, "chembl_structures"]:
        (number,) = [i for i, line in enumerate(lines) if f" {name}: " in line]
        assert lines[number].startswith("✔" if name == "moleculeace_fxa_ki" else "✗")
        assert "original: https://" in lines[number + 1]
        assert len(lines[number + 2].partition("licence: ")[2]) > 10
    assert str(data) in lines[-1]


def test_fetching_gives_the_file_or_says_where_it_comes_from(data: Path) -> None:
    assert find_data("moleculeace_fxa_ki") == data / FXA_FILE
    with pytest.raises(DataError) as caught:
        find_data("herg_karim")
    for piece in (
        "https://tdcommons.ai", "wnsgkchoi/ADMET", "CC BY 4.0", DATA_VARIABLE,
        "property/tdc_extra.parquet", "task with 'herg_karim'",
        "molgen train-predictor configs/predictors/herg_block.yaml data.file=",
    ):  # fmt: skip
        assert piece in str(caught.value)


def test_a_mistyped_data_set_is_a_users_fault() -> None:
    with pytest.raises(ConfigError, match="did you mean 'herg_karim'"):
        find_data("herg_karin")
    assert "unknown data set 'x'" in complaint(molgen("data", "fetch", "x"))
    outcome = molgen("data", "fetch", "ames")
    assert outcome.code == 2 and outcome.err.startswith("error: ames is not at hand")
    assert molgen("data", "list").code == 0
