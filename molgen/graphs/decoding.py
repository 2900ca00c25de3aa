"""Finished graph -> molecule. The graph keeps valences, so sanitising cannot fail on them."""

from __future__ import annotations

from functools import cache

import numpy as np
from rdkit import Chem

from molgen.graphs.state import FREE, State
from molgen.graphs.vocabulary import Vocabulary

BOND_TYPES = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


def to_mol(g: State, vocabulary: Vocabulary) -> Chem.Mol:
    """The RDKit molecule of a graph; atoms keep their order, stereo is undetermined.

    A prompt's atoms keep their hydrogens. On other atoms RDKit adds them, which takes a sulphur or
    phosphorus with valence left for a lower one: rather CP(C)C than C[PH2](C)C.
    """
    editable = Chem.RWMol()
    n = int(g["n_atoms"])
    bonds = g["bond"][:n, :n]
    columns = (g["type"][:n], g["status"][:n], bonds.sum(1))
    for code, status, in_bonds in zip(*(c.tolist() for c in columns), strict=True):
        number, charge, valence = vocabulary.atom_types[code]
        given = None if status == FREE else hydrogens(number, charge, valence, in_bonds)
        editable.AddAtom(new_atom(number, charge, given))
    orders = np.triu(bonds)
    first, second = orders.nonzero()
    for i, j, order in zip(
        first.tolist(), second.tolist(), orders[first, second].tolist(), strict=True
    ):
        editable.AddBond(i, j, BOND_TYPES[order])
    mol = editable.GetMol()
    Chem.SanitizeMol(mol)
    return mol


@cache
def new_atom(number: int, charge: int, n_hydrogens: int | None) -> Chem.Atom:
    """An atom to be copied: cheaper than a new one for each."""
    atom = Chem.Atom(number)
    atom.SetFormalCharge(charge)
    if n_hydrogens is not None:
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(n_hydrogens)
    return atom


@cache
def hydrogens(number: int, charge: int, valence: int, in_bonds: int) -> int | None:
    """Hydrogens that an atom must be given since RDKit would add others; None: it adds the same.

    Args:
        number: the atomic number.
        charge: the formal charge.
        valence: in all, as its type in the vocabulary says.
        in_bonds: of it, what bonds to other atoms take.
    """
    editable = Chem.RWMol()
    editable.AddAtom(new_atom(number, charge, None))
    for _ in range(in_bonds):
        editable.AddBond(0, editable.AddAtom(Chem.Atom(0)), Chem.BondType.SINGLE)
    editable.UpdatePropertyCache(strict=False)
    n_hydrogens = valence - in_bonds
    return None if editable.GetAtomWithIdx(0).GetTotalNumHs() == n_hydrogens else n_hydrogens


def canonical_smiles(mol: Chem.Mol) -> str:
    """RDKit's canonical isomeric SMILES, repeated until writing and reading change nothing."""
    smiles = Chem.MolToSmiles(mol)
    for _ in range(4):
        again = Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
        if again == smiles:
            break
        smiles = again
    return smiles
