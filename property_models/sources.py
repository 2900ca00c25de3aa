"""What lies where: data sets, the tables that hold them, terms, official splits, published peers.

A data set is a column of a table, with or without a filter on other columns: a wide table has a
column for each assay, a long one a column that names the task, others are filtered by species or
target. Where the tables come from stands in `addresses`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from property_models.errors import DataError, did_you_mean

UnitTransform = Literal["none", "neg_log10_molar"]


@dataclass(frozen=True)
class DataSource:
    """One data set in a table.

    Attributes:
        name: Name of the data set.
        file: Path of the table below the data folder.
        value_column: Column of the measured value, or its `slug`.
        origin: Public home of the original.
        licence: What is known about the terms.
        filters: (column, value) pairs that select the data set's rows; () takes all.
        split_column: Column with the official split; '' where there is none.
        test_values: Its values that mark test rows.
        relation_column: Column of '=', '<', '>' signs; '' where every value is exact.
        year_column: Column of the year of publication; '' where unknown.
        assay_column: Column that tells assays apart; '' where there is none.
        unit: Unit of the column where it is transformed.
        transform: What is done to the column: 'neg_log10_molar' gives -log10(mol/L).
        valid_range: Values outside, after the transform, are not used.
        reaches_below: The data set holds a smaller value than this. A table without one is on
            another scale and is refused. Infinite where nothing is checked.
        conflict_limit: Duplicates of one structure that span more than this are dropped.
        official_metric: Metric of the official test split; '' where there is none.
        peer: A published model on that split.
        peer_value: Its metric.
    """

    name: str
    file: str
    value_column: str
    origin: str
    licence: str
    filters: tuple[tuple[str, str], ...] = ()
    split_column: str = ""
    test_values: tuple[str, ...] = ("test",)
    relation_column: str = ""
    year_column: str = ""
    assay_column: str = ""
    unit: str = ""
    transform: UnitTransform = "none"
    valid_range: tuple[float, float] = (-math.inf, math.inf)
    reaches_below: float = math.inf
    conflict_limit: float = math.inf
    official_metric: str = ""
    peer: str = ""
    peer_value: float = math.nan


def slug(text: str) -> str:
    """Lower-case letters, digits and underscores: the form of names in the catalogue."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


# -- Therapeutics Data Commons --------------------------------------------------------------

_TDC_TERMS = (
    "Terms of the original data not verified (Therapeutics Data Commons lists most of its sets "
    "as CC BY 4.0)."
)
_TDC_HOME = "https://tdcommons.ai"
_MAPLIGHT = "MapLight (https://arxiv.org/abs/2310.00174)"

# Task of the ADMET group -> (official metric, MapLight's mean over five seeds).
TDC_ADMET_GROUP: dict[str, tuple[str, float]] = {
    "caco2_wang": ("mae", 0.276),
    "hia_hou": ("auroc", 0.986),
    "pgp_broccatelli": ("auroc", 0.930),
    "bioavailability_ma": ("auroc", 0.730),
    "lipophilicity_astrazeneca": ("mae", 0.539),
    "solubility_aqsoldb": ("mae", 0.792),
    "bbb_martins": ("auroc", 0.916),
    "ppbr_az": ("mae", 7.66),
    "vdss_lombardo": ("spearman", 0.707),
    "cyp2c9_veith": ("auprc", 0.783),
    "cyp2d6_veith": ("auprc", 0.723),
    "cyp3a4_veith": ("auprc", 0.881),
    "cyp2c9_substrate_carbonmangels": ("auprc", 0.415),
    "cyp2d6_substrate_carbonmangels": ("auprc", 0.713),
    "cyp3a4_substrate_carbonmangels": ("auroc", 0.650),
    "half_life_obach": ("spearman", 0.562),
    "clearance_hepatocyte_az": ("spearman", 0.466),
    "clearance_microsome_az": ("spearman", 0.626),
    "ld50_zhu": ("mae", 0.621),
    "herg": ("auroc", 0.871),
    "ames": ("auroc", 0.868),
    "dili": ("auroc", 0.887),
}
TDC_EXTRA = (
    "herg_karim",
    "cyp1a2_veith",
    "cyp2c19_veith",
    "pampa_ncats",
    "approved_pampa_ncats",
    "b3db_classification",
    "b3db_regression",
    "carcinogens_lagunin",
    "hlm",
    "rlm",
)
_TOXICITY = ("herg_karim", "carcinogens_lagunin")
PPBR_SPECIES = {
    "human": "Homo sapiens",
    "rat": "Rattus norvegicus",
    "dog": "Canis lupus familiaris",
    "mouse": "Mus musculus",
    "guinea_pig": "Cavia porcellus",
}


