"""What is recorded of each round: the funnel, the rewards, the diversity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.config.objective import ObjectiveConfig, component_name
from molgen.ledger import Ledger, LedgerRow, NewMolecule
from molgen.search.engine import arm_of

_N_DIVERSITY = 256  # molecules whose pairs are compared


def proposal_statistics(molecules: Sequence[NewMolecule]) -> dict[str, float]:
    """The funnel of a round from what was chosen to what is scored.

    Returns:
        n_new (entered the ledger in this round), n_duplicate (their constitution was seen
        before), n_filtered.
    """
    statuses = [m.status for m in molecules]
    return {
        "n_new": len(molecules),
        "n_duplicate": statuses.count("duplicate"),
        "n_filtered": statuses.count("filtered"),
    }


def score_statistics(
    ledger: Ledger, objective: ObjectiveConfig, number: int, rows: Sequence[LedgerRow]
) -> dict[str, float]:
    """Rewards and values of a round's molecules, and the best up to it.

    Later rounds may be under way; what is known of them depends on how fast the workers are.

    Returns:
        n_scored, n_unscored, n_oracle_calls (of the run so far), reward_mean and reward_max of the
        round, reward_top10 and reward_top100 (means of the best so far), diversity (1 - mean
        pairwise ECFP4 Tanimoto similarity of the round's scored molecules), mean_<component>, and
        in round 0 prior_reward_mean, of its plain samples. NaN where nothing was scored.
    """
    scored = [row for row in rows if row.status == "scored"]
    rewards = [row.reward for row in scored]
    best = [row.reward for row in ledger.best(100, before_round=number + 1)]
    statistics: dict[str, float] = {
        "n_scored": len(scored),
        "n_unscored": sum(row.status == "unscored" for row in rows),
        "n_oracle_calls": ledger.n_oracle_calls(before_round=number + 1),
        "reward_mean": _mean(rewards),
        "reward_max": max(rewards, default=math.nan),
        "reward_top10": _mean(best[:10]),
        "reward_top100": _mean(best),
        "diversity": diversity([row.smiles for row in scored]),
    }
    if number == 0:
        samples = [row.reward for row in scored if arm_of(row.origin) == "sample"]
        statistics["prior_reward_mean"] = _mean(samples)
    for component in objective.components:
        name = component_name(component)
        statistics[f"mean_{name}"] = _mean([float(row.values[name]) for row in scored])
    return statistics


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def diversity(smiles: Sequence[str]) -> float:
    """1 - mean pairwise Tanimoto similarity (ECFP4, 2048 bits) of at most 256 of the molecules.

    NaN for fewer than two.
    """
    chosen = smiles[:_N_DIVERSITY]
    if len(chosen) < 2:
        return math.nan
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in chosen]
    total = sum(
        sum(DataStructs.BulkTanimotoSimilarity(p, prints[:i])) for i, p in enumerate(prints)
    )
    return 1.0 - total / (len(prints) * (len(prints) - 1) / 2)
