"""Check metrics.py: known verdicts, and a second way to compute what has one.

    .venv/bin/python -m experiments.distribution.check_metrics

With MOLGEN_DATA, 400 test and 400 training molecules are compared; without it, 24 drugs. Where the
packages `guacamol`, `moses` (molsets) and `fcd` can be imported, their functions are the second way
too. Ends with an AssertionError where something disagrees.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fcd_torch.utils import calculate_frechet_distance
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from experiments.distribution import metrics
from experiments.distribution.evaluate import counts, read_sets

DRUGS = """
CC(=O)Oc1ccccc1C(=O)O CC(C)Cc1ccc(C(C)C(=O)O)cc1 CC(=O)Nc1ccc(O)cc1
CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21 CCN(CC)CC(=O)Nc1c(C)cccc1C CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1
Cn1c(=O)c2c(ncn2C)n(C)c1=O CN1CCC23c4c5ccc(O)c4OC2C(O)C=CC3C1C5
COc1ccc2nccc(C(O)C3CC4CCN3CC4C=C)c2c1 CC(C)NCC(O)COc1cccc2ccccc12 CN(C)CCCN1c2ccccc2CCc2ccccc21
NC(=O)N1c2ccccc2C=Cc2ccccc21 Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1
CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O
CCCc1nn(C)c2c1nc[nH]c2=O CN(C)C(=N)NC(=N)N
Nc1nc(N)c2nc(CN(C)c3ccc(C(=O)NC(CCC(=O)O)C(=O)O)cc3)cnc2n1
CCOC(=O)C1=C(COCCN)NC(C)=C(C(=O)OC)C1c1ccccc1Cl COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1OCCCN1CCOCC1
Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1 CC(C)(C)NCC(O)c1ccc(O)c(CO)c1
Clc1ccc(C(c2ccccc2)N2CCNCC2)cc1 O=C1NC(=O)C(c2ccccc2)(c2ccccc2)N1
""".split()


def molecules() -> tuple[list[str], list[str]]:
    """Two sets, the first with a duplicate."""
    if "MOLGEN_DATA" in os.environ:
        sets = read_sets("chembl")
        return [*sets.test[:400], sets.test[0]], sets.train[:400]
    flat = [metrics.flat_smiles(text) for text in DRUGS]
    return [*flat[:14], flat[0]], flat[10:]


def check_molecules() -> None:
    flat = metrics.flat_smiles
    assert flat("C[C@H](N)C(=O)O") == flat("C[C@@H](N)C(=O)O") == "CC(N)C(=O)O"
    assert flat("F/C=C/F") == flat("F/C=C\\F") == "FC=CF"
    assert flat("C1CC") == flat("") == flat("c1cccc1") == ""
    rings = {
        "Cc1ccccc1": {"c1ccccc1"},
        "c1ccc(-c2ccncc2)cc1": {"c1ccccc1", "c1ccncc1"},
        "C1CCC2(CC1)CC2": {"C1CCC2(CC1)CC2"},  # spiro: one system
        "O=C1CCN(C)CC1": {"O=C1CCNCC1"},  # doubly bonded atoms belong to it, others do not
        "CCCC": set(),
    }
    for smiles, expected in rings.items():
        found = {flat(text) for text in metrics.ring_systems(Chem.MolFromSmiles(smiles))}
        assert found == expected, (smiles, found)
    same = ("c1cc[nH]c1", "Cn1cccc1", "Cc1cccn1C")
    assert len({frozenset(metrics.ring_systems(Chem.MolFromSmiles(s))) for s in same}) == 1
    assert metrics.ring_systems(Chem.MolFromSmiles("C[n+]1ccccc1")) != {"c1ccncc1"}
    assert metrics.scaffold(Chem.MolFromSmiles("CCc1ccccc1")) == ""  # one ring
    assert metrics.scaffold(Chem.MolFromSmiles("CC1CC1c1ccccc1")) == "c1ccc(C2CC2)cc1"
    found = counts(["CCO", "CCO", "", "CCN", "CC.O"], ["CCN"])
    assert found == {"n": 5, "valid": 0.8, "connected": 0.6, "unique": 0.75, "novel": 2 / 3}


def check_measures(first: Sequence[str], second: Sequence[str]) -> None:
    one, two = metrics.profile(first), metrics.profile(second)
    gaussians = one.activations, two.activations
    theirs = calculate_frechet_distance(
        *(x for g in gaussians for x in (g.mean, g.covariance + 1e-6 * np.eye(len(g.mean))))
    )
    agree("Fréchet distance", metrics.frechet_distance(*gaussians), float(theirs.real), 2e-2)
    assert abs(metrics.frechet_distance(gaussians[0], gaussians[0])) < 1e-6

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = [[generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in x] for x in (first, second)]
    rows = [DataStructs.BulkTanimotoSimilarity(a, bits[0]) for a in bits[0]]
    agree("internal diversity", metrics.internal_diversity(one), 1 - float(np.mean(rows)), 1e-6)
    nearest = [max(DataStructs.BulkTanimotoSimilarity(a, bits[1])) for a in bits[0]]
    agree("SNN", metrics.nearest_similarity(one, two), float(np.mean(nearest)), 1e-6)

    assert math.isclose(metrics.cosine_similarity({"a": 3, "b": 4}, {"a": 4, "c": 3}), 12 / 25)
    assert math.isnan(metrics.cosine_similarity({}, {"a": 1}))
    same = metrics.kl_divergences(one, one)
    assert max(map(abs, same.values())) < 1e-9
    check_guacamol(first, second, metrics.kl_divergences(one, two))
    check_moses(first, second, one, two)


def check_guacamol(first: Sequence[str], second: Sequence[str], ours: dict[str, float]) -> None:
    chemistry = _import("guacamol.utils.chemistry")
    if chemistry is None:
        return
    sets = [list(dict.fromkeys(s)) for s in (second, first)]  # baseline, samples
    for name in (*metrics.CONTINUOUS, *metrics.COUNTS):
        p, q = (chemistry.calculate_pc_descriptors(s, [name])[:, 0] for s in sets)
        continuous = name in metrics.CONTINUOUS
        theirs = (chemistry.continuous_kldiv if continuous else chemistry.discrete_kldiv)(p, q)
        agree(f"KL of {name}, guacamol", ours[name], float(theirs), 1e-9)
    p, q = (chemistry.calculate_internal_pairwise_similarities(s).max(axis=1) for s in sets)
    theirs = chemistry.continuous_kldiv(p, q)
    agree("KL of similarity, guacamol", ours["internal_similarity"], float(theirs), 1e-5)


def check_moses(
    first: Sequence[str], second: Sequence[str], one: metrics.Profile, two: metrics.Profile
) -> None:
    moses = _import("moses.metrics.metrics")
    if moses is None:
        return
    fragment, scaffold = moses.FragMetric(), moses.ScafMetric()
    sets = {"ref": list(second), "gen": list(first)}
    ours = metrics.cosine_similarity
    agree("Frag, moses", ours(one.fragments, two.fragments), float(fragment(**sets)), 1e-9)
    agree("Scaf, moses", ours(one.scaffolds, two.scaffolds), float(scaffold(**sets)), 1e-9)
    agree(
        "SNN, moses", metrics.nearest_similarity(one, two), float(moses.SNNMetric()(**sets)), 1e-5
    )
    theirs = float(moses.internal_diversity(list(first)))
    agree("IntDiv, moses", metrics.internal_diversity(one), theirs, 1e-5)
    for name, function in (("QED", moses.QED), ("SA", moses.SA), ("MolLogP", moses.logP)):
        mols = {key: [Chem.MolFromSmiles(s) for s in smiles] for key, smiles in sets.items()}
        theirs = float(moses.WassersteinMetric(function)(**mols))
        agree(f"W1 of {name}, moses", metrics.wasserstein_distances(one, two)[name], theirs, 1e-6)


def agree(name: str, ours: float, theirs: float, tolerance: float) -> None:
    """Print both; they must agree within the tolerance."""
    print(f"{name}: {ours:.6g}, second way {theirs:.6g}")
    assert abs(ours - theirs) <= tolerance, name


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # old packages fail in many ways on import
        print(f"{name}: not compared ({type(error).__name__})")
        return None


def main() -> None:
    torch.set_num_threads(1)
    check_molecules()
    check_measures(*molecules())
    print("all agree")


if __name__ == "__main__":
    main()
