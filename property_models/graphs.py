"""Molecular graphs for PyG, and the one place where PyG is imported."""

from __future__ import annotations

import warnings

import torch
from rdkit import Chem

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
    "global_add_pool",
    "global_max_pool",
    "global_mean_pool",
    "molecule_graph",
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


def molecule_graph(mol: Chem.Mol) -> Data:
    """PyG graph of a molecule; hydrogens are counts on their atoms.

    Returns:
        x: int64, (n_atoms, 8): element, degree, charge + 2, hydrogens, aromatic, hybridisation,
        in a ring, tetrahedral tag. edge_index: int64, (2, 2 n_bonds). edge_attr: int64,
        (2 n_bonds, 4): bond type, in a ring, conjugated, double-bond stereo.
    """
    atoms = [_atom_row(atom) for atom in mol.GetAtoms()]
    sources: list[int] = []
    targets: list[int] = []
    bonds: list[tuple[int, ...]] = []
    for bond in mol.GetBonds():
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        row = (
            _BONDS.get(bond.GetBondType(), 0),
            int(bond.IsInRing()),
            int(bond.GetIsConjugated()),
            _STEREO.get(bond.GetStereo(), 0),
        )
        sources += [begin, end]
        targets += [end, begin]
        bonds += [row, row]
    return Data(
        x=torch.tensor(atoms, dtype=torch.long),
        edge_index=torch.tensor([sources, targets], dtype=torch.long),
        edge_attr=torch.tensor(bonds, dtype=torch.long).reshape(-1, len(BOND_CATEGORIES)),
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
