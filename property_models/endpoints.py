"""The catalogue of endpoints with a known data source."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from property_models.errors import DataError

Task = Literal["regression", "classification"]
Direction = Literal["better", "worse", "neutral"]


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
        dataset: Name in `datasets.DATASETS`; '' for a user's own data.
    """

    name: str
    task: Task
    unit: str
    higher_is: Direction
    meaning: str
    assay: str = ""
    source: str = ""
    dataset: str = ""


_TDC = "via Therapeutics Data Commons (Huang et al. 2021, https://arxiv.org/abs/2102.09548)"

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.name: endpoint
    for endpoint in (
        Endpoint(
            name="fxa_pki",
            task="regression",
            unit="pKi (-log10 mol/L)",
            higher_is="better",
            meaning="Affinity to human coagulation factor Xa.",
            assay="Inhibition constants Ki from ChEMBL 29, target CHEMBL244.",
            source="MoleculeACE, van Tilborg et al. 2022, https://doi.org/10.1021/acs.jcim.2c01073",
            dataset="moleculeace_fxa_ki",
        ),
        Endpoint(
            name="herg_block",
            task="classification",
            unit="probability",
            higher_is="worse",
            meaning="Blocks the hERG potassium channel with an IC50 below 10 µM.",
            assay="Literature IC50 values, labelled at 10 µM.",
            source=f"Karim et al. 2021, https://doi.org/10.1186/s13321-021-00541-z, {_TDC}",
            dataset="herg_karim",
        ),
        Endpoint(
            name="ames",
            task="classification",
            unit="probability",
            higher_is="worse",
            meaning="Mutagenic in the Ames test.",
            assay="Bacterial reverse mutation, any strain, with or without activation.",
            source=f"Xu et al. 2012, https://doi.org/10.1021/ci300400a, {_TDC}",
            dataset="ames",
        ),
        Endpoint(
            name="dili",
            task="classification",
            unit="probability",
            higher_is="worse",
            meaning="Causes drug-induced liver injury in humans.",
            assay="Drug label annotations of liver injury.",
            source=f"Xu et al. 2015, https://doi.org/10.1021/acs.jcim.5b00238, {_TDC}",
            dataset="dili",
        ),
        Endpoint(
            name="ld50",
            task="regression",
            unit="-log10(mol/kg)",
            higher_is="worse",
            meaning="Acute oral toxicity in the rat as -log10 of the LD50; higher is more toxic.",
            assay="Rat oral LD50.",
            source=f"Zhu et al. 2009, https://doi.org/10.1021/tx900189p, {_TDC}",
            dataset="ld50_zhu",
        ),
        Endpoint(
            name="solubility",
            task="regression",
            unit="log10(mol/L)",
            higher_is="better",
            meaning="Aqueous solubility.",
            assay="Curated from nine data sets of various methods.",
            source=f"AqSolDB (https://doi.org/10.1038/s41597-019-0151-1), {_TDC}",
            dataset="solubility_aqsoldb",
        ),
        Endpoint(
            name="caco2",
            task="regression",
            unit="log10(cm/s)",
            higher_is="better",
            meaning="Apparent permeability through Caco-2 cell monolayers.",
            assay="Caco-2 monolayer, apical to basolateral.",
            source=f"Wang et al. 2016, https://doi.org/10.1021/acs.jcim.5b00642, {_TDC}",
            dataset="caco2_wang",
        ),
    )
}


def endpoint(name: str) -> Endpoint:
    """Looks an endpoint up in the catalogue; DataError with a suggestion where it is unknown."""
    if name not in ENDPOINTS:
        raise DataError(
            f"unknown endpoint {name!r}{did_you_mean(name, ENDPOINTS)}; "
            f"known: {', '.join(sorted(ENDPOINTS))}"
        )
    return ENDPOINTS[name]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' where a known name is close, else ''."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
