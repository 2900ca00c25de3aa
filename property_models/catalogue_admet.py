"""The catalogue's endpoints of absorption, distribution, metabolism, excretion and toxicity.

Units and meanings follow the documentation of Therapeutics Data Commons and the papers cited; the
files themselves carry no units. What could not be verified is said to be unverified.
"""

from __future__ import annotations

from collections.abc import Iterator

from property_models.endpoint_types import Direction, Endpoint, Family
from property_models.sources import CLINTOX_COLUMNS, SIDER_COLUMNS, TOX21_COLUMNS, slug

_TDC = "via Therapeutics Data Commons (Huang et al. 2021, https://arxiv.org/abs/2102.09548)"
_MOLECULENET = "via MoleculeNet (Wu et al. 2018, https://doi.org/10.1039/C7SC02664A)"
_VEITH = f"Veith et al. 2009, https://doi.org/10.1038/nbt.1581, {_TDC}"
_CARBON = f"Carbon-Mangels and Hutter 2011, https://doi.org/10.1002/minf.201100069, {_TDC}"
_AZ = f"AstraZeneca deposit in ChEMBL, https://doi.org/10.6019/CHEMBL3301361, {_TDC}"
_HOU = f"Hou et al. 2007, https://doi.org/10.1021/ci600343x, {_TDC}"
_NCATS = f"Siramshetty et al. 2021, https://doi.org/10.1177/24725552211017520, {_TDC}"
# The share of ones, 85 %, speaks for both; Therapeutics Data Commons says: 1 = high alone.
_PAMPA = "PAMPA at pH 7.4 at NCATS; 1 = high or moderate, judged by the share of ones."
_B3DB = f"B3DB, Meng et al. 2021, https://doi.org/10.1038/s41597-021-01069-5, {_TDC}"
_LI = f"Li et al. 2022, https://doi.org/10.1021/acs.chemrestox.2c00207, {_TDC}"
_PXR = "OpenADMET PXR challenge, https://huggingface.co/datasets/openadmet/pxr-challenge-train-test"


def _class(
    name: str,
    dataset: str,
    family: Family,
    higher_is: Direction,
    meaning: str,
    assay: str,
    source: str,
    panel: str = "",
) -> Endpoint:
    return Endpoint(
        name, "classification", "probability", higher_is, meaning, assay, source, dataset, family,
        panel,
    )  # fmt: skip


def _value(
    name: str,
    dataset: str,
    family: Family,
    unit: str,
    higher_is: Direction,
    meaning: str,
    assay: str,
    source: str,
    panel: str = "",
) -> Endpoint:
    return Endpoint(
        name, "regression", unit, higher_is, meaning, assay, source, dataset, family, panel
    )


_ABSORPTION = (
    _value(
        "caco2", "caco2_wang", "absorption", "log10(cm/s)", "better",
        "Apparent permeability through Caco-2 cell monolayers.",
        "Caco-2 monolayer, apical to basolateral.",
        f"Wang et al. 2016, https://doi.org/10.1021/acs.jcim.5b00642, {_TDC}",
        panel="permeability",
    ),
    _class(
        "pampa", "pampa_ncats", "absorption", "better",
        "High or moderate passive permeability.",
        _PAMPA, _NCATS, panel="permeability",
    ),
    _class(
        "pampa_approved", "approved_pampa_ncats", "absorption", "better",
        "High or moderate passive permeability, approved drugs only.",
        _PAMPA, _NCATS, panel="permeability",
    ),
    _class(
        "hia", "hia_hou", "absorption", "better",
        "Absorbed in the human intestine.",
        "Human intestinal absorption, labelled by a threshold of the source.", _HOU,
    ),
    _class(
        "pgp_inhibition", "pgp_broccatelli", "absorption", "worse",
        "Inhibits P-glycoprotein.",
        "Literature data of P-glycoprotein inhibition.",
        f"Broccatelli et al. 2011, https://doi.org/10.1021/jm101421d, {_TDC}",
    ),
    _class(
        "bioavailability", "bioavailability_ma", "absorption", "better",
        "Human oral bioavailability of at least 20 %.",
        "Literature values, labelled at 20 %.",
        f"Ma et al. 2008, https://doi.org/10.1016/j.jpba.2008.03.023, {_TDC}",
    ),
)  # fmt: skip

_PHYSICAL_CHEMISTRY = (
    _value(
        "solubility", "solubility_aqsoldb", "physical chemistry", "log10(mol/L)", "better",
        "Aqueous solubility.", "Curated from nine data sets of various methods.",
        f"AqSolDB (https://doi.org/10.1038/s41597-019-0151-1), {_TDC}",
    ),
    _value(
        "lipophilicity", "lipophilicity_astrazeneca", "physical chemistry", "logD at pH 7.4",
        "neutral", "Distribution between octanol and water at pH 7.4.",
        "Shake flask at AstraZeneca.", _AZ,
    ),
    _value(
        "solubility_esol", "moleculenet_esol", "physical chemistry", "log10(mol/L)", "better",
        "Aqueous solubility of small molecules.", "Literature values.",
        f"Delaney 2004, https://doi.org/10.1021/ci034243x, {_MOLECULENET}",
    ),
    _value(
        "hydration_free_energy", "moleculenet_freesolv", "physical chemistry", "kcal/mol",
        "neutral", "Free energy of hydration.", "Literature values.",
        f"FreeSolv, https://doi.org/10.1007/s10822-014-9747-x, {_MOLECULENET}",
    ),
)  # fmt: skip

