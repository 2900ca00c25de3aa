"""`molgen predict`: a file of structures in, the same rows with predictions out.

Rows are read, predicted and written some at a time, so a file of any length fits in memory.
"""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from molgen.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

    from property_models import Predictor

CHUNK_SIZE = 2000  # rows in memory at a time
SHIPPED_PREDICTORS = Path(__file__).parents[1] / "artifacts" / "predictors"
_SUFFIX = "_input"  # of an input column whose name a result needs
_READABLE = ".smi, .csv, .tsv, .sdf, .parquet, or - for SMILES on standard input"


@dataclass(frozen=True)
class _Chunk:
    """Some rows of the input.

    Attributes:
        columns: What the input says, column by column, in the input's order.
        smiles: One entry a row.
        reasons: '' a row, or why its structure cannot be read.
        share: Part of the input read so far, 0 to 1; None where its length is not known.
    """

    columns: pd.DataFrame
    smiles: list[object]
    reasons: list[str]
    share: float | None


class _Writer(Protocol):
    def write(self, table: pd.DataFrame) -> None: ...
    def close(self) -> None: ...


def predict_file(
    table: str,
    output: Path,
    *,
    endpoints: Sequence[str] = (),
    folder: Path | None = None,
    smiles_column: str = "smiles",
) -> tuple[int, int]:
    """Predicts every row of a file and writes the file again with the predictions beside it.

    Every input column and row is kept, in order, as it stands; .smi and .sdf give the columns
    `smiles` and `name` (and the fields of .sdf). Columns of `property_models.predict_table`
    follow. An input column with the name of one of those gets the suffix `_input`. A row that
    cannot be predicted has empty values and says why under `reason`.

    Args:
        table: .smi, .csv, .tsv, .sdf, .parquet, or '-' for SMILES lines on standard input.
        output: .csv or .parquet, replaced only when it is complete.
        endpoints: What to predict; empty: everything there is a predictor for.
        folder: Folder of predictors; None: the shipped ones.
        smiles_column: Where a table holds the structures.

    Returns:
        Rows written, and how many of them have no prediction.

    Raises:
        ConfigError: The output cannot be written, or the kind of a file is unknown.
        DataError: The input is missing, empty or broken, or lacks the column.
        property_models.errors.PropertyModelError: An unknown endpoint or a broken predictor.
    """
    make_writer = _WRITERS.get(output.suffix.lower())
    if make_writer is None:
        raise ConfigError(f"-o {output}: cannot write this kind of file; name a .csv or .parquet")
    n_rows = n_failed = 0
    with (
        _opened(table, smiles_column) as chunks,
        _replacing(output) as partial,
        contextlib.closing(make_writer(partial)) as writer,
        _progress() as advance,
    ):
        predictors = _predictors(folder, endpoints)
        for chunk in chunks:
            found = _predict(chunk, predictors)
            writer.write(found)
            n_rows += len(found)
            n_failed += int((found["reason"] != "").sum())
            advance(n_rows, chunk.share)
    return n_rows, n_failed


def _predictors(folder: Path | None, endpoints: Sequence[str]) -> dict[str, Predictor]:
    from property_models import load_predictors
    from property_models.predictor import available

    root = SHIPPED_PREDICTORS if folder is None else folder
    names = list(endpoints) or available(root)
    if not names:
        raise ConfigError(
            f"--folder {root}: holds no predictor; train one with `molgen train-predictor`"
        )
    return load_predictors(root, names)


