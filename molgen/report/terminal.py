"""The closing lines of a run on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from molgen.report.wording import number

if TYPE_CHECKING:
    import pandas as pd

_MAX_SMILES = 60


def top_lines(
    candidates: pd.DataFrame, n: int = 10, *, components: Sequence[str] = ()
) -> list[str]:
    """The first candidates as aligned plain text.

    Args:
        candidates: From `ranking.rank`.
        n: Most lines of candidates.
        components: Components whose raw value gets a column; '▲' marks one outside its domain.

    Returns:
        A heading and one line per candidate; one sentence where there are none.
    """
    if not len(candidates):
        return ["No molecule has been scored."]
    header = ["rank", "reward", *components, "smiles"]
    rows = [header]
    for row in candidates.head(n).to_dict("records"):
        values = [number(row.get(c)) + _mark(row.get(f"{c}_in_domain")) for c in components]
        smiles = str(row["smiles"])
        shown = smiles if len(smiles) <= _MAX_SMILES else smiles[: _MAX_SMILES - 1] + "…"
        rows.append([str(row["rank"]), f"{row['reward']:.3f}", *values, shown])
    widths = [max(len(row[i]) for row in rows) for i in range(len(header) - 1)]
    return [
        "  ".join([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]


def _mark(in_domain: Any) -> str:
    unknown = in_domain is None or in_domain != in_domain  # NaN differs from itself
    return " " if unknown or in_domain else "▲"
