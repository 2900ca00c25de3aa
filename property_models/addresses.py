"""Where the tables of `sources` can be downloaded: original public addresses and their terms.

Each table is made of one or more downloads. Each address was read in the place that `seen_at`
names; none could be tried from where this was written. A checksum is given only where public
places that do not depend on each other state the same; else it is recorded at the first download.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from property_models.sources import CHEMBL_TERMS, MOLECULEACE_TARGETS, TDC_EXTRA

Layout = Literal[
    "tdc_group",
    "tdc_single",
    "tdc_ppbr",
    "smiles_table",
    "moleculeace",
    "kinases",
    "chembl_wide",
    "blsets",
    "herg_curated",
    "herg_raw",
    "pxr",
]


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        name: File name among the downloads; its ending tells how to read it.
        url: Public address.
        part: What it holds, where a table has several parts: a task, a split.
        checksum: 'md5:…' or 'sha256:…' stated in public; '' where none is known.
    """

    name: str
    url: str
    part: str = ""
    checksum: str = ""


@dataclass(frozen=True)
class Home:
    """Where a table comes from.

    Attributes:
        file: Path of the table below the data folder.
        layout: How its downloads are turned into the table.
        downloads: What to fetch.
        licence: What is known about the terms.
        seen_at: Where the addresses (and checksums) were read.
        note: What differs from other copies of the table; '' where nothing is known to.
    """

    file: str
    layout: Layout
    downloads: tuple[Download, ...]
    licence: str
    seen_at: str
    note: str = ""


_DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
_DEEPCHEM = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets"
_GITHUB = "https://raw.githubusercontent.com"
_HUGGING_FACE = "https://huggingface.co/datasets/openadmet/pxr-challenge-train-test/resolve/main"

_TDC_TERMS = (
    "CC BY 4.0 for most sets according to Therapeutics Data Commons (https://tdcommons.ai), where "
    "each set's page states its own; not verified here."
)
_MOLECULENET_TERMS = "No terms stated by MoleculeNet; those of the original data are not verified."
_TDC_METADATA = (
    "https://github.com/mims-harvard/TDC, tdc/metadata.py (name2id, benchmark2id) at commit "
    "0858120b77590178a3e11c120e103141e9773780"
)
_DEEPCHEM_LOADERS = "deepchem 2.8.0, deepchem/molnet/load_function/{}"

_TDC_IDS = {
    "herg_karim": 6822246,
    "cyp1a2_veith": 4259573,
    "cyp2c19_veith": 4259576,
    "pampa_ncats": 6695858,
    "approved_pampa_ncats": 6695857,
    "b3db_classification": 7878566,
    "b3db_regression": 7878567,
    "carcinogens_lagunin": 4259570,
    "hlm": 10218426,
    "rlm": 10218425,
}
# Table -> (file at DeepChem's address, module of the loader that names it).
_MOLECULENET = {
    "tox21": ("tox21.csv.gz", "tox21_datasets.py"),
    "clintox": ("clintox.csv.gz", "clintox_datasets.py"),
    "sider": ("sider.csv.gz", "sider_datasets.py"),
    "toxcast": ("toxcast_data.csv.gz", "toxcast_datasets.py"),
    "bbbp": ("BBBP.csv", "bbbp_datasets.py"),
    "bace": ("bace.csv", "bace_datasets.py"),
    "esol_delaney": ("delaney-processed.csv", "delaney_datasets.py"),
    # Not freesolv.csv.gz beside it: there the values are scaled to mean 0 and deviation 1.
    "freesolv": ("SAMPL.csv", "sampl_datasets.py"),
    "hiv": ("HIV.csv", "hiv_datasets.py"),
}


def _moleculenet(table: str, file: str, loader: str) -> Home:
    return Home(
        file=f"property/moleculenet_{table}.parquet",
        layout="smiles_table",
        downloads=(Download(f"moleculenet_{file}", f"{_DEEPCHEM}/{file}"),),
        licence=_MOLECULENET_TERMS,
        seen_at=_DEEPCHEM_LOADERS.format(loader),
    )


_MOLECULEACE_BASE = (
    f"{_GITHUB}/molML/MoleculeACE/7e6de0bd2968c56589c580f2a397f01c531ede26/MoleculeACE/Data/"
    "benchmark_data"
)
_RATIONALE_BASE = (
    f"{_GITHUB}/wengong-jin/multiobj-rationale/9aad86145b297e4939468c6f869912e30e6fc01d/data"
)
_WALTERS_BASE = (
    f"{_GITHUB}/PatWalters/practical_cheminformatics_tutorials/"
    "370dc66428819e06a2c87a859fab122b77b22f5b/data"
)

