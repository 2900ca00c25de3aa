"""Small tables and one small trained predictor, shared by the tests."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from rdkit import Chem
from rdkit.Chem import Crippen

from property_models.cleaning import clean
from property_models.datasets import Rows, Table, read_file
from property_models.endpoints import Endpoint
from property_models.features import Features, featurise
from property_models.fit import fit_predictor
from property_models.kernel import KernelRecipe
from property_models.predictor import Predictor
from property_models.trees import TreesRecipe
from tests.property_models.drugs import DRUGS

# A shared machine may stall any single example; slowness is no failure here.
settings.register_profile("no deadline", deadline=None, max_examples=40)
settings.load_profile("no deadline")

LOGP = Endpoint("logp", "regression", "log10", "neutral", "Crippen logP, computed.")


@pytest.fixture(scope="session")
def logp_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's table: drugs and their Crippen logP."""
    path = tmp_path_factory.mktemp("data") / "logp.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["smiles", "value"])
        writer.writerows([s, Crippen.MolLogP(Chem.MolFromSmiles(s))] for s in DRUGS)
    return path


@pytest.fixture(scope="session")
def logp_rows(logp_csv: Path) -> Rows:
    return read_file(logp_csv)


@pytest.fixture(scope="session")
def logp_table(logp_rows: Rows) -> Table:
    return clean(logp_rows, task="regression")


@pytest.fixture(scope="session")
def drug_features() -> Features:
    """Features of all drugs, as written (not standardised)."""
    return featurise([Chem.MolFromSmiles(smiles) for smiles in DRUGS])


@pytest.fixture(scope="session")
def predictor(logp_rows: Rows) -> Predictor:
    """Trees and a kernel trained on the table."""
    recipes = [TreesRecipe(n_trees=60), KernelRecipe()]
    return fit_predictor(logp_rows, LOGP, recipes=recipes, n_folds=4, seed=1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
