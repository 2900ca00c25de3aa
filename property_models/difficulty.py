"""How large an error to expect of each prediction, learnt from held-out errors.

The expected absolute error sigma(x) is log-linear in a few signals: members that disagree, distant
training compounds, and neighbours that were themselves predicted badly can only raise it; the
predicted value may act either way. The coefficients maximise the Laplace likelihood of the
held-out absolute errors, sum log sigma + |error| / sigma, which is convex, with a small ridge.

A model this small can be fitted to 40 compounds, is stored as a few numbers, goes on beyond the
training data where boosted trees would stay flat, and costs nothing to evaluate. The k-nearest
difficulty estimators of crepes (https://github.com/henrikbostrom/crepes) and the residual models
of MAPIE (https://github.com/scikit-learn-contrib/MAPIE) need a Euclidean feature space or a
pickled estimator. Papadopoulos, Vovk and Gammerman 2011 (https://doi.org/10.1613/jair.3198)
describe conformal intervals normalised by such signals.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from property_models.domain import N_NEIGHBOURS, nearest_k

if TYPE_CHECKING:
    from property_models.cross_validation import HeldOut

Array = NDArray[np.float64]

SIGNALS = ("spread", "distance", "mean_distance", "neighbour_error", "value", "value_squared")
N_MONOTONE = 4  # the first signals can only raise the expected error
RIDGE = 10.0  # in compounds: the signals of a small table count for less
CLIP = 3.0  # standard deviations beyond which a signal says no more
_OFFSET = 0.1  # of the median error, added before logarithms: a spread of 0 is not certainty


@dataclass(frozen=True)
class Evidence:
    """What is known of n predictions before anything is measured; each of shape (n,).

    Attributes:
        value: The prediction; for a classifier its score.
        spread: Standard deviation over members.
        similarity: ECFP4 Tanimoto similarity to the nearest training compound.
        mean_similarity: Mean over the `N_NEIGHBOURS` nearest.
        neighbour_error: Mean absolute out-of-fold error of these, weighted by similarity.
    """

    value: Array
    spread: Array
    similarity: Array
    mean_similarity: Array
    neighbour_error: Array

    def __len__(self) -> int:
        return len(self.value)

    def where(self, mask: NDArray[np.bool_]) -> Evidence:
        """The predictions for which the mask is True."""
        return Evidence(*(getattr(self, field.name)[mask] for field in fields(self)))


def make_evidence(
    value: Array,
    spread: Array,
    rows: NDArray[np.int64],
    similarity: Array,
    errors: NDArray[np.floating[Any]],
) -> Evidence:
    """Evidence from the nearest training compounds.

    Args:
        value: Shape (n,).
        spread: Shape (n,).
        rows: Their rows in the reference, shape (n, k), nearest first, from `nearest_k`.
        similarity: Their similarities, shape (n, k).
        errors: Absolute out-of-fold errors of the reference, shape (m,).
    """
    # The small constant gives neighbours without a common feature equal, not undefined, weights.
    weights = similarity + 0.05
    neighbour_error = np.sum(weights * errors[rows], axis=1) / np.sum(weights, axis=1)
    return Evidence(value, spread, similarity[:, 0], similarity.mean(axis=1), neighbour_error)


def held_out_evidence(
    held_out: HeldOut, errors: Array, packed_bits: NDArray[np.uint64]
) -> Evidence:
    """Evidence of out-of-fold predictions: neighbours come from the other folds only.

    Args:
        held_out: Out-of-fold scores of n compounds.
        errors: Absolute out-of-fold errors that neighbours report, shape (n,).
        packed_bits: Packed ECFP4 of the compounds, shape (n, n_words).
    """
    n = len(held_out.score)
    k = min(N_NEIGHBOURS, n - int(np.bincount(held_out.fold).max()))
    rows, similarity = np.empty((n, k), np.int64), np.empty((n, k))
    for number in np.unique(held_out.fold):
        inside, others = held_out.fold == number, np.flatnonzero(held_out.fold != number)
        found, similarity[inside] = nearest_k(packed_bits[inside], packed_bits[others], k)
        rows[inside] = others[found]
    return make_evidence(held_out.score, held_out.spread, rows, similarity, errors)


@dataclass(frozen=True)
class Difficulty:
    """A fitted model of the expected absolute error.

    Attributes:
        centre: Mean of each signal, float64, shape (len(SIGNALS),).
        scale: Standard deviation of each signal; 0 where it did not vary and is not used.
        slopes: Change of log sigma by one standard deviation of a signal.
        intercept: log sigma of an average prediction.
        unit: Median held-out error, in the endpoint's unit.
        middle: Mean prediction, about which the value is squared.
    """

    centre: Array
    scale: Array
    slopes: Array
    intercept: float
    unit: float
    middle: float

    def expected_error(self, evidence: Evidence) -> Array:
        """Expected absolute error in the endpoint's unit, float64, shape (n,), above 0."""
        signals = _standardised(_signals(evidence, self.unit, self.middle), self.centre, self.scale)
        # Summed signal by signal, so that a molecule's number is the same in any batch.
        log_sigma = np.full(len(evidence), self.intercept)
        for column, slope in zip(signals.T, self.slopes, strict=True):
            log_sigma += slope * column
        expected: Array = np.exp(log_sigma)
        return expected