def _predict(chunk: _Chunk, predictors: Mapping[str, Predictor]) -> pd.DataFrame:
    import pandas as pd

    from property_models import predict_table

    readable = [s if not r else "" for s, r in zip(chunk.smiles, chunk.reasons, strict=True)]
    found = predict_table(predictors, readable)  # type: ignore[arg-type]  # no str: a reason
    found["reason"] = [
        own or predicted for own, predicted in zip(chunk.reasons, found["reason"], strict=True)
    ]
    # Without rows pandas cannot know what a column holds.
    texts = [name for name in found if name == "reason" or str(name).endswith("_inchikey")]
    found = found.astype(dict.fromkeys(texts, "str"))
    new_names = {c: f"{c}{_SUFFIX}" for c in chunk.columns if c in found}
    for old, new in new_names.items():
        if new in chunk.columns:
            raise DataError(
                f"the input has the columns {old!r}, which is needed for a result, and {new!r}, "
                "to which it would be renamed; rename one of them"
            )
    return pd.concat([chunk.columns.rename(columns=new_names), found], axis=1)


# -- read -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(table: str, smiles_column: str) -> Iterator[Iterator[_Chunk]]:
    """The rows of an input, some at a time."""
    if table == "-":
        yield _smiles_chunks(sys.stdin.buffer, "standard input", n_bytes=0)
        return
    path = Path(table)
    kind = path.suffix.lower()
    if kind not in (".smi", ".csv", ".tsv", ".sdf", ".parquet"):
        raise ConfigError(f"{table}: cannot read this kind of file; give {_READABLE}")
    try:
        n_bytes = path.stat().st_size
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror})") from error
    with stream:
        if not n_bytes:
            raise DataError(f"{table}: is empty")
        if kind == ".smi":
            yield _smiles_chunks(stream, table, n_bytes)
        elif kind == ".sdf":
            yield _sdf_chunks(stream, table, n_bytes)
        elif kind == ".parquet":
            yield _parquet_chunks(stream, table, smiles_column)
        else:
            separator = "\t" if kind == ".tsv" else ","
            yield _csv_chunks(stream, table, n_bytes, separator, smiles_column)


def _smiles_chunks(stream: IO[bytes], name: str, n_bytes: int) -> Iterator[_Chunk]:
    """Lines of a SMILES and, after white space, a name; empty lines are no rows."""
    lines = (line.split(None, 1) for line in _text(stream, errors="replace"))
    rows = ((words[0], words[1].strip() if len(words) > 1 else "") for words in lines if words)
    empty = True
    for some in _batches(rows):
        empty = False
        smiles, names = zip(*some, strict=True)
        yield _chunk({"smiles": smiles, "name": names}, "smiles", _share(stream, n_bytes))
    if empty:
        raise DataError(f"{name}: holds no structure; give one SMILES a line")


def _csv_chunks(
    stream: IO[bytes], name: str, n_bytes: int, separator: str, smiles_column: str
) -> Iterator[_Chunk]:
    """Cells stay the text they are; a line with more cells than the header is a failed row."""
    reader = csv.reader(_text(stream, newline=""), delimiter=separator)
    try:
        header = next(reader, [])
        _check_header(header, name, smiles_column)
        place = header.index(smiles_column)

        def rows() -> Iterator[tuple[list[str], str]]:
            for cells in filter(None, reader):
                reason = ""
                if len(cells) > len(header):
                    reason = (
                        f"line {reader.line_num}: {len(cells)} cells where the header has "
                        f"{len(header)}; quote cells that contain {separator!r}"
                    )
                yield (cells + [""] * len(header))[: len(header)], reason

        first = True
        for some in _batches(rows()):
            first = False
            columns = dict(zip(header, zip(*(cells for cells, _ in some), strict=True), strict=True))
            reasons = [reason for _, reason in some]
            yield _chunk(columns, smiles_column, _share(stream, n_bytes), reasons)
        if first:
            yield _chunk(dict.fromkeys(header, ()), header[place], 1.0)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{name}: line {reader.line_num + 1}: cannot be read ({error}); "
            "save the table as UTF-8 text and close every quoted cell"
        ) from error


def _check_header(header: Sequence[str], name: str, smiles_column: str) -> None:
    from property_models.endpoints import did_you_mean

    if not header:
        raise DataError(f"{name}: its first line is empty; it must name the columns")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{name}: two columns are called {twice[0]!r}; rename one of them")
    if smiles_column not in header:
        raise DataError(
            f"{name}: no column {smiles_column!r}{did_you_mean(smiles_column, header)}; the file "
            f"has: {', '.join(header)}; name the one with structures by --smiles-column"
        )


