"""What a run folder keeps, and what of it a resume looks at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from molgen.campaign.reuse import known_scores
from molgen.campaign.run_folder import RunFolder, new_run_folder, open_run_folder
from molgen.campaign.wiring import execute, open_campaign
from molgen.config.loading import load_config
from molgen.errors import ConfigError
from molgen.ledger import Ledger, NewMolecule
from tests.campaign.campaigns import UP, nothing, tiny
from tests.campaign.scorers import LoggingOracle


def test_a_changed_scorer_is_noticed(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    oracle = LoggingOracle(tmp_path / "oracle")
    (tmp_path / "mine_for_this_test.py").write_text("def score(smiles): return [1] * len(smiles)")
    mine = {"type": "python", "name": "mine", "function": "mine_for_this_test:score",
            "desirability": UP}  # fmt: skip
    config = tiny(prior_file, oracle.component(), mine)
    path = new_run_folder(config, tmp_path / "run").path
    for file, name in (
        (oracle.program, f"scorer oracle: {oracle.program}"),
        (tmp_path / "mine_for_this_test.py", "scorer mine: mine_for_this_test"),
    ):
        whole = file.read_text()
        file.write_text(whole + "# changed\n")
        with pytest.raises(ConfigError, match=f"{name} has changed since the run began"):
            open_run_folder(path, [])
        with pytest.raises(ConfigError, match=f"{name} has changed since that run"):
            known_scores(tiny(prior_file, *[oracle.component(), mine],
                              ledger={"reuse_from": [str(path)]}))  # fmt: skip
        file.write_text(whole)
    # Earlier versions of molgen did not record them.
    recorded = RunFolder(path).manifest()["sha256"]
    old = {name: hash for name, hash in recorded.items() if not name.startswith("scorer ")}
    assert len(old) == len(recorded) - 2
    RunFolder(path).note(sha256=old)
    open_run_folder(path, [])


def test_a_run_that_was_killed_before_it_had_a_ledger_gets_one(
    prior_file: Path, tmp_path: Path
) -> None:
    config = tiny(prior_file)
    folder = new_run_folder(config, tmp_path / "run")
    with open_campaign(config, folder) as campaign:
        assert campaign.ledger.is_empty()


def test_a_run_finds_its_ledger_from_another_working_directory(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny(prior_file, ledger={"url": "sqlite:///led.db"})
    folder = new_run_folder(config, tmp_path / "run")
    assert load_config(folder.config_file).ledger.url == f"sqlite:///{tmp_path}/led.db"
    folder.take_up(config)
    assert load_config(folder.config_file).ledger.url == f"sqlite:///{tmp_path}/led.db"


def test_a_refused_resume_leaves_the_run_as_it_stood(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_run_folder(tiny(prior_file, budget={"n_rounds": 2}), tmp_path / "run").path
    RunFolder(path).note(status="finished")
    before = (path / "config.yaml").read_bytes()
    ledger = Ledger.open(path / "ledger.db", create=True)
    ledger.add(1, [NewMolecule("CCO", "key", "CCO", "", "policy", (), "pending")])
    ledger.close()
    folder, config = open_run_folder(path, ["budget.n_rounds=1"])
    with pytest.raises(ConfigError, match="1 are less than the 2 rounds"):
        execute(config, folder, nothing)

    def unreachable(*_: object) -> None:
        raise ConfigError("executor.address: cannot reach Ray")

    monkeypatch.setattr("molgen.campaign.wiring.make_executor", unreachable)
    folder, config = open_run_folder(path, ["executor.n_workers=7"])
    with pytest.raises(ConfigError, match="cannot reach Ray"):
        execute(config, folder, nothing)
    assert (path / "config.yaml").read_bytes() == before
    assert folder.manifest()["status"] == "finished"


def test_run_folders_are_numbered(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [new_run_folder(tiny(prior_file), None).path for _ in range(3)]
    assert names == [Path("runs") / n for n in ("tiny", "tiny-2", "tiny-3")]


def test_runs_that_start_together_do_not_share_a_folder(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tiny").mkdir(parents=True)  # another has made it, and nothing in it yet
    assert new_run_folder(tiny(prior_file), None).path == Path("runs/tiny-2")
    (tmp_path / "given").mkdir()
    assert new_run_folder(tiny(prior_file), tmp_path / "given").path == tmp_path / "given"
    monkeypatch.setattr("molgen.campaign.run_folder.check_new", lambda *_: None)  # both looked
    with pytest.raises(ConfigError, match="cannot be written"):
        new_run_folder(tiny(prior_file), tmp_path / "given")
