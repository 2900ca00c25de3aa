"""Trainings from the command line: what they print, leave behind and log."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from molgen.training import pretraining, running
from molgen.training.running import _close_predictor
from tests.commands import complaint, molgen
from tests.property_models.drugs import DRUGS

CONFIG = """
name: tiny
data: {file: drugs.smi, n_rooted_rings: 20, min_atom_count: 1}
network: {width: 32, n_layers: 1, n_heads: 2}
training: {n_molecules: 192, batch_size: 32, n_threads: 1}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("drugs.smi").write_text("\n".join(DRUGS))
    Path("tiny.yaml").write_text(CONFIG)
    return Path("tiny.yaml")


def test_pretraining_tells_its_numbers_and_goes_on_in_one_mlflow_run(config: Path) -> None:
    stopped = molgen("pretrain", config, "training.time_limit_s=1e-9")
    assert stopped.code == 0, stopped
    assert "go on with: molgen pretrain tiny.yaml training.time_limit_s=1e-9" in stopped.out
    done = molgen("pretrain", config)
    assert "192 molecules seen" in done.out and "nats a molecule in validation" in done.out
    assert "card: runs/tiny/card.json" in done.out
    assert "go on with" not in done.out
    assert json.loads(Path("runs/tiny/card.json").read_text())["n_molecules_seen"] == 192
    with sqlite3.connect("runs/mlflow.db") as store:
        assert store.execute("select name, status from runs").fetchall() == [("tiny", "FINISHED")]
        metrics = {row[0] for row in store.execute("select key from metrics")}
    store.close()
    assert "validation_nats" in metrics
    assert list(Path("runs/mlartifacts").rglob("card.json"))


def test_a_training_that_cannot_start_is_one_line(config: Path) -> None:
    Path("taken").touch()
    assert "--out taken: cannot be written" in complaint(
        molgen("pretrain", config, "--out", "taken")
    )
    assert "data.file" in complaint(molgen("pretrain", config, "data.file=none.smi"))
    assert "data.file" in complaint(molgen("pretrain", config, "--pack-only", "data.file=none.smi"))
    assert "none.safetensors" in complaint(
        molgen("pretrain", config, "start_from=none.safetensors")
    )
    assert not Path("runs").exists()
    Path("mine.yaml").write_text(
        "endpoint: {name: mine, task: regression, higher_is: better}\n"
        "data: {file: none.csv}\nmembers: [{kind: boosted_trees}]\n"
    )
    taken = molgen("train-predictor", "mine.yaml", "--out", "taken")
    assert "--out taken: cannot be written" in complaint(taken)
    assert "none.csv does not exist" in complaint(molgen("train-predictor", "mine.yaml"))


def test_a_training_interrupted_says_what_is_saved(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "pack", interrupt)
        assert "it has learnt nothing yet; go on with: molgen" in molgen("pretrain", config).err
    with monkeypatch.context() as patch:
        patch.setattr(running, "_show_training", lambda bar: interrupt)
        assert "what it has learnt is saved; go on with" in molgen("pretrain", config).err


def test_an_official_test_is_told_with_a_published_result_or_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test: dict[str, Any] = {"metric": "mae", "value": 0.5, "peer": ""}
    metrics = {"mae": 0.4, "intervals_95": {}}
    card = {"endpoint": "mine", "data": {"n_used": 99}, "metrics": metrics, "official_test": test}
    _close_predictor(card, tmp_path / "mine", tmp_path)
    assert "official test set: mae 0.500" in (told := capsys.readouterr().out)
    assert "to compare" not in told
    test |= {"peer": "a forest", "peer_value": 0.7}
    _close_predictor(card, tmp_path / "mine", tmp_path)
    assert "to compare: 0.7, a forest" in capsys.readouterr().out


def test_packing_alone_leaves_a_file_to_train_on_elsewhere(config: Path) -> None:
    Path("drugs.smi").write_text("\n".join([*DRUGS, "oops", DRUGS[0]]))
    packed = molgen("pretrain", config, "--pack-only")
    assert packed.code == 0, packed
    n = len(DRUGS) + 2
    assert (
        f"{n - 2} of {n} structures used; left out: 1 cannot be parsed, 1 duplicate" in packed.out
    )
    assert "python -m molgen.training.slices --packed runs/tiny/packed.npz" in packed.out
    assert [p.name for p in Path("runs/tiny").iterdir()] == ["packed.npz"]
    told = complaint(molgen("pretrain", config, "--pack-only", "start_from=shipped"))
    assert told.startswith("--pack-only: a packed file holds no weights")
