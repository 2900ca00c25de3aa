"""A surrogate with exact attributions: the predictor's scores as a sum over atoms.

Ridge regression of a predictor's own scores on counts of circular environments (ECFP4, radius 0
to 2). An environment belongs to the atom at its centre, so the surrogate's score is a constant
plus one contribution per atom, and nothing is lost or counted twice. It explains what the
predictor does over the molecules it was fitted on; `fidelity` tells how much of that it catches.
Where that is low, the predictor's answers do not come from local environments, and masking
(`attribution.attribute_atoms`) says more about a single molecule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from property_models.errors import DataError
from property_models.explain.environments import centred_counts
from property_models.features import Features

Array = NDArray[np.float64]

MIN_MOLECULES = 50
# Chosen among by generalised cross-validation.
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class AdditiveModel:
    """Contributions of circular environments.

    Attributes:
        weights: Of each ECFP4 count, float64, shape (2048,), in the score's unit.
        intercept: Score of a molecule without environments.
        fidelity: R2 against the predictor's scores of molecules left out of a trial fit.
        n_molecules: That it was fitted on.
    """

    weights: Array
    intercept: float
    fidelity: float
    n_molecules: int

    def predict(self, features: Features) -> Array:
        """Surrogate scores, float64, shape (n,): intercept plus the atoms' contributions."""
        return np.asarray(features.ecfp @ self.weights + self.intercept)

    def attribute(self, mols: Sequence[Chem.Mol]) -> list[Array]:
        """Contribution of each atom, float64, shape (n_atoms,) per molecule."""
        return [centred_counts(mol) @ self.weights for mol in mols]


def fit_additive(features: Features, scores: Array, *, seed: int = 0) -> AdditiveModel:
    """Fits the surrogate to a predictor's scores.

    Args:
        features: n molecules, best some thousands like those to be explained; no measurements are
            needed.
        scores: Of the predictor, shape (n,), from `attribution.predictor_score`.
        seed: Chooses the molecules left out to measure `fidelity`.

    Raises:
        DataError: Fewer than `MIN_MOLECULES` molecules with a score.
    """
    usable = np.flatnonzero(np.isfinite(scores))
    if len(usable) < MIN_MOLECULES:
        raise DataError(
            f"{len(usable)} molecules with a score; an additive surrogate needs {MIN_MOLECULES}"
        )
    counts, targets = features.ecfp[usable].astype(np.float64), scores[usable]
    order = np.random.default_rng(seed).permutation(len(usable))
    n_out = int(_HELD_OUT_SHARE * len(usable))
    out, kept = order[:n_out], order[n_out:]
    weights, intercept = _ridge(counts[kept], targets[kept])
    errors = targets[out] - counts[out] @ weights - intercept
    total = float(np.sum((targets[out] - targets[out].mean()) ** 2))
    fidelity = 1.0 - float(np.sum(errors**2)) / total if total > 0 else float("nan")
    weights, intercept = _ridge(counts, targets)
    return AdditiveModel(weights, intercept, fidelity, len(usable))


def _ridge(counts: Array, targets: Array) -> tuple[Array, float]:
    """Weights (d,) and intercept by ridge regression; penalty by generalised cross-validation.

    Source: Golub, Heath and Wahba 1979, https://doi.org/10.1080/00401706.1979.10489751.
    """
    mean, centre = counts.mean(axis=0), float(targets.mean())
    u, s, vt = np.linalg.svd(counts - mean, full_matrices=False)
    projected = u.T @ (targets - centre)
    best: tuple[float, Array] | None = None
    for penalty in _PENALTIES:
        shrink = s**2 / (s**2 + penalty)
        residual = targets - centre - u @ (shrink * projected)
        freedom = 1.0 - (1.0 + float(shrink.sum())) / len(targets)
        if freedom <= 0:  # as many free directions as molecules: the estimate has no meaning
            continue
        loss = float(np.mean(residual**2)) / freedom**2
        if best is None or loss < best[0]:
            best = (loss, vt.T @ (s / (s**2 + penalty) * projected))
    assert best is not None, "the largest penalty leaves freedom"
    return best[1], centre - float(mean @ best[1])
