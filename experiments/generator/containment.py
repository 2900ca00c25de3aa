"""Whether a sample contains its prompt: checked atom for atom, on the finished molecule alone.

Shares no code with the generator. It reads the prompt's SMILES itself, takes the sample's molecule
and the indices said to be kept, and looks for a Kekulé structure of the whole sample in which the
kept bonds are a Kekulé structure of the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import networkx as nx  # type: ignore[import-untyped]  # comes with torch
from rdkit import Chem

Pair = tuple[int, int]


@dataclass(frozen=True)
class Core:
    """A prompt as a chemist reads it; atoms are numbered without the attachment points.

    Attributes:
        atoms: per atom element, charge, isotope, unpaired electrons and valence.
        hydrogens: per atom; a bond to an attachment point does not count as hydrogen.
        points: per atom the bond orders of its attachment points, sorted.
        kekule: every Kekulé structure, as bond orders (1, 2, 3) by atom pair.
        marked: whether there are attachment points at all.
    """

    atoms: list[tuple[int, int, int, int, int]]
    hydrogens: list[int]
    points: list[list[int]]
    kekule: list[dict[Pair, int]]
    marked: bool


@dataclass
class _Graph:
    """A molecule's bonds: orders where they are fixed, and those that resonance moves."""

    orders: dict[Pair, int]
    moving: set[Pair]
    needs_double: set[int] = field(default_factory=set)


def read_core(prompt: str) -> Core:
    """Read a prompt's SMILES, attachment points written as [*:n] or *."""
    mol = Chem.MolFromSmiles(prompt)
    points = {a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() == 0}
    place = {
        old: new for new, old in enumerate(i for i in range(mol.GetNumAtoms()) if i not in points)
    }
    marks: list[list[int]] = [[] for _ in place]
    graph = _graph(mol)
    inside = _Graph({}, set(), {place[a] for a in graph.needs_double})
    for (i, j), order in graph.orders.items():
        if i in points or j in points:
            atom = j if i in points else i
            marks[place[atom]].append(order)
        else:
            pair = _pair(place[i], place[j])
            inside.orders[pair] = order
            if (i, j) in graph.moving:
                inside.moving.add(pair)
    atoms = [_traits(mol.GetAtomWithIdx(old)) for old in place]
    hydrogens = [mol.GetAtomWithIdx(old).GetTotalNumHs() for old in place]
    return Core(atoms, hydrogens, [sorted(m) for m in marks], _kekule(inside), bool(points))


def fault(core: Core, mol: Chem.Mol, kept: Sequence[int]) -> str:
    """Why a sample does not contain the prompt, '' where it does.

    Args:
        core: the prompt.
        mol: the sample.
        kept: for each core atom, its index in `mol`.
    """
    if len(kept) != len(core.atoms) or len(set(kept)) != len(kept):
        return "the kept atoms are not a one-to-one image of the core"
    if not all(0 <= k < mol.GetNumAtoms() for k in kept):
        return "a kept atom is not in the molecule"
    for atom, k in enumerate(kept):
        if _traits(mol.GetAtomWithIdx(k)) != core.atoms[atom]:
            return "element, charge, isotope or valence of a kept atom differs"
    graph = _graph(mol)
    place = {k: atom for atom, k in enumerate(kept)}
    pairs = {_pair(place[i], place[j]) for i, j in graph.orders if i in place and j in place}
    bonded = set(core.kekule[0])
    if pairs != bonded:
        return "a new bond joins two kept atoms" if pairs - bonded else "a kept bond is gone"
    wrong = _open_atom_fault(core, mol, kept)
    if wrong:
        return wrong
    if not any(_fits(core, form, graph, kept) for form in core.kekule):
        return "bond orders of the core, or towards a substituent, differ"
    return ""


def _open_atom_fault(core: Core, mol: Chem.Mol, kept: Sequence[int]) -> str:
    inside = set(kept)
    for atom, k in enumerate(kept):
        found = mol.GetAtomWithIdx(k)
        n_outside = sum(n.GetIdx() not in inside for n in found.GetNeighbors())
        lost = core.hydrogens[atom] - found.GetTotalNumHs()
        if core.marked:
            if n_outside != len(core.points[atom]):
                return "an attachment point has not exactly one substituent, or another atom has"
            if lost:
                return "a kept atom has lost or gained hydrogens beside its attachment points"
        elif lost < n_outside or (lost and not n_outside):
            return "substituents and lost hydrogens of a kept atom do not agree"
    return ""


