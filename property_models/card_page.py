"""A model card to read: one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from property_models.model_card import ModelCard

_NAMES = {
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "r2": "R²",
    "spearman": "Spearman's rank correlation",
    "auroc": "area under the ROC curve",
    "auprc": "average precision",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "coverage": "coverage of the 90 % intervals",
    "mean_width": "mean width of the intervals",
    "plain_mean_width": "mean width of plain split-conformal intervals",
    "ence": "expected normalised calibration error",
    "error_rank_correlation": "rank correlation of expected and true error",
    "share_in_domain": "share inside the domain",
    "domain_error_ratio": "error outside the domain / inside",
}
_N_SLICES = 12  # the page shows the worst; all are in card.json
# Blue and orange that colour-blind readers tell apart (Okabe and Ito).
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#999"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
       color: #222 }
h1 { margin-bottom: 0 } h2 { margin-top: 2rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
       vertical-align: top } td.number { text-align: right; font-variant-numeric: tabular-nums }
svg text { font: 12px system-ui, sans-serif; fill: #222 } .note { color: #555 }
dt { font-weight: 600 } dd { margin: 0 0 .5rem 0 }
"""


def card_page(card: ModelCard) -> str:
    """The card as an HTML page; the same card gives the same text."""
    title = escape(card.endpoint)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>{escape(card.meaning)}</p>",
        _facts(card),
        "<h2>How well it does</h2>",
        f'<p class="note">{escape(card.split)}</p>',
        _metrics_table(card.metrics),
        _official(card.official_test),
        *_plots(card),
        _slices(card),
        _data(card),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


# -- sections -------------------------------------------------------------------------------


def _facts(card: ModelCard) -> str:
    kinds = [
        f"{member['kind'].replace('_', ' ')} (weight {weight:.3g})"
        for member, weight in zip(card.members, card.weights, strict=True)
    ]
    facts = {
        "Predicts": f"{card.task}, in {card.unit or 'a unit that is not stated'}; "
        f"higher is {card.higher_is}",
        "Intended use": card.intended_use,
        "Not for": card.limits,
        "Members": ", ".join(kinds),
        "Intervals": str(card.calibration.get("method", "")),
        "Domain": str(card.domain.get("meaning", "")),
        "Licence": card.licence,
        "Measured by": card.assay,
        "Source": card.source,
        "Trained": f"{card.date}, seed {card.seed}, "
        + ", ".join(f"{name} {number}" for name, number in card.versions.items()),
    }
    rows = (f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in facts.items() if v)
    return f"<dl>{''.join(rows)}</dl>"


def _metrics_table(metrics: Mapping[str, Any]) -> str:
    cluster = metrics.get("cluster", {})
    header = "<tr><th></th><th>scaffold split</th>"
    header += "<th>cluster split (harder)</th></tr>" if cluster else "</tr>"
    rows = []
    for name, meaning in _NAMES.items():
        if name in metrics:
            cells = f"<td>{escape(meaning)}</td>{_number(metrics, name)}"
            cells += _number(cluster, name) if cluster else ""
            rows.append(f"<tr>{cells}</tr>")
    return f"<table>{header}{''.join(rows)}</table>" + (
        '<p class="note">In brackets: 95 % bootstrap interval over compounds.</p>'
    )


def _number(metrics: Mapping[str, Any], name: str) -> str:
    if name not in metrics:
        return "<td></td>"
    text = f"{metrics[name]:.3g}"
    interval = metrics.get("intervals_95", {}).get(name)
    if interval:
        text += f" ({interval[0]:.3g} to {interval[1]:.3g})"
    return f'<td class="number">{text}</td>'


def _official(test: Mapping[str, Any]) -> str:
    if not test:
        return ""
    low, high = test["interval_95"]
    name = escape(_NAMES.get(test["metric"], test["metric"]))
    peer = ""
    if "peer_value" in test:  # for many data sets nobody has published a result
        peer = f"; to compare: {test['peer_value']:.3g}, {escape(str(test['peer']))}"
    return (
        f"<p>Official test set ({test['n_test']:,} compounds): {name} {test['value']:.3g} "
        f"({low:.3g} to {high:.3g}){peer}.</p>"
    )


