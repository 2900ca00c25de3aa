"""Raw value -> desirability in [0, 1], after Derringer and Suich with linear flanks.

Source: Derringer and Suich 1980, https://doi.org/10.1080/00224065.1980.11980968.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgen.config.objective import Between, Decreasing, Desirability, Increasing


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
