"""Packed molecules: one file of units and bonds, all that training reads. Needs no RDKit."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from molgen.errors import DataError
from molgen.graphs.vocabulary import ACTION, RING, Tables, Vocabulary


@dataclass(frozen=True)
class PackedMolecules:
    """Molecules as units and bonds, end to end.

    Attributes:
        vocabulary: gives the units their meaning.
        units: (u,) uint16: atom type, or number of atom types + ring system.
        unit_start: (n + 1,) int64 offsets into `units`.
        bonds: (m, 3) uint8: atom, atom, order, atoms counted within the molecule.
        bond_start: (n + 1,) int64 offsets into `bonds`.
        n_atoms: (n,) uint8 heavy atoms.
        info: where the structures came from and what was left out, for the model card.
    """

    vocabulary: Vocabulary
    units: npt.NDArray[np.uint16]
    unit_start: npt.NDArray[np.int64]
    bonds: npt.NDArray[np.uint8]
    bond_start: npt.NDArray[np.int64]
    n_atoms: npt.NDArray[np.uint8]
    info: dict[str, Any]

    def __len__(self) -> int:
        """Number of molecules."""
        return len(self.n_atoms)

    def subset(self, chosen: npt.NDArray[np.int64]) -> PackedMolecules:
        """The chosen molecules, in that order."""
        units = [self.units[self.unit_start[i] : self.unit_start[i + 1]] for i in chosen]
        bonds = [self.bonds[self.bond_start[i] : self.bond_start[i + 1]] for i in chosen]
        return PackedMolecules(
            self.vocabulary,
            np.concatenate(units), offsets(np.diff(self.unit_start)[chosen]),
            np.concatenate(bonds), offsets(np.diff(self.bond_start)[chosen]),
            self.n_atoms[chosen], self.info,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write one compressed .npz file, without pickles, that needs no RDKit to be read."""
        header = json.dumps({"vocabulary": self.vocabulary.to_json(), "info": self.info})
        tables = self.vocabulary.tables()
        temporary = path.with_name(path.name + ".part.npz")
        np.savez_compressed(
            temporary,
            header=np.frombuffer(header.encode(), np.uint8),
            units=self.units,
            unit_length=np.diff(self.unit_start).astype(np.uint8),
            bonds=self.bonds,
            bond_length=np.diff(self.bond_start).astype(np.uint8),
            n_atoms=self.n_atoms,
            **{f"table_{name}": table for name, table in tables._asdict().items()},
        )
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> PackedMolecules:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or not such a file.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                header = json.loads(bytes(file["header"]).decode())
                return cls(
                    Vocabulary.from_json(header["vocabulary"], _known_tables(file)),
                    file["units"], offsets(file["unit_length"]),
                    file["bonds"], offsets(file["bond_length"]),
                    file["n_atoms"], header["info"],
                )  # fmt: skip
        except (OSError, EOFError, KeyError, ValueError, BadZipFile, zlib.error) as error:
            raise DataError(f"{path}: not a packed molecule file ({error})") from error


def offsets(lengths: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Where each stretch of a row of stretches begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _known_tables(file: Mapping[str, Any]) -> Tables | None:
    """The tables in a packed file; older files have none."""
    names = [f"table_{name}" for name in Tables._fields]
    if any(name not in file for name in names):
        return None
    valence, base, ring, action, attach = (file[name] for name in names)
    # Files forget the padding between a record's fields, which compiled code relies on.
    return Tables(valence, base.astype(RING), ring.astype(RING), action.astype(ACTION), attach)
