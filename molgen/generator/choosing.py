"""What the sampler does with the network's numbers, compiled: mask, draw, take the step.

Shape letters: P molecules that take a step, W actions, N atoms, S slots, T tokens, D width.
`slot` maps a row to the molecule's place among the states and in the cache.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from molgen.generator.vectors import Bits, exp_in_place, widen
from molgen.graphs.state import (
    MAX_ATOMS,
    N_ALLOWED,
    States,
    allowed_actions,
    allowed_atoms,
    step,
)
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP, Tables

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_BLOCK = 64
_LANES = 16


class Needs(NamedTuple):
    """What actions need of a molecule; actions with the same need form a group of G.

    Attributes:
        group_W: int32, the group of each action.
        column_G: which entry of `allowed_actions` a group needs; -1: never to be taken.
        least_G: how much of it.
        attaches_G: whether the group's actions add atoms.
    """

    group_W: npt.NDArray[np.int32]
    column_G: npt.NDArray[np.int16]
    least_G: npt.NDArray[np.int16]
    attaches_G: npt.NDArray[np.bool_]


def needs_of(
    column_W: npt.NDArray[np.int16], need_W: npt.NDArray[np.int16], usable_W: npt.NDArray[np.bool_]
) -> Needs:
    """The groups of actions.

    Args:
        column_W: which entry of `allowed_actions` an action needs.
        need_W: how much of it.
        usable_W: False for actions that are never to be taken.
    """
    attaches_W = np.arange(len(column_W)) >= N_FIXED_ACTIONS
    columns = np.where(usable_W, column_W, -1)
    keys = np.stack([columns, need_W, attaches_W], axis=1).astype(np.int16)
    groups, group_W = np.unique(keys, axis=0, return_inverse=True)
    column_G, least_G, attaches_G = groups.T.copy()
    return Needs(group_W.astype(np.int32).ravel(), column_G, least_G, attaches_G.astype(np.bool_))


@numba.njit(cache=True)
def draw_actions(
    states: States, slot: Ints, logits_PW: Bits, shift: np.uint32, bias_W: Floats,
    need: Needs, min_atoms: int, max_atoms: int, temperature: float, uniform_P: Floats,
    top_p: float,
) -> Ints:  # fmt: skip
    """What comes next in each molecule, (P,); -1 where nothing is allowed.

    One row is masked, turned into weights and drawn from before the next: it stays in the cache.

    Args:
        states: the graphs.
        slot: (P,) which of them.
        logits_PW: of what comes next, without their bias, as bits.
        shift: 0 for float32, 16 for bfloat16.
        bias_W: added to the logits.
        need: of the actions, from `needs_of`.
        min_atoms: see `allowed_actions`.
        max_atoms: see `allowed_actions`.
        temperature: below 1 the likely gets likelier.
        uniform_P: a uniform number for each row.
        top_p: see `draw_one`.
    """
    action = np.empty(slot.shape[0], np.int64)
    allowed = np.zeros(N_ALLOWED, np.int16)
    penalty = np.empty(need.column_G.shape[0], np.float32)
    bits = np.empty(logits_PW.shape[1], np.uint32)
    logits = bits.view(np.float32)
    for row in range(slot.shape[0]):
        g = states[slot[row]]
        allowed_actions(g, min_atoms, max_atoms, allowed)
        can_attach = _penalties(allowed, need, penalty)
        if not can_attach:
            # Nothing that fits may be used: as with no room left, it is complete if it can be.
            allowed_actions(g, 1, max_atoms, allowed)
            _penalties(allowed, need, penalty)
        widen(logits_PW[row], shift, bits)
        highest = _mask(logits, bias_W, need.group_W, penalty)
        if highest == -np.inf:
            action[row] = -1
            continue
        _subtract_and_scale(logits, highest, np.float32(1 / temperature))
        exp_in_place(logits)
        action[row] = draw_one(logits, uniform_P[row], top_p)
    return action


@numba.njit(cache=True)
def _penalties(allowed: npt.NDArray[np.int16], need: Needs, penalty: Floats) -> bool:
    """0 for what is allowed, -inf for the rest; whether anything may be attached."""
    can_attach = False
    for k in range(penalty.shape[0]):
        fits = need.column_G[k] >= 0 and allowed[need.column_G[k]] >= need.least_G[k]
        penalty[k] = np.float32(0 if fits else -np.inf)
        can_attach |= fits and need.attaches_G[k]
    return can_attach


@numba.njit(cache=True)
def _mask(
    logits: Floats, bias_W: Floats, group_W: npt.NDArray[np.int32], penalty: Floats
) -> np.float32:
    """Add bias and penalty; the highest of them."""
    for w in range(logits.shape[0]):
        logits[w] += bias_W[w] + penalty[group_W[w]]
    lanes = np.full(_LANES, -np.inf, np.float32)  # compared side by side, on vector units
    n_whole = logits.shape[0] // _LANES * _LANES
    for first in range(0, n_whole, _LANES):
        part = logits[first : first + _LANES]
        for i in range(_LANES):
            lanes[i] = part[i] if part[i] > lanes[i] else lanes[i]
    highest = np.float32(lanes.max())
    for w in range(n_whole, logits.shape[0]):
        highest = max(highest, logits[w])
    return highest


@numba.njit(cache=True)
def _subtract_and_scale(logits: Floats, highest: np.float32, scale: np.float32) -> None:
    for w in range(logits.shape[0]):
        logits[w] = (logits[w] - highest) * scale


@numba.njit(cache=True)
def draw_one(weight: Floats, uniform: float, top_p: float) -> int:
    """An index by its weight (inverse-transform sampling), or -1 where all weights are 0.

    Whole blocks are passed over by their sums. An entry of weight 0 is never chosen. Below 1,
    `top_p` restricts the choice to the likeliest entries that together reach that share
    (https://arxiv.org/abs/1904.09751).
    """
    n_blocks = weight.shape[0] // _BLOCK
    sums = np.empty(n_blocks + 1, np.float64)
    total = 0.0
    for k in range(n_blocks):
        sums[k] = _sum(weight[k * _BLOCK : (k + 1) * _BLOCK])
        total += sums[k]
    for i in range(n_blocks * _BLOCK, weight.shape[0]):
        total += weight[i]
    if total == 0.0:
        return -1
    if top_p < 1:
        return _draw_from_nucleus(weight, total, uniform, top_p)
    rest = np.float64(uniform) * total
    reached, k = 0.0, 0
    while k < n_blocks and reached + sums[k] <= rest:
        reached += sums[k]
        k += 1
    drawn = -1
    for i in range(k * _BLOCK, weight.shape[0]):
        if weight[i] > 0:
            drawn = i
            reached += weight[i]
            if reached > rest:
                break
    return drawn


@numba.njit(cache=True, fastmath={"reassoc"})
def _sum(weight: Floats) -> float:
    total = 0.0
    for i in range(weight.shape[0]):
        total += np.float64(weight[i])
    return total


@numba.njit(cache=True)
def _draw_from_nucleus(weight: Floats, total: float, uniform: float, top_p: float) -> int:
    # All entries below this bound together weigh less than what may be left out.
    bound = (1 - top_p) * total / weight.shape[0]
    likely = np.flatnonzero(weight >= max(bound, 1e-37))
    order = likely[np.argsort(-weight[likely], kind="mergesort")]
    n_kept, kept = 0, 0.0
    while n_kept < order.shape[0] and kept < top_p * total:
        kept += weight[order[n_kept]]
        n_kept += 1
    rest = np.float64(uniform) * kept
    reached = 0.0
    for i in range(n_kept):
        reached += weight[order[i]]
        if reached > rest:
            return int(order[i])
    return int(order[0])


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(query: Floats, key: Floats) -> float:
    score = np.float32(0)
    for d in range(query.shape[0]):
        score += query[d] * key[d]
    return float(score)


@numba.njit(cache=True)
def draw_atoms(
    states: States, slot: Ints, action: Ints, query_PD: Floats, keys_STD: Floats, bias_PC: Floats,
    max_atoms: int, temperature: float, uniform_P: Floats, top_p: float, tables: Tables,
) -> Ints:  # fmt: skip
    """The atom that each action goes to, (P,); -1 for a stop and for a first atom.

    Args:
        states: the graphs.
        slot: (P,) which of them.
        action: (P,) what comes next.
        query_PD: the pointers' queries.
        keys_STD: the pointers' keys of all tokens.
        bias_PC: added to the score of an atom, by what the newest token sees of it.
        max_atoms: see `allowed_atoms`.
        temperature: below 1 the likely gets likelier.
        uniform_P: a uniform number for each row.
        top_p: see `draw_one`.
        tables: of the vocabulary.
    """
    pointer = np.full(slot.shape[0], -1, np.int64)
    allowed = np.zeros(MAX_ATOMS, np.uint8)
    score = np.empty(MAX_ATOMS, np.float32)
    scale = np.float32(1 / math.sqrt(query_PD.shape[1]))
    for row in range(slot.shape[0]):
        g = states[slot[row]]
        n = g.n_atoms
        if action[row] == STOP or n == 0:
            continue
        allowed_atoms(g, action[row], max_atoms, tables, allowed)
        keys, code = keys_STD[slot[row]], g.code[g.n_tokens - 1]
        highest = np.float32(-np.inf)
        for a in range(n):
            if allowed[a]:
                token = g.token_of[a]
                score[a] = _dot(query_PD[row], keys[token]) * scale + bias_PC[row, code[token]]
                highest = max(highest, score[a])
        for a in range(n):
            relative = (score[a] - highest) / temperature
            score[a] = np.float32(math.exp(relative)) if allowed[a] else np.float32(0)
        pointer[row] = draw_one(score[:n], uniform_P[row], top_p)
    return pointer


@numba.njit(cache=True)
def take_steps(states: States, slot: Ints, action: Ints, pointer: Ints, tables: Tables) -> None:
    """Take each row's step; its tokens are written behind the others."""
    for row in range(slot.shape[0]):
        step(states[slot[row]], action[row], pointer[row], tables)


@numba.njit(cache=True)
def gather_tokens(
    states: States, slot: Ints, n_fed: Ints
) -> tuple[Ints, npt.NDArray[np.uint8], Ints, Ints, Ints]:
    """The tokens that the network has not seen yet, packed.

    Args:
        states: the graphs.
        slot: (P,) which of them.
        n_fed: tokens already fed, for every state.

    Returns:
        Features (X, 5), codes (X, T), slots (X,) and places (X,) of the X tokens, and for each
        row which of them is its newest (P,).
    """
    n = n_longest = 0
    for s in slot:
        n += states[s].n_tokens - n_fed[s]
        n_longest = max(n_longest, states[s].n_tokens)
    features = np.empty((n, 5), np.int64)
    code = np.empty((n, n_longest), np.uint8)
    slots, places = np.empty(n, np.int64), np.empty(n, np.int64)
    newest = np.empty(slot.shape[0], np.int64)
    x = 0
    for row in range(slot.shape[0]):
        g = states[slot[row]]
        for i in range(n_fed[slot[row]], g.n_tokens):
            features[x, 0] = g.token_type[i]
            features[x, 1] = g.token_bond[i]
            features[x, 2] = g.token_kind[i]
            features[x, 3] = g.token_status[i]
            features[x, 4] = i
            slots[x], places[x] = slot[row], i
            code[x, : i + 1] = g.code[i, : i + 1]
            x += 1
        newest[row] = x - 1
    return features, code, slots, places, newest
