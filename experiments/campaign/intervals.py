"""Bootstrap intervals of means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean_and_interval(
    values: Sequence[float] | Array, *, seed: int, n_samples: int = 4000
) -> tuple[float, tuple[float, float]]:
    """Mean with its 95 % percentile bootstrap interval; NaN where there are no values.

    The interval reflects which molecules happened to be drawn, not the error of the model that
    valued them.
    """
    means = _means(np.asarray(values, float), np.random.default_rng(seed), n_samples)
    return float(np.mean(values)) if len(values) else float("nan"), _interval(means)


def difference_and_interval(
    ours: Sequence[float] | Array, theirs: Sequence[float] | Array, *, seed: int,
    n_samples: int = 4000,
) -> tuple[float, tuple[float, float]]:  # fmt: skip
    """Difference of two independent samples' means, ours - theirs, with its interval."""
    if not len(ours) or not len(theirs):
        return float("nan"), (float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    means = _means(np.asarray(ours, float), rng, n_samples) - _means(
        np.asarray(theirs, float), rng, n_samples
    )
    return float(np.mean(ours) - np.mean(theirs)), _interval(means)


def _means(values: Array, rng: np.random.Generator, n_samples: int) -> Array:
    if not len(values):
        return np.full(n_samples, np.nan)
    return np.asarray(
        [values[rng.integers(0, len(values), len(values))].mean() for _ in range(n_samples)]
    )


def _interval(means: Array) -> tuple[float, float]:
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
