"""Draw molecules from the network: one token a step, many molecules at once.

Whatever the network says, a sample is a connected molecule of legal valences that contains its
prompt: illegal actions and atoms are masked before anything is drawn. Nothing is filtered
afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem
from torch import Tensor

from molgen.errors import ConfigError
from molgen.generator.network import Cache, GraphTransformer, atoms_of
from molgen.generator.prompts import Prompt
from molgen.graphs.decoding import canonical_smiles, to_mol
from molgen.graphs.orders import draw_order, new_targets
from molgen.graphs.state import (
    MAX_ATOMS,
    MAX_TOKENS,
    N_ALLOWED,
    States,
    allowed_actions,
    allowed_atoms,
    new_states,
    start,
    step,
)
from molgen.graphs.vocabulary import STOP, Tables


@dataclass(frozen=True)
class SamplingOptions:
    """How to sample.

    Attributes:
        temperature: below 1 the likely gets likelier.
        min_atoms: heavy atoms below which a molecule is not finished while more fits.
        max_atoms: heavy atoms at most.
    """

    temperature: float = 1.0
    min_atoms: int = 1
    max_atoms: int = 45


@dataclass(frozen=True)
class Sample:
    """A molecule that was drawn.

    Attributes:
        smiles: canonical; stereo the model does not know is left open.
        mol: its RDKit molecule in building order, a prompt's atoms first.
        kept: for each atom of the prompt's core, its index in `mol`; empty de novo.
    """

    smiles: str
    mol: Chem.Mol
    kept: tuple[int, ...]


@torch.no_grad()
def sample(
    network: GraphTransformer,
    n: int,
    *,
    seed: int | Sequence[int],
    prompt: Prompt | None = None,
    options: SamplingOptions = SamplingOptions(),
) -> list[Sample]:
    """Draw n molecules together.

    The result depends on the arguments alone (with one torch thread), so a shard gives the same
    molecules wherever it is drawn.

    Args:
        network: prior or policy, in evaluation mode.
        n: number of molecules; every one started is returned.
        seed: anything that numpy's default_rng takes.
        prompt: the part to keep; None: de novo.
        options: temperature and sizes.

    Returns:
        n samples, in the order they were started.

    Raises:
        ConfigError: the prompt does not fit into `max_atoms`.
    """
    rng = np.random.default_rng(seed)
    check_room(network, prompt, options)
    states, kept = _begin(n, prompt, network.tables, options.max_atoms, rng)
    _complete(network, states, options, rng)
    result = []
    for b in range(n):
        mol = to_mol(states[b], network.vocabulary)
        result.append(Sample(canonical_smiles(mol), mol, kept[b]))
    return result


def check_room(network: GraphTransformer, prompt: Prompt | None, options: SamplingOptions) -> None:
    """Raise a ConfigError where the sizes leave no room for a molecule."""
    limit = min(MAX_ATOMS, network.size.max_atoms)
    if options.max_atoms > limit:
        raise ConfigError(f"max_heavy_atoms: this generator draws at most {limit}")
    if prompt is not None:
        needed = prompt.core.GetNumAtoms() + max(prompt.n_points, 1)
        if needed > options.max_atoms:
            raise ConfigError(
                f"prompt {prompt.smiles!r}: needs {needed} heavy atoms with its attachment points, "
                f"max_heavy_atoms is {options.max_atoms}"
            )


def _begin(
    n: int, prompt: Prompt | None, tables: Tables, max_atoms: int, rng: np.random.Generator
) -> tuple[States, list[tuple[int, ...]]]:
    states = new_states(n)
    if prompt is None:
        for b in range(n):
            start(states[b], False)
        return states, [()] * n
    plan, target = prompt.plan.copy(), new_targets(1)[0]
    plan["rng"] = rng.integers(2**63)
    kept = []
    for b in range(n):
        draw_order(states[b], plan, tables, max_atoms, target, True)
        place = {core: int(plan["built"][i]) for i, core in enumerate(prompt.plan_atoms)}
        kept.append(tuple(place[i] for i in range(len(place))))
    return states, kept


def _complete(
    network: GraphTransformer, states: States, options: SamplingOptions, rng: np.random.Generator
) -> None:
    """Feed every token; where the last one is in, draw the next step; until all have stopped."""
    active = np.arange(len(states))
    fed = np.zeros(len(states), np.int64)
    cache = Cache(network.size, len(states), MAX_TOKENS)
    while len(active):
        h_BD = _feed(network, states, active, fed, cache)
        ready = np.flatnonzero(fed == states["n_tokens"][active] - 1)
        fed += 1
        if not len(ready):
            continue
        finished = _draw(network, states, active, ready, h_BD, cache, options, rng)
        if finished.any():
            alive = np.flatnonzero(~finished)
            active, fed = active[alive], fed[alive]
            cache.keep(torch.from_numpy(alive))


def _feed(
    network: GraphTransformer, states: States, active: npt.NDArray[np.int64],
    fed: npt.NDArray[np.int64], cache: Cache,
) -> Tensor:  # fmt: skip
    """Give the network the next token of each active molecule; hidden states (B, D)."""
    t = int(fed.max()) + 1
    features, code = np.empty((len(active), 5), np.int64), np.empty((len(active), t), np.int64)
    _gather_tokens(states, active, fed, features, code)
    return network.extend(
        torch.from_numpy(features)[:, None], torch.from_numpy(code), torch.from_numpy(fed), cache
    )


@numba.njit(cache=True)
def _gather_tokens(
    states: States, active: npt.NDArray[np.int64], fed: npt.NDArray[np.int64],
    features: npt.NDArray[np.int64], code: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    code[:, :] = 0
    for row in range(active.shape[0]):
        g, i = states[active[row]], fed[row]
        features[row, 0] = g.token_type[i]
        features[row, 1] = g.token_bond[i]
        features[row, 2] = g.token_kind[i]
        features[row, 3] = g.token_status[i]
        features[row, 4] = i
        for j in range(i + 1):
            code[row, j] = g.code[i, j]


def _draw(
    network: GraphTransformer, states: States, active: npt.NDArray[np.int64],
    ready: npt.NDArray[np.int64], h_BD: Tensor, cache: Cache, options: SamplingOptions,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Draw and take the next step of the ready molecules; which active ones have stopped."""
    rows = torch.from_numpy(ready)
    graphs = active[ready]
    allowed = np.zeros((len(ready), N_ALLOWED), np.int16)
    _what_is_allowed(states, graphs, options.min_atoms, options.max_atoms, allowed)
    logits = network.action_logits(h_BD[rows], torch.from_numpy(allowed))
    uniform = rng.random((2, len(ready)), np.float32)
    action = _pick(logits / options.temperature, uniform[0])
    pointer = np.full(len(ready), -1, np.int64)
    n = int(states["n_atoms"][graphs].max())
    points = (action != STOP) & (states["n_atoms"][graphs] > 0)
    if points.any():
        where = np.zeros((len(ready), n), np.uint8)
        tokens = np.zeros((len(ready), n), np.int64)
        codes = np.zeros((len(ready), n), np.int64)
        _where_is_allowed(
            states, graphs, action, options.max_atoms, network.tables, where, tokens, codes
        )
        keys_BND = atoms_of(cache.pointer_keys_BTD[rows], torch.from_numpy(tokens))
        scores = network.pointer_scores(
            h_BD[rows][:, None], torch.from_numpy(action)[:, None], keys_BND,
            torch.from_numpy(codes)[:, None], torch.from_numpy(where)[:, None],
        )[:, 0]  # fmt: skip
        pointer[points] = _pick(
            scores[torch.from_numpy(points)] / options.temperature, uniform[1][points]
        )
    _take_steps(states, graphs, action, pointer, network.tables)
    finished = np.zeros(len(active), np.bool_)
    finished[ready] = action == STOP
    return finished


