"""A predictor's config: the endpoint's unit and that of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from molgen.config.loading import load_config
from molgen.config.predictor import PredictorConfig
from molgen.errors import ConfigError

ROOT = Path(__file__).parents[2]


def config(
    folder: Path, *, data: str = "", unit: str = "", task: str = "regression", name: str = ""
) -> PredictorConfig:
    """The config of a file, with an endpoint of one's own or of the catalogue."""
    own = f"{{name: mine, task: {task}, higher_is: better{unit and f', unit: {unit}'}}}"
    path = folder / "mine.yaml"
    path.write_text(
        f"endpoint: {name or own}\ndata: {{file: mine.csv{data and f', {data}'}}}\n"
        "members: [{kind: boosted_trees}]\n"
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
    assert "endpoint.unit is nM" in message and "such as pIC50" in message


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
