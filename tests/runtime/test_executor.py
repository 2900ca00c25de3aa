"""The executors: one behaviour in this process, in processes beside it, and on Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from molgen.config.campaign import LocalExecutorConfig, RayExecutorConfig
from molgen.errors import ConfigError, ScorerError
from molgen.runtime.executor import (
    Executor,
    InlineExecutor,
    WorkerDiedError,
    WorkerTracebackError,
)
from molgen.runtime.executors import make_executor
from tests.runtime.toys import toy_pools

CONFIGS: dict[str, LocalExecutorConfig | RayExecutorConfig] = {
    "local 1": LocalExecutorConfig(n_workers=1, max_inflight=3),
    "local 2": LocalExecutorConfig(n_workers=2, max_inflight=3),
    "ray 2": RayExecutorConfig(kind="ray", n_workers=2, max_inflight=3),
}


@pytest.fixture(scope="module")
def ray_running() -> Iterator[None]:
    """One Ray for all tests of this module; executors use it and leave it running."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    import ray

    ray.init("local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def opened(name: str, request: pytest.FixtureRequest, closed: str = "") -> Executor:
    if name.startswith("ray"):
        request.getfixturevalue("ray_running")
    config = CONFIGS[name]
    return make_executor(config, toy_pools(config.n_workers, closed))


@pytest.fixture(scope="module", params=list(CONFIGS))
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    executor = opened(request.param, request)
    yield executor
    executor.close()


@pytest.fixture(scope="module", params=["local 2", "ray 2"])
def far(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Executors whose workers can die without the driver."""
    executor = opened(request.param, request)
    yield executor
    executor.close()


# ----------------------------------------------------------------------------- on every executor


def test_each_answer_belongs_to_its_call(executor: Executor) -> None:
    futures = [executor.submit(("tens", "hundreds")[i % 2], "add", i) for i in range(20)]
    assert [f.result() for f in futures] == [i + (10, 100)[i % 2] for i in range(20)]


def test_results_are_the_same_to_the_last_bit_as_in_this_process(executor: Executor) -> None:
    reference = InlineExecutor(toy_pools(1))
    expected = [reference.submit("tens", "sum_of_a_product", i).result() for i in range(4)]
    got = [executor.submit("tens", "sum_of_a_product", i) for i in range(4)]
    assert [f.result() for f in got] == expected


def test_a_call_runs_with_one_thread_and_leaves_the_drivers_threads_alone(
    executor: Executor,
) -> None:
    import torch

    torch.set_num_threads(2)
    assert executor.submit("tens", "n_threads").result() == 1
    assert torch.get_num_threads() == 2


def test_a_users_mistake_in_a_worker_arrives_as_itself(executor: Executor) -> None:
    with pytest.raises(ScorerError, match="the oracle is gone"):
        executor.submit("tens", "give_up").result()


def test_a_worker_that_cannot_be_built_says_why_at_every_call(executor: Executor) -> None:
    for _ in range(2):
        with pytest.raises(ScorerError, match="cannot be built"):
            executor.submit("broken", "add", 1).result()


def test_a_bug_in_a_worker_arrives_with_its_traceback(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        executor.submit("tens", "divide", 1).result()
    if caught.value.__cause__ is not None:  # from another process
        assert isinstance(caught.value.__cause__, WorkerTracebackError)
        assert "return number / 0" in str(caught.value.__cause__)


def test_a_worker_that_wants_to_exit_ends_its_call_only(executor: Executor) -> None:
    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        executor.submit("tens", "leave").result()
    assert executor.submit("tens", "add", 1).result() == 11


@pytest.mark.parametrize("name", CONFIGS)
def test_closing_closes_the_workers_and_takes_no_more_calls(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    executor = opened(name, request, closed=str(tmp_path / "closed"))
    assert executor.submit("tens", "add", 1).result() == 11
    executor.close()
    executor.close()
    assert (tmp_path / "closed").read_text() == "x"
    if name != "local 1":
        with pytest.raises(RuntimeError, match="closed"):
            executor.submit("tens", "add", 1)


# ------------------------------------------------------------------------- beside the driver only


def test_exceptions_and_results_that_cannot_travel_are_told_as_text(far: Executor) -> None:
    with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        far.submit("tens", "be_odd").result()
    with pytest.raises(Exception, match="lambda"):
        far.submit("tens", "hand_out_a_lambda").result()
    assert far.submit("tens", "add", 1).result() == 11


def test_a_call_whose_worker_was_killed_is_sent_again(far: Executor, tmp_path: Path) -> None:
    assert far.submit("tens", "die_once", str(tmp_path / "marker")).result() == "done"


def test_a_call_that_always_kills_its_worker_fails_alone(far: Executor, tmp_path: Path) -> None:
    deadly = far.submit("tens", "die", str(tmp_path / "tally"))
    others = [far.submit("tens", "add", i) for i in range(6)]
    with pytest.raises(WorkerDiedError, match="died 3 times on the same call"):
        deadly.result()
    assert (tmp_path / "tally").read_text() == "xxx"
    assert [f.result() for f in others] == [10, 11, 12, 13, 14, 15]


def test_no_more_calls_are_under_way_than_allowed(far: Executor) -> None:
    futures: list[Any] = []
    for _ in range(8):
        futures.append(far.submit("tens", "sleep", 0.05))
        assert sum(not f.done() for f in futures) <= 3
    assert len({f.result() for f in futures}) <= 2  # processes


def test_closing_does_not_wait_for_a_call_that_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("molgen.runtime.executor._CLOSE_TIME_S", 0.2)
    executor = make_executor(LocalExecutorConfig(n_workers=2), toy_pools(2))
    hanging = executor.submit("tens", "touch_and_sleep", str(tmp_path / "pid"), 600)
    pid = wait_for_pid(tmp_path / "pid")
    executor.close()
    assert not is_alive(pid)
    with pytest.raises(RuntimeError, match="closed before the call was answered"):
        hanging.result()


@pytest.mark.parametrize("seconds", [0, 600])
def test_a_worker_may_start_processes_which_end_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: float
) -> None:
    monkeypatch.setattr("molgen.runtime.executor._CLOSE_TIME_S", 3.0)
    executor = make_executor(LocalExecutorConfig(n_workers=2), toy_pools(2))
    call = executor.submit("tens", "start_and_sleep", str(tmp_path / "pid"), seconds)
    pid = wait_for_pid(tmp_path / "pid")
    if not seconds:
        assert call.result() is None and is_alive(pid)
    executor.close()
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ------------------------------------------------------------------------------ drivers that end

DRIVER = """
import signal, sys
from molgen.config.campaign import LocalExecutorConfig
from molgen.runtime.executors import make_executor
from tests.runtime.toys import toy_pools

if __name__ == "__main__":
    # Whoever starts the tests in the background has Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    executor = make_executor(LocalExecutorConfig(n_workers=2), toy_pools(2))
    busy = [executor.submit("tens", what, f"{sys.argv[1]}/{i}", float(sys.argv[2]))
            for i, what in enumerate(("touch_and_sleep", "start_and_sleep"))]
    try:
        print([f.result() for f in busy], flush=True)
    except KeyboardInterrupt:
        print("interrupted", [f.result() for f in busy], flush=True)
    if len(sys.argv) == 3:
        executor.close()
"""


def start_driver(folder: Path, *args: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A driver with two busy workers, in a process group of its own.

    Beside it the ids of the first worker and of what the second has started.
    """
    (folder / "driver.py").write_text(DRIVER)
    driver = subprocess.Popen(
        [sys.executable, str(folder / "driver.py"), str(folder), *args],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return driver, [wait_for_pid(folder / str(i)) for i in range(2)]


def wait_for_pid(path: Path) -> int:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_driver_leaves_no_process_behind(tmp_path: Path) -> None:
    driver, workers = start_driver(tmp_path, "600")
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_reaches_the_driver_alone(tmp_path: Path) -> None:
    driver, _ = start_driver(tmp_path, "1.5")
    os.killpg(driver.pid, signal.SIGINT)  # what a terminal does
    out, err = driver.communicate(timeout=30)
    assert out == "interrupted [None, None]\n"
    assert err == ""
    assert driver.returncode == 0


def test_a_driver_that_forgets_to_close_ends_cleanly(tmp_path: Path) -> None:
    driver, workers = start_driver(tmp_path, "0.1", "forget")
    out, err = driver.communicate(timeout=30)
    assert (out, err, driver.returncode) == ("[None, None]\n", "", 0)
    assert not any(is_alive(pid) for pid in workers)


# ----------------------------------------------------------------------------------- Ray's own


@pytest.mark.usefixtures("ray_running")
def test_more_than_the_cluster_has_is_refused_at_once() -> None:
    config = RayExecutorConfig(kind="ray", n_workers=50)
    with pytest.raises(ConfigError, match="need 75 CPUs and Ray has 8"):
        make_executor(config, toy_pools(50))
    import ray

    assert ray.is_initialized()  # it was not ours to end


def test_a_cluster_that_cannot_be_reached_is_a_config_error() -> None:
    text = """
from molgen.config.campaign import RayExecutorConfig
from molgen.errors import ConfigError
from molgen.runtime.executors import make_executor
for address in ("127.0.0.1:9", "ray://127.0.0.1:9"):
    try:
        make_executor(RayExecutorConfig(kind="ray", address=address), [])
    except ConfigError as error:
        print(error)
"""
    lines = run_python(text).splitlines()
    assert len(lines) == 2
    assert "executor.address: cannot reach Ray at '127.0.0.1:9': " in lines[0]
    assert "executor.address: cannot reach Ray at 'ray://127.0.0.1:9': " in lines[1]


@pytest.mark.usefixtures("ray_running")
def test_a_cluster_is_used_by_its_address_and_left_running() -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    for _ in range(2):
        out = run_python(f"""
from molgen.config.campaign import RayExecutorConfig
from molgen.runtime.executors import make_executor
from tests.runtime.toys import toy_pools
config = RayExecutorConfig(kind="ray", address={address!r})
executor = make_executor(config, toy_pools(1))
print([executor.submit("tens", "add", i).result() for i in range(3)])
executor.close()
""")
        assert out == "[10, 11, 12]\n"


def run_python(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout


def test_a_ray_that_was_started_is_ended() -> None:
    text = """
from molgen.config.campaign import RayExecutorConfig
from molgen.runtime.executors import make_executor
from tests.runtime.toys import toy_pools
executor = make_executor(RayExecutorConfig(kind="ray"), toy_pools(2))
print([executor.submit("tens", "add", i).result() for i in range(3)])
executor.close()
import ray
print(ray.is_initialized())
"""
    assert run_python(text) == "[10, 11, 12]\nFalse\n"
