"""Parameters of a Gaussian process by marginal likelihood, with analytic gradients.

The covariance of standardised values is sum_k s_k T_k + s_d R + s_n I: kernels T_k on counts, a
Gaussian kernel R on descriptors with its length scale, noise. Source of the gradient: Rasmussen
and Williams 2006, equation 5.9, http://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from property_models.sparse_counts import SparseCounts, add_similarities

Array = NDArray[np.float64]

# The likelihood is summed over random blocks: time grows with the cube of a block, and the few
# parameters are well determined by this many compounds.
BLOCK = 500
N_BLOCKS = 3
N_STEPS = 25
# A part below this share of the values' variance, and below the noise, is left out with its arrays.
# Not of the signal's: a Gaussian kernel of great length has a variance far above the values' own.
MIN_SHARE = 0.01
_LOWEST, _HIGHEST = np.log(1e-5), np.log(20.0)  # of a variance, in units of the values' own
_LOWEST_NOISE = np.log(1e-3)
# Measured values repeat to a few tenths of a log unit at best: a weak pull (a log-normal prior,
# the width in natural logarithms) keeps tiny tables from claiming no noise at all.
_NOISE_CENTRE, _NOISE_WIDTH = np.log(0.15), 1.5


@dataclass(frozen=True)
class Parameters:
    """What the likelihood says.

    Attributes:
        shares: Of each kernel on counts, shape (n_kernels,); with the descriptors' they sum to 1.
        descriptor_share: Of the kernel on descriptors.
        length: Its length scale.
        variance: Signal variance in units of the values' variance.
        noise_ratio: Noise variance over signal variance.
    """

    shares: Array
    descriptor_share: float
    length: float
    variance: float
    noise_ratio: float


@dataclass(frozen=True)
class _Block:
    """Kernels (n_kernels, b, b), squared descriptor distances (b, b) or None, values (b,)."""

    kernels: Array
    squared: Array | None
    values: Array


def fit_parameters(
    counts: Sequence[SparseCounts], shared: Sequence[bool], x: Array, values: Array, *,
    rng: np.random.Generator,
) -> Parameters:  # fmt: skip
    """Maximises the marginal likelihood of standardised values.

    Args:
        counts: One per kernel, n rows each.
        shared: Of each kernel, whether it is of shared counts rather than of Tanimoto's ratio.
        x: Standardised descriptors, shape (n, d); d = 0 leaves their kernel out.
        values: Mean 0 and deviation 1, shape (n,).
        rng: Chooses the blocks.
    """
    from scipy.optimize import minimize

    blocks = [_block(counts, shared, x, values, rows) for rows in _rows_of_blocks(len(values), rng)]
    start, bounds = _start(len(counts), blocks)
    found = minimize(
        _loss, start, args=(blocks,), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": N_STEPS},
    )  # fmt: skip
    return _parameters(found.x, len(counts), with_descriptors=blocks[0].squared is not None)


def _rows_of_blocks(n: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    order = rng.permutation(n)
    n_blocks = max(1, min(N_BLOCKS, round(n / BLOCK)))
    return [np.sort(rows) for rows in np.array_split(order[: n_blocks * BLOCK], n_blocks)]


def _block(
    counts: Sequence[SparseCounts], shared: Sequence[bool], x: Array, values: Array,
    rows: NDArray[np.int64],
) -> _Block:  # fmt: skip
    kernels = np.zeros((len(counts), len(rows), len(rows)))
    for kernel, all_counts, is_shared in zip(kernels, counts, shared, strict=True):
        part = all_counts.take(rows)
        add_similarities(kernel, 1.0, part, part, shared=is_shared)
    squared = None
    if x.shape[1]:
        own = np.sum(x[rows] ** 2, axis=1)
        squared = np.maximum(own[:, None] + own - 2.0 * x[rows] @ x[rows].T, 0.0)
        np.fill_diagonal(squared, 0.0)
    return _Block(kernels, squared, values[rows])


def _start(n_kernels: int, blocks: list[_Block]) -> tuple[Array, list[tuple[float, float]]]:
    """Logarithms of: each kernel's variance, noise variance, (descriptors' variance, length)."""
    squared = blocks[0].squared
    n_parts = n_kernels + (squared is not None)
    start = [np.log(1.0 / n_parts)] * n_kernels + [np.log(0.3)]
    bounds = [(_LOWEST, _HIGHEST)] * n_kernels + [(_LOWEST_NOISE, _HIGHEST)]
    if squared is not None:
        typical = 0.5 * np.log(max(float(np.median(squared)), 1.0))
        start += [np.log(1.0 / n_parts), typical]
        bounds += [(_LOWEST, _HIGHEST), (typical - 1.5, typical + 2.5)]
    return np.array(start), bounds


def _loss(theta: Array, blocks: list[_Block]) -> tuple[float, Array]:
    """Negative log likelihood, summed over the blocks, and its gradient."""
    total, gradient = 0.0, np.zeros(len(theta))
    for block in blocks:
        loss, slope = _block_loss(theta, block)
        total += loss
        gradient += slope
    at_noise = len(blocks[0].kernels)
    away = (theta[at_noise] - _NOISE_CENTRE) / _NOISE_WIDTH
    gradient[at_noise] += away / _NOISE_WIDTH
    return total + 0.5 * away**2, gradient


def _block_loss(theta: Array, block: _Block) -> tuple[float, Array]:
    from scipy.linalg import cho_solve, cholesky

    n, n_kernels = len(block.values), len(block.kernels)
    variances = np.exp(theta[:n_kernels])
    covariance = np.tensordot(variances, block.kernels, axes=1)
    gaussian = None
    if block.squared is not None:
        gaussian = np.exp(theta[-2] - 0.5 * block.squared * np.exp(-2.0 * theta[-1]))
        covariance += gaussian
    covariance[np.diag_indices(n)] += np.exp(theta[n_kernels])
    factor = cholesky(covariance, lower=True, check_finite=False)
    alpha = cho_solve((factor, True), block.values, check_finite=False)
    loss = 0.5 * float(block.values @ alpha) + float(np.sum(np.log(np.diag(factor))))
    # d loss / d covariance, symmetric.
    inner = 0.5 * (
        cho_solve((factor, True), np.eye(n), check_finite=False) - np.outer(alpha, alpha)
    )
    slope = [v * float(np.vdot(inner, k)) for v, k in zip(variances, block.kernels, strict=True)]
    slope.append(float(np.exp(theta[n_kernels]) * np.trace(inner)))
    if block.squared is not None and gaussian is not None:
        weighted = inner * gaussian
        by_length = float(np.vdot(weighted, block.squared)) * float(np.exp(-2.0 * theta[-1]))
        slope += [float(weighted.sum()), by_length]
    return loss, np.array(slope)


def _parameters(theta: Array, n_kernels: int, *, with_descriptors: bool) -> Parameters:
    variances = np.exp(theta[:n_kernels])
    descriptors = float(np.exp(theta[-2])) if with_descriptors else 0.0
    noise = float(np.exp(theta[n_kernels]))
    negligible = min(MIN_SHARE * min(float(variances.sum()) + descriptors, 1.0), noise)
    variances = np.where(variances < negligible, 0.0, variances)
    descriptors = 0.0 if descriptors < negligible else descriptors
    signal = float(variances.sum()) + descriptors
    return Parameters(
        shares=variances / signal,
        descriptor_share=descriptors / signal,
        length=float(np.exp(theta[-1])) if with_descriptors else 1.0,
        variance=signal,
        noise_ratio=noise / signal,
    )
