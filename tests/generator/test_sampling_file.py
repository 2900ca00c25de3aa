"""Files of samples: exactly as many lines as asked, the same on any number of processes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem

from molgen.errors import ConfigError
from molgen.generator import sampling_file
from molgen.generator.sampler import SamplingOptions
from molgen.generator.sampling_file import Written, write_samples


def written(prior: Path, path: Path, n: int, **changes: Any) -> tuple[list[str], Written]:
    arguments: dict[str, Any] = {
        "seed": 1, "prompts": [], "options": SamplingOptions(max_atoms=12), "unique": False,
        "n_processes": 1,
    }  # fmt: skip
    outcome = write_samples(path, n, prior=prior, **(arguments | changes))
    return path.read_text().splitlines(), outcome


def test_the_number_of_processes_changes_nothing(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling_file, "_MIN_LINES_A_PROCESS", 1)
    monkeypatch.setattr(sampling_file, "SHARD_SIZE", 16)
    options = SamplingOptions(max_atoms=6, forbidden=("N~N",))
    alone, one = written(prior_file, tmp_path / "a", 80, options=options, unique=True)
    beside, two = written(
        prior_file, tmp_path / "b", 80, options=options, unique=True, n_processes=2
    )
    assert alone == beside
    assert one == two
    assert len(set(alone)) == 80


def test_prompts_have_equal_shares_in_their_order(prior_file: Path, tmp_path: Path) -> None:
    prompts = ["[*:1]c1ccncc1", "[*:1]S(C)(=O)=O", "[*:1]C#N"]
    lines, outcome = written(prior_file, tmp_path / "a", 8, prompts=prompts)
    assert outcome.n_lines == len(lines) == outcome.n_attempts == 8
    for smarts, part in (("c1ccncc1", lines[:3]), ("S(C)(=O)=O", lines[3:6]), ("C#N", lines[6:])):
        query = Chem.MolFromSmarts(smarts)
        assert all(Chem.MolFromSmiles(line).HasSubstructMatch(query) for line in part)


def test_of_more_prompts_than_lines_some_spread_evenly_have_one_each(
    prior_file: Path, tmp_path: Path
) -> None:
    prompts = ["[*:1]c1ccncc1"] * 10 + ["[*:1]C#N"] * 3
    lines, _ = written(prior_file, tmp_path / "a", 10, prompts=prompts)
    nitrile = Chem.MolFromSmarts("C#N")
    assert [Chem.MolFromSmiles(s).HasSubstructMatch(nitrile) for s in lines[-2:]] == [True, True]


def test_repeats_are_drawn_again_until_there_are_none_left_to_find(
    prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling_file, "_MAX_BARREN", 500)
    options = SamplingOptions(max_atoms=2)
    lines, outcome = written(
        prior_file, tmp_path / "a", 300, prompts=["[*:1]C", "[*:1]c1ccncc1"], unique=True,
        options=SamplingOptions(max_atoms=7),
    )  # fmt: skip
    assert len(set(lines)) == len(lines) == outcome.n_lines < 300
    alone, _ = written(
        prior_file, tmp_path / "b", 300, prompts=["[*:1]C"], unique=True, options=options
    )
    assert {"CC", "CN", "CO"} <= set(alone) and len(alone) < 20


def test_a_run_that_fails_leaves_the_file_that_was_there(prior_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "some.smi"
    output.write_text("CCO\n")
    impossible = SamplingOptions(max_atoms=12, forbidden=("[#6,#7,#8;!R,R]",), max_attempts=2)
    with pytest.raises(ConfigError, match="forbidden: "):
        written(prior_file, output, 5, options=impossible)
    assert output.read_text() == "CCO\n"
    assert [p.name for p in tmp_path.iterdir()] == ["some.smi"]


def test_a_pipe_is_written_to_and_a_link_stays_a_link(prior_file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    lines, _ = written(prior_file, tmp_path / "link", 2)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text().splitlines() == lines
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        options = SamplingOptions(max_atoms=12)
        write_samples(
            tmp_path / "pipe", 2, seed=1, prompts=[], prior=prior_file, options=options,
            unique=False, n_processes=1,
        )  # fmt: skip
        assert read.result().splitlines() == lines
    assert (tmp_path / "pipe").is_fifo()
