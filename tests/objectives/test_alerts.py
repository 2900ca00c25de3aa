"""Structural alerts, and the hazards that must be caught without catching drugs."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molgen.objectives.alerts import alerts, hazard
from tests.property_models.drugs import DRUGS

AGENTS = {
    "sarin": "CC(C)OP(C)(=O)F",
    "soman": "CC(OP(C)(=O)F)C(C)(C)C",
    "cyclosarin": "CP(=O)(F)OC1CCCCC1",
    "tabun": "CCOP(=O)(C#N)N(C)C",
    "VX": "CCOP(C)(=O)SCCN(C(C)C)C(C)C",
    "VX hydrochloride": "Cl.CCOP(C)(=O)SCCN(C(C)C)C(C)C",
    "VX protonated": "CCOP(C)(=O)SCC[NH+](C(C)C)C(C)C",
    "Russian VX": "CC(C)COP(C)(=O)SCCN(CC)CC",
    "amiton": "CCOP(=O)(OCC)SCCN(CC)CC",
    "sulfur mustard": "ClCCSCCCl",
    "sulfur mustard with deuterium": "ClCC([2H])([2H])SCCCl",
    "sesquimustard": "ClCCSCCSCCCl",
    "O-mustard": "ClCCSCCOCCSCCCl",
    "chloroethyl chloromethyl sulfide": "ClCCSCCl",
    "HN-1": "CCN(CCCl)CCCl",
    "HN-2": "CN(CCCl)CCCl",
    "HN-2 hydrochloride": "C[NH+](CCCl)CCCl.[Cl-]",
    "HN-3": "ClCCN(CCCl)CCCl",
    "lewisite 1": "Cl/C=C/[As](Cl)Cl",
    "lewisite 2": "ClC=C[As](Cl)C=CCl",
    "lewisite 3": "ClC=C[As](C=CCl)C=CCl",
}
# Nitrogen mustards in the clinic count as nitrogen mustards.
MUSTARD_DRUGS = {
    "cyclophosphamide": "O=P1(N(CCCl)CCCl)NCCCO1",
    "ifosfamide": "O=P1(NCCCl)OCCCN1CCCl",
    "chlorambucil": "O=C(O)CCCc1ccc(N(CCCl)CCCl)cc1",
    "melphalan": "NC(Cc1ccc(N(CCCl)CCCl)cc1)C(=O)O",
    "bendamustine": "Cn1c(CCCC(=O)O)nc2cc(N(CCCl)CCCl)ccc21",
}
HARMLESS = {
    "fosinopril": "CCC(=O)OC(OP(=O)(CCCCc1ccccc1)CC(=O)N1CC(C2CCCCC2)CC1C(=O)O)C(C)C",
    "fosphenytoin": "O=C1NC(c2ccccc2)(c2ccccc2)C(=O)N1COP(=O)(O)O",
    "apixaban": "COc1ccc(-n2nc(C(N)=O)c3c2C(=O)N(c2ccc(N4CCCCC4=O)cc2)CC3)cc1",
    "rivaroxaban": "O=C(NCC1CN(c2ccc(N3CCOCC3=O)cc2)C(=O)O1)c1ccc(Cl)s1",
    "sofosbuvir": "CC(C)OC(=O)C(C)NP(=O)(OCC1OC(n2ccc(=O)[nH]c2=O)C(C)(F)C1O)Oc1ccccc1",
    "tenofovir": "CC(Cn1cnc2c(N)ncnc21)OCP(=O)(O)O",
    "tenofovir disoproxil": "CC(Cn1cnc2c(N)ncnc21)OCP(=O)(OCOC(=O)OC(C)C)OCOC(=O)OC(C)C",
    "tenofovir alafenamide": "CC(Cn1cnc2c(N)ncnc21)OCP(=O)(NC(C)C(=O)OC(C)C)Oc1ccccc1",
    "amifostine": "NCCCNCCSP(=O)(O)O",
    "miltefosine": "CCCCCCCCCCCCCCCCOP(=O)([O-])OCC[N+](C)(C)C",
    "zoledronic acid": "O=P(O)(O)C(O)(Cn1ccnc1)P(=O)(O)O",
    "clindamycin": "CCCC1CC(C(=O)NC(C(C)Cl)C2OC(SC)C(O)C(O)C2O)N(C)C1",
    "carmustine": "O=NN(CCCl)C(=O)NCCCl",
    "fluticasone propionate": "CCC(=O)OC1(C(=O)SCF)C(C)CC2C3CC(F)C4=CC(=O)C=CC4(C)C3(F)C(O)CC21C",
    "edoxaban": "CN(C)C(=O)C1CCC(NC(=O)C(=O)Nc2ccc(Cl)cn2)C(NC(=O)c2nc3c(s2)CN(C)CC3)C1",
    "ranitidine": "CNC(=C[N+](=O)[O-])NCCSCc1ccc(CN(C)C)o1",
    "pyridostigmine": "CN(C)C(=O)Oc1ccc[n+](C)c1",
    "glyphosate": "O=C(O)CNCP(=O)(O)O",
    "malathion": "CCOC(=O)CC(SP(=S)(OC)OC)C(=O)OCC",
    "clomethiazole": "Cc1ncsc1CCCl",
    "melarsoprol": "Nc1nc(N)nc(Nc2ccc([As]3SCC(CO)S3)cc2)n1",
    "a hexafluorophosphate": "CCCCn1cc[n+](C)c1.F[P-](F)(F)(F)(F)F",
}


@pytest.mark.parametrize("name", [*AGENTS, *MUSTARD_DRUGS])
def test_a_chemical_warfare_agent_or_mustard_is_named(name: str) -> None:
    assert hazard(Chem.MolFromSmiles((AGENTS | MUSTARD_DRUGS)[name]))


@pytest.mark.parametrize("name", HARMLESS)
def test_a_drug_that_looks_a_little_like_one_is_not(name: str) -> None:
    assert hazard(Chem.MolFromSmiles(HARMLESS[name])) == ""


def test_no_common_drug_is_a_hazard() -> None:
    assert [s for s in DRUGS if hazard(Chem.MolFromSmiles(s))] == []


def test_the_class_is_told() -> None:
    assert hazard(Chem.MolFromSmiles(AGENTS["sarin"])) == "organophosphorus fluoride"
    assert hazard(Chem.MolFromSmiles(MUSTARD_DRUGS["melphalan"])) == "nitrogen mustard"


def test_alerts_are_named_with_their_catalogue_in_the_order_asked() -> None:
    quinone = Chem.MolFromSmiles("O=C1C=CC(=O)C=C1")
    assert alerts(quinone, ["PAINS"]) == ["PAINS quinone_A(370)"]
    assert alerts(quinone, ["BRENK", "PAINS"]) == ["BRENK chinone_1", "PAINS quinone_A(370)"]
    assert alerts(quinone, ["PAINS", "PAINS"]) == ["PAINS quinone_A(370)"]


@pytest.mark.parametrize("catalog", ["PAINS", "BRENK", "NIH", "ZINC"])
def test_every_catalogue_passes_a_plain_molecule(catalog: str) -> None:
    assert alerts(Chem.MolFromSmiles("CC(=O)NC1CCNCC1"), [catalog]) == []
