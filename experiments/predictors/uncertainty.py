"""Intervals, domain and calibrated probabilities on compounds that a predictor has not seen.

    MOLGEN_DATA=… .venv/bin/python -m experiments.predictors.uncertainty [--seeds 0 1] [--recipe …]

Protocol: the official training rows of each task are cut into five folds, by scaffold and by
Taylor-Butina cluster. With seed s, fold s is put aside and a predictor is trained on the others
as `molgen train-predictor` does it (its own folds, weights and calibration inside); then the fold
put aside is predicted once. Official test rows are never read. Beside the intervals stand plain
split-conformal ones from the same out-of-fold errors: one width for all compounds. What was
tuned: the signals of the expected error and the shares of the domain, on cheap stand-in models of
caco2_wang, vdss_lombardo, clearance_hepatocyte_az, ppbr_az and MoleculeACE's CHEMBL2835_Ki,
CHEMBL218_EC50, CHEMBL287_Ki, CHEMBL219_Ki, folds 0 and 1.

Finished predictions are kept in `--cache`, so a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.predictors.recipes import member, members_of
from experiments.recording import print_table, write_results
from property_models import evaluate
from property_models.calibration import LEVEL, conformal_quantile
from property_models.cleaning import clean
from property_models.datasets import Rows, Table, read_dataset
from property_models.endpoints import Endpoint, Task
from property_models.fit import fit_predictor
from property_models.predictor import Predictor
from property_models.splits import cluster_folds, scaffold_folds

Array = NDArray[np.float64]

REGRESSION = (
    "caco2_wang", "lipophilicity_astrazeneca", "ppbr_az", "ld50_zhu", "half_life_obach",
    "moleculeace_chembl1862_ki", "moleculeace_chembl238_ki", "moleculeace_chembl3979_ec50",
    "moleculeace_chembl2147_ki", "moleculeace_chembl228_ki",
)  # fmt: skip
CLASSIFICATION = (
    "dili", "hia_hou", "bbb_martins", "pgp_broccatelli", "herg", "cyp2c9_substrate_carbonmangels",
)  # fmt: skip
SPLITS = {"scaffold": scaffold_folds, "cluster": cluster_folds}
N_FOLDS = 5


def training_table(name: str, task: Task) -> Table:
    """The compounds of the official training rows."""
    rows = read_dataset(name)
    return clean(rows.where(~rows.official_test), task=task)


def put_aside(name: str, task: Task, split: str, seed: int, recipe: str) -> dict[str, Any]:
    """Train without one fold and predict it; what was found, compound by compound."""
    table = training_table(name, task)
    aside = SPLITS[split](table, N_FOLDS) == seed % N_FOLDS
    rows = Rows([m.smiles for m in table.molecules], table.values, np.zeros(len(table), bool))
    metric = "rmse" if task == "regression" else "auroc"
    train = rows.where(~aside)
    recipes = [member(one, train.values, task, metric) for one in members_of(recipe, task)]
    endpoint = Endpoint(name, task, "as in the source", "neutral", "")
    predictor = fit_predictor(train, endpoint, recipes=recipes, n_folds=N_FOLDS, seed=seed)
    return _predicted(predictor, rows.where(aside), task)


def _predicted(predictor: Predictor, rows: Rows, task: Task) -> dict[str, Any]:
    found = predictor.predict([str(smiles) for smiles in rows.smiles])
    result: dict[str, Any] = {
        "measured": rows.values.tolist(),
        "value": found.value.tolist(),
        "low": found.low.tolist(),
        "high": found.high.tolist(),
        "in_domain": found.in_domain.tolist(),
        "similarity": found.neighbour_similarity.tolist(),
    }
    if task == "regression":
        errors = predictor.parts.reference.errors.astype(np.float64)
        result["plain_half_width"] = conformal_quantile(errors, LEVEL)
    return result


def judged(task: Task, results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Numbers of one task and split over its seeds, each the mean over compounds."""
    columns = ("measured", "value", "low", "high", "in_domain", "similarity")
    measured, value, low, high, in_domain, similarity = (
        np.concatenate([np.array(result[column]) for result in results]) for column in columns
    )
    inside = in_domain.astype(bool)
    found: dict[str, float] = {"n": len(measured), "outside": float(np.mean(~inside))}
    if task == "classification":
        errors = (measured - value) ** 2
        found |= {
            "auroc": evaluate.auroc(measured, value),
            "brier": float(errors.mean()),
            "brier_of_base_rate": float(measured.mean() * (1 - measured.mean())),
            "ece": evaluate.ece(measured, value),
            "mean_width": float(np.mean(high - low)),
        }
    else:
        errors = np.abs(measured - value)
        plain = np.concatenate(
            [np.full(len(r["measured"]), r["plain_half_width"]) for r in results]
        )
        far = similarity < np.quantile(similarity, 0.25)
        found |= {
            "mae": float(errors.mean()),
            "coverage": evaluate.coverage(measured, low, high),
            "plain_coverage": float(np.mean(errors <= plain)),
            "width_ratio": float(np.mean(high - low) / np.mean(2 * plain)),
            "coverage_of_farthest_quarter": evaluate.coverage(measured[far], low[far], high[far]),
            "error_rank_correlation": evaluate.spearman(high - low, errors),
        }
    found["error_ratio"] = (
        float(errors[~inside].mean() / errors[inside].mean())
        if inside.any() and not inside.all()
        else float("nan")
    )
    return found


def show(task: Task, rows: Sequence[dict[str, Any]]) -> None:
    """One table per task kind, the mean of each split in the last lines."""
    chosen = [row for row in rows if row["kind"] == task]
    if not chosen:
        return
    numbers = [key for key in chosen[0] if key not in ("task", "kind", "split")]
    cells = [[row["task"], row["split"], *(row[key] for key in numbers)] for row in chosen]
    for split in SPLITS:
        part = [row for row in chosen if row["split"] == split]
        if part:
            means = (float(np.nanmean([row[key] for row in part])) for key in numbers)
            cells.append(["mean", split, *means])
    print_table(["task", "split", *numbers], cells)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=[*REGRESSION, *CLASSIFICATION])
    parser.add_argument("--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--recipe", default="trees+kernel", help="name in recipes.py")
    parser.add_argument("--cache", type=Path, default=Path("runs") / "uncertainty")
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in arguments.tasks:
        kind: Task = "classification" if name in CLASSIFICATION else "regression"
        for split in arguments.splits:
            results = []
            for seed in arguments.seeds:
                kept = arguments.cache / f"{name}.{split}.{seed}.{arguments.recipe}.json"
                if not kept.is_file():
                    found = put_aside(name, kind, split, seed, arguments.recipe)
                    kept.write_text(json.dumps(found))
                results.append(json.loads(kept.read_text()))
            row = {"task": name, "kind": kind, "split": split, **judged(kind, results)}
            rows.append(row)
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    show("regression", rows)
    show("classification", rows)
    write_results(
        __file__, {"recipe": arguments.recipe, "seeds": arguments.seeds, "rows": rows}, seed=None,
        out=arguments.out,
    )  # fmt: skip


if __name__ == "__main__":
    main()
