"""`molgen predict`: a file of structures in, the same rows with predictions out.

Rows are read, predicted and written some at a time, so a file of any length fits in memory.
"""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from molgen.errors import ConfigError, DataError
from molgen.objectives.prediction_workers import predicted

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

CHUNK_SIZE = 512  # rows read, predicted and written together
_SUFFIX = "_input"  # of an input column whose name a result needs


@dataclass(frozen=True)
class _Chunk:
    """Some rows of the input.

    Attributes:
        columns: What the input says, in its own columns.
        smiles: One entry a row.
        reasons: '' a row, or why its structure cannot be read.
        share: Part of the input read so far, 0 to 1; None where its length is not known.
    """

    columns: pd.DataFrame
    smiles: list[Any]
    reasons: list[str]
    share: float | None

    @property
    def readable(self) -> list[Any]:
        """SMILES of each row, '' where it cannot be read."""
        return [s if not r else "" for s, r in zip(self.smiles, self.reasons, strict=True)]


def predict_file(
    table: str,
    output: Path,
    *,
    endpoints: Sequence[str] = (),
    folder: Path | None = None,
    smiles_column: str = "smiles",
    n_processes: int | None = None,
    ray: str | None = None,
) -> tuple[int, int]:
    """Predicts every row of a file and writes the file again with the predictions beside it.

    Every input row and column is kept as it stands, in order; .smi gives the columns `smiles` and
    `name`, .sdf these and its fields. The columns of `property_models.predict_table` follow. An
    input column with the name of one of those gets the suffix `_input`. A row that cannot be
    predicted has empty values and says why under `reason`.

    Args:
        table: .smi, .csv, .tsv, .sdf, .parquet, or '-' for SMILES lines on standard input.
        output: .csv or .parquet; replaced only when it is complete.
        endpoints: What to predict; empty: everything there is a predictor for.
        folder: Folder of predictors; None: the shipped ones.
        smiles_column: Where a .csv, .tsv or .parquet holds the structures.
        n_processes: That predict; None: one for each core. The rows are the same on any number.
        ray: Predict on Ray: 'local', or an address; None: no Ray.

    Returns:
        Rows written, and how many of them have no prediction.

    Raises:
        ConfigError: The output cannot be written, or a file is of an unknown kind.
        DataError: The input is missing, empty or broken, or lacks the column.
        property_models.errors.PropertyModelError: An unknown endpoint or a broken predictor.
    """
    n_rows = n_failed = 0
    with (
        contextlib.closing(_read(table, smiles_column)) as chunks,
        _writing(output) as write,
        _progress() as advance,
        contextlib.closing(
            predicted(chunks, folder=folder, endpoints=endpoints, n_processes=n_processes, ray=ray)
        ) as tables,
    ):
        for chunk, table_of_chunk in tables:
            found = _beside(chunk, table_of_chunk)
            write(found)
            n_rows += len(found)
            n_failed += int((found["reason"] != "").sum())
            advance(n_rows, chunk.share)
    return n_rows, n_failed


def read_structures(
    table: str, *, smiles_column: str = "smiles", n_max: int
) -> list[tuple[str, str]]:
    """SMILES of a file's first rows, or '' and why a row cannot be read, as by `predict_file`."""
    with contextlib.closing(_read(table, smiles_column)) as chunks:
        found = (
            (smiles if isinstance(smiles, str) and not reason else "", reason)
            for chunk in chunks
            for smiles, reason in zip(chunk.smiles, chunk.reasons, strict=True)
        )
        return list(islice(found, n_max))


def _beside(chunk: _Chunk, found: pd.DataFrame) -> pd.DataFrame:
    """The rows of a chunk with their predictions."""
    import pandas as pd

    found["reason"] = [
        own or theirs for own, theirs in zip(chunk.reasons, found["reason"], strict=True)
    ]
    # Said outright, because a chunk without rows does not show what a column holds.
    ends = ("_neighbour_inchikey", "_neighbour_bound")
    texts = [c for c in found.columns if c == "reason" or c.endswith(ends)]
    found = found.astype(dict.fromkeys(texts, "str"))
    new_names = _new_names(chunk.columns.columns, found.columns)
    return pd.concat([chunk.columns.rename(columns=new_names), found], axis=1)


