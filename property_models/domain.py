"""Applicability domain: the nearest training compound, and how near is near enough.

A compound is inside the domain of a predictor when its ECFP4 Tanimoto similarity to the nearest
training compound reaches the threshold on the card.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Share of scaffold-held-out compounds that count as outside: they were predicted from the other
# scaffolds, so a compound farther off than most of them has no measured error behind it.
OUTSIDE_SHARE = 0.10


@njit(cache=True, nogil=True)
def _n_on(word: np.uint64) -> np.uint64:  # LLVM turns this idiom into one instruction
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True, nogil=True)
def _counts(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    n_on = np.zeros(bits.shape[0], np.int64)
    for i in range(bits.shape[0]):
        for word in range(bits.shape[1]):
            n_on[i] += np.int64(_n_on(bits[i, word]))
    return n_on


@njit(cache=True, nogil=True)
def _nearest(
    queries: NDArray[np.uint64],
    reference: NDArray[np.uint64],
    n_on_queries: NDArray[np.int64],
    n_on_reference: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    best_row = np.full(queries.shape[0], -1, np.int64)
    best = np.zeros(queries.shape[0], np.float64)
    for i in range(queries.shape[0]):
        for j in range(reference.shape[0]):
            n_query, n_other = n_on_queries[i], n_on_reference[j]
            # The similarity cannot exceed min/max of the two counts: skip what cannot win.
            if min(n_query, n_other) <= best[i] * max(n_query, n_other) and best_row[i] >= 0:
                continue
            common = np.int64(0)
            for word in range(reference.shape[1]):
                common += np.int64(_n_on(queries[i, word] & reference[j, word]))
            union = n_query + n_other - common
            similarity = common / union if union > 0 else 0.0
            if similarity > best[i] or best_row[i] < 0:
                best[i] = similarity
                best_row[i] = j
    return best_row, best


def nearest(
    queries: NDArray[np.uint64], reference: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest reference row of each query by Tanimoto similarity of packed bits.

    Args:
        queries: uint64, shape (n, n_words).
        reference: uint64, shape (m, n_words), m >= 1.

    Returns:
        (row, similarity): int64 and float64, shape (n,); the first row among equals.
    """
    rows, similarity = _nearest(queries, reference, _counts(queries), _counts(reference))
    return rows, similarity


@dataclass(frozen=True)
class ReferenceIndex:
    """What a predictor keeps of its training compounds: no structure, only what a look-up needs.

    Attributes:
        bits: Packed ECFP4 of 1024 bits, uint64, shape (m, 16).
        inchikeys: First InChIKey blocks, length m.
        values: Measured values in the endpoint's unit, float64, shape (m,).
        threshold: Smallest similarity inside the domain.
    """

    bits: NDArray[np.uint64]
    inchikeys: list[str]
    values: NDArray[np.float64]
    threshold: float

    def __len__(self) -> int:
        return len(self.inchikeys)


def domain_threshold(held_out_similarity: NDArray[np.float64]) -> float:
    """Domain threshold from the similarities of held-out compounds to their training folds."""
    return float(np.quantile(held_out_similarity, OUTSIDE_SHARE))
