"""Training batches: a function of the seed and the step alone."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from molgen.generator.network import Goals, Tokens
from molgen.graphs.dataset import PackedMolecules
from molgen.graphs.state import FREE
from molgen.training.batches import batches

Batch = tuple[Tokens, Goals]


def some(
    packed: PackedMolecules, n: int, first_step: int = 0, seed: int = 1, share: float = 0.5
) -> list[Batch]:
    stream = batches(
        packed, batch_size=8, prompt_share=share, max_atoms=45, seed=seed, first_step=first_step
    )
    return list(islice(stream, n))


def same(one: Batch, other: Batch) -> bool:
    """Equal where anything is read: padding behind a molecule holds what was there before."""
    return all(
        a.shape == b.shape and bool((a == b).all())
        for a, b in (
            (one[1].action_BT, other[1].action_BT),
            (one[1].pointer_BT, other[1].pointer_BT),
            (one[0].features_BT5[:, 0], other[0].features_BT5[:, 0]),
        )
    )


def test_the_same_seed_gives_the_same_batches(packed: PackedMolecules) -> None:
    for one, other in zip(some(packed, 30), some(packed, 30), strict=True):
        assert same(one, other)
    assert not same(some(packed, 1)[0], some(packed, 1, seed=2)[0])


def test_training_goes_on_from_any_step(packed: PackedMolecules) -> None:
    whole = some(packed, 30)
    for first in (1, 11, 12, 25):  # an epoch has 12 batches of 8
        for k, batch in enumerate(some(packed, 3, first_step=first)):
            assert same(batch, whole[first + k])


def test_an_epoch_holds_each_molecule_once_in_another_order_each_time(
    packed: PackedMolecules,
) -> None:
    n_batches = len(packed) // 8
    sizes = packed.n_atoms
    epochs = []
    for epoch in range(2):
        seen = []
        for tokens, _ in some(packed, n_batches, first_step=epoch * n_batches, share=0.0):
            kinds = tokens.features_BT5[..., 2]
            seen += [int((row == 1).sum() + (row == 3).sum()) for row in kinds]
        epochs.append(len(seen))
    assert epochs == [n_batches * 8] * 2
    assert len(sizes) - epochs[0] < 8


def test_the_prompt_share_is_the_share_of_kept_parts(packed: PackedMolecules) -> None:
    def share(batch: Batch) -> float:
        return float((batch[0].features_BT5[:, 0, 3] != FREE).float().mean())

    assert np.mean([share(b) for b in some(packed, 20, share=0.0)]) == 0
    assert np.mean([share(b) for b in some(packed, 20, share=1.0)]) == 1
    assert 0.35 < np.mean([share(b) for b in some(packed, 40, share=0.5)]) < 0.65


def test_fewer_molecules_than_a_batch_make_one_batch(packed: PackedMolecules) -> None:
    few = packed.subset(np.arange(3))
    for tokens, goals in some(few, 4):
        assert len(tokens.features_BT5) == 3
        assert torch.isfinite(goals.action_BT.float()).all()


def test_the_parts_of_a_batch_make_up_the_whole(packed: PackedMolecules) -> None:
    def actions(part: tuple[int, int]) -> list[list[int]]:
        stream = batches(packed, batch_size=8, prompt_share=0.5, max_atoms=45, seed=1, part=part)
        return [[int(a) for a in row if a >= 0] for row in next(stream)[1].action_BT]

    whole = actions((0, 1))
    for n in (2, 4):
        for i in range(n):
            assert actions((i, n)) == whole[i::n]


def test_loaders_draw_the_same_batches_ahead(packed: PackedMolecules) -> None:
    stream = batches(
        packed, batch_size=8, prompt_share=0.5, max_atoms=45, seed=1, first_step=3, n_loaders=1
    )
    for one, other in zip(some(packed, 4, first_step=3), stream, strict=False):
        assert same(one, other)
