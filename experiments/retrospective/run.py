r"""Does a campaign find actives that it was never shown?

    export MOLGEN_DATA=…
    .venv/bin/molgen pretrain configs/prior_zinc250k.yaml --out runs/zinc
    .venv/bin/python -m experiments.retrospective.run runs/retrospective \
        --prior runs/zinc/prior.safetensors [--targets CHEMBL244_Ki …] [--n-calls 2000]

For each target: the measured compounds are clustered (Taylor-Butina, ECFP4 similarity 0.4), and the
clusters that hold most of the best twentieth are hidden, one after the other, until half of that
twentieth is. A predictor is trained on the rest by the product's own path, and a campaign looks for
potent, drug-like molecules that are not among the compounds it was trained on. Its eight best
training compounds serve as examples. The prior is of ZINC250k and was not trained on ChEMBL; some
purchasable molecules are in both.

Counted among the molecules scored: hidden actives (the best tenth of all, hidden) found exactly
(first InChIKey block), found at an ECFP4 similarity of 0.7, and their Murcko scaffolds; beside them
the same of hidden compounds that are not active, since a method that merely copies the
neighbourhood of everything finds both. Baselines of as many molecules: plain samples of the same
prior, and the graph genetic algorithm of `experiments/pmo/peer.py` on the same reward, begun from
the same examples and a hundred molecules of ZINC250k. The last row counts what the shown compounds
themselves resemble. What stands in the folder is not computed again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator

from experiments.pmo import peer
from experiments.recording import print_table, write_results
from molgen.campaign.run_folder import new_run_folder, open_run_folder
from molgen.campaign.wiring import execute
from molgen.campaign.workers import make_scorer
from molgen.config.campaign import RunConfig
from molgen.config.loading import load_config
from molgen.config.predictor import PredictorConfig
from molgen.generator.sampler import SamplingOptions, sample
from molgen.generator.weights import load_network
from molgen.ledger import Ledger
from molgen.objectives import SHIPPED_PREDICTORS
from molgen.training.predictors import train_predictor
from property_models.cleaning import clean
from property_models.datasets import Rows, Table
from property_models.molecules import inchikey_block, scaffold
from property_models.splits import cluster_numbers

HERE = Path(__file__).parent
TARGETS = ("CHEMBL234_Ki", "CHEMBL214_Ki", "CHEMBL244_Ki")
SIMILAR = 0.7
SHOWN = "the shown compounds themselves"
_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def read_target(name: str) -> Table:
    """One row a compound, pKi."""
    path = Path(os.environ["MOLGEN_DATA"]) / "efficacy/moleculeace_27targets.parquet"
    frame = pd.read_parquet(path, filters=[("dataset", "==", name)])
    values = frame["pactivity"].to_numpy(np.float64)
    return clean(
        Rows(list(frame["smiles"]), values, np.zeros(len(values), bool)), task="regression"
    )


def hide(table: Table) -> NDArray[np.bool_]:
    """Which compounds are hidden."""
    clusters = cluster_numbers(table)
    best = table.values >= np.quantile(table.values, 0.95)
    n_best = pd.Series(best).groupby(clusters).sum().sort_values(ascending=False, kind="stable")
    hidden = np.zeros(len(table), bool)
    for cluster in n_best.index:
        if hidden[best].mean() >= 0.5:
            break
        hidden |= clusters == cluster
    return hidden


def config(
    name: str, table: Table, hidden: NDArray[np.bool_], *, prior: Path, predictors: Path,
    n_calls: int, seed: int,
) -> RunConfig:  # fmt: skip
    """The campaign: potency above all, drug-like and not yet measured."""
    shown = table.values[~hidden]
    order = np.flatnonzero(~hidden)[np.argsort(-shown, kind="stable")[:8]]
    low, high = np.quantile(shown, [0.5, 0.995])
    return RunConfig.model_validate({
        "name": name, "seed": seed, "round_size": 64,
        "generator": {"prior": str(prior), "max_heavy_atoms": 40},
        "objective": {
            "filters": [{"type": "known", "endpoint": "potency", "folder": str(predictors)}],
            "components": [
                {"type": "predictor", "endpoint": "potency", "folder": str(predictors), "weight": 4,
                 "out_of_domain_factor": 0.7,
                 "desirability": {"type": "increasing", "zero_at": low, "one_at": high}},
                {"type": "descriptor", "name": "qed",
                 "desirability": {"type": "increasing", "zero_at": 0.1, "one_at": 0.5}},
                {"type": "descriptor", "name": "sa_score",
                 "desirability": {"type": "decreasing", "one_at": 3.5, "zero_at": 6}},
            ],
        },
        "learning": {"examples": [table.molecules[i].smiles for i in order]},
        "budget": {"n_oracle_calls": n_calls},
        "executor": {"kind": "local", "n_workers": 1}, "tracking": {"enabled": False},
    })  # fmt: skip


def train(table: Table, hidden: NDArray[np.bool_], folder: Path) -> Path:
    """The folder of predictors, `potency` in it."""
    predictors = folder / "predictors"
    if not (predictors / "potency" / "card.json").is_file():
        rows = np.flatnonzero(~hidden)
        shown = folder / "shown.csv"
        smiles = [table.molecules[i].smiles for i in rows]
        pd.DataFrame({"smiles": smiles, "pki": table.values[rows]}).to_csv(shown, index=False)
        settings = load_config(
            HERE / "potency.yaml", [f"data.file={shown.resolve()}"], kind=PredictorConfig
        )
        train_predictor(settings, out_dir=predictors)
    return predictors


def campaign_molecules(settings: RunConfig, folder: Path) -> list[str]:
    """What the campaign scored."""
    run = folder / "run"
    if (run / "manifest.json").is_file():
        opened, settings = open_run_folder(run, [])
    else:
        opened = new_run_folder(settings, run)
    if opened.manifest().get("status") != "finished":
        execute(settings, opened, lambda n, s: print(n, round(s["reward_top10"], 3), flush=True))
    ledger = Ledger.open(opened.ledger_file, create=False)
    table = ledger.table()
    ledger.close()
    return list(table[table["status"].isin(["scored", "unscored"])]["smiles"])


class _SpentError(Exception):
    """The calls are used up."""


def ga_molecules(settings: RunConfig, folder: Path, n_calls: int, seed: int) -> list[str]:
    """What the genetic algorithm had scored, what the filter refuses costing nothing."""
    log = folder / "ga.json"
    if not log.is_file():
        scorer = make_scorer(settings.objective, SHIPPED_PREDICTORS)
        asked: list[str] = []

        examples = {peer.flat(s) for s in settings.learning.examples}

        def reward(smiles: Sequence[str]) -> list[float]:
            if len(asked) >= n_calls:
                raise _SpentError
            refused = scorer.filter(list(smiles))
            # The examples are known and so refused, but they breed; their reward is not counted.
            fine = [s for s, r in zip(smiles, refused, strict=True) if not r or s in examples]
            asked.extend(s for s in fine if s not in examples)
            found = dict(zip(fine, (r["reward"] for r in scorer.score(fine).rows), strict=True))
            return [found.get(s, float("nan")) for s in smiles]

        rng = np.random.default_rng(seed)
        start = [*settings.learning.examples, *peer.zinc(peer.N_START, rng)]
        with contextlib.suppress(_SpentError):
            peer.search(reward, start, n_calls=100 * n_calls, rng=rng)
        log.write_text(json.dumps(asked[:n_calls]))
    return list(json.loads(log.read_text()))


def sampled(settings: RunConfig, folder: Path, n: int, seed: int) -> list[str]:
    """Samples of the prior."""
    log = folder / "samples.json"
    if not log.is_file():
        network = load_network(Path(str(settings.generator.prior)))
        drawn = [
            s.smiles
            for s in sample(network, 2 * n, seed=seed, options=SamplingOptions(max_atoms=40))
        ]
        log.write_text(json.dumps(list(dict.fromkeys(drawn))[:n]))
    return list(json.loads(log.read_text()))


def recovered(table: Table, of: NDArray[np.bool_], smiles: Sequence[str]) -> dict[str, Any]:
    """How many of these compounds come back, exactly, nearly, and by scaffold.

    Returns:
        `n` compounds and `n_scaffolds` asked for; how many came back: `exact`, `near`, `scaffolds`;
        `near_at`, the number of the molecule, from 1, that brought each `near` one, ascending.
    """
    made = [mol for s in smiles if (mol := Chem.MolFromSmiles(s)) is not None]
    keys = {inchikey_block(mol) for mol in made}
    scaffolds = {s for mol in made if (s := scaffold(mol))}
    rows = np.flatnonzero(of)
    mols = [mol for i in rows if (mol := table.molecules[i].mol) is not None]
    alike = similarities(mols, made) >= SIMILAR
    wanted = {s for mol in mols if (s := scaffold(mol))}
    return {
        "n": len(rows), "exact": sum(table.inchikeys[i] in keys for i in rows),
        "near": int(alike.any(axis=1).sum()), "n_scaffolds": len(wanted),
        "scaffolds": len(wanted & scaffolds),
        "near_at": sorted(int(np.argmax(row)) + 1 for row in alike if row.any()),
    }  # fmt: skip


def similarities(a: Sequence[Chem.Mol], b: Sequence[Chem.Mol]) -> NDArray[np.float64]:
    """Tanimoto, ECFP4, shape (len(a), len(b))."""
    prints = [_morgan.GetFingerprint(mol) for mol in b]
    rows = [DataStructs.BulkTanimotoSimilarity(_morgan.GetFingerprint(mol), prints) for mol in a]
    return np.array(rows, np.float64).reshape(len(a), len(b))


def run_target(
    name: str, folder: Path, prior: Path, n_calls: int, seed: int
) -> list[dict[str, Any]]:
    """All methods on one target."""
    folder.mkdir(parents=True, exist_ok=True)
    table = read_target(name)
    hidden = hide(table)
    active = hidden & (table.values >= np.quantile(table.values, 0.9))
    predictors = train(table, hidden, folder)
    settings = config(name, table, hidden, prior=prior, predictors=predictors, n_calls=n_calls,
                      seed=seed)  # fmt: skip
    print(f"{name}: {len(table)} compounds, {hidden.sum()} hidden, {active.sum()} of them active",
          flush=True)  # fmt: skip
    methods = {
        "campaign": campaign_molecules(settings, folder),
        "graph GA": ga_molecules(settings, folder, n_calls, seed),
        "samples of the prior": sampled(settings, folder, n_calls, seed),
    }
    shown = [
        m.smiles for m, is_hidden in zip(table.molecules, hidden, strict=True) if not is_hidden
    ]
    methods[SHOWN] = shown
    return [
        {"target": name, "method": method, "molecules": len(smiles)}
        | {f"active_{k}": v for k, v in recovered(table, active, smiles).items()}
        | {f"other_{k}": v for k, v in recovered(table, hidden & ~active, smiles).items()}
        for method, smiles in methods.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prior", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--n-calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if "MOLGEN_DATA" not in os.environ:
        sys.exit("MOLGEN_DATA must name the data folder")
    rdBase.DisableLog("rdApp.*")
    rows = [
        row
        for name in options.targets
        for row in run_target(
            name, options.folder / name, options.prior.resolve(), options.n_calls, options.seed
        )
    ]
    shown = [c for c in rows[0] if not c.endswith("near_at")]
    print_table(shown, [[row[c] for c in shown] for row in rows])
    write_results("retrospective", {"rows": rows}, seed=options.seed, out=HERE / "results.json")


if __name__ == "__main__":
    main()
