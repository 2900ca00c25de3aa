"""Molecule -> units: ring systems in canonical order, and the atoms between them.

An *atom type* is (atomic number, formal charge, total valence); hydrogens are what the bonds
leave over. A *ring system* is a connected set of ring bonds, in Kekulé form. Its key is a
canonical string in which two systems agree exactly when they can be laid atom on atom, whatever
Kekulé form either is written in; the order of the atoms in that string is the order of the unit.
"""

from __future__ import annotations

from rdkit import Chem, rdBase

from molgen.errors import DataError
from molgen.graphs.units import MAX_RING_ATOMS, AtomType, RingSystem
from molgen.graphs.units import EncodedMolecule as EncodedMolecule

_AROMATIC = 4
# A dative bond is drawn like a single one but leaves its donor's valence alone: not among these.
BOND_ORDERS = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}

# Most ring systems come in the few atom orders that canonical SMILES give them, so the key of a
# system in a given order is worked out once.
_cache: dict[tuple[object, ...], tuple[RingSystem, tuple[int, ...]]] = {}
_CACHE_LIMIT = 200_000


def flatten(mol: Chem.Mol) -> Chem.Mol:
    """The molecule without stereo marks and isotopes, as training structures are.

    It is read anew from its canonical SMILES: the building orders that can be drawn depend on how
    the atoms are numbered, and those of a molecule should not depend on how it was written.

    Raises:
        DataError: RDKit does not read what it wrote.
    """
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    for atom in flat.GetAtoms():
        if atom.GetIsotope():
            atom.SetIsotope(0)
    with rdBase.BlockLogs():
        read = Chem.MolFromSmiles(Chem.MolToSmiles(flat))
    if read is None:
        raise DataError("cannot be parsed without its stereo marks")
    return read


def atom_type(atom: Chem.Atom) -> AtomType:
    """The type of an atom of a sanitised molecule."""
    return atom.GetAtomicNum(), atom.GetFormalCharge(), atom.GetTotalValence()


def encode(mol: Chem.Mol) -> EncodedMolecule:
    """Split a sanitised molecule into ring systems and loose atoms.

    Args:
        mol: a connected molecule without dummy atoms; stereo is ignored.

    Returns:
        Ring systems first, in the order of their first atom, then the atoms between them.

    Raises:
        DataError: more than one fragment, an unpaired electron, or a bond that is not single,
            double or triple.
    """
    n_atoms = mol.GetNumAtoms()
    kekule = Chem.Mol(mol)
    with rdBase.BlockLogs():
        Chem.Kekulize(kekule)
    types: list[AtomType] = []
    for atom in kekule.GetAtoms():
        if atom.GetNumRadicalElectrons():
            raise DataError("unpaired electron")
        if not (1 <= atom.GetAtomicNum() < 64 and -3 <= atom.GetFormalCharge() <= 4):
            raise DataError(f"atom {atom.GetSymbol()} with charge {atom.GetFormalCharge()}")
        types.append(atom_type(atom))
    bonds: list[tuple[int, int, int]] = []
    ring_bonds: list[tuple[int, int, int, int]] = []
    group = list(range(n_atoms))
    component = list(range(n_atoms))
    for bond in kekule.GetBonds():
        first, second = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        order = BOND_ORDERS.get(bond.GetBondType())
        if order is None:
            raise DataError(f"bond type {bond.GetBondType()}")
        _join(component, first, second)
        if bond.IsInRing():
            label = _AROMATIC if bond.GetIsAromatic() else order
            ring_bonds.append((first, second, order, label))
            _join(group, first, second)
        else:
            bonds.append((first, second, order))
    if n_atoms and any(_find(component, i) != _find(component, 0) for i in range(n_atoms)):
        raise DataError("more than one fragment")
    return _assemble(types, bonds, ring_bonds, group)


def _assemble(
    types: list[AtomType],
    bonds: list[tuple[int, int, int]],
    ring_bonds: list[tuple[int, int, int, int]],
    group: list[int],
) -> EncodedMolecule:
    systems: dict[int, list[tuple[int, int, int, int]]] = {}
    for ring_bond in ring_bonds:
        systems.setdefault(_find(group, ring_bond[0]), []).append(ring_bond)
    encoded = EncodedMolecule()
    new_index: dict[int, int] = {}
    for system_bonds in systems.values():
        atoms = sorted({a for first, second, _, _ in system_bonds for a in (first, second)})
        if len(atoms) > MAX_RING_ATOMS:
            bonds.extend(bond[:3] for bond in system_bonds)
            continue
        system, order = _ring_system(atoms, types, system_bonds)
        encoded.units.append(system)
        for position in order:
            new_index[atoms[position]] = len(encoded.source_atoms)
            encoded.source_atoms.append(atoms[position])
    for index, kind in enumerate(types):
        if index not in new_index:
            new_index[index] = len(encoded.source_atoms)
            encoded.source_atoms.append(index)
            encoded.units.append(kind)
    encoded.bonds = [(new_index[first], new_index[second], order) for first, second, order in bonds]
    return encoded


