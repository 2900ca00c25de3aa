"""Fingerprints, descriptors and graphs against RDKit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Avalon import pyAvalonTools
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdReducedGraphs

from property_models.features import (
    DESCRIPTOR_NAMES,
    Features,
    featurise,
)
from property_models.graphs import ATOM_CATEGORIES, BOND_CATEGORIES, molecule_graph
from property_models.molecules import standardise
from tests.property_models.drugs import DRUGS
from tests.property_models.test_molecules import shuffled


def features_of(smiles: str) -> Features:
    mol = standardise(smiles).mol
    assert mol is not None
    return featurise([mol])


@given(st.sampled_from(DRUGS), st.integers(0, 10_000))
def test_any_atom_order_gives_the_same_features(smiles: str, seed: int) -> None:
    a, b = features_of(smiles), features_of(shuffled(smiles, seed))
    assert np.array_equal(a.table, b.table, equal_nan=True)


def test_ecfp_counts_are_rdkits(drug_features: Features) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for row, mol in zip(drug_features.ecfp, drug_features.mols, strict=True):
        assert np.array_equal(row, generator.GetCountFingerprintAsNumPy(mol))


def test_folded_columns_are_rdkits_shorter_fingerprint(drug_features: Features) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    for row, mol in zip(drug_features.table, drug_features.mols, strict=True):
        assert np.array_equal(row[:1024], generator.GetCountFingerprintAsNumPy(mol))


def test_packed_bits_are_rdkits_bits(drug_features: Features) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    for row, mol in zip(drug_features.packed_bits, drug_features.mols, strict=True):
        bits = np.unpackbits(row.view(np.uint8))
        assert np.array_equal(bits, generator.GetFingerprintAsNumPy(mol))


def test_avalon_erg_and_descriptors_are_rdkits(drug_features: Features) -> None:
    functions = dict(Descriptors.descList)
    for i, smiles in enumerate(DRUGS):
        mol = Chem.MolFromSmiles(smiles)
        avalon = pyAvalonTools.GetAvalonCountFP(mol, 1024).GetNonzeroElements()
        assert {int(c): int(drug_features.avalon[i, c]) for c in avalon} == avalon
        assert int(drug_features.avalon[i].sum()) == sum(avalon.values())
        erg = rdReducedGraphs.GetErGFingerprint(mol, 0, 0.3, 1, 21)
        assert np.allclose(drug_features.erg[i], erg, atol=1e-6)
        expected = [functions[name](mol) for name in DESCRIPTOR_NAMES]
        assert np.allclose(drug_features.descriptors[i], expected, rtol=1e-5)


def test_featurising_a_molecule_again_gives_the_same(drug_features: Features) -> None:
    again = featurise(drug_features.mols)
    assert np.array_equal(again.table, drug_features.table)


def test_the_table_holds_all_columns_and_all_are_finite(drug_features: Features) -> None:
    assert drug_features.table.shape == (len(DRUGS), 1024 + 1024 + 441 + len(DESCRIPTOR_NAMES))
    assert np.isfinite(drug_features.table).all()


def test_unusual_elements_give_nan_instead_of_an_error() -> None:
    mol = Chem.MolFromSmiles("C[Se]CC[Pt]")
    assert featurise([mol]).descriptors.shape == (1, len(DESCRIPTOR_NAMES))


def test_taking_rows_takes_all_features(drug_features: Features) -> None:
    rows = np.array([5, 2])
    part = drug_features.take(rows)
    assert part.smiles == [drug_features.smiles[5], drug_features.smiles[2]]
    assert np.array_equal(part.table, drug_features.table[rows])


def test_graphs_hold_every_bond_in_both_directions(drug_features: Features) -> None:
    for mol in [*drug_features.mols, Chem.MolFromSmiles("C")]:
        graph = molecule_graph(mol)
        assert graph.x.shape == (mol.GetNumAtoms(), len(ATOM_CATEGORIES))
        assert graph.edge_index.shape == (2, 2 * mol.GetNumBonds())
        assert graph.edge_attr.shape == (2 * mol.GetNumBonds(), len(BOND_CATEGORIES))
        assert (graph.x.max(0).values.numpy() < ATOM_CATEGORIES).all()
        pairs = {tuple(pair) for pair in graph.edge_index.T.tolist()}
        assert pairs == {(b, a) for a, b in pairs}
