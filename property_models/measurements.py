"""From what stands in a column to numbers on one scale: signs, units, logarithms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from property_models.errors import DataError
from property_models.sources import UnitTransform

Array = NDArray[np.float64]
Relations = NDArray[np.str_]

# Mol per litre. Units of mass need a molecular weight, of a salt or of the free base: which one
# is not known, so they are not converted.
MOLAR = {
    "M": 1.0,
    "mol/L": 1.0,
    "mM": 1e-3,
    "mmol/L": 1e-3,
    "uM": 1e-6,
    "µM": 1e-6,  # micro sign
    "μM": 1e-6,  # Greek letter mu
    "umol/L": 1e-6,
    "nM": 1e-9,
    "nmol/L": 1e-9,
    "pM": 1e-12,
    "pmol/L": 1e-12,
}
_SIGNS = {
    "": "=",
    "=": "=",
    "==": "=",
    "~": "=",
    "≈": "=",
    "<": "<",
    "<=": "<",
    "≤": "<",
    "<<": "<",
    ">": ">",
    ">=": ">",
    "≥": ">",
    ">>": ">",
}
_SIGNED = re.compile(r"\s*(<<|>>|<=|>=|==|[<>=~≈≤≥])?\s*(.*?)\s*")
_FLIPPED = {"=": "=", "<": ">", ">": "<"}


def read_numbers(column: Sequence[object], where: str) -> tuple[Array, Relations]:
    """Numbers and signs of cells such as 3.2, '> 10000', '<0.5' or '~3'.

    Args:
        column: n cells, numbers or text; empty ones and NaN are not measured.
        where: File and column, for the message.

    Returns:
        (values, relations): float64 with NaN where not measured, and '=', '<' or '>', shape (n,).
        '~' counts as '=', '>=' as '>', '<=' as '<'.

    Raises:
        DataError: A cell is no finite number (names the row).
    """
    values = np.full(len(column), np.nan)
    relations = np.full(len(column), "=", dtype="<U1")
    bad = []
    for row, cell in enumerate(column):
        if isinstance(cell, Real | Decimal | np.bool_):
            values[row] = float(cell)
            if np.isinf(values[row]):
                bad.append(row)
            continue
        if not isinstance(cell, str):
            if not _is_missing(cell):
                bad.append(row)
            continue
        if not cell.strip():
            continue
        match = _SIGNED.fullmatch(cell)
        assert match is not None, "the pattern matches any text"
        try:
            values[row] = float(match[2])
        except ValueError:
            bad.append(row)
            continue
        if np.isinf(values[row]):
            bad.append(row)
            continue
        relations[row] = _SIGNS[match[1] or ""]
    if bad:
        raise DataError(
            f"{where.replace('ROW', f'row {bad[0] + 1}')}: {column[bad[0]]!r} is no number "
            f"({len(bad)} such rows); leave the cell empty where nothing was measured"
        )
    return values, relations


def _is_missing(cell: object) -> bool:
    """Whether a cell is None, pandas' NA or NaT."""
    import pandas as pd

    # Of a list pandas would ask for each entry.
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def read_relations(column: Sequence[object]) -> tuple[Relations, list[str]]:
    """Signs of a relation column; "'>'" in quotes, as in exports of ChEMBL, is understood.

    Returns:
        (relations, reasons): '=', '<' or '>', shape (n,); and '' or why a sign is not usable.
    """
    relations = np.full(len(column), "=", dtype="<U1")
    reasons = [""] * len(column)
    for row, cell in enumerate(column):
        text = cell.strip().strip("'\"").strip() if isinstance(cell, str) else ""
        if text in _SIGNS:
            relations[row] = _SIGNS[text]
        else:
            reasons[row] = f"unknown relation {text!r}"
    return relations, reasons


def combine_relations(first: Relations, second: Relations) -> Relations:
    """The sign of a relation column where it is not '=', else that of the cell itself."""
    combined: Relations = np.where(first != "=", first, second)
    return combined


def check_unit(unit: str, where: str) -> None:
    """DataError where a unit cannot be converted to mol/L."""
    if unit not in MOLAR:
        raise DataError(
            f"{where}: cannot convert the unit {unit!r}; known: {', '.join(MOLAR)}. Units of mass "
            "would need to know which salt was weighed: convert them yourself"
        )


def converted(
    values: Array, units: Sequence[str], *, transform: UnitTransform, target: str = ""
) -> tuple[Array, list[str]]:
    """Values on one scale: in the target unit, or as -log10(mol/L).

    Args:
        values: float64, shape (n,).
        units: Unit of each value, length n.
        transform: 'neg_log10_molar', or 'none' to give values in `target`.
        target: Unit to convert to without a transform; one of `MOLAR`.

    Returns:
        (values, reasons): NaN and a reason where a value cannot be converted.
    """
    reasons = [""] * len(values)
    out = np.full(len(values), np.nan)
    for row, (value, unit) in enumerate(zip(values, units, strict=True)):
        if not np.isfinite(value):
            continue
        factor = MOLAR.get(unit.strip())
        if factor is None:
            reasons[row] = f"unit {unit!r} cannot be converted"
        elif transform == "none":
            out[row] = value * factor / MOLAR[target]
        elif value <= 0:
            reasons[row] = "a concentration of 0 or less has no logarithm"
        else:
            out[row] = -np.log10(value * factor)
    return out, reasons


def flipped(relations: Relations) -> Relations:
    """'<' for '>' and the other way round: a logarithm with a minus turns the order."""
    turned: Relations = np.array([_FLIPPED[str(r)] for r in relations], dtype="<U1")
    return turned


def text_column(column: Any) -> list[str]:
    """Cells as text, '' where empty; whole numbers without a decimal point.

    A column of numbers with a gap is read as floats: 101.0 and 101 are the same label.
    """
    return [_as_text(cell) for cell in column]


def _as_text(cell: object) -> str:
    if _is_missing(cell):
        return ""
    if isinstance(cell, float | np.floating | Decimal):
        number = float(cell)
        if number.is_integer():
            return str(int(cell))
    return str(cell).strip()
