"""Finished graph -> molecule. The graph keeps valences, so sanitising cannot fail on them."""

from __future__ import annotations

from functools import cache

import numpy as np
from rdkit import Chem

from molgen.graphs.state import State
from molgen.graphs.vocabulary import Vocabulary

_BOND_TYPES = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


def to_mol(g: State, vocabulary: Vocabulary) -> Chem.Mol:
    """The RDKit molecule of a graph; atoms keep their order, stereo is undetermined."""
    editable = Chem.RWMol()
    n = int(g["n_atoms"])
    for code in g["type"][:n].tolist():
        number, charge, _ = vocabulary.atom_types[code]
        editable.AddAtom(_atom(number, charge))
    orders = np.triu(g["bond"][:n, :n])
    first, second = orders.nonzero()
    for i, j, order in zip(
        first.tolist(), second.tolist(), orders[first, second].tolist(), strict=True
    ):
        editable.AddBond(i, j, _BOND_TYPES[order])
    mol = editable.GetMol()
    Chem.SanitizeMol(mol)
    return mol


@cache
def _atom(number: int, charge: int) -> Chem.Atom:
    """An atom to be copied: cheaper than a new one for each."""
    atom = Chem.Atom(number)
    atom.SetFormalCharge(charge)
    return atom


def canonical_smiles(mol: Chem.Mol) -> str:
    """RDKit's canonical isomeric SMILES, repeated until writing and reading change nothing."""
    smiles = Chem.MolToSmiles(mol)
    for _ in range(4):
        again = Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
        if again == smiles:
            break
        smiles = again
    return smiles
