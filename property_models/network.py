"""Member `network`: a message-passing network on molecular graphs (PyG).

GINE layers (Hu et al. 2020, https://arxiv.org/abs/1905.12265) with residual connections; the
pooled graph is read out together with the molecule's descriptors (as in Chemprop, Yang et al.
2019, https://doi.org/10.1021/acs.jcim.9b00237).
Shape letters: A atoms of a batch, E directed bonds, M molecules, C channels, D descriptors.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from property_models.features import DESCRIPTOR_NAMES, Features
from property_models.graphs import (
    ATOM_CATEGORIES,
    BOND_CATEGORIES,
    Batch,
    GINEConv,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

Array = NDArray[np.float64]

PREDICTION_BATCH = 256


@dataclass(frozen=True)
class NetworkRecipe:
    """Size and training of the network; the defaults train 10,000 molecules in minutes.

    `weight` is the member's weight in the ensemble's mean.
    """

    n_layers: int = 3
    n_channels: int = 128
    dropout: float = 0.1
    n_epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    weight: float = 1.0


class CategoryEmbedding(nn.Module):
    """Sum of one embedding per categorical column."""

    starts: Tensor

    def __init__(self, categories: Sequence[int], n_channels: int) -> None:
        super().__init__()
        starts = np.cumsum([0, *categories[:-1]])
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.long), persistent=False)
        self.table = nn.Embedding(sum(categories), n_channels)

    def forward(self, columns: Tensor) -> Tensor:
        """Embeds int64 (rows, n_columns) into (rows, C)."""
        out: Tensor = self.table(columns + self.starts).sum(dim=1)
        return out


class MessagePassing(nn.Module):
    """Embed atoms and bonds, pass messages, pool, read out one score per molecule."""

    descriptor_mean: Tensor
    descriptor_scale: Tensor

    def __init__(self, n_layers: int, n_channels: int, dropout: float) -> None:
        super().__init__()
        c = n_channels
        self.embed_atoms = CategoryEmbedding(ATOM_CATEGORIES, c)
        self.embed_bonds = nn.ModuleList(
            CategoryEmbedding(BOND_CATEGORIES, c) for _ in range(n_layers)
        )
        self.layers = nn.ModuleList(
            GINEConv(nn.Sequential(nn.Linear(c, 2 * c), nn.ReLU(), nn.Linear(2 * c, c)))
            for _ in range(n_layers)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(c) for _ in range(n_layers))
        self.dropout = nn.Dropout(dropout)
        d = len(DESCRIPTOR_NAMES)
        self.register_buffer("descriptor_mean", torch.zeros(d))
        self.register_buffer("descriptor_scale", torch.ones(d))
        self.embed_descriptors = nn.Sequential(nn.Linear(d, c), nn.ReLU(), nn.Dropout(dropout))
        self.read_out = nn.Sequential(
            nn.Linear(4 * c, c), nn.ReLU(), nn.Dropout(dropout), nn.Linear(c, 1)
        )

    def forward(self, graphs: Batch, descriptors_MD: Tensor) -> Tensor:
        """Raw scores, shape (M,): standardised value (regression) or logit (classification)."""
        h_AC = self.embed_atoms(graphs.x)
        for embed_bonds, layer, norm in zip(self.embed_bonds, self.layers, self.norms, strict=True):
            e_EC = embed_bonds(graphs.edge_attr)
            message_AC = norm(layer(h_AC, graphs.edge_index, e_EC))
            h_AC = h_AC + self.dropout(torch.relu(message_AC))
        n, molecule = graphs.num_graphs, graphs.batch
        # A descriptor without a value counts as average, an extreme one as five deviations.
        d_MD = (descriptors_MD - self.descriptor_mean) / self.descriptor_scale
        d_MC = self.embed_descriptors(torch.nan_to_num(d_MD).clamp(-5.0, 5.0))
        pooled_M4C = torch.cat(
            [
                global_add_pool(h_AC, molecule, n) / 20.0,  # about one drug-sized molecule
                global_mean_pool(h_AC, molecule, n),
                global_max_pool(h_AC, molecule, n),
                d_MC,
            ],
            dim=1,
        )
        score_M1: Tensor = self.read_out(pooled_M4C)
        return score_M1.squeeze(1)


@dataclass
class Network:
    """A trained message-passing network with the scale of its target."""

    module: MessagePassing
    task: str
    mean: float
    scale: float
    recipe: NetworkRecipe
    kind = "network"

    def predict(self, features: Features) -> Array:
        """Value (regression) or probability (classification), float64, shape (n,).

        Computed in double precision on one thread and rounded to 1e-6: the last bits of a
        matrix product depend on the size of the batch, the rounded result does not.
        """
        scores = np.empty(len(features))
        module = self.module.double().eval()
        with single_thread(), torch.no_grad():
            for start in range(0, len(features), PREDICTION_BATCH):
                rows = slice(start, start + PREDICTION_BATCH)
                descriptors = torch.from_numpy(features.descriptors[rows]).double()
                raw = module(Batch.from_data_list(features.graphs[rows]), descriptors)
                if self.task == "classification":
                    raw = torch.sigmoid(raw)
                scores[rows] = raw.numpy()
        return np.round(scores * self.scale + self.mean, 6)


def fit_network(
    features: Features,
    values: Array,
    *,
    task: str,
    recipe: NetworkRecipe,
    seed: int,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Network:
    """Trains on values of shape (n,): real numbers (regression) or 0/1 (classification).

    Args:
        features: The compounds.
        values: Their measured values.
        task: 'regression' (mean squared error) or 'classification' (cross-entropy).
        recipe: Size and training.
        seed: Decides initial weights, order and dropout.
        on_epoch: Called with (epoch from 1, mean training loss).
    """
    mean, scale = (
        (float(values.mean()), float(values.std()) or 1.0) if task == "regression" else (0.0, 1.0)
    )
    targets = torch.tensor((values - mean) / scale, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        module = MessagePassing(recipe.n_layers, recipe.n_channels, recipe.dropout)
        module.descriptor_mean, module.descriptor_scale = _scaling(features.descriptors)
        _train(module, features, targets, task, recipe, on_epoch)
    return Network(module, task, mean, scale, recipe)


def _scaling(descriptors: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each descriptor, float32, shape (D,); deviation 1 where constant."""
    masked = np.ma.masked_invalid(descriptors.astype(np.float64))
    mean, scale = masked.mean(axis=0).filled(0.0), masked.std(axis=0).filled(1.0)
    scale[scale < 1e-6] = 1.0
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)


def _train(
    module: MessagePassing,
    features: Features,
    targets: Tensor,
    task: str,
    recipe: NetworkRecipe,
    on_epoch: Callable[[int, float], None] | None,
) -> None:
    n, graphs = len(features), features.graphs
    descriptors = torch.from_numpy(features.descriptors)
    n_batches = max(1, math.ceil(n / recipe.batch_size))
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=n_batches * recipe.n_epochs, pct_start=0.15
    )
    loss_function: Any = (
        nn.functional.mse_loss
        if task == "regression"
        else nn.functional.binary_cross_entropy_with_logits
    )
    module.train()
    for epoch in range(1, recipe.n_epochs + 1):
        total = 0.0
        # Near-equal batches: batch normalisation has no use for a last batch of one molecule.
        for rows in np.array_split(torch.randperm(n).numpy(), n_batches):
            batch = Batch.from_data_list([graphs[i] for i in rows])
            loss = loss_function(module(batch, descriptors[rows]), targets[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        if on_epoch is not None:
            on_epoch(epoch, total / n)


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Lets torch compute on one thread; the caller's setting is restored."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
