"""Tables of measurements: find, read, clean, split.

Data files are never part of this package. They are looked for in the folder named by the
environment variable MOLGEN_DATA; a file from anywhere else is read by `read_file`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from property_models.endpoints import ENDPOINTS, Task, did_you_mean
from property_models.errors import DataError
from property_models.molecules import Molecule, inchikey_block, scaffold, standardise_all

if TYPE_CHECKING:
    import pandas as pd

DATA_VARIABLE = "MOLGEN_DATA"


@dataclass(frozen=True)
class DataSource:
    """Where a data set lies and under which terms.

    Attributes:
        name: Name of the data set.
        file: Path below the data folder.
        rows: Column and value that select the data set's rows in the file.
        value_column: Column of the measured value.
        origin: Public home of the original.
        licence: What is known about the terms.
        official_metric: Metric of the official test split; '' where there is none.
        peer: A published model on that split.
        peer_value: Its metric.
    """

    name: str
    file: str
    rows: tuple[str, str]
    value_column: str
    origin: str
    licence: str
    official_metric: str = ""
    peer: str = ""
    peer_value: float = float("nan")


_TDC_TERMS = (
    "Terms of the original data not verified (Therapeutics Data Commons lists most of its sets "
    "as CC BY 4.0)."
)
_TDC_HOME = "https://tdcommons.ai"
_MAPLIGHT = "MapLight (https://arxiv.org/abs/2310.00174)"


def _tdc(name: str, metric: str, peer_value: float) -> DataSource:
    return DataSource(
        name=name,
        file="property/tdc_admet_group.parquet",
        rows=("task", name),
        value_column="y",
        origin=f"{_TDC_HOME}/benchmark/admet_group",
        licence=_TDC_TERMS,
        official_metric=metric,
        peer=_MAPLIGHT,
        peer_value=peer_value,
    )


DATASETS: dict[str, DataSource] = {
    source.name: source
    for source in (
        DataSource(
            name="moleculeace_fxa_ki",
            file="efficacy/moleculeace_27targets.parquet",
            rows=("dataset", "CHEMBL244_Ki"),
            value_column="pactivity",
            origin="https://github.com/molML/MoleculeACE",
            licence="ChEMBL data, CC BY-SA 3.0; the weights are a derived work under its terms.",
            official_metric="rmse",
            peer="support vector machine on ECFP (https://doi.org/10.1021/acs.jcim.2c01073)",
            peer_value=0.715,
        ),
        DataSource(
            name="herg_karim",
            file="property/tdc_extra.parquet",
            rows=("task", "herg_karim"),
            value_column="y",
            origin=f"{_TDC_HOME}/single_pred_tasks/tox",
            licence=_TDC_TERMS,
        ),
        _tdc("ames", "auroc", 0.868),
        _tdc("dili", "auroc", 0.887),
        _tdc("ld50_zhu", "mae", 0.621),
        _tdc("solubility_aqsoldb", "mae", 0.792),
        _tdc("caco2_wang", "mae", 0.276),
    )
}


@dataclass(frozen=True)
class Rows:
    """Measurements as they stand in a file, n rows.

    Attributes:
        smiles: As written.
        values: float64, shape (n,); NaN where not measured.
        official_test: bool, shape (n,); all False where the source has no official split.
        provenance: File name, SHA-256, origin, licence, for the model card.
    """

    smiles: list[object]
    values: NDArray[np.float64]
    official_test: NDArray[np.bool_]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows for which the mask is True."""
        kept = [s for s, keep in zip(self.smiles, mask, strict=True) if keep]
        return Rows(kept, self.values[mask], self.official_test[mask], self.provenance)


@dataclass(frozen=True)
class Table:
    """One row per compound, ready for training, n rows.

    Attributes:
        molecules: Standardised molecules, all with a structure.
        values: float64, shape (n,).
        inchikeys: First InChIKey blocks.
        counts: What became of the rows read, for the model card.
    """

    molecules: list[Molecule]
    values: NDArray[np.float64]
    inchikeys: list[str]
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.molecules)


# -- find and read --------------------------------------------------------------------------


def data_folder() -> Path | None:
    """The folder named by MOLGEN_DATA, or None where the variable is not set."""
    text = os.environ.get(DATA_VARIABLE, "")
    return Path(text).expanduser() if text else None


