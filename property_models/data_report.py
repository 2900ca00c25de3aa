"""A report on a table before anything is trained on it: one HTML file that opens offline."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from property_models.cleaning import clean
from property_models.coverage import describe, kinds_table, scaffold_table
from property_models.datasets import Rows, Table, read_dataset
from property_models.endpoint_types import Task
from property_models.endpoints import ENDPOINTS, endpoint
from property_models.errors import DataError
from property_models.leakage import Overlap, overlap, structure_keys

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

N_SHOWN = 12
_BLUE, _ORANGE = "#0072b2", "#d55e00"  # told apart by the colour-blind (Okabe and Ito)


@dataclass(frozen=True)
class DataReport:
    """What is in a table.

    Attributes:
        title: Name of the data set or file.
        task: 'regression' or 'classification'.
        unit: Of the values; '' where unknown.
        meaning: What is measured; '' where unknown.
        provenance: File, SHA-256, origin, licence.
        counts: What became of the rows.
        dropped: Rows left out, by reason.
        conflicts: Structures whose measurements disagree: SMILES -> values.
        compounds: One row per compound, from `coverage.describe`.
        kinds: Kinds of compounds and their numbers, from `coverage.kinds_table`.
        scaffolds: From `coverage.scaffold_table`.
        assays: Rows by assay, most first; empty where the source has no such column.
        years: Compounds by year of publication; empty where unknown.
        leakage: Official test rows that also stand in the training rows; None without a split.
    """

    title: str
    task: Task
    unit: str
    meaning: str
    provenance: Mapping[str, Any]
    counts: Mapping[str, int]
    dropped: Mapping[str, int]
    conflicts: Mapping[str, list[float]]
    compounds: pd.DataFrame
    kinds: pd.DataFrame
    scaffolds: pd.DataFrame
    assays: Mapping[str, int]
    years: Mapping[int, int]
    leakage: Overlap | None


def report_on_dataset(name: str) -> DataReport:
    """Reports on a data set or an endpoint of the catalogue.

    Raises:
        DataError: Unknown, or not at hand.
    """
    dataset = ENDPOINTS[name].dataset if name in ENDPOINTS else name
    rows = read_dataset(dataset)
    try:
        about = endpoint(name)
    except DataError:  # a data set without an endpoint
        return report_on(rows, title=name)
    return report_on(rows, title=name, task=about.task, unit=about.unit, meaning=about.meaning)


def report_on(
    rows: Rows, *, title: str, task: Task | None = None, unit: str = "", meaning: str = ""
) -> DataReport:
    """Reports on rows.

    Args:
        rows: From `datasets.read_file` or `datasets.read_dataset`.
        title: Of the report.
        task: By default classification where every value is 0 or 1.
        unit: Of the values.
        meaning: What is measured.

    Raises:
        DataError: No compound is left after cleaning.
    """
    measured = rows.values[np.isfinite(rows.values)]
    if task is None:
        task = "classification" if np.isin(measured, (0.0, 1.0)).all() else "regression"
    table = clean(rows, task=task)
    if not len(table):
        raise DataError(f"{title}: no usable compound among {len(rows)} rows: {table.dropped}")
    compounds = describe(table)
    leakage = None
    if rows.official_test.any():
        keys = np.array(structure_keys(rows.smiles))
        leakage = overlap(list(keys[~rows.official_test]), list(keys[rows.official_test]))
    return DataReport(
        title=title,
        task=task,
        unit=unit,
        meaning=meaning,
        provenance=rows.provenance,
        counts=table.counts,
        dropped=table.dropped,
        conflicts=table.conflicts,
        compounds=compounds,
        kinds=kinds_table(compounds),
        scaffolds=scaffold_table(compounds),
        assays=dict(Counter(rows.assay or []).most_common()),
        years=_years(table),
        leakage=leakage,
    )


def _years(table: Table) -> dict[int, int]:
    if table.year is None:
        return {}
    known = table.year[np.isfinite(table.year)].astype(int)
    return dict(sorted(Counter(known.tolist()).items()))


# -- HTML -----------------------------------------------------------------------------------

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #ccc}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.15rem .7rem .15rem 0;text-align:left;vertical-align:top}
td.n{text-align:right}tr.few td{color:#a33b00;font-weight:600}
code{word-break:break-all;font-size:.85em}figure{display:inline-block;margin:.5rem 1rem .5rem 0}
figcaption{font-size:.85rem;color:#555}
"""


