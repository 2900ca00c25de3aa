"""How close one set of molecules is to another: the field's measures, from their definitions.

MOSES: Polykovskiy et al. 2020, https://doi.org/10.3389/fphar.2020.565644.
GuacaMol: Brown et al. 2019, https://doi.org/10.1021/acs.jcim.8b00839.
FCD: Preuer et al. 2018, https://doi.org/10.1021/acs.jcim.8b00234; ChemNet's weights and input
coding are those of the fcd-torch package (1.0.7 when this was written).

Stereochemistry is removed from every molecule. `profile` computes once what the measures need of a
set; the measures compare profiles. Nothing here reads a file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem, Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.QED import qed
from rdkit.Chem.Scaffolds import MurckoScaffold

Array = np.ndarray[Any, Any]

# GuacaMol's list, in its order: the first four are continuous, the others are counts.
CONTINUOUS = ("BertzCT", "MolLogP", "MolWt", "TPSA")
COUNTS = (
    "NumHAcceptors", "NumHDonors", "NumRotatableBonds", "NumAliphaticRings", "NumAromaticRings",
)  # fmt: skip
DRAWN = {"QED": "QED", "SA": "SA score", "MolLogP": "logP (Crippen)", "MolWt": "MW, g/mol"}


@dataclass(frozen=True)
class Gaussian:
    """Mean (512,) and covariance (512, 512) of ChemNet's activations."""

    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Profile:
    """What the measures need of a set of valid molecules, duplicates kept.

    Attributes:
        activations: Gaussian of ChemNet's last hidden layer.
        fingerprints: ECFP4, 1,024 bits, packed, (n, 128) uint8.
        fragments: BRICS fragments and how often they occur.
        scaffolds: Murcko scaffolds of two or more rings and how often they occur.
        descriptors: by name, (n,) float64, NaN where it cannot be computed.
        nearest: similarity of each distinct molecule to the nearest other one of its set (ECFP4,
            4,096 bits), as GuacaMol's KL score has it.
        distinct: positions of the first of each distinct molecule.
    """

    activations: Gaussian
    fingerprints: Array
    fragments: Mapping[str, int]
    scaffolds: Mapping[str, int]
    descriptors: Mapping[str, Array]
    nearest: Array
    distinct: Array


# ---------------------------------------------------------------- molecules