def _fits(core: Core, form: dict[Pair, int], graph: _Graph, kept: Sequence[int]) -> bool:
    """Whether the sample has a Kekulé structure that is `form` inside the core."""
    required = {_pair(kept[i], kept[j]): order for (i, j), order in form.items()}
    if core.marked:
        inside = set(kept)
        for atom, k in enumerate(kept):
            outside = [p for p in graph.orders if k in p and not set(p) <= inside]
            if len(set(core.points[atom])) > 1:
                # Mixed orders on one atom: resonance does not reach an atom so substituted.
                if sorted(graph.orders[p] for p in outside) != core.points[atom]:
                    return False
                continue
            required |= {p: core.points[atom][0] for p in outside}
    free = set(graph.needs_double)
    for pair, order in required.items():
        if pair not in graph.moving:
            if graph.orders[pair] != order:
                return False
        elif order == 2:
            if not set(pair) <= free:
                return False
            free -= set(pair)
        elif order != 1:
            return False
    rest = nx.Graph()
    rest.add_nodes_from(free)
    rest.add_edges_from(p for p in graph.moving if set(p) <= free and p not in required)
    return bool(nx.is_perfect_matching(rest, nx.max_weight_matching(rest, maxcardinality=True)))


def _graph(mol: Chem.Mol) -> _Graph:
    """Bond orders of one Kekulé structure; aromatic bonds may move within their double bonds."""
    written = Chem.Mol(mol)
    Chem.Kekulize(written, clearAromaticFlags=True)
    orders = {
        _pair(b.GetBeginAtomIdx(), b.GetEndAtomIdx()): int(b.GetBondTypeAsDouble())
        for b in written.GetBonds()
    }
    aromatic = {
        _pair(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds() if b.GetIsAromatic()
    }
    # RDKit calls a triple bond in a conjugated macrocycle aromatic; it moves nowhere.
    moving = {pair for pair in aromatic if orders[pair] != 3}
    needs = {atom for pair in moving if orders[pair] == 2 for atom in pair}
    return _Graph(orders, moving, needs)


def _kekule(graph: _Graph) -> list[dict[Pair, int]]:
    """All ways to place the double bonds of the moving bonds."""
    forms: list[dict[Pair, int]] = []

    def place(unmet: set[int], doubles: list[Pair]) -> None:
        if not unmet:
            orders = {p: 1 if p in graph.moving else order for p, order in graph.orders.items()}
            forms.append(orders | dict.fromkeys(doubles, 2))
            return
        first = min(unmet)
        for pair in graph.moving:
            if first in pair and set(pair) <= unmet:
                place(unmet - set(pair), [*doubles, pair])

    place(set(graph.needs_double), [])
    return forms


def _traits(atom: Chem.Atom) -> tuple[int, int, int, int, int]:
    return (
        atom.GetAtomicNum(), atom.GetFormalCharge(), atom.GetIsotope(),
        atom.GetNumRadicalElectrons(), atom.GetTotalValence(),
    )  # fmt: skip


def _pair(i: int, j: int) -> Pair:
    return (i, j) if i < j else (j, i)


def check_the_checker() -> None:
    """Judge molecules whose verdict is known; AssertionError where the checker is wrong."""
    cases = [
        ("[*:1]c1ccccc1", "CCc1ccccc1", range(2, 8), True),
        ("[*:1]c1ccccc1", "Cc1ccccc1C", range(1, 7), False),  # a second substituent
        ("[*:1]c1ccccc1", "Cc1ccccn1", range(1, 7), False),  # another element
        ("[*:1]c1ccccc1", "CC1CCCCC1", range(1, 7), False),  # other bond orders
        ("[*:1]c1ccccc1", "c1ccccc1", range(6), False),  # an attachment point left bare
        ("c1ccccc1", "c1ccc2ccccc2c1", [0, 1, 2, 3, 8, 9], True),  # resonance across the fusion
        ("C=CC=C", "c1ccccc1", range(4), True),
        ("CC=CC", "c1ccccc1", range(4), True),
        ("CCC=C", "C1=CCC=CC1", [1, 2, 3, 4], True),
        ("CCC=C", "C1=CCC=CC1", [1, 2, 3, 3], False),  # one atom for two
        ("CCC", "C1CC1", range(3), False),  # a bond between kept atoms
        ("CCC", "CC=C", range(3), False),
        ("CCC", "CC(C)=O", range(3), True),
        ("[*:1]c1cccc(C#C[*:2])c1", "C1#Cc2cccc(c2)C=Cc2cccc1c2", [6, 5, 4, 3, 2, 1, 0, 7], True),
        ("[*:1]=C1CCNCC1", "CC=C1CCNCC1", range(2, 8), True),
        ("[*:1]=C1CCNCC1", "CCC1CCNCC1", range(2, 8), False),  # single instead of double
        ("C[NH+](C)C", "CC[NH+](C)C", range(1, 5), True),
        ("C[NH+](C)C", "CCN(C)C", range(1, 5), False),  # charge
    ]
    for prompt, smiles, kept, contained in cases:
        found = fault(read_core(prompt), Chem.MolFromSmiles(smiles), list(kept))
        assert (found == "") == contained, (prompt, smiles, found)
