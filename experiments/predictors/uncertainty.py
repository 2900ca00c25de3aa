"""Intervals, domain and calibrated probabilities on compounds that a predictor has not seen.

    MOLGEN_DATA=… .venv/bin/python -m experiments.predictors.uncertainty [--seeds 0 1] [--tasks …]

Protocol: the official training rows of each task are cut into five folds, by scaffold and by
Taylor-Butina cluster. With seed s, fold s is put aside; on the others everything happens as in
`molgen train-predictor` (out-of-fold scores by scaffold, stacked weights, calibration, members
fitted on all of them); then the fold put aside is predicted once. Official test rows are never
read. Beside the intervals stand plain split-conformal ones from the same out-of-fold errors: one
width for all compounds.

The tasks of DEVELOPMENT, with seeds 0 to 4, are what the calibration was designed on: the signals
of the expected error, how far intervals follow it, the borders of the domain. REGRESSION and
CLASSIFICATION were run when all that stood.

Fitting takes most of the time, so scores are kept in `--cache` and calibrated anew by each run: a
change to the calibration alone is judged in seconds. Empty the folder after a change to the
members. The recipe `quick` has fewer and faster trees than a shipped predictor, and one seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.predictors.recipes import member, members_of
from experiments.recording import print_table, write_results
from property_models import evaluate
from property_models.calibration import (
    LEVEL,
    conformal_quantile,
    fit_calibration,
    held_out_errors,
)
from property_models.cleaning import clean
from property_models.cross_validation import HeldOut, cross_validate
from property_models.datasets import Rows, Table, read_dataset
from property_models.difficulty import make_evidence
from property_models.domain import N_NEIGHBOURS, nearest_k
from property_models.endpoints import Task
from property_models.ensemble import (
    MemberRecipe,
    combined,
    derived_seed,
    fit_members,
    scores_and_deviations,
)
from property_models.features import featurise
from property_models.splits import cluster_folds, scaffold_folds
from property_models.trees import TreesRecipe

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

DEVELOPMENT = (
    "caco2_wang", "ppbr_az", "vdss_lombardo", "clearance_hepatocyte_az",
    "moleculeace_chembl2835_ki", "moleculeace_chembl218_ec50",
    "moleculeace_chembl287_ki", "moleculeace_chembl219_ki",
)  # fmt: skip
REGRESSION = (
    "half_life_obach", "clearance_microsome_az", "lipophilicity_astrazeneca",
    "moleculeace_chembl1862_ki", "moleculeace_chembl238_ki", "moleculeace_chembl3979_ec50",
    "moleculeace_chembl2147_ki", "moleculeace_chembl228_ki",
)  # fmt: skip
CLASSIFICATION = (
    "dili", "hia_hou", "bbb_martins", "pgp_broccatelli", "herg", "cyp2c9_substrate_carbonmangels",
)  # fmt: skip
SPLITS = {"scaffold": scaffold_folds, "cluster": cluster_folds}
N_FOLDS = 5


def recipes_of(name: str, task: Task, y: Array) -> list[MemberRecipe]:
    """Members by the name of a recipe of `recipes.py`, or `quick`."""
    members = members_of("trees+kernel" if name == "quick" else name, task)
    found = [member(one, y, task, "rmse" if task == "regression" else "auroc") for one in members]
    if name != "quick":
        return found
    return [
        replace(one, n_trees=200, learning_rate=0.1, n_seeds=1)
        if isinstance(one, TreesRecipe)
        else one
        for one in found
    ]


def training_table(name: str, task: Task) -> Table:
    """The compounds of the official training rows."""
    rows = read_dataset(name)
    return clean(rows.where(~rows.official_test), task=task)


def fitted_scores(table: Table, task: Task, split: str, seed: int, recipe: str) -> Arrays:
    """Scores without one fold, out-of-fold and of the fold put aside; no calibration yet.

    Returns:
        Arrays of the training compounds (n) and, with `aside_`, of those put aside (m):
        `measured`, `score`, `spread`, and packed ECFP4 `bits`; `fold` of the training compounds.
    """
    aside = SPLITS[split](table, N_FOLDS) == seed % N_FOLDS
    smiles = [molecule.smiles for molecule in table.molecules]
    features = featurise([m.mol for m in table.molecules if m.mol is not None], smiles)
    train, test = features.take(np.flatnonzero(~aside)), features.take(np.flatnonzero(aside))
    measured = table.values[~aside]
    rows = Rows([smiles[i] for i in np.flatnonzero(~aside)], measured, np.zeros(len(train), bool))
    fold = scaffold_folds(clean(rows, task=task), N_FOLDS)
    recipes = recipes_of(recipe, task, measured)
    held_out = cross_validate(recipes, train, measured, fold=fold, task=task, seed=seed)
    members = fit_members(recipes, train, measured, task=task, seed=derived_seed(seed, "all"))
    scores, deviations = scores_and_deviations(members, test)
    score, spread = combined(scores, held_out.weights.tolist(), task=task, deviations=deviations)
    return {
        "measured": measured,
        "score": held_out.score,
        "spread": held_out.spread,
        "bits": train.packed_bits,
        "fold": fold,
        "aside_measured": table.values[aside],
        "aside_score": score,
        "aside_spread": spread,
        "aside_bits": test.packed_bits,
    }


def kept_scores(
    name: str, task: Task, split: str, seeds: Sequence[int], recipe: str, cache: Path
) -> list[Arrays]:
    """`fitted_scores` of each seed, from the cache where they are in it."""
    table, found = None, []
    for seed in seeds:
        path = cache / f"{name}.{split}.{seed}.{recipe}.npz"
        if not path.is_file():
            table = table or training_table(name, task)
            part = path.with_suffix(".part.npz")
            np.savez(part, **fitted_scores(table, task, split, seed, recipe))  # type: ignore[arg-type]  # numpy types the keywords as bool
            part.replace(path)
        with np.load(path) as arrays:
            found.append(dict(arrays))
    return found


def predicted(task: Task, found: Arrays) -> Arrays:
    """Calibrates on the out-of-fold scores and predicts the compounds put aside, m of them.

    Returns:
        Arrays of shape (m,): measured, value, low, high, in_domain, similarity, plain (half-width
        of plain split-conformal intervals).
    """
    held_out = HeldOut(
        score=found["score"],
        by_member=found["score"][None],
        spread=found["spread"],
        similarity=np.zeros(len(found["score"])),  # the calibration looks for itself
        fold=found["fold"],
        weights=np.ones(1),
    )
    errors = held_out_errors(task, found["measured"], held_out)
    calibration = fit_calibration(task, found["measured"], held_out, found["bits"])
    rows, similarity = nearest_k(found["aside_bits"], found["bits"], N_NEIGHBOURS)
    evidence = make_evidence(
        found["aside_score"], found["aside_spread"], rows, similarity, errors.astype(np.float32)
    )
    calibrated = calibration.apply(evidence)
    return {
        "measured": found["aside_measured"],
        "value": calibrated.value,
        "low": calibrated.low,
        "high": calibrated.high,
        "in_domain": calibrated.in_domain,
        "expected": calibrated.expected_error,
        "similarity": evidence.similarity,
        "plain": np.full(len(evidence), conformal_quantile(errors, LEVEL)),
    }


def judged(task: Task, parts: Sequence[Arrays]) -> dict[str, float]:
    """Numbers of one task and split, each the mean over its seeds."""
    judge = _judged_classifier if task == "classification" else _judged_regression
    by_seed = [judge(part) for part in parts]
    found = {key: float(np.nanmean([one[key] for one in by_seed])) for key in by_seed[0]}
    return {"n": sum(len(part["measured"]) for part in parts), **found}


def _judged_regression(part: Arrays) -> dict[str, float]:
    measured, low, high = part["measured"], part["low"], part["high"]
    errors = np.abs(measured - part["value"])
    far = part["similarity"] <= np.quantile(part["similarity"], 0.25)
    outside = ~part["in_domain"]
    return {
        "mae": float(errors.mean()),
        "coverage": evaluate.coverage(measured, low, high),
        "plain_coverage": float(np.mean(errors <= part["plain"])),
        "width_ratio": float(np.mean(high - low) / np.mean(2 * part["plain"])),
        "coverage_of_farthest_quarter": evaluate.coverage(measured[far], low[far], high[far]),
        "coverage_outside": evaluate.coverage(measured[outside], low[outside], high[outside])
        if outside.any()
        else float("nan"),
        "error_rank_correlation": evaluate.spearman(part["expected"], errors),
        **_domain(part, errors),
    }


def _judged_classifier(part: Arrays) -> dict[str, float]:
    measured, value = part["measured"], part["value"]
    errors = (measured - value) ** 2
    return {
        "auroc": evaluate.auroc(measured, value),
        "brier": float(errors.mean()),
        "brier_of_base_rate": float(measured.mean() * (1 - measured.mean())),
        "ece": evaluate.ece(measured, value),
        "mean_width": float(np.mean(part["high"] - part["low"])),
        **_domain(part, errors),
    }


def _domain(part: Arrays, errors: Array) -> dict[str, float]:
    inside = part["in_domain"]
    some = inside.any() and not inside.all()
    ratio = float(errors[~inside].mean() / errors[inside].mean()) if some else float("nan")
    return {"outside": float(np.mean(~inside)), "error_ratio": ratio}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """A table of tasks of one kind; mean and, of the error ratio, median of each split below."""
    numbers = [key for key in rows[0] if key not in ("task", "kind", "split")]
    cells = [[row["task"], row["split"], *(row[key] for key in numbers)] for row in rows]
    for split in SPLITS:
        part = [row for row in rows if row["split"] == split]
        for name, summary in (("mean", np.nanmean), ("median", np.nanmedian)):
            if part:
                found = (float(summary([row[key] for row in part])) for key in numbers)
                cells.append([name, split, *found])
    print_table(["task", "split", *numbers], cells)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=[*DEVELOPMENT, *REGRESSION, *CLASSIFICATION])
    parser.add_argument("--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--recipe", default="quick", help="'quick', or a name of recipes.py")
    parser.add_argument("--cache", type=Path, default=Path("runs") / "uncertainty")
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in arguments.tasks:
        task: Task = "classification" if name in CLASSIFICATION else "regression"
        kind = "development" if name in DEVELOPMENT else task
        for split in arguments.splits:
            found = kept_scores(
                name, task, split, arguments.seeds, arguments.recipe, arguments.cache
            )
            numbers = judged(task, [predicted(task, one) for one in found])
            rows.append({"task": name, "kind": kind, "split": split, **numbers})
            print(name, split, {key: round(value, 3) for key, value in numbers.items()}, flush=True)
    for kind in ("development", "regression", "classification"):
        if chosen := [row for row in rows if row["kind"] == kind]:
            print(f"\n{kind}\n")
            show(chosen)
    write_results(
        __file__, {"recipe": arguments.recipe, "seeds": arguments.seeds, "rows": rows}, seed=None,
        out=arguments.out,
    )  # fmt: skip


if __name__ == "__main__":
    main()
