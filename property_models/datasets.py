"""Tables of measurements: find and read.

Data files are never part of this package. A known data set is looked for in the folder named by
the environment variable MOLGEN_DATA, then among the downloads; a user's own file is read by
`read_file`. `cleaning` makes one row per compound of what is read here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from property_models.endpoints import ENDPOINTS
from property_models.errors import DataError, MissingDataError, did_you_mean
from property_models.measurements import (
    Relations,
    check_unit,
    combine_relations,
    converted,
    flipped,
    read_numbers,
    read_relations,
    text_column,
)
from property_models.molecules import Molecule, inchikey_block, standardise_all
from property_models.sources import DataSource, UnitTransform, find_source, slug

if TYPE_CHECKING:
    import pandas as pd

DATA_VARIABLE = "MOLGEN_DATA"
CACHE_VARIABLE = "MOLGEN_CACHE"


@dataclass(frozen=True)
class CleaningRules:
    """How several values of one structure become one.

    Attributes:
        conflict_limit: Exact values that span more than this, in the endpoint's unit, conflict.
        conflicts: What becomes of structures in conflict: 'drop', or 'keep' their median (the
            majority of labels; a tie is dropped).
        censored: What becomes of structures with only censored values ('<', '>'): 'bound' takes
            the tightest bound and marks it in `Table.relation`, 'drop' leaves them out.
    """

    conflict_limit: float = float("inf")
    conflicts: Literal["drop", "keep"] = "drop"
    censored: Literal["bound", "drop"] = "bound"


def conflict_limit(transform: UnitTransform) -> float:
    """Default of a user's own table: one log unit of concentrations, else none."""
    return 1.0 if transform == "neg_log10_molar" else float("inf")


