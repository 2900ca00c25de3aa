"""Generator weights on disk: one safetensors file that carries its vocabulary."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from molgen.errors import ModelFileError
from molgen.generator.network import GraphTransformer, NetworkSize
from molgen.graphs.vocabulary import Vocabulary

SHIPPED_PRIOR = Path(__file__).parents[1] / "artifacts" / "prior" / "prior.safetensors"
_FORMAT = "molgen-generator-2"


def save_network(network: GraphTransformer, path: Path) -> None:
    """Write weights (half precision), shape and vocabulary; replaces the file atomically."""
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in network.state_dict().items()}
    header = {
        "format": _FORMAT,
        "size": json.dumps(asdict(network.size)),
        "vocabulary": json.dumps(network.vocabulary.to_json()),
    }
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(save(tensors, metadata=header))
    temporary.replace(path)


def load_network(path: Path | None = None) -> GraphTransformer:
    """Read a generator, float32 on the CPU, in evaluation mode.

    Args:
        path: default: the shipped prior.

    Raises:
        ModelFileError: the file is missing, broken, or holds something else.
    """
    path = SHIPPED_PRIOR if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                raise ModelFileError(
                    f"{path}: not a generator of this version (format {header.get('format')!r}, "
                    f"expected {_FORMAT!r}); make one with `molgen pretrain`"
                )
            vocabulary = Vocabulary.from_json(json.loads(header["vocabulary"]))
            network = GraphTransformer(vocabulary, NetworkSize(**json.loads(header["size"])))
            network.load_state_dict({k: file.get_tensor(k).float() for k in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelFileError(f"{path}: cannot read generator weights ({error})") from error
    return network.eval()


def network_state(network: GraphTransformer) -> dict[str, torch.Tensor]:
    """Float32 copies of all weights, for a checkpoint or to hand to a worker."""
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}


def below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
