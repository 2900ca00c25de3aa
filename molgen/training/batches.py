"""Packed molecules -> training batches of sequences of like length, in fresh random orders."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from molgen.generator.network import Goals, Tokens, to_tensors
from molgen.graphs.orders import draw_batch, new_plan, new_targets
from molgen.graphs.packed import PackedMolecules
from molgen.graphs.state import new_states

Batch = tuple[Tokens, Goals]

_GROUP = 16  # batches drawn and sorted by length together


def batches(
    molecules: PackedMolecules,
    *,
    batch_size: int,
    prompt_share: float,
    max_atoms: int,
    seed: int,
    first_step: int = 0,
    part: tuple[int, int] = (0, 1),
    n_loaders: int = 0,
) -> Iterator[Batch]:
    """Endless training batches; batch k depends on the seed and k alone, so training resumes.

    Args:
        molecules: the training set.
        batch_size: molecules in a batch.
        prompt_share: share of molecules that start with a random kept part.
        max_atoms: what the network takes.
        seed: of the choice of molecules and of their building orders.
        first_step: number of the first batch.
        part: (i, n): give the i-th of n parts of each batch, drawn as if it were whole.
        n_loaders: processes that draw batches ahead; 0: drawn here, when they are asked for.

    Yields:
        Tokens and goals, cut to the longest molecule of the batch.
    """
    groups = _Groups(molecules, batch_size, prompt_share, max_atoms, seed, part)
    first, skip = divmod(first_step, groups.n_batches)
    drawn: Iterable[list[Batch]] = (groups[k] for k in _From(first))
    if n_loaders:
        drawn = DataLoader(
            groups, batch_size=None, sampler=_From(first), num_workers=n_loaders,
            prefetch_factor=2, pin_memory=torch.cuda.is_available(),
            multiprocessing_context="spawn",
        )  # fmt: skip
    for group in drawn:
        yield from group[skip:]
        skip = 0


class _From:
    """All numbers from the first on; a sampler is asked for a fresh iterator."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first)


class _Groups(Dataset[list[Batch]]):
    """Batches, some at a time: drawn, then sorted by length so that little of them is padding.

    A molecule's length is known only when its order is drawn: a ring that is cut costs tokens.
    """

    def __init__(
        self, molecules: PackedMolecules, batch_size: int, prompt_share: float, max_atoms: int,
        seed: int, part: tuple[int, int],
    ) -> None:  # fmt: skip
        self.molecules, self.prompt_share, self.max_atoms = molecules, prompt_share, max_atoms
        self.seed, self.part = seed, part
        self.tables = molecules.vocabulary.tables()
        self.batch_size = min(batch_size, len(molecules))
        self.n_batches = min(_GROUP, len(molecules) // self.batch_size)
        n = self.n_batches * self.batch_size
        self.states, self.targets, self.order = new_states(n), new_targets(n), new_plan()
        self.epoch, self.shuffled = -1, np.empty(0, np.int64)

    def __getitem__(self, number: int) -> list[Batch]:
        m, n = self.molecules, len(self.states)
        epoch, place = divmod(number, len(m) // n)
        if epoch != self.epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self.epoch, self.shuffled = epoch, rng.permutation(len(m))
        rng = np.random.default_rng([self.seed, number, 1])
        draw_batch(
            self.states, self.targets, self.order, m.units, m.unit_start, m.bonds, m.bond_start,
            self.shuffled[place * n : (place + 1) * n],
            rng.integers(2**64, size=n, dtype=np.uint64), self.prompt_share, self.tables,
            self.max_atoms,
        )  # fmt: skip
        by_length = np.argsort(self.states["n_tokens"], kind="stable")
        rows = rng.permutation(by_length.reshape(self.n_batches, self.batch_size))
        i, n_parts = self.part
        return [to_tensors(self.states[r[i::n_parts]], self.targets[r[i::n_parts]]) for r in rows]


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch where the network is."""
    if device.type == "cpu":
        return batch
    tokens, goals = batch
    return (
        Tokens(*(t.to(device, non_blocking=True) for t in tokens)),
        Goals(*(t.to(device, non_blocking=True) for t in goals)),
    )
