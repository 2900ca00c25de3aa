"""`molgen sample`: draw molecules into a file, shard by shard."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from molgen.errors import ConfigError
from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import Prompt, parse_prompt
from molgen.generator.sampler import SamplingOptions, sample
from molgen.generator.weights import load_network

SHARD_SIZE = 128
_MAX_BARREN_SHARDS = 50  # without one new molecule, before `unique` gives up


def write_samples(
    output: Path, n: int, *, seed: int, prompts: Sequence[str], prior: Path | None,
    options: SamplingOptions, unique: bool,
) -> int:  # fmt: skip
    """Draw n molecules and write one SMILES a line.

    Args:
        output: the file.
        n: lines to write.
        seed: same seed, same lines.
        prompts: cores to keep, taken in turn; none: de novo.
        prior: weights; None: the shipped ones.
        options: sizes and temperature.
        unique: leave out repeats and draw on until there are n different molecules.

    Returns:
        Lines written: n, or fewer where a prompt has too few different completions.

    Raises:
        ConfigError: a prompt cannot be used, or the file cannot be written.
    """
    network = load_network(prior)
    parsed = [parse_prompt(p, network.vocabulary, network.tables) for p in prompts]
    n_shards = max(len(parsed), math.ceil(n / SHARD_SIZE))  # every prompt has its turn
    drawn = _draw(network, parsed, seed, options, math.ceil(n / n_shards))
    seen: set[str] = set()
    n_lines = barren = 0
    try:
        with output.open("w") as file:
            for _ in track(range(n), "sampling", console=Console(stderr=True), transient=True):
                smiles = next(drawn)
                while unique and smiles in seen and barren < _MAX_BARREN_SHARDS * SHARD_SIZE:
                    barren += 1
                    smiles = next(drawn)
                if unique and smiles in seen:
                    break
                barren = 0
                seen.add(smiles)
                file.write(smiles + "\n")
                n_lines += 1
    except OSError as error:
        raise ConfigError(f"-o {output}: cannot be written ({error.strerror})") from error
    return n_lines


def _draw(
    network: GraphTransformer, prompts: Sequence[Prompt], seed: int, options: SamplingOptions,
    shard_size: int,
) -> Iterator[str]:  # fmt: skip
    """SMILES without end; each shard has a seed of its own, prompts take turns."""
    import torch

    torch.set_num_threads(1)
    for shard in itertools.count():
        prompt = prompts[shard % len(prompts)] if prompts else None
        for drawn in sample(
            network, shard_size, seed=(seed, shard), prompt=prompt, options=options
        ):
            yield drawn.smiles
