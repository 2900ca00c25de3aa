r"""Prompts: a part that every molecule must contain, and where it may grow.

All design modes are one operation, the completion of a prefix graph; `design_modes` writes their
prompts. A prompt is one or several fragments separated by dots: each is in every sample, atom for
atom, and all end up in one molecule. Attachment points are written as dummy atoms, `[*:1]`,
`[*:2]`, or plain `*`: each gets exactly one substituent, by a bond of its order, and nothing else
of the core changes. A prompt without attachment points may be substituted wherever there is a
hydrogen. Isotopes and configurations (@ and @@, / and \) are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from rdkit import Chem, rdBase

from molgen.errors import ConfigError, DataError
from molgen.generator.exit_vectors import without_hydrogens
from molgen.generator.stereo import Stereo, finish, read_stereo
from molgen.graphs.encoding import BOND_ORDERS, EncodedMolecule, encode
from molgen.graphs.orders import Plan, Target, draw_order, expand, new_plan
from molgen.graphs.state import (
    KEPT,
    KEPT_MARKED,
    MAX_ATOMS,
    MAX_LOCKED,
    State,
    atoms_needed,
    lock,
)
from molgen.graphs.units import RingSystem
from molgen.graphs.vocabulary import Tables, Vocabulary

MAX_MATCHES = 10_000  # of a pattern in a molecule

_PHOSPHORUS = 15
_BOND_TYPES = {order: kind for kind, order in BOND_ORDERS.items()}


@dataclass(frozen=True)
class Prompt:
    """A kept part, ready to be laid down.

    Attributes:
        smiles: as the user wrote it.
        core: the kept atoms, without attachment points, isotopes and stereo.
        marks: for each core atom the number of attachment points of bond order 1, 2, 3.
        points: for each attachment point, in the order of their numbers, its core atom and bond
            order.
        isotopes: for each core atom.
        stereo: the configurations given.
        plan: the core in the vocabulary's numbers, every atom kept.
        plan_atoms: for each atom of the plan, its index in `core`.
    """

    smiles: str
    core: Chem.Mol
    marks: tuple[tuple[int, int, int], ...]
    points: tuple[tuple[int, int], ...]
    isotopes: tuple[int, ...]
    stereo: Stereo
    plan: Plan
    plan_atoms: tuple[int, ...]

    @property
    def n_points(self) -> int:
        """Number of attachment points; 0: open everywhere."""
        return len(self.points)

    @property
    def n_fragments(self) -> int:
        """Number of connected parts."""
        return len(Chem.GetMolFrags(self.core))

    @property
    def n_atoms_needed(self) -> int:
        """The smallest size limit at which every sample can be completed, in heavy atoms."""
        n = self.core.GetNumAtoms()
        n_rings = self.core.GetNumBonds() - n + self.n_fragments
        n_marks = max(self.n_points, self.n_fragments == 1)  # there is something to add
        return int(atoms_needed(n, n_rings, n_marks, self.n_fragments))

    def own_matches(self, query: Chem.Mol) -> set[frozenset[int]]:
        """Sets of core atoms at which the prompt itself matches.

        Its attachment points are taken for atoms of no element, or else for hydrogens.
        """
        n = self.core.GetNumAtoms()
        return {
            frozenset(match)
            for form in self._forms
            for match in form.GetSubstructMatches(query, maxMatches=MAX_MATCHES)
            if max(match) < n
        }

    @cached_property
    def _forms(self) -> tuple[Chem.Mol, ...]:
        closed = Chem.RWMol(self.core)
        for atom, isotope in zip(closed.GetAtoms(), self.isotopes, strict=True):
            atom.SetIsotope(isotope)
        if not self.points:
            return (closed.GetMol(),)
        opened = Chem.RWMol(closed)
        for a, order in self.points:
            atom = opened.GetAtomWithIdx(a)
            # Its hydrogens, as `_without_points` has set them, make way.
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - order)
            opened.AddBond(a, opened.AddAtom(Chem.Atom(0)), _BOND_TYPES[order])
        Chem.SanitizeMol(opened)
        return closed.GetMol(), opened.GetMol()

    def finish(self, mol: Chem.Mol, kept: Sequence[int]) -> Chem.Mol:
        """A sample with the isotopes and configurations given here; see `stereo.finish`."""
        return finish(mol, kept, self.isotopes, self.points, self.stereo)


def parse_prompt(smiles: str, vocabulary: Vocabulary, tables: Tables) -> Prompt:
    """Read a prompt.

    Args:
        smiles: fragments to keep; attachment points are `[*:1]`, `[*:2]`, … or plain `*`.
        vocabulary: of the generator.
        tables: `vocabulary.tables()`.

    Raises:
        ConfigError: it cannot be parsed or used, and why.
    """
    core, points, stereo = split(smiles)
    core = Chem.Mol(core)
    isotopes = tuple(a.GetIsotope() for a in core.GetAtoms())
    for atom in core.GetAtoms():
        atom.SetIsotope(0)
    marks = _count(points, len(isotopes))
    try:
        encoded = _encode_fragments(core)
    except DataError as error:
        raise ConfigError(f"prompt {smiles!r}: {error}") from error
    numbers = vocabulary.units(encoded)
    if numbers is None:
        raise ConfigError(
            f"prompt {smiles!r}: holds an atom that this generator does not know: "
            + _unknown_atom(encoded, vocabulary)
        )
    plan = new_plan()
    expand(plan, numbers[0].astype(np.uint16), numbers[1].astype(np.uint8), tables)
    for place, a in enumerate(encoded.source_atoms):
        plan["kept"][place] = KEPT_MARKED if points else KEPT
        plan["mark"][place, 1:] = marks[a]
    prompt = Prompt(
        smiles, core, marks, points, isotopes, stereo, plan, tuple(encoded.source_atoms)
    )
    _check_fragments(prompt)
    _check_phosphorus(prompt)
    return prompt


def lay_down(prompt: Prompt, state: State, plan: Plan, scratch: Target, tables: Tables,
             max_atoms: int) -> tuple[int, ...]:  # fmt: skip
    """Build a prompt in a random order.

    Args:
        prompt: the prompt.
        state: becomes the graph of the prompt, ready for the first free step.
        plan: a copy of `prompt.plan`; its `rng` draws the order and moves on.
        scratch: of no interest afterwards.
        tables: of the vocabulary.
        max_atoms: heavy atoms of the finished molecule at most.

    Returns:
        For each core atom, its index in the graph and in the finished molecule.
    """
    draw_order(state, plan, tables, max_atoms, scratch, True)
    kept = [0] * len(prompt.plan_atoms)
    for i, atom in enumerate(prompt.plan_atoms):
        kept[atom] = int(plan["built"][i])
    for double in prompt.stereo.double_bonds:
        lock(state, kept[double.atoms[0]], kept[double.atoms[1]])
    return tuple(kept)


def _count(points: tuple[tuple[int, int], ...], n_atoms: int) -> tuple[tuple[int, int, int], ...]:
    marks = [[0, 0, 0] for _ in range(n_atoms)]
    for atom, order in points:
        marks[atom][order - 1] += 1
    return tuple((m[0], m[1], m[2]) for m in marks)


@lru_cache(maxsize=8)  # a design mode that has just written a prompt has read it, too
def split(smiles: str) -> tuple[Chem.Mol, tuple[tuple[int, int], ...], Stereo]:
    """A prompt's core with isotopes but flat, its attachment points, and its configurations.

    A point is a core atom and a bond order; points are in the order of their numbers. The core is
    not to be changed.

    Raises:
        ConfigError: it cannot be parsed or used, and why.
    """
    mol = _parsed(smiles)
    points = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() == 0]
    for point in points:
        atom = mol.GetAtomWithIdx(point)
        if atom.GetDegree() != 1 or atom.GetNeighbors()[0].GetAtomicNum() == 0:
            raise ConfigError(f"prompt {smiles!r}: an attachment point needs exactly one neighbour")
        if atom.GetBonds()[0].GetBondType() not in BOND_ORDERS:
            raise ConfigError(
                f"prompt {smiles!r}: an attachment point hangs by a single, double or triple bond"
            )
    points.sort(key=lambda p: (_number(mol.GetAtomWithIdx(p)), p))
    core_atoms = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum()]
    names = {a: i for i, a in enumerate(core_atoms)} | {a: -1 - p for p, a in enumerate(points)}
    stereo = read_stereo(mol, names, smiles)
    if len(stereo.double_bonds) > MAX_LOCKED:
        raise ConfigError(f"prompt {smiles!r}: more than {MAX_LOCKED} double bonds with a / or \\")
    Chem.RemoveStereochemistry(mol)
    found = []
    for point in points:
        (bond,) = mol.GetAtomWithIdx(point).GetBonds()
        found.append((names[bond.GetOtherAtomIdx(point)], BOND_ORDERS[bond.GetBondType()]))
    core = _without_points(mol, points, smiles)
    if not 0 < core.GetNumAtoms() < MAX_ATOMS:
        raise ConfigError(f"prompt {smiles!r}: the core must have 1 to {MAX_ATOMS - 1} heavy atoms")
    return core, tuple(found), stereo


def _parsed(smiles: str) -> Chem.Mol:
    """Sanitised, with every stereo mark as it was written, whether it is a centre's or not."""
    settings = Chem.SmilesParserParams()
    settings.sanitize = False  # type: ignore[assignment]  # RDKit's stubs call it an object
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles, settings)
        try:
            if mol is not None:
                Chem.SanitizeMol(mol)
                return without_hydrogens(mol)
        except (ValueError, RuntimeError):
            pass
    raise ConfigError(f"prompt {smiles!r}: cannot be parsed as SMILES")


