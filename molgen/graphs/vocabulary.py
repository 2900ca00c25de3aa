"""What the generator can add in one action: an atom, or a whole ring system entered at one atom.

A *rooted ring* is a ring system together with the atom by which it is attached; two roots that a
symmetry exchanges are one entry. It expands into its atoms in a fixed order, root first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from molgen.errors import ModelFileError
from molgen.graphs.units import MAX_RING_ATOMS, AtomType, EncodedMolecule, RingSystem

MAX_RING_BONDS = 40
N_FIXED_ACTIONS = 4  # stop, and closing a ring by a single, double or triple bond
STOP = 0

IntArray = npt.NDArray[np.integer]


_K, _E = MAX_RING_ATOMS, MAX_RING_BONDS

# A ring system in the order of its key. `root` is the rooted ring entered at an atom, -1 where
# that is not in the vocabulary; `expansion[t, k]` is the atom that comes k-th when entered at t.
RING = np.dtype(
    [
        ("n_atoms", np.int32),
        ("n_bonds", np.int32),
        ("type", np.int16, (_K,)),
        ("bond", np.int16, (_E, 3)),
        ("root", np.int16, (_K,)),
        ("expansion", np.int16, (_K, _K)),
    ],
    align=True,
)
ACTION = np.dtype(
    [
        ("bond", np.int32),  # bond order, 0 for stop
        ("item", np.int32),  # atom type, or A + rooted ring; -1 for stop and closures
        ("size", np.int32),  # atoms added
    ]
)


class Tables(NamedTuple):
    """The vocabulary as arrays, for compiled code.

    Shapes: A atom types, B ring systems, R rooted rings, W actions, I = A + R items.
    """

    valence_A: IntArray
    base_B: npt.NDArray[np.void]  # RING: ring systems as packed molecules hold them
    ring_R: npt.NDArray[np.void]  # RING: rooted rings, root first, in building order
    action_W: npt.NDArray[np.void]  # ACTION
    attach_I4: IntArray  # [item, bond order] -> action, -1: none


@dataclass(frozen=True)
class Vocabulary:
    """Atom types, ring systems and actions, saved with the weights.

    Attributes:
        atom_types: what single atoms can be added.
        rings: the ring systems; only rooted versions in `attachments` are actions.
        attachments: (item, bond order) of every attaching action; item is an atom type's index,
            or len(atom_types) + index of a rooted ring.
        known_tables: what `tables` returns, where it was worked out before; that needs RDKit.
    """

    atom_types: tuple[AtomType, ...]
    rings: tuple[RingSystem, ...]
    roots: tuple[tuple[int, int], ...]  # (ring system, root atom), one for each rooted ring
    attachments: tuple[tuple[int, int], ...]
    known_tables: Tables | None = field(default=None, compare=False, repr=False)

    @property
    def n_actions(self) -> int:
        """Number of actions, stop and closures included."""
        return N_FIXED_ACTIONS + len(self.attachments)

    def tables(self) -> Tables:
        """The arrays that compiled code reads."""
        return _tables(self) if self.known_tables is None else self.known_tables

    @cached_property
    def _numbers(self) -> tuple[dict[AtomType, int], dict[str, int]]:
        return (
            {t: i for i, t in enumerate(self.atom_types)},
            {r.key: i for i, r in enumerate(self.rings)},
        )

    def units(self, encoded: EncodedMolecule) -> tuple[IntArray, IntArray] | None:
        """Units and bonds of a molecule in this vocabulary's numbers.

        Args:
            encoded: a molecule, from `encode`.

        Returns:
            units (n,) int32: atom type, or len(atom_types) + ring system; bonds (m, 3) int32; and
            None where an atom type is not in the vocabulary. A ring system that is not in the
            vocabulary is opened into its atoms, in place, so atoms keep their numbers.
        """
        types, rings = self._numbers
        units: list[int] = []
        bonds = list(encoded.bonds)
        position = 0
        for unit in encoded.units:
            if isinstance(unit, RingSystem):
                ring = rings.get(unit.key)
                if ring is not None:
                    units.append(len(types) + ring)
                else:
                    if any(t not in types for t in unit.atom_types):
                        return None
                    units.extend(types[t] for t in unit.atom_types)
                    bonds.extend((position + i, position + j, o) for i, j, o in unit.bonds)
                position += len(unit.atom_types)
            elif unit in types:
                units.append(types[unit])
                position += 1
            else:
                return None
        return np.array(units, np.int32), np.array(bonds, np.int32).reshape(-1, 3)

    def to_json(self) -> dict[str, object]:
        """Plain lists, for a file's metadata."""
        return {
            "atom_types": self.atom_types,
            "rings": [[r.key, r.atom_types, r.bonds] for r in self.rings],
            "roots": self.roots,
            "attachments": self.attachments,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], known_tables: Tables | None = None) -> Vocabulary:
        """The inverse of `to_json`.

        Args:
            data: what `to_json` gave.
            known_tables: of the vocabulary, if at hand.

        Raises:
            ModelFileError: the data is not a vocabulary.
        """
        try:
            rings = tuple(
                RingSystem(key, tuple(tuple(t) for t in types), tuple(tuple(b) for b in bonds))
                for key, types, bonds in data["rings"]
            )
            return cls(
                tuple((t[0], t[1], t[2]) for t in data["atom_types"]),
                rings,
                tuple((r[0], r[1]) for r in data["roots"]),
                tuple((a[0], a[1]) for a in data["attachments"]),
                known_tables,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"the vocabulary in the weights file is broken: {error}"
            ) from error


