"""Member `network`: an ensemble of message-passing networks on molecular graphs (PyG).

GINE layers (Hu et al. 2020, https://arxiv.org/abs/1905.12265) with residual connections; the
pooled graph is read out together with the molecule's descriptors (as in Chemprop, Yang et al.
2019, https://doi.org/10.1021/acs.jcim.9b00237). Sister assays share the trunk; assays of one
family share a layer of the head as well, and what was not measured carries no loss.
Shape letters: A atoms of a batch, E directed bonds, M molecules, C channels, D descriptors,
T tasks (the endpoint first, then its sister assays).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from property_models.auxiliary import Auxiliary
from property_models.descriptors import DESCRIPTOR_NAMES
from property_models.endpoints import Task
from property_models.features import N_ECFP_BITS, Features
from property_models.graphs import (
    ATOM_CATEGORIES,
    BOND_CATEGORIES,
    Batch,
    GINEConv,
    GraphBatch,
    PackedGraphs,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)
from property_models.transforms import Transform, forward, inverse

Array = NDArray[np.float64]

PREDICTION_BATCH = 256


@dataclass(frozen=True)
class NetworkRecipe:
    """Size and training of the networks; the defaults train 10,000 molecules in minutes.

    Attributes:
        n_layers: Rounds of messages.
        n_channels: Width.
        dropout: In the trunk and the heads.
        n_epochs: Passes over the compounds, under a one-cycle learning rate.
        min_steps: Small tables are passed more often, until there are so many steps.
        batch_size: Molecules per step.
        learning_rate: At the top of the cycle.
        weight_decay: Of AdamW.
        fingerprints: Whether count ECFP4 is joined beside the descriptors.
        n_members: Networks with different seeds; their mean is the score.
        transform: Scale on which it learns.
        weight: In the ensemble's mean, where weights are not stacked.
    """

    n_layers: int = 3
    n_channels: int = 128
    dropout: float = 0.1
    n_epochs: int = 15
    min_steps: int = 0
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    fingerprints: bool = False
    n_members: int = 1
    transform: Transform = "none"
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
    """Embed atoms and bonds, pass messages, pool, read out one score per molecule and task.

    Args:
        recipe: Its size.
        heads: Number of tasks of each family; the endpoint is the first task of the first.
    """

    descriptor_mean: Tensor
    descriptor_scale: Tensor

    def __init__(self, recipe: NetworkRecipe, heads: Sequence[int] = (1,)) -> None:
        super().__init__()
        c, dropout, n_layers = recipe.n_channels, recipe.dropout, recipe.n_layers
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
        n_parts = 4
        if recipe.fingerprints:
            n_parts = 5
            self.embed_fingerprints = nn.Sequential(
                nn.Linear(N_ECFP_BITS, c), nn.ReLU(), nn.Dropout(dropout)
            )
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(n_parts * c, c), nn.ReLU(), nn.Dropout(dropout), nn.Linear(c, n_tasks)
            )
            for n_tasks in heads
        )

    def forward(
        self,
        graphs: GraphBatch | Batch,
        descriptors_MD: Tensor,
        fingerprints_MF: Tensor | None = None,
    ) -> Tensor:
        """Raw scores, shape (M, T): standardised value (regression) or logit (classification).

        `fingerprints_MF` holds folded ECFP4 counts, needed where the recipe joins them.
        """
        h_AC = self.embed_atoms(graphs.x)
        for embed_bonds, layer, norm in zip(self.embed_bonds, self.layers, self.norms, strict=True):
            e_EC = embed_bonds(graphs.edge_attr)
            message_AC = norm(layer(h_AC, graphs.edge_index, e_EC))
            h_AC = h_AC + self.dropout(torch.relu(message_AC))
        n, molecule = graphs.num_graphs, graphs.batch
        # A descriptor without a value counts as average, an extreme one as five deviations.
        d_MD = (descriptors_MD - self.descriptor_mean) / self.descriptor_scale
        parts = [
            global_add_pool(h_AC, molecule, n) / 20.0,  # about one drug-sized molecule
            global_mean_pool(h_AC, molecule, n),
            global_max_pool(h_AC, molecule, n),
            self.embed_descriptors(torch.nan_to_num(d_MD).clamp(-5.0, 5.0)),
        ]
        if fingerprints_MF is not None:
            parts.append(self.embed_fingerprints(torch.log1p(fingerprints_MF)))
        pooled = torch.cat(parts, dim=1)
        return torch.cat([head(pooled) for head in self.heads], dim=1)


@dataclass(frozen=True)
class _Inputs:
    """What the networks see of n molecules."""

    graphs: PackedGraphs
    descriptors: NDArray[np.float32]
    fingerprints: NDArray[np.float32] | None

    def batch(
        self, rows: NDArray[np.int64], dtype: torch.dtype
    ) -> tuple[GraphBatch, Tensor, Tensor | None]:
        joined = self.fingerprints
        return (
            self.graphs.batch(rows),
            torch.from_numpy(self.descriptors[rows]).to(dtype),
            None if joined is None else torch.from_numpy(joined[rows]).to(dtype),
        )


def _inputs(features: Features, recipe: NetworkRecipe) -> _Inputs:
    counts = features.table[:, :N_ECFP_BITS] if recipe.fingerprints else None
    return _Inputs(features.graphs, features.descriptors, counts)


@dataclass
class Network:
    """Trained message-passing networks with the scale of their target."""

    modules: list[MessagePassing]
    task: Task
    mean: float
    scale: float
    recipe: NetworkRecipe
    kind = "network"

    def predict(self, features: Features) -> Array:
        """Value (regression) or probability (classification), float64, shape (n,)."""
        return self.score(features)[0]

    def score(self, features: Features) -> tuple[Array, Array]:
        """Mean and standard deviation over the networks, float64, shape (n,).

        Computed in double precision on one thread. The networks' output, in standard deviations
        of the learnt values or as a probability, is rounded to 1e-6: the last bits of a matrix
        product depend on the size of the batch, the rounded result does not.
        """
        votes = np.empty((len(self.modules), len(features)))
        modules = [module.double().eval() for module in self.modules]
        inputs = _inputs(features, self.recipe)
        with single_thread(), torch.no_grad():
            for start in range(0, len(features), PREDICTION_BATCH):
                rows = np.arange(start, min(start + PREDICTION_BATCH, len(features)))
                batch = inputs.batch(rows, torch.float64)
                for vote, module in zip(votes, modules, strict=True):
                    raw = module(*batch)[:, 0]
                    if self.task == "classification":
                        raw = torch.sigmoid(raw)
                    vote[rows] = raw.numpy()
        votes = inverse(self.recipe.transform, np.round(votes, 6) * self.scale + self.mean)
        return votes.mean(axis=0), votes.std(axis=0)


@dataclass(frozen=True)
class _Targets:
    """Standardised targets of n molecules; NaN where not measured.

    Attributes:
        values: float32, (n, T).
        is_class: bool, (T,).
        weights: Weight of each task's loss, float32, (T,).
        heads: Number of tasks of each family.
    """

    values: Tensor
    is_class: Tensor
    weights: Tensor
    heads: tuple[int, ...]


def fit_network(
    features: Features,
    values: Array,
    *,
    task: Task,
    recipe: NetworkRecipe,
    seed: int,
    auxiliary: Auxiliary | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Network:
    """Trains on values of shape (n,): real numbers (regression) or 0/1 (classification).

    Args:
        features: The compounds.
        values: Their measured values.
        task: 'regression' (mean squared error) or 'classification' (cross-entropy).
        recipe: Size and training.
        seed: Decides initial weights, order and dropout.
        auxiliary: Compounds and values of sister assays, learnt in the same trunk. Leave
            held-out compounds out (`Auxiliary.without`) before.
        on_epoch: Called with (epoch from 1, mean training loss), for each network in turn.
    """
    learnt = forward(recipe.transform, values)
    mean, scale = (
        (float(learnt.mean()), float(learnt.std()) or 1.0) if task == "regression" else (0.0, 1.0)
    )
    inputs = _inputs(features, recipe)
    targets = _targets((learnt - mean) / scale, task, auxiliary)
    if auxiliary is not None:
        inputs = _joined(inputs, _inputs(auxiliary.features, recipe))
    scaling = _scaling(inputs.descriptors)
    modules = []
    with torch.random.fork_rng(devices=[]), single_thread():
        for k in range(recipe.n_members):
            torch.manual_seed(seed + k)
            module = MessagePassing(recipe, targets.heads)
            module.descriptor_mean, module.descriptor_scale = scaling
            _train(module, inputs, targets, recipe, on_epoch)
            modules.append(_for_prediction(module))
    return Network(modules, task, mean, scale, recipe)


def _targets(main: Array, task: Task, auxiliary: Auxiliary | None) -> _Targets:
    """The endpoint's targets as task 0, then those of sister assays, by family."""
    if auxiliary is None:
        values = torch.tensor(main[:, None], dtype=torch.float32)
        return _Targets(values, torch.tensor([task == "classification"]), torch.ones(1), (1,))
    families = list(dict.fromkeys(auxiliary.families))
    order = [t for family in families for t, f in enumerate(auxiliary.families) if f == family]
    below = np.array(auxiliary.values[:, order])
    is_class = [auxiliary.tasks[t] == "classification" for t in order]
    for column, labels in enumerate(is_class):
        if not labels:
            below[:, column] -= np.nanmean(below[:, column])
            below[:, column] /= np.nanstd(below[:, column]) or 1.0
    joined = np.full((len(main) + len(below), 1 + len(order)), np.nan)
    joined[: len(main), 0] = main
    joined[len(main) :, 1:] = below
    # A small endpoint among large assays would be drowned: a task counts by the root of its size.
    n_measured = np.maximum(np.isfinite(joined).sum(axis=0), 1)
    weights = np.sqrt(n_measured[0] / n_measured)
    # The endpoint has a head of its own and borrows the trunk.
    heads = (1, *(auxiliary.families.count(family) for family in families))
    return _Targets(
        torch.tensor(joined, dtype=torch.float32),
        torch.tensor([task == "classification", *is_class]),
        torch.tensor(weights, dtype=torch.float32),
        heads,
    )


