"""The peer's molecules: SMILES as tokens, in length-bucketed batches."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

TOKENS = re.compile(r"\[[^\]]+\]|Br|Cl|%\d\d|.")
END = 0  # also the first input, and padding
N_VALIDATION = 2000


@dataclass
class Strings:
    """Tokenised SMILES, one after another; string i is `flat[start[i]:start[i + 1]]`."""

    flat: np.ndarray
    start: np.ndarray

    def __len__(self) -> int:
        return len(self.start) - 1

    def lengths(self) -> np.ndarray:
        """Number of tokens of each string, END not counted."""
        return np.diff(self.start)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Tokens (T, B) with END before, after and as padding."""
        longest = int(self.lengths()[rows].max())
        out = np.zeros((longest + 2, len(rows)), np.int64)
        for column, row in enumerate(rows):
            part = self.flat[self.start[row] : self.start[row + 1]]
            out[1 : len(part) + 1, column] = part
        return torch.from_numpy(out)


def read_molecules(config: Path) -> tuple[list[str], list[str], int]:
    """Training and validation SMILES, and how many molecules a token must occur in.

    Training rows are the generator's own; validation rows are the file's `valid` split under the
    same limits.
    """
    import pandas as pd

    data = yaml.safe_load(config.read_text())["data"]
    table = pd.read_parquet(Path(os.environ["MOLGEN_DATA"]) / data["file"])
    table = table[table["n_heavy"] <= data.get("max_heavy_atoms", 50)]
    train = table.query(data["rows"])["smiles"]
    valid = table.query(data["rows"].replace("'train'", "'valid'"))["smiles"]
    return list(train), list(valid), int(data.get("min_atom_count", 100))


def common_tokens(smiles: Sequence[str], min_molecules: int) -> list[str]:
    """The vocabulary, END first: tokens that occur in at least so many molecules."""
    counts = Counter[str]()
    for text in smiles:
        counts.update(set(TOKENS.findall(text)))
    return ["", *sorted(t for t, n in counts.items() if n >= min_molecules)]


def tokenise(smiles: Sequence[str], vocabulary: Sequence[str]) -> Strings:
    """Strings of which every token is in the vocabulary; the others are left out."""
    number = {token: i for i, token in enumerate(vocabulary)}
    flat, start = bytearray(), [0]
    for text in smiles:
        tokens = [number.get(token, END) for token in TOKENS.findall(text)]
        if END not in tokens:
            flat.extend(tokens)
            start.append(len(flat))
    return Strings(np.frombuffer(bytes(flat), np.uint8), np.array(start))


def batches(strings: Strings, batch_size: int, seed: int, first_step: int) -> Iterator[Tensor]:
    """Endless length-bucketed batches; where they begin does not change what they hold."""
    lengths, n_pool = strings.lengths(), 100 * batch_size
    per_epoch = len(strings) // batch_size
    step = first_step
    while True:
        epoch = step // per_epoch
        rng = np.random.default_rng((seed, epoch))
        rows = rng.permutation(len(strings))[: per_epoch * batch_size]
        order: list[np.ndarray] = []
        for first in range(0, len(rows), n_pool):
            pool = rows[first : first + n_pool]
            pool = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch_size)
            order.extend(pool[rng.permutation(len(pool))])
        for rows_of_batch in order[step - epoch * per_epoch :]:
            yield strings.batch(rows_of_batch)
            step += 1


@dataclass
class Data:
    """What a run trains and is judged on."""

    vocabulary: list[str]
    train: Strings
    valid: Strings


def read_data(config: Path) -> Data:
    """The generator's training rows, and a fixed choice of validation rows."""
    train, valid, min_molecules = read_molecules(config)
    vocabulary = common_tokens(train, min_molecules)
    chosen = np.random.default_rng(0).choice(len(valid), min(N_VALIDATION, len(valid)), False)
    return Data(
        vocabulary, tokenise(train, vocabulary), tokenise([valid[i] for i in chosen], vocabulary)
    )
