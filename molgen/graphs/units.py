"""What molecules are made of: atom types, ring systems, and molecules as a list of them.

Apart from `encoding`, so that training can read packed molecules where there is no RDKit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_RING_ATOMS = 24  # larger systems are kept as loose atoms and built one by one

AtomType = tuple[int, int, int]  # atomic number, formal charge, total valence


@dataclass(frozen=True)
class RingSystem:
    """Atom types and Kekulé bonds (first, second, order) of a ring system, in canonical order."""

    key: str
    atom_types: tuple[AtomType, ...]
    bonds: tuple[tuple[int, int, int], ...]


@dataclass
class EncodedMolecule:
    """A molecule as units.

    Attributes:
        units: one entry a unit: an atom type, or a ring system.
        bonds: (atom, atom, order) for every bond outside the ring systems; atoms are numbered
            along the units.
        source_atoms: for each atom along the units, its index in the RDKit molecule.
    """

    units: list[AtomType | RingSystem] = field(default_factory=list)
    bonds: list[tuple[int, int, int]] = field(default_factory=list)
    source_atoms: list[int] = field(default_factory=list)
