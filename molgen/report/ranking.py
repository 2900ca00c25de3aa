"""Which scored molecules become candidates, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from molgen.objectives.tradeoffs import pareto_fronts


def rank(
    table: pd.DataFrame, n: int, *, max_per_scaffold: int, stereo_aware: bool = False,
    pareto: Sequence[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """The best scored molecules, diverse in scaffold.

    Args:
        table: Ledger table; columns id, smiles, constitution, scaffold, status and reward are read.
        n: Most candidates returned.
        max_per_scaffold: Most candidates that share a Murcko scaffold. Acyclic molecules
            (scaffold '') have none to share and are never limited.
        stereo_aware: Whether some component tells stereoisomers apart. If not, stereoisomers count
            as one candidate and the best of them stands for it (the earliest among equals).
        pareto: Columns of desirabilities by whose Pareto front molecules are ranked before their
            reward; the front, from 1, becomes the column `pareto_front`. Empty: by reward alone.

    Returns:
        Rows of `table`, best first and ties by id, with a new column `rank` counting from
        1; all other columns are as they were. Rows that are not scored, or whose reward is NaN,
        are never candidates.
    """
    scored = table[(table["status"] == "scored") & table["reward"].notna()]
    keys, ascending = ["reward", "id"], [False, True]
    if pareto:
        # Where nothing was scored the columns are missing.
        fronts = pareto_fronts(scored.reindex(columns=list(pareto)).to_numpy(np.float64))
        scored = scored.assign(pareto_front=fronts)
        keys, ascending = ["pareto_front", *keys], [True, *ascending]
    ordered = scored.sort_values(keys, ascending=ascending, kind="stable")
    distinct = ordered.drop_duplicates("smiles" if stereo_aware else "constitution")
    place_in_scaffold = distinct.groupby("scaffold", sort=False).cumcount()
    allowed = (place_in_scaffold < max_per_scaffold) | (distinct["scaffold"] == "")
    chosen = distinct[allowed].head(n).reset_index(drop=True)
    return chosen.assign(rank=range(1, len(chosen) + 1))
