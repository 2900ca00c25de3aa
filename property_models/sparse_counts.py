"""Count fingerprints as sparse rows, and Tanimoto similarities between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


# Counts that two molecules share are divided by this, about a drug-like molecule's total, so that
# shares of the two kinds of kernel are of one size.
SHARED_UNIT = 64.0
# A column that so large a share of the rows has is kept whole: a pass over it takes whole vectors
# of rows at a time.
_COMMON_SHARE = 1 / 32


class ByColumn(NamedTuple):
    """Counts by column; column c holds entries starts[c] to starts[c + 1].

    Attributes:
        starts: int64, shape (width + 1,).
        rows: int32.
        counts: uint8.
        places: Of each column in `dense`, -1 where it is not there, int32, shape (width,).
        dense: Counts of the common columns, uint8, shape (n_common, n).
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.uint8]
    places: NDArray[np.int32]
    dense: NDArray[np.uint8]


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
    def by_column(self) -> ByColumn:
        """The same by column."""
        order = np.argsort(self.columns, kind="stable")
        rows = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))
        starts = np.searchsorted(self.columns[order], np.arange(self.width + 1)).astype(np.int64)
        common = np.flatnonzero(np.diff(starts) > _COMMON_SHARE * len(self))
        places = np.full(self.width, -1, np.int32)
        places[common] = np.arange(len(common))
        dense = np.zeros((len(common), len(self)), np.uint8)
        at = places[self.columns]
        dense[at[at >= 0], rows[at >= 0]] = self.counts[at >= 0]
        return ByColumn(starts, rows[order], self.counts[order], places, dense)

    def take(self, rows: NDArray[np.int64]) -> SparseCounts:
        """The given rows, in the given order."""
        sizes = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        entries = np.repeat(self.starts[rows] - starts[:-1], sizes) + np.arange(starts[-1])
        return SparseCounts(starts, self.columns[entries], self.counts[entries], self.width)


def check_sparse(counts: SparseCounts, n: int) -> None:
    """ValueError where counts from a file are not those of n molecules.

    Compiled code reads them, which would follow a wrong index out of its arrays.
    """
    starts, n_entries = counts.starts, len(counts.columns)
    kinds = [array.dtype for array in (starts, counts.columns, counts.counts)]
    if kinds != [np.int64, np.uint16, np.uint8] or starts.shape != (n + 1,):
        raise ValueError(f"sparse counts are not those of {n} molecules")
    if starts[0] != 0 or starts[-1] != n_entries or (np.diff(starts) < 0).any():
        raise ValueError("rows of sparse counts do not lie end to end")
    if counts.counts.shape != (n_entries,) or (counts.columns >= counts.width).any():
        raise ValueError("sparse counts of columns that are not there")


def sparse(counts: NDArray[np.uint8]) -> SparseCounts:
    """Sparse form of uint8 counts, shape (n, width), width at most 65,536."""
    rows, columns = np.nonzero(counts)
    starts = np.searchsorted(rows, np.arange(len(counts) + 1)).astype(np.int64)
    return SparseCounts(starts, columns.astype(np.uint16), counts[rows, columns], counts.shape[1])


def tanimoto_to(queries: SparseCounts, reference: SparseCounts) -> Array:
    """Count-Tanimoto similarities, float64, shape (n queries, m); 1 between two empty rows."""
    found = np.zeros((len(queries), len(reference)))
    add_similarities(found, 1.0, queries, reference)
    return found


def add_similarities(
    out: Array, share: float, queries: SparseCounts, reference: SparseCounts, *,
    shared: bool = False, first: int = 0,
) -> None:  # fmt: skip
    """Adds `share` times the similarities of some queries to `out`, shape (k, m).

    The queries are rows `first` to `first + k`. A row's numbers depend on that row alone.

    Args:
        out: float64.
        share: Factor.
        queries: Of them.
        reference: m molecules.
        shared: The sum of the smaller counts over `SHARED_UNIT` in place of Tanimoto's ratio.
        first: The first query.
    """
    _add_similarities(
        out, share, shared, queries.starts[first:], queries.columns, queries.counts,
        queries.totals[first:], *reference.by_column, reference.totals.astype(np.float64),
    )  # fmt: skip


def add_similarities_among(
    out: Array, share: float, counts: SparseCounts, rows: NDArray[np.int64], *,
    shared: bool = False,
) -> None:  # fmt: skip
    """Adds `share` times the similarities among each few rows to `out`.

    Args:
        out: float64, shape (n, k, k).
        share: Factor.
        counts: Of all rows.
        rows: int64, shape (n, k).
        shared: As in `add_similarities`.
    """
    _add_among(out, share, shared, counts.starts, counts.columns, counts.counts, counts.totals,
               counts.width, rows)  # fmt: skip


@njit(cache=True, nogil=True)
def _add_similarities(
    out: Array,
    share: float,
    shared: bool,
    starts: NDArray[np.int64],
    columns: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    totals: NDArray[np.int64],
    column_starts: NDArray[np.int64],
    column_rows: NDArray[np.int32],
    column_counts: NDArray[np.uint8],
    places: NDArray[np.int32],
    dense: NDArray[np.uint8],
    reference_totals: Array,
) -> None:
    n, m = out.shape
    # Sums of the smaller counts: at most a few per pair of 200 atoms, so 16 bits hold them.
    common = np.empty(m, np.uint16)
    for i in range(n):
        common[:] = 0
        for entry in range(starts[i], starts[i + 1]):
            column, count = columns[entry], counts[entry]
            place = places[column]
            if place >= 0:
                whole = dense[place]
                for j in range(m):
                    common[j] += min(whole[j], count)
            else:
                for p in range(column_starts[column], column_starts[column + 1]):
                    common[column_rows[p]] += min(column_counts[p], count)
        row, own = out[i], np.float64(totals[i])
        if shared:
            for j in range(m):
                row[j] += share * (np.float64(common[j]) / SHARED_UNIT)
            continue
        for j in range(m):
            both = np.float64(common[j])
            row[j] += share * (both / max(own + reference_totals[j] - both, 1.0))
        if totals[i] == 0:  # two empty rows are alike
            for j in range(m):
                row[j] += share * (reference_totals[j] == 0)


@njit(cache=True, nogil=True)
def _add_among(
    out: Array,
    share: float,
    shared: bool,
    starts: NDArray[np.int64],
    columns: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    totals: NDArray[np.int64],
    width: int,
    rows: NDArray[np.int64],
) -> None:
    n, k = rows.shape
    table = np.zeros((width, k), np.uint8)  # counts of the few rows, emptied again after use
    common = np.empty(k, np.uint16)
    for i in range(n):
        for a in range(k):
            for entry in range(starts[rows[i, a]], starts[rows[i, a] + 1]):
                table[columns[entry], a] = counts[entry]
        for a in range(k):
            common[:] = 0
            for entry in range(starts[rows[i, a]], starts[rows[i, a] + 1]):
                whole, count = table[columns[entry]], counts[entry]
                for b in range(k):
                    common[b] += min(whole[b], count)
            for b in range(k):
                if shared:
                    out[i, a, b] += share * (common[b] / SHARED_UNIT)
                    continue
                union = totals[rows[i, a]] + totals[rows[i, b]] - np.int64(common[b])
                out[i, a, b] += share * (common[b] / union) if union > 0 else share
        for a in range(k):
            for entry in range(starts[rows[i, a]], starts[rows[i, a] + 1]):
                table[columns[entry]] = 0
