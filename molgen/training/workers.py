"""Several workers train one network together, through Ray Train.

Each draws its part of every batch, and gradients are added up, so n workers take the same steps
as one (up to rounding). All of them read packed.npz and the checkpoint from the training's
folder, which several machines must share; the first one writes there.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from molgen.errors import ConfigError, MolgenError
from molgen.training.loop import (
    PACKED_FILE,
    Progress,
    Run,
    Worker,
    last_checkpoint,
    new_network,
    starting_network,
)

_RAY_FOLDER = "ray_train"  # Ray Train wants one; it keeps nothing there
_POLL_S = 0.2
_STOP_TIME_S = 120.0  # for the workers to save, once they are asked to stop


def train_with_workers(
    config: Mapping[str, Any],
    out_dir: Path,
    *,
    on_progress: Callable[[Progress], None],
    on_metrics: Callable[[dict[str, float], int], None],
) -> Path:
    """Train with `training.n_workers` workers; otherwise like `pretraining.pretrain`.

    Starts Ray on this machine, or uses the one that runs, or that RAY_ADDRESS names. Workers get
    a GPU each where Ray has enough of them. On Ctrl-C they save before they end.

    Args:
        config: a pretraining config as plain values.
        out_dir: holds packed.npz.
        on_progress: called every few steps.
        on_metrics: called at each checkpoint.

    Returns:
        The weights file.

    Raises:
        ConfigError: Ray has not as many CPUs as workers are asked for, or what `Run` raises.
    """
    last_checkpoint(out_dir, config)  # where it is not ours, say so before Ray starts
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # paths in the config are relative to here
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
    import ray

    started = not ray.is_initialized()
    n_workers = config["training"]["n_workers"]
    if started:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if "RAY_ADDRESS" not in os.environ:
            # Resources of a local Ray are mere numbers: room for all the workers asked for.
            quiet |= {"num_cpus": max(n_workers, os.cpu_count() or 1), "include_dashboard": False}
        ray.init(**quiet)
    try:
        return _train(config, out_dir.resolve(), n_workers, on_progress, on_metrics)
    finally:
        shutil.rmtree(out_dir / _RAY_FOLDER, ignore_errors=True)
        if started:
            ray.shutdown()


class _Mailbox:
    """Carries what the first worker has to tell to the caller, and back the wish to stop."""

    def __init__(self) -> None:
        self.stop = False
        self.messages: list[tuple[Any, ...]] = []

    def put(self, *message: Any) -> None:
        self.messages.append(message)

    def take(self) -> list[tuple[Any, ...]]:
        taken, self.messages = self.messages, []
        return taken

    def ask_to_stop(self) -> None:
        self.stop = True

    def must_stop(self) -> bool:
        return self.stop


def _train(
    config: Mapping[str, Any], out_dir: Path, n_workers: int,
    on_progress: Callable[[Progress], None], on_metrics: Callable[[dict[str, float], int], None],
) -> Path:  # fmt: skip
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    there = ray.cluster_resources()
    if there.get("CPU", 0) < n_workers:
        raise ConfigError(
            f"training.n_workers: {n_workers} workers, but Ray has {there.get('CPU', 0):g} CPUs"
        )
    mailbox: Any = ray.remote(_Mailbox).options(num_cpus=0).remote()
    trainer = TorchTrainer(
        _work,
        train_loop_config={"config": dict(config), "out_dir": str(out_dir), "mailbox": mailbox},
        scaling_config=ScalingConfig(
            num_workers=n_workers, use_gpu=there.get("GPU", 0) >= n_workers
        ),
        run_config=RunConfig(name=_RAY_FOLDER, storage_path=str(out_dir)),
    )
    failures: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:  # raised again below, in the caller's thread
            failures.append(error)

    def pass_on() -> None:
        for kind, *content in ray.get(mailbox.take.remote()):
            if kind == "progress":
                on_progress(*content)
            elif kind == "metrics":
                on_metrics(*content)
            else:
                failures.insert(0, *content)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            pass_on()
            time.sleep(_POLL_S)
    except BaseException:
        ray.get(mailbox.ask_to_stop.remote())
        thread.join(_STOP_TIME_S)
        raise
    pass_on()
    if failures:
        raise failures[0]
    return out_dir / "prior.safetensors"


def _work(task: Mapping[str, Any]) -> None:
    """What each worker does; a user's fault goes to the mailbox, so that it stays one line."""
    import ray
    import ray.train
    from ray.train.torch import get_device

    mailbox, context = task["mailbox"], ray.train.get_context()
    worker = Worker(context.get_world_rank(), context.get_world_size(), get_device())
    try:
        run = _begin(task["config"], Path(task["out_dir"]), worker)
        try:
            run.train(
                on_progress=lambda p: _tell(mailbox, worker, "progress", p),
                on_metrics=lambda m, n: _tell(mailbox, worker, "metrics", m, n),
                must_stop=lambda: worker.rank == 0 and ray.get(mailbox.must_stop.remote()),
            )
        finally:
            run.save()
    except MolgenError as error:
        _tell(mailbox, worker, "error", error)
        raise


def _begin(config: dict[str, Any], out_dir: Path, worker: Worker) -> Run:
    import torch

    from molgen.graphs.packed import PackedMolecules

    torch.set_num_threads(config["training"]["n_threads"])
    molecules = PackedMolecules.load(out_dir / PACKED_FILE)
    network = starting_network(config["start_from"]) or new_network(config, molecules.vocabulary)
    return Run(config, out_dir, network, molecules, worker=worker)


def _tell(mailbox: Any, worker: Worker, *message: Any) -> None:
    import ray

    if worker.rank == 0:
        ray.get(mailbox.put.remote(*message))
