"""PMO's oracles: targets, formulas by hand, older RDKit functions as second implementation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import AllChem, Descriptors

from experiments.pmo.oracles import (
    ORACLES,
    TARGETS,
    at_least,
    at_most,
    clipped,
    gaussian,
    geometric_mean,
)

IBUPROFEN = "CC(C)Cc1ccc(C(C)C(=O)O)cc1"
CAFFEINE = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"
VALSARTAN = "CCCCC(=O)N(Cc1ccc(-c2ccccc2-c2nnn[nH]2)cc1)C(C(C)C)C(=O)O"
MORPHINE = "CN1CCC23C4Oc5c(O)ccc(CC1C2C=CC4O)c53"
PENICILLIN = "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O"
DRUGS = [IBUPROFEN, CAFFEINE, VALSARTAN, MORPHINE, PENICILLIN]

number = st.floats(-50, 50)


def mol(smiles: str) -> Chem.Mol:
    return Chem.MolFromSmiles(smiles)


def test_there_are_twenty() -> None:
    assert len(ORACLES) == 20


@pytest.mark.parametrize(
    "task", [t for t in ORACLES if t.endswith(("_rediscovery", "_similarity"))]
)
def test_the_target_scores_one_on_itself(task: str) -> None:
    assert ORACLES[task](mol(TARGETS[task.partition("_")[0]])) == 1.0


@pytest.mark.parametrize(
    ("task", "isomer", "homologue"),
    [
        ("isomers_c7h8n2o2", "COc1ccc(C(N)=O)nc1", "CCOc1ccc(C(N)=O)nc1"),
        ("isomers_c7h8n2o2", "Nc1ccc([N+](=O)[O-])c(C)c1", "Nc1ccc([N+](=O)[O-])cc1"),
        (
            "isomers_c9h10n2o2pf2cl",
            "CC(=O)Nc1ccc(P(F)F)c(O)c1NCCl",
            "CCC(=O)Nc1ccc(P(F)F)c(O)c1NCCl",
        ),
    ],
)
def test_the_wanted_formula_alone_scores_one(task: str, isomer: str, homologue: str) -> None:
    assert ORACLES[task](mol(isomer)) == 1.0
    n_scores = 5 if task == "isomers_c7h8n2o2" else 8  # one per element, one for all atoms
    # one carbon, two hydrogens and three atoms too many or too few
    off = math.exp(-0.5 * (1 + 4 + (3 / 2) ** 2) / n_scores)
    assert ORACLES[task](mol(homologue)) == pytest.approx(off)


@pytest.mark.parametrize("task", ORACLES)
def test_scores_lie_between_zero_and_one_and_do_not_depend_on_spelling(task: str) -> None:
    for smiles in DRUGS:
        one = mol(smiles)
        other = mol(Chem.MolToSmiles(one, rootedAtAtom=one.GetNumAtoms() - 1, canonical=False))
        assert 0 <= ORACLES[task](one) <= 1
        assert ORACLES[task](other) == pytest.approx(ORACLES[task](one), abs=1e-12)


@pytest.mark.parametrize("smiles", DRUGS)
def test_similarities_are_those_of_the_older_fingerprint_functions(smiles: str) -> None:
    def similarity(target: str, make: object) -> float:
        with rdBase.BlockLogs():
            return float(
                DataStructs.TanimotoSimilarity(make(mol(TARGETS[target])), make(mol(smiles)))
            )

    ecfp4 = similarity("celecoxib", lambda m: AllChem.GetMorganFingerprint(m, 2))
    fcfp4 = similarity("albuterol", lambda m: AllChem.GetMorganFingerprint(m, 2, useFeatures=True))
    pairs = similarity("mestranol", lambda m: AllChem.GetAtomPairFingerprint(m, maxLength=10))
    assert ORACLES["celecoxib_rediscovery"](mol(smiles)) == pytest.approx(ecfp4, abs=1e-12)
    assert ORACLES["albuterol_similarity"](mol(smiles)) == pytest.approx(min(1, fcfp4 / 0.75))
    assert ORACLES["mestranol_similarity"](mol(smiles)) == pytest.approx(min(1, pairs / 0.75))


def test_osimertinib_is_too_similar_to_itself() -> None:
    target = mol(TARGETS["osimertinib"])
    by_hand = [
        1.0,
        math.exp(-0.5 * ((1.0 - 0.85) / 0.1) ** 2),
        math.exp(-0.5 * ((Descriptors.TPSA(target) - 100) / 10) ** 2),  # it lies below 100
        math.exp(-0.5 * ((Descriptors.MolLogP(target) - 1) / 1) ** 2),  # it lies above 1
    ]
    assert Descriptors.TPSA(target) < 100 < 100 * Descriptors.MolLogP(target)
    assert ORACLES["osimertinib_mpo"](target) == pytest.approx(math.prod(by_hand) ** 0.25)


def test_valsartan_smarts_asks_for_sitagliptins_properties_on_valsartans_core() -> None:
    one, other = mol("CN(C=O)Cc1ccc(-c2ccccc2)cc1"), mol(TARGETS["sitagliptin"])
    by_hand = [
        math.exp(-0.5 * ((function(one) - function(other)) / sigma) ** 2)
        for function, sigma in (
            (Descriptors.MolLogP, 0.2), (Descriptors.TPSA, 5), (Descriptors.BertzCT, 30),
        )
    ]  # fmt: skip
    expected = math.exp(sum(map(math.log, by_hand)) / 4)
    assert ORACLES["valsartan_smarts"](one) == pytest.approx(expected, rel=1e-9, abs=0)
    assert ORACLES["valsartan_smarts"](other) == 0.0  # lacks the core
    assert ORACLES["valsartan_smarts"](mol(VALSARTAN)) > 0.0


def test_the_hops_start_from_a_known_place() -> None:
    """The inhibitor holds scaffold, sulfone and benzothiazole: half of deco, two thirds of hop."""
    target = mol(TARGETS["hop"])
    assert ORACLES["deco_hop"](target) == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert ORACLES["scaffold_hop"](target) == pytest.approx((1 + 1 + 0) / 3)


def test_perindopril_and_amlodipine_ask_for_rings_the_drugs_lack() -> None:
    assert ORACLES["perindopril_mpo"](mol(TARGETS["perindopril"])) == pytest.approx(
        math.sqrt(math.exp(-0.5 * (2 / 0.5) ** 2))
    )
    assert ORACLES["amlodipine_mpo"](mol(TARGETS["amlodipine"])) == pytest.approx(
        math.sqrt(math.exp(-0.5 * (1 / 0.5) ** 2))
    )


@given(value=number)
def test_half_bells_are_one_on_their_good_side_and_the_bell_on_the_other(value: float) -> None:
    bell = gaussian(3, 2)
    assert at_most(3, 2)(value) == (1.0 if value <= 3 else bell(value))
    assert at_least(3, 2)(value) == (1.0 if value >= 3 else bell(value))


@given(value=number)
def test_clipping_is_a_straight_line_between_its_ends(value: float) -> None:
    assert clipped(0.8)(value) == pytest.approx(min(1, max(0, value / 0.8)))


@given(scores=st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
def test_the_geometric_mean_lies_between_its_scores_and_a_zero_makes_it_zero(
    scores: list[float],
) -> None:
    mean = geometric_mean(scores)
    assert min(scores) - 1e-12 <= mean <= max(scores) + 1e-12
    assert mean == pytest.approx(math.prod(scores) ** (1 / len(scores)))
    assert geometric_mean([*scores, 0.0]) == 0.0
