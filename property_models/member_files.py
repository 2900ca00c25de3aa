"""The bytes of trained members: arrays and networks as safetensors, trees as LightGBM's text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from property_models.descriptors import DESCRIPTOR_NAMES
from property_models.endpoints import Task
from property_models.features import N_ECFP_COUNTS, N_TABLE_COLUMNS
from property_models.kernel import Fingerprint, KernelRecipe, Scaling, TanimotoKernel
from property_models.sparse_counts import SparseCounts, check_sparse
from property_models.trees import BoostedTrees, ForestRecipe, RandomForest, TreesRecipe

if TYPE_CHECKING:
    from property_models.ensemble import Member, MemberRecipe
    from property_models.network import Network

Arrays = dict[str, NDArray[Any]]

# File of a kind's first member; a second one of the same kind has a 2 after the stem.
MEMBER_FILES = {
    "boosted_trees": "trees.txt.xz",
    "random_forest": "forest.txt.xz",
    "tanimoto_kernel": "kernel.safetensors.xz",
    "network": "network.safetensors.xz",
}


def member_files(kinds: Sequence[str]) -> list[str]:
    """File name of each member, in order; KeyError for an unknown kind."""
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        seen[kind] += 1
        stem, suffix = MEMBER_FILES[kind].split(".", 1)
        names.append(f"{stem}{seen[kind] if seen[kind] > 1 else ''}.{suffix}")
    return names


def is_member_file(name: str) -> bool:
    """Whether a file of a predictor's folder is one that `member_files` names."""
    stem, _, suffix = name.partition(".")
    return f"{stem.rstrip('0123456789')}.{suffix}" in MEMBER_FILES.values()


def recipe_kind(recipe: MemberRecipe) -> str:
    """The name of a recipe's member kind, as in configs and cards."""
    if isinstance(recipe, TreesRecipe):
        return "boosted_trees"
    if isinstance(recipe, ForestRecipe):
        return "random_forest"
    return "tanimoto_kernel" if isinstance(recipe, KernelRecipe) else "network"


def recipe_entry(recipe: MemberRecipe) -> dict[str, Any]:
    """A recipe as a card's `members` entry."""
    content = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(recipe).items()}
    return {"kind": recipe_kind(recipe), **content}


# -- write ----------------------------------------------------------------------------------


def member_bytes(member: Member) -> bytes:
    """Content of a member's file."""
    if isinstance(member, BoostedTrees | RandomForest):
        return member.to_bytes()
    if isinstance(member, TanimotoKernel):
        return save_arrays(_kernel_arrays(member))
    return save_arrays(_network_arrays(member))


def _kernel_arrays(member: TanimotoKernel) -> Arrays:
    arrays: Arrays = {
        "shares": member.shares,
        "dual": member.dual,
        "descriptors": member.descriptors,
        "descriptor_mean": member.scaling.mean,
        "descriptor_scale": member.scaling.scale,
        "scalars": np.array(
            [
                member.descriptor_share,
                member.length,
                member.mean,
                member.variance,
                member.noise_ratio,
            ]
        ),
    }
    for name, counts in zip(member.fingerprints, member.counts, strict=True):
        arrays[f"{name}.starts"] = counts.starts
        arrays[f"{name}.columns"] = counts.columns
        arrays[f"{name}.counts"] = counts.counts
    return arrays


def _network_arrays(member: Network) -> Arrays:
    arrays: Arrays = {"scalars": np.array([member.mean, member.scale])}
    for number, module in enumerate(member.modules):
        parameters = {name for name, _ in module.named_parameters()}
        for name, tensor in module.state_dict().items():
            array = tensor.detach().cpu().numpy()
            if array.dtype.kind == "f":
                # Parameters are rounded to half precision when trained; buffers are not.
                array = array.astype(np.float16 if name in parameters else np.float32)
            arrays[f"{number}.{name}"] = array
    return arrays


# -- read -----------------------------------------------------------------------------------


def load_member(entry: Mapping[str, Any], blob: bytes, task: Task) -> Member:
    """Reads a member from its card entry and its file.

    Raises:
        KeyError, ValueError, TypeError, OSError, RuntimeError, safetensors.SafetensorError: The
            two do not fit, or the file is not what `member_bytes` wrote.
    """
    kind, transform = entry["kind"], entry.get("transform", "none")
    if kind in ("boosted_trees", "random_forest"):
        trees = (BoostedTrees if kind == "boosted_trees" else RandomForest).from_bytes(
            blob, transform
        )
        if any(model.n_columns != N_TABLE_COLUMNS for model in trees.models):
            raise ValueError(f"trees on another table than the {N_TABLE_COLUMNS} columns computed")
        return trees
    arrays = load_arrays(blob)
    if kind == "tanimoto_kernel":
        return _load_kernel(entry, arrays)
    if kind == "network":
        return _load_network(entry, arrays, task)
    raise ValueError(f"unknown kind of member: {kind!r}")


def _load_kernel(entry: Mapping[str, Any], arrays: Arrays) -> TanimotoKernel:
    # A fingerprint of the recipe that got no weight in the fit was not kept.
    kept = [name for name in entry["fingerprints"] if f"{name}.starts" in arrays]
    descriptor_share, length, mean, variance, noise_ratio = map(float, arrays["scalars"])
    model = TanimotoKernel(
        fingerprints=tuple(kept),
        counts=tuple(
            SparseCounts(
                arrays[f"{name}.starts"],
                arrays[f"{name}.columns"],
                arrays[f"{name}.counts"],
                N_ECFP_COUNTS,
            )
            for name in kept
        ),
        shares=arrays["shares"],
        descriptors=arrays["descriptors"],
        scaling=Scaling(arrays["descriptor_mean"], arrays["descriptor_scale"]),
        descriptor_share=descriptor_share,
        length=length,
        dual=arrays["dual"],
        mean=mean,
        variance=variance,
        noise_ratio=noise_ratio,
        transform=entry["transform"],
    )
    _check_kernel(model)
    return model


def _check_kernel(model: TanimotoKernel) -> None:
    """ValueError where the arrays are not of the same compounds, columns and fingerprints."""
    n, n_descriptors = len(model), len(DESCRIPTOR_NAMES)
    for counts in model.counts:
        check_sparse(counts, n)
    width = n_descriptors if model.descriptor_share > 0 else model.descriptors.shape[1]
    shapes: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
        "dual": (model.dual, (n,)),
        "shares": (model.shares, (len(model.fingerprints),)),
        "descriptors": (model.descriptors, (n, width)),
        "descriptor_mean": (model.scaling.mean, (n_descriptors,)),
        "descriptor_scale": (model.scaling.scale, (n_descriptors,)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    unknown = set(model.fingerprints) - set(get_args(Fingerprint))
    if unknown:
        raise ValueError(f"unknown fingerprints: {', '.join(sorted(unknown))}")


def _load_network(entry: Mapping[str, Any], arrays: Arrays, task: Task) -> Network:
    import torch

    from property_models.network import MessagePassing, Network, NetworkRecipe

    known = {field.name for field in fields(NetworkRecipe)}
    recipe = NetworkRecipe(**{k: v for k, v in entry.items() if k in known})
    mean, scale = map(float, arrays.pop("scalars"))
    modules = []
    for number in range(recipe.n_members):
        module = MessagePassing(recipe)
        start = f"{number}."
        state = {
            name.removeprefix(start): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith(start)
        }
        module.load_state_dict(state)  # casts half precision up
        modules.append(module)
    return Network(modules, task, mean, scale, recipe)
