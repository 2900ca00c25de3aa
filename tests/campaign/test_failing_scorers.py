"""What a scorer that fails, hangs up or takes its process with it costs: no score of others."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from molgen.campaign.loop import run_campaign
from molgen.campaign.run_folder import RunFolder, new_run_folder
from molgen.campaign.wiring import execute, open_campaign
from molgen.config.campaign import BudgetConfig, RunConfig
from molgen.config.loading import dump_config
from molgen.errors import ScorerError
from molgen.ledger import Ledger, NewMolecule
from tests.campaign.campaigns import (
    CHEAP,
    UP,
    ledger_of,
    nothing,
    resume,
    rounds_of,
    run,
    tiny,
)
from tests.campaign.scorers import Deadly, LoggingOracle
from tests.commands import molgen


def test_a_scorer_that_always_fails_stops_the_run_and_loses_nothing(
    prior_file: Path, tmp_path: Path
) -> None:
    oracle = LoggingOracle(tmp_path / "oracle")
    config = tiny(prior_file, CHEAP[0], oracle.component(), budget={"n_rounds": 2})
    (tmp_path / "config.yaml").write_text(dump_config(config))
    oracle.broken.touch()
    path = tmp_path / "run"
    outcome = molgen("run", tmp_path / "config.yaml", "--out", path)
    assert outcome.code == 3
    error, hint = sorted(outcome.err.strip().splitlines())
    assert error.startswith("error: oracle: failed 3 batches in a row (oracle: ")
    assert "the oracle is broken" in error
    assert hint == f"go on with: molgen run --resume {path}"
    stopped = ledger_of(path)
    paid = stopped[stopped["status"] != "filtered"]
    assert (paid["status"] == "pending").all()
    assert json.loads((path / "manifest.json").read_text())["status"] == "interrupted"

    with pytest.raises(ScorerError):  # not repaired yet
        resume(path)
    assert list(ledger_of(path)["smiles"]) == list(stopped["smiles"])
    oracle.broken.unlink()
    outcome = molgen("run", "--resume", path)
    assert outcome.code == 0, outcome.err
    assert f"look at {path / 'report.html'}" in outcome.out
    table = ledger_of(path)
    assert set(table["status"]) <= {"scored", "filtered", "duplicate"}
    assert table["round"].max() == 1
    whole = run(config, tmp_path / "whole")
    assert list(whole["smiles"]) == list(table["smiles"])
    np.testing.assert_array_equal(whole["reward"], table["reward"])


def test_failures_that_do_not_follow_each_other_stop_nothing(
    prior_file: Path, tmp_path: Path
) -> None:
    """Two failed shards, then the oracle works again."""
    oracle = LoggingOracle(tmp_path / "oracle")
    config = tiny(prior_file, oracle.component(), round_size=16, budget={"n_rounds": 3})
    oracle.broken.touch()

    def repair(number: int, statistics: dict[str, float]) -> None:
        oracle.broken.unlink(missing_ok=True)

    table = run(config, tmp_path / "run", repair)
    first = table[(table["round"] == 0) & (table["status"] != "filtered")]
    assert (first["status"] == "unscored").all()
    assert first["reason"].str.contains("the oracle is broken").all()
    assert "scored" in set(table[table["round"] > 0]["status"])
    rounds = rounds_of(tmp_path / "run")
    assert math.isnan(rounds.loc[0, "reward_mean"]) and rounds.loc[1, "reward_mean"] > 0


def test_rounds_whose_molecules_were_scored_later_get_their_numbers(
    prior_file: Path, tmp_path: Path
) -> None:
    """Two failed shards in round 0, which was closed, and one in round 1, which stopped the run."""
    oracle = LoggingOracle(tmp_path / "oracle")
    config = tiny(prior_file, oracle.component(), round_size=16, budget={"n_rounds": 2})
    oracle.broken.touch()
    with pytest.raises(ScorerError):
        run(config, tmp_path / "run")
    assert rounds_of(tmp_path / "run").loc[0, "n_scored"] == 0
    noted = rounds_of(tmp_path / "run").loc[0]
    oracle.broken.unlink()
    table = resume(tmp_path / "run").query("round == 0 and status == 'scored'")
    first = rounds_of(tmp_path / "run").loc[0]
    assert len(table) == first["n_scored"] and first["n_unscored"] == 0
    assert first["reward_mean"] == pytest.approx(table["reward"].mean())
    assert first["prior_reward_mean"] == first["reward_mean"]
    kept = ["n_proposed", "n_new", "seconds_round"]
    assert list(first[kept]) == list(noted[kept])


def begun(config: RunConfig, path: Path, smiles: Sequence[str]) -> RunFolder:
    """A run that was ended when these had been proposed in its first round."""
    folder = new_run_folder(config, path)
    ledger = Ledger.open(folder.ledger_file, create=True)
    ledger.add(0, [NewMolecule(s, f"key {s}", s, "", "sample", (), "pending") for s in smiles])
    ledger.close()
    return folder


def test_a_molecule_that_kills_its_worker_costs_no_other_its_score(
    prior_file: Path, tmp_path: Path
) -> None:
    config = tiny(prior_file, CHEAP[2], budget={"n_rounds": 1})
    folder = begun(config, tmp_path / "run", ["CCO", "CCF", "CCN", "CCCC"])
    with open_campaign(config, folder) as campaign:
        campaign.executor = Deadly(campaign.executor, "F")
        run_campaign(campaign, nothing)
    table = ledger_of(folder.path).set_index("smiles")
    assert table.loc["CCF", "status"] == "unscored" and math.isnan(table.loc["CCF", "reward"])
    assert "process that scored it died (signal 9)" in table.loc["CCF", "reason"]
    others = table.loc[["CCO", "CCN", "CCCC"]]
    assert (others["status"] == "scored").all() and (others["attempts"] == 2).all()


def test_a_scorer_that_kills_every_worker_stops_the_run_and_loses_nothing(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molgen.campaign.loop.MAX_FAILED_SHARDS", 1)
    config = tiny(prior_file, CHEAP[2], budget={"n_rounds": 1})
    names = ["CCF", "CCCF", "CCCCF", "CCCCCF"]
    folder = begun(config, tmp_path / "run", names)
    with open_campaign(config, folder) as campaign:
        campaign.executor = Deadly(campaign.executor, "F")
        told = r"a worker process died 3 times .* wait to be scored"
        with pytest.raises(ScorerError, match=told):
            run_campaign(campaign, nothing)
    table = ledger_of(folder.path).set_index("smiles")
    assert (table.loc[names, "status"] == "pending").all()
    # After two in a row that died alone the others were not sent again.
    assert list(table.loc[names, "attempts"]) == [2, 2, 1, 1]


def test_what_is_sent_once_at_most_is_sent_once_to_a_worker_that_dies(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which molecule of a batch did it cannot be found out then."""
    monkeypatch.setenv("TALLY_OF_DEATHS", str(tmp_path / "tally"))
    deadly = {"type": "python", "name": "deadly", "desirability": UP,
              "function": "tests.campaign.scorers:carbon_share_or_death"}  # fmt: skip
    config = tiny(prior_file, deadly, ledger={"resend": False}, executor__n_workers=2,
                  budget={"n_rounds": 1})  # fmt: skip
    names = ["CCO", "CCF", "CCN"]
    folder = begun(config, tmp_path / "run", names)
    table = resume(folder.path).set_index("smiles").loc[names]
    assert (table["status"] == "unscored").all() and (table["attempts"] == 1).all()
    assert table["reason"].str.contains(r"process that scored it died \(signal 9\)").all()
    assert (tmp_path / "tally").read_text().split() == names


