"""The surrogate: a Gaussian process on what was scored, which says what is worth an oracle call.

Kernels on counts of ECFP4, FCFP4 and atom pairs and a Gaussian kernel on descriptors
(`property_models.kernel`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from property_models.features import fingerprint_counts
from property_models.kernel import (
    Fingerprint,
    KernelRecipe,
    TanimotoKernel,
    fit_kernel_parameters,
    fit_tanimoto_kernel,
)
from property_models.marginal_likelihood import Parameters

Array = NDArray[np.float64]

# Computed together in C++; RDKit's other properties cost more than they add.
_PROPERTIES = rdMolDescriptors.Properties(
    [
        "amw", "tpsa", "labuteASA", "CrippenClogP", "hallKierAlpha", "kappa1", "chi0v", "chi1v",
        "FractionCSP3", "NumHBD", "lipinskiHBA", "NumHeavyAtoms", "NumAmideBonds",
        "NumRings", "NumAromaticRings", "NumAliphaticRings", "NumSaturatedRings", "NumHeterocycles",
        "NumAromaticHeterocycles", "NumSaturatedHeterocycles", "NumSpiroAtoms",
        "NumBridgeheadAtoms",
    ]
)  # fmt: skip
_ELEMENTS = (6, 7, 8, 9, 15, 16, 17, 35)  # and hydrogen: numbers of atoms
_FINGERPRINTS: tuple[Fingerprint, ...] = ("ecfp", "fcfp", "atom_pairs")
_RECIPE = KernelRecipe(fingerprints=("ecfp_shared", *_FINGERPRINTS))
_GROWTH = 1.3  # the kernel's parameters are fitted anew when there is so much more data
MIN_SCORED = 8  # below, there is no model


@dataclass(frozen=True)
class Description:
    """What the surrogate sees of n molecules.

    Attributes:
        ecfp: Counts, uint8, shape (n, 2048); so are the next two.
        fcfp: Pharmacophoric.
        atom_pairs: With their distances.
        descriptors: Properties and numbers of atoms by element, float32, shape (n, d).
    """

    ecfp: NDArray[np.uint8]
    fcfp: NDArray[np.uint8]
    atom_pairs: NDArray[np.uint8]
    descriptors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ecfp)

    def take(self, rows: NDArray[np.int64]) -> Description:
        """The given rows, in the given order."""
        return Description(
            self.ecfp[rows], self.fcfp[rows], self.atom_pairs[rows], self.descriptors[rows]
        )


def describe(smiles: Sequence[str]) -> Description:
    """Compute what the surrogate sees."""
    return describe_mols([Chem.MolFromSmiles(s) for s in smiles])


def describe_mols(mols: Sequence[Chem.Mol]) -> Description:
    """The same of molecules that have been read."""
    counts = {name: fingerprint_counts(name, mols) for name in _FINGERPRINTS}
    rows = [[*_PROPERTIES.ComputeProperties(m), *_formula(m)] for m in mols]
    width = len(_PROPERTIES.GetPropertyNames()) + len(_ELEMENTS) + 1
    return Description(**counts, descriptors=np.array(rows, np.float32).reshape(-1, width))


def _formula(mol: Chem.Mol) -> list[int]:
    atoms = [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]
    numbers = [atom.GetAtomicNum() for atom in atoms]
    n_hydrogens = sum(atom.GetTotalNumHs() for atom in atoms)
    return [*(numbers.count(element) for element in _ELEMENTS), n_hydrogens]


def together(parts: Sequence[Description]) -> Description:
    """All rows of several descriptions."""
    return Description(
        *(
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("ecfp", "fcfp", "atom_pairs", "descriptors")
        )
    )


class Surrogate:
    """Everything scored so far, and the model of it.

    The model is a function of the scored molecules in their order alone, so it is the same after
    a run was taken up again.

    Args:
        seed: of the run.
        max_compounds: the model is fitted on so many: the best half, a quarter of the latest, and
            others at random.
    """

    def __init__(self, seed: int, max_compounds: int) -> None:
        self._seed, self._max = seed, max_compounds
        self._parts: list[Description] = []
        self._rewards: list[float] = []
        self._parameters: tuple[int, Parameters] | None = None
        self._model: tuple[tuple[int, bytes | None], TanimotoKernel] | None = None

    def __len__(self) -> int:
        return len(self._rewards)

    def add(self, description: Description, rewards: Sequence[float]) -> None:
        """Take note of scored molecules, in the order of the ledger."""
        self._parts.append(description)
        self._rewards += rewards

    def judge(self, described: Description, aimed: Array | None = None) -> tuple[Array, Array]:
        """Expected reward and its posterior deviation, shape (n,) each.

        Args:
            described: n molecules.
            aimed: how good what was scored is for this purpose, shape (len(self),); None: the
                rewards.
        """
        assert len(self) >= MIN_SCORED, "asked only where enough is known"
        key = (len(self), None if aimed is None else aimed.tobytes())
        if self._model is None or self._model[0] != key:
            self._model = (key, self._fitted(aimed))
        return self._model[1].score(described)

    def _fitted(self, aimed: Array | None) -> TanimotoKernel:
        everything = together(self._parts)
        self._parts = [everything]
        rewards = np.array(self._rewards)
        rows = self.training_rows(len(rewards))
        return fit_tanimoto_kernel(
            everything.take(rows), (rewards if aimed is None else aimed)[rows], recipe=_RECIPE,
            parameters=self._fitted_parameters(everything, rewards),
        )  # fmt: skip

    def training_rows(self, n: int) -> NDArray[np.int64]:
        """Which of the first n scored molecules the model is fitted on, ascending."""
        if n <= self._max:
            return np.arange(n)
        best = np.argsort(-np.array(self._rewards[:n]), kind="stable")[: self._max // 2]
        chosen = np.union1d(best, np.arange(n - self._max // 4, n))
        others = np.setdiff1d(np.arange(n), chosen)
        rng = np.random.default_rng([self._seed, n, 0, 0, 12])
        more = rng.choice(others, self._max - len(chosen), replace=False)
        return np.sort(np.concatenate([chosen, more]))

    def _fitted_parameters(self, everything: Description, rewards: Array) -> Parameters:
        """Of the first so many molecules, the number being a power of the growth."""
        n = int(_GROWTH ** int(np.log(len(rewards)) / np.log(_GROWTH) + 1e-9))
        n = max(min(n, len(rewards)), MIN_SCORED)
        if self._parameters is None or self._parameters[0] != n:
            rows = self.training_rows(n)
            self._parameters = (
                n,
                fit_kernel_parameters(everything.take(rows), rewards[rows], recipe=_RECIPE, seed=n),
            )
        return self._parameters[1]
