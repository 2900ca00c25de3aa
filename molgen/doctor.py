"""`molgen doctor` and `molgen data`: what is there, what is missing, and how to get it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from molgen.errors import ConfigError, DataError, ModelFileError

_GOOD, _BAD = "✔", "✗"
_LEAST_FREE_GB = 2.0
_REINSTALL = "pip install -c constraints.txt -e . in the source folder"
_SHOWN = ("rdkit", "torch", "torch-geometric", "numpy", "lightgbm", "deepchem", "ray", "mlflow")


@dataclass(frozen=True)
class _Data:
    """A data set behind a shipped model.

    Attributes:
        name: for `molgen data fetch`.
        file: path below the data folder.
        needs: what the file must hold.
        makes: the model trained on it.
        origin: home of the original.
        copy: where the copy came from that the shipped model was trained on.
        licence: what is known about the terms.
        train: command that trains on any other file of the same kind.
    """

    name: str
    file: str
    needs: str
    makes: str
    origin: str
    copy: str
    licence: str
    train: str


# Where the files were read out of that the shipped models were trained on.
_COPIES = {
    "efficacy/moleculeace_27targets.parquet": (
        "GitHub molML/MoleculeACE, MoleculeACE/Data/benchmark_data/CHEMBL244_Ki.csv (MIT), whose "
        "column y is -log10 of nmol/L: add 9 for pKi"
    ),
    "property/tdc_extra.parquet": (
        "GitHub wnsgkchoi/ADMET, commit fc21ad839f87, data/*.tab (no licence file)"
    ),
    "property/tdc_admet_group.parquet": (
        "GitHub wnsgkchoi/ADMET, commit fc21ad839f87, "
        "workspace/benchmark/tdc_cache/admet_group.zip (no licence file)"
    ),
}

_STRUCTURES = _Data(
    name="chembl_structures",
    file="generator/chembl_union_flat.parquet",
    needs="columns smiles, split, max_sim_guacamol_holdout",
    makes="prior",
    origin="https://www.ebi.ac.uk/chembl",
    copy=(
        "the union of ChEMBL structure lists in the GitHub repositories ETHmodlab/BIMODAL, "
        "molML/s4-for-de-novo-drug-design, ml-jku/Chem-xLSTM, gmattedi/SmilesTransformer, "
        "undeadpixel/reinvent-randomized, greglandrum/rdkit_blog, deepchem/deepchem and "
        "wengong-jin/multiobj-rationale"
    ),
    licence="ChEMBL is published under CC BY-SA 3.0; the lists' own terms differ.",
    train="molgen pretrain configs/prior_chembl.yaml data.file=FILE data.rows=null",
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
        yield f"{_GOOD} GPU cuda:{i}: {name}, {memory_gb:.0f} GB; this version computes on the CPU"
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
    from property_models import ENDPOINTS, load_predictor
    from property_models.errors import PropertyModelError

    for name in ENDPOINTS:
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
    from property_models.datasets import DATA_VARIABLE, data_folder

    folder = data_folder()
    if folder is None:
        yield (
            f"{_BAD} {DATA_VARIABLE} is not set: needed only to train on the public data sets and "
            "to draw measured compounds in the report; see `molgen data list`"
        )
        return
    if not folder.is_dir():
        yield f"{_BAD} {DATA_VARIABLE}: {folder} is no folder"
        return
    for file in dict.fromkeys(data.file for data in _all_data()):
        if (folder / file).is_file():
            yield f"{_GOOD} data: {folder / file}"
        else:
            yield f"{_BAD} data: {folder / file} is missing; see `molgen data list`"


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
    """The data sets behind the shipped models: file, terms, and whether it is at hand."""
    from property_models.datasets import DATA_VARIABLE, data_folder

    folder = data_folder()
    lines = []
    for data in _all_data():
        at_hand = folder is not None and (folder / data.file).is_file()
        lines += [
            f"{_GOOD if at_hand else _BAD} {data.name}: {data.file}, for the {data.makes}",
            f"    original: {data.origin}",
            f"    licence: {data.licence}",
        ]
    where = f"{DATA_VARIABLE} is {folder}" if folder else f"{DATA_VARIABLE} is not set"
    lines.append(f"{where}; `molgen data fetch NAME` tells how to get a file")
    return lines


def find_data(name: str) -> Path:
    """The file of a data set.

    Raises:
        ConfigError: no such data set.
        DataError: it is not at hand; says where it comes from and what to do. Nothing is
            downloaded: the terms and addresses of the originals are not verified.
    """
    from property_models.datasets import DATA_VARIABLE, data_folder
    from property_models.endpoints import did_you_mean

    known = {data.name: data for data in _all_data()}
    if name not in known:
        raise ConfigError(
            f"unknown data set {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
        )
    data, folder = known[name], data_folder()
    if folder is not None and (folder / data.file).is_file():
        return folder / data.file
    raise DataError(
        f"{name} is not at hand, and molgen does not download it: fetch it yourself.\n"
        f"  original: {data.origin}\n"
        f"  the shipped {data.makes} learnt from: {data.copy}\n"
        f"  licence: {data.licence}\n"
        "Then train on it, as .csv or .parquet:\n"
        f"  {data.train}\n"
        f"or put {data.file} ({data.needs}) below a folder and set {DATA_VARIABLE} to that folder."
    )


def _all_data() -> list[_Data]:
    from property_models.datasets import DATASETS
    from property_models.endpoints import ENDPOINTS

    predictor_of = {endpoint.dataset: endpoint.name for endpoint in ENDPOINTS.values()}
    predictors = []
    for source in DATASETS.values():
        endpoint = predictor_of[source.name]
        column, value = source.rows
        predictors.append(
            _Data(
                name=source.name,
                file=source.file,
                needs=f"columns smiles, {source.value_column}, and {column} with {value!r}",
                makes=f"predictor {endpoint}",
                origin=source.origin,
                copy=_COPIES[source.file],
                licence=source.licence,
                train=f"molgen train-predictor configs/predictors/{endpoint}.yaml data.file=FILE "
                "data.smiles_column=COLUMN data.value_column=COLUMN official_test=false",
            )
        )
    return [*predictors, _STRUCTURES]
