"""What is rejected, and the words for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.config.objective import (
    AlertFilter,
    Filter,
    HazardFilter,
    KnownFilter,
    RangeFilter,
    SubstructureFilter,
)
from molgen.objectives import Objective
from tests.objectives.configs import ASPIRIN, CAFFEINE, PARACETAMOL, QED, objective
from tests.property_models.drugs import DRUGS

QUINONE = "O=C1C=CC(=O)C=C1"
MUSTARD = "ClCCSCCCl"


def reasons(filters: list[Filter], smiles: list[str], root: Path = Path("none")) -> list[str]:
    with Objective(objective(QED, filters=filters), predictors_root=root) as made:
        return made.filter(smiles)


def test_without_filters_everything_that_can_be_read_passes() -> None:
    found = reasons([], [ASPIRIN, "C1CC", "", "CCO"])
    assert [bool(reason) for reason in found] == [False, True, True, False]
    assert all(reason.startswith("invalid: ") for reason in found if reason)
    assert reasons([], []) == []


def test_a_range_names_the_descriptor_its_value_and_the_bound() -> None:
    weight = RangeFilter(type="range", name="molecular_weight", low=100, high=190)
    assert reasons([weight], [ASPIRIN, "C", CAFFEINE]) == [
        "",
        "range: molecular_weight 16.04 < 100",
        "range: molecular_weight 194.2 > 190",
    ]


def test_the_bounds_of_a_range_belong_to_it() -> None:
    rings = RangeFilter(type="range", name="n_rings", low=1, high=1)
    assert reasons([rings], [ASPIRIN, "C"]) == ["", "range: n_rings 0 < 1"]


def test_alerts_are_named_and_counted() -> None:
    pains = AlertFilter(type="alerts")
    assert reasons([pains], [QUINONE, ASPIRIN]) == ["alerts: PAINS quinone_A(370)", ""]
    both = AlertFilter(type="alerts", catalogs=["PAINS", "BRENK"], max_alerts=1)
    assert reasons([both], [QUINONE]) == ["alerts: PAINS quinone_A(370); BRENK chinone_1"]
    assert reasons([both.model_copy(update={"max_alerts": 2})], [QUINONE]) == [""]


def test_hazards_are_rejected_by_class() -> None:
    found = reasons([HazardFilter(type="hazards")], [MUSTARD, ASPIRIN])
    assert found == ["hazards: sulfur mustard", ""]


def test_substructures_are_forbidden_and_required() -> None:
    acid = SubstructureFilter(type="substructure", require=["C(=O)[OH]"], forbid=["[#7]"])
    assert reasons([acid], [ASPIRIN, PARACETAMOL, "CCO"]) == [
        "",
        "substructure: has [#7]",
        "substructure: lacks C(=O)[OH]",
    ]


@pytest.mark.parametrize("smarts", ["[H]O", "[#1]O", "[$([H]OC)]"])
def test_a_hydrogen_in_a_pattern_is_found_though_molecules_carry_none(smarts: str) -> None:
    alcohol = SubstructureFilter(type="substructure", forbid=[smarts])
    assert reasons([alcohol], ["CO", "COC"]) == [f"substructure: has {smarts}", ""]


def test_a_filter_that_rejects_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="rejects nothing; give low, high or both"):
        RangeFilter(type="range", name="qed")
    with pytest.raises(ValidationError, match="rejects nothing; give patterns"):
        SubstructureFilter(type="substructure")
    # A run folder may hold one with every default written out.
    RangeFilter(type="range", name="qed", low=float("-inf"), high=float("inf"))
    SubstructureFilter(type="substructure", forbid=[], require=[])


def test_a_pattern_that_is_none_is_refused_with_the_config() -> None:
    with pytest.raises(ValidationError, match=r"cannot parse the SMARTS 'C\(\('"):
        SubstructureFilter(type="substructure", forbid=["C(("])
    with pytest.raises(ValidationError, match="low must not be above high"):
        RangeFilter(type="range", name="qed", low=2, high=1)


def test_the_order_of_the_molecules_and_of_the_filters_changes_no_verdict() -> None:
    filters: list[Filter] = [
        AlertFilter(type="alerts", catalogs=["BRENK"]),
        RangeFilter(type="range", name="qed", low=0.5),
        HazardFilter(type="hazards"),
        RangeFilter(type="range", name="logp", high=4),
    ]
    smiles = [*DRUGS, MUSTARD, QUINONE, "oops"]
    expected = reasons(filters, smiles)
    assert reasons(filters[::-1], smiles) == expected
    assert reasons(filters, smiles[::-1]) == expected[::-1]
    assert [reasons(filters, [s])[0] for s in smiles[:10]] == expected[:10]
    assert len({reason.split(":")[0] for reason in expected}) == 5  # '' and four kinds


def test_cheap_filters_come_first() -> None:
    filters: list[Filter] = [
        AlertFilter(type="alerts", catalogs=["BRENK"]),
        HazardFilter(type="hazards"),
    ]
    assert reasons(filters, [MUSTARD]) == ["hazards: sulfur mustard"]


def test_a_measured_compound_is_known_in_any_spelling(predictors_root: Path) -> None:
    known = KnownFilter(type="known", endpoint="toy_logp")
    salt, hydroxypyridine = "[Na+].CC(=O)Oc1ccccc1C(=O)[O-]", "Oc1ncc(F)c(O)n1"
    smiles = [ASPIRIN, "O=C(O)c1ccccc1OC(C)=O", salt, hydroxypyridine, "CCCCCCCCCCF", "O"]
    assert [bool(r) for r in reasons([known], smiles, predictors_root)] == [
        True,
        True,
        True,
        True,
        False,
        False,  # the fourth is a tautomer of fluorouracil
    ]
    assert reasons([known], [ASPIRIN], predictors_root) == [
        "known: a measured compound of toy_logp"
    ]


def test_a_near_neighbour_is_known_below_similarity_1(predictors_root: Path) -> None:
    near = "CC(=O)Oc1ccccc1C(=O)OC"
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [morgan.GetFingerprint(Chem.MolFromSmiles(s)) for s in (near, *DRUGS)]
    similarity = max(DataStructs.BulkTanimotoSimilarity(prints[0], prints[1:]))
    assert 0.5 < similarity < 1
    for bound, rejected in ((similarity - 0.01, True), (similarity + 0.01, False)):
        known = KnownFilter(type="known", endpoint="toy_logp", max_similarity=bound)
        (reason,) = reasons([known], [near], predictors_root)
        assert (
            reason == f"known: similarity {similarity:.2f} to a measured compound of toy_logp"
        ) is rejected
