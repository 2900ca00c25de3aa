"""Is a campaign's top 100 better than what could be had without it?

    .venv/bin/molgen run configs/factor_xa.yaml --out runs/for_comparison
    .venv/bin/python -m experiments.campaign.against_baselines runs/for_comparison

Takes a finished run and two baselines with as many molecules as the campaign scored: samples of
the same prior (another seed, same size limits), and random molecules of the ChEMBL train split;
what the filters refuse costs neither side anything. All pass the same filters, novelty and
objective, and the report's own rule ranks the top 100 of each. Side by side: reward, predicted pKi,
domain, drug-likeness, and an *independent judge* (judge.py) that learnt from half of the measured
compounds. The predictor of a default run learnt from all of them, so it shares that half with the
judge; `strict.py` does the whole comparison with a predictor and a judge that share no compound.

*In-domain reward* is the mean over the top 100 of the reward where a molecule lies in the
applicability domain of fxa_pki, and of 0 where it does not: a baseline may have no molecule there,
so the mean of those in domain alone is shown beside it but decides nothing. *Top 100 in domain*
ranks in-domain molecules alone; places left empty count as 0. Intervals are 95 % bootstrap over
the molecules of a top 100. The campaign wins on a measure when the interval of its difference to
the baseline lies above 0. Needs MOLGEN_DATA. Seed 20261124.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase

from experiments.campaign.intervals import Array, difference_and_interval, mean_and_interval
from experiments.campaign.judge import Judge, halves
from experiments.recording import print_table, with_interval, write_results
from molgen.campaign.workers import make_scorer
from molgen.config.campaign import LocalExecutorConfig, RunConfig
from molgen.generator.sampler import SamplingOptions
from molgen.objectives import SHIPPED_PREDICTORS
from molgen.objectives.descriptors import descriptor
from molgen.report.ranking import rank
from molgen.report.record import RunRecord, read_run
from molgen.runtime.executor import Executor, WorkerPool
from molgen.runtime.executors import make_executor
from molgen.search.moves import Order
from molgen.search.proposing import Proposal, identify, make_generator
from property_models.datasets import data_folder
from property_models.molecules import canonical_smiles

ENDPOINT = "fxa_pki"
N_TOP = 100
# Means over a top 100 that the tables show, with their names there.
MEASURES = {
    "reward": "reward",
    "in_domain_reward": "in-domain reward (0 outside)",
    "reward_of_in_domain": "reward of those in domain",
    "top_in_domain": "reward of top 100 in domain (0 where fewer)",
    "pki": "predicted pKi",
    "in_domain": "share in domain",
    "judge": "pKi by the judge",
    "judge_in_domain": "pKi by the judge, top 100 in domain",
    "qed": "QED",
    "sa_score": "SA score",
}
MUST_WIN = ("in_domain_reward", "top_in_domain", "judge")
_SPARE = 2  # so many times the molecules wanted are drawn: the filters refuse some
COMPARED = ("reward", *MUST_WIN, "reward_of_in_domain", "judge_in_domain")


# -- the three tables of scored molecules ---------------------------------------------------


def prior_samples(config: RunConfig, n: int, seed: int, executor: Executor) -> list[Proposal]:
    """N samples of the run's prior, in the campaign's own shards, never learnt from."""
    size = config.generator.shard_size
    shards = [
        executor.submit(
            "generator", "propose", 0, None, [Order("sample", ((),) * min(size, n - first))],
            (seed, shard), False,
        )
        for shard, first in enumerate(range(0, n, size))
    ]  # fmt: skip
    return [identify(made.smiles) for shard in shards for made in shard.result().made]


def chembl_molecules(n: int, seed: int) -> list[Proposal]:
    """N random molecules of the ChEMBL train split, without replacement."""
    folder = data_folder()
    if folder is None:
        raise SystemExit("set MOLGEN_DATA to the folder that holds generator/ and efficacy/")
    table = pd.read_parquet(folder / "generator/chembl_union_flat.parquet")
    smiles = table.loc[table["split"] == "train", "smiles"].to_numpy()
    chosen = np.random.default_rng(seed).choice(len(smiles), n, replace=False)
    with rdBase.BlockLogs():
        return [identify(canonical_smiles(Chem.MolFromSmiles(smiles[i]))) for i in chosen]


def score_all(
    config: RunConfig, proposals: Sequence[Proposal], n: int, executor: Executor
) -> pd.DataFrame:
    """The first n proposals that pass the filters, scored, as a ledger table."""
    distinct = list({p.constitution: p for p in proposals}.values())
    size = config.score_shard_size
    smiles = [p.smiles for p in distinct]

    def in_shards(method: str, rows: Sequence[str]) -> list[Any]:
        calls = [
            executor.submit("scorer", method, list(rows[i : i + size]))
            for i in range(0, len(rows), size)
        ]
        return [call.result() for call in calls]

    reasons = [reason for shard in in_shards("filter", smiles) for reason in shard]
    passed = [p for p, reason in zip(distinct, reasons, strict=True) if not reason][:n]
    answers = [
        row for shard in in_shards("score", [p.smiles for p in passed]) for row in shard.rows
    ]
    identities = pd.DataFrame(
        {
            "id": range(1, len(passed) + 1),
            "smiles": [p.smiles for p in passed],
            "constitution": [p.constitution for p in passed],
            "scaffold": [p.scaffold for p in passed],
        }
    )
    return pd.concat([identities, pd.DataFrame.from_records(answers)], axis=1)


def workers(config: RunConfig) -> list[WorkerPool]:
    """What draws samples of a run's prior, whatever they are, and what scores by its objective."""
    g = config.generator
    options = SamplingOptions(g.temperature, g.min_heavy_atoms, g.max_heavy_atoms)
    prior = Path(g.prior) if g.prior else None
    return [
        WorkerPool("generator", partial(make_generator, prior, [], options, False, None), 2),
        WorkerPool("scorer", partial(make_scorer, config.objective, SHIPPED_PREDICTORS), 2),
    ]


