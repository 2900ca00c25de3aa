"""Predictions for many rows: in this process, in processes beside it, or on Ray.

Chunks of rows go out in order and come back in order, a few of them under way at a time, so a
file of any length fits in memory and the result is the same on any number of workers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from molgen.config.campaign import LocalExecutorConfig, RayExecutorConfig
from molgen.errors import ConfigError
from molgen.objectives import SHIPPED_PREDICTORS
from molgen.runtime.executor import Executor, WorkerPool
from molgen.runtime.executors import make_executor

if TYPE_CHECKING:
    import pandas as pd

    from property_models import Predictor

MIN_CHUNKS = 5  # for fewer, starting processes takes longer than predicting
_AHEAD = 2  # chunks under way for each worker
_POOL = "predictors"


class Rows(Protocol):
    """Some rows of a file."""

    @property
    def readable(self) -> list[str]:
        """SMILES of each row, '' where it cannot be read."""


T = TypeVar("T", bound=Rows)


def known_endpoints(folder: Path | None, endpoints: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder of predictors and what to predict; all there is where nothing is named.

    Args:
        folder: None is the folder of the shipped ones.
        endpoints: Names; empty: all.

    Raises:
        ConfigError: The folder holds no predictor.
        property_models.errors.PropertyModelError: The folder or an endpoint is missing.
    """
    from property_models.predictor import available, check_known

    root = SHIPPED_PREDICTORS if folder is None else folder
    names = list(endpoints) or available(root)
    if not names:
        raise ConfigError(f"{root}: holds no predictor; make one with `molgen train-predictor`")
    check_known(root, names)
    return root, names


def open_predictors(folder: Path | None, endpoints: Sequence[str]) -> dict[str, Predictor]:
    """The named predictors, or all of the folder; see `known_endpoints`."""
    from property_models import load_predictors

    return load_predictors(*known_endpoints(folder, endpoints))


class PredictionWorker:
    """Holds the predictors."""

    def __init__(self, folder: Path | None, endpoints: Sequence[str]) -> None:
        self._predictors = open_predictors(folder, endpoints)

    def predict(self, smiles: Sequence[str]) -> pd.DataFrame:
        """The table of `property_models.predict_table`."""
        from property_models import predict_table

        return predict_table(self._predictors, smiles)


def predicted(
    chunks: Iterator[T],
    *,
    folder: Path | None,
    endpoints: Sequence[str],
    n_processes: int | None = None,
    ray: str | None = None,
) -> Generator[tuple[T, pd.DataFrame], None, None]:
    """Each chunk with its predictions, in order.

    Args:
        chunks: Rows.
        folder: Of the predictors; None: the shipped ones.
        endpoints: What to predict; empty: everything there is a predictor for.
        n_processes: That predict, on Ray actors; None: one for each core. Processes are started
            for `MIN_CHUNKS` or more alone.
        ray: 'local' starts Ray on this machine, an address (ray://head:10001, auto) connects to
            one whose nodes can read the folder; None: no Ray.
    """
    n_workers = n_processes or len(os.sched_getaffinity(0))
    head = list(islice(chunks, MIN_CHUNKS))
    chunks = chain(head, chunks)
    make_worker = partial(PredictionWorker, folder, list(endpoints))
    if ray is None and (n_workers == 1 or len(head) < MIN_CHUNKS):
        worker = make_worker()
        for chunk in chunks:
            yield chunk, worker.predict(chunk.readable)
        return
    known_endpoints(folder, endpoints)  # a wrong name need not cost the start of processes
    executor = _executor(WorkerPool(_POOL, make_worker, n_workers), ray)
    try:
        yield from _in_order(chunks, executor, _AHEAD * n_workers)
    finally:
        executor.close()


def _executor(pool: WorkerPool, ray: str | None) -> Executor:
    n, ahead = pool.n_workers, _AHEAD * pool.n_workers
    if ray is None:
        return make_executor(LocalExecutorConfig(n_workers=n, max_inflight=ahead), [pool])
    address = None if ray == "local" else ray
    config = RayExecutorConfig(kind="ray", address=address, n_workers=n, max_inflight=ahead)
    return make_executor(config, [pool])


def _in_order(
    chunks: Iterator[T], executor: Executor, n_ahead: int
) -> Iterator[tuple[T, pd.DataFrame]]:
    sent = ((chunk, executor.submit(_POOL, "predict", chunk.readable)) for chunk in chunks)
    pending = deque(islice(sent, n_ahead))
    while pending:
        chunk, future = pending.popleft()
        yield chunk, future.result()
        pending.extend(islice(sent, 1))
