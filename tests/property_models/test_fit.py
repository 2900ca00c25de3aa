"""From a table to a predictor: what is on its card, what a config can ask for."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from molgen.config.predictor import PredictorConfig
from molgen.training.predictors import map_in_processes, recipes_of, train_predictor
from molgen.training.tuning import drawn, held_out_error
from property_models.auxiliary import Auxiliary, join_tables
from property_models.datasets import Rows, Table
from property_models.endpoints import Endpoint, Task
from property_models.ensemble import MemberRecipe
from property_models.errors import DataError
from property_models.features import featurise
from property_models.fit import fit_predictor
from property_models.kernel import KernelRecipe
from property_models.network import NetworkRecipe
from property_models.predictor import Predictor, load_predictor, predict_table
from property_models.store import save
from property_models.trees import ForestRecipe, TreesRecipe
from tests.property_models.drugs import DRUGS

LOGP = Endpoint("logp", "regression", "log10", "neutral", "Crippen logP, computed.")


def test_stacked_weights_are_shares_and_stand_on_the_card(predictor: Predictor) -> None:
    weights = predictor.parts.weights
    assert sum(weights) == pytest.approx(1.0) and min(weights) >= 0
    assert predictor.card.weights == [round(w, 4) for w in weights]
    assert "weights of each fold come from the other folds" in predictor.card.split


def test_the_stack_is_no_worse_than_the_mean_member(predictor: Predictor) -> None:
    metrics = predictor.card.metrics
    members = [member["rmse"] for member in metrics["by_member"].values()]
    assert metrics["rmse"] < np.mean(members)
    assert metrics["cluster"]["rmse"] > 0


def test_a_neighbour_of_which_only_a_bound_is_known_says_so(
    logp_rows: Rows, tmp_path: Path
) -> None:
    relation = np.full(len(logp_rows.smiles), "=")
    relation[0], relation[1] = "<", ">"
    trained = fit_predictor(
        replace(logp_rows, relation=relation), LOGP, recipes=[TreesRecipe(n_trees=5)], n_folds=2,
        cluster_split=False, seed=1,
    )  # fmt: skip
    save(tmp_path / "logp", trained.card, trained.parts)
    loaded = load_predictor(tmp_path / "logp")
    asked = list(logp_rows.smiles[:3])
    assert predict_table({"logp": loaded}, [*asked, "?"])["logp_neighbour_bound"].tolist() == [
        "<", ">", "", "",
    ]  # fmt: skip
    assert [near[0].bound for near in loaded.neighbours(asked, k=1)] == ["<", ">", ""]


def test_all_kinds_of_members_and_sister_assays_work_together(
    logp_rows: Rows, logp_table: Table, tmp_path: Path
) -> None:
    recipes: list[MemberRecipe] = [
        TreesRecipe(n_trees=10, loss="mae"),
        TreesRecipe(n_trees=10, n_seeds=2),
        ForestRecipe(n_trees=10),
        KernelRecipe(("ecfp",)),
        NetworkRecipe(n_layers=1, n_channels=8, n_epochs=1, n_members=2),
    ]
    sister = join_tables({"twin": (logp_table, "regression", "twins")})
    trained = fit_predictor(
        logp_rows,
        LOGP,
        recipes=recipes,
        n_folds=2,
        loss="mae",
        auxiliary=sister,
        cluster_split=False,
        seed=3,
    )
    assert "twin" in trained.card.split and "left out" in trained.card.split
    names = list(trained.card.metrics["by_member"])
    assert names[:2] == ["boosted_trees_1", "boosted_trees_2"] and names[4] == "network"
    assert "cluster" not in trained.card.metrics
    save(tmp_path / "logp", trained.card, trained.parts)
    loaded = load_predictor(tmp_path / "logp")
    assert np.array_equal(loaded.predict(DRUGS[:5]).value, trained.predict(DRUGS[:5]).value)
    assert np.array_equal(loaded.predict(DRUGS[:5]).spread, trained.predict(DRUGS[:5]).spread)


def test_processes_keep_the_order() -> None:
    numbers = [9.0, 4.0, 25.0]
    assert list(map_in_processes(2, math.sqrt, numbers)) == [3.0, 2.0, 5.0]
    assert list(map_in_processes(1, math.sqrt, numbers)) == [3.0, 2.0, 5.0]


# -- config ---------------------------------------------------------------------------------


def config(**changes: object) -> PredictorConfig:
    described = {"name": "mine", "task": "regression", "unit": "pIC50", "higher_is": "better"}
    content: dict[str, object] = {
        "endpoint": described,
        "data": {"file": "mine.csv"},
        "members": [{"kind": "boosted_trees", "n_trees": 20}],
        "folds": 2,
        "cluster_split": False,
    }
    return PredictorConfig.model_validate({**content, **changes})


def test_the_defaults_of_configs_are_those_of_recipes() -> None:
    kinds = ("boosted_trees", "random_forest", "tanimoto_kernel", "network")
    found = recipes_of(config(members=[{"kind": kind} for kind in kinds]))
    assert found == [TreesRecipe(), ForestRecipe(), KernelRecipe(), NetworkRecipe()]


def test_a_table_of_signs_and_units_trains(logp_rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "ic50.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["structure", "IC50"])
        for i, (smiles, logp) in enumerate(zip(DRUGS, logp_rows.values, strict=True)):
            sign = ">" if i % 10 == 0 else ""
            writer.writerow([smiles, f"{sign}{10 ** (4 - logp):.4g}"])
    data = {
        "file": str(path),
        "smiles_column": "structure",
        "value_column": "IC50",
        "unit": "nM",
        "transform": "neg_log10_molar",
    }
    folder = train_predictor(config(data=data), out_dir=tmp_path)
    found = load_predictor(folder)
    assert found.card.data["n_used"] == len(DRUGS)
    # 10^(4 - logP) nM is a pIC50 of logP + 5.
    assert np.corrcoef(found.predict(DRUGS).value, logp_rows.values + 5)[0, 1] > 0.8


def test_sisters_are_looked_up_in_the_catalogue() -> None:
    panel = PredictorConfig.model_validate(
        {
            "endpoint": "cyp2c9_inhibition",
            "members": [{"kind": "network"}],
            "auxiliary": ["sisters"],
        }
    )
    assert "cyp3a4_inhibition" in panel.resolved_auxiliary()
    assert "cyp2c9_inhibition" not in panel.resolved_auxiliary()
    with pytest.raises(ValidationError, match="did you mean"):
        config(auxiliary=["cyp2c9_inhibitoin"])


# -- tuning ---------------------------------------------------------------------------------


def test_drawn_settings_repeat_and_differ() -> None:
    members = [{"kind": "boosted_trees"}, {"kind": "tanimoto_kernel"}]
    first, second = drawn(config(members=members), 2)
    assert [first, second] == drawn(config(members=members), 2)
    assert first.members[0] != second.members[0] and first.members[1] == second.members[1]


def test_a_setting_is_judged_by_its_out_of_fold_error(logp_table: Table) -> None:
    features = featurise([m.mol for m in logp_table.molecules if m.mol is not None])
    fold = np.arange(len(logp_table)) % 2
    good, bad = (
        held_out_error(
            config(members=[{"kind": "boosted_trees", "n_trees": n}]), features, logp_table, fold
        )
        for n in (100, 1)
    )
    assert good < bad


def test_the_card_tells_the_error_by_assay(logp_rows: Rows) -> None:
    assays = ["shake flask" if i % 2 else "column" for i in range(len(logp_rows))]
    trained = fit_predictor(
        replace(logp_rows, assay=assays),
        LOGP,
        recipes=[TreesRecipe(n_trees=5)],
        n_folds=2,
        cluster_split=False,
    )
    slices = {entry["slice"]: entry["n"] for entry in trained.card.metrics["slices"]}
    assert slices["assay shake flask"] == assays.count("shake flask")
    assert slices["assay column"] == assays.count("column")


def test_an_official_test_holds_out_as_strictly_and_needs_no_published_result(
    logp_rows: Rows, logp_table: Table, tmp_path: Path
) -> None:
    hidden: list[set[str]] = []

    class Telling(Auxiliary):
        """Sister assays that remember which compounds were left out of them."""

        def without(self, keys: Sequence[str]) -> Auxiliary:
            hidden.append(set(keys))
            return self

    is_test = np.arange(len(logp_rows)) % 5 == 0
    rows = replace(logp_rows, official_test=is_test, provenance={"dataset": "openadmet_pxr"})
    twin = join_tables({"twin": (logp_table, "regression", "twins")})
    trained = fit_predictor(
        rows,
        LOGP,
        recipes=[TreesRecipe(n_trees=5), ForestRecipe(n_trees=5)],
        n_folds=2,
        auxiliary=Telling(**vars(twin)),
        cluster_split=False,
        official_test=True,
    )
    # Two folds of all compounds; the official test's compounds; two folds of the others.
    first, second, test, *stacking = hidden
    assert first | second == set(logp_table.inchikeys) and len(stacking) == 2
    assert test == {
        key for key, held_out in zip(logp_table.inchikeys, is_test, strict=True) if held_out
    }
    assert stacking[0] | stacking[1] == set(logp_table.inchikeys) - test
    assert "peer_value" not in trained.card.official_test
    save(tmp_path / "logp", trained.card, trained.parts)
    assert "Official test set" in (tmp_path / "logp" / "card.html").read_text()


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_official_test_rows_without_an_exact_value_are_counted_and_not_judged(
    task: Task, logp_rows: Rows
) -> None:
    n = len(logp_rows)
    is_test = np.arange(n) % 5 == 0
    values = logp_rows.values if task == "regression" else (logp_rows.values > 2).astype(float)
    relation = np.full(n, "=")
    values = values.copy()
    values[[0, 5]] = np.nan
    if task == "regression":
        values[10], relation[10] = 1000.0, ">"  # an error of 1000, were it taken for exact
    smiles = [*logp_rows.smiles]
    smiles[15] = "not a molecule"
    rows = replace(
        logp_rows, smiles=smiles, values=values, relation=relation, official_test=is_test,
        provenance={"dataset": "openadmet_pxr" if task == "regression" else "ames"},
    )  # fmt: skip
    described = replace(LOGP, task=task)
    test = fit_predictor(
        rows, described, recipes=[TreesRecipe(n_trees=10)], n_folds=2, cluster_split=False,
        official_test=True,
    ).card.official_test  # fmt: skip
    n_bounds = int(task == "regression")
    assert test["n_test_without_value"] == 2 + n_bounds
    assert test["n_test_without_prediction"] == 1
    assert test["n_test"] == is_test.sum() - 3 - n_bounds
    assert np.isfinite(test["value"]) and not {"brier", "ece"} & set(test["all"])
    assert test["all"][test["metric"]] == test["value"] < 10


def test_an_official_test_of_nothing_but_bounds_is_refused(logp_rows: Rows) -> None:
    is_test = np.arange(len(logp_rows)) % 5 == 0
    rows = replace(
        logp_rows, official_test=is_test, relation=np.where(is_test, ">", "="),
        provenance={"dataset": "openadmet_pxr"},
    )  # fmt: skip
    with pytest.raises(DataError, match="no row of the official test split has an exact value"):
        fit_predictor(
            rows, LOGP, recipes=[TreesRecipe(n_trees=5)], n_folds=2, cluster_split=False,
            official_test=True,
        )  # fmt: skip
