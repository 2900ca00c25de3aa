"""Oracles for tests: Python functions, and a program that logs what it is asked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molgen.runtime.executor import Executor, Future, WorkerDiedError


def carbon_share(smiles: Sequence[str]) -> list[float]:
    """Share of carbon among the heavy atoms."""
    from rdkit import Chem

    shares = []
    for text in smiles:
        atoms = [a.GetAtomicNum() for a in Chem.MolFromSmiles(text).GetAtoms()]
        shares.append(atoms.count(6) / len(atoms))
    return shares


def no_score(smiles: Sequence[str]) -> list[None]:
    """Nothing for any molecule."""
    return [None] * len(smiles)


def carbon_share_without_sulphur(smiles: Sequence[str]) -> list[float | None]:
    """The same, but nothing for a molecule with sulphur."""
    return [
        None if "s" in text.lower() else share
        for text, share in zip(smiles, carbon_share(smiles), strict=True)
    ]


def carbon_share_or_error(smiles: Sequence[str]) -> list[float]:
    """The same, but an error where the first SMILES has an odd number of letters."""
    if len(smiles[0]) % 2:
        raise ValueError("odd")
    return carbon_share(smiles)


def carbon_share_or_death(smiles: Sequence[str]) -> list[float]:
    """The same, but a molecule with fluorine ends the process; what was asked is written down."""
    if any("F" in s for s in smiles):
        with Path(os.environ["TALLY_OF_DEATHS"]).open("a") as file:
            file.write("".join(f"{s}\n" for s in smiles))
        os.kill(os.getpid(), signal.SIGKILL)
    return carbon_share(smiles)


_PROGRAM = """
import json, os, pathlib, sys, time

log, broken, pause_s = pathlib.Path({log!r}), pathlib.Path({broken!r}), {pause_s!r}
for line in sys.stdin:
    batch = json.loads(line)["smiles"]
    with log.open("a") as file:
        file.write("".join(s + "\\n" for s in batch))
    if broken.exists():
        sys.exit("the oracle is broken")
    time.sleep(pause_s)
    print(json.dumps({{"scores": [s.upper().count("C") / len(s) for s in batch]}}), flush=True)
"""


class LoggingOracle:
    """A program that writes down every SMILES it is asked, and fails while a file exists."""

    def __init__(self, folder: Path, *, pause_s: float = 0.0) -> None:
        folder.mkdir(parents=True)
        self.broken = folder / "broken"
        self._log = folder / "asked.txt"
        self._log.touch()
        self.program = folder / "oracle.py"
        self.program.write_text(
            _PROGRAM.format(log=str(self._log), broken=str(self.broken), pause_s=pause_s)
        )

    def component(self) -> dict[str, object]:
        """Its part of an objective."""
        return {
            "type": "command",
            "name": "oracle",
            "command": ["{python}", str(self.program)],
            "timeout_s": 20.0,
            "max_restarts": 0,
            "desirability": {"type": "increasing", "zero_at": 0, "one_at": 1},
        }

    def asked(self) -> list[str]:
        """Every SMILES it was asked, in order."""
        return self._log.read_text().split()


class Interrupted:
    """An executor of which some scores never come and others never go: Ctrl-C comes first."""

    def __init__(self, inner: Executor, *, silent: Sequence[int], interrupted: int) -> None:
        self._inner, self._silent, self._interrupted = inner, silent, interrupted
        self._n_sent = -1

    def submit(self, pool: str, method: str, *args: Any) -> Future:
        if method == "score":
            self._n_sent += 1
            if self._n_sent == self._interrupted:
                raise KeyboardInterrupt
            if self._n_sent in self._silent:
                return Future()
        return self._inner.submit(pool, method, *args)

    def close(self) -> None:
        self._inner.close()


class Deadly:
    """An executor whose workers die of molecules with a certain text."""

    def __init__(self, inner: Executor, text: str) -> None:
        self._inner, self._text = inner, text

    def submit(self, pool: str, method: str, *args: Any) -> Future:
        if method == "score" and any(self._text in smiles for smiles in args[0]):
            future = Future()
            future.set_exception(WorkerDiedError(3, "signal 9"))
            return future
        return self._inner.submit(pool, method, *args)

    def close(self) -> None:
        self._inner.close()


class Slow:
    """An executor whose scores come a moment later; counts how many are under way at once."""

    def __init__(self, inner: Executor) -> None:
        self._inner, self._under_way = inner, 0
        self.most = 0

    def submit(self, pool: str, method: str, *args: Any) -> Future:
        answer = self._inner.submit(pool, method, *args)
        if method != "score":
            return answer
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        late = Future()
        threading.Timer(0.05, self._answer, (late, answer)).start()
        return late

    def _answer(self, late: Future, answer: Future) -> None:
        self._under_way -= 1
        late.set_result(answer.result())

    def close(self) -> None:
        self._inner.close()
