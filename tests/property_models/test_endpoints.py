"""The catalogue: what each endpoint means, and that its data set is described."""

from __future__ import annotations

import math
import re

import pytest

from property_models.addresses import HOMES
from property_models.endpoints import ENDPOINTS, Endpoint, endpoint, sisters
from property_models.errors import DataError
from property_models.sources import DATASETS, TDC_ADMET_GROUP, find_source, slug

THE_SEVEN = ("fxa_pki", "herg_block", "ames", "dili", "ld50", "solubility", "caco2")


def test_names_are_fit_for_columns_and_folders() -> None:
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in [*ENDPOINTS, *DATASETS])
    assert set(THE_SEVEN) <= set(ENDPOINTS)


def test_every_endpoint_is_described_with_a_source_that_can_be_looked_up() -> None:
    for entry in ENDPOINTS.values():
        assert entry.meaning.endswith(".") and entry.assay.endswith("."), entry.name
        assert "https://" in entry.source, entry.name
        assert entry.unit and entry.family, entry.name
        assert (entry.unit == "probability") == (entry.task == "classification"), entry.name


def test_every_endpoint_has_a_data_set_with_terms() -> None:
    for entry in ENDPOINTS.values():
        source = find_source(entry.dataset)
        assert source.origin.startswith("https://") and len(source.licence) > 10


def test_the_panels_are_complete() -> None:
    panels = [entry.panel for entry in ENDPOINTS.values()]
    assert panels.count("tox21") == 12
    assert panels.count("clintox") == 2
    assert panels.count("sider") == 27
    assert sum(panel.startswith("moleculeace") for panel in panels) == 30
    covered = {entry.dataset for entry in ENDPOINTS.values()}
    assert set(TDC_ADMET_GROUP) <= covered and len(TDC_ADMET_GROUP) == 22


def test_an_official_split_has_a_metric_and_a_peer_has_a_value() -> None:
    for source in DATASETS.values():
        assert bool(source.official_metric) == bool(source.split_column), source.name
        assert bool(source.peer) == math.isfinite(source.peer_value), source.name


def test_families_are_named_by_rule() -> None:
    assay = endpoint("toxcast_acea_t47d_80hr_negative")
    assert assay.dataset == assay.name and assay.task == "classification"
    assert find_source(assay.dataset).value_column == "acea_t47d_80hr_negative"
    target = endpoint("chembl22_chembl217")
    assert find_source(target.dataset).filters == (("target_chembl_id", "CHEMBL217"),)
    assert endpoint("blsets_chembl205").unit.startswith("pKi")


@pytest.mark.parametrize(
    ("unit", "limits"),
    [
        ("h", (0, math.inf)),
        ("L/kg", (0, math.inf)),
        ("mL/min/g", (0, math.inf)),
        ("µL/min/10^6 cells", (0, math.inf)),
        ("nM", (0, math.inf)),
        ("% bound", (0, 100)),
        ("log10(cm/s)", (-math.inf, math.inf)),
        ("-log10(mol/kg)", (-math.inf, math.inf)),
        ("pIC50 (-log10 mol/L)", (-math.inf, math.inf)),
        ("logD at pH 7.4", (-math.inf, math.inf)),
        ("kcal/mol", (-math.inf, math.inf)),
        ("what I measure", (-math.inf, math.inf)),
    ],
)
def test_a_unit_says_which_values_there_can_be(unit: str, limits: tuple[float, float]) -> None:
    assert Endpoint("x", "regression", unit, "neutral", "").limits == limits


def test_a_probability_lies_between_nought_and_one() -> None:
    assert endpoint("ames").limits == (0, 1)
    known = {e.unit for e in ENDPOINTS.values() if math.isfinite(e.limits[0])}
    assert known == {
        "probability", "% bound", "h", "L/kg", "mL/min/g", "µL/min/10^6 cells"
    }  # fmt: skip


def test_an_endpoint_is_found_by_its_data_set() -> None:
    assert endpoint("bbb_martins").name == "bbb"


def test_a_mistyped_name_gets_a_suggestion() -> None:
    with pytest.raises(DataError, match="did you mean 'cyp2d6_inhibition'"):
        endpoint("cyp2d6_inhibtion")
    with pytest.raises(DataError, match="unknown data set 'chembl22_drd2'"):
        find_source("chembl22_drd2")


def test_sister_assays_are_those_of_the_panel() -> None:
    names = {entry.name for entry in sisters("cyp2c9_inhibition")}
    assert names == {f"{cyp}_inhibition" for cyp in ("cyp1a2", "cyp2c19", "cyp2d6", "cyp3a4")}
    assert sisters("dili") == []


def test_slugs_are_lower_case_words() -> None:
    assert slug("NR-PPAR-gamma") == "nr_ppar_gamma"
    assert (
        slug("Neoplasms benign, malignant (incl cysts)") == "neoplasms_benign_malignant_incl_cysts"
    )


def test_every_address_says_where_it_was_seen_and_under_which_terms() -> None:
    for home in HOMES.values():
        assert len(home.seen_at) > 10 and len(home.licence) > 10
        for download in home.downloads:
            assert download.url.startswith("https://")
            assert re.fullmatch(r"(|md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})", download.checksum)
    names = [d.name for home in HOMES.values() for d in home.downloads]
    assert len(set(names)) == len(names)
