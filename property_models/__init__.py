"""Property models: what a molecule does, with calibrated intervals and a domain of use.

Usable alone. The public names are imported on first use, so `import property_models` is light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from property_models.datasets import known_structures
    from property_models.endpoints import ENDPOINTS, Endpoint
    from property_models.model_card import ModelCard
    from property_models.predictor import (
        Prediction,
        Predictor,
        load_predictor,
        load_predictors,
        predict_table,
    )

__all__ = [
    "ENDPOINTS",
    "Endpoint",
    "ModelCard",
    "Prediction",
    "Predictor",
    "known_structures",
    "load_predictor",
    "load_predictors",
    "predict_table",
]

_HOMES = {
    "ENDPOINTS": "endpoints",
    "Endpoint": "endpoints",
    "ModelCard": "model_card",
    "Prediction": "predictor",
    "Predictor": "predictor",
    "known_structures": "datasets",
    "load_predictor": "predictor",
    "load_predictors": "predictor",
    "predict_table": "predictor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
