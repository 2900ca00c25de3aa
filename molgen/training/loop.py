"""The training loop: it can stop and go on anywhere, alone or as one of several workers.

Needs PyTorch, numba and safetensors, but none of what reads structures and configs, so that a
training can go on where there is nothing else (see `slices`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from molgen.errors import ConfigError, DataError
from molgen.generator.network import GraphTransformer, NetworkSize, autocast
from molgen.generator.weights import (
    SHIPPED_PRIOR,
    below,
    load_network,
    network_state,
    save_network,
)
from molgen.graphs.packed import PackedMolecules
from molgen.graphs.vocabulary import Vocabulary
from molgen.runtime.checkpoint import load_checkpoint, save_checkpoint
from molgen.training.batches import Batch, batches, to_device
from molgen.training.muon import Muon

PIECE_BYTES = 15_000_000  # of a checkpoint's files at most
PACKED_FILE = "packed.npz"
_N_VALIDATION = 1024
# Against outliers only: usual norms are 5 to 20 and grow with the molecules' size. Batches hold
# molecules of like size, so clipping that acts always would teach small molecules more than large.
_CLIP_NORM = 50.0
_LOG_EVERY = 50
_CPU = torch.device("cpu")
_LATEST, _BEFORE_DECAY = "checkpoint", "checkpoint_before_decay"


@dataclass(frozen=True)
class Optimisation:
    """The section `training` of a pretraining config, as plain values; it says what they mean."""

    n_molecules: int
    batch_size: int
    learning_rate: float
    matrix_learning_rate: float
    warmup_steps: int
    decay_share: float
    weight_decay: float
    prompt_share: float
    bfloat16: bool | None  # None: where the device has instructions for it
    compile: bool
    n_threads: int
    n_workers: int
    checkpoint_every_s: float
    time_limit_s: float | None

    @property
    def n_steps(self) -> int:
        """Updates in all."""
        return math.ceil(self.n_molecules / self.batch_size)

    @property
    def first_decay_step(self) -> int:
        """The last step at the full rate; `n_steps` where there is no decay."""
        return self.n_steps - round(self.decay_share * self.n_steps)

    def rate_factor(self, step: int) -> float:
        """Share of the full learning rate at a step: warm-up, constant, linear decay to zero."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        decay_steps = max(1, round(self.decay_share * self.n_steps))
        return warm * min(1.0, (self.n_steps - step) / decay_steps)


@dataclass(frozen=True)
class Progress:
    """What the caller is told every few steps; `nats` is the running training loss."""

    n_molecules: int
    n_total: int
    nats: float
    molecules_per_s: float


@dataclass(frozen=True)
class Worker:
    """One of several that train together; torch.distributed connects them where there are more."""

    rank: int = 0
    n: int = 1
    device: torch.device = _CPU


