"""Structures -> packed molecules."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from rdkit import Chem, rdBase

from molgen.errors import DataError
from molgen.graphs.encoding import encode, flatten
from molgen.graphs.packed import PackedMolecules, offsets
from molgen.graphs.units import EncodedMolecule
from molgen.graphs.vocabulary import Vocabulary, build_vocabulary

_CHUNK = 4000


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
    unknown = "atom type not in the vocabulary"
    if vocabulary is None:
        unknown = f"atom type in fewer than {min_atom_count} molecules (data.min_atom_count)"
        vocabulary = build_vocabulary(
            molecules, n_rooted_rings=n_rooted_rings, min_atom_count=min_atom_count
        )
    return _pack_encoded(molecules, vocabulary, left_out, len(smiles), unknown)


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
    if not text.strip():
        return b"", "no structure"
    mol = Chem.MolFromSmiles(text)
    if mol is None or mol.GetNumAtoms() == 0:
        return b"", "cannot be parsed"
    try:
        flat = flatten(mol)
        if flat.GetNumAtoms() > max_atoms:
            return b"", f"more than {max_atoms} heavy atoms"
        digest = hashlib.blake2b(Chem.MolToSmiles(flat).encode(), digest_size=10).digest()
        return digest, encode(flat)
    except DataError as error:
        return b"", str(error)


def _pack_encoded(
    molecules: Iterable[EncodedMolecule],
    vocabulary: Vocabulary,
    left_out: Counter[str],
    n_lines: int,
    unknown: str,
) -> PackedMolecules:
    units, bonds, n_atoms = [], [], []
    for molecule in molecules:
        numbers = vocabulary.units(molecule)
        if numbers is None:
            left_out[unknown] += 1
            continue
        n = len(molecule.source_atoms)
        if len(numbers[1]) - len(numbers[0]) + 1 > n // 2:
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
        np.concatenate(units), offsets(np.array([len(u) for u in units], np.uint8)),
        np.concatenate(bonds), offsets(np.array([len(m) for m in bonds], np.uint8)),
        np.array(n_atoms, np.uint8),
        {"n_lines": n_lines, "n_molecules": len(units), "left_out": dict(left_out)},
    )  # fmt: skip
