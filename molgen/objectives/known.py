"""Predictors of an objective, loaded once, and the measured compounds they know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molgen.config.objective import (
    KnownFilter,
    NoveltyComponent,
    ObjectiveConfig,
    PredictorComponent,
)
from molgen.errors import ConfigError
from molgen.objectives.molecules import Molecules
from property_models.molecules import inchikey_block

if TYPE_CHECKING:
    from property_models import Predictor

Array = NDArray[np.float64]
Asking = PredictorComponent | NoveltyComponent | KnownFilter
Source = tuple[Path, str]  # folder of predictors, endpoint


def source_of(part: Asking, predictors_root: Path) -> Source:
    """Where a part of the objective finds its predictor."""
    return (Path(part.folder) if part.folder else predictors_root, part.endpoint)


def parts_with_predictors(config: ObjectiveConfig) -> list[tuple[str, Asking]]:
    """(key in the config, part) of everything that needs a predictor."""
    groups: tuple[tuple[str, Sequence[object]], ...] = (
        ("components", config.components),
        ("filters", config.filters),
    )
    return [
        (f"objective.{group}.{i}", part)
        for group, parts in groups
        for i, part in enumerate(parts)
        if isinstance(part, Asking)
    ]


def load_sources(config: ObjectiveConfig, predictors_root: Path) -> dict[Source, Predictor]:
    """Load every predictor the objective names, each once.

    Raises:
        ConfigError: A predictor does not exist; names the key in the config.
        property_models.errors.ModelFileError: Its files are missing or damaged.
    """
    from property_models import load_predictors
    from property_models.errors import DataError

    found: dict[Source, Predictor] = {}
    for key, part in parts_with_predictors(config):
        source = source_of(part, predictors_root)
        if source in found:
            continue
        folder, endpoint = source
        if part.folder and not folder.is_dir():
            raise ConfigError(f"{key}.folder: no folder {part.folder!r} in {Path.cwd()}")
        try:
            found[source] = load_predictors(folder, [endpoint])[endpoint]
        except DataError as error:
            raise ConfigError(f"{key}.endpoint: {error}") from None
    return found


def packed_ecfp4(mols: Iterable[Chem.Mol]) -> NDArray[np.uint64]:
    """Binary ECFP4 of 1024 bits as the predictors' reference indices keep them.

    Returns:
        uint64, shape (n, 16).
    """
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    rows = [np.packbits(morgan.GetFingerprintAsNumPy(mol)) for mol in mols]
    return np.array(rows, np.uint8).reshape(-1, 128).view(np.uint64)


class KnownCompounds:
    """The measured compounds of a predictor: fingerprints and InChIKeys, no structures."""

    def __init__(self, predictor: Predictor) -> None:
        self._reference = predictor.parts.reference
        self._blocks = frozenset(self._reference.inchikeys)

    def similarity(self, molecules: Molecules) -> tuple[Array, list[str]]:
        """ECFP4 Tanimoto similarity to the nearest known compound, as the predictor sees both.

        Returns:
            (similarities, reasons): float64, shape (n,), NaN with a reason where a molecule has no
            form that the predictor could see (it has no carbon, for instance).
        """
        from property_models.domain import nearest

        forms = molecules.standardised
        rows = [i for i, form in enumerate(forms) if form.mol is not None]
        values = np.full(len(forms), np.nan)
        if rows:
            queries = packed_ecfp4(form.mol for form in forms if form.mol is not None)
            values[rows] = nearest(queries, self._reference.bits)[1]
        return values, [form.reason for form in forms]

    def contains(self, molecules: Molecules) -> NDArray[np.bool_]:
        """Whether each molecule shares its InChIKey's first block with a known compound.

        The first block stands for the constitution: tautomers and stereoisomers share it.
        """
        return np.array(
            [
                form.mol is not None and inchikey_block(form.mol) in self._blocks
                for form in molecules.standardised
            ],
            bool,
        )


def known_compounds(predictors: Mapping[Source, Predictor]) -> dict[Source, KnownCompounds]:
    """The compounds known to each predictor."""
    return {source: KnownCompounds(predictor) for source, predictor in predictors.items()}
