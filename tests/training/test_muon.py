"""The optimiser of the layers' matrices, beside PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch

from molgen.training.muon import Muon, orthogonalised


def trained(optimiser: torch.optim.Optimizer, matrices: list[torch.Tensor]) -> None:
    """Four steps towards targets that differ from entry to entry."""
    for step in range(4):
        for m in matrices:
            generator = torch.Generator().manual_seed(step)
            m.grad = m.detach() - torch.randn(m.shape, generator=generator)
        optimiser.step()


def matrices() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = ((12, 5), (5, 12), (8, 8))
    return [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]


@pytest.mark.parametrize(("bfloat16", "atol"), [(True, 1e-6), (False, 0.02)])
def test_it_steps_as_pytorchs_own_does(bfloat16: bool, atol: float) -> None:
    ours, theirs = matrices(), matrices()
    trained(Muon(ours, lr=0.05, weight_decay=0.1, bfloat16=bfloat16), ours)
    trained(torch.optim.Muon(theirs, lr=0.05, weight_decay=0.1), theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_its_state_goes_on_from_pytorchs_own() -> None:
    ours, theirs = matrices(), matrices()
    torchs = torch.optim.Muon(theirs, lr=0.05, weight_decay=0.1)
    trained(torchs, theirs)
    mine = Muon(ours, lr=0.05, weight_decay=0.1, bfloat16=True)
    mine.load_state_dict(copy.deepcopy(torchs.state_dict()))
    with torch.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            a.copy_(b)
    trained(mine, ours)
    trained(torchs, theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (8, 8)])
def test_singular_values_come_near_one_and_the_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(matrix)
    assert torch.linalg.svdvals(found).min() > 0.3 and torch.linalg.svdvals(found).max() < 1.3
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ found @ vh.T
    torch.testing.assert_close(inner, torch.diag(inner.diag()), rtol=0, atol=1e-4)
