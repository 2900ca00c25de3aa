"""What the report shows of each candidate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup
from rdkit import Chem

from molgen.config.campaign import RunConfig
from molgen.config.objective import (
    AlertFilter,
    AlertsComponent,
    Component,
    ObjectiveConfig,
    PredictorComponent,
    component_name,
)
from molgen.graphs.open_stereo import OpenStereo, open_stereo
from molgen.report.charts import strip, value_axis
from molgen.report.depiction import alert_atoms, draw
from molgen.report.wording import describe, is_number, listed, number, predicted

_FLOOR = 1e-3  # desirabilities below count as this when losses are compared: log(0) has no size


@dataclass(frozen=True)
class Value:
    """One component's line on a card.

    Attributes:
        name: Component.
        unit: '' where it has none.
        text: The value, or a dash.
        interval: '8.1 to 9.3', or ''.
        in_domain: None where the component knows no domain.
        desirability: NaN where unknown.
        chart: The value on the component's desirability curve.
        missing: Why there is no value; '' where there is one.
    """

    name: str
    unit: str
    text: str
    interval: str
    in_domain: bool | None
    desirability: float
    chart: Markup
    missing: str


@dataclass(frozen=True)
class Neighbour:
    """The nearest measured compound of the primary endpoint."""

    endpoint: str
    inchikey: str
    similarity: str
    value: str
    unit: str
    drawing: Markup  # '' where the structure is not at hand


@dataclass(frozen=True)
class Card:
    """One candidate, ready for the template."""

    rank: int
    id: int
    reward: float
    smiles: str
    inchikey: str
    round: int
    origin: str
    parents: list[str]
    reason: str
    drawing: Markup
    values: list[Value]
    alerts: list[str]
    stereo: OpenStereo
    neighbour: Neighbour | None
    why: list[str]

    @property
    def outside(self) -> list[str]:
        """Predictors whose domain the molecule lies outside of."""
        return [value.name for value in self.values if value.in_domain is False]

    @property
    def n_predictors(self) -> int:
        """Number of values with a known domain."""
        return sum(value.in_domain is not None for value in self.values)


def make_cards(
    candidates: pd.DataFrame,
    mols: Sequence[Chem.Mol],
    config: RunConfig,
    *,
    neighbours: Sequence[Chem.Mol | None],
) -> list[Card]:
    """Cards of ranked candidates.

    Args:
        candidates: Rows from `ranking.rank`.
        mols: Their molecules with aligned coordinates.
        config: The run's config.
        neighbours: The nearest measured compound of each, laid out like them; None where its
            structure is not at hand.
    """
    rows: list[dict[str, Any]] = candidates.to_dict("records")
    objective = config.objective
    axes = {
        component_name(c): value_axis(c.desirability, _shown_values(rows, component_name(c)))
        for c in objective.components
    }
    catalogs = [
        name for part in [*objective.components, *objective.filters]
        if isinstance(part, AlertsComponent | AlertFilter) for name in part.catalogs
    ]  # fmt: skip
    primary = primary_predictor(config)
    cards = []
    for row, mol, neighbour in zip(rows, mols, neighbours, strict=True):
        alerts = alert_atoms(mol, catalogs)
        marked = {atom for atoms in alerts.values() for atom in atoms}
        cards.append(
            Card(
                rank=int(row["rank"]),
                id=int(row["id"]),
                reward=float(row["reward"]),
                smiles=str(row["smiles"]),
                inchikey=str(row["inchikey"]),
                round=int(row["round"]),
                origin=str(row["origin"]),
                parents=[str(p) for p in _listed_cell(row.get("parents"))],
                reason=str(row.get("reason") or ""),
                drawing=Markup(draw(mol, width_px=340, height_px=250, highlight=marked)),
                values=[_value(c, row, axes[component_name(c)]) for c in objective.components],
                alerts=_alert_names(row, alerts),
                stereo=open_stereo(mol),
                neighbour=_neighbour(row, primary, neighbour) if primary else None,
                why=explain(row, rows, objective),
            )
        )
    return cards


def primary_predictor(config: RunConfig) -> PredictorComponent | None:
    """The one whose nearest measured compound is shown: as set, else the first."""
    wanted = config.report.primary_endpoint
    predictors = [c for c in config.objective.components if isinstance(c, PredictorComponent)]
    return next((c for c in predictors if wanted in (None, c.endpoint)), None)


def explain(
    row: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], objective: ObjectiveConfig
) -> list[str]:
    """Why a candidate ranks where it does, in sentences.

    Args:
        row: The candidate.
        shown: All candidates on the page in order of rank; the candidate is compared with their
            medians and with the one above it.
        objective: Weights and aggregation.
    """
    components = {component_name(c): c for c in objective.components}
    mine = {n: d for n in components if is_number(d := row.get(f"{n}_desirability"))}
    if not mine:
        return []
    medians = {
        n: statistics.median(
            [d for r in shown if is_number(d := r.get(f"{n}_desirability"))] or [mine[n]]
        )
        for n in mine
    }
    losses = {n: _loss(mine[n], components[n], objective) for n in mine}
    leads = {n: _loss(medians[n], components[n], objective) - losses[n] for n in mine}
    weakest = max(losses, key=lambda n: losses[n])
    # What costs most is not praised as well, though others may do worse in it.
    rest = [n for n in mine if n != weakest or losses[n] <= 1e-9] or list(mine)
    strongest = max(rest, key=lambda n: (round(leads[n], 6), mine[n], components[n].weight))
    said = []
    if strongest != weakest or losses[weakest] <= 1e-9:
        said.append(
            f"Strongest: {_named(components[strongest], row)}, desirability "
            f"{mine[strongest]:.2f} (median of the candidates shown {medians[strongest]:.2f})."
        )
    if losses[weakest] <= 1e-9:
        said.append("Nothing holds it back: every component is at full desirability.")
    else:
        gain = _reward_without_loss(weakest, mine, objective)
        would = "" if gain is None else f"; at full desirability the reward would be {gain:.2f}"
        said.append(
            f"Weakest: {_named(components[weakest], row)}, desirability {mine[weakest]:.2f} "
            f"(median {medians[weakest]:.2f}){would}."
        )
    above = next((r for r in shown if r["rank"] == row["rank"] - 1), None)
    if above is not None:
        said.append(_against(row, above, components, objective))
    elif row["rank"] == 1:
        said.append("It has the best reward of the run.")
    return said


def _against(
    row: Mapping[str, Any],
    above: Mapping[str, Any],
    components: Mapping[str, Component],
    objective: ObjectiveConfig,
) -> str:
    gap = float(above["reward"]) - float(row["reward"])
    if gap <= -5e-4:
        return (
            f"Its reward is {-gap:.3f} above that of rank {above['rank']}, which is on a better "
            "Pareto front."
        )
    if gap < 5e-4:
        return f"Its reward is level with rank {above['rank']}."
    lost = {
        n: _loss(float(row[f"{n}_desirability"]), c, objective)
        - _loss(float(above[f"{n}_desirability"]), c, objective)
        for n, c in components.items()
        if is_number(row.get(f"{n}_desirability")) and is_number(above.get(f"{n}_desirability"))
    }
    behind = sorted((n for n in lost if lost[n] > 1e-9), key=lambda n: -lost[n])[:2]
    because = f", mostly by {listed(behind)}" if behind else ""
    return f"It is {gap:.3f} behind rank {above['rank']}{because}."


def _loss(desirability: float, component: Component, objective: ObjectiveConfig) -> float:
    """How much a component takes from the reward, on the scale on which components add up."""
    if objective.aggregation == "arithmetic_mean":
        return component.weight * (1.0 - desirability)
    return -component.weight * math.log(min(max(desirability, _FLOOR), 1.0))


def _reward_without_loss(
    name: str, desirabilities: Mapping[str, float], objective: ObjectiveConfig
) -> float | None:
    """The reward if one component had desirability 1; None where another one is unknown."""
    if len(desirabilities) < len(objective.components):
        return None
    full = {**desirabilities, name: 1.0}
    weights = {component_name(c): c.weight for c in objective.components}
    total = sum(weights.values()) if objective.aggregation != "product" else 1.0
    if objective.aggregation == "arithmetic_mean":
        return sum(weights[n] * d for n, d in full.items()) / total
    if min(full.values()) <= 0:
        return 0.0
    return math.exp(sum(weights[n] * math.log(d) for n, d in full.items()) / total)


def _named(component: Component, row: Mapping[str, Any]) -> str:
    text = describe(component)
    unit = f" {text.unit}" if text.unit and text.unit != "probability" else ""
    return f"{text.name} ({number(row.get(text.name))}{unit})"


def _value(component: Component, row: Mapping[str, Any], axis: tuple[float, float]) -> Value:
    text = describe(component)
    name = text.name
    raw, low, high = (_float(row.get(name + part)) for part in ("", "_low", "_high"))
    bounded = math.isfinite(low) and math.isfinite(high)
    known = math.isfinite(raw)
    return Value(
        name=name,
        unit=text.unit,
        text=number(raw),
        interval=f"{number(low)} to {number(high)}" if bounded else "",
        in_domain=_flag(row.get(f"{name}_in_domain")),
        desirability=_float(row.get(f"{name}_desirability")),
        chart=strip(component.desirability, axis, value=raw, low=low, high=high),
        missing="" if known else _why_missing(name, row),
    )


def _why_missing(name: str, row: Mapping[str, Any]) -> str:
    """The component's part of a reason such as 'qed: too large; my_score: no answer'."""
    reason = str(row.get("reason") or "")
    own = [part for part in reason.split("; ") if part.startswith(f"{name}: ")]
    return own[0].removeprefix(f"{name}: ") if own else reason or "no value was recorded"


