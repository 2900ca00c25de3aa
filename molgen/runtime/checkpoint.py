"""Checkpoints: replaced atomically, so a kill at any byte leaves the last one or the new one.

`checkpoint.safetensors` holds the tensors; the JSON state lies in its header under `state`. One
file, because a rename is atomic for a file but not for a folder that already exists.

Where a file may not be larger than some size, `checkpoint.json` holds the state and the names of
the safetensors files that hold the pieces; it is renamed into place when these are on disk, and
only then are the last one's pieces deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.errors import DataError, ModelFileError

if TYPE_CHECKING:
    from torch import Tensor

_NAME = "checkpoint.safetensors"
_INDEX = "checkpoint.json"
_HEADER_BYTES = 200_000  # of a piece's file at most, names and shapes of its tensors


def save_checkpoint(
    folder: str | Path, *, tensors: Mapping[str, Tensor], state: Mapping[str, Any],
    piece_bytes: int | None = None,
) -> None:  # fmt: skip
    """Write a checkpoint over the previous one of this folder; on disk when it returns.

    Args:
        folder: made where it is missing.
        tensors: of any device and dtype; shared memory is written twice.
        state: anything that JSON can hold (NaN included).
        piece_bytes: no safetensors file may be larger; None: one file. Where a folder holds
            both, the pieces count, so do not go back to one file.

    Raises:
        DataError: the folder cannot be written.
    """
    import safetensors.torch

    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if piece_bytes is None:
            data = safetensors.torch.save(plain, metadata={"state": json.dumps(state)})
            _replace(folder / _NAME, data)
            return
        old = set(folder.glob("*.safetensors"))
        first = 1 + max((_number(p) for p in old), default=-1)
        names = []
        pieces = _pieces(plain, piece_bytes - _HEADER_BYTES)
        for number, piece in enumerate(pieces, start=first):
            names.append(f"piece{number:04d}.safetensors")
            _replace(folder / names[-1], safetensors.torch.save(piece))
        shapes = {name: list(t.shape) for name, t in plain.items()}
        index = {"state": state, "pieces": names, "shapes": shapes}
        _replace(folder / _INDEX, json.dumps(index).encode())
        for path in old:
            path.unlink()
    except OSError as error:
        raise DataError(f"{folder}: cannot write the checkpoint: {error.strerror}") from error


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("piece")
    return int(digits) if digits.isdecimal() else -1


def _pieces(tensors: Mapping[str, Tensor], n_bytes: int) -> list[dict[str, Tensor]]:
    """Flat stretches of the tensors, `name@k` the k-th of its tensor, dealt out in order."""
    pieces: list[dict[str, Tensor]] = [{}]
    free = n_bytes
    for name, tensor in tensors.items():
        flat, size = tensor.flatten(), tensor.element_size()
        done = part = 0
        while part == 0 or done < len(flat):
            if free < size:
                pieces.append({})
                free = n_bytes
            n = min(len(flat) - done, free // size)
            pieces[-1][f"{name}@{part}"] = flat[done : done + n].clone()
            done, part, free = done + n, part + 1, free - n * size
    return pieces


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The rename itself must reach the disk (POSIX: a folder is synchronised like a file)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the checkpoint of a folder, tensors on the CPU; None where there is none.

    Raises:
        ModelFileError: the file is broken (truncated, or not a checkpoint), or a piece missing.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    path = folder / _INDEX if (folder / _INDEX).exists() else folder / _NAME
    if not path.exists():
        return None
    try:
        if path.name == _INDEX:
            return _load_pieces(folder)
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"{path}: broken checkpoint ({error}); delete {folder} to start without it"
        ) from error


def _load_pieces(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    import torch
    from safetensors.torch import load

    index = json.loads((folder / _INDEX).read_text())
    parts: dict[str, Tensor] = {}
    for name in index["pieces"]:
        parts |= load((folder / name).read_bytes())
    tensors = {}
    for name, shape in index["shapes"].items():
        stretches = [parts[f"{name}@0"]]
        while (key := f"{name}@{len(stretches)}") in parts:
            stretches.append(parts[key])
        tensors[name] = torch.cat(stretches).reshape(shape)
    return tensors, index["state"]
