"""An independent judge of factor Xa affinity.

The measured compounds (MoleculeACE's CHEMBL244_Ki, both of its official splits together) are cut
by Bemis-Murcko scaffold into two halves. The judge learns from half B alone. It is a model of
another kind than the campaign's predictor (boosted trees on folded circular fingerprints, reduced
graphs and descriptors, with a Tanimoto kernel): extremely randomised trees
(https://doi.org/10.1007/s10994-006-6226-1) on counts of ECFP6 and of atom pairs, settings fixed
beforehand. Its rank correlation on half A says what its verdict is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from sklearn.ensemble import ExtraTreesRegressor

from property_models.cleaning import clean
from property_models.datasets import Table, read_dataset
from property_models.evaluate import bootstrap_intervals, metrics
from property_models.molecules import scaffold, standardise_all

Array = NDArray[np.float64]
SPLIT_SEED = 244
_N_BITS = 2048
_N_TREES = 300


@dataclass(frozen=True)
class Halves:
    """The measured compounds and which half each is in.

    Attributes:
        table: standardised compounds with their pKi.
        in_a: bool, shape (n,); True in half A, False in half B.
        n_scaffolds: of half A and of half B; none is in both.
    """

    table: Table
    in_a: NDArray[np.bool_]
    n_scaffolds: tuple[int, int]


def halves() -> Halves:
    """Cut the factor Xa data; the same halves every time. Needs MOLGEN_DATA."""
    table = clean(read_dataset("moleculeace_fxa_ki"), task="regression")
    groups: dict[str, list[int]] = {}
    for row, molecule in enumerate(table.molecules):
        assert molecule.mol is not None, "a table holds only molecules with a structure"
        # Acyclic molecules share no scaffold; stereoisomers of one stay together.
        groups.setdefault(scaffold(molecule.mol) or table.inchikeys[row], []).append(row)
    names = sorted(groups)
    np.random.default_rng(SPLIT_SEED).shuffle(names)
    in_a = np.zeros(len(table), bool)
    sizes, n_scaffolds = [0, 0], [0, 0]
    for name in names:
        half = int(sizes[1] < sizes[0])  # 0: A, 1: B
        in_a[groups[name]] = half == 0
        sizes[half] += len(groups[name])
        n_scaffolds[half] += 1
    return Halves(table, in_a, (n_scaffolds[0], n_scaffolds[1]))


class Judge:
    """Fitted on half B."""

    def __init__(self, cut: Halves, *, seed: int) -> None:
        self._model = ExtraTreesRegressor(_N_TREES, max_features=0.2, random_state=seed, n_jobs=1)
        rows = np.flatnonzero(~cut.in_a)
        smiles = [cut.table.molecules[i].smiles for i in rows]
        self._model.fit(_features(smiles), cut.table.values[rows])

    def pki(self, smiles: Sequence[str]) -> Array:
        """Estimated pKi, float64, shape (n,); structures are standardised first."""
        forms = [m.smiles for m in standardise_all(smiles)]
        return np.asarray(self._model.predict(_features(forms)), float) if forms else np.empty(0)

    def worth(self, cut: Halves, *, seed: int) -> dict[str, object]:
        """Metrics on half A, of which it has seen neither compounds nor scaffolds."""
        rows = np.flatnonzero(cut.in_a)
        estimated = self.pki([cut.table.molecules[i].smiles for i in rows])
        return evaluate(cut.table.values[rows], estimated, seed=seed)


def evaluate(measured: Array, estimated: Array, *, seed: int) -> dict[str, object]:
    """Number of compounds, Spearman correlation and RMSE with 95 % bootstrap intervals."""
    found = metrics("regression", measured, estimated)
    rng = np.random.default_rng(seed)
    intervals = bootstrap_intervals("regression", measured, estimated, rng=rng)
    return {
        "n": len(measured),
        **{name: found[name] for name in ("spearman", "rmse")},
        **{f"{name}_interval": intervals[name] for name in ("spearman", "rmse")},
    }


def _features(smiles: Sequence[str]) -> NDArray[np.float32]:
    """Counts of ECFP6 and of atom pairs, folded to 2048 each; float32, shape (n, 4096)."""
    generators = (
        rdFingerprintGenerator.GetMorganGenerator(radius=3, fpSize=_N_BITS),
        rdFingerprintGenerator.GetAtomPairGenerator(fpSize=_N_BITS),
    )
    rows = []
    for text in smiles:
        mol = Chem.MolFromSmiles(text)
        rows.append(np.concatenate([g.GetCountFingerprintAsNumPy(mol) for g in generators]))
    return np.array(rows, np.float32)
