"""Weights of the members of an ensemble, from their out-of-fold scores.

Stacked generalisation (Wolpert 1992, https://doi.org/10.1016/S0893-6080(05)80023-1) with weights
that are not negative and sum to one (Breiman 1996, https://doi.org/10.1007/BF00117832), pulled
towards equal weights where the table is small.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from property_models.endpoints import Task

Array = NDArray[np.float64]
Loss = Literal["mse", "mae"]

# Equal weights count as this many compounds per member.
PRIOR_COMPOUNDS = 30.0
_EDGE = 1e-3  # probabilities are kept so far from 0 and 1 when their logit is taken


def stacked_weights(scores: Array, values: Array, *, task: Task, loss: Loss = "mse") -> Array:
    """Weights of the members, float64, shape (n_members,), not negative, sum 1.

    Regression minimises the squared or absolute error of the weighted mean. Classification
    minimises the cross-entropy of the weighted mean of scores after the best affine map of its
    logit: what counts is how it ranks, as probabilities are calibrated afterwards.

    Args:
        scores: Out-of-fold scores, shape (n_members, n).
        values: Measured values or labels 0/1, shape (n,).
        task: 'regression' or 'classification'.
        loss: Of regression.
    """
    m = len(scores)
    if m == 1:
        return np.ones(1)
    equal = np.full(m, 1.0 / m)
    if task == "classification":
        n = 2.0 * min(float(values.sum()), float(len(values) - values.sum()))
        found = _fit(scores, values, _cross_entropy, n_extra=2)
    else:
        n = float(len(values))
        # Scale-free, so that the optimiser's tolerances fit any unit.
        centre, unit = float(np.median(values)), float(values.std()) or 1.0
        standard, wanted = (scores - centre) / unit, (values - centre) / unit
        found = _fit(standard, wanted, _squared if loss == "mse" else _absolute, n_extra=0)
    trust = n / (n + PRIOR_COMPOUNDS * m)
    weights = trust * found + (1.0 - trust) * equal
    shares: Array = weights / weights.sum()
    return shares


def nested_weights(
    scores: Array, values: Array, fold: NDArray[np.int64], *, task: Task, loss: Loss = "mse"
) -> Array:
    """Weights for each compound from the compounds of the other folds, shape (n_members, n).

    For honest out-of-fold metrics: a fold's own scores take no part in choosing its weights. Its
    values do so through the members that scored the other folds, which learnt from them: with a
    handful of weights this is far below the noise, and its cure would multiply the time by the
    number of folds.
    """
    weights = np.empty_like(scores)
    for number in np.unique(fold):
        inside = fold == number
        found = stacked_weights(scores[:, ~inside], values[~inside], task=task, loss=loss)
        weights[:, inside] = found[:, None]
    return weights


def _fit(scores: Array, values: Array, objective: Any, *, n_extra: int) -> Array:
    """Minimises over the simplex, and over further free parameters of the objective."""
    from scipy.optimize import minimize

    m = len(scores)
    start = np.concatenate([np.full(m, 1.0 / m), [1.0, 0.0][:n_extra]])
    found = minimize(
        objective, start, args=(scores, values), jac=True, method="SLSQP",
        bounds=[(0.0, 1.0)] * m + [(1e-2, 20.0), (-10.0, 10.0)][:n_extra],
        constraints={
            "type": "eq",
            "fun": lambda x: x[:m].sum() - 1.0,
            "jac": lambda _: np.concatenate([np.ones(m), np.zeros(n_extra)]),
        },
        options={"maxiter": 100, "ftol": 1e-9},
    )  # fmt: skip
    weights = np.clip(found.x[:m], 0.0, None)
    best: Array = weights / weights.sum()
    return best


def _squared(weights: Array, scores: Array, values: Array) -> tuple[float, Array]:
    error = weights @ scores - values
    return float(np.mean(error**2)), 2.0 * (scores @ error) / len(values)


def _absolute(weights: Array, scores: Array, values: Array) -> tuple[float, Array]:
    # Rounded off within a thousandth of the values' deviation, so that it has a gradient.
    error = weights @ scores - values
    size = np.sqrt(error**2 + 1e-6)
    return float(np.mean(size)), scores @ (error / size) / len(values)


def _cross_entropy(parameters: Array, scores: Array, values: Array) -> tuple[float, Array]:
    weights, slope, shift = parameters[:-2], parameters[-2], parameters[-1]
    mixed = weights @ scores
    inside = (mixed > _EDGE) & (mixed < 1.0 - _EDGE)
    p = np.clip(mixed, _EDGE, 1.0 - _EDGE)
    logit = np.log(p / (1.0 - p))
    z = slope * logit + shift
    loss = np.mean(np.logaddexp(0.0, z) - values * z)
    by_z = (1.0 / (1.0 + np.exp(-z)) - values) / len(values)
    by_mixed = by_z * slope * inside / (p * (1.0 - p))
    return float(loss), np.concatenate([scores @ by_mixed, [by_z @ logit, by_z.sum()]])
