"""Desirabilities of the components -> one reward in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Aggregation = Literal["geometric_mean", "product", "arithmetic_mean"]


def aggregate(
    desirabilities: Sequence[Array], weights: Sequence[float], *, how: Aggregation
) -> Array:
    """Join the desirabilities of each molecule.

    Args:
        desirabilities: One array of shape (n,) per component, in [0, 1] or NaN.
        weights: One positive weight per component.
        how: `geometric_mean`: exp(sum w log d / sum w), which is 0 where any desirability is 0;
            `arithmetic_mean`: sum w d / sum w; `product`: the product of d ** w, so only the
            product depends on the scale of the weights.

    Returns:
        float64, shape (n,), in [0, 1], 1 is best; NaN where any desirability is NaN: what is
        missing counts neither as good nor as bad.
    """
    # Component by component, so that a row's rounding does not depend on the number of rows.
    columns = [np.asarray(d, np.float64) for d in desirabilities]
    shares = np.asarray(weights, np.float64)
    if how != "product":
        # In proportion to the largest, so that huge weights do not overflow; never quite 0, so
        # that a desirability of 0 counts at any weight.
        shares = np.maximum(shares / shares.max(), np.finfo(np.float64).tiny)
    total = np.zeros_like(columns[0])
    with np.errstate(divide="ignore", over="ignore"):  # log(0) = -inf is meant: the reward is 0
        for column, share in zip(columns, shares, strict=True):
            total += share * (column if how == "arithmetic_mean" else np.log(column))
    if how == "product":
        return np.asarray(np.exp(total))
    mean = total / shares.sum()
    if how == "geometric_mean":
        mean = np.exp(mean)
    # Rounding must not lift a mean above its largest or below its smallest part.
    lowest, highest = np.minimum.reduce(columns), np.maximum.reduce(columns)
    return np.asarray(np.clip(mean, lowest, highest))
