"""Sister assays: compounds measured in related assays, from which a network learns as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from property_models.cleaning import clean
from property_models.datasets import Table, read_dataset
from property_models.endpoints import Task, endpoint
from property_models.features import Features, featurise
from property_models.molecules import Molecule

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Auxiliary:
    """Measurements of n compounds in T sister assays.

    Attributes:
        features: Of the compounds.
        keys: First InChIKey blocks, length n.
        values: float64, shape (n, T); NaN where not measured.
        names: Of the assays, length T.
        tasks: 'regression' or 'classification' of each assay.
        families: Assay family of each; assays of a family share a layer of the network's head.
    """

    features: Features
    keys: list[str]
    values: Array
    names: tuple[str, ...]
    tasks: tuple[Task, ...]
    families: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def without(self, keys: Sequence[str]) -> Auxiliary:
        """The compounds that share no first InChIKey block with the given ones.

        For strict evaluation: a compound that is held out of one assay must not be learnt from
        another.
        """
        held_out = set(keys)
        rows = np.array([i for i, key in enumerate(self.keys) if key not in held_out], np.int64)
        return Auxiliary(
            self.features.take(rows),
            [self.keys[i] for i in rows],
            self.values[rows],
            self.names,
            self.tasks,
            self.families,
        )


def join_tables(tables: Mapping[str, tuple[Table, Task, str]]) -> Auxiliary:
    """Joins the tables of sister assays, one row per structure.

    Args:
        tables: By name: (table, task, family).
    """
    molecules: dict[str, Molecule] = {}
    keys: dict[str, str] = {}
    for table, _, _ in tables.values():
        for molecule, key in zip(table.molecules, table.inchikeys, strict=True):
            molecules.setdefault(molecule.smiles, molecule)
            keys.setdefault(molecule.smiles, key)
    row_of = {smiles: row for row, smiles in enumerate(molecules)}
    values = np.full((len(molecules), len(tables)), np.nan)
    for column, (table, _, _) in enumerate(tables.values()):
        values[[row_of[m.smiles] for m in table.molecules], column] = table.values
    mols = [m.mol for m in molecules.values() if m.mol is not None]
    return Auxiliary(
        featurise(mols, list(molecules)),
        list(keys.values()),
        values,
        names=tuple(tables),
        tasks=tuple(task for _, task, _ in tables.values()),
        families=tuple(family for _, _, family in tables.values()),
    )


def read_auxiliary(names: Sequence[str]) -> Auxiliary:
    """Reads and joins the data sets of catalogue endpoints.

    Args:
        names: Endpoints; those of one panel (else of one family) share a layer of the head.

    Raises:
        DataError: An endpoint is unknown, or its data is not at hand.
    """
    tables: dict[str, tuple[Table, Task, str]] = {}
    for name in names:
        found = endpoint(name)
        table = clean(read_dataset(found.dataset), task=found.task)
        tables[found.name] = (table, found.task, found.panel or found.family or found.name)
    return join_tables(tables)
