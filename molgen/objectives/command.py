"""A child process that is asked one line and answers one line."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from molgen.errors import ConfigError

PYTHON_PLACEHOLDER = "{python}"

_CLOSE_TIME_S = 2.0  # for a program to end by itself once its standard input is closed
_STDERR_KEPT = 4096  # bytes
_CHUNK = 65536
# Nobody writes to its input, which ends when the process that holds the other end does.
_GUARD = 'read -r nothing; kill -s KILL -- "-$1"'


class CommandError(Exception):
    """The program gave no answer: it hung, ended, or wrote too much."""


class CommandSilentError(CommandError):
    """It hung or ended: perhaps at one of the molecules that it was asked for."""


class CommandLateError(CommandSilentError):
    """It had no answer in time."""


class Command:
    """A program kept running between questions; it starts with the first one.

    The program runs in a process group of its own, so that Ctrl-C at the terminal does not reach
    it and everything it started can be ended with it. A small shell, the guard, does that where
    this process is killed, for a program at a long calculation would not notice.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        """Check that the program can be found.

        Args:
            command: Program and arguments; `{python}` in any stands for the Python that runs
                molgen.
            name: Of the component, for messages.

        Raises:
            ConfigError: There is no such program, or no such script for `{python}`.
        """
        self._args = _resolved(command, name)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._stderr = b""

    def ask(self, line: bytes, *, timeout_s: float, max_bytes: int) -> bytes:
        """Write a line and wait for the line that answers it.

        After a CommandError the process is in an unknown state: `kill` it before asking again.
        """
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin and process.stdout and process.stderr
        deadline = time.monotonic() + timeout_s
        answer = bytearray()
        unsent = memoryview(line)
        # One loop over the three pipes: none may fill up while we wait for another.
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(process.stderr, selectors.EVENT_READ)
            if selector.select(0) and (stray := _read(process.stdout.fileno())) is not None:
                text = stray[:80].decode(errors="replace").strip()
                said = f"wrote {text!r}, which nobody asked for" if text else "has ended"
                raise CommandError(f"the scorer {said}")
            selector.register(process.stdin, selectors.EVENT_WRITE)
            while True:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise CommandLateError(f"the scorer did not answer within {timeout_s:g} s")
                for key, _ in selector.select(left_s):
                    if key.fileobj is process.stdin:
                        unsent = unsent[_write(key.fd, unsent) :]
                        if not unsent:
                            selector.unregister(process.stdin)
                    elif key.fileobj is process.stderr:
                        if not self._drain_stderr():
                            selector.unregister(process.stderr)
                    else:
                        chunk = _read(key.fd)
                        if chunk == b"":
                            raise CommandSilentError(f"the scorer ended{self._exit_words()}")
                        answer += chunk or b""
                        if len(answer) > max_bytes:
                            raise CommandError(
                                f"the scorer's answer is longer than {max_bytes} bytes"
                            )
                        if chunk and b"\n" in chunk:
                            return _only_line(answer, asked=not unsent)

    def kill(self) -> str:
        """End the program and all it started, by force; returns the end of its standard error."""
        process, self._process = self._process, None
        if process is None:
            return ""
        self._dismiss_guard()
        # The group outlives its leader as long as a grandchild is in it. Its number is still ours:
        # the leader has not been waited for.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._drain_stderr(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        return self._stderr.decode(errors="replace").strip()

    def close(self) -> None:
        """End the program: close its standard input, wait a moment, then `kill`."""
        if self._process is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            _exit_status(self._process, wait_s=_CLOSE_TIME_S)
        self.kill()

    def _start(self) -> None:
        self._stderr = b""
        try:
            self._process = subprocess.Popen(
                self._args,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"cannot start the scorer {self._args[0]}: {error}") from None
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        with contextlib.suppress(OSError):  # without a shell it is as it would be without a guard
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "molgen-guard", str(self._process.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()  # before its input is closed
            guard.communicate()

    def _drain_stderr(self, process: subprocess.Popen[bytes] | None = None) -> bool:
        """Read what is there; False at the end of the stream."""
        process = process or self._process
        assert process is not None and process.stderr is not None
        # Bounded, so that a flood of messages cannot hold up the deadline.
        for _ in range(64):
            chunk = _read(process.stderr.fileno())
            if not chunk:
                return chunk is None
            self._stderr = (self._stderr + chunk)[-_STDERR_KEPT:]
        return True

    def _exit_words(self) -> str:
        """How the program ended, where that is already known."""
        assert self._process is not None
        ended = _exit_status(self._process, wait_s=0.5)
        if ended is None:
            return " its output"
        by_exit = ended.si_code == os.CLD_EXITED
        return f" with exit code {ended.si_status}" if by_exit else f" by signal {ended.si_status}"


def _exit_status(process: subprocess.Popen[bytes], *, wait_s: float) -> os.waitid_result | None:
    """How a process ended; None while it runs. It stays a zombie, so its number is not reused."""
    deadline = time.monotonic() + wait_s
    while True:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None or time.monotonic() > deadline:
            return ended
        time.sleep(0.01)


def _only_line(answer: bytearray, *, asked: bool) -> bytes:
    """The answer without its newline; CommandError where there is more or it came too early."""
    line, _, rest = bytes(answer).partition(b"\n")
    if rest:
        raise CommandError("the scorer answered more than one line")
    if not asked:
        raise CommandError("the scorer answered before it was asked")
    return line


def _resolved(command: Sequence[str], name: str) -> list[str]:
    program = command[0]
    arguments = [a.replace(PYTHON_PLACEHOLDER, sys.executable) for a in command[1:]]
    where = f"component {name!r}: command"
    if program == PYTHON_PLACEHOLDER:
        if arguments and not arguments[0].startswith("-") and not Path(arguments[0]).is_file():
            raise ConfigError(
                f"{where}: no script {arguments[0]!r} in {Path.cwd()}; give a path relative to the "
                "folder in which molgen is started, or an absolute one"
            )
        return [sys.executable, *arguments]
    found = shutil.which(program)
    if found is None:
        raise ConfigError(
            f"{where}: cannot find the program {program!r}; give its path, make it executable, or "
            f"write {PYTHON_PLACEHOLDER} for the Python that runs molgen"
        )
    return [found, *arguments]


def _read(fd: int) -> bytes | None:
    """A chunk, b'' at the end of the stream, None where nothing is there yet."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None


def _write(fd: int, data: memoryview) -> int:
    """Number of bytes written; a closed pipe swallows all, its reader's end shows on stdout."""
    try:
        return os.write(fd, data[:_CHUNK])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)
