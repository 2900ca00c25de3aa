"""The objective as a whole: columns, missing values, one pass, independence of the batch."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rdkit import Chem, DataStructs
from rdkit.Chem import QED as RDKIT_QED
from rdkit.Chem import rdFingerprintGenerator

import property_models
from molgen.config.objective import (
    RESERVED_COLUMNS,
    AlertsComponent,
    Decreasing,
    DescriptorComponent,
    Increasing,
    KnownFilter,
    NoveltyComponent,
    ObjectiveConfig,
    PredictorComponent,
    SimilarityComponent,
)
from molgen.errors import ConfigError
from molgen.objectives import Objective, check_objective, make_objective
from molgen.objectives.known import packed_ecfp4
from property_models import load_predictors, predict_table
from property_models.errors import ModelFileError
from property_models.features import featurise
from tests.objectives.configs import (
    ASPIRIN,
    CAFFEINE,
    PARACETAMOL,
    QED,
    UP,
    command,
    http,
    objective,
    python,
    script,
)
from tests.property_models.drugs import DRUGS

LOGP = PredictorComponent(
    type="predictor",
    endpoint="toy_logp",
    out_of_domain_factor=0.5,
    desirability=Increasing(zero_at=-5, one_at=8),
)
TPSA = PredictorComponent(
    type="predictor", endpoint="toy_tpsa", weight=2, desirability=Decreasing(one_at=0, zero_at=200)
)
ALERTS = AlertsComponent(type="alerts", desirability=Decreasing(one_at=0, zero_at=5))
NOVELTY = NoveltyComponent(type="novelty", endpoint="toy_logp", desirability=UP)
SIMILARITY = SimilarityComponent(type="similarity", smiles=[ASPIRIN, CAFFEINE], desirability=UP)
FAR = "FC(F)(F)C(F)(F)C(F)(F)C(F)(F)C(F)(F)F"  # no fragment of any drug
EVERYTHING = objective(LOGP, QED, ALERTS, NOVELTY, SIMILARITY, TPSA)


def table(config: ObjectiveConfig, smiles: list[str], root: Path = Path("none")) -> pd.DataFrame:
    with make_objective(config, root) as made:
        return made.score(smiles)


@pytest.fixture(scope="module")
def everything(predictors_root: Path) -> Objective:
    """An objective of all components that need no user's program."""
    return Objective(EVERYTHING, predictors_root=predictors_root)


@pytest.mark.parametrize("uncertainty", ["expected", "lower_bound"])
def test_an_uncertain_prediction_is_worth_less_where_the_profile_asks_for_it(
    predictors_root: Path, uncertainty: str
) -> None:
    value = float(table(objective(LOGP), [ASPIRIN], predictors_root)["toy_logp"].iloc[0])
    steep = {"type": "increasing", "zero_at": value - 0.1, "one_at": value}
    plain = LOGP.model_validate(LOGP.model_dump() | {"desirability": steep})
    careful = plain.model_validate(plain.model_dump() | {"uncertainty": uncertainty})
    found = table(objective(careful), [ASPIRIN, "not a molecule"], predictors_root)
    assert table(objective(plain), [ASPIRIN], predictors_root)["reward"].tolist() == [1.0]
    assert found["toy_logp"].iloc[0] == value
    assert found["reward"].iloc[0] < 0.7
    assert np.isnan(found["reward"].iloc[1]) and found["status"].iloc[1] == "unscored"


def test_a_row_has_reward_status_reason_and_the_announced_columns(everything: Objective) -> None:
    found = everything.score([ASPIRIN])
    assert list(found.columns) == ["reward", "status", "reason", *everything.columns]
    for name in ("toy_logp", "toy_tpsa", "qed", "n_alerts", "novelty", "similarity"):
        assert {name, f"{name}_desirability"} <= set(everything.columns)
    assert {"toy_logp_low", "toy_logp_in_domain", "toy_tpsa_neighbour_inchikey", "alerts"} <= set(
        everything.columns
    )


def test_the_values_are_those_of_rdkit_and_of_the_predictors(
    everything: Objective, predictors_root: Path
) -> None:
    found = everything.score(DRUGS)
    predictors = load_predictors(predictors_root, ["toy_logp", "toy_tpsa"])
    predicted = predict_table(predictors, DRUGS)
    for column in predicted.columns.drop("reason"):
        pd.testing.assert_series_equal(found[column], predicted[column])
    mols = [Chem.MolFromSmiles(s) for s in DRUGS]
    assert found["qed"].tolist() == [RDKIT_QED.qed(mol) for mol in mols]
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [morgan.GetFingerprint(mol) for mol in mols]
    wanted = [morgan.GetFingerprint(Chem.MolFromSmiles(s)) for s in (ASPIRIN, CAFFEINE)]
    nearest = [max(DataStructs.BulkTanimotoSimilarity(p, wanted)) for p in prints]
    assert found["similarity"].tolist() == nearest
    assert (found["status"] == "scored").all() and (found["reason"] == "").all()


