"""The ledger: everything a run proposed and scored, durable before it is used.

One row per identity (canonical isomeric SMILES). A row is `pending` before its molecule is sent;
*scored* and *unscored* mean committed. SQLite in write-ahead mode with full synchronisation by
default, so what is committed survives the death of the process and of the machine; any other
SQLAlchemy URL of a database with ON CONFLICT (PostgreSQL) works as well.

Only the driver of a run writes; anybody may read meanwhile.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from molgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Value = float | int | str | bool | None
Status = Literal["duplicate", "filtered", "pending", "scored", "unscored"]

_CHUNK = 500  # bound values in one statement; every database takes that many
_PAID = ("pending", "scored", "unscored")

_metadata = sa.MetaData()
_molecules = sa.Table(
    "molecules",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("smiles", sa.Text, nullable=False, unique=True),
    sa.Column("inchikey", sa.Text, nullable=False),
    sa.Column("constitution", sa.Text, nullable=False, index=True),
    sa.Column("scaffold", sa.Text, nullable=False),
    sa.Column("round", sa.Integer, nullable=False, index=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("parents", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("reward", sa.Double),
    sa.Column("values_json", sa.Text, nullable=False, default="{}"),
    sa.Column("worker", sa.Text, nullable=False, default=""),
    sa.Column("seconds", sa.Double),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("scored_at", sa.Text),
)
_rounds = sa.Table(
    "rounds",
    _metadata,
    sa.Column("round", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("stats_json", sa.Text, nullable=False),
    sa.Column("finished_at", sa.Text, nullable=False),
)
_spares = sa.Table(
    "spares",
    _metadata,
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("smiles", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("parents", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class NewMolecule:
    """A proposed molecule, as it enters the ledger."""

    smiles: str
    inchikey: str
    constitution: str
    scaffold: str
    origin: str
    parents: tuple[str, ...]
    status: Literal["duplicate", "filtered", "pending"]
    reason: str = ""


@dataclass(frozen=True)
class Spare:
    """A promising proposal that was not chosen, kept for the next round."""

    smiles: str
    origin: str
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """What came back for a molecule that was sent; `reward` is NaN when it is unscored."""

    id: int
    status: Literal["scored", "unscored"]
    reason: str
    reward: float
    values: Mapping[str, Value]
    worker: str
    seconds: float


@dataclass(frozen=True)
class LedgerRow:
    """A molecule's whole history; `reward`, `seconds` and values are NaN where there is none."""

    id: int
    smiles: str
    inchikey: str
    constitution: str
    scaffold: str
    round: int
    origin: str
    parents: tuple[str, ...]
    status: Status
    reason: str
    attempts: int
    reward: float
    values: dict[str, float | int | str | bool]
    worker: str
    seconds: float
    created_at: str
    scored_at: str | None