def flat_smiles(smiles: str) -> str:
    """Canonical SMILES without stereochemistry; '' where RDKit reads no molecule."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or not mol.GetNumAtoms():
            return ""
        text = Chem.MolToSmiles(mol, isomericSmiles=False)
        # Removing stereochemistry can change the canonical order; the second reading settles it.
        return Chem.MolToSmiles(Chem.MolFromSmiles(text) or mol) if _has_stereo(smiles) else text


def _has_stereo(smiles: str) -> bool:
    return any(mark in smiles for mark in "@/\\")


def ring_systems(mol: Chem.Mol) -> set[str]:
    """Canonical names of a molecule's ring systems.

    A ring system is a connected set of ring bonds (fused, bridged and spiro rings together) with
    the atoms that are doubly bonded to it. A name is a SMILES without substituents and hydrogens,
    so that pyrrole and N-methylpyrrole have the same ring; RDKit need not be able to read it.
    """
    group = list(range(mol.GetNumAtoms()))

    def root(atom: int) -> int:
        while group[atom] != atom:
            atom = group[atom]
        return atom

    bonds = {bond for ring in mol.GetRingInfo().BondRings() for bond in ring}
    ends = {b: (mol.GetBondWithIdx(b).GetBeginAtomIdx(), mol.GetBondWithIdx(b).GetEndAtomIdx())
            for b in bonds}  # fmt: skip
    for i, j in ends.values():
        group[root(i)] = root(j)
    members: dict[int, tuple[set[int], set[int]]] = {}
    for bond, (i, j) in ends.items():
        atoms, inside = members.setdefault(root(i), (set(), set()))
        atoms |= {i, j}
        inside.add(bond)
    symbols = [_symbol(atom) for atom in mol.GetAtoms()] if members else []
    found = set()
    for atoms, inside in members.values():
        for atom in list(atoms):
            for bond in mol.GetAtomWithIdx(atom).GetBonds():
                if bond.GetBondType() == Chem.BondType.DOUBLE and not bond.IsInRing():
                    atoms.add(bond.GetOtherAtomIdx(atom))
                    inside.add(bond.GetIdx())
        found.add(Chem.MolFragmentToSmiles(mol, list(atoms), list(inside), atomSymbols=symbols))
    return found


def _symbol(atom: Chem.Atom) -> str:
    symbol = atom.GetSymbol().lower() if atom.GetIsAromatic() else atom.GetSymbol()
    charge = atom.GetFormalCharge()
    return f"[{symbol}{charge:+d}]" if charge else symbol


def brics_fragments(mol: Chem.Mol) -> list[str]:
    """SMILES of what is left when all BRICS bonds are cut, as MOSES counts them."""
    return Chem.MolToSmiles(AllChem.FragmentOnBRICSBonds(mol)).split(".")


def scaffold(mol: Chem.Mol) -> str:
    """Murcko scaffold; '' where it has fewer than two rings (MOSES leaves these out)."""
    core = MurckoScaffold.GetScaffoldForMol(mol)
    return Chem.MolToSmiles(core) if core.GetRingInfo().NumRings() >= 2 else ""


def _sa_score(mol: Chem.Mol) -> float:
    from rdkit.Contrib.SA_Score import sascorer

    return float(sascorer.calculateScore(mol))


_DESCRIPTORS: dict[str, Callable[[Chem.Mol], float]] = {
    "BertzCT": Descriptors.BertzCT,
    "MolLogP": Crippen.MolLogP,
    "MolWt": Descriptors.MolWt,
    "TPSA": rdMolDescriptors.CalcTPSA,
    "NumHAcceptors": Descriptors.NumHAcceptors,
    "NumHDonors": Descriptors.NumHDonors,
    "NumRotatableBonds": Descriptors.NumRotatableBonds,
    "NumAliphaticRings": Descriptors.NumAliphaticRings,
    "NumAromaticRings": Descriptors.NumAromaticRings,
    "QED": qed,
    "SA": _sa_score,
}


def _descriptors(mols: Sequence[Chem.Mol]) -> dict[str, Array]:
    columns = {}
    for name, function in _DESCRIPTORS.items():
        values = np.full(len(mols), np.nan)
        for i, mol in enumerate(mols):
            try:
                values[i] = function(mol)
            except (ValueError, ArithmeticError, RuntimeError):
                continue  # stays NaN: not defined for this molecule
        columns[name] = values
    return columns


# ---------------------------------------------------------------- profiles


def profile(smiles: Sequence[str], activations: Gaussian | None = None) -> Profile:
    """What the measures need of valid molecules; about 60 s for 10,000 on one core.

    Args:
        smiles: as `flat_smiles` writes them, duplicates kept, none empty.
        activations: of the same molecules, where they are known already.
    """
    mols = [Chem.MolFromSmiles(text) for text in smiles]
    _, distinct = np.unique(np.array(smiles), return_index=True)
    distinct = np.sort(distinct)
    scaffolds = Counter(map(scaffold, mols))
    scaffolds.pop("", None)
    return Profile(
        activations=activations or chemnet_gaussian(smiles),
        fingerprints=np.packbits(_ecfp4(mols, 1024), axis=1),
        fragments=Counter(f for mol in mols for f in brics_fragments(mol)),
        scaffolds=scaffolds,
        descriptors=_descriptors(mols),
        nearest=_nearest_other(_ecfp4([mols[i] for i in distinct], 4096)),
        distinct=distinct,
    )


@cache
def _chemnet() -> Any:
    try:
        from fcd_torch import FCD
    except ImportError:
        raise SystemExit("FCD needs fcd-torch: pip install --no-deps fcd-torch") from None
    # The SMILES given are canonical already.
    return FCD(device="cpu", n_jobs=1, canonize=False)


def chemnet_gaussian(smiles: Sequence[str]) -> Gaussian:
    """Mean and covariance of ChemNet's activations; about 2.7 ms a molecule on one core."""
    activations = _chemnet().get_predictions(list(smiles)).astype(np.float64)
    return Gaussian(activations.mean(0), np.cov(activations.T))


def _ecfp4(mols: Sequence[Chem.Mol], n_bits: int) -> Array:
    """Morgan fingerprints of radius 2, (n, n_bits) uint8 of zeros and ones."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=n_bits)
    bits = np.empty((len(mols), n_bits), np.uint8)
    for i, mol in enumerate(mols):
        bits[i] = generator.GetFingerprintAsNumPy(mol)
    return bits


def _tanimoto(a: Array, b: Array) -> torch.Tensor:
    """Tanimoto similarity of rows of bits, (len(a), len(b)); two empty rows are alike (1)."""
    first, second = torch.from_numpy(a).float(), torch.from_numpy(b).float()
    both = first @ second.T
    either = first.sum(1)[:, None] + second.sum(1) - both
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def _blocks(n: int, size: int = 1000) -> list[slice]:
    return [slice(i, i + size) for i in range(0, n, size)]


def _nearest_other(bits: Array) -> Array:
    """Of each row the similarity to its nearest other row (0 where there is none)."""
    out = np.zeros(len(bits))
    for rows in _blocks(len(bits)):
        similarity = _tanimoto(bits[rows], bits)
        own = torch.arange(len(similarity))
        similarity[own, own + rows.start] = 0.0
        out[rows] = similarity.max(1).values.numpy()
    return out


# ---------------------------------------------------------------- measures


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Fréchet (2-Wasserstein) distance of two Gaussians: the FCD of Preuer et al.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); the last trace as the sum of the square roots of
    the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2), which are those of C1 C2.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ b.covariance @ root)
    shift = a.mean - b.mean
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(mixed.clip(0)).sum()
    return float(shift @ shift + spread)


def internal_diversity(one: Profile) -> float:
    """MOSES' IntDiv1: one minus the mean Tanimoto similarity over all ordered pairs."""
    bits = np.unpackbits(one.fingerprints, axis=1)
    total = sum(float(_tanimoto(bits[rows], bits).double().sum()) for rows in _blocks(len(bits)))
    return 1 - total / len(bits) ** 2


