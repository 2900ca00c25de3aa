"""Metrics of predictions against measurements, with bootstrap intervals.

All functions take arrays of shape (n,) without NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]


def rmse(measured: Array, predicted: Array) -> float:
    """Root mean squared error, in the unit of the endpoint; lower is better."""
    return float(np.sqrt(np.mean((measured - predicted) ** 2)))


def mae(measured: Array, predicted: Array) -> float:
    """Mean absolute error, in the unit of the endpoint; lower is better."""
    return float(np.mean(np.abs(measured - predicted)))


def r2(measured: Array, predicted: Array) -> float:
    """Coefficient of determination; NaN where the measurements do not vary."""
    total = float(np.sum((measured - measured.mean()) ** 2))
    return 1.0 - float(np.sum((measured - predicted) ** 2)) / total if total > 0 else float("nan")


def spearman(measured: Array, predicted: Array) -> float:
    """Spearman's rank correlation; NaN where one side does not vary."""
    x, y = rankdata(measured), rankdata(predicted)
    if x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def auroc(measured: Array, predicted: Array) -> float:
    """Area under the ROC curve (ties count half); NaN where only one class is present."""
    n_positive = int(measured.sum())
    n_negative = len(measured) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(predicted)
    above = float(ranks[measured == 1].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def auprc(measured: Array, predicted: Array) -> float:
    """Average precision, the area under the precision-recall curve; NaN without positives."""
    from sklearn.metrics import average_precision_score

    if measured.sum() == 0:
        return float("nan")
    return float(average_precision_score(measured, predicted))


def brier(measured: Array, predicted: Array) -> float:
    """Brier score, the mean squared error of probabilities; lower is better."""
    return float(np.mean((measured - predicted) ** 2))


def ece(measured: Array, predicted: Array, n_bins: int = 10) -> float:
    """Expected calibration error over equally filled bins; lower is better.

    Where equal predictions fall into two bins, each gets the mean of their labels, so that the
    order of the rows decides nothing.
    """
    measured = _mean_of_ties(measured, predicted)
    order = np.argsort(predicted, kind="stable")
    error = 0.0
    for rows in np.array_split(order, n_bins):
        if len(rows):
            error += len(rows) * abs(float(measured[rows].mean() - predicted[rows].mean()))
    return error / len(measured)


def _mean_of_ties(measured: Array, predicted: Array) -> Array:
    """For each row the mean label of all rows with its prediction."""
    _, group, n = np.unique(predicted, return_inverse=True, return_counts=True)
    means: Array = (np.bincount(group, weights=measured) / n)[group]
    return means


def coverage(measured: Array, low: Array, high: Array) -> float:
    """Share of measurements inside their interval."""
    return float(np.mean((measured >= low) & (measured <= high)))


def ence(measured: Array, predicted: Array, deviation: Array, n_bins: int = 10) -> float:
    """Expected normalised calibration error of predicted standard deviations; lower is better.

    Mean over equally filled bins of |RMV - RMSE| / RMV, where RMV is the root mean predicted
    variance. Source: Levi et al. 2022, https://doi.org/10.3390/s22155540. Ties as in `ece`.
    """
    found = []
    squared_error = _mean_of_ties((measured - predicted) ** 2, deviation)
    for rows in np.array_split(np.argsort(deviation, kind="stable"), n_bins):
        root_variance = float(np.sqrt(np.mean(deviation[rows] ** 2))) if len(rows) else 0.0
        if root_variance > 0:
            error = float(np.sqrt(np.mean(squared_error[rows])))
            found.append(abs(root_variance - error) / root_variance)
    return float(np.mean(found)) if found else float("nan")


def calibration_curve(
    measured: Array, predicted: Array, n_bins: int = 10
) -> list[dict[str, float]]:
    """Predicted probability and observed share of positives in equally filled bins, ascending.

    Ties are dealt with as in `ece`.
    """
    measured = _mean_of_ties(measured, predicted)
    curve: list[dict[str, float]] = []
    for rows in np.array_split(np.argsort(predicted, kind="stable"), n_bins):
        if len(rows):
            curve.append(
                {
                    "n": len(rows),
                    "predicted": float(predicted[rows].mean()),
                    "observed": float(measured[rows].mean()),
                }
            )
    return curve


SIMILARITY_EDGES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)


def coverage_by_similarity(
    measured: Array, low: Array, high: Array, similarity: Array
) -> list[dict[str, float]]:
    """Coverage and mean width of intervals by similarity to the nearest training compound."""
    bins: list[dict[str, float]] = []
    for start, stop in pairwise(SIMILARITY_EDGES):
        mask = (similarity >= start) & ((similarity < stop) | (stop == SIMILARITY_EDGES[-1]))
        if mask.any():
            bins.append(
                {
                    "similarity_from": start,
                    "similarity_to": stop,
                    "n": int(mask.sum()),
                    "coverage": coverage(measured[mask], low[mask], high[mask]),
                    "mean_width": float(np.mean(high[mask] - low[mask])),
                }
            )
    return bins


REGRESSION: dict[str, Callable[[Array, Array], float]] = {
    "rmse": rmse,
    "mae": mae,
    "r2": r2,
    "spearman": spearman,
}
CLASSIFICATION: dict[str, Callable[[Array, Array], float]] = {
    "auroc": auroc,
    "auprc": auprc,
    "brier": brier,
    "ece": ece,
}


def metrics(task: str, measured: Array, predicted: Array) -> dict[str, float]:
    """All metrics of a task kind ('regression' or 'classification')."""
    chosen = REGRESSION if task == "regression" else CLASSIFICATION
    return {name: function(measured, predicted) for name, function in chosen.items()}


def bootstrap_intervals(
    task: str,
    measured: Array,
    predicted: Array,
    *,
    rng: np.random.Generator,
    n_samples: int = 200,
    names: Collection[str] = (),
) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap intervals of metrics.

    The interval reflects which compounds happened to be in the set, not training noise.

    Args:
        task: 'regression' or 'classification'.
        measured: Shape (n,).
        predicted: Shape (n,).
        rng: Draws the samples.
        n_samples: How many.
        names: Metrics wanted; empty: all of the task kind.
    """
    chosen = REGRESSION if task == "regression" else CLASSIFICATION
    functions = {name: f for name, f in chosen.items() if not names or name in names}
    draws: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(n_samples):
        rows = rng.integers(0, len(measured), len(measured))
        for name, function in functions.items():
            draws[name].append(function(measured[rows], predicted[rows]))
    return {
        name: (float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975)))
        for name, values in draws.items()
        if not np.all(np.isnan(values))
    }
