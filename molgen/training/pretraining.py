"""Train the generator on structures: pack once, then a loop that can stop and go on anywhere."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molgen.config.pretraining import OptimisationConfig, PretrainingConfig, StructuresConfig
from molgen.errors import ConfigError, DataError
from molgen.generator.network import Goals, GraphTransformer, NetworkSize, Tokens, autocast
from molgen.generator.weights import below, load_network, network_state, save_network
from molgen.graphs.dataset import PackedMolecules, pack
from molgen.runtime.checkpoint import load_checkpoint, save_checkpoint
from molgen.training.batches import batches

_N_VALIDATION = 1024
_CLIP_NORM = 1.0
_LOG_EVERY = 50


@dataclass
class Progress:
    """What the caller is told after each step; `nats` is the running training loss."""

    n_molecules: int
    n_total: int
    nats: float
    molecules_per_s: float


def pretrain(
    config: PretrainingConfig,
    out_dir: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda p: None,
    on_packing: Callable[[int, int], None] = lambda done, total: None,
    on_metrics: Callable[[dict[str, float], int], None] = lambda m, step: None,
) -> Path:
    """Train a generator; called again with the same folder it continues where it stopped.

    Args:
        config: data, network and schedule.
        out_dir: gets packed.npz, checkpoint/, prior.safetensors and card.json.
        on_progress: called every few steps.
        on_packing: called with (lines read, lines in all) while structures are packed.
        on_metrics: called with the validation loss (nats a molecule, de novo orders) and
            molecules seen.

    Returns:
        The weights file. Stopped by the time limit or Ctrl-C it holds the weights so far, and
        the card says how many molecules they have seen.

    Raises:
        DataError: the structures cannot be read, or none is usable.
        ConfigError: the folder belongs to another config.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.training.n_threads)
    start = None if config.start_from is None else load_network(Path(config.start_from))
    molecules = _packed(config, out_dir, start, on_packing)
    torch.manual_seed(config.seed)
    size = NetworkSize(
        config.network.width, config.network.n_layers, config.network.n_heads,
        config.data.max_heavy_atoms,
    )  # fmt: skip
    network = start or GraphTransformer(molecules.vocabulary, size)
    run = _Run(config, out_dir, network, molecules)
    try:
        run.train(on_progress, on_metrics)
    finally:
        run.save()
    return run.weights


class _Run:
    """A training under way: network, optimiser, step."""

    def __init__(
        self, config: PretrainingConfig, out_dir: Path, network: GraphTransformer,
        molecules: PackedMolecules,
    ) -> None:  # fmt: skip
        self.config, self.out_dir, self.network = config, out_dir, network.train()
        self.training, self.validation = split(molecules, config.data.validation_share, config.seed)
        self.weights = out_dir / "prior.safetensors"
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.training.learning_rate, betas=(0.9, 0.98),
            weight_decay=config.training.weight_decay,
        )  # fmt: skip
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._restore()

    def train(
        self,
        on_progress: Callable[[Progress], None],
        on_metrics: Callable[[dict[str, float], int], None],
    ) -> None:
        options = self.config.training
        n_steps = math.ceil(options.n_molecules / options.batch_size)
        stream = batches(
            self.training, batch_size=options.batch_size, prompt_share=options.prompt_share,
            max_atoms=self.network.size.max_atoms, seed=self.config.seed, first_step=self.step,
        )  # fmt: skip
        began = saved = time.monotonic()
        before = self.seconds
        mean_nats = float("nan")
        for tokens, goals in stream:
            if self.step >= n_steps:
                break
            nats = self._update(tokens, goals, _rate(self.step, n_steps, options))
            self.step += 1
            mean_nats = nats if math.isnan(mean_nats) else 0.98 * mean_nats + 0.02 * nats
            now = time.monotonic()
            self.seconds = before + now - began
            if self.step % _LOG_EVERY == 0 or self.step == n_steps:
                seen = self.step * options.batch_size
                speed = seen / max(self.seconds, 1e-9)
                on_progress(Progress(seen, n_steps * options.batch_size, mean_nats, speed))
            if now - saved > options.checkpoint_every_s or self.step == n_steps:
                self._validate(mean_nats, on_metrics)
                self.save()
                saved = time.monotonic()
            if options.time_limit_s is not None and now - began > options.time_limit_s:
                break

    def _update(self, tokens: Tokens, goals: Goals, rate: float) -> float:
        with autocast(self.config.training.bfloat16):
            action_BT, pointer_BT = self.network.log_prob(tokens, goals)
        loss = -(action_BT.sum() + pointer_BT.sum()) / len(action_BT)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        return float(loss.detach())

    def _validate(
        self, train_nats: float, on_metrics: Callable[[dict[str, float], int], None]
    ) -> None:
        nats = validation_nats(self.network, self.validation, self.config.training.bfloat16)
        self.network.train()
        seen = self.step * self.config.training.batch_size
        metrics = {"validation_nats": nats, "train_nats": train_nats, "hours": self.seconds / 3600}
        self.history.append({"n_molecules": seen, **metrics})
        on_metrics(metrics, seen)

    def save(self) -> None:
        """Checkpoint, weights and card, each replaced atomically."""
        tensors = {f"network.{k}": v for k, v in network_state(self.network).items()}
        for number, entry in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": v for k, v in entry.items()}
        state = {
            "step": self.step, "seconds": self.seconds, "history": self.history,
            "config": _identity(self.config),
        }  # fmt: skip
        save_checkpoint(self.out_dir / "checkpoint", tensors=tensors, state=state)
        save_network(self.network, self.weights)
        card = self.weights.with_name("card.json")
        card.write_text(json.dumps(self._card(), indent=1) + "\n")

    def _restore(self) -> None:
        found = load_checkpoint(self.out_dir / "checkpoint")
        if found is None:
            return
        tensors, state = found
        if state["config"] != _identity(self.config):
            raise ConfigError(
                f"{self.out_dir}: holds a training with other data or another network; "
                "choose another --out folder"
            )
        self.network.load_state_dict(below("network.", tensors))
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in below("optimiser.", tensors).items():
            number, key = name.split(".", 1)
            entries.setdefault(int(number), {})[key] = value
        loaded = self.optimiser.state_dict()
        loaded["state"] = entries
        self.optimiser.load_state_dict(loaded)
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]

    def _card(self) -> dict[str, Any]:
        config = self.config
        return {
            "model": config.name,
            "kind": "causal graph transformer with ring actions",
            "n_weights": sum(p.numel() for p in self.network.parameters()),
            "data": {"file": Path(config.data.file).name, "rows": config.data.rows}
            | self.training.info
            | {"n_validation": len(self.validation)},
            "started_from": config.start_from,
            "n_molecules_seen": self.step * config.training.batch_size,
            "hours": round(self.seconds / 3600, 3),
            "config": config.model_dump(),
            "history": self.history,
            "seed": config.seed,
            "licence": "weights: CC BY-SA 3.0 where trained on ChEMBL (its terms, not verified "
            "with its owner); code: Apache-2.0",
            "intended_use": "proposing structures for computational design; a proposal is not a "
            "prediction of activity, safety or synthesisability",
            "date": datetime.now(UTC).date().isoformat(),
        }


