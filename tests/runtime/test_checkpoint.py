"""Checkpoints: the previous one or the new one, whenever the process is killed."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from molgen.errors import DataError, ModelFileError
from molgen.runtime.checkpoint import load_checkpoint, save_checkpoint

TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "steps": torch.tensor(7),
}
STATE = {"round": 3, "bits": 2**127, "replay": [["CCO", 0.5]], "loss": math.nan, "name": "É"}


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new" / "folder", tensors=TENSORS, state=STATE)
    loaded = load_checkpoint(tmp_path / "new" / "folder")
    assert loaded is not None
    tensors, state = loaded
    assert set(tensors) == set(TENSORS)
    assert all(
        torch.equal(tensors[n], t) and tensors[n].dtype == t.dtype for n, t in TENSORS.items()
    )
    assert math.isnan(state.pop("loss"))
    assert state == {k: v for k, v in STATE.items() if k != "loss"}


def test_tensors_may_be_views_shared_or_on_the_tape(tmp_path: Path) -> None:
    base = torch.arange(6.0, requires_grad=True)
    shared = {"one": base, "same": base, "turned": base.reshape(2, 3).T}
    save_checkpoint(tmp_path, tensors=shared, state={})
    tensors, _ = load_checkpoint(tmp_path) or ({}, {})
    assert torch.equal(tensors["turned"], base.detach().reshape(2, 3).T)
    assert torch.equal(tensors["same"], base.detach())


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", tensors=TENSORS, state=STATE)
    save_checkpoint(tmp_path / "b", tensors=dict(reversed(TENSORS.items())), state=STATE)
    (a,), (b,) = (tmp_path / "a").iterdir(), (tmp_path / "b").iterdir()
    assert a.read_bytes() == b.read_bytes()


def test_a_folder_without_a_checkpoint_gives_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    assert load_checkpoint(tmp_path / "none") is None


def test_a_half_written_successor_does_not_matter(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tensors=TENSORS, state={"round": 1})
    (file,) = tmp_path.iterdir()
    file.with_name(file.name + ".tmp").write_bytes(file.read_bytes()[:50])
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"round": 1}
    save_checkpoint(tmp_path, tensors=TENSORS, state={"round": 2})
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"round": 2}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("n_bytes", [0, 4, 8, 100, -1])
def test_a_broken_file_is_a_model_file_error(tmp_path: Path, n_bytes: int) -> None:
    save_checkpoint(tmp_path, tensors=TENSORS, state=STATE)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:n_bytes])
    with pytest.raises(ModelFileError, match="broken checkpoint"):
        load_checkpoint(tmp_path)


def test_weights_of_something_else_are_not_a_checkpoint(tmp_path: Path) -> None:
    import safetensors.torch

    save_checkpoint(tmp_path, tensors=TENSORS, state=STATE)
    (file,) = tmp_path.iterdir()
    safetensors.torch.save_file({"x": torch.zeros(2)}, file)
    with pytest.raises(ModelFileError, match="broken checkpoint"):
        load_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "file", tensors=TENSORS, state=STATE)


def test_a_state_that_is_not_json_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tensors=TENSORS, state={"round": 1})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, tensors=TENSORS, state={"round": object()})
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"round": 1}


WRITER = """
import sys, torch
from molgen.runtime.checkpoint import save_checkpoint
for n in range(100_000):
    save_checkpoint(sys.argv[1], tensors={"x": torch.full((200_000,), float(n))}, state={"n": n})
    print(n, flush=True)
"""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_kill_leaves_the_last_or_the_next_checkpoint_whole(tmp_path: Path, seed: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.2))
    os.kill(writer.pid, signal.SIGKILL)
    last = max((json.loads(line) for line in writer.stdout), default=0)
    writer.wait()
    writer.stdout.close()
    tensors, state = load_checkpoint(tmp_path) or ({}, {})
    assert state["n"] in (last, last + 1)
    assert torch.equal(tensors["x"], torch.full((200_000,), float(state["n"])))


def test_in_pieces_no_file_is_larger_and_all_comes_back(tmp_path: Path) -> None:
    large = {"large": torch.arange(300_000.0).reshape(100, 3000), "none": torch.zeros(0, 2)}
    for n in range(2):
        save_checkpoint(
            tmp_path, tensors={**TENSORS, **large}, state={"round": n}, piece_bytes=500_000
        )
        pieces = list(tmp_path.glob("*.safetensors"))
        assert len(pieces) > 2 and all(p.stat().st_size <= 500_000 for p in pieces)
    tensors, state = load_checkpoint(tmp_path) or ({}, {})
    assert state == {"round": 1}
    assert list(tensors) == [*TENSORS, *large]
    for name, tensor in {**TENSORS, **large}.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype


def test_pieces_without_their_index_do_not_matter(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tensors=TENSORS, state={"round": 1}, piece_bytes=300_000)
    (piece,) = tmp_path.glob("*.safetensors")
    half_written = tmp_path / "piece0001.safetensors"
    half_written.write_bytes(piece.read_bytes()[:40])
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"round": 1}
    save_checkpoint(tmp_path, tensors=TENSORS, state={"round": 2}, piece_bytes=300_000)
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"round": 2}
    assert len(list(tmp_path.iterdir())) == 2
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(ModelFileError, match="broken checkpoint"):
        load_checkpoint(tmp_path)


def test_one_file_gives_way_to_pieces(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tensors=TENSORS, state={"round": 1})
    save_checkpoint(tmp_path, tensors=TENSORS, state={"round": 2}, piece_bytes=300_000)
    assert (load_checkpoint(tmp_path) or ({}, {}))[1] == {"round": 2}
    assert not (tmp_path / "checkpoint.safetensors").exists()
