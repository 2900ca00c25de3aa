"""From rows to one value per compound: duplicates, conflicts and censored values.

Several measurements of one structure (same canonical SMILES after standardising, so salts and
charge states count as one, but for the forms that `molecules` names) become their median. Exact
values come before bounds: a bound ('<', '>') is used only where a structure has nothing better,
because most models take it for the value itself; `Table.relation` marks it for those that can do
more. Whatever is left out is counted with its reason.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from property_models.datasets import CleaningRules, Rows, Table
from property_models.endpoint_types import Task
from property_models.errors import DataError
from property_models.molecules import Molecule, inchikey_block, standardise_all

_CONFLICT_LABELS = "labels of one structure differ"
_CONFLICT_VALUES = "values of one structure differ too much"
_CONFLICT_BOUNDS = "only bounds, from both sides"
_CENSORED = "only a bound, no exact value"


@dataclass(frozen=True)
class _Measurement:
    molecule: Molecule
    value: float
    relation: str
    year: float
    assay: str


@dataclass(frozen=True)
class _Merged:
    """What a structure's measurements amount to; `reason` says why there is no value."""

    value: float = float("nan")
    relation: str = "="
    n_obs: int = 0
    spread: float = 0.0
    reason: str = ""
    conflict: bool = False


def clean(rows: Rows, *, task: Task) -> Table:
    """Standardises structures and makes one row per structure, by the rows' own rules.

    Args:
        rows: Measurements; `rows.rules` says what becomes of conflicts and bounds.
        task: For classification, values must be 0 or 1, and labels that agree are merged.

    Returns:
        Compounds in the order of their first measurement.

    Raises:
        DataError: A classification value is neither 0 nor 1.
    """
    if task == "classification":
        _check_labels(rows)
    dropped: Counter[str] = Counter()
    groups = _grouped(rows, dropped)
    merge = _merge_labels if task == "classification" else _merge_values
    merged = {smiles: merge(group, rows.rules) for smiles, group in groups.items()}
    for smiles, result in merged.items():
        if result.reason:
            dropped[result.reason] += len(groups[smiles])
        elif result.n_obs < len(groups[smiles]) and task == "regression":
            dropped["a bound beside an exact value or a tighter bound"] += (
                len(groups[smiles]) - result.n_obs
            )
    used = {smiles: result for smiles, result in merged.items() if not result.reason}
    molecules = [groups[smiles][0].molecule for smiles in used]
    return Table(
        molecules,
        np.array([result.value for result in used.values()], np.float64),
        [inchikey_block(m.mol) for m in molecules if m.mol is not None],
        _counts(rows, groups, merged, dropped),
        relation=np.array([result.relation for result in used.values()], dtype="<U1"),
        n_obs=np.array([result.n_obs for result in used.values()], np.int64),
        spread=np.array([result.spread for result in used.values()], np.float64),
        year=np.array([_first_year(groups[smiles]) for smiles in used], np.float64),
        assay=None if rows.assay is None else [_one_assay(groups[smiles]) for smiles in used],
        dropped=dict(dropped),
        conflicts={
            smiles: [m.value for m in groups[smiles]]
            for smiles, result in merged.items()
            if result.conflict
        },
    )


def _check_labels(rows: Rows) -> None:
    wrong = np.isfinite(rows.values) & ~np.isin(rows.values, (0.0, 1.0))
    if rows.relation is not None:
        wrong |= np.isfinite(rows.values) & (rows.relation != "=")
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        sign = "" if rows.relation is None or rows.relation[row] == "=" else rows.relation[row]
        raise DataError(
            f"{rows.provenance.get('file', 'table')}: row {row + 1}: classification needs 0 "
            f"or 1, found {sign}{rows.values[row]:g} ({int(wrong.sum())} such rows)"
        )


def _grouped(rows: Rows, dropped: Counter[str]) -> dict[str, list[_Measurement]]:
    """Usable measurements by structure; the others are counted."""
    groups: dict[str, list[_Measurement]] = {}
    for i, molecule in enumerate(standardise_all(rows.smiles)):
        reason = rows.reasons[i] if rows.reasons is not None else ""
        if molecule.mol is None:
            dropped["structure not usable"] += 1
        elif reason:
            dropped[reason] += 1
        elif not np.isfinite(rows.values[i]):
            dropped["not measured"] += 1
        else:
            groups.setdefault(molecule.smiles, []).append(
                _Measurement(
                    molecule,
                    float(rows.values[i]),
                    "=" if rows.relation is None else str(rows.relation[i]),
                    float("nan") if rows.year is None else float(rows.year[i]),
                    "" if rows.assay is None else rows.assay[i],
                )
            )
    return groups


def _merge_labels(group: list[_Measurement], rules: CleaningRules) -> _Merged:
    n_positive = sum(m.value == 1.0 for m in group)
    n = len(group)
    if n_positive in (0, n):
        return _Merged(group[0].value, n_obs=n)
    if rules.conflicts == "keep" and 2 * n_positive != n:
        return _Merged(float(2 * n_positive > n), n_obs=n, spread=1.0, conflict=True)
    return _Merged(reason=_CONFLICT_LABELS, conflict=True)


def _merge_values(group: list[_Measurement], rules: CleaningRules) -> _Merged:
    exact = [m.value for m in group if m.relation == "="]
    if not exact:
        return _merge_bounds(group, rules)
    spread = max(exact) - min(exact)
    median = float(np.median(exact))
    excess = [m.value - median for m in group if m.relation == ">"]  # the true value is above
    excess += [median - m.value for m in group if m.relation == "<"]
    conflict = max([spread, *excess]) > rules.conflict_limit
    if conflict and rules.conflicts == "drop":
        return _Merged(reason=_CONFLICT_VALUES, conflict=True)
    return _Merged(median, n_obs=len(exact), spread=spread, conflict=conflict)


def _merge_bounds(group: list[_Measurement], rules: CleaningRules) -> _Merged:
    if rules.censored == "drop":
        return _Merged(reason=_CENSORED)
    signs = {m.relation for m in group}
    if len(signs) > 1:
        return _Merged(reason=_CONFLICT_BOUNDS)
    sign = signs.pop()
    values = [m.value for m in group]
    tightest = max(values) if sign == ">" else min(values)
    return _Merged(tightest, sign, n_obs=values.count(tightest))


def _first_year(group: list[_Measurement]) -> float:
    known = [m.year for m in group if np.isfinite(m.year)]
    return min(known, default=float("nan"))


def _one_assay(group: list[_Measurement]) -> str:
    assays = {m.assay for m in group}
    return assays.pop() if len(assays) == 1 else ""


def _counts(
    rows: Rows,
    groups: dict[str, list[_Measurement]],
    merged: dict[str, _Merged],
    dropped: Counter[str],
) -> dict[str, int]:
    used = [result for result in merged.values() if not result.reason]
    reasons = set(rows.reasons or []) - {""}
    return {
        "n_rows_in": len(rows),
        "n_without_value": dropped["not measured"],
        "n_unusable_values": sum(dropped[reason] for reason in reasons),
        "n_unusable_structures": dropped["structure not usable"],
        "n_duplicates_merged": sum(map(len, groups.values())) - len(groups),
        "n_conflicting_structures_dropped": sum(
            bool(result.reason) and result.conflict for result in merged.values()
        ),
        "n_conflicting_structures_kept": sum(result.conflict for result in used),
        "n_censored_dropped": sum(
            bool(result.reason) and not result.conflict for result in merged.values()
        ),
        "n_censored": sum(result.relation != "=" for result in used),
        "n_used": len(used),
    }