def build_vocabulary(
    molecules: Iterable[EncodedMolecule], *, n_rooted_rings: int, min_atom_count: int
) -> Vocabulary:
    """Choose the commonest atom types and rooted rings of a training set.

    Args:
        molecules: the training set.
        n_rooted_rings: how many rooted rings become actions.
        min_atom_count: an atom type seen in fewer molecules is left out, and with it they.
    """
    type_counts: Counter[AtomType] = Counter()
    entry_counts: Counter[tuple[str, int]] = Counter()
    systems: dict[str, RingSystem] = {}
    for molecule in molecules:
        position = 0
        open_atoms = {a for bond in molecule.bonds for a in bond[:2]}
        seen: set[AtomType] = set()
        for unit in molecule.units:
            if isinstance(unit, RingSystem):
                systems.setdefault(unit.key, unit)
                seen.update(unit.atom_types)
                for i in range(len(unit.atom_types)):
                    if position + i in open_atoms or not open_atoms:
                        entry_counts[unit.key, i] += 1
                position += len(unit.atom_types)
            else:
                seen.add(unit)
                position += 1
        type_counts.update(seen)
    types = tuple(sorted(t for t, n in type_counts.items() if n >= min_atom_count))
    return _choose(types, systems, entry_counts, n_rooted_rings)


def _choose(
    types: tuple[AtomType, ...],
    systems: dict[str, RingSystem],
    entry_counts: Counter[tuple[str, int]],
    n_rooted_rings: int,
) -> Vocabulary:
    candidates: Counter[tuple[str, int]] = Counter()
    totals = Counter({key: 0 for key in systems})
    for (key, _), n in entry_counts.items():
        totals[key] += n
    # Twice as many systems as rooted rings are wanted leaves no common one out.
    for key, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))[
        : 2 * n_rooted_rings
    ]:
        system = systems[key]
        if any(t not in types for t in system.atom_types):
            continue
        for atom, orbit in enumerate(_orbits(system)):
            if orbit >= 0:
                candidates[key, orbit] += entry_counts[key, atom]
    kept = sorted(candidates.items(), key=lambda item: (-item[1], item[0]))[:n_rooted_rings]
    kept_keys = sorted({key for (key, _), _ in kept})
    index = {key: i for i, key in enumerate(kept_keys)}
    roots = tuple(sorted((index[key], root) for (key, root), _ in kept))
    attachments = []
    for item, (_, _, valence) in enumerate(types):
        attachments += [(item, order) for order in (1, 2, 3) if order <= valence]
    for r, (ring, root) in enumerate(roots):
        free = _free_valence(systems[kept_keys[ring]])[root]
        attachments += [(len(types) + r, order) for order in (1, 2) if order <= free]
    return Vocabulary(types, tuple(systems[key] for key in kept_keys), roots, tuple(attachments))


