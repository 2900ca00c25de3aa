"""Fetch the original files of a table, and turn them into the table.

A download that breaks off goes on where it stopped (HTTP Range). A known checksum is verified;
where none is known, the first download's SHA-256 is written into `<file>.lock.json` beside it, and
later downloads must agree with it. pooch was looked at: it starts over after a break.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from property_models.addresses import HOMES, Download, Home
from property_models.conversion import convert
from property_models.datasets import (
    CACHE_VARIABLE,
    DATA_VARIABLE,
    cache_folder,
    file_sha256,
    find_table,
)
from property_models.errors import DataError
from property_models.sources import find_source

CHUNK_BYTES = 1 << 16
TIMEOUT_S = 60.0
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Fetched:
    """A table that is at hand now.

    Attributes:
        path: The table.
        messages: What the user should know: terms, checksums that could not be verified, rows
            that were left out, another copy that is read in place of this one.
    """

    path: Path
    messages: list[str]


def find_home(name: str) -> Home:
    """Where the table of a data set comes from.

    Args:
        name: A data set, or a table's path or file name without its ending.

    Raises:
        DataError: Unknown, or its table has no public address that we know of.
    """
    by_stem = {Path(file).stem: home for file, home in HOMES.items()}
    if name in HOMES or name in by_stem:
        return HOMES.get(name) or by_stem[name]
    source = find_source(name)
    if source.file not in HOMES:
        raise DataError(
            f"{name}: no public address of {source.file} is known; get it from {source.origin} "
            "and train on your copy with `data.file`"
        )
    return HOMES[source.file]


def fetch(
    name: str,
    *,
    force: bool = False,
    home: Home | None = None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Fetched:
    """Makes the table of a data set available: finds it, or downloads and converts it.

    Args:
        name: A data set or a table.
        force: Download again although it is at hand.
        home: Where it comes from, if not from the catalogue's address.
        on_message: Called with the terms before anything is downloaded, and with progress.

    Raises:
        DataError: Unknown, no network, a refused or wrong file.
    """
    home = home or find_home(name)
    found = find_table(home.file)
    if found is not None and not force:
        return Fetched(found, [f"{found} is at hand; licence: {home.licence}"])
    on_message(f"licence: {home.licence}")
    folder = cache_folder() / "downloads"
    messages = []
    files = []
    for download in home.downloads:
        on_message(f"fetching {download.url}")
        path, message = fetch_file(download, folder, force=force)
        files.append(path)
        messages += [message] if message else []
    frame, n_unreadable = convert(home, files)
    if n_unreadable:
        messages.append(f"{n_unreadable} rows left out: RDKit cannot parse their SMILES")
    if home.note:
        messages.append(home.note)
    target = cache_folder() / home.file
    partial = target.with_suffix(".parquet.partial")
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(partial, index=False)
        os.replace(partial, target)
    read = find_table(home.file)
    if read is not None and not read.samefile(target):
        messages.append(
            f"{read} is still the copy that is read, because {DATA_VARIABLE} comes before the "
            f"downloads; remove it, or unset {DATA_VARIABLE}, to read {target}"
        )
    return Fetched(target, messages)


def fetch_file(download: Download, folder: Path, *, force: bool = False) -> tuple[Path, str]:
    """Downloads one file, or takes up a download that broke off.

    Args:
        download: What to fetch.
        folder: Where it is kept.
        force: Download again although it is there; it stays until the new one is whole.

    Returns:
        (path, message): what the user should know, such as an unverified checksum; '' if nothing.

    Raises:
        DataError: The server cannot be reached, refuses, keeps breaking off, or sends something
            else than the checksum says.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / download.name
    partial = path.with_name(path.name + ".partial")
    if force or not path.is_file():
        _download(download.url, partial)
        _verify(download, partial)
        os.replace(partial, path)
        partial.with_name(partial.name + ".etag").unlink(missing_ok=True)
    return path, _lock(download, path)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the file system refuses, in one line."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); set {CACHE_VARIABLE} to a "
            "folder of yours with room"
        ) from error


def _download(url: str, partial: Path) -> None:
    """Fills the partial file, going on where it ends."""
    problem = ""
    for _ in range(MAX_ATTEMPTS):
        try:
            with _opened(url, partial) as (response, mode), partial.open(mode) as stream:
                expected = _expected_size(response, stream.tell())
                while chunk := response.read(CHUNK_BYTES):
                    stream.write(chunk)
                size = stream.tell()
        except urllib.error.HTTPError as error:
            if error.code == 416 and partial.exists():  # the part is no part of this file
                partial.unlink()
                problem = "the server no longer has the rest of a partial download"
                continue
            raise DataError(
                f"{url}: the server answers {error.code} {error.reason}; the file may have moved: "
                "look at the data set's page and give your own copy through MOLGEN_DATA"
            ) from error
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            problem = str(getattr(error, "reason", error))
            continue
        if expected is None or size == expected:
            return
        problem = f"got {size} of {expected} bytes"
    raise DataError(
        f"{url}: download failed after {MAX_ATTEMPTS} attempts ({problem}); run the command again "
        "to go on, or give your own copy through MOLGEN_DATA"
    )


@contextlib.contextmanager
def _opened(url: str, partial: Path) -> Iterator[tuple[Any, str]]:
    """The response and the mode in which to open the file: 'ab' where the server resumes."""
    start = partial.stat().st_size if partial.exists() else 0
    tag_file = partial.with_name(partial.name + ".etag")
    request = urllib.request.Request(url, headers={"User-Agent": "molgen"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag_file.is_file():  # a file that has changed since is sent whole
            request.add_header("If-Range", tag_file.read_text())
    with contextlib.closing(urllib.request.urlopen(request, timeout=TIMEOUT_S)) as response:
        tag = response.headers.get("ETag", "")
        if tag and not tag.startswith("W/"):  # weak tags do not vouch for single bytes
            tag_file.write_text(tag)
        else:
            tag_file.unlink(missing_ok=True)
        yield response, "ab" if response.status == 206 else "wb"


def _expected_size(response: Any, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return start + int(length) if length is not None else None


def _verify(download: Download, partial: Path) -> None:
    if not download.checksum:
        return
    kind, _, wanted = download.checksum.partition(":")
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, kind).hexdigest()
    if found != wanted:
        partial.unlink()
        raise DataError(
            f"{download.url}: {kind} is {found}, expected {wanted}; the download was deleted. "
            "Try again; if it stays, the original has changed"
        )


def _lock(download: Download, path: Path) -> str:
    """Compares with the checksum of the first download, or records it; returns a message."""
    lock = path.with_name(path.name + ".lock.json")
    found = file_sha256(path)
    if lock.is_file():
        try:
            wanted = json.loads(lock.read_text())["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{lock} is broken ({error}); delete it to record it anew") from error
        if wanted != found:
            raise DataError(
                f"{path}: sha256 is {found}, but {lock.name} recorded {wanted}; the file or the "
                "original has changed. Delete both to accept what is fetched now"
            )
        return ""
    lock.write_text(
        json.dumps({"url": download.url, "sha256": found, "n_bytes": path.stat().st_size}, indent=1)
    )
    if download.checksum:
        return ""
    return (
        f"{path.name}: no published checksum is known to compare with; its sha256 {found} was "
        f"recorded in {lock.name}"
    )
