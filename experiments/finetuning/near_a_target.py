"""Does fine-tuning on 500 molecules of a target bring samples into its neighbourhood of scaffolds?

    MOLGEN_DATA=… .venv/bin/python -m experiments.finetuning.near_a_target --work FOLDER

Protocol, fixed before anything was measured:

- Target: coagulation factor Xa (CHEMBL244, Ki; MoleculeACE, https://doi.org/10.1021/acs.jcim.2c01073),
  molecules of pKi >= 7 with at most 50 heavy atoms. A fifth of their Murcko scaffolds
  (https://doi.org/10.1021/jm9602928), drawn at random, is held out with all its molecules; 500 of
  the rest are drawn to train on.
- A molecule is in the neighbourhood where the ECFP4 Tanimoto similarity
  (https://doi.org/10.1021/ci100050t, 2,048 bits) of its scaffold to that of a training molecule
  is at least 0.6, or where their generic scaffolds (all atoms carbon, all bonds single) are equal.
  Both parts are also given alone: a generic scaffold of one ring is shared by very many molecules.
- The same number of samples, 2,000 by default, from the prior and from the fine-tuned network:
  share in the neighbourhood and its ratio with a 95 % bootstrap interval; share near a held-out
  scaffold by the same rule; unique; novel (not among the 500); also not among the held-out ones.
- The time is that of `molgen pretrain configs/finetune.yaml`, start-up and validation included.

The prior has been trained on ChEMBL, so it may have seen these molecules among 800,000 others.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold

from experiments.recording import ROOT, print_table, with_interval, write_results

N_TRAINING = 500
SIMILAR = 0.6
_ECFP4 = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


class Neighbourhood:
    """Scaffolds near those of some molecules."""

    def __init__(self, scaffolds: set[str]) -> None:
        mols = [Chem.MolFromSmiles(s) for s in sorted(scaffolds) if s]
        self.generic = {generic(m) for m in mols}
        self.prints = [_ECFP4.GetFingerprint(m) for m in mols]

    def holds(self, scaffold: str) -> tuple[bool, bool]:
        """Whether a scaffold is similar to one of them, and whether its generic form is equal."""
        if not scaffold:
            return False, False
        mol = Chem.MolFromSmiles(scaffold)
        found = DataStructs.BulkTanimotoSimilarity(_ECFP4.GetFingerprint(mol), self.prints)
        return max(found) >= SIMILAR, generic(mol) in self.generic


def scaffold_of(smiles: str) -> str:
    """Murcko scaffold without stereo; empty where there is no ring."""
    return str(MurckoScaffold.MurckoScaffoldSmiles(smiles, includeChirality=False))


def generic(mol: Chem.Mol) -> str:
    """The scaffold's graph: all atoms carbon, all bonds single."""
    return str(Chem.MolToSmiles(MurckoScaffold.MakeScaffoldGeneric(mol)))


