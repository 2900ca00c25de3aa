"""Nearest neighbours against RDKit."""

from __future__ import annotations

import numpy as np
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator

from property_models.domain import domain_threshold, nearest
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


def test_one_tenth_of_the_held_out_compounds_is_outside(rng: np.random.Generator) -> None:
    similarity = rng.uniform(size=1001)
    assert np.isclose((similarity < domain_threshold(similarity)).mean(), 0.1, atol=0.002)