def _new_names(columns: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Names for the input columns whose own are taken by results."""
    columns = list(columns)
    new_names = {name: f"{name}{_SUFFIX}" for name in columns if name in taken}
    for old, new in new_names.items():
        if new in columns or new in taken:
            raise DataError(
                f"the input's column {old!r} has the name of a result and would become {new!r}, "
                "which there is, too; rename one of them"
            )
    return new_names


# -- read -----------------------------------------------------------------------------------


def _read(table: str, smiles_column: str) -> Generator[_Chunk, None, None]:
    """The rows of an input, some at a time."""
    if table == "-":
        yield from _smiles_chunks(sys.stdin.buffer, "standard input", 0)
        return
    path = Path(table)
    kind = path.suffix.lower()
    if kind not in (".smi", ".csv", ".tsv", ".sdf", ".parquet"):
        raise ConfigError(
            f"{table}: cannot read this kind of file; give .smi, .csv, .tsv, .sdf, .parquet, or - "
            "for SMILES on standard input"
        )
    try:
        n_bytes = path.stat().st_size
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror})") from error
    with stream:
        if not n_bytes:
            raise DataError(f"{table}: is empty")
        if kind == ".smi":
            yield from _smiles_chunks(stream, table, n_bytes)
        elif kind == ".sdf":
            yield from _sdf_chunks(stream, table, n_bytes)
        elif kind == ".parquet":
            yield from _parquet_chunks(stream, table, smiles_column)
        else:
            separator = "\t" if kind == ".tsv" else ","
            yield from _table_chunks(stream, table, n_bytes, separator, smiles_column)


def _smiles_chunks(stream: IO[bytes], name: str, n_bytes: int) -> Iterator[_Chunk]:
    """Lines of a SMILES and, after white space, a name; empty lines are no rows."""
    lines = (line.split(None, 1) for line in _lines(stream, "replace"))
    rows = ((words[0], "".join(words[1:]).strip()) for words in lines if words)
    n_rows = 0
    for some in _batches(rows):
        n_rows += len(some)
        smiles, names = zip(*some, strict=True)
        columns = _frame({"smiles": smiles, "name": names})
        yield _Chunk(columns, list(smiles), [""] * len(some), _share(stream, n_bytes))
    if not n_rows:
        raise DataError(f"{name}: holds no structure; give one SMILES a line")


def _table_chunks(
    stream: IO[bytes], name: str, n_bytes: int, separator: str, smiles_column: str
) -> Iterator[_Chunk]:
    """Rows of a .csv or .tsv; every cell stays the text it is."""
    # Strict, or a quote that is never closed would swallow the rows after it without a word.
    reader = csv.reader(_lines(stream, "strict"), delimiter=separator, strict=True)
    try:
        header = next(reader, [])
        _check_header(header, name, smiles_column)
        place = header.index(smiles_column)
        n_rows = 0
        for some in _batches(_table_rows(reader, len(header))):
            n_rows += len(some)
            columns = zip(*(cells for cells, _ in some), strict=True)
            frame = _frame(dict(zip(header, columns, strict=True)))
            smiles = [cells[place] for cells, _ in some]
            yield _Chunk(frame, smiles, [reason for _, reason in some], _share(stream, n_bytes))
        if not n_rows:
            yield _Chunk(_frame(dict.fromkeys(header, ())), [], [], 1.0)
    except (csv.Error, UnicodeDecodeError) as error:
        # A line that is no text has not been counted yet.
        line = reader.line_num + isinstance(error, UnicodeDecodeError)
        raise DataError(
            f"{name}: line {line}: cannot be read ({error}); save the table as "
            "UTF-8 text and close every quoted cell"
        ) from error


def _table_rows(reader: Any, n_columns: int) -> Iterator[tuple[list[str], str]]:
    """Cells of each row and a reason where they do not fit the header; empty lines are no rows."""
    for cells in filter(None, reader):
        reason = ""
        if len(cells) > n_columns:  # which of them is the structure is anybody's guess
            reason = (
                f"line {reader.line_num} has {len(cells)} cells, the header {n_columns}: quote "
                "cells that contain the separator"
            )
        yield (cells + [""] * n_columns)[:n_columns], reason


def _check_header(header: Sequence[str], name: str, smiles_column: str) -> None:
    from property_models.endpoints import did_you_mean

    if not header:
        raise DataError(f"{name}: the first line is empty; it must name the columns")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{name}: two columns are called {twice[0]!r}; rename one of them")
    if smiles_column not in header:
        raise DataError(
            f"{name}: no column {smiles_column!r}{did_you_mean(smiles_column, header)}; it has "
            f"{', '.join(header[:10])}{', …' if len(header) > 10 else ''}; say by --smiles-column "
            "which one holds the structures"
        )


def _sdf_chunks(stream: IO[bytes], name: str, n_bytes: int) -> Iterator[_Chunk]:
    """Records of an SDF; a first pass collects the fields, which differ between records."""
    from rdkit import Chem, rdBase

    fields = list(dict.fromkeys(f for record in _records(stream) for f in _fields(record)))
    new_names = _new_names(fields, ("smiles", "name"))
    stream.seek(0)
    n_rows = 0
    for some in _batches(_records(stream)):
        with rdBase.BlockLogs():
            mols = [Chem.MolFromMolBlock(_mol_block(record)) for record in some]
        columns: dict[str, Sequence[str]] = {
            "smiles": ["" if mol is None else Chem.MolToSmiles(mol) for mol in mols],
            "name": [record[0].strip() for record in some],
        }
        values = [_fields(record) for record in some]
        columns |= {new_names.get(f, f): [row.get(f, "") for row in values] for f in fields}
        reasons = [
            f"record {number}: RDKit cannot read the structure" if mol is None else ""
            for number, mol in enumerate(mols, n_rows + 1)
        ]
        n_rows += len(some)
        yield _Chunk(_frame(columns), list(columns["smiles"]), reasons, _share(stream, n_bytes))
    if not n_rows:
        raise DataError(f"{name}: holds no record")


def _records(stream: IO[bytes]) -> Iterator[list[str]]:
    """The lines of each record, without the `$$$$` that ends it."""
    record: list[str] = []
    for line in _lines(stream, "replace"):
        if line.startswith("$$$$"):
            yield record or [""]
            record = []
        else:
            record.append(line.rstrip("\r\n"))
    if any(line.strip() for line in record):
        yield record


def _mol_block(record: Sequence[str]) -> str:
    ends = (i for i, line in enumerate(record) if line.startswith("M  END"))
    return "\n".join(record[: next(ends, len(record)) + 1]) + "\n"


def _fields(record: Sequence[str]) -> dict[str, str]:
    """The data fields of a record: `>  <NAME>`, the lines of the value, an empty line."""
    values: dict[str, list[str]] = {}
    value: list[str] | None = None
    for line in record:
        if value is None and line.startswith(">") and "<" in line:
            field = line[line.index("<") + 1 :].rpartition(">")[0]
            value = values.setdefault(field, [])
        elif not line.strip():
            value = None
        elif value is not None:
            value.append(line)
    return {field: "\n".join(lines) for field, lines in values.items()}


def _parquet_chunks(stream: IO[bytes], name: str, smiles_column: str) -> Iterator[_Chunk]:
    """Row batches of a Parquet file; columns keep their types."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        _check_header(file.schema_arrow.names, name, smiles_column)
        n_rows = file.metadata.num_rows
        n_read = 0
        # A file without rows may hold no batch; its columns are still wanted.
        nothing = [pa.RecordBatch.from_pylist([], file.schema_arrow)]
        for batch in file.iter_batches(batch_size=CHUNK_SIZE) if n_rows else nothing:
            n_read += len(batch)
            # What pandas noted in the file about an index would take a column away.
            plain = batch.replace_schema_metadata(None)
            frame = plain.to_pandas(types_mapper=pd.ArrowDtype)
            smiles = plain.column(smiles_column).to_pylist()
            yield _Chunk(frame, smiles, [""] * len(frame), n_read / max(n_rows, 1))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: cannot be read as Parquet ({error})") from error


def _lines(stream: IO[bytes], errors: str) -> Iterator[str]:
    for number, line in enumerate(stream):
        text = line.decode("utf-8", errors)
        # The byte order mark that spreadsheets write is no part of the first name.
        yield text.removeprefix("\ufeff") if number == 0 else text


def _batches(rows: Iterator[T]) -> Iterator[list[T]]:
    while some := list(islice(rows, CHUNK_SIZE)):
        yield some


def _frame(columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: list(column) for name, column in columns.items()}, dtype="str")


