"""An oracle of your own for molgen: a program that reads and writes lines of JSON.

Each worker of molgen (`executor.n_workers`) starts this program once, in the folder in which molgen
itself was started, and keeps it running. For every batch it writes one line to its standard input,

    {"smiles": ["CCO", "c1ccccc1"]}

and waits for one line on its standard output with one number per molecule, in the same order:

    {"scores": [-0.0014, 1.6866]}

null stands for "not scored". Write messages to standard error: anything else on standard output
is taken for an answer. When molgen is done it closes standard input, and the program should end.

This example answers with the octanol-water partition coefficient (Crippen logP). Replace `score`
with your own calculation; the program may be written in any language. Try it by hand:

    echo '{"smiles": ["CCO", "oops"]}' | python examples/logp_oracle.py
"""

from __future__ import annotations

import json
import sys

from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors


def score(smiles: str) -> float | None:
    """LogP of one molecule; None where it cannot be read."""
    mol = Chem.MolFromSmiles(smiles)
    return None if mol is None else float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


def main() -> None:
    """Answer batches until standard input ends."""
    rdBase.DisableLog("rdApp.*")
    for line in sys.stdin:
        batch = json.loads(line)["smiles"]
        # flush: an answer left in a buffer would look like a program that hangs
        print(json.dumps({"scores": [score(smiles) for smiles in batch]}), flush=True)


if __name__ == "__main__":
    main()
