"""What the report says about numbers and components."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from pathlib import Path
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
from molgen.objectives import SHIPPED_PREDICTORS
from property_models.endpoints import Endpoint
from property_models.errors import ModelFileError
from property_models.model_card import CARD_FILE, endpoint_of, read_card

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


def predicted(component: PredictorComponent) -> Endpoint | None:
    """What a predictor predicts, from its own card; None where that is not at hand any more.

    Never from the catalogue alone: a user's own predictor may bear a name that stands there and
    have another unit.
    """
    folder = SHIPPED_PREDICTORS if component.folder is None else Path(component.folder)
    card = folder / component.endpoint / CARD_FILE
    try:
        return _on_card(card.parent, card.stat().st_mtime_ns)
    except (OSError, ModelFileError):
        return None


@lru_cache(maxsize=64)  # asked for each value of each candidate
def _on_card(folder: Path, changed_ns: int) -> Endpoint:
    return endpoint_of(read_card(folder))


def _meaning(component: Component) -> tuple[str, str, str]:
    """(meaning, unit, source)."""
    if isinstance(component, PredictorComponent):
        known = predicted(component)
        if known is None:
            return "Predicted; the predictor's card is not at hand.", "", ""
        return f"Predicted. {known.meaning}".strip(), known.unit, known.source
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
        text = f"higher is better: 0 up to {wish.zero_at:g}, full from {wish.one_at:g}"
    elif isinstance(wish, Between):
        text = (
            f"full from {wish.low:g} to {wish.high:g}, "
            f"0 beyond {wish.low - wish.margin:g} and {wish.high + wish.margin:g}"
        )
    else:
        text = f"lower is better: full up to {wish.one_at:g}, 0 from {wish.zero_at:g}"
    if not isinstance(component, PredictorComponent):
        return text
    known = predicted(component)
    interval = interval_name(known.task if known else "")
    if component.uncertainty == "expected":
        text += f"; the mean over a distribution with this {interval}"
    if component.uncertainty == "lower_bound":
        text += f"; judged by the worse end of the {interval}"
    if component.out_of_domain_factor < 1:
        text += f"; times {component.out_of_domain_factor:g} outside the domain"
    return text


def interval_name(task: str) -> str:
    """What low and high of a predictor are: of a probability they are no 90 % interval."""
    if task == "classification":
        return "range of the calibrated probability"
    return "90 % interval" if task == "regression" else "interval"


def reason_kind(reason: str) -> tuple[str, str]:
    """Splits a reason such as 'range: molecular_weight 612.3 > 600' into its kind and the rest.

    The first free-standing number of the rest becomes '…', so that reasons that differ only in
    the molecule's value count together.
    """
    kind, _, detail = reason.partition(":")
    generic = re.sub(r"(?<=\s)-?\d+(\.\d+)?(e[-+]?\d+)?(?=\s|$)", "…", detail, count=1).strip()
    return kind.strip() or "no reason given", generic
