"""Loops of a Gaussian process's prediction; each row's numbers depend on that row alone.

Sums run in a fixed order, which a matrix product does not promise: so a molecule's prediction is
the same in any batch.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BLOCK = 512  # compounds whose sums stay in the processor's first cache
_TOGETHER = 4  # queries that share a pass over the compounds


@njit(cache=True, nogil=True)
def squared_distances(queries: Array, by_column: NDArray[np.float32]) -> Array:
    """Squared Euclidean distances, float64, shape (n, m).

    Args:
        queries: float64, shape (n, d).
        by_column: The compounds, transposed, float32, shape (d, m).
    """
    n, (d, m) = len(queries), by_column.shape
    out = np.zeros((n, m))
    for start in range(0, m, _BLOCK):
        stop = min(start + _BLOCK, m)
        i = 0
        while i + _TOGETHER <= n:
            s0, s1 = out[i, start:stop], out[i + 1, start:stop]
            s2, s3 = out[i + 2, start:stop], out[i + 3, start:stop]
            for c in range(d):
                q0, q1 = queries[i, c], queries[i + 1, c]
                q2, q3 = queries[i + 2, c], queries[i + 3, c]
                column = by_column[c, start:stop]
                for j in range(stop - start):
                    x = np.float64(column[j])
                    s0[j] += (x - q0) * (x - q0)
                    s1[j] += (x - q1) * (x - q1)
                    s2[j] += (x - q2) * (x - q2)
                    s3[j] += (x - q3) * (x - q3)
            i += _TOGETHER
        while i < n:
            s0 = out[i, start:stop]
            for c in range(d):
                q0 = queries[i, c]
                column = by_column[c, start:stop]
                for j in range(stop - start):
                    x = np.float64(column[j])
                    s0[j] += (x - q0) * (x - q0)
            i += 1
    return out


@njit(cache=True, nogil=True)
def squared_distances_among(x: NDArray[np.float32], rows: NDArray[np.int64]) -> Array:
    """Squared distances among each few compounds, float64, shape (n, k, k).

    Args:
        x: All compounds, float32, shape (m, d).
        rows: Of the few, int64, shape (n, k).
    """
    n, k = rows.shape
    d = x.shape[1]
    out = np.zeros((n, k, k))
    few = np.empty((d, k))
    for i in range(n):
        for a in range(k):
            for c in range(d):
                few[c, a] = x[rows[i, a], c]
        for a in range(k):
            sums = out[i, a]
            for c in range(d):
                own = few[c, a]
                for b in range(k):
                    sums[b] += (few[c, b] - own) * (few[c, b] - own)
    return out


@njit(cache=True, nogil=True)
def weighted_sums(values: Array, weights: Array) -> Array:
    """Sum of each row of (n, m) times the weights (m,), float64, shape (n,)."""
    out = np.zeros(len(values))
    for i in range(len(values)):
        total = 0.0
        for j in range(len(weights)):
            total += values[i, j] * weights[j]
        out[i] = total
    return out


@njit(cache=True, nogil=True)
def largest(values: Array, k: int) -> NDArray[np.int64]:
    """Places of the k largest of each row of (n, m), largest first, earlier ones among equals."""
    n, m = values.shape
    rows = np.zeros((n, k), np.int64)
    best = np.empty(k)
    for i in range(n):
        best[:] = -np.inf
        for j in range(m):
            value = values[i, j]
            if value <= best[k - 1]:
                continue
            place = k - 1
            while place > 0 and value > best[place - 1]:
                best[place], rows[i, place] = best[place - 1], rows[i, place - 1]
                place -= 1
            best[place], rows[i, place] = value, j
    return rows


@njit(cache=True, nogil=True)
def explained(covariances: Array, vectors: Array) -> Array:
    """The number v C^-1 v of each symmetric positive definite C (n, k, k) and v (n, k)."""
    n, k = vectors.shape
    out = np.zeros(n)
    for i in range(n):
        # Cholesky: C = L L^T, solve L z = v on the way; v C^-1 v is the square of z.
        lower, z = covariances[i].copy(), vectors[i].copy()
        for a in range(k):
            for b in range(a):
                total = lower[a, b]
                for c in range(b):
                    total -= lower[a, c] * lower[b, c]
                lower[a, b] = total / lower[b, b]
            pivot = lower[a, a]
            for c in range(a):
                pivot -= lower[a, c] * lower[a, c]
                z[a] -= lower[a, c] * z[c]
            lower[a, a] = np.sqrt(max(pivot, 1e-12))
            z[a] /= lower[a, a]
            out[i] += z[a] * z[a]
    return out
