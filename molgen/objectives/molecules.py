"""A batch of molecules as the objective sees it: each SMILES parsed once, no row dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from property_models.molecules import Molecule, canonical_smiles, parse, standardise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Molecules:
    """n molecules in the caller's order.

    Attributes:
        smiles: As given.
        mols: RDKit molecules; None where the SMILES cannot be read.
        reasons: '' where `mols` has a molecule, else why it has none.
    """

    smiles: list[str]
    mols: list[Chem.Mol | None]
    reasons: list[str]

    def __len__(self) -> int:
        return len(self.smiles)

    @cached_property
    def canonical(self) -> list[str]:
        """Canonical isomeric SMILES; '' where there is no molecule."""
        return ["" if mol is None else canonical_smiles(mol) for mol in self.mols]

    @cached_property
    def standardised(self) -> list[Molecule]:
        """The forms that predictors see; computed once, only when asked for."""
        return [standardise(smiles) for smiles in self.smiles]

    def take(self, rows: Sequence[int]) -> Molecules:
        """The molecules of the given rows, in the given order."""
        return Molecules(
            [self.smiles[i] for i in rows],
            [self.mols[i] for i in rows],
            [self.reasons[i] for i in rows],
        )


def parse_all(smiles: Sequence[str]) -> Molecules:
    """Parse SMILES in order; a bad one gives no molecule and a reason."""
    parsed = [parse(entry) for entry in smiles]
    return Molecules(list(smiles), [mol for mol, _ in parsed], [reason for _, reason in parsed])
