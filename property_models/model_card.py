"""A predictor's model card, and how it is read back from card.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from property_models.descriptors import DESCRIPTOR_NAMES
from property_models.endpoints import Direction, Endpoint, Task
from property_models.errors import ModelFileError
from property_models.features import N_ECFP_COUNTS

CARD_VERSION = 3
CARD_FILE = "card.json"
CURE = "restore the folder from its release or train the predictor again"


@dataclass(frozen=True)
class ModelCard:
    """What a predictor is, what it learnt from and how well it does; in card.json and card.html.

    Attributes:
        endpoint: Name of the endpoint.
        task: 'regression' or 'classification'.
        unit: Unit of the value.
        higher_is: 'better', 'worse' or 'neutral'.
        meaning: One sentence.
        assay: How the training values were measured.
        source: Citation.
        licence: Terms of the weights.
        data: File, SHA-256, counts of rows read, merged, dropped and used.
        split: How the metrics were obtained.
        metrics: Out-of-fold metrics by scaffold with 95 % bootstrap intervals, of the intervals
            and the domain, by slice; those by cluster under 'cluster'.
        official_test: Result on a public test split beside a published one; {} without.
        calibration: Method and level, and what it was fitted on.
        domain: Thresholds of similarity and expected error, and how they were set.
        members: Kind and hyper-parameters of each member, as configured.
        weights: What each member's score counts in a prediction.
        seed: Seed of the training.
        features: Columns the trees expect; checked when loading.
        versions: Versions of this code and its libraries.
        date: ISO date of the training.
        intended_use: What it is for.
        limits: What it is not for.
        files: SHA-256 of each file in the folder.
    """

    endpoint: str
    task: Task
    unit: str
    higher_is: Direction
    meaning: str
    assay: str
    source: str
    licence: str
    data: Mapping[str, Any]
    split: str
    metrics: Mapping[str, Any]
    official_test: Mapping[str, Any]
    calibration: Mapping[str, Any]
    domain: Mapping[str, Any]
    members: list[Mapping[str, Any]]
    weights: list[float]
    seed: int
    features: Mapping[str, Any]
    versions: Mapping[str, str]
    date: str
    intended_use: str
    limits: str
    files: Mapping[str, str]
    card_version: int = CARD_VERSION


def endpoint_of(card: ModelCard) -> Endpoint:
    """The endpoint described by a card."""
    return Endpoint(
        card.endpoint, card.task, card.unit, card.higher_is, card.meaning, card.assay, card.source
    )


def feature_columns() -> dict[str, Any]:
    """What a card records about the features, to notice an RDKit that computes others."""
    return {"n_ecfp_counts": N_ECFP_COUNTS, "descriptors": list(DESCRIPTOR_NAMES)}


def read_card(folder: Path) -> ModelCard:
    """Reads card.json alone; ModelFileError where it is missing or not a card."""
    path = folder / CARD_FILE
    if not path.is_file():
        raise ModelFileError(f"{folder} is no predictor folder: {CARD_FILE} is missing; {CURE}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        version = content.get("card_version")
        if version != CARD_VERSION:
            raise ValueError(f"card_version is {version!r}, this version reads {CARD_VERSION}")
        known = {field.name for field in fields(ModelCard)}
        if set(content) != known:
            raise ValueError(f"keys missing or unknown: {sorted(set(content) ^ known)}")
        for field in fields(ModelCard):
            if not isinstance(content[field.name], _kind_in_json(str(field.type))):
                raise ValueError(f"{field.name} is no {_kind_in_json(str(field.type)).__name__}")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelFileError(f"{path}: not a readable model card ({error}); {CURE}") from error
    return ModelCard(**content)


def _kind_in_json(annotation: str) -> type:
    """What a card's field is when it is read from JSON; all but these are texts."""
    kinds = {"Mapping": dict, "list": list, "int": int}
    return next((kind for start, kind in kinds.items() if annotation.startswith(start)), str)
