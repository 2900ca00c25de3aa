"""How likely `draw_order` draws a building sequence of a molecule, exactly.

Followed atom by atom, an order is a chain of choices between equal candidates, so its probability
is known. A *sequence* is what a network sees of an order, actions and pointers; orders that differ
by a symmetry of the molecule may be the same sequence, whose probability is the sum of theirs.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from molgen.graphs.orders import Plan, Target, draw_order
from molgen.graphs.state import KIND_CLOSE, State
from molgen.graphs.vocabulary import Tables

Symmetries = npt.NDArray[np.int16]  # (S, N): atom that takes each one's place, the identity too


@numba.njit(cache=True)
def sequence_probability(
    g: State, p: Plan, t: Target, symmetries: Symmetries, tables: Tables, max_atoms: int,
    scratch: tuple[Any, Any],
) -> float:  # fmt: skip
    """The probability that `draw_order` draws this sequence, nothing being kept.

    Args:
        g: the graph as `draw_order` left it.
        p: its plan, likewise; of what was drawn nothing stays.
        t: the sequence.
        symmetries: all permutations of the plan's atoms that keep the molecule as it is; more do
            no harm.
        tables: of the vocabulary.
        max_atoms: as it was drawn.
        scratch: another graph and target, of no interest afterwards.

    Returns:
        A probability, as float64.
    """
    n = p.n_atoms
    place = np.empty(n, np.int16)
    for a in range(n):
        place[a] = p.built[a]
    _note(g, p, t)
    other_g, other_t = scratch
    p.guided = 1
    total = 0.0
    for s in range(symmetries.shape[0]):
        for a in range(n):
            p.wish[a] = place[symmetries[s, a]]
        p.log_prob = 0.0
        draw_order(other_g, p, tables, max_atoms, other_t, False)
        same = other_g.n_tokens == g.n_tokens
        for a in range(n):
            same = same and p.built[a] == p.wish[a]
        for i in range(g.n_tokens):
            same = same and other_t.action[i] == t.action[i] and other_t.pointer[i] == t.pointer[i]
        if same:
            total += np.exp(p.log_prob)
    p.guided = 0
    return total


@numba.njit(cache=True)
def _note(g: State, p: Plan, t: Target) -> None:
    """Write the order of a built graph into its plan, as one to be followed."""
    p.wish_parent[:] = -1
    p.wish_closing[:] = -1
    for i in range(g.n_tokens - 1):
        if t.action[i] < 0:
            continue
        a = g.token_atom[i + 1]  # what the step added, or closed a ring with
        if g.token_kind[i + 1] != KIND_CLOSE:
            p.wish_parent[a] = t.pointer[i]
        elif p.wish_closing[a] < 0:
            p.wish_closing[a] = t.pointer[i]
