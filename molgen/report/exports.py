"""candidates.csv and candidates.sdf: one row or record per candidate, the same values in both."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rdkit import Chem

from molgen.config.objective import ObjectiveConfig, PredictorComponent, component_name

_IDENTITY = ["id", "smiles", "inchikey", "round", "origin", "parents", "status", "reason"]
_AROUND_VALUE = ["", "_low", "_high", "_in_domain", "_desirability"]
_NEIGHBOUR = [
    "_neighbour_inchikey",
    "_neighbour_similarity",
    "_neighbour_value",
    "_neighbour_bound",
]
# Bookkeeping of the ledger: says how a row was made, not what the molecule is.
LEDGER_ONLY = [
    "constitution", "scaffold", "attempts", "worker", "seconds", "created_at", "scored_at",
]  # fmt: skip


def export_table(candidates: pd.DataFrame, objective: ObjectiveConfig) -> pd.DataFrame:
    """The table that both files hold, as text.

    Columns: id, smiles, inchikey, round, origin, parents, status, reason; for each component its
    value, interval, domain flag and desirability; the nearest measured compounds of the
    predictors; what else the scoring recorded; reward, rank.

    Returns:
        One row per candidate, every cell a string on one line, '' where there is no value.
        Numbers carry six significant digits.
    """
    names = [component_name(component) for component in objective.components]
    predictors = [c.endpoint for c in objective.components if isinstance(c, PredictorComponent)]
    columns = [*_IDENTITY]
    columns += [name + part for name in names for part in _AROUND_VALUE]
    columns += [name + part for name in predictors for part in _NEIGHBOUR]
    other = [c for c in candidates if c not in {*columns, *LEDGER_ONLY, "reward", "rank"}]
    present = [c for c in [*columns, *other, "reward", "rank"] if c in candidates]
    text = {column: [cell_text(v) for v in candidates[column]] for column in present}
    return pd.DataFrame(text, columns=present, dtype=object)


def cell_text(value: Any) -> str:
    """One value as it stands in the files; '' for None and NaN."""
    if isinstance(value, list | tuple):
        value = json.dumps(list(value)) if value else ""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    # '$$$$' alone on a line would end an SDF record.
    return " ".join(str(value).split()).replace("$$$$", "$$ $$")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes the table of `export_table` as UTF-8 CSV."""
    table.to_csv(path, index=False, lineterminator="\n")


def write_sdf(table: pd.DataFrame, mols: Sequence[Chem.Mol], path: Path) -> None:
    """Writes the molecules with their coordinates; the title is the id, the fields are the columns.

    Args:
        table: From `export_table`.
        mols: Laid-out molecules in the order of the rows.
        path: File to write. A field without a value is left out of its record.
    """
    # Through Python's file: RDKit's own says nothing of a full disk.
    with path.open("w", encoding="utf-8") as file:
        for row, mol in zip(table.to_dict("records"), mols, strict=True):
            record = Chem.Mol(mol)
            record.SetProp("_Name", row["id"])
            for column, text in row.items():
                if text:
                    record.SetProp(str(column), text)
            file.write(Chem.SDWriter.GetText(record))