class Ledger:
    """A connection to one run's ledger."""

    def __init__(self, engine: sa.Engine) -> None:
        """Use `Ledger.open`, which checks what it opens."""
        self._engine = engine
        self.name = engine.url.render_as_string(hide_password=True)

    @classmethod
    def open(cls, url_or_path: str | Path, *, create: bool) -> Ledger:
        """Open a ledger, or make an empty one (which leaves an existing one as it is).

        Args:
            url_or_path: a file for SQLite, or any SQLAlchemy URL.
            create: make the tables where they are missing.

        Raises:
            DataError: missing, broken, unreachable, or not a ledger.
        """
        text = str(url_or_path)
        try:
            url = sa.make_url(text) if "://" in text else sa.URL.create("sqlite", database=text)
            engine = sa.create_engine(url)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError) as error:
            what = _without_password(f"{text} cannot be read ({error})")
            raise DataError(f"ledger.url: {what}; give a SQLAlchemy URL or a file") from None
        except ModuleNotFoundError as error:
            raise DataError(f"ledger.url: this database needs `pip install {error.name}`") from None
        if url.get_backend_name() == "sqlite":
            if url.database in (None, "", ":memory:"):
                raise DataError(f"ledger.url: {text} is kept in memory alone; name a file")
            if not create and not Path(str(url.database)).is_file():
                raise DataError(
                    f"{url.database}: no ledger there; restore it, or name the folder of a run"
                )
            sa.event.listen(engine, "connect", _make_durable)
        ledger = cls(engine)
        with ledger._transaction() as connection:
            if create:
                _metadata.create_all(connection)
            inspector = sa.inspect(connection)
            for table in _metadata.sorted_tables:
                have = (
                    {c["name"] for c in inspector.get_columns(table.name)}
                    if inspector.has_table(table.name)
                    else set()
                )
                if not {c.name for c in table.columns} <= have:
                    raise DataError(
                        f"{ledger.name}: not a ledger of this version of molgen (table "
                        f"{table.name!r} is missing or lacks columns)"
                    )
        return ledger

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """One transaction: durable when the block ends, undone when it raises."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
            raise  # a fault of ours, not of the disk or the server
        except sa.exc.DatabaseError as error:
            raise DataError(f"ledger {self.name}: {error.orig}") from error

    def _rows(self, query: sa.Select[Any]) -> list[LedgerRow]:
        with self._transaction() as connection:
            return [_to_row(dict(r)) for r in connection.execute(query).mappings()]

    def known(self, smiles: Sequence[str]) -> dict[str, LedgerRow]:
        """The rows of those of these identities that the ledger holds."""
        return {
            row.smiles: row
            for chunk in _chunks(smiles)
            for row in self._rows(sa.select(_molecules).where(_molecules.c.smiles.in_(chunk)))
        }

    def known_constitutions(self, constitutions: Sequence[str]) -> set[str]:
        """Those of these constitutions (stereo-free canonical SMILES) that the ledger holds."""
        column = _molecules.c.constitution
        found: set[str] = set()
        with self._transaction() as connection:
            for chunk in _chunks(constitutions):
                found.update(connection.scalars(sa.select(column).where(column.in_(chunk))))
        return found

    def add(self, round: int, molecules: Sequence[NewMolecule]) -> None:
        """Append proposals in order, in one transaction; identities already there stay as is."""
        with self._transaction() as connection:
            _insert(connection, round, molecules)

    def open_round(
        self, round: int, molecules: Sequence[NewMolecule], stats: Mapping[str, Value],
        spares: Sequence[Spare],
    ) -> None:  # fmt: skip
        """Append a round's proposals, note its numbers and what it leaves to the next: all or none.

        Args:
            round: the latest.
            molecules: as for `add`.
            stats: as for `note_round`.
            spares: in place of those of earlier rounds.
        """
        rows = [
            {"place": i, "smiles": s.smiles, "origin": s.origin, "parents": json.dumps(s.parents)}
            for i, s in enumerate(spares)
        ]
        with self._transaction() as connection:
            _insert(connection, round, molecules)
            _note(connection, round, stats)
            connection.execute(sa.delete(_spares))
            if rows:
                connection.execute(sa.insert(_spares), rows)

    def spares(self) -> list[Spare]:
        """What the latest round left to the next, in its order."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_spares).order_by(_spares.c.place)).mappings()
            return [Spare(r["smiles"], r["origin"], tuple(json.loads(r["parents"]))) for r in rows]

    def round_rows(self, round: int) -> list[LedgerRow]:
        """The rows first proposed in a round, in order of proposal."""
        return self._rows(
            sa.select(_molecules).where(_molecules.c.round == round).order_by(_molecules.c.id)
        )

    def pending(self, round: int | None = None) -> list[LedgerRow]:
        """The rows not yet answered, of one round or of all, in order of proposal."""
        query = sa.select(_molecules).where(_molecules.c.status == "pending")
        if round is not None:
            query = query.where(_molecules.c.round == round)
        return self._rows(query.order_by(_molecules.c.id))

    def mark_sent(self, ids: Sequence[int]) -> None:
        """Count one more attempt for each row; call it before the molecules leave."""
        with self._transaction() as connection:
            for chunk in _chunks(ids):
                connection.execute(
                    sa.update(_molecules)
                    .where(_molecules.c.id.in_(chunk))
                    .values(attempts=_molecules.c.attempts + 1)
                )

    def commit(self, scores: Sequence[Score]) -> None:
        """Write answers in one transaction: afterwards they are never asked for again.

        Raises:
            AssertionError: an id is not pending (unknown, or committed before); nothing is
                written then.
        """
        if not scores:
            return
        now = _now()
        rows = [
            {
                "row_id": s.id,
                "status": s.status,
                "reason": s.reason,
                "reward": None if math.isnan(s.reward) else float(s.reward),
                "values_json": _to_json(s.values),
                "worker": s.worker,
                "seconds": float(s.seconds),
                "scored_at": now,
            }
            for s in scores
        ]
        names = ("status", "reason", "reward", "values_json", "worker", "seconds", "scored_at")
        statement = (
            sa.update(_molecules)
            .where(_molecules.c.id == sa.bindparam("row_id"), _molecules.c.status == "pending")
            .values({name: sa.bindparam(name) for name in names})
        )
        with self._transaction() as connection:
            n_written = connection.execute(statement, rows).rowcount
            if n_written != len(rows):
                raise AssertionError(
                    f"{len(rows) - n_written} of {len(rows)} scores are for rows that are not "
                    "pending: a committed molecule must never be scored again"
                )

    def reopen(self, ids: Sequence[int]) -> None:
        """Make unscored rows pending again (their scorer had died); others stay as they are."""
        with self._transaction() as connection:
            for chunk in _chunks(ids):
                connection.execute(
                    sa.update(_molecules)
                    .where(_molecules.c.id.in_(chunk), _molecules.c.status == "unscored")
                    .values(
                        status="pending",
                        reason="",
                        values_json="{}",
                        worker="",
                        seconds=None,
                        scored_at=None,
                    )
                )

    def note_round(self, round: int, stats: Mapping[str, Value]) -> None:
        """Write a round's numbers, over those of an earlier try of the same round."""
        with self._transaction() as connection:
            _note(connection, round, stats)

    def is_empty(self) -> bool:
        """Whether no run has written to it."""
        with self._transaction() as connection:
            tables = (_molecules, _rounds)
            return not any(connection.execute(sa.select(t).limit(1)).first() for t in tables)

    def n_oracle_calls(self, *, before_round: int | None = None) -> int:
        """Identities that cost budget: pending, scored and unscored, each once."""
        query = sa.select(sa.func.count()).where(_molecules.c.status.in_(_PAID))
        if before_round is not None:
            query = query.where(_molecules.c.round < before_round)
        with self._transaction() as connection:
            return int(connection.scalar(query) or 0)

    def best(self, n: int, *, before_round: int | None = None) -> list[LedgerRow]:
        """The n scored rows of highest reward (ties: the earlier first), NaN rewards excluded."""
        query = sa.select(_molecules).where(
            _molecules.c.status == "scored", _molecules.c.reward.is_not(None)
        )
        if before_round is not None:
            query = query.where(_molecules.c.round < before_round)
        return self._rows(query.order_by(_molecules.c.reward.desc(), _molecules.c.id).limit(n))

    def table(self) -> pd.DataFrame:
        """All rows in order of proposal, the values as columns behind the ledger's own.

        A value that bears the name of a ledger column gets `_value` behind its name.
        """
        import pandas as pd

        with self._transaction() as connection:
            frame = pd.DataFrame(
                connection.execute(sa.select(_molecules).order_by(_molecules.c.id))
                .mappings()
                .all(),
                columns=[c.name for c in _molecules.columns],
            )
        values = pd.DataFrame.from_records(
            [_from_json(text) for text in frame.pop("values_json")], index=frame.index
        )
        clashes = {name: f"{name}_value" for name in values.columns if name in frame.columns}
        frame["parents"] = [tuple(json.loads(text)) for text in frame["parents"]]
        for name in ("reward", "seconds"):
            frame[name] = frame[name].astype(float)
        return pd.concat([frame, values.rename(columns=clashes)], axis=1)

    def rounds(self) -> pd.DataFrame:
        """One row a round, in order: `round`, `finished_at`, and its numbers as columns."""
        import pandas as pd

        with self._transaction() as connection:
            rows = connection.execute(sa.select(_rounds).order_by(_rounds.c.round)).mappings().all()
        return pd.DataFrame(
            [
                {
                    "round": r["round"],
                    "finished_at": r["finished_at"],
                    **_from_json(r["stats_json"]),
                }
                for r in rows
            ],
            columns=None if rows else ["round", "finished_at"],
        )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def absolute_url(url: str) -> str:
    """The URL or file of a ledger, so that it is found from any working directory."""
    if "://" not in url:
        return str(Path(url).absolute())
    parts = sa.make_url(url)
    name = parts.database
    if parts.get_backend_name() != "sqlite" or not name or name.startswith((":", "file:", "/")):
        return url
    return parts.set(database=str(Path(name).absolute())).render_as_string(hide_password=False)