def _share(stream: IO[bytes], n_bytes: int) -> float | None:
    return stream.tell() / n_bytes if n_bytes else None


# -- write ----------------------------------------------------------------------------------


class _CsvWriter:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._header = True

    def write(self, table: pd.DataFrame) -> None:
        table.to_csv(self._file, header=self._header, index=False, lineterminator="\n")
        self._header = False

    def close(self) -> None:
        self._file.close()


class _ParquetWriter:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._writer: Any = None  # made with the first rows, which show the types

    def write(self, table: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = self._writer.schema if self._writer else None
        rows = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, rows.schema)
        self._writer.write_table(rows)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.close()


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that adds rows; the file takes its place only when all went well."""
    kinds: dict[str, type[_CsvWriter | _ParquetWriter]]
    kinds = {".csv": _CsvWriter, ".parquet": _ParquetWriter}
    kind = kinds.get(output.suffix.lower())
    if kind is None:
        raise ConfigError(f"-o {output}: cannot write this kind of file; name a .csv or .parquet")
    if output.is_dir():
        raise ConfigError(f"-o {output}: is a folder; name a file")
    partial = output.with_name(f".{output.name}.partial")
    with _naming(output):
        writer = kind(partial)

    def write(table: pd.DataFrame) -> None:
        with _naming(output):
            writer.write(table)

    try:
        yield write
        with _naming(output):
            writer.close()
            os.replace(partial, output)
    finally:
        with contextlib.suppress(OSError):
            writer.close()
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _naming(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"-o {output}: cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, float | None], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("left"),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("predicting", total=None)

        def advance(n_rows: int, share: float | None) -> None:
            bar.update(
                task, description=f"{n_rows:,} rows", completed=share or 0.0,
                total=None if share is None else 1.0,
            )  # fmt: skip

        yield advance
