"""Descriptors against RDKit's own functions and published values."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, Lipinski

from molgen.config.objective import DescriptorName
from molgen.objectives.descriptors import DESCRIPTORS, descriptor
from tests.objectives.configs import ASPIRIN, CAFFEINE, PARACETAMOL

REFERENCE = {
    "n_heavy_atoms": Lipinski.HeavyAtomCount,
    "n_rings": Lipinski.RingCount,
    "molecular_weight": Descriptors.MolWt,
    "n_hydrogen_bond_donors": Lipinski.NumHDonors,
    "n_hydrogen_bond_acceptors": Lipinski.NumHAcceptors,
    "n_rotatable_bonds": Lipinski.NumRotatableBonds,
    "tpsa": Descriptors.TPSA,
    "logp": Crippen.MolLogP,
    "qed": Descriptors.qed,
}
MOLS = [Chem.MolFromSmiles(s) for s in (ASPIRIN, CAFFEINE, PARACETAMOL, "C", "CCO")]


def test_every_name_of_the_config_is_computed_and_no_other() -> None:
    assert set(DESCRIPTORS) == set(get_args(DescriptorName))


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_descriptors_agree_with_rdkit(name: str) -> None:
    values, reasons = descriptor(name, MOLS)
    assert values.tolist() == [float(REFERENCE[name](mol)) for mol in MOLS]
    assert reasons == [""] * len(MOLS)


def test_aspirin_has_the_values_of_the_literature() -> None:
    mol = [Chem.MolFromSmiles(ASPIRIN)]
    assert descriptor("molecular_weight", mol)[0] == pytest.approx(180.16, abs=0.01)
    assert descriptor("tpsa", mol)[0] == pytest.approx(63.6, abs=0.01)


def test_a_simple_molecule_is_easier_to_make_than_a_natural_product() -> None:
    morphine = "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5"
    easy, hard = descriptor("sa_score", [Chem.MolFromSmiles(s) for s in (ASPIRIN, morphine)])[0]
    assert 1 <= easy < 2 < 4 < hard <= 10


def test_no_molecule_gives_no_value() -> None:
    values, reasons = descriptor("qed", [None, MOLS[0]])
    assert np.isnan(values[0]) and values[1] > 0
    assert reasons == ["", ""]


def test_what_rdkit_cannot_compute_is_missing_with_a_reason() -> None:
    raw = Chem.MolFromSmiles("CCO", sanitize=False)  # no ring information: RDKit raises
    values, reasons = descriptor("n_rotatable_bonds", [raw, MOLS[0]])
    assert np.isnan(values[0]) and "cannot compute n_rotatable_bonds" in reasons[0]
    assert values[1] == REFERENCE["n_rotatable_bonds"](MOLS[0]) and reasons[1] == ""
