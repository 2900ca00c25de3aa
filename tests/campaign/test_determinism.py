"""One config and one seed give one ledger, whoever does the work and whatever interrupts it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from molgen.config.loading import dump_config
from molgen.ledger import Ledger
from tests.campaign.campaigns import assert_same_ledger, ledger_of, resume, rounds_of, run, tiny
from tests.campaign.scorers import LoggingOracle


@pytest.fixture(scope="module")
def undisturbed(prior_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rounds in one process."""
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    run(tiny(prior_file), path)
    return path


def test_the_run_is_worth_comparing(undisturbed: Path) -> None:
    table = ledger_of(undisturbed)
    assert set(table["status"]) >= {"scored", "filtered"}
    assert list(rounds_of(undisturbed)["round"]) == [0, 1, 2, 3]
    assert (rounds_of(undisturbed)["nats_of_best"] > 0).all()
    assert 60 < (table["status"] == "scored").sum() <= 96


def test_two_workers_give_the_ledger_of_one(
    undisturbed: Path, prior_file: Path, tmp_path: Path
) -> None:
    two = run(tiny(prior_file, executor__n_workers=2), tmp_path / "run")
    assert_same_ledger(two, ledger_of(undisturbed))
    timed = [c for c in rounds_of(undisturbed) if c.startswith("seconds_")] + ["finished_at"]
    pd.testing.assert_frame_equal(
        rounds_of(tmp_path / "run").drop(columns=timed),
        rounds_of(undisturbed).drop(columns=timed),
    )


def test_four_ray_actors_give_the_ledger_of_one_process(
    undisturbed: Path, prior_file: Path, tmp_path: Path
) -> None:
    executor = {"kind": "ray", "n_workers": 4, "generator_cpus": 0.25, "scorer_cpus": 0.25}
    on_ray = run(tiny(prior_file, executor=executor), tmp_path / "run")
    assert_same_ledger(on_ray, ledger_of(undisturbed))


def test_another_seed_gives_another_ledger(
    undisturbed: Path, prior_file: Path, tmp_path: Path
) -> None:
    other = run(tiny(prior_file, seed=6, budget={"n_rounds": 1}), tmp_path / "run")
    assert list(other["smiles"][:20]) != list(ledger_of(undisturbed)["smiles"][:20])


def test_with_a_lag_the_workers_do_not_matter_either(prior_file: Path, tmp_path: Path) -> None:
    tables = [
        run(tiny(prior_file, lag=2, executor__n_workers=n), tmp_path / f"{n}") for n in (1, 2)
    ]
    assert_same_ledger(*tables)
    assert tables[0]["round"].max() == 3


def test_with_a_lag_a_larger_budget_goes_on_as_if_the_run_had_not_ended(
    prior_file: Path, tmp_path: Path
) -> None:
    whole = run(tiny(prior_file, lag=2, budget={"n_rounds": 6}), tmp_path / "whole")
    run(tiny(prior_file, lag=2, budget={"n_rounds": 3}), tmp_path / "part")
    assert_same_ledger(resume(tmp_path / "part", "budget.n_rounds=6"), whole)


def test_a_round_that_is_learnt_again_is_noted_as_before(prior_file: Path, tmp_path: Path) -> None:
    """A kill before the next checkpoint: rounds 0 to 2 are in the ledger, learnt in none."""
    run(tiny(prior_file, budget={"n_rounds": 3}), tmp_path / "run")
    noted = rounds_of(tmp_path / "run")["n_oracle_calls"].to_list()
    assert noted[0] < noted[1] < noted[2]
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        file.unlink()
    resume(tmp_path / "run", "budget.n_rounds=4")
    assert rounds_of(tmp_path / "run")["n_oracle_calls"].to_list()[:3] == noted


def test_a_lag_delays_what_is_learnt(undisturbed: Path, prior_file: Path, tmp_path: Path) -> None:
    """With a lag of 1 round 1 is still the prior's; without, it has learnt from round 0."""
    config = tiny(prior_file, lag=1, budget={"n_rounds": 2})
    late = run(config, tmp_path / "late")
    plain = {"moves": ["sample"], "surrogate": False, "plausible_only": False, "max_sa_score": None}
    knows_nothing = tiny(
        prior_file, learning={"enabled": False}, search=plain, budget={"n_rounds": 2}
    )
    assert_same_ledger(late, run(knows_nothing, tmp_path / "p"))
    soon = ledger_of(undisturbed).query("round < 2")
    assert list(soon["smiles"]) != list(late["smiles"])


# -------------------------------------------------------------------------------- interruptions


