"""A surrogate with exact attributions: a predictor's scores as a sum over circular environments.

Ridge regression of a predictor's own scores on counts of circular environments (Morgan, radius 0
to 2). What an environment contributes is shared equally by its atoms, so the surrogate's score is
a constant plus one contribution per atom, and nothing is lost or counted twice. Larger environments
pay a larger penalty, so what an atom's own kind explains is not spread over its surroundings.

It explains what the predictor does over the molecules that it was fitted on; `fidelity` tells how
much of that it catches. Where that is low, the predictor's answers do not come from local
environments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from property_models.errors import DataError
from property_models.features import Features

Array = NDArray[np.float64]

MIN_MOLECULES = 50
MAX_MOLECULES = 2000  # more change little, and time grows with the cube
N_BITS = 2048  # columns for the environments of each radius
# A count of a larger environment is made smaller, which penalises its weight by the square.
# Chosen on known answers (experiments/explanations).
SCALES = (1.0, 0.3, 0.1)
# Chosen among by generalised cross-validation.
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_HELD_OUT_SHARE = 0.2
_MIN_COUNT = 2  # an environment of one molecule alone says nothing of others

_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=len(SCALES) - 1)


@dataclass(frozen=True)
class AdditiveModel:
    """Contributions of circular environments.

    Attributes:
        weights: Of each environment, by radius and hash modulo N_BITS, in the score's unit,
            float32, shape (len(SCALES), N_BITS).
        intercept: Score of a molecule without environments.
        fidelity: R2 against the predictor's scores of molecules left out of a trial fit.
        n_molecules: That it was fitted on.
    """

    weights: NDArray[np.float32]
    intercept: float
    fidelity: float
    n_molecules: int

    def predict(self, mols: Sequence[Chem.Mol]) -> Array:
        """Surrogate scores, float64, shape (n,): intercept plus the atoms' contributions."""
        return self.intercept + np.array([atoms.sum() for atoms in self.attribute(mols)])

    def attribute(self, mols: Sequence[Chem.Mol]) -> list[Array]:
        """Contribution of each atom, float64, shape (n_atoms,) per molecule."""
        found = []
        for mol in mols:
            atoms = np.zeros(mol.GetNumAtoms())
            for radius, column, centre in _environments(mol):
                weight = float(self.weights[radius, column])
                if weight:
                    members = _atoms_of(mol, centre, radius)
                    atoms[members] += weight / len(members)
            found.append(atoms)
        return found


def _environments(mol: Chem.Mol) -> Iterator[tuple[int, int, int]]:
    """(radius, column, central atom) of each environment that the Morgan algorithm counts."""
    extra = rdFingerprintGenerator.AdditionalOutput()
    extra.AllocateBitInfoMap()
    _morgan.GetSparseCountFingerprint(mol, additionalOutput=extra)
    for number, places in extra.GetBitInfoMap().items():
        for centre, radius in places:
            yield radius, number % N_BITS, centre


def _atoms_of(mol: Chem.Mol, centre: int, radius: int) -> list[int]:
    if radius == 0:
        return [centre]
    bonds = Chem.FindAtomEnvironmentOfRadiusN(mol, radius, centre, enforceSize=False)
    ends = (mol.GetBondWithIdx(bond) for bond in bonds)
    return sorted({atom for b in ends for atom in (b.GetBeginAtomIdx(), b.GetEndAtomIdx())})


# -- fit ------------------------------------------------------------------------------------


def fit_additive(features: Features, scores: Array, *, seed: int = 0) -> AdditiveModel:
    """Fits the surrogate to a predictor's scores.

    Args:
        features: n molecules like those to be explained, best some thousands; no measurements are
            needed. Of more than MAX_MOLECULES a random choice is taken.
        scores: Of the predictor, shape (n,), from `explain.predictor_score`.
        seed: Of that choice, and of the molecules left out to measure `fidelity`.

    Raises:
        DataError: Fewer than `MIN_MOLECULES` molecules with a score.
    """
    usable = np.flatnonzero(np.isfinite(scores))
    if len(usable) < MIN_MOLECULES:
        raise DataError(
            f"{len(usable)} molecules with a score; an additive surrogate needs {MIN_MOLECULES}"
        )
    chosen = np.random.default_rng(seed).permutation(usable)[:MAX_MOLECULES]
    counts, targets = _scaled_counts([features.mols[i] for i in chosen]), scores[chosen]
    n_out = int(_HELD_OUT_SHARE * len(chosen))
    weights, intercept = _ridge(counts[n_out:], targets[n_out:])
    errors = targets[:n_out] - counts[:n_out] @ weights - intercept
    total = float(np.sum((targets[:n_out] - targets[:n_out].mean()) ** 2))
    fidelity = 1.0 - float(np.sum(errors**2)) / total if total > 0 else float("nan")
    weights, intercept = _ridge(counts, targets)
    by_radius = weights.reshape(len(SCALES), N_BITS) * np.array(SCALES)[:, None]
    return AdditiveModel(by_radius.astype(np.float32), intercept, fidelity, len(chosen))


def _scaled_counts(mols: Sequence[Chem.Mol]) -> Array:
    """Scaled counts of environments, float64, shape (n, len(SCALES) * N_BITS)."""
    counts = np.zeros((len(mols), len(SCALES), N_BITS))
    for row, mol in enumerate(mols):
        for radius, column, _ in _environments(mol):
            counts[row, radius, column] += 1.0
    counts[:, (counts > 0).sum(axis=0) < _MIN_COUNT] = 0.0
    scaled: Array = (counts * np.array(SCALES)[:, None]).reshape(len(mols), -1)
    return scaled


def _ridge(counts: Array, targets: Array) -> tuple[Array, float]:
    """Weights (d,) and intercept by ridge regression; penalty by generalised cross-validation.

    Source: Golub, Heath and Wahba 1979, https://doi.org/10.1080/00401706.1979.10489751.
    """
    from threadpoolctl import threadpool_limits

    mean, centre = counts.mean(axis=0), float(targets.mean())
    centred = counts - mean
    # One thread: the sums of a matrix product depend on their number.
    with threadpool_limits(limits=1):
        # There are more columns than molecules: the dual form has the smaller matrix.
        squares, u = np.linalg.eigh(centred @ centred.T)
        squares = np.maximum(squares, 0.0)
        projected = u.T @ (targets - centre)
        best: tuple[float, float] | None = None
        for penalty in _PENALTIES:
            shrink = squares / (squares + penalty)
            residual = targets - centre - u @ (shrink * projected)
            freedom = 1.0 - (1.0 + float(shrink.sum())) / len(targets)
            if freedom <= 0:  # as many free directions as molecules: the estimate has no meaning
                continue
            loss = float(np.mean(residual**2)) / freedom**2
            if best is None or loss < best[0]:
                best = (loss, penalty)
        assert best is not None, "the largest penalty leaves freedom"
        weights: Array = centred.T @ (u @ (projected / (squares + best[1])))
    return weights, centre - float(mean @ weights)