def _ring_system(
    atoms: list[int], types: list[AtomType], bonds: list[tuple[int, int, int, int]]
) -> tuple[RingSystem, tuple[int, ...]]:
    local = {atom: i for i, atom in enumerate(atoms)}
    local_types = tuple(types[a] for a in atoms)
    local_bonds = tuple((local[i], local[j], order, label) for i, j, order, label in bonds)
    cached = _cache.get((local_types, local_bonds))
    if cached is None:
        cached = _canonical(local_types, local_bonds)
        if len(_cache) < _CACHE_LIMIT:
            _cache[(local_types, local_bonds)] = cached
    return cached


def _canonical(
    types: tuple[AtomType, ...], bonds: tuple[tuple[int, int, int, int], ...]
) -> tuple[RingSystem, tuple[int, ...]]:
    key, order = canonical_order(types, bonds)
    rank = {old: new for new, old in enumerate(order)}
    kekule = sorted((min(rank[i], rank[j]), max(rank[i], rank[j]), o) for i, j, o, _ in bonds)
    return RingSystem(key, tuple(types[i] for i in order), tuple(kekule)), order


def canonical_order(
    types: tuple[AtomType, ...], bonds: tuple[tuple[int, int, int, int], ...]
) -> tuple[str, tuple[int, ...]]:
    """A canonical string of a labelled ring graph and the order of its atoms in it.

    The graph is written with dummy atoms whose isotope labels carry the atom type and the sum of
    ring bond orders (which no choice of Kekulé form changes), so RDKit's canonicalisation sees
    exactly the labels and nothing of the surroundings.

    Args:
        types: the atoms' types.
        bonds: (first, second, Kekulé order, label), label 4 for aromatic.

    Returns:
        The string, and the old index of each atom in the new order.
    """
    return _written(_labelled_graph(types, bonds), -1)


def rooted_orders(
    types: tuple[AtomType, ...], bonds: tuple[tuple[int, int, int, int], ...]
) -> list[tuple[str, tuple[int, ...]]]:
    """For each atom, `canonical_order` where it is distinct from all others and comes first."""
    graph = _labelled_graph(types, bonds)
    orders = []
    for index in range(len(types)):
        atom = graph.GetAtomWithIdx(index)
        atom.SetIsotope(atom.GetIsotope() + 1)
        orders.append(_written(graph, index))
        atom.SetIsotope(atom.GetIsotope() - 1)
    return orders


def _labelled_graph(
    types: tuple[AtomType, ...], bonds: tuple[tuple[int, int, int, int], ...]
) -> Chem.Mol:
    order_sum = [0] * len(types)
    for first, second, order, _ in bonds:
        order_sum[first] += order
        order_sum[second] += order
    editable = Chem.RWMol()
    for index, (number, charge, valence) in enumerate(types):
        atom = Chem.Atom(0)
        # Isotopes are 16 bits wide: 6 bits element, 3 charge, 3 valence, 3 ring bonds, 1 root.
        atom.SetIsotope((((number * 8 + charge + 3) * 8 + valence) * 8 + order_sum[index]) * 2)
        atom.SetNoImplicit(True)
        editable.AddAtom(atom)
    kinds = {
        1: Chem.BondType.SINGLE,
        2: Chem.BondType.DOUBLE,
        3: Chem.BondType.TRIPLE,
        _AROMATIC: Chem.BondType.QUADRUPLE,
    }
    for first, second, _, label in bonds:
        editable.AddBond(first, second, kinds[label])
    mol = editable.GetMol()
    Chem.FastFindRings(mol)
    return mol


def _written(graph: Chem.Mol, root: int) -> tuple[str, tuple[int, ...]]:
    text = Chem.MolToSmiles(graph, rootedAtAtom=root)
    order = graph.GetProp("_smilesAtomOutputOrder")
    return text, tuple(int(i) for i in order.strip("[],").split(","))


def _find(parent: list[int], item: int) -> int:
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


def _join(parent: list[int], first: int, second: int) -> None:
    parent[_find(parent, first)] = _find(parent, second)
