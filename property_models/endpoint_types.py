"""What an endpoint is; the endpoints themselves stand in `endpoints`."""

from __future__ import annotations

import math
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

# What the first factor of a unit such as 'mL/min/g' may be where no value is below 0: a time, a
# length, a volume, a mass or an amount of substance. Not an energy, which may have any sign.
_AMOUNTS = frozenset(
    (
        "s min h d cm L mL uL µL μL g mg ug µg μg ng M mM uM µM μM nM pM mol mmol umol nmol pmol"
    ).split()
)


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

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest value that the unit allows; infinite where it sets none.

        Logarithms have none, nor has a unit that is not known here.
        """
        if self.task == "classification":
            return 0.0, 1.0
        if self.unit.startswith("%"):
            return 0.0, 100.0
        return (0.0 if self.unit.split("/")[0] in _AMOUNTS else -math.inf), math.inf
