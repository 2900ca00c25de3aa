"""Run tasks and seeds of one method to the end, several at once on Ray; a finished curve is kept.

    MOLGEN_DATA=... .venv/bin/python -m experiments.pmo.run peer --work FOLDER
    .venv/bin/python -m experiments.pmo.run molgen_zinc250k --work FOLDER --seeds 0 1 2
    .venv/bin/python -m experiments.pmo.run molgen_chembl --work FOLDER --set generator.prior=null

The method `peer` is peer.py; any other name is `molgen run` with campaign.yaml, the values set and
scorer.py as its external scorer, so that calls are counted outside the engine. Logs and run folders
lie in FOLDER, outside the repository; curves/METHOD/TASK_SEED.json is what stays. What was stopped
is gone on with by the same command: a run with a curve is left alone, one with a run folder is
resumed, the log of calls is kept; with a larger `--n-calls` a finished run goes on, too. The time
that a killed run took since its last start is lost to `wall_s`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.pmo.curve import BUDGET, CURVES, write_curve
from experiments.pmo.oracles import ORACLES
from experiments.pmo.tasks import TASKS
from experiments.recording import ROOT

CONFIG = Path(__file__).with_name("campaign.yaml")


@dataclass(frozen=True)
class Job:
    """One run of a method on a task."""

    method: str
    task: str
    seed: int
    n_calls: int
    folder: Path  # of its log and its run
    curves: Path
    config: Path
    overrides: tuple[str, ...]

    @property
    def curve(self) -> Path:
        """Where its curve is to be."""
        return self.curves / self.method / f"{self.task}_{self.seed}.json"

    @property
    def is_done(self) -> bool:
        """Whether its curve is there, over so many calls at least."""
        return self.curve.is_file() and json.loads(self.curve.read_text())["budget"] >= self.n_calls

    def command(self) -> list[str]:
        """What runs it, or goes on with it."""
        log, run = self.folder / "calls.csv", self.folder / "run"
        if self.method == "peer":
            return [
                sys.executable, "-m", "experiments.pmo.peer", "--task", self.task, "--log",
                str(log), "--seed", str(self.seed), "--n-calls", str(self.n_calls),
            ]  # fmt: skip
        molgen = [sys.executable, "-m", "molgen.cli", "run"]
        if (run / "manifest.json").is_file():
            return [*molgen, "--resume", str(run), f"budget.n_oracle_calls={self.n_calls}"]
        scorer = ["{python}", "-m", "experiments.pmo.scorer", "--task", self.task]
        return [
            *molgen, str(self.config), "--out", str(run), "--seed", str(self.seed),
            f"objective.components.0.command={json.dumps([*scorer, '--log', str(log)])}",
            f"budget.n_oracle_calls={self.n_calls}", *self.overrides,
        ]  # fmt: skip


def execute(job: Job) -> str:
    """Run a job to its curve; a line that says how it went."""
    job.folder.mkdir(parents=True, exist_ok=True)
    spent = job.folder / "wall_s"
    before = float(spent.read_text()) if spent.is_file() else 0.0
    began = time.monotonic()
    with (job.folder / "output.txt").open("ab") as output:
        status = subprocess.run(
            job.command(), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        ).returncode
    wall_s = before + time.monotonic() - began
    spent.write_text(str(wall_s))
    if status != 0:
        return f"{job.task} {job.seed}: ended with code {status}, see {job.folder}/output.txt"
    write_curve(
        job.folder / "calls.csv", method=job.method, task=job.task, seed=job.seed,
        budget=job.n_calls, wall_s=wall_s, folder=job.curves,
    )  # fmt: skip
    found = json.loads(job.curve.read_text())
    return (
        f"{job.task} {job.seed}: {found['n_calls']} calls, AUC top-10 {found['auc']['top10']:.3f}, "
        f"{wall_s / 60:.1f} min"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("method", help="peer, or a name for a setting of molgen run")
    parser.add_argument("--work", type=Path, required=True, help="folder for logs and runs")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(ORACLES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--n-calls", type=int, default=BUDGET)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="in the config")
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--n-parallel", type=int, default=1, help="runs at once, a core each")
    parser.add_argument("--address", help="of a Ray cluster that sees the same folders")
    arguments = parser.parse_args()

    jobs = [
        Job(
            arguments.method, task, seed, arguments.n_calls,
            arguments.work.resolve() / arguments.method / f"{task}_{seed}",
            arguments.curves.resolve(), arguments.config.resolve(), tuple(arguments.set),
        )
        for seed in arguments.seeds
        for task in arguments.tasks
    ]  # fmt: skip
    waiting = [job for job in jobs if not job.is_done]
    print(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are done")
    if arguments.n_parallel == 1 and arguments.address is None:
        for job in waiting:
            print(execute(job), flush=True)
    else:
        _on_ray(waiting, arguments.n_parallel, arguments.address)


def _on_ray(jobs: list[Job], n_parallel: int, address: str | None) -> None:
    import ray

    ray.init(
        address=address, num_cpus=None if address else n_parallel, include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}},
    )  # fmt: skip
    run = ray.remote(num_cpus=1)(execute)
    pending = [run.remote(job) for job in jobs]
    while pending:
        (done,), pending = ray.wait(pending)
        print(ray.get(done), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main()
