"""Forests as arrays: the same votes as scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from safetensors.numpy import save_file

from experiments.pmo.forests import (
    Forest,
    arrays_of,
    fingerprints,
    fit_forest,
    load_forest,
    out_of_fold_auroc,
    structures,
)
from molgen.errors import DataError

CHAINS = ["C" * n for n in range(2, 14)]
RINGS = [f"{'C' * n}c1ccccc1" for n in range(12)]
MOLS = [Chem.MolFromSmiles(smiles) for smiles in CHAINS + RINGS]
ACTIVE = np.array([0.0] * 12 + [1.0] * 12)


@pytest.fixture(scope="module")
def model() -> object:
    return fit_forest(fingerprints(MOLS), ACTIVE)


def test_the_arrays_vote_as_the_trained_forest(model: object) -> None:
    unseen = [Chem.MolFromSmiles(s) for s in ("CCO", "Oc1ccccc1", "CC(C)CCN", "C1CCCCC1")]
    expected = model.predict_proba(fingerprints(MOLS + unseen))[:, 1]
    forest = Forest(arrays_of(model))
    assert [forest(mol) for mol in MOLS + unseen] == pytest.approx(expected, abs=1e-6)


def test_a_stored_forest_is_the_same_and_a_missing_one_says_how_to_train_it(
    model: object, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"experiments\.pmo\.forests"):
        load_forest("gsk3b_ours", tmp_path)
    save_file(arrays_of(model), tmp_path / "gsk3b_ours.safetensors")
    stored = load_forest("gsk3b_ours", tmp_path)
    assert [stored(mol) for mol in MOLS] == [Forest(arrays_of(model))(mol) for mol in MOLS]


def test_rows_of_one_structure_are_merged_and_contradictions_left_out() -> None:
    smiles = ["CCO", "OCC", "C[C@H](N)O", "C[C@@H](N)O", "CC", "oops"]
    assert structures(smiles, np.array([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])) == {"CCO": 1.0, "CC": 0.0}


def test_folds_keep_groups_together_so_a_copied_label_cannot_be_remembered() -> None:
    bits = fingerprints([MOLS[0]] * 60)  # all compounds look the same
    active = np.tile([0.0, 1.0], 30)
    auroc = out_of_fold_auroc(bits, active, np.arange(60) // 2)
    assert 0.3 < auroc < 0.7
