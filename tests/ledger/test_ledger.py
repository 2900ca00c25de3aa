"""The ledger: identities once, answers once, nothing lost."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from molgen.errors import DataError
from molgen.ledger import Ledger, NewMolecule, Score, Spare, absolute_url

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
CAFFEINE = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"
IBUPROFEN = "CC(C)Cc1ccc(C(C)C(=O)O)cc1"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(tmp_path / "ledger.db", create=True)
    yield ledger
    ledger.close()


def new(smiles: str, status: Any = "pending", reason: str = "") -> NewMolecule:
    return NewMolecule(
        smiles=smiles,
        inchikey=f"KEY-{smiles}",
        constitution=smiles,
        scaffold="c1ccccc1",
        origin="policy",
        parents=("CCO",),
        status=status,
        reason=reason,
    )


def is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def score(id: int, reward: float = 0.5, **values: Any) -> Score:
    return Score(
        id=id,
        status="unscored" if math.isnan(reward) else "scored",
        reason="",
        reward=reward,
        values=values,
        worker="here:1",
        seconds=0.1,
    )


def test_rows_come_back_in_the_order_of_proposal(ledger: Ledger) -> None:
    ledger.add(0, [new(IBUPROFEN), new(ASPIRIN, "filtered", "alerts: x"), new(CAFFEINE)])
    rows = ledger.round_rows(0)
    assert [r.smiles for r in rows] == [IBUPROFEN, ASPIRIN, CAFFEINE]
    assert [r.id for r in rows] == [1, 2, 3]
    assert rows[1].reason == "alerts: x"
    assert rows[0].parents == ("CCO",)
    assert math.isnan(rows[0].reward)
    assert [r.smiles for r in ledger.pending()] == [IBUPROFEN, CAFFEINE]
    assert ledger.pending(1) == []


def test_a_round_proposed_again_leaves_every_row_as_it_was(ledger: Ledger) -> None:
    ledger.add(0, [new(ASPIRIN), new(CAFFEINE)])
    ledger.commit([score(1)])
    before = ledger.round_rows(0)
    ledger.add(0, [new(ASPIRIN), new(CAFFEINE), new(CAFFEINE)])
    assert ledger.round_rows(0) == before
    ledger.add(1, [new(ASPIRIN), new(IBUPROFEN)])
    assert [(r.id, r.smiles) for r in ledger.round_rows(1)] == [(3, IBUPROFEN)]


def test_a_batch_cut_short_and_proposed_again_gets_the_ids_of_an_undisturbed_one(
    ledger: Ledger, tmp_path: Path
) -> None:
    batches = [["C", "CC", "C", "CCC"], ["CC", "CCCC", "CCCCC"]]
    other = Ledger.open(tmp_path / "odd name?x=1%20.db", create=True)
    for round, batch in enumerate(batches):
        ledger.add(round, [new(s) for s in batch])
        for _ in range(2):
            other.add(round, [new(s) for s in batch])
    expected = [("C", 1), ("CC", 2), ("CCC", 3), ("CCCC", 4), ("CCCCC", 5)]
    for each in (ledger, other):
        assert [(row.smiles, row.id) for row in each.pending()] == expected
    other.close()
    assert (tmp_path / "odd name?x=1%20.db").is_file()


def test_a_round_opens_with_its_molecules_numbers_and_spares_or_not_at_all(
    ledger: Ledger,
) -> None:
    first, second = Spare("CC", "edit", ("C",)), Spare("CCC", "sample, prompt 1", ())
    assert ledger.spares() == []
    ledger.open_round(0, [new(ASPIRIN)], {"n_proposed": 3}, [first, second])
    assert ledger.spares() == [first, second]
    with pytest.raises(sa.exc.SQLAlchemyError):
        broken = dataclasses.replace(second, smiles=None)  # type: ignore[arg-type]
        ledger.open_round(1, [new(CAFFEINE)], {"n_proposed": 4}, [broken])
    assert ledger.spares() == [first, second]
    assert [r.smiles for r in ledger.pending()] == [ASPIRIN]
    assert list(ledger.rounds()["n_proposed"]) == [3]
    ledger.open_round(1, [], {"n_proposed": 5}, [second])
    assert ledger.spares() == [second]


def test_known_finds_identities_and_constitutions_in_any_number(ledger: Ledger) -> None:
    smiles = ["C" * n for n in range(1, 1300)]
    ledger.add(0, [new(s) for s in smiles])
    assert set(ledger.known([*smiles, ASPIRIN])) == set(smiles)
    assert ledger.known(["C"])["C"].id == 1
    assert ledger.known_constitutions([*smiles, ASPIRIN]) == set(smiles)
    assert ledger.known([]) == {}


def test_only_what_was_sent_costs_budget_and_only_once(ledger: Ledger) -> None:
    ledger.add(0, [new(ASPIRIN), new("C", "filtered"), new("CC", "duplicate"), new(CAFFEINE)])
    assert ledger.n_oracle_calls() == 2
    ledger.mark_sent([1, 4])
    ledger.mark_sent([4])
    ledger.commit([score(1, 0.3), score(4, math.nan)])
    assert ledger.n_oracle_calls() == 2
    assert [r.attempts for r in ledger.round_rows(0)] == [1, 0, 0, 2]


def test_a_committed_molecule_is_never_committed_again(ledger: Ledger) -> None:
    ledger.add(0, [new(ASPIRIN), new(CAFFEINE)])
    ledger.commit([score(1, 0.3)])
    for scores in ([score(2), score(1)], [score(2), score(2)], [score(2), score(9)]):
        with pytest.raises(AssertionError, match="1 of 2 scores"):
            ledger.commit(scores)
    assert [r.status for r in ledger.round_rows(0)] == ["scored", "pending"]


def test_reopened_rows_are_pending_again_and_scored_ones_are_not(ledger: Ledger) -> None:
    ledger.add(0, [new(ASPIRIN), new(CAFFEINE)])
    ledger.mark_sent([1, 2])
    ledger.commit([score(1, 0.3), score(2, math.nan, pki=5.0)])
    ledger.reopen([1, 2])
    (row,) = ledger.pending()
    assert (row.id, row.values, row.scored_at, row.attempts) == (2, {}, None, 1)
    assert ledger.round_rows(0)[0].status == "scored"


def test_the_best_are_ordered_by_reward_then_age_without_nan(ledger: Ledger) -> None:
    ledger.add(0, [new("C"), new("CC"), new("CCC"), new("CCCC")])
    ledger.add(1, [new("CCCCC")])
    ledger.commit([score(1, 0.2), score(2, 0.9), score(3, 0.9), score(4, math.nan), score(5, 1.0)])
    assert [r.id for r in ledger.best(10)] == [5, 2, 3, 1]
    assert [r.id for r in ledger.best(2, before_round=1)] == [2, 3]


@given(
    values=st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.floats()
        | st.integers(-(2**53), 2**53)
        | st.text(max_size=8)
        | st.booleans()
        | st.none(),
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None)
def test_values_come_back_as_they_went_and_missing_ones_as_nan(
    values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ledger = Ledger.open(tmp_path_factory.mktemp("ledger") / "l.db", create=True)
    ledger.add(0, [new(ASPIRIN)])
    ledger.commit([Score(1, "scored", "", 0.5, values, "w", 0.0)])
    back = ledger.round_rows(0)[0].values
    ledger.close()
    assert list(back) == list(values)
    for name, value in values.items():
        if value is None or value != value:
            assert is_nan(back[name])
        else:
            assert back[name] == value
            assert type(back[name]) is type(value)


def test_numbers_of_numpy_and_missing_values_of_pandas_are_understood(ledger: Ledger) -> None:
    ledger.add(0, [new(ASPIRIN)])
    ledger.commit(
        [
            score(
                1,
                float(np.float32(0.5)),
                a=np.float32(0.25),
                b=np.int64(3),
                c=np.bool_(True),
                d=pd.NA,
                e=np.float64("nan"),
            )
        ]
    )
    row = ledger.round_rows(0)[0]
    assert row.reward == 0.5
    assert (row.values["a"], row.values["b"], row.values["c"]) == (0.25, 3, True)
    assert is_nan(row.values["d"])
    assert is_nan(row.values["e"])


def test_the_table_has_every_row_and_a_column_for_every_value(ledger: Ledger) -> None:
    ledger.add(0, [new(ASPIRIN), new(CAFFEINE), new("C", "filtered")])
    ledger.commit([score(1, 0.5, pki=7.0, note="x"), score(2, math.nan, pki=math.nan, worker=3.0)])
    table = ledger.table()
    assert list(table["smiles"]) == [ASPIRIN, CAFFEINE, "C"]
    assert table["reward"].dtype == table["pki"].dtype == float
    assert table["pki"][0] == 7.0
    assert table[["pki", "reward"]].isna().sum().tolist() == [2, 2]
    assert table["worker"][1] == "here:1"
    assert table["worker_value"][1] == 3.0


def test_an_empty_ledger_has_an_empty_table(ledger: Ledger) -> None:
    assert len(ledger.table()) == len(ledger.rounds()) == 0
    assert {"smiles", "reward", "status"} <= set(ledger.table().columns)
    assert "round" in ledger.rounds().columns


def test_a_round_noted_twice_keeps_the_later_numbers(ledger: Ledger) -> None:
    ledger.note_round(1, {"loss": 2.0})
    ledger.note_round(0, {"loss": math.nan, "n_valid": 3})
    ledger.note_round(1, {"loss": 1.0})
    rounds = ledger.rounds()
    assert list(rounds["round"]) == [0, 1]
    assert math.isnan(rounds["loss"][0])
    assert rounds["loss"][1] == 1.0


# ------------------------------------------------------------------------------------- opening


def test_a_ledger_opened_again_holds_what_it_held(tmp_path: Path) -> None:
    for create in (True, True, False):
        ledger = Ledger.open(tmp_path / "ledger.db", create=create)
        ledger.add(0, [new(ASPIRIN)])
        assert ledger.n_oracle_calls() == 1
        ledger.close()


def test_sqlite_waits_for_the_disk_and_lets_others_read(ledger: Ledger, tmp_path: Path) -> None:
    with ledger._transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        other = sqlite3.connect(tmp_path / "ledger.db")
        assert other.execute("SELECT count(*) FROM molecules").fetchone() == (0,)
        other.close()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no ledger there"),
        (b"", "not a ledger of this version"),
        (b"this is not a database, it only sits where one should be " * 40, "not a database"),
    ],
)
def test_what_is_not_a_ledger_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "ledger.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        Ledger.open(path, create=False)


@pytest.mark.parametrize(
    "url",
    [
        "oracle9://x",
        "postgresql://user:secret@127.0.0.1:9/molgen",
        "postgresql://user:secret@host:abc/molgen",
        "/proc/none/ledger.db",
        "sqlite:////proc/none/ledger.db",
    ],
)
def test_an_unreachable_database_is_a_users_error_that_hides_the_password(url: str) -> None:
    with pytest.raises(DataError) as caught:
        Ledger.open(url, create=True)
    assert "secret" not in str(caught.value)


def test_a_file_is_named_so_that_it_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for relative, absolute in (
        ("led.db", f"{tmp_path}/led.db"),
        ("sqlite:///led.db", f"sqlite:///{tmp_path}/led.db"),
        (
            "sqlite+pysqlite:///a/led.db?timeout=3",
            f"sqlite+pysqlite:///{tmp_path}/a/led.db?timeout=3",
        ),
    ):
        assert absolute_url(relative) == absolute
    for kept in (
        "sqlite:////data/led.db",
        "postgresql://me:secret@host/runs",
        "sqlite:///file:x?uri=true",
    ):
        assert absolute_url(kept) == kept


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_ledger_in_memory_alone_would_be_lost_and_is_refused(url: str) -> None:
    with pytest.raises(DataError, match="in memory alone; name a file"):
        Ledger.open(url, create=True)


def test_the_tables_can_also_be_made_in_postgresql() -> None:
    import sqlalchemy as sa
    from sqlalchemy.dialects import postgresql

    from molgen import ledger as module

    for table in module._metadata.sorted_tables:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        text = str(sa.schema.CreateTable(table).compile(dialect=dialect))
        assert "SERIAL" not in text


# ---------------------------------------------------------------------------------------- kills

WRITER = """
import sys
from molgen.ledger import Ledger, NewMolecule, Score, Spare
ledger = Ledger.open(sys.argv[1], create=True)
for round in range(10_000):
    ledger.add(round, [NewMolecule(f"C{round}-{i}", "", "", "", "policy", (), "pending")
                       for i in range(20)])
    ids = [row.id for row in ledger.round_rows(round)]
    ledger.mark_sent(ids)
    ledger.commit([Score(i, "scored", "", 0.5, {"x": i}, "w", 0.0) for i in ids])
    print(round, flush=True)
"""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_was_committed_before_a_kill_is_there_afterwards(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ledger.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for _ in range(random.Random(seed).randrange(5, 40)):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    last = [int(line) for line in writer.stdout][-1:]
    writer.wait()
    writer.stdout.close()

    ledger = Ledger.open(path, create=False)
    table = ledger.table()
    done = last[0] if last else 4
    assert (table[table["round"] <= done]["status"] == "scored").all()
    assert len(table[table["round"] <= done]) == 20 * (done + 1)
    assert (
        table[table["status"] == "scored"]["x"] == table[table["status"] == "scored"]["id"]
    ).all()
    # Every round after the last whole one is a whole number of transactions.
    assert set(table.groupby("round").size()) == {20}
    assert set(table.groupby("round")["status"].nunique()) == {1}
    ledger.close()
