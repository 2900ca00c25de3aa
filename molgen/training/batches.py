"""Packed molecules -> training batches of molecules of like size, in fresh random orders."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from molgen.generator.network import Goals, Tokens, to_tensors
from molgen.graphs.dataset import PackedMolecules
from molgen.graphs.orders import draw_batch, new_plan, new_targets
from molgen.graphs.state import new_states

_POOL = 64  # batches sorted by size together


def batches(
    molecules: PackedMolecules,
    *,
    batch_size: int,
    prompt_share: float,
    max_atoms: int,
    seed: int,
    first_step: int = 0,
) -> Iterator[tuple[Tokens, Goals]]:
    """Endless training batches; batch k depends on the seed and k alone, so training resumes.

    Args:
        molecules: the training set.
        batch_size: molecules in a batch.
        prompt_share: share of molecules that start with a random kept part.
        max_atoms: what the network takes.
        seed: of the choice of molecules and of their building orders.
        first_step: number of the first batch.

    Yields:
        Tokens and goals, cut to the longest molecule of the batch.
    """
    tables = molecules.vocabulary.tables()
    states, targets, order = new_states(batch_size), new_targets(batch_size), new_plan()
    n_epoch = max(1, len(molecules) // batch_size)
    epoch, plan = -1, np.empty((0, 0), np.int64)
    step = first_step
    while True:
        if step // n_epoch != epoch:
            epoch = step // n_epoch
            plan = _plan(molecules.n_atoms, batch_size, np.random.default_rng([seed, epoch]))
        chosen = plan[step % n_epoch]
        order["rng"] = np.random.default_rng([seed, step, 1]).integers(2**63)
        draw_batch(
            states, targets, order, molecules.units, molecules.unit_start, molecules.bonds,
            molecules.bond_start, chosen, prompt_share, tables, max_atoms,
        )  # fmt: skip
        yield to_tensors(states[: len(chosen)], targets[: len(chosen)])
        step += 1


def _plan(
    n_atoms: npt.NDArray[np.uint8], batch_size: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """An epoch's batches, (n_batches, batch_size): random, but alike in size within a batch."""
    order = rng.permutation(len(n_atoms))
    if len(order) < batch_size:
        return order[None, :].astype(np.int64)
    rows = []
    for start in range(0, len(order), _POOL * batch_size):
        pool = order[start : start + _POOL * batch_size]
        pool = pool[np.argsort(n_atoms[pool], kind="stable")]
        rows += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    full = np.stack([row for row in rows if len(row) == batch_size])
    return full[rng.permutation(len(full))].astype(np.int64)
