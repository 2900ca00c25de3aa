"""Oracle calls, counted outside the search: each distinct molecule once, in a log that stays.

The log is a table with a row per call: its number, the canonical SMILES, the score (nan where the
oracle failed) and the seconds that it took. A molecule that is in the log already is answered from
there and costs nothing, so a search that was killed can ask again. Several processes may share a
log: they take turns.
"""

from __future__ import annotations

import csv
import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem, rdBase

from molgen.errors import DataError

_HEADER = ["call", "smiles", "score", "seconds"]


@dataclass(frozen=True)
class Call:
    """A counted call: canonical SMILES, score (NaN where the oracle failed), seconds it took."""

    smiles: str
    score: float
    seconds: float


class CountedOracle:
    """Scores molecules and writes each new one down before its score is given away."""

    def __init__(self, score: Callable[[Chem.Mol], float], log: Path) -> None:
        """Go on with a log, or begin one.

        Args:
            score: of a sanitised molecule; ValueError, RuntimeError or ArithmeticError where it
                has none.
            log: the file; its folder is made.
        """
        self._score = score
        self._log = log
        self._known: dict[str, float] = {}
        self._n_bytes_read = 0
        log.parent.mkdir(parents=True, exist_ok=True)
        with self._turn():
            pass

    @property
    def n_calls(self) -> int:
        """Calls counted when this process last looked."""
        return len(self._known)

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        """A score per SMILES; NaN for what is no molecule (not counted) or has no score."""
        canonical = [canonical_or_none(text) for text in smiles]
        with self._turn() as file:
            for text in dict.fromkeys(canonical):
                if text is not None and text not in self._known:
                    self._call(text, file)
        return [math.nan if text is None else self._known[text] for text in canonical]

    def _call(self, smiles: str, file: int) -> None:
        began = time.perf_counter()
        try:
            score = float(self._score(Chem.MolFromSmiles(smiles)))
        except (ValueError, RuntimeError, ArithmeticError):
            score = math.nan
        seconds = time.perf_counter() - began
        self._known[smiles] = score
        row = f"{len(self._known)},{smiles},{score!r},{seconds:.6f}\n".encode()
        os.write(file, row)  # one write a row: a kill leaves at most one row cut short
        self._n_bytes_read += len(row)

    @contextmanager
    def _turn(self) -> Iterator[int]:
        """The log for this process alone, with what others wrote since read in."""
        file = os.open(self._log, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._catch_up(file)
            yield file
        finally:
            os.close(file)

    def _catch_up(self, file: int) -> None:
        if os.fstat(file).st_size == 0:
            os.write(file, (",".join(_HEADER) + "\n").encode())
        new = os.pread(file, os.fstat(file).st_size - self._n_bytes_read, self._n_bytes_read)
        whole = new.rfind(b"\n") + 1
        if whole < len(new):
            os.ftruncate(file, self._n_bytes_read + whole)  # a row that a kill cut short
        for call in _parsed(new[:whole].decode(), self._log):
            self._known[call.smiles] = call.score
        self._n_bytes_read += whole


def canonical_or_none(smiles: str) -> str | None:
    """Canonical isomeric SMILES; None for what is no molecule, or none that can be read again."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or mol.GetNumAtoms() == 0:
            return None
        canonical = str(Chem.MolToSmiles(mol))
        return None if Chem.MolFromSmiles(canonical) is None else canonical


def read_log(log: Path) -> list[Call]:
    """All calls in their order; a last row that was cut short is left out.

    Raises:
        DataError: there is no such file, or it is no log of calls.
    """
    if not log.is_file():
        raise DataError(f"{log}: no such log; run a search with `--log {log}` first")
    text = log.read_text()
    return _parsed(text[: text.rfind("\n") + 1], log)


def _parsed(text: str, log: Path) -> list[Call]:
    calls = []
    for row in csv.reader(text.splitlines()):
        if row == _HEADER:
            continue
        try:
            _, smiles, score, seconds = row
            calls.append(Call(smiles, float(score), float(seconds)))
        except ValueError:
            raise DataError(
                f"{log}: the row {','.join(row)[:60]!r} is not {','.join(_HEADER)!r}; name a log "
                "of counted calls"
            ) from None
    return calls
