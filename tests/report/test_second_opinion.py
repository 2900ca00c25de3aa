"""Another model's values beside the candidates'."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from molgen.errors import ConfigError
from molgen.objectives import SHIPPED_PREDICTORS
from molgen.report.ranking import rank
from molgen.report.second_opinion import (
    SHIPPED_SECOND_OPINIONS,
    other_models,
    second_opinions,
)
from property_models import load_predictors, predict_table
from tests.report.runs import config, table

REPORT = {"n_candidates": 12, "n_drawn": 3, "max_per_scaffold": 3}


def test_the_other_models_values_stand_beside_the_runs_own() -> None:
    settings = config(report=REPORT | {"second_opinions": str(SHIPPED_PREDICTORS)})
    candidates = rank(table(), 12, max_per_scaffold=3)
    found, opinions = second_opinions(candidates, settings)
    names = ["fxa_pki", "herg_block", "solubility"]
    assert [o.endpoint for o in opinions] == names
    others = predict_table(load_predictors(SHIPPED_PREDICTORS, names), list(candidates["smiles"]))
    for name in names:
        np.testing.assert_array_equal(found[f"{name}_second"], others[name])
        assert found[f"{name}_second_in_domain"].dtype == bool
    assert found[candidates.columns].equals(candidates)
    outside = (found["fxa_pki_second"] < found["fxa_pki_low"]) | (
        found["fxa_pki_second"] > found["fxa_pki_high"]
    )
    assert "12 candidates at" in opinions[0].sentence
    assert f"For {outside.sum()} candidate" in opinions[0].sentence
    assert opinions[0].chart.count("<circle") == 12


def test_by_default_the_shipped_models_are_asked_about_shipped_predictors_alone() -> None:
    candidates = rank(table(), 12, max_per_scaffold=3)
    _, opinions = second_opinions(candidates, config(report=REPORT))
    assert [o.endpoint for o in opinions] == ["fxa_pki"]
    objective = config().objective.model_dump()
    for component in objective["components"]:
        if component["type"] == "predictor":
            component["folder"] = "my/predictors"
    assert second_opinions(candidates, config(report=REPORT, objective=objective)) == (
        candidates,
        [],
    )


def test_the_shipped_second_opinion_is_of_another_kind_than_the_predictor() -> None:
    first = load_predictors(SHIPPED_PREDICTORS, ["fxa_pki"])["fxa_pki"].card
    second = load_predictors(SHIPPED_SECOND_OPINIONS, ["fxa_pki"])["fxa_pki"].card
    assert not {m["kind"] for m in first.members} & {m["kind"] for m in second.members}
    assert second.metrics["r2"] > 0.5


def test_models_that_cannot_be_read_are_told_before_the_run_and_cost_it_nothing_after(
    tmp_path: Path,
) -> None:
    candidates = rank(table(), 12, max_per_scaffold=3)
    shutil.copytree(SHIPPED_PREDICTORS / "solubility", tmp_path / "damaged" / "solubility")
    (tmp_path / "damaged" / "solubility" / "card.json").write_text("{}")
    for name, complaint in (("none", "none does not exist"), ("damaged", "not a readable model")):
        settings = config(report=REPORT | {"second_opinions": str(tmp_path / name)})
        with pytest.raises(ConfigError, match=f"report.second_opinions: .*{complaint}"):
            other_models(settings)
        found, (opinion,) = second_opinions(candidates, settings)
        assert found is candidates
        assert complaint in opinion.sentence


def test_models_of_values_in_another_unit_are_refused(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED_PREDICTORS / "solubility", tmp_path / "solubility")
    card = tmp_path / "solubility" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"unit": "mg/L"}))
    settings = config(report=REPORT | {"second_opinions": str(tmp_path)})
    with pytest.raises(ConfigError, match="solubility there is in mg/L, the objective's in log10"):
        other_models(settings)
