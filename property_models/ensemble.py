"""The members of a predictor: fit them by recipe, average their scores."""

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
from property_models.trees import BoostedTrees, TreesRecipe, fit_boosted_trees

if TYPE_CHECKING:
    from property_models.network import Network, NetworkRecipe

Array = NDArray[np.float64]
_log = logging.getLogger("property_models")
MemberRecipe: TypeAlias = "TreesRecipe | KernelRecipe | NetworkRecipe"
Member: TypeAlias = "BoostedTrees | TanimotoKernel | Network"


def fit_members(
    recipes: Sequence[MemberRecipe],
    features: Features,
    values: Array,
    *,
    task: Task,
    seed: int,
) -> list[Member]:
    """Fits one member per recipe on all given compounds, in the order of the recipes.

    Progress goes to the logger `property_models`, so it is seen from any process.
    """
    members: list[Member] = []
    for recipe in recipes:
        if isinstance(recipe, TreesRecipe):
            members.append(fit_boosted_trees(features, values, task=task, recipe=recipe, seed=seed))
        elif isinstance(recipe, KernelRecipe):
            members.append(fit_tanimoto_kernel(features, values, recipe=recipe))
        else:
            # torch and PyG take seconds to import: only where a network is wanted.
            from property_models.network import fit_network

            members.append(
                fit_network(
                    features, values, task=task, recipe=recipe, seed=seed, on_epoch=_log_epoch
                )
            )
    return members


def _log_epoch(epoch: int, loss: float) -> None:
    _log.info("network: epoch %d, training loss %.4f", epoch, loss)


def member_scores(members: Sequence[Member], features: Features) -> Array:
    """Score of each member, float64, shape (n_members, n)."""
    return np.array([member.predict(features) for member in members])


def mean_score(scores: Array, weights: Sequence[float], *, task: Task) -> Array:
    """Weighted mean of members' scores (n_members, n), float64, shape (n,).

    For classification it is kept in [0, 1], which a Gaussian process on 0/1 labels may leave.
    """
    total = np.zeros(scores.shape[1])
    for score, weight in zip(scores, weights, strict=True):
        total += weight * score
    total /= sum(weights)
    return np.clip(total, 0.0, 1.0) if task == "classification" else total


def derived_seed(seed: int, *path: str | int) -> int:
    """A 31-bit seed for one part of a training, fixed by the run's seed and the part's name."""
    return zlib.crc32("/".join(map(str, (seed, *path))).encode()) & 0x7FFFFFFF
