"""Are all samples valid, and do prompted ones contain their prompt?

    .venv/bin/python -m experiments.generator.validity_and_containment

Draws 10,000 molecules de novo and 10,000 around 20 prompts from the shipped prior. Every sample
started counts and nothing is filtered. *Valid*: RDKit parses the SMILES. *Connected*: one
component. *Unique*: different SMILES among all started. *Novel*: not among the molecules that the
prior was trained on (needs MOLGEN_DATA; without stereo on both sides). *Contained*: see
containment.py, a checker that shares no code with the generator. Speeds are of one core, after one
warm-up batch; drawing a molecule and computing its identities (canonical SMILES, InChIKey,
scaffold) are timed apart. Seed 20261124.

`--fcd` adds the Fréchet ChemNet distance (https://doi.org/10.1021/acs.jcim.8b00234) by fcd-torch
(`pip install --no-deps fcd-torch`, not a dependency of the product) of the de novo samples to as
many test molecules, and of training molecules to the same test molecules.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem, rdBase

from experiments.generator.containment import Core, check_the_checker, fault, read_core
from experiments.recording import print_table, write_results
from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import parse_prompt
from molgen.generator.sampler import Sample, SamplingOptions, sample
from molgen.generator.weights import SHIPPED_PRIOR, load_network
from molgen.search.proposing import identify
from property_models.datasets import data_folder
from property_models.molecules import canonical_smiles

SHARD_SIZE = 128
PROMPTS = (
    # one attachment point
    "[*:1]c1ccccc1",
    "NC(=[NH2+])c1ccc([*:1])cc1",
    "[*:1]C#Cc1cccnc1",
    "[*:1]OC(=O)c1ccccc1[N+](=O)[O-]",
    "[*:1]n1cnc2c(N)ncnc21",
    # two
    "O=C([*:1])Nc1ccc([*:2])cc1",
    "[*:1]N1CCN([*:2])CC1",
    "[*:1]c1ccc2[nH]c([*:2])nc2c1",
    "O=C1N([*:1])CC(C[*:2])O1",
    "[*:1]n1nc(C(N)=O)c2c1C(=O)N([*:2])CC2",
    "[*:1]C(=O)NCc1ccc([*:2])s1",
    "[*:1]=C1CCN([*:2])CC1",
    "[*:1]S(=O)(=O)N1CCC([*:2])CC1",
    # three
    "[*:1]c1nc([*:2])nc([*:3])n1",
    "[*:1]C([*:2])([*:3])O",
    # none: open at every atom with a hydrogen
    "c1ccc2[nH]ccc2c1",
    "O=C1CCCN1c1ccccc1",
    "Clc1cccs1",
    "N#Cc1cncnc1",
    "C1CC2CCC1N2",
)


def draw(
    network: GraphTransformer, n: int, seed: Sequence[int], options: SamplingOptions,
    prompt: str | None = None,
) -> tuple[list[Sample], float]:  # fmt: skip
    """N samples in shards of fixed size, and the seconds they took."""
    parsed = None if prompt is None else parse_prompt(prompt, network.vocabulary, network.tables)
    drawn: list[Sample] = []
    began = time.perf_counter()
    for shard, first in enumerate(range(0, n, SHARD_SIZE)):
        size = min(SHARD_SIZE, n - first)
        drawn += sample(network, size, seed=[*seed, shard], prompt=parsed, options=options)
    return drawn, time.perf_counter() - began


def basic_shares(drawn: Sequence[Sample], max_atoms: int) -> dict[str, float]:
    """Shares of all samples started, judged from their SMILES."""
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(s.smiles) for s in drawn]
    n = len(drawn)
    read = [m for m in mols if m is not None and m.GetNumAtoms()]
    return {
        "n": n,
        "valid": len(read) / n,
        "connected": sum(len(Chem.GetMolFrags(m)) == 1 for m in read) / n,
        "within_size_limit": sum(m.GetNumAtoms() <= max_atoms for m in read) / n,
        "unique": len({s.smiles for s in drawn}) / n,
    }


def de_novo(network: GraphTransformer, n: int, seed: int, max_atoms: int) -> dict[str, Any]:
    """The first half of the benchmark; `smiles` holds the samples."""
    options = SamplingOptions(max_atoms=max_atoms)
    drawn, seconds = draw(network, n, (seed, 0), options)
    began = time.perf_counter()
    identities = [identify(s.smiles) for s in drawn]
    identity_seconds = time.perf_counter() - began
    return {
        **basic_shares(drawn, max_atoms),
        "novel": novelty([i.constitution for i in identities]),
        "molecules_per_s_sampling": n / seconds,
        "molecules_per_s_identity": n / identity_seconds,
        "smiles": [s.smiles for s in drawn],
    }


def prompted(network: GraphTransformer, n: int, seed: int, max_atoms: int) -> dict[str, Any]:
    """The second half: n samples shared among the prompts."""
    options = SamplingOptions(max_atoms=max_atoms)
    rows: list[dict[str, Any]] = []
    everything: list[Sample] = []
    faults, seconds = Counter[str](), 0.0
    for number, prompt in enumerate(PROMPTS):
        share = (n * (number + 1)) // len(PROMPTS) - (n * number) // len(PROMPTS)
        drawn, took = draw(network, share, (seed, 1, number), options, prompt)
        core = read_core(prompt)
        found = [containment_fault(core, s) for s in drawn]
        faults.update(f"{prompt}: {f}" for f in found if f)
        row = {"prompt": prompt, **basic_shares(drawn, max_atoms)}
        rows.append(row | {"contained": found.count("") / len(drawn)})
        everything += drawn
        seconds += took
    n_contained = sum(row["contained"] * row["n"] for row in rows)
    return {
        **basic_shares(everything, max_atoms),
        "contained": n_contained / len(everything),
        "molecules_per_s_sampling": len(everything) / seconds,
        "faults": dict(faults),
        "by_prompt": rows,
    }


def containment_fault(core: Core, drawn: Sample) -> str:
    """Judged on the molecule, of which the SMILES must be the same molecule."""
    read = Chem.MolFromSmiles(drawn.smiles)
    # With fixed hydrogens an InChI tells tautomers apart, which a canonical SMILES need not settle.
    with rdBase.BlockLogs():
        inchis = {
            Chem.MolToInchi(m, options="-FixedH")  # type: ignore[no-untyped-call]  # no stub
            for m in (drawn.mol, read)
            if m is not None
        }
    if read is None or len(inchis) != 1 or "" in inchis:
        return "the SMILES is not the molecule"
    return fault(core, drawn.mol, drawn.kept)


def chembl(split: str, query: str = "") -> list[str] | None:
    """Molecules of a split of the pretraining file; None where the data is not at hand."""
    folder = data_folder()
    path = folder / "generator/chembl_union_flat.parquet" if folder else None
    if path is None or not path.is_file():
        return None
    import pandas as pd

    table = pd.read_parquet(path)
    return list(table.query(query or f"split == {split!r}")["smiles"])


def novelty(constitutions: Sequence[str]) -> float:
    """Share that is not a training molecule of the prior, as its card says; NaN without data."""
    card = json.loads((SHIPPED_PRIOR.parent / "card.json").read_text())
    known = chembl("train", card["data"]["rows"])
    if known is None:
        return float("nan")
    # The file holds canonical SMILES; make sure that this RDKit writes them in the same way.
    chosen = np.random.default_rng(0).choice(len(known), min(2000, len(known)), replace=False)
    changed = [i for i in chosen if canonical_smiles(Chem.MolFromSmiles(known[i])) != known[i]]
    if changed:
        print(f"{len(changed)} of {len(chosen)} training SMILES are written otherwise; rewriting")
        known = [canonical_smiles(Chem.MolFromSmiles(smiles)) for smiles in known]
    seen = set(known)
    return sum(c not in seen for c in constitutions) / len(constitutions)


def frechet_distances(smiles: Sequence[str], seed: int) -> dict[str, float]:
    """FCD of the samples, and of as many training molecules, to as many test molecules."""
    try:
        from fcd_torch import FCD  # optional
    except ImportError:
        raise SystemExit("--fcd needs fcd-torch: pip install --no-deps fcd-torch") from None
    test, train = chembl("test"), chembl("train")
    if test is None or train is None:
        raise SystemExit("--fcd needs MOLGEN_DATA with generator/chembl_union_flat.parquet")
    rng = np.random.default_rng(seed)
    n = min(len(smiles), len(test))
    some_test = [test[i] for i in rng.choice(len(test), n, replace=False)]
    some_train = [train[i] for i in rng.choice(len(train), n, replace=False)]
    distance = FCD(device="cpu", n_jobs=1)
    reference = distance.precalc(some_test)
    return {
        "n": n,
        "samples_to_test": float(distance(gen=list(smiles[:n]), pref=reference)),
        "training_to_test": float(distance(gen=some_train, pref=reference)),
    }


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    shares = ("n", "valid", "connected", "within_size_limit", "unique")
    speed = "molecules_per_s_sampling"
    rows = []
    for name in ("de_novo", "prompted"):
        part = results[name]
        rows.append(
            [name, *(part[s] for s in shares), part.get("novel", float("nan")),
             part.get("contained", float("nan")), part[speed],
             part.get("molecules_per_s_identity", float("nan"))]
        )  # fmt: skip
    print_table(["set", *shares, "novel", "contained", "drawn per s", "identified per s"], rows)
    print()
    columns = ("n", "valid", "connected", "contained", "unique")
    print_table(
        ["prompt", *columns],
        [[f"`{r['prompt']}`", *(r[c] for c in columns)] for r in results["prompted"]["by_prompt"]],
    )
    for text, n in results["prompted"]["faults"].items():
        print(f"FAULT {n} times: {text}")
    if "fcd" in results:
        print()
        f = results["fcd"]
        print_table(
            ["FCD", "n", "samples to test", "training to test"],
            [["", f["n"], f["samples_to_test"], f["training_to_test"]]],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-n", type=int, default=10_000, help="samples of each kind")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--max-heavy-atoms", type=int, default=45)
    parser.add_argument("--fcd", action="store_true", help="needs fcd-torch and MOLGEN_DATA")
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()

    check_the_checker()
    torch.set_num_threads(1)
    network = load_network()
    draw(network, SHARD_SIZE, (arguments.seed, 2), SamplingOptions())  # compiles
    results: dict[str, Any] = {
        "de_novo": de_novo(network, arguments.n, arguments.seed, arguments.max_heavy_atoms),
        "prompted": prompted(network, arguments.n, arguments.seed, arguments.max_heavy_atoms),
    }
    smiles = results["de_novo"].pop("smiles")
    if arguments.fcd:
        results["fcd"] = frechet_distances(smiles, arguments.seed)
    show(results)
    write_results(__file__, results, seed=arguments.seed, out=arguments.out)


if __name__ == "__main__":
    main()
