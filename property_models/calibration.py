"""Honest intervals: conformal prediction for regression, Venn-Abers for classification.

Both are fitted on out-of-fold predictions: each score comes from a model that saw neither the
structure nor its scaffold. A tautomer with other bonds in its rings has another scaffold, so of a
few compounds another tautomer was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from property_models.difficulty import (
    Difficulty,
    Evidence,
    cross_fitted,
    fit_difficulty,
    held_out_evidence,
)
from property_models.domain import Domain, fit_domain
from property_models.endpoints import Task
from property_models.measurements import Relations

if TYPE_CHECKING:
    from property_models.cross_validation import HeldOut

Array = NDArray[np.float64]

LEVEL = 0.90
N_GRID = 501
# How closely half-widths may follow the expected error, ascending, and how much wider than the
# shortest intervals may be on average that follow it more closely.
EXPONENTS = tuple(step / 10 for step in range(11))
WIDTH_TOLERANCE = 0.01


@dataclass(frozen=True)
class Calibration:
    """What a predictor learnt from its held-out errors.

    Attributes:
        intervals: For regression or classification.
        difficulty: Expected absolute error of a prediction.
        domain: Borders of the domain.
    """

    intervals: NormalisedIntervals | VennAbers
    difficulty: Difficulty
    domain: Domain

    def expected_error(self, evidence: Evidence) -> Array:
        """Expected absolute error of predictions, shape (n,)."""
        return self.difficulty.expected_error(evidence)

    def apply(self, evidence: Evidence) -> Calibrated:
        """Values, intervals and domain of predictions."""
        score, expected = evidence.value, self.expected_error(evidence)
        if isinstance(self.intervals, VennAbers):
            value, low, high = self.intervals.probability(score)
        else:
            value, (low, high) = score, self.intervals.interval(score, expected)
        in_domain = self.domain.contains(evidence.similarity, expected)
        return Calibrated(value, low, high, expected, in_domain)


@dataclass(frozen=True)
class Calibrated:
    """Calibrated predictions, each of shape (n,).

    Attributes:
        value: In the endpoint's unit, or a probability.
        low: Lower end of the 90 % interval, or Venn-Abers p0.
        high: Upper end, or p1.
        expected_error: Expected absolute error.
        in_domain: bool.
    """

    value: Array
    low: Array
    high: Array
    expected_error: Array
    in_domain: NDArray[np.bool_]

    def within(self, least: float, greatest: float) -> Calibrated:
        """The same with values and ends of intervals moved into a range.

        Where no measurement can lie outside the range, the intervals cover as many as before.
        """
        value, low, high = (
            np.clip(part, least, greatest) for part in (self.value, self.low, self.high)
        )
        return replace(self, value=value, low=low, high=high)


def held_out_errors(
    task: Task, measured: Array, held_out: HeldOut, relation: Relations | None = None
) -> Array:
    """Absolute out-of-fold errors, shape (n,): what a reference index keeps of each compound.

    For classification the distance of the out-of-fold score, a probability, from the label. Where
    only a bound was measured (relation '<' or '>'), how far the score lies on its wrong side.
    """
    score = held_out.score if task == "regression" else np.clip(held_out.score, 0.0, 1.0)
    errors: Array = np.abs(measured - score)
    if relation is not None:
        wrong_side = np.where(relation == ">", score < measured, score > measured)
        errors = np.where((relation == "=") | wrong_side, errors, 0.0)
    return errors


def exact_rows(measured: Array, relation: Relations | None) -> NDArray[np.bool_]:
    """Which of n measurements are values rather than bounds, bool, shape (n,)."""
    if relation is None:
        return np.ones(len(measured), bool)
    exact: NDArray[np.bool_] = relation == "="
    return exact


def fit_calibration(
    task: Task,
    measured: Array,
    held_out: HeldOut,
    packed_bits: NDArray[np.uint64],
    relation: Relations | None = None,
) -> Calibration:
    """Fits intervals, expected errors and domain on out-of-fold scores.

    Args:
        task: Of the endpoint.
        measured: Values or labels 0/1, shape (n,), n >= 1.
        held_out: Out-of-fold scores of the n compounds.
        packed_bits: Packed ECFP4 of the compounds, shape (n, n_words).
        relation: '=', '<' or '>' of each value; bounds calibrate nothing. None: all exact.
    """
    errors = held_out_errors(task, measured, held_out, relation)
    evidence = held_out_evidence(held_out, errors, packed_bits)
    exact = exact_rows(measured, relation)
    return calibrate(
        task, measured[exact], evidence.where(exact), errors[exact], held_out.fold[exact]
    )


def calibrate(
    task: Task, measured: Array, evidence: Evidence, errors: Array, fold: NDArray[np.int64]
) -> Calibration:
    """As `fit_calibration`, from evidence already collected; all of shape (n,)."""
    if task == "classification":
        intervals: NormalisedIntervals | VennAbers = fit_venn_abers(measured, evidence.value)
        # A probability near one half is no sign of a compound that the model does not know, so
        # the score itself must not decide the domain: a constant is left out of the model.
        judged = replace(evidence, value=np.zeros(len(evidence)))
    else:
        judged = evidence
    expected = cross_fitted(judged, errors, fold)
    if task == "regression":
        intervals = fit_normalised(errors, expected)
    domain = fit_domain(evidence.similarity, expected)
    return Calibration(intervals, fit_difficulty(judged, errors), domain)


@dataclass(frozen=True)
class NormalisedIntervals:
    """Split-conformal intervals with half-width `multiple * expected_error ** exponent`.

    Attributes:
        multiple: Half-width where the expected absolute error is 1.
        exponent: 0 gives all predictions the same width, plain split-conformal intervals; 1 a
            width proportional to the expected error.
    """

    multiple: float
    exponent: float = 1.0

    def interval(self, value: Array, expected_error: Array) -> tuple[Array, Array]:
        """90 % interval (low, high) of predictions, shape (n,)."""
        half = self.multiple * expected_error**self.exponent
        return value - half, value + half


def fit_normalised(errors: Array, expected: Array, *, level: float = LEVEL) -> NormalisedIntervals:
    """Fits on absolute held-out errors and their expectation, each of shape (n,), n >= 1.

    The multiple is the ceil((n + 1) level)-th smallest of errors / expected ** exponent. Source:
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, section 4.1.

    The exponent is the largest whose mean width is within `WIDTH_TOLERANCE` of the shortest.
    Expected errors are uncertain, the largest most so: followed in full they make intervals wider
    than plain ones where they tell little or errors have a long tail. Plain intervals are among
    the choices, so on these compounds the mean width is at most `WIDTH_TOLERANCE` above theirs.
    Choosing on the calibration's own compounds costs a little coverage
    (https://arxiv.org/abs/2408.07066).
    """
    found = []
    for exponent in EXPONENTS:
        scale = expected**exponent
        multiple = conformal_quantile(errors / scale, level)
        found.append((NormalisedIntervals(multiple, exponent), multiple * float(scale.mean())))
    widest = (1.0 + WIDTH_TOLERANCE) * min(width for _, width in found)
    return next(intervals for intervals, width in reversed(found) if width <= widest)


def conformal_quantile(scores: Array, level: float) -> float:
    """The ceil((n + 1) level)-th smallest score; with too few scores, the largest."""
    rank = int(np.ceil((len(scores) + 1) * level))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


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