@dataclass(frozen=True)
class Rows:
    """Measurements as they stand in a file, n rows.

    Attributes:
        smiles: As written.
        values: float64, shape (n,); NaN where not measured or not usable.
        official_test: bool, shape (n,); all False where the source has no official split.
        provenance: File name, SHA-256, origin, licence, for the model card.
        relation: '=', '<' or '>' of the true value to `values`, shape (n,); None: all exact.
        year: Of publication, float64, shape (n,), NaN where unknown; None: no such column.
        assay: Which assay each value is from, length n; None: no such column.
        reasons: Why a value that stands in the file is not usable, length n, else ''; None: none.
        rules: How duplicates are treated.
    """

    smiles: list[object]
    values: NDArray[np.float64]
    official_test: NDArray[np.bool_]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    relation: Relations | None = None
    year: NDArray[np.float64] | None = None
    assay: list[str] | None = None
    reasons: list[str] | None = None
    rules: CleaningRules = CleaningRules()

    def __len__(self) -> int:
        return len(self.smiles)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows for which the mask is True."""
        kept = np.flatnonzero(mask)
        return replace(
            self,
            smiles=[self.smiles[i] for i in kept],
            values=self.values[kept],
            official_test=self.official_test[kept],
            relation=None if self.relation is None else self.relation[kept],
            year=None if self.year is None else self.year[kept],
            assay=None if self.assay is None else [self.assay[i] for i in kept],
            reasons=None if self.reasons is None else [self.reasons[i] for i in kept],
        )


@dataclass(frozen=True)
class Table:
    """One row per compound, ready for training, n rows.

    Attributes:
        molecules: Standardised molecules, all with a structure.
        values: float64, shape (n,): median of the measurements.
        inchikeys: First InChIKey blocks.
        counts: What became of the rows read, for the model card.
        relation: '=', or '<' or '>' where the value is only a bound, shape (n,).
        n_obs: Measurements behind each value, int64, shape (n,).
        spread: Largest minus smallest exact measurement, float64, shape (n,).
        year: First year of publication, float64, shape (n,); NaN where unknown.
        assay: The assay of all its measurements, length n; '' where they are from several, or it
            is unknown. None: no such column.
        dropped: Number of rows that were left out, by reason.
        conflicts: Structures whose measurements disagree: SMILES -> its values.
    """

    molecules: list[Molecule]
    values: NDArray[np.float64]
    inchikeys: list[str]
    counts: Mapping[str, int]
    relation: Relations | None = None
    n_obs: NDArray[np.int64] | None = None
    spread: NDArray[np.float64] | None = None
    year: NDArray[np.float64] | None = None
    assay: list[str] | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    conflicts: Mapping[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.molecules)


# -- find -----------------------------------------------------------------------------------


def data_folder() -> Path | None:
    """The folder named by MOLGEN_DATA, or None where the variable is not set."""
    text = os.environ.get(DATA_VARIABLE, "")
    return Path(text).expanduser() if text else None


def cache_folder() -> Path:
    """Where downloads lie: MOLGEN_CACHE, else ~/.cache/molgen/data."""
    text = os.environ.get(CACHE_VARIABLE, "")
    return Path(text).expanduser() if text else Path.home() / ".cache" / "molgen" / "data"


def find_table(file: str) -> Path | None:
    """A table by its path below the data folder: there, else among the downloads, else None."""
    folder = data_folder()
    for path in ([folder / file] if folder else []) + [cache_folder() / file]:
        if path.is_file():
            return path
    return None


def dataset_path(name: str) -> Path:
    """The local table of a known data set; DataError saying how to get it where it is missing."""
    source = find_source(name)
    path = find_table(source.file)
    if path is not None:
        return path
    folder = data_folder()
    looked = (
        f"{folder / source.file} does not exist"
        if folder
        else f"the environment variable {DATA_VARIABLE} is not set"
    )
    raise MissingDataError(
        f"data set {name!r} is not at hand: {looked}, and it was not downloaded to "
        f"{cache_folder()}. Fetch it with `molgen data fetch {name}`, or set the environment "
        f"variable {DATA_VARIABLE} to a folder that contains {source.file} "
        f"(original: {source.origin})"
    )


def members_at_hand(family: str, *, min_compounds: int = 0) -> list[str]:
    """Names of the data sets of a family that is named by rule, from its table.

    Args:
        family: 'toxcast', 'chembl22', 'blsets' or 'serotonin'.
        min_compounds: Only those with at least so many measured rows.

    Raises:
        DataError: The table is not at hand.
    """
    import pandas as pd

    example = find_source(f"{family}_chembl0")
    frame = _read_frame(dataset_path(example.name))
    if example.filters:
        sizes = frame[example.filters[0][0]].value_counts()
    else:
        sizes = pd.Series(
            {column: frame[column].notna().sum() for column in frame if column != "smiles"}
        )
    return [f"{family}_{slug(str(key))}" for key, n in sizes.items() if n >= min_compounds]


# -- read -----------------------------------------------------------------------------------


def read_dataset(name: str) -> Rows:
    """Reads a known data set from the data folder or the downloads.

    Raises:
        DataError: Unknown, not at hand, or its table lacks a column or every row, or holds the
            values on another scale.
    """
    source = find_source(name)
    path = dataset_path(name)
    frame = _selected(_read_frame(path), path, source)
    column = _column(source.value_column, frame, path)
    values, relation = read_numbers(list(frame[column]), f"{path}: ROW, column {column!r}")
    reasons = [""] * len(frame)
    if source.relation_column:
        signs, reasons = read_relations(list(frame[source.relation_column]))
        relation = combine_relations(signs, relation)
    if source.transform != "none":
        values, problems = converted(
            values, [source.unit] * len(values), transform=source.transform
        )
        reasons = _first_reason(reasons, problems)
        relation = flipped(relation)
    reasons = _first_reason(reasons, _outside(values, source.valid_range))
    _check_scale(values, path, source)
    official = np.zeros(len(frame), bool)
    if source.split_column:
        official = frame[source.split_column].isin(source.test_values).to_numpy(dtype=bool)
    return Rows(
        list(frame["smiles"]),
        np.where([bool(reason) for reason in reasons], np.nan, values),
        official,
        _provenance(name, source.file, path, source.origin, source.licence),
        relation=relation,
        year=_years(frame, path, source.year_column),
        assay=text_column(frame[source.assay_column]) if source.assay_column else None,
        reasons=reasons,
        rules=CleaningRules(conflict_limit=source.conflict_limit),
    )


def _selected(frame: pd.DataFrame, path: Path, source: DataSource) -> pd.DataFrame:
    for column, wanted in source.filters:
        _require_columns(frame, path, [column])
        frame = frame[frame[column] == wanted]
    if frame.empty:
        wanted_text = " and ".join(f"{column} = {value!r}" for column, value in source.filters)
        raise DataError(f"{path}: no row has {wanted_text or 'any value'}")
    extra = [source.split_column, source.relation_column, source.year_column, source.assay_column]
    _require_columns(frame, path, ["smiles", *filter(None, extra)])
    return frame


def _check_scale(values: NDArray[np.float64], path: Path, source: DataSource) -> None:
    """DataError where a table does not reach as far down as its data set does."""
    measured = values[np.isfinite(values)]
    if not measured.size or measured.min() < source.reaches_below:
        return
    cure = (
        f"fetch it again with `molgen data fetch {source.name} --force`"
        if path == cache_folder() / source.file
        else f"replace it, or remove it and run `molgen data fetch {source.name} --force`"
    )
    raise DataError(
        f"{path}: the smallest value of {source.name} is {measured.min():.4g}, but it should be "
        f"below {source.reaches_below:g}: this copy is on another scale than the measurements; "
        f"{cure}"
    )


def _column(wanted: str, frame: pd.DataFrame, path: Path) -> str:
    """A column by its name or slug."""
    if wanted not in frame.columns:
        for column in map(str, frame.columns):
            if slug(column) == wanted:
                return column
    _require_columns(frame, path, [wanted])
    return wanted


def read_file(
    path: Path,
    *,
    smiles_column: str = "smiles",
    value_column: str = "value",
    licence: str = "not stated",
    unit: str = "",
    unit_column: str = "",
    relation_column: str = "",
    year_column: str = "",
    assay_column: str = "",
    transform: UnitTransform = "none",
    rules: CleaningRules = CleaningRules(),
) -> Rows:
    """Reads a user's .csv or .parquet table of structures and values.

    Cells may carry a sign ('> 10000', '<0.5', '~3'), or a column of its own may.

    Args:
        path: The table.
        smiles_column: Column of structures.
        value_column: Column of measured values.
        licence: Terms of the data, for the card.
        unit: Unit of all values, needed for a transform. With `unit_column`: of rows without
            one, and without a transform the unit to convert to.
        unit_column: Column of each row's unit; a row whose unit cannot be converted keeps its
            place, with a reason.
        relation_column: Column of signs.
        year_column: Column of years, for time splits.
        assay_column: Column that tells assays apart, for the data report and the model card.
        transform: 'neg_log10_molar' turns concentrations (IC50, Ki, EC50) into -log10(mol/L).
        rules: How several values of one structure become one.

    Raises:
        DataError: The file or a column is missing, a value is no number (names the row), a year
            column holds no number, or a unit cannot be converted.
    """
    frame = _read_frame(path)
    columns = [smiles_column, value_column, unit_column, relation_column, year_column, assay_column]
    _require_columns(frame, path, [column for column in columns if column])
    where = f"{path}: ROW, column {value_column!r}"
    values, relation = read_numbers(list(frame[value_column]), where)
    reasons = [""] * len(frame)
    if relation_column:
        signs, reasons = read_relations(list(frame[relation_column]))
        relation = combine_relations(signs, relation)
    if transform != "none" or unit_column:
        units = _units(frame, path, unit, unit_column, transform)
        values, problems = converted(values, units, transform=transform, target=unit)
        reasons = _first_reason(reasons, problems)
        relation = flipped(relation) if transform == "neg_log10_molar" else relation
    return Rows(
        list(frame[smiles_column]),
        np.where([bool(reason) for reason in reasons], np.nan, values),
        np.zeros(len(frame), bool),
        _provenance(path.stem, path.name, path, "user's own table", licence),
        relation=relation,
        year=_years(frame, path, year_column),
        assay=text_column(frame[assay_column]) if assay_column else None,
        reasons=reasons,
        rules=rules,
    )


def _units(
    frame: pd.DataFrame, path: Path, unit: str, unit_column: str, transform: UnitTransform
) -> list[str]:
    """Unit of each row; DataError where the config's own unit cannot be converted."""
    if not unit_column:
        check_unit(unit, f"{path}: `unit`, which transform {transform} needs")
        return [unit] * len(frame)
    if transform == "none":
        check_unit(unit, f"{path}: `unit`, to which {unit_column!r} is to be converted")
    elif unit:
        check_unit(unit, f"{path}: `unit`, of rows without one in {unit_column!r}")
    return [text.strip() or unit for text in text_column(frame[unit_column])]


