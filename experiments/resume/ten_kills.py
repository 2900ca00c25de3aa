"""Kill a campaign ten times at random moments: is the resumed run the undisturbed one?

    .venv/bin/python -m experiments.resume.ten_kills

Runs small.yaml undisturbed. Then, ten times, starts it anew, kills its driver process alone by
SIGKILL at a random moment between the first question to its oracle and its end, resumes it with
`molgen run --resume`, kills it again with probability 1/2 (now at any moment of its life, start
included), and so on to the end. Then compares with the undisturbed run

- every row of the ledger, in every column but times, attempts and worker;
- every round's statistics but seconds;
- candidates.csv, byte by byte;

and checks, from the log that the oracle keeps, that no molecule whose score was in the ledger at a
kill was ever asked for again, and that no worker outlived its driver by more than ten seconds. A
run that ends before its kill is drawn again. MLflow is off. Linux. Seed 20261124; the moments
depend on the machine's speed all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]  # comes with ray and mlflow

from experiments.recording import ROOT, print_table, write_results

CONFIG = Path(__file__).with_name("small.yaml")
ORACLE = Path(__file__).with_name("logging_oracle.py")
NOT_COMPARED = {"attempts", "worker", "seconds", "created_at", "scored_at"}
ORPHANS_MAY_LIVE_S = 10.0
AGAIN = 0.5  # probability of another kill after a resume
MAX_KILLS = 4


@dataclass
class Trial:
    """What happened in one trial."""

    killed_at_s: list[float] = field(default_factory=list)  # after the start of that process
    committed: list[int] = field(default_factory=list)  # molecules committed at each kill
    rounds: list[int] = field(default_factory=list)  # last round in the ledger at each kill
    n_asked_again: int = 0  # asked again though committed before a kill
    n_resent: int = 0  # asked twice, never committed in between: allowed
    n_orphans: int = 0
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Lasts:
    """Seconds that the undisturbed run took."""

    whole: float
    from_first_question: float


# -- running and killing --------------------------------------------------------------------


def start(folder: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    """Start the campaign in a folder, or go on with it."""
    run, log = folder / "run", folder / "oracle.log"
    if (run / "manifest.json").is_file():
        arguments = ["--resume", str(run)]
    else:
        command = json.dumps(["{python}", str(ORACLE), str(log)])
        oracle = f"objective.components.0.command={command}"
        arguments = [str(CONFIG), oracle, *overrides, "--out", str(run)]
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "molgen.cli", "run", *arguments],
            cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def finish(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait for a run's end, which must be a good one."""
    if process.wait() != 0:
        text = (folder / "output.txt").read_text(errors="replace")
        raise SystemExit(f"the run in {folder} ended with code {process.returncode}:\n{text}")