def test_where_nothing_is_scored_patience_ends(prior_file: Path, tmp_path: Path) -> None:
    silent = {"type": "python", "name": "silent", "desirability": UP,
              "function": "tests.campaign.scorers:no_score"}  # fmt: skip
    config = tiny(prior_file, silent, budget={"patience": 2}, learning__enabled=False)
    ended, files = execute(config, new_run_folder(config, tmp_path / "run"), nothing)
    assert ended == "2 rounds without gain"
    assert len(rounds_of(tmp_path / "run")) == 3 and files.n_candidates == 0


@pytest.mark.parametrize("resend", [True, False])
def test_what_an_interrupted_run_had_sent_is_sent_again_or_left_unscored(
    prior_file: Path, tmp_path: Path, resend: bool
) -> None:
    oracle = LoggingOracle(tmp_path / "oracle")
    config = tiny(prior_file, oracle.component(), ledger={"resend": resend})
    run(config.model_copy(update={"budget": BudgetConfig(n_rounds=1)}), tmp_path / "run")
    ledger = Ledger.open(tmp_path / "run" / "ledger.db", create=False)
    new = [
        NewMolecule(smiles, f"key {smiles}", smiles, "", "policy", (), "pending")
        for smiles in ("CCO", "CCN", "CCC")
    ]
    ledger.add(1, new)  # a round was opened, two of its molecules were sent, and then: darkness
    ledger.mark_sent([row.id for row in ledger.pending()[:2]])
    ledger.close()
    table = resume(tmp_path / "run", "budget.n_rounds=2").set_index("smiles")
    assert list(table.loc[["CCO", "CCN", "CCC"], "attempts"]) == (
        [2, 2, 1] if resend else [1, 1, 1]
    )
    assert table.loc["CCC", "status"] == "scored"
    for smiles in ("CCO", "CCN"):
        assert (smiles in oracle.asked()) == resend
        assert table.loc[smiles, "status"] == ("scored" if resend else "unscored")
        assert resend or "ledger.resend is false" in table.loc[smiles, "reason"]
