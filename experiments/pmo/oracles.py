"""The 20 oracles of PMO that need no model file, as data: parts, their modifiers, their mean.

Sources: GuacaMol (Brown et al. 2019, https://doi.org/10.1021/acs.jcim.8b00839), PMO (Gao et al.
2022, https://arxiv.org/abs/2206.12411) and Therapeutics Data Commons, whose oracles PMO calls
(https://tdcommons.ai/functions/oracles/). They are as in TDC's present code, which counts the atoms
of a molecular formula; its earlier versions counted letters of the SMILES in the isomer tasks,
zaleplon and sitagliptin. `valsartan_smarts` asks for the properties of sitagliptin, as published.

Every oracle takes a molecule and returns a score in [0, 1], 1 is best. Similarities are Tanimoto's
on unfolded count fingerprints without chirality, but for the pharmacophores, which are bits.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean
from typing import Any, Literal

from rdkit import Chem, DataStructs
from rdkit.Chem import QED, GraphDescriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

Part = Callable[[Chem.Mol], float]
Modifier = Callable[[float], float]
Fingerprint = Literal["ECFP4", "ECFP6", "FCFP4", "AP", "PHCO"]

# Public drugs and terpenes; the stereochemistry of a target plays no part.
TARGETS = {
    "albuterol": "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "amlodipine": "CCOC(=O)C1=C(COCCN)NC(C)=C(C(=O)OC)C1c1ccccc1Cl",
    "camphor": "CC1(C)C2CCC1(C)C(=O)C2",
    "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "fexofenadine": "CC(C)(C(=O)O)c1ccc(C(O)CCCN2CCC(C(O)(c3ccccc3)c3ccccc3)CC2)cc1",
    "menthol": "CC(C)C1CCC(C)CC1O",
    "mestranol": "C#CC1(O)CCC2C3CCc4cc(OC)ccc4C3CCC21C",
    "osimertinib": "C=CC(=O)Nc1cc(Nc2nccc(-c3cn(C)c4ccccc34)n2)c(OC)cc1N(C)CCN(C)C",
    "perindopril": "CCCC(NC(C)C(=O)N1C(C(=O)O)CC2CCCCC21)C(=O)OCC",
    "ranolazine": "COc1ccccc1OCC(O)CN1CCN(CC(=O)Nc2c(C)cccc2C)CC1",
    "sildenafil": "CCCc1nn(C)c2c(=O)[nH]c(-c3cc(S(=O)(=O)N4CCN(C)CC4)ccc3OCC)nc12",
    "sitagliptin": "NC(CC(=O)N1CCn2c(nnc2C(F)(F)F)C1)Cc1cc(F)c(F)cc1F",
    "tadalafil": "CN1CC(=O)N2C(c3ccc4c(c3)OCO4)c3[nH]c4ccccc4c3CC2C1=O",
    "thiothixene": "CN1CCN(CCC=C2c3ccccc3Sc3ccc(S(=O)(=O)N(C)C)cc32)CC1",
    "troglitazone": "Cc1c(C)c2c(c(C)c1O)CCC(C)(COc1ccc(CC3SC(=O)NC3=O)cc1)O2",
    "zaleplon": "CCN(C(C)=O)c1cccc(-c2ccnc3c(C#N)cnn23)c1",
    # GuacaMol's kinase inhibitor for the two hops
    "hop": "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C",
}

HOP_SCAFFOLD = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"  # 4-aminoquinazoline with a 7-O
HOP_DECORATION = "[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"


# -- modifiers ------------------------------------------------------------------------------


def unchanged(value: float) -> float:
    """The value itself."""
    return value


def clipped(full_from: float) -> Modifier:
    """From 0 at 0 in a straight line to 1 at `full_from` and 1 beyond."""
    return lambda value: min(1.0, max(0.0, value / full_from))


def gaussian(mu: float, sigma: float) -> Modifier:
    """1 at mu, falling to both sides."""
    return lambda value: math.exp(-0.5 * ((value - mu) / sigma) ** 2)


def at_most(mu: float, sigma: float) -> Modifier:
    """1 up to mu, falling as a Gaussian above (GuacaMol's MinGaussian)."""
    bell = gaussian(mu, sigma)
    return lambda value: bell(max(value, mu))


def at_least(mu: float, sigma: float) -> Modifier:
    """1 from mu on, falling as a Gaussian below (GuacaMol's MaxGaussian)."""
    bell = gaussian(mu, sigma)
    return lambda value: bell(min(value, mu))


# -- values ---------------------------------------------------------------------------------


@cache
def _generator(name: Fingerprint) -> Callable[[Chem.Mol], Any]:
    make = rdFingerprintGenerator
    match name:
        case "ECFP4":
            return make.GetMorganGenerator(radius=2).GetSparseCountFingerprint
        case "ECFP6":
            return make.GetMorganGenerator(radius=3).GetSparseCountFingerprint
        case "FCFP4":
            features = make.GetMorganFeatureAtomInvGen()
            generator = make.GetMorganGenerator(radius=2, atomInvariantsGenerator=features)
            return generator.GetSparseCountFingerprint
        case "AP":
            return make.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint
        case "PHCO":
            # Gobbi and Poppinger 1998, 2D pharmacophores; bits, not counts
            return partial(Generate.Gen2DFingerprint, sigFactory=Gobbi_Pharm2D.factory)


@cache
def _target_fingerprint(target: str, name: Fingerprint) -> Any:
    return _generator(name)(Chem.MolFromSmiles(TARGETS[target]))


def similarity(target: str, name: Fingerprint, modifier: Modifier = unchanged) -> Part:
    """Tanimoto similarity to a target."""

    def part(mol: Chem.Mol) -> float:
        value = DataStructs.TanimotoSimilarity(
            _target_fingerprint(target, name), _generator(name)(mol)
        )
        return modifier(value)

    return part


def descriptor(function: Part, modifier: Modifier) -> Part:
    """A property, modified."""
    return lambda mol: modifier(function(mol))


def near_target(function: Part, target: str, sigma: float) -> Part:
    """A property, best where it is the target's."""

    @cache
    def bell() -> Modifier:
        return gaussian(function(Chem.MolFromSmiles(TARGETS[target])), sigma)

    return lambda mol: bell()(function(mol))


def has(smarts: str) -> Part:
    """1 with the substructure, 0 without."""
    pattern = Chem.MolFromSmarts(smarts)
    return lambda mol: float(mol.HasSubstructMatch(pattern))


def lacks(smarts: str) -> Part:
    """0 with the substructure, 1 without."""
    present = has(smarts)
    return lambda mol: 1.0 - present(mol)


def isomer(**counts: int) -> Part:
    """Nearness to a molecular formula: each element's count, and the number of all atoms."""
    wanted = [(element, gaussian(n, 1.0)) for element, n in counts.items()]
    total = gaussian(sum(counts.values()), 2.0)

    def part(mol: Chem.Mol) -> float:
        found = Counter(atom.GetSymbol() for atom in Chem.AddHs(mol).GetAtoms())
        scores = [bell(found[element]) for element, bell in wanted]
        return geometric_mean([*scores, total(found.total())])

    return part


def n_fluorines(mol: Chem.Mol) -> float:
    """Number of fluorine atoms."""
    return sum(atom.GetAtomicNum() == 9 for atom in mol.GetAtoms())


def logp(mol: Chem.Mol) -> float:
    """Crippen's octanol-water partition coefficient, log10."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


tpsa: Part = rdMolDescriptors.CalcTPSA
n_rings: Part = rdMolDescriptors.CalcNumRings
n_aromatic_rings: Part = rdMolDescriptors.CalcNumAromaticRings
complexity: Part = GraphDescriptors.BertzCT


# -- oracles --------------------------------------------------------------------------------


def geometric_mean(scores: list[float]) -> float:
    """Geometric mean; by logarithms, so that small scores keep their order."""
    return math.exp(fmean(map(math.log, scores))) if all(scores) else 0.0


@dataclass(frozen=True)
class Oracle:
    """Parts, each in [0, 1], and how they are averaged."""

    parts: tuple[Part, ...]
    mean: Callable[[list[float]], float] = geometric_mean

    def __call__(self, mol: Chem.Mol) -> float:
        """The score of a sanitised molecule, in [0, 1]."""
        scores = [part(mol) for part in self.parts]
        return scores[0] if len(scores) == 1 else self.mean(scores)


ORACLES = {
    "albuterol_similarity": Oracle((similarity("albuterol", "FCFP4", clipped(0.75)),)),
    "amlodipine_mpo": Oracle(
        (similarity("amlodipine", "ECFP4"), descriptor(n_rings, gaussian(3, 0.5)))
    ),
    "celecoxib_rediscovery": Oracle((similarity("celecoxib", "ECFP4"),)),
    "deco_hop": Oracle(
        (
            similarity("hop", "PHCO", clipped(0.85)),
            has(HOP_SCAFFOLD),
            lacks("CS([#6])(=O)=O"),
            lacks("[#7]-c1ccc2ncsc2c1"),
        ),
        fmean,
    ),
    "fexofenadine_mpo": Oracle(
        (
            similarity("fexofenadine", "AP", clipped(0.8)),
            descriptor(tpsa, at_least(90, 10)),
            descriptor(logp, at_most(4, 1)),
        )
    ),
    "isomers_c7h8n2o2": Oracle((isomer(C=7, H=8, N=2, O=2),)),
    "isomers_c9h10n2o2pf2cl": Oracle((isomer(C=9, H=10, N=2, O=2, P=1, F=2, Cl=1),)),
    "median1": Oracle((similarity("camphor", "ECFP4"), similarity("menthol", "ECFP4"))),
    "median2": Oracle((similarity("tadalafil", "ECFP6"), similarity("sildenafil", "ECFP6"))),
    "mestranol_similarity": Oracle((similarity("mestranol", "AP", clipped(0.75)),)),
    "osimertinib_mpo": Oracle(
        (
            similarity("osimertinib", "FCFP4", clipped(0.8)),
            similarity("osimertinib", "ECFP6", at_most(0.85, 0.1)),
            descriptor(tpsa, at_least(100, 10)),
            descriptor(logp, at_most(1, 1)),
        )
    ),
    "perindopril_mpo": Oracle(
        (similarity("perindopril", "ECFP4"), descriptor(n_aromatic_rings, gaussian(2, 0.5)))
    ),
    "qed": Oracle((QED.qed,)),
    "ranolazine_mpo": Oracle(
        (
            similarity("ranolazine", "AP", clipped(0.7)),
            descriptor(tpsa, at_least(95, 20)),
            descriptor(logp, at_least(7, 1)),
            descriptor(n_fluorines, gaussian(1, 1)),
        )
    ),
    "scaffold_hop": Oracle(
        (similarity("hop", "PHCO", clipped(0.75)), has(HOP_DECORATION), lacks(HOP_SCAFFOLD)),
        fmean,
    ),
    "sitagliptin_mpo": Oracle(
        (
            similarity("sitagliptin", "ECFP4", gaussian(0, 0.1)),
            near_target(logp, "sitagliptin", 0.2),
            near_target(tpsa, "sitagliptin", 5),
            isomer(C=16, H=15, F=6, N=5, O=1),
        )
    ),
    "thiothixene_rediscovery": Oracle((similarity("thiothixene", "ECFP4"),)),
    "troglitazone_rediscovery": Oracle((similarity("troglitazone", "ECFP4"),)),
    "valsartan_smarts": Oracle(
        (
            has("CN(C=O)Cc1ccc(c2ccccc2)cc1"),
            near_target(logp, "sitagliptin", 0.2),
            near_target(tpsa, "sitagliptin", 5),
            near_target(complexity, "sitagliptin", 30),
        )
    ),
    "zaleplon_mpo": Oracle((similarity("zaleplon", "ECFP4"), isomer(C=19, H=17, N=3, O=2))),
}
