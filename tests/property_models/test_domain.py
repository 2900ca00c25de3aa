"""Nearest neighbours against RDKit."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator

from property_models.domain import Domain, fit_domain, nearest, nearest_k
from property_models.features import Features


def test_nearest_neighbours_are_rdkits(drug_features: Features) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = [generator.GetFingerprint(mol) for mol in drug_features.mols]
    queries, reference = drug_features.packed_bits[:40], drug_features.packed_bits[40:]
    rows, similarity = nearest(queries, reference)
    for i, row in enumerate(rows):
        expected = DataStructs.BulkTanimotoSimilarity(bits[i], bits[40:])
        assert similarity[i] == max(expected)
        assert row == int(np.argmax(expected))


def test_a_training_compound_is_its_own_neighbour(drug_features: Features) -> None:
    _, similarity = nearest(drug_features.packed_bits, drug_features.packed_bits)
    assert (similarity == 1.0).all()


def test_an_empty_fingerprint_is_similar_to_nothing() -> None:
    rows, similarity = nearest(np.zeros((1, 16), np.uint64), np.ones((3, 16), np.uint64))
    assert similarity.tolist() == [0.0] and rows.tolist() == [0]


def test_the_nearest_few_are_rdkits_in_order(drug_features: Features) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = [generator.GetFingerprint(mol) for mol in drug_features.mols]
    rows, similarity = nearest_k(drug_features.packed_bits[:20], drug_features.packed_bits[20:], 5)
    for i in range(20):
        expected = np.array(DataStructs.BulkTanimotoSimilarity(bits[i], bits[20:]))
        order = np.argsort(-expected, kind="stable")[:5]
        assert similarity[i].tolist() == expected[order].tolist()
        assert rows[i].tolist() == order.tolist()


def test_far_compounds_and_hard_ones_are_outside() -> None:
    domain = Domain(min_similarity=0.3, max_difficulty=1.0)
    inside = domain.contains(np.array([0.3, 0.29, 0.9]), np.array([1.0, 0.1, 1.1]))
    assert inside.tolist() == [True, False, False]


def test_between_a_tenth_and_a_third_of_held_out_compounds_is_outside(
    rng: np.random.Generator,
) -> None:
    similarity, difficulty = rng.uniform(size=1000), rng.exponential(size=1000)
    for hard in (difficulty, 1.0 - similarity):  # unrelated, or the same thing said twice
        inside = fit_domain(similarity, hard).contains(similarity, hard)
        assert 0.10 <= (~inside).mean() <= 0.30


def test_no_neighbours_cannot_be_asked_for() -> None:
    bits = np.ones((3, 16), np.uint64)
    for reference, k in ((bits, 0), (bits, -1), (bits[:0], 1)):
        with pytest.raises(ValueError, match=r"k >= 1 and at least one reference row"):
            nearest_k(bits, reference, k)
