"""Small drawings as inline SVG: they follow the page's colours and need nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from molgen.config.objective import Decreasing, Desirability, Increasing
from molgen.report.wording import number


@dataclass(frozen=True)
class Line:
    """One curve: `y[i]` at `x[i]`; NaN leaves a gap.

    Attributes:
        name: Shown in the legend.
        style: CSS class that gives the colour.
        x: Positions.
        y: Values.
    """

    name: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


def knots(desirability: Desirability) -> list[tuple[float, float]]:
    """Corner points (raw value, desirability) of the piecewise linear curve, ascending."""
    if isinstance(desirability, Increasing):
        return [(desirability.zero_at, 0.0), (desirability.one_at, 1.0)]
    if isinstance(desirability, Decreasing):
        return [(desirability.one_at, 1.0), (desirability.zero_at, 0.0)]
    low, high, margin = desirability.low, desirability.high, desirability.margin
    return [(low - margin, 0.0), (low, 1.0), (high, 1.0), (high + margin, 0.0)]


def value_axis(desirability: Desirability, values: Sequence[float]) -> tuple[float, float]:
    """Range (low, high) of raw values that shows the curve's corners and all finite `values`."""
    shown = [x for x, _ in knots(desirability)] + [v for v in values if math.isfinite(v)]
    margin = 0.08 * (max(shown) - min(shown))
    return min(shown) - margin, max(shown) + margin


def strip(
    desirability: Desirability,
    axis: tuple[float, float],
    *,
    value: float = math.nan,
    low: float = math.nan,
    high: float = math.nan,
    width_px: int = 150,
    height_px: int = 22,
) -> Markup:
    """The desirability curve as a filled shape, with a value as a dot and its interval as a bar.

    Args:
        desirability: The curve.
        axis: Range of raw values shown, from `value_axis`.
        value: Raw value; NaN draws the curve alone.
        low: Lower end of the interval.
        high: Upper end of the interval.
        width_px: Width of the view box.
        height_px: Height of the view box.
    """
    span = axis[1] - axis[0]

    def at(raw: float) -> float:
        return 3 + (width_px - 6) * min(max((raw - axis[0]) / span, 0.0), 1.0)

    base = height_px - 2.0
    top = 3.0
    corners = knots(desirability)
    outline = [(axis[0], corners[0][1]), *corners, (axis[1], corners[-1][1])]
    points = " ".join(f"{at(x):.1f},{base - y * (base - top):.1f}" for x, y in outline)
    parts = [
        f"<polygon class='wish' points='{at(axis[0]):.1f},{base} {points} "
        f"{at(axis[1]):.1f},{base}'/>",
        f"<path class='rule' d='M3,{base}H{width_px - 3}'/>",
    ]
    middle = (base + top) / 2
    if math.isfinite(low) and math.isfinite(high):
        parts.append(
            f"<path class='interval' d='M{at(low):.1f},{middle}H{at(high):.1f}"
            f"M{at(low):.1f},{middle - 3}v6M{at(high):.1f},{middle - 3}v6'/>"
        )
    if math.isfinite(value):
        parts.append(f"<circle class='dot' cx='{at(value):.1f}' cy='{middle}' r='3.4'/>")
    return _svg("strip", width_px, height_px, parts)


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    level: tuple[str, float] | None = None,
    width_px: int = 760,
    height_px: int = 300,
) -> Markup:
    """Curves over the rounds with axes and a legend.

    Args:
        lines: Curves to draw.
        title: Read aloud by screen readers.
        level: (name, value) of a dashed horizontal reference line; None or NaN draws none.
        width_px: Width of the view box.
        height_px: Height of the view box.
    """
    left, right, top, bottom = 46.0, 14.0, 34.0, 40.0
    values = [v for line in lines for v in line.y if math.isfinite(v)]
    marked = level if level is not None and math.isfinite(level[1]) else None
    if marked:
        values.append(marked[1])
    positions = [float(p) for line in lines for p in line.x]
    if not values or not positions:
        return Markup()
    x_low, x_high = _widened(min(positions), max(positions))
    y_ticks = _ticks(*_widened(min(values), max(values)))
    y_low, y_high = min(y_ticks[0], min(values)), max(y_ticks[-1], max(values))

    def x_at(x: float) -> float:
        return left + (x - x_low) / (x_high - x_low) * (width_px - left - right)

    def y_at(y: float) -> float:
        return height_px - bottom - (y - y_low) / (y_high - y_low) * (height_px - top - bottom)

    parts = [f"<title>{escape(title)}</title>"]
    for tick in y_ticks:
        parts.append(f"<path class='grid' d='M{left},{y_at(tick):.1f}H{width_px - right}'/>")
        parts.append(_text(left - 8, y_at(tick) + 4, number(tick), "end"))
    for tick in _ticks(x_low, x_high, whole=True):
        parts.append(_text(x_at(tick), height_px - bottom + 18, f"{tick:.0f}", "middle"))
    parts.append(_text((left + width_px - right) / 2, height_px - 6, "round", "middle"))
    offset = left
    names = [(line.name, line.style) for line in lines]
    if marked:
        parts.append(f"<path class='level' d='M{left},{y_at(marked[1]):.1f}H{width_px - right}'/>")
        names.append((marked[0], "level"))
    for line in lines:
        parts.append(f"<path class='line {escape(line.style)}' d='{_path(line, x_at, y_at)}'/>")
    for name, style in names:
        parts.append(f"<path class='line {escape(style)}' d='M{offset:.0f},14h22'/>")
        parts.append(_text(offset + 28, 18, name, "start"))
        offset += 48 + 6.6 * len(name)
    return _svg("chart", width_px, height_px, parts)


