"""Which executor a config asks for."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from molgen.config.campaign import LocalExecutorConfig, RayExecutorConfig
from molgen.runtime.executor import (
    Executor,
    InlineExecutor,
    ProcessSlot,
    QueueExecutor,
    WorkerPool,
)


def make_executor(
    config: LocalExecutorConfig | RayExecutorConfig, pools: Sequence[WorkerPool]
) -> Executor:
    """The executor that a config asks for; its workers are built when they are first needed.

    Raises:
        ConfigError: Ray cannot be reached or lacks the CPUs or GPUs asked for.
    """
    if isinstance(config, RayExecutorConfig):
        from molgen.runtime.ray_executor import make_ray_executor  # Ray takes seconds to import

        return make_ray_executor(config, pools)
    if config.n_workers == 1:
        return InlineExecutor(pools)
    recipe = pickle.dumps({pool.name: pool.make_worker for pool in pools})
    slots = [ProcessSlot(recipe) for _ in range(config.n_workers)]
    by_pools = {tuple(p.name for p in pools): slots}
    return QueueExecutor(pools, by_pools, max_inflight=config.max_inflight)
