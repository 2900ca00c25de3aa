"""The three CYP inhibitors of the TDC ADMET group, learnt together with their sister assays.

    .venv/bin/python -m experiments.predictors.cyp_multitask validate --seeds 0
    .venv/bin/python -m experiments.predictors.cyp_multitask test --seeds 1
    .venv/bin/python -m experiments.predictors.cyp_multitask table

CYP2C9, 2D6, 3A4, 1A2 and 2C19 were screened on nearly the same compounds. One message-passing
network learns all five: of the three tasks the official training rows, of the other two (which
have no split in the group) all rows. Its probability of a task is averaged on the logit scale with
the single-task recipe's.

- `joint`: a test compound of a task stays among the training rows of its sisters where it is one.
  This is how the published multi-task numbers come about, and how one would fill gaps of a table.
- `profile`: as `joint`, and what was measured of the compound in the sister assays is an input: a
  second model sees out-of-fold probabilities of all five tasks and the sisters' labels. It fills
  gaps of a table; of a compound that was never measured it knows no more than the others.
- `strict`: a compound that is held out of any task is learnt from none. This is what a new compound
  can expect.

`validate` holds out the first of five scaffold folds of each task's training rows, as
`tdc_admet validate` does on large tasks. Evaluations are appended to `evaluations.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from experiments.predictors.recipes import mean_scores
from experiments.predictors.tdc_admet import LOG, Task, read_task, scores
from experiments.recording import print_table, stamp
from property_models import evaluate, network
from property_models.ensemble import derived_seed, fit_members
from property_models.features import Features, featurise
from property_models.molecules import inchikey_block, standardise_all
from property_models.network import MessagePassing, NetworkRecipe
from property_models.trees import TreesRecipe

TASKS = ("cyp2c9_veith", "cyp2d6_veith", "cyp3a4_veith")
WITHOUT_SPLIT = ("cyp1a2_veith", "cyp2c19_veith")
METHODS = ("joint", "strict", "profile")
N_FOLDS = 5
Mask = NDArray[np.bool_]


def held_out_rows(task: Task, mode: str) -> tuple[Mask, Mask]:
    """Rows to learn from and rows to predict."""
    if mode == "test":
        return ~task.is_test, task.is_test
    folds = task.scaffold_folds
    return folds > 0, folds == 0


def read_without_split(name: str) -> Task:
    """A task all of whose rows may be learnt from."""
    path = Path(os.environ["MOLGEN_DATA"]) / "property/tdc_extra.parquet"
    frame = pd.read_parquet(path, filters=[("task", "==", name)])
    y = frame["y"].to_numpy(np.float64)
    return Task(name, list(frame["smiles"]), y, np.zeros(len(y), bool))


class Compounds:
    """Every compound of the five assays once, with its values; NaN where not to be learnt."""

    def __init__(self, tasks: list[Task], train: list[Mask]) -> None:
        self.row_of: dict[str, int] = {}
        texts: list[str] = []
        cells: list[tuple[int, int, float]] = []
        for column, (task, learnt) in enumerate(zip(tasks, train, strict=True)):
            molecules = standardise_all(task.smiles)
            for molecule, value, used in zip(molecules, task.y, learnt, strict=True):
                if molecule.mol is None:
                    continue
                if molecule.smiles not in self.row_of:
                    self.row_of[molecule.smiles] = len(texts)
                    texts.append(molecule.smiles)
                if used:
                    cells.append((self.row_of[molecule.smiles], column, value))
        self.values = np.full((len(texts), len(tasks)), np.nan)
        for row, column, value in cells:
            self.values[row, column] = value
        mols = [m.mol for m in standardise_all(texts) if m.mol is not None]
        self.features: Features = featurise(mols, texts)
        self.keys = np.array([inchikey_block(mol) for mol in mols])

    def rows(self, task: Task, used: Mask) -> NDArray[np.int64]:
        """Which compound each used row of a task is, -1 where it cannot be read."""
        texts = [s for s, u in zip(task.smiles, used, strict=True) if u]
        return np.array([self.row_of.get(m.smiles, -1) for m in standardise_all(texts)])

    def without(self, keys: set[str]) -> NDArray[np.float64]:
        """The values, none of these compounds' among them."""
        values = self.values.copy()
        values[np.isin(self.keys, list(keys))] = np.nan
        return values


