"""The members of a predictor: fit them by recipe, score with them, combine their scores."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from property_models.endpoints import Task
from property_models.features import Features
from property_models.kernel import KernelRecipe, TanimotoKernel, fit_tanimoto_kernel
from property_models.trees import (
    BoostedTrees,
    ForestRecipe,
    RandomForest,
    TreesRecipe,
    fit_boosted_trees,
    fit_random_forest,
)

if TYPE_CHECKING:
    from property_models.auxiliary import Auxiliary
    from property_models.network import Network, NetworkRecipe

Array = NDArray[np.float64]
_log = logging.getLogger("property_models")
MemberRecipe: TypeAlias = "TreesRecipe | ForestRecipe | KernelRecipe | NetworkRecipe"
Member: TypeAlias = "BoostedTrees | RandomForest | TanimotoKernel | Network"


def fit_members(
    recipes: Sequence[MemberRecipe],
    features: Features,
    values: Array,
    *,
    task: Task,
    seed: int,
    auxiliary: Auxiliary | None = None,
) -> list[Member]:
    """Fits one member per recipe on all given compounds, in the order of the recipes.

    Progress goes to the logger `property_models`, so it is seen from any process.

    Args:
        recipes: One per member.
        features: n compounds.
        values: float64, shape (n,): measured values, or 0/1 for classification.
        task: 'regression' or 'classification'.
        seed: Decides everything random.
        auxiliary: Compounds measured in sister assays, learnt by networks beside the values.
    """
    return [_fit(recipe, features, values, task, seed, auxiliary) for recipe in recipes]


def _fit(
    recipe: MemberRecipe,
    features: Features,
    values: Array,
    task: Task,
    seed: int,
    auxiliary: Auxiliary | None,
) -> Member:
    if isinstance(recipe, TreesRecipe):
        return fit_boosted_trees(features, values, task=task, recipe=recipe, seed=seed)
    if isinstance(recipe, ForestRecipe):
        return fit_random_forest(features, values, recipe=recipe, seed=seed)
    if isinstance(recipe, KernelRecipe):
        return fit_tanimoto_kernel(features, values, recipe=recipe, seed=seed)
    # torch and PyG take seconds to import: only where a network is wanted.
    from property_models.network import fit_network

    return fit_network(
        features,
        values,
        task=task,
        recipe=recipe,
        seed=seed,
        auxiliary=auxiliary,
        on_epoch=_log_epoch,
    )


def _log_epoch(epoch: int, loss: float) -> None:
    _log.info("network: epoch %d, training loss %.4f", epoch, loss)


# -- score ----------------------------------------------------------------------------------


def member_scores(members: Sequence[Member], features: Features) -> Array:
    """Score of each member, float64, shape (n_members, n)."""
    return scores_and_deviations(members, features)[0]


def scores_and_deviations(members: Sequence[Member], features: Features) -> tuple[Array, Array]:
    """What each member says and how sure it is of it by itself.

    Returns:
        (scores, deviations), both float64, shape (n_members, n). A deviation is the standard
        deviation over the member's own seeds or networks, or a Gaussian process's posterior
        one; 0 for a member that was fitted once and knows none.
    """
    scores = np.empty((len(members), len(features)))
    deviations = np.empty_like(scores)
    for row, member in enumerate(members):
        scores[row], deviations[row] = member.score(features)
    return scores, deviations


def combined(
    scores: Array, weights: Sequence[float], *, task: Task, deviations: Array | None = None
) -> tuple[Array, Array]:
    """The ensemble's score and how far its parts disagree.

    Args:
        scores: Of each member, shape (n_members, n).
        weights: Of each member, not negative; they need not sum to one.
        task: 'classification' keeps the score in [0, 1], which a Gaussian process on 0/1 labels
            may leave.
        deviations: Of each member by itself, shape (n_members, n), from
            `scores_and_deviations`; None counts as zero.

    Returns:
        (score, spread), both float64, shape (n,): the weighted mean, and the standard deviation
        of the mixture of members (variance between them plus mean variance within them).
    """
    shares = np.asarray(weights, dtype=np.float64)
    shares = shares / shares.sum()
    # Member by member, so that a molecule's sum runs in the same order in any batch.
    score, variance = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    for share, member_score in zip(shares, scores, strict=True):
        score += share * member_score
    for row, share in enumerate(shares):
        variance += share * (scores[row] - score) ** 2
        if deviations is not None:
            variance += share * deviations[row] ** 2
    if task == "classification":
        score = np.clip(score, 0.0, 1.0)
    return score, np.sqrt(variance)


def mean_score(scores: Array, weights: Sequence[float], *, task: Task) -> Array:
    """Weighted mean of members' scores (n_members, n), float64, shape (n,); see `combined`."""
    return combined(scores, weights, task=task)[0]


def derived_seed(seed: int, *path: str | int) -> int:
    """A 31-bit seed for one part of a training, fixed by the run's seed and the part's name."""
    return zlib.crc32("/".join(map(str, (seed, *path))).encode()) & 0x7FFFFFFF
