"""Two tiny predictors in a folder, trained once for these tests."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors

from property_models.datasets import read_file
from property_models.endpoints import Endpoint
from property_models.fit import fit_predictor
from property_models.kernel import KernelRecipe
from property_models.store import save
from property_models.trees import TreesRecipe
from tests.property_models.drugs import DRUGS

# The folder of the second predictor knows fewer compounds than that of the first.
TRAINED_ON = {"toy_logp": DRUGS, "toy_tpsa": DRUGS[:60]}
_TRUTH = {"toy_logp": Crippen.MolLogP, "toy_tpsa": Descriptors.TPSA}


@pytest.fixture(scope="session")
def predictors_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder per predictor."""
    root = tmp_path_factory.mktemp("predictors")
    recipes = {"toy_logp": [KernelRecipe()], "toy_tpsa": [TreesRecipe(n_trees=20)]}
    for name, smiles in TRAINED_ON.items():
        table = tmp_path_factory.mktemp("table") / "table.csv"
        with table.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["smiles", "value"])
            writer.writerows([s, _TRUTH[name](Chem.MolFromSmiles(s))] for s in smiles)
        endpoint = Endpoint(name, "regression", "unit", "neutral", "Computed.")
        predictor = fit_predictor(
            read_file(table), endpoint, recipes=recipes[name], n_folds=3, seed=1
        )
        save(root / name, predictor.card, predictor.parts)
    return root
