"""Member `tanimoto_kernel`: a Gaussian process on the Tanimoto similarity of several fingerprints.

Kernel: a sum of count-Tanimoto kernels, k(a, b) = sum min(a, b) / sum max(a, b), positive
semi-definite on counts (Ralaivola et al. 2005, https://doi.org/10.1016/j.neunet.2005.07.009), and
a Gaussian kernel on standardised descriptors. The share of each part, the noise and the length
scale maximise the marginal likelihood (Rasmussen and Williams 2006, chapter 5,
http://gaussianprocess.org/gpml/). Large tables are fitted through landmarks (Quinonero-Candela and
Rasmussen 2005, https://jmlr.org/papers/v6/quinonero-candela05a.html, deterministic training
conditional).

A part `<fingerprint>_shared` is the numerator alone, sum min(a, b), over a constant: the kernel of
functions that are sums over substructures and their numbers. Unlike Tanimoto's it extrapolates: a
substructure that helped in one molecule is expected to help in others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from property_models.features import Features
from property_models.marginal_likelihood import Parameters, fit_parameters
from property_models.posterior import (
    explained,
    largest,
    squared_distances,
    squared_distances_among,
    weighted_sums,
)
from property_models.sparse_counts import (
    SHARED_UNIT,
    SparseCounts,
    add_similarities,
    add_similarities_among,
    sparse,
)
from property_models.transforms import Transform, forward, inverse

Array = NDArray[np.float64]
Fingerprint = Literal["ecfp", "fcfp", "atom_pairs", "torsions", "ecfp_shared"]

# Similarities of so many molecules to all compounds at once: few enough to stay in the cache.
SLICE = 64
# The posterior deviation is conditioned on so many nearest compounds: the others add little, and
# no matrix of all compounds needs to be kept.
N_NEIGHBOURS = 16
_CLIP = 5.0  # an extreme descriptor counts as five deviations


class KernelFeatures(Protocol):
    """Molecules with descriptors (float32, shape (n, d)) and the fingerprints of a recipe."""

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """NaN where there is no value."""

    def __len__(self) -> int:
        """Number of molecules."""

    def take(self, rows: NDArray[np.int64]) -> KernelFeatures:
        """The given rows, in the given order."""


@dataclass(frozen=True)
class KernelRecipe:
    """What a Gaussian process looks at.

    Attributes:
        fingerprints: One kernel each, of Tanimoto's ratio or of shared counts.
        descriptors: Whether to add a Gaussian kernel on descriptors.
        max_compounds: Tables above this are fitted through so many random landmarks; bounds
            memory (8 bytes times its square), file and time of prediction.
        transform: Scale on which it learns.
        weight: In the ensemble's mean, where weights are not stacked.
    """

    fingerprints: tuple[Fingerprint, ...] = ("ecfp", "fcfp", "atom_pairs", "torsions")
    descriptors: bool = True
    max_compounds: int = 4000
    transform: Transform = "none"
    weight: float = 1.0


@dataclass(frozen=True)
class Scaling:
    """Standardises descriptors as the training compounds': float32, shape (d,) each."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def __call__(self, descriptors: NDArray[np.float32]) -> NDArray[np.float16]:
        """Standardised, clipped descriptors; a missing one counts as average.

        In half precision, as they are stored, so that a compound is exactly like itself.
        """
        standard = np.nan_to_num((descriptors - self.mean) / self.scale)
        rounded: NDArray[np.float16] = np.clip(standard, -_CLIP, _CLIP).astype(np.float16)
        return rounded


