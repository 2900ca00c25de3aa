"""Workers behind one small interface: in this process, in processes beside it, or on Ray.

A pool is a recipe for workers (`make_worker`); a call names the pool, the method and its
arguments, and gives the same result on whichever worker it runs. Every call runs with one thread
of torch, BLAS and OpenMP, so that sums are rounded alike everywhere. Workers that have a `close`
method get it called at the end.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing as mp
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future as StdFuture
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Protocol

from molgen.errors import MolgenError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

MAX_ATTEMPTS = 3  # times a call is sent before the death of its workers becomes an error
_CLOSE_TIME_S = 5.0  # for calls under way and for workers' own close()
_WATCH_INTERVAL_S = 0.5
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

Future = StdFuture[Any]  # an answer that may still be on its way
_Queue = queue.SimpleQueue[tuple[bytes, int, Future] | None]  # call, attempts, answer


@dataclass(frozen=True)
class WorkerPool:
    """A kind of worker; `make_worker` must be picklable.

    Ray starts `n_workers` of it and gives each `n_cpus` and `n_gpus`. The local executors ignore
    the three: each of their processes has one worker of every pool. A call that kills its worker
    is sent `max_attempts` times in all.
    """

    name: str
    make_worker: Callable[[], Any]
    n_workers: int
    n_cpus: float = 1.0
    n_gpus: float = 0.0
    max_attempts: int = MAX_ATTEMPTS


class Executor(Protocol):
    """Runs calls on pools of workers."""

    def submit(self, pool: str, method: str, *args: Any) -> Future:
        """Send a call; blocks while `max_inflight` calls are under way."""

    def close(self) -> None:
        """End the workers; calls still under way are given up."""


class WorkerDiedError(MolgenError):
    """A call killed every worker it was sent to; the run can be resumed.

    Attributes:
        how: how the last of them died.
    """

    exit_code = 3

    def __init__(self, n_attempts: int, how: str) -> None:
        times = "once" if n_attempts == 1 else f"{n_attempts} times"
        super().__init__(
            f"a worker process died {times} on the same call ({how}); look for lack of memory "
            "(executor.n_workers, shard sizes) or a crash of a native library in a scorer, then "
            "resume the run"
        )
        self.how = how


class WorkerTracebackError(Exception):
    """The traceback of an exception in another process, as its cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


# ------------------------------------------------------------------ what runs beside the workers


class WorkerHost:
    """One worker of every pool, each built at its first call."""

    def __init__(self, makers: dict[str, Callable[[], Any]]) -> None:
        self._makers = makers
        self._workers: dict[str, Any] = {}

    def call(self, pool: str, method: str, args: Sequence[Any]) -> Any:
        """Run one call with one thread."""
        with _one_thread():
            try:
                if pool not in self._workers:
                    self._workers[pool] = self._makers[pool]()
                return getattr(self._workers[pool], method)(*args)
            except SystemExit as error:  # a user's scorer must not end the run in silence
                raise RuntimeError(f"the worker called {error!r}") from error

    def close(self) -> None:
        """Close the workers that can be closed."""
        for worker in self._workers.values():
            if hasattr(worker, "close"):
                worker.close()
        self._workers.clear()


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of every numerical library that is loaded, as before afterwards."""
    torch = sys.modules.get("torch")
    n_threads = torch.get_num_threads() if torch else None
    with _numerical_libraries(len(sys.modules)).limit(limits=1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(n_threads)


@lru_cache(maxsize=1)
def _numerical_libraries(n_modules: int) -> ThreadpoolController:
    """What is loaded; looked for anew, which takes 10 ms, only where modules came since."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def run_call(host: WorkerHost, pool: str, method: str, args: Sequence[Any]) -> bytes:
    """Run a call far from the driver; the outcome, pickled, is for `open_outcome`."""
    try:
        return pickle.dumps((host.call(pool, method, args), None, ""))
    except Exception as error:
        text = traceback.format_exc()
        try:
            outcome = pickle.dumps((None, error, text))
            pickle.loads(outcome)  # our own bytes; some exceptions cannot be rebuilt
            return outcome
        except Exception:
            return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}"), text))


def open_outcome(outcome: bytes) -> Any:
    """The result of a far call; what it raised is raised again, the traceback text as cause."""
    value, error, text = pickle.loads(outcome)  # written by our own worker
    if error is not None:
        raise error from WorkerTracebackError(text)
    return value


# -------------------------------------------------------------------------- in the driver itself