def test_novelty_is_one_less_the_similarity_that_the_predictor_reports(
    everything: Objective,
) -> None:
    found = everything.score([*DRUGS, FAR, "[Na+].CC(=O)Oc1ccccc1C(=O)[O-]"])
    assert np.array_equal(found["novelty"], 1 - found["toy_logp_neighbour_similarity"])
    assert found["novelty"].iloc[0] == 0 < found["novelty"].iloc[-2]


def test_the_packed_fingerprints_are_those_of_the_predictors() -> None:
    mols = [Chem.MolFromSmiles(s) for s in DRUGS]
    assert np.array_equal(packed_ecfp4(mols), featurise(mols).packed_bits)
    assert packed_ecfp4([]).shape == (0, 16)


def test_the_reward_is_the_weighted_mean_of_the_desirabilities(everything: Objective) -> None:
    found = everything.score(DRUGS)
    names = ["toy_logp", "qed", "n_alerts", "novelty", "similarity", "toy_tpsa"]
    heights = found[[f"{name}_desirability" for name in names]].to_numpy()
    with np.errstate(divide="ignore"):
        expected = np.exp(np.average(np.log(heights), axis=1, weights=[1, 1, 1, 1, 1, 2]))
    assert np.allclose(found["reward"], expected)
    assert found["reward"].iloc[0] == 0  # aspirin is known: novelty 0
    assert found["reward"].max() <= 1


def test_outside_the_domain_the_desirability_is_multiplied(everything: Objective) -> None:
    found = everything.score([ASPIRIN, FAR])
    assert found["toy_logp_in_domain"].tolist() == [True, False]
    expected = (found["toy_logp"] + 5) / 13 * np.array([1, 0.5])
    assert np.allclose(found["toy_logp_desirability"], expected)


def test_alerts_are_counted_and_named(everything: Objective) -> None:
    found = everything.score(["O=C1C=CC(=O)C=C1", "CC(=O)NC1CCNCC1", "oops"])
    assert found["n_alerts"].tolist()[:2] == [1, 0] and np.isnan(found["n_alerts"].iloc[2])
    assert found["alerts"].tolist() == ["BRENK chinone_1", "", ""]


def test_what_cannot_be_read_keeps_its_row_with_nan_and_a_reason(everything: Objective) -> None:
    found = everything.score(["C1CC", ASPIRIN, ""])
    assert found["status"].tolist() == ["unscored", "scored", "unscored"]
    assert np.isnan(found["reward"]).tolist() == [True, False, True]
    assert found["reason"].tolist() == ["RDKit cannot parse the SMILES 'C1CC'", "", "empty SMILES"]
    numeric = found.iloc[[0, 2]].select_dtypes("float")
    assert numeric.isna().all(axis=None)


def test_a_missing_value_makes_the_reward_missing_and_names_the_component(
    everything: Objective,
) -> None:
    row = everything.score(["O"]).iloc[0]  # water: no carbon, so no prediction; QED is fine
    assert np.isnan(row["reward"]) and row["status"] == "unscored" and row["qed"] > 0
    assert row["reason"] == "; ".join(
        f"{name}: has no carbon atom" for name in ("toy_logp", "novelty", "toy_tpsa")
    )


def test_no_molecules_give_an_empty_table(everything: Objective) -> None:
    found = everything.score([])
    assert len(found) == 0 and list(found.columns)[3:] == everything.columns


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([*DRUGS, "O", "oops", "", FAR]), min_size=1, max_size=8))
def test_a_row_does_not_depend_on_its_batch(everything: Objective, smiles: list[str]) -> None:
    together = everything.score(smiles)
    backwards = everything.score(smiles[::-1])[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, backwards, check_exact=True)
    alone = pd.concat([everything.score([s]) for s in smiles], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone, check_exact=True)


