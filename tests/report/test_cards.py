"""What a card says, and the small charts."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molgen.config.objective import (
    Between,
    Decreasing,
    Increasing,
    PredictorComponent,
    component_name,
)
from molgen.objectives import SHIPPED_PREDICTORS
from molgen.objectives.desirability import desirability
from molgen.report.cards import _reward_without_loss, explain
from molgen.report.charts import Line, knots, line_chart, scatter, sparkline, strip, value_axis
from molgen.report.summary import funnel, learning, manifest_rows, rejections
from molgen.report.wording import describe, listed, number, reason_kind
from tests.report import runs

CURVES = [
    Increasing(zero_at=5, one_at=9), Decreasing(one_at=0.2, zero_at=0.9),
    Between(low=250, high=500, margin=80),
]  # fmt: skip
EDGY = [float("nan"), float("inf"), 0.0, -1e9, 1e9]


def desirabilities(**values: float) -> dict[str, Any]:
    """A candidate at full desirability but for the given components."""
    names = [component_name(c) for c in runs.config().objective.components]
    row: dict[str, Any] = {name: 1.0 for name in names}
    row |= {f"{name}_desirability": values.get(name, 1.0) for name in names}
    return {**row, "rank": 1, "reward": runs.reward(row, runs.config().objective)}


def test_the_weakest_component_is_the_one_that_costs_most_reward() -> None:
    row = desirabilities(fxa_pki=0.7, qed=0.6)  # 3 log .7 is a greater loss than log .6
    said = " ".join(explain(row, [row], runs.config().objective))
    assert "Weakest: fxa_pki" in said
    assert "best reward of the run" in said


def test_a_perfect_candidate_is_held_back_by_nothing() -> None:
    row = desirabilities()
    assert any("Nothing holds it back" in s for s in explain(row, [row], runs.config().objective))


def test_a_candidate_is_compared_with_the_one_above_it() -> None:
    first = desirabilities(qed=0.9)
    second = {**desirabilities(qed=0.9, herg_block=0.5), "rank": 2}
    gap = first["reward"] - second["reward"]
    said = explain(second, [first, second], runs.config().objective)
    assert said[-1] == f"It is {gap:.3f} behind rank 1, mostly by herg_block."


def test_a_candidate_of_a_later_front_may_have_the_higher_reward() -> None:
    first = {**desirabilities(qed=0.5), "pareto_front": 1}
    second = {**desirabilities(qed=0.9), "rank": 2, "pareto_front": 2}
    gap = second["reward"] - first["reward"]
    said = explain(second, [first, second], runs.config().objective)
    assert said[-1].startswith(f"Its reward is {gap:.3f} above that of rank 1")


def test_without_desirabilities_nothing_is_claimed() -> None:
    assert explain({"rank": 1, "reward": 0.5}, [], runs.config().objective) == []


@pytest.mark.parametrize("aggregation", ["geometric_mean", "product", "arithmetic_mean"])
@pytest.mark.parametrize("lowest", [0.0, 0.3])
def test_the_reward_without_a_loss_is_what_the_objective_would_give(aggregation, lowest) -> None:
    objective = runs.config().objective.model_copy(update={"aggregation": aggregation})
    parts = {component_name(c): 0.9 for c in objective.components} | {"qed": lowest}
    for name in parts:
        row = {f"{n}_desirability": d for n, d in {**parts, name: 1.0}.items()}
        expected = runs.reward(row, objective)
        found = _reward_without_loss(name, parts, objective)
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("curve", CURVES)
def test_the_drawn_curve_is_the_objectives_desirability(curve: Any) -> None:
    xs, ys = zip(*knots(curve), strict=True)
    grid = np.linspace(*value_axis(curve, [-20.0, 1000.0]), 500)
    np.testing.assert_allclose(np.interp(grid, xs, ys), desirability(curve, grid), atol=1e-9)


@given(st.sampled_from(CURVES), *[st.sampled_from(EDGY) | st.floats(-1e6, 1e6)] * 3)
def test_a_strip_is_well_formed_for_any_value(curve, value, low, high) -> None:
    drawn = str(strip(curve, value_axis(curve, [value]), value=value, low=low, high=high))
    ElementTree.fromstring(drawn)
    assert "nan" not in drawn
    assert ("<circle" in drawn) == math.isfinite(value)


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=12), st.sampled_from(CURVES))
def test_charts_are_well_formed_for_any_series(values: list[float], curve: Any) -> None:
    line = Line("mean <of> & all", "fresh", list(range(len(values))), values)
    for drawn in (line_chart([line], title="a < b", level=("prior", 0.5)), sparkline(line, curve)):
        if drawn:
            ElementTree.fromstring(str(drawn))
            assert "nan" not in str(drawn).replace("mean", "")


def test_the_funnel_narrows_and_names_what_waits() -> None:
    stages = funnel(runs.run())
    assert [s.name for s in stages] == [
        "generated", "unique", "chosen", "passed filters", "scored",
    ]  # fmt: skip
    counts = [s.n for s in stages]
    assert counts == sorted(counts, reverse=True)
    assert counts[-2:] == [44, 42]
    assert stages[-1].note == "1 waiting, 1 could not be scored"
    assert stages[-2].note == "sent to be scored; stereoisomers of earlier molecules: 1"


def test_rejections_that_differ_in_a_number_count_together() -> None:
    found = {(r.step, r.kind): (r.n, r.details) for r in rejections(runs.table())}
    assert found["filter", "range"] == (2, "molecular_weight … > 600 (2)")
    assert found["filter", "alerts"] == (1, "PAINS quinone_A(370) (1)")
    assert found["scoring", "fxa_pki"] == (1, "RDKit cannot embed it (1)")


def test_the_learning_curve_is_put_in_words() -> None:
    learnt = learning(runs.run())
    assert learnt is not None
    assert "0.23 above that of samples of the prior, 0.31" in learnt.sentence
    assert [t.name for t in learnt.trends] == ["fxa_pki", "herg_block", "solubility", "qed",
                                               "molecular_weight", "n_alerts"]  # fmt: skip
    assert "level" in learnt.chart


def test_rounds_without_statistics_have_no_learning_curve() -> None:
    assert learning(runs.run(rounds=runs.rounds()[["round", "n_proposed"]])) is None


def test_numbers_are_short_and_missing_ones_are_a_dash() -> None:
    shown = [number(v) for v in (8.123, 45.67, 612.3, 0, 1.0, -4.318, 3e-5, None, math.nan, "x")]
    assert shown == ["8.12", "45.7", "612", "0", "1", "-4.32", "3e-05", "–", "–", "–"]  # noqa: RUF001
    assert [number(v) for v in (np.int64(3), np.float32(0.5), True)] == ["3", "0.50", "–"]  # noqa: RUF001


def test_every_kind_of_component_is_described() -> None:
    wish = {"type": "increasing", "zero_at": 0, "one_at": 1}
    parts = [
        {"type": "predictor", "endpoint": "my_assay"}, {"type": "predictor", "endpoint": "ames"},
        {"type": "descriptor", "name": "tpsa"}, {"type": "alerts"},
        {"type": "novelty", "endpoint": "fxa_pki"}, {"type": "similarity", "smiles": ["CCO"]},
        {"type": "command", "name": "a", "command": ["x"]},
        {"type": "http", "name": "b", "url": "http://localhost:8000/score"},
        {"type": "python", "name": "c", "function": "m:f"},
    ]  # fmt: skip
    config = runs.config(objective={"components": [{**p, "desirability": wish} for p in parts]})
    texts = [describe(c) for c in config.objective.components]
    assert all(t.meaning and t.direction for t in texts)
    assert texts[1].unit == "probability"
    assert "higher is better: 0 up to 0, full from 1" in texts[0].direction


def test_reasons_split_into_kind_and_detail() -> None:
    assert reason_kind("alerts: PAINS quinone_A(370)") == ("alerts", "PAINS quinone_A(370)")
    assert reason_kind("range: logp -7.2 < -2") == ("range", "logp … < -2")
    assert reason_kind("") == ("no reason given", "")


def test_lists_read_like_sentences() -> None:
    said = [listed(words) for words in ("", "a", "ab", "abc")]
    assert said == ["", "a", "a and b", "a, b and c"]


def test_the_manifest_is_flattened() -> None:
    rows = manifest_rows({"seed": 1, "versions": {"rdkit": "x"}, "parts": ["a", "b"]})
    assert rows == [("seed", "1"), ("versions.rdkit", "x"), ("parts", "a, b")]


def own_predictor(folder: Path, **changes: object) -> PredictorComponent:
    """A component by a predictor of the user's own, of which there is a card alone."""
    card = json.loads((SHIPPED_PREDICTORS / "solubility" / "card.json").read_text())
    (folder / "solubility").mkdir(parents=True)
    (folder / "solubility" / "card.json").write_text(json.dumps(card | changes))
    wish = {"type": "increasing", "zero_at": 6.125, "one_at": 123.4}
    return PredictorComponent.model_validate(
        {"type": "predictor", "endpoint": "solubility", "folder": str(folder), "desirability": wish,
         "uncertainty": "lower_bound"}
    )  # fmt: skip