@dataclass(frozen=True)
class TanimotoKernel:
    """A fitted Gaussian process on m compounds.

    Attributes:
        fingerprints: Names of the fingerprints.
        counts: Counts of the compounds, one per fingerprint.
        shares: Weight of each fingerprint's kernel, float64; with the descriptors' they sum to 1.
        descriptors: Standardised descriptors of the compounds, float16, shape (m, d); d is 0
            where they are not used.
        scaling: Of descriptors.
        descriptor_share: Weight of the descriptors' kernel.
        length: Its length scale.
        dual: Dual coefficients, float64, shape (m,).
        mean: Constant prior mean.
        variance: Signal variance.
        noise_ratio: Noise variance over signal variance.
        transform: Scale of its output.
    """

    fingerprints: tuple[str, ...]
    counts: tuple[SparseCounts, ...]
    shares: Array
    descriptors: NDArray[np.float16]
    scaling: Scaling
    descriptor_share: float
    length: float
    dual: Array
    mean: float
    variance: float
    noise_ratio: float
    transform: Transform = "none"
    kind = "tanimoto_kernel"

    def __len__(self) -> int:
        return len(self.dual)

    def kernel(self, features: KernelFeatures) -> Array:
        """Kernel between molecules and the compounds, float64, shape (n, m).

        1 for equals where no part is of shared counts.
        """
        return self._kernel(*self._seen_of(features), 0, len(features))

    def predict(self, features: KernelFeatures) -> Array:
        """Posterior mean in the endpoint's unit, float64, shape (n,)."""
        return self.score(features)[0]

    def score(self, features: KernelFeatures) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the noise-free value, float64, shape (n,).

        The deviation is conditioned on the nearest compounds only: never below the exact one.
        """
        counts, x = self._seen_of(features)
        mean, deviation = np.empty(len(features)), np.empty(len(features))
        for start in range(0, len(features), SLICE):
            stop = min(start + SLICE, len(features))
            k = self._kernel(counts, x, start, stop)
            mean[start:stop] = self.mean + weighted_sums(k, self.dual)
            own = self._own(counts, start, stop)
            deviation[start:stop] = self._deviations(k, own)
        return inverse(self.transform, mean), self._in_unit(mean, deviation)

    def _seen_of(self, features: KernelFeatures) -> tuple[list[SparseCounts], Array]:
        """Sparse counts and standardised descriptors of molecules."""
        counts = [_counts_of(features, name) for name in self.fingerprints]
        x = np.empty((len(features), 0))
        if self.descriptor_share > 0:
            x = self.scaling(features.descriptors).astype(np.float64)
        return counts, x

    def _kernel(self, counts: Sequence[SparseCounts], x: Array, start: int, stop: int) -> Array:
        """Rows start to stop of the kernel between molecules and the compounds."""
        total = np.zeros((stop - start, len(self)))
        parts = zip(self.fingerprints, self.shares, counts, self.counts, strict=True)
        for name, share, of_molecules, own in parts:
            add_similarities(
                total, float(share), of_molecules, own, shared=is_shared(name), first=start
            )
        if self.descriptor_share > 0:
            total += self._gaussian(squared_distances(x[start:stop], self._x_by_column))
        return total

    def _own(self, counts: Sequence[SparseCounts], start: int, stop: int) -> Array:
        """Kernel of molecules with themselves, shape (stop - start,)."""
        total = np.full(stop - start, self.descriptor_share)
        for name, share, c in zip(self.fingerprints, self.shares, counts, strict=True):
            total += share * (c.totals[start:stop] / SHARED_UNIT if is_shared(name) else 1.0)
        return total

    def _deviations(self, k: Array, own: Array) -> Array:
        """Posterior deviations from rows of the kernel, on the learnt scale."""
        near = largest(k, min(N_NEIGHBOURS, len(self)))
        between = np.zeros((*near.shape, near.shape[1]))
        for name, share, counts in zip(self.fingerprints, self.shares, self.counts, strict=True):
            add_similarities_among(between, float(share), counts, near, shared=is_shared(name))
        if self.descriptor_share > 0:
            between += self._gaussian(squared_distances_among(self._x, near))
        diagonal = np.arange(near.shape[1])
        between[:, diagonal, diagonal] += self.noise_ratio
        known = explained(between, np.take_along_axis(k, near, axis=1))
        deviations: Array = np.sqrt(self.variance * np.maximum(own - known, 0.0))
        return deviations

    def _gaussian(self, squared: Array) -> Array:
        found: Array = self.descriptor_share * np.exp(-0.5 * squared / self.length**2)
        return found

    @cached_property
    def _x(self) -> NDArray[np.float32]:
        return self.descriptors.astype(np.float32)

    @cached_property
    def _x_by_column(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._x.T)

    def _in_unit(self, mean: Array, deviation: Array) -> Array:
        """A deviation on the learnt scale in the endpoint's unit: half of the one-sigma range."""
        if self.transform == "none":
            return deviation
        high, low = (inverse(self.transform, mean + sign * deviation) for sign in (1, -1))
        return (high - low) / 2.0


def is_shared(name: str) -> bool:
    """Whether a part of the kernel is of shared counts rather than of Tanimoto's ratio."""
    return name.endswith("_shared")


def _counts_of(features: KernelFeatures, name: str) -> SparseCounts:
    name = name.removesuffix("_shared")
    if isinstance(features, Features):
        return features.sparse_counts(name)  # kept for the other predictors
    return sparse(getattr(features, name))


def fit_tanimoto_kernel(
    features: KernelFeatures,
    values: Array,
    *,
    recipe: KernelRecipe,
    seed: int = 0,
    parameters: Parameters | None = None,
) -> TanimotoKernel:
    """Fits on values of shape (n,), real numbers or 0/1.

    Args:
        features: n compounds.
        values: Their values.
        recipe: What to look at.
        seed: Chooses the compounds of the likelihood, and the landmarks of a large table.
        parameters: From `fit_kernel_parameters`, perhaps on other compounds; None fits them here.
    """
    from threadpoolctl import threadpool_limits

    # One thread, as everywhere: the sums of a matrix product depend on their number.
    with threadpool_limits(limits=1):
        return _fit(features, values, recipe, np.random.default_rng(seed), parameters)


