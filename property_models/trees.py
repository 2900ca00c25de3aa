"""Members `boosted_trees` and `random_forest`: LightGBM on counts, reduced graphs, descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from property_models.features import Features
from property_models.transforms import Transform, forward, inverse
from property_models.tree_scoring import PackedTrees, read_lightgbm

if TYPE_CHECKING:
    import lightgbm

Array = NDArray[np.float64]
Loss = Literal["mse", "mae", "huber"]

_OBJECTIVES: dict[Loss, str] = {"mse": "regression", "mae": "regression_l1", "huber": "huber"}
# Lines that only tell of the training, and the trees' lengths in bytes.
_STATISTICS = (
    "split_gain=", "leaf_weight=", "leaf_count=", "internal_value=", "internal_weight=",
    "internal_count=", "tree_sizes=",
)  # fmt: skip
_SEPARATOR = "\x1e"  # ASCII record separator between the text forms of several models


@dataclass(frozen=True)
class TreesRecipe:
    """Hyper-parameters of boosted trees; the defaults suit a few hundred to 20,000 compounds.

    Attributes:
        n_trees: Boosting rounds.
        learning_rate: Shrinkage of each tree.
        n_leaves: Most leaves of a tree.
        min_compounds_per_leaf: Smaller in tables of a few hundred rows.
        column_share: Share of the columns that a tree may use.
        row_share: Share of the rows that a tree sees.
        l2: Penalty on leaf values.
        loss: Of regression: 'mse', 'mae' (for endpoints judged by absolute error) or 'huber'.
        n_seeds: Models with different seeds; their mean is the score.
        transform: Scale on which it learns.
        weight: In the ensemble's mean, where weights are not stacked.
    """

    n_trees: int = 800
    learning_rate: float = 0.04
    n_leaves: int = 31
    min_compounds_per_leaf: int = 8
    column_share: float = 0.15
    row_share: float = 0.8
    l2: float = 1.0
    loss: Loss = "mse"
    n_seeds: int = 1
    transform: Transform = "none"
    weight: float = 1.0


@dataclass(frozen=True)
class ForestRecipe:
    """Hyper-parameters of a random forest; at its best on a few hundred compounds.

    Attributes:
        n_trees: Trees, each on other rows and columns.
        n_leaves: Most leaves of a tree; bounds the size of the file.
        min_compounds_per_leaf: 1 grows trees out.
        column_share: Share of the columns tried at each split.
        row_share: Share of the rows that a tree sees.
        transform: Scale on which it learns.
        weight: In the ensemble's mean, where weights are not stacked.
    """

    n_trees: int = 200
    n_leaves: int = 256
    min_compounds_per_leaf: int = 1
    column_share: float = 0.1
    row_share: float = 0.7
    transform: Transform = "none"
    weight: float = 1.0


@dataclass(frozen=True)
class _LightGBMModels:
    """LightGBM models that differ by their seed.

    Attributes:
        models: At least one.
        text: LightGBM's text form of them, less what predictions do not need.
        transform: Scale of their output.
    """

    models: Sequence[PackedTrees]
    text: str
    transform: Transform = "none"

    def predict(self, features: Features) -> Array:
        """Value or probability, float64, shape (n,); independent of the other molecules."""
        return self.score(features)[0]

    def score(self, features: Features) -> tuple[Array, Array]:
        """Mean and standard deviation over the seeds, float64, shape (n,)."""
        if len(features) == 0:
            return np.empty(0), np.empty(0)
        raw = [model.predict(features.table_blocks, len(features)) for model in self.models]
        votes = inverse(self.transform, np.array(raw))
        return votes.mean(axis=0), votes.std(axis=0)

    def to_bytes(self) -> bytes:
        """The text form."""
        return self.text.encode()

    @classmethod
    def from_bytes(cls, data: bytes, transform: Transform = "none") -> Self:
        """Reads what `to_bytes` wrote; raises ValueError or KeyError on anything else."""
        text = data.decode()
        return cls([read_lightgbm(one) for one in text.split(_SEPARATOR)], text, transform)

    @classmethod
    def of(cls, boosters: Sequence[lightgbm.Booster], transform: Transform) -> Self:
        """Takes over what LightGBM has trained."""
        text = _SEPARATOR.join(_short(booster.model_to_string()) for booster in boosters)
        return cls.from_bytes(text.encode(), transform)


def _short(text: str) -> str:
    """A model's text without the statistics of its training, leaves to seven digits: a third."""
    lines = [line for line in text.split("\n") if not line.startswith(_STATISTICS)]
    return "\n".join(_rounded(line) if line.startswith("leaf_value=") else line for line in lines)


