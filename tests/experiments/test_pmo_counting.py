"""Calls are counted once each, in a log that outlives its process."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rdkit import Chem

from experiments.pmo.counting import CountedOracle, read_log
from experiments.pmo.oracles import ORACLES
from molgen.errors import DataError

ROOT = Path(__file__).parents[2]


class AtomCount:
    """An oracle that remembers what it was asked; silicon is beyond it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, mol: Chem.Mol) -> float:
        self.asked.append(Chem.MolToSmiles(mol))
        if any(atom.GetSymbol() == "Si" for atom in mol.GetAtoms()):
            raise ValueError("no parameters for silicon")
        return float(mol.GetNumAtoms())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run" / "calls.csv"


def test_a_molecule_counts_once_however_it_is_written(log: Path) -> None:
    asked = AtomCount()
    oracle = CountedOracle(asked, log)
    assert oracle(["CCO", "OCC", "C(O)C", "CO"]) == [3, 3, 3, 2]
    assert oracle(["CCO"]) == [3]
    assert oracle.n_calls == 2
    assert asked.asked == ["CCO", "CO"]
    assert [(c.smiles, c.score) for c in read_log(log)] == [("CCO", 3), ("CO", 2)]


def test_stereoisomers_are_two_calls_as_in_pmo(log: Path) -> None:
    oracle = CountedOracle(AtomCount(), log)
    oracle(["C[C@H](N)O", "C[C@@H](N)O", "CC(N)O"])
    assert oracle.n_calls == 3


def test_what_is_no_molecule_has_no_score_and_costs_nothing(log: Path) -> None:
    oracle = CountedOracle(AtomCount(), log)
    assert all(map(math.isnan, oracle(["", "not a molecule", "C1CC"])))
    assert oracle.n_calls == 0
    assert read_log(log) == []


def test_an_oracle_that_fails_was_called_all_the_same(log: Path) -> None:
    asked = AtomCount()
    oracle = CountedOracle(asked, log)
    assert math.isnan(oracle(["C[SiH3]"])[0])
    assert math.isnan(oracle(["C[SiH3]"])[0])
    assert oracle.n_calls == 1
    assert asked.asked == ["C[SiH3]"]
    assert math.isnan(read_log(log)[0].score)


def test_a_later_process_goes_on_with_the_log(log: Path) -> None:
    CountedOracle(AtomCount(), log)(["CCO", "CO"])
    later = AtomCount()
    oracle = CountedOracle(later, log)
    assert oracle.n_calls == 2
    assert oracle(["OCC", "CCC"]) == [3, 3]
    assert later.asked == ["CCC"]
    assert [c.smiles for c in read_log(log)] == ["CCO", "CO", "CCC"]


def test_two_that_share_a_log_do_not_pay_twice(log: Path) -> None:
    first, second = AtomCount(), AtomCount()
    one, other = CountedOracle(first, log), CountedOracle(second, log)
    one(["CCO"])
    other(["CO", "CCO"])
    one(["CO", "CC"])
    assert first.asked == ["CCO", "CC"]
    assert second.asked == ["CO"]
    assert [c.smiles for c in read_log(log)] == ["CCO", "CO", "CC"]


def test_a_row_that_a_kill_cut_short_is_asked_again(log: Path) -> None:
    CountedOracle(AtomCount(), log)(["CCO", "CO"])
    log.write_bytes(log.read_bytes()[:-6])
    assert [c.smiles for c in read_log(log)] == ["CCO"]
    again = AtomCount()
    CountedOracle(again, log)(["CO"])
    assert again.asked == ["CO"]
    assert [c.smiles for c in read_log(log)] == ["CCO", "CO"]


def test_a_file_that_is_no_log_is_refused(log: Path) -> None:
    with pytest.raises(DataError, match="no such log"):
        read_log(log)
    log.parent.mkdir()
    log.write_text("name\naspirin\n")
    with pytest.raises(DataError, match="'name'"):
        read_log(log)
    with pytest.raises(DataError, match="'name'"):
        CountedOracle(AtomCount(), log)


def test_the_scorer_program_answers_lines_and_counts(log: Path) -> None:
    lines = [{"smiles": ["Cc1ccccc1", "oops"]}, {"smiles": ["c1ccccc1C", "CCO"]}]
    answer = subprocess.run(
        [sys.executable, "-m", "experiments.pmo.scorer", "--task", "median1", "--log", str(log)],
        cwd=ROOT, input="".join(json.dumps(line) + "\n" for line in lines), text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    first, second = (json.loads(line)["scores"] for line in answer.stdout.splitlines())
    assert first == [pytest.approx(ORACLES["median1"](Chem.MolFromSmiles("Cc1ccccc1"))), None]
    assert second[0] == first[0]
    assert [c.smiles for c in read_log(log)] == ["Cc1ccccc1", "CCO"]
