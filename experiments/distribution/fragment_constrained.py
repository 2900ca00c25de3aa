"""Completing parts of ten drugs: the fragment-constrained table of SAFE and GenMol.

    .venv/bin/python -m experiments.distribution.fragment_constrained
    .venv/bin/python -m experiments.distribution.fragment_constrained --prior PRIOR.safetensors

Prompts: MOLGEN_DATA/reference/fragment_prompts_10drugs.csv, the drugs of SAFE (Noutahi et al. 2024,
https://doi.org/10.1039/D4DD00019F) as GenMol published them. 100 molecules a prompt and seed, three
seeds; nothing is filtered and every molecule started is an attempt.

How the tasks become prompts. An attachment point of the file, `[7*]` (the number is a BRICS class
or a count), becomes `[*:1]`, `[*:2]`, …; nothing else of the text changes.
- *linker design*: two fragments of one point each, joined in one step.
- *scaffold morphing*: the same prompts, as in GenMol; drawn with other seeds.
- *motif extension*: one fragment with one point.
- *scaffold decoration*: a scaffold with two to six points; each gets one substituent.
- *superstructure*: a scaffold without points; every hydrogen may be replaced (GenMol draws up to
  three attachment points at random).

Measures of one prompt and seed, averaged over the ten drugs, then over seeds (± is the standard
deviation over seeds). *Valid*: RDKit reads the SMILES and it is one component, share of attempts.
*Unique*: distinct among the valid. *Quality*: distinct, valid, contained, QED >= 0.6 and SA <= 4,
share of all attempts. *Diversity*: mean Tanimoto distance over pairs of the distinct (ECFP4, 2,048
bits). *Contained*, which the published evaluations do not ask for, share of attempts: the prompt's
atoms are in the molecule atom for atom (experiments/generator/containment.py, which shares no code
with the generator), and every stereocentre of the prompt has kept its handedness.

One setting for all tasks, chosen on fifteen prompts cut from other drugs: the actions and atoms
that make up 80 % of the probability (`top_p`), and at most 27 heavy atoms, or three more than the
prompt needs. Quality asks for QED >= 0.6, and so for small molecules.

A prompt that the generator cannot take counts as 100 attempts without a molecule; the reason is
printed and recorded.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.QED import qed
from rdkit.Contrib.SA_Score import sascorer

from experiments.generator.containment import Core, check_the_checker, read_core
from experiments.generator.validity_and_containment import containment_fault
from experiments.recording import print_table, write_results
from molgen.errors import MolgenError
from molgen.generator.prompts import parse_prompt
from molgen.generator.sampler import Sample, SamplingOptions, sample
from molgen.generator.weights import SHIPPED_PRIOR, load_network

TASKS = {  # the table's rows: column of the file
    "linker design": "linker_design",
    "scaffold morphing": "linker_design",
    "motif extension": "motif_extension",
    "scaffold decoration": "scaffold_decoration",
    "superstructure": "superstructure_generation",
}
# GenMol V2's quality, in per cent of all attempts; the two linker tasks share one number.
PUBLISHED_QUALITY = {
    "linker design": 28.6, "scaffold morphing": 28.6, "motif extension": 49.0,
    "scaffold decoration": 39.7, "superstructure": 39.0,
}  # fmt: skip
MIN_QED, MAX_SA = 0.6, 4.0
MEASURES = ("valid", "unique", "quality", "diversity", "contained")


def read_prompts(path: Path) -> list[tuple[str, str, str]]:
    """(task, drug, prompt) of each row and task, attachment points numbered as `[*:n]`."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for task, column in TASKS.items():
        for row in rows:
            number = itertools.count(1)
            prompt = re.sub(r"\[\d*\*\]", lambda _, n=number: f"[*:{next(n)}]", row[column])
            found.append((task, row["name"], prompt))
    return found


