"""Which moves better the best of a run, and from which parents?

    .venv/bin/python -m experiments.pmo.improvers LOG --task perindopril_mpo --calls 600

Takes a log's first so many calls, applies each move without the network to molecules of four
classes of rank, and counts children that the search would let through and that score above the
tenth best. Where a row has none, no single move leaves the place. Last, of as many edits of the ten
best as are scored in a round, chosen by the surrogate: how many are better, and how many of the
log's own next round were. And of all single changes of the ten best, how many of each kind are
better. The oracle's answers are for these tables alone: only on tasks on which settings may be
chosen.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

from experiments.pmo.counting import Call, read_log
from experiments.pmo.neighbours import MAX_ATOMS, MAX_COMPOUNDS, MAX_SA, TUNED_ON, children
from experiments.pmo.policy_losses import OPTIONS, PRIOR
from experiments.pmo.tasks import oracle_of
from experiments.recording import print_table
from molgen.generator.sampler import sample
from molgen.generator.weights import load_network
from molgen.objectives.descriptors import sa_score
from molgen.search.changes import KINDS, changes_of
from molgen.search.edits import (
    changed,
    cross,
    graft,
    groups_of,
    kekule_form,
    mutate,
    ring_systems_of,
    swap_ring,
)
from molgen.search.moves import Made
from molgen.search.plausible import implausible
from molgen.search.pool import Pool
from molgen.search.surrogate import Surrogate, describe

RANKS = ((0, 10), (10, 100), (100, 300), (300, 10_000))
N_DONORS = 1000
ROUND_SHARE = 0.02  # as in campaign.yaml when the tables of choices.md were made
Move = Callable[[Chem.Mol], "Chem.Mol | None"]


def moves_of(best: list[Chem.Mol], seed: int) -> dict[str, Move]:
    """By name; a cross is with one of the best."""
    rng = np.random.default_rng(seed)
    drawn = sample(load_network(PRIOR), N_DONORS, seed=seed, options=OPTIONS)
    donors = [Chem.MolFromSmiles(s.smiles) for s in drawn]
    groups, systems = groups_of(donors), ring_systems_of(donors)
    return {
        "edit": lambda mol: mutate(mol, rng),
        "graft": lambda mol: graft(mol, groups, rng),
        "swap_ring": lambda mol: swap_ring(mol, systems, rng),
        "cross": lambda mol: cross(mol, best[rng.integers(len(best))], rng),
    }


def count(calls: list[Call], task: str, n_tries: int, seed: int) -> list[list[str]]:
    """A row for each move: better of distinct children by class of rank, and the best of all."""
    oracle, rng = oracle_of(task), np.random.default_rng(seed)
    scores = np.nan_to_num([call.score for call in calls])
    order = np.argsort(-scores, kind="stable")
    ranked = [Chem.MolFromSmiles(calls[i].smiles) for i in order]
    to_beat = scores[order[9]]
    rows = []
    for name, move in moves_of(ranked[:100], seed).items():
        seen, cells, best = {call.smiles for call in calls}, [], 0.0
        for low, high in RANKS:
            n_made, n_better = 0, 0
            for _ in range(n_tries if low < len(ranked) else 0):
                child = move(ranked[rng.integers(low, min(high, len(ranked)))])
                smiles = "" if child is None else Chem.MolToSmiles(child)
                if child is None or smiles in seen or child.GetNumAtoms() > MAX_ATOMS:
                    continue
                seen.add(smiles)
                if implausible(child) or sa_score(child) > MAX_SA:
                    continue
                score = oracle(child)
                n_made, n_better, best = n_made + 1, n_better + (score > to_beat), max(best, score)
            cells.append(f"{n_better} of {n_made}")
        rows.append([name, *cells, f"{best:.3f}"])
    return [["(the log)", *[""] * len(RANKS), f"{to_beat:.3f}, {scores[order[0]]:.3f}"], *rows]


def by_kind(calls: list[Call], task: str) -> list[list[str]]:
    """A row for each kind of change: better, of the distinct children of the ten best."""
    oracle = oracle_of(task)
    scores = np.nan_to_num([call.score for call in calls])
    best = np.argsort(-scores, kind="stable")[:10]
    parents = [kekule_form(Chem.MolFromSmiles(calls[i].smiles)) for i in best]
    known, rows = {call.smiles for call in calls}, []
    for kind, function in enumerate(KINDS):
        made = [changed(p, change) for p in parents for change in changes_of(p, kind)[0]]
        new = {Chem.MolToSmiles(m): m for m in made if m is not None}
        passable = [
            m for s, m in new.items()
            if s not in known and m.GetNumAtoms() <= MAX_ATOMS
            and not implausible(m) and sa_score(m) <= MAX_SA
        ]  # fmt: skip
        true = np.array([oracle(m) for m in passable])
        n_better = int((true > scores[best[9]]).sum()) if passable else 0
        name = function.__name__.strip("_").replace("_", " ")
        rows.append([name, str(n_better), str(len(passable)), f"{max(true, default=0.0):.3f}"])
    return rows


def next_round(calls: list[Call], n: int, task: str, seed: int) -> str:
    """Better than the tenth best: of a round chosen among edits of the ten, and of the log's."""
    oracle, rng = oracle_of(task), np.random.default_rng(seed)
    smiles = [call.smiles for call in calls[:n]]
    scores = np.nan_to_num([call.score for call in calls])
    surrogate = Surrogate(seed, MAX_COMPOUNDS)
    surrogate.add(describe(smiles), scores[:n].tolist())
    order = np.argsort(-scores[:n], kind="stable")
    to_beat, size = scores[order[9]], math.ceil(ROUND_SHARE * n)
    edits = children([smiles[i] for i in order[:10]], set(smiles), rng)
    described = describe(edits)
    pool = Pool([Made(s, "edit", (), -1) for s in edits], described, *surrogate.judge(described))
    chosen = pool.choose(
        size, optimism=0.5, random_share=0.1, drawn_share=0.0, max_similarity=0.85, rng=rng
    )
    true = np.array([oracle(Chem.MolFromSmiles(edits[i])) for i in chosen])
    here = f"of {size} chosen among {len(edits)} edits of the ten best {(true > to_beat).sum()}"
    return f"{here}, of the log's next {size} {(scores[n : n + size] > to_beat).sum()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--task", choices=TUNED_ON, required=True)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--tries", type=int, default=1000, help="of a move and class of rank")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    names = [f"rank {low + 1} to {high}" for low, high in RANKS]
    with rdBase.BlockLogs():
        calls = read_log(a.log)
        print_table(
            ["move", *names, "tenth best, best"],
            count(calls[: a.calls], a.task, a.tries, a.seed),
        )
        print_table(
            ["all single changes of the ten best", "better", "of", "the best"],
            by_kind(calls[: a.calls], a.task),
        )
        print("Better than the tenth best: " + next_round(calls, a.calls, a.task, a.seed))


if __name__ == "__main__":
    main()