def _sdf_chunks(stream: IO[bytes], name: str, n_bytes: int) -> Iterator[_Chunk]:
    """Records of an SDF. A first pass collects the fields, which differ from record to record."""
    from rdkit import Chem, rdBase

    fields: dict[str, None] = {}
    for record in _sdf_records(stream):
        fields |= dict.fromkeys(_sdf_fields(record))
    stream.seek(0)
    own = {column: f"{column}{_SUFFIX}" for column in ("smiles", "name")}
    n_before = 0
    for some in _batches(_sdf_records(stream)):
        columns: dict[str, list[str]] = {"smiles": [], "name": []}
        columns |= {own.get(field, field): [] for field in fields}
        reasons = []
        for number, record in enumerate(some, n_before + 1):
            with rdBase.BlockLogs():
                mol = Chem.MolFromMolBlock(_mol_block(record))
            reasons.append("" if mol is not None else f"record {number}: RDKit cannot read it")
            columns["smiles"].append("" if mol is None else Chem.MolToSmiles(mol))
            columns["name"].append(record[0].strip())
            values = _sdf_fields(record)
            for field in fields:
                columns[own.get(field, field)].append(values.get(field, ""))
        n_before += len(some)
        yield _chunk(columns, "smiles", _share(stream, n_bytes), reasons)
    if not n_before:
        raise DataError(f"{name}: holds no record")


def _sdf_records(stream: IO[bytes]) -> Iterator[list[str]]:
    """The lines of each record, without the line that ends it."""
    record: list[str] = []
    for line in _text(stream, errors="replace"):
        if line.startswith("$$$$"):
            yield record or [""]
            record = []
        else:
            record.append(line.rstrip("\r\n"))
    if any(line.strip() for line in record):
        yield record


def _mol_block(record: Sequence[str]) -> str:
    end = next((i for i, line in enumerate(record) if line.startswith("M  END")), len(record))
    return "\n".join(record[: end + 1]) + "\n"


def _sdf_fields(record: Sequence[str]) -> dict[str, str]:
    """The data fields of a record: `>  <NAME>`, lines of the value, an empty line."""
    values: dict[str, list[str]] = {}
    value: list[str] | None = None
    for line in record:
        if line.startswith(">") and "<" in line and ">" in line[1:]:
            value = values.setdefault(line[line.index("<") + 1 : line.rindex(">")], [])
        elif not line.strip():
            value = None
        elif value is not None:
            value.append(line)
    return {field: "\n".join(lines) for field, lines in values.items()}


def _parquet_chunks(stream: IO[bytes], name: str, smiles_column: str) -> Iterator[_Chunk]:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        _check_header(file.schema_arrow.names, name, smiles_column)
        schema = file.schema_arrow.remove_metadata()  # pandas' notes would make a column an index
        n_read = 0
        batches = file.iter_batches(batch_size=CHUNK_SIZE)
        for batch in batches if file.metadata.num_rows else [pa.RecordBatch.from_pylist([], schema)]:
            n_read += len(batch)
            frame = batch.replace_schema_metadata(None).to_pandas(types_mapper=pd.ArrowDtype)
            smiles = batch.column(smiles_column).to_pylist()
            share = n_read / max(file.metadata.num_rows, 1)
            yield _Chunk(frame, smiles, [""] * len(frame), share)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: cannot be read as Parquet ({error})") from error


def _text(stream: IO[bytes], *, errors: str = "strict", newline: str | None = None) -> IO[str]:
    # The byte order mark that spreadsheets write is no part of the first column's name.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline=newline)
    return _Kept(text)


def _batches[T](rows: Iterator[T]) -> Iterator[list[T]]:
    raise NotImplementedError
