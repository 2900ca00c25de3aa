"""Count fingerprints as sparse rows, and Tanimoto similarities between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SparseCounts:
    """Counts of n molecules; row i holds entries starts[i] to starts[i + 1].

    Attributes:
        starts: int64, shape (n + 1,).
        columns: Column of each entry, uint16, ascending within a row.
        counts: Its count, uint8, never 0.
        width: Number of columns.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.uint16]
    counts: NDArray[np.uint8]
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def totals(self) -> NDArray[np.int64]:
        """Sum of the counts of each row, int64, shape (n,)."""
        sums = np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])
        totals: NDArray[np.int64] = sums[self.starts[1:]] - sums[self.starts[:-1]]
        return totals

    @cached_property
    def postings(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
        """The same by column: (starts of each column, rows, counts)."""
        order = np.argsort(self.columns, kind="stable")
        rows = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))
        starts = np.searchsorted(self.columns[order], np.arange(self.width + 1))
        return starts.astype(np.int64), rows[order], self.counts[order]

    def take(self, rows: NDArray[np.int64]) -> SparseCounts:
        """The given rows, in the given order."""
        sizes = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        entries = np.repeat(self.starts[rows] - starts[:-1], sizes) + np.arange(starts[-1])
        return SparseCounts(starts, self.columns[entries], self.counts[entries], self.width)


def sparse(counts: NDArray[np.uint8]) -> SparseCounts:
    """Sparse form of uint8 counts, shape (n, width), width at most 65,536."""
    rows, columns = np.nonzero(counts)
    starts = np.searchsorted(rows, np.arange(len(counts) + 1)).astype(np.int64)
    return SparseCounts(starts, columns.astype(np.uint16), counts[rows, columns], counts.shape[1])


def tanimoto_to(queries: SparseCounts, reference: SparseCounts) -> Array:
    """Count-Tanimoto similarities, float64, shape (n queries, m); 1 between two empty rows."""
    starts, rows, counts = reference.postings
    found: Array = _tanimoto(
        queries.starts, queries.columns, queries.counts, queries.totals,
        starts, rows, counts, reference.totals,
    )  # fmt: skip
    return found


def pair_tanimoto(counts: SparseCounts, rows: NDArray[np.int64]) -> Array:
    """Similarities among a few rows, float64, shape (k, k)."""
    found: Array = _pairs(counts.starts, counts.columns, counts.counts, counts.totals, rows)
    return found


def tanimoto(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Array:
    """Count-Tanimoto similarities, float64, shape (n, m), of uint8 counts (n, d) and (m, d)."""
    return tanimoto_to(sparse(a), sparse(b))


@njit(cache=True, nogil=True)
def _tanimoto(
    starts: NDArray[np.int64],
    columns: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    totals: NDArray[np.int64],
    posting_starts: NDArray[np.int64],
    posting_rows: NDArray[np.int32],
    posting_counts: NDArray[np.uint8],
    reference_totals: NDArray[np.int64],
) -> NDArray[np.float64]:
    # Only the compounds that share a column with the query are visited, column by column.
    n, m = len(totals), len(reference_totals)
    out = np.empty((n, m))
    common = np.empty(m, np.int64)
    for i in range(n):
        common[:] = 0
        for entry in range(starts[i], starts[i + 1]):
            column, count = columns[entry], counts[entry]
            for p in range(posting_starts[column], posting_starts[column + 1]):
                common[posting_rows[p]] += min(count, posting_counts[p])
        for j in range(m):
            union = totals[i] + reference_totals[j] - common[j]
            out[i, j] = common[j] / union if union > 0 else 1.0
    return out


@njit(cache=True, nogil=True)
def _pairs(
    starts: NDArray[np.int64],
    columns: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    totals: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    k = len(rows)
    out = np.ones((k, k))
    for a in range(k):
        for b in range(a):
            i, j = starts[rows[a]], starts[rows[b]]
            common = np.int64(0)
            while i < starts[rows[a] + 1] and j < starts[rows[b] + 1]:
                if columns[i] == columns[j]:
                    common += min(counts[i], counts[j])
                    i += 1
                    j += 1
                elif columns[i] < columns[j]:
                    i += 1
                else:
                    j += 1
            union = totals[rows[a]] + totals[rows[b]] - common
            out[a, b] = out[b, a] = common / union if union > 0 else 1.0
    return out
