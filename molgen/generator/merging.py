"""Two molecules laid on each other at a shared part."""

from __future__ import annotations

from collections import Counter

from rdkit import Chem, rdBase

from molgen.generator.stereo import copy_configurations, settled

_MAX_OVERLAYS = 200


def unions(first: Chem.Mol, second: Chem.Mol, shared: Chem.Mol) -> list[Chem.Mol]:
    """All ways to lay a molecule on another, so that as little as possible stays apart.

    Args:
        first: kept as it is, its configurations too.
        second: its shared atoms become those of `first`; a side part that finds no hydrogen to
            replace there stays apart, with a hydrogen in place of the bond.
        shared: the common substructure, matching both.

    Returns:
        Molecules of equally few fragments; none where no overlay has legal valences.
    """
    found = []
    for at_first in first.GetSubstructMatches(shared):
        for at_second in second.GetSubstructMatches(
            shared, uniquify=False, maxMatches=_MAX_OVERLAYS
        ):
            onto = dict(zip(at_second, at_first, strict=True))
            merged = _union(first, second, onto)
            if merged is not None:
                found.append(merged)
    n_apart = [len(Chem.GetMolFrags(m)) for m in found]
    return [m for m, n in zip(found, n_apart, strict=True) if n == min(n_apart)]


def _union(first: Chem.Mol, second: Chem.Mol, onto: dict[int, int]) -> Chem.Mol | None:
    editable = Chem.RWMol(first)
    place = dict(onto)
    n_open = {onto[a]: first.GetAtomWithIdx(onto[a]).GetTotalNumHs() for a in onto}
    for part in _side_parts(second, set(onto)):
        for a in sorted(part):
            place[a] = editable.AddAtom(second.GetAtomWithIdx(a))
        bonds = [b for b in second.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} & part]
        crossing = [b for b in bonds if not {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= part]
        needed = Counter({x: 0 for x in onto.values()})
        for bond in crossing:
            x = bond.GetBeginAtomIdx() if bond.GetEndAtomIdx() in part else bond.GetEndAtomIdx()
            needed[onto[x]] += int(bond.GetBondTypeAsDouble())  # aromatic: 1
        fits = all(needed[x] <= n_open[x] for x in needed)
        for bond in bonds:
            if fits or bond not in crossing:
                i, j = place[bond.GetBeginAtomIdx()], place[bond.GetEndAtomIdx()]
                editable.AddBond(i, j, bond.GetBondType())
                continue
            end = bond.GetBeginAtom() if bond.GetBeginAtomIdx() in part else bond.GetEndAtom()
            _add_hydrogens(editable.GetAtomWithIdx(place[end.GetIdx()]), bond)
        for x, n in needed.items() if fits else ():
            n_open[x] -= n
            atom = editable.GetAtomWithIdx(x)
            atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - n))
    merged = editable.GetMol()
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(merged)
    except (ValueError, RuntimeError):
        return None
    copied = {a for a in place if a not in onto or _is_new_centre(a, second, merged, place)}
    copy_configurations(second, merged, place, copied)
    return settled(merged)


def _is_new_centre(a: int, second: Chem.Mol, merged: Chem.Mol, place: dict[int, int]) -> bool:
    """Whether a shared atom has no configuration yet and all its neighbours of `second`."""
    atom, copy = second.GetAtomWithIdx(a), merged.GetAtomWithIdx(place[a])
    bonded = {n.GetIdx() for n in copy.GetNeighbors()}
    return copy.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED and all(
        place[n.GetIdx()] in bonded for n in atom.GetNeighbors()
    )


def _add_hydrogens(atom: Chem.Atom, bond: Chem.Bond) -> None:
    """Fill the place of a bond that was not made, where RDKit does not do so itself."""
    if atom.GetNoImplicit():
        atom.SetNumExplicitHs(atom.GetNumExplicitHs() + int(bond.GetBondTypeAsDouble()))


def _side_parts(mol: Chem.Mol, shared: set[int]) -> list[set[int]]:
    """What hangs together outside the shared part."""
    seen = set(shared)
    parts = []
    for start in range(mol.GetNumAtoms()):
        if start in seen:
            continue
        part, pending = {start}, [start]
        while pending:
            for neighbour in mol.GetAtomWithIdx(pending.pop()).GetNeighbors():
                x = neighbour.GetIdx()
                if x not in shared and x not in part:
                    part.add(x)
                    pending.append(x)
        seen |= part
        parts.append(part)
    return parts
