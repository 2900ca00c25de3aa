"""Which scored molecules become candidates, and in which order."""

from __future__ import annotations

import pandas as pd


def rank(
    table: pd.DataFrame, n: int, *, max_per_scaffold: int, stereo_aware: bool = False
) -> pd.DataFrame:
    """The best scored molecules, diverse in scaffold.

    Args:
        table: Ledger table; columns id, smiles, constitution, scaffold, status and reward are read.
        n: Most candidates returned.
        max_per_scaffold: Most candidates that share a Murcko scaffold. Acyclic molecules
            (scaffold '') have none to share and are never limited.
        stereo_aware: Whether some component tells stereoisomers apart. If not, stereoisomers count
            as one candidate and the best of them stands for it (the earliest among equals).

    Returns:
        Rows of `table`, best reward first and ties by id, with a new column `rank` counting from
        1; all other columns are as they were. Rows that are not scored, or whose reward is NaN,
        are never candidates.
    """
    scored = table[(table["status"] == "scored") & table["reward"].notna()]
    ordered = scored.sort_values(["reward", "id"], ascending=[False, True], kind="stable")
    distinct = ordered.drop_duplicates("smiles" if stereo_aware else "constitution")
    place_in_scaffold = distinct.groupby("scaffold", sort=False).cumcount()
    allowed = (place_in_scaffold < max_per_scaffold) | (distinct["scaffold"] == "")
    chosen = distinct[allowed].head(n).reset_index(drop=True)
    return chosen.assign(rank=range(1, len(chosen) + 1))