def _joined(a: _Inputs, b: _Inputs) -> _Inputs:
    return _Inputs(
        a.graphs.joined(b.graphs),
        np.concatenate([a.descriptors, b.descriptors]),
        None
        if a.fingerprints is None or b.fingerprints is None
        else np.concatenate([a.fingerprints, b.fingerprints]),
    )


def _scaling(descriptors: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each descriptor, float32, shape (D,); deviation 1 where constant."""
    masked = np.ma.masked_invalid(descriptors.astype(np.float64))
    mean, scale = masked.mean(axis=0).filled(0.0), masked.std(axis=0).filled(1.0)
    scale[scale < 1e-6] = 1.0
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)


def _train(
    module: MessagePassing,
    inputs: _Inputs,
    targets: _Targets,
    recipe: NetworkRecipe,
    on_epoch: Callable[[int, float], None] | None,
) -> None:
    n = len(inputs.graphs)
    n_batches = max(1, math.ceil(n / recipe.batch_size))
    n_epochs = max(recipe.n_epochs, math.ceil(recipe.min_steps / n_batches))
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=n_batches * n_epochs, pct_start=0.15
    )
    module.train()
    for epoch in range(1, n_epochs + 1):
        total = 0.0
        # Near-equal batches: batch normalisation has no use for a last batch of one molecule.
        for rows in np.array_split(torch.randperm(n).numpy(), n_batches):
            loss = _loss(module(*inputs.batch(rows, torch.float32)), targets, rows)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        if on_epoch is not None:
            on_epoch(epoch, total / n)


def _loss(raw_MT: Tensor, targets: _Targets, rows: NDArray[np.int64]) -> Tensor:
    """Weighted mean over what was measured: squared error or cross-entropy."""
    wanted_MT = targets.values[rows]
    measured_MT = torch.isfinite(wanted_MT)
    wanted_MT = torch.nan_to_num(wanted_MT)
    squared = (raw_MT - wanted_MT) ** 2
    entropy = nn.functional.binary_cross_entropy_with_logits(
        raw_MT, wanted_MT.clamp(0.0, 1.0), reduction="none"
    )
    weight_MT = measured_MT * targets.weights
    loss: Tensor = (torch.where(targets.is_class, entropy, squared) * weight_MT).sum()
    return loss / weight_MT.sum()


def _for_prediction(trained: MessagePassing) -> MessagePassing:
    """The endpoint's head alone, weights rounded to what is stored (half precision)."""
    trained.heads = nn.ModuleList([trained.heads[0]])
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.copy_(parameter.half())
    return trained.eval()


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Lets torch compute on one thread; the caller's setting is restored."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