def scatter(
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    title: str,
    names: tuple[str, str],
    size_px: int = 340,
) -> Markup:
    """Points (x, y) with intervals [low, high] of x, and the diagonal; equal axes.

    Args:
        x: Values across; NaN leaves the point out.
        y: Values upwards; NaN leaves the point out.
        low: Lower ends of the intervals.
        high: Upper ends of the intervals.
        title: Read aloud by screen readers.
        names: Of the axes, across and upwards.
        size_px: Width and height of the view box.
    """
    points = [p for p in zip(x, y, low, high, strict=True) if all(map(math.isfinite, p))]
    if not points:
        return Markup()
    start, end = 46.0, 14.0
    ticks = _ticks(*_widened(min(map(min, points)), max(map(max, points))))

    def at(value: float) -> float:
        return start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (size_px - start - end)

    def up(value: float) -> float:
        return size_px - at(value)

    edge = size_px - end
    parts = [f"<title>{escape(title)}</title>"]
    for tick in ticks:
        parts.append(f"<path class='grid' d='M{start},{up(tick):.1f}H{edge}'/>")
        parts.append(_text(start - 8, up(tick) + 4, number(tick), "end"))
        parts.append(_text(at(tick), size_px - start + 18, number(tick), "middle"))
    diagonal = f"M{start},{up(ticks[0]):.1f}L{edge},{up(ticks[-1]):.1f}"
    parts.append(f"<path class='level' d='{diagonal}'/>")
    for _, upwards, left, right in points:
        bar = f"M{at(left):.1f},{up(upwards):.1f}H{at(right):.1f}"
        parts.append(f"<path class='interval faint' d='{bar}'/>")
    for across, upwards, _, _ in points:
        parts.append(f"<circle class='dot' cx='{at(across):.1f}' cy='{up(upwards):.1f}' r='3'/>")
    parts.append(_text((start + edge) / 2, size_px - 6, names[0], "middle"))
    parts.append(_text(start, 10, names[1], "start"))
    return _svg("chart", size_px, size_px, parts)


def sparkline(
    line: Line, desirability: Desirability, *, width_px: int = 210, height_px: int = 64
) -> Markup:
    """A component's mean over the rounds, above a band that marks full desirability."""
    finite = [v for v in line.y if math.isfinite(v)]
    if not finite:
        return Markup()
    full = [x for x, y in knots(desirability) if y == 1.0]
    low, high = _widened(min(finite), max(finite))
    # Values far from the wish would flatten the curve, so the band is shown where it comes close.
    for edge in full:
        if low - 2 * (high - low) <= edge <= high + 2 * (high - low):
            low, high = min(low, edge), max(high, edge)
    pad = 0.12 * (high - low)
    low, high = low - pad, high + pad
    x_low, x_high = _widened(float(min(line.x)), float(max(line.x)))

    def x_at(x: float) -> float:
        return 4 + (x - x_low) / (x_high - x_low) * (width_px - 8)

    def y_at(y: float) -> float:
        return height_px - 4 - (min(max(y, low), high) - low) / (high - low) * (height_px - 8)

    band_low = low if isinstance(desirability, Decreasing) else min(full)
    band_high = high if isinstance(desirability, Increasing) else max(full)
    height = y_at(band_low) - y_at(band_high)
    parts = [
        f"<rect class='wish' x='4' y='{y_at(band_high):.1f}' width='{width_px - 8}' "
        f"height='{height:.1f}'/>",
        f"<path class='line fresh' d='{_path(line, x_at, y_at)}'/>",
    ]
    return _svg("spark", width_px, height_px, parts)


def _svg(style: str, width_px: int, height_px: int, parts: Sequence[str]) -> Markup:
    return Markup(
        f"<svg class='{style}' viewBox='0 0 {width_px} {height_px}' width='{width_px}' "
        f"height='{height_px}' role='img'>{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(text)}</text>"


def _path(line: Line, x_at: Callable[[float], float], y_at: Callable[[float], float]) -> str:
    steps, pen_down = [], False
    for x, y in zip(line.x, line.y, strict=True):
        if math.isfinite(y):
            steps.append(f"{'L' if pen_down else 'M'}{x_at(float(x)):.1f},{y_at(y):.1f}")
        pen_down = math.isfinite(y)
    # A single point is a line of no length, which the round line ends turn into a dot.
    return "".join(steps) + ("h0" if len(steps) == 1 else "")


def _widened(low: float, high: float) -> tuple[float, float]:
    """The range itself, or one of some width around a single value."""
    if high > low:
        return low, high
    half = max(abs(low) * 0.05, 0.5)
    return low - half, high + half


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """About five round numbers that cover [low, high] (inside it for whole numbers)."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    if whole:
        step = max(1.0, round(step))
        first, last = math.ceil(low / step), math.floor(high / step)
    else:
        first, last = math.floor(low / step), math.ceil(high / step)
    # Without the dust of floating point: 0.3, not 0.30000000000000004.
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]