def _pick(logits_PW: Tensor, uniform_P: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Inverse-transform sampling, one draw a row.

    In double precision, with single-precision uniforms below 1, the draw stays below the total,
    so an entry of probability 0 is never chosen.
    """
    cumulated = logits_PW.double().softmax(-1).cumsum(-1)
    draw = torch.from_numpy(uniform_P).double()[:, None] * cumulated[:, -1:]
    return torch.searchsorted(cumulated, draw, right=True)[:, 0].numpy()


@numba.njit(cache=True)
def _what_is_allowed(
    states: States, graphs: npt.NDArray[np.int64], min_atoms: int, max_atoms: int,
    out: npt.NDArray[np.int16],
) -> None:  # fmt: skip
    for row in range(graphs.shape[0]):
        allowed_actions(states[graphs[row]], min_atoms, max_atoms, out[row])


@numba.njit(cache=True)
def _where_is_allowed(
    states: States, graphs: npt.NDArray[np.int64], action: npt.NDArray[np.int64], max_atoms: int,
    tables: Tables, where: npt.NDArray[np.uint8], tokens: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    for row in range(graphs.shape[0]):
        g = states[graphs[row]]
        newest_token = g.n_tokens - 1
        for a in range(g.n_atoms):
            tokens[row, a] = g.token_of[a]
            codes[row, a] = g.code[newest_token, g.token_of[a]]
        if action[row] != STOP:
            allowed_atoms(g, action[row], max_atoms, tables, where[row])


@numba.njit(cache=True)
def _take_steps(
    states: States, graphs: npt.NDArray[np.int64], action: npt.NDArray[np.int64],
    pointer: npt.NDArray[np.int64], tables: Tables,
) -> None:  # fmt: skip
    for row in range(graphs.shape[0]):
        if action[row] != STOP:
            step(states[graphs[row]], action[row], pointer[row], tables)
