"""A table of measurements becomes a predictor, and the predictor a campaign, in one command."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rdkit import Chem
from rdkit.Chem import Crippen

from tests.commands import complaint, molgen
from tests.property_models.drugs import DRUGS

PREDICTOR = {
    "endpoint": {
        "name": "mine", "task": "regression", "unit": "log10", "higher_is": "neutral",
    },
    "data": {"file": "table.csv"},
    "members": [{"kind": "boosted_trees", "n_trees": 20}],
    "folds": 2,
    "cluster_split": False,
}  # fmt: skip


@pytest.fixture
def campaign(tmp_path: Path, prior_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A campaign config beside the table that its predictor learns from."""
    values = [Crippen.MolLogP(Chem.MolFromSmiles(s)) for s in DRUGS]  # type: ignore[attr-defined]  # no stub
    pd.DataFrame({"smiles": DRUGS, "value": values}).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(PREDICTOR))
    config = {
        "name": "from_a_table", "round_size": 16,
        "generator": {"prior": str(prior_file), "max_heavy_atoms": 20},
        "objective": {
            "components": [
                {
                    "type": "predictor", "endpoint": "mine", "folder": "predictors",
                    "trained_by": "mine.yaml",
                    "desirability": {"type": "between", "low": 2, "high": 3, "margin": 3},
                },
                {
                    "type": "descriptor", "name": "qed",
                    "desirability": {"type": "increasing", "zero_at": 0, "one_at": 1},
                },
            ]
        },
        "learning": {"n_updates": 1, "batch_size": 8},
        "budget": {"n_rounds": 2},
        "executor": {"kind": "local", "n_workers": 1},
        "tracking": {"enabled": False},
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_predictor_is_trained_first_and_once(campaign: Path, tmp_path: Path) -> None:
    assert molgen("config", "validate", campaign).code == 0
    assert not (tmp_path / "predictors").exists()

    ran = molgen("run", campaign, "--out", tmp_path / "first")
    assert ran.code == 0, ran
    assert ran.out.index("training a predictor of mine") < ran.out.index("campaign from_a_table")
    card = json.loads((tmp_path / "predictors/mine/card.json").read_text())
    assert card["data"]["n_used"] == len(DRUGS)
    table = pd.read_csv(tmp_path / "first/candidates.csv")
    assert table["mine"].notna().all()
    assert (table["mine_low"] <= table["mine_high"]).all()
    manifest = json.loads((tmp_path / "first/manifest.json").read_text())
    assert "mine/card.json" in manifest["sha256"]

    again = molgen("run", campaign, "--out", tmp_path / "second")
    assert "training" not in again.out
    second = pd.read_csv(tmp_path / "second/candidates.csv")
    pd.testing.assert_series_equal(table["reward"], second["reward"])


def test_nothing_is_trained_for_a_run_that_cannot_start(campaign: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert "is not empty" in complaint(molgen("run", campaign, "--out", tmp_path / "full"))
    said = complaint(molgen("run", campaign, "generator.prompts=['*C*C']"))
    assert "an attachment point needs" in said
    assert not (tmp_path / "predictors").exists()


def test_a_campaign_that_stands_on_one_predictor_alone_can_be_checked(campaign: Path) -> None:
    config = yaml.safe_load(campaign.read_text())
    del config["objective"]["components"][1]
    campaign.write_text(yaml.safe_dump(config))
    checked = molgen("config", "validate", campaign)
    assert checked.code == 0, checked.err


def test_a_config_that_makes_another_endpoint_is_refused(campaign: Path, tmp_path: Path) -> None:
    other = PREDICTOR | {"endpoint": {**PREDICTOR["endpoint"], "name": "yours"}}  # type: ignore[dict-item]  # a dict
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(other))
    said = complaint(molgen("run", campaign))
    assert "'yours'" in said
    assert "'mine'" in said


def test_a_predictor_to_be_trained_needs_a_place(campaign: Path) -> None:
    text = campaign.read_text().replace("    folder: predictors\n", "")
    campaign.write_text(text)
    assert "folder" in complaint(molgen("config", "validate", campaign))
