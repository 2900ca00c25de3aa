"""What an endpoint is; the endpoints themselves stand in `endpoints`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["regression", "classification"]
Direction = Literal["better", "worse", "neutral"]
Family = Literal[
    "absorption",
    "distribution",
    "metabolism",
    "excretion",
    "toxicity",
    "potency",
    "physical chemistry",
    "",
]


@dataclass(frozen=True)
class Endpoint:
    """What is measured.

    Attributes:
        name: Identifier, also the name of the predictor's folder and columns.
        task: 'regression', or 'classification' with 1 as the positive class.
        unit: Unit of the value; 'probability' for classification.
        higher_is: Whether a higher value makes a better drug candidate.
        meaning: One sentence.
        assay: How it was measured.
        source: Citation with DOI or URL.
        dataset: Name of a data set in `sources`; '' for a user's own data.
        family: What the endpoint is about; '' for a user's own.
        panel: Assays of one kind that a network may learn together, such as 'cyp inhibition';
            '' where there is no sister.
    """

    name: str
    task: Task
    unit: str
    higher_is: Direction
    meaning: str
    assay: str = ""
    source: str = ""
    dataset: str = ""
    family: Family = ""
    panel: str = ""
