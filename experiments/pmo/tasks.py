"""The names of the tasks, and the oracle behind each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rdkit import Chem

from experiments.pmo.forests import FOREST_TASKS, load_forest
from experiments.pmo.oracles import ORACLES

TASKS = (*ORACLES, *FOREST_TASKS)


def oracle_of(task: str, forests: Path | None = None) -> Callable[[Chem.Mol], float]:
    """The oracle of a task: of a sanitised molecule to a score in [0, 1].

    Args:
        task: one of TASKS.
        forests: folder of the trained forests; default: where `forests.py` puts them.

    Raises:
        DataError: a forest that has not been trained.
    """
    return ORACLES[task] if task in ORACLES else load_forest(task, forests)