_HOMES = (
    Home(
        file="property/tdc_admet_group.parquet",
        layout="tdc_group",
        downloads=(
            Download(
                "tdc_admet_group.zip",
                f"{_DATAVERSE}/4426004",
                checksum="md5:e3e4dda2f7f62268448fc813ceefccd5",
            ),
        ),
        licence=_TDC_TERMS,
        seen_at=f"{_TDC_METADATA}; the MD5 in several public repositories that load this archive",
    ),
    Home(
        file="property/tdc_extra.parquet",
        layout="tdc_single",
        downloads=tuple(
            Download(f"tdc_{name}.tab", f"{_DATAVERSE}/{_TDC_IDS[name]}", part=name)
            for name in TDC_EXTRA
        ),
        licence=_TDC_TERMS,
        seen_at=_TDC_METADATA,
    ),
    Home(
        file="property/tdc_ppbr_az_by_species.parquet",
        layout="tdc_ppbr",
        downloads=(Download("tdc_ppbr_az.tab", f"{_DATAVERSE}/6413140"),),
        licence=_TDC_TERMS,
        seen_at=_TDC_METADATA,
    ),
    *(_moleculenet(table, *where) for table, where in _MOLECULENET.items()),
    Home(
        file="efficacy/moleculeace_27targets.parquet",
        layout="moleculeace",
        downloads=tuple(
            Download(f"moleculeace_{name}.csv", f"{_MOLECULEACE_BASE}/{name}.csv", part=name)
            for name in MOLECULEACE_TARGETS
        ),
        licence=f"{CHEMBL_TERMS} The repository's own licence is of the MIT kind.",
        seen_at="https://github.com/molML/MoleculeACE, MoleculeACE/Data/benchmark_data",
        note="All 30 targets, although the table's name says 27.",
    ),
    Home(
        file="efficacy/gsk3b_jnk3_binary.parquet",
        layout="kinases",
        downloads=(
            Download("gsk3b.csv", f"{_RATIONALE_BASE}/gsk3/all.txt", part="gsk3b"),
            Download("jnk3.csv", f"{_RATIONALE_BASE}/jnk3/all.txt", part="jnk3"),
        ),
        licence="MIT for the repository; terms of the data (ExCAPE-DB) not verified.",
        seen_at="https://github.com/wengong-jin/multiobj-rationale, data/gsk3 and data/jnk3",
    ),
    Home(
        file="efficacy/chembl22_multitarget_pactivity.parquet",
        layout="chembl_wide",
        downloads=(
            Download("chembl22_5thresh.csv.gz", f"{_DEEPCHEM}/chembl_5thresh.csv.gz", "5thresh"),
            *(
                Download(
                    f"chembl22_sparse_ts_{part}.csv.gz",
                    f"{_DEEPCHEM}/chembl_year_sets/chembl_sparse_ts_{part}.csv.gz",
                    f"sparse_ts_{part}",
                )
                for part in ("train", "valid", "test")
            ),
        ),
        licence=CHEMBL_TERMS,
        seen_at=_DEEPCHEM_LOADERS.format("chembl_datasets.py"),
        note="With the training part of the year sets; copies without it are smaller.",
    ),
    Home(
        file="efficacy/chembl_blsets_pki.parquet",
        layout="blsets",
        downloads=(
            Download(
                "blsets_actives.tsv",
                f"{_GITHUB}/greglandrum/rdkit_blog/1eef68b1d8201fa039d16a664a9161fd6833e169/data/"
                "BLSets_actives.txt",
            ),
        ),
        licence=f"{CHEMBL_TERMS} The repository has no licence file.",
        seen_at="https://github.com/greglandrum/rdkit_blog, data/BLSets_actives.txt",
        note="Versions of this file in the repository's history hold different targets.",
    ),
    Home(
        file="property/chembl_herg_pic50.parquet",
        layout="herg_curated",
        downloads=(Download("herg_pic50.csv", f"{_WALTERS_BASE}/hERG.csv"),),
        licence=f"{CHEMBL_TERMS} The repository is under the MIT licence.",
        seen_at="https://github.com/PatWalters/practical_cheminformatics_tutorials, data/hERG.csv",
    ),
    Home(
        file="property/chembl_herg_raw.parquet",
        layout="herg_raw",
        downloads=(Download("herg_raw.csv", f"{_WALTERS_BASE}/ChEMBL_hERG.csv"),),
        licence=f"{CHEMBL_TERMS} The repository is under the MIT licence.",
        seen_at="https://github.com/PatWalters/practical_cheminformatics_tutorials, "
        "data/ChEMBL_hERG.csv",
    ),
    Home(
        file="property/openadmet_pxr.parquet",
        layout="pxr",
        downloads=(
            Download("pxr_train.csv", f"{_HUGGING_FACE}/pxr-challenge_TRAIN.csv", "train"),
            Download(
                "pxr_test_phase1.csv",
                f"{_HUGGING_FACE}/pxr-challenge_TEST_PHASE_1_UNBLINDED.csv",
                "test_phase1",
            ),
            Download(
                "pxr_counter_assay.csv",
                f"{_HUGGING_FACE}/pxr-challenge_counter-assay_TRAIN.csv",
                "counter_assay",
            ),
        ),
        licence="Terms of the challenge data not verified; see the data set's page.",
        seen_at="https://huggingface.co/datasets/openadmet/pxr-challenge-train-test, as loaded by "
        "several public entries to the challenge",
        note="The challenge changed these files while it ran; standard errors and Emax are empty "
        "where their columns have other names.",
    ),
)
HOMES: dict[str, Home] = {home.file: home for home in _HOMES}