class InlineExecutor:
    """Runs each call at once, in the driver's process."""

    def __init__(self, pools: Sequence[WorkerPool]) -> None:
        """Build nothing yet."""
        # A worker that loads torch within its first call would run that call with many threads.
        import torch  # noqa: F401

        self._host = WorkerHost({pool.name: pool.make_worker for pool in pools})

    def submit(self, pool: str, method: str, *args: Any) -> Future:
        """Run the call now; its exception waits for `result`."""
        future = Future()
        try:
            future.set_result(self._host.call(pool, method, args))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Close the workers."""
        self._host.close()


# --------------------------------------------------------------------------- beside the driver


class Slot(Protocol):
    """A place for one worker process, which is replaced when it dies."""

    how_it_died: str

    def ask(self, call: bytes) -> bytes | None:
        """Send a call to the process, starting one if need be; None if the process died."""

    def close(self) -> None:
        """Let the process close its workers and end; called by the thread that asks."""

    def kill(self) -> None:
        """End the process at once, whatever it does; called by any thread."""


class QueueExecutor:
    """Hands calls to slots through queues.

    A thread for each slot takes calls from its queue one at a time, so a call that kills its
    process takes no other call with it. It is sent as often as its pool allows.
    """

    def __init__(
        self,
        pools: Sequence[WorkerPool],
        slots: Mapping[tuple[str, ...], Sequence[Slot]],
        *,
        max_inflight: int,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Serve the pools of each key by the slots beside it; `on_close` is called at the end."""
        self._max_attempts = {pool.name: pool.max_attempts for pool in pools}
        self._places = threading.BoundedSemaphore(max_inflight)
        self._closed = threading.Event()
        self._on_close = on_close
        self._queues: dict[str, _Queue] = {}
        self._slots: list[Slot] = []
        self._threads: list[threading.Thread] = []
        for names, group in slots.items():
            calls: _Queue = queue.SimpleQueue()
            self._queues.update(dict.fromkeys(names, calls))
            for slot in group:
                self._slots.append(slot)
                self._threads.append(
                    threading.Thread(target=self._serve, args=(calls, slot), daemon=True)
                )
        for thread in self._threads:
            thread.start()
        # Without this, threads would replace the processes that the interpreter ends at its exit.
        atexit.register(self.close)

    def submit(self, pool: str, method: str, *args: Any) -> Future:
        """Queue a call; blocks while `max_inflight` calls are unfinished."""
        calls = self._queues[pool]
        call = pickle.dumps((pool, method, args))
        self._places.acquire()
        if self._closed.is_set():
            self._places.release()
            raise RuntimeError("the executor is closed")
        future = Future()
        calls.put((call, self._max_attempts[pool], future))
        return future

    def close(self) -> None:
        """Let idle processes close their workers; those that are busy are killed after 5 s."""
        atexit.unregister(self.close)
        if self._closed.is_set():
            return
        self._closed.set()
        for calls in set(self._queues.values()):
            for _ in self._threads:
                calls.put(None)
        deadline = time.monotonic() + _CLOSE_TIME_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        while any(thread.is_alive() for thread in self._threads):
            for slot, thread in zip(self._slots, self._threads, strict=True):
                if thread.is_alive():
                    slot.kill()
                    thread.join(0.1)
        if self._on_close is not None:
            self._on_close()

    def _serve(self, calls: _Queue, slot: Slot) -> None:
        """Serve calls until the executor is closed."""
        # The kernel then hands Ctrl-C to the main thread, and the children inherit the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while (item := calls.get()) is not None:
            call, max_attempts, future = item
            try:
                future.set_result(open_outcome(self._ask(slot, call, max_attempts)))
            except Exception as error:
                future.set_exception(error)
            self._places.release()
        slot.close()

    def _ask(self, slot: Slot, call: bytes, max_attempts: int) -> bytes:
        for _ in range(max_attempts):
            if self._closed.is_set():
                break
            outcome = slot.ask(call)
            if outcome is not None:
                return outcome
        if self._closed.is_set():
            raise RuntimeError("the executor was closed before the call was answered")
        raise WorkerDiedError(max_attempts, slot.how_it_died)


class ProcessSlot:
    """A spawned process with one worker of every pool.

    Ctrl-C reaches the driver alone; a process whose driver has gone ends by itself. It leads a
    group of processes, so that what a worker has started ends with it.
    """

    def __init__(self, recipe: bytes) -> None:
        """Keep the recipe; the process starts with the first call."""
        self.how_it_died = ""
        self._recipe = recipe
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

    def ask(self, call: bytes) -> bytes | None:
        """See `Slot`."""
        if self._child is None or self._pipe is None:
            context = mp.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._child = context.Process(
                target=_child_main, args=(theirs, self._recipe, os.getpid()), daemon=True
            )
            self._child.start()
            theirs.close()
        try:
            self._pipe.send_bytes(call)
            # A grandchild may hold the pipe and the sentinel, which is one as well, open after the
            # child's death: watch the child too.
            ends: list[Connection | int] = [self._pipe, self._child.sentinel]
            while not wait(ends, _WATCH_INTERVAL_S) and self._child.is_alive():
                pass
            if self._pipe.poll():
                return self._pipe.recv_bytes()
        except (EOFError, OSError):
            pass
        self._child.join()
        _kill_group(self._child.pid)
        code = self._child.exitcode or 0
        self.how_it_died = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._pipe.close()
        self._child = self._pipe = None
        return None

    def close(self) -> None:
        """See `Slot`."""
        if self._child is not None and self._pipe is not None:
            self._pipe.close()
            self._child.join()
            _kill_group(self._child.pid)

    def kill(self) -> None:
        """See `Slot`."""
        if (child := self._child) is not None:
            child.kill()  # the thread that asks ends its group


def _kill_group(leader: int | None) -> None:
    """End what is left of a process's group; its number is not given away while one is in it."""
    assert leader is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _child_main(connection: Connection, recipe: bytes, driver: int) -> None:
    """Answer calls until the driver closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgrp()
    # To the driver it is a daemon, ended at its exit in any case; but a daemon may start no
    # processes, which a user's scorer may want to.
    mp.current_process().daemon = False
    os.environ.update(ONE_THREAD)  # before numpy and torch are loaded
    threading.Thread(target=_die_with, args=(driver,), daemon=True).start()
    host = WorkerHost(pickle.loads(recipe))  # pickled by our own driver
    while True:
        try:
            pool, method, args = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            break
        connection.send_bytes(run_call(host, pool, method, args))
    host.close()


def _die_with(driver: int) -> None:
    """End this process and its group, whatever it is doing, soon after its driver has ended."""
    while os.getppid() == driver:
        time.sleep(_WATCH_INTERVAL_S)
    os.killpg(0, signal.SIGKILL)
