"""Workers as Ray actors; the only place, with `molgen.training`, that knows Ray."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import re
import socket
import sys
from collections.abc import Sequence
from typing import Any

from molgen.config.campaign import RayExecutorConfig
from molgen.errors import ConfigError
from molgen.runtime.executor import (
    ONE_THREAD,
    QueueExecutor,
    WorkerHost,
    WorkerPool,
    run_call,
)

_log = logging.getLogger(__name__)
_CONNECT_TIME_S = 10.0
_PATIENCE_S = 60.0  # for an actor to start, before the user is told


def make_ray_executor(config: RayExecutorConfig, pools: Sequence[WorkerPool]) -> QueueExecutor:
    """Start Ray on this machine, or connect to `config.address`; actors start when needed.

    A Ray that this process already uses is used and left running.

    Raises:
        ConfigError: Ray cannot be reached or lacks the CPUs or GPUs asked for.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Workers are told their device; Ray would warn that actors with num_gpus=0 will see GPUs.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    started = not ray.is_initialized()
    if started:
        _start(config.address, pools)
    try:
        _check_resources(pools)
    except ConfigError:
        if started:
            ray.shutdown()
        raise
    return QueueExecutor(
        pools,
        {(pool.name,): [RaySlot(pool) for _ in range(pool.n_workers)] for pool in pools},
        max_inflight=config.max_inflight,
        on_close=ray.shutdown if started else None,
    )


class _Actor:
    """Hosts one worker of one pool in a Ray process."""

    def __init__(self, recipe: bytes, python_path: Sequence[str]) -> None:
        os.environ.update(ONE_THREAD)
        sys.path.extend(p for p in python_path if p not in sys.path)
        self._host = WorkerHost(pickle.loads(recipe))  # pickled by our own driver

    def call(self, call: bytes) -> bytes:
        pool, method, args = pickle.loads(call)  # pickled by our own driver
        return run_call(self._host, pool, method, args)

    def close(self) -> None:
        self._host.close()


class RaySlot:
    """An actor of one pool, replaced by a new one when it dies."""

    def __init__(self, pool: WorkerPool) -> None:
        """Keep the recipe; the actor starts with the first call."""
        self.how_it_died = ""
        self._pool = pool
        self._recipe = pickle.dumps({pool.name: pool.make_worker})
        self._actor: Any = None

    def ask(self, call: bytes) -> bytes | None:
        """See `Slot`."""
        import ray

        if self._actor is None:
            remote = ray.remote(_Actor).options(
                num_cpus=self._pool.n_cpus, num_gpus=self._pool.n_gpus
            )
            self._actor = remote.remote(self._recipe, sys.path)
            ready = self._actor.__ray_ready__.remote()
            if not ray.wait([ready], timeout=_PATIENCE_S)[0]:
                _log.warning(
                    "Ray has not found room for a %r worker yet (%g CPUs, %g GPUs): is the cluster "
                    "busy? Waiting.",
                    self._pool.name,
                    self._pool.n_cpus,
                    self._pool.n_gpus,
                )
        try:
            outcome: bytes = ray.get(self._actor.call.remote(call))
            return outcome
        except ray.exceptions.RayError as error:  # of Ray: what a worker raises is in the outcome
            self.how_it_died = " ".join(str(error).split())[:500]
        self.kill()
        self._actor = None
        return None

    def close(self) -> None:
        """See `Slot`."""
        import ray

        if self._actor is None:
            return
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self._actor.close.remote())
        self.kill()

    def kill(self) -> None:
        """See `Slot`."""
        import ray

        if (actor := self._actor) is not None:
            ray.kill(actor)


def _start(address: str | None, pools: Sequence[WorkerPool]) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # Resources of a local Ray are mere numbers: room for all the actors that were asked for.
        n_cpus = max(os.cpu_count() or 1, math.ceil(sum(p.n_cpus * p.n_workers for p in pools)))
        ray.init("local", num_cpus=n_cpus, include_dashboard=False, **quiet)
        return
    try:
        if place := re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address):
            # Ray itself would try for minutes.
            socket.create_connection((place[1], int(place[2])), timeout=_CONNECT_TIME_S).close()
        ray.init(address, **quiet)
    except (OSError, ImportError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"executor.address: cannot reach Ray at {address!r}: {reason}") from error


def _check_resources(pools: Sequence[WorkerPool]) -> None:
    """Actors that can never fit would wait for ever."""
    import ray

    have = ray.cluster_resources()  # type: ignore[no-untyped-call]  # ray has no types here
    for name, need in (
        ("CPU", sum(p.n_cpus * p.n_workers for p in pools)),
        ("GPU", sum(p.n_gpus * p.n_workers for p in pools)),
    ):
        if need > have.get(name, 0.0):
            raise ConfigError(
                f"executor: the workers need {need:g} {name}s and Ray has {have.get(name, 0.0):g}; "
                "lower executor.n_workers or what a worker asks for"
            )