def baselines(run: RunRecord, seed: int) -> dict[str, pd.DataFrame]:
    """Both baselines, drawn and scored in two processes."""
    config = run.config
    if config.generator.prompts:
        raise SystemExit("the baselines are de novo; give a run without prompts")
    n = int((run.table["status"] == "scored").sum())
    executor = make_executor(LocalExecutorConfig(n_workers=2), workers(config))
    try:
        tables = {}
        draws: dict[str, Callable[[], list[Proposal]]] = {
            "prior": lambda: prior_samples(config, _SPARE * n, seed, executor),
            "chembl": lambda: chembl_molecules(_SPARE * n, seed),
        }
        for name, draw in draws.items():
            print(f"{name}: drawing and scoring {n} molecules …", flush=True)
            tables[name] = score_all(config, draw(), n, executor)
        return tables
    finally:
        executor.close()


# -- what is compared -----------------------------------------------------------------------


def measure(table: pd.DataFrame, config: RunConfig, judge: Judge) -> dict[str, Array]:
    """The values behind each mean in `MEASURES`, one a molecule; and two counts."""
    limit = config.report.max_per_scaffold
    scored = table[table["status"] == "scored"]
    top = rank(scored, N_TOP, max_per_scaffold=limit)
    in_domain = scored[scored[f"{ENDPOINT}_in_domain"].astype(bool)]
    top_in_domain = rank(in_domain, N_TOP, max_per_scaffold=limit)
    inside = top[f"{ENDPOINT}_in_domain"].to_numpy(bool)
    mols = [Chem.MolFromSmiles(smiles) for smiles in top["smiles"]]
    rewards = top["reward"].to_numpy(float)
    return {
        "reward": rewards,
        "in_domain_reward": np.where(inside, rewards, 0.0),
        "reward_of_in_domain": rewards[inside],
        "top_in_domain": np.pad(
            top_in_domain["reward"].to_numpy(float), (0, N_TOP - len(top_in_domain))
        ),
        "pki": top[ENDPOINT].to_numpy(float),
        "in_domain": inside.astype(float),
        "judge": judge.pki(list(top["smiles"])),
        "judge_in_domain": judge.pki(list(top_in_domain["smiles"])),
        "qed": np.asarray(descriptor("qed", mols)[0]),
        "sa_score": np.asarray(descriptor("sa_score", mols)[0]),
    }


