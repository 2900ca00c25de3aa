"""Curves and areas, against PMO's rule written out a second time."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from experiments.pmo.counting import Call, CountedOracle
from experiments.pmo.curve import area, curve_of, diversity, points, top_means, write_curve

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(=O)Nc1ccc(O)cc1"]
CUMULENE = "CC=C=C=CC"


def area_by_the_letter(scores: list[float], n_top: int, budget: int) -> float:
    """PMO's loop: sum of trapezoids at every hundredth call, the rest, then flat."""
    scores = scores[:budget]
    total, before, called = 0.0, 0.0, 0
    for calls in range(100, min(len(scores), budget), 100):
        now = float(np.mean(sorted(scores[:calls], reverse=True)[:n_top]))
        total += 100 * (now + before) / 2
        before, called = now, calls
    now = float(np.mean(sorted(scores, reverse=True)[:n_top])) if scores else 0.0
    total += (len(scores) - called) * (now + before) / 2
    total += (budget - len(scores)) * now
    return total / budget


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 520), n_top=st.sampled_from([1, 10, 100]),
    budget=st.sampled_from([100, 250, 500, 1000]), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_area_is_pmos(n: int, n_top: int, budget: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random(n)
    expected = area_by_the_letter(scores.tolist(), n_top, budget)
    assert area(scores, n_top, budget) == pytest.approx(expected, abs=1e-12)


def test_a_perfect_search_loses_half_of_the_first_hundred_calls() -> None:
    assert area(np.ones(200), 10, 1000) == pytest.approx(0.95)


def test_a_curve_has_a_point_at_every_hundredth_call_and_at_the_last() -> None:
    assert points(250) == [100, 200, 250]
    assert points(200) == [100, 200]
    assert top_means(np.arange(250.0), 10).tolist() == [94.5, 194.5, 244.5]


def test_a_curve_never_falls_and_the_best_one_is_above_the_best_hundred() -> None:
    scores = np.random.default_rng(0).random(730)
    one, hundred = top_means(scores, 1), top_means(scores, 100)
    assert (np.diff(one) >= 0).all() and (np.diff(hundred) >= 0).all()
    assert (one >= hundred).all()


def test_a_call_without_a_score_is_a_call_but_never_among_the_best() -> None:
    scores = np.where(np.arange(200) < 100, np.nan, 1.0)
    assert top_means(scores, 10).tolist() == [0.0, 1.0]
    assert area(scores, 10, 200) == pytest.approx(0.25)


def test_diversity_is_the_mean_distance_over_pairs() -> None:
    mols = [Chem.MolFromSmiles(smiles) for smiles in DRUGS]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    a, b, c = (generator.GetFingerprint(mol) for mol in mols)
    tanimoto = DataStructs.TanimotoSimilarity
    expected = 1 - (tanimoto(a, b) + tanimoto(a, c) + tanimoto(b, c)) / 3
    assert diversity(mols) == pytest.approx(expected)
    assert diversity(mols[:1] * 2) == 0.0
    assert math.isnan(diversity(mols[:1]))


def test_what_nobody_believes_counts_as_a_call_but_not_among_the_believable_best() -> None:
    calls = [Call(CUMULENE, 0.9, 0.0), *(Call(smiles, 0.5, 0.0) for smiles in DRUGS)]
    curve = curve_of(calls, budget=100)
    assert curve["n_calls"] == 4
    assert curve["top1"] == [0.9]
    assert curve["believable"]["top1"] == [0.5]
    assert curve["filtered_top10"] == 0.25
    assert curve["best"][0]["smiles"] == CUMULENE
    assert curve["best"][0]["filter"] == "cumulated double bonds"
    assert [about["filter"] for about in curve["best"][1:]] == ["", "", ""]


def test_calls_past_the_budget_count_for_nothing() -> None:
    calls = [Call(smiles, score, 1.0) for smiles, score in zip(DRUGS, (0.1, 0.2, 0.9), strict=True)]
    curve = curve_of(calls, budget=2)
    assert (curve["n_calls"], curve["top1"], curve["oracle_s"]) == (2, [0.2], 2.0)


def test_a_log_becomes_a_file_that_json_can_read_even_where_the_best_is_a_single_one(
    tmp_path: Path,
) -> None:
    log = tmp_path / "calls.csv"
    CountedOracle(lambda mol: mol.GetNumAtoms() / 100, log)(DRUGS[:1])
    path = write_curve(
        log, method="trial", task="qed", seed=3, budget=1000, wall_s=1.5, folder=tmp_path
    )
    assert path == tmp_path / "trial" / "qed_3.json"
    curve = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert curve["auc"]["top10"] == pytest.approx(0.13, abs=1e-3)
    assert curve["diversity_top100"] is None
    assert curve["wall_s"] == 1.5
