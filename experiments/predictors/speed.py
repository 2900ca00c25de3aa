"""Molecules per second of `molgen predict` over a whole panel, beside ADMET-AI in the same run.

    MOLGEN_DATA=… python -m experiments.predictors.speed --admet-ai-python PATH

Both read a CSV of the same ChEMBL structures and write a CSV, one after the other, each twice: for
few molecules and for many. The difference of the two times is the rate without start-up, and the
difference in memory tells whether it grows with the file. ADMET-AI (Swanson et al. 2024,
https://doi.org/10.1093/bioinformatics/btae416) runs from an environment of its own, without its
physico-chemical columns and percentiles, which take time of their own, and with them, as its own
command does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.recording import print_table, write_results
from molgen.objectives import SHIPPED_PREDICTORS
from property_models.datasets import data_folder

_STRUCTURES = "generator/chembl_union_flat.parquet"
_ADMET_AI = """
import sys
import pandas as pd
from admet_ai import ADMETModel

model = ADMETModel() if sys.argv[3] == "all" else ADMETModel(
    include_physchem=False, drugbank_path=None
)
smiles = pd.read_csv(sys.argv[1])["smiles"].tolist()
model.predict(smiles=smiles).to_csv(sys.argv[2])
"""


@dataclass(frozen=True)
class Run:
    """What one command took, the processes that it started included.

    Attributes:
        n: Molecules.
        wall_s: Time.
        cpu_s: Processor time.
        memory_mb: Most memory of any one of its processes.
    """

    n: int
    wall_s: float
    cpu_s: float
    memory_mb: float


def main() -> None:
    """Run the benchmark and record it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=SHIPPED_PREDICTORS, help="of predictors")
    parser.add_argument("--n", type=int, nargs=2, default=(3000, 12000), help="few and many")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--admet-ai-python", type=Path, help="of an environment with admet-ai")
    parser.add_argument("--admet-ai-n", type=int, nargs=2, default=(100, 1100))
    parser.add_argument("--seed", type=int, default=0, help="chooses the molecules")
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    given = parser.parse_args()
    found: dict[str, tuple[Run, Run]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        smiles = structures(max(*given.n, *given.admet_ai_n), given.seed)
        few, many = (
            timed(smiles[:n], Path(scratch), molgen_command(given.folder, given.processes))
            for n in given.n
        )
        found["molgen predict"] = few, many
        if given.admet_ai_python:
            peer = [str(given.admet_ai_python), "-c", _ADMET_AI, "{in}", "{out}"]
            for name, what in (("ADMET-AI, networks alone", "networks"), ("ADMET-AI", "all")):
                few, many = (
                    timed(smiles[:n], Path(scratch), [*peer, what]) for n in given.admet_ai_n
                )
                found[name] = few, many
    n_predictors = len(list(given.folder.glob("*/card.json")))
    results = {
        "n_predictors": n_predictors,
        "n_processes": given.processes,
        "rows": [row(name, *runs) for name, runs in found.items()],
    }
    print(f"{n_predictors} predictors, {given.processes} processes")
    print_table(list(results["rows"][0]), [list(entry.values()) for entry in results["rows"]])
    ours, *peers = results["rows"]
    results["times_as_fast"] = {
        peer[""]: ours["molecules_per_s"] / peer["molecules_per_s"] for peer in peers
    }
    for name, ratio in results["times_as_fast"].items():
        print(f"{ratio:.1f} times as fast as {name}")
    print(write_results(__file__, results, seed=given.seed, out=given.out))


def structures(n: int, seed: int) -> list[str]:
    """SMILES of n structures of the ChEMBL union that no generator was trained on."""
    folder = data_folder()
    if folder is None:
        raise SystemExit("set MOLGEN_DATA")
    table = pd.read_parquet(folder / _STRUCTURES, columns=["smiles", "split"])
    held_out = table.loc[table["split"] == "test", "smiles"].to_numpy()
    return list(np.random.default_rng(seed).permutation(held_out)[:n])


def molgen_command(folder: Path, n_processes: int) -> list[str]:
    """The command line of `molgen predict`."""
    return [
        sys.executable, "-m", "molgen.cli", "predict", "{in}", "-o", "{out}",
        "--folder", str(folder), "--processes", str(n_processes),
    ]  # fmt: skip


def timed(smiles: Sequence[str], scratch: Path, command: Sequence[str]) -> Run:
    """Runs a command on a file of structures; SystemExit with its words where it fails."""
    table, output, log = (scratch / name for name in ("in.csv", "out.csv", "log.txt"))
    table.write_text("\n".join(["smiles", *smiles]) + "\n")
    output.unlink(missing_ok=True)
    words = [{"{in}": str(table), "{out}": str(output)}.get(word, word) for word in command]
    start = time.monotonic()
    with log.open("w") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not output.is_file():
        raise SystemExit(f"{words[0]} failed:\n{log.read_text()[-2000:]}")
    n_rows = len(pd.read_csv(output, usecols=[0]))
    if n_rows != len(smiles):
        raise SystemExit(f"{words[0]} wrote {n_rows} rows for {len(smiles)} molecules")
    return Run(len(smiles), wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(name: str, few: Run, many: Run) -> dict[str, str | float]:
    """A line of the table."""
    n = many.n - few.n
    rate = n / (many.wall_s - few.wall_s)
    return {
        "": name,
        "molecules": many.n,
        "molecules_per_s": rate,
        "with_start": many.n / many.wall_s,
        "start_s": many.wall_s - many.n / rate,
        "cpu_ms_per_molecule": 1000 * (many.cpu_s - few.cpu_s) / n,
        "memory_mb_few": few.memory_mb,
        "memory_mb_many": many.memory_mb,
    }


if __name__ == "__main__":
    main()
