"""The recipes that the benchmarks judge, by name; the last of each kind is what ships.

One member alone (`trees`, `forest`, `kernel`, `network`), or several with fixed shares joined by
`+`, for example `trees+kernel`; `admet` and `potency` are the chosen ones. No recipe knows which
task it works on: it sees the kind of task, the metric's name, and the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

from property_models.endpoints import Task
from property_models.ensemble import MemberRecipe, combined, derived_seed, fit_members
from property_models.features import Features
from property_models.kernel import KernelRecipe
from property_models.transforms import Transform
from property_models.trees import ForestRecipe, TreesRecipe

Array = NDArray[np.float64]

ADMET = {
    "regression": ("trees", "kernel"),
    "classification": ("trees", "forest", "kernel"),
}
POTENCY = ("trees", "kernel")


def members_of(name: str, kind: str) -> tuple[str, ...]:
    """Single members of a recipe's name."""
    if name == "admet":
        return ADMET[kind]
    return POTENCY if name == "potency" else tuple(name.split("+"))


def scale_of(y: Array, kind: str) -> Transform:
    """Logarithm for positive values with a long tail, logit for percentages near an end."""
    if kind == "classification" or y.min() < 0:
        return "none"
    if y.max() <= 100 and y.max() > 50 and float(skew(y)) < -1:
        return "logit_percent"
    return "log10" if y.min() > 0 and float(skew(y)) > 1 else "none"


def member(name: str, y: Array, kind: str, metric: str) -> MemberRecipe:
    """One member's settings."""
    scale = scale_of(y, kind)
    if name == "trees":
        loss: Literal["mae", "mse"] = "mae" if metric == "mae" else "mse"
        return TreesRecipe(loss=loss, transform=scale, n_seeds=3)
    if name == "forest":
        return ForestRecipe(transform=scale)
    if name == "kernel":
        return KernelRecipe(transform=scale)
    if name == "kernel_shared":
        shared = (*KernelRecipe().fingerprints, "ecfp_shared")
        return KernelRecipe(transform=scale, fingerprints=shared)
    from property_models.network import NetworkRecipe

    return NetworkRecipe(
        transform=scale, n_members=3, n_epochs=20, min_steps=1500, dropout=0.2, weight_decay=0.01
    )


def member_scores(
    name: str, train: Features, y: Array, test: Features, *, kind: Task, metric: str, seed: int
) -> Array:
    """Scores of one member, float64, shape (n_test,): in the task's unit, or probabilities."""
    seeded = derived_seed(seed, "benchmark")
    fitted = fit_members([member(name, y, kind, metric)], train, y, task=kind, seed=seeded)
    return fitted[0].score(test)[0]


def mean_scores(scores: Sequence[Array], kind: Task) -> Array:
    """Equal shares of several members' scores, float64, shape (n_test,)."""
    return combined(np.array(scores), [1.0] * len(scores), task=kind)[0]


def potency_scores(train: Features, y: Array, test: Features, *, seed: int, recipe: str) -> Array:
    """Predictions of -log10(mol/L)."""
    found = [
        member_scores(name, train, y, test, kind="regression", metric="rmse", seed=seed)
        for name in members_of(recipe, "regression")
    ]
    return mean_scores(found, "regression")