def _number(point: Chem.Atom) -> int:
    """Of an attachment point: `[*:1]`, or `[1*]` as cutting programs write it; plain: 0."""
    return int(point.GetAtomMapNum() or point.GetIsotope())


def _without_points(mol: Chem.Mol, points: list[int], smiles: str) -> Chem.Mol:
    editable = Chem.RWMol(mol)
    n_hydrogens: dict[int, int] = {}
    for atom in editable.GetAtoms():
        atom.SetAtomMapNum(0)
    for point in points:
        (bond,) = editable.GetAtomWithIdx(point).GetBonds()
        neighbour = bond.GetOtherAtomIdx(point)
        n_hydrogens.setdefault(neighbour, editable.GetAtomWithIdx(neighbour).GetTotalNumHs())
        n_hydrogens[neighbour] += BOND_ORDERS[bond.GetBondType()]
    try:
        Chem.Kekulize(editable, clearAromaticFlags=True)
        # Hydrogens take the points' places; left to RDKit, *=S(=O)(C)C would fall to valence 4.
        for neighbour, n in n_hydrogens.items():
            editable.GetAtomWithIdx(neighbour).SetNoImplicit(True)
            editable.GetAtomWithIdx(neighbour).SetNumExplicitHs(n)
        for point in sorted(points, reverse=True):
            editable.RemoveAtom(point)
        core = editable.GetMol()
        with rdBase.BlockLogs():
            Chem.SanitizeMol(core)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"prompt {smiles!r}: not a molecule without its points: {error}"
        ) from error
    return core