def dataset_path(name: str) -> Path:
    """The local file of a known data set; DataError saying how to get it where it is missing."""
    source = find_source(name)
    folder = data_folder()
    if folder is None:
        raise DataError(
            f"data set {name!r} is not at hand: set the environment variable {DATA_VARIABLE} to a "
            f"folder that contains {source.file} (original: {source.origin})"
        )
    path = folder / source.file
    if not path.is_file():
        raise DataError(
            f"data set {name!r}: {path} does not exist; put the file there or point "
            f"{DATA_VARIABLE} elsewhere (original: {source.origin})"
        )
    return path


def find_source(name: str) -> DataSource:
    """Looks a data set up; DataError with a suggestion where it is unknown."""
    if name not in DATASETS:
        raise DataError(
            f"unknown data set {name!r}{did_you_mean(name, DATASETS)}; "
            f"known: {', '.join(sorted(DATASETS))}"
        )
    return DATASETS[name]


def read_dataset(name: str) -> Rows:
    """Reads a known data set from the data folder."""
    source = find_source(name)
    path = dataset_path(name)
    frame = _read_frame(path)
    column, wanted = source.rows
    _require_columns(frame, path, [column, "smiles", source.value_column])
    frame = frame[frame[column] == wanted]
    if frame.empty:
        raise DataError(f"{path}: no row has {column} = {wanted!r}")
    official = (
        (frame["split"] == "test").to_numpy(dtype=bool)
        if "split" in frame.columns
        else np.zeros(len(frame), bool)
    )
    provenance = {
        "dataset": name,
        "file": source.file,
        "sha256": file_sha256(path),
        "origin": source.origin,
        "licence": source.licence,
    }
    values = frame[source.value_column].to_numpy(dtype=np.float64)
    return Rows(list(frame["smiles"]), values, official, provenance)


def read_file(
    path: Path,
    *,
    smiles_column: str = "smiles",
    value_column: str = "value",
    licence: str = "not stated",
) -> Rows:
    """Reads a user's .csv or .parquet table of structures and values.

    Raises:
        DataError: The file or a column is missing, or a value is no number (names the row).
    """
    import pandas as pd

    frame = _read_frame(path)
    _require_columns(frame, path, [smiles_column, value_column])
    values = pd.to_numeric(frame[value_column], errors="coerce")
    bad = np.flatnonzero((values.isna() & frame[value_column].notna()).to_numpy())
    if len(bad):
        raise DataError(
            f"{path}: row {bad[0] + 1}, column {value_column!r}: "
            f"{frame[value_column].iloc[bad[0]]!r} is no number "
            f"({len(bad)} such rows); leave the cell empty where nothing was measured"
        )
    provenance = {
        "dataset": path.stem,
        "file": path.name,
        "sha256": file_sha256(path),
        "origin": "user's own table",
        "licence": licence,
    }
    no_split = np.zeros(len(frame), bool)
    return Rows(list(frame[smiles_column]), values.to_numpy(dtype=np.float64), no_split, provenance)


def _read_frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"{path} does not exist or is no file")
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
            raise DataError(
                f"{path}: no column {column!r}{did_you_mean(column, map(str, frame.columns))}; "
                f"the file has: {', '.join(map(str, frame.columns))}"
            )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# -- clean ----------------------------------------------------------------------------------


def clean(rows: Rows, *, task: Task) -> Table:
    """Standardises structures and makes one row per structure.

    Duplicates (same canonical SMILES after standardising) are averaged for regression. For
    classification they are merged where they agree and dropped where they do not.

    Raises:
        DataError: A classification value is neither 0 nor 1.
    """
    measured = np.isfinite(rows.values)
    if task == "classification":
        wrong = measured & ~np.isin(rows.values, (0.0, 1.0))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{rows.provenance.get('file', 'table')}: row {row + 1}: classification needs 0 "
                f"or 1, found {rows.values[row]:g} ({int(wrong.sum())} such rows)"
            )
    groups: dict[str, list[tuple[Molecule, float]]] = {}
    n_unusable = 0
    for molecule, value, keep in zip(
        standardise_all(rows.smiles), rows.values, measured, strict=True
    ):
        if molecule.mol is None:
            n_unusable += 1
        elif keep:
            groups.setdefault(molecule.smiles, []).append((molecule, float(value)))
    agreed = {
        smiles: group
        for smiles, group in groups.items()
        if task == "regression" or len({value for _, value in group}) == 1
    }
    n_measured = sum(map(len, groups.values()))
    molecules = [group[0][0] for group in agreed.values()]
    values = np.array([np.mean([value for _, value in group]) for group in agreed.values()])
    counts = {
        "n_rows_in": len(rows.smiles),
        "n_without_value": int((~measured).sum()),
        "n_unusable_structures": n_unusable,
        "n_duplicates_merged": n_measured - len(groups),
        "n_conflicting_structures_dropped": len(groups) - len(agreed),
        "n_used": len(agreed),
    }
    keys = [inchikey_block(m.mol) for m in molecules if m.mol is not None]
    return Table(molecules, values, keys, counts)


