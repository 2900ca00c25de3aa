"""Finished graph -> molecule. The graph keeps valences, so sanitising cannot fail on them."""

from __future__ import annotations

from rdkit import Chem

from molgen.graphs.state import State
from molgen.graphs.vocabulary import Vocabulary

_BOND_TYPES = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


def to_mol(g: State, vocabulary: Vocabulary) -> Chem.Mol:
    """The RDKit molecule of a graph; atoms keep their order, stereo is undetermined."""
    editable = Chem.RWMol()
    n = int(g["n_atoms"])
    for a in range(n):
        number, charge, _ = vocabulary.atom_types[g["type"][a]]
        atom = Chem.Atom(number)
        atom.SetFormalCharge(charge)
        editable.AddAtom(atom)
    bonds = g["bond"][:n, :n]
    for i, j in zip(*bonds.nonzero(), strict=True):
        if i < j:
            editable.AddBond(int(i), int(j), _BOND_TYPES[int(bonds[i, j])])
    mol = editable.GetMol()
    Chem.SanitizeMol(mol)
    return mol


def canonical_smiles(mol: Chem.Mol) -> str:
    """RDKit's canonical isomeric SMILES, repeated until writing and reading change nothing."""
    smiles = Chem.MolToSmiles(mol)
    for _ in range(4):
        again = Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
        if again == smiles:
            break
        smiles = again
    return smiles
