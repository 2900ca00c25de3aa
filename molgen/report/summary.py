"""The head of the report: the profile, what became of the molecules, what the run learnt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from molgen.config.objective import ObjectiveConfig, component_name
from molgen.report.charts import Line, line_chart, sparkline, strip, value_axis
from molgen.report.record import RunRecord
from molgen.report.wording import ComponentText, describe, listed, number, plural, reason_kind

_MAX_KINDS = 8
_MAX_DETAILS = 3


@dataclass(frozen=True)
class ObjectiveRow:
    """One component in the profile."""

    text: ComponentText
    weight: str
    curve: Markup


@dataclass(frozen=True)
class Stage:
    """One bar of the funnel: how many molecules got this far."""

    name: str
    n: int
    share: float  # of the first stage, 0 to 1
    note: str


@dataclass(frozen=True)
class Reason:
    """Why molecules were rejected or could not be scored."""

    kind: str
    n: int
    details: str
    step: str  # 'filter' or 'scoring'


@dataclass(frozen=True)
class Trend:
    """A component's mean over the rounds."""

    name: str
    first: str
    last: str
    curve: Markup


@dataclass(frozen=True)
class Learning:
    """The learning curve and what it says in words."""

    sentence: str
    chart: Markup
    trends: list[Trend]
    header: list[str]
    rows: list[list[str]]


def objective_rows(objective: ObjectiveConfig) -> list[ObjectiveRow]:
    """The profile's components in the order of the config."""
    return [
        ObjectiveRow(
            describe(component),
            number(component.weight),
            strip(
                component.desirability, value_axis(component.desirability, []),
                width_px=120, height_px=30,
            ),
        )
        for component in objective.components
    ]  # fmt: skip


def funnel(run: RunRecord) -> list[Stage]:
    """From proposed to scored; counts of rounds for proposals, of ledger rows for the rest."""
    status = run.table["status"]
    passed = int(status.isin(["pending", "scored", "unscored"]).sum())
    scored = int((status == "scored").sum())
    n_same = int((status == "duplicate").sum())
    kept_out = f"; stereoisomers of earlier molecules: {n_same:,}" if n_same else ""
    notes = []
    if pending := int((status == "pending").sum()):
        notes.append(f"{pending:,} waiting")
    if unscored := int((status == "unscored").sum()):
        notes.append(f"{unscored:,} could not be scored")
    stages = [
        ("generated", _total(run.rounds, "n_proposed"), "molecules proposed"),
        ("unique", _total(run.rounds, "n_unique"), "plausible, and distinct within their round"),
        ("chosen", _total(run.rounds, "n_new"), "new in this run, and chosen to be scored"),
        ("passed filters", passed, f"sent to be scored{kept_out}"),
        ("scored", scored, ", ".join(notes)),
    ]
    known = [(name, n, note) for name, n, note in stages if n is not None]
    first = max(known[0][1], 1)
    return [Stage(name, n, min(n / first, 1.0), note) for name, n, note in known]


def rejections(table: pd.DataFrame) -> list[Reason]:
    """The commonest reasons of filtered and unscored molecules, by kind."""
    found = []
    for step, status in (("filter", "filtered"), ("scoring", "unscored")):
        kinds: dict[str, Counter[str]] = {}
        for reason, n in table.loc[table["status"] == status, "reason"].value_counts().items():
            kind, detail = reason_kind(str(reason))
            kinds.setdefault(kind, Counter())[detail] += int(n)
        for kind, details in kinds.items():
            common = [f"{d} ({n:,})" for d, n in details.most_common(_MAX_DETAILS) if d]
            more = len(details) - len(common)
            text = " · ".join(common) + (f" · {more} more" if common and more else "")
            found.append(Reason(kind, details.total(), text, step))
    return sorted(found, key=lambda r: (-r.n, r.kind))[:_MAX_KINDS]


