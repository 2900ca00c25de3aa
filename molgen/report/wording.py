"""What the report says about numbers and components."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeGuard

from molgen.config.objective import (
    AlertsComponent,
    Between,
    Component,
    DescriptorComponent,
    Increasing,
    NoveltyComponent,
    PredictorComponent,
    SimilarityComponent,
    component_name,
)

MISSING = "–"  # noqa: RUF001  the dash of a table, not a minus sign


@dataclass(frozen=True)
class ComponentText:
    """A component in words.

    Attributes:
        name: Column name.
        meaning: What the raw value is.
        unit: '' where it has none.
        direction: What the objective asks for.
        source: Citation; '' where there is none.
    """

    name: str
    meaning: str
    unit: str
    direction: str
    source: str


_DESCRIPTORS: dict[str, tuple[str, str, str]] = {
    "qed": (
        "Quantitative estimate of drug-likeness, 0 to 1.", "",
        "Bickerton et al. 2012, https://doi.org/10.1038/nchem.1243",
    ),
    "sa_score": (
        "Synthetic accessibility, from 1 (easy) to 10 (hard).", "",
        "Ertl and Schuffenhauer 2009, https://doi.org/10.1186/1758-2946-1-8",
    ),
    "molecular_weight": ("Molecular weight.", "g/mol", ""),
    "logp": (
        "Calculated octanol-water partition coefficient.", "",
        "Wildman and Crippen 1999, https://doi.org/10.1021/ci990307l",
    ),
    "tpsa": (
        "Topological polar surface area.", "Å²",
        "Ertl et al. 2000, https://doi.org/10.1021/jm000942e",
    ),
    "n_rotatable_bonds": ("Rotatable bonds.", "", ""),
    "n_rings": ("Rings.", "", ""),
    "n_heavy_atoms": ("Atoms other than hydrogen.", "", ""),
    "n_hydrogen_bond_donors": ("Hydrogen bond donors.", "", ""),
    "n_hydrogen_bond_acceptors": ("Hydrogen bond acceptors.", "", ""),
}  # fmt: skip


def number(value: Any) -> str:
    """A number for the eye: two decimals below 10, one below 100, none above; a dash for NaN."""
    if not is_number(value):
        return MISSING
    value = float(value)
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:.0f}"
    size = abs(value)
    if size >= 1e6 or size < 0.005:
        return f"{value:.2g}"
    return f"{value:.{2 if size < 10 else 1 if size < 100 else 0}f}"


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a table's cell holds a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def listed(words: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    items = list(words)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def plural(n: int, word: str) -> str:
    """'1 ring', '2 rings', '3,000 rings'."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def describe(component: Component) -> ComponentText:
    """What a component measures and what the objective asks of it."""
    name = component_name(component)
    meaning, unit, source = _meaning(component)
    return ComponentText(name, meaning, unit, _direction(component), source)


def _meaning(component: Component) -> tuple[str, str, str]:
    """(meaning, unit, source)."""
    if isinstance(component, PredictorComponent):
        from property_models.endpoints import ENDPOINTS

        known = ENDPOINTS.get(component.endpoint)
        if known is None:
            return "Predicted by the user's own predictor of this name.", "", ""
        return f"Predicted. {known.meaning}", known.unit, known.source
    if isinstance(component, DescriptorComponent):
        return _DESCRIPTORS[component.name]
    if isinstance(component, AlertsComponent):
        catalogs = listed(component.catalogs)
        return f"Structural alerts found by RDKit's catalogue {catalogs}.", "", ""
    if isinstance(component, NoveltyComponent):
        return (
            "1 minus the ECFP4 Tanimoto similarity to the nearest measured compound of "
            f"{component.endpoint}.", "", "",
        )  # fmt: skip
    if isinstance(component, SimilarityComponent):
        given = plural(len(component.smiles), "given molecule")
        return f"ECFP4 Tanimoto similarity to the nearest of {given}.", "", ""
    kind = {"command": "program", "http": "service", "python": "function"}[component.type]
    return f"Computed by the user's own {kind}.", "", ""


def _direction(component: Component) -> str:
    wish = component.desirability
    if isinstance(wish, Increasing):
        text = f"higher is better: 0 up to {number(wish.zero_at)}, full from {number(wish.one_at)}"
    elif isinstance(wish, Between):
        text = (
            f"full from {number(wish.low)} to {number(wish.high)}, "
            f"0 beyond {number(wish.low - wish.margin)} and {number(wish.high + wish.margin)}"
        )
    else:
        text = f"lower is better: full up to {number(wish.one_at)}, 0 from {number(wish.zero_at)}"
    if isinstance(component, PredictorComponent) and component.uncertainty == "expected":
        text += "; the mean over the predictive distribution"
    if isinstance(component, PredictorComponent) and component.uncertainty == "lower_bound":
        text += "; judged by the worse end of the 90 % interval"
    if isinstance(component, PredictorComponent) and component.out_of_domain_factor < 1:
        text += f"; times {number(component.out_of_domain_factor)} outside the domain"
    return text


def reason_kind(reason: str) -> tuple[str, str]:
    """Splits a reason such as 'range: molecular_weight 612.3 > 600' into its kind and the rest.

    The first free-standing number of the rest becomes '…', so that reasons that differ only in
    the molecule's value count together.
    """
    kind, _, detail = reason.partition(":")
    generic = re.sub(r"(?<=\s)-?\d+(\.\d+)?(e[-+]?\d+)?(?=\s|$)", "…", detail, count=1).strip()
    return kind.strip() or "no reason given", generic