def _tdc_group(name: str, metric: str, peer_value: float) -> DataSource:
    return DataSource(
        name=name,
        file="property/tdc_admet_group.parquet",
        value_column="y",
        origin=f"{_TDC_HOME}/benchmark/admet_group",
        licence=_TDC_TERMS,
        filters=(("task", name),),
        split_column="split",
        official_metric=metric,
        peer=_MAPLIGHT,
        peer_value=peer_value,
    )


def _tdc_extra(name: str) -> DataSource:
    return DataSource(
        name=name,
        file="property/tdc_extra.parquet",
        value_column="y",
        origin=f"{_TDC_HOME}/single_pred_tasks/{'tox' if name in _TOXICITY else 'adme'}",
        licence=_TDC_TERMS,
        filters=(("task", name),),
    )


def _ppbr(name: str, species: str) -> DataSource:
    return DataSource(
        name=f"ppbr_az_{name}",
        file="property/tdc_ppbr_az_by_species.parquet",
        value_column="pct_bound",
        origin=f"{_TDC_HOME}/single_pred_tasks/adme",
        licence=_TDC_TERMS,
        filters=(("species", species),),
    )


# -- MoleculeNet ----------------------------------------------------------------------------

_MOLECULENET_TERMS = (
    "Terms of the original data not verified; MoleculeNet states none for the files it spreads."
)

TOX21_COLUMNS = tuple(
    "NR-AR NR-AR-LBD NR-AhR NR-Aromatase NR-ER NR-ER-LBD NR-PPAR-gamma SR-ARE SR-ATAD5 SR-HSE "
    "SR-MMP SR-p53".split()
)
CLINTOX_COLUMNS = ("FDA_APPROVED", "CT_TOX")
SIDER_COLUMNS = (
    "Hepatobiliary disorders",
    "Metabolism and nutrition disorders",
    "Product issues",
    "Eye disorders",
    "Investigations",
    "Musculoskeletal and connective tissue disorders",
    "Gastrointestinal disorders",
    "Social circumstances",
    "Immune system disorders",
    "Reproductive system and breast disorders",
    "Neoplasms benign, malignant and unspecified (incl cysts and polyps)",
    "General disorders and administration site conditions",
    "Endocrine disorders",
    "Surgical and medical procedures",
    "Vascular disorders",
    "Blood and lymphatic system disorders",
    "Skin and subcutaneous tissue disorders",
    "Congenital, familial and genetic disorders",
    "Infections and infestations",
    "Respiratory, thoracic and mediastinal disorders",
    "Psychiatric disorders",
    "Renal and urinary disorders",
    "Pregnancy, puerperium and perinatal conditions",
    "Ear and labyrinth disorders",
    "Cardiac disorders",
    "Nervous system disorders",
    "Injury, poisoning and procedural complications",
)


def _moleculenet(
    name: str, table: str, column: str, *, reaches_below: float = math.inf
) -> DataSource:
    return DataSource(
        name=name,
        file=f"property/moleculenet_{table}.parquet",
        value_column=column,
        origin="https://moleculenet.org/datasets-1",
        licence=_MOLECULENET_TERMS,
        reaches_below=reaches_below,
    )


# -- potency --------------------------------------------------------------------------------

CHEMBL_TERMS = "ChEMBL data, CC BY-SA 3.0; the weights are a derived work under its terms."

