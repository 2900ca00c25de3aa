"""Filters: what is not worth scoring, and why. Cheap ones first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rdkit import Chem, rdBase

from molgen.config.objective import (
    AlertFilter,
    Filter,
    HazardFilter,
    KnownFilter,
    RangeFilter,
    SubstructureFilter,
)
from molgen.objectives.alerts import alerts, hazard
from molgen.objectives.descriptors import descriptor
from molgen.objectives.known import KnownCompounds, Source, source_of
from molgen.objectives.molecules import Molecules

# A reason for each molecule, '' where it passes; every molecule given has been parsed.
Check = Callable[[Molecules], list[str]]


def build_filters(
    filters: Sequence[Filter],
    known: Mapping[Source, KnownCompounds],
    *,
    predictors_root: Path,
) -> list[Check]:
    """Make the checks, in the order of their cost (equal ones in the order of the config)."""
    return [_build(f, known, predictors_root) for f in sorted(filters, key=_cost)]


def apply_filters(checks: Sequence[Check], molecules: Molecules) -> list[str]:
    """Run each check on what the ones before let through.

    Returns:
        Per molecule '' or the first reason against it, starting with the kind of filter:
        'range: molecular_weight 612.3 > 550'. What cannot be parsed is 'invalid: ...'.
    """
    reasons = [f"invalid: {reason}" if reason else "" for reason in molecules.reasons]
    for check in checks:
        rows = [i for i, reason in enumerate(reasons) if not reason]
        for row, reason in zip(rows, check(molecules.take(rows)), strict=True):
            reasons[row] = reason
    return reasons


def _cost(part: Filter) -> int:
    """Rank by time per molecule: microseconds to milliseconds."""
    match part:
        case RangeFilter(name="qed"):
            return 3
        case RangeFilter(name="sa_score" | "logp"):
            return 1
        case RangeFilter() | HazardFilter() | SubstructureFilter():
            return 0
        case KnownFilter():
            return 2
        case AlertFilter():
            return 4


def _build(part: Filter, known: Mapping[Source, KnownCompounds], predictors_root: Path) -> Check:
    match part:
        case RangeFilter():
            return lambda molecules: _out_of_range(part, molecules)
        case HazardFilter():
            return lambda molecules: [
                f"hazards: {name}" if name else ""
                for name in (hazard(mol) for mol in molecules.mols if mol is not None)
            ]
        case SubstructureFilter():
            return _substructure_check(part)
        case AlertFilter():
            return lambda molecules: [
                _too_many_alerts(part, mol) for mol in molecules.mols if mol is not None
            ]
        case KnownFilter():
            compounds = known[source_of(part, predictors_root)]
            return lambda molecules: _known(part, compounds, molecules)


def _out_of_range(part: RangeFilter, molecules: Molecules) -> list[str]:
    values, reasons = descriptor(part.name, molecules.mols)
    found = []
    for value, reason in zip(values, reasons, strict=True):
        if reason:
            found.append(f"range: {reason}")
        elif value < part.low:
            found.append(f"range: {part.name} {value:.4g} < {part.low:g}")
        elif value > part.high:
            found.append(f"range: {part.name} {value:.4g} > {part.high:g}")
        else:
            found.append("")
    return found


def _substructure_check(part: SubstructureFilter) -> Check:
    forbidden = [(smarts, _query(smarts)) for smarts in part.forbid]
    required = [(smarts, _query(smarts)) for smarts in part.require]

    def reason(mol: Chem.Mol) -> str:
        for smarts, pattern in forbidden:
            if mol.HasSubstructMatch(pattern):
                return f"substructure: has {smarts}"
        for smarts, pattern in required:
            if not mol.HasSubstructMatch(pattern):
                return f"substructure: lacks {smarts}"
        return ""

    return lambda molecules: [reason(mol) for mol in molecules.mols if mol is not None]


def _query(smarts: str) -> Chem.Mol:
    """The pattern; [H] beside an atom becomes a property of it, as molecules have it."""
    with rdBase.BlockLogs():  # of `[#1,#6]` only the carbon can be found, and RDKit warns of it
        return Chem.MergeQueryHs(Chem.MolFromSmarts(smarts))


def _too_many_alerts(part: AlertFilter, mol: Chem.Mol) -> str:
    names = alerts(mol, part.catalogs)
    return f"alerts: {'; '.join(names)}" if len(names) > part.max_alerts else ""


def _known(part: KnownFilter, compounds: KnownCompounds, molecules: Molecules) -> list[str]:
    if part.max_similarity == 1.0:
        return [
            f"known: a measured compound of {part.endpoint}" if known else ""
            for known in compounds.contains(molecules)
        ]
    # A molecule without a form to compare (NaN) is not known to anybody.
    return [
        f"known: similarity {similarity:.2f} to a measured compound of {part.endpoint}"
        if similarity > part.max_similarity
        else ""
        for similarity in compounds.similarity(molecules)[0]
    ]
