"""An oracle for `molgen run`: a program that answers lines of JSON and counts what it is asked.

    python -m experiments.pmo.scorer --task zaleplon_mpo --log FOLDER/calls.csv

The `command` protocol: a line `{"smiles": [...]}` on standard input, a line `{"scores": [...]}` on
standard output, null for what is not scored. Started from the repository's root. The engine's own
counter plays no part: `curve.py` reads the log.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from rdkit import rdBase

from experiments.pmo.counting import CountedOracle
from experiments.pmo.tasks import TASKS, oracle_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", required=True, choices=TASKS)
    parser.add_argument("--log", required=True, type=Path, help="gone on with where it exists")
    parser.add_argument("--forests", type=Path, help="folder of the trained forests")
    arguments = parser.parse_args()

    rdBase.DisableLog("rdApp.*")
    oracle = CountedOracle(oracle_of(arguments.task, arguments.forests), arguments.log)
    for line in sys.stdin:
        scores = oracle(json.loads(line)["smiles"])
        answer = {"scores": [None if math.isnan(score) else score for score in scores]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
