"""From a log of counted calls to the curve and the areas that PMO reports.

    python -m experiments.pmo.curve LOG --method peer --task zaleplon_mpo --seed 0

Protocol (Gao et al. 2022, https://arxiv.org/abs/2206.12411): after every 100 calls the mean score
of the best 1, 10 and 100 molecules so far (of as many as there are); trapezoids between these
points, from 0 at 0 calls; held flat from the last call to the budget; divided by the budget. A
call past the budget counts for nothing, a call whose oracle failed scores nothing.

Beside the curve: QED, SA score and diversity of the best molecules, and everything once more with
the molecules that `structures.py` does not believe taken out of the best. Their calls still count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from experiments.pmo.counting import Call, read_log
from experiments.pmo.structures import nonsense
from experiments.recording import stamp
from molgen.objectives.descriptors import DESCRIPTORS, sa_score

Array = NDArray[np.float64]

CURVES = Path(__file__).parent / "curves"
STEP = 100  # calls between two points
TOPS = (1, 10, 100)
BUDGET = 10_000
EARLY = 1_000  # the second, small budget

qed = DESCRIPTORS["qed"]


def points(n_calls: int) -> list[int]:
    """Calls after which the curve has a point: every hundredth, and the last."""
    return [*range(STEP, n_calls, STEP), n_calls]


def top_means(scores: Array, n_top: int) -> Array:
    """Mean of the best `n_top` after each 100 calls, and after the last call.

    Args:
        scores: shape (n,), in the order of the calls; NaN for a call that gives no molecule.
        n_top: how many; fewer where there are not so many yet, and 0.0 where there is none.

    Returns:
        One value for each of `points(n)`.
    """
    best = np.empty(0)
    means = []
    for start, end in pairwise([0, *points(len(scores))]):
        new = scores[start:end]
        best = np.sort(np.concatenate([best, new[~np.isnan(new)]]))[-n_top:]
        means.append(best.mean() if len(best) else 0.0)
    return np.array(means)


def area(scores: Array, n_top: int, budget: int) -> float:
    """Area under the curve of the best `n_top`, divided by the budget: in the scores' unit."""
    scores = scores[:budget]
    means = top_means(scores, n_top)
    calls = [0, *points(len(scores)), budget]
    return float(np.trapezoid([0.0, *means, means[-1]], calls) / budget)


def best_of(calls: Sequence[Call], scores: Array, n: int) -> list[int]:
    """Positions of the n best calls, best first; the earlier of equals first."""
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    return [int(i) for i in order[:n] if not np.isnan(scores[i])]


def diversity(mols: Sequence[Chem.Mol]) -> float:
    """Mean Tanimoto distance (ECFP4, 2048 bits) over all pairs; NaN for fewer than two."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [generator.GetFingerprint(mol) for mol in mols]
    similarities: list[float] = []
    for i in range(1, len(bits)):
        similarities += DataStructs.BulkTanimotoSimilarity(bits[i], bits[:i])
    return 1 - float(np.mean(similarities)) if similarities else float("nan")


def described(calls: Sequence[Call], scores: Array, budget: int) -> dict[str, Any]:
    """Curve, areas and the best molecules' properties for one reading of the scores."""
    mols = [Chem.MolFromSmiles(calls[i].smiles) for i in best_of(calls, scores, 100)]
    ten = mols[:10]
    return {
        **{f"top{n}": top_means(scores, n).tolist() for n in TOPS},
        "auc": {f"top{n}": area(scores, n, budget) for n in TOPS},
        "auc_early": {f"top{n}": area(scores, n, EARLY) for n in TOPS},
        "qed_top10": float(np.mean([qed(mol) for mol in ten])) if ten else float("nan"),
        "sa_top10": float(np.mean([sa_score(mol) for mol in ten])) if ten else float("nan"),
        "diversity_top100": diversity(mols),
    }


def curve_of(calls: Sequence[Call], *, budget: int) -> dict[str, Any]:
    """Everything that is kept of a run but who ran it.

    Args:
        calls: in their order; those past the budget are left out.
        budget: calls that the area is over.

    Returns:
        `calls` (the x-axis), what `described` says of all molecules, and under `believable` the
        same for those that pass the structure filter; `best`, ten molecules with score, QED, SA
        score and what the filter says; `filtered_top10` and `filtered_top100`, the shares of
        the best that do not pass.
    """
    calls = calls[:budget]
    scores = np.array([call.score for call in calls])
    reasons = [nonsense(Chem.MolFromSmiles(call.smiles)) for call in calls]
    believed = np.where([bool(reason) for reason in reasons], np.nan, scores)
    best = best_of(calls, scores, 100)
    flagged = [bool(reasons[i]) for i in best]
    return {
        "budget": budget,
        "n_calls": len(calls),
        "oracle_s": sum(call.seconds for call in calls),
        "calls": points(len(calls)),
        **described(calls, scores, budget),
        "filtered_top10": float(np.mean(flagged[:10])) if best else float("nan"),
        "filtered_top100": float(np.mean(flagged)) if best else float("nan"),
        "believable": described(calls, believed, budget),
        "best": [_about(calls[i], reasons[i]) for i in best[:10]],
    }


def _about(call: Call, reason: str) -> dict[str, Any]:
    mol = Chem.MolFromSmiles(call.smiles)
    return {
        "smiles": call.smiles,
        "score": call.score,
        "qed": qed(mol),
        "sa": sa_score(mol),
        "filter": reason,
    }


def write_curve(
    log: Path, *, method: str, task: str, seed: int, budget: int, wall_s: float, folder: Path
) -> Path:
    """Make METHOD/TASK_SEED.json from a log; numbers at five digits.

    Raises:
        DataError: there is no log, or it is broken.
    """
    curve = curve_of(read_log(log), budget=budget)
    record = {"method": method, "task": task, "seed": seed, "wall_s": wall_s, **curve}
    path = folder / method / f"{task}_{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(_short({**record, "stamp": stamp(seed=seed)})) + "\n")
    temporary.replace(path)
    return path


def _short(value: Any) -> Any:
    """Numbers at five digits, NaN as null."""
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_short(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--method", required=True, help="folder below curves/")
    parser.add_argument("--task", required=True)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--wall-s", type=float, default=float("nan"))
    parser.add_argument("--curves", type=Path, default=CURVES)
    arguments = parser.parse_args()
    path = write_curve(
        arguments.log, method=arguments.method, task=arguments.task, seed=arguments.seed,
        budget=arguments.budget, wall_s=arguments.wall_s, folder=arguments.curves,
    )  # fmt: skip
    curve = json.loads(path.read_text())
    print(f"{path}: {curve['n_calls']} calls, AUC top-10 {curve['auc']['top10']}")


if __name__ == "__main__":
    main()
