"""A predictor's config: the endpoint's unit and that of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molgen.config.loading import dump_config, load_config
from molgen.config.predictor import PredictorConfig
from molgen.errors import ConfigError
from molgen.training.predictors import read_rows
from property_models import datasets
from property_models.datasets import CleaningRules, Rows
from tests.commands import complaint as complain_of
from tests.commands import molgen

ROOT = Path(__file__).parents[2]


def config(
    folder: Path, *, data: str = "", unit: str = "", task: str = "regression", name: str = "",
    own_name: str = "mine", source: str = "file: mine.csv", more: str = "",
    member: str = "kind: boosted_trees",
) -> PredictorConfig:  # fmt: skip
    """The config of a file, with an endpoint of one's own or of the catalogue."""
    own = f"{{name: {own_name}, task: {task}, higher_is: better{unit and f', unit: {unit}'}}}"
    path = folder / "mine.yaml"
    path.write_text(
        f"endpoint: {name or own}\ndata: {{{source}{data and f', {data}'}}}\n"
        f"members: [{{{member}}}]\n{more}"
    )
    return load_config(path, [], kind=PredictorConfig)


def complaint(folder: Path, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(folder, **changes)
    return str(caught.value)


def test_values_in_another_unit_than_the_endpoints_are_refused(tmp_path: Path) -> None:
    message = complaint(tmp_path, unit="uM", data="unit: nM")
    assert "data.unit is nM, but endpoint mine is in uM" in message
    assert "\n" not in message and "mine.yaml" in message
    assert "is in kcal/mol" in complaint(
        tmp_path, name="hydration_free_energy", data="unit: kJ/mol"
    )


@pytest.mark.parametrize(
    ("unit", "data"),
    [
        ("uM", "unit: uM"),
        ("uM", "unit: µM"),  # the same, written otherwise
        ("uM", "unit: uM, unit_column: units"),
        ("mL/min/g", "unit: mL/min/g"),
        ("uM", ""),
        ("pIC50", "unit: nM, transform: neg_log10_molar"),
    ],
)
def test_units_that_agree_or_are_turned_into_one_another_are_fine(
    unit: str, data: str, tmp_path: Path
) -> None:
    assert config(tmp_path, unit=unit, data=data).resolved_endpoint().unit == unit


def test_a_concentration_is_not_the_unit_of_its_logarithm(tmp_path: Path) -> None:
    message = complaint(tmp_path, unit="nM", data="unit: nM, transform: neg_log10_molar")
    assert "endpoint mine is in nM" in message and "such as pIC50" in message


@pytest.mark.parametrize("unit", ["log10(mol/L)", "ug/mL", "percent", "-log10(mol/kg)"])
def test_only_a_negative_logarithm_of_concentrations_comes_of_them(
    unit: str, tmp_path: Path
) -> None:
    data = "unit: uM, transform: neg_log10_molar"
    assert f"is in {unit}" in complaint(tmp_path, unit=unit, data=data)
    assert "is in log10(mol/L)" in complaint(tmp_path, name="solubility", data=data)


@pytest.mark.parametrize("name", ["reason", "smiles", "mine_low", "mine_neighbour_value"])
def test_an_endpoint_is_not_called_like_another_column(name: str, tmp_path: Path) -> None:
    assert "another column" in complaint(tmp_path, own_name=name)


def test_only_a_classification_is_in_probability(tmp_path: Path) -> None:
    assert "probability is that of a classification" in complaint(tmp_path, unit="probability")
    labels = config(tmp_path, task="classification")
    assert labels.resolved_endpoint().unit == "probability"


@pytest.mark.parametrize(
    ("data", "unit"),
    [
        ("", ""),
        ("unit: h", "h"),
        ("unit: nM, transform: neg_log10_molar", "-log10(mol/L)"),
    ],
)
def test_a_regression_without_a_unit_has_that_of_its_data(
    data: str, unit: str, tmp_path: Path
) -> None:
    assert config(tmp_path, data=data).resolved_endpoint().unit == unit


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "configs" / "predictors").rglob("*.yaml")),
        ROOT / "experiments" / "campaign" / "fxa_pki_half_a.yaml",
        ROOT / "experiments" / "retrospective" / "potency.yaml",
    ],
    ids=lambda path: path.stem,
)
def test_the_configs_of_this_repository_say_units_that_agree(path: Path) -> None:
    assert load_config(path, [], kind=PredictorConfig).resolved_endpoint().unit


@pytest.mark.parametrize(
    "changes",
    [
        {"member": "kind: boosted_trees, transform: log10"},
        {"member": "kind: boosted_trees, loss: mae"},
        {"more": "loss: mae"},
    ],
)
def test_labels_are_learnt_as_they_are(changes: dict[str, str], tmp_path: Path) -> None:
    assert "for regression" in complaint(tmp_path, task="classification", **changes)
    assert config(tmp_path, **changes)


def test_sister_assays_without_a_network_are_refused(tmp_path: Path) -> None:
    sisters = {"name": "cyp2c9_inhibition", "more": "auxiliary: [sisters]"}
    assert "kind network" in complaint(tmp_path, **sisters)
    assert config(tmp_path, member="kind: network", **sisters)


def test_of_a_known_table_only_the_rules_can_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"name": "solubility", "source": "dataset: solubility_aqsoldb"}
    assert "value_column: a known" in complaint(tmp_path, data="value_column: y", **known)
    (tmp_path / "whole.yaml").write_text(dump_config(config(tmp_path, **known)))
    whole = load_config(tmp_path / "whole.yaml", [], kind=PredictorConfig)
    assert whole == config(tmp_path, **known)
    rows = Rows(["C"], np.ones(1), np.zeros(1, bool), {}, rules=CleaningRules(0.7))
    monkeypatch.setattr(datasets, "read_dataset", lambda name: rows)
    assert read_rows(config(tmp_path, **known)).rules == CleaningRules(0.7)
    changed = config(tmp_path, data="censored: drop, conflicts: keep", **known)
    assert read_rows(changed).rules == CleaningRules(0.7, "keep", "drop")


def test_a_config_that_its_own_table_contradicts_is_not_fine(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("smiles,value\nC,1\n")
    config(tmp_path, source=f"file: {tmp_path / 't.csv'}", data="value_column: nope")
    assert "no column 'nope'" in complain_of(molgen("config", "validate", tmp_path / "mine.yaml"))
