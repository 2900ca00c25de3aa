"""Scales on which a member learns: skewed quantities by their logarithm, percentages by logit.

A member that learns on another scale still predicts in the endpoint's own unit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from property_models.errors import DataError

Array = NDArray[np.float64]
Transform = Literal["none", "log10", "logit_percent"]

# Half a per cent beyond both ends: 0 % and 100 %, which are measured often, stay finite.
_MARGIN = 0.5


def forward(transform: Transform, values: Array) -> Array:
    """Measured values, shape (n,), on the scale that is learnt.

    Raises:
        DataError: A value has no place on that scale.
    """
    if transform == "none":
        return values
    if transform == "log10":
        if not (values > 0).all():
            raise DataError(f"transform log10 needs values above 0, found {values.min():g}")
        return np.log10(values)
    if not ((values >= 0) & (values <= 100)).all():
        raise DataError(
            "transform logit_percent needs values between 0 and 100, found "
            f"{values.min():g} to {values.max():g}"
        )
    return np.log((values + _MARGIN) / (100.0 + _MARGIN - values))


def inverse(transform: Transform, learnt: Array) -> Array:
    """Scores on the learnt scale, any shape, back in the endpoint's unit."""
    if transform == "none":
        return learnt
    if transform == "log10":
        return np.power(10.0, np.clip(learnt, -30.0, 30.0))
    odds = np.exp(np.clip(learnt, -30.0, 30.0))
    return np.clip(((100.0 + _MARGIN) * odds - _MARGIN) / (1.0 + odds), 0.0, 100.0)