def test_stopped_between_rounds_and_given_more_it_goes_on_as_if_it_had_had_it(
    undisturbed: Path, prior_file: Path, tmp_path: Path
) -> None:
    run(tiny(prior_file, budget={"n_rounds": 2}), tmp_path / "run")
    assert_same_ledger(resume(tmp_path / "run", "budget.n_rounds=4"), ledger_of(undisturbed))


def test_what_no_checkpoint_holds_is_learnt_from_the_ledger(
    undisturbed: Path, prior_file: Path, tmp_path: Path
) -> None:
    run(tiny(prior_file, budget={"n_rounds": 2}), tmp_path / "run")
    before = rounds_of(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "checkpoint.safetensors").unlink()
    assert_same_ledger(resume(tmp_path / "run", "budget.n_rounds=4"), ledger_of(undisturbed))
    after = rounds_of(tmp_path / "run")
    seconds = ["seconds_score", "seconds_learn", "seconds_round"]
    pd.testing.assert_frame_equal(after[seconds].iloc[:2], before[seconds])


class Crash(BaseException):
    """Nobody catches it."""


@contextmanager
def crash_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The ledger's n-th write does not happen, and nothing after it."""
    whole, n_writes = Ledger._transaction, 0

    @contextmanager
    def failing(self: Ledger) -> Iterator[sa.Connection]:
        nonlocal n_writes
        with whole(self) as connection:
            yield connection
            if connection.in_transaction() and connection.info.get("wrote"):
                n_writes += 1
                if n_writes >= number:
                    raise Crash

    def note(connection: sa.Connection, *_: object) -> None:
        connection.info["wrote"] = str(_[1]).split()[0] in ("INSERT", "UPDATE", "DELETE")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_transaction", failing)
        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        try:
            yield
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("lag", [0, 2])
def test_a_crash_at_any_write_leaves_no_trace(
    undisturbed: Path, prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lag: int
) -> None:
    config = tiny(prior_file, lag=lag)
    whole = run(config, tmp_path / "whole") if lag else ledger_of(undisturbed)
    for number in range(3, 33, 8) if lag else range(1, 33, 5):  # of eight writes a round
        path = tmp_path / f"crash{number}"
        with pytest.raises(Crash), crash_at(number, monkeypatch):
            run(config, path)
        committed = ledger_of(path).query("status == 'scored'")["id"]
        again = resume(path)
        assert_same_ledger(again, whole)
        attempts = again.set_index("id").loc[committed, "attempts"]
        assert (attempts == 1).all()


def wait_for_a_half_committed_round(ledger: Path, process: subprocess.Popen[str]) -> None:
    """Until a round beyond the first has scored and pending molecules."""
    deadline = time.monotonic() + 60
    query = """SELECT count(*) FROM molecules a WHERE a.status = 'pending' AND a.round > 0 AND
               EXISTS (SELECT 1 FROM molecules b WHERE b.round = a.round AND b.status = 'scored')"""
    while time.monotonic() < deadline and process.poll() is None:
        if ledger.exists():
            connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
            try:
                if connection.execute(query).fetchone()[0]:
                    return
            except sqlite3.OperationalError:
                pass  # not created yet
            finally:
                connection.close()
        time.sleep(0.01)
    raise AssertionError("no round was ever half committed")


def test_a_killed_run_resumes_as_if_nothing_had_happened(prior_file: Path, tmp_path: Path) -> None:
    oracle = LoggingOracle(tmp_path / "oracle", pause_s=0.3)
    config = tiny(prior_file, oracle.component(), executor__n_workers=2)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    molgen = [sys.executable, "-m", "molgen.cli", "run"]
    path = tmp_path / "run"
    process = subprocess.Popen(
        [*molgen, str(tmp_path / "config.yaml"), "--out", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_for_a_half_committed_round(path / "ledger.db", process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    time.sleep(1.5)  # the workers notice that their driver is gone
    before, n_asked = ledger_of(path), len(oracle.asked())
    assert set(before["status"]) >= {"scored", "pending"}
    committed = set(before.loc[before["status"] == "scored", "smiles"])

    resumed = subprocess.run(
        [*molgen, "--resume", str(path)], capture_output=True, text=True, timeout=100
    )
    assert resumed.returncode == 0, resumed.stderr
    after = ledger_of(path)
    assert committed.isdisjoint(oracle.asked()[n_asked:])
    assert not (after["status"] == "pending").any()
    assert (path / "report.html").is_file()
    kept = after[after["smiles"].isin(committed)]
    pd.testing.assert_frame_equal(
        kept.reset_index(drop=True),
        before[before["smiles"].isin(committed)].reset_index(drop=True)[list(kept)],
    )
    swift = LoggingOracle(tmp_path / "swift")
    undisturbed = run(tiny(prior_file, swift.component()), tmp_path / "undisturbed")
    assert_same_ledger(after, undisturbed)
