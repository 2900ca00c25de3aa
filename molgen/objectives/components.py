"""Components: one raw value per molecule each, with a reason where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.config.objective import (
    PREDICTION_PARTS,
    AlertsComponent,
    CommandComponent,
    Component,
    DescriptorComponent,
    HttpComponent,
    NoveltyComponent,
    PredictorComponent,
    PythonComponent,
    SimilarityComponent,
)
from molgen.objectives.alerts import alerts
from molgen.objectives.descriptors import descriptor
from molgen.objectives.desirability import uncertain_desirability
from molgen.objectives.external import ExternalComponent, Oracle, score_batches
from molgen.objectives.known import KnownCompounds, Source, source_of
from molgen.objectives.molecules import Molecules

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ComponentValues:
    """What a component says about n molecules.

    Attributes:
        raw: float64, shape (n,); NaN where there is no value.
        reasons: Why a value is missing; '' where there is one, and where the molecule itself is
            missing.
        desirability: float64, shape (n,), where it is more than the curve of the raw value; else
            None.
        extra: More columns, each of length n.
        all_failed: An external scorer answered no batch.
    """

    raw: Array
    reasons: list[str]
    desirability: Array | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    all_failed: bool = False


# From molecules and the table of `property_models.predict_table` to values.
Evaluate = Callable[[Molecules, pd.DataFrame], ComponentValues]


def build_component(
    component: Component,
    known: Mapping[Source, KnownCompounds],
    oracle: Oracle | None,
    *,
    predictors_root: Path,
) -> Evaluate:
    """Make the function that evaluates a component.

    Args:
        component: Its config.
        known: Compounds known to the predictors.
        oracle: For the external ones: their connection.
        predictors_root: Folder of predictors where the component names none.
    """
    match component:
        case PredictorComponent():
            return lambda molecules, predictions: _predicted(component, predictions)
        case DescriptorComponent():
            return lambda molecules, _: ComponentValues(*descriptor(component.name, molecules.mols))
        case AlertsComponent():
            return lambda molecules, _: _count_alerts(component, molecules)
        case NoveltyComponent():
            compounds = known[source_of(component, predictors_root)]
            return lambda molecules, _: _novelty(compounds, molecules)
        case SimilarityComponent():
            return _similarity(component.smiles)
        case CommandComponent() | HttpComponent() | PythonComponent():
            assert oracle is not None
            return lambda molecules, _: _asked(component, oracle, molecules)


def _predicted(component: PredictorComponent, predictions: pd.DataFrame) -> ComponentValues:
    name = component.endpoint
    raw = predictions[name].to_numpy(np.float64)
    low, high = (predictions[f"{name}_{end}"].to_numpy(np.float64) for end in ("low", "high"))
    height = uncertain_desirability(
        component.desirability, raw, low, high, how=component.uncertainty
    )
    in_domain = predictions[f"{name}_in_domain"].to_numpy(bool)
    return ComponentValues(
        raw,
        list(predictions["reason"]),
        desirability=height * np.where(in_domain, 1.0, component.out_of_domain_factor),
        extra={f"{name}_{part}": predictions[f"{name}_{part}"] for part in PREDICTION_PARTS},
    )


def _count_alerts(component: AlertsComponent, molecules: Molecules) -> ComponentValues:
    names = [None if mol is None else alerts(mol, component.catalogs) for mol in molecules.mols]
    return ComponentValues(
        np.array([np.nan if found is None else len(found) for found in names], np.float64),
        [""] * len(molecules),
        extra={"alerts": ["; ".join(found or ()) for found in names]},
    )


def _novelty(compounds: KnownCompounds, molecules: Molecules) -> ComponentValues:
    similarity, reasons = compounds.similarity(molecules)
    return ComponentValues(1.0 - similarity, reasons)


def _similarity(smiles: Sequence[str]) -> Evaluate:
    """Tanimoto similarity of ECFP4 (Morgan, radius 2, 2048 bits, no chirality)."""
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    references = [morgan.GetFingerprint(Chem.MolFromSmiles(entry)) for entry in smiles]

    def nearest(mol: Chem.Mol | None) -> float:
        if mol is None:
            return np.nan
        fingerprint = morgan.GetFingerprint(mol)
        return float(max(DataStructs.BulkTanimotoSimilarity(fingerprint, references)))

    return lambda molecules, _: ComponentValues(
        np.array([nearest(mol) for mol in molecules.mols], np.float64), [""] * len(molecules)
    )


def _asked(part: ExternalComponent, oracle: Oracle, molecules: Molecules) -> ComponentValues:
    scores = score_batches(oracle, molecules.canonical, batch_size=part.batch_size, name=part.name)
    return ComponentValues(scores.values, scores.reasons, all_failed=scores.all_failed)
