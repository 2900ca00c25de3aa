"""Raw value -> desirability in [0, 1], after Derringer and Suich with linear flanks.

Source: Derringer and Suich 1980, https://doi.org/10.1080/00224065.1980.11980968.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgen.config.objective import Between, Decreasing, Desirability, Increasing

_N_QUANTILES = 64
_Z_95 = 1.6448536269514722  # standard deviations from the median to the 95 % quantile


def uncertain_desirability(
    curve: Desirability, values: ArrayLike, low: ArrayLike, high: ArrayLike, *,
    how: Literal["ignored", "expected", "lower_bound"],
) -> NDArray[np.float64]:  # fmt: skip
    """Desirability of predictions with 90 % intervals.

    `expected` is the mean over a split normal distribution (median at the value, 5 % below `low`,
    5 % above `high`; https://doi.org/10.1214/13-STS417), taken at 64 equally likely points. On a
    curve that jumps from 0 to 1 it is the probability of meeting the profile. `lower_bound` is
    the lesser desirability of the interval's ends, which bounds that of all between them, since
    no curve has a valley.

    Args:
        curve: see `desirability`.
        values: shape (n,).
        low: shape (n,), at most the values.
        high: shape (n,), at least the values.
        how: 'ignored' takes the values alone.

    Returns:
        float64, shape (n,), in [0, 1]; NaN where the value is NaN.
    """
    x, below, above = (np.asarray(a, np.float64) for a in (values, low, high))
    if how == "ignored":
        return desirability(curve, x)
    if how == "lower_bound":
        return np.minimum(desirability(curve, below), desirability(curve, above))
    from scipy.special import ndtri

    z_Q = ndtri((np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES)
    width = np.where(z_Q < 0, (x - below)[:, None], (above - x)[:, None])
    points = x[:, None] + width / _Z_95 * z_Q
    mean: NDArray[np.float64] = desirability(curve, points).mean(axis=1)
    return mean


def desirability(curve: Desirability, values: ArrayLike) -> NDArray[np.float64]:
    """Map raw values to desirabilities.

    Args:
        curve: Its numbers are in the unit of the values.
        values: Any shape; NaN means "no value".

    Returns:
        float64 of the same shape in [0, 1], 1 is best; NaN exactly where the value is NaN.
    """
    x = np.asarray(values, np.float64)
    # Very narrow flanks overflow to infinity, which the clipping below turns into 0 or 1.
    with np.errstate(over="ignore"):
        match curve:
            case Increasing(zero_at=zero_at, one_at=one_at):
                height = (x - zero_at) / (one_at - zero_at)
            case Decreasing(one_at=one_at, zero_at=zero_at):
                height = (zero_at - x) / (zero_at - one_at)
            case Between(low=low, high=high, margin=margin):
                outside = np.maximum(np.maximum(low - x, x - high), 0.0)
                height = 1.0 - outside / margin
    return np.clip(height, 0.0, 1.0)