def write_html(report: DataReport, path: Path) -> None:
    """Writes the report as one HTML file without links to anything outside it.

    Raises:
        DataError: The file cannot be written; what was there before stays.
    """
    sections = [
        _overview(report),
        _values(report),
        _coverage(report),
        _few(report),
        _scaffolds(report),
        _quality(report),
        _assays(report),
    ]
    title = escape(f"Data report: {report.title}")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>{''.join(sections)}</html>\n"
    )
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _overview(report: DataReport) -> str:
    lines: dict[str, object] = {"what": report.meaning or "not stated"}
    lines["task"] = report.task + (f", {report.unit}" if report.unit else "")
    for key in ("file", "origin", "licence", "sha256"):
        lines[key] = report.provenance.get(key, "not stated")
    lines["rows read"] = report.counts["n_rows_in"]
    lines["compounds"] = len(report.compounds)
    return "<h2>Overview</h2>" + _pairs(lines)


def _values(report: DataReport) -> str:
    values = report.compounds["value"].to_numpy(np.float64)
    if report.task == "classification":
        n_positive = int(values.sum())
        counts = {"1": n_positive, "0": len(values) - n_positive}
        text = f"<p>{n_positive} of {len(values)} compounds ({values.mean():.1%}) are positive.</p>"
        return "<h2>Label balance</h2>" + text + _figure(lambda ax: _bars(ax, counts), "labels")
    quantiles = np.quantile(values, [0, 0.05, 0.5, 0.95, 1])
    names = ("smallest", "5 %", "median", "95 %", "largest")
    n_bounds = int((report.compounds["relation"] != "=").sum())
    pairs: dict[str, object] = {n: f"{q:.4g}" for n, q in zip(names, quantiles, strict=True)}
    pairs["standard deviation"] = f"{values.std():.4g}"
    pairs["only a bound (&lt; or &gt;) known"] = n_bounds
    figure = _figure(lambda ax: _histogram(ax, values), f"value, {report.unit or 'as given'}")
    return "<h2>Values</h2>" + figure + _pairs(pairs, escaped=True)


def _coverage(report: DataReport) -> str:
    compounds = report.compounds
    charges = compounds["charge"].value_counts().to_dict()
    figures = [
        _figure(lambda ax: _histogram(ax, compounds["weight_da"].to_numpy()), "weight, Da"),
        _figure(lambda ax: _histogram(ax, compounds["logp"].to_numpy()), "Crippen logP"),
        _figure(lambda ax: _bars(ax, charges), "charge near pH 7, by functional groups"),
    ]
    return "<h2>Chemical coverage</h2>" + "".join(figures)


def _few(report: DataReport) -> str:
    rows = [
        ([name, int(line["n"]), f"{line['share']:.1%}", _number(line["mean_value"])], line["few"])
        for name, line in report.kinds.iterrows()
    ]
    return (
        "<h2>Who is under-represented</h2><p>Predictions for the kinds in colour rest on few "
        "compounds or none; check such candidates by experiment.</p>"
        + _grid(["kind", "compounds", "share", "mean value"], rows)
    )


def _scaffolds(report: DataReport) -> str:
    scaffolds, n = report.scaffolds, len(report.compounds)
    n_single = int((scaffolds["n"] == 1).sum())
    n_acyclic = int((report.compounds["scaffold"] == "").sum())
    text = (
        f"<p>{len(scaffolds)} Bemis-Murcko scaffolds for {n} compounds; {n_single} scaffolds have "
        f"one compound; {n_acyclic} compounds are acyclic.</p>"
    )
    rows = [
        ([line["scaffold"], int(line["n"]), f"{line['share']:.1%}", _number(line["mean_value"])],
         False)
        for _, line in scaffolds.head(N_SHOWN).iterrows()
    ]  # fmt: skip
    return (
        "<h2>Scaffolds</h2>"
        + text
        + _grid(["most frequent scaffolds", "compounds", "share", "mean value"], rows, code=True)
    )


