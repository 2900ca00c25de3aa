"""The shipped predictors and their configs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

import molgen
from molgen.config.predictor import PredictorConfig
from molgen.training.predictors import train_predictor
from property_models import Predictor, load_predictor, load_predictors, predict_table
from property_models.predictor import available
from tests.property_models.drugs import DRUGS

SHIPPED = Path(molgen.__file__).parent / "artifacts" / "predictors"
CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "predictors").glob("*.yaml"))
RIVAROXABAN = "O=C(NC[C@H]1CN(c2ccc(N3CCOCC3=O)cc2)C(=O)O1)c1ccc(Cl)s1"


@pytest.fixture(scope="module")
def shipped() -> dict[str, Predictor]:
    return load_predictors(SHIPPED, available(SHIPPED))


def test_every_shipped_predictor_predicts_drugs_and_refuses_nonsense(
    shipped: dict[str, Predictor],
) -> None:
    table = predict_table(shipped, [*DRUGS, "xx"])
    for name in shipped:
        assert np.isfinite(table[name].iloc[:-1]).all()
        assert np.isnan(table[name].iloc[-1])
        assert (table[f"{name}_low"].iloc[:-1] <= table[name].iloc[:-1]).all()


def test_no_interval_leaves_what_can_be_measured(shipped: dict[str, Predictor]) -> None:
    limits = {
        "half_life": (0, np.inf), "vdss": (0, np.inf), "clearance_hepatocyte": (0, np.inf),
        "clearance_microsome": (0, np.inf), "plasma_binding_human": (0, 100),
    }  # fmt: skip
    table = predict_table({name: shipped[name] for name in limits}, DRUGS)
    for name, (least, greatest) in limits.items():
        assert (table[f"{name}_low"] >= least).all() and (table[f"{name}_high"] <= greatest).all()


def test_known_drugs_are_predicted_as_known(shipped: dict[str, Predictor]) -> None:
    aspirin = "CC(=O)Oc1ccccc1C(=O)O"
    astemizole = "COc1ccc(CCN2CCC(Nc3nc4ccccc4n3Cc3ccc(F)cc3)CC2)cc1"
    herg = shipped["herg_block"].predict([aspirin, astemizole]).value
    assert herg[0] < 0.3 < 0.7 < herg[1]
    affinity = shipped["fxa_pki"].predict([RIVAROXABAN, aspirin])
    assert affinity.value[0] > 8 and affinity.in_domain[0] and not affinity.in_domain[1]
    solubility = shipped["solubility"].predict(["OCC(O)CO", "c1ccc2cc3ccccc3cc2c1"]).value
    assert solubility[0] > 0 > -4 > solubility[1]
    assert shipped["ames"].predict(["[O-][N+](=O)c1ccc2ccc3cccc4ccc1c2c34"]).value[0] > 0.7


def test_shipped_predictions_do_not_depend_on_the_batch(shipped: dict[str, Predictor]) -> None:
    together = predict_table(shipped, DRUGS)
    for i in (0, 17, 60):
        alone = predict_table(shipped, [DRUGS[i]])
        for name in shipped:
            assert alone[name].iloc[0] == together[name].iloc[i]


def test_cards_state_coverage_licence_and_data(shipped: dict[str, Predictor]) -> None:
    for predictor in shipped.values():
        card = predictor.card
        assert card.licence and len(card.data["sha256"]) == 64
        if card.task == "regression":
            assert 0.87 <= card.metrics["coverage"] <= 0.93
        else:
            assert card.metrics["auroc"] > 0.75 and card.metrics["ece"] < 0.1


def test_all_predictors_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) < 20e6


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_shipped_cards_follow_it(path: Path) -> None:
    config = PredictorConfig.model_validate(yaml.safe_load(path.read_text()))
    name = config.resolved_endpoint().name
    if (SHIPPED / name).is_dir():
        card = load_predictor(SHIPPED / name).card
        assert list(card.members) == [m.model_dump(mode="json") for m in config.members]


def test_a_users_own_table_trains_end_to_end(logp_csv: Path, tmp_path: Path) -> None:
    config = PredictorConfig.model_validate(
        {
            "endpoint": {
                "name": "my_logp",
                "task": "regression",
                "unit": "log10",
                "higher_is": "neutral",
            },
            "data": {"file": str(logp_csv)},
            "members": [{"kind": "boosted_trees", "n_trees": 40}],
            "folds": 3,
            "seed": 4,
        }
    )
    seen: list[int] = []
    folder = train_predictor(
        config, out_dir=tmp_path, on_metrics=lambda metrics, step: seen.append(step)
    )
    assert folder == tmp_path / "my_logp" and seen == [0, 1, 2, 3]
    again = train_predictor(config, out_dir=tmp_path / "again")
    value = load_predictor(folder).predict(DRUGS).value
    assert np.array_equal(value, load_predictor(again).predict(DRUGS).value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"endpoint": "fxa_pk"}, "did you mean 'fxa_pki'"),
        ({"members": []}, "at least 1 item"),
        ({"members": [{"kind": "forest"}]}, "boosted_trees"),
        ({"data": {"dataset": "ames", "file": "x.csv"}}, "either `dataset` or `file`"),
        ({"data": {"dataset": "amess"}}, "did you mean 'ames'"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(change: dict[str, object], message: str) -> None:
    content = {"endpoint": "ames", "members": [{"kind": "boosted_trees"}], **change}
    with pytest.raises(ValidationError, match=message):
        PredictorConfig.model_validate(content)


def test_an_own_endpoint_needs_data() -> None:
    described = {"name": "mine", "task": "regression", "unit": "M", "higher_is": "better"}
    with pytest.raises(ValidationError, match="needs `data`"):
        PredictorConfig.model_validate(
            {"endpoint": described, "members": [{"kind": "boosted_trees"}]}
        )
