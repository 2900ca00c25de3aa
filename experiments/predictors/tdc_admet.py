"""The 22 tasks of the TDC ADMET group: ours beside MapLight's recipe, on the official splits.

    .venv/bin/python -m experiments.predictors.tdc_admet validate [--tasks caco2_wang …]
    .venv/bin/python -m experiments.predictors.tdc_admet test
    .venv/bin/python -m experiments.predictors.tdc_admet table

`validate` judges recipes by scaffold folds of the official training rows (five; one of them where
there are more than 5,000 rows); every choice was made there. `test` fits on the training rows with
seeds 1 to 5 and evaluates on the official test rows. Both append a line for each evaluation, with
the commit, to `evaluations.jsonl` beside this script, and leave out what stands there already.
`table` reads it and writes `results.json`: a win is a gap of the means above the pooled deviation
over the seeds.

Single task, strictly: a model sees the training rows of its own task alone. Every test row is
predicted: a structure that our standardisation refuses gets the training mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.predictors import peers
from experiments.predictors.recipes import mean_scores, member_scores, members_of
from experiments.recording import print_table, stamp, write_results
from property_models import evaluate
from property_models.endpoints import Task as Kind
from property_models.features import Features, featurise
from property_models.molecules import scaffold, standardise_all
from property_models.sources import TDC_ADMET_GROUP

Array = NDArray[np.float64]
HERE = Path(__file__).parent
LOG = HERE / "evaluations.jsonl"
N_FOLDS = 5
LARGE = 5_000  # training rows: above, one fold of a thousand rows and more is enough to judge

LOWER_WINS = frozenset(["mae"])


@dataclass(frozen=True)
class Task:
    """One task's rows, training rows first as in the file.

    Attributes:
        name: TDC's.
        smiles: as published, length n.
        y: float64, shape (n,).
        is_test: bool, shape (n,).
        fitted: Scores of single members by (member, seed, rows asked), so that recipes share them.
    """

    name: str
    smiles: list[str]
    y: Array
    is_test: NDArray[np.bool_]
    fitted: dict[tuple[str, int, bytes], Array] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The group's metric of this task."""
        return TDC_ADMET_GROUP[self.name][0]

    @property
    def kind(self) -> Kind:
        """'regression' or 'classification'."""
        return "classification" if self.metric in ("auroc", "auprc") else "regression"

    @cached_property
    def maplight(self) -> NDArray[np.float32]:
        """The peer's columns, (n, d)."""
        return peers.maplight_features(self.smiles)

    @cached_property
    def standardised(self) -> tuple[Features, NDArray[np.int64]]:
        """Our features of the readable rows, and which rows they are."""
        molecules = standardise_all(self.smiles)
        rows = np.flatnonzero([m.mol is not None for m in molecules])
        return featurise([m.mol for i in rows if (m := molecules[i]).mol is not None]), rows

    @cached_property
    def scaffold_folds(self) -> NDArray[np.int64]:
        """Fold of each training row, -1 for test rows: whole scaffolds, in folds of like size."""
        features, rows = self.standardised
        groups: dict[str, list[int]] = {}
        for mol, text, row in zip(features.mols, features.smiles, rows, strict=True):
            if not self.is_test[row]:
                groups.setdefault(scaffold(mol) or text, []).append(int(row))
        folds = np.full(len(self.y), -1)
        sizes = np.zeros(N_FOLDS)
        for members in sorted(groups.values(), key=lambda g: (-len(g), g[0])):
            smallest = int(np.argmin(sizes))
            folds[members] = smallest
            sizes[smallest] += len(members)
        return folds


def read_task(name: str) -> Task:
    """One task from the data folder."""
    import pandas as pd

    path = Path(os.environ["MOLGEN_DATA"]) / "property/tdc_admet_group.parquet"
    frame = pd.read_parquet(path, filters=[("task", "==", name)])
    is_test = (frame["split"] == "test").to_numpy(bool)
    return Task(name, list(frame["smiles"]), frame["y"].to_numpy(np.float64), is_test)


def scores(
    task: Task, method: str, train: NDArray[np.bool_], test: NDArray[np.bool_], seed: int
) -> Array:
    """Fit on some rows, predict others, float64, shape (n_test,); every row gets a number."""
    if method == "maplight":
        x = task.maplight
        return peers.maplight_scores(
            x[train], task.y[train], x[test], task=task.kind, log=task.name in peers.LOG_SCALED,
            seed=seed,
        )  # fmt: skip
    features, rows = task.standardised
    fitted, asked = np.flatnonzero(train[rows]), np.flatnonzero(test[rows])
    each = []
    for name in members_of(method, task.kind):
        key = (name, seed, test.tobytes())
        if key not in task.fitted:
            task.fitted[key] = member_scores(
                name, features.take(fitted), task.y[rows[fitted]], features.take(asked),
                kind=task.kind, metric=task.metric, seed=seed,
            )  # fmt: skip
        each.append(task.fitted[key])
    found = np.full(len(task.y), task.y[train].mean())
    found[rows[asked]] = mean_scores(each, task.kind)
    return found[test]


