"""Train for some minutes on a machine that has PyTorch, numba and safetensors and little else.

    molgen pretrain configs/prior_chembl.yaml --out runs/prior --pack-only
    python -m molgen.training.slices --packed runs/prior/packed.npz --out runs/prior --seconds 540

The packed file carries molecules, vocabulary and config; `key=value` words replace values of its
section `training` or `network`. A slice goes on where the last one stopped, whichever machine
that was, and its checkpoint is in files of at most 15 MB, so that they can be carried to and fro.
With `--seconds 0` nothing is trained: weights and card are written of what has been learnt.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from molgen.errors import ConfigError, MolgenError
from molgen.generator.network import GraphTransformer, NetworkSize
from molgen.graphs.packed import PackedMolecules
from molgen.training.loop import Progress, Run, last_checkpoint, new_network, this_machine

_LOWEST = {
    "n_molecules": 1, "batch_size": 1, "n_threads": 1, "n_workers": 1,
    "width": 16, "n_layers": 1, "n_heads": 1,
}  # fmt: skip
_ABOVE_ZERO = ("learning_rate", "matrix_learning_rate", "checkpoint_every_s")
_SHARES = ("decay_share", "prompt_share")


def train_slice(
    packed_file: Path, out_dir: Path, *, seconds: float, overrides: Sequence[str] = ()
) -> Path:
    """Train until the time is up or the training is finished.

    Args:
        packed_file: written by `molgen pretrain`.
        out_dir: of the training, as in `molgen pretrain`, which can go on there as well.
        seconds: of training; loading and saving come on top.
        overrides: `training.key=value` or `network.key=value` texts.

    Returns:
        The weights file.

    Raises:
        ConfigError: an override fits nothing or is out of bounds, or the folder belongs to another
            config.
        DataError: the packed file cannot be read.
    """
    molecules = PackedMolecules.load(packed_file)
    config = _config(molecules.info, packed_file, overrides)
    config["training"]["time_limit_s"] = seconds
    torch.set_num_threads(config["training"]["n_threads"])
    out_dir.mkdir(parents=True, exist_ok=True)
    if config["start_from"] is None:
        network = new_network(config, molecules.vocabulary)
    else:
        found = last_checkpoint(out_dir, config)
        if found is None or "size" not in found[1]:
            raise ConfigError(
                f"{packed_file}: start_from gives the first weights; begin with `molgen pretrain` "
                f"in {out_dir}, slices can go on from its checkpoint"
            )
        network = GraphTransformer(molecules.vocabulary, NetworkSize(**found[1]["size"]))
    run = Run(config, out_dir, network, molecules, worker=this_machine())
    try:
        if seconds > 0:
            run.train(on_progress=_say, on_metrics=lambda m, n: print(n, m, flush=True))
    finally:
        run.save()
    return run.weights


def _config(info: dict[str, Any], file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    if "config" not in info:
        raise ConfigError(f"{file}: holds no config; write it anew with `molgen pretrain`")
    config: dict[str, Any] = copy.deepcopy(info["config"])
    for text in overrides:
        key, _, value = text.partition("=")
        section, _, name = key.partition(".")
        if section not in ("training", "network") or name not in config[section]:
            keys = [f"{s}.{k}" for s in ("training", "network") for k in config[s]]
            raise ConfigError(f"{text}: expected key=value with a key of {', '.join(keys)}")
        old = config[section][name]
        try:
            new = json.loads(value)
        except ValueError as error:
            raise ConfigError(f"{text}: the value is neither a number nor true or false") from error
        if old is not None and isinstance(new, bool) != isinstance(old, bool):
            raise ConfigError(f"{text}: expected a value like {json.dumps(old)}")
        try:
            config[section][name] = type(old)(new) if isinstance(old, int | float) else new
            if isinstance(old, int) and config[section][name] != new:
                raise ValueError
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{text}: expected a value like {json.dumps(old)}") from error
        _check_bounds(text, name, config[section][name])
    if config["network"]["width"] % config["network"]["n_heads"]:
        raise ConfigError("network.width must be a multiple of network.n_heads")
    return config


def _check_bounds(text: str, name: str, value: Any) -> None:
    """Raise a ConfigError where the config's own model, which needs pydantic, would."""
    if name == "bfloat16" and value not in (None, True, False):
        raise ConfigError(f"{text}: expected true, false or null")
    if not isinstance(value, int | float):
        return
    low = _LOWEST.get(name, 0)
    if name in _ABOVE_ZERO and not 0 < value < math.inf:
        raise ConfigError(f"{text}: must be above 0")
    if name in _SHARES and not 0 <= value <= 1:
        raise ConfigError(f"{text}: must be between 0 and 1")
    if not low <= value < math.inf:
        raise ConfigError(f"{text}: must be at least {low}")


def _say(p: Progress) -> None:
    print(f"{p.n_molecules} of {p.n_total} molecules, {p.nats:.2f} nats, "
          f"{p.molecules_per_s:.0f} a second", flush=True)  # fmt: skip


def main() -> None:
    """`python -m molgen.training.slices`."""
    parser = argparse.ArgumentParser(description="Train a generator for some minutes.")
    parser.add_argument("--packed", type=Path, required=True, help="packed.npz of molgen pretrain")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--seconds", type=float, default=540.0, help="of training")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_args()
    try:
        weights = train_slice(
            options.packed, options.out, seconds=options.seconds, overrides=options.overrides
        )
    except MolgenError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"weights: {weights}")


if __name__ == "__main__":
    main()
