"""Predict endpoints of molecules with trained predictors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from property_models.difficulty import make_evidence
from property_models.domain import N_NEIGHBOURS, nearest_k
from property_models.endpoints import Endpoint, did_you_mean
from property_models.ensemble import combined, scores_and_deviations
from property_models.errors import DataError, ModelFileError
from property_models.features import Features, featurise
from property_models.model_card import CARD_FILE, ModelCard, endpoint_of
from property_models.molecules import Molecule, standardise_all
from property_models.store import Parts, load

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

CHUNK = 512  # molecules featurised at once: bounds memory, does not change results

# Columns of `predict_table` beside the value: `<endpoint>_<part>`.
PARTS = (
    "low",
    "high",
    "spread",
    "in_domain",
    "neighbour_inchikey",
    "neighbour_similarity",
    "neighbour_value",
    "neighbour_bound",
)
_TEXTS = ("neighbour_inchikey", "neighbour_bound")
_SIGNS = {-1: "<", 0: "", 1: ">"}
_NUMBERS = ("value", "low", "high", "spread", "neighbour_similarity", "neighbour_value")


@dataclass(frozen=True)
class Prediction:
    """Predictions of n molecules; NaN and a reason where there is none.

    Attributes:
        value: float64, shape (n,), in the endpoint's unit (regression) or the calibrated
            probability of the positive class (classification).
        low: Lower end of the 90 % interval (regression) or Venn-Abers p0 (classification). Never
            beyond what the unit allows: no half-life below 0, no more than 100 % bound.
        high: Upper end, or Venn-Abers p1.
        spread: Standard deviation over the members' scores: how far they disagree. It is no
            measure of the error by itself; the interval is.
        in_domain: bool, shape (n,); False where not predictable.
        neighbour_similarity: ECFP4 Tanimoto similarity to the nearest training compound.
        neighbour_value: Measured value of that compound.
        neighbour_inchikey: First block of its InChIKey; '' where there is none.
        neighbour_bound: '<' or '>' where its true value lies below or above, else ''.
        reasons: '' where fine, else why there is no prediction.
    """

    value: Array
    low: Array
    high: Array
    spread: Array
    in_domain: NDArray[np.bool_]
    neighbour_similarity: Array
    neighbour_value: Array
    neighbour_inchikey: list[str]
    neighbour_bound: list[str]
    reasons: list[str]


@dataclass(frozen=True)
class Neighbour:
    """A training compound near to a molecule.

    Attributes:
        inchikey: First block of its InChIKey.
        similarity: ECFP4 Tanimoto similarity.
        value: Measured, in the endpoint's unit; 0 or 1 for classification.
        bound: '<' or '>' where the true value lies below or above, else ''.
    """

    inchikey: str
    similarity: float
    value: float
    bound: str = ""


class Predictor:
    """A trained predictor of one endpoint; made by `load_predictor`.

    Attributes:
        card: What it is, what it was trained on and how well it does.
        endpoint: What it predicts.
        name: Name of the endpoint.
        parts: Members, calibration and reference index.
    """

    def __init__(self, card: ModelCard, parts: Parts) -> None:
        self.card = card
        self.endpoint: Endpoint = endpoint_of(card)
        self.name: str = card.endpoint
        self.parts = parts
        self._limits = _limits_kept(self.endpoint.limits, parts.reference.values)

    def predict(self, smiles: Sequence[str]) -> Prediction:
        """Predicts molecules in order.

        The order of atoms or molecules changes nothing, nor do a counter-ion written apart and
        charges that protons can take away; `molecules` names the forms that stay different. A
        SMILES that cannot be predicted gives NaN and a reason; nothing is raised for it.

        Raises:
            DataError: One text in place of a list of them.
        """
        return _predict_all({self.name: self}, smiles)[self.name]

    def neighbours(self, smiles: Sequence[str], k: int = 3) -> list[list[Neighbour]]:
        """The nearest training compounds of each molecule, with their measured values.

        Args:
            smiles: n molecules.
            k: At most so many of each, at least 1.

        Returns:
            Length n, nearest first; an empty list where the SMILES cannot be read.

        Raises:
            DataError: One text in place of a list of them, or k below 1.
        """
        _check_many(smiles)
        if k < 1:
            raise DataError(f"k is {k}, but the number of neighbours must be 1 or more")
        reference = self.parts.reference
        found: list[list[Neighbour]] = [[] for _ in smiles]
        for start in range(0, len(smiles), CHUNK):
            _, usable, features = _featurised(smiles[start : start + CHUNK])
            rows, similarity = nearest_k(features.packed_bits, reference.bits, k)
            for place, its_rows, its_similarity in zip(usable, rows, similarity, strict=True):
                found[start + place] = [
                    Neighbour(
                        reference.inchikeys[row],
                        float(s),
                        float(reference.values[row]),
                        _SIGNS[int(reference.bounds[row])],
                    )
                    for row, s in zip(its_rows, its_similarity, strict=True)
                ]
        return found

    def _predict_features(self, features: Features) -> dict[str, Any]:
        parts, reference = self.parts, self.parts.reference
        rows, similarity = nearest_k(features.packed_bits, reference.bits, N_NEIGHBOURS)
        scores, deviations = scores_and_deviations(parts.members, features)
        score, spread = combined(scores, parts.weights, task=self.card.task, deviations=deviations)
        evidence = make_evidence(score, spread, rows, similarity, reference.errors)
        calibrated = parts.calibration.apply(evidence).within(*self._limits)
        return {
            "value": calibrated.value,
            "low": calibrated.low,
            "high": calibrated.high,
            "spread": spread,
            "in_domain": calibrated.in_domain,
            "neighbour_similarity": evidence.similarity,
            "neighbour_value": reference.values[rows[:, 0]],
            "neighbour_inchikey": [reference.inchikeys[row] for row in rows[:, 0]],
            "neighbour_bound": [_SIGNS[int(reference.bounds[row])] for row in rows[:, 0]],
        }


def _limits_kept(limits: tuple[float, float], measured: Array) -> tuple[float, float]:
    """Those limits of a unit that all measured values of the training keep to.

    A user's '% inhibition' may be below 0 or above 100, whatever the unit promises.
    """
    least, greatest = limits
    return (
        least if (measured >= least).all() else -math.inf,
        greatest if (measured <= greatest).all() else math.inf,
    )


def load_predictor(folder: Path) -> Predictor:
    """Loads one predictor's folder; ModelFileError where a file is missing or damaged."""
    return Predictor(*load(Path(folder)))


