"""`molgen explain`: what the page says of a row that is broken and of values in another unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from molgen.errors import DataError
from molgen.explaining import explain_file
from molgen.objectives import SHIPPED_PREDICTORS

RIVAROXABAN = "O=C1COCCN1c1ccc(N2C[C@H](CNC(=O)c3ccc(Cl)s3)OC2=O)cc1"
APIXABAN = "COc1ccc(-n2nc(C(N)=O)c3c2C(=O)N(c2ccc(N4CCCCC4=O)cc2)CC3)cc1"

pytestmark = pytest.mark.skipif(
    not (SHIPPED_PREDICTORS / "fxa_pki" / "card.json").is_file(),
    reason="the shipped predictors are not there",
)


def test_a_row_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles,name\nCCO,ethanol,and more\n")
    shown, hidden = explain_file(
        str(tmp_path / "in.csv"), tmp_path / "out.html", endpoints=["fxa_pki"]
    )
    assert (shown, hidden) == (0, 1)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "No explanation: line 2 has 3 cells, the header 2" in page


def test_measured_values_must_be_in_the_predictors_unit(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text(RIVAROXABAN)
    # Inhibition constants in nmol/L, as the drugs' labels have them.
    (tmp_path / "ki.csv").write_text(f"smiles,value\n{RIVAROXABAN},0.4\n{APIXABAN},0.08\n")

    def explain(**options: object) -> str:
        output = tmp_path / "out.html"
        explain_file(
            str(tmp_path / "in.smi"), output, endpoints=["fxa_pki"], measured=tmp_path / "ki.csv",
            **options,  # type: ignore[arg-type]  # by name
        )  # fmt: skip
        return output.read_text(encoding="utf-8")

    with pytest.raises(DataError, match=r"2 compounds that fxa_pki was trained on have other val"):
        explain()
    assert "Explanations of predictions" in explain(unit="nM", negative_log=True)
