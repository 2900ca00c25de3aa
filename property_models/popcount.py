"""How many bits are on in packed fingerprints."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def n_bits_on(word: np.uint64) -> np.uint64:
    """Bits on in a word."""
    # LLVM turns this idiom into one instruction
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True, nogil=True)
def counts(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits on in each row of uint64 (n, n_words), int64, shape (n,)."""
    n_on = np.zeros(bits.shape[0], np.int64)
    for i in range(bits.shape[0]):
        for word in range(bits.shape[1]):
            n_on[i] += np.int64(n_bits_on(bits[i, word]))
    return n_on
