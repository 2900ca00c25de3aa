"""Tiny campaigns, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from molgen.campaign.loop import run_campaign
from molgen.campaign.run_folder import RunFolder, new_run_folder, open_run_folder
from molgen.campaign.wiring import open_campaign
from molgen.config.campaign import RunConfig
from molgen.ledger import Ledger

UP = {"type": "increasing", "zero_at": 0, "one_at": 1}
CHEAP: list[dict[str, Any]] = [
    {"type": "descriptor", "name": "qed", "desirability": UP},
    {
        "type": "descriptor",
        "name": "sa_score",
        "desirability": {"type": "decreasing", "one_at": 2, "zero_at": 10},
    },
    {
        "type": "python",
        "name": "carbon",
        "function": "tests.campaign.scorers:carbon_share",
        "desirability": UP,
    },
]
# What may differ between two runs of one config.
_OF_THE_RUN = ["attempts", "worker", "seconds", "created_at", "scored_at"]

Round = Callable[[int, dict[str, float]], None]


def tiny(prior: Path, *components: dict[str, Any], **changes: Any) -> RunConfig:
    """Rounds of 24 molecules in three shards, learning on; `a__b=value` sets a.b."""
    data: dict[str, Any] = {
        "name": "tiny",
        "seed": 5,
        "round_size": 24,
        "score_shard_size": 8,
        "generator": {"prior": str(prior), "max_heavy_atoms": 25, "shard_size": 8},
        "objective": {
            "components": list(components) or CHEAP,
            "filters": [{"type": "range", "name": "n_rings", "high": 5}],
        },
        "learning": {"n_updates": 2, "batch_size": 8, "learning_rate": 1e-3},
        "search": {
            "proposals_per_call": 3,
            "plausible_only": False,
            "max_sa_score": None,
            "n_generations": 2,
            "generation_size": 12,
            "n_explored": 1,
        },
        "budget": {"n_rounds": 4},
        "executor": {"kind": "local", "n_workers": 1},
        "tracking": {"enabled": False},
        "report": {"n_drawn": 3, "n_candidates": 10},
    }
    for key, value in changes.items():
        *sections, name = key.split("__")
        place = data
        for section in sections:
            place = place[section]
        place[name] = value
    return RunConfig.model_validate(data)


def nothing(number: int, statistics: dict[str, float]) -> None:
    """For runs whose progress nobody watches."""


def run(config: RunConfig, path: Path, on_round: Round = nothing) -> pd.DataFrame:
    """A new run to its end, without report; its ledger."""
    return _go(config, new_run_folder(config, path), on_round)


def resume(path: Path, *overrides: str, on_round: Round = nothing) -> pd.DataFrame:
    """An old run to its end; its ledger."""
    folder, config = open_run_folder(path, overrides)
    return _go(config, folder, on_round)


def _go(config: RunConfig, folder: RunFolder, on_round: Round) -> pd.DataFrame:
    with open_campaign(config, folder) as campaign:
        run_campaign(campaign, on_round)
    return ledger_of(folder.path)


def ledger_of(path: Path) -> pd.DataFrame:
    ledger = Ledger.open(path / "ledger.db", create=False)
    try:
        return ledger.table()
    finally:
        ledger.close()


def rounds_of(path: Path) -> pd.DataFrame:
    ledger = Ledger.open(path / "ledger.db", create=False)
    try:
        return ledger.rounds()
    finally:
        ledger.close()


def assert_same_ledger(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Every column but times, attempts and worker is the same."""
    pd.testing.assert_frame_equal(
        one.drop(columns=_OF_THE_RUN), other.drop(columns=_OF_THE_RUN), check_exact=True
    )
