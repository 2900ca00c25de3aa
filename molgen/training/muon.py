"""The optimiser Muon, with matrix products in a precision that the processor is fast at.

Described at https://kellerjordan.github.io/posts/muon. `torch.optim.Muon` does the same, in
bfloat16 alone, which takes a CPU without instructions for it many times as long as float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from molgen.generator.network import has_bfloat16

_MOMENTUM = 0.95
_N_STEPS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the iteration's polynomial


class Muon(torch.optim.Optimizer):
    """Momentum, whose matrix is brought near an orthogonal one before it is a step.

    Args:
        matrices: parameters of two dimensions.
        lr: rate; times the root of rows over columns, where there are more rows.
        weight_decay: share of the rate by which a parameter shrinks in a step.
        bfloat16: precision of the products; None: where the device has instructions for it.
    """

    def __init__(
        self, matrices: Iterable[Tensor], *, lr: float, weight_decay: float, bfloat16: bool | None
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})
        self._bfloat16 = bfloat16

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Step along the gradients that are there; of a closure nothing is asked."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p.grad)
                buffer = state["momentum_buffer"].lerp_(p.grad, 1 - _MOMENTUM)
                ahead = p.grad.lerp(buffer, _MOMENTUM)  # Nesterov's
                step = orthogonalised(ahead.to(self._dtype(p))).to(p.dtype)
                rate = group["lr"] * math.sqrt(max(1.0, p.shape[0] / p.shape[1]))
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=-rate)

    def _dtype(self, p: Tensor) -> torch.dtype:
        wanted = has_bfloat16(p.device.type) if self._bfloat16 is None else self._bfloat16
        return torch.bfloat16 if wanted else torch.float32


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors, whose singular values are near 1."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_N_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.T if matrix.shape[0] > matrix.shape[1] else x
