"""Predictions: their rows, their invariances, their storage."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from property_models import load_predictor, load_predictors, predict_table, store
from property_models.datasets import Rows, file_sha256
from property_models.endpoints import Endpoint, endpoint
from property_models.errors import DataError, ModelFileError
from property_models.fit import fit_predictor
from property_models.kernel import TanimotoKernel
from property_models.network import NetworkRecipe
from property_models.predictor import PARTS, Prediction, Predictor
from property_models.store import REFERENCE_FILE, save
from property_models.trees import TreesRecipe
from tests.property_models.drugs import DRUGS
from tests.property_models.test_molecules import shuffled


def same(a: Prediction, b: Prediction) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=True)
        if isinstance(x, np.ndarray) and x.dtype != bool
        else np.array_equal(x, y)
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


@settings(max_examples=20)
@given(st.sampled_from(DRUGS), st.integers(0, 10_000))
def test_any_atom_order_gives_the_same_prediction(
    predictor: Predictor, smiles: str, seed: int
) -> None:
    assert same(predictor.predict([smiles]), predictor.predict([shuffled(smiles, seed)]))


def test_a_counter_ion_changes_nothing(predictor: Predictor) -> None:
    acid, salt = "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "[Na+].CC(C)Cc1ccc(C(C)C(=O)[O-])cc1"
    assert same(predictor.predict([acid]), predictor.predict([salt]))


def test_a_prediction_does_not_depend_on_its_batch(predictor: Predictor) -> None:
    together = predictor.predict(DRUGS)
    alone = [predictor.predict([smiles]) for smiles in DRUGS[:25]]
    assert [p.value[0] for p in alone] == together.value[:25].tolist()
    assert [p.low[0] for p in alone] == together.low[:25].tolist()


def test_bad_rows_keep_their_place_with_nan_and_a_reason(predictor: Predictor) -> None:
    found = predictor.predict(["CCO", "not a molecule", "", "c1ccccc1"])
    assert np.isnan(found.value).tolist() == [False, True, True, False]
    assert np.isnan(found.low[1]) and np.isnan(found.neighbour_similarity[1])
    assert not found.in_domain[1] and found.neighbour_inchikey[1] == ""
    assert [bool(reason) for reason in found.reasons] == [False, True, True, False]


def test_only_bad_rows_and_no_rows_are_fine(predictor: Predictor) -> None:
    assert np.isnan(predictor.predict(["xx", "yy"]).value).all()
    empty = predictor.predict([])
    assert len(empty.value) == 0 and empty.in_domain.dtype == bool and empty.reasons == []
    table = predict_table({"logp": predictor}, [])
    assert len(table) == 0 and "logp_in_domain" in table.columns


def test_a_training_compound_is_its_own_nearest_neighbour(
    predictor: Predictor, logp_rows: Rows
) -> None:
    found = predictor.predict([DRUGS[0]])
    assert found.neighbour_similarity[0] == 1.0 and found.in_domain[0]
    assert found.neighbour_inchikey == ["BSYNRYMUTXBXSQ"]  # aspirin
    assert found.neighbour_value[0] == pytest.approx(logp_rows.values[0])


def test_the_nearest_neighbours_come_with_their_measured_values(
    predictor: Predictor, logp_rows: Rows
) -> None:
    found = predictor.neighbours([DRUGS[0], "xx", DRUGS[5]], k=3)
    assert [len(neighbours) for neighbours in found] == [3, 0, 3]
    first = found[0]
    assert first[0].similarity == 1.0 and first[0].inchikey == "BSYNRYMUTXBXSQ"
    assert first[0].value == pytest.approx(logp_rows.values[0])
    assert first[0].similarity >= first[1].similarity >= first[2].similarity
    alone = predictor.predict([DRUGS[5]])
    assert found[2][0].similarity == alone.neighbour_similarity[0]
    assert predictor.neighbours([]) == []


@pytest.mark.parametrize("k", [0, -2])
def test_fewer_than_one_neighbour_cannot_be_asked_for(predictor: Predictor, k: int) -> None:
    for smiles in (DRUGS[:1], []):
        with pytest.raises(DataError, match=rf"k is {k}, but the number of neighbours must be 1"):
            predictor.neighbours(smiles, k=k)


def test_members_that_disagree_spread(predictor: Predictor) -> None:
    found = predictor.predict([*DRUGS[:20], "xx"])
    assert (found.spread[:-1] >= 0).all() and found.spread[:-1].max() > 0
    assert np.isnan(found.spread[-1])


def test_something_unlike_all_training_compounds_is_outside_the_domain(
    predictor: Predictor,
) -> None:
    assert not predictor.predict(["[SiH3]C#CC#C[SiH3]"]).in_domain[0]


def test_the_table_has_the_columns_of_every_endpoint_in_row_order(predictor: Predictor) -> None:
    table = predict_table({"a": predictor, "b": predictor}, ["CCO", "xx"])
    for name in ("a", "b"):
        for column in (name, *(f"{name}_{part}" for part in PARTS)):
            assert column in table.columns
    assert table["reason"].tolist()[0] == "" and "parse" in table["reason"].tolist()[1]
    assert table["a"].tolist()[0] == predictor.predict(["CCO"]).value[0]


def test_intervals_hold_the_value(predictor: Predictor) -> None:
    found = predictor.predict(DRUGS)
    assert (found.low < found.value).all() and (found.value < found.high).all()


def shifted(predictor: Predictor, shift: float, unit: str) -> Predictor:
    """The predictor of another endpoint, the logP of a compound and `shift`."""
    kernel = predictor.parts.members[1]
    assert isinstance(kernel, TanimotoKernel)
    reference = predictor.parts.reference
    parts = replace(
        predictor.parts,
        members=[replace(kernel, mean=kernel.mean + shift)],
        weights=[1.0],
        reference=replace(reference, values=reference.values + shift),
    )
    return Predictor(replace(predictor.card, unit=unit), parts)


def test_an_interval_ends_where_the_unit_does(predictor: Predictor) -> None:
    shift = 0.01 - predictor.parts.reference.values.min()
    free = shifted(predictor, shift, "log10").predict(DRUGS)
    hours = shifted(predictor, shift, "h").predict(DRUGS)
    assert (free.low < 0).any()
    assert (hours.low == np.maximum(free.low, 0.0)).all()
    assert (hours.low <= hours.value).all() and (hours.value <= hours.high).all()
    shift = 99.99 - predictor.parts.reference.values.max()
    free = shifted(predictor, shift, "log10").predict(DRUGS)
    bound = shifted(predictor, shift, "% bound").predict(DRUGS)
    assert (free.high > 100).any()
    assert (bound.high == np.minimum(free.high, 100.0)).all()


def test_a_limit_that_measured_values_cross_is_none(predictor: Predictor) -> None:
    assert predictor.parts.reference.values.min() < 0
    free, percent = (shifted(predictor, 0.0, unit).predict(DRUGS) for unit in ("log10", "% change"))
    assert same(free, percent)


@pytest.mark.parametrize("ask", ["predict", "neighbours", "table"])
def test_one_text_is_not_taken_for_many_molecules(predictor: Predictor, ask: str) -> None:
    with pytest.raises(DataError, match=r"give a list of SMILES, \['CCO'\]"):
        if ask == "table":
            predict_table({"logp": predictor}, "CCO")
        else:
            getattr(predictor, ask)("CCO")


def test_the_card_says_how_it_was_made(predictor: Predictor) -> None:
    card = predictor.card
    assert card.data["n_used"] == len(DRUGS) and len(card.data["sha256"]) == 64
    assert 0.8 <= card.metrics["coverage"] <= 1.0
    assert card.metrics["spearman"] > 0.5
    assert "refitted on all rows" in card.split
    assert [member["kind"] for member in card.members] == ["boosted_trees", "tanimoto_kernel"]


# -- storage --------------------------------------------------------------------------------


@pytest.fixture
def folder(predictor: Predictor, tmp_path: Path) -> Path:
    save(tmp_path / "logp", predictor.card, predictor.parts)
    return tmp_path / "logp"


def test_a_saved_predictor_predicts_the_same(predictor: Predictor, folder: Path) -> None:
    loaded = load_predictor(folder)
    assert same(loaded.predict(DRUGS), predictor.predict(DRUGS))
    assert loaded.name == "logp" and loaded.endpoint == predictor.endpoint


def test_saving_twice_writes_the_same_bytes(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    save(tmp_path / "again", predictor.card, predictor.parts)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_classifier_with_a_network_survives_storage(logp_rows: Rows, tmp_path: Path) -> None:
    labels = (logp_rows.values > 2).astype(float)
    rows = Rows(logp_rows.smiles, labels, logp_rows.official_test, logp_rows.provenance)
    described = Endpoint("greasy", "classification", "probability", "worse", "logP above 2.")
    recipes = [TreesRecipe(n_trees=10), NetworkRecipe(n_layers=1, n_channels=16, n_epochs=3)]
    trained = fit_predictor(rows, described, recipes=recipes, n_folds=3)
    save(tmp_path / "greasy", trained.card, trained.parts)
    loaded = load_predictor(tmp_path / "greasy")
    found = loaded.predict(DRUGS)
    assert same(found, trained.predict(DRUGS))
    assert ((found.low <= found.value) & (found.value <= found.high)).all()
    assert ((found.value >= 0) & (found.value <= 1)).all()


def as_if_its_card_said_so(folder: Path, name: str, blob: bytes) -> None:
    """Puts another content into a file and its digest on the card."""
    (folder / name).write_bytes(blob)
    card = json.loads((folder / "card.json").read_text())
    card["files"][name] = file_sha256(folder / name)
    (folder / "card.json").write_text(json.dumps(card))


def test_what_grows_without_end_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_BYTES", 10_000_000)
    as_if_its_card_said_so(folder, REFERENCE_FILE, lzma.compress(bytes(20_000_000)))
    with pytest.raises(ModelFileError, match=r"reference.* is cut off, or too large"):
        load_predictor(folder)


def test_what_is_not_compressed_is_no_predictors_file(folder: Path) -> None:
    as_if_its_card_said_so(folder, REFERENCE_FILE, b"PK\x03\x04 and so on")
    with pytest.raises(ModelFileError, match=r"reference\.safetensors\.xz cannot be decompressed"):
        load_predictor(folder)


@pytest.mark.parametrize(
    "name", ["reference.safetensors.xz", "trees.txt.xz", "kernel.safetensors.xz"]
)
def test_a_damaged_or_missing_file_is_named(folder: Path, name: str) -> None:
    blob = (folder / name).read_bytes()
    (folder / name).write_bytes(blob[: len(blob) // 2])
    with pytest.raises(ModelFileError, match=f"{name} is damaged.*train the predictor again"):
        load_predictor(folder)
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match=f"{name} is missing"):
        load_predictor(folder)


@pytest.mark.parametrize("field", ["files", "features", "members", "metrics", "endpoint"])
def test_a_card_with_a_field_of_another_kind_is_a_model_file_error(
    folder: Path, field: str
) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, field: None}))
    with pytest.raises(ModelFileError, match=rf"card\.json: not a readable .*{field} is no"):
        load_predictor(folder)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("split_feature", lambda numbers: ["99999", *numbers[1:]]),
        ("split_feature", lambda numbers: ["-1", *numbers[1:]]),
        ("left_child", lambda numbers: ["123456789", *numbers[1:]]),
        ("left_child", lambda numbers: ["0", *numbers[1:]]),  # a circle
        ("right_child", lambda numbers: ["-99999", *numbers[1:]]),
        ("right_child", lambda numbers: [numbers[-1]] * len(numbers)),
        ("max_feature_idx", lambda _: ["99999"]),
    ],
)
def test_trees_that_lead_out_of_their_arrays_are_refused(
    folder: Path, line: str, changed: Callable[[list[str]], list[str]]
) -> None:
    text = lzma.decompress((folder / "trees.txt.xz").read_bytes()).decode()
    start = text.index(f"\n{line}=") + len(line) + 2
    end = text.index("\n", start)
    damaged = text[:start] + " ".join(changed(text[start:end].split())) + text[end:]
    as_if_its_card_said_so(folder, "trees.txt.xz", lzma.compress(damaged.encode()))
    with pytest.raises(ModelFileError, match="do not fit its card"):
        load_predictor(folder)


@pytest.mark.parametrize(
    ("name", "changed"),
    [("dual", lambda a: a[:-1]), ("descriptors", lambda a: np.hstack([a, a]))],
)
def test_a_kernel_of_other_compounds_or_descriptors_is_refused(
    folder: Path, name: str, changed: Callable[[Any], Any]
) -> None:
    file = "kernel.safetensors.xz"
    arrays = load_arrays(lzma.decompress((folder / file).read_bytes()))
    arrays[name] = np.ascontiguousarray(changed(arrays[name]))
    as_if_its_card_said_so(folder, file, lzma.compress(save_arrays(arrays)))
    with pytest.raises(ModelFileError, match="do not fit its card"):
        load_predictor(folder)


@pytest.mark.parametrize("name", ["bits", "values", "errors"])
def test_a_reference_of_other_compounds_is_refused(folder: Path, name: str) -> None:
    arrays = load_arrays(lzma.decompress((folder / REFERENCE_FILE).read_bytes()))
    arrays[name] = arrays[name][:-1]
    as_if_its_card_said_so(folder, REFERENCE_FILE, lzma.compress(save_arrays(arrays)))
    with pytest.raises(ModelFileError, match="do not fit its card"):
        load_predictor(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"card_version": 99}'])
def test_a_broken_card_is_a_model_file_error(folder: Path, text: str) -> None:
    (folder / "card.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"card\.json: not a readable model card"):
        load_predictor(folder)


def test_a_card_of_other_features_asks_for_the_right_rdkit(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["features"]["descriptors"].append("a descriptor of another RDKit")
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelFileError, match="trained on other features"):
        load_predictor(folder)


def test_unknown_endpoints_and_folders_are_explained(folder: Path) -> None:
    with pytest.raises(DataError, match=r"did you mean 'logp'.*logp"):
        load_predictors(folder.parent, ["logpp"])
    with pytest.raises(ModelFileError, match="does not exist"):
        load_predictors(folder.parent / "nowhere", ["logp"])
    with pytest.raises(ModelFileError, match=r"card\.json is missing"):
        load_predictor(folder.parent)
    with pytest.raises(DataError, match="did you mean 'fxa_pki'"):
        endpoint("fxa_pk")


# -- training data --------------------------------------------------------------------------


def test_too_little_data_is_refused(logp_rows: Rows) -> None:
    few = logp_rows.where(np.arange(len(DRUGS)) < 10)
    described = Endpoint("logp", "regression", "log10", "neutral", "")
    with pytest.raises(DataError, match="at least 40"):
        fit_predictor(few, described, recipes=[TreesRecipe()])


def test_one_class_or_one_value_is_refused(logp_rows: Rows) -> None:
    flat = Rows(logp_rows.smiles, np.ones(len(DRUGS)), logp_rows.official_test, {"file": "t.csv"})
    with pytest.raises(DataError, match="at least 10 of each"):
        fit_predictor(
            flat, Endpoint("x", "classification", "p", "worse", ""), recipes=[TreesRecipe()]
        )
    with pytest.raises(DataError, match="every compound has the value 1"):
        fit_predictor(flat, Endpoint("x", "regression", "p", "worse", ""), recipes=[TreesRecipe()])


def test_a_table_without_official_split_says_so(logp_rows: Rows) -> None:
    described = Endpoint("logp", "regression", "log10", "neutral", "")
    with pytest.raises(DataError, match="no official test split"):
        fit_predictor(
            logp_rows, described, recipes=[TreesRecipe(n_trees=5)], n_folds=2, official_test=True
        )
