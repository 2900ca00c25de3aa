"""Member `tanimoto_kernel`: a Gaussian process on the Tanimoto similarity of ECFP4 counts.

Kernel: k(a, b) = sum min(a, b) / sum max(a, b), positive semi-definite on counts (Ralaivola et al.
2005, https://doi.org/10.1016/j.neunet.2005.07.009). Mean and noise come from the marginal
likelihood (Rasmussen and Williams 2006, chapter 5, http://gaussianprocess.org/gpml/).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from property_models.features import Features

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KernelRecipe:
    """Noise-to-signal variance ratios to choose from by marginal likelihood.

    `weight` is the member's weight in the ensemble's mean.
    """

    noise_ratios: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    weight: float = 1.0


@njit(cache=True, nogil=True)
def _tanimoto(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    # sum min(a, b) over the few non-zero columns of a; the rest of a contributes nothing.
    n, m, width = a.shape[0], b.shape[0], a.shape[1]
    sums = np.zeros(m, np.int64)
    for j in range(m):
        for column in range(width):
            sums[j] += b[j, column]
    out = np.zeros((n, m))
    for i in range(n):
        columns = np.flatnonzero(a[i])
        total = int(a[i].sum())
        for j in range(m):
            common = 0
            for k in range(len(columns)):
                common += int(min(a[i, columns[k]], b[j, columns[k]]))
            union = total + sums[j] - common
            out[i, j] = common / union if union > 0 else 1.0
    return out


def tanimoto(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Array:
    """Count-Tanimoto similarities, float64, shape (n, m), of uint8 counts (n, d) and (m, d)."""
    similarities: Array = _tanimoto(a, b)
    return similarities


@dataclass(frozen=True)
class TanimotoKernel:
    """A fitted Gaussian process.

    Attributes:
        counts: ECFP4 counts of the m training compounds, uint8, shape (m, 2048).
        weights: Dual coefficients, float64, shape (m,).
        mean: Constant prior mean.
        variance: Signal variance.
        noise_ratio: Noise variance over signal variance.
    """

    counts: NDArray[np.uint8]
    weights: Array
    mean: float
    variance: float
    noise_ratio: float
    kind = "tanimoto_kernel"

    def predict(self, features: Features) -> Array:
        """Posterior mean, float64, shape (n,)."""
        similarities = tanimoto(features.ecfp, self.counts)
        # Row by row, so that a molecule's sum runs in the same order in any batch.
        return np.array([self.mean + float(np.sum(row * self.weights)) for row in similarities])

    def spread(self, features: Features) -> Array:
        """Posterior standard deviation of the noise-free value, float64, shape (n,).

        The factorisation of the training kernel takes seconds and m x m memory at first use.
        """
        from scipy.linalg import solve_triangular

        k = tanimoto(features.ecfp, self.counts)
        solved = solve_triangular(self._cholesky, k.T, lower=True)
        spread: Array = np.sqrt(self.variance * np.maximum(1.0 - np.sum(solved**2, axis=0), 0.0))
        return spread

    @cached_property
    def _cholesky(self) -> Array:
        k = tanimoto(self.counts, self.counts)
        k[np.diag_indices_from(k)] += self.noise_ratio
        return np.linalg.cholesky(k).astype(np.float64)


def fit_tanimoto_kernel(
    features: Features, values: Array, *, recipe: KernelRecipe
) -> TanimotoKernel:
    """Fits on values of shape (n,); chooses the noise ratio by marginal likelihood."""
    k = tanimoto(features.ecfp, features.ecfp)
    eigenvalues, vectors = np.linalg.eigh(k)
    eigenvalues = np.maximum(eigenvalues, 0.0)  # rounding may leave some just below zero
    mean = float(values.mean())
    projected = vectors.T @ (values - mean)
    best: tuple[float, float, float] | None = None
    for ratio in recipe.noise_ratios:
        scale = eigenvalues + ratio
        variance = float(np.mean(projected**2 / scale))
        loss = 0.5 * (len(values) * np.log(max(variance, 1e-12)) + float(np.sum(np.log(scale))))
        if best is None or loss < best[0]:
            best = (loss, ratio, variance)
    assert best is not None, "a recipe has at least one noise ratio"
    _, ratio, variance = best
    weights: Array = vectors @ (projected / (eigenvalues + ratio))
    return TanimotoKernel(features.ecfp, weights, mean, variance, ratio)