_DISTRIBUTION = (
    _class(
        "bbb", "bbb_martins", "distribution", "neutral",
        "Passes the blood-brain barrier.", "Literature labels.",
        f"Martins et al. 2012, https://doi.org/10.1021/ci300124c, {_TDC}", panel="brain",
    ),
    _class(
        "bbb_b3db", "b3db_classification", "distribution", "neutral",
        "Passes the blood-brain barrier.", "Labels from 50 sources.", _B3DB, panel="brain",
    ),
    _value(
        "brain_to_blood", "b3db_regression", "distribution", "log10(brain/blood)", "neutral",
        "Ratio of concentrations in brain and blood.", "Literature values, mostly rodent.",
        _B3DB, panel="brain",
    ),
    _value(
        "plasma_binding", "ppbr_az", "distribution", "% bound", "neutral",
        "Bound to plasma protein; several species are mixed in this benchmark table.",
        "Equilibrium dialysis at AstraZeneca; species mixed, so a compound may stand twice.",
        _AZ, panel="plasma binding",
    ),
    *(
        _value(
            f"plasma_binding_{name}", f"ppbr_az_{name}", "distribution", "% bound", "neutral",
            f"Bound to plasma protein, {species}.", "Equilibrium dialysis at AstraZeneca.",
            _AZ, panel="plasma binding",
        )
        for name, species in (
            ("human", "human"),
            ("rat", "rat"),
            ("dog", "dog"),
            ("mouse", "mouse"),
            ("guinea_pig", "guinea pig"),
        )
    ),
    _value(
        "vdss", "vdss_lombardo", "distribution", "L/kg", "neutral",
        "Volume of distribution at steady state, human.", "Intravenous dosing, literature.",
        f"Lombardo and Jing 2016, https://doi.org/10.1021/acs.jcim.6b00044, {_TDC}",
        panel="human pharmacokinetics",
    ),
)  # fmt: skip

_METABOLISM = (
    *(
        _class(
            f"{cyp}_inhibition", f"{cyp}_veith", "metabolism", "worse",
            f"Inhibits {cyp.upper()}.", "Luminescence screen of PubChem, qHTS.", _VEITH,
            panel="cyp inhibition",
        )
        for cyp in ("cyp1a2", "cyp2c9", "cyp2c19", "cyp2d6", "cyp3a4")
    ),
    *(
        _class(
            f"{cyp}_substrate", f"{cyp}_substrate_carbonmangels", "metabolism", "neutral",
            f"Is metabolised by {cyp.upper()}.", "Literature labels.", _CARBON,
            panel="cyp substrate",
        )
        for cyp in ("cyp2c9", "cyp2d6", "cyp3a4")
    ),
    *(
        _class(
            f"{matrix}_stability_class", matrix, "metabolism", "neutral",
            f"Class in {species} liver microsomes; which class 1 is was NOT verified (compounds "
            "that also have a measured clearance suggest 1 = quickly metabolised).",
            "Half-life in liver microsomes, labelled by the source.", _LI,
            panel="microsomal stability",
        )
        for matrix, species in (("hlm", "human"), ("rlm", "rat"))
    ),
    _value(
        "pxr_pec50", "openadmet_pxr", "metabolism", "pEC50 (-log10 mol/L)", "worse",
        "Activation of the human pregnane X receptor, which induces CYP3A4.",
        "Dose-response reporter assay; the unblinded first test phase is the test split.", _PXR,
        panel="pxr",
    ),
    _value(
        "pxr_counter_pec50", "openadmet_pxr_counter", "metabolism", "pEC50 (-log10 mol/L)",
        "neutral", "Activity in cells without the pregnane X receptor (counter-assay).",
        "Dose-response reporter assay without the receptor.", _PXR, panel="pxr",
    ),
)  # fmt: skip

_EXCRETION = (
    _value(
        "clearance_hepatocyte", "clearance_hepatocyte_az", "excretion",
        "µL/min/10^6 cells", "worse", "Intrinsic clearance in human hepatocytes.",
        "Values are clipped to 3 to 150 by the source.", _AZ, panel="clearance",
    ),
    _value(
        "clearance_microsome", "clearance_microsome_az", "excretion", "mL/min/g", "worse",
        "Intrinsic clearance in human liver microsomes.",
        "Values are clipped to 3 to 150 by the source.", _AZ, panel="clearance",
    ),
    _value(
        "half_life", "half_life_obach", "excretion", "h", "neutral",
        "Terminal half-life, human.", "Intravenous dosing, literature.",
        f"Obach et al. 2008, https://doi.org/10.1124/dmd.108.020479, {_TDC}",
        panel="human pharmacokinetics",
    ),
)  # fmt: skip

