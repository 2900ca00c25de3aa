"""How good is the next round, by which settings? With less chance in it than whole runs have.

    .venv/bin/python -m experiments.pmo.one_round RUN ... [--set search.n_explored=6]

Takes run folders of the two tasks on which settings may be chosen. After each of so many scored
molecules the search, as it is now, with the run's settings and those given, learns what was scored
and proposes a round, without restarts and with the untouched prior. Of the sixteen that the
surrogate would choose first: how many are better than the tenth best so far, by how much together,
and the best of them less the best so far; the last also for all that it could choose among. A line
for each state, and the means. The oracle's answers are for this table alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem

from experiments.pmo.neighbours import TUNED_ON
from experiments.pmo.tasks import oracle_of
from experiments.recording import print_table
from molgen.campaign.proposals import propose
from molgen.campaign.wiring import pools
from molgen.config.loading import load_config
from molgen.config.objective import CommandComponent
from molgen.ledger import Ledger
from molgen.runtime.executor import InlineExecutor
from molgen.search.engine import Search

AFTER = (80, 140, 200, 260)
N_CHOSEN = 16
HEADER = ["run", "scored", "better of 16", "gain", "best", "best of all", "proposals", "s"]


class SoFar:
    """What a ledger held at a time."""

    def __init__(self) -> None:
        self.smiles: set[str] = set()
        self.rewards: list[float] = []

    def known(self, smiles: Sequence[str]) -> dict[str, None]:
        """Those of these that were there."""
        return dict.fromkeys(s for s in smiles if s in self.smiles)


def states(ledger: Ledger, search: Search) -> Iterator[tuple[int, SoFar]]:
    """Each state, as the number of the next round and what there was; the search has learnt it."""
    so_far, wanted = SoFar(), list(AFTER)
    for number in range(len(ledger.rounds())):
        rows = ledger.round_rows(number)
        search.learn(rows, {})
        so_far.smiles.update(row.smiles for row in rows)
        so_far.rewards += [row.reward for row in rows if row.status == "scored"]
        if wanted and len(so_far.rewards) >= wanted[0]:
            del wanted[0]
            yield number + 1, so_far


def compare(folder: Path, overrides: Sequence[str]) -> list[list[float]]:
    """A row of numbers for each state of a run."""
    config = load_config(folder / "config.yaml", ["search.restart_after=null", *overrides])
    component = config.objective.components[0]
    assert isinstance(component, CommandComponent), "campaign.yaml has no other"
    task = component.command[component.command.index("--task") + 1]
    if task not in TUNED_ON:
        raise SystemExit(f"{folder}: settings are not chosen on {task}")
    oracle, executor = oracle_of(task), InlineExecutor(pools(config))
    search, rows = Search(config), []
    for number, so_far in states(Ledger.open(folder / "ledger.db", create=False), search):
        began = time.perf_counter()
        proposed = propose(
            executor, search, so_far, number, config, version=0, weights=None,  # type: ignore[arg-type]
        )  # fmt: skip
        pool = proposed.pool
        assert pool is not None, "more was scored than the surrogate needs"
        seconds = time.perf_counter() - began
        true = np.array([oracle(Chem.MolFromSmiles(m.smiles)) for m in pool.made])
        chosen = true[search.choose(number, pool, N_CHOSEN)]
        tenth, best = np.sort(so_far.rewards)[[-10, -1]]
        rows.append(
            [
                len(so_far.rewards), (chosen > tenth).sum(), np.maximum(chosen - tenth, 0).sum(),
                chosen.max() - best, true.max() - best, len(pool), seconds,
            ]
        )  # fmt: skip
    return rows


def _cells(row: Sequence[float]) -> list[str]:
    return [f"{row[0]:.0f}", f"{row[1]:.2f}", *(f"{x:.4f}" for x in row[2:5]), f"{row[5]:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of molgen")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="in the config")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table, every = [], []
    for folder in arguments.runs:
        rows = compare(folder, arguments.set)
        every += rows
        name = "/".join(folder.parts[-3:-1])
        table += [[name, *_cells(row), f"{row[-1]:.1f}"] for row in rows]
    mean, error = np.mean(every, axis=0), np.std(every, axis=0) / len(every) ** 0.5
    table.append(["**mean**", *_cells(mean), f"{mean[-1]:.1f}"])
    table.append(["**standard error**", *_cells(error), f"{error[-1]:.1f}"])
    print_table(HEADER, table)


if __name__ == "__main__":
    main()