# -- split ----------------------------------------------------------------------------------


def scaffold_folds(table: Table, n_folds: int) -> NDArray[np.int64]:
    """Fold number of each compound; compounds that share a scaffold share a fold.

    Scaffold sets come from DeepChem's ScaffoldSplitter. Its k-fold split leaves folds of very
    unequal size, so the sets are dealt out here, largest first, each to the smallest fold.
    Acyclic molecules have no scaffold in common and are grouped by connectivity instead.

    Returns:
        int64, shape (n,), values 0 to n_folds - 1. The same table gives the same folds.

    Raises:
        DataError: Fewer scaffolds than folds.
    """
    groups: list[list[int]] = []
    for rows in _deepchem_scaffold_sets([m.smiles for m in table.molecules]):
        first = table.molecules[rows[0]].mol
        assert first is not None, "a table holds only molecules with a structure"
        if scaffold(first):
            groups.append(rows)
        else:
            by_key: dict[str, list[int]] = {}
            for row in rows:
                by_key.setdefault(table.inchikeys[row], []).append(row)
            groups.extend(by_key.values())
    if len(groups) < n_folds:
        raise DataError(
            f"{len(table)} compounds have only {len(groups)} scaffolds, too few for {n_folds} "
            "folds: add compounds or lower `folds`"
        )
    groups.sort(key=lambda rows: (-len(rows), rows[0]))
    folds = np.empty(len(table), np.int64)
    sizes = np.zeros(n_folds, np.int64)
    for rows in groups:
        smallest = int(np.argmin(sizes))
        folds[rows] = smallest
        sizes[smallest] += len(rows)
    return folds


def _deepchem_scaffold_sets(smiles: Sequence[str]) -> list[list[int]]:
    """Rows of each scaffold set; every row is in exactly one."""
    with _silenced():
        import deepchem

        dataset = deepchem.data.NumpyDataset(X=np.zeros((len(smiles), 1)), ids=list(smiles))
        sets: list[list[int]] = deepchem.splits.ScaffoldSplitter().generate_scaffolds(dataset)
    # Where RDKit finds no scaffold for a molecule DeepChem leaves it out: a set of its own.
    seen = {row for rows in sets for row in rows}
    return [list(rows) for rows in sets] + [[i] for i in range(len(smiles)) if i not in seen]


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keeps DeepChem's import quiet: it prints and warns about every optional package."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


# -- look up --------------------------------------------------------------------------------


@cache
def known_structures(dataset_or_endpoint: str) -> Mapping[str, str] | None:
    """Structures behind a reference index, to draw a neighbour by its InChIKey block.

    Args:
        dataset_or_endpoint: A name in `DATASETS` or `ENDPOINTS`.

    Returns:
        First InChIKey block -> SMILES as in the data, or None where the data is not at hand or
        the name is not in the catalogue (a user's own endpoint). The first call per name takes
        seconds for 10,000 structures; later calls are free.
    """
    entry = ENDPOINTS.get(dataset_or_endpoint)
    name = entry.dataset if entry else dataset_or_endpoint
    if name not in DATASETS:
        return None
    try:
        rows = read_dataset(name)
    except DataError:
        return None
    structures: dict[str, str] = {}
    for molecule in standardise_all(rows.smiles):
        if molecule.mol is not None:
            structures.setdefault(inchikey_block(molecule.mol), molecule.smiles)
    return structures