def _rounded(line: str) -> str:
    name, values = line.split("=")
    return f"{name}={' '.join(f'{float(value):.7g}' for value in values.split())}"


class BoostedTrees(_LightGBMModels):
    """Trained boosted trees; scores are values or probabilities."""

    kind = "boosted_trees"


class RandomForest(_LightGBMModels):
    """A trained random forest; scores are values or probabilities."""

    kind = "random_forest"


_COMMON: dict[str, Any] = {
    "bagging_freq": 1,
    "max_bin": 63,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def fit_boosted_trees(
    features: Features, values: Array, *, task: str, recipe: TreesRecipe, seed: int
) -> BoostedTrees:
    """Fits on values of shape (n,): real numbers (regression) or 0/1 (classification)."""
    learnt = forward(recipe.transform, values)
    parameters = {
        **_COMMON,
        "objective": _OBJECTIVES[recipe.loss] if task == "regression" else "binary",
        "alpha": float(learnt.std()) or 1.0,  # where the Huber loss becomes linear
        "learning_rate": recipe.learning_rate,
        "num_leaves": recipe.n_leaves,
        # A leaf needs room in small tables as well: never more than a twentieth of the rows.
        "min_data_in_leaf": max(1, min(recipe.min_compounds_per_leaf, len(values) // 20)),
        "feature_fraction": recipe.column_share,
        "bagging_fraction": recipe.row_share,
        "lambda_l2": recipe.l2,
    }
    boosters = _train(features, learnt, parameters, recipe.n_trees, seed, recipe.n_seeds)
    return BoostedTrees.of(boosters, recipe.transform)


def fit_random_forest(
    features: Features, values: Array, *, recipe: ForestRecipe, seed: int
) -> RandomForest:
    """Fits on values of shape (n,); on 0/1 labels a leaf holds its share of positives."""
    parameters = {
        **_COMMON,
        "boosting": "rf",
        # Also for labels: means of 0 and 1 are probabilities, one Newton step of logits is not.
        "objective": "regression",
        "num_leaves": recipe.n_leaves,
        "min_data_in_leaf": recipe.min_compounds_per_leaf,
        # Half of the choice per tree, which saves time, half per split.
        "feature_fraction": recipe.column_share**0.5,
        "feature_fraction_bynode": recipe.column_share**0.5,
        "bagging_fraction": recipe.row_share,
    }
    learnt = forward(recipe.transform, values)
    n_trees = recipe.n_trees
    if np.ptp(learnt) == 0:
        # LightGBM's forest without a split says 0 of everything; one boosted tree says the value.
        parameters["boosting"], n_trees = "gbdt", 1
    boosters = _train(features, learnt, parameters, n_trees, seed, 1)
    return RandomForest.of(boosters, recipe.transform)


def _train(
    features: Features,
    learnt: Array,
    parameters: dict[str, Any],
    n_trees: int,
    seed: int,
    n_seeds: int,
) -> list[lightgbm.Booster]:
    import lightgbm

    data = lightgbm.Dataset(features.table, label=learnt, params={**parameters, "seed": seed})
    return [
        lightgbm.train({**parameters, "seed": seed + k}, data, num_boost_round=n_trees)
        for k in range(n_seeds)
    ]