def _quality(report: DataReport) -> str:
    # The same bound twice (>10, >10) says nothing of how well measurements agree.
    exact = report.compounds["relation"] == "="
    repeated = report.compounds[exact & (report.compounds["n_obs"] > 1)]
    lines: dict[str, object] = {
        "compounds with several exact measurements": len(repeated),
        "measurements merged into others": report.counts["n_duplicates_merged"],
        "structures in conflict": len(report.conflicts),
        **{f"rows left out: {reason}": n for reason, n in report.dropped.items()},
    }
    if report.leakage is not None:
        lines["official test rows whose compound is also a training compound"] = (
            f"{len(report.leakage.rows)} of {report.leakage.n_test}"
        )
    text = "<h2>Duplicates, conflicts, rows left out</h2>" + _pairs(lines)
    if report.task == "regression" and len(repeated):
        spreads = repeated["spread"].to_numpy(np.float64)
        text += _figure(lambda ax: _histogram(ax, spreads), "range of repeated measurements")
        text += (
            f"<p>Half of them differ by less than {np.median(spreads):.3g}: no model can be "
            "expected to do much better than the measurements agree.</p>"
        )
    if report.conflicts:
        rows = [
            ([smiles, ", ".join(f"{v:.4g}" for v in values)], False)
            for smiles, values in list(report.conflicts.items())[:N_SHOWN]
        ]
        text += _grid(["structures in conflict", "values"], rows, code=True)
    return text


def _assays(report: DataReport) -> str:
    text = ""
    if report.assays:
        rows = [([name or "not stated", n], False) for name, n in report.assays.items()]
        text += f"<h2>Assays</h2><p>{len(rows)} assays.</p>"
        text += _grid(["assay", "rows"], rows[:N_SHOWN])
    if report.years:
        years = {str(year): n for year, n in report.years.items()}
        text += "<h2>Years</h2>" + _figure(lambda ax: _bars(ax, years), "year of publication")
    return text


# -- pieces ---------------------------------------------------------------------------------


def _pairs(lines: Mapping[str, object], *, escaped: bool = False) -> str:
    names = [key if escaped else escape(key) for key in lines]
    cells = [escape(str(value)) for value in lines.values()]
    body = "".join(
        f"<tr><th>{name}</th><td>{cell}</td></tr>" for name, cell in zip(names, cells, strict=True)
    )
    return f"<table>{body}</table>"


def _grid(header: list[str], rows: list[tuple[list[Any], bool]], *, code: bool = False) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = []
    for cells, marked in rows:
        first = escape(str(cells[0]))
        first = f"<code>{first}</code>" if code else first
        rest = "".join(f'<td class="n">{escape(str(cell))}</td>' for cell in cells[1:])
        body.append(f"<tr{' class=few' if marked else ''}><td>{first}</td>{rest}</tr>")
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "none"


def _figure(draw: Callable[[Axes], None], caption: str) -> str:
    """A small plot as inline SVG; the same data gives the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "molgen", "svg.fonttype": "none"}):
        figure = Figure(figsize=(3.6, 2.2), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        stream = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)  # its methods are not annotated
        canvas.print_svg(stream, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _histogram(axes: Axes, values: Any) -> None:
    axes.hist(values, bins=min(30, max(5, int(np.sqrt(len(values))))), color=_BLUE)
    axes.set_ylabel("compounds")


def _bars(axes: Axes, counts: Mapping[str, int]) -> None:
    positions = np.arange(len(counts))
    axes.bar(positions, list(counts.values()), color=_ORANGE if len(counts) == 2 else _BLUE)
    step = max(1, len(counts) // 8)
    axes.set_xticks(positions[::step], list(counts)[::step], rotation=30 if len(counts) > 2 else 0)
    axes.set_ylabel("compounds")