class Judge:
    """Whether samples contain one prompt."""

    def __init__(self, prompt: str) -> None:
        self.core: Core = read_core(prompt)
        self.prompt = Chem.MolFromSmiles(prompt)
        real = [a.GetIdx() for a in self.prompt.GetAtoms() if a.GetAtomicNum()]
        self.number = {atom: i for i, atom in enumerate(real)}  # of the core, as in `Sample.kept`
        self.centres = [
            a for a in self.prompt.GetAtoms() if a.GetChiralTag() != Chem.CHI_UNSPECIFIED
        ]

    def fault(self, drawn: Sample, read: Chem.Mol | None) -> str:
        """Why a sample does not contain the prompt; '' where it does."""
        if read is None or len(Chem.GetMolFrags(read)) != 1:
            return "not one valid molecule"
        found = containment_fault(self.core, drawn)
        return found or (self._stereo_fault(drawn, read) if self.centres else "")

    def _stereo_fault(self, drawn: Sample, read: Chem.Mol) -> str:
        """Compare the handedness of each centre, neighbour by neighbour, after a SMILES round trip.

        Two equal substituents make an atom of the prompt no stereocentre any more; RDKit then
        drops its mark, and there is nothing left to compare.
        """
        place = read.GetSubstructMatch(drawn.mol, useChirality=True)
        if len(place) != read.GetNumAtoms():
            return "the SMILES is not the molecule that was drawn"
        able = {
            found.centeredOn
            for found in Chem.FindPotentialStereo(read)
            if found.type == Chem.StereoType.Atom_Tetrahedral
        }
        image = {atom: place[drawn.kept[i]] for atom, i in self.number.items()}
        for centre in self.centres:
            there = read.GetAtomWithIdx(image[centre.GetIdx()])
            if there.GetIdx() in able and there.GetChiralTag() not in _tags(centre, there, image):
                return "the prompt's stereochemistry is not kept"
        return ""


def _tags(centre: Chem.Atom, there: Chem.Atom, image: dict[int, int]) -> set[Any]:
    """The chiral tags that are the prompt's at this centre; several if two points hang on it.

    An attachment point, or a hydrogen that is there no more, may stand for any neighbour that is
    not the prompt's. A hydrogen that is not an atom counts as the last neighbour, as RDKit does.
    """
    hydrogen, open_place = -1, -2
    near = [image.get(a.GetIdx(), open_place) for a in centre.GetNeighbors()]
    now = [a.GetIdx() for a in there.GetNeighbors()]
    near += [hydrogen if len(now) < 4 else open_place] * (4 - len(near))
    now += [hydrogen] * (4 - len(now))
    new = [a for a in now if a not in near]
    tags = set()
    for order in itertools.permutations(new):
        rest = iter(order)
        filled = [next(rest) if a == open_place else a for a in near]
        places = [filled.index(a) for a in now]
        n_swaps = sum(places[i] > places[j] for i in range(4) for j in range(i + 1, 4))
        other = {
            Chem.CHI_TETRAHEDRAL_CW: Chem.CHI_TETRAHEDRAL_CCW,
            Chem.CHI_TETRAHEDRAL_CCW: Chem.CHI_TETRAHEDRAL_CW,
        }
        tag = centre.GetChiralTag()
        tags.add(other[tag] if n_swaps % 2 else tag)
    return tags


def judge(prompt: str, drawn: Sequence[Sample], n_attempts: int) -> dict[str, Any]:
    """The measures of one prompt and one seed."""
    judge_prompt = Judge(prompt)
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(s.smiles) for s in drawn]
    faults = [judge_prompt.fault(s, m) for s, m in zip(drawn, mols, strict=True)]
    valid = [m for m in mols if m is not None and len(Chem.GetMolFrags(m)) == 1]
    distinct = {Chem.MolToSmiles(m): m for m in valid}
    contained = {
        Chem.MolToSmiles(m) for m, f in zip(mols, faults, strict=True) if m is not None and not f
    }
    n_good = sum(
        text in contained and qed(mol) >= MIN_QED and sascorer.calculateScore(mol) <= MAX_SA
        for text, mol in distinct.items()
    )
    return {
        "valid": len(valid) / n_attempts,
        "unique": len(distinct) / len(valid) if valid else 0.0,
        "quality": n_good / n_attempts,
        "diversity": diversity(list(distinct.values())),
        "contained": faults.count("") / n_attempts,
        "faults": dict(Counter(f for f in faults if f)),
    }


