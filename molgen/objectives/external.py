"""A user's own scorer: a program, a web service or a Python function.

All three take a batch of SMILES and give one number, or None for "not scored", per molecule.
Programs and services speak JSON: `{"smiles": ["CCO", ...]}` there, `{"scores": [1.5, ...]}` back,
in the same order, null for a molecule that was not scored.

A batch whose answer cannot be used is tried again a bounded number of times. Where the scorer
hangs, ends or refuses it, its molecules are then asked for one by one, so that the one that does it
costs no other its score. What has no answer even so gets NaN with the reason, and the other batches
go on.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging
import math
import numbers
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from molgen.config.objective import (
    CommandComponent,
    HttpComponent,
    ObjectiveConfig,
    PythonComponent,
)
from molgen.errors import ConfigError
from molgen.objectives.command import (
    Command,
    CommandError,
    CommandLateError,
    CommandSilentError,
)
from molgen.objectives.timely_http import timely_opener

ExternalComponent = CommandComponent | HttpComponent | PythonComponent

_FIRST_PAUSE_S = 0.2  # before a request is repeated; doubled each time
_LONGEST_PAUSE_S = 10.0
_MAX_IN_A_ROW = 2  # molecules of a failed batch without an answer, before the rest is not asked
_MAX_SILENT = 4  # molecules at which the scorer hung or ended, no answer between: gives up the rest
_log = logging.getLogger(__name__)


class BatchError(Exception):
    """A batch has no usable answer; the message becomes the reason of its molecules."""


class NoAnswerError(BatchError):
    """It may be for one molecule of the batch alone that there is none."""


class SilentError(NoAnswerError):
    """The scorer hung or ended."""


class LateError(SilentError):
    """The scorer did not answer in time."""


class Answer(NamedTuple):
    """What a scorer said of a molecule.

    Attributes:
        value: finite, or NaN where there is no score.
        reason: '' where there is one, else why not.
        understood: whether it was a number or none; nothing else has a meaning.
    """

    value: float
    reason: str = ""
    understood: bool = True


class Oracle(Protocol):
    """What scores a batch; repeats a failed batch as often as its config allows."""

    def ask(self, smiles: list[str]) -> list[Answer]:
        """An answer per molecule; BatchError on failure."""

    def close(self) -> None:
        """Let go of processes and connections."""


@dataclass(frozen=True)
class ExternalScores:
    """Answers for n molecules.

    Attributes:
        values: float64, shape (n,); NaN where there is no score.
        reasons: '' where there is one, else why not.
        all_failed: Whether no batch had a usable answer after its repeats, nor any molecule alone.
    """

    values: NDArray[np.float64]
    reasons: list[str]
    all_failed: bool


def make_oracle(component: ExternalComponent) -> Oracle:
    """Connect a component to its scorer.

    Raises:
        ConfigError: The program or the function does not exist. Whether it answers shows with the
            first batch.
    """
    match component:
        case CommandComponent():
            return CommandOracle(component)
        case HttpComponent():
            return HttpOracle(component)
        case PythonComponent():
            return PythonOracle(component)


def score_batches(
    oracle: Oracle, smiles: Sequence[str], *, batch_size: int, name: str = "scorer"
) -> ExternalScores:
    """Ask for every molecule, in batches in the given order.

    A molecule that occurs twice, or '' for "no molecule", costs no second call. After several
    molecules in a row at which the scorer hung or ended, each asked for alone, the rest is not
    asked for: each would be waited for as long.

    Args:
        oracle: The scorer.
        smiles: The molecules.
        batch_size: Most of them in one question.
        name: Of the component, for messages.
    """
    answers: dict[str, Answer] = {"": Answer(math.nan)}
    unique = [s for s in dict.fromkeys(smiles) if s]
    n_silent = 0  # in a row, of those asked for alone
    any_understood = False
    for start in range(0, len(unique), batch_size):
        batch = unique[start : start + batch_size]
        if n_silent >= _MAX_SILENT:
            reason = f"not asked: the {n_silent} molecules before it had no answer, each alone"
            answers.update(dict.fromkeys(batch, Answer(math.nan, reason, understood=False)))
            continue
        try:
            found = dict(zip(batch, oracle.ask(batch), strict=True))
            n_silent = 0
        except BatchError as error:
            answers.update(dict.fromkeys(batch, Answer(math.nan, str(error), understood=False)))
            if len(batch) == 1:
                n_silent += isinstance(error, SilentError)
            if len(batch) == 1 or not isinstance(error, NoAnswerError):
                continue
            found, n_silent = _one_by_one(oracle, batch, n_silent)
            all_alone = len(found) == len(batch) and all(a.understood for a in found.values())
            if isinstance(error, LateError) and all_alone:
                _warn_once(name, len(batch))
        answers.update(found)
        any_understood |= any(answer.understood for answer in found.values())
    return ExternalScores(
        np.array([answers[s].value for s in smiles], np.float64),
        [answers[s].reason for s in smiles],
        bool(unique) and not any_understood,
    )


def _one_by_one(
    oracle: Oracle, batch: Sequence[str], n_silent: int
) -> tuple[dict[str, Answer], int]:
    """Answers for a failed batch's molecules, each asked for alone, and the new `n_silent`.

    Stops where several in a row have no answer: then it is the scorer that is broken. Empty where
    none had one.
    """
    found: dict[str, Answer] = {}
    n_answered = n_in_a_row = 0
    for smiles in batch:
        try:
            (found[smiles],) = oracle.ask([smiles])
            n_answered, n_in_a_row, n_silent = n_answered + 1, 0, 0
        except BatchError as error:
            found[smiles] = Answer(math.nan, str(error), understood=False)
            n_silent += isinstance(error, SilentError)
            n_in_a_row += 1
            if n_in_a_row == _MAX_IN_A_ROW:
                break
    return (found if n_answered else {}), n_silent


@lru_cache(maxsize=256)
def _warn_once(name: str, n_asked: int) -> None:
    """Once in a process: otherwise nothing shows that every batch is computed several times."""
    _log.warning(
        "%s: %d molecules together had no answer in time, and each of them alone had one; raise "
        "timeout_s or lower batch_size",
        name,
        n_asked,
    )


def checked_scores(answers: Sequence[Any], n_asked: int) -> list[Answer]:
    """What was answered for each molecule; BatchError where it is not one answer for each."""
    if len(answers) != n_asked:
        raise BatchError(f"the scorer answered {len(answers)} scores for {n_asked} molecules")
    return [_read(answer) for answer in answers]


def _read(answer: Any) -> Answer:
    if answer is None or type(answer).__name__ == "NAType":  # pandas' None
        return Answer(math.nan, "the scorer gave no score")
    # A truth value is an int in Python but no score.
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        said = shortened(repr(answer))
        return Answer(math.nan, f"the scorer answered {said} where a number belongs", False)
    try:
        value = float(answer)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        return Answer(math.nan, f"the scorer answered {value}, which is no score")
    return Answer(value)


def decoded_scores(text: bytes, n_asked: int) -> list[Answer]:
    """Read the scores out of a JSON answer; BatchError where it is none."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        said = shortened(text.decode(errors="replace").strip())
        raise BatchError(f"the scorer answered {said!r} where JSON belongs") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("scores"), list):
        said = shortened(json.dumps(answer))
        raise BatchError(f'the scorer answered {said} without a list "scores"')
    return checked_scores(answer["scores"], n_asked)


