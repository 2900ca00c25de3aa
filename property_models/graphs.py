"""Molecular graphs for PyG, and the one place where PyG is imported."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from torch import Tensor

with warnings.catch_warnings():
    # On import PyG compiles some classes by a way that torch has deprecated.
    warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
    from torch_geometric.data import Batch, Data
    from torch_geometric.nn import GINEConv, global_add_pool, global_max_pool, global_mean_pool

__all__ = [
    "ATOM_CATEGORIES",
    "BOND_CATEGORIES",
    "Batch",
    "Data",
    "GINEConv",
    "GraphBatch",
    "PackedGraphs",
    "global_add_pool",
    "global_max_pool",
    "global_mean_pool",
    "molecule_graph",
    "pack",
]

_ELEMENTS = {n: i for i, n in enumerate((6, 7, 8, 9, 15, 16, 17, 35, 53, 5, 14, 34, 1), start=1)}
_HYBRIDISATIONS = {
    Chem.HybridizationType.SP: 1,
    Chem.HybridizationType.SP2: 2,
    Chem.HybridizationType.SP3: 3,
    Chem.HybridizationType.SP3D: 4,
    Chem.HybridizationType.SP3D2: 5,
}
_BONDS = {
    Chem.BondType.SINGLE: 1,
    Chem.BondType.DOUBLE: 2,
    Chem.BondType.TRIPLE: 3,
    Chem.BondType.AROMATIC: 4,
}
_STEREO = {Chem.BondStereo.STEREOE: 1, Chem.BondStereo.STEREOZ: 2}

# Number of categories of each column; category 0 means "none of the listed".
ATOM_CATEGORIES = (len(_ELEMENTS) + 1, 7, 5, 5, 2, 6, 2, 3)
BOND_CATEGORIES = (5, 2, 2, 3)


@dataclass(frozen=True)
class GraphBatch:
    """Graphs of M molecules as one, with the names that PyG's `Batch` has.

    Attributes:
        x: Atoms, int64, (A, 8).
        edge_index: Directed bonds, int64, (2, E).
        edge_attr: Their categories, int64, (E, 4).
        batch: Molecule of each atom, int64, (A,).
        num_graphs: M.
    """

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    batch: Tensor
    num_graphs: int


@dataclass(frozen=True)
class PackedGraphs:
    """Graphs of n molecules end to end; slicing these is far faster than joining `Data` objects.

    Attributes:
        atoms: uint8, (A, 8).
        bonds: Begin and end atom of each bond within its molecule, int32, (B, 2).
        bond_rows: Categories of each bond, uint8, (B, 4).
        atom_starts: First atom of each molecule, int64, (n + 1,).
        bond_starts: First bond of each molecule, int64, (n + 1,).
    """

    atoms: NDArray[np.uint8]
    bonds: NDArray[np.int32]
    bond_rows: NDArray[np.uint8]
    atom_starts: NDArray[np.int64]
    bond_starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.atom_starts) - 1

    def take(self, rows: NDArray[np.int64]) -> PackedGraphs:
        """Graphs of the given molecules, in the given order."""
        atoms, atom_starts = _entries(self.atom_starts, rows)
        bonds, bond_starts = _entries(self.bond_starts, rows)
        return PackedGraphs(
            self.atoms[atoms], self.bonds[bonds], self.bond_rows[bonds], atom_starts, bond_starts
        )

    def joined(self, other: PackedGraphs) -> PackedGraphs:
        """These graphs and then the other's."""
        return PackedGraphs(
            np.concatenate([self.atoms, other.atoms]),
            np.concatenate([self.bonds, other.bonds]),
            np.concatenate([self.bond_rows, other.bond_rows]),
            np.concatenate([self.atom_starts, other.atom_starts[1:] + self.atom_starts[-1]]),
            np.concatenate([self.bond_starts, other.bond_starts[1:] + self.bond_starts[-1]]),
        )

    def batch(self, rows: NDArray[np.int64]) -> GraphBatch:
        """The given molecules as one graph; each bond in both directions."""
        part = self.take(rows)
        n_atoms, n_bonds = np.diff(part.atom_starts), np.diff(part.bond_starts)
        ends = part.bonds + np.repeat(part.atom_starts[:-1], n_bonds)[:, None]
        both = np.concatenate([ends, ends[:, ::-1]]).T
        return GraphBatch(
            x=torch.from_numpy(part.atoms.astype(np.int64)),
            edge_index=torch.from_numpy(np.ascontiguousarray(both, dtype=np.int64)),
            edge_attr=torch.from_numpy(np.tile(part.bond_rows.astype(np.int64), (2, 1))),
            batch=torch.from_numpy(np.repeat(np.arange(len(rows)), n_atoms)),
            num_graphs=len(rows),
        )


def _entries(
    starts: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Entries of the given rows of a packed array, and the starts of their packed form."""
    sizes = np.diff(starts)[rows]
    new_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.repeat(starts[rows] - new_starts[:-1], sizes) + np.arange(new_starts[-1]), new_starts


def pack(mols: Sequence[Chem.Mol]) -> PackedGraphs:
    """Graphs of molecules; hydrogens are counts on their atoms. Columns: `molecule_graph`."""
    atoms = [_atom_row(atom) for mol in mols for atom in mol.GetAtoms()]
    bonds = [bond for mol in mols for bond in mol.GetBonds()]
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    n_atoms = [mol.GetNumAtoms() for mol in mols]
    n_bonds = [mol.GetNumBonds() for mol in mols]
    return PackedGraphs(
        np.array(atoms, np.uint8).reshape(-1, len(ATOM_CATEGORIES)),
        np.array(ends, np.int32).reshape(-1, 2),
        np.array([_bond_row(b) for b in bonds], np.uint8).reshape(-1, len(BOND_CATEGORIES)),
        np.concatenate([[0], np.cumsum(n_atoms)]).astype(np.int64),
        np.concatenate([[0], np.cumsum(n_bonds)]).astype(np.int64),
    )


def molecule_graph(mol: Chem.Mol) -> Data:
    """PyG graph of one molecule; hydrogens are counts on their atoms.

    Returns:
        x: int64, (n_atoms, 8): element, degree, charge + 2, hydrogens, aromatic, hybridisation,
        in a ring, tetrahedral tag. edge_index: int64, (2, 2 n_bonds). edge_attr: int64,
        (2 n_bonds, 4): bond type, in a ring, conjugated, double-bond stereo.
    """
    graph = pack([mol]).batch(np.zeros(1, np.int64))
    return Data(x=graph.x, edge_index=graph.edge_index, edge_attr=graph.edge_attr)


def _bond_row(bond: Chem.Bond) -> tuple[int, ...]:
    return (
        _BONDS.get(bond.GetBondType(), 0),
        int(bond.IsInRing()),
        int(bond.GetIsConjugated()),
        _STEREO.get(bond.GetStereo(), 0),
    )


def _atom_row(atom: Chem.Atom) -> tuple[int, ...]:
    return (
        _ELEMENTS.get(atom.GetAtomicNum(), 0),
        min(atom.GetDegree(), 6),
        min(max(atom.GetFormalCharge() + 2, 0), 4),
        min(atom.GetTotalNumHs(), 4),
        int(atom.GetIsAromatic()),
        _HYBRIDISATIONS.get(atom.GetHybridization(), 0),
        int(atom.IsInRing()),
        min(int(atom.GetChiralTag()), 2),
    )