def learning(run: RunRecord) -> Learning | None:
    """The curves over the rounds; None where no round has been scored yet."""
    rounds = run.rounds
    if not len(rounds) or not any(map(math.isfinite, _series(rounds, "reward_mean"))):
        return None
    x = [float(r) for r in rounds["round"]]
    prior = next((v for v in _series(rounds, "prior_reward_mean") if math.isfinite(v)), math.nan)
    curves = [
        Line("mean of the round", "fresh", x, _series(rounds, "reward_mean")),
        Line("best 100 so far", "top100", x, _series(rounds, "reward_top100")),
        Line("best 10 so far", "top10", x, _series(rounds, "reward_top10")),
    ]
    drawn = [line for line in curves if any(map(math.isfinite, line.y))]
    chart = line_chart(drawn, title="Reward over the rounds", level=("mean of the prior", prior))
    n_scored = _series(rounds, "n_scored")
    return Learning(
        _sentence(curves[0], n_scored, prior), chart, list(_trends(run)), *_round_table(rounds)
    )


def manifest_rows(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """The manifest flattened to (dotted key, value) pairs."""

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif isinstance(value, list):
            yield prefix, ", ".join(str(item) for item in value)
        else:
            yield prefix, str(value)

    return list(walk("", manifest))


def objective_sentence(objective: ObjectiveConfig, *, pareto: bool) -> str:
    """How the components become one reward and a rank, and which filters stand before them."""
    ways = {
        "geometric_mean": "the weighted geometric mean of the desirabilities: a molecule must do "
        "well in all of them",
        "product": "the product of the desirabilities: a molecule must do well in all of them",
        "arithmetic_mean": "the weighted mean of the desirabilities",
    }
    kinds = list(dict.fromkeys(f.type for f in objective.filters))
    before = f" Filters before any scoring: {listed(kinds)}." if kinds else ""
    ranked = (
        " The run looks for trade-offs: every round aims at weights of its own, and candidates are "
        "ranked by Pareto front (what no other surpasses in everything comes first), within a "
        "front by the reward with the weights below."
    )
    way = f"The reward, from 0 to 1, is {ways[objective.aggregation]}."
    return way + (ranked if pareto else "") + before


def _sentence(fresh: Line, n_scored: Sequence[float], prior: float) -> str:
    points = zip(fresh.x, fresh.y, n_scored, strict=True)
    known = [(int(x), y, n if n > 0 else 1.0) for x, y, n in points if math.isfinite(y)]
    last = known[-3:]
    end = sum(y * n for _, y, n in last) / sum(n for _, _, n in last)
    if math.isfinite(prior):
        change = end - prior
        word = "above" if change >= 0 else "below"
        return (
            f"What was scored in the last {plural(len(last), 'round')} has a mean reward of "
            f"{number(end)}, {number(abs(change))} {word} that of samples of the prior, "
            f"{number(prior)}."
        )
    return (
        f"The mean reward of what was scored went from {number(known[0][1])} in round "
        f"{known[0][0]} to {number(known[-1][1])} in round {known[-1][0]}."
    )


def _trends(run: RunRecord) -> Iterator[Trend]:
    x = [float(r) for r in run.rounds["round"]]
    for component in run.config.objective.components:
        name = component_name(component)
        y = _series(run.rounds, f"mean_{name}")
        finite = [v for v in y if math.isfinite(v)]
        if finite:
            curve = sparkline(Line(name, "fresh", x, y), component.desirability)
            yield Trend(name, number(finite[0]), number(finite[-1]), curve)


def _round_table(rounds: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    columns = {
        "round": "round", "n_proposed": "generated", "n_new": "new", "n_filtered": "filtered",
        "n_scored": "scored", "n_unscored": "not scored", "reward_mean": "mean reward",
        "reward_top10": "best 10", "reward_top100": "best 100", "hypervolume": "hypervolume",
        "diversity": "diversity", "seconds_round": "seconds",
    }  # fmt: skip
    present = [c for c in columns if c in rounds]
    rows = [[number(v) for v in row] for row in rounds[present].itertuples(index=False)]
    return [columns[c] for c in present], rows


def _series(rounds: pd.DataFrame, column: str) -> list[float]:
    if column not in rounds:
        return [math.nan] * len(rounds)
    return [float(v) for v in pd.to_numeric(rounds[column], errors="coerce")]


def _total(rounds: pd.DataFrame, column: str) -> int | None:
    """Sum over the rounds; None where no round tells it."""
    if column not in rounds:
        return None
    values = pd.to_numeric(rounds[column], errors="coerce").dropna()
    return int(values.sum()) if len(values) else None
