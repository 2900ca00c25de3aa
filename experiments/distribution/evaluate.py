"""How close are samples to held-out molecules? All measures of metrics.py, with their floor.

    .venv/bin/python -m experiments.distribution.evaluate SAMPLES.smi --reference chembl
    .venv/bin/python -m experiments.distribution.evaluate SAMPLES.smi --reference zinc --only-fcd
    .venv/bin/python -m experiments.distribution.evaluate runs/a/prior.safetensors -n 10000 --name a

A `.smi` file holds one SMILES a line, invalid ones included (an empty line is an invalid one); of a
weights file n molecules are drawn by `molgen sample` first. Every line counts as an attempt:
*valid*: RDKit reads it; *unique*: distinct among the valid; *novel*: not a training molecule, among
the distinct; all without stereochemistry. The other measures are of all valid ones.

References (MOLGEN_DATA):
- `chembl`: 10,000 molecules of the `test` split of generator/chembl_union_flat.parquet, drawn with
  seed 20261124 (the same as in experiments/generator). Training rows: configs/prior_chembl.yaml.
- `chembl-valid`: as many of the `valid` split, for choices.
- `zinc`: the 24,445 `valid` rows of generator/zinc250k.parquet, stereochemistry removed, distinct.
  MoFlow, GDSS and later graph models take a random tenth of ZINC250k of about that size as their
  test set, so the size of the reference is theirs. `zinc-test`: the 5,000 `test` rows.

FCD is biased by the sizes of both sets: compare at equal numbers only. The column beside the
samples' is of as many *training molecules* (as attempts), drawn at random: what perfect learning
would reach.

The reference's and the training molecules' statistics are kept in --cache and are computed at
first use; the ring systems of all training molecules take most of it, five minutes of one core.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem

from experiments.distribution.metrics import (
    DRAWN,
    Gaussian,
    Profile,
    chemnet_gaussian,
    compare,
    flat_smiles,
    frechet_distance,
    profile,
    ring_systems,
    share_with_unseen_rings,
)
from experiments.recording import print_table, write_results

SEED = 20261124
Arrays = dict[str, np.ndarray]


# ---------------------------------------------------------------- reference sets


@dataclass(frozen=True)
class Sets:
    """Held-out molecules and the training molecules, canonical SMILES without stereochemistry."""

    name: str
    test: list[str]
    train: list[str]


def read_sets(name: str) -> Sets:
    import pandas as pd
    import yaml

    folder = os.environ.get("MOLGEN_DATA")
    if not folder:
        sys.exit("MOLGEN_DATA must name the data folder")
    if name.startswith("chembl"):
        table = pd.read_parquet(Path(folder) / "generator/chembl_union_flat.parquet")
        config = Path(__file__).parents[2] / "configs/prior_chembl.yaml"
        data = yaml.safe_load(config.read_text())["data"]
        train = table.query(data["rows"])
        train = train[train["n_heavy"] <= data["max_heavy_atoms"]]
        part = "valid" if name == "chembl-valid" else "test"
        test = list(table[table["split"] == part]["smiles"])
        chosen = np.random.default_rng(SEED).choice(len(test), 10_000, replace=False)
        return Sets(name, [test[i] for i in chosen], list(train["smiles"]))
    table = pd.read_parquet(Path(folder) / "generator/zinc250k.parquet")
    split = {"zinc": "valid", "zinc-test": "test"}[name]
    test, train = (
        list(dict.fromkeys(map(flat_smiles, table[table["split_jtvae"] == part]["smiles"])))
        for part in (split, "train")
    )
    return Sets(name, test, train)


class References:
    """Statistics of the sets, computed once and kept in a folder."""

    def __init__(self, name: str, cache: Path) -> None:
        self.name, self.cache = name, cache
        cache.mkdir(parents=True, exist_ok=True)

    @cached_property
    def sets(self) -> Sets:
        """The molecules themselves, read when first needed."""
        return read_sets(self.name)

    def test_gaussian(self) -> Gaussian:
        """ChemNet's statistics of the held-out molecules."""
        return self._gaussian("test", lambda: self.sets.test)

    def train_gaussian(self, n: int) -> Gaussian:
        """ChemNet's statistics of n training molecules."""
        return self._gaussian(f"train_{n}", lambda: self.train_sample(n))

    def test_profile(self) -> Profile:
        """Of the held-out molecules."""
        found = self._kept(
            "profile_test", lambda: _arrays(profile(self.sets.test, self.test_gaussian()))
        )
        return _profile(found)

    def train_profile(self, n: int, part: int = 0) -> Profile:
        """Of n training molecules; another part has other molecules."""
        smiles = lambda: self.train_sample(n, part)  # noqa: E731  # read only when needed
        known = None if part else self.train_gaussian(n)
        return _profile(
            self._kept(f"profile_train_{n}_{part}", lambda: _arrays(profile(smiles(), known)))
        )

    def train_rings(self) -> set[str]:
        """Ring systems of all training molecules."""

        def compute() -> Arrays:
            found: set[str] = set()
            for smiles in self.sets.train:
                found |= ring_systems(Chem.MolFromSmiles(smiles))
            return {"rings": np.array(sorted(found))}

        return set(self._kept("train_rings", compute)["rings"].tolist())

    def train_sample(self, n: int, part: int = 0) -> list[str]:
        """N training molecules drawn at random; parts do not overlap."""
        order = np.random.default_rng(SEED + 1).permutation(len(self.sets.train))
        return [self.sets.train[i] for i in order[part * n : (part + 1) * n]]

    def _gaussian(self, name: str, smiles: Callable[[], list[str]]) -> Gaussian:
        def compute() -> Arrays:
            found = chemnet_gaussian(smiles())
            return {"mean": found.mean, "covariance": found.covariance}

        found = self._kept(f"chemnet_{name}", compute)
        return Gaussian(found["mean"], found["covariance"])

    def _kept(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Arrays from the cache; the versions that they depend on are in the file's name."""
        versions = hashlib.sha256(f"{version('fcd-torch')} {version('rdkit')}".encode())
        path = self.cache / f"{self.name}_{name}_{versions.hexdigest()[:8]}.npz"
        if not path.is_file():
            temporary = path.with_name(f"{path.stem}.{os.getpid()}.npz")
            np.savez_compressed(temporary, **compute())
            temporary.replace(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(file)


def _arrays(one: Profile) -> Arrays:
    """A profile as arrays for a file without pickles."""
    out = {
        "mean": one.activations.mean, "covariance": one.activations.covariance,
        "fingerprints": one.fingerprints, "nearest": one.nearest, "distinct": one.distinct,
    }  # fmt: skip
    for name in ("fragments", "scaffolds"):
        counts = getattr(one, name)
        out[f"{name}.names"] = np.array(list(counts), dtype=np.str_)
        out[f"{name}.counts"] = np.array(list(counts.values()), dtype=np.int64)
    return out | {f"descriptors.{k}": v for k, v in one.descriptors.items()}


def _profile(arrays: Arrays) -> Profile:
    counts = {
        name: dict(
            zip(arrays[f"{name}.names"].tolist(), arrays[f"{name}.counts"].tolist(), strict=True)
        )
        for name in ("fragments", "scaffolds")
    }
    return Profile(
        activations=Gaussian(arrays["mean"], arrays["covariance"]),
        descriptors={
            k.removeprefix("descriptors."): v
            for k, v in arrays.items()
            if k.startswith("descriptors.")
        },
        **counts,
        **{name: arrays[name] for name in ("fingerprints", "nearest", "distinct")},
    )


# ---------------------------------------------------------------- evaluation


def counts(attempts: Sequence[str], train: Sequence[str]) -> dict[str, float]:
    """Validity, connectivity, uniqueness and novelty; attempts as `flat_smiles` writes them."""
    valid = [text for text in attempts if text]
    distinct = set(valid)
    return {
        "n": len(attempts),
        "valid": len(valid) / len(attempts),
        "connected": sum("." not in text for text in valid) / len(attempts),
        "unique": len(distinct) / len(valid),
        "novel": len(distinct - set(train)) / len(distinct),
    }


def evaluate(attempts: Sequence[str], references: References) -> dict[str, Any]:
    """All measures of samples and of as many training molecules; prints the FCD at once."""
    valid, n = [text for text in attempts if text], len(attempts)
    activations = print_fcd(valid, n, references)
    train = references.sets.train
    baseline, test = references.train_profile(n, part=1), references.test_profile()
    samples, floor = profile(valid, activations), references.train_profile(n)
    rings = references.train_rings()
    return {
        "reference": references.name,
        "n_reference": len(references.sets.test),
        "samples": {
            **counts(attempts, train), **compare(samples, test, baseline),
            "unseen_rings": share_with_unseen_rings(valid, rings),
        },
        "training_molecules": compare(floor, test, baseline),
        "test_molecules": {"unseen_rings": share_with_unseen_rings(references.sets.test, rings)},
        "_profiles": (samples, baseline),
    }  # fmt: skip


def print_fcd(valid: Sequence[str], n: int, references: References) -> Gaussian:
    """Print the FCD of samples and its floor; returns the samples' activations."""
    activations, test = chemnet_gaussian(valid), references.test_gaussian()
    fcd = frechet_distance(activations, test)
    floor = frechet_distance(references.train_gaussian(n), test)
    print(f"FCD {fcd:.4f} to {references.name} (of {n} training molecules {floor:.4f})")
    sys.stdout.flush()
    return activations


def show(results: dict[str, Any]) -> None:
    """Print samples and training molecules side by side."""
    samples, floor = results["samples"], results["training_molecules"]
    rows = []
    for name, value in samples.items():
        if isinstance(value, dict):
            rows += [[f"{name}: {k}", v, floor[name][k]] for k, v in value.items()]
        else:
            rows.append([name, value, floor.get(name, float("nan"))])
    print_table(["measure", "samples", "training molecules"], rows)
    unseen = results["test_molecules"]["unseen_rings"]
    print(f"Test molecules with a ring system unseen in training: {unseen:.4f}")


def draw(samples: Profile, training: Profile, title: str, path: Path) -> None:
    """Distributions of QED, SA, logP and MW of samples beside training molecules."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 5.5), layout="constrained")
    for ax, (name, label) in zip(axes.flat, DRAWN.items(), strict=True):
        values = [training.descriptors[name], samples.descriptors[name]]
        values = [v[~np.isnan(v)] for v in values]
        edges = np.linspace(*np.percentile(np.concatenate(values), [0.1, 99.9]), 50)
        ax.hist(values[0], edges, density=True, color="0.8", label="training molecules")
        ax.hist(values[1], edges, density=True, histtype="step", color="C0", lw=1.5, label=title)
        ax.set_xlabel(label)
        ax.set_yticks([])
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


# ---------------------------------------------------------------- command


def sample_weights(
    weights: Path, n: int, seed: int, max_heavy_atoms: int, top_p: float, out: Path
) -> float:
    """Draw n molecules into a file by `molgen sample`; wall seconds, start-up included."""
    molgen = Path(sys.executable).with_name("molgen")
    began = time.perf_counter()
    command = [molgen, "sample", "-n", n, "--seed", seed, "--prior", weights, "-o", out,
               "--max-heavy-atoms", max_heavy_atoms, "--top-p", top_p]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("inputs", type=Path, nargs="+", help=".smi files or weights")
    parser.add_argument(
        "--reference", choices=["chembl", "chembl-valid", "zinc", "zinc-test"], default="chembl"
    )
    parser.add_argument("--only-fcd", action="store_true", help="print the FCD and end")
    parser.add_argument("-n", type=int, default=10_000, help="lines to read, molecules to draw")
    parser.add_argument("--seed", type=int, default=SEED, help="of drawing from weights")
    parser.add_argument("--max-heavy-atoms", type=int, default=50, help="of drawing from weights")
    parser.add_argument("--top-p", type=float, default=1.0, help="of drawing from weights")
    parser.add_argument("--name", help="record the results under this name; one input only")
    parser.add_argument("--folder", type=Path, help="for samples and figures; default: the input's")
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    parser.add_argument("--cache", type=Path, default=home / "molgen/distribution")
    options = parser.parse_args()
    if options.name and len(options.inputs) > 1:
        parser.error("--name takes one input")

    torch.set_num_threads(1)
    references = References(options.reference, options.cache)
    for path in options.inputs:
        folder = options.folder or path.parent
        samples = path
        if path.suffix == ".safetensors":
            samples = folder / f"{path.stem}_{options.n}.smi"
            sample_weights(
                path, options.n, options.seed, options.max_heavy_atoms, options.top_p, samples
            )
        lines = samples.read_text().splitlines()[: options.n]
        attempts = [flat_smiles(line.split()[0] if line.split() else "") for line in lines]
        print(f"{path}: {len(attempts)} lines, {sum(map(bool, attempts))} valid")
        if options.only_fcd:
            print_fcd([text for text in attempts if text], len(attempts), references)
            continue
        results = evaluate(attempts, references)
        profiles = results.pop("_profiles")
        show(results)
        draw(*profiles, options.name or path.stem, folder / f"{samples.stem}.png")
        if options.name:
            key = f"evaluate_{options.name}".replace(".", "_")
            write_results(key, results, seed=options.seed, out=options.out or
                          Path(__file__).with_name("results.json"))  # fmt: skip


if __name__ == "__main__":
    main()