def test_all_endpoints_are_predicted_in_one_pass(
    predictors_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counting(predictors: dict[str, object], smiles: list[str]) -> pd.DataFrame:
        calls.append(sorted(predictors))
        return predict_table(predictors, smiles)  # type: ignore[arg-type]

    monkeypatch.setattr(property_models, "predict_table", counting, raising=False)
    table(EVERYTHING, DRUGS[:3], predictors_root)
    assert calls == [["toy_logp", "toy_tpsa"]]


def test_a_component_may_name_its_own_folder_of_predictors(predictors_root: Path) -> None:
    here = LOGP.model_copy(update={"folder": str(predictors_root)})
    found = table(objective(here), [ASPIRIN])
    assert (
        found["reward"].tolist()
        == table(objective(LOGP), [ASPIRIN], predictors_root)["reward"].tolist()
    )


def test_a_predictor_that_does_not_exist_is_a_config_error_with_its_key(
    predictors_root: Path,
) -> None:
    config = objective(QED, LOGP.model_copy(update={"endpoint": "toy_logb"}))
    with pytest.raises(ConfigError, match=r"objective\.components\.1\.endpoint.*'toy_logp'"):
        check_objective(config, predictors_root)
    config = objective(QED, filters=[KnownFilter(type="known", endpoint="x", folder="nowhere")])
    with pytest.raises(ConfigError, match=r"objective\.filters\.0\.folder: no folder 'nowhere'"):
        check_objective(config, predictors_root)
    with pytest.raises(ModelFileError, match="does not exist"):
        check_objective(objective(LOGP), predictors_root / "nowhere")


def test_a_missing_program_is_found_before_any_work() -> None:
    with pytest.raises(ConfigError, match="cannot find the program"):
        check_objective(objective(QED, command("no-such-program")), Path("none"))


def test_the_recipe_of_an_objective_can_be_sent_to_a_worker(predictors_root: Path) -> None:
    recipe = pickle.loads(pickle.dumps(partial(make_objective, EVERYTHING, predictors_root)))
    with recipe() as made:
        assert made.score([ASPIRIN])["status"].tolist() == ["scored"]


# -- external scorers inside an objective ------------------------------------------------------

ORACLE = """
for line in sys.stdin:
    batch = json.loads(line)["smiles"]
    if "CCO" in batch: sys.exit("no ethanol, please")
    print(json.dumps({"scores": [None if s == "CC" else 0.5 for s in batch]}), flush=True)
"""


def test_an_external_scorer_counts_like_any_component(tmp_path: Path) -> None:
    config = objective(script(tmp_path / "o.py", ORACLE, batch_size=1), QED)
    with make_objective(config, Path("none")) as made:
        found = made.score([PARACETAMOL, "CC", "oops", "OCC"])
        assert found["status"].tolist() == ["scored", "unscored", "unscored", "unscored"]
        assert found["oracle"].iloc[0] == 0.5
        assert found["reward"].iloc[0] == pytest.approx(np.sqrt(0.5 * found["qed"].iloc[0]))
        assert found["reason"].iloc[1] == "oracle: the scorer gave no score"
        assert found["reason"].iloc[2] == "RDKit cannot parse the SMILES 'oops'"
        # OCC is sent as its canonical SMILES, and the batch fails
        assert found["reason"].iloc[3].startswith("oracle: the scorer ended with exit code 1")
        assert found["qed"].notna().tolist() == [True, True, False, True]
        assert made.failed_components == set()  # for other batches were answered
        found = made.score(["OCC", "OCC"])
        assert made.failed_components == {"oracle"}
        assert found.attrs["failed_components"] == ["oracle"]
        assert pickle.loads(pickle.dumps(found)).attrs == found.attrs
        made.score([PARACETAMOL])
        assert made.failed_components == set()


def test_two_spellings_of_a_molecule_cost_one_call(tmp_path: Path) -> None:
    log = tmp_path / "log"
    body = f"""
for line in sys.stdin:
    batch = json.loads(line)["smiles"]
    open({str(log)!r}, "a").write(line)
    print(json.dumps({{"scores": [1 for s in batch]}}), flush=True)
"""
    found = table(objective(script(tmp_path / "o.py", body)), ["OCC", "CCO", "C(C)O", "oops", "C"])
    assert log.read_text() == '{"smiles": ["CCO", "C"]}\n'
    assert found["oracle"].tolist()[:3] == [1, 1, 1]


def test_several_external_scorers_fail_on_their_own(tmp_path: Path) -> None:
    config = objective(
        script(tmp_path / "o.py", ORACLE),
        http("http://127.0.0.1:1/"),
        python("os.path:abspath"),
    )
    with make_objective(config, Path("none")) as made:
        found = made.score([ASPIRIN])
    assert made.failed_components == {"service", "function"}
    assert found["oracle"].tolist() == [0.5] and np.isnan(found["reward"]).all()
    assert "service: " in found["reason"].iloc[0] and "; function: " in found["reason"].iloc[0]


# -- the config -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reward", "status", "smiles", "scaffold"])
def test_a_component_cannot_take_a_column_of_the_ledger(name: str) -> None:
    assert name in RESERVED_COLUMNS
    with pytest.raises(ValidationError, match="would be written twice"):
        objective(SIMILARITY.model_copy(update={"name": name}))


def test_components_cannot_share_a_column() -> None:
    with pytest.raises(ValidationError, match="two components are called 'qed'"):
        objective(QED, QED)
    with pytest.raises(ValidationError, match="'toy_logp_low' would be written twice"):
        objective(LOGP, SIMILARITY.model_copy(update={"name": "toy_logp_low"}))


@pytest.mark.parametrize("name", ["", "a b", "1a", "a-b", "a;b"])
def test_the_name_of_a_component_is_a_column_name(name: str) -> None:
    with pytest.raises(ValidationError):
        SimilarityComponent(type="similarity", name=name, smiles=["C"], desirability=UP)


def test_an_objective_is_stereo_aware_if_one_of_its_scorers_is() -> None:
    assert not objective(QED, command("x")).is_stereo_aware
    assert objective(QED, command("x", stereo_aware=True)).is_stereo_aware


def test_a_descriptor_without_a_name_in_the_list_is_refused() -> None:
    with pytest.raises(ValidationError):
        DescriptorComponent(type="descriptor", name="weight", desirability=UP)  # type: ignore[arg-type]
