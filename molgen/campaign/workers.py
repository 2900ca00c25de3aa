"""The worker that filters and scores, as pools of either executor run it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molgen.config.objective import ObjectiveConfig
from molgen.objectives import SHIPPED_PREDICTORS, make_objective


@dataclass(frozen=True)
class ScoredShard:
    """Answers for a shard, in its order.

    Attributes:
        rows: for each molecule reward, status, reason and the objective's columns.
        failed: the external scorers whose answers failed after all retries.
        worker: where it was computed.
        seconds: how long it took.
    """

    rows: list[dict[str, Any]]
    failed: frozenset[str]
    worker: str
    seconds: float


class ScoringWorker:
    """An objective in a worker."""

    def __init__(self, config: ObjectiveConfig, predictors_root: Path) -> None:
        self._objective = make_objective(config, predictors_root)

    def filter(self, smiles: Sequence[str]) -> list[str]:
        """'' for each molecule that passes, else why not."""
        return self._objective.filter(smiles)

    def score(self, smiles: Sequence[str]) -> ScoredShard:
        """Score a shard."""
        began = time.perf_counter()
        table = self._objective.score(smiles)
        seconds = time.perf_counter() - began
        failed = frozenset(table.attrs["failed_components"])
        return ScoredShard(table.to_dict("records"), failed, f"process {os.getpid()}", seconds)

    def close(self) -> None:
        """End the external scorers' processes."""
        self._objective.close()


def make_scorer(config: ObjectiveConfig, predictors_root: Path | None = None) -> ScoringWorker:
    """For a worker pool; without a folder the predictors shipped where the worker runs."""
    return ScoringWorker(config, predictors_root or SHIPPED_PREDICTORS)