def _without_password(text: str) -> str:
    return re.sub(r"://[^\s'\"]*@", "://***@", text)


def _insert(connection: sa.Connection, round: int, molecules: Sequence[NewMolecule]) -> None:
    unique: dict[str, NewMolecule] = {}
    for molecule in molecules:
        unique.setdefault(molecule.smiles, molecule)
    now = _now()
    column = _molecules.c.smiles
    for chunk in _chunks(unique):
        for known in connection.scalars(sa.select(column).where(column.in_(chunk))):
            del unique[known]
    if not unique:
        return
    last_id = connection.scalar(sa.select(sa.func.max(_molecules.c.id))) or 0
    rows = [
        {
            "id": id,
            "smiles": m.smiles,
            "inchikey": m.inchikey,
            "constitution": m.constitution,
            "scaffold": m.scaffold,
            "round": round,
            "origin": m.origin,
            "parents": json.dumps(m.parents),
            "status": m.status,
            "reason": m.reason,
            "created_at": now,
        }
        for id, m in enumerate(unique.values(), start=last_id + 1)
    ]
    connection.execute(sa.insert(_molecules), rows)


def _note(connection: sa.Connection, round: int, stats: Mapping[str, Value]) -> None:
    row = {"round": round, "stats_json": _to_json(stats), "finished_at": _now()}
    connection.execute(sa.delete(_rounds).where(_rounds.c.round == round))
    connection.execute(sa.insert(_rounds), row)


def _make_durable(connection: Any, record: object) -> None:
    """A commit is on disk when it returns (FULL); readers do not block the writer (WAL)."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _to_row(fields: dict[str, Any]) -> LedgerRow:
    fields["parents"] = tuple(json.loads(fields["parents"]))
    fields["values"] = _from_json(fields.pop("values_json"))
    for name in ("reward", "seconds"):
        if fields[name] is None:
            fields[name] = math.nan
    return LedgerRow(**fields)


def _to_json(values: Mapping[str, Any]) -> str:
    """JSON with null for NaN, None and pandas' NA; numpy's numbers become Python's."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        value = value.item() if hasattr(value, "item") else value
        missing = value is None or type(value).__name__ == "NAType" or value != value
        plain[name] = None if missing else value
    return json.dumps(plain)


def _from_json(text: str) -> dict[str, Any]:
    return {k: math.nan if v is None else v for k, v in json.loads(text).items()}


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    unique = list(dict.fromkeys(items))
    for start in range(0, len(unique), _CHUNK):
        yield unique[start : start + _CHUNK]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