def _encode_fragments(core: Chem.Mol) -> EncodedMolecule:
    """Encode each fragment and number them on."""
    together = EncodedMolecule()
    atoms_of: list[tuple[int, ...]] = []
    fragments = Chem.GetMolFrags(core, asMols=True, fragsMolAtomMapping=atoms_of)
    for fragment, atoms in zip(fragments, atoms_of, strict=True):
        encoded = encode(fragment)
        first = len(together.source_atoms)
        together.units += encoded.units
        together.bonds += [(first + i, first + j, order) for i, j, order in encoded.bonds]
        together.source_atoms += [atoms[a] for a in encoded.source_atoms]
    return together


def _check_fragments(prompt: Prompt) -> None:
    """Raise a ConfigError where a fragment has nowhere to be joined."""
    if prompt.n_fragments == 1:
        return
    for atoms in Chem.GetMolFrags(prompt.core):
        if prompt.points:
            if not any(sum(prompt.marks[a]) for a in atoms):
                raise ConfigError(
                    f"prompt {prompt.smiles!r}: a fragment has no attachment point while another "
                    "has; give each one at least one, or none at all"
                )
        elif not any(prompt.core.GetAtomWithIdx(a).GetTotalNumHs() for a in atoms):
            raise ConfigError(
                f"prompt {prompt.smiles!r}: a fragment has no hydrogen that could make way for a "
                "bond to the others"
            )


def _check_phosphorus(prompt: Prompt) -> None:
    """Raise a ConfigError where a kept phosphorus may get the second of two double bonds.

    RDKit writes C=P(C)=O with charges, so the phosphorus would not stay as it is.
    """
    for atom, marks in zip(prompt.core.GetAtoms(), prompt.marks, strict=True):
        if atom.GetAtomicNum() != _PHOSPHORUS:
            continue
        to_come = marks[1] if prompt.points else atom.GetTotalNumHs() // 2
        there = sum(b.GetBondType() == Chem.BondType.DOUBLE for b in atom.GetBonds())
        if to_come and to_come + there > 1:
            raise ConfigError(
                f"prompt {prompt.smiles!r}: a phosphorus cannot be kept where it may get a second "
                "double bond, which RDKit writes with charges; open it by single bonds to [*:1]"
            )


def _unknown_atom(encoded: EncodedMolecule, vocabulary: Vocabulary) -> str:
    """The first atom whose type the vocabulary lacks, in words."""
    types = [
        kind
        for unit in encoded.units
        for kind in (unit.atom_types if isinstance(unit, RingSystem) else (unit,))
    ]
    number, charge, valence = next(t for t in types if t not in vocabulary.atom_types)
    symbol = Chem.GetPeriodicTable().GetElementSymbol(number)
    return f"{symbol} of valence {valence}" + (f" and charge {charge:+d}" if charge else "")
