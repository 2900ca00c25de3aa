"""A picture of results.json: hidden actives found after so many molecules, by target and method.

.venv/bin/python -m experiments.retrospective.plot [--out FILE.png]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from experiments.retrospective.run import HERE, SHOWN

_KINDS = {"active": "-", "other": ":"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "found.png")
    out = parser.parse_args().out
    rows = json.loads((HERE / "results.json").read_text())["retrospective"]["results"]["rows"]
    rows = [row for row in rows if row["method"] != SHOWN]
    targets, methods = (list(dict.fromkeys(row[k] for row in rows)) for k in ("target", "method"))
    figure, axes = plt.subplots(
        1, len(targets), figsize=(3.4 * len(targets), 2.9), squeeze=False, layout="constrained"
    )
    for ax, target in zip(axes[0], targets, strict=True):
        for row in (row for row in rows if row["target"] == target):
            for kind, style in _KINDS.items():
                ax.step(
                    [0, *row[f"{kind}_near_at"], row["molecules"]],
                    [*range(row[f"{kind}_near"] + 1), row[f"{kind}_near"]],
                    where="post", color=f"C{methods.index(row['method'])}", linestyle=style,
                    label=row["method"] if kind == "active" else None,
                )  # fmt: skip
        ax.set_title(f"{target}: {row['active_n']} actives hidden", fontsize=9)
        ax.set_xlabel("molecules")
        ax.set_ylim(-0.4, max(5.0, ax.get_ylim()[1]))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].set_ylabel("hidden compounds found\n(dotted: not active)")
    axes[0, 0].legend(fontsize=8)
    figure.savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    main()
