"""A predictor's folder: card, arrays, trees, network. Nothing in it is ever unpickled.

- card.json: what the predictor is, and the SHA-256 of every file beside it
- reference.safetensors: reference index and calibration
- trees.txt.gz: LightGBM's text form
- kernel.safetensors: counts and dual coefficients
- network.safetensors: weights of the message-passing network
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from property_models.calibration import ConformalIntervals, VennAbers
from property_models.domain import ReferenceIndex
from property_models.endpoints import Direction, Endpoint, Task
from property_models.errors import ModelFileError
from property_models.features import DESCRIPTOR_NAMES, N_ECFP_COUNTS
from property_models.kernel import KernelRecipe, TanimotoKernel
from property_models.trees import BoostedTrees, TreesRecipe

if TYPE_CHECKING:
    from property_models.ensemble import Member, MemberRecipe
    from property_models.network import Network

CARD_VERSION = 1
CARD_FILE = "card.json"
REFERENCE_FILE = "reference.safetensors"
MEMBER_FILES = {
    "boosted_trees": "trees.txt.gz",
    "tanimoto_kernel": "kernel.safetensors",
    "network": "network.safetensors",
}

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ModelCard:
    """What a predictor is, what it was trained on and how well it does; written as card.json.

    Attributes:
        endpoint: Name of the endpoint.
        task: 'regression' or 'classification'.
        unit: Unit of the value.
        higher_is: 'better', 'worse' or 'neutral'.
        meaning: One sentence.
        assay: How the training values were measured.
        source: Citation.
        licence: Terms of the weights.
        data: File, SHA-256, counts of rows read, merged, dropped and used.
        split: How the metrics were obtained.
        metrics: Out-of-fold metrics with 95 % bootstrap intervals, and of the intervals.
        official_test: Result on a public test split beside a published one; {} without.
        calibration: Method and level, and what it was fitted on.
        domain: Similarity threshold and how it was set.
        members: Kind and hyper-parameters of each member.
        seed: Seed of the training.
        features: Columns the trees expect; checked when loading.
        versions: Versions of this code and its libraries.
        date: ISO date of the training.
        intended_use: What it is for.
        limits: What it is not for.
        files: SHA-256 of each file in the folder.
    """

    endpoint: str
    task: Task
    unit: str
    higher_is: Direction
    meaning: str
    assay: str
    source: str
    licence: str
    data: Mapping[str, Any]
    split: str
    metrics: Mapping[str, Any]
    official_test: Mapping[str, Any]
    calibration: Mapping[str, Any]
    domain: Mapping[str, Any]
    members: list[Mapping[str, Any]]
    seed: int
    features: Mapping[str, Any]
    versions: Mapping[str, str]
    date: str
    intended_use: str
    limits: str
    files: Mapping[str, str]
    card_version: int = CARD_VERSION


@dataclass(frozen=True)
class Parts:
    """What a predictor computes with."""

    members: list[Member]
    weights: list[float]
    calibration: ConformalIntervals | VennAbers
    reference: ReferenceIndex


def endpoint_of(card: ModelCard) -> Endpoint:
    """The endpoint described by a card."""
    return Endpoint(
        card.endpoint, card.task, card.unit, card.higher_is, card.meaning, card.assay, card.source
    )


def feature_columns() -> dict[str, Any]:
    """What a card records about the features, to notice an RDKit that computes others."""
    return {"n_ecfp_counts": N_ECFP_COUNTS, "descriptors": list(DESCRIPTOR_NAMES)}


# -- save -----------------------------------------------------------------------------------


def save(folder: Path, card: ModelCard, parts: Parts) -> None:
    """Writes a predictor into a folder, the card last; `card.files` is filled in here."""
    folder.mkdir(parents=True, exist_ok=True)
    blobs = {REFERENCE_FILE: save_arrays(_reference_arrays(parts))}
    for member in parts.members:
        blobs[MEMBER_FILES[member.kind]] = _member_bytes(member)
    for stale in {CARD_FILE, REFERENCE_FILE, *MEMBER_FILES.values()} - set(blobs):
        (folder / stale).unlink(missing_ok=True)
    for name, blob in blobs.items():
        (folder / name).write_bytes(blob)
    hashes = {name: hashlib.sha256(blob).hexdigest() for name, blob in sorted(blobs.items())}
    content = {**asdict(card), "files": hashes}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def _reference_arrays(parts: Parts) -> Arrays:
    reference = parts.reference
    keys = "".join(key.ljust(14) for key in reference.inchikeys).encode("ascii")
    arrays: Arrays = {
        "bits": reference.bits,
        "inchikeys": np.frombuffer(keys, np.uint8).reshape(-1, 14),
        "values": reference.values,
    }
    if isinstance(parts.calibration, ConformalIntervals):
        arrays["edges"] = parts.calibration.edges
        arrays["half_widths"] = parts.calibration.half_widths
    else:
        arrays["p0"], arrays["p1"] = parts.calibration.p0, parts.calibration.p1
    return arrays


def _member_bytes(member: Member) -> bytes:
    if isinstance(member, BoostedTrees):
        return member.to_bytes()
    if isinstance(member, TanimotoKernel):
        rows, columns = np.nonzero(member.counts)
        starts = np.searchsorted(rows, np.arange(len(member.counts) + 1))
        return save_arrays(
            {
                "starts": starts.astype(np.int64),
                "columns": columns.astype(np.uint16),
                "counts": member.counts[rows, columns],
                "weights": member.weights,
                "scalars": np.array([member.mean, member.variance, member.noise_ratio]),
            }
        )
    state = {
        name: tensor.detach().cpu().float().numpy()
        if tensor.is_floating_point()
        else tensor.cpu().numpy()
        for name, tensor in member.module.state_dict().items()
    }
    return save_arrays({**state, "scalars": np.array([member.mean, member.scale])})


# -- load -----------------------------------------------------------------------------------


def load(folder: Path) -> tuple[ModelCard, Parts]:
    """Reads a predictor's folder.

    Raises:
        ModelFileError: A file is missing or damaged, or was made by an incompatible version;
            names the file and the cure.
    """
    card = read_card(folder)
    if dict(card.features) != feature_columns():
        raise ModelFileError(
            f"{folder / CARD_FILE}: trained on other features than this version computes "
            f"(trained with RDKit {card.versions.get('rdkit', '?')}); install that RDKit or "
            "train the predictor again"
        )
    blobs = {name: _read_checked(folder / name, digest) for name, digest in card.files.items()}
    try:
        arrays = load_arrays(blobs[REFERENCE_FILE])
        members = [_load_member(entry, blobs, card.task) for entry in card.members]
        weights = [float(entry["weight"]) for entry in card.members]
        parts = Parts(members, weights, _calibration(arrays), _reference(arrays, card))
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, SafetensorError) as error:
        raise ModelFileError(
            f"{folder}: the predictor's files do not fit its card ({error}); {_CURE}"
        ) from error
    return card, parts


_CURE = "restore the folder from its release or train the predictor again"


def read_card(folder: Path) -> ModelCard:
    """Reads card.json alone; ModelFileError where it is missing or not a card."""
    path = folder / CARD_FILE
    if not path.is_file():
        raise ModelFileError(f"{folder} is no predictor folder: {CARD_FILE} is missing; {_CURE}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        version = content.get("card_version")
        if version != CARD_VERSION:
            raise ValueError(f"card_version is {version!r}, this version reads {CARD_VERSION}")
        known = {field.name for field in fields(ModelCard)}
        if set(content) != known:
            raise ValueError(f"keys missing or unknown: {sorted(set(content) ^ known)}")
    except (ValueError, OSError) as error:
        raise ModelFileError(f"{path}: not a readable model card ({error}); {_CURE}") from error
    return ModelCard(**content)


def _read_checked(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise ModelFileError(f"{path} is missing; {_CURE}")
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != digest:
        raise ModelFileError(f"{path} is damaged: its SHA-256 is not the card's; {_CURE}")
    return blob


def _reference(arrays: Arrays, card: ModelCard) -> ReferenceIndex:
    keys = [bytes(row).decode("ascii").strip() for row in arrays["inchikeys"]]
    threshold = float(card.domain["similarity_threshold"])
    return ReferenceIndex(arrays["bits"], keys, arrays["values"], threshold)


def _calibration(arrays: Arrays) -> ConformalIntervals | VennAbers:
    if "edges" in arrays:
        return ConformalIntervals(arrays["edges"], arrays["half_widths"])
    return VennAbers(arrays["p0"], arrays["p1"])


def _load_member(entry: Mapping[str, Any], blobs: Mapping[str, bytes], task: Task) -> Member:
    kind = entry["kind"]
    blob = blobs[MEMBER_FILES[kind]]
    if kind == "boosted_trees":
        return BoostedTrees.from_bytes(blob)
    arrays = load_arrays(blob)
    if kind == "tanimoto_kernel":
        counts = np.zeros((len(arrays["starts"]) - 1, N_ECFP_COUNTS), np.uint8)
        rows = np.repeat(np.arange(len(counts)), np.diff(arrays["starts"]))
        counts[rows, arrays["columns"]] = arrays["counts"]
        mean, variance, noise_ratio = map(float, arrays["scalars"])
        return TanimotoKernel(counts, arrays["weights"], mean, variance, noise_ratio)
    return _load_network(entry, arrays, task)


def _load_network(entry: Mapping[str, Any], arrays: Arrays, task: Task) -> Network:
    import torch

    from property_models.network import MessagePassing, Network, NetworkRecipe

    recipe = NetworkRecipe(**{k: v for k, v in entry.items() if k != "kind"})
    mean, scale = map(float, arrays.pop("scalars"))
    module = MessagePassing(recipe.n_layers, recipe.n_channels, recipe.dropout)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return Network(module, task, mean, scale, recipe)


def recipe_kind(recipe: MemberRecipe) -> str:
    """The name of a recipe's member kind, as in configs and cards."""
    if isinstance(recipe, TreesRecipe):
        return "boosted_trees"
    return "tanimoto_kernel" if isinstance(recipe, KernelRecipe) else "network"


def recipe_entry(recipe: MemberRecipe) -> dict[str, Any]:
    """A recipe as a card's `members` entry."""
    return {"kind": recipe_kind(recipe), **asdict(recipe)}