def fit_difficulty(evidence: Evidence, errors: Array) -> Difficulty:
    """Fits to absolute held-out errors, shape (n,), n >= 1; deterministic."""
    from scipy.optimize import minimize

    unit = max(float(np.median(errors)), 1e-9)
    # A few errors of next to nothing must not pull the expected error to nothing.
    errors = np.maximum(errors, 0.05 * unit)
    middle = float(evidence.value.mean())
    raw = _signals(evidence, unit, middle)
    centre, scale = raw.mean(axis=0), raw.std(axis=0)
    scale = np.where(scale > 1e-9 * np.maximum(1.0, np.abs(centre)), scale, 0.0)
    signals = _standardised(raw, centre, scale)

    def loss(parameters: Array) -> tuple[float, Array]:
        intercept, slopes = parameters[0], parameters[1:]
        log_sigma = intercept + signals @ slopes
        ratio = errors * np.exp(-log_sigma)
        value = float(np.sum(log_sigma + ratio) + 0.5 * RIDGE * np.sum(slopes**2))
        residual = 1.0 - ratio
        return value, np.concatenate(([residual.sum()], signals.T @ residual + RIDGE * slopes))

    n_free = len(SIGNALS) - N_MONOTONE
    bounds = [(None, None)] + [(0.0, None)] * N_MONOTONE + [(None, None)] * n_free
    start = np.concatenate(([np.log(errors.mean())], np.zeros(len(SIGNALS))))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Difficulty(centre, scale, best[1:], float(best[0]), unit, middle)


def cross_fitted(evidence: Evidence, errors: Array, fold: NDArray[np.int64]) -> Array:
    """Expected errors of each fold by a model fitted on the other folds, shape (n,).

    So the conformal scores made of them do not profit from having been fitted.
    """
    expected = np.empty(len(evidence))
    numbers = np.unique(fold)
    for number in numbers:
        inside = fold == number
        others = ~inside if len(numbers) > 1 else inside
        model = fit_difficulty(evidence.where(others), errors[others])
        expected[inside] = model.expected_error(evidence.where(inside))
    return expected


def _signals(evidence: Evidence, unit: float, middle: float) -> Array:
    """Shape (n, len(SIGNALS)), in the order of SIGNALS."""
    return np.column_stack(
        [
            np.log(evidence.spread + _OFFSET * unit),
            1.0 - evidence.similarity,
            1.0 - evidence.mean_similarity,
            np.log(evidence.neighbour_error + _OFFSET * unit),
            evidence.value,
            (evidence.value - middle) ** 2,
        ]
    )


def _standardised(raw: Array, centre: Array, scale: Array) -> Array:
    safe = np.where(scale > 0, scale, 1.0)
    standardised: Array = np.clip((raw - centre) / safe, -CLIP, CLIP) * (scale > 0)
    return standardised
