"""Honest intervals: conformal prediction for regression, Venn-Abers for classification.

Both are fitted on out-of-fold predictions: each score comes from a model that saw neither the
compound nor its scaffold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVEL = 0.90
MIN_PER_BIN = 60  # a 90 % quantile of fewer residuals is too noisy
MAX_BINS = 5
N_GRID = 501


@dataclass(frozen=True)
class ConformalIntervals:
    """Mondrian split-conformal half-widths by similarity to the nearest training compound.

    Source: Vovk et al., Algorithmic Learning in a Random World, 2005, section 4.5 (Mondrian);
    half-width = the ceil((n + 1) 0.9)-th smallest absolute residual of the bin.

    Attributes:
        edges: Inner borders between similarity bins, ascending, shape (n_bins - 1,).
        half_widths: In the endpoint's unit, shape (n_bins,), never growing with similarity.
    """

    edges: Array
    half_widths: Array

    def interval(self, value: Array, similarity: Array) -> tuple[Array, Array]:
        """90 % interval (low, high) of predictions, shape (n,)."""
        half = self.half_widths[np.searchsorted(self.edges, similarity, side="right")]
        return value - half, value + half


def fit_conformal(
    measured: Array, predicted: Array, similarity: Array, *, level: float = LEVEL
) -> ConformalIntervals:
    """Fits half-widths on out-of-fold predictions.

    Args:
        measured: Shape (n,), n >= 1.
        predicted: Out-of-fold predictions, shape (n,).
        similarity: Nearest-neighbour similarity to the fold's training compounds, shape (n,).
        level: Wanted coverage.
    """
    residuals = np.abs(measured - predicted)
    n_bins = max(1, min(MAX_BINS, len(residuals) // MIN_PER_BIN))
    edges = np.unique(np.quantile(similarity, np.arange(1, n_bins) / n_bins))
    bins = np.searchsorted(edges, similarity, side="right")
    widths = np.array(
        [
            _conformal_quantile(residuals[bins == b] if np.any(bins == b) else residuals, level)
            for b in range(len(edges) + 1)
        ]
    )
    # More distant compounds never get the narrower interval: chance differences between
    # neighbouring bins are levelled upwards, which can only raise coverage.
    widths = np.maximum.accumulate(widths[::-1])[::-1]
    return ConformalIntervals(edges, np.ascontiguousarray(widths))


def _conformal_quantile(residuals: Array, level: float) -> float:
    rank = int(np.ceil((len(residuals) + 1) * level))
    # Too few residuals for the level: the widest seen is the best that can be said.
    return float(np.sort(residuals)[min(rank, len(residuals)) - 1])


@dataclass(frozen=True)
class VennAbers:
    """Inductive Venn-Abers probabilities on a grid of scores.

    Scores are rounded to the grid first, in calibration as in prediction, so the validity of
    Venn-Abers holds exactly for the rounded score. Source: Vovk, Petej and Fedorova 2015,
    https://arxiv.org/abs/1511.00213; the merged probability is p1 / (1 - p0 + p1).

    Attributes:
        p0: Probability if the label were 0, by grid point, shape (N_GRID,).
        p1: Probability if the label were 1, by grid point, shape (N_GRID,).
    """

    p0: Array
    p1: Array

    def probability(self, score: Array) -> tuple[Array, Array, Array]:
        """Calibrated probability of the positive class and its interval.

        Args:
            score: Uncalibrated, in [0, 1], shape (n,).

        Returns:
            (probability, p0, p1), each of shape (n,).
        """
        rows = _grid_rows(score)
        low, high = self.p0[rows], self.p1[rows]
        return high / (1.0 - low + high), low, high


def fit_venn_abers(measured: Array, score: Array) -> VennAbers:
    """Fits the grid on out-of-fold scores in [0, 1] and labels 0/1, shape (n,), n >= 1."""
    rows = _grid_rows(score)
    weight = np.bincount(rows, minlength=N_GRID).astype(float)
    positives = np.bincount(rows, weights=measured, minlength=N_GRID).astype(float)
    p0, p1 = np.empty(N_GRID), np.empty(N_GRID)
    for point in range(N_GRID):
        p0[point] = _isotonic_with(point, 0.0, weight, positives)
        p1[point] = _isotonic_with(point, 1.0, weight, positives)
    return VennAbers(p0, p1)


def _grid_rows(score: Array) -> NDArray[np.int64]:
    return np.rint(np.clip(score, 0.0, 1.0) * (N_GRID - 1)).astype(np.int64)


def _isotonic_with(point: int, label: float, weight: Array, positives: Array) -> float:
    """Isotonic fit with one more compound of this label at this grid point, read off there."""
    weight, positives = weight.copy(), positives.copy()
    weight[point] += 1.0
    positives[point] += label
    used = np.flatnonzero(weight)
    # Pool adjacent violators: blocks of (weight, positives, last grid point).
    blocks: list[tuple[float, float, int]] = []
    for row in used:
        w, p = float(weight[row]), float(positives[row])
        while blocks and blocks[-1][1] * w >= p * blocks[-1][0]:
            w, p = w + blocks[-1][0], p + blocks[-1][1]
            blocks.pop()
        blocks.append((w, p, int(row)))
    for w, p, last in blocks:
        if point <= last:
            return p / w
    raise AssertionError("the grid point itself carries weight")