# Data set -> (target, class), after MoleculeACE/Data/benchmark_data/metadata/datasets.csv in
# https://github.com/molML/MoleculeACE.
MOLECULEACE_TARGETS: dict[str, tuple[str, str]] = {
    "CHEMBL1871_Ki": ("Androgen Receptor", "NR"),
    "CHEMBL218_EC50": ("Cannabinoid receptor 1", "GPCR"),
    "CHEMBL244_Ki": ("Coagulation factor X", "Protease"),
    "CHEMBL236_Ki": ("Delta opioid receptor", "GPCR"),
    "CHEMBL234_Ki": ("Dopamine D3 receptor", "GPCR"),
    "CHEMBL219_Ki": ("Dopamine D4 receptor", "GPCR"),
    "CHEMBL238_Ki": ("Dopamine transporter", "Other"),
    "CHEMBL4203_Ki": ("Dual specificity protein kinase CLK4", "Kinase"),
    "CHEMBL2047_EC50": ("Farnesoid X receptor", "NR"),
    "CHEMBL4616_EC50": ("Ghrelin receptor", "GPCR"),
    "CHEMBL2034_Ki": ("Glucocorticoid receptor", "NR"),
    "CHEMBL262_Ki": ("Glycogen synthase kinase-3 beta", "Kinase"),
    "CHEMBL231_Ki": ("Histamine H1 receptor", "GPCR"),
    "CHEMBL264_Ki": ("Histamine H3 receptor", "GPCR"),
    "CHEMBL2835_Ki": ("Janus kinase 1", "Kinase"),
    "CHEMBL2971_Ki": ("Janus kinase 2", "Kinase"),
    "CHEMBL237_EC50": ("Kappa opioid receptor", "GPCR"),
    "CHEMBL237_Ki": ("Kappa opioid receptor", "GPCR"),
    "CHEMBL4792_Ki": ("Orexin receptor 2", "GPCR"),
    "CHEMBL239_EC50": ("Peroxisome proliferator-activated receptor alpha", "NR"),
    "CHEMBL3979_EC50": ("Peroxisome proliferator-activated receptor delta", "NR"),
    "CHEMBL235_EC50": ("Peroxisome proliferator-activated receptor gamma", "NR"),
    "CHEMBL4005_Ki": ("PI3-kinase p110-alpha subunit", "Transferase"),
    "CHEMBL2147_Ki": ("Serine/threonine-protein kinase PIM1", "Kinase"),
    "CHEMBL214_Ki": ("Serotonin 1a receptor", "GPCR"),
    "CHEMBL228_Ki": ("Serotonin transporter", "Other"),
    "CHEMBL287_Ki": ("Sigma opioid receptor", "Other"),
    "CHEMBL204_Ki": ("Thrombin", "Protease"),
    "CHEMBL1862_Ki": ("Tyrosine-protein kinase ABL1", "Kinase"),
    "CHEMBL233_Ki": ("Mu opioid receptor", "GPCR"),
}
_SVM = "support vector machine on ECFP (https://doi.org/10.1021/acs.jcim.2c01073)"
_SVM_RMSE = {"CHEMBL244_Ki": 0.715, "CHEMBL2835_Ki": 0.420}


def _moleculeace(dataset: str, name: str) -> DataSource:
    return DataSource(
        name=name,
        file="efficacy/moleculeace_27targets.parquet",
        value_column="pactivity",
        origin="https://github.com/molML/MoleculeACE",
        licence=CHEMBL_TERMS,
        filters=(("dataset", dataset),),
        split_column="split",
        conflict_limit=1.0,
        official_metric="rmse",
        peer=_SVM if dataset in _SVM_RMSE else "",
        peer_value=_SVM_RMSE.get(dataset, math.nan),
    )


def _kinase(name: str) -> DataSource:
    return DataSource(
        name=name,
        file="efficacy/gsk3b_jnk3_binary.parquet",
        value_column="active",
        origin="https://github.com/wengong-jin/multiobj-rationale",
        licence="MIT for the repository; terms of the data (ExCAPE-DB) not verified.",
        filters=(("task", name),),
    )


def _chembl_target(
    family: str, file: str, value_column: str, origin: str
) -> Callable[[str], DataSource]:
    def make(target_id: str) -> DataSource:
        return DataSource(
            name=f"{family}_{target_id}",
            file=file,
            value_column=value_column,
            origin=origin,
            licence=CHEMBL_TERMS,
            filters=(("target_chembl_id", target_id.upper()),),
            valid_range=(2.0, 12.0),
            conflict_limit=1.0,
        )

    return make


def _serotonin(target_id: str) -> DataSource:
    return DataSource(
        name=f"serotonin_{target_id}",
        file="efficacy/chembl_serotonin_ki.parquet",
        value_column="standard_value",
        origin="https://github.com/greglandrum/rdkit_blog",
        licence=CHEMBL_TERMS,
        filters=(("target_chembl_id", target_id.upper()), ("standard_type", "Ki")),
        relation_column="standard_relation",
        assay_column="assay_chembl_id",
        unit="nM",
        transform="neg_log10_molar",
        valid_range=(2.0, 12.0),
        conflict_limit=1.0,
    )


def _pxr(name: str, assay: str) -> DataSource:
    return DataSource(
        name=name,
        file="property/openadmet_pxr.parquet",
        value_column="pEC50",
        origin="https://huggingface.co/datasets/openadmet/pxr-challenge-train-test",
        licence="Terms of the challenge data not verified; see its page.",
        filters=(("assay", assay),),
        split_column="split",
        test_values=("test_phase1",),
        conflict_limit=1.0,
        official_metric="mae",
    )


