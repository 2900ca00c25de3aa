"""A user's own scorer: a program, a web service or a Python function.

All three take a batch of SMILES and give one number, or None for "not scored", per molecule.
Programs and services speak JSON: `{"smiles": ["CCO", ...]}` there, `{"scores": [1.5, ...]}` back,
in the same order, null for a molecule that was not scored.

A batch whose answer cannot be used is tried again a bounded number of times. Where the scorer
hangs or ends, its molecules are then asked for one by one, so that the one that does it costs no
other its score. What has no answer even so gets NaN with the reason, and the other batches go on.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import numbers
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from molgen.config.objective import CommandComponent, HttpComponent, PythonComponent
from molgen.errors import ConfigError
from molgen.objectives.command import Command, CommandError, CommandSilentError
from molgen.objectives.timely_http import timely_opener

ExternalComponent = CommandComponent | HttpComponent | PythonComponent

_FIRST_PAUSE_S = 0.2  # before a request is repeated; doubled each time
_LONGEST_PAUSE_S = 10.0
_MAX_IN_A_ROW = 2  # molecules of a failed batch without an answer, before the rest is not asked


class BatchError(Exception):
    """A batch has no usable answer; the message becomes the reason of its molecules."""


class NoAnswerError(BatchError):
    """The scorer hung or ended, perhaps at one molecule of the batch."""


class Oracle(Protocol):
    """What scores a batch; repeats a failed batch as often as its config allows."""

    def ask(self, smiles: list[str]) -> list[float | None]:
        """One finite number or NaN per molecule, None for "not scored"; BatchError on failure."""

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


def score_batches(oracle: Oracle, smiles: Sequence[str], *, batch_size: int) -> ExternalScores:
    """Ask for every molecule, in batches in the given order.

    A molecule that occurs twice, or '' for "no molecule", costs no second call.
    """
    scores: dict[str, tuple[float, str]] = {"": (math.nan, "")}
    unique = [s for s in dict.fromkeys(smiles) if s]
    n_answered = 0
    for start in range(0, len(unique), batch_size):
        batch = unique[start : start + batch_size]
        try:
            answers = oracle.ask(batch)
        except BatchError as error:
            may_be_one = isinstance(error, NoAnswerError) and len(batch) > 1
            alone = _one_by_one(oracle, batch) if may_be_one else {}
            n_answered += bool(alone)
            scores.update({s: (math.nan, str(error)) for s in batch} | alone)
            continue
        n_answered += 1
        scores.update((s, _score(answer)) for s, answer in zip(batch, answers, strict=True))
    return ExternalScores(
        np.array([scores[s][0] for s in smiles], np.float64),
        [scores[s][1] for s in smiles],
        bool(unique) and not n_answered,
    )


def _one_by_one(oracle: Oracle, batch: Sequence[str]) -> dict[str, tuple[float, str]]:
    """Scores and reasons of a failed batch's molecules, each asked for alone.

    Stops where several in a row have no answer: then it is the scorer that is broken. Empty where
    none had one.
    """
    found: dict[str, tuple[float, str]] = {}
    n_answered = n_in_a_row = 0
    for smiles in batch:
        try:
            found[smiles] = _score(oracle.ask([smiles])[0])
            n_answered, n_in_a_row = n_answered + 1, 0
        except BatchError as error:
            found[smiles] = math.nan, str(error)
            n_in_a_row += 1
            if n_in_a_row == _MAX_IN_A_ROW:
                break
    return found if n_answered else {}


def _score(answer: float | None) -> tuple[float, str]:
    if answer is None:
        return math.nan, "the scorer gave no score"
    if not math.isfinite(answer):
        return math.nan, f"the scorer answered {answer}, which is no score"
    return answer, ""


def checked_scores(answers: Sequence[Any], n_asked: int) -> list[float | None]:
    """The scores as floats; BatchError where their number or type is wrong."""
    if len(answers) != n_asked:
        raise BatchError(f"the scorer answered {len(answers)} scores for {n_asked} molecules")
    return [_as_float(answer) for answer in answers]


def _as_float(answer: Any) -> float | None:
    if answer is None:
        return None
    # A truth value is an int in Python but no score.
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        raise BatchError(f"the scorer answered {shortened(repr(answer))} where a number belongs")
    try:
        return float(answer)
    except OverflowError:
        return math.inf


def decoded_scores(text: bytes, n_asked: int) -> list[float | None]:
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
    """The text on one line, cut to `limit` characters, of which UTF-8 can write each."""
    text = " ".join(text.split()).encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


class CommandOracle:
    """Keeps a program running and talks to it in JSON lines; restarts it after a failure."""

    def __init__(self, component: CommandComponent) -> None:
        self._component = component
        self._command = Command(component.command, component.name)

    def ask(self, smiles: list[str]) -> list[float | None]:
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
                    silent = isinstance(error, CommandSilentError)
                    raise (NoAnswerError if silent else BatchError)(words) from None
            attempt += 1

    def close(self) -> None:
        """End the program: first by closing its standard input, then by force."""
        self._command.close()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body, maybe at another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class HttpOracle:
    """Posts batches to a web service."""

    def __init__(self, component: HttpComponent) -> None:
        self._component = component
        self._opener = timely_opener(_NoRedirects())

    def ask(self, smiles: list[str]) -> list[float | None]:
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
                    raise (NoAnswerError if fault.silent else BatchError)(words) from None
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
        return bytes(body)

    def close(self) -> None:
        """Nothing is kept open between batches."""


class _Fault(NamedTuple):
    """Why a batch has no answer.

    Attributes:
        words: for the user.
        passing: whether it may be gone in a moment.
        silent: whether the service was there but could not finish the batch.
    """

    words: str
    passing: bool
    silent: bool


def _http_fault(error: Exception) -> _Fault:
    match error:
        case urllib.error.HTTPError(code=status):
            said = ""
            with error, contextlib.suppress(OSError, HTTPException):
                said = shortened(error.read(500).decode(errors="replace"))
            words = f"the service answered status {status}" + (f": {said}" if said else "")
            return _Fault(words, status in (408, 425, 429) or status >= 500, status >= 500)
        case TimeoutError() | urllib.error.URLError(reason=TimeoutError()):
            return _Fault("the service did not answer in time", True, True)
        case BatchError():
            return _Fault(str(error), True, False)
        case _:
            words = f"cannot reach the service: {getattr(error, 'reason', error)}"
            return _Fault(words, True, False)


class PythonOracle:
    """Calls a user's function in this process."""

    def __init__(self, component: PythonComponent) -> None:
        self._function = _import_function(component)
        self._name = component.function

    def ask(self, smiles: list[str]) -> list[float | None]:
        """See `Oracle`."""
        try:
            answers = list(self._function(list(smiles)))
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            said = shortened(f"{type(error).__name__}: {error}", 200)
            raise NoAnswerError(f"{self._name} raised {said}") from error
        return checked_scores(answers, len(smiles))

    def close(self) -> None:
        """Nothing is kept open between batches."""


def _import_function(component: PythonComponent) -> Callable[[list[str]], Any]:
    """Import `package.module:function`; the working directory is searched last."""
    module_name, _, function_name = component.function.partition(":")
    where = f"component {component.name!r}: function {component.function!r}"
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
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
