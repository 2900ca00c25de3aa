"""The table: committed curves beside published areas.

    .venv/bin/python -m experiments.pmo.table [--methods NAME ...] [--budget N] [--out FILE.md]

Reads curves/METHOD/TASK_SEED.json (see curve.py) of one budget, runs nothing. Published areas are
over 10,000 calls and stand only beside areas over as many; those of a run with a smaller budget
are held flat from its end, PMO's rule for a run that stops early. A sum is over the tasks that
all shown methods have run, with the published sum over the same tasks; the second sum leaves out
the six tasks that were looked at while the search was designed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from experiments.pmo.curve import BUDGET, CURVES, EARLY
from experiments.pmo.published import AUC_TOP10, METHODS
from experiments.recording import print_table

# Tried before the search was built, so not wholly untouched by choices.
LOOKED_AT = (
    "celecoxib_rediscovery", "osimertinib_mpo", "perindopril_mpo", "sitagliptin_mpo",
    "troglitazone_rediscovery", "zaleplon_mpo",
)  # fmt: skip
PEER = "peer"

Curve = dict[str, Any]
Runs = dict[str, dict[str, list[Curve]]]  # method -> task -> one per seed
Value = Callable[[Curve], float]


def read_curves(folder: Path, budget: int | None, methods: Sequence[str] | None = None) -> Runs:
    """All curves: method -> task -> in the order of their seeds.

    Args:
        folder: of curves.
        budget: of those to read; None: all that cover the first 1,000 calls.
        methods: None: all.
    """
    runs: Runs = {}
    for path in sorted(folder.glob("*/*.json")):
        curve = json.loads(path.read_text())
        fits = curve["budget"] >= EARLY if budget is None else curve["budget"] == budget
        if fits and (not methods or curve["method"] in methods):
            runs.setdefault(curve["method"], {}).setdefault(curve["task"], []).append(curve)
    for tasks in runs.values():
        for curves in tasks.values():
            curves.sort(key=lambda curve: int(curve["seed"]))
    return runs


def mean_of(curves: Sequence[Curve], value: Value) -> float:
    """Mean over seeds; NaN where there is none."""
    return fmean(map(value, curves)) if curves else math.nan


def auc_top10(curve: Curve) -> float:
    return float(curve["auc"]["top10"])


def early_auc_top10(curve: Curve) -> float:
    return float(curve["auc_early"]["top10"])


def held_flat_auc_top10(curve: Curve) -> float:
    """Over PMO's 10,000 calls, of a run that ended before: held flat after its last call."""
    calls, means = [0, *curve["calls"], BUDGET], [0.0, *curve["top10"], curve["top10"][-1]]
    return float(np.trapezoid(means, calls) / BUDGET)


def believable_auc_top10(curve: Curve) -> float:
    return float(curve["believable"]["auc"]["top10"])


def show_areas(runs: Runs, budget: int, value: Value = auc_top10) -> None:
    """AUC of the top 10, ours beside the published ones, their sums and the tasks won."""
    published = budget == BUDGET
    header = ["task", *(f"{m} (seeds)" for m in runs), *(METHODS if published else ())]
    rows: list[list[Any]] = []
    for task in _all_tasks(runs):
        ours = [_with_seeds(tasks.get(task, []), value) for tasks in runs.values()]
        theirs = AUC_TOP10.get(task, (math.nan,) * len(METHODS)) if published else ()
        rows.append([task, *ours, *theirs])
    common = [t for t in AUC_TOP10 if all(t in tasks for tasks in runs.values())]
    untouched = [t for t in common if t not in LOOKED_AT]
    for name, tasks in (
        (f"sum of {len(common)}", common),
        (f"sum of {len(untouched)} not looked at", untouched),
    ):
        if not tasks:
            continue
        sums = [sum(mean_of(run[task], value) for task in tasks) for run in runs.values()]
        known = [sum(AUC_TOP10[task][i] for task in tasks) for i in range(len(METHODS))]
        rows.append([f"**{name}**", *map(_three, sums), *(known if published else ())])
    print(f"\nAUC of the top 10 over {budget:,} calls\n")
    print_table(header, rows)
    if published:
        for method, run in runs.items():
            listed = [t for t in run if t in AUC_TOP10]
            won = [t for t in listed if mean_of(run[t], value) > AUC_TOP10[t][-1]]
            print(f"\n{method}: above the best known on {len(won)} of {len(listed)} tasks")