def _plots(card: ModelCard) -> list[str]:
    parts = []
    bins = card.metrics.get("coverage_by_similarity")
    if bins:
        labels = [f"{b['similarity_from']:g} to {b['similarity_to']:g}" for b in bins]
        notes = [f"n = {b['n']:,}, width {b['mean_width']:.3g}" for b in bins]
        parts.append("<h3>Coverage by similarity to the nearest training compound</h3>")
        parts.append(_bars(labels, [b["coverage"] for b in bins], notes, mark=0.9, full=1.0))
    curve = card.metrics.get("calibration_curve")
    if curve:
        parts.append("<h3>Calibration: observed against predicted probability</h3>")
        parts.append(_curve([(point["predicted"], point["observed"]) for point in curve]))
    return parts


def _slices(card: ModelCard) -> str:
    entries = card.metrics.get("slices")
    if not entries:
        return ""
    worst = card.metrics.get("worst_slice")
    name = escape(_NAMES[card.metrics["slice_error"]])
    sentence = (
        f"Worst: <b>{escape(worst['slice'])}</b> ({worst['n']:,} compounds), {name} "
        f"{worst['error']:.3g}, {worst['ratio']:.2g} times that of all compounds."
        if worst
        else "No group is worse than all compounds together by more than chance."
    )
    shown = entries[:_N_SLICES]
    notes = [f"n = {e['n']:,}, {e['error']:.3g}" for e in shown]
    ratios = [e["ratio"] for e in shown]
    bars = _bars([e["slice"] for e in shown], ratios, notes, mark=1.0, full=max(1.2, *ratios))
    heading = "<h3>Error of a group / error of all</h3>"
    return f"<h2>Where it errs most</h2><p>{sentence}</p>{heading}{bars}"


def _data(card: ModelCard) -> str:
    rows = "".join(
        f"<tr><td>{escape(str(key).replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
        for key, value in card.data.items()
    )
    few = card.metrics.get("under_represented", {})
    sentence = ""
    if few:
        listed = ", ".join(f"{escape(name)} ({count:,})" for name, count in few.items())
        sentence = f"<p>Under-represented (below 2 % of the compounds): {listed}.</p>"
    return f"<h2>What it was trained on</h2><table>{rows}</table>{sentence}"


# -- plots ----------------------------------------------------------------------------------


def _bars(
    labels: Sequence[str],
    values: Sequence[float],
    notes: Sequence[str],
    *,
    mark: float,
    full: float,
) -> str:
    """Horizontal bars of 0 to `full` with a line at `mark`."""
    left, width, step = 190, 340, 22
    height = step * len(labels) + 8
    shapes = []
    for row, (label, value, note) in enumerate(zip(labels, values, notes, strict=True)):
        y = row * step + 4
        length = width * min(value / full, 1.0)
        shapes.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="16" fill="{_BLUE}"/>'
            f'<text x="{left + width + 8}" y="{y + 13}">{value:.2f} ({escape(note)})</text>'
        )
    x = left + width * mark / full
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="{_ORANGE}"/>'
    return (
        f'<svg role="img" width="780" height="{height}" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(shapes)}{line}</svg>"
    )


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Points of (predicted, observed), both 0 to 1, with the diagonal of perfect calibration."""
    side, margin = 260, 40

    def at(x: float, y: float) -> tuple[float, float]:
        return margin + side * x, 10 + side * (1.0 - y)

    placed = [at(x, y) for x, y in points]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_BLUE}"/>' for x, y in placed)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    return (
        f'<svg role="img" width="{side + margin + 20}" height="{side + 50}" '
        'xmlns="http://www.w3.org/2000/svg">'
        f'<rect x="{margin}" y="10" width="{side}" height="{side}" fill="none" stroke="{_GREY}"/>'
        f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="{_ORANGE}"/>'
        f'<polyline points="{path}" fill="none" stroke="{_BLUE}"/>{dots}'
        f'<text x="{margin}" y="{side + 26}">0</text>'
        f'<text x="{margin + side / 2}" y="{side + 26}" text-anchor="middle">predicted</text>'
        f'<text x="{margin + side}" y="{side + 26}" text-anchor="end">1</text>'
        f'<text x="{margin - 6}" y="20" text-anchor="end">1</text>'
        f'<text x="14" y="{10 + side / 2}" transform="rotate(-90 14 {10 + side / 2})" '
        'text-anchor="middle">observed</text></svg>'
    )
