"""Values computed from the structure alone, by RDKit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import QED, Descriptors, rdMolDescriptors

Array = NDArray[np.float64]


@cache
def _sa_scorer() -> Callable[[Chem.Mol], float]:
    # In RDKit's wheels the contributed code is part of the package.
    from rdkit.Contrib.SA_Score import sascorer

    score: Callable[[Chem.Mol], float] = sascorer.calculateScore
    return score


def sa_score(mol: Chem.Mol) -> float:
    """Synthetic accessibility, from 1 (easy to make) to 10 (hard).

    Source: Ertl and Schuffenhauer 2009, https://doi.org/10.1186/1758-2946-1-8, in RDKit's version.
    """
    return float(_sa_scorer()(mol))


# Cheapest first. Units: molecular_weight g/mol, tpsa square angstrom, logp log10 of the
# octanol-water partition coefficient; the rest are counts or have no unit.
DESCRIPTORS: dict[str, Callable[[Chem.Mol], float]] = {
    "n_heavy_atoms": lambda mol: mol.GetNumHeavyAtoms(),
    "n_rings": lambda mol: rdMolDescriptors.CalcNumRings(mol),
    "molecular_weight": lambda mol: Descriptors.MolWt(mol),  # type: ignore[attr-defined]  # made at import
    "n_hydrogen_bond_donors": lambda mol: rdMolDescriptors.CalcNumHBD(mol),
    "n_hydrogen_bond_acceptors": lambda mol: rdMolDescriptors.CalcNumHBA(mol),
    "n_rotatable_bonds": lambda mol: rdMolDescriptors.CalcNumRotatableBonds(mol),
    # Ertl et al. 2000, https://doi.org/10.1021/jm000942e (nitrogen and oxygen)
    "tpsa": lambda mol: rdMolDescriptors.CalcTPSA(mol),
    "sa_score": sa_score,
    # Wildman and Crippen 1999, https://doi.org/10.1021/ci990307l
    "logp": lambda mol: rdMolDescriptors.CalcCrippenDescriptors(mol)[0],
    # Bickerton et al. 2012, https://doi.org/10.1038/nchem.1243; 0 to 1, 1 is most drug-like
    "qed": lambda mol: QED.qed(mol),  # type: ignore[no-untyped-call]
}


def descriptor(name: str, mols: Sequence[Chem.Mol | None]) -> tuple[Array, list[str]]:
    """Compute one descriptor of n molecules.

    Returns:
        (values, reasons): float64 of shape (n,), NaN with a reason where RDKit fails or the
        molecule is None (there the reason is '': whoever could not read it knows why).
    """
    function = DESCRIPTORS[name]
    values = np.full(len(mols), np.nan)
    reasons = [""] * len(mols)
    with rdBase.BlockLogs():
        for i, mol in enumerate(mols):
            if mol is None:
                continue
            try:
                values[i] = function(mol)
            except (ValueError, RuntimeError, ArithmeticError) as error:
                reasons[i] = f"RDKit cannot compute {name}: {error}"
                continue
            if not np.isfinite(values[i]):
                values[i] = np.nan
                reasons[i] = f"RDKit gives no number for {name}"
    return values, reasons
