"""Groups of compounds and the errors in them."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from property_models import coverage, slices
from property_models.features import featurise

KINDS = {
    "CC(=O)Oc1ccccc1C(=O)O": "acid",  # aspirin
    "CNCCC(Oc1ccc(cc1)C(F)(F)F)c1ccccc1": "base",  # fluoxetine
    "NC(Cc1ccc(O)c(O)c1)C(=O)O": "acid and base",  # levodopa
    "CC(=O)Nc1ccc(O)cc1": "neither acid nor base",  # paracetamol
    "C[N+](C)(C)CC(O)CC(=O)O": "permanently charged",  # carnitine
    "CN(C)C(=N)NC(N)=N": "base",  # metformin
    "NS(=O)(=O)c1cc(C(=O)O)c(NCc2ccco2)cc1Cl": "acid",  # furosemide
    "O=[N+]([O-])c1ccccc1": "neither acid nor base",  # nitrobenzene
    "Nc1ccccc1": "neither acid nor base",  # aniline
}


def groups_of(*smiles: str) -> dict[str, np.ndarray]:
    return slices.groups_by_structure(featurise([Chem.MolFromSmiles(s) for s in smiles]))


def test_ionisation_is_as_a_chemist_would_say() -> None:
    found = groups_of(*KINDS)
    for row, (smiles, kind) in enumerate(KINDS.items()):
        assert found[kind][row], smiles
    exclusive = [found[kind] for kind in set(KINDS.values())]
    assert (np.sum(exclusive, axis=0) == 1).all()


@pytest.mark.parametrize(
    ("smiles", "group", "kind"),
    [
        ("CCc1c[nH]cn1", "base", "base"),  # 4-ethylimidazole
        ("c1nn[nH]n1", "acid", "acid"),  # 2H-tetrazole
        ("c1nnn[nH]1", "acid", "acid"),
        ("CN(C)C(C)=NC", "base", "base"),  # an amidine with substituents
        ("C[N+](C)(C)CC(=O)[O-]", "permanently charged", "permanently charged"),
        ("C[Si](C)(C)c1ccccc1", "unusual element", "metal or other unusual element"),
        ("OB(O)c1ccccc1", "unusual element", "boron"),
        ("C1CCCCCCCCCCC(=O)O1", "macrocycle", "macrocycle (ring of 12 atoms or more)"),
        ("CC(N)C(=O)NC(C)C(=O)NC(C)C(=O)O", "peptide", "peptide (three residues or more)"),
    ],
)
def test_a_card_and_a_report_on_the_data_tell_kinds_apart_alike(
    smiles: str, group: str, kind: str
) -> None:
    assert groups_of(smiles)[group].tolist() == [True]
    assert coverage.KINDS[kind](Chem.MolFromSmiles(smiles))


def test_every_compound_has_one_weight_and_one_logp() -> None:
    found = groups_of(*KINDS, "C", "CCCCCCCCCCCCCCCCCC", "C" * 60)
    for kind in ("weight", "logP"):
        masks = [mask for name, mask in found.items() if name.startswith(kind)]
        assert (np.sum(masks, axis=0) == 1).all()
    assert found["weight below 250"][len(KINDS)] and found["weight 600 or more"][-1]


def test_rare_kinds_of_compound_are_recognised() -> None:
    found = groups_of(
        "C1CCCCCCCCCCC(=O)O1",
        "CCO",
        "CC(N)C(=O)NC(C)C(=O)NC(C)C(=O)O",
        "OB(O)c1ccccc1",
        "c1ccccc1",
    )
    assert found["macrocycle"].tolist() == [True, False, False, False, False]
    assert found["acyclic"].tolist() == [False, True, True, False, False]
    assert found["peptide"].tolist() == [False, False, True, False, False]
    assert found["unusual element"].tolist() == [False, False, False, True, False]


def test_the_worst_group_is_named_with_its_error(rng: np.random.Generator) -> None:
    n = 400
    bad = np.arange(n) < 50
    measured = np.where(bad, 3.0, 1.0) * rng.normal(size=n)
    groups = {"all": np.ones(n, bool), "bad": bad, "good": ~bad, "tiny": np.arange(n) < 5}
    entries = slices.errors_by_group("regression", measured, np.zeros(n), groups)
    assert [entry["slice"] for entry in entries] == ["bad", "all", "good"]
    assert entries[1]["ratio"] == pytest.approx(1.0)
    assert entries[0]["error"] == pytest.approx(np.abs(measured[bad]).mean())
    assert slices.worst_group(entries)["slice"] == "bad"


def test_chance_differences_name_no_worst_group() -> None:
    errors = np.tile([0.0, 1.0, 2.0, 3.0], 50)
    half = np.arange(200) < 100
    entries = slices.errors_by_group("regression", errors, np.zeros(200), {"half": half})
    assert entries and slices.worst_group(entries) == {}


def test_perfect_predictions_have_no_groups() -> None:
    groups = {"all": np.ones(50, bool)}
    assert slices.errors_by_group("regression", np.zeros(50), np.zeros(50), groups) == []


def test_labels_and_similarities_make_groups_too() -> None:
    by_assay = slices.groups_by_label(["a", "b", "", "a"], kind="assay")
    assert by_assay["assay a"].tolist() == [True, False, False, True] and len(by_assay) == 2
    by_similarity = slices.groups_by_similarity(np.array([0.0, 0.3, 0.55, 1.0]))
    assert (np.sum(list(by_similarity.values()), axis=0) == 1).all()


def test_few_compounds_of_a_kind_are_under_represented() -> None:
    mask = np.arange(200) < 3
    assert slices.under_represented({"rare": mask, "common": ~mask}) == {"rare": 3}