def fit_kernel_parameters(
    features: KernelFeatures, values: Array, *, recipe: KernelRecipe, seed: int = 0
) -> Parameters:
    """Shares, noise and length scale alone, as `fit_tanimoto_kernel` finds them."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        counts, x = _seen(features, recipe, _scaling(features.descriptors))
        learnt = forward(recipe.transform, values)
        return _likeliest(recipe, counts, x, learnt, np.random.default_rng(seed))


def _seen(
    features: KernelFeatures, recipe: KernelRecipe, scaling: Scaling
) -> tuple[tuple[SparseCounts, ...], NDArray[np.float16]]:
    counts = tuple(_counts_of(features, name) for name in recipe.fingerprints)
    x = scaling(features.descriptors)
    return counts, x if recipe.descriptors else x[:, :0]


def _likeliest(
    recipe: KernelRecipe, counts: Sequence[SparseCounts], x: NDArray[np.float16], learnt: Array,
    rng: np.random.Generator,
) -> Parameters:  # fmt: skip
    standard = (learnt - learnt.mean()) / (float(learnt.std()) or 1.0)
    shared = [is_shared(name) for name in recipe.fingerprints]
    return fit_parameters(counts, shared, x.astype(np.float64), standard, rng=rng)


def _fit(
    features: KernelFeatures,
    values: Array,
    recipe: KernelRecipe,
    rng: np.random.Generator,
    parameters: Parameters | None,
) -> TanimotoKernel:
    learnt = forward(recipe.transform, values)
    mean, scale = float(learnt.mean()), float(learnt.std()) or 1.0
    scaling = _scaling(features.descriptors)
    counts, x = _seen(features, recipe, scaling)
    if parameters is None:
        parameters = _likeliest(recipe, counts, x, learnt, rng)
    used = np.flatnonzero(parameters.shares)
    kept = np.arange(len(values))
    if len(values) > recipe.max_compounds:
        kept = np.sort(rng.permutation(len(values))[: recipe.max_compounds])
    model = TanimotoKernel(
        fingerprints=tuple(recipe.fingerprints[i] for i in used),
        counts=tuple(counts[i].take(kept) for i in used),
        shares=parameters.shares[used],
        descriptors=x[kept],
        scaling=scaling,
        descriptor_share=parameters.descriptor_share,
        length=parameters.length,
        dual=np.zeros(len(kept)),
        mean=mean,
        variance=parameters.variance * scale**2,
        noise_ratio=parameters.noise_ratio,
        transform=recipe.transform,
    )
    return replace(model, dual=_solve(model, features, learnt - mean, kept, parameters))


def _scaling(descriptors: NDArray[np.float32]) -> Scaling:
    masked = np.ma.masked_invalid(descriptors.astype(np.float64))
    mean, scale = masked.mean(axis=0).filled(0.0), masked.std(axis=0).filled(1.0)
    scale[scale < 1e-6] = 1.0
    return Scaling(mean.astype(np.float32), scale.astype(np.float32))


def _solve(
    model: TanimotoKernel,
    features: KernelFeatures,
    residual: Array,
    kept: NDArray[np.int64],
    parameters: Parameters,
) -> Array:
    """Dual coefficients of the kept compounds, shape (m,), from all compounds."""
    from scipy.linalg import cho_solve, cholesky, solve_triangular

    noise = parameters.noise_ratio
    k = model.kernel(features.take(kept))
    if len(kept) == len(features):
        k[np.diag_indices_from(k)] += noise
        factor = cholesky(k, lower=True, overwrite_a=True, check_finite=False)
        exact: Array = cho_solve((factor, True), residual, check_finite=False)
        return exact
    k[np.diag_indices_from(k)] += 1e-6
    factor = cholesky(k, lower=True, overwrite_a=True, check_finite=False)
    # With V = L^-1 K_mn: dual = L^-T (V V^T + noise)^-1 V y.
    inner, right = noise * np.eye(len(kept)), np.zeros(len(kept))
    for start in range(0, len(features), 1024):
        rows = np.arange(start, min(start + 1024, len(features)))
        v = solve_triangular(factor, model.kernel(features.take(rows)).T, lower=True)
        inner += v @ v.T
        right += v @ residual[rows]
    found = cho_solve((cholesky(inner, lower=True, overwrite_a=True), True), right)
    dual: Array = solve_triangular(factor, found, lower=True, trans="T")
    return dual
