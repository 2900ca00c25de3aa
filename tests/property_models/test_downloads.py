"""Downloads from a server on this machine: whole, resumed, cut off, refused, wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from property_models.addresses import HOMES, Download, Home
from property_models.conversion import convert
from property_models.datasets import read_dataset
from property_models.downloads import fetch, fetch_file, find_home
from property_models.errors import DataError

CONTENT = b"smiles,value\n" + b"CCO,1\n" * 40_000


class Server(ThreadingHTTPServer):
    """Serves `files`; breaks off the first answers after `cut` bytes, `n_cuts` times."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/a.csv": CONTENT}
        self.cut, self.n_cuts, self.etag, self.ranges_work = 0, 0, "", True
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(asked[len("bytes=") : -1]) if asked and self.server.ranges_work else 0
        if self.headers.get("If-Range", self.server.etag) != self.server.etag:
            start = 0  # it has changed: all of it
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        end = len(content)
        if self.server.n_cuts:
            self.server.n_cuts -= 1
            end = min(end, start + self.server.cut)
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MOLGEN_DATA", raising=False)
    monkeypatch.setenv("MOLGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_is_downloaded_once_and_its_checksum_recorded(
    server: Server, tmp_path: Path
) -> None:
    download = Download("a.csv", f"{server.url}/a.csv")
    path, message = fetch_file(download, tmp_path)
    assert path.read_bytes() == CONTENT
    assert "no published checksum" in message and hashlib.sha256(CONTENT).hexdigest() in message
    assert fetch_file(download, tmp_path) == (path, "")
    assert server.ranges == [None]
    assert not list(tmp_path.glob("*.partial*"))


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    server: Server, tmp_path: Path
) -> None:
    server.cut, server.n_cuts = 100_000, 2
    path, _ = fetch_file(Download("a.csv", f"{server.url}/a.csv"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_a_download_that_keeps_breaking_off_goes_on_in_the_next_run(
    server: Server, tmp_path: Path
) -> None:
    server.cut, server.n_cuts = 50_000, 3
    download = Download("a.csv", f"{server.url}/a.csv")
    with pytest.raises(DataError, match=r"failed after 3 attempts \(got 150000 of 240013 bytes\)"):
        fetch_file(download, tmp_path)
    assert fetch_file(download, tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=150000-"


def test_a_server_without_ranges_sends_the_whole_file_again(server: Server, tmp_path: Path) -> None:
    server.cut, server.n_cuts, server.ranges_work = 100_000, 1, False
    path, _ = fetch_file(Download("a.csv", f"{server.url}/a.csv"), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_spliced(server: Server, tmp_path: Path) -> None:
    server.cut, server.n_cuts, server.etag = 100_000, 3, '"one"'
    download = Download("a.csv", f"{server.url}/a.csv")
    with pytest.raises(DataError):
        server.cut = 30_000
        fetch_file(download, tmp_path)
    changed = CONTENT.replace(b"CCO", b"CCN")
    server.files["/a.csv"], server.etag = changed, '"two"'
    assert fetch_file(download, tmp_path)[0].read_bytes() == changed


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.csv.partial").write_bytes(CONTENT + b"more")
    path, _ = fetch_file(Download("a.csv", f"{server.url}/a.csv"), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_missing_file_says_so(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"answers 404 .*; the file may have moved"):
        fetch_file(Download("b.csv", f"{server.url}/b.csv"), tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="failed after 3 attempts"):
        fetch_file(Download("a.csv", f"{server.url}/a.csv"), tmp_path)


def test_a_wrong_checksum_deletes_the_download(server: Server, tmp_path: Path) -> None:
    good = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    download = Download("a.csv", f"{server.url}/a.csv", checksum=f"md5:{'0' * 32}")
    with pytest.raises(DataError, match=f"md5 is {good}, expected 000"):
        fetch_file(download, tmp_path)
    assert not list(tmp_path.iterdir())
    assert fetch_file(replace(download, checksum=f"md5:{good}"), tmp_path)[1] == ""


def test_a_file_that_no_longer_fits_its_lock_is_refused(server: Server, tmp_path: Path) -> None:
    download = Download("a.csv", f"{server.url}/a.csv")
    path, _ = fetch_file(download, tmp_path)
    path.write_bytes(b"changed")
    with pytest.raises(DataError, match=r"a\.csv\.lock\.json recorded"):
        fetch_file(download, tmp_path)


# -- into tables ----------------------------------------------------------------------------


def admet_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for split, label in (("train_val", 0), ("test", 1)):
            text = f"Drug_ID,Drug,Y\nd1,OCC,{label}\nd2,xx,1\n"
            archive.writestr(f"admet_group/ames/{split}.csv", text)
    return stream.getvalue()


def test_a_data_set_is_fetched_converted_and_read(server: Server, cache: Path) -> None:
    server.files["/zip"] = admet_zip()
    home = find_home("ames")
    assert home is find_home("tdc_admet_group")
    home = replace(home, downloads=(Download("group.zip", f"{server.url}/zip"),))
    said: list[str] = []
    fetched = fetch("ames", home=home, on_message=said.append)
    assert said[0] == f"licence: {home.licence}"
    assert fetched.path == cache / "property/tdc_admet_group.parquet"
    assert any("2 rows left out" in message for message in fetched.messages)
    rows = read_dataset("ames")
    assert rows.smiles == ["CCO", "CCO"]
    assert rows.official_test.tolist() == [True, False]
    server.files.clear()
    assert "is at hand" in fetch("ames", home=home).messages[0]


def test_a_table_is_downloaded_again_where_that_is_asked_for(server: Server, cache: Path) -> None:
    server.files["/zip"] = admet_zip()
    home = replace(find_home("ames"), downloads=(Download("group.zip", f"{server.url}/zip"),))
    fetch("ames", home=home)
    fetch("ames", home=home, force=True)
    assert server.ranges == [None, None]
    server.files.clear()
    with pytest.raises(DataError, match="answers 404"):
        fetch("ames", home=home, force=True)
    assert (cache / "downloads" / "group.zip").is_file()  # what was there stays


def test_a_copy_that_is_read_in_place_of_a_forced_download_is_named(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/zip"] = admet_zip()
    home = replace(find_home("ames"), downloads=(Download("group.zip", f"{server.url}/zip"),))
    alone = fetch("ames", home=home)
    assert not any("still the copy" in message for message in alone.messages)
    monkeypatch.setenv("MOLGEN_DATA", str(cache))  # the same file by another way
    assert not any("still" in message for message in fetch("ames", home=home, force=True).messages)
    mine = tmp_path / "mine" / home.file
    mine.parent.mkdir(parents=True)
    mine.write_bytes(alone.path.read_bytes())
    monkeypatch.setenv("MOLGEN_DATA", str(tmp_path / "mine"))
    *_, last = fetch("ames", home=home, force=True).messages
    assert last.startswith(f"{mine} is still the copy that is read, because MOLGEN_DATA")
    assert str(alone.path) in last


def test_hydration_energies_are_fetched_as_measured_and_not_scaled() -> None:
    (download,) = find_home("moleculenet_freesolv").downloads
    assert download.url.endswith("/datasets/SAMPL.csv")


def test_a_download_of_another_layout_is_a_data_error(server: Server) -> None:
    home = replace(find_home("ames"), downloads=(Download("g.zip", f"{server.url}/a.csv"),))
    with pytest.raises(DataError, match="do not have the layout expected"):
        fetch("ames", home=home)


def test_a_table_without_a_public_address_says_where_to_get_it() -> None:
    with pytest.raises(DataError, match=r"no public address of efficacy/chembl_seh\.parquet"):
        find_home("chembl_seh")


LAYOUTS: list[tuple[str, list[str], dict[str, object]]] = [
    (
        "herg_karim",
        ["ID\tX\tY\nd\tCCO\t1\n"],
        {"task": "herg_karim", "drug_id": "d", "smiles": "CCO", "y": 1},
    ),
    (
        "ppbr_az_human",
        ["ID\tX\tY\tSpecies\nd\tCCO\t90.5\tHomo sapiens\n"],
        {"drug_id": "d", "smiles": "CCO", "species": "Homo sapiens", "pct_bound": 90.5},
    ),
    ("tox21_nr_ar", ["NR-AR,mol_id,smiles\n1,T1,OCC\n"], {"NR-AR": 1, "smiles": "CCO"}),
    (
        "moleculenet_freesolv",
        [
            "iupac,smiles,expt,calc\nethanol,OCC,-5.0,-4.9\namide,COc1ccc(C(=O)N(C)C)cc1,-11.01,-9.6\n"
        ],
        {"smiles": "CCO", "freesolv": -5.0},
    ),
    ("moleculenet_bace", ["mol,CID,Class,pIC50\nOCC,b,1,9.1\n"], {"smiles": "CCO", "Class": 1}),
    (
        "moleculeace_fxa_ki",
        ["smiles,exp_mean [nM],y,cliff_mol,split\nOCC,10.0,-1.0,0,test\n"],
        {"dataset": "CHEMBL244_Ki", "smiles": "CCO", "pactivity": 8.0, "split": "test"},
    ),
    (
        "gsk3b",
        ["smiles,active\nOCC,1\n", "CCN,0\n"],
        {"task": "gsk3b", "smiles": "CCO", "active": 1},
    ),
    (
        "chembl22_chembl1",
        ["smiles,CHEMBL1,CHEMBL2\nCCO,6.0,0\n", "smiles,CHEMBL1\nCCO,7.0\n"],
        {"target_chembl_id": "CHEMBL1", "smiles": "CCO", "pactivity": 6.5, "n_obs": 2},
    ),
    (
        "blsets_chembl1",
        ["smiles\ttarget\tkind\tvalue\nOCC\tCHEMBL1\tactive\t9.1\n"],
        {"target_chembl_id": "CHEMBL1", "smiles": "CCO", "pKi": 9.1, "label": "active"},
    ),
    ("chembl_herg_pic50", ["SMILES,Name,pIC50\nOCC,C1,5.1\n"], {"smiles": "CCO", "pIC50": 5.1}),
    (
        "openadmet_pxr",
        ["SMILES,pEC50\nOCC,5.5\n", "SMILES,pEC50\nCCN,5.0\n", "SMILES,pEC50\nCCC,4.0\n"],
        {"assay": "pxr", "split": "train", "smiles": "CCO", "pEC50": 5.5},
    ),
]


def of_parts(name: str, n: int) -> Home:
    """The home of a data set with its own part and the first others, n in all."""
    home = find_home(name)
    own = [d for d in home.downloads if d.part in (name, "CHEMBL244_Ki")]
    others = [d for d in home.downloads if d not in own]
    return replace(home, downloads=tuple([*own, *others][:n]))


@pytest.mark.parametrize(("name", "texts", "first"), LAYOUTS, ids=[entry[0] for entry in LAYOUTS])
def test_each_layout_becomes_the_table_that_read_dataset_reads(
    name: str, texts: list[str], first: dict[str, object], tmp_path: Path, cache: Path
) -> None:
    home = of_parts(name, len(texts))
    files = [tmp_path / download.name.removesuffix(".gz") for download in home.downloads]
    for path, text in zip(files, texts, strict=True):
        path.write_text(text)
    frame, n_unreadable = convert(home, files)
    assert n_unreadable == 0
    assert {key: frame[key].iloc[0] for key in first} == first
    target = cache / home.file
    target.parent.mkdir(parents=True)
    frame.to_parquet(target)
    assert read_dataset(name).smiles[0] == "CCO"


def test_a_table_with_a_missing_column_names_its_files(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,c\n1,2,3\n")
    with pytest.raises(DataError, match=r"layout expected .*x\.csv"):
        convert(HOMES["property/chembl_herg_raw.parquet"], [path])


def test_a_compressed_table_that_is_cut_off_is_a_data_error(server: Server, cache: Path) -> None:
    whole = gzip.compress(CONTENT)
    broken = {"cut": whole[: len(whole) // 2], "odd": whole[:30] + b"x" * 30 + whole[60:]}
    for name, content in broken.items():
        server.files[f"/{name}.csv.gz"] = content
        download = Download(f"{name}.csv.gz", f"{server.url}/{name}.csv.gz")
        home = replace(find_home("moleculenet_bace"), downloads=(download,))
        with pytest.raises(DataError, match=rf"do not have the layout expected.*{name}\.csv\.gz"):
            fetch("moleculenet_bace", home=home, force=True)


def test_a_cache_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written.*MOLGEN_CACHE"):
        fetch_file(Download("a.csv", f"{server.url}/a.csv"), tmp_path / "file" / "downloads")


def test_a_compressed_table_is_read_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    pd.DataFrame({"smiles": ["C"], "NR-AR": [1]}).to_csv(path, index=False)
    assert convert(find_home("moleculenet_tox21"), [path])[0]["NR-AR"].tolist() == [1]