def _provenance(name: str, file: str, path: Path, origin: str, licence: str) -> dict[str, Any]:
    return {
        "dataset": name,
        "file": file,
        "sha256": file_sha256(path),
        "origin": origin,
        "licence": licence,
    }


def _years(frame: pd.DataFrame, path: Path, column: str) -> NDArray[np.float64] | None:
    """Years, NaN where a cell is none; DataError where no cell of a filled column is one."""
    import pandas as pd

    if not column:
        return None
    cells = frame[column]
    if pd.api.types.is_datetime64_any_dtype(cells):
        cells = cells.dt.year
    numbers: NDArray[np.float64] = pd.to_numeric(cells, errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    filled = [cell for cell in text_column(frame[column]) if cell]
    if filled and not np.isfinite(numbers).any():
        raise DataError(
            f"{path}: no cell of column {column!r} is a year; the first that is not empty holds "
            f"{filled[0]!r}. Give numbers such as 2001, or leave `year_column` out"
        )
    return numbers


def _outside(values: NDArray[np.float64], limits: tuple[float, float]) -> list[str]:
    low, high = limits
    return [
        f"outside {low:g} to {high:g}" if v < low or v > high else ""  # NaN is neither
        for v in values
    ]


def _first_reason(first: Sequence[str], second: Sequence[str]) -> list[str]:
    return [a or b for a, b in zip(first, second, strict=True)]


def _read_frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise MissingDataError(f"{path} does not exist or is no file")
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: cannot read {path.suffix or 'this kind of file'}; "
            "give a .csv or .parquet file"
        )
    try:
        frame: pd.DataFrame = reader(path)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        raise DataError(f"{path}: cannot be read as a table: {error}") from error
    return frame


