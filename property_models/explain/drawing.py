"""Attributions drawn on the structure, as one SVG element with a legend.

Colours are two that colour-blind readers tell apart (blue and orange), and a disc's size says how
much, so a print in grey keeps the amount. For an endpoint with a direction blue means better and
orange worse, whichever way the numbers run; for a neutral one blue lowers and orange raises.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

if TYPE_CHECKING:
    from property_models.endpoints import Direction

Array = NDArray[np.float64]
Colour = tuple[float, float, float]

# Ends of ColorBrewer's diverging scheme PuOr/RdBu, safe for colour-blind readers
# (https://colorbrewer2.org).
BLUE: Colour = (0.26, 0.58, 0.76)
ORANGE: Colour = (0.90, 0.52, 0.10)
GREY: Colour = (0.75, 0.75, 0.75)
LEGEND_HEIGHT_PX = 46
_MIN_RADIUS, _MAX_RADIUS = 0.12, 0.5  # in bond lengths of about 1.5
_NEGLIGIBLE = 0.04  # of the scale: no disc
_HEADER_END = "<!-- END OF HEADER -->"
_CLASS = re.compile(r" class='[^']*'")


def draw_attribution(
    mol: Chem.Mol,
    atoms: Array,
    *,
    unit: str,
    higher_is: Direction = "neutral",
    scale: float | None = None,
    width_px: int = 360,
    height_px: int = 260,
) -> str:
    """An SVG element of a molecule with a disc on each atom that matters, and a legend.

    Args:
        mol: Molecule; its 2D coordinates are used where it has any.
        atoms: Attribution of each atom, shape (n_atoms,); NaN is drawn grey.
        unit: Of the attributions, for the legend.
        higher_is: Decides the meaning of the colours.
        scale: Attribution with the full disc; None: the largest here. Give one value to make
            several drawings comparable.
        width_px: Width of the view box.
        height_px: Height of the view box without the legend.

    Returns:
        `<svg …>…</svg>` without XML declaration or outside references.
    """
    full = scale if scale is not None else _largest(atoms)
    shares = np.asarray(atoms, dtype=np.float64) / full if full > 0 else np.zeros(len(atoms))
    body = _structure(mol, shares, higher_is, width_px, height_px)
    legend = _legend(full, unit, higher_is, width_px, height_px)
    missing = bool(np.isnan(atoms).any())
    note = "; grey: not attributed" if missing else ""
    title = f"<title>{escape(_legend_words(higher_is))}{note}</title>"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' "
        f"viewBox='0 0 {width_px} {height_px + LEGEND_HEIGHT_PX}' role='img'>"
        f"{title}{body}{legend}</svg>"
    )


def colour_of(share: float, higher_is: Direction) -> Colour:
    """Colour of an attribution given as a share of the scale, paler where it is small."""
    if not np.isfinite(share):
        return GREY
    raises = share > 0
    is_orange = raises if higher_is in ("neutral", "worse") else not raises
    base = ORANGE if is_orange else BLUE
    strength = 0.35 + 0.65 * min(abs(share), 1.0)
    r, g, b = (1.0 - strength * (1.0 - part) for part in base)
    return r, g, b


def _largest(atoms: Array) -> float:
    finite = np.abs(atoms[np.isfinite(atoms)])
    return float(finite.max()) if len(finite) else 0.0


def _structure(
    mol: Chem.Mol, shares: Array, higher_is: Direction, width_px: int, height_px: int
) -> str:
    mol = Chem.Mol(mol)
    if not mol.GetNumConformers():
        rdDepictor.Compute2DCoords(mol, canonOrient=True)
    shown = [a for a, s in enumerate(shares) if np.isnan(s) or abs(s) >= _NEGLIGIBLE]
    colours = {a: colour_of(float(shares[a]), higher_is) for a in shown}
    radii = {a: _radius(float(shares[a])) for a in shown}
    drawer = rdMolDraw2D.MolDraw2DSVG(width_px, height_px)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.fillHighlights = True
    options.useBWAtomPalette()  # the only colours are those of the attribution
    options.bondLineWidth = 1.5
    options.padding = 0.08
    drawer.DrawMolecule(
        rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=True, addChiralHs=False),
        highlightAtoms=shown,
        highlightAtomColors=colours,
        highlightAtomRadii=radii,
        highlightBonds=[],
    )
    drawer.FinishDrawing()
    text = str(drawer.GetDrawingText())
    body = text[text.index(_HEADER_END) + len(_HEADER_END) : text.rindex("</svg>")]
    return _CLASS.sub("", body.strip()).replace("#000000", "currentColor")


def _radius(share: float) -> float:
    size = 0.3 if np.isnan(share) else min(abs(share), 1.0)
    # Area, not radius, grows with the amount: that is what the eye compares.
    return _MIN_RADIUS + (_MAX_RADIUS - _MIN_RADIUS) * float(np.sqrt(size))


def _legend_words(higher_is: Direction) -> str:
    low, high = _ends(higher_is)
    return f"attribution of each atom; blue: {low}, orange: {high}"


def _ends(higher_is: Direction) -> tuple[str, str]:
    """What blue and orange mean."""
    if higher_is == "neutral":
        return "lowers", "raises"
    return ("better: raises", "worse: lowers") if higher_is == "better" else (
        "better: lowers", "worse: raises",
    )  # fmt: skip


def _legend(full: float, unit: str, higher_is: Direction, width_px: int, height_px: int) -> str:
    """A row of discs from strong blue to strong orange with words and numbers below."""
    low, high = _ends(higher_is)
    sign = -1 if higher_is in ("neutral", "worse") else 1
    steps = np.array([1.0, 0.5, 0.15, -0.15, -0.5, -1.0]) * sign
    y, x0, step = height_px + 14, width_px / 2 - 62.5, 25
    discs = "".join(
        f"<circle cx='{x0 + i * step:.1f}' cy='{y}' r='{20 * _radius(float(s)):.1f}' "
        f"fill='{_hex(colour_of(float(s), higher_is))}'/>"
        for i, s in enumerate(steps)
    )
    style = "font-family='sans-serif' font-size='11' fill='currentColor'"
    left, right = (f"{full * steps[0]:+.2g}", f"{full * steps[-1]:+.2g}")
    return (
        f"<g>{discs}"
        f"<text x='{x0 - 14:.1f}' y='{y + 4}' text-anchor='end' {style}>{left} {escape(low)}</text>"
        f"<text x='{x0 + 5 * step + 14:.1f}' y='{y + 4}' {style}>{right} {escape(high)}</text>"
        f"<text x='{width_px / 2}' y='{y + 26}' text-anchor='middle' {style}>"
        f"effect of each atom, {escape(unit)}</text></g>"
    )


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
