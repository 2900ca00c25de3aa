"""Random building orders: a finished molecule -> the steps that a model learns to take.

Orders are depth-first from a random root, with neighbours in random order. With a *kept part*
the part comes first, as a prompt would give it, and only the rest is to be learnt. The same walk
lays down a user's prompt, where everything is kept.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from molgen.graphs.state import (
    FREE,
    KEPT,
    KEPT_MARKED,
    MAX_ATOMS,
    MAX_TOKENS,
    N_ALLOWED,
    State,
    States,
    allowed_actions,
    allowed_atoms,
    grow,
    start,
    write_step,
)
from molgen.graphs.vocabulary import STOP, Tables

_N, _T = MAX_ATOMS, MAX_TOKENS

# A finished molecule, and how far it has been built again. Atoms are numbered along its units.
PLAN = np.dtype(
    [
        ("n_atoms", np.int32),
        ("rng", np.uint64),
        ("type", np.int16, (_N,)),
        ("bond", np.uint8, (_N, _N)),
        ("unit", np.int16, (_N,)),  # number of the unit an atom belongs to
        ("ring", np.int16, (_N,)),  # ring system of that unit, -1 for a loose atom
        ("position", np.int16, (_N,)),  # place of the atom in its ring system
        ("kept", np.int8, (_N,)),  # FREE, KEPT or KEPT_MARKED
        ("mark", np.int8, (_N, 4)),  # [a, o]: attachment points of bond order o
        ("built", np.int16, (_N,)),  # place in the growing graph, -1: not there yet
        ("stack", np.int16, (_N + 1,)),
        ("height", np.int32),
    ],
    align=True,
)

# What is to be predicted after each token; action -1 where nothing is, pointer -1 where no atom.
TARGET = np.dtype(
    [
        ("action", np.int32, (_T,)),
        ("pointer", np.int32, (_T,)),
        ("allowed", np.int16, (_T, N_ALLOWED)),
        ("pointer_allowed", np.uint8, (_T, _N)),
    ],
    align=True,
)

Plan = Any  # one record of PLAN; numpy cannot type it
Target = Any  # one record of TARGET
Targets = npt.NDArray[np.void]


def new_targets(n: int) -> Targets:
    """Empty records, filled by `draw_order`."""
    return np.zeros(n, TARGET)


def new_plan() -> Plan:
    """An empty record, filled by `expand`."""
    return np.zeros(1, PLAN)[0]


@numba.njit(cache=True)
def random_below(p: Plan, n: int) -> int:
    """A uniform integer in [0, n) by splitmix64 (https://doi.org/10.1145/2714064.2660195)."""
    p.rng += np.uint64(0x9E3779B97F4A7C15)
    z = np.uint64(p.rng)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64((z >> np.uint64(11)) % np.uint64(n))


@numba.njit(cache=True)
def expand(
    p: Plan, units: npt.NDArray[np.uint16], bonds: npt.NDArray[np.uint8], tables: Tables
) -> None:
    """Units and the bonds between them -> a finished molecule, nothing of it kept or built."""
    n_types = tables.valence_A.shape[0]
    p.bond[:, :] = 0
    p.kept[:] = FREE
    p.mark[:, :] = 0
    at = 0
    for u in range(units.shape[0]):
        ring = np.int64(units[u]) - n_types
        n = 1 if ring < 0 else np.int64(tables.base_B[ring].n_atoms)
        for k in range(n):
            p.type[at + k] = units[u] if ring < 0 else tables.base_B[ring].type[k]
            p.unit[at + k] = u
            p.ring[at + k] = max(ring, -1)
            p.position[at + k] = k
        if ring >= 0:
            for e in range(tables.base_B[ring].n_bonds):
                i, j, order = tables.base_B[ring].bond[e]
                p.bond[at + i, at + j] = order
                p.bond[at + j, at + i] = order
        at += n
    p.n_atoms = at
    for e in range(bonds.shape[0]):
        p.bond[bonds[e, 0], bonds[e, 1]] = bonds[e, 2]
        p.bond[bonds[e, 1], bonds[e, 0]] = bonds[e, 2]


@numba.njit(cache=True)
def choose_kept(p: Plan, marked: bool) -> None:
    """Keep a random part: a connected ball, or all but one to three balls.

    Balls take whole ring systems five times out of six, so most cuts are where chemists cut.
    At least one atom is kept and one is not (nothing is kept in a molecule of one atom). With
    `marked`, kept atoms are open exactly where they were cut.
    """
    n = p.n_atoms
    if n < 2:
        return
    kind = KEPT_MARKED if marked else KEPT
    if random_below(p, 3) == 0:
        _ball(p, 1 + random_below(p, n - 1), kind)
    else:
        n_balls = 1 + random_below(p, 3)
        for _ in range(n_balls):
            _ball(p, 1 + random_below(p, max(1, (2 * n) // (3 * n_balls))), kind)
        for a in range(n):
            p.kept[a] = kind - p.kept[a]
    n_kept = 0
    for a in range(n):
        n_kept += p.kept[a] != FREE
    if n_kept == n or n_kept == 0:
        chosen = random_below(p, n)
        p.kept[chosen] = kind - p.kept[chosen]
    for a in range(n):
        for c in range(n):
            if marked and p.kept[a] != FREE and p.kept[c] == FREE and p.bond[a, c] > 0:
                p.mark[a, p.bond[a, c]] += 1


@numba.njit(cache=True)
def _ball(p: Plan, size: int, kind: int) -> None:
    n = p.n_atoms
    whole_rings = random_below(p, 6) > 0
    ball = np.zeros(n, np.uint8)
    chosen = random_below(p, n)
    n_ball = 0
    while chosen >= 0:
        for a in range(n):
            same = whole_rings and p.ring[a] >= 0 and p.unit[a] == p.unit[chosen]
            if ball[a] == 0 and (a == chosen or same):
                ball[a] = 1
                p.kept[a] = kind
                n_ball += 1
        if n_ball >= size:
            return
        chosen = -1
        n_seen = 0
        for a in range(n):
            if ball[a] == 0:
                for c in range(n):
                    if ball[c] == 1 and p.bond[a, c] > 0:
                        n_seen += 1
                        if random_below(p, n_seen) == 0:
                            chosen = a
                        break


@numba.njit(cache=True)
def _whole_ring(p: Plan, v: int, parent: int, prompt: bool, tables: Tables) -> int:
    """The action that adds v's ring system in one go, or -1 where it is built atom by atom.

    It can be added whole where none of it is there yet, all of it is to come in this phase, and
    it touches what is there by the entering bond alone.
    """
    if p.ring[v] < 0:
        return -1
    root = np.int64(tables.base_B[p.ring[v]].root[p.position[v]])
    if root < 0:
        return -1
    order = 1 if parent < 0 else np.int64(p.bond[parent, v])
    action = np.int64(tables.attach_I4[tables.valence_A.shape[0] + root, order])
    if action < 0:
        return -1
    for a in range(p.n_atoms):
        if p.unit[a] != p.unit[v]:
            continue
        if p.built[a] >= 0 or (prompt and p.kept[a] == FREE):
            return -1
        for c in range(p.n_atoms):
            if p.bond[a, c] > 0 and p.built[c] >= 0 and not (a == v and c == parent):
                return -1
    return action


@numba.njit(cache=True)
def _record(g: State, action: int, pointer: int, max_atoms: int, tables: Tables, t: Target) -> None:
    i = g.n_tokens - 1
    # The masks keep an atom for every attachment point, but two points may share one ring: here
    # the molecule is known to fit.
    limit = max_atoms + g.n_marks
    t.action[i] = action
    allowed_actions(g, 1, limit, t.allowed[i])
    if action != STOP and g.n_atoms > 0:
        t.pointer[i] = pointer
        allowed_atoms(g, action, limit, tables, t.pointer_allowed[i])


@numba.njit(cache=True)
def _note_built(p: Plan, v: int, first: int, n_atoms: int, tables: Tables) -> None:
    if n_atoms == first + 1:
        p.built[v] = first
        return
    base = v - p.position[v]  # a unit's atoms are numbered in a row
    for k in range(n_atoms - first):
        p.built[base + tables.base_B[p.ring[v]].expansion[p.position[v], k]] = first + k


@numba.njit(cache=True)
def _set_marks(g: State, p: Plan, a: int) -> None:
    at = p.built[a]
    g.status[at] = p.kept[a]
    if p.kept[a] == KEPT_MARKED:
        g.capacity[at] = 0
        for order in range(1, 4):
            g.mark[at, order] = p.mark[a, order]
            g.n_marks += p.mark[a, order]
            g.capacity[at] += order * p.mark[a, order]


@numba.njit(cache=True)
def _push(p: Plan, first: int) -> None:
    """Put the atoms built from `first` on, in random order, on the stack."""
    bottom = p.height
    for a in range(p.n_atoms):
        if p.built[a] >= first:
            p.stack[p.height] = a
            p.height += 1
    for i in range(p.height - 1, bottom, -1):
        j = bottom + random_below(p, i - bottom + 1)
        p.stack[i], p.stack[j] = p.stack[j], p.stack[i]


@numba.njit(cache=True)
def _next_atom(p: Plan, parent: int, prompt: bool) -> int:
    """A random atom to build next at `parent` (-1: anywhere), in a prompt a kept one; -1: none."""
    v, n_seen = -1, 0
    for a in range(p.n_atoms):
        if p.built[a] < 0 and (p.kept[a] != FREE or not prompt):
            if parent >= 0 and p.bond[parent, a] == 0:
                continue
            n_seen += 1
            if random_below(p, n_seen) == 0:
                v = a
    return v


@numba.njit(cache=True)
def _add(
    g: State, p: Plan, v: int, parent: int, prompt: bool, tables: Tables, max_atoms: int, t: Target
) -> None:
    """Add v, or its whole ring system; a single atom then closes its rings.

    A step outside the prompt leaves its target, one inside it the attachment points.
    """
    before = g.n_atoms
    pointer = -1 if parent < 0 else np.int64(p.built[parent])
    action = _whole_ring(p, v, parent, prompt, tables)
    closing = p.n_atoms  # a ring added whole closes nothing more
    if action < 0:
        closing = 0
        order = 1 if parent < 0 else np.int64(p.bond[parent, v])
        action = np.int64(tables.attach_I4[p.type[v], order])
    shift = random_below(p, p.n_atoms)
    while True:
        if not prompt:
            _record(g, action, pointer, max_atoms, tables, t)
        first = grow(g, action, pointer, tables)
        if first >= 0:
            _note_built(p, v, first, g.n_atoms, tables)
            for a in range(p.n_atoms):
                if prompt and p.built[a] >= first:
                    _set_marks(g, p, a)
        write_step(g, first, tables.action_W[action].bond)
        action = -1
        while closing < p.n_atoms and action < 0:
            a = (closing + shift) % p.n_atoms
            if a != parent and a != v and p.bond[v, a] > 0 and p.built[a] >= 0:
                action, pointer = np.int64(p.bond[v, a]), np.int64(p.built[a])
            closing += 1
        if action < 0:
            break
    _push(p, before)


@numba.njit(cache=True)
def draw_order(
    g: State, p: Plan, tables: Tables, max_atoms: int, t: Target, prompt_only: bool
) -> None:
    """Build a planned molecule in a random order: kept atoms first, fragment after fragment.

    Depth-first from the newest atom that still has something to come. `t` gets what is to be
    predicted on the way; `p.built` says where each atom went; with `prompt_only` the rest is left
    to a model.
    """
    t.action[:] = -1
    t.pointer[:] = -1
    t.pointer_allowed[:, :] = 0
    p.height = 0
    prompt = False
    for a in range(p.n_atoms):
        p.built[a] = -1
        prompt = prompt or p.kept[a] != FREE
    start(g, prompt)
    while True:
        parent = np.int64(p.stack[p.height - 1]) if p.height > 0 else -1
        v = _next_atom(p, parent, prompt)
        if v >= 0:
            _add(g, p, v, parent, prompt, tables, max_atoms, t)
        elif p.height > 0:
            p.height -= 1
        elif prompt:
            prompt = False
            g.in_prompt = 0
            g.newest = -1
            if prompt_only:
                return
            _push(p, 0)
        else:
            break
    _record(g, STOP, -1, max_atoms, tables, t)


@numba.njit(cache=True)
def draw_batch(
    states: States, targets: Targets, plan: Plan, units: npt.NDArray[np.uint16],
    unit_start: npt.NDArray[np.int64], bonds: npt.NDArray[np.uint8],
    bond_start: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], prompt_share: float,
    tables: Tables, max_atoms: int,
) -> None:  # fmt: skip
    """Build the chosen molecules of a packed set in fresh random orders, drawn with `plan.rng`.

    A share of them starts with a random kept part; half of those with marked attachment points.
    """
    for b in range(chosen.shape[0]):
        m = chosen[b]
        expand(
            plan,
            units[unit_start[m] : unit_start[m + 1]],
            bonds[bond_start[m] : bond_start[m + 1]],
            tables,
        )
        if random_below(plan, 1 << 20) < prompt_share * (1 << 20):
            choose_kept(plan, random_below(plan, 2) == 0)
        draw_order(states[b], plan, tables, max_atoms, targets[b], False)
