"""Potency: the 27 MoleculeACE targets, ours beside a support vector machine on ECFP.

    .venv/bin/python -m experiments.predictors.moleculeace validate [--targets CHEMBL244_Ki …]
    .venv/bin/python -m experiments.predictors.moleculeace test
    .venv/bin/python -m experiments.predictors.moleculeace table

Official splits; RMSE of -log10(mol/L) over all test compounds and over those of activity cliffs
(van Tilborg et al. 2022, https://doi.org/10.1021/acs.jcim.2c01073). `validate` judges recipes by
five random folds of the training rows, which is how the official split was drawn (by clusters,
similar molecules on both sides); every choice was made there. Evaluations are appended to
`moleculeace.jsonl` with their commit; what stands there is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from experiments.predictors import peers
from experiments.predictors.recipes import potency_scores
from experiments.recording import print_table, stamp, write_results
from property_models import evaluate
from property_models.features import Features, featurise
from property_models.molecules import standardise_all

Array = NDArray[np.float64]
HERE = Path(__file__).parent
LOG = HERE / "moleculeace.jsonl"
N_FOLDS = 5


def read_target(name: str) -> tuple[Features, Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Features, -log10(mol/L), whether a test row, whether on a cliff.

    Thirteen peptides above the size that predictors take are read as they are written.
    """
    import pandas as pd

    frame = pd.read_parquet(_file(), filters=[("dataset", "==", name)])
    smiles = list(frame["smiles"])
    molecules = standardise_all(smiles)
    features = featurise(
        [m.mol or Chem.MolFromSmiles(s) for m, s in zip(molecules, smiles, strict=True)]
    )
    return (
        features, frame["pactivity"].to_numpy(np.float64),
        (frame["split"] == "test").to_numpy(bool), frame["cliff_mol"].to_numpy(bool),
    )  # fmt: skip


def _file() -> Path:
    return Path(os.environ["MOLGEN_DATA"]) / "efficacy/moleculeace_27targets.parquet"


def targets() -> list[str]:
    """Names of the targets in the file."""
    import pandas as pd

    return sorted(pd.read_parquet(_file(), columns=["dataset"])["dataset"].unique())


def scores(
    method: str, features: Features, y: Array, train: NDArray[np.int64], test: NDArray[np.int64],
    seed: int,
) -> Array:  # fmt: skip
    """Fit on some rows, predict others."""
    if method == "svm_ecfp":
        bits = np.unpackbits(features.packed_bits.view(np.uint8), axis=1)
        return peers.svm_scores(bits[train], y[train], bits[test])
    return potency_scores(
        features.take(train), y[train], features.take(test), seed=seed, recipe=method
    )


def evaluate_target(mode: str, name: str, method: str, seed: int) -> dict[str, float]:
    """RMSE of all and of cliff compounds, on the test rows or out of fold."""
    features, y, is_test, cliff = read_target(name)
    train, found = np.flatnonzero(~is_test), np.full(len(y), np.nan)
    if mode == "test":
        asked = np.flatnonzero(is_test)
        found[asked] = scores(method, features, y, train, asked, seed)
    else:
        asked = train
        fold = np.random.default_rng([seed, 3]).permutation(len(train)) % N_FOLDS
        for k in range(N_FOLDS):
            found[train[fold == k]] = scores(
                method, features, y, train[fold != k], train[fold == k], seed
            )
    on_cliff = asked[cliff[asked]]
    return {
        "rmse": evaluate.rmse(y[asked], found[asked]),
        "rmse_cliff": evaluate.rmse(y[on_cliff], found[on_cliff]), "n": float(len(asked)),
    }  # fmt: skip


def run(mode: str, names: list[str], methods: list[str], seed: int) -> None:
    """Evaluate what is not in the log yet and append it."""
    lines = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    done = {(e["mode"], e["target"], e["method"], e["seed"]) for e in lines}
    for name in names:
        for method in methods:
            if (mode, name, method, seed) in done:
                continue
            clock = time.process_time()
            found = evaluate_target(mode, name, method, seed)
            about = stamp(seed=seed)
            entry = {
                "mode": mode, "target": name, "method": method, "seed": seed, **found,
                "cpu_s": time.process_time() - clock, "date": about["date"],
                "commit": about["commit"],
            }  # fmt: skip
            with LOG.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(f"{mode} {name} {method}: {found['rmse']:.3f} {found['rmse_cliff']:.3f} "
                  f"({entry['cpu_s']:.0f} s)", flush=True)  # fmt: skip


def table(mode: str, methods: list[str]) -> dict[str, object]:
    """Mean RMSE over the targets that all methods have, and wins."""
    lines = [json.loads(line) for line in LOG.read_text().splitlines()]
    of = {(e["target"], e["method"]): e for e in lines if e["mode"] == mode}
    names = sorted({t for t, _ in of if all((t, m) in of for m in methods)})
    rows = [[n, *(of[n, m][k] for m in methods for k in ("rmse", "rmse_cliff"))] for n in names]
    means = ["mean", *np.mean([r[1:] for r in rows], axis=0).tolist()]
    header = ["target", *(f"{m} {k}" for m in methods for k in ("rmse", "cliff"))]
    print_table(header, [*rows, means])
    return {"n_targets": len(names), "mean": dict(zip(header[1:], means[1:], strict=True)),
            "rows": rows}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mode", choices=["validate", "test", "table"])
    parser.add_argument("--targets", nargs="+")
    parser.add_argument("--methods", nargs="+", default=["svm_ecfp", "potency"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--of", choices=["validate", "test"], default="test", help="for `table`")
    options = parser.parse_args()
    if options.mode == "table":
        found = table(options.of, options.methods)
        write_results(f"moleculeace_{options.of}", found, seed=options.seed,
                      out=HERE / "results.json")  # fmt: skip
        return
    if "MOLGEN_DATA" not in os.environ:
        sys.exit("MOLGEN_DATA must name the data folder")
    run(options.mode, options.targets or targets(), options.methods, options.seed)


if __name__ == "__main__":
    main()
