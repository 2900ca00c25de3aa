"""Where molecules are cut and where they can grow: attachment points put on molecules.

Attachment points are dummy atoms with map numbers, `[*:1]`, `[*:2]`, …; here no network is needed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from rdkit import Chem, rdBase

from molgen.errors import ConfigError


def read_molecule(smiles: str, *, points: bool = False, fragments: bool = False) -> Chem.Mol:
    """A molecule that a design mode starts from.

    Args:
        smiles: as the user wrote it.
        points: attachment points are welcome.
        fragments: several fragments are welcome.

    Raises:
        ConfigError: it cannot be used, and why.
    """
    return Chem.Mol(_read(smiles, points, fragments))


def without_hydrogens(mol: Chem.Mol) -> Chem.Mol:
    """The molecule without hydrogen atoms, such as `[H]/N=C`, whose configuration is left open."""
    settings = Chem.RemoveHsParameters()
    settings.removeDefiningBondStereo = True  # type: ignore[assignment]  # RDKit's stubs err
    return Chem.RemoveHs(mol, settings)


@lru_cache(maxsize=512)  # a search cuts the same parents again and again
def _read(smiles: str, points: bool, fragments: bool) -> Chem.Mol:
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is not None and any(a.GetAtomicNum() == 1 for a in mol.GetAtoms()):
            mol = without_hydrogens(mol)
    if mol is None or mol.GetNumAtoms() == 0:
        raise ConfigError(f"{smiles!r}: cannot be parsed as SMILES")
    if not fragments and len(Chem.GetMolFrags(mol)) > 1:
        raise ConfigError(f"{smiles!r}: more than one fragment; give one molecule without its salt")
    if not points and has_points(mol):
        raise ConfigError(f"{smiles!r}: has attachment points; this mode wants a whole molecule")
    return mol


def has_points(mol: Chem.Mol) -> bool:
    """Whether a molecule has attachment points."""
    return any(a.GetAtomicNum() == 0 for a in mol.GetAtoms())


def exit_vectors(mol: Chem.Mol) -> tuple[int, ...]:
    """Atoms at which a fragment is best grown when nobody said where.

    Growth starts where a C-H or N-H bond points out of the fragment
    (https://doi.org/10.1039/D0MD00375A), so these are proposed: hydrogens on ring atoms, and on
    nitrogens that no C=O, S=O or the like has taken for an amide. Where there are none, every
    carbon, and at last every atom with a hydrogen. Of atoms that a symmetry of the molecule
    exchanges only the first is named.

    Returns:
        Indices, ascending; empty where no atom has a hydrogen.
    """
    rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    open_atoms: dict[int, Chem.Atom] = {}
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() and atom.GetTotalNumHs():
            open_atoms.setdefault(rank[atom.GetIdx()], atom)
    atoms = list(open_atoms.values())
    amide = {m[0] for m in mol.GetSubstructMatches(Chem.MolFromSmarts("[#7;!R]~[*]=[O,S,#7]"))}
    best = [a for a in atoms if a.IsInRing() or (a.GetAtomicNum() == 7 and a.GetIdx() not in amide)]
    carbons = [a for a in atoms if a.GetAtomicNum() == 6]
    return tuple(sorted(a.GetIdx() for a in best or carbons or atoms))


def open_at(mol: Chem.Mol, atoms: Iterable[int]) -> Chem.Mol:
    """A copy with an attachment point in place of a hydrogen at each of these atoms."""
    editable = Chem.RWMol(mol)
    for a in atoms:
        atom = editable.GetAtomWithIdx(a)
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
        editable.AddBond(a, editable.AddAtom(Chem.Atom(0)), Chem.BondType.SINGLE)
    opened = editable.GetMol()
    Chem.SanitizeMol(opened)
    return opened


def cut_away(mol: Chem.Mol, removed: Collection[int]) -> Chem.Mol:
    """What is left of a molecule, with an attachment point for each bond that was cut.

    Args:
        mol: one molecule; configurations are kept.
        removed: atoms to take away, at least one and not all.

    Returns:
        One or several fragments; points hang by the bond orders of a Kekulé structure.
    """
    written = Chem.Mol(mol)
    bonds = _border(written, removed)
    if any(b.GetIsAromatic() for b in bonds):
        Chem.Kekulize(written, clearAromaticFlags=True)
        bonds = _border(written, removed)
    pieces = Chem.FragmentOnBonds(
        written,
        [b.GetIdx() for b in bonds],
        dummyLabels=[(k, k) for k in range(1, len(bonds) + 1)],
        bondTypes=[b.GetBondType() for b in bonds],
    )
    editable = Chem.RWMol(pieces)
    gone = {a for atoms in Chem.GetMolFrags(pieces) if set(atoms) & set(removed) for a in atoms}
    for a in sorted(gone, reverse=True):
        editable.RemoveAtom(a)
    rest = editable.GetMol()
    Chem.SanitizeMol(rest)
    return rest


def _border(mol: Chem.Mol, removed: Collection[int]) -> list[Chem.Bond]:
    return [
        b for b in mol.GetBonds()
        if (b.GetBeginAtomIdx() in removed) != (b.GetEndAtomIdx() in removed)
    ]  # fmt: skip


def to_prompt(mol: Chem.Mol) -> str:
    """Canonical text of fragments, attachment points numbered along it from 1."""
    numbered = Chem.Mol(mol)
    points = [a for a in numbered.GetAtoms() if a.GetAtomicNum() == 0]
    for point in points:
        point.SetIsotope(0)
        point.SetAtomMapNum(0)
    rank = list(Chem.CanonicalRankAtoms(numbered))
    for number, point in enumerate(sorted(points, key=lambda p: rank[p.GetIdx()]), start=1):
        point.SetAtomMapNum(number)
    numbers = itertools.count(1)
    return re.sub(r"\[\*:\d+\]", lambda _: f"[*:{next(numbers)}]", Chem.MolToSmiles(numbered))
