"""Checkpoints: one file, replaced atomically.

`checkpoint.safetensors` holds the tensors; the JSON state lies in its header under `state`. One
file, because a rename is atomic for a file but not for a folder that already exists: a kill at
any byte leaves the previous checkpoint or the new one, never a mixture.
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


def save_checkpoint(
    folder: str | Path, *, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write a checkpoint over the previous one of this folder; on disk when it returns.

    Args:
        folder: made where it is missing.
        tensors: of any device and dtype; shared memory is written twice.
        state: anything that JSON can hold (NaN included).

    Raises:
        DataError: the folder cannot be written.
    """
    import safetensors.torch

    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    data = safetensors.torch.save(plain, metadata={"state": json.dumps(state)})
    folder = Path(folder)
    temporary = folder / f"{_NAME}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / _NAME)
        _sync_folder(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot write the checkpoint: {error.strerror}") from error


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
        ModelFileError: the file is broken (truncated, or not a checkpoint).
    """
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / _NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ModelFileError(
            f"{path}: broken checkpoint ({error}); delete it to start from the ledger alone"
        ) from error
