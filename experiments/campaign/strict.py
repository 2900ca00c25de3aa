"""The comparison of against_baselines.py with a predictor and a judge that share no compound.

    .venv/bin/python -m experiments.campaign.strict runs/strict

In the folder given: writes half A of the measured factor Xa compounds as a table, trains fxa_pki
on it by the product's own `train-predictor` path (fxa_pki_half_a.yaml, the shipped predictor's
recipe), runs the default campaign with that predictor in the shipped one's place, and judges its
top 100 and the baselines' with the judge that learnt from half B alone. Novelty is measured from
half A, and examples that are in half B are left out, so nothing leads the run to the judge's
compounds. The filter of known compounds stays that of all measured ones: no side can win by
proposing one of half B. The prior has seen structures of both halves, as part of ChEMBL, and no
measurement. Needs MOLGEN_DATA; minutes. Seed 20261124; the campaign's is its config's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.campaign.against_baselines import ENDPOINT, compare
from experiments.campaign.judge import Halves, evaluate, halves
from experiments.recording import ROOT, with_interval, write_results
from molgen.config.loading import load_config
from molgen.config.objective import NoveltyComponent, PredictorComponent
from molgen.config.predictor import PredictorConfig
from molgen.training.predictors import train_predictor
from property_models import load_predictor
from property_models.molecules import inchikey_block, standardise_all

PREDICTOR_CONFIG = Path(__file__).with_name("fxa_pki_half_a.yaml")
CAMPAIGN_CONFIG = ROOT / "configs" / "factor_xa.yaml"


def train_on_half_a(cut: Halves, folder: Path) -> Path:
    """The folder of predictors that holds fxa_pki trained on half A; made once."""
    predictors = folder / "predictors"
    if (predictors / ENDPOINT / "card.json").is_file():
        return predictors
    table = folder / "half_a.csv"
    rows = np.flatnonzero(cut.in_a)
    pd.DataFrame(
        {"smiles": [cut.table.molecules[i].smiles for i in rows], "pki": cut.table.values[rows]}
    ).to_csv(table, index=False)
    config = load_config(PREDICTOR_CONFIG, [f"data.file={table}"], kind=PredictorConfig)
    print(f"training {ENDPOINT} on {len(rows)} compounds of half A …", flush=True)
    train_predictor(config, out_dir=predictors)
    return predictors


def worth_on_half_b(cut: Halves, predictors: Path, seed: int) -> dict[str, Any]:
    """How well the campaign's predictor does on the compounds that it has not seen."""
    rows = np.flatnonzero(~cut.in_a)
    smiles = [cut.table.molecules[i].smiles for i in rows]
    predicted = load_predictor(predictors / ENDPOINT).predict(smiles)
    found = evaluate(cut.table.values[rows], predicted.value, seed=seed)
    inside = (cut.table.values[rows] >= predicted.low) & (cut.table.values[rows] <= predicted.high)
    return {**found, "coverage": inside.mean(), "share_in_domain": predicted.in_domain.mean()}


def without_half_b(cut: Halves, predictors: Path) -> list[str]:
    """Overrides that take half B out of everything by which the default campaign is steered."""
    config = load_config(CAMPAIGN_CONFIG)
    overrides = [
        f"objective.components.{i}.folder={predictors}"
        for i, part in enumerate(config.objective.components)
        if isinstance(part, PredictorComponent | NoveltyComponent) and part.endpoint == ENDPOINT
    ]
    assert len(overrides) == 2, "the predictor and the novelty term"
    judged = {key for key, in_a in zip(cut.table.inchikeys, cut.in_a, strict=True) if not in_a}
    examples = config.learning.examples
    mols = [molecule.mol for molecule in standardise_all(examples)]
    kept = [
        s
        for s, mol in zip(examples, mols, strict=True)
        if mol and inchikey_block(mol) not in judged
    ]
    print(f"{len(kept)} of {len(examples)} examples are not in half B", flush=True)
    return [*overrides, f"learning.examples={json.dumps(kept)}"]


def run_campaign(overrides: list[str], run_dir: Path) -> None:
    """The default campaign with overrides; goes on where it stands."""
    if (run_dir / "manifest.json").is_file():
        arguments = ["--resume", str(run_dir)]
    else:
        arguments = [str(CAMPAIGN_CONFIG), *overrides, "--out", str(run_dir)]
    subprocess.run([sys.executable, "-m", "molgen.cli", "run", *arguments], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="for the table, the predictor and the run")
    parser.add_argument("overrides", nargs="*", help="of the campaign's config, key=value")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()

    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    cut = halves()
    predictors = train_on_half_a(cut, folder)
    worth = worth_on_half_b(cut, predictors, arguments.seed)
    print(
        f"predictor of half A on half B ({worth['n']} compounds): Spearman "
        f"{with_interval(worth['spearman'], worth['spearman_interval'])}, 90 % intervals cover "
        f"{worth['coverage']:.3f}, in domain {worth['share_in_domain']:.3f}",
        flush=True,
    )
    overrides = [*without_half_b(cut, predictors), *arguments.overrides]
    run_campaign(overrides, folder / "campaign")
    results = compare(folder / "campaign", arguments.seed)
    results["predictor_on_half_b"] = worth
    write_results(__file__, results, seed=arguments.seed, out=arguments.out)


if __name__ == "__main__":
    main()