def show_early(runs: Runs) -> None:
    """AUC of the top 10 over the first 1,000 calls, against the peer."""
    if PEER not in runs or len(runs) < 2:
        return
    others = [m for m in runs if m != PEER]
    common = [t for t in _all_tasks(runs) if all(t in run for run in runs.values())]
    columns = [PEER, *others]
    rows: list[list[Any]] = [
        [t, *(_three(mean_of(runs[m][t], early_auc_top10)) for m in columns)] for t in common
    ]
    sums = [sum(mean_of(runs[m][t], early_auc_top10) for t in common) for m in columns]
    rows.append(["**sum**", *map(_three, sums)])
    rows.append(["over the peer", "", *(f"{s / sums[0] - 1:+.0%}" for s in sums[1:])])
    print(f"\nAUC of the top 10 over the first {EARLY:,} calls\n")
    print_table(["task", *columns], rows)


def show_quality(runs: Runs) -> None:
    """What the best molecules look like, with and without the structure filter."""
    header = [
        "task", "AUC", "AUC, believable", "QED top 10", "SA top 10", "filtered top 10",
        "filtered top 100", "QED, believable", "SA, believable", "diversity top 100",
        "minutes without oracle",
    ]  # fmt: skip
    for method, run in runs.items():
        rows = []
        for task, curves in sorted(run.items()):
            values = [mean_of(curves, value) for value in _QUALITY]
            rows.append([task, *map(_three, values)])
        sums = [sum(mean_of(c, v) for c in run.values()) for v in _QUALITY[:2]]
        rows.append([f"**sum of {len(run)}**", *map(_three, sums), *[""] * (len(header) - 3)])
        print(f"\n{method}: the best molecules\n")
        print_table(header, rows)
        easy = [t for t, c in run.items() if mean_of(c, lambda c: c["sa_top10"]) <= 4.5]
        clean = [t for t in easy if not mean_of(run[t], lambda c: c["filtered_top10"])]
        spread = [t for t, c in run.items() if mean_of(c, _QUALITY[8]) >= 0.4]
        print(
            f"\nOf {len(run)} tasks: mean SA of the top 10 at most 4.5 in {len(easy)}, and none of "
            f"the ten filtered in {len(clean)}; diversity at least .4 in {len(spread)}"
        )


_QUALITY: tuple[Value, ...] = (
    auc_top10,
    believable_auc_top10,
    lambda c: c["qed_top10"],
    lambda c: c["sa_top10"],
    lambda c: c["filtered_top10"],
    lambda c: c["filtered_top100"],
    lambda c: _number(c["believable"]["qed_top10"]),
    lambda c: _number(c["believable"]["sa_top10"]),
    lambda c: _number(c["diversity_top100"]),
    lambda c: (_number(c["wall_s"]) - c["oracle_s"]) / 60,
)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _all_tasks(runs: Runs) -> list[str]:
    found = {task for run in runs.values() for task in run}
    return [t for t in AUC_TOP10 if t in found] + sorted(found - set(AUC_TOP10))


def _with_seeds(curves: Sequence[Curve], value: Value) -> str:
    """Mean, spread over seeds where there are two or more, and their number."""
    if not curves:
        return "-"
    values = [value(curve) for curve in curves]
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{spread} ({len(values)})"


def _three(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--out", type=Path, help="also write it there")
    arguments = parser.parse_args()
    runs = read_curves(arguments.curves, arguments.budget, arguments.methods)
    if not runs:
        raise SystemExit(f"no curves of {arguments.budget} calls in {arguments.curves}")
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        show_areas(runs, arguments.budget)
        if arguments.budget < BUDGET:
            print(f"\nThe same runs as if stopped after {arguments.budget:,} calls for good:")
            show_areas(runs, BUDGET, held_flat_auc_top10)
        show_early(read_curves(arguments.curves, None, arguments.methods))
        show_quality(runs)
    print(text.getvalue())
    if arguments.out:
        arguments.out.write_text(text.getvalue().strip() + "\n")


if __name__ == "__main__":
    main()
