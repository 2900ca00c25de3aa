"""`molgen pretrain` as a function: structures are packed once, then the loop trains on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from molgen.config.pretraining import PretrainingConfig, StructuresConfig
from molgen.errors import ConfigError, DataError
from molgen.generator.network import GraphTransformer
from molgen.graphs.dataset import pack
from molgen.graphs.packed import PackedMolecules
from molgen.graphs.state import MAX_ATOMS
from molgen.training.loop import (
    PACKED_FILE,
    Progress,
    Run,
    identity,
    last_checkpoint,
    new_network,
    starting_file,
    starting_network,
    this_machine,
)
from property_models.datasets import file_sha256


def pretrain(
    config: PretrainingConfig,
    out_dir: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda p: None,
    on_packing: Callable[[int, int], None] = lambda done, total: None,
    on_metrics: Callable[[dict[str, float], int], None] = lambda m, step: None,
) -> Path:
    """Train a generator; called again with the same folder it continues where it stopped.

    Where the learning rate has begun to fall and `n_molecules` has grown since, it goes on from
    before the fall.

    Args:
        config: data, network and schedule.
        out_dir: gets packed.npz, checkpoint/, prior.safetensors and card.json, and
            checkpoint_before_decay/ when the learning rate begins to fall.
        on_progress: called every few steps.
        on_packing: called with (lines read, lines in all) while structures are packed.
        on_metrics: called with the validation loss (nats a molecule, de novo orders) and
            molecules seen.

    Returns:
        The weights file. Stopped by the time limit or Ctrl-C it holds the weights so far, and
        the card says how many molecules they have seen.

    Raises:
        DataError: the structures cannot be read, or none is usable.
        ConfigError: the folder belongs to another config, or Ray lacks what the workers need.
    """
    start = starting_network(config.start_from)
    molecules = pack_once(config, out_dir, start=start, on_packing=on_packing)
    plain = config.model_dump(mode="json")
    if config.training.n_workers > 1:
        from molgen.training.workers import train_with_workers

        return train_with_workers(plain, out_dir, on_progress=on_progress, on_metrics=on_metrics)
    torch.set_num_threads(config.training.n_threads)
    network = start or new_network(plain, molecules.vocabulary)
    run = Run(plain, out_dir, network, molecules, worker=this_machine())
    try:
        run.train(on_progress, on_metrics)
    finally:
        run.save()
    return run.weights


def pack_once(
    config: PretrainingConfig,
    out_dir: Path,
    *,
    start: GraphTransformer | None = None,
    on_packing: Callable[[int, int], None] = lambda done, total: None,
) -> PackedMolecules:
    """The packed molecules of a training, read from its folder or packed and written there.

    Args:
        config: names the structures; goes along in the file, so that it is enough to train.
        out_dir: gets packed.npz.
        start: a network whose vocabulary is to be used.
        on_packing: called with (lines read, lines in all).

    Raises:
        DataError: the structures cannot be read, or none is usable.
        ConfigError: the folder belongs to another config, or its training began with a data file
            or weights that have changed since.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    file = out_dir / PACKED_FILE
    plain = config.model_dump(mode="json")
    wanted = identity(plain)
    has_begun = last_checkpoint(out_dir, plain) is not None  # refuses another config's folder
    if file.exists():
        packed = PackedMolecules.load(file)
        if packed.info.get("identity") == wanted:
            changed = _changed(packed, config, start)
            if changed is None:
                if packed.info.get("config") != plain:  # slices train by the one in the file
                    packed.info["config"] = plain
                    packed.save(file)
                return packed
            if has_begun:
                raise ConfigError(
                    f"{changed} has changed since the training in {out_dir} began; restore it or "
                    "choose another --out folder"
                )
    smiles = read_structures(config.data)
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        on_packing(done, len(smiles))

    data = config.data
    packed = pack(
        smiles, n_rooted_rings=data.n_rooted_rings, min_atom_count=data.min_atom_count,
        max_atoms=min(data.max_heavy_atoms, start.size.max_atoms if start else MAX_ATOMS),
        vocabulary=start.vocabulary if start else None,
        n_processes=len(os.sched_getaffinity(0)), on_progress=count,
    )  # fmt: skip
    packed.info["identity"] = wanted
    packed.info["sha256"] = file_sha256(find_structures(data.file))
    if config.start_from is not None:
        packed.info["start_sha256"] = file_sha256(starting_file(config.start_from))
    packed.info["config"] = plain
    packed.save(file)
    return packed


def _changed(
    packed: PackedMolecules, config: PretrainingConfig, start: GraphTransformer | None
) -> str | None:
    """What of a training's files is another one now; the data file may as well be gone."""
    if start is not None and config.start_from is not None:
        digest = file_sha256(starting_file(config.start_from))
        known = packed.info.get("start_sha256", digest)  # older files do not say
        if known != digest or packed.vocabulary != start.vocabulary:
            return f"start_from: {config.start_from}"
    try:
        path = find_structures(config.data.file)
    except DataError:
        return None
    return f"data.file: {path}" if packed.info.get("sha256") != file_sha256(path) else None


def read_structures(config: StructuresConfig) -> list[str]:
    """The SMILES that a config names; '' for a row of a table that has none.

    Raises:
        DataError: no such file, column or kind of file, or a query that pandas refuses.
    """
    import pandas as pd

    path = find_structures(config.file)
    try:
        if path.suffix == ".smi":
            if config.rows is not None:
                raise DataError(f"{path}: data.rows needs a table with columns, not a .smi file")
            return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix in (".csv", ".tsv"):
            table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
        else:
            raise DataError(f"{path}: expected .smi, .csv, .tsv or .parquet")
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise of a broken file
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if config.rows is not None:
        try:
            table = table.query(config.rows)
        except Exception as error:  # pandas raises anything here, all of it the query's fault
            raise DataError(f"{path}: data.rows {config.rows!r} fails: {error}") from error
    if config.smiles_column not in table:
        raise DataError(f"{path}: no column {config.smiles_column!r}; it has {list(table)}")
    column = table[config.smiles_column]
    return [str(s) if known else "" for s, known in zip(column, column.notna(), strict=True)]


def find_structures(name: str) -> Path:
    """A file of structures, here or below MOLGEN_DATA; DataError where there is none."""
    places = [Path(name)]
    if "MOLGEN_DATA" in os.environ:
        places.append(Path(os.environ["MOLGEN_DATA"]) / name)
    for place in places:
        if place.is_file():
            return place
    hint = "" if len(places) == 2 else "; set MOLGEN_DATA to the folder that holds it"
    raise DataError(f"data.file: {' and '.join(map(str, places))} not found{hint}")