def test_an_own_predictor_speaks_for_itself_whatever_the_catalogue_says_of_its_name(
    tmp_path: Path,
) -> None:
    mine = own_predictor(tmp_path, unit="mg/L", meaning="Dissolved at pH 7.", source="our lab")
    text = describe(mine)
    assert (text.unit, text.source) == ("mg/L", "our lab")
    assert text.meaning == "Predicted. Dissolved at pH 7."
    assert "0 up to 6.125, full from 123.4; judged by the worse end of the 90 % interval" in (
        text.direction
    )
    shutil.rmtree(tmp_path / "solubility")
    assert describe(mine).unit == ""


def test_the_range_of_a_probability_is_not_called_a_90_percent_interval(tmp_path: Path) -> None:
    text = describe(own_predictor(tmp_path, task="classification", unit="probability"))
    assert text.direction.endswith("the worse end of the range of the calibrated probability")


def test_a_single_component_is_not_praised_and_blamed_at_once() -> None:
    objective = runs.config().objective
    alone = objective.model_copy(update={"components": objective.components[3:4]})
    row = {"qed": 0.5, "qed_desirability": 0.6, "rank": 1, "reward": 0.6}
    said = " ".join(explain(row, [row], alone))
    assert "Weakest: qed" in said and "Strongest" not in said


def test_a_short_last_round_counts_by_what_was_scored_in_it() -> None:
    record = runs.run()
    rounds = record.rounds.tail(3).assign(
        reward_mean=[0.5, 0.5, 0.9], n_scored=[100, 98, 2], prior_reward_mean=0.25
    )
    found = learning(dataclasses.replace(record, rounds=rounds))
    assert found is not None
    assert "a mean reward of 0.50" in found.sentence


def test_tiny_values_can_be_drawn() -> None:
    values = [1e-13, 2e-13]
    assert "<circle" in scatter(values, values, values, values, title="", names=("a", "b"))