def split(
    molecules: PackedMolecules, share: float, seed: int
) -> tuple[PackedMolecules, PackedMolecules]:
    """Random training and validation parts; at least one molecule each."""
    order = np.random.default_rng([seed, 7]).permutation(len(molecules))
    n_validation = min(max(1, round(share * len(molecules))), max(1, len(molecules) - 1))
    return molecules.subset(np.sort(order[n_validation:])), molecules.subset(order[:n_validation])


def validation_nats(network: GraphTransformer, molecules: PackedMolecules, bfloat16: bool) -> float:
    """Mean negative log-likelihood of random building orders, nats a molecule.

    An upper bound on the molecules' own, since each has many orders. Always the same orders.
    """
    network.eval()
    batch_size = min(64, len(molecules))
    n_batches = math.ceil(min(_N_VALIDATION, len(molecules)) / batch_size)
    stream = batches(
        molecules, batch_size=batch_size, prompt_share=0.0,
        max_atoms=network.size.max_atoms, seed=0,
    )  # fmt: skip
    total = 0.0
    with torch.no_grad(), autocast(bfloat16):
        for _ in range(n_batches):
            action_BT, pointer_BT = network.log_prob(*next(stream))
            total -= float(action_BT.sum() + pointer_BT.sum())
    return total / (n_batches * batch_size)


def read_structures(config: StructuresConfig) -> list[str]:
    """The SMILES that a config names.

    Raises:
        DataError: no such file, column or kind of file, or a query that pandas refuses.
    """
    import pandas as pd

    path = _find_file(config.file)
    try:
        if path.suffix == ".smi":
            if config.rows is not None:
                raise DataError(f"{path}: data.rows needs a table with columns, not a .smi file")
            return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix in (".csv", ".tsv"):
            table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
        else:
            raise DataError(f"{path}: expected .smi, .csv, .tsv or .parquet")
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise of a broken file
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if config.rows is not None:
        try:
            table = table.query(config.rows)
        except Exception as error:  # pandas raises anything here, all of it the query's fault
            raise DataError(f"{path}: data.rows {config.rows!r} fails: {error}") from error
    if config.smiles_column not in table:
        raise DataError(f"{path}: no column {config.smiles_column!r}; it has {list(table)}")
    return [str(s) for s in table[config.smiles_column].dropna()]


def _find_file(name: str) -> Path:
    places = [Path(name)]
    if "MOLGEN_DATA" in os.environ:
        places.append(Path(os.environ["MOLGEN_DATA"]) / name)
    for place in places:
        if place.is_file():
            return place
    hint = "" if len(places) == 2 else "; set MOLGEN_DATA to the folder that holds it"
    raise DataError(f"data.file: {' and '.join(map(str, places))} not found{hint}")


def _packed(
    config: PretrainingConfig, out_dir: Path, start: GraphTransformer | None,
    on_packing: Callable[[int, int], None],
) -> PackedMolecules:  # fmt: skip
    file = out_dir / "packed.npz"
    wanted = _identity(config)
    if file.exists():
        packed = PackedMolecules.load(file)
        if packed.info.get("identity") == wanted:
            return packed
    smiles = read_structures(config.data)
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        on_packing(done, len(smiles))

    packed = pack(
        smiles, max_atoms=config.data.max_heavy_atoms, n_rooted_rings=config.data.n_rooted_rings,
        min_atom_count=config.data.min_atom_count,
        vocabulary=None if start is None else start.vocabulary,
        n_processes=config.training.n_threads, on_progress=count,
    )  # fmt: skip
    packed.info["identity"] = wanted
    packed.info["sha256"] = hashlib.sha256(_find_file(config.data.file).read_bytes()).hexdigest()
    packed.save(file)
    return packed


def _identity(config: PretrainingConfig) -> str:
    """What must not change when a training goes on: the data, the network, the seed."""
    parts = config.model_dump(include={"data", "network", "seed", "start_from"})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rate(step: int, n_steps: int, options: OptimisationConfig) -> float:
    warm = min(1.0, (step + 1) / max(1, options.warmup_steps))
    decay_steps = max(1, round(options.decay_share * n_steps))
    return options.learning_rate * warm * min(1.0, (n_steps - step) / decay_steps)
