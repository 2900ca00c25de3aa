"""The design modes: each writes prompts, and the generator completes them.

Everything here is text to text (SMILES to prompt SMILES, see `prompts`), so any prompt can be read,
changed and kept in a config. Where a mode leaves something to chance, a seed decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdFMCS
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgen.errors import ConfigError
from molgen.generator.exit_vectors import (
    cut_away,
    exit_vectors,
    has_points,
    open_at,
    read_molecule,
    to_prompt,
)
from molgen.generator.merging import unions
from molgen.generator.prompts import split

MODES = (
    "de_novo", "decorate", "replace", "grow", "link", "merge", "superstructure", "morph", "regrow",
)  # fmt: skip
_MIN_SHARED = 3  # atoms that two molecules must share to be merged
_REGROWN = (3, 8)  # atoms that `regrow` takes away where no number is given
_N_TRIES = 100


def prompts_for(
    mode: str, molecules: Sequence[str], *, part: str | None = None, n: int = 1, seed: int = 0
) -> list[str]:
    """Prompts of a design mode, as `molgen sample --mode` uses them.

    Args:
        mode: one of `MODES`.
        molecules: SMILES. For `link` the fragments, for `merge` two molecules, for `de_novo` none;
            for every other mode one or more molecules, each treated alone.
        part: what is to be redrawn, for `replace` and `morph`: SMARTS, or positions of atoms in the
            SMILES counted from 0 (`3,4,5`); for `regrow` the number of atoms to take away.
        n: prompts at most for each molecule, drawn at random where there are more.
        seed: decides what is left to chance.

    Returns:
        Distinct prompt SMILES that `parse_prompt` reads; empty for `de_novo`.

    Raises:
        ConfigError: a molecule, the part or the mode cannot be used, and why.
    """
    if mode not in MODES:
        raise ConfigError(f"mode {mode!r}: there is no such mode; use one of {', '.join(MODES)}")
    if part is not None and mode not in ("replace", "morph", "regrow"):
        raise ConfigError(f"mode {mode}: takes no part; leave it out")
    _check_number(mode, molecules)
    rng = np.random.default_rng(seed)
    if mode == "de_novo":
        return []
    if mode == "link":
        return link(molecules, n=n, seed=rng)
    if mode == "merge":
        return merge(molecules[0], molecules[1], n=n, seed=rng)
    prompts: list[str] = []
    for smiles in molecules:
        prompts += _of_one(mode, smiles, part, n, rng)
    return list(dict.fromkeys(prompts))


def _of_one(
    mode: str, smiles: str, part: str | None, n: int, rng: np.random.Generator
) -> list[str]:
    if mode == "replace":
        if part is None:
            raise ConfigError("mode replace: name the part to vary, as SMARTS or atom positions")
        return replace(smiles, part, n=n, seed=rng)
    if mode == "morph":
        return morph(smiles, part, n=n, seed=rng)
    if mode == "regrow":
        if part is not None and not re.fullmatch(r"[1-9]\d*", part):
            raise ConfigError(f"mode regrow: part {part!r} is not a number of atoms")
        return regrow(smiles, None if part is None else int(part), n=n, seed=rng)
    simple: dict[str, Callable[[], list[str]]] = {
        "decorate": lambda: decorate(smiles, n=n, seed=rng),
        "grow": lambda: grow(smiles, n=n, seed=rng),
        "superstructure": lambda: [superstructure(smiles)],
    }
    return simple[mode]()


def _check_number(mode: str, molecules: Sequence[str]) -> None:
    n = len(molecules)
    if mode == "de_novo" and n:
        raise ConfigError("mode de_novo: starts from nothing; leave the molecules out")
    if mode == "merge" and n != 2:
        raise ConfigError(f"mode merge: takes two molecules, got {n}")
    if mode != "de_novo" and n == 0:
        raise ConfigError(f"mode {mode}: give the molecules to start from")


Seed = int | np.random.Generator


def decorate(scaffold: str, *, n: int = 1, seed: Seed = 0) -> list[str]:
    """Substituents for a scaffold at its attachment points.

    Without points, each prompt opens one to three of the scaffold's exit vectors.
    """
    return _with_points(scaffold, n, (1, 2, 3), np.random.default_rng(seed))


def grow(fragment: str, *, n: int = 1, seed: Seed = 0) -> list[str]:
    """A fragment to be grown in one direction: at its point, or at each of its exit vectors."""
    mol = read_molecule(fragment, points=True)
    if sum(a.GetAtomicNum() == 0 for a in mol.GetAtoms()) > 1:
        raise ConfigError(f"{fragment!r}: grows at one attachment point; use mode decorate")
    return _with_points(fragment, n, (1,), np.random.default_rng(seed))


def _with_points(smiles: str, n: int, sizes: Sequence[int], rng: np.random.Generator) -> list[str]:
    mol = read_molecule(smiles, points=True)
    if has_points(mol):
        split(smiles)
        return [smiles]
    vectors = _vectors(mol, smiles)
    if tuple(sizes) == (1,):
        return _some([to_prompt(open_at(mol, [a])) for a in vectors], n, rng)
    found: dict[str, None] = {}
    for _ in range(_N_TRIES * n):
        if len(found) == n:
            break
        size = min(int(rng.choice(sizes)), len(vectors))
        found[to_prompt(open_at(mol, rng.choice(vectors, size, replace=False).tolist()))] = None
    return list(found)


def _vectors(mol: Chem.Mol, smiles: str) -> tuple[int, ...]:
    vectors = exit_vectors(mol)
    if not vectors:
        raise ConfigError(f"{smiles!r}: has no hydrogen to replace; nothing can be attached")
    return vectors


def replace(smiles: str, part: str, *, n: int = 1, seed: Seed = 0) -> list[str]:
    """A molecule less one of its parts, which is to be drawn anew between the same bonds.

    Args:
        smiles: the molecule.
        part: SMARTS (every match gives a prompt) or atom positions.
        n: prompts at most.
        seed: chooses among more than n.
    """
    mol = read_molecule(smiles)
    matches = _matches(mol, smiles, part)
    return _some([_cut(mol, smiles, atoms) for atoms in matches], n, np.random.default_rng(seed))


def morph(smiles: str, core: str | None = None, *, n: int = 1, seed: Seed = 0) -> list[str]:
    """A molecule's side chains without its core, which is to be drawn anew.

    Args:
        smiles: the molecule.
        core: as `part` of `replace`; None: the Murcko scaffold.
        n: prompts at most.
        seed: chooses among more than n.
    """
    if core is not None:
        return replace(smiles, core, n=n, seed=seed)
    mol = read_molecule(smiles)
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]  # RDKit's
    if scaffold.GetNumAtoms() == 0:
        raise ConfigError(f"{smiles!r}: has no ring, so no scaffold; name the core as part")
    for atoms in mol.GetSubstructMatches(scaffold):
        inside = set(atoms)
        if all(b.IsInRing() is False or _within(b, inside) for b in mol.GetBonds()):
            return [_cut(mol, smiles, inside)]
    raise ConfigError(f"{smiles!r}: its scaffold was not found in it; name the core as part")


def _within(bond: Chem.Bond, atoms: set[int]) -> bool:
    return bond.GetBeginAtomIdx() in atoms and bond.GetEndAtomIdx() in atoms


def link(fragments: Sequence[str], *, n: int = 1, seed: Seed = 0) -> list[str]:
    """Two or more fragments that are to end up in one molecule.

    Fragments without an attachment point get one, at one of their exit vectors.

    Args:
        fragments: SMILES; one text may hold several, with dots between.
        n: prompts at most, where exit vectors leave a choice.
        seed: makes that choice.
    """
    pieces = [piece for text in fragments for piece in text.split(".")]
    if len(pieces) < 2:
        raise ConfigError("mode link: give at least two fragments")
    rng = np.random.default_rng(seed)
    options: list[list[Chem.Mol]] = []
    for piece in pieces:
        mol = read_molecule(piece, points=True)
        opened = [mol] if has_points(mol) else [open_at(mol, [a]) for a in _vectors(mol, piece)]
        options.append(opened)
    found: dict[str, None] = {}
    n_different = int(np.prod([len(o) for o in options], dtype=float))
    for k in range(min(n_different, _N_TRIES * n)):
        if len(found) == n:
            break
        if n_different <= n:  # take them all
            chosen = np.unravel_index(k, [len(o) for o in options])
        else:
            chosen = tuple(rng.integers(len(o)) for o in options)
        together = options[0][int(chosen[0])]
        for choices, c in zip(options[1:], chosen[1:], strict=True):
            together = Chem.CombineMols(together, choices[int(c)])
        found[_checked(together)] = None
    return list(found)


def merge(first: str, second: str, *, n: int = 1, seed: Seed = 0) -> list[str]:
    """Two molecules laid on each other at their maximum common substructure.

    The prompt holds the shared part and the side parts of both, each where it sits; a side part
    of `second` whose place is taken in `first` comes as a fragment of its own. It has no
    attachment points: the model may add to it anywhere, and joins what is still apart.

    Args:
        first: a molecule.
        second: a molecule.
        n: prompts at most; a symmetric shared part can be laid on in several ways.
        seed: chooses among more than n.
    """
    mols = [read_molecule(first), read_molecule(second)]
    shared = rdFMCS.FindMCS(mols, ringMatchesRingOnly=True, completeRingsOnly=True, timeout=30)
    if shared.canceled:
        raise ConfigError(f"{first!r} and {second!r}: too alike in too many ways to be laid over")
    if shared.numAtoms < _MIN_SHARED:
        raise ConfigError(
            f"{first!r} and {second!r}: share fewer than {_MIN_SHARED} connected atoms; use mode "
            "link"
        )
    merged = unions(mols[0], mols[1], Chem.MolFromSmarts(shared.smartsString))
    if not merged:
        raise ConfigError(f"{first!r} and {second!r}: do not fit together at {shared.smartsString}")
    return _some([_checked(mol) for mol in merged], n, np.random.default_rng(seed))


def superstructure(core: str) -> str:
    """A core to which atoms may be added wherever it has a hydrogen."""
    return _checked(read_molecule(core, fragments=True))


def regrow(smiles: str, n_atoms: int | None = None, *, n: int = 1, seed: Seed = 0) -> list[str]:
    """A molecule less a random connected part, which is to be drawn anew.

    Ring systems and multiple bonds go or stay whole, unless they are the whole molecule.

    Args:
        smiles: the molecule.
        n_atoms: of the part; a part of the nearest size is taken where whole rings leave no other.
            None: 3 to 8, at most half the molecule.
        n: prompts at most.
        seed: makes the choice.

    Raises:
        ConfigError: no part can be taken away, as where whole rings leave only the whole molecule.
    """
    mol = read_molecule(smiles)
    size = mol.GetNumAtoms()
    if size < 2 or (n_atoms is not None and not 0 < n_atoms < size):
        raise ConfigError(f"{smiles!r}: cannot lose {n_atoms or 1} of its {size} atoms")
    rng = np.random.default_rng(seed)
    units = _units(mol)
    neighbours = [[x.GetIdx() for x in atom.GetNeighbors()] for atom in mol.GetAtoms()]
    found: dict[str, None] = {}
    for _ in range(n):
        top = max(1, min(_REGROWN[1], size // 2))
        wanted = n_atoms or int(rng.integers(min(_REGROWN[0], top), top + 1))
        others = []  # parts of another size than wanted
        for _ in range(_N_TRIES):
            atoms = _random_part(neighbours, units, wanted, rng)
            if len(atoms) != wanted:
                others.append(atoms)
            elif (text := _cut(mol, smiles, atoms)) not in found:
                found[text] = None
                break
        else:
            found |= _nearest_cut(mol, smiles, [a for a in others if len(a) < size], wanted, found)
    if not found:
        raise ConfigError(
            f"{smiles!r}: no part of about {n_atoms or 1} atoms can be taken away, as ring systems "
            "go as a whole; take fewer"
        )
    return list(found)


def _nearest_cut(
    mol: Chem.Mol, smiles: str, parts: Sequence[set[int]], wanted: int, found: Mapping[str, None]
) -> dict[str, None]:
    """The first new prompt without one of the parts whose size is the nearest to the one wanted."""
    nearest = min((abs(len(p) - wanted) for p in parts), default=0)
    for atoms in parts:
        if abs(len(atoms) - wanted) == nearest and (text := _cut(mol, smiles, atoms)) not in found:
            return {text: None}
    return {}


def _units(mol: Chem.Mol) -> list[set[int]]:
    """For each atom its ring system, or itself with what double and triple bonds hold to it.

    Single atoms where that is the whole molecule.
    """
    units = [{a} for a in range(mol.GetNumAtoms())]
    for bond in mol.GetBonds():
        if bond.IsInRing() or bond.GetBondType() != Chem.BondType.SINGLE:
            together = units[bond.GetBeginAtomIdx()] | units[bond.GetEndAtomIdx()]
            for a in together:
                units[a] = together
    if len(units[0]) == mol.GetNumAtoms():
        return [{a} for a in range(mol.GetNumAtoms())]
    return units


def _random_part(
    neighbours: list[list[int]], units: list[set[int]], wanted: int, rng: np.random.Generator
) -> set[int]:
    """Units around a random one, one more at a time while the number of atoms comes nearer."""
    part = set(units[int(rng.integers(len(neighbours)))])
    while len(part) < wanted:
        border = [b for a in sorted(part) for b in neighbours[a] if b not in part]
        if not border:
            break
        larger = part | units[border[int(rng.integers(len(border)))]]
        if len(larger) - wanted > wanted - len(part):
            break
        part = larger
    return part


def _matches(mol: Chem.Mol, smiles: str, part: str) -> list[set[int]]:
    size = mol.GetNumAtoms()
    if re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", part):
        atoms = {int(number) for number in part.split(",")}
        if max(atoms) >= size:
            raise ConfigError(f"part {part!r}: {smiles!r} has atoms 0 to {size - 1}")
        return [atoms]
    with rdBase.BlockLogs():
        query = Chem.MolFromSmarts(part)
    if query is None:
        raise ConfigError(f"part {part!r}: is neither SMARTS nor atom positions such as 3,4,5")
    matches = [set(match) for match in mol.GetSubstructMatches(query)]
    if not matches:
        raise ConfigError(f"part {part!r}: is not in {smiles!r}")
    return matches


def _cut(mol: Chem.Mol, smiles: str, atoms: set[int]) -> str:
    if len(atoms) == mol.GetNumAtoms():
        raise ConfigError(f"{smiles!r}: nothing would be left of it")
    return _checked(cut_away(mol, atoms))


def _checked(mol: Chem.Mol) -> str:
    """The prompt's text, which `split` can read."""
    text = to_prompt(mol)
    split(text)
    return text


def _some(prompts: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """The distinct ones, n at random where there are more."""
    distinct = list(dict.fromkeys(prompts))
    if len(distinct) <= n:
        return distinct
    return [distinct[i] for i in sorted(rng.choice(len(distinct), n, replace=False))]