def target_molecules(seed: int) -> tuple[list[str], list[str]]:
    """Training molecules, and those of held-out scaffolds; flat canonical SMILES."""
    table = pd.read_parquet(
        Path(os.environ["MOLGEN_DATA"]) / "efficacy" / "moleculeace_27targets.parquet"
    )
    table = table[(table.dataset == "CHEMBL244_Ki") & (table.pactivity >= 7)]
    mols = [Chem.MolFromSmiles(s) for s in table.smiles]
    flat = {Chem.MolToSmiles(m, isomericSmiles=False) for m in mols if m.GetNumAtoms() <= 50}
    scaffold = {s: scaffold_of(s) for s in sorted(flat)}
    rng = np.random.default_rng(seed)
    scaffolds = rng.permutation(sorted(set(scaffold.values())))
    held_out = set(scaffolds[: len(scaffolds) // 5])
    rest = [s for s in scaffold if scaffold[s] not in held_out]
    training = [rest[i] for i in rng.choice(len(rest), N_TRAINING, replace=False)]
    return training, [s for s in scaffold if scaffold[s] in held_out]


def molgen(*arguments: object) -> None:
    """Run the command line of this checkout."""
    command = [sys.executable, "-m", "molgen.cli", *map(str, arguments)]
    print("$", shlex.join(["molgen", *command[3:]]), flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def measures(
    samples: list[str], near: Neighbourhood, near_held_out: Neighbourhood, training: set[str],
    held_out: set[str],
) -> dict[str, np.ndarray]:  # fmt: skip
    """For each sample whether it counts; their means are the shares."""
    scaffolds = [scaffold_of(s) for s in samples]
    inside = np.array([near.holds(s) for s in scaffolds])
    outside = np.array([near_held_out.holds(s) for s in scaffolds])
    return {
        "in the neighbourhood": inside.any(1),
        "similar scaffold": inside[:, 0],
        "same generic scaffold": inside[:, 1],
        "near a held-out scaffold": outside.any(1),
        "similar to a held-out scaffold": outside[:, 0],
        "unique": ~pd.Series(samples).duplicated().to_numpy(),
        "novel": np.array([s not in training for s in samples]),
        "not among the held-out molecules": np.array([s not in held_out for s in samples]),
    }


def ratio_interval(
    after: np.ndarray, before: np.ndarray, rng: np.random.Generator
) -> tuple[float, tuple[float, float]]:
    """Ratio of two shares with a 95 % bootstrap interval."""
    draws = []
    for _ in range(2000):
        b = rng.choice(before, len(before)).mean()
        draws.append(rng.choice(after, len(after)).mean() / b if b else np.inf)
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    return float(after.mean() / max(before.mean(), 1e-12)), (float(low), float(high))


def main() -> None:
    """Run the protocol."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="a folder for the training")
    parser.add_argument("-n", type=int, default=2000, help="samples of each network")
    parser.add_argument("--prior", type=Path, help="weights to begin with; default: the shipped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of the config")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    training, held_out = target_molecules(options.seed)
    structures = options.work.resolve() / "training.smi"
    structures.write_text("\n".join(training) + "\n")
    run, prior = options.work.resolve() / "run", options.prior and options.prior.resolve()
    start = [f"start_from={prior}"] if prior else []
    began = time.monotonic()
    molgen("pretrain", "configs/finetune.yaml", f"data.file={structures}",
           f"seed={options.seed}", *start, *options.overrides, "--out", run)  # fmt: skip
    seconds = time.monotonic() - began
    near = Neighbourhood({scaffold_of(s) for s in training})
    near_held_out = Neighbourhood({scaffold_of(s) for s in held_out})
    found = {}
    for name, weights in (("prior", prior), ("fine-tuned", run / "prior.safetensors")):
        file = options.work.resolve() / f"{name}.smi"
        molgen("sample", "-n", options.n, "--seed", options.seed, "-o", file,
               *(["--prior", weights] if weights else []))  # fmt: skip
        found[name] = measures(
            file.read_text().split(), near, near_held_out, set(training), set(held_out)
        )
    rng = np.random.default_rng(options.seed)
    rows, results = [], {}
    for name, before in found["prior"].items():
        after = found["fine-tuned"][name]
        ratio, interval = ratio_interval(after, before, rng)
        results[name] = {"prior": before.mean(), "fine_tuned": after.mean(), "ratio": ratio,
                         "ratio_95": interval}  # fmt: skip
        rows.append([name, float(before.mean()), float(after.mean()),
                     with_interval(ratio, interval)])  # fmt: skip
    print_table(["share of samples", "prior", "fine-tuned", "ratio (95 %)"], rows)
    print(f"fine-tuning took {seconds:.0f} s")
    write_results(
        __file__,
        {"target": "CHEMBL244 (factor Xa)", "n_training": len(training),
         "n_held_out": len(held_out), "n_samples": options.n, "seconds": seconds,
         "overrides": options.overrides, "shares": results},
        seed=options.seed, out=options.out,
    )  # fmt: skip


if __name__ == "__main__":
    with rdBase.BlockLogs():
        main()
