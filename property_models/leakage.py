"""Does a test compound stand in a training table, perhaps as another salt or stereoisomer?

Two structures are the same here when the first InChIKey blocks of their largest uncharged
fragments agree: salts, charge states, stereoisomers and the tautomers that InChI merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from property_models.molecules import inchikey_block, standardise_all


@dataclass(frozen=True)
class Overlap:
    """Test rows whose compound stands in the training rows.

    Attributes:
        n_test: Test rows.
        n_unusable: Test rows without a usable structure, which cannot be compared.
        rows: The overlapping test rows, int64, in order.
        keys: Their first InChIKey blocks.
    """

    n_test: int
    n_unusable: int
    rows: NDArray[np.int64]
    keys: list[str]

    @property
    def share(self) -> float:
        """Share of the comparable test rows that overlap; 0 where there are none."""
        comparable = self.n_test - self.n_unusable
        return len(self.rows) / comparable if comparable else 0.0


def structure_keys(smiles: Sequence[object]) -> list[str]:
    """First InChIKey block of each structure's largest uncharged fragment; '' where unusable."""
    return [
        inchikey_block(molecule.mol) if molecule.mol is not None else ""
        for molecule in standardise_all(smiles)
    ]


def overlap(train: Sequence[str], test: Sequence[str]) -> Overlap:
    """Test rows that stand in the training rows.

    Args:
        train: Keys of `structure_keys`, or `Table.inchikeys`.
        test: Keys of the test rows.
    """
    known = set(train) - {""}
    rows = [row for row, key in enumerate(test) if key in known]
    return Overlap(
        n_test=len(test),
        n_unusable=sum(not key for key in test),
        rows=np.array(rows, np.int64),
        keys=[test[row] for row in rows],
    )


def without(keys: Sequence[str], held_out: Sequence[str]) -> NDArray[np.bool_]:
    """Mask, shape (n,), of the rows that share no compound with the held-out ones."""
    known = set(held_out) - {""}
    return np.array([key not in known for key in keys], bool)