def _require_columns(frame: pd.DataFrame, path: Path, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in frame.columns:
            shown = ", ".join(map(str, frame.columns[:30]))
            more = f" and {len(frame.columns) - 30} more" if len(frame.columns) > 30 else ""
            raise DataError(
                f"{path}: no column {column!r}{did_you_mean(column, map(str, frame.columns))}; "
                f"the file has: {shown}{more}"
            )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# -- look up --------------------------------------------------------------------------------


@cache
def known_structures(dataset_or_endpoint: str) -> Mapping[str, str] | None:
    """Structures behind a reference index, to draw a neighbour by its InChIKey block.

    Args:
        dataset_or_endpoint: Name of a data set or of an endpoint of the catalogue.

    Returns:
        First InChIKey block -> SMILES as in the data, or None where the data is not at hand or
        the name is not in the catalogue (a user's own endpoint). The first call per name takes
        seconds for 10,000 structures; later calls are free.
    """
    entry = ENDPOINTS.get(dataset_or_endpoint)
    try:
        rows = read_dataset(entry.dataset if entry else dataset_or_endpoint)
    except DataError:
        return None
    structures: dict[str, str] = {}
    for molecule in standardise_all(rows.smiles):
        if molecule.mol is not None:
            structures.setdefault(inchikey_block(molecule.mol), molecule.smiles)
    return structures
