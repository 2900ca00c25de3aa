"""The result of a run for the chemist: ranked candidates as a table, structures and a page.

The public names are imported on first use, so that importing a part does not load all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molgen.report.depiction import align, draw
    from molgen.report.ranking import rank
    from molgen.report.record import RunRecord, read_run
    from molgen.report.terminal import top_lines
    from molgen.report.writing import ReportFiles, rank_candidates, write_report

__all__ = [
    "ReportFiles",
    "RunRecord",
    "align",
    "draw",
    "rank",
    "rank_candidates",
    "read_run",
    "top_lines",
    "write_report",
]

_HOMES = {
    "ReportFiles": "writing",
    "RunRecord": "record",
    "align": "depiction",
    "draw": "depiction",
    "rank": "ranking",
    "rank_candidates": "writing",
    "read_run": "record",
    "top_lines": "terminal",
    "write_report": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
