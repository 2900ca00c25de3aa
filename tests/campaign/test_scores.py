"""No score is lost, sent twice where it must not be, or taken for another run's."""

from __future__ import annotations

from pathlib import Path

import pytest

from molgen.campaign.loop import run_campaign
from molgen.campaign.run_folder import new_run_folder, open_run_folder
from molgen.campaign.wiring import open_campaign
from molgen.errors import ConfigError
from tests.campaign.campaigns import UP, assert_same_ledger, ledger_of, nothing, resume, run, tiny
from tests.campaign.scorers import Interrupted, Slow


@pytest.mark.parametrize("silent", [(), (0,)])
def test_ctrl_c_loses_no_score_that_was_answered(
    prior_file: Path, tmp_path: Path, silent: tuple[int, ...]
) -> None:
    config = tiny(prior_file, budget={"n_rounds": 1})
    folder = new_run_folder(config, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), open_campaign(config, folder) as campaign:
        campaign.executor = Interrupted(campaign.executor, silent=silent, interrupted=2)
        run_campaign(campaign, nothing)
    table = ledger_of(folder.path)
    sent = table[table["status"].isin(["scored", "pending"])]["status"].to_list()[:16]
    assert sent == ["pending"] * 8 * len(silent) + ["scored"] * (16 - 8 * len(silent))
    assert_same_ledger(resume(folder.path), run(config, tmp_path / "whole"))


@pytest.mark.parametrize(("resend", "most"), [(True, 3), (False, 2)])
def test_what_is_sent_once_at_most_waits_until_a_worker_is_free(
    prior_file: Path, tmp_path: Path, resend: bool, most: int
) -> None:
    config = tiny(
        prior_file, budget={"n_rounds": 1}, ledger={"resend": resend}, executor__n_workers=2
    )
    with open_campaign(config, new_run_folder(config, tmp_path / "run")) as campaign:
        slow = campaign.executor = Slow(campaign.executor)
        run_campaign(campaign, nothing)
    assert slow.most == most
    assert "pending" not in set(ledger_of(tmp_path / "run")["status"])


def test_one_molecule_without_a_score_is_no_failure_of_the_scorer(
    prior_file: Path, tmp_path: Path
) -> None:
    """One molecule a batch, and each shard of eight has some at which the function raises."""
    fussy = {"type": "python", "name": "fussy", "desirability": UP, "batch_size": 1,
             "function": "tests.campaign.scorers:carbon_share_or_error"}  # fmt: skip
    table = run(tiny(prior_file, fussy, budget={"n_rounds": 2}), tmp_path / "run")
    unscored = table[table["status"] == "unscored"]
    assert len(unscored) > 3 and bool((table["status"] == "scored").any())
    assert unscored["reason"].str.contains("odd").all()


def test_a_new_run_does_not_go_on_with_the_ledger_of_another(
    prior_file: Path, tmp_path: Path
) -> None:
    there = {"url": f"sqlite:///{tmp_path / 'shared.db'}"}
    config = tiny(prior_file, ledger=there, budget={"n_rounds": 1})
    new_run_folder(config, tmp_path / "first")
    folder, config = open_run_folder(tmp_path / "first", [])  # as if it had been killed at once
    with open_campaign(config, folder) as campaign:
        run_campaign(campaign, nothing)
    with pytest.raises(ConfigError, match=r"ledger\.url: .*shared\.db holds another run's molec"):
        new_run_folder(config, tmp_path / "second")
    assert not (tmp_path / "second").exists()
    open_run_folder(tmp_path / "first", [])
