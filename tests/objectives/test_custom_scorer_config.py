"""The shipped campaign with a user's own scorer."""

from __future__ import annotations

from pathlib import Path

import pytest

from molgen.config.loading import dump_config, load_config
from molgen.objectives import make_objective
from tests.objectives.configs import ASPIRIN, PARACETAMOL

ROOT = Path(__file__).parents[2]


def test_it_loads_and_its_oracle_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config("configs/custom_scorer.yaml")
    with make_objective(config.objective, Path("none")) as made:
        found = made.score([ASPIRIN, PARACETAMOL, "oops"])
    assert found["status"].tolist() == ["scored", "scored", "unscored"]
    assert found["oracle_logp"].tolist()[:2] == pytest.approx([1.31, 1.35], abs=0.01)
    assert made.failed_components == set()


def test_written_out_it_reads_back_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config("configs/custom_scorer.yaml")
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config
