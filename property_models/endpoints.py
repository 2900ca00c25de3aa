"""The catalogue of endpoints with a known data source.

`ENDPOINTS` names those that can be listed without any data. Three families are named by rule from
their tables, because they are many: `toxcast_<assay>`, `chembl22_<target>` and `blsets_<target>`;
`endpoint` knows those names, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from property_models.catalogue_admet import ADMET_ENDPOINTS, toxcast_endpoint
from property_models.catalogue_potency import (
    POTENCY_ENDPOINTS,
    blsets_endpoint,
    chembl22_endpoint,
)
from property_models.endpoint_types import Direction, Endpoint, Family, Task
from property_models.errors import DataError, did_you_mean

__all__ = [
    "ENDPOINTS",
    "Direction",
    "Endpoint",
    "Family",
    "Task",
    "did_you_mean",
    "endpoint",
    "sisters",
]

ENDPOINTS: dict[str, Endpoint] = {e.name: e for e in (*ADMET_ENDPOINTS, *POTENCY_ENDPOINTS)}

_BY_DATASET = {e.dataset: e for e in ENDPOINTS.values()}
_BY_RULE: tuple[tuple[re.Pattern[str], Callable[[str], Endpoint]], ...] = (
    (re.compile(r"toxcast_([a-z0-9_]+)"), toxcast_endpoint),
    (re.compile(r"chembl22_(chembl\d+)"), chembl22_endpoint),
    (re.compile(r"blsets_(chembl\d+)"), blsets_endpoint),
)


def endpoint(name: str) -> Endpoint:
    """Looks an endpoint up by its name or by the name of its data set.

    Names of a family that follow its rule are accepted without a look at the data; whether the
    table has that assay or target shows when it is read.

    Raises:
        DataError: Unknown; suggests one.
    """
    found = ENDPOINTS.get(name) or _BY_DATASET.get(name)
    if found is not None:
        return found
    for pattern, make in _BY_RULE:
        match = pattern.fullmatch(name)
        if match:
            return make(match[1])
    raise DataError(
        f"unknown endpoint {name!r}{did_you_mean(name, ENDPOINTS)}; "
        f"known: {', '.join(sorted(ENDPOINTS))}; and by rule toxcast_ASSAY, chembl22_TARGET, "
        "blsets_TARGET"
    )


def sisters(name: str) -> list[Endpoint]:
    """The other endpoints of the same panel, which a network may learn together with this one.

    Those named by rule are not among them: `datasets.members_at_hand` lists what a table holds.
    """
    panel = endpoint(name).panel
    return [e for e in ENDPOINTS.values() if panel and e.panel == panel and e.name != name]