def load_predictors(root: Path, endpoints: Sequence[str]) -> dict[str, Predictor]:
    """Loads predictors by endpoint name from the folders below `root`.

    Raises:
        DataError: No predictor of that name; suggests one and lists all.
        ModelFileError: `root` is missing, or a predictor's files are.
    """
    check_known(root, endpoints)
    return {name: load_predictor(Path(root) / name) for name in dict.fromkeys(endpoints)}


def check_known(root: Path, endpoints: Sequence[str]) -> None:
    """Raises what `load_predictors` raises for a folder or a name that is not there."""
    known = available(root)
    for name in endpoints:
        if name not in known:
            raise DataError(
                f"unknown endpoint {name!r}{did_you_mean(name, known)}; "
                f"predictors in {root}: {', '.join(known) or 'none'}"
            )


def available(root: Path) -> list[str]:
    """Names of the predictors below a folder, sorted; ModelFileError where it is missing."""
    if not Path(root).is_dir():
        raise ModelFileError(f"{root} does not exist; give a folder with one folder per predictor")
    return sorted(path.parent.name for path in Path(root).glob(f"*/{CARD_FILE}"))


def predict_table(predictors: Mapping[str, Predictor], smiles: Sequence[str]) -> pd.DataFrame:
    """Predicts several endpoints in one pass; features are computed once.

    Returns:
        One row per input, in order. For each endpoint e: `e`, `e_low`, `e_high`, `e_spread`,
        `e_in_domain`, `e_neighbour_inchikey`, `e_neighbour_similarity`, `e_neighbour_value`,
        `e_neighbour_bound`; and `reason`, '' where the row was predicted.

    Raises:
        DataError: One text in place of a list of them.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    reasons: list[str] = [""] * len(smiles)
    for name, prediction in _predict_all(predictors, smiles).items():
        columns[name] = prediction.value
        for part in PARTS:
            columns[f"{name}_{part}"] = getattr(prediction, part)
        reasons = prediction.reasons
    return pd.DataFrame({**columns, "reason": reasons}, index=range(len(smiles)))


def _predict_all(
    predictors: Mapping[str, Predictor], smiles: Sequence[str]
) -> dict[str, Prediction]:
    _check_many(smiles)
    pieces: dict[str, list[Prediction]] = {name: [] for name in predictors}
    for start in range(0, len(smiles), CHUNK):
        molecules, usable, features = _featurised(smiles[start : start + CHUNK])
        for name, predictor in predictors.items():
            found = predictor._predict_features(features) if len(usable) else {}
            pieces[name].append(_placed(found, usable, molecules))
    return {name: _joined(parts) for name, parts in pieces.items()}


def _check_many(smiles: Sequence[str]) -> None:
    # A text is a sequence, too: its letters would be predicted, each as a molecule.
    if isinstance(smiles, str):
        raise DataError(f"give a list of SMILES, [{smiles!r}], in place of the text {smiles!r}")


def _featurised(
    smiles: Sequence[str],
) -> tuple[list[Molecule], NDArray[np.int64], Features]:
    """Standardised molecules, the rows of those that can be predicted, and their features."""
    molecules = standardise_all(smiles)
    usable = np.array([i for i, m in enumerate(molecules) if m.mol is not None], np.int64)
    mols = [molecule.mol for molecule in molecules if molecule.mol is not None]
    return molecules, usable, featurise(mols, [molecules[i].smiles for i in usable])


def _placed(
    found: Mapping[str, Any], usable: NDArray[np.int64], molecules: Sequence[Molecule]
) -> Prediction:
    """Puts results of the usable molecules into their rows; NaN, False and '' elsewhere."""
    n = len(molecules)

    def column(name: str) -> Array:
        values = np.full(n, np.nan)
        if found:
            values[usable] = found[name]
        return values

    in_domain = np.zeros(n, bool)
    texts = {name: [""] * n for name in _TEXTS}
    if found:
        in_domain[usable] = found["in_domain"]
        for name, entries in texts.items():
            for row, text in zip(usable, found[name], strict=True):
                entries[row] = text
    parts: dict[str, Any] = {**texts, **{name: column(name) for name in _NUMBERS}}
    return Prediction(
        **parts,
        in_domain=in_domain,
        reasons=[molecule.reason for molecule in molecules],
    )


def _joined(parts: Sequence[Prediction]) -> Prediction:
    joined: dict[str, Any] = {}
    for name in (field.name for field in fields(Prediction)):
        values = [getattr(part, name) for part in parts]
        if name in (*_TEXTS, "reasons"):
            joined[name] = [entry for value in values for entry in value]
        else:
            empty = np.empty(0, bool if name == "in_domain" else float)
            joined[name] = np.concatenate(values) if values else empty
    return Prediction(**joined)
