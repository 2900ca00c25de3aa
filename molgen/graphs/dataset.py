"""Structures on disk -> one packed file of units and bonds, all that training reads."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from molgen.errors import DataError
from molgen.graphs.encoding import EncodedMolecule, encode, flatten
from molgen.graphs.vocabulary import Vocabulary, build_vocabulary

_CHUNK = 4000


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
            np.concatenate(units), _offsets(np.diff(self.unit_start)[chosen]),
            np.concatenate(bonds), _offsets(np.diff(self.bond_start)[chosen]),
            self.n_atoms[chosen], self.info,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write one compressed .npz file, without pickles."""
        header = json.dumps({"vocabulary": self.vocabulary.to_json(), "info": self.info})
        temporary = path.with_name(path.name + ".part.npz")
        np.savez_compressed(
            temporary,
            header=np.frombuffer(header.encode(), np.uint8),
            units=self.units,
            unit_length=np.diff(self.unit_start).astype(np.uint8),
            bonds=self.bonds,
            bond_length=np.diff(self.bond_start).astype(np.uint8),
            n_atoms=self.n_atoms,
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
                    Vocabulary.from_json(header["vocabulary"]),
                    file["units"], _offsets(file["unit_length"]),
                    file["bonds"], _offsets(file["bond_length"]),
                    file["n_atoms"], header["info"],
                )  # fmt: skip
        except (OSError, EOFError, KeyError, ValueError, BadZipFile, zlib.error) as error:
            raise DataError(f"{path}: not a packed molecule file ({error})") from error


def _offsets(lengths: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def pack(
    smiles: Sequence[str],
    *,
    max_atoms: int,
    n_rooted_rings: int = 2500,
    min_atom_count: int = 20,
    vocabulary: Vocabulary | None = None,
    n_processes: int = 1,
    on_progress: Callable[[int], None] = lambda n: None,
) -> PackedMolecules:
    """Parse, flatten and pack structures; what cannot be used is counted, not hidden.

    Args:
        smiles: structures; stereo and isotopes are removed, duplicates afterwards too.
        max_atoms: larger molecules are left out.
        n_rooted_rings: ring actions of a new vocabulary.
        min_atom_count: atom types in fewer molecules are left out of a new vocabulary.
        vocabulary: use this one (to train an existing model further).
        n_processes: processes that parse.
        on_progress: called with the number of lines read since the last call.

    Returns:
        The packed molecules; `info["left_out"]` counts the others by reason.

    Raises:
        DataError: nothing usable is left.
    """
    left_out: Counter[str] = Counter()
    seen: set[bytes] = set()
    molecules: list[EncodedMolecule] = []
    for chunk, encoded in _encode_all(smiles, max_atoms, n_processes):
        on_progress(chunk)
        for digest, molecule in encoded:
            if isinstance(molecule, str):
                left_out[molecule] += 1
            elif digest in seen:
                left_out["duplicate"] += 1
            else:
                seen.add(digest)
                molecules.append(molecule)
    if vocabulary is None:
        vocabulary = build_vocabulary(
            molecules, n_rooted_rings=n_rooted_rings, min_atom_count=min_atom_count
        )
    return _pack_encoded(molecules, vocabulary, left_out, len(smiles))


def _encode_all(
    smiles: Sequence[str], max_atoms: int, n_processes: int
) -> Iterator[tuple[int, list[tuple[bytes, EncodedMolecule | str]]]]:
    chunks = [smiles[i : i + _CHUNK] for i in range(0, len(smiles), _CHUNK)]
    if n_processes == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield len(chunk), _encode_chunk(chunk, max_atoms)
        return
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        results = pool.map(_encode_chunk, chunks, [max_atoms] * len(chunks))
        for chunk, result in zip(chunks, results, strict=True):
            yield len(chunk), result


def _encode_chunk(
    smiles: Sequence[str], max_atoms: int
) -> list[tuple[bytes, EncodedMolecule | str]]:
    with rdBase.BlockLogs():
        return [_encode_one(text, max_atoms) for text in smiles]


def _encode_one(text: str, max_atoms: int) -> tuple[bytes, EncodedMolecule | str]:
    mol = Chem.MolFromSmiles(text)
    if mol is None or mol.GetNumAtoms() == 0:
        return b"", "cannot be parsed"
    if mol.GetNumAtoms() > max_atoms:
        return b"", f"more than {max_atoms} heavy atoms"
    flat = flatten(mol)
    digest = hashlib.blake2b(Chem.MolToSmiles(flat).encode(), digest_size=10).digest()
    try:
        return digest, encode(flat)
    except DataError as error:
        return b"", str(error)


def _pack_encoded(
    molecules: Iterable[EncodedMolecule],
    vocabulary: Vocabulary,
    left_out: Counter[str],
    n_lines: int,
) -> PackedMolecules:
    units, bonds, n_atoms = [], [], []
    for molecule in molecules:
        numbers = vocabulary.units(molecule)
        if numbers is None:
            left_out["atom type not in the vocabulary"] += 1
            continue
        n = len(molecule.source_atoms)
        if len(numbers[1]) - n + 1 > n // 2:
            left_out["too many rings outside the vocabulary"] += 1
            continue
        units.append(numbers[0].astype(np.uint16))
        bonds.append(numbers[1].astype(np.uint8))
        n_atoms.append(n)
    if not units:
        reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.most_common())
        raise DataError(f"none of the {n_lines} structures can be used ({reasons or 'no lines'})")
    return PackedMolecules(
        vocabulary,
        np.concatenate(units), _offsets(np.array([len(u) for u in units], np.uint8)),
        np.concatenate(bonds), _offsets(np.array([len(m) for m in bonds], np.uint8)),
        np.array(n_atoms, np.uint8),
        {"n_lines": n_lines, "n_molecules": len(units), "left_out": dict(left_out)},
    )  # fmt: skip