def this_machine() -> Worker:
    """The only worker, on the GPU where there is one."""
    return Worker(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def starting_network(start_from: str | None) -> GraphTransformer | None:
    """The weights that a config's `start_from` names, if any.

    Raises:
        ModelFileError: they cannot be read.
    """
    return None if start_from is None else load_network(starting_file(start_from))


def starting_file(start_from: str) -> Path:
    """The weights file that a config's `start_from` names."""
    return SHIPPED_PRIOR if start_from == "shipped" else Path(start_from)


def new_network(config: Mapping[str, Any], vocabulary: Vocabulary) -> GraphTransformer:
    """A network of a config's size; the same seed gives the same weights."""
    torch.manual_seed(config["seed"])
    size = config["network"]
    return GraphTransformer(
        vocabulary,
        NetworkSize(
            size["width"], size["n_layers"], size["n_heads"], config["data"]["max_heavy_atoms"]
        ),
    )


class Run:
    """A training under way: network, optimisers, step."""

    def __init__(
        self, config: Mapping[str, Any], out_dir: Path, network: GraphTransformer,
        molecules: PackedMolecules, *, worker: Worker = Worker(),
    ) -> None:  # fmt: skip
        """Begin, or go on where a training in the same folder stopped.

        Args:
            config: a pretraining config as plain values.
            out_dir: gets checkpoint/, checkpoint_before_decay/, prior.safetensors, card.json.
            network: the weights to start from, on the CPU.
            molecules: training and validation set together.
            worker: which of several this is.

        Raises:
            ConfigError: the folder holds a training with another config, or there is no compiler
                for a compiled one.
            DataError: fewer molecules than workers.
        """
        self.config, self.out_dir, self.worker = config, out_dir, worker
        self.network = network.train().to(worker.device)
        data = SimpleNamespace(**config["data"])
        self.training, self.validation = split(molecules, data.validation_share, config["seed"])
        if len(self.training) < worker.n:
            raise DataError(f"{len(self.training)} training molecules for {worker.n} workers")
        options = Optimisation(**config["training"])
        # No batch is larger than the set, and the molecules seen are counted by batches.
        self.options = replace(options, batch_size=min(options.batch_size, len(self.training)))
        self.weights = out_dir / "prior.safetensors"
        self.optimisers = _optimisers(network, self.options)
        self.step = 0
        self._whole = True  # no update is half done, so that what there is may be saved
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._restore()
        self._log_prob = network.log_prob
        if self.options.compile:
            if not any(map(shutil.which, ("c++", "g++", "clang++"))):
                raise ConfigError(
                    "training.compile: needs a C++ compiler (g++ or clang++), and there is none; "
                    "install one or set training.compile=false"
                )
            # The rest of a pass has shapes that depend on the data, which the compiler cannot take.
            forward = torch.compile(network.forward, dynamic=True)
            self._log_prob = partial(network.log_prob, forward=forward)

    def train(
        self,
        on_progress: Callable[[Progress], None] = lambda p: None,
        on_metrics: Callable[[dict[str, float], int], None] = lambda m, step: None,
        must_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train until all molecules are seen, the time is up, or `must_stop` of the first worker.

        Args:
            on_progress: called every few steps.
            on_metrics: called at each checkpoint with the validation loss (nats a molecule, de
                novo orders) and molecules seen.
            must_stop: asked every few steps.
        """
        options = self.options
        began = saved = time.monotonic()
        before = self.seconds
        mean_nats = float("nan")
        for batch in self._batches():
            if self.step >= options.n_steps:
                break
            if self.step == options.first_decay_step < options.n_steps and self.step:
                self._save_checkpoint(_BEFORE_DECAY)
            now = time.monotonic()
            late = options.time_limit_s is not None and now - began > options.time_limit_s
            asked = self.step % _LOG_EVERY == 0 and must_stop()
            nats, stop = self._update(to_device(batch, self.worker.device), late or asked)
            mean_nats = nats if math.isnan(mean_nats) else 0.98 * mean_nats + 0.02 * nats
            self.step += 1
            self._whole = True
            self.seconds = before + time.monotonic() - began
            last = self.step == options.n_steps
            if self.step % _LOG_EVERY == 0 or last:
                on_progress(self._progress(mean_nats))
            if time.monotonic() - saved > options.checkpoint_every_s or last:
                self._validate(mean_nats, on_metrics)
                self.save()
                saved = time.monotonic()
            if stop:
                break

    def _batches(self) -> Iterator[Batch]:
        worker = self.worker
        on_gpu = worker.device.type == "cuda"
        return batches(
            self.training, batch_size=self.options.batch_size,
            prompt_share=self.options.prompt_share, max_atoms=self.network.size.max_atoms,
            seed=self.config["seed"], first_step=self.step, part=(worker.rank, worker.n),
            n_loaders=min(8, max(1, _n_cores() // worker.n - 1)) if on_gpu else 0,
        )  # fmt: skip

    def _update(self, batch: Batch, stop: bool) -> tuple[float, bool]:
        """One step; the loss of the whole batch, and whether any worker wants to stop."""
        with autocast(self.options.bfloat16, self.worker.device.type):
            action_BT, pointer_BT = self._log_prob(*batch)
        loss = -(action_BT.sum() + pointer_BT.sum()) / self.options.batch_size  # of all workers
        self.network.zero_grad()
        loss.backward()
        nats = float(loss.detach())
        if self.worker.n > 1:
            nats, stop = self._add_up(nats, stop)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        factor = self.options.rate_factor(self.step)
        self._whole = False
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * factor
            optimiser.step()
        return nats, stop

    def _add_up(self, nats: float, stop: bool) -> tuple[float, bool]:
        """Add up all workers' gradients, losses and wishes, so that all take the same step."""
        gradients = []
        for p in self.network.parameters():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            gradients.append(p.grad)
        rest = gradients[0].new_tensor([nats, stop])
        flat = torch.cat([*(g.flatten() for g in gradients), rest])
        distributed.all_reduce(flat)
        sums = flat.split([g.numel() for g in gradients] + [2])
        for gradient, total in zip(gradients, sums[:-1], strict=True):
            gradient.copy_(total.view_as(gradient))
        return float(sums[-1][0]), bool(sums[-1][1] > 0)

    def _progress(self, nats: float) -> Progress:
        seen = self.step * self.options.batch_size
        total = self.options.n_steps * self.options.batch_size
        return Progress(seen, total, nats, seen / max(self.seconds, 1e-9))

    def _validate(
        self, train_nats: float, on_metrics: Callable[[dict[str, float], int], None]
    ) -> None:
        if self.worker.rank > 0:
            return
        nats = validation_nats(self.network, self.validation, self.options.bfloat16)
        self.network.train()
        seen = self.step * self.options.batch_size
        metrics = {"validation_nats": nats, "train_nats": train_nats, "hours": self.seconds / 3600}
        self.history.append({"n_molecules": seen, **metrics})
        on_metrics(metrics, seen)

    def save(self) -> None:
        """Checkpoint, weights and card, each replaced atomically; of the first worker alone.

        After an interrupt in the middle of an update what was saved last stands.
        """
        if self.worker.rank > 0 or not self._whole:
            return
        self._save_checkpoint(_LATEST)
        save_network(self.network, self.weights)
        card = self.weights.with_name("card.json")
        temporary = card.with_name(f"{card.name}.part")
        temporary.write_text(json.dumps(self._card(), indent=1) + "\n")
        temporary.replace(card)

    def _save_checkpoint(self, name: str) -> None:
        if self.worker.rank > 0:
            return
        tensors = {f"network.{k}": v for k, v in network_state(self.network).items()}
        for place, optimiser in enumerate(self.optimisers):
            for number, entry in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{place}.{number}.{k}": v for k, v in entry.items()}
        state = {
            "step": self.step, "seconds": self.seconds, "history": self.history,
            "config": identity(self.config), "n_steps": self.options.n_steps,
            "first_decay_step": self.options.first_decay_step, "size": asdict(self.network.size),
        }  # fmt: skip
        save_checkpoint(self.out_dir / name, tensors=tensors, state=state, piece_bytes=PIECE_BYTES)

    def _restore(self) -> None:
        found = last_checkpoint(self.out_dir, self.config)
        if found is None:
            return
        state = found[1]
        # Going on at a rate that has fallen is a waste; a longer training leaves the fall out.
        decayed = state["step"] > state.get("first_decay_step", math.inf)
        if decayed and self.options.n_steps > state["n_steps"]:
            found = load_checkpoint(self.out_dir / _BEFORE_DECAY) or found
        tensors, state = found
        weights = below("network.", tensors)
        if _shapes(weights) != _shapes(self.network.state_dict()):
            raise ConfigError(
                f"{self.out_dir}: holds a training of another network or vocabulary; "
                "choose another --out folder"
            )
        self.network.load_state_dict(weights)
        for place, optimiser in enumerate(self.optimisers):
            entries: dict[int, dict[str, Tensor]] = {}
            for name, value in below(f"optimiser.{place}.", tensors).items():
                number, key = name.split(".", 1)
                entries.setdefault(int(number), {})[key] = value
            optimiser.load_state_dict(optimiser.state_dict() | {"state": entries})
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]

    def _card(self) -> dict[str, Any]:
        config = self.config
        info = {k: v for k, v in self.training.info.items() if k != "config"}
        return {
            "model": config["name"],
            "kind": "causal graph transformer with ring actions",
            "n_weights": sum(p.numel() for p in self.network.parameters()),
            "data": {"file": Path(config["data"]["file"]).name, "rows": config["data"]["rows"]}
            | info
            | {"n_validation": len(self.validation)},
            "started_from": config["start_from"],
            "n_molecules_seen": self.step * self.options.batch_size,
            "hours": round(self.seconds / 3600, 3),
            "config": dict(config),
            "history": self.history,
            "seed": config["seed"],
            "licence": "weights: CC BY-SA 3.0 where trained on ChEMBL (its terms, not verified "
            "with its owner); code: Apache-2.0",
            "intended_use": "proposing structures for computational design; a proposal is not a "
            "prediction of activity, safety or synthesisability",
            "date": datetime.now(UTC).date().isoformat(),
        }


def last_checkpoint(
    out_dir: Path, config: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The checkpoint of a training's folder, if there is one.

    Raises:
        ConfigError: it is of another config's training.
        ModelFileError: it is broken.
    """
    found = load_checkpoint(out_dir / _LATEST)
    if found is not None and found[1]["config"] != identity(config):
        raise ConfigError(
            f"{out_dir}: holds a training with other data or another network; "
            "choose another --out folder"
        )
    return found


def split(
    molecules: PackedMolecules, share: float, seed: int
) -> tuple[PackedMolecules, PackedMolecules]:
    """Random training and validation parts, at least one molecule each; DataError for one alone."""
    if len(molecules) < 2:
        raise DataError("training needs at least two usable molecules, one of them to validate on")
    order = np.random.default_rng([seed, 7]).permutation(len(molecules))
    n_validation = min(max(1, round(share * len(molecules))), max(1, len(molecules) - 1))
    return molecules.subset(np.sort(order[n_validation:])), molecules.subset(order[:n_validation])


def validation_nats(
    network: GraphTransformer, molecules: PackedMolecules, bfloat16: bool | None
) -> float:
    """Mean negative log-likelihood of building orders, nats a molecule, de novo.

    An upper bound on the molecules' own, since each has many orders. Always the same orders.
    """
    network.eval()
    device = network.action_bias.device
    batch_size = min(64, len(molecules))
    n_batches = math.ceil(min(_N_VALIDATION, len(molecules)) / batch_size)
    stream = batches(
        molecules, batch_size=batch_size, prompt_share=0.0,
        max_atoms=network.size.max_atoms, seed=0,
    )  # fmt: skip
    total = 0.0
    with torch.no_grad(), autocast(bfloat16, device.type):
        for _ in range(n_batches):
            action_BT, pointer_BT = network.log_prob(*to_device(next(stream), device))
            total -= float(action_BT.sum() + pointer_BT.sum())
    return total / (n_batches * batch_size)


def identity(config: Mapping[str, Any]) -> str:
    """What must not change when a training goes on: the data, the network, the seed."""
    parts = {k: config[k] for k in ("data", "network", "seed", "start_from")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _n_cores() -> int:
    return len(os.sched_getaffinity(0))


def _optimisers(network: GraphTransformer, options: Optimisation) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the rest.

    The rate of each is a share of its own `defaults["lr"]`.
    """
    matrices = [p for p in network.blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    decay = options.weight_decay
    return [
        Muon(
            matrices,
            lr=options.matrix_learning_rate,
            weight_decay=decay,
            bfloat16=options.bfloat16,
        ),
        torch.optim.AdamW(
            rest, lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=decay, fused=True
        ),
    ]
