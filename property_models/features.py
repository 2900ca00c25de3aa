"""What the models see: count fingerprints, reduced-graph features, descriptors.

The recipe follows MapLight (Notwell and Wood 2023, https://arxiv.org/abs/2310.00174): Morgan and
Avalon counts, ErG (Stiefl et al. 2006, https://doi.org/10.1021/ci050457y) and RDKit descriptors,
less the descriptors that are slow or break on unusual elements (`descriptors.SLOW_OR_FRAGILE`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Avalon import pyAvalonTools
from rdkit.Chem import rdFingerprintGenerator, rdReducedGraphs

from property_models.descriptors import DESCRIPTOR_NAMES, descriptor_row
from property_models.sparse_counts import SparseCounts, sparse
from property_models.tree_scoring import blocks_of

if TYPE_CHECKING:
    from property_models.graphs import PackedGraphs

N_ECFP_COUNTS = 2048  # the kernel's length; trees and the reference index use it folded to half
N_ECFP_BITS = 1024
N_AVALON = 1024
N_ERG = 441  # 21 distances x 21 pairs of property points
N_TABLE_COLUMNS = N_ECFP_BITS + N_AVALON + N_ERG + len(DESCRIPTOR_NAMES)

_FINGERPRINTS: dict[str, Any] = {
    "ecfp": rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=N_ECFP_COUNTS),
    "fcfp": rdFingerprintGenerator.GetMorganGenerator(
        radius=2,
        fpSize=N_ECFP_COUNTS,
        atomInvariantsGenerator=rdFingerprintGenerator.GetMorganFeatureAtomInvGen(),
    ),
    "atom_pairs": rdFingerprintGenerator.GetAtomPairGenerator(fpSize=N_ECFP_COUNTS),
    "torsions": rdFingerprintGenerator.GetTopologicalTorsionGenerator(fpSize=N_ECFP_COUNTS),
}
# Built on first use and worth sharing with parts of the same molecules.
_SHARED = ("graphs", "fcfp", "atom_pairs", "torsions")


@dataclass(frozen=True)
class Features:
    """Features of n molecules, computed once and shared by all predictors.

    Attributes:
        smiles: Canonical SMILES, length n.
        ecfp: Count ECFP4, uint8, shape (n, 2048).
        avalon: Avalon counts, uint8, shape (n, 1024).
        erg: Extended reduced graph, float32, shape (n, 441).
        descriptors: RDKit descriptors, float32, shape (n, len(DESCRIPTOR_NAMES)); NaN where
            RDKit has no value.
        mols: The molecules themselves, for graph models.
    """

    smiles: list[str]
    ecfp: NDArray[np.uint8]
    avalon: NDArray[np.uint8]
    erg: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    mols: list[Chem.Mol]

    def __len__(self) -> int:
        return len(self.smiles)

    @cached_property
    def table(self) -> NDArray[np.float32]:
        """All columns for boosted trees, float32, shape (n, n_columns).

        Order: ECFP4 counts folded to 1024, Avalon counts, ErG, descriptors.
        """
        # 1024 divides 2048, so the sum of the halves is the count fingerprint of length 1024.
        folded = self.ecfp[:, :N_ECFP_BITS].astype(np.float32) + self.ecfp[:, N_ECFP_BITS:]
        return np.hstack([folded, self.avalon.astype(np.float32), self.erg, self.descriptors])

    @cached_property
    def table_blocks(self) -> NDArray[np.float32]:
        """`table` as `tree_scoring.PackedTrees` reads it."""
        return blocks_of(self.table)

    @cached_property
    def packed_bits(self) -> NDArray[np.uint64]:
        """Binary ECFP4 of 1024 bits, packed, uint64, shape (n, 16)."""
        on = (self.ecfp[:, :N_ECFP_BITS] | self.ecfp[:, N_ECFP_BITS:]) > 0
        return np.ascontiguousarray(np.packbits(on, axis=1)).view(np.uint64)

    @cached_property
    def fcfp(self) -> NDArray[np.uint8]:
        """Count FCFP4 (pharmacophoric Morgan), uint8, shape (n, 2048)."""
        return fingerprint_counts("fcfp", self.mols)

    @cached_property
    def atom_pairs(self) -> NDArray[np.uint8]:
        """Atom-pair counts, uint8, shape (n, 2048)."""
        return fingerprint_counts("atom_pairs", self.mols)

    @cached_property
    def torsions(self) -> NDArray[np.uint8]:
        """Topological-torsion counts, uint8, shape (n, 2048)."""
        return fingerprint_counts("torsions", self.mols)

    def sparse_counts(self, name: str) -> SparseCounts:
        """Sparse form of the counts `ecfp`, `fcfp`, `atom_pairs` or `torsions`; made once."""
        kept: dict[str, SparseCounts] = self.__dict__.setdefault("_sparse_counts", {})
        if name not in kept:
            kept[name] = sparse(getattr(self, name))
        return kept[name]

    @cached_property
    def graphs(self) -> PackedGraphs:
        """Molecular graphs of all molecules."""
        # torch and PyG take seconds to import: only where a network is wanted.
        from property_models.graphs import pack

        return pack(self.mols)

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Features of the given rows, in the given order."""
        part = Features(
            smiles=[self.smiles[i] for i in rows],
            ecfp=self.ecfp[rows],
            avalon=self.avalon[rows],
            erg=self.erg[rows],
            descriptors=self.descriptors[rows],
            mols=[self.mols[i] for i in rows],
        )
        for name in _SHARED:
            if name in self.__dict__:
                built = self.__dict__[name]
                part.__dict__[name] = built.take(rows) if name == "graphs" else built[rows]
        return part