def wait_for_oracle(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait for the first question to the oracle, or the process's end."""
    while not read_log(folder) and process.poll() is None:
        time.sleep(0.01)


def kill_at(folder: Path, process: subprocess.Popen[bytes], share: float, trial: Trial,
            lasts_s: Lasts) -> bool:  # fmt: skip
    """Kill the driver after a share of its life; False where it ended before."""
    began = time.monotonic()
    moment_s = share * lasts_s.whole
    if not trial.killed_at_s:
        wait_for_oracle(folder, process)
        moment_s = time.monotonic() - began + share * lasts_s.from_first_question
    while time.monotonic() < began + moment_s and process.poll() is None:
        time.sleep(0.005)
    if process.poll() is not None:
        finish(folder, process)
        return False
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    trial.killed_at_s.append(round(time.monotonic() - began, 2))
    _, alive = psutil.wait_procs(children, timeout=ORPHANS_MAY_LIVE_S)
    trial.n_orphans += len(alive)
    for orphan in alive:
        orphan.kill()
    return True


def disturbed(
    folder: Path, overrides: list[str], lasts_s: Lasts, rng: np.random.Generator
) -> Trial:
    """One trial: kill, resume, perhaps again, to the end."""
    trial = Trial()
    asked: list[list[str]] = []  # by process: what its oracles were asked
    committed: list[set[str]] = []  # at each kill
    n_lines = 0
    while True:
        process = start(folder, overrides)
        last = bool(trial.killed_at_s) and (
            len(trial.killed_at_s) == MAX_KILLS or rng.random() >= AGAIN
        )
        killed = False
        if last:
            finish(folder, process)
        else:
            killed = kill_at(folder, process, rng.random(), trial, lasts_s)
        lines = read_log(folder)
        asked.append(lines[n_lines:])
        n_lines = len(lines)
        if not killed:
            break
        rows = read_ledger(folder)["molecules"]
        done = {r["smiles"] for r in rows if r["status"] in ("scored", "unscored")}
        committed.append(done)
        trial.committed.append(len(done))
        trial.rounds.append(max((r["round"] for r in rows), default=-1))
    if not trial.killed_at_s:  # it ended before its kill
        shutil.rmtree(folder)
        folder.mkdir()
        return disturbed(folder, overrides, lasts_s, rng)
    for number, done in enumerate(committed):
        trial.n_asked_again += sum(s in done for later in asked[number + 1 :] for s in later)
    trial.n_resent = n_lines - len(set(read_log(folder))) - trial.n_asked_again
    return trial


# -- reading and comparing ------------------------------------------------------------------


def read_log(folder: Path) -> list[str]:
    """Everything the oracles of a run were asked so far."""
    log = folder / "oracle.log"
    return log.read_text().splitlines() if log.is_file() else []


def read_ledger(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Both tables as they are on disk; a copy is read, so that nothing is recovered in place."""
    tables: dict[str, list[dict[str, Any]]] = {"molecules": [], "rounds": []}
    with tempfile.TemporaryDirectory() as copies:
        for file in (folder / "run").glob("ledger.db*"):
            shutil.copy(file, copies)
        path = Path(copies) / "ledger.db"
        if not path.is_file():
            return tables
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        existing = {r["name"] for r in connection.execute("select name from sqlite_master")}
        for name, key in (("molecules", "id"), ("rounds", "round")):
            if name in existing:
                rows = connection.execute(f"select * from {name} order by {key}")
                tables[name] = [dict(row) for row in rows]
        connection.close()
    return tables


def differences(undisturbed: Path, resumed: Path) -> list[str]:
    """What is not the same in two finished runs; empty where all is."""
    ours, theirs = read_ledger(undisturbed), read_ledger(resumed)
    found = []
    for name in ("molecules", "rounds"):
        if len(ours[name]) != len(theirs[name]):
            found.append(f"{len(ours[name])} and {len(theirs[name])} {name}")
        for mine, other in zip(ours[name], theirs[name], strict=False):
            columns = _differing(_comparable(mine), _comparable(other))
            if columns:
                found.append(f"{name} {mine.get('id', mine['round'])}: {', '.join(columns)}")
    csvs = [(folder / "run/candidates.csv").read_bytes() for folder in (undisturbed, resumed)]
    if csvs[0] != csvs[1]:
        found.append("candidates.csv")
    return found


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without times, attempts and worker, the statistics of a round spread out."""
    row = {k: v for k, v in row.items() if k not in NOT_COMPARED | {"finished_at"}}
    statistics = json.loads(row.pop("stats_json", "{}"))
    return row | {k: v for k, v in statistics.items() if not k.startswith("seconds_")}


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return sorted(k for k in one.keys() | other.keys() if one.get(k) != other.get(k))


def show(trials: list[Trial]) -> None:
    """Print the table and the verdict."""
    rows = [
        [
            number, len(t.killed_at_s), ", ".join(f"{s:.1f}" for s in t.killed_at_s),
            ", ".join(map(str, t.rounds)), ", ".join(map(str, t.committed)), t.n_resent,
            t.n_asked_again, t.n_orphans, "same" if not t.differences else "DIFFERS",
        ]
        for number, t in enumerate(trials, 1)
    ]  # fmt: skip
    print_table(
        ["trial", "kills", "at, s", "in round", "committed by then", "resent, uncommitted",
         "asked again", "orphans", "ledger"], rows,
    )  # fmt: skip
    for number, trial in enumerate(trials, 1):
        for text in trial.differences[:5]:
            print(f"trial {number}: {text}")
    good = all(not (t.differences or t.n_asked_again or t.n_orphans) for t in trials)
    print(f"\nVerdict: {'all as undisturbed' if good else 'NOT ALL AS UNDISTURBED'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("overrides", nargs="*", help="of small.yaml, key=value")
    parser.add_argument("--n-trials", type=int, default=10)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--keep", type=Path, help="folder for the runs; default: a temporary one")
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="ten_kills_"))
    undisturbed = folder / "undisturbed"
    undisturbed.mkdir(parents=True)
    began = time.monotonic()
    process = start(undisturbed, arguments.overrides)
    wait_for_oracle(undisturbed, process)
    first_question = time.monotonic()
    finish(undisturbed, process)
    ended = time.monotonic()
    lasts_s = Lasts(ended - began, ended - first_question)
    print(f"undisturbed: {lasts_s.whole:.1f} s, {lasts_s.from_first_question:.1f} s of them after "
          "the first question", flush=True)  # fmt: skip
    trials = []
    for number in range(1, arguments.n_trials + 1):
        here = folder / f"trial_{number}"
        here.mkdir()
        trial = disturbed(here, arguments.overrides, lasts_s, rng)
        trial.differences = differences(undisturbed, here)
        print(f"trial {number}: {len(trial.killed_at_s)} kills, "
              f"{'differs' if trial.differences else 'same'}", flush=True)  # fmt: skip
        trials.append(trial)
    print()
    show(trials)
    results = {
        "undisturbed_s": vars(lasts_s),
        "n_molecules": len(read_ledger(undisturbed)["molecules"]),
        "trials": [vars(trial) for trial in trials],
    }
    write_results(__file__, results, seed=arguments.seed, out=arguments.out)
    if not arguments.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
