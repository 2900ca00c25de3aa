"""Does the campaign learn: are fresh molecules of the last rounds better than the prior's?

    .venv/bin/python -m experiments.campaign.learning_curve runs/for_comparison

Reads a run's ledger. Fresh molecules are those first proposed, and scored, in a round; plain
samples of the rounds proposed before anything was learnt (round 0, or 0 to `lag`) are the prior's.
What is scored later is what the search chose from many proposals, so this is the worth of policy,
moves and surrogate together. Compares the prior's
mean reward with that of the last three rounds; 95 % bootstrap intervals over molecules, seed
20261124.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.campaign.intervals import difference_and_interval, mean_and_interval
from experiments.recording import print_table, with_interval, write_results
from molgen.report.record import RunRecord, read_run
from molgen.search.engine import arm_of

ENDPOINT = "fxa_pki"


def learning_curve(run: RunRecord, n_last: int, seed: int) -> dict[str, Any]:
    """Means by round, of the prior's rounds and of the last ones, and their difference."""
    scored = run.table[run.table["status"] == "scored"]
    n_prior, n_rounds = run.config.lag + 1, int(run.rounds["round"].max()) + 1
    if n_rounds < n_prior + n_last:
        raise SystemExit(f"the run has {n_rounds} rounds, too few for {n_prior} and {n_last}")
    last = scored.loc[scored["round"] >= n_rounds - n_last, "reward"].to_numpy(float)
    plain = (scored["round"] < n_prior) & (scored["origin"].map(arm_of) == "sample")
    prior = scored.loc[plain, "reward"].to_numpy(float)
    return {
        "run_seed": run.config.seed,
        "prior": mean_and_interval(prior, seed=seed),
        "n_prior": len(prior),
        f"last_{n_last}_rounds": mean_and_interval(last, seed=seed),
        "n_last": len(last),
        "difference": difference_and_interval(last, prior, seed=seed),
        "rounds": [
            _round(group, statistics, seed)
            for (_, group), statistics in zip(
                scored.groupby("round"), run.rounds.to_dict("records"), strict=True
            )
        ],
    }


def _round(scored: pd.DataFrame, statistics: dict[Any, Any], seed: int) -> dict[str, Any]:
    row = {
        "round": int(statistics["round"]),
        "n_scored": len(scored),
        "n_filtered": int(statistics["n_filtered"]),
        "n_proposed": int(statistics["n_proposed"]),
        "reward": mean_and_interval(scored["reward"].to_numpy(float), seed=seed),
        "diversity": float(statistics["diversity"]),
    }
    if ENDPOINT in scored:
        row["pki"] = float(scored[ENDPOINT].mean())
        row["in_domain"] = float(scored[f"{ENDPOINT}_in_domain"].astype(bool).mean())
    return row


def show(results: dict[str, Any], n_last: int) -> None:
    """Print the tables."""
    columns = [c for c in results["rounds"][0] if c != "reward"]
    print_table(
        [*columns, "mean reward"],
        [[*(r[c] for c in columns), with_interval(*r["reward"])] for r in results["rounds"]],
    )
    print()
    print_table(
        ["fresh molecules", "n", "mean reward"],
        [
            ["prior", results["n_prior"], with_interval(*results["prior"])],
            [f"last {n_last} rounds", results["n_last"],
             with_interval(*results[f"last_{n_last}_rounds"])],
            ["difference", "", with_interval(*results["difference"])],
        ],
    )  # fmt: skip
    learnt = results["difference"][1][0] > 0
    print(f"\nVerdict: the campaign {'has learnt' if learnt else 'HAS NOT LEARNT'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--n-last", type=int, default=3, help="rounds at the end, pooled")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()
    results = learning_curve(read_run(arguments.run_dir), arguments.n_last, arguments.seed)
    show(results, arguments.n_last)
    write_results(__file__, results, seed=arguments.seed, out=arguments.out)


if __name__ == "__main__":
    main()
