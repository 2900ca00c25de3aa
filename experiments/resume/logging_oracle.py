"""An oracle that writes down every molecule it is asked, before it answers.

    python logging_oracle.py LOG

Answers Crippen's logP over the `command` protocol, after a short pause that stands for work. Each
question is appended to LOG in one write, one SMILES a line, so several oracles can share the file.
"""

from __future__ import annotations

import json
import os
import sys
import time

from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors

_PAUSE_S = 0.02  # per question


def main() -> None:
    rdBase.DisableLog("rdApp.*")
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for line in sys.stdin:
        batch = json.loads(line)["smiles"]
        os.write(log, "".join(f"{smiles}\n" for smiles in batch).encode())
        time.sleep(_PAUSE_S)
        mols = [Chem.MolFromSmiles(smiles) for smiles in batch]
        scores = [rdMolDescriptors.CalcCrippenDescriptors(mol)[0] for mol in mols]
        print(json.dumps({"scores": scores}), flush=True)


if __name__ == "__main__":
    main()
