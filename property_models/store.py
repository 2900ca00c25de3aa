"""A predictor's folder: card, arrays, trees, network. Nothing in it is ever unpickled.

- card.json: what the predictor is, and the SHA-256 of every file that it computes with
- card.html: the same to read
- reference.safetensors.xz: reference index, calibration, weights of the members
- one file per member (`member_files.py`), each compressed as well
"""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from property_models.additive import AdditiveModel
from property_models.calibration import (
    N_GRID,
    Calibration,
    NormalisedIntervals,
    VennAbers,
)
from property_models.card_page import card_page
from property_models.difficulty import Difficulty
from property_models.domain import Domain, ReferenceIndex
from property_models.errors import ModelFileError
from property_models.features import N_ECFP_BITS
from property_models.member_files import (
    is_member_file,
    load_member,
    member_bytes,
    member_files,
)
from property_models.model_card import (
    CARD_FILE,
    CARD_VERSION,
    CURE,
    ModelCard,
    feature_columns,
    read_card,
)

if TYPE_CHECKING:
    from property_models.ensemble import Member

PAGE_FILE = "card.html"
REFERENCE_FILE = "reference.safetensors.xz"
MAX_BYTES = 2**30  # of a decompressed file: more is no predictor of ours
MAX_MEMORY = 2**28  # for decompressing; our own setting needs a quarter of it

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Parts:
    """What a predictor computes with.

    Attributes:
        members: Fitted on all compounds.
        weights: What each member's score counts, not negative.
        calibration: Fitted on out-of-fold scores.
        reference: The training compounds.
        additive: Surrogate for explanations; None where a predictor was made without one.
    """

    members: list[Member]
    weights: list[float]
    calibration: Calibration
    reference: ReferenceIndex
    additive: AdditiveModel | None = None


# -- save -----------------------------------------------------------------------------------


def save(folder: Path, card: ModelCard, parts: Parts) -> None:
    """Writes a predictor into a folder, the card last; `card.files` is filled in here.

    Everything is made before anything is written, so what cannot be saved leaves an earlier
    predictor in the folder as it is.
    """
    blobs = {REFERENCE_FILE: save_arrays(_reference_arrays(parts))}
    names = member_files([member.kind for member in parts.members])
    blobs |= {n: member_bytes(m) for n, m in zip(names, parts.members, strict=True)}
    blobs = {name: lzma.compress(blob, preset=9) for name, blob in blobs.items()}
    hashes = {name: hashlib.sha256(blob).hexdigest() for name, blob in sorted(blobs.items())}
    content = {**asdict(card), "files": hashes, "card_version": CARD_VERSION}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    page = card_page(card)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name == CARD_FILE or (is_member_file(path.name) and path.name not in blobs):
            path.unlink()
    for name, blob in blobs.items():
        (folder / name).write_bytes(blob)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def _reference_arrays(parts: Parts) -> Arrays:
    reference, calibration = parts.reference, parts.calibration
    keys = "".join(key.ljust(14) for key in reference.inchikeys).encode("ascii")
    arrays: Arrays = {
        "bits": reference.bits,
        "inchikeys": np.frombuffer(keys, np.uint8).reshape(-1, 14),
        "values": reference.values,
        "errors": reference.errors,
        "bounds": reference.bounds,
        "member_weights": np.array(parts.weights, np.float64),
        "domain": np.array([calibration.domain.min_similarity, calibration.domain.max_difficulty]),
    }
    if (additive := parts.additive) is not None:
        arrays["additive_weights"] = additive.weights
        arrays["additive_scalars"] = np.array(
            [additive.intercept, additive.fidelity, additive.n_molecules]
        )
    intervals, difficulty = calibration.intervals, calibration.difficulty
    if isinstance(intervals, NormalisedIntervals):
        arrays["multiple"] = np.array([intervals.multiple, intervals.exponent])
    else:
        arrays["p0"], arrays["p1"] = intervals.p0, intervals.p1
    for name in ("centre", "scale", "slopes"):
        arrays[f"difficulty_{name}"] = getattr(difficulty, name)
    arrays["difficulty_scalars"] = np.array(
        [difficulty.intercept, difficulty.unit, difficulty.middle]
    )
    return arrays


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
        names = member_files([entry["kind"] for entry in card.members])
        members = [
            load_member(entry, blobs[name], card.task)
            for name, entry in zip(names, card.members, strict=True)
        ]
        weights = [float(weight) for weight in arrays["member_weights"]]
        if len(weights) != len(members):
            raise ValueError(f"{len(weights)} weights for {len(members)} members")
        parts = Parts(members, weights, _calibration(arrays), _reference(arrays), _additive(arrays))
    except _UNFIT as error:
        raise ModelFileError(
            f"{folder}: the predictor's files do not fit its card ({error}); {CURE}"
        ) from error
    return card, parts


