"""Out-of-fold scores of an ensemble, and a stacked ensemble without a card.

`stacked_scores` is the shortest way from a table to predictions for other compounds:

    scores = stacked_scores(recipes, train, y, test, fold=fold, task="regression", seed=1)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from property_models import evaluate
from property_models.auxiliary import Auxiliary
from property_models.domain import nearest
from property_models.endpoints import Task
from property_models.ensemble import (
    MemberRecipe,
    combined,
    derived_seed,
    fit_members,
    member_scores,
    scores_and_deviations,
)
from property_models.features import Features
from property_models.stacking import Loss, nested_weights, stacked_weights

Array = NDArray[np.float64]
Weights = Literal["stacked", "fixed"]
OnMetrics = Callable[[dict[str, float], int], None]
_log = logging.getLogger("property_models")


class Map(Protocol):
    """Like the built-in map: applies a picklable function, keeps the order."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]:
        """Results in the order of the items."""
        ...


@dataclass(frozen=True)
class HeldOut:
    """Out-of-fold results of n compounds.

    Attributes:
        score: Of the ensemble fitted on the other folds, shape (n,); its weights come from the
            other folds as well.
        by_member: Score of each member, shape (n_members, n).
        spread: Standard deviation over the members (and their seeds) about the score, (n,).
        similarity: To the nearest compound of the other folds, shape (n,).
        fold: Fold number, int64, shape (n,).
        weights: Of the members, from all compounds, shape (n_members,): what a predictor that
            is fitted on everything uses.
    """

    score: Array
    by_member: Array
    spread: Array
    similarity: Array
    fold: NDArray[np.int64]
    weights: Array


def cross_validate(
    recipes: Sequence[MemberRecipe],
    features: Features,
    values: Array,
    *,
    fold: NDArray[np.int64],
    task: Task,
    seed: int,
    weights: Weights = "stacked",
    loss: Loss = "mse",
    auxiliary: Auxiliary | None = None,
    strict_keys: Sequence[str] | None = None,
    map: Map = map,
    on_metrics: OnMetrics | None = None,
) -> HeldOut:
    """Fits the members on all folds but one, in turn, and scores the one left out.

    Args:
        recipes: One per member.
        features: n compounds.
        values: Measured values or labels 0/1, shape (n,).
        fold: Fold number of each compound from 0, int64, shape (n,), from
            `property_models.splits`.
        task: 'regression' or 'classification'.
        seed: Decides everything random.
        weights: 'stacked': learnt from the scores; 'fixed': those of the recipes.
        loss: What stacking minimises in regression.
        auxiliary: Sister assays for networks.
        strict_keys: First InChIKey blocks of the compounds, length n: a compound that is held
            out is then left out of the sister assays as well. None: it stays in them.
        map: Runs the folds, e.g. in other processes; the order of results is kept.
        on_metrics: Called with (metrics, fold) after each fold, with equal member weights, as
            weights can be learnt only when all folds are done.
    """
    by_member, deviations = (np.empty((len(recipes), len(values))) for _ in range(2))
    similarity = np.empty(len(values))
    n_folds = int(fold.max()) + 1
    work = partial(
        _score_fold, tuple(recipes), features, values, fold, task, seed, auxiliary, strict_keys
    )
    for number, (scores, spreads, nearness) in enumerate(map(work, range(n_folds))):
        rows = np.flatnonzero(fold == number)
        by_member[:, rows], deviations[:, rows], similarity[rows] = scores, spreads, nearness
        _log.info("fold %d of %d is done", number + 1, n_folds)
        if on_metrics is not None:
            start = _starting_weights(recipes, weights)
            score = combined(scores, start.tolist(), task=task)[0]
            found = evaluate.metrics(task, values[rows], score)
            on_metrics({f"fold_{name}": value for name, value in found.items()}, number)
    if weights == "stacked":
        kept = stacked_weights(by_member, values, task=task, loss=loss)
        own = nested_weights(by_member, values, fold, task=task, loss=loss)
    else:
        kept = _starting_weights(recipes, weights)
        own = np.repeat(kept[:, None], len(values), axis=1)
    score, spread = combined_by_fold(by_member, own, deviations, fold, task)
    return HeldOut(score, by_member, spread, similarity, fold, kept)


def _starting_weights(recipes: Sequence[MemberRecipe], weights: Weights) -> Array:
    raw = np.array([recipe.weight if weights == "fixed" else 1.0 for recipe in recipes])
    shares: Array = raw / raw.sum()
    return shares


def combined_by_fold(
    by_member: Array,
    weights: Array,
    deviations: Array,
    fold: NDArray[np.int64],
    task: Task,
) -> tuple[Array, Array]:
    """`combined` with the weights (n_members, n) of each compound's own fold."""
    score, spread = np.empty(len(fold)), np.empty(len(fold))
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        score[rows], spread[rows] = combined(
            by_member[:, rows],
            weights[:, rows[0]].tolist(),
            task=task,
            deviations=deviations[:, rows],
        )
    return score, spread


def _score_fold(
    recipes: tuple[MemberRecipe, ...],
    features: Features,
    values: Array,
    fold: NDArray[np.int64],
    task: Task,
    seed: int,
    auxiliary: Auxiliary | None,
    strict_keys: Sequence[str] | None,
    number: int,
) -> tuple[Array, Array, Array]:
    """Scores and deviations of a fold, fitted on the others, and similarities to the others."""
    inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
    train, test = features.take(outside), features.take(inside)
    if auxiliary is not None and strict_keys is not None:
        auxiliary = auxiliary.without([strict_keys[row] for row in inside.tolist()])
    members = fit_members(
        recipes,
        train,
        values[outside],
        task=task,
        seed=derived_seed(seed, "fold", number),
        auxiliary=auxiliary,
    )
    scores, deviations = scores_and_deviations(members, test)
    return scores, deviations, nearest(test.packed_bits, train.packed_bits)[1]


def stacked_scores(
    recipes: Sequence[MemberRecipe],
    train: Features,
    values: Array,
    test: Features,
    *,
    fold: NDArray[np.int64],
    task: Task,
    seed: int,
    weights: Weights = "stacked",
    loss: Loss = "mse",
    auxiliary: Auxiliary | None = None,
    strict_keys: Sequence[str] | None = None,
    map: Map = map,
) -> Array:
    """Scores of other compounds by an ensemble whose weights are learnt on the training ones.

    Args:
        recipes: One per member.
        train: n compounds.
        values: Measured values or labels 0/1, shape (n,).
        test: m other compounds.
        fold: Fold numbers of the training compounds, int64, shape (n,).
        task: 'regression' or 'classification'.
        seed: Decides everything random.
        weights: 'stacked': learnt by cross-validation; 'fixed': those of the recipes.
        loss: What stacking minimises in regression.
        auxiliary: Sister assays for networks; leave the test compounds out of them before.
        strict_keys: Of the training compounds, as for `cross_validate`.
        map: Runs the folds.

    Returns:
        float64, shape (m,), in the unit of `values`, or the uncalibrated probability.
    """
    if weights == "stacked" and len(recipes) > 1:
        shares = cross_validate(
            recipes,
            train,
            values,
            fold=fold,
            task=task,
            seed=seed,
            loss=loss,
            auxiliary=auxiliary,
            strict_keys=strict_keys,
            map=map,
        ).weights
    else:
        shares = _starting_weights(recipes, weights)
    members = fit_members(
        recipes, train, values, task=task, seed=derived_seed(seed, "all"), auxiliary=auxiliary
    )
    return combined(member_scores(members, test), shares.tolist(), task=task)[0]
