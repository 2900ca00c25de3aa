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
from collections.abc import Callable, Mapping, Sequence
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


def show_runs(runs: Runs, peer: Mapping[str, list[Curve]]) -> None:
    """Each method by itself: areas, what the best molecules look like, what it took.

    Args:
        runs: to show.
        peer: task -> curves of the peer, for its area over the first calls.
    """
    for method, run in runs.items():
        tasks = [task for task in _all_tasks(runs) if task in run]
        rows = [[task, *_columns(task, run[task], peer.get(task, ()))] for task in tasks]
        common = [t for t in tasks if t in AUC_TOP10]
        untouched = [t for t in common if t not in LOOKED_AT]
        for name, summed in (("sum", common), ("sum, not looked at", untouched)):
            if summed:
                sums = np.sum([_areas(t, run[t], peer.get(t, ())) for t in summed], axis=0)
                blank = [""] * (1 + len(_QUALITY))
                rows.append([f"**{name}, {len(summed)}**", *map(_two, sums), *blank])
        print(f"\n{method}\n")
        print_table(["task", *_AREAS, "seeds", *_QUALITY], rows)
        _show_bars(run, {} if method == PEER else peer)


def _show_bars(run: Mapping[str, list[Curve]], peer: Mapping[str, list[Curve]]) -> None:
    """How many tasks meet what is asked of the best molecules, and the gain over the peer."""
    easy = [t for t, c in run.items() if mean_of(c, _QUALITY["SA of ten"]) <= 4.5]
    clean = [t for t in easy if not mean_of(run[t], _QUALITY["filtered of ten"])]
    spread = [t for t, c in run.items() if mean_of(c, _QUALITY["diversity of 100"]) >= 0.4]
    print(
        f"\nOf {len(run)} tasks: mean SA of the top 10 at most 4.5 in {len(easy)}, and none of "
        f"the ten filtered in {len(clean)}; diversity at least .4 in {len(spread)}"
    )
    both = [t for t in run if t in peer]
    if both:
        ours, theirs = (sum(mean_of(r[t], early_auc_top10) for t in both) for r in (run, peer))
        print(
            f"First {EARLY:,} calls of {len(both)} tasks: {ours:.3f}, the peer {theirs:.3f}, "
            f"{ours / theirs - 1:+.0%}"
        )


def _columns(task: str, curves: Sequence[Curve], peer: Sequence[Curve]) -> list[str]:
    """A row's cells after the task."""
    quality = [f"{mean_of(curves, value):.{_DIGITS[name]}f}" for name, value in _QUALITY.items()]
    return [*map(_three, _areas(task, curves, peer)), str(len(curves)), *quality]


def _areas(task: str, curves: Sequence[Curve], peer: Sequence[Curve]) -> list[float]:
    """In the order of `_AREAS`."""
    return [
        mean_of(curves, auc_top10),
        mean_of(curves, believable_auc_top10),
        AUC_TOP10[task][-1] if task in AUC_TOP10 else math.nan,
        mean_of(curves, early_auc_top10),
        mean_of(peer, early_auc_top10),
    ]


_AREAS = ("AUC", "believable AUC", "best known", f"over {EARLY:,}", f"peer, over {EARLY:,}")
_QUALITY: dict[str, Value] = {
    "top 10 at the end": lambda c: c["top10"][-1],
    "calls": lambda c: c["calls"][-1],
    "QED of ten": lambda c: c["qed_top10"],
    "SA of ten": lambda c: c["sa_top10"],
    "filtered of ten": lambda c: 10 * c["filtered_top10"],
    "of 100": lambda c: 100 * c["filtered_top100"],
    "diversity of 100": lambda c: _number(c["diversity_top100"]),
    "minutes without oracle": lambda c: (_number(c["wall_s"]) - c["oracle_s"]) / 60,
}
_DIGITS = dict(zip(_QUALITY, (3, 0, 2, 1, 1, 0, 3, 1), strict=True))


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


def _two(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


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
        show_runs(runs, read_curves(arguments.curves, None, [PEER]).get(PEER, {}))
    print(text.getvalue())
    if arguments.out:
        arguments.out.write_text(text.getvalue().strip() + "\n")


if __name__ == "__main__":
    main()