def encoded_smiles(smiles: Sequence[str]) -> bytes:
    """The question as one line of JSON."""
    return json.dumps({"smiles": list(smiles)}).encode() + b"\n"


def longest_answer(n_asked: int) -> int:
    """Bytes that an answer may have; a number needs about 20, and room is left for extras."""
    return 1_000_000 + 1000 * n_asked


def shortened(text: str, limit: int = 80) -> str:
    """The text on one line, cut to `limit` characters; ? for what would steer a terminal."""
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


class CommandOracle:
    """Keeps a program running and talks to it in JSON lines; restarts it after a failure."""

    def __init__(self, component: CommandComponent) -> None:
        self._component = component
        self._command = Command(component.command, component.name)

    def ask(self, smiles: list[str]) -> list[Answer]:
        """See `Oracle`."""
        n_attempts = 1 + self._component.max_restarts
        attempt = 1
        while True:
            try:
                line = self._command.ask(
                    encoded_smiles(smiles),
                    timeout_s=self._component.timeout_s,
                    max_bytes=longest_answer(len(smiles)),
                )
                return decoded_scores(line, len(smiles))
            except BaseException as error:
                # Its next answer could belong to this question: never ask the same process again.
                said = self._command.kill()
                if not isinstance(error, CommandError | BatchError):
                    raise
                if attempt == n_attempts:
                    words = f"{error} (attempt {attempt} of {n_attempts})"
                    if said:
                        words += f"; its standard error ends: {shortened(said[-200:], 200)}"
                    raise _kind(error)(words) from None
            attempt += 1

    def close(self) -> None:
        """End the program: first by closing its standard input, then by force."""
        self._command.close()