# What reading raises where files and card are of different predictors, damaged or made up.
_UNFIT = (
    LookupError, ValueError, TypeError, AttributeError, ArithmeticError, OSError, RuntimeError,
    SafetensorError,
)  # fmt: skip


def _read_checked(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise ModelFileError(f"{path} is missing; {CURE}")
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != digest:
        raise ModelFileError(f"{path} is damaged: its SHA-256 is not the card's; {CURE}")
    return _decompressed(blob, path)


def _decompressed(blob: bytes, path: Path) -> bytes:
    reader = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_MEMORY)
    try:
        content = reader.decompress(blob, max_length=MAX_BYTES)
    except lzma.LZMAError as error:
        raise ModelFileError(f"{path} cannot be decompressed ({error}); {CURE}") from error
    if not reader.eof:
        raise ModelFileError(f"{path} is cut off, or too large to be a predictor's; {CURE}")
    return content


def _reference(arrays: Arrays) -> ReferenceIndex:
    keys = [bytes(row).decode("ascii").strip() for row in arrays["inchikeys"]]
    bits, values, errors = arrays["bits"], arrays["values"], arrays["errors"]
    # Compiled code looks compounds up, which would follow a wrong index out of its arrays.
    if bits.dtype != np.uint64 or bits.shape != (len(keys), N_ECFP_BITS // 64) or not keys:
        raise ValueError(f"fingerprints of shape {bits.shape} for {len(keys)} compounds")
    # Predictors of the first kind kept no bounds; of the shipped ones none learnt any.
    bounds = arrays.get("bounds", np.zeros(len(keys), np.int8))
    if not values.shape == errors.shape == bounds.shape == (len(keys),):
        raise ValueError(f"{values.shape} values and {errors.shape} errors of {len(keys)}")
    return ReferenceIndex(bits, keys, values, errors, bounds)


def _additive(arrays: Arrays) -> AdditiveModel | None:
    if "additive_weights" not in arrays:
        return None
    intercept, fidelity, n_molecules = map(float, arrays["additive_scalars"])
    return AdditiveModel(arrays["additive_weights"], intercept, fidelity, int(n_molecules))


def _calibration(arrays: Arrays) -> Calibration:
    intervals: NormalisedIntervals | VennAbers
    if "multiple" in arrays:
        intervals = NormalisedIntervals(*map(float, arrays["multiple"]))
    else:
        intervals = VennAbers(arrays["p0"], arrays["p1"])
        if not intervals.p0.shape == intervals.p1.shape == (N_GRID,):
            raise ValueError(f"probabilities are not on a grid of {N_GRID} scores")
    difficulty = Difficulty(
        arrays["difficulty_centre"],
        arrays["difficulty_scale"],
        arrays["difficulty_slopes"],
        *map(float, arrays["difficulty_scalars"]),
    )
    return Calibration(intervals, difficulty, Domain(*map(float, arrays["domain"])))
