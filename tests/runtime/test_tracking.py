"""MLflow: everything arrives in the store, and a dead store stops nothing."""

from __future__ import annotations

import logging
import math
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molgen.runtime import tracking
from molgen.runtime.tracking import Tracker, default_uri, no_tracker


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store made by the tracker itself, which takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with Tracker(uri=default_uri(folder), experiment="other", run_name="first", run_id=None) as t:
        assert t.run_id
    return folder / "mlflow.db"


@pytest.fixture
def start(template: Path, tmp_path: Path) -> Callable[..., Tracker]:
    (tmp_path / "runs").mkdir()
    shutil.copy(template, tmp_path / "runs" / "mlflow.db")
    uri = default_uri(tmp_path / "runs")

    def start(run_id: str | None = None) -> Tracker:
        return Tracker(uri=uri, experiment="molgen", run_name="demo", run_id=run_id)

    return start


def read(tracker: Tracker) -> Any:
    """The run as MLflow itself reads it back."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracker._uri).get_run(tracker.run_id)


def test_the_store_lies_beside_the_run_folders(
    template: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert template.is_file()
    monkeypatch.chdir(tmp_path)
    assert default_uri(Path("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"


def test_parameters_numbers_and_files_arrive(
    start: Callable[..., Tracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "report.html").write_text("<html>")
    with start() as tracker:
        tracker.params(
            {"budget.n_rounds": 3, "description": "x" * 7000} | {f"key.{i}": i for i in range(250)}
        )
        tracker.metrics({"reward_mean": 0.5, "loss": math.nan, "mean_my score (nM)": 2.0}, 0)
        tracker.metrics({"reward_mean": 0.7, "bound": math.inf}, 1)
        tracker.artifact(tmp_path / "report.html")
    run = read(tracker)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "demo"
    assert run.data.params["budget.n_rounds"] == "3"
    assert len(run.data.params) == 252
    assert run.data.metrics == {"reward_mean": 0.7, "mean_my score _nM_": 2.0}
    files = [p.name for p in (tmp_path / "runs" / "mlartifacts").rglob("*") if p.is_file()]
    assert files == ["report.html"]
    assert list((tmp_path / "elsewhere").iterdir()) == []  # nothing lands in the working folder


def test_a_thousand_numbers_are_one_step(start: Callable[..., Tracker]) -> None:
    with start() as tracker:
        tracker.metrics({f"m{i}": float(i) for i in range(1100)}, 4)
    assert len(read(tracker).data.metrics) == 1100


def test_a_resumed_run_goes_on_and_notes_what_was_changed(start: Callable[..., Tracker]) -> None:
    with pytest.raises(KeyboardInterrupt), start() as first:
        first.params({"seed": 1, "budget.n_rounds": 3})
        raise KeyboardInterrupt
    assert read(first).info.status == "KILLED"
    with start(first.run_id) as second:
        assert second.run_id == first.run_id
        assert read(second).info.status == "RUNNING"
        second.params({"seed": 1, "budget.n_rounds": 9, "new": 0})
        second.metrics({"reward_mean": 0.9}, 5)
    run = read(second)
    assert run.data.params == {"seed": "1", "budget.n_rounds": "3", "new": "0"}
    assert run.data.tags["resumed.budget.n_rounds"] == "9"
    assert run.info.status == "FINISHED"


def test_a_run_that_the_store_has_forgotten_starts_anew(start: Callable[..., Tracker]) -> None:
    with start("0123456789abcdef0123456789abcdef") as tracker:
        assert tracker.run_id not in ("", "0123456789abcdef0123456789abcdef")
    assert read(tracker).info.status == "FINISHED"


def test_a_run_that_raises_has_failed(start: Callable[..., Tracker]) -> None:
    with pytest.raises(ValueError, match="bug"), start() as tracker:
        raise ValueError("bug")
    assert read(tracker).info.status == "FAILED"


def test_what_cannot_be_written_is_left_out_and_the_rest_arrives(
    start: Callable[..., Tracker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with start() as tracker:
        tracker.artifact(tmp_path / "none.csv")
        tracker.metrics({"reward_mean": 0.5}, 0)
    assert read(tracker).data.metrics == {"reward_mean": 0.5}
    assert "MLflow refuses an entry" in caplog.text


def test_a_dead_server_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with Tracker(
        uri=f"http://127.0.0.1:{port}", experiment="molgen", run_name="demo", run_id="known"
    ) as tracker:
        for step in range(20):
            tracker.metrics({"reward_mean": 0.5}, step)
        tracker.params({"seed": 1})
    assert tracker.run_id == "known"
    assert [r.levelno for r in caplog.records if r.name == tracking.__name__] == [logging.WARNING]
    assert "does not answer; the run goes on" in caplog.text


def test_numbers_wait_until_the_store_is_back(
    start: Callable[..., Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = start()
    client = tracker._client
    assert client is not None
    with monkeypatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError("away")

        patch.setattr(client, "log_batch", refuse)
        tracker.metrics({"reward_mean": 0.5}, 0)
    tracker.metrics({"loss": 0.1}, 0)  # less than a minute later: not tried
    assert read(tracker).data.metrics == {}
    tracker.end("FINISHED")
    assert read(tracker).data.metrics == {"reward_mean": 0.5, "loss": 0.1}


def test_a_run_that_starts_when_the_store_is_back_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()  # a file where the store's folder belongs
    told: list[str] = []
    tracker = Tracker(
        uri=default_uri(tmp_path / "runs"), experiment="molgen", run_name="demo", run_id=None,
        on_new_run=told.append,
    )  # fmt: skip
    assert tracker.run_id == "" and told == []
    (tmp_path / "runs").unlink()
    tracker.end("FINISHED")
    assert told == [tracker.run_id] and read(tracker).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("postgresql://me:pa/ss@host:5432/db", "postgresql://***@host:5432/db"),
        ("url: 'https://host/score?key=abc&n=3#x'", "url: 'https://host/score?key=***&n=***#x'"),
        ("https://token@host/score", "https://***@host/score"),
        ("mail me@home, see http://host/a", "mail me@home, see http://host/a"),
    ],
)
def test_credentials_do_not_leave_the_run_folder(
    start: Callable[..., Tracker], tmp_path: Path, text: str, safe: str
) -> None:
    with start() as tracker:
        tracker.params({"url": text})
        tracker.text(f"a: {text}\n", "config.yaml")
    assert read(tracker).data.params["url"] == safe
    (file,) = (tmp_path / "runs" / "mlartifacts").rglob("config.yaml")
    assert file.read_text() == f"a: {safe}\n"


def test_no_tracker_does_nothing(tmp_path: Path) -> None:
    with no_tracker() as tracker:
        tracker.params({"seed": 1})
        tracker.metrics({"reward_mean": 0.5}, 0)
        tracker.artifact(tmp_path / "none")
        tracker.text("a: 1", "config.yaml")
        tracker.end("FINISHED")
    assert tracker.run_id == ""


# -- registered models ----------------------------------------------------------------------


def test_a_registered_folder_is_champion_until_a_better_one_comes(
    start: Callable[..., Tracker], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    folder = tmp_path / "logp"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    with start() as tracker:
        for value, data in ((0.5, "a"), (0.6, "a"), (0.4, "a"), (0.1, "b")):
            tracker.register(
                "logp", folder, metric="rmse", value=value, higher_is_better=False, data_sha256=data
            )
    client = MlflowClient(tracking_uri=tracker._uri)
    champion = client.get_model_version_by_alias("logp", "champion")
    assert (str(champion.version), champion.tags["value"]) == ("3", "0.4")
    # Better on other data: nobody can tell, so it waits for a decision.
    assert str(client.get_model_version_by_alias("logp", "candidate").version) == "4"
    assert champion.run_id == tracker.run_id
    assert list((tmp_path / "runs" / "mlartifacts").rglob("model/card.json"))
