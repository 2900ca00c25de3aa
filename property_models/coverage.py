"""What kinds of compounds a table holds, and of which it holds too few to be trusted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors

from property_models.datasets import Table
from property_models.molecules import scaffold
from property_models.structure_kinds import (
    BORON,
    MACROCYCLE_ATOMS,
    charge_class,
    has,
    is_acyclic,
    is_macrocycle,
    is_peptide,
    unusual_elements,
)

if TYPE_CHECKING:
    import pandas as pd

LARGE_DA = 600.0
SMALL_DA = 200.0
FEW_SHARE = 0.01  # a kind of compound below this share, or below so many, is under-represented
FEW_COMPOUNDS = 30

# Electrophiles that bind targets by a covalent bond, after the reviews of covalent drugs, such as
# Boike et al. 2022, https://doi.org/10.1038/s41573-022-00542-z.
_WARHEADS = (
    "[CX3;H1,H2]=[CX3][CX3](=O)[NX3]",  # acrylamide
    "C#C[CX3](=O)[NX3]",  # propiolamide
    "[Cl,Br,F;X1][CX4;H2,H1][CX3](=O)[NX3]",  # haloacetamide
    "[CX3]=[CX3][SX4](=O)(=O)",  # vinyl sulfone, sulfonamide
    "[SX4](=O)(=O)F",  # sulfonyl fluoride
    "C1OC1",  # epoxide
    "C1NC1",  # aziridine
    "[BX3]([OX2H1])[OX2H1]",  # boronic acid
    "[CX3H1](=O)[#6]",  # aldehyde
    "[NX2]=C=[O,S]",  # isocyanate, isothiocyanate
    "[#6][CX3](=O)[CX3](=O)[NX3]",  # ketoamide
)


def _weight(mol: Chem.Mol) -> float:
    return float(Descriptors.MolWt(mol))  # type: ignore[attr-defined]  # made at import


def _has_undefined_centre(mol: Chem.Mol) -> bool:
    return rdMolDescriptors.CalcNumUnspecifiedAtomStereoCenters(mol) > 0


KINDS: dict[str, Callable[[Chem.Mol], bool]] = {
    f"macrocycle (ring of {MACROCYCLE_ATOMS} atoms or more)": is_macrocycle,
    "peptide (three residues or more)": is_peptide,
    f"large (above {LARGE_DA:g} Da)": lambda mol: _weight(mol) > LARGE_DA,
    f"small (below {SMALL_DA:g} Da)": lambda mol: _weight(mol) < SMALL_DA,
    "acyclic": is_acyclic,
    "without an aromatic ring": lambda mol: rdMolDescriptors.CalcNumAromaticRings(mol) == 0,
    "acid": lambda mol: charge_class(mol) == "acid",
    "base": lambda mol: charge_class(mol) == "base",
    "zwitterion": lambda mol: charge_class(mol) == "zwitterion",
    "permanently charged": lambda mol: charge_class(mol) == "charged",
    "covalent warhead": lambda mol: has(mol, _WARHEADS),
    "boron": lambda mol: BORON in unusual_elements(mol),
    "metal or other unusual element": lambda mol: bool(unusual_elements(mol) - {BORON}),
    "phosphorus": lambda mol: any(atom.GetAtomicNum() == 15 for atom in mol.GetAtoms()),
    "undefined stereocentre": _has_undefined_centre,
}


def describe(table: Table) -> pd.DataFrame:
    """One row per compound.

    Returns:
        Columns `smiles`, `inchikey` (first block), `value`, `relation`, `n_obs`, `spread`,
        `scaffold` ('' for acyclic ones), `weight_da`, `logp` (Crippen), `charge` (see
        `charge_class`), and a bool column for each of `KINDS`.
    """
    import pandas as pd

    n = len(table)
    mols = [m.mol for m in table.molecules if m.mol is not None]
    return pd.DataFrame(
        {
            "smiles": [m.smiles for m in table.molecules],
            "inchikey": table.inchikeys,
            "value": table.values,
            "relation": table.relation if table.relation is not None else ["="] * n,
            "n_obs": table.n_obs if table.n_obs is not None else np.ones(n, np.int64),
            "spread": table.spread if table.spread is not None else np.zeros(n),
            "scaffold": [scaffold(mol) for mol in mols],
            "weight_da": [_weight(mol) for mol in mols],
            "logp": [rdMolDescriptors.CalcCrippenDescriptors(mol)[0] for mol in mols],
            "charge": [charge_class(mol) for mol in mols],
            **{name: [bool(test(mol)) for mol in mols] for name, test in KINDS.items()},
        }
    )


def kinds_table(compounds: pd.DataFrame) -> pd.DataFrame:
    """How many compounds of each kind, fewest first.

    Args:
        compounds: From `describe`.

    Returns:
        Index: kind. Columns `n`, `share`, `mean_value` (for labels the share of positives; NaN
        where n is 0) and `few`: whether predictions for this kind rest on too few compounds.
    """
    import pandas as pd

    lines = {}
    for name in KINDS:
        mask = compounds[name].to_numpy(dtype=bool)
        n = int(mask.sum())
        share = n / len(compounds) if len(compounds) else 0.0
        lines[name] = {
            "n": n,
            "share": share,
            "mean_value": _mean(compounds["value"].to_numpy(np.float64)[mask]),
            "few": n < FEW_COMPOUNDS or share < FEW_SHARE,
        }
    return pd.DataFrame.from_dict(lines, orient="index").sort_values("n", kind="stable")


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def scaffold_table(compounds: pd.DataFrame) -> pd.DataFrame:
    """Scaffolds by the number of their compounds, most first.

    Returns:
        Columns `scaffold`, `n`, `share`, `mean_value`.
    """
    cyclic = compounds[compounds["scaffold"] != ""]
    grouped = cyclic.groupby("scaffold", sort=True)["value"]
    frame: pd.DataFrame = grouped.agg(n="size", mean_value="mean").reset_index()
    frame["share"] = frame["n"] / max(len(compounds), 1)
    frame = frame.sort_values("n", ascending=False, kind="stable").reset_index(drop=True)
    return frame[["scaffold", "n", "share", "mean_value"]]
