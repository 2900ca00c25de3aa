"""Loops over single-precision numbers that compile to vector instructions."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[Any]  # uint32: float32; uint16: bfloat16, the upper half of a float32

_BLOCK = 64
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)


@numba.njit(cache=True)
def widen(bits: Bits, shift: np.uint32, out: npt.NDArray[np.uint32]) -> None:
    """Bits of float32 numbers from those of float32 (shift 0) or of bfloat16 (shift 16)."""
    for d in range(out.shape[0]):
        out[d] = np.uint32(bits[d]) << shift


@numba.njit(cache=True, fastmath={"contract", "nsz"})
def exp_in_place(x: npt.NDArray[np.float32]) -> None:
    """Exponentials of numbers of at most 88, in place; 0 below -88, and of minus infinity.

    Within 1e-7 of the true ones. A call of the C library for each number takes seven times as
    long. Range reduction and polynomial are those of Cephes' `expf`
    (https://www.netlib.org/cephes/).
    """
    bits = np.empty(_BLOCK, np.uint32)
    power = bits.view(np.float32)
    for first in range(0, x.shape[0], _BLOCK):
        part = x[first : first + _BLOCK]
        for i in range(part.shape[0]):
            v = max(part[i], np.float32(-88))
            k = np.floor(v * _LOG2_E + np.float32(0.5))
            bits[i] = np.uint32(np.int32(k) + np.int32(127)) << np.uint32(23)  # 2**k; 0 at -88
            r = v - k * _LN2_HIGH - k * _LN2_LOW
            p = np.float32(1.9875691500e-4)
            p = p * r + np.float32(1.3981999507e-3)
            p = p * r + np.float32(8.3334519073e-3)
            p = p * r + np.float32(4.1665795894e-2)
            p = p * r + np.float32(1.6666665459e-1)
            p = p * r + np.float32(5.0000001201e-1)
            part[i] = p * r * r + r + np.float32(1)
        for i in range(part.shape[0]):
            part[i] *= power[i]
