"""How busy a slow oracle's workers are kept, with and without a lag.

    .venv/bin/python -m experiments.campaign.busy_workers [--seconds 10] [--lags 0 1 2]

A campaign with the shipped prior and the default search, scored by a function that sleeps so long
for each molecule, on four Ray workers. Busy: the seconds that the workers spent on molecules, of
those that passed between the first molecule sent and the last score, times four.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.recording import print_table, write_results
from molgen.campaign.loop import run_campaign
from molgen.campaign.run_folder import new_run_folder
from molgen.campaign.wiring import open_campaign
from molgen.config.campaign import RunConfig
from molgen.ledger import Ledger

HERE = Path(__file__).parent
N_WORKERS = 4


def slow_5(smiles: Sequence[str]) -> list[float]:
    return _slow(smiles, 5.0)


def slow_10(smiles: Sequence[str]) -> list[float]:
    return _slow(smiles, 10.0)


def _slow(smiles: Sequence[str], seconds: float) -> list[float]:
    """QED, after a sleep for each molecule."""
    from rdkit import Chem
    from rdkit.Chem.QED import qed

    time.sleep(seconds * len(smiles))
    return [qed(Chem.MolFromSmiles(s)) for s in smiles]


def config(seconds: int, lag: int, n_rounds: int, round_size: int) -> RunConfig:
    """The campaign."""
    scorer: dict[str, Any] = {
        "type": "python", "name": "slow", "batch_size": 1,
        "function": f"experiments.campaign.busy_workers:slow_{seconds}",
        "desirability": {"type": "increasing", "zero_at": 0, "one_at": 1},
    }  # fmt: skip
    return RunConfig.model_validate({
        "name": "busy", "seed": 1, "round_size": round_size, "score_shard_size": 1, "lag": lag,
        "objective": {"components": [scorer]}, "budget": {"n_rounds": n_rounds},
        "executor": {
            "kind": "ray", "n_workers": N_WORKERS, "max_inflight": 4 * N_WORKERS,
            "generator_cpus": 0.2, "scorer_cpus": 0.1,
        },
        "tracking": {"enabled": False},
    })  # fmt: skip


def measure(seconds: int, lag: int, n_rounds: int, round_size: int) -> dict[str, Any]:
    """One run."""
    with tempfile.TemporaryDirectory() as temporary:
        settings = config(seconds, lag, n_rounds, round_size)
        folder = new_run_folder(settings, Path(temporary) / "run")
        with open_campaign(settings, folder) as campaign:
            run_campaign(campaign, lambda number, statistics: print(number, flush=True))
        ledger = Ledger.open(folder.path / "ledger.db", create=False)
        table, rounds = ledger.table(), ledger.rounds()
        ledger.close()
    scored = table[table["status"] == "scored"]
    began = pd.to_datetime(scored["created_at"]).min()
    ended = pd.to_datetime(scored["scored_at"]).max()
    wall = (ended - began).total_seconds()
    return {
        "lag": lag, "n_molecules": len(scored), "n_rounds": n_rounds, "wall_s": wall,
        "busy": float(scored["seconds"].sum()) / (N_WORKERS * wall),
        "driver_s_a_round": float((rounds["seconds_propose"] + rounds["seconds_choose"]).mean()
                                  + rounds["seconds_learn"].mean()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=10, choices=[5, 10])
    parser.add_argument("--lags", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--round-size", type=int, default=16)
    options = parser.parse_args()
    rows = [
        measure(options.seconds, lag, options.rounds, options.round_size) for lag in options.lags
    ]
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    write_results("busy_workers", {"seconds_a_molecule": options.seconds, "rows": rows}, seed=1,
                  out=HERE / "results.json")  # fmt: skip


if __name__ == "__main__":
    main()