def _kind(error: BaseException) -> type[BatchError]:
    match error:
        case CommandLateError():
            return LateError
        case CommandSilentError():
            return SilentError
        case _:
            return BatchError


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body, maybe at another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class HttpOracle:
    """Posts batches to a web service."""

    def __init__(self, component: HttpComponent) -> None:
        self._component = component
        self._opener = timely_opener(_NoRedirects())

    def ask(self, smiles: list[str]) -> list[Answer]:
        """See `Oracle`."""
        n_attempts = 1 + self._component.max_retries
        attempt = 1
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return decoded_scores(self._post(smiles), len(smiles))
            except (OSError, HTTPException, BatchError) as error:
                fault = _http_fault(error)
                if not fault.passing or attempt == n_attempts:
                    words = f"{fault.words} (attempt {attempt} of {n_attempts})"
                    raise fault.kind(words) from None
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            attempt += 1

    def _post(self, smiles: Sequence[str]) -> bytes:
        request = urllib.request.Request(
            self._component.url,
            data=encoded_smiles(smiles),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        limit = longest_answer(len(smiles))
        body = bytearray()
        with self._opener.open(request, timeout=self._component.timeout_s) as response:
            while chunk := response.read1(65536):
                body += chunk
                if len(body) > limit:
                    raise BatchError(f"the scorer's answer is longer than {limit} bytes")
            if response.length:  # `read1` takes a connection that was closed for the end
                raise IncompleteRead(bytes(body), response.length)
        return bytes(body)

    def close(self) -> None:
        """Nothing is kept open between batches."""


class _Fault(NamedTuple):
    """Why a batch has no answer.

    Attributes:
        words: for the user.
        passing: whether it may be gone in a moment.
        kind: what is raised in the end.
    """

    words: str
    passing: bool
    kind: type[BatchError]


_BAD_REQUEST = (400, 413, 422)  # of which one molecule of the batch, or their number, may be guilty


def _http_fault(error: Exception) -> _Fault:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    match error, reason:
        case urllib.error.HTTPError(code=status), _:
            said = ""
            with error, contextlib.suppress(OSError, HTTPException):
                said = shortened(error.read(500).decode(errors="replace"))
            words = f"the service answered status {status}" + (f": {said}" if said else "")
            kind = NoAnswerError if status >= 500 or status in _BAD_REQUEST else BatchError
            return _Fault(words, status in (408, 425, 429) or status >= 500, kind)
        case _, TimeoutError():
            return _Fault("the service did not answer in time", True, LateError)
        case BatchError(), _:
            return _Fault(str(error), True, BatchError)
        case _, ConnectionRefusedError():  # it was not there
            return _Fault(f"cannot reach the service: {reason}", True, BatchError)
        case _, ConnectionError() | IncompleteRead():
            words = f"the service hung up: {shortened(str(reason))}"
            return _Fault(words, True, SilentError)
        case _:
            words = f"cannot reach the service: {shortened(str(reason))}"
            return _Fault(words, True, BatchError)


class PythonOracle:
    """Calls a user's function in this process."""

    def __init__(self, component: PythonComponent) -> None:
        self._function = _import_function(component)
        self._name = component.function

    def ask(self, smiles: list[str]) -> list[Answer]:
        """See `Oracle`."""
        try:
            answers = list(self._function(list(smiles)))
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            said = shortened(f"{type(error).__name__}: {error}", 200)
            raise NoAnswerError(f"{self._name} raised {said}") from error
        return checked_scores(answers, len(smiles))

    def close(self) -> None:
        """Nothing is kept open between batches."""


def scorer_files(config: ObjectiveConfig) -> dict[str, Path]:
    """Files that the user's own scorers consist of, as far as the config names them.

    These are a command's program and the files among its arguments, and the module of a Python
    function; what these import or read besides, and what a service does, is not known.

    Returns:
        By `component: argument` or `component: module`.
    """
    files: dict[str, Path] = {}
    for part in config.components:
        if isinstance(part, CommandComponent):
            program, *arguments = part.command
            # An interpreter or a tool that is installed for all is not the user's own.
            installed = [*os.get_exec_path(), os.path.dirname(sys.executable)]
            own = os.sep in program and os.path.abspath(os.path.dirname(program)) not in installed
            named = [program, *arguments] if own else arguments
            # Unlike pathlib's, this takes any text.
            found = {a: Path(a) for a in named if os.path.isfile(a) and os.access(a, os.R_OK)}
        elif isinstance(part, PythonComponent):
            module = part.function.partition(":")[0]
            file = _module_file(module)
            found = {} if file is None else {module: file}
        else:
            continue
        files |= {f"{part.name}: {name}": file for name, file in found.items()}
    return files


def _module_file(name: str) -> Path | None:
    _search_working_directory()
    try:
        spec = importlib.util.find_spec(name)
    except (Exception, SystemExit):  # looking for it runs the packages that it stands in
        return None
    return Path(spec.origin) if spec and spec.origin and os.path.isfile(spec.origin) else None


def _search_working_directory() -> None:
    """Python looks for modules there too, last."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _import_function(component: PythonComponent) -> Callable[[list[str]], Any]:
    """Import `package.module:function`."""
    module_name, _, function_name = component.function.partition(":")
    where = f"component {component.name!r}: function {component.function!r}"
    _search_working_directory()
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise ConfigError(
            f"{where}: importing {module_name} raised {type(error).__name__}: {error}; install the "
            "module, or start molgen in the folder that holds it"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"{where}: {module_name} has no function {function_name!r}")
    found: Callable[[list[str]], Any] = function
    return found
