"""The catalogue's endpoints of potency: MoleculeACE, ChEMBL tables, kinases."""

from __future__ import annotations

from property_models.endpoint_types import Endpoint
from property_models.sources import MOLECULEACE_TARGETS

_MOLECULEACE = "MoleculeACE, van Tilborg et al. 2022, https://doi.org/10.1021/acs.jcim.2c01073"
_CHEMBL22 = (
    "ChEMBL 22.1 as packed by MoleculeNet (Wu et al. 2018, https://doi.org/10.1039/C7SC02664A)"
)
_BLSETS = (
    "ChEMBL, selected in https://github.com/greglandrum/rdkit_blog; values outside 2 to 12 are "
    "artefacts of the source and are left out"
)
_KINASES = "Li et al. 2018, https://doi.org/10.1186/s13321-018-0287-6, after ExCAPE-DB"


def _moleculeace(dataset: str, target: str, family: str) -> Endpoint:
    target_id, kind = dataset.split("_")
    name = f"moleculeace_{dataset.lower()}"
    return Endpoint(
        name=name,
        task="regression",
        unit=f"p{kind} (-log10 mol/L)",
        higher_is="neutral",
        meaning=f"Potency at {target}, human; whether it is wanted depends on the project.",
        assay=f"{kind} values from ChEMBL 29, target {target_id}.",
        source=_MOLECULEACE,
        dataset=name,
        family="potency",
        panel=f"moleculeace {family}",
    )


def chembl22_endpoint(target_id: str) -> Endpoint:
    """The endpoint of a ChEMBL target in the multi-target table."""
    name = f"chembl22_{target_id.lower()}"
    return Endpoint(
        name=name,
        task="regression",
        unit="pActivity (-log10 mol/L)",
        higher_is="neutral",
        meaning=f"Potency at ChEMBL target {target_id.upper()}, all kinds of potency merged.",
        assay="Median of IC50, Ki, Kd and the like; the kinds are not told apart by the source.",
        source=f"{_CHEMBL22}, https://www.ebi.ac.uk/chembl/explore/target/{target_id.upper()}",
        dataset=name,
        family="potency",
        panel="chembl22",
    )


def blsets_endpoint(target_id: str) -> Endpoint:
    """The endpoint of a ChEMBL target in the table of benchmark inhibition constants."""
    name = f"blsets_{target_id.lower()}"
    return Endpoint(
        name=name,
        task="regression",
        unit="pKi (-log10 mol/L)",
        higher_is="neutral",
        meaning=f"Affinity to ChEMBL target {target_id.upper()}.",
        assay="Inhibition constants Ki.",
        source=_BLSETS,
        dataset=name,
        family="potency",
        panel="blsets",
    )


def _kinase(name: str, target: str) -> Endpoint:
    return Endpoint(
        name=f"{name}_active",
        task="classification",
        unit="probability",
        higher_is="better",
        meaning=f"Inhibits {target}.",
        assay="Literature actives beside presumed inactives.",
        source=_KINASES,
        dataset=name,
        family="potency",
        panel="kinase",
    )


POTENCY_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        name="fxa_pki",
        task="regression",
        unit="pKi (-log10 mol/L)",
        higher_is="better",
        meaning="Affinity to human coagulation factor Xa.",
        assay="Inhibition constants Ki from ChEMBL 29, target CHEMBL244.",
        source=_MOLECULEACE,
        dataset="moleculeace_fxa_ki",
        family="potency",
        panel="moleculeace Protease",
    ),
    *(
        _moleculeace(dataset, target, family)
        for dataset, (target, family) in MOLECULEACE_TARGETS.items()
        if dataset != "CHEMBL244_Ki"  # that is fxa_pki
    ),
    _kinase("gsk3b", "glycogen synthase kinase 3 beta"),
    _kinase("jnk3", "c-Jun N-terminal kinase 3"),
    Endpoint(
        name="seh_pic50",
        task="regression",
        unit="pIC50 (-log10 mol/L)",
        higher_is="better",
        meaning="Inhibition of human soluble epoxide hydrolase.",
        assay="IC50 values of ChEMBL with relation and year.",
        source="ChEMBL, https://www.ebi.ac.uk/chembl, as selected in "
        "https://github.com/wenhao-gao/mol_opt",
        dataset="chembl_seh",
        family="potency",
    ),
)
