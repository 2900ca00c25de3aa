"""Are the oracles those that PMO calls?

    MOLGEN_DATA=... .venv/bin/python -m experiments.pmo.check_oracles

Compares each with oracles/pmo_spot_values.csv: 164 molecules, scores of an implementation that
agrees with TDC's own to 1e-15, written with six decimals (so 5e-7 is agreement). Then scores the
target on itself. Fast; a few seconds are the pharmacophores'.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from rdkit import Chem

from experiments.pmo.oracles import ORACLES, TARGETS
from experiments.recording import print_table
from molgen.errors import DataError
from property_models.datasets import data_folder

AGREEMENT = 1e-6
FILE = "oracles/pmo_spot_values.csv"


def main() -> None:
    folder = data_folder()
    if folder is None or not (folder / FILE).is_file():
        raise DataError(f"MOLGEN_DATA must name a folder that holds {FILE}")
    table = pd.read_csv(folder / FILE)
    mols = [Chem.MolFromSmiles(smiles) for smiles in table["smiles"]]
    rows = []
    for task, oracle in ORACLES.items():
        began = time.perf_counter()
        ours = np.array([oracle(mol) for mol in mols])
        each_ms = 1000 * (time.perf_counter() - began) / len(mols)
        off = np.abs(ours - table[task].to_numpy())
        target = TARGETS.get(task.partition("_")[0])
        on_target = oracle(Chem.MolFromSmiles(target)) if target else float("nan")
        n_zero = int((table[task] == 0).sum())
        rows.append(
            [task, float(off.max()), int((off > AGREEMENT).sum()), n_zero, on_target, each_ms]
        )
    print_table(["task", "largest difference", "differ", "zeros", "on target", "ms each"], rows)


if __name__ == "__main__":
    main()
