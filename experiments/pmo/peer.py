"""The peer: a plain graph genetic algorithm of the Mol GA kind, on the same counted oracle.

    MOLGEN_DATA=... .venv/bin/python -m experiments.pmo.peer --task zaleplon_mpo --log LOG.csv

Tripp and Hernandez-Lobato 2023 (https://arxiv.org/abs/2310.09267): a pool of at most 10,000, five
children a generation; a parent is drawn evenly from the best fraction 10^u of the pool, u even in
[-3, 0]; a child is a crossover (mutated in one case of a hundred) or, in one of ten, a mutation.
Begins with 100 random molecules of ZINC250k, as Graph GA does in PMO; whether Mol GA began with as
many is not known to us. A log that exists is gone on with: the search is repeated from its seed,
answered by the log as far as that goes.
"""

from __future__ import annotations

import argparse
import bisect
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

from experiments.pmo.counting import CountedOracle, canonical_or_none
from experiments.pmo.graph_edits import cross, kekule, mutate
from experiments.pmo.tasks import TASKS, oracle_of
from molgen.errors import DataError
from property_models.datasets import data_folder

POOL_SIZE = 10_000
N_START = 100
N_CHILDREN = 5
MUTATED_ONLY = 0.1  # share of children without a crossover
MUTATED_TOO = 0.01  # share of crossovers that are mutated as well
MAX_BARREN = 1_000  # generations in a row without a new molecule, before the search ends

Oracle = Callable[[Sequence[str]], list[float]]


class Pool:
    """The best molecules so far, best first."""

    def __init__(self) -> None:
        self._keys: list[tuple[float, int]] = []  # (-score, age): the earlier of equals first
        self._smiles: list[str] = []
        self._n_seen = 0

    def add(self, smiles: str, score: float) -> None:
        """Take a molecule in; the worst one leaves where there are too many."""
        key = (-score, self._n_seen)
        self._n_seen += 1
        place = bisect.bisect(self._keys, key)
        self._keys.insert(place, key)
        self._smiles.insert(place, smiles)
        del self._keys[POOL_SIZE:], self._smiles[POOL_SIZE:]

    def parent(self, rng: np.random.Generator) -> str:
        """A molecule of the best fraction 10^u, u even in [-3, 0]."""
        n = math.ceil(len(self._smiles) * 10 ** rng.uniform(-3, 0))
        return self._smiles[rng.integers(n)]


def search(oracle: Oracle, start: Sequence[str], *, n_calls: int, rng: np.random.Generator) -> None:
    """Ask the oracle for molecules until it has been asked for `n_calls` distinct ones.

    Args:
        oracle: a score per SMILES, NaN where it has none; best is highest.
        start: SMILES of the first generation.
        n_calls: distinct molecules, those of the start included.
        rng: of every choice.
    """
    pool, seen, barren = Pool(), set[str](), 0
    children = [flat(smiles) for smiles in start]
    while len(seen) < n_calls and barren < MAX_BARREN:
        new = [s for s in dict.fromkeys(children) if s not in seen][: n_calls - len(seen)]
        barren = 0 if new else barren + 1
        seen.update(new)
        for smiles, score in zip(new, oracle(new), strict=True):
            if not math.isnan(score):
                pool.add(smiles, score)
        made = [child(pool, rng) for _ in range(N_CHILDREN)]
        children = [smiles for smiles in made if smiles]


def child(pool: Pool, rng: np.random.Generator) -> str:
    """A child's canonical SMILES; '' where none came about."""
    if rng.random() < MUTATED_ONLY:
        found = mutate(kekule(pool.parent(rng)), rng)
    else:
        found = cross(kekule(pool.parent(rng)), kekule(pool.parent(rng)), rng)
        if found is not None and rng.random() < MUTATED_TOO:
            found = mutate(kekule(Chem.MolToSmiles(found)), rng)
    return (found is not None and canonical_or_none(Chem.MolToSmiles(found))) or ""


def flat(smiles: str) -> str:
    """Canonical SMILES without stereochemistry."""
    mol = Chem.MolFromSmiles(smiles)
    Chem.RemoveStereochemistry(mol)
    return str(Chem.MolToSmiles(mol))


def zinc(n: int, rng: np.random.Generator) -> list[str]:
    """Random molecules of ZINC250k.

    Raises:
        DataError: the data is not at hand.
    """
    import pandas as pd

    folder = data_folder()
    path = None if folder is None else folder / "generator/zinc250k.parquet"
    if path is None or not path.is_file():
        raise DataError("ZINC250k is not at hand: MOLGEN_DATA must hold generator/zinc250k.parquet")
    smiles = pd.read_parquet(path, columns=["smiles"])["smiles"]
    return [str(smiles[i]) for i in rng.choice(len(smiles), n, replace=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", required=True, choices=TASKS)
    parser.add_argument("--log", required=True, type=Path, help="gone on with where it exists")
    parser.add_argument("--n-calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forests", type=Path, help="folder of the trained forests")
    arguments = parser.parse_args()

    rdBase.DisableLog("rdApp.*")
    rng = np.random.default_rng(arguments.seed)
    oracle = CountedOracle(oracle_of(arguments.task, arguments.forests), arguments.log)
    search(oracle, zinc(N_START, rng), n_calls=arguments.n_calls, rng=rng)
    print(f"{arguments.log}: {oracle.n_calls} calls")


if __name__ == "__main__":
    main()