def nearest_similarity(one: Profile, reference: Profile) -> float:
    """MOSES' SNN: mean similarity of a molecule to its nearest one in the reference."""
    bits = np.unpackbits(one.fingerprints, axis=1)
    others = np.unpackbits(reference.fingerprints, axis=1)
    nearest = [_tanimoto(bits[rows], others).max(1).values for rows in _blocks(len(bits))]
    return float(torch.cat(nearest).double().mean())


def cosine_similarity(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """MOSES' Frag and Scaf: cosine of two vectors of counts; NaN where one is empty."""
    lengths = [math.sqrt(sum(n * n for n in counts.values())) for counts in (a, b)]
    shared = sum(n * b.get(name, 0) for name, n in a.items())
    return shared / (lengths[0] * lengths[1]) if all(lengths) else math.nan


def kl_divergences(one: Profile, baseline: Profile) -> dict[str, float]:
    """GuacaMol's KL divergences of ten quantities, baseline to samples, in nats.

    Continuous ones by Gaussian kernel densities at 1,000 points over the range of both; counts by
    ten bins over the baseline's range. Distinct molecules only. Its score is the mean of exp(-KL).
    """
    found = {}
    for name in (*CONTINUOUS, *COUNTS):
        p, q = (s.descriptors[name][s.distinct] for s in (baseline, one))
        found[name] = (_kl_of_densities if name in CONTINUOUS else _kl_of_counts)(p, q)
    found["internal_similarity"] = _kl_of_densities(baseline.nearest, one.nearest)
    return found


def _kl_of_densities(baseline: Array, samples: Array) -> float:
    from scipy.stats import entropy, gaussian_kde

    everything = np.concatenate([baseline, samples])
    points = np.linspace(everything.min(), everything.max(), 1000)
    p, q = (gaussian_kde(values)(points) + 1e-10 for values in (baseline, samples))
    return float(entropy(p, q))


def _kl_of_counts(baseline: Array, samples: Array) -> float:
    from scipy.stats import entropy

    p, edges = np.histogram(baseline, bins=10, density=True)
    q, _ = np.histogram(samples, bins=edges, density=True)
    return float(entropy(p + 1e-10, q + 1e-10))


def wasserstein_distances(one: Profile, reference: Profile) -> dict[str, float]:
    """MOSES' 1-Wasserstein distances of QED, SA, logP and MW, in each one's unit."""
    from scipy.stats import wasserstein_distance

    found = {}
    for name in DRAWN:
        values = [s.descriptors[name] for s in (one, reference)]
        found[name] = float(wasserstein_distance(*(v[~np.isnan(v)] for v in values)))
    return found


def share_with_unseen_rings(smiles: Sequence[str], known: Collection[str]) -> float:
    """Share of molecules that hold a ring system which no training molecule holds."""
    mols = map(Chem.MolFromSmiles, smiles)
    return sum(not ring_systems(mol) <= set(known) for mol in mols) / len(smiles)


def compare(one: Profile, reference: Profile, baseline: Profile) -> dict[str, Any]:
    """All measures of a set: to the reference (test molecules), KL to the baseline (training)."""
    fcd = frechet_distance(one.activations, reference.activations)
    divergences = kl_divergences(one, baseline)
    return {
        "fcd": fcd,
        "fcd_score": math.exp(-0.2 * fcd),
        "snn": nearest_similarity(one, reference),
        "fragment_similarity": cosine_similarity(one.fragments, reference.fragments),
        "scaffold_similarity": cosine_similarity(one.scaffolds, reference.scaffolds),
        "internal_diversity": internal_diversity(one),
        "kl_score": float(np.mean(np.exp(-np.array(list(divergences.values()))))),
        "kl_divergences": divergences,
        "wasserstein": wasserstein_distances(one, reference),
        "mean_qed": float(np.nanmean(one.descriptors["QED"])),
        "mean_sa": float(np.nanmean(one.descriptors["SA"])),
    }
