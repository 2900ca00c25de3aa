"""Groups of similar compounds: Taylor-Butina clusters of ECFP4, in memory linear in the table.

Source: Butina 1999, https://doi.org/10.1021/ci9803381; Taylor 1995,
https://doi.org/10.1021/ci00023a009.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from property_models.popcount import counts, n_bits_on

N_BITS = 1024

_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=N_BITS)


def packed_ecfp4(mols: Sequence[Chem.Mol]) -> NDArray[np.uint64]:
    """Binary ECFP4 of 1024 bits without chirality, packed, uint64, shape (n, 16)."""
    bits = np.zeros((len(mols), N_BITS // 8), np.uint8)
    for row, mol in enumerate(mols):
        bits[row] = np.packbits(_morgan.GetFingerprintAsNumPy(mol))
    return bits.view(np.uint64)


def butina_clusters(bits: NDArray[np.uint64], *, min_similarity: float) -> NDArray[np.int64]:
    """Cluster number of each compound by the Taylor-Butina algorithm, without reordering.

    The compound with the most neighbours (Tanimoto similarity >= `min_similarity`) takes them as
    its cluster; of what is left, the one that had the most neighbours to begin with is next.
    Neighbour lists are not stored: similarities are computed again when a cluster is taken. So
    memory grows with n and time with n squared: seconds for 10,000 compounds on one core.

    Args:
        bits: Packed fingerprints, uint64, shape (n, n_words).
        min_similarity: To the centre of a cluster, above 0, at most 1.

    Returns:
        int64, shape (n,): 0 for the first cluster taken, and so on. Of compounds with equally
        many neighbours the first row goes first.
    """
    n_on = counts(bits)
    n_neighbours = _n_neighbours(bits, n_on, min_similarity)
    queue = np.argsort(-n_neighbours, kind="stable")
    clusters: NDArray[np.int64] = _take(bits, n_on, queue, min_similarity)
    return clusters


@njit(cache=True, nogil=True)
def _alike(
    bits: NDArray[np.uint64], n_on: NDArray[np.int64], i: int, j: int, min_similarity: float
) -> bool:
    # The similarity cannot exceed min/max of the two counts: most pairs end here.
    if min(n_on[i], n_on[j]) < min_similarity * max(n_on[i], n_on[j]):
        return False
    common = np.int64(0)
    for word in range(bits.shape[1]):
        common += np.int64(n_bits_on(bits[i, word] & bits[j, word]))
    return bool(common >= min_similarity * (n_on[i] + n_on[j] - common))


@njit(cache=True, nogil=True)
def _n_neighbours(
    bits: NDArray[np.uint64], n_on: NDArray[np.int64], min_similarity: float
) -> NDArray[np.int64]:
    n = bits.shape[0]
    found = np.zeros(n, np.int64)
    for i in range(n):
        for j in range(i):
            if _alike(bits, n_on, i, j, min_similarity):
                found[i] += 1
                found[j] += 1
    return found


@njit(cache=True, nogil=True)
def _take(
    bits: NDArray[np.uint64],
    n_on: NDArray[np.int64],
    queue: NDArray[np.int64],
    min_similarity: float,
) -> NDArray[np.int64]:
    n = bits.shape[0]
    cluster = np.full(n, -1, np.int64)
    free = queue.copy()
    n_free, number = n, 0
    for k in range(n):
        centre = queue[k]
        if cluster[centre] >= 0:
            continue
        left = 0
        for f in range(n_free):
            row = free[f]
            if row == centre or _alike(bits, n_on, centre, row, min_similarity):
                cluster[row] = number
            else:
                free[left] = row
                left += 1
        n_free = left
        number += 1
    return cluster
