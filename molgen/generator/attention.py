"""Attention of new tokens over the cached keys and values of their molecules, compiled.

The tokens lie packed one after another, whatever molecule they belong to, so nothing is padded.
The cache is read as bits: numba knows no bfloat16, but it is the upper half of a float32.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from molgen.generator.vectors import Bits, exp_in_place, widen

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Sums may be taken in another order and numbers are finite, so loops run on vector units.
_FAST = {"reassoc", "contract", "nsz", "arcp", "nnan", "ninf"}


@numba.njit(cache=True, fastmath=_FAST)
def attend_cached(
    qkv: Bits, cache: Bits, shift: np.uint32, bias: Floats, code: npt.NDArray[np.uint8],
    slot: Ints, at: Ints, out: Floats,
) -> None:  # fmt: skip
    """One layer's attention; puts the tokens' keys and values into the cache first.

    Shapes: P tokens, S slots, T places, D width, H heads. Tokens of one slot come in order.

    Args:
        qkv: (P, 3 D) queries, keys, values, the heads of each side by side.
        cache: (S, T, 2 D) keys and values of the earlier tokens.
        shift: 0 for float32, 16 for bfloat16.
        bias: (codes, H) added to the scores.
        code: (P, T) what each token sees of the tokens up to itself.
        slot: (P,) the molecule's place in the cache.
        at: (P,) the token's place in its molecule.
        out: (P, D) or longer, receives the mixed values.
    """
    width = out.shape[1]
    keys_values = np.empty((cache.shape[1], 2 * width), np.uint32)
    query = np.empty(width, np.uint32)
    weight = np.empty((bias.shape[1], cache.shape[1]), np.float32)
    current, n_read = -1, 0
    for p in range(slot.shape[0]):
        if slot[p] != current:
            current, n_read = slot[p], 0
        n_seen = at[p] + 1
        cache[current, n_seen - 1] = qkv[p, width:]
        for j in range(n_read, n_seen):
            widen(cache[current, j], shift, keys_values[j])
        n_read = n_seen
        widen(qkv[p, :width], shift, query)
        floats = keys_values.view(np.float32)
        _weigh(query.view(np.float32), floats, bias, code[p], n_seen, weight)
        _mix(weight, floats, n_seen, out[p])


@numba.njit(cache=True, fastmath=_FAST)
def _weigh(
    query: Floats, keys_values: Floats, bias: Floats, code: npt.NDArray[np.uint8], n_seen: int,
    weight: Floats,
) -> None:  # fmt: skip
    """Softmax of the scores of the first tokens, weight[head, token]."""
    n_heads = bias.shape[1]
    size = query.shape[0] // n_heads
    scale = np.float32(1 / math.sqrt(size))
    for j in range(n_seen):
        for h in range(n_heads):
            first, last = h * size, (h + 1) * size
            part, key = query[first:last], keys_values[j, first:last]
            score = np.float32(0)
            for k in range(size):
                score += part[k] * key[k]
            weight[h, j] = score * scale + bias[code[j], h]
    for h in range(n_heads):
        row = weight[h]
        highest = row[0]
        for j in range(n_seen):
            highest = max(highest, row[j])
        for j in range(n_seen):
            row[j] -= highest
        exp_in_place(row[:n_seen])
        total = np.float32(0)
        for j in range(n_seen):
            total += row[j]
        for j in range(n_seen):
            row[j] /= total


@numba.njit(cache=True, fastmath=_FAST)
def _mix(weight: Floats, keys_values: Floats, n_seen: int, out: Floats) -> None:
    n_heads, width = weight.shape[0], out.shape[0]
    size = width // n_heads
    out[:] = 0
    for j in range(n_seen):
        for h in range(n_heads):
            first, last = h * size, (h + 1) * size
            mixed, value = out[first:last], keys_values[j, width + first : width + last]
            share = weight[h, j]
            for k in range(size):
                mixed[k] += share * value[k]