def counts(table: pd.DataFrame, config: RunConfig) -> dict[str, int]:
    """How many were scored, were in domain, and how many scaffolds the top 100 has."""
    scored = table[table["status"] == "scored"]
    top = rank(scored, N_TOP, max_per_scaffold=config.report.max_per_scaffold)
    return {
        "scored": len(scored),
        "scored, in domain": int(scored[f"{ENDPOINT}_in_domain"].astype(bool).sum()),
        "in the top": len(top),
        "scaffolds in the top": int(top["scaffold"].nunique()),
    }


def compare(run_dir: Path, seed: int) -> dict[str, Any]:
    """The whole comparison; prints it and returns its numbers."""
    run = read_run(run_dir)
    if not run.finished:
        raise SystemExit(f"{run_dir}: status {run.status}; finish it with molgen run --resume")
    cut = halves()
    judge = Judge(cut, seed=seed)
    worth = judge.worth(cut, seed=seed)
    tables = {"campaign": run.table, **baselines(run, seed)}
    values = {name: measure(table, run.config, judge) for name, table in tables.items()}
    sizes = {name: counts(table, run.config) for name, table in tables.items()}
    means = {
        name: {m: mean_and_interval(v, seed=seed) for m, v in found.items()}
        for name, found in values.items()
    }
    differences = {
        name: {
            m: difference_and_interval(values["campaign"][m], found[m], seed=seed) for m in COMPARED
        }
        for name, found in values.items()
        if name != "campaign"
    }
    verdict = {
        name: {m: bool(found[m][1][0] > 0) for m in MUST_WIN} for name, found in differences.items()
    }
    results = {
        "run": {
            "seed": run.config.seed,
            "n_scored": int((run.table["status"] == "scored").sum()),
        },
        "halves": {
            "n_a": int(cut.in_a.sum()),
            "n_b": int((~cut.in_a).sum()),
            "n_scaffolds_a_b": cut.n_scaffolds,
        },
        "judge_on_half_a": worth,
        "counts": sizes,
        "means": means,
        "campaign_minus_baseline": differences,
        "campaign_wins": verdict,
    }
    _show(results)
    return results


def _show(results: dict[str, Any]) -> None:
    worth = results["judge_on_half_a"]
    print(
        f"\n{results['run']['n_scored']} molecules each. Judge on half A ({worth['n']} measured "
        f"compounds unknown to it): Spearman "
        f"{with_interval(worth['spearman'], worth['spearman_interval'])}, RMSE "
        f"{with_interval(worth['rmse'], worth['rmse_interval'])}\n"
    )
    names = list(results["means"])
    rows: list[list[Any]] = [
        [text, *(with_interval(*results["means"][name][m]) for name in names)]
        for m, text in MEASURES.items()
    ]
    rows += [
        [text, *(results["counts"][name][text] for name in names)]
        for text in results["counts"]["campaign"]
    ]
    print_table(["mean over the top 100", *names], rows)
    print()
    rows = [
        [MEASURES[m], name, with_interval(*difference), _verdict(results, name, m)]
        for name, found in results["campaign_minus_baseline"].items()
        for m, difference in found.items()
    ]
    print_table(["campaign minus baseline", "baseline", "difference", "verdict"], rows)
    won = all(w for found in results["campaign_wins"].values() for w in found.values())
    print(f"\nThe campaign {'wins' if won else 'DOES NOT WIN'} on all that must be won.")


def _verdict(results: dict[str, Any], name: str, measure: str) -> str:
    won = results["campaign_wins"][name].get(measure)
    return "not decisive" if won is None else "wins" if won else "DOES NOT WIN"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run_dir", type=Path, help="folder of a finished run of factor_xa.yaml")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()
    results = compare(arguments.run_dir, arguments.seed)
    write_results(__file__, results, seed=arguments.seed, out=arguments.out)


if __name__ == "__main__":
    main()
