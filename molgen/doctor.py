"""`molgen doctor` and `molgen data`: what is there, what is missing, and how to get it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from molgen.errors import DataError, ModelFileError

_GOOD, _BAD = "✔", "✗"
_LEAST_FREE_GB = 2.0
_REINSTALL = "pip install -c constraints.txt -e . in the source folder"
_SHOWN = ("rdkit", "torch", "torch-geometric", "numpy", "lightgbm", "deepchem", "ray", "mlflow")


# The predictors of the default campaign; their configs lie in configs/predictors.
_PREDICTORS = ("fxa_pki", "herg_block", "ames", "dili", "ld50", "solubility", "caco2")

# What the shipped prior was trained on.
_STRUCTURES = "chembl_structures"
_STRUCTURES_FILE = "generator/chembl_union_flat.parquet"
_STRUCTURES_LINES = (
    "original: https://www.ebi.ac.uk/chembl",
    "licence: ChEMBL is published under CC BY-SA 3.0; the lists' own terms differ.",
    "not downloaded: it is the union of ChEMBL structure lists in the GitHub repositories "
    "ETHmodlab/BIMODAL, molML/s4-for-de-novo-drug-design, ml-jku/Chem-xLSTM, "
    "gmattedi/SmilesTransformer, undeadpixel/reinvent-randomized, greglandrum/rdkit_blog, "
    "deepchem/deepchem and wengong-jin/multiobj-rationale; any list of structures will do: "
    "molgen pretrain configs/prior_chembl.yaml data.file=FILE data.rows=null",
)


# -- doctor ---------------------------------------------------------------------------------


def doctor_lines() -> list[str]:
    """The state of this installation, one finding a line: ✔, or ✗ and what to do."""
    return [
        *_software(),
        *_devices(),
        _prior(),
        *_predictors(),
        *_data_folder(),
        _disk(),
        _runs_folder(),
    ]


def _software() -> Iterator[str]:
    version = platform.python_version()
    fine = sys.version_info[:2] == (3, 11)
    yield f"{_GOOD} Python {version}" if fine else f"{_BAD} Python {version}: molgen needs 3.11"
    try:
        wanted = metadata.requires("molgen") or []
    except metadata.PackageNotFoundError:
        yield f"{_BAD} molgen is not installed here: {_REINSTALL}"
        return
    found, missing = {}, []
    for requirement in wanted:
        name = re.split(r"[^\w.-]", requirement)[0]
        if "extra ==" in requirement:
            continue
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield f"{_BAD} packages missing: {', '.join(missing)}: {_REINSTALL}"
    shown = ", ".join(f"{name} {found[name]}" for name in _SHOWN if name in found)
    yield f"{_GOOD} molgen {metadata.version('molgen')} with {shown}"


def _devices() -> Iterator[str]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield f"{_BAD} torch cannot be loaded ({error}): {_REINSTALL}"
        return
    yield f"{_GOOD} CPU: {_n_cores()} cores, torch uses {torch.get_num_threads()} threads"
    for i in range(torch.cuda.device_count()):
        memory_gb = torch.cuda.get_device_properties(i).total_memory / 1e9
        name = torch.cuda.get_device_name(i)
        yield (
            f"{_GOOD} GPU cuda:{i}: {name}, {memory_gb:.0f} GB; sampling and campaigns compute on "
            "the CPU; training of the generator uses the GPU"
        )
    if not torch.cuda.device_count():
        yield f"{_GOOD} no GPU; none is needed"


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use, for example in a container
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prior() -> str:
    from molgen.generator.weights import SHIPPED_PRIOR, load_network
    from property_models.datasets import file_sha256

    try:
        network = load_network()
    except ModelFileError as error:
        return f"{_BAD} prior: {error}"
    n_weights = sum(p.numel() for p in network.parameters())
    text = f"{_GOOD} prior: {n_weights / 1e6:.1f} M weights"
    try:
        card = json.loads(SHIPPED_PRIOR.with_name("card.json").read_text())
        text += f", {card['n_molecules_seen']:,} molecules seen in training"
    except (OSError, ValueError, KeyError):
        text += ", its card.json is missing or broken"
    return f"{text}, sha256 {file_sha256(SHIPPED_PRIOR)[:12]}"


def _predictors() -> Iterator[str]:
    from molgen.objectives import SHIPPED_PREDICTORS
    from property_models import load_predictor
    from property_models.errors import PropertyModelError
    from property_models.predictor import available

    there = available(SHIPPED_PREDICTORS) if SHIPPED_PREDICTORS.is_dir() else []
    for name in dict.fromkeys([*_PREDICTORS, *there]):
        folder = SHIPPED_PREDICTORS / name
        try:
            card = load_predictor(folder).card
        except PropertyModelError as error:
            train = f"molgen train-predictor configs/predictors/{name}.yaml --out {folder.parent}"
            yield f"{_BAD} predictor {name}: {error}: {train}"
            continue
        metric = "rmse" if card.task == "regression" else "auroc"
        size_mb = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        yield (
            f"{_GOOD} predictor {name}: {metric} {card.metrics[metric]:.3f} on held-out "
            f"scaffolds, {card.data['n_used']:,} compounds, {size_mb:.1f} MB"
        )


def _data_folder() -> Iterator[str]:
    from property_models.datasets import DATA_VARIABLE, data_folder, find_table

    folder = data_folder()
    if folder is not None and not folder.is_dir():
        yield f"{_BAD} {DATA_VARIABLE}: {folder} is no folder"
        return
    found = {file: find_table(file) for file in [*_needed_tables(), _STRUCTURES_FILE]}
    if folder is None and not any(found.values()):
        yield (
            f"{_BAD} {DATA_VARIABLE} is not set and nothing was downloaded: needed only to train "
            "on the public data sets and to draw measured compounds in the report; see "
            "`molgen data list`"
        )
        return
    for file, path in found.items():
        if path is not None:
            yield f"{_GOOD} data: {path}"
        else:
            yield f"{_BAD} data: {file} is missing; see `molgen data list`"


def _needed_tables() -> list[str]:
    """The tables behind the predictors of the default campaign."""
    from property_models.endpoints import ENDPOINTS
    from property_models.sources import find_source

    return list(dict.fromkeys(find_source(ENDPOINTS[n].dataset).file for n in _PREDICTORS))


def _disk() -> str:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    if free_gb < _LEAST_FREE_GB:
        return f"{_BAD} disk: {free_gb:.1f} GB free here; make room for run folders"
    return f"{_GOOD} disk: {free_gb:.0f} GB free here"


def _runs_folder() -> str:
    runs = Path.cwd() / "runs"
    nearest = runs if runs.exists() else runs.parent
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return f"{_GOOD} runs go to {runs}"
    return f"{_BAD} {runs} cannot be written; start molgen elsewhere or give --out"


# -- data -----------------------------------------------------------------------------------


def data_lines() -> list[str]:
    """The tables of the catalogue: what is in them, terms, and whether they are at hand."""
    from property_models.addresses import HOMES
    from property_models.datasets import cache_folder, data_folder, find_table
    from property_models.sources import DATASETS, FAMILIES, find_source

    held: dict[str, list[str]] = {}
    for source in DATASETS.values():
        held.setdefault(source.file, []).append(source.name)
    for family in FAMILIES:
        held.setdefault(find_source(f"{family}_chembl0").file, []).append(f"{family}_…")
    lines = []
    for file, names in held.items():
        home, path = HOMES.get(file), find_table(file)
        source = find_source(names[0].replace("…", "chembl0"))
        lines += [
            f"{_GOOD if path else _BAD} {Path(file).stem}: {_enumerated(names)}",
            f"    original: {source.origin}" + ("" if home else " (no address to fetch it from)"),
            f"    licence: {home.licence if home else source.licence}",
        ]
    there = find_table(_STRUCTURES_FILE) is not None
    lines.append(f"{_GOOD if there else _BAD} {_STRUCTURES}: structures for the prior")
    lines += [f"    {line}" for line in _STRUCTURES_LINES]
    folder = data_folder()
    lines.append(
        f"looked in {folder or 'no folder of yours (MOLGEN_DATA is not set)'}, then in "
        f"{cache_folder()}; `molgen data fetch NAME` downloads a table"
    )
    return lines


def _enumerated(names: list[str], n_shown: int = 6) -> str:
    """The first few names and how many more there are."""
    more = len(names) - n_shown
    return ", ".join(names[:n_shown]) + (f" and {more} more" if more > 0 else "")


def fetch_data(name: str, *, force: bool = False) -> Path:
    """Makes a table available and tells what its terms are and what could not be verified.

    Args:
        name: A data set, an endpoint or a table of `data_lines`.
        force: Download again although it is at hand.

    Raises:
        DataError: It has no address to fetch it from.
        PropertyModelError: Unknown, or the download failed.
    """
    from property_models.datasets import find_table
    from property_models.downloads import fetch
    from property_models.endpoints import ENDPOINTS

    if name == _STRUCTURES:
        path = find_table(_STRUCTURES_FILE)
        if path is None:
            raise DataError(f"{name} is not at hand.\n  " + "\n  ".join(_STRUCTURES_LINES))
        return path
    dataset = ENDPOINTS[name].dataset if name in ENDPOINTS else name
    fetched = fetch(dataset, force=force, on_message=print)
    for message in fetched.messages:
        print(message)
    return fetched.path
