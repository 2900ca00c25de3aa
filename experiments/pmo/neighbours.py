"""Does the surrogate find the best of a molecule's neighbours?

    .venv/bin/python -m experiments.pmo.neighbours LOG --task perindopril_mpo

After the first 100, 300, 700, 1,500 calls of a log it is fitted as in a campaign (on at most 1,500
of them), with and without the kernel of shared counts, and ranks 400 edits of the 40 best molecules
of the time. Printed: rank correlation with the oracle, and the mean score of the ten that it puts
first, of the ten best there are, and of all. The oracle's answers are for this comparison alone:
only on tasks on which settings may be chosen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rdkit import Chem
from scipy.stats import spearmanr

from experiments.pmo.counting import Call, read_log
from experiments.pmo.tasks import oracle_of
from experiments.recording import print_table
from molgen.objectives.descriptors import sa_score
from molgen.search.edits import mutate
from molgen.search.plausible import implausible
from molgen.search.surrogate import Surrogate, describe
from property_models.kernel import KernelRecipe, fit_tanimoto_kernel

TUNED_ON = ("perindopril_mpo", "zaleplon_mpo")
AFTER = (100, 300, 700, 1500)
N_PARENTS, N_CHILDREN, MAX_COMPOUNDS, MAX_SA, MAX_ATOMS = 40, 400, 1500, 4.5, 40
TANIMOTO = KernelRecipe(("ecfp", "fcfp", "atom_pairs"))
WITH_SHARED = KernelRecipe(("ecfp_shared", *TANIMOTO.fingerprints))


def children(parents: list[str], known: set[str], rng: np.random.Generator) -> list[str]:
    """Distinct edits of the parents that a campaign would propose, sorted."""
    found: set[str] = set()
    while len(found) < N_CHILDREN:
        child = mutate(Chem.MolFromSmiles(parents[rng.integers(len(parents))]), rng)
        if child is None or child.GetNumAtoms() > MAX_ATOMS or implausible(child):
            continue
        smiles = Chem.MolToSmiles(child)
        if smiles not in known and sa_score(child) <= MAX_SA:
            found.add(smiles)
    return sorted(found)


def compare(calls: list[Call], task: str, seed: int) -> list[list[str]]:
    """A row for each number of calls and kernel."""
    oracle, rng = oracle_of(task), np.random.default_rng(seed)
    rows = []
    for n in AFTER:
        smiles = [call.smiles for call in calls[:n]]
        scores = np.nan_to_num([call.score for call in calls[:n]])
        surrogate = Surrogate(seed, MAX_COMPOUNDS)
        surrogate.add(describe(smiles), list(scores))
        known, learnt = describe(smiles), surrogate.training_rows(n)
        best = np.argsort(-scores)[:N_PARENTS]
        proposed = children([smiles[i] for i in best], set(smiles), rng)
        true = np.array([oracle(Chem.MolFromSmiles(s)) for s in proposed])
        described = describe(proposed)
        for name, recipe in (("Tanimoto", TANIMOTO), ("and shared counts", WITH_SHARED)):
            model = fit_tanimoto_kernel(known.take(learnt), scores[learnt], recipe=recipe)
            said = model.predict(described)
            first = true[np.argsort(-said)[:10]].mean()
            found = [spearmanr(said, true)[0], first, np.sort(true)[-10:].mean(), true.mean()]
            rows.append([str(n), name, *(f"{x:.3f}" for x in found)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--task", choices=TUNED_ON, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    header = ["calls", "kernels", "Spearman", "its first ten", "best ten", "all"]
    print_table(header, compare(read_log(arguments.log), arguments.task, arguments.seed))


if __name__ == "__main__":
    main()