def diversity(mols: Sequence[Chem.Mol]) -> float:
    """Mean Tanimoto distance over pairs; 0 where there is no pair."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(mol) for mol in mols]
    similarities = [
        s
        for i in range(1, len(prints))
        for s in DataStructs.BulkTanimotoSimilarity(prints[i], prints[:i])
    ]
    return 1 - float(np.mean(similarities)) if similarities else 0.0


def run(
    network: Any, prompts: Sequence[tuple[str, str, str]], *, n: int, seeds: Sequence[int],
    options: SamplingOptions,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row for each prompt and seed."""
    rows = []
    for (number, (task, drug, text)), seed in itertools.product(enumerate(prompts), seeds):
        reason, drawn = "", []
        try:
            prompt = parse_prompt(text, network.vocabulary, network.tables)
            room = max(options.max_atoms, prompt.n_atoms_needed + 3)
            roomy = dataclasses.replace(options, max_atoms=room)
            drawn = sample(network, n, seed=(seed, number), prompt=prompt, options=roomy)
        except MolgenError as error:
            reason = str(error)
        row = {"task": task, "drug": drug, "prompt": text, "seed": seed, "reason": reason}
        rows.append(row | judge(text, drawn, n))
    return rows


def summarise(rows: Sequence[dict[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """By task: mean over drugs and seeds and the standard deviation over seeds, per cent."""
    summary: dict[str, Any] = {}
    for task in TASKS:
        summary[task] = {}
        for measure in MEASURES:
            of_seeds = [
                np.mean([r[measure] for r in rows if r["task"] == task and r["seed"] == seed])
                for seed in seeds
            ]
            factor = 1 if measure == "diversity" else 100
            spread = np.std(of_seeds, ddof=1) if len(of_seeds) > 1 else 0.0
            summary[task][measure] = (factor * float(np.mean(of_seeds)), factor * float(spread))
    return summary


def show(summary: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Print the table, then what went wrong."""
    table = [
        [task, *(f"{m:.3g} ± {s:.2g}" for m, s in map(of.get, MEASURES)), PUBLISHED_QUALITY[task]]
        for task, of in summary.items()
    ]
    print_table(["task", *MEASURES, "quality, GenMol V2"], table)
    reasons = Counter((r["task"], r["drug"], r["reason"]) for r in rows if r["reason"])
    for task, drug, reason in reasons:
        print(f"NO SAMPLES {task}, {drug}: {reason}")
    for row in rows:
        for text, count in row["faults"].items():
            print(f"FAULT {row['task']}, {row['drug']}, seed {row['seed']}: {count} times {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prior", type=Path, default=SHIPPED_PRIOR)
    parser.add_argument("-n", type=int, default=100, help="samples a prompt and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--options", type=json.loads, default={"max_atoms": 27, "top_p": 0.8},
        help='fields of SamplingOptions as JSON; default {"max_atoms": 27, "top_p": 0.8}',
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()
    if "MOLGEN_DATA" not in os.environ:
        sys.exit("MOLGEN_DATA must name the data folder")
    path = Path(os.environ["MOLGEN_DATA"]) / "reference/fragment_prompts_10drugs.csv"

    check_the_checker()
    torch.set_num_threads(1)
    network = load_network(arguments.prior)
    options = SamplingOptions(**arguments.options)
    began = time.perf_counter()
    rows = run(
        network, read_prompts(path), n=arguments.n, seeds=arguments.seeds, options=options
    )  # fmt: skip
    summary = summarise(rows, arguments.seeds)
    show(summary, rows)
    results = {
        "n": arguments.n, "seeds": arguments.seeds, "options": arguments.options,
        "wall_s": time.perf_counter() - began, "summary": summary,
        "by_prompt": [{k: v for k, v in row.items() if k != "prompt"} for row in rows],
    }  # fmt: skip
    write_results(__file__, results, seed=arguments.seeds[0], out=arguments.out)


if __name__ == "__main__":
    main()