def _herg() -> tuple[DataSource, DataSource]:
    origin = "https://github.com/PatWalters/practical_cheminformatics_tutorials"
    curated = DataSource(
        name="chembl_herg_pic50",
        file="property/chembl_herg_pic50.parquet",
        value_column="pIC50",
        origin=origin,
        licence=CHEMBL_TERMS,
        conflict_limit=1.0,
    )
    raw = DataSource(
        name="chembl_herg_raw",
        file="property/chembl_herg_raw.parquet",
        value_column="standard_value",
        origin=origin,
        licence=CHEMBL_TERMS,
        filters=(("standard_type", "IC50"), ("standard_units", "nM")),
        relation_column="standard_relation",
        assay_column="assay_type",
        unit="nM",
        transform="neg_log10_molar",
        valid_range=(2.0, 12.0),
        conflict_limit=1.0,
    )
    return curated, raw


_SEH = DataSource(
    name="chembl_seh",
    file="efficacy/chembl_seh.parquet",
    value_column="standard_value",
    origin="https://github.com/wenhao-gao/mol_opt",
    licence=CHEMBL_TERMS,
    filters=(("standard_type", "IC50"), ("standard_units", "nM")),
    relation_column="standard_relation",
    year_column="document_year",
    unit="nM",
    transform="neg_log10_molar",
    valid_range=(2.0, 12.0),
    conflict_limit=1.0,
)

# -- all ------------------------------------------------------------------------------------

DATASETS: dict[str, DataSource] = {
    source.name: source
    for source in (
        _moleculeace("CHEMBL244_Ki", "moleculeace_fxa_ki"),
        *(_moleculeace(d, f"moleculeace_{d.lower()}") for d in MOLECULEACE_TARGETS),
        *(_tdc_group(name, *about) for name, about in TDC_ADMET_GROUP.items()),
        *(_tdc_extra(name) for name in TDC_EXTRA),
        *(_ppbr(name, species) for name, species in PPBR_SPECIES.items()),
        *(_moleculenet(f"tox21_{slug(c)}", "tox21", c) for c in TOX21_COLUMNS),
        *(_moleculenet(f"clintox_{slug(c)}", "clintox", c) for c in CLINTOX_COLUMNS),
        *(_moleculenet(f"sider_{slug(c)}", "sider", c) for c in SIDER_COLUMNS),
        _moleculenet("moleculenet_bbbp", "bbbp", "p_np"),
        _moleculenet("moleculenet_bace", "bace", "Class"),
        _moleculenet("moleculenet_esol", "esol_delaney", "logp"),
        # In kcal/mol it reaches -25; scaled to deviation 1, as an earlier address gave it, -6.
        _moleculenet("moleculenet_freesolv", "freesolv", "freesolv", reaches_below=-10.0),
        _moleculenet("moleculenet_hiv", "hiv", "HIV_active"),
        *_herg(),
        _pxr("openadmet_pxr", "pxr"),
        _pxr("openadmet_pxr_counter", "counter_assay"),
        _SEH,
        _kinase("gsk3b"),
        _kinase("jnk3"),
    )
}

# Families named by rule, because they are many: (prefix, form of the rest, source of one).
_BY_RULE: tuple[tuple[str, re.Pattern[str], Callable[[str], DataSource]], ...] = (
    (
        "toxcast",
        re.compile(r"[a-z0-9_]+"),
        lambda name: _moleculenet(f"toxcast_{name}", "toxcast", name),
    ),
    (
        "chembl22",
        re.compile(r"chembl\d+"),
        _chembl_target(
            "chembl22",
            "efficacy/chembl22_multitarget_pactivity.parquet",
            "pactivity",
            "https://moleculenet.org/datasets-1",
        ),
    ),
    (
        "blsets",
        re.compile(r"chembl\d+"),
        _chembl_target(
            "blsets",
            "efficacy/chembl_blsets_pki.parquet",
            "pKi",
            "https://github.com/greglandrum/rdkit_blog",
        ),
    ),
    ("serotonin", re.compile(r"chembl\d+"), _serotonin),
)
FAMILIES = tuple(prefix for prefix, _, _ in _BY_RULE)


def find_source(name: str) -> DataSource:
    """Looks a data set up, by name or by a family's rule.

    Raises:
        DataError: Unknown; suggests one.
    """
    if name in DATASETS:
        return DATASETS[name]
    prefix, _, rest = name.partition("_")
    for family, form, make in _BY_RULE:
        if prefix == family and form.fullmatch(rest):
            return make(rest)
    raise DataError(
        f"unknown data set {name!r}{did_you_mean(name, DATASETS)}; "
        f"known: {', '.join(sorted(DATASETS))}; and by rule "
        + ", ".join(f"{family}_…" for family in FAMILIES)
    )
