"""Pictures, when they are shown, and the whole explanation of one molecule."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rdkit import Chem

from property_models.endpoints import Endpoint
from property_models.explain import (
    Counterfactual,
    Explanation,
    Replacement,
    attribute_atoms,
    blend,
    caution,
    draw_attribution,
    explain,
    fit_additive,
    predictor_score,
    why_hidden,
)
from property_models.explain.drawing import BLUE, GREY, ORANGE, colour_of
from property_models.features import Features
from property_models.model_card import ModelCard
from property_models.predictor import Predictor

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def with_interval(card: ModelCard, task: str, **intervals: list[float]) -> ModelCard:
    return replace(card, task=task, metrics={"intervals_95": intervals})  # type: ignore[arg-type]


# -- drawing --------------------------------------------------------------------------------


def test_the_drawing_is_one_svg_with_unit_direction_and_scale_in_its_legend() -> None:
    mol = Chem.MolFromSmiles("Clc1ccccc1")
    atoms = np.array([1.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    svg = draw_attribution(mol, atoms, unit="log10(mol/L)", higher_is="better")
    root = ElementTree.fromstring(svg)
    texts = " ".join(element.text or "" for element in root.iter() if element.tag.endswith("text"))
    assert root.tag.endswith("svg")
    assert "log10(mol/L)" in texts and "better" in texts and "worse" in texts
    assert "+1.5" in texts and "-1.5" in texts
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_blue_is_better_and_orange_worse_whichever_way_the_numbers_run() -> None:
    assert colour_of(1.0, "better") == colour_of(-1.0, "worse") == pytest.approx(BLUE)
    assert colour_of(-1.0, "better") == colour_of(1.0, "worse") == pytest.approx(ORANGE)
    assert colour_of(1.0, "neutral") == pytest.approx(ORANGE)


def test_a_smaller_effect_is_paler_and_a_missing_one_grey() -> None:
    assert sum(colour_of(0.2, "neutral")) > sum(colour_of(0.9, "neutral"))
    assert colour_of(float("nan"), "neutral") == GREY


def test_one_scale_makes_drawings_comparable() -> None:
    mol = Chem.MolFromSmiles("ClCCl")
    small = draw_attribution(mol, np.array([0.1, 0.0, 0.0]), unit="x", scale=10.0)
    large = draw_attribution(mol, np.array([0.1, 0.0, 0.0]), unit="x")
    assert small.count("<ellipse") < large.count("<ellipse")


def test_all_zero_and_all_missing_attributions_can_be_drawn() -> None:
    mol = Chem.MolFromSmiles("CCO")
    for atoms in (np.zeros(3), np.full(3, np.nan)):
        ElementTree.fromstring(draw_attribution(mol, atoms, unit="x"))


# -- reliability ----------------------------------------------------------------------------


def test_a_model_no_better_than_guessing_is_not_explained(predictor: Predictor) -> None:
    poor = with_interval(predictor.card, "classification", auroc=[0.55, 0.7])
    fair = with_interval(predictor.card, "classification", auroc=[0.61, 0.7])
    assert "AUROC on unseen scaffolds is between 0.55 and 0.70" in why_hidden(poor)
    assert why_hidden(fair) == ""
    assert "R²" in why_hidden(with_interval(predictor.card, "regression", r2=[-0.2, 0.4]))
    assert why_hidden(with_interval(predictor.card, "regression", r2=[0.2, 0.4])) == ""


def test_a_card_without_the_interval_counts_as_guessing(predictor: Predictor) -> None:
    assert "no 95 % interval" in why_hidden(with_interval(predictor.card, "regression"))


def test_outside_the_domain_a_caution_names_the_similarity() -> None:
    assert caution(True, 0.2) == ""
    assert "similarity 0.21" in caution(False, 0.21)


# -- everything about one molecule ----------------------------------------------------------


def test_an_explanation_holds_atoms_fragments_and_neighbours(predictor: Predictor) -> None:
    found = explain(predictor, ASPIRIN)
    assert found.hidden == ""
    assert len(found.atoms) == 13 and np.isfinite(found.atoms).all()
    assert sum(len(c.fragment.atoms) for c in found.fragments) == 13
    assert found.counterfactuals
    assert found.value == predictor.predict([ASPIRIN]).value[0]
    assert found.svg().startswith("<svg")


def test_an_explanation_takes_the_surrogate_that_is_given_before_the_predictors_own(
    predictor: Predictor, drug_features: Features
) -> None:
    other = fit_additive(drug_features, -predictor_score(predictor)(drug_features))
    own = explain(predictor, ASPIRIN, replacements=[])
    blended = explain(predictor, ASPIRIN, replacements=[], additive=other)
    assert own.mol is not None
    masking = attribute_atoms([own.mol], predictor_score(predictor))
    wanted = blend(masking, other.attribute([own.mol]))[0]
    np.testing.assert_allclose(blended.atoms, wanted)
    assert not np.allclose(blended.atoms, own.atoms)


@pytest.mark.parametrize("fidelity", [0.49, float("nan")])
def test_a_surrogate_that_catches_little_of_the_model_is_not_drawn(
    predictor: Predictor, fidelity: float
) -> None:
    assert predictor.parts.additive is not None
    poor = replace(predictor.parts.additive, fidelity=fidelity)
    own = Predictor(predictor.card, replace(predictor.parts, additive=poor))
    alone = Predictor(predictor.card, replace(predictor.parts, additive=None))
    wanted = explain(alone, ASPIRIN, replacements=[]).atoms
    np.testing.assert_array_equal(explain(own, ASPIRIN, replacements=[]).atoms, wanted)
    given = explain(alone, ASPIRIN, replacements=[], additive=poor).atoms
    np.testing.assert_array_equal(given, wanted)


def test_what_cannot_be_predicted_says_why_and_draws_nothing(predictor: Predictor) -> None:
    found = explain(predictor, "not a molecule")
    assert "cannot parse" in found.hidden and found.svg() == ""
    assert np.isnan(found.value) and found.counterfactuals == []


def test_a_poor_model_still_gives_its_value_but_no_picture(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor = Predictor(with_interval(predictor.card, "regression", r2=[-1.0, 0.0]), predictor.parts)
    found = explain(poor, ASPIRIN)
    assert "hardly better than guessing" in found.hidden
    assert np.isfinite(found.value) and found.svg() == "" and len(found.atoms) == 0


# -- networks -------------------------------------------------------------------------------


def test_integrated_gradients_add_up_to_what_the_atoms_do_to_the_score(
    drug_features: Features,
) -> None:
    import torch

    from property_models.explain.gradients import integrated_gradients
    from property_models.network import NetworkRecipe, fit_network

    values = np.array([float(mol.GetNumAtoms()) for mol in drug_features.mols])
    recipe = NetworkRecipe(n_layers=2, n_channels=16, n_epochs=3, dropout=0.0)
    network = fit_network(drug_features, values, task="regression", recipe=recipe, seed=0)
    two = drug_features.take(np.array([4, 1]))
    found = integrated_gradients(network, two, n_steps=200)
    assert [len(atoms) for atoms in found] == [mol.GetNumAtoms() for mol in two.mols]

    def without_atoms(_module: Any, _arguments: Any, output: Any) -> Any:
        return torch.zeros_like(output)

    full = network.predict(two)
    hook = network.modules[0].embed_atoms.register_forward_hook(without_atoms)
    empty = network.predict(two)
    hook.remove()
    np.testing.assert_allclose([atoms.sum() for atoms in found], full - empty, rtol=0.03)


# -- the command ----------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Any, predictor: Predictor) -> Any:
    """A folder with one predictor, and a file with a good and a bad structure."""
    from property_models.store import save

    save(tmp_path / "predictors" / "logp", predictor.card, predictor.parts)
    (tmp_path / "in.smi").write_text(f"{ASPIRIN} aspirin\nnonsense bad\n")
    return tmp_path


def test_the_command_writes_one_page_that_needs_nothing_else(files: Any) -> None:
    from molgen.explaining import explain_file

    shown, hidden = explain_file(
        str(files / "in.smi"), files / "page.html", folder=files / "predictors"
    )
    page = (files / "page.html").read_text()
    assert (shown, hidden) == (1, 1)
    assert page.count("<svg") == 1 and "cannot parse" in page
    assert "href=" not in page and "src=" not in page


def test_the_command_takes_replacements_from_a_measured_table(files: Any, logp_csv: Any) -> None:
    from molgen.explaining import explain_file

    explain_file(
        str(files / "in.smi"), files / "page.html", folder=files / "predictors",
        endpoints=["logp"], measured=logp_csv, background=logp_csv,
    )  # fmt: skip
    assert "<svg" in (files / "page.html").read_text()


def test_bounds_of_a_measured_table_are_no_measured_changes(files: Any) -> None:
    from molgen.explaining import _measured, _replacements

    chlorides = ["Clc1ccccc1", "Clc1ccccc1C", "Clc1ccccc1CC"]
    lines = [f"{s},{i}\n{s.replace('Cl', 'F')},{i + 1}" for i, s in enumerate(chlorides)]
    bounded = [f"{s},>{i}\n{s.replace('Cl', 'F')},{i + 1}" for i, s in enumerate(chlorides)]
    for name, written in (("exact", lines), ("bounds", bounded)):
        (files / f"{name}.csv").write_text("\n".join(["structure,pic50", *written]))
    exact = _replacements(_measured(files / "exact.csv", "structure", "pic50", "", False))
    assert [(r.n_pairs, abs(r.mean_change)) for r in exact if "Cl" in r.before] == [(3, 1.0)]
    bounds = _replacements(_measured(files / "bounds.csv", "structure", "pic50", "", False))
    assert not any("Cl" in r.before + r.after for r in bounds)


def test_the_command_reads_the_measured_table_by_the_same_column(files: Any) -> None:
    from molgen.explaining import explain_file

    (files / "mine.csv").write_text(f"structure,logp\n{ASPIRIN},1.2\nCCO,-0.3\n")
    explain_file(
        str(files / "mine.csv"), files / "page.html", folder=files / "predictors",
        endpoints=["logp"], smiles_column="structure", measured=files / "mine.csv",
        value_column="logp", n_max=1,
    )  # fmt: skip
    assert "<svg" in (files / "page.html").read_text()


def test_the_command_refuses_what_it_cannot_do_with_a_way_out(files: Any) -> None:
    from molgen.errors import ConfigError
    from molgen.explaining import explain_file

    with pytest.raises(ConfigError, match=r"name it \.html"):
        explain_file(str(files / "in.smi"), files / "page.txt")
    with pytest.raises(ConfigError, match="name it with --endpoints"):
        explain_file(str(files / "in.smi"), files / "p.html", measured=files / "in.smi")


def test_texts_of_the_page_are_escaped(predictor: Predictor) -> None:
    from molgen.explaining import _section

    endpoint = Endpoint("x", "regression", "<b>", "better", "a < b")
    section = _section(
        Explanation("C", endpoint, 1.0, 0.0, 2.0, "", 0.1, 0.0, "because 1 < 2", "", "<b>")
    )
    assert "a &lt; b" in section and "because 1 &lt; 2" in section and "<b></p>" not in section


def test_replacements_have_no_evidence_unless_measured() -> None:
    assert Replacement("a", "b").n_pairs == 0 and np.isnan(Replacement("a", "b").mean_change)


def test_the_page_compares_a_chiral_molecules_neighbours_with_its_flat_form() -> None:
    from molgen.explaining import _counterfactuals_table

    endpoint = Endpoint("x", "regression", "log10", "better", "")
    flat = Counterfactual(
        "NCCc1ccc(F)cc1", "Cl", "F", 1.2, 1.0, 1.4, 1.1, False, 0.1, False, "no clear change",
        True, 0, float("nan"),
    )  # fmt: skip
    known = Explanation("C", endpoint, 3.0, 2.0, 4.0, "", 1.0, 3.0, "", "", "log10")
    page = _counterfactuals_table(replace(known, counterfactuals=[flat]))
    assert "1.10 → 1.20" in page and "3.00" not in page and "stereochemistry" not in page
    chiral = replace(flat, stereo_left_out=True)
    page = _counterfactuals_table(replace(known, counterfactuals=[chiral]))
    assert "1.10 → 1.20" in page
    assert "left out of both sides below: without it, this molecule is predicted as 1.10" in page
