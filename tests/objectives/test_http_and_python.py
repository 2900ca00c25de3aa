"""Services (a real server on this machine) and Python functions."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from molgen.errors import ConfigError
from molgen.objectives.external import HttpOracle, PythonOracle, score_batches
from tests.objectives.configs import http, python

Reply = Callable[[list[str]], tuple[int, bytes]]


class Service(ThreadingHTTPServer):
    """Remembers what was posted; answers with the replies in turn, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posted: list[list[str]] = []
        self.replies: list[Reply] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/score"

    def handle_error(self, *_: object) -> None:
        """A client that hung up is what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["smiles"]
        self.server.posted.append(batch)
        replies = self.server.replies
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        status, body = reply(batch)
        self.send_response(status)
        if status in (302, 307):
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


def lengths(batch: list[str]) -> tuple[int, bytes]:
    return 200, json.dumps({"scores": [len(s) for s in batch]}).encode()


def answers(status: int, body: bytes = b"") -> Reply:
    return lambda _: (status, body)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("no_proxy", "*")
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_batches_are_posted_once_each_in_order(service: Service) -> None:
    service.replies = [lengths]
    found = score_batches(HttpOracle(http(service.url)), ["C", "CC", "C", "CCC"], batch_size=2)
    assert found.values.tolist() == [1, 2, 1, 3] and not found.all_failed
    assert service.posted == [["C", "CC"], ["CCC"]]


def test_null_is_not_scored(service: Service) -> None:
    service.replies = [answers(200, b'{"scores": [null, 2]}')]
    found = score_batches(HttpOracle(http(service.url)), ["C", "CC"], batch_size=2)
    assert np.isnan(found.values[0]) and found.values[1] == 2 and not found.all_failed


@pytest.mark.parametrize("first", [answers(503, b"busy"), answers(429), answers(200, b"oops")])
def test_a_fault_that_may_pass_is_tried_again(service: Service, first: Reply) -> None:
    service.replies = [first, lengths]
    found = score_batches(HttpOracle(http(service.url, max_retries=1)), ["C"], batch_size=1)
    assert found.values.tolist() == [1] and service.posted == [["C"], ["C"]]


def test_retries_are_bounded(service: Service) -> None:
    service.replies = [answers(500, b"out of  order")]
    found = score_batches(HttpOracle(http(service.url, max_retries=1)), ["C"], batch_size=1)
    assert found.reasons == ["the service answered status 500: out of order (attempt 2 of 2)"]
    assert found.all_failed and len(service.posted) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 302, 307])
def test_a_refusal_is_not_repeated_and_a_redirect_not_followed(
    service: Service, status: int
) -> None:
    service.replies = [answers(status)]
    found = score_batches(HttpOracle(http(service.url, max_retries=3)), ["C"], batch_size=1)
    assert f"status {status}" in found.reasons[0] and len(service.posted) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "where JSON belongs"),
        (b'{"scores": [1, 2]}', "2 scores for 1 molecules"),
        (b" " * 2_000_000, "longer than"),
    ],
)
def test_garbage_fails_the_batch(service: Service, body: bytes, words: str) -> None:
    service.replies = [answers(200, body)]
    found = score_batches(HttpOracle(http(service.url)), ["C"], batch_size=1)
    assert words in found.reasons[0] and found.all_failed


def test_a_service_that_hangs_runs_into_its_timeout(service: Service) -> None:
    release = threading.Event()
    service.replies = [lambda batch: (release.wait(20), lengths(batch))[1]]
    found = score_batches(HttpOracle(http(service.url, timeout_s=0.3)), ["C"], batch_size=1)
    release.set()
    assert found.reasons == ["the service did not answer in time (attempt 1 of 1)"]


def test_an_answer_that_only_drips_runs_into_the_timeout(service: Service) -> None:
    class Dripping(Handler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b" ")
                time.sleep(0.05)

    service.RequestHandlerClass = Dripping  # type: ignore[assignment]
    found = score_batches(HttpOracle(http(service.url, timeout_s=0.4)), ["C"], batch_size=1)
    assert found.reasons == ["the service did not answer in time (attempt 1 of 1)"]


def test_a_service_that_hangs_up_or_is_not_there_is_a_reason(service: Service) -> None:
    class HangingUp(Handler):
        def do_POST(self) -> None:
            self.close_connection = True

    service.RequestHandlerClass = HangingUp  # type: ignore[assignment]
    found = score_batches(HttpOracle(http(service.url)), ["C"], batch_size=1)
    assert found.reasons[0].startswith("the service hung up: Remote end closed connection")
    found = score_batches(HttpOracle(http("http://127.0.0.1:1/")), ["C"], batch_size=1)
    assert "refused" in found.reasons[0] and found.all_failed


@pytest.mark.parametrize("how", ["no answer", "half an answer"])
def test_a_service_that_hangs_up_at_a_molecule_costs_no_other_its_score(
    service: Service, how: str
) -> None:
    class HangingUp(Handler):
        def do_POST(self) -> None:
            batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["smiles"]
            status, body = lengths(batch)
            if "CC" in batch and how == "no answer":
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + 9 * ("CC" in batch)))
            self.end_headers()
            self.wfile.write(body)

    service.RequestHandlerClass = HangingUp  # type: ignore[assignment]
    found = score_batches(HttpOracle(http(service.url)), ["C", "CC", "CCC"], batch_size=3)
    assert np.isnan(found.values).tolist() == [False, True, False]
    assert found.reasons[1].startswith("the service hung up: ")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_that_is_refused_is_asked_for_one_by_one(service: Service, status: int) -> None:
    service.replies = [lambda batch: (status, b"CC?") if "CC" in batch else lengths(batch)]
    found = score_batches(HttpOracle(http(service.url)), ["C", "CC", "CCC"], batch_size=3)
    assert np.isnan(found.values).tolist() == [False, True, False]
    assert found.reasons[1] == f"the service answered status {status}: CC? (attempt 1 of 1)"


def test_what_a_service_says_cannot_steer_a_terminal(service: Service) -> None:
    service.replies = [answers(500, "\x1b[2J\u202egone\x07".encode())]
    found = score_batches(HttpOracle(http(service.url)), ["C"], batch_size=1)
    assert found.reasons == ["the service answered status 500: ?[2J?gone? (attempt 1 of 1)"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/", "localhost:80", "http://"])
def test_only_web_addresses_are_taken(url: str) -> None:
    with pytest.raises(ValidationError, match="http:// or https://"):
        http(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/ä", "http://127.0.0.1/a b", "http://ü.de/"])
def test_an_address_is_written_in_plain_letters(url: str) -> None:
    with pytest.raises(ValidationError, match="write what is not a plain letter as %XX"):
        http(url)


def test_a_host_that_cannot_be_is_told_at_once() -> None:
    with pytest.raises(ValidationError, match=r"'foo\.\.bar' is no name of a host"):
        http("http://foo..bar/score")


@pytest.mark.parametrize("part", ["headers", "error"])
def test_whatever_drips_runs_into_the_timeout(service: Service, part: str) -> None:
    class Dripping(Handler):
        def do_POST(self) -> None:
            if part == "error":
                self.send_response(500)
                self.end_headers()
            for _ in range(100):
                self.wfile.write(b"H")
                time.sleep(0.05)

    service.RequestHandlerClass = Dripping  # type: ignore[assignment]
    began = time.monotonic()
    found = score_batches(HttpOracle(http(service.url, timeout_s=0.4)), ["C"], batch_size=1)
    assert time.monotonic() - began < 2.5
    said = "answered status 500" if part == "error" else "did not answer in time"
    assert found.reasons[0].startswith(f"the service {said}")


def test_a_batch_that_was_answered_makes_the_scorer_no_failure(service: Service) -> None:
    service.replies = [answers(400), lengths, answers(400)]
    found = score_batches(HttpOracle(http(service.url)), ["C", "CC", "CCC"], batch_size=1)
    assert np.isnan(found.values).tolist() == [True, False, True] and not found.all_failed


# -- Python functions -----------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory; returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(body: str) -> str:
        (tmp_path / "my_scorer_for_tests.py").write_text(body)
        return "my_scorer_for_tests"

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def scored(function: str, smiles: list[str], batch_size: int = 2) -> Any:
    return score_batches(PythonOracle(python(function)), smiles, batch_size=batch_size)


def test_a_function_in_the_working_directory_is_called_with_batches(
    module: Callable[[str], str],
) -> None:
    name = module("calls = []\ndef score(s):\n    calls.append(s)\n    return [len(x) for x in s]")
    found = scored(f"{name}:score", ["C", "CC", "C", "CCC"])
    assert found.values.tolist() == [1, 2, 1, 3]
    assert sys.modules[name].calls == [["C", "CC"], ["CCC"]]


def test_numpy_answers_are_fine_and_none_and_nan_are_not_scored(
    module: Callable[[str], str],
) -> None:
    name = module(
        "import numpy as np\n"
        "def array(s): return np.arange(len(s), dtype=np.float32)\n"
        "import pandas as pd\n"
        "def mixed(s): return [None, float('nan'), np.int64(3), pd.NA]\n"
    )
    assert scored(f"{name}:array", ["C", "CC"]).values.tolist() == [0, 1]
    found = scored(f"{name}:mixed", ["C", "CC", "CCC", "CCCC"], batch_size=4)
    assert np.isnan(found.values).tolist() == [True, True, False, True] and not found.all_failed
    assert found.reasons[3] == found.reasons[0] == "the scorer gave no score"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        (r"raise OSError('bad \udcff name')", "OSError: bad ? name"),
        ("return 3", "TypeError"),
        ("return [1, 2, 3]", "3 scores for 1 molecules"),
        ("return ['1']", "where a number belongs"),
        ("return [True]", "where a number belongs"),
    ],
)
def test_what_a_function_does_wrong_becomes_a_reason(
    module: Callable[[str], str], body: str, words: str
) -> None:
    found = scored(module(f"def score(s):\n    {body}") + ":score", ["C"])
    assert words in found.reasons[0] and np.isnan(found.values).all() and found.all_failed


@pytest.mark.parametrize(
    ("body", "function", "words"),
    [
        ("", "no_such_module_anywhere:score", "ModuleNotFoundError"),
        ("", "my_scorer_for_tests:score", "no function 'score'"),
        ("score = 3", "my_scorer_for_tests:score", "no function 'score'"),
        ("1 / 0", "my_scorer_for_tests:score", "ZeroDivisionError"),
        ("raise SystemExit(3)", "my_scorer_for_tests:score", "SystemExit"),
        ("def score(:", "my_scorer_for_tests:score", "SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_imported_is_a_config_error(
    module: Callable[[str], str], body: str, function: str, words: str
) -> None:
    module(body)
    with pytest.raises(ConfigError, match=f"component 'function'.*{words}"):
        PythonOracle(python(function))