def _free_valence(ring: RingSystem) -> list[int]:
    free = [t[2] for t in ring.atom_types]
    for first, second, order in ring.bonds:
        free[first] -= order
        free[second] -= order
    return free


def _orbits(ring: RingSystem) -> list[int]:
    """For each atom with a free valence, the first atom that a symmetry carries to it; else -1."""
    strings = _rooted_strings(ring)
    free = _free_valence(ring)
    first: dict[str, int] = {}
    return [
        first.setdefault(strings[i][0], i) if free[i] > 0 else -1
        for i in range(len(ring.atom_types))
    ]


@lru_cache(maxsize=1)  # asked for twice in a row
def _rooted_strings(ring: RingSystem) -> list[tuple[str, tuple[int, ...]]]:
    from molgen.graphs.encoding import rooted_orders

    # Aromaticity is read back from the key: a quadruple bond ($) there stands for aromatic.
    return rooted_orders(ring.atom_types, _labelled_bonds(ring))


def _labelled_bonds(ring: RingSystem) -> tuple[tuple[int, int, int, int], ...]:
    from rdkit import Chem

    mol = Chem.MolFromSmiles(ring.key, sanitize=False)
    aromatic = {
        tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())))
        for b in mol.GetBonds()
        if b.GetBondType() == Chem.BondType.QUADRUPLE
    }
    return tuple((i, j, o, 4 if (i, j) in aromatic else o) for i, j, o in ring.bonds)


@lru_cache(maxsize=2)  # the same generator is loaded by policy and workers
def _tables(vocabulary: Vocabulary) -> Tables:
    type_index = {t: i for i, t in enumerate(vocabulary.atom_types)}
    rooted = {pair: r for r, pair in enumerate(vocabulary.roots)}
    base = np.zeros(max(1, len(vocabulary.rings)), RING)
    ring = np.zeros(max(1, len(vocabulary.roots)), RING)
    for b, system in enumerate(vocabulary.rings):
        orders = [order for _, order in _rooted_strings(system)]
        _fill(base[b], system, range(len(system.atom_types)), type_index)
        base[b]["root"] = -1
        for atom, orbit in enumerate(_orbits(system)):
            base[b]["root"][atom] = rooted.get((b, orbit), -1)
            base[b]["expansion"][atom, : len(orders[atom])] = orders[atom]
        for root in range(len(orders)):
            if (b, root) in rooted:
                _fill(ring[rooted[b, root]], system, orders[root], type_index)
    valence = np.array([t[2] for t in vocabulary.atom_types], np.int32)
    return Tables(valence, base, ring, *_action_tables(vocabulary, ring["n_atoms"]))


def _fill(
    record: np.void, system: RingSystem, order: Sequence[int], type_index: Mapping[AtomType, int]
) -> None:
    """Write a ring system with its atoms in a new order; bonds lead from earlier atoms to later."""
    rank = {old: new for new, old in enumerate(order)}
    bonds = [(*sorted((rank[i], rank[j])), o) for i, j, o in system.bonds]
    record["n_atoms"], record["n_bonds"] = len(order), len(bonds)
    record["type"][: len(order)] = [type_index[system.atom_types[old]] for old in order]
    record["bond"][: len(bonds)] = sorted(bonds, key=lambda bond: (bond[1], bond[0]))


def _action_tables(
    vocabulary: Vocabulary, ring_n_R: IntArray
) -> tuple[npt.NDArray[np.void], IntArray]:
    n_types = len(vocabulary.atom_types)
    action = np.zeros(vocabulary.n_actions, ACTION)
    action["item"] = -1
    action["bond"][1:N_FIXED_ACTIONS] = (1, 2, 3)
    attach = np.full((n_types + len(vocabulary.roots), 4), -1, np.int32)
    for w, (item, order) in enumerate(vocabulary.attachments, start=N_FIXED_ACTIONS):
        action[w] = (order, item, 1 if item < n_types else ring_n_R[item - n_types])
        attach[item, order] = w
    return action, attach