def neighbour_key(row: Mapping[str, Any], endpoint: str) -> str:
    """First InChIKey block of the nearest measured compound; '' where there is none."""
    key = row.get(f"{endpoint}_neighbour_inchikey")
    return key[:14] if isinstance(key, str) else ""


def _neighbour(
    row: Mapping[str, Any], component: PredictorComponent, mol: Chem.Mol | None
) -> Neighbour | None:
    endpoint = component.endpoint
    key = neighbour_key(row, endpoint)
    if not key:
        return None
    known = predicted(component)
    sign = row.get(f"{endpoint}_neighbour_bound")
    bound = sign if isinstance(sign, str) else ""  # runs of earlier versions have none
    return Neighbour(
        endpoint=component.endpoint,
        inchikey=key,
        similarity=number(row.get(f"{endpoint}_neighbour_similarity")),
        value=bound + number(row.get(f"{endpoint}_neighbour_value")),
        unit=known.unit if known is not None and known.task == "regression" else "",
        drawing=Markup(draw(mol, width_px=220, height_px=110)) if mol is not None else Markup(),
    )


def _alert_names(row: Mapping[str, Any], alerts: Mapping[str, Sequence[int]]) -> list[str]:
    """Names as the scoring recorded them, then others whose atoms are marked in the drawing."""
    cell = row.get("alerts")
    recorded = [name for name in cell.split("; ") if name] if isinstance(cell, str) else []
    return recorded + [name for name in alerts if name not in recorded]


def _shown_values(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [_float(row.get(name + part)) for row in rows for part in ("", "_low", "_high")]


def _listed_cell(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _float(value: Any) -> float:
    return float(value) if is_number(value) else math.nan


def _flag(value: Any) -> bool | None:
    """A flag from a cell that may be missing; databases hand flags back as 0 and 1, too."""
    if value is None or isinstance(value, str) or value != value:  # NaN differs from itself
        return None
    return bool(value)