_TOXICITY = (
    _class(
        "ames", "ames", "toxicity", "worse", "Mutagenic in the Ames test.",
        "Bacterial reverse mutation, any strain, with or without activation.",
        f"Xu et al. 2012, https://doi.org/10.1021/ci300400a, {_TDC}", panel="genotoxicity",
    ),
    _class(
        "carcinogenicity", "carcinogens_lagunin", "toxicity", "worse",
        "Causes tumours in rodents.", "Rodent carcinogenicity studies.",
        f"Lagunin et al. 2009, https://doi.org/10.1002/qsar.200860192, {_TDC}",
        panel="genotoxicity",
    ),
    _class(
        "dili", "dili", "toxicity", "worse", "Causes drug-induced liver injury in humans.",
        "Drug label annotations of liver injury.",
        f"Xu et al. 2015, https://doi.org/10.1021/acs.jcim.5b00238, {_TDC}",
    ),
    _class(
        "herg_block", "herg_karim", "toxicity", "worse",
        "Blocks the hERG potassium channel with an IC50 below 10 µM.",
        "Literature IC50 values, labelled at 10 µM.",
        f"Karim et al. 2021, https://doi.org/10.1186/s13321-021-00541-z, {_TDC}", panel="herg",
    ),
    _class(
        "herg_blocker", "herg", "toxicity", "worse",
        "Blocks the hERG potassium channel, labels of the small benchmark table.",
        "Literature labels.",
        f"Wang et al. 2016, https://doi.org/10.1021/acs.molpharmaceut.6b00471, {_TDC}",
        panel="herg",
    ),
    _value(
        "herg_pic50", "chembl_herg_pic50", "toxicity", "pIC50 (-log10 mol/L)", "worse",
        "Inhibition of the hERG potassium channel.",
        "IC50 values of ChEMBL, one per compound, assays mixed.",
        "ChEMBL target CHEMBL240, https://www.ebi.ac.uk/chembl, as selected in "
        "https://github.com/PatWalters/practical_cheminformatics_tutorials",
        panel="herg",
    ),
    _value(
        "ld50", "ld50_zhu", "toxicity", "-log10(mol/kg)", "worse",
        "Acute oral toxicity in the rat as -log10 of the LD50; higher is more toxic.",
        "Rat oral LD50.", f"Zhu et al. 2009, https://doi.org/10.1021/tx900189p, {_TDC}",
    ),
)  # fmt: skip


def _panels() -> Iterator[Endpoint]:
    for column in TOX21_COLUMNS:
        yield _class(
            f"tox21_{slug(column)}", f"tox21_{slug(column)}", "toxicity", "worse",
            f"Active in the Tox21 assay {column}.",
            "Quantitative high-throughput screen; NR = nuclear receptor, SR = stress response.",
            f"Tox21 challenge 2014, https://tripod.nih.gov/tox21/challenge/, {_MOLECULENET}",
            panel="tox21",
        )  # fmt: skip
    for column, direction, meaning in zip(
        CLINTOX_COLUMNS,
        ("better", "worse"),
        ("Approved by the FDA.", "Failed clinical trials for toxicity."),
        strict=True,
    ):
        yield _class(
            f"clintox_{slug(column)}", f"clintox_{slug(column)}", "toxicity",
            "better" if direction == "better" else "worse", meaning,
            "Drug approvals and clinical trial records.",
            f"Gayvert et al. 2016, https://doi.org/10.1016/j.chembiol.2016.07.023, {_MOLECULENET}",
            panel="clintox",
        )  # fmt: skip
    for column in SIDER_COLUMNS:
        yield _class(
            f"sider_{slug(column)}", f"sider_{slug(column)}", "toxicity", "worse",
            f"Side effects of the system organ class '{column}' on the label.",
            "Side effects on labels of marketed drugs, MedDRA system organ classes.",
            f"SIDER 4, Kuhn et al. 2016, https://doi.org/10.1093/nar/gkv1075, {_MOLECULENET}",
            panel="sider",
        )  # fmt: skip


def toxcast_endpoint(column: str) -> Endpoint:
    """The endpoint of a ToxCast column, or of a column's slug where the table is not at hand."""
    return _class(
        f"toxcast_{slug(column)}", f"toxcast_{slug(column)}", "toxicity", "worse",
        f"Active in the ToxCast assay {column}.",
        "High-throughput screen; the name's first part is the assay's maker, its end the "
        "direction of the effect (up, dn).",
        f"Richard et al. 2016, https://doi.org/10.1021/acs.chemrestox.6b00135, {_MOLECULENET}",
        panel="toxcast",
    )  # fmt: skip


ADMET_ENDPOINTS: tuple[Endpoint, ...] = (
    *_ABSORPTION,
    *_PHYSICAL_CHEMISTRY,
    *_DISTRIBUTION,
    *_METABOLISM,
    *_EXCRETION,
    *_TOXICITY,
    *_panels(),
)