def validate(task: Task, method: str, seed: int) -> dict[str, Any]:
    """The metric of out-of-fold scores of training rows, folds pooled; of a large task one fold."""
    out = np.full(len(task.y), np.nan)
    n_asked = N_FOLDS if np.sum(~task.is_test) < LARGE else 1
    for fold in range(n_asked):
        held = task.scaffold_folds == fold
        out[held] = scores(task, method, (task.scaffold_folds >= 0) & ~held, held, seed)
    used = (task.scaffold_folds >= 0) & (task.scaffold_folds < n_asked)
    found = evaluate.metrics(task.kind, task.y[used], out[used])
    return {"value": found[task.metric], "n": int(used.sum())}


def test(task: Task, method: str, seed: int) -> dict[str, Any]:
    """The metric on the official test rows, with the test's own bootstrap interval."""
    found = scores(task, method, ~task.is_test, task.is_test, seed)
    measured = task.y[task.is_test]
    interval = evaluate.bootstrap_intervals(
        task.kind, measured, found, rng=np.random.default_rng(seed)
    )[task.metric]
    value = evaluate.metrics(task.kind, measured, found)[task.metric]
    return {"value": value, "interval_95": list(interval), "n": len(measured)}


def run(mode: str, tasks: list[str], methods: list[str], seeds: list[int]) -> None:
    """Evaluate what is not in the log yet and append it."""
    lines = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    done = {(e["mode"], e["task"], e["method"], e["seed"]) for e in lines}
    for name in tasks:
        todo = [(m, s) for m in methods for s in seeds if (mode, name, m, s) not in done]
        if not todo:
            continue
        task = read_task(name)
        for method, seed in todo:
            clock = time.process_time()
            found = {"validate": validate, "test": test}[mode](task, method, seed)
            about = stamp(seed=seed)
            entry = {
                "mode": mode, "task": name, "method": method, "seed": seed, "metric": task.metric,
                **found, "cpu_s": time.process_time() - clock, "date": about["date"],
                "commit": about["commit"],
            }  # fmt: skip
            with LOG.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(f"{mode} {name} {method} {seed}: {found['value']:.4f} "
                  f"({entry['cpu_s']:.0f} s)", flush=True)  # fmt: skip


def table(mode: str, ours: str) -> dict[str, Any]:
    """Ours beside MapLight from the log."""
    lines = [json.loads(line) for line in LOG.read_text().splitlines()]
    values: dict[tuple[str, str], list[float]] = {}
    for e in lines:
        if e["mode"] == mode:
            values.setdefault((e["task"], e["method"]), []).append(e["value"])
    rows, n_wins, n_losses = [], 0, 0
    for name, (metric, published) in TDC_ADMET_GROUP.items():
        a, b = values.get((name, ours), []), values.get((name, "maplight"), [])
        if not a or not b:
            continue
        gap = float(np.mean(a) - np.mean(b)) * (-1 if metric in LOWER_WINS else 1)
        spread = float(np.sqrt((np.var(a) + np.var(b)) / 2))
        verdict = "win" if gap > spread else "loss" if gap < -spread else "even"
        n_wins += verdict == "win"
        n_losses += verdict == "loss"
        rows.append([name, metric, float(np.mean(a)), float(np.std(a)), float(np.mean(b)),
                     float(np.std(b)), published, len(a), verdict])  # fmt: skip
    header = ["task", "metric", "ours", "ours ±", "MapLight here", "MapLight ±", "published",
              "seeds", "verdict"]  # fmt: skip
    print_table(header, rows)
    print(f"{n_wins} wins, {n_losses} losses of {len(rows)}")
    return {"wins": n_wins, "losses": n_losses, "rows": [dict(zip(header, r, strict=True))
                                                          for r in rows]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mode", choices=["validate", "test", "table"])
    parser.add_argument(
        "--tasks", nargs="+", default=list(TDC_ADMET_GROUP), choices=list(TDC_ADMET_GROUP)
    )
    parser.add_argument("--methods", nargs="+", default=["maplight", "admet"])
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--of", choices=["validate", "test"], default="test", help="for `table`")
    options = parser.parse_args()
    if options.mode == "table":
        ours = [m for m in options.methods if m != "maplight"][-1]
        found = table(options.of, ours)
        write_results(f"tdc_admet_{options.of}", found, seed=None, out=HERE / "results.json")
        return
    if "MOLGEN_DATA" not in os.environ:
        sys.exit("MOLGEN_DATA must name the data folder")
    seeds = options.seeds or ([0] if options.mode == "validate" else [1, 2, 3, 4, 5])
    run(options.mode, options.tasks, options.methods, seeds)


if __name__ == "__main__":
    main()
