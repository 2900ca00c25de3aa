"""How many real molecules do the two structure filters refuse, and by which rule?

    MOLGEN_DATA=… .venv/bin/python -m experiments.pmo.rules

Neutral molecules with at most 45 heavy atoms, drawn from ChEMBL and ZINC250k
(generator/chembl_union_flat.parquet, generator/zinc250k.parquet). A filter that refuses many of
them takes away what a chemist would make. A molecule counts for the first rule that refuses it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rdkit import Chem
from tqdm import tqdm

from experiments.pmo.structures import nonsense
from experiments.recording import print_table, write_results
from molgen.search.plausible import implausible

FILTERS: dict[str, Callable[[Chem.Mol], str]] = {"search": implausible, "judge": nonsense}
SETS = {"chembl": "chembl_union_flat", "zinc250k": "zinc250k"}
MAX_HEAVY = 45


def random_molecules(path: Path, n: int, seed: int) -> list[Chem.Mol]:
    """`n` of a table's neutral molecules of at most MAX_HEAVY heavy atoms, or all there are."""
    table = pd.read_parquet(path)
    table = table[table["n_heavy"] <= MAX_HEAVY]
    if "charge" in table:
        table = table[table["charge"] == 0]
    found = []
    for smiles in table["smiles"].sample(frac=1, random_state=seed):
        mol = Chem.MolFromSmiles(smiles)
        if mol is not None and not Chem.GetFormalCharge(mol):
            found.append(mol)
        if len(found) == n:
            break
    return found


def refusals(mols: list[Chem.Mol], judge: Callable[[Chem.Mol], str]) -> Counter[str]:
    """Rule -> molecules that it refuses first."""
    return Counter(reason for mol in tqdm(mols, leave=False) if (reason := judge(mol)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=20_000, help="molecules of each set")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = os.environ.get("MOLGEN_DATA")
    if not folder:
        sys.exit("MOLGEN_DATA must name the data folder")
    sets = {
        name: random_molecules(
            Path(folder) / f"generator/{table}.parquet", arguments.n, arguments.seed
        )
        for name, table in SETS.items()
    }
    results: dict[str, object] = {"n": {name: len(mols) for name, mols in sets.items()}}
    for which, judge in FILTERS.items():
        counts = {name: refusals(mols, judge) for name, mols in sets.items()}
        results[which] = {name: dict(count.most_common()) for name, count in counts.items()}
        rules = sum(counts.values(), Counter()).most_common()
        rows = [[rule, *(counts[name][rule] for name in sets)] for rule, _ in rules]
        rows.insert(0, ["**all**", *(counts[name].total() for name in sets)])
        print(f"\n{which}\n")
        print_table(["rule", *(f"{name}, of {len(mols):,}" for name, mols in sets.items())], rows)
    print(write_results(__file__, results, seed=arguments.seed, out=None))


if __name__ == "__main__":
    main()
