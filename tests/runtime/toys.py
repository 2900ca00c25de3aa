"""Small workers for the tests of the executors; importable, so that they pickle."""

from __future__ import annotations

import functools
import multiprocessing as mp
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from molgen.errors import ScorerError
from molgen.runtime.executor import WorkerPool


class OddError(Exception):
    """Cannot be rebuilt from its pickle."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Toy:
    """A worker that can do everything a worker may do wrong."""

    def __init__(self, base: int, closed: str = "") -> None:
        self._base = base
        self._closed = closed

    def add(self, number: int) -> int:
        return self._base + number

    def sleep(self, seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    def touch_and_sleep(self, path: str, seconds: float) -> None:
        Path(path).write_text(str(os.getpid()))
        time.sleep(seconds)

    def start_and_sleep(self, path: str, seconds: float) -> None:
        """Start a process and do nothing; as a scorer does that spreads its molecules."""
        child = mp.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
        child.start()
        Path(path).write_text(str(child.pid))
        time.sleep(seconds)

    def die_once(self, marker: str) -> str:
        if not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    def die(self, tally: str) -> NoReturn:
        with Path(tally).open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def divide(self, number: int) -> float:
        return number / 0

    def give_up(self) -> NoReturn:
        raise ScorerError("the oracle is gone")

    def be_odd(self) -> NoReturn:
        raise OddError(1, 2)

    def leave(self) -> NoReturn:
        raise SystemExit(3)

    def hand_out_a_lambda(self) -> object:
        return lambda: None

    def n_threads(self) -> int:
        import torch

        return torch.get_num_threads()

    def sum_of_a_product(self, seed: int) -> float:
        """Depends on the number of threads, in its last digits."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(257, 511, generator=generator)
        return float((a @ a.T).exp().log1p().sum())

    def close(self) -> None:
        if self._closed:
            with Path(self._closed).open("a") as file:
                file.write("x")


def make_broken() -> Toy:
    raise ScorerError("cannot be built")


def toy_pools(n_workers: int, closed: str = "") -> list[WorkerPool]:
    """Two kinds of toys, and one that cannot be built."""
    return [
        WorkerPool("tens", functools.partial(Toy, 10, closed), n_workers, n_cpus=0.5),
        WorkerPool("hundreds", functools.partial(Toy, 100, closed), n_workers, n_cpus=0.5),
        WorkerPool("broken", make_broken, n_workers, n_cpus=0.5),
    ]