def joint_probabilities(
    features: Features, values: NDArray[np.float64], asked: NDArray[np.int64], *,
    recipe: NetworkRecipe, seed: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Probabilities of all tasks, float64, (n asked, T), mean over the networks."""
    rows = np.flatnonzero(np.isfinite(values).any(axis=1))
    n_tasks = values.shape[1]
    inputs = network._inputs(features.take(rows), recipe)
    targets = network._Targets(
        torch.tensor(values[rows], dtype=torch.float32), torch.ones(n_tasks, dtype=torch.bool),
        torch.ones(n_tasks), (n_tasks,),
    )  # fmt: skip
    asked_inputs = network._inputs(features.take(asked), recipe)
    votes = []
    for k in range(recipe.n_members):
        torch.manual_seed(1000 * seed + k)
        module = MessagePassing(recipe, (n_tasks,))
        module.descriptor_mean, module.descriptor_scale = network._scaling(inputs.descriptors)
        network._train(module, inputs, targets, recipe, None)
        module.eval()
        with torch.no_grad():
            parts = [
                torch.sigmoid(module(*asked_inputs.batch(part, torch.float32)))
                for part in np.array_split(np.arange(len(asked)), max(1, len(asked) // 256))
            ]
        votes.append(torch.cat(parts).double().numpy())
    return np.mean(votes, axis=0)


def out_of_fold_logits(compounds: Compounds, seed: int) -> NDArray[np.float64]:
    """What trees say of every compound and task, fitted without it, float64, (n, T)."""
    values, features = compounds.values, compounds.features
    recipe = TreesRecipe(n_trees=300)
    own = np.full(values.shape, np.nan)
    fold = np.random.default_rng(seed).integers(0, N_FOLDS, len(values))
    for k in range(N_FOLDS):
        asked = np.flatnonzero(fold == k)
        for task in range(values.shape[1]):
            train = np.flatnonzero((fold != k) & np.isfinite(values[:, task]))
            fitted = fit_members(
                [recipe], features.take(train), values[train, task], task="classification",
                seed=derived_seed(seed, "profile", task, k),
            )[0]  # fmt: skip
            p = fitted.score(features.take(asked))[0].clip(1e-4, 1 - 1e-4)
            own[asked, task] = np.log(p / (1 - p))
    return own


def profile_probabilities(
    compounds: Compounds, own: NDArray[np.float64], column: int, held: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Probabilities of one task for the held-out compounds, float64, (n held,)."""
    values = compounds.values
    sisters = [t for t in range(values.shape[1]) if t != column]
    table = np.concatenate([own, values[:, sisters]], axis=1)
    train = np.flatnonzero(np.isfinite(values[:, column]))
    found = np.zeros(len(held))
    for k in range(3):
        second = lightgbm.LGBMClassifier(
            n_estimators=150, learning_rate=0.04, num_leaves=7, min_child_samples=30,
            subsample=0.8, subsample_freq=1, colsample_bytree=0.7, random_state=1000 * seed + k,
            n_jobs=1, verbose=-1, deterministic=True, force_row_wise=True,
        )  # fmt: skip
        second.fit(table[train], values[train, column])
        found += second.predict_proba(table[held])[:, 1] / 3
    return found


def run(mode: str, seed: int, methods: list[str], n_members: int, n_epochs: int) -> None:
    """Evaluate and log."""
    torch.set_num_threads(1)
    tasks = [read_task(name) for name in TASKS] + [read_without_split(n) for n in WITHOUT_SPLIT]
    splits = [held_out_rows(task, mode) for task in tasks[:3]]
    train = [split[0] for split in splits] + [np.ones(len(t.y), bool) for t in tasks[3:]]
    compounds = Compounds(tasks, train)
    held_keys = {
        str(compounds.keys[row])
        for task, (_, held) in zip(tasks, splits, strict=False)
        for row in compounds.rows(task, held)
        if row >= 0
    }
    single = [
        scores(task, "admet", *split, seed) for task, split in zip(tasks, splits, strict=False)
    ]
    recipe = NetworkRecipe(n_members=n_members, n_epochs=n_epochs, dropout=0.2, weight_decay=0.01)
    everyone = np.arange(len(compounds.keys))
    for method in methods:
        clock = time.process_time()
        found = np.full(compounds.values.shape, np.nan)
        if method == "profile":
            own = out_of_fold_logits(compounds, seed)
            for column, (task, (_, held)) in enumerate(zip(tasks, splits, strict=False)):
                rows = np.array([r for r in compounds.rows(task, held) if r >= 0])
                found[rows, column] = profile_probabilities(compounds, own, column, rows, seed)
        else:
            values = compounds.values if method == "joint" else compounds.without(held_keys)
            found = joint_probabilities(
                compounds.features, values, everyone, recipe=recipe, seed=seed
            )
        cpu_s = time.process_time() - clock
        for column, (task, (learnt, held)) in enumerate(zip(tasks, splits, strict=False)):
            rows = compounds.rows(task, held)
            alone = np.where(rows >= 0, found[rows, column], task.y[learnt].mean())
            both = mean_scores([single[column], alone], task.kind)
            for name, p in ((f"{method}_alone", alone), (f"{method}+admet", both)):
                value = evaluate.metrics(task.kind, task.y[held], p)[task.metric]
                log(mode, task, f"cyp_{name}", seed, value, int(held.sum()), cpu_s)


def log(mode: str, task: Task, method: str, seed: int, value: float, n: int, cpu_s: float) -> None:
    """Append an evaluation."""
    about = stamp(seed=seed)
    entry = {
        "mode": mode, "task": task.name, "method": method, "seed": seed, "metric": task.metric,
        "value": value, "n": n, "cpu_s": cpu_s, "date": about["date"], "commit": about["commit"],
    }  # fmt: skip
    with LOG.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    print(f"{mode} {task.name} {method} {seed}: {value:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mode", choices=["validate", "test", "table"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    if options.mode == "table":
        lines = [json.loads(line) for line in LOG.read_text().splitlines()]
        found: dict[tuple[str, str, str], list[float]] = {}
        for e in lines:
            if e["task"] in TASKS and (e["method"].startswith("cyp_") or e["method"] == "admet"):
                found.setdefault((e["mode"], e["task"], e["method"]), []).append(e["value"])
        rows = [[*key, float(np.mean(v)), len(v)] for key, v in sorted(found.items())]
        print_table(["mode", "task", "method", "mean", "seeds"], rows)
        return
    if "MOLGEN_DATA" not in os.environ:
        sys.exit("MOLGEN_DATA must name the data folder")
    for seed in options.seeds:
        run(options.mode, seed, options.methods, options.members, options.epochs)


if __name__ == "__main__":
    main()
