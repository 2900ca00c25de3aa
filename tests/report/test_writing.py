"""The three result files."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from molgen.errors import DataError
from molgen.report import read_run, top_lines, write_report
from molgen.report.exports import write_sdf
from molgen.report.writing import write_files
from tests.report import runs


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Measured compounds' structures are not at hand, wherever the tests run."""
    monkeypatch.setenv("MOLGEN_DATA", str(tmp_path / "no data"))


def csv_text(path: Path) -> pd.DataFrame:
    """A CSV as text, nothing interpreted."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_every_drawn_candidate_has_a_card_and_a_line_in_the_overview(tmp_path: Path) -> None:
    files = write_files(runs.run(), tmp_path)
    page = files.report_html.read_text(encoding="utf-8")
    assert files.n_candidates == 40
    for row in files.candidates.head(30).to_dict("records"):
        assert f'id="candidate-{row["id"]}"' in page
        assert f'href="#candidate-{row["id"]}"' in page
        assert row["smiles"] in page
        assert row["inchikey"] in page
    assert page.count("<article") == 30


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    loaded: list[str] = []

    class Finder(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links = {k: v or "" for k, v in attrs if k in {"src", "href", "xlink:href", "data"}}
            loaded.extend(v for v in links.values() if tag != "a" and not v.startswith("#"))

    page = write_files(runs.run(), tmp_path).report_html.read_text(encoding="utf-8")
    Finder().feed(page)
    assert loaded == []
    assert not re.search(r"@import|url\(|@font-face|<link|<iframe", page)


def test_text_from_users_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    table = runs.table().assign(origin=evil, reason=evil, alerts=evil, qed_desirability=None)
    table.loc[table["status"] != "scored", "reason"] = f"{evil}: {evil}"
    config, manifest = runs.config(description=evil), {"status": evil, evil: evil}
    run = runs.run(config=config, table=table, manifest=manifest)
    page = write_files(run, tmp_path).report_html.read_text(encoding="utf-8")
    assert page.count("alert(") > 60
    assert evil not in page
    assert page.count("<script>") == 1


def test_the_sdf_read_by_rdkit_equals_the_csv(tmp_path: Path) -> None:
    extra = ["C[C@H](O)c1ccccc1", "CC(O)C=CCl", "F/C=C/CCO"]
    smiles = [*runs.molecules(), *map(Chem.CanonSmiles, extra)]
    files = write_files(runs.run(table=runs.table(smiles)), tmp_path)
    table = csv_text(files.candidates_csv)
    with Chem.SDMolSupplier(str(files.candidates_sdf)) as supplier:
        mols = list(supplier)
    assert len(mols) == len(table) == 40
    for mol, row in zip(mols, table.to_dict("records"), strict=True):
        assert mol.GetProp("_Name") == row["id"]
        assert Chem.MolToSmiles(mol) == row["smiles"]
        assert mol.GetPropsAsDict(autoConvertStrings=False) == {k: v for k, v in row.items() if v}


def test_stereo_that_is_undetermined_stays_so_in_the_sdf(tmp_path: Path) -> None:
    smiles = ["CC(O)C=CCl", "F/C=C/CCO", "C[C@H](O)c1ccccc1"]
    files = write_files(runs.run(table=runs.table(smiles)), tmp_path)
    with Chem.SDMolSupplier(str(files.candidates_sdf)) as supplier:
        assert {Chem.MolToSmiles(m) for m in supplier} == {Chem.CanonSmiles(s) for s in smiles}


def test_the_csv_keeps_the_trace_in_order(tmp_path: Path) -> None:
    table = csv_text(write_files(runs.run(), tmp_path).candidates_csv)
    columns = list(table)
    assert columns[:8] == [
        "id", "smiles", "inchikey", "round", "origin", "parents", "status", "reason",
    ]  # fmt: skip
    assert columns[8:13] == ["fxa_pki" + e for e in ("", "_low", "_high", "_in_domain",
                                                      "_desirability")]  # fmt: skip
    assert columns[-2:] == ["reward", "rank"]
    assert "fxa_pki_neighbour_similarity" in columns
    assert "worker" not in columns
    assert list(table["rank"]) == [str(i) for i in range(1, 41)]
    np.testing.assert_allclose(
        table["reward"].astype(float), write_files(runs.run(), tmp_path).candidates["reward"],
        rtol=1e-5,
    )  # fmt: skip


def test_a_missing_value_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    table = runs.table()
    columns = [c for c in table if str(c).startswith("solubility")]
    table.loc[table["status"] == "scored", columns] = None
    table.loc[table["status"] == "scored", "reason"] = "qed: fine; solubility: the model refused"
    files = write_files(runs.run(table=table), tmp_path)
    page = files.report_html.read_text(encoding="utf-8")
    cell = '<td class="n">–</td><td colspan="2" class="soft small">the model refused'  # noqa: RUF001
    assert page.count(cell) == 30
    assert set(csv_text(files.candidates_csv)["solubility"]) == {""}


def test_a_hostile_reason_cannot_break_the_sdf(tmp_path: Path) -> None:
    table = runs.table().assign(reason="a\n\n$$$$\n> <reward>\n1.0")
    files = write_files(runs.run(table=table), tmp_path)
    with Chem.SDMolSupplier(str(files.candidates_sdf)) as supplier:
        rewards = [mol.GetProp("reward") for mol in supplier]
    assert rewards == list(csv_text(files.candidates_csv)["reward"])


def test_a_run_that_scored_nothing_says_so(tmp_path: Path) -> None:
    table = runs.table()
    files = write_files(runs.run(table=table[table["status"] != "scored"]), tmp_path)
    page = files.report_html.read_text(encoding="utf-8")
    assert "No molecule has been scored" in page
    assert "quinone_A(370)" in page
    assert files.n_candidates == 0
    assert len(csv_text(files.candidates_csv)) == 0
    assert top_lines(files.candidates) == ["No molecule has been scored."]


def test_a_run_without_any_round_or_row_gets_a_report(tmp_path: Path) -> None:
    empty = runs.table().head(0)
    run = runs.run(table=empty, rounds=pd.DataFrame(columns=["round", "finished_at"]), manifest={})
    page = write_files(run, tmp_path).report_html.read_text(encoding="utf-8")
    assert "This run is not finished" in page


def test_an_unfinished_run_says_so_and_a_finished_one_does_not(tmp_path: Path) -> None:
    words = "This run is not finished"
    stopped = runs.run(manifest={"status": "running"})
    assert words in write_files(stopped, tmp_path).report_html.read_text(encoding="utf-8")
    assert words not in write_files(runs.run(), tmp_path).report_html.read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        files = write_files(runs.run(), tmp_path)
        paths = (files.candidates_csv, files.candidates_sdf, files.report_html)
        # RDKit writes the time into the second line of a molfile's header.
        texts = [re.sub(r"RDKit +\d*2D", "RDKit 2D", p.read_text(encoding="utf-8")) for p in paths]
        contents.append(texts)
    assert contents[0] == contents[1]
    assert not list(tmp_path.glob(".*partial"))


def test_the_nearest_compound_is_drawn_where_its_structure_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = write_files(runs.run(), tmp_path).report_html.read_text(encoding="utf-8")
    assert "KGFYHTZWPPHNLQ" in without
    known = {"KGFYHTZWPPHNLQ": "O=C1COCCN1c1ccc(cc1)N1C[C@H](CNC(=O)c2ccc(Cl)s2)OC1=O"}
    monkeypatch.setattr("molgen.report.writing.known_structures", lambda endpoint: known)
    drawn = write_files(runs.run(), tmp_path).report_html.read_text(encoding="utf-8")
    assert drawn.count("<svg class='mol'") == 2 * without.count("<svg class='mol'")


def test_a_run_folder_is_read_and_reported(tmp_path: Path) -> None:
    expected = runs.write_run_folder(tmp_path)
    files = write_report(tmp_path)
    assert list(files.candidates["smiles"]) == list(
        write_files(expected, tmp_path).candidates["smiles"]
    )
    assert read_run(tmp_path).config == expected.config
    assert "<article" in files.report_html.read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run folder: it has no config\.yaml"):
        write_report(tmp_path)


def test_a_broken_manifest_is_a_clear_error(tmp_path: Path) -> None:
    runs.write_run_folder(tmp_path)
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest\.json is not valid JSON"):
        write_report(tmp_path)


def test_the_closing_lines_are_aligned_and_short() -> None:
    table = runs.table()
    ranked = table[table["status"] == "scored"].head(3).assign(rank=[1, 2, 3])
    lines = top_lines(ranked, 2, components=["fxa_pki"])
    assert lines[0].split() == ["rank", "reward", "fxa_pki", "smiles"]
    assert len(lines) == 3
    assert len({line.rindex("  ") for line in lines}) == 1


def test_the_report_needs_no_heavy_package() -> None:
    code = (
        "import sys, molgen.report.writing\n"
        "heavy = {'torch', 'ray', 'mlflow', 'deepchem', 'lightgbm', 'molgen.campaign'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_no_box_asks_for_what_was_not_looked_up(tmp_path: Path) -> None:
    page = write_files(runs.run(), tmp_path).report_html.read_text(encoding="utf-8")
    assert 'id="only-domain"' in page and 'id="only-clean"' in page
    objective = runs.config().objective.model_dump()
    objective["filters"] = []
    objective["components"] = [c for c in objective["components"] if c["type"] == "descriptor"]
    plain = runs.run(config=runs.config(objective=objective))
    page = write_files(plain, tmp_path).report_html.read_text(encoding="utf-8")
    assert 'id="only-domain"' not in page and 'id="only-clean"' not in page


def test_a_run_for_trade_offs_says_how_its_candidates_are_ranked(tmp_path: Path) -> None:
    run = runs.run(config=runs.config(search={"pareto": True}))
    page = write_files(run, tmp_path).report_html.read_text(encoding="utf-8")
    assert "ranked by Pareto front" in page
    assert "Pareto" not in write_files(runs.run(), tmp_path).report_html.read_text()


def test_a_full_disk_is_told() -> None:
    table = pd.DataFrame({"id": ["1"], "smiles": ["CCO"]})
    with pytest.raises(OSError, match="No space left"):
        write_sdf(table, [Chem.MolFromSmiles("CCO")], Path("/dev/full"))
