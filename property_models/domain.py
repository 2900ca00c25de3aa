"""Applicability domain: the nearest training compounds, and which predictions to trust.

A compound is inside the domain of a predictor when it is near enough to a training compound and
the error expected of its prediction is small enough (`difficulty.py`): the first notices what the
training data do not cover, the second what is predicted badly although it is covered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from property_models.popcount import counts, n_bits_on

Array = NDArray[np.float64]

N_NEIGHBOURS = 5
_BLOCK = 1024  # reference rows that stay in the processor's first cache
# Of the compounds held out by scaffold, these shares count as outside: those farthest from their
# training compounds, and those with the largest expected error. Both are often the same.
FARTHEST_SHARE = 0.01
HARDEST_SHARE = 0.10


@njit(cache=True, nogil=True)
def _nearest(
    queries: NDArray[np.uint64],
    by_word: NDArray[np.uint64],
    n_on_queries: NDArray[np.int64],
    n_on_reference: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # Word by word, and some reference rows at a time, so that it compiles to vector instructions.
    n, (n_words, m) = len(queries), by_word.shape
    rows = np.full((n, k), -1, np.int64)
    best = np.full((n, k), -1.0)
    common, similarity = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK)
    for i in range(n):
        for start in range(0, m, _BLOCK):
            size = min(_BLOCK, m - start)
            common[:] = 0
            for w in range(n_words):
                word, others = queries[i, w], by_word[w, start : start + size]
                for j in range(size):
                    common[j] += n_bits_on(word & others[j])
            for j in range(size):
                both = np.float64(common[j])
                union = n_on_queries[i] + n_on_reference[start + j] - both
                similarity[j] = both / max(union, 1.0)
            for j in range(size):
                if similarity[j] <= best[i, k - 1]:
                    continue
                place = k - 1
                while place > 0 and similarity[j] > best[i, place - 1]:
                    best[i, place], rows[i, place] = best[i, place - 1], rows[i, place - 1]
                    place -= 1
                best[i, place], rows[i, place] = similarity[j], start + j
    return rows, best


def nearest_k(
    queries: NDArray[np.uint64], reference: NDArray[np.uint64], k: int
) -> tuple[NDArray[np.int64], Array]:
    """The k nearest reference rows of each query by Tanimoto similarity of packed bits.

    Args:
        queries: uint64, shape (n, n_words).
        reference: uint64, shape (m, n_words), m >= 1.
        k: Wanted neighbours, at least 1; where the reference has fewer rows, it is m.

    Returns:
        (rows, similarity): int64 and float64, shape (n, min(k, m)), nearest first; earlier rows
        first among equals.

    Raises:
        ValueError: k is below 1, or there is no reference row.
    """
    k = min(k, len(reference))
    if k < 1:  # the compiled loop does not check where it writes
        raise ValueError("the nearest neighbours need k >= 1 and at least one reference row")
    by_word = np.ascontiguousarray(reference.T)
    rows, similarity = _nearest(queries, by_word, counts(queries), counts(reference), k)
    return rows, similarity


def nearest(
    queries: NDArray[np.uint64], reference: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], Array]:
    """Nearest reference row of each query, as `nearest_k` with k = 1.

    Returns:
        (row, similarity): int64 and float64, shape (n,); the first row among equals.
    """
    rows, similarity = nearest_k(queries, reference, 1)
    return rows[:, 0], similarity[:, 0]


@dataclass(frozen=True)
class ReferenceIndex:
    """What a predictor keeps of its training compounds: no structure, only what a look-up needs.

    Attributes:
        bits: Packed ECFP4 of 1024 bits, uint64, shape (m, 16).
        inchikeys: First InChIKey blocks, length m.
        values: Measured values in the endpoint's unit, float64, shape (m,).
        errors: Absolute out-of-fold errors of these compounds, float32, shape (m,).
        bounds: Where the true value lies, int8, shape (m,): 0 at the value, -1 below, 1 above.
    """

    bits: NDArray[np.uint64]
    inchikeys: list[str]
    values: Array
    errors: NDArray[np.float32]
    bounds: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.inchikeys)


@dataclass(frozen=True)
class Domain:
    """The borders of the domain.

    Attributes:
        min_similarity: ECFP4 Tanimoto similarity to the nearest training compound.
        max_difficulty: Expected absolute error, in the endpoint's unit (for a probability, in
            probability).
    """

    min_similarity: float
    max_difficulty: float

    def contains(self, similarity: Array, difficulty: Array) -> NDArray[np.bool_]:
        """True for predictions inside, shape (n,)."""
        inside: NDArray[np.bool_] = (similarity >= self.min_similarity) & (
            difficulty <= self.max_difficulty
        )
        return inside


def fit_domain(similarity: Array, difficulty: Array) -> Domain:
    """Borders from held-out compounds, each of shape (n,), n >= 1.

    Args:
        similarity: To the nearest compound of the training folds.
        difficulty: Expected absolute error.
    """
    return Domain(
        float(np.quantile(similarity, FARTHEST_SHARE)),
        float(np.quantile(difficulty, 1.0 - HARDEST_SHARE)),
    )
