"""The structure filter: drugs pass, what no chemist would try does not."""

from __future__ import annotations

import pytest
from rdkit import Chem

from experiments.pmo.oracles import TARGETS
from experiments.pmo.structures import nonsense

DRUGS = {
    **TARGETS,
    "ciclopirox": "Cc1cc(C2CCCCC2)n(O)c(=O)c1",
    "vorinostat": "O=C(CCCCCCC(=O)Nc1ccccc1)NO",
    "benzocyclobutene of ivabradine": "COc1cc2c(cc1OC)C(CN)C2",
    "a squaramide": "CNc1c(NC)c(=O)c1=O",
    "adamantane amine": "NC12CC3CC(CC(C3)C1)C2",
    "bicyclopentane": "O=C(O)C12CC(C1)C2",
    "carmustine": "O=C(NCCCl)N(CCCl)N=O",
    "chloral hydrate's trifluoro acid analogue": "OC(=O)C(F)(F)F",
    "clopidogrel": "COC(=O)C(c1ccccc1Cl)N1CCc2sccc2C1",
    "cocaine": "COC(=O)C1C(OC(=O)c2ccccc2)CC2CCC1N2C",
    "dacarbazine": "CN(C)N=Nc1[nH]cnc1C(N)=O",
    "disulfide (lipoic acid)": "O=C(O)CCCCC1CCSS1",
    "fosinopril": "CCC(=O)OC(OP(=O)(CCCCc1ccccc1)CC(=O)N1CC(C2CCCCC2)CC1C(=O)O)C(C)C",
    "glucose": "OCC1OC(O)C(O)C(O)C1O",
    "isosorbide dinitrate": "O=[N+]([O-])OC1COC2C1OCC2O[N+](=O)[O-]",
    "metronidazole": "Cc1ncc([N+](=O)[O-])n1CCO",
    "minoxidil": "Nc1cc(N2CCCCC2)nc(N)[n+]1[O-]",
    "morphine": "CN1CCC23C4Oc5c(O)ccc(CC1C2C=CC4O)c53",
    "neostigmine": "CN(C)C(=O)Oc1cccc([N+](C)(C)C)c1",
    "penicillin G": "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
    "quinine": "C=CC1CN2CCC1CC2C(O)c1ccnc2ccc(OC)cc12",
    "sulforaphane": "CS(=O)CCCCN=C=S",
    "terbinafine": "CN(CC=CC#CC(C)(C)C)Cc1cccc2ccccc12",
    "tranylcypromine": "NC1CC1c1ccccc1",
    "zidovudine": "Cc1cn(C2CC(N=[N+]=[N-])C(CO)O2)c(=O)[nH]c1=O",
}

NONSENSE = {
    "CC=C=CC": "cumulated",
    "C1=C=CCCCC1": "cumulated",
    "CN=C=O": "cumulated",
    "CC#CC#CC#CC": "polyyne",
    "CC1=CC1": "ring of three",
    "C=C1CC1": "ring of three",
    "CC1C=CC1": "ring of four",
    "CC1NN1": "two heteroatoms",
    "C1CON1": "neighbouring heteroatoms",
    "C1C2CC12": "share a bond",
    "C1CC2CC12": "ring of three on a ring of four",
    "C1CC2CCC12": "rings of four",
    "CCOOCC": "peroxide",
    "CNN(C)NC": "three heteroatoms",
    "CN(O)OC": "three heteroatoms",
    "CN(C)N(C)n1cccc1": "three heteroatoms",
    "CSSSC": "three heteroatoms",
    "CN=NN=NC": "four heteroatoms",
    "CSOC": "sulfur on oxygen",
    "CN(C)Cl": "halogen on",
    "OP(=O)(O)F": "halogen on phosphorus",
    "CC(O)(O)CC": "two hydroxyls",
    "CC(N)O": "amine and hydroxyl",
    "CC(O)n1ccnc1": "amine and hydroxyl",
    "CC(N)n1ccnc1": "primary amine and heteroatom",
    "CC(N)(N)C": "primary amine and heteroatom",
    "CCOC([NH3+])C": "primary amine and heteroatom",
    "Cn1sc2c1ccn2C": "ring of four",
    "CCN(C)OC": "hydroxylamine",
    "On1cccc1": "hydroxyl on a nitrogen",
    "CC=C[N+](=O)[O-]": "nitro on a double bond",
    "CC(F)SC": "single fluorine",
    "Cc1ccc(C(F)(F)S)cc1": "fluorine and OH, SH or NH",
    "O=C(O)n1cccc1": "carbamic acid",
    "CNC(F)(F)F": "fluorine and OH, SH or NH",
    "CC(=O)Cl": "acyl halide",
    "CC#CN(C)C": "alkyne on",
    "CC(C)=N": "hydrogen on nitrogen",
    "CC(C)=S": "thioketone",
    "C[SH3]": "sulfur",
    "C[I](C)C": "iodine",
    "C[C-](C)C": "charged carbon",
    "C[O+](C)C": "positive oxygen",
    "C[N-]C": "negative nitrogen",
    "C[N+](C)(C)OC": "positive nitrogen",
    "C[CH]C": "radical",
    "CC.CC": "several molecules",
    "C1#CCCCCC1": "triple bond in a small ring",
    "C12C3C4C1C5C4C3C25": "share a bond",
    "C1CC2=CC1CC2": "flat bridgehead",
}  # fmt: skip


@pytest.mark.parametrize("name", DRUGS)
def test_drugs_are_believed(name: str) -> None:
    assert nonsense(Chem.MolFromSmiles(DRUGS[name])) == ""


@pytest.mark.parametrize("smiles", NONSENSE)
def test_nonsense_is_called_by_its_name(smiles: str) -> None:
    assert NONSENSE[smiles] in nonsense(Chem.MolFromSmiles(smiles))


def test_a_drug_that_is_a_peroxide_pays_for_the_rule() -> None:
    """Artemisinin: the price of a rule, and said so in the README."""
    artemisinin = "CC1CCC2C(C)C(=O)OC3OC4(C)CCC1C23OO4"
    assert nonsense(Chem.MolFromSmiles(artemisinin)) == "peroxide"
