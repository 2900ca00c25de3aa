"""The partial graph, its tokens and its legal actions, compiled; training and sampling share it.

A *step* changes the graph and then writes one token for each atom it added, or one for a ring
closure. The token's row describes the graph as it is after the step, as seen from the token's
atom; rows are never written again, so a row cannot know what comes later. Hence the network may
cache what it computed for earlier tokens.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP, Tables

MAX_ATOMS = 64  # heavy atoms of the largest molecule there is room for
MAX_TOKENS = MAX_ATOMS + MAX_ATOMS // 2 + 4  # see `token_limit`
FAR = 255  # distance between atoms that are not connected yet
N_CODES = 172  # values of `code`: 0 padding, 1 start token, then 17 x 5 x 2 as in `_code`
FREE, KEPT, KEPT_MARKED = 0, 1, 2
KIND_START, KIND_ATOM, KIND_CLOSE, KIND_RING = 0, 1, 2, 3
N_ALLOWED = 7  # see `allowed_actions`

_N, _T = MAX_ATOMS, MAX_TOKENS

# One partial graph. `status` is FREE for atoms the model added, KEPT for a prompt's atoms that
# are open wherever they have a hydrogen, KEPT_MARKED for those open only at attachment points.
STATE = np.dtype(
    [
        ("n_atoms", np.int32),
        ("n_tokens", np.int32),
        ("n_marks", np.int32),  # attachment points not yet used
        ("n_parts", np.int32),  # connected components
        ("n_systems", np.int32),  # ring systems numbered so far
        ("newest", np.int32),  # the atom that may close rings, -1: none
        ("in_prompt", np.int32),
        ("type", np.int16, (_N,)),
        ("capacity", np.int8, (_N,)),  # valence still open; if marked, what the points take
        ("status", np.int8, (_N,)),
        ("degree", np.int8, (_N,)),
        ("mark", np.int8, (_N, 4)),  # [a, o]: attachment points of bond order o
        ("system", np.int16, (_N,)),
        ("token_of", np.int16, (_N,)),
        ("distance", np.uint8, (_N, _N)),
        ("bond", np.uint8, (_N, _N)),
        ("token_atom", np.int16, (_T,)),
        ("token_type", np.int16, (_T,)),
        ("token_bond", np.int8, (_T,)),
        ("token_kind", np.int8, (_T,)),
        ("token_status", np.int8, (_T,)),
        ("code", np.uint8, (_T, _T)),  # [i, j]: what token i's atom sees of token j's
    ],
    align=True,
)

State = Any  # one record of STATE; numpy cannot type it
States = npt.NDArray[np.void]


def new_states(n: int) -> States:
    """Empty records; `start` makes graphs of them."""
    return np.zeros(n, STATE)


@numba.njit(cache=True)
def token_limit(max_atoms: int) -> int:
    """Tokens of a molecule at most: start, atoms, ring closures."""
    return max_atoms + max_atoms // 2 + 4


@numba.njit(cache=True)
def start(g: State, prompted: bool) -> None:
    """Reset to the empty graph and write its start token."""
    g.n_atoms = 0
    g.n_marks = 0
    g.n_parts = 0
    g.n_systems = 0
    g.newest = -1
    g.in_prompt = prompted
    g.bond[:, :] = 0
    g.distance[:, :] = FAR
    g.n_tokens = 1
    g.token_atom[0] = -1
    g.token_type[0] = 0
    g.token_bond[0] = 0
    g.token_kind[0] = KIND_START
    g.token_status[0] = KEPT if prompted else FREE
    g.code[0, 0] = 1


@numba.njit(cache=True)
def _place(g: State, atom_type: int, valence: int) -> int:
    a = g.n_atoms
    g.n_atoms = a + 1
    g.n_parts += 1
    g.type[a] = atom_type
    g.capacity[a] = valence
    g.status[a] = FREE
    g.mark[a, :] = 0
    g.system[a] = -1
    g.degree[a] = 0
    g.distance[a, a] = 0
    return a


@numba.njit(cache=True)
def _use(g: State, a: int, order: int) -> None:
    if g.status[a] == KEPT_MARKED:
        if g.in_prompt:
            return  # bonds inside the prompt are not made at its attachment points
        g.mark[a, order] -= 1
        g.n_marks -= 1
    g.capacity[a] -= order


@numba.njit(cache=True)
def _bond(g: State, a: int, c: int, order: int) -> None:
    n = g.n_atoms
    distance = g.distance
    _use(g, a, order)
    _use(g, c, order)
    g.bond[a, c] = order
    g.bond[c, a] = order
    if distance[a, c] == FAR:
        g.n_parts -= 1
        if c == n - 1 and g.degree[c] == 0:  # a new atom: its distances follow from its neighbour's
            for x in range(n - 1):
                if distance[x, a] != FAR:
                    distance[x, c] = distance[x, a] + 1
                    distance[c, x] = distance[x, c]
            g.degree[a] += 1
            g.degree[c] = 1
            return
    else:
        _merge_ring(g, a, c)
    g.degree[a] += 1
    g.degree[c] += 1
    for x in range(n):
        to_a, to_c = np.int64(distance[x, a]), np.int64(distance[x, c])
        if to_a == FAR and to_c == FAR:
            continue
        for y in range(n):
            through = min(to_a + 1 + distance[c, y], to_c + 1 + distance[a, y])
            if through < distance[x, y]:
                distance[x, y] = through
                distance[y, x] = through


@numba.njit(cache=True)
def _merge_ring(g: State, a: int, c: int) -> None:
    """Atoms on the shortest paths between a and c become one ring system with all they touch."""
    n = g.n_atoms
    distance, system = g.distance, g.system
    new = g.n_systems
    g.n_systems = new + 1
    length = np.int64(distance[a, c])
    for x in range(n):
        if np.int64(distance[a, x]) + distance[x, c] == length:
            old = system[x]
            system[x] = new
            if old >= 0:
                for y in range(n):
                    if system[y] == old:
                        system[y] = new


@numba.njit(cache=True)
def grow(g: State, action: int, pointer: int, tables: Tables) -> int:
    """Change the graph by an action; tokens are written by `write_step`.

    Args:
        g: the graph.
        action: not STOP.
        pointer: the atom attached or closed to; ignored for a first atom.
        tables: of the vocabulary.

    Returns:
        The index of the first new atom, or -1 for a ring closure.
    """
    order = tables.action_W[action].bond
    if action < N_FIXED_ACTIONS:
        _bond(g, g.newest, pointer, order)
        return -1
    item = tables.action_W[action].item
    n_types = tables.valence_A.shape[0]
    lonely = g.n_atoms == 0 or pointer < 0
    if item < n_types:
        first = _place(g, item, tables.valence_A[item])
        if not lonely:
            _bond(g, pointer, first, order)
        g.newest = first
        return first
    ring = item - n_types
    first = g.n_atoms
    rooted = tables.ring_R[ring]
    e = 0
    for k in range(rooted.n_atoms):
        _place(g, rooted.type[k], tables.valence_A[rooted.type[k]])
        if k == 0 and not lonely:
            _bond(g, pointer, first, order)
        while e < rooted.n_bonds and rooted.bond[e, 1] == k:
            _bond(g, first + rooted.bond[e, 0], first + k, rooted.bond[e, 2])
            e += 1
    g.newest = -1
    return first


@numba.njit(cache=True)
def _code(g: State, a: int, c: int) -> int:
    order = g.bond[a, c]
    steps = np.int64(g.distance[a, c])
    if a == c:
        relation = 0
    elif order > 0:
        relation = np.int64(order)
    elif steps == FAR:
        relation = 16
    else:
        relation = min(steps + 2, 15)
    together = g.system[a] >= 0 and g.system[a] == g.system[c]
    return 2 + (relation * 5 + min(g.capacity[c], 4)) * 2 + together


@numba.njit(cache=True)
def _write_token(g: State, a: int, kind: int, order: int) -> None:
    i = g.n_tokens
    g.n_tokens = i + 1
    g.token_atom[i] = a
    g.token_type[i] = g.type[a]
    g.token_bond[i] = order
    g.token_kind[i] = kind
    g.token_status[i] = g.status[a]
    if kind != KIND_CLOSE:
        g.token_of[a] = i
    g.code[i, 0] = 1
    for j in range(1, i + 1):
        g.code[i, j] = _code(g, a, g.token_atom[j])


@numba.njit(cache=True)
def write_step(g: State, first: int, order: int) -> None:
    """Write the tokens of the step that `grow` just made (`first` is what it returned)."""
    if first < 0:
        _write_token(g, g.newest, KIND_CLOSE, order)
        return
    for a in range(first, g.n_atoms):
        _write_token(g, a, KIND_ATOM if a == first else KIND_RING, order if a == first else 0)


@numba.njit(cache=True)
def step(g: State, action: int, pointer: int, tables: Tables) -> None:
    """Grow the graph by an action and write its tokens."""
    first = grow(g, action, pointer, tables)
    write_step(g, first, tables.action_W[action].bond)


@numba.njit(cache=True)
def _takes(g: State, a: int, order: int) -> bool:
    if g.status[a] == KEPT_MARKED:
        return g.mark[a, order] > 0
    return g.capacity[a] >= order


@numba.njit(cache=True)
def _closes(g: State, a: int, order: int) -> bool:
    newest = g.newest
    return (
        newest >= 0
        and a != newest
        and g.bond[newest, a] == 0
        and _takes(g, newest, order)
        and _takes(g, a, order)
    )


@numba.njit(cache=True)
def _room(g: State, a: int, max_atoms: int) -> int:
    """Atoms that may be added at atom a and still leave one for every other attachment point."""
    used = 1 if g.status[a] == KEPT_MARKED else 0
    return max_atoms - g.n_atoms - (g.n_marks - used)


@numba.njit(cache=True)
def allowed_actions(g: State, min_atoms: int, max_atoms: int, out_7: npt.NDArray[np.int16]) -> None:
    """What may come next.

    out_7[0:3] is the largest item attachable by a bond of order 1, 2, 3 (0: none); out_7[3:6] is
    1 where the newest atom can close a ring by that order; out_7[6] is 1 where the graph is
    complete: connected, every attachment point used, and not smaller than `min_atoms` unless
    nothing more fits.
    """
    out_7[:] = 0
    n = g.n_atoms
    if n == 0:
        out_7[0] = max_atoms
        return
    # Every atom still to come needs a token, so closures may not eat the last ones.
    spare = token_limit(max_atoms) - g.n_tokens - (max_atoms - n)
    for a in range(n):
        room = _room(g, a, max_atoms)
        for order in range(1, 4):
            if room > out_7[order - 1] and _takes(g, a, order):
                out_7[order - 1] = room
            if spare > 0 and out_7[2 + order] == 0 and _closes(g, a, order):
                out_7[2 + order] = 1
    complete = g.n_marks == 0 and g.n_parts == 1
    stuck = out_7[0] == 0 and out_7[1] == 0 and out_7[2] == 0
    out_7[6] = complete and (n >= min_atoms or stuck)


@numba.njit(cache=True)
def allowed_atoms(
    g: State, action: int, max_atoms: int, tables: Tables, out_N: npt.NDArray[np.uint8]
) -> None:
    """Which atoms the action may point at: out_N[a] is 1 or 0."""
    out_N[:] = 0
    order = tables.action_W[action].bond
    size = tables.action_W[action].size
    if action == STOP:
        return
    for a in range(g.n_atoms):
        if action < N_FIXED_ACTIONS:
            out_N[a] = _closes(g, a, order)
        else:
            out_N[a] = _takes(g, a, order) and size <= _room(g, a, max_atoms)
