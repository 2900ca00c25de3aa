"""What the sampler does with the network's numbers, compiled: mask, draw, take the step.

Shape letters: P molecules that take a step, W actions, N atoms, S slots, T tokens, D width.
`slot` maps a row to the molecule's place among the states and in the cache.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

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


@numba.njit(cache=True)
def mask_actions(
    states: States, slot: Ints, logits_PW: Floats, column_W: npt.NDArray[np.int32],
    need_W: npt.NDArray[np.int16], usable_W: npt.NDArray[np.bool_], min_atoms: int, max_atoms: int,
    temperature: float,
) -> None:  # fmt: skip
    """Turn logits into the logarithms of weights, in place: at most 0, -inf where not allowed.

    Args:
        states: the graphs.
        slot: (P,) which of them.
        logits_PW: of what comes next.
        column_W: which entry of `allowed_actions` an action needs.
        need_W: how much of it.
        usable_W: False for actions that are never to be taken.
        min_atoms: see `allowed_actions`.
        max_atoms: see `allowed_actions`.
        temperature: below 1 the likely gets likelier.
    """
    allowed = np.zeros(N_ALLOWED, np.int16)
    scale = np.float32(1 / temperature)
    for row in range(slot.shape[0]):
        g, logits = states[slot[row]], logits_PW[row]
        allowed_actions(g, min_atoms, max_atoms, allowed)
        if not _can_attach(allowed, column_W, need_W, usable_W):
            # Nothing that fits may be used: as with no room left, it is complete if it can be.
            allowed_actions(g, 1, max_atoms, allowed)
        highest = np.float32(-np.inf)
        for w in range(logits.shape[0]):
            legal = usable_W[w] and allowed[column_W[w]] >= need_W[w]
            logits[w] = logits[w] if legal else np.float32(-np.inf)
            highest = max(highest, logits[w])
        if highest > -np.inf:
            for w in range(logits.shape[0]):
                logits[w] = (logits[w] - highest) * scale


@numba.njit(cache=True)
def _can_attach(
    allowed: npt.NDArray[np.int16], column_W: npt.NDArray[np.int32],
    need_W: npt.NDArray[np.int16], usable_W: npt.NDArray[np.bool_],
) -> bool:  # fmt: skip
    for w in range(N_FIXED_ACTIONS, column_W.shape[0]):
        if usable_W[w] and allowed[column_W[w]] >= need_W[w]:
            return True
    return False


@numba.njit(cache=True)
def draw_actions(weight_PW: Floats, uniform_P: Floats, top_p: float) -> Ints:
    """One action a row by its weight, (P,); -1 where all weights are 0."""
    action = np.empty(weight_PW.shape[0], np.int64)
    for row in range(weight_PW.shape[0]):
        action[row] = draw_one(weight_PW[row], uniform_P[row], top_p)
    return action


@numba.njit(cache=True)
def draw_one(weight: Floats, uniform: float, top_p: float) -> int:
    """An index by its weight (inverse-transform sampling), or -1 where all weights are 0.

    In double precision, with single-precision uniforms below 1, the draw stays below the total,
    so an entry of weight 0 is never chosen. Below 1, `top_p` restricts the choice to the
    likeliest entries that together reach that share (https://arxiv.org/abs/1904.09751).
    """
    total = 0.0
    for i in range(weight.shape[0]):
        total += weight[i]
    if total == 0.0:
        return -1
    if top_p < 1:
        return _draw_from_nucleus(weight, total, uniform, top_p)
    rest = np.float64(uniform) * total
    reached = 0.0
    for i in range(weight.shape[0]):
        reached += weight[i]
        if reached > rest:
            return i
    return -1


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
