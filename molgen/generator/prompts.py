"""Prompts: the part of a molecule that is kept, and where it may be built on.

`O=C([*:1])Nc1ccc([*:2])cc1` keeps a core whose two attachment points each get exactly one
substituent, by a bond of the order drawn. Without attachment points every atom with a hydrogen
is open and may be built on or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase

from molgen.errors import ConfigError, DataError
from molgen.graphs.encoding import BOND_ORDERS, encode
from molgen.graphs.orders import Plan, expand, new_plan
from molgen.graphs.state import KEPT, KEPT_MARKED, MAX_ATOMS
from molgen.graphs.vocabulary import Tables, Vocabulary


@dataclass(frozen=True)
class Prompt:
    """A kept part, ready to be laid down.

    Attributes:
        smiles: as the user wrote it.
        core: the kept atoms, without attachment points.
        marks: for each core atom the number of attachment points of bond order 1, 2, 3.
        plan: the core in the vocabulary's numbers, every atom kept.
        plan_atoms: for each atom of the plan, its index in `core`.
    """

    smiles: str
    core: Chem.Mol
    marks: tuple[tuple[int, int, int], ...]
    plan: Plan
    plan_atoms: tuple[int, ...]

    @property
    def n_points(self) -> int:
        """Number of attachment points; 0: open everywhere."""
        return sum(map(sum, self.marks))


def parse_prompt(smiles: str, vocabulary: Vocabulary, tables: Tables) -> Prompt:
    """Read a prompt.

    Args:
        smiles: one connected core; attachment points are `[*:1]`, `[*:2]`, … or plain `*`.
        vocabulary: of the generator.
        tables: `vocabulary.tables()`.

    Raises:
        ConfigError: it cannot be parsed or used, and why.
    """
    core, marks = split_marks(smiles)
    try:
        encoded = encode(core)
    except DataError as error:
        raise ConfigError(f"prompt {smiles!r}: {error}; give one connected core") from error
    numbers = vocabulary.units(encoded)
    if numbers is None:
        raise ConfigError(f"prompt {smiles!r}: holds an atom that this generator does not know")
    plan = new_plan()
    expand(plan, numbers[0].astype(np.uint16), numbers[1].astype(np.uint8), tables)
    marked = any(map(sum, marks))
    for place, atom in enumerate(encoded.source_atoms):
        plan["kept"][place] = KEPT_MARKED if marked else KEPT
        plan["mark"][place, 1:] = marks[atom]
    return Prompt(smiles, core, marks, plan, tuple(encoded.source_atoms))


def split_marks(smiles: str) -> tuple[Chem.Mol, tuple[tuple[int, int, int], ...]]:
    """A prompt's core and, for each of its atoms, attachment points of bond order 1, 2, 3.

    Raises:
        ConfigError: it cannot be parsed or used, and why.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise ConfigError(f"prompt {smiles!r}: cannot be parsed as SMILES")
    if any(a.GetIsotope() for a in mol.GetAtoms()) or set(smiles) & set("@/\\"):
        raise ConfigError(
            f"prompt {smiles!r}: stereo marks and isotopes are not kept yet; write it without them"
        )
    editable = Chem.RWMol(mol)
    for atom in editable.GetAtoms():
        if atom.GetAtomicNum():
            atom.SetAtomMapNum(0)
            continue
        if atom.GetDegree() != 1 or atom.GetNeighbors()[0].GetAtomicNum() == 0:
            raise ConfigError(f"prompt {smiles!r}: an attachment point needs exactly one neighbour")
        if atom.GetBonds()[0].GetBondType() not in BOND_ORDERS:
            raise ConfigError(
                f"prompt {smiles!r}: an attachment point hangs by a single, double or triple bond"
            )
    core, marks = _without_points(editable, smiles)
    if not 0 < core.GetNumAtoms() < MAX_ATOMS:
        raise ConfigError(f"prompt {smiles!r}: the core must have 1 to {MAX_ATOMS - 1} heavy atoms")
    return core, marks


def _without_points(
    editable: Chem.RWMol, smiles: str
) -> tuple[Chem.Mol, tuple[tuple[int, int, int], ...]]:
    marks = {a.GetIdx(): [0, 0, 0] for a in editable.GetAtoms() if a.GetAtomicNum()}
    points = [a.GetIdx() for a in editable.GetAtoms() if a.GetAtomicNum() == 0]
    n_hydrogens: dict[int, int] = {}
    for point in points:
        (bond,) = editable.GetAtomWithIdx(point).GetBonds()
        order, neighbour = BOND_ORDERS[bond.GetBondType()], bond.GetOtherAtomIdx(point)
        marks[neighbour][order - 1] += 1
        n_hydrogens.setdefault(neighbour, editable.GetAtomWithIdx(neighbour).GetTotalNumHs())
        n_hydrogens[neighbour] += order
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
    kept = sorted(marks)
    return core, tuple((marks[i][0], marks[i][1], marks[i][2]) for i in kept)
