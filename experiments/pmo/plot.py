"""A picture of the table: each task's ten best after so many calls, by method.

    .venv/bin/python -m experiments.pmo.plot [--curves FOLDER] [--calls N] [--out FILE.png]

A line for each seed of each method. The dashed level is the best published area over 10,000 calls,
which is the mean of such a line over its whole length, not its end.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from experiments.pmo.curve import BUDGET, CURVES
from experiments.pmo.published import AUC_TOP10
from experiments.pmo.table import Runs, read_curves

_N_COLUMNS = 5
_LEVEL = "best published area"


def draw(runs: Runs, n_calls: int, out: Path) -> None:
    """Write a picture with one panel a task.

    Args:
        runs: as `table.read_curves` gives them.
        n_calls: the horizontal axis ends there.
        out: file whose ending names the format.
    """
    tasks = [t for t in AUC_TOP10 if any(t in run for run in runs.values())]
    n_rows = math.ceil(len(tasks) / _N_COLUMNS)
    figure, axes = plt.subplots(
        n_rows, _N_COLUMNS, figsize=(2.6 * _N_COLUMNS, 2.0 * n_rows), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax in axes.flat[len(tasks) :]:
        ax.axis("off")
    for ax, task in zip(axes.flat, tasks, strict=False):
        _panel(ax, runs, task, n_calls)
    handles = {h.get_label(): h for ax in axes.flat for h in ax.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    figure.supxlabel("oracle calls", fontsize=9)
    figure.supylabel("mean score of the ten best", fontsize=9)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def _panel(ax: Axes, runs: Runs, task: str, n_calls: int) -> None:
    for number, (method, run) in enumerate(sorted(runs.items())):
        for curve in run.get(task, []):
            calls, means = [0, *curve["calls"]], [0.0, *curve["top10"]]
            ax.plot(calls, means, color=f"C{number}", linewidth=1.3, label=method)
    ax.axhline(AUC_TOP10[task][-1], color="0.5", linestyle="--", linewidth=0.8, label=_LEVEL)
    ax.set(xlim=(0, n_calls), ylim=(0, 1.02))
    ax.set_title(task, fontsize=8)
    ax.tick_params(labelsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--calls", type=int, default=BUDGET, help="end of the horizontal axis")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("curves.png"))
    arguments = parser.parse_args()
    runs = read_curves(arguments.curves, None, arguments.methods)
    if not runs:
        raise SystemExit(f"no curves of 1,000 calls or more in {arguments.curves}")
    draw(runs, arguments.calls, arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