def featurise(mols: Sequence[Chem.Mol], smiles: Sequence[str] | None = None) -> Features:
    """Computes all table features of molecules from `molecules.standardise`.

    Args:
        mols: n molecules.
        smiles: Their canonical SMILES where already known.
    """
    n = len(mols)
    ecfp = fingerprint_counts("ecfp", mols)
    avalon = np.zeros((n, N_AVALON), np.uint8)
    erg = np.zeros((n, N_ERG), np.float32)
    descriptors = np.full((n, len(DESCRIPTOR_NAMES)), np.nan, np.float32)
    with rdBase.BlockLogs():
        for i, mol in enumerate(mols):
            # A quick copy carries no cached distances: those that the E-state descriptors leave
            # on a molecule change its ErG when it is featurised again.
            bare = Chem.Mol(mol, True)
            erg[i] = rdReducedGraphs.GetErGFingerprint(
                bare, fuzzIncrement=0.3, minPath=1, maxPath=21
            )
            # Avalon goes through a mol block, for which RDKit would lay the molecule out; the
            # fingerprint does not look at coordinates, so any will do.
            bare.AddConformer(Chem.Conformer(bare.GetNumAtoms()))
            counts = pyAvalonTools.GetAvalonCountFP(bare, N_AVALON).GetNonzeroElements()
            avalon[i, list(counts)] = np.minimum(list(counts.values()), 255)
            descriptors[i] = descriptor_row(mol)
    names = list(smiles) if smiles is not None else [Chem.MolToSmiles(mol) for mol in mols]
    return Features(names, ecfp, avalon, erg, descriptors, list(mols))


def fingerprint_counts(name: str, mols: Sequence[Chem.Mol]) -> NDArray[np.uint8]:
    """Counts `ecfp`, `fcfp`, `atom_pairs` or `torsions` of n molecules, uint8, shape (n, 2048)."""
    generator = _FINGERPRINTS[name]
    counts = np.zeros((len(mols), N_ECFP_COUNTS), np.uint8)
    with rdBase.BlockLogs():
        for i, mol in enumerate(mols):
            counts[i] = np.minimum(generator.GetCountFingerprintAsNumPy(mol), 255)
    return counts
