"""Building orders: a finished molecule -> the steps that a model learns to take.

An order is depth-first from an end of the molecule, round the smallest ring first, then the
smallest branch, ties at random: fewer orders to learn than with free choice, and a ring that is
built atom by atom closes after as many steps as it has atoms. With a *kept part* the part comes
first, as a prompt would give it and in random order, and only the rest is to be learnt. The same
walk lays down a user's prompt, where everything is kept.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from molgen.graphs.kept_parts import choose_kept, random_below
from molgen.graphs.state import (
    FREE,
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
        ("tie", np.int16, (_N + 1,)),  # alike where chance decides between atoms of the stack
        ("height", np.int32),
        # Where `guided`, no chance: the order wished for is followed, as far as it can be.
        ("guided", np.int32),
        ("log_prob", np.float64),  # of drawing the order that is followed
        ("wish", np.int16, (_N,)),  # place in the growing graph
        ("wish_parent", np.int16, (_N,)),  # for each place, where it is attached
        ("wish_closing", np.int16, (_N,)),  # and to which place it closes a ring first
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
    # The masks keep an atom for every attachment point and every join, but these may share one:
    # here the molecule is known to fit.
    limit = max_atoms + g.n_marks + max(g.n_parts - 1, 0)
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
def _reach(p: Plan, origin: int, unbuilt: bool, queue: npt.NDArray[np.int16]) -> int:
    """Fill `queue` with the atoms that hang together with `origin`, nearest first; their number.

    With `unbuilt` the walk does not enter atoms that are built.
    """
    seen = np.zeros(p.n_atoms, np.uint8)
    queue[0] = origin
    seen[origin] = 1
    head, tail = 0, 1
    while head < tail:
        a = queue[head]
        head += 1
        for c in range(p.n_atoms):
            if p.bond[a, c] > 0 and seen[c] == 0 and not (unbuilt and p.built[c] >= 0):
                seen[c] = 1
                queue[tail] = c
                tail += 1
    return tail


@numba.njit(cache=True)
def _prefers(p: Plan, wished: bool, n_seen: int) -> bool:
    """Whether the last of n candidates seen is preferred to the others; fair where chance rules."""
    return wished if p.guided else random_below(p, n_seen) == 0


@numba.njit(cache=True)
def _count(p: Plan, n_good: int, n: int) -> None:
    """Note that what was wished for had n_good of n equal chances."""
    if p.guided:
        p.log_prob += np.log(n_good / n)


@numba.njit(cache=True)
def _end_from(p: Plan, origin: int, queue: npt.NDArray[np.int16]) -> int:
    """An atom at an end of the molecule: of two that are far apart, the one of the lower type."""
    one = np.int64(queue[_reach(p, origin, False, queue) - 1])
    two = np.int64(queue[_reach(p, one, False, queue) - 1])
    return two if (p.ring[one], p.type[one]) > (p.ring[two], p.type[two]) else one


@numba.njit(cache=True)
def _end(p: Plan) -> int:
    """The atom to begin with: an end seen from a random atom."""
    queue = np.empty(p.n_atoms, np.int16)
    if not p.guided:
        return _end_from(p, random_below(p, p.n_atoms), queue)
    end, n_good = 0, 0
    for a in range(p.n_atoms):
        candidate = _end_from(p, a, queue)
        if p.wish[candidate] == 0:
            end = candidate
            n_good += 1
    _count(p, n_good, p.n_atoms)
    return end


@numba.njit(cache=True)
def _branch(p: Plan, v: int, queue: npt.NDArray[np.int16]) -> int:
    """Atoms of the largest part still to be built that hangs on v."""
    largest = 0
    for c in range(p.n_atoms):
        if p.bond[v, c] > 0 and p.built[c] < 0:
            largest = max(largest, _reach(p, c, True, queue))
    return largest


@numba.njit(cache=True)
def _push(p: Plan, first: int, prompt: bool) -> None:
    """Put the atoms built from `first` on on the stack.

    In a prompt in random order, otherwise the one with the smallest branch on top.
    """
    bottom = p.height
    queue = np.empty(p.n_atoms, np.int16)
    for a in range(p.n_atoms):
        if p.built[a] >= first:
            tie = 0 if prompt else bottom * (_N + 1) + _branch(p, a, queue)
            j = p.height
            while j > bottom and p.tie[j - 1] < tie:
                p.stack[j], p.tie[j] = p.stack[j - 1], p.tie[j - 1]
                j -= 1
            p.stack[j], p.tie[j] = a, tie
            p.height += 1
    if prompt:
        for i in range(p.height - 1, bottom, -1):
            j = bottom + random_below(p, i - bottom + 1)
            p.stack[i], p.stack[j] = p.stack[j], p.stack[i]


@numba.njit(cache=True)
def _unfinished(p: Plan, a: int) -> bool:
    n_missing = 0
    for c in range(p.n_atoms):
        n_missing += p.bond[a, c] > 0 and p.built[c] < 0
    return n_missing > 0


@numba.njit(cache=True)
def _parent(p: Plan, place: int) -> int:
    """The atom at which to build next, with the smallest branch of those built last; -1: none.

    It stays on top of the stack until nothing more hangs on it.
    """
    while p.height > 0:
        top = p.height - 1
        if not _unfinished(p, p.stack[top]):
            p.height -= 1
            continue
        chosen, n_ties, i = top, 0, top
        while i >= 0 and p.tie[i] == p.tie[top] and p.tie[top] >= 0:
            if _unfinished(p, p.stack[i]):
                n_ties += 1
                if _prefers(p, p.built[p.stack[i]] == p.wish_parent[place], n_ties):
                    chosen = i
            i -= 1
        _count(p, 1, max(n_ties, 1))
        p.stack[top], p.stack[chosen] = p.stack[chosen], p.stack[top]
        p.tie[top] = -1
        return p.stack[top]
    return -1


@numba.njit(cache=True)
def _next_kept(p: Plan, parent: int) -> int:
    """A random kept atom to build next at `parent` (-1: anywhere); -1: none."""
    v, n_seen = -1, 0
    for a in range(p.n_atoms):
        if p.built[a] < 0 and p.kept[a] != FREE and (parent < 0 or p.bond[parent, a] > 0):
            n_seen += 1
            if random_below(p, n_seen) == 0:
                v = a
    return v


@numba.njit(cache=True)
def _ring_steps(p: Plan, v: int, parent: int, queue: npt.NDArray[np.int16]) -> int:
    """Bonds from v, by atoms still to be built, to the nearest built one; many if there is none.

    The bond from v to its parent does not count, so this is a ring's length less one.
    """
    steps = np.full(p.n_atoms, -1, np.int16)
    queue[0] = v
    steps[v] = 0
    head, tail = 0, 1
    while head < tail:
        a = queue[head]
        head += 1
        for c in range(p.n_atoms):
            if p.bond[a, c] == 0 or steps[c] >= 0:
                continue
            if p.built[c] < 0:
                steps[c] = steps[a] + 1
                queue[tail] = c
                tail += 1
            elif not (a == v and c == parent):
                return steps[a] + 1
    return _N


@numba.njit(cache=True)
def _next_free(p: Plan, parent: int, place: int) -> int:
    """The neighbour of `parent` to build next; -1: none.

    That which leads round the smallest ring; where none does, that of the smallest branch.
    """
    v, n_ties, least = -1, 0, (_N + 1) * (_N + 1)
    queue = np.empty(p.n_atoms, np.int16)
    for a in range(p.n_atoms):
        if p.built[a] < 0 and p.bond[parent, a] > 0:
            size = _reach(p, a, True, queue)
            size += _ring_steps(p, a, parent, queue) * (_N + 1)
            if size < least:
                v, n_ties, least = a, 0, size
            if size == least:
                n_ties += 1
                if _prefers(p, p.wish[a] == place, n_ties):
                    v = a
    _count(p, 1, max(n_ties, 1))
    return v


@numba.njit(cache=True)
def _next_closing(p: Plan, v: int, parent: int, first: int, shift: int) -> int:
    """The first k from `first` on for which v closes a ring to atom k + shift, else the end."""
    for k in range(first, p.n_atoms):
        a = (k + shift) % p.n_atoms
        if a != parent and a != v and p.bond[v, a] > 0 and p.built[a] >= 0:
            return k
    return p.n_atoms


@numba.njit(cache=True)
def _shift(p: Plan, v: int, parent: int, place: int) -> int:
    """Where v begins to look for atoms to close rings to."""
    n = p.n_atoms
    if not p.guided:
        return random_below(p, n)
    shift, n_good = 0, 0
    for s in range(n):
        k = _next_closing(p, v, parent, 0, s)
        if k == n:
            return 0
        if p.built[(k + s) % n] == p.wish_closing[place]:
            shift = s
            n_good += 1
    _count(p, n_good, n)
    return shift


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
    shift = _shift(p, v, parent, before)
    closing = p.n_atoms  # a ring added whole closes nothing more
    if action < 0:
        closing = 0
        order = 1 if parent < 0 else np.int64(p.bond[parent, v])
        action = np.int64(tables.attach_I4[p.type[v], order])
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
        closing = _next_closing(p, v, parent, closing, shift)
        if closing == p.n_atoms:
            break
        a = (closing + shift) % p.n_atoms
        action, pointer = np.int64(p.bond[v, a]), np.int64(p.built[a])
        closing += 1
    _push(p, before, prompt)


@numba.njit(cache=True)
def draw_order(
    g: State, p: Plan, tables: Tables, max_atoms: int, t: Target, prompt_only: bool
) -> None:
    """Build a planned molecule: kept atoms first, fragment after fragment, in random order.

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
    if not prompt:
        _add(g, p, _end(p), -1, prompt, tables, max_atoms, t)
    while True:
        if prompt:
            parent = np.int64(p.stack[p.height - 1]) if p.height > 0 else -1
            v = _next_kept(p, parent)
        else:
            parent = np.int64(_parent(p, g.n_atoms))
            v = _next_free(p, parent, g.n_atoms) if parent >= 0 else -1
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
            _push(p, 0, prompt)
        else:
            break
    _record(g, STOP, -1, max_atoms, tables, t)


@numba.njit(cache=True)
def draw_batch(
    states: States, targets: Targets, plan: Plan, units: npt.NDArray[np.uint16],
    unit_start: npt.NDArray[np.int64], bonds: npt.NDArray[np.uint8],
    bond_start: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64],
    seeds: npt.NDArray[np.uint64], prompt_share: float, tables: Tables, max_atoms: int,
) -> None:  # fmt: skip
    """Build the chosen molecules of a packed set in fresh random orders, each by its own seed.

    A share of them starts with a random kept part; half of those with marked attachment points.
    """
    for b in range(chosen.shape[0]):
        m = chosen[b]
        plan.rng = seeds[b]
        expand(
            plan,
            units[unit_start[m] : unit_start[m + 1]],
            bonds[bond_start[m] : bond_start[m + 1]],
            tables,
        )
        if random_below(plan, 1 << 20) < prompt_share * (1 << 20):
            choose_kept(plan, random_below(plan, 2) == 0)
        draw_order(states[b], plan, tables, max_atoms, targets[b], False)
