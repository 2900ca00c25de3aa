"""Member `boosted_trees`: LightGBM on count fingerprints, reduced graphs and descriptors."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from property_models.features import Features

if TYPE_CHECKING:
    import lightgbm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TreesRecipe:
    """Hyper-parameters of boosted trees; the defaults suit a few hundred to 20,000 compounds.

    `weight` is the member's weight in the ensemble's mean.
    """

    n_trees: int = 800
    learning_rate: float = 0.04
    n_leaves: int = 31
    min_compounds_per_leaf: int = 8
    column_share: float = 0.15
    row_share: float = 0.8
    l2: float = 1.0
    weight: float = 1.0


class BoostedTrees:
    """A trained LightGBM model; scores in standardised units or as probabilities."""

    kind = "boosted_trees"

    def __init__(self, booster: lightgbm.Booster) -> None:
        self._booster = booster

    def predict(self, features: Features) -> Array:
        """Score of each molecule, float64, shape (n,); independent of the other molecules."""
        if len(features) == 0:
            return np.empty(0)
        # One thread: more gain nothing on small batches and fight with other processes.
        scores = self._booster.predict(features.table, num_threads=1)
        return np.asarray(scores, dtype=np.float64)

    def to_bytes(self) -> bytes:
        """LightGBM's own text form, gzipped without a time stamp."""
        return gzip.compress(self._booster.model_to_string().encode(), compresslevel=9, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> BoostedTrees:
        """Reads what `to_bytes` wrote; raises ValueError or OSError on anything else."""
        import lightgbm

        text = gzip.decompress(data).decode()
        if not text.startswith("tree\n") or "end of trees" not in text:
            raise ValueError("not a LightGBM text model")
        return cls(lightgbm.Booster(model_str=text))


def fit_boosted_trees(
    features: Features, values: Array, *, task: str, recipe: TreesRecipe, seed: int
) -> BoostedTrees:
    """Fits on values of shape (n,): real numbers (regression) or 0/1 (classification)."""
    import lightgbm

    parameters = {
        "objective": "regression" if task == "regression" else "binary",
        "learning_rate": recipe.learning_rate,
        "num_leaves": recipe.n_leaves,
        # A leaf needs room in small tables as well: never more than a twentieth of the rows.
        "min_data_in_leaf": max(1, min(recipe.min_compounds_per_leaf, len(values) // 20)),
        "feature_fraction": recipe.column_share,
        "bagging_fraction": recipe.row_share,
        "bagging_freq": 1,
        "lambda_l2": recipe.l2,
        "max_bin": 63,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(features.table, label=values, params=parameters)
    return BoostedTrees(lightgbm.train(parameters, data, num_boost_round=recipe.n_trees))
