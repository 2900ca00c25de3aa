"""Molecules drawn per second, on one core and on two processes, start-up aside.

    .venv/bin/python -m experiments.generator.speed [WEIGHTS …]

One core: `draw` with one torch thread, for several batch sizes; by the wall clock, and by the
processor time of the process, which other work on the machine hardly touches. Two processes: the
workers of `molgen sample`, each with one thread, by the wall clock. Loading, compiling and the
first small draw are not counted. Run it on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.recording import print_table, write_results
from molgen.config.campaign import LocalExecutorConfig
from molgen.generator.network import GraphTransformer
from molgen.generator.sampler import BATCH_SIZE, SamplingOptions, draw
from molgen.generator.sampling_file import SHARD_SIZE, SamplingWorker
from molgen.generator.weights import SHIPPED_PRIOR, load_network
from molgen.runtime.executor import WorkerPool
from molgen.runtime.executors import make_executor

_N_WARM_UP = 64


def one_core(
    network: GraphTransformer, n: int, seed: int, batch_sizes: list[int], n_repeats: int
) -> list[dict[str, Any]]:
    """The fastest of some repeats for each batch size; repeats take turns."""
    torch.set_num_threads(1)
    draw(network, _N_WARM_UP, seed=seed)
    best: dict[int, dict[str, Any]] = {}
    for _ in range(n_repeats):
        for batch_size in batch_sizes:
            wall, cpu = time.perf_counter(), time.process_time()
            samples = draw(network, n, seed=seed, batch_size=batch_size).samples
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found = {
                "batch_size": batch_size,
                "per_second": n / wall,
                "per_cpu_second": n / cpu,
                "mean_heavy_atoms": np.mean([s.mol.GetNumAtoms() for s in samples]),
            }
            if batch_size not in best or found["per_second"] > best[batch_size]["per_second"]:
                best[batch_size] = found
    return [best[batch_size] for batch_size in batch_sizes]


def on_processes(weights: Path, n: int, seed: int, n_processes: int, n_repeats: int) -> float:
    """Molecules per second on several processes, the fastest of some repeats."""
    worker = partial(SamplingWorker, weights, SamplingOptions())
    config = LocalExecutorConfig(n_workers=n_processes, max_inflight=2 * n_processes)
    executor = make_executor(config, [WorkerPool("sampler", worker, n_processes)])

    def draw_shards(n_shards: int, size: int) -> float:
        began = time.perf_counter()
        futures = [
            executor.submit("sampler", "draw", None, size, (seed, shard))
            for shard in range(n_shards)
        ]
        for future in futures:
            future.result()
        return n_shards * size / (time.perf_counter() - began)

    try:
        draw_shards(2 * n_processes, _N_WARM_UP)  # each process starts with its first shard
        n_shards = n_processes * max(1, round(n / SHARD_SIZE / n_processes))
        return max(draw_shards(n_shards, SHARD_SIZE) for _ in range(n_repeats))
    finally:
        executor.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", nargs="*", type=Path, help="default: the shipped prior")
    parser.add_argument("-n", type=int, default=2048, help="molecules a measurement")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, BATCH_SIZE, 256])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()

    results: dict[str, Any] = {"n": arguments.n, "n_processes": arguments.processes, "priors": []}
    rows = []
    for weights in arguments.weights or [SHIPPED_PRIOR]:
        network = load_network(weights)
        found: dict[str, Any] = {
            "weights": weights.name,
            "n_parameters": sum(p.numel() for p in network.parameters()),
            "one_core": one_core(
                network, arguments.n, arguments.seed, arguments.batch_sizes, arguments.repeats
            ),
            "several_processes_per_second": on_processes(
                weights.resolve(), arguments.n, arguments.seed, arguments.processes,
                arguments.repeats,
            ),
        }  # fmt: skip
        results["priors"].append(found)
        rows += [
            [weights.name, "one core", x["batch_size"], x["per_second"], x["per_cpu_second"]]
            for x in found["one_core"]
        ]
        together = found["several_processes_per_second"]
        rows.append([weights.name, f"{arguments.processes} processes", BATCH_SIZE, together, "-"])
    print_table(["weights", "on", "batch", "molecules/s", "molecules/CPU second"], rows)
    print(write_results(__file__, results, seed=arguments.seed, out=arguments.out))


if __name__ == "__main__":
    main()
