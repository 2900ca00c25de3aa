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

from molgen.graphs.items import FIRST_COLUMN, LEFT_NONE, LEFT_SOME, LEFT_TWO, left_open
from molgen.graphs.items import action_columns as action_columns
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP, Tables

MAX_ATOMS = 64  # heavy atoms of the largest molecule there is room for
MAX_TOKENS = MAX_ATOMS + MAX_ATOMS // 2 + 4  # see `token_limit`
FAR = 255  # distance between atoms that are not connected yet
N_CODES = 172  # values of `code`: 0 padding, 1 start token, then 17 x 5 x 2 as in `_code`
FREE, KEPT, KEPT_MARKED = 0, 1, 2
KIND_START, KIND_ATOM, KIND_CLOSE, KIND_RING = 0, 1, 2, 3
MAX_LOCKED = 16  # double bonds of a prompt with a configuration
N_ALLOWED = 13  # see `allowed_actions`

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
        ("n_locked", np.int32),
        ("locked", np.int16, (MAX_LOCKED, 2)),  # bonds that no new ring may pass through
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
    g.n_locked = 0
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


@numba.njit(cache=True, inline="always")
def _takes(g: State, a: int, order: int) -> bool:
    if g.status[a] == KEPT_MARKED:
        return g.mark[a, order] > 0
    return g.capacity[a] >= order


@numba.njit(cache=True)
def lock(g: State, a: int, c: int) -> None:
    """Let no new ring pass through a bond: a double bond whose configuration is to be kept."""
    g.locked[g.n_locked, 0] = a
    g.locked[g.n_locked, 1] = c
    g.n_locked += 1


@numba.njit(cache=True)
def _across_lock(g: State, a: int, c: int) -> bool:
    """Whether a bond between two atoms of a component would draw a locked bond into a ring.

    A locked bond that is in no ring yet splits its component in two: the atoms nearer to one end
    and those nearer to the other. Around one that is in a ring, a new ring may pass through it
    wherever it passes through two atoms of the ring system.
    """
    distance = g.distance
    for e in range(g.n_locked):
        i, j = g.locked[e]
        if distance[a, i] == FAR or distance[c, i] == FAR:
            continue
        if g.system[i] >= 0 and g.system[i] == g.system[j]:
            if _nearest_of(g, g.system[i], a) != _nearest_of(g, g.system[i], c):
                return True
        elif (distance[a, i] < distance[a, j]) != (distance[c, i] < distance[c, j]):
            return True
    return False


@numba.njit(cache=True)
def _nearest_of(g: State, system: int, a: int) -> int:
    """The atom of a ring system at which an atom hangs, itself if it is one of the system."""
    nearest = -1
    for x in range(g.n_atoms):
        if g.system[x] == system and (nearest < 0 or g.distance[a, x] < g.distance[a, nearest]):
            nearest = x
    return nearest


# The masks look ahead, so that whatever is drawn, the graph can still become one piece with every
# attachment point used. In a graph of n atoms, m unused attachment points and k components:
#
# 1. If k > 1, every component keeps a *place*: an attachment point, or open valence elsewhere.
# 2. n + m + k - 1 atoms fit: one for each attachment point and one for each join; one fewer is
#    enough where the newest atom can join at once, that is, where it has two open valences and
#    another component takes a single bond.
# 3. Tokens for all atoms that fit, and for k - 1 closures, are left.
#
# `start` and a prompt that `atoms_needed` finds room for satisfy these; steps that break one are
# masked; and where the graph is unfinished a step that keeps them always exists, with an atom of
# valence 4 (carbon):
#
# - The newest atom can join at once: it closes a single bond onto another component. It keeps an
#   open valence, so the joined component keeps a place; k falls by one.
# - Else, if m > 0: a carbon takes an attachment point (of order 3 at most, so it stays open).
# - Else, if k > 1: a carbon takes a single bond anywhere; now the newest atom can join at once.
#
# Each of the first two lowers m + k, and the third makes way for the first: it ends.


@numba.njit(cache=True)
def atoms_needed(n_atoms: int, n_closures: int, n_marks: int, n_parts: int) -> int:
    """The smallest `max_atoms` for which a prompt can always be completed.

    Args:
        n_atoms: of the prompt.
        n_closures: tokens that its rings may take beyond one for each atom.
        n_marks: its attachment points.
        n_parts: its fragments.
    """
    joins = n_parts - 1
    for_tokens = 2 * (n_closures + joins - 3)  # token_limit(m) - m - 1 = m // 2 + 3
    return max(n_atoms + n_marks + joins, for_tokens)


@numba.njit(cache=True)
def _survey(g: State, places_N: npt.NDArray[np.int16], others_N: npt.NDArray[np.uint8]) -> None:
    """Look at the components of a graph that has several.

    Args:
        g: the graph.
        places_N: for each atom gets its component's attachment points plus open valence elsewhere.
        others_N: for each atom gets 1 where a component other than its own takes a single bond.
    """
    n = g.n_atoms
    first_N = np.empty(n, np.int16)  # each component's first atom, which holds its sums
    for a in range(n):
        places_N[a] = 0
        others_N[a] = 0
        first = 0
        while g.distance[a, first] == FAR:
            first += 1
        first_N[a] = first
        if g.status[a] == KEPT_MARKED:
            places_N[first] += g.mark[a, 1] + g.mark[a, 2] + g.mark[a, 3]
        else:
            places_N[first] += g.capacity[a]
        if _takes(g, a, 1):
            others_N[first] = 1
    n_single = 0
    for a in range(n):
        if first_N[a] == a:
            n_single += others_N[a]
    for a in range(n - 1, -1, -1):  # a component's first atom comes last
        first = first_N[a]
        places_N[a] = places_N[first]
        others_N[a] = n_single > others_N[first]


@numba.njit(cache=True, inline="always")
def _cost(g: State, a: int, order: int) -> int:
    """Places that a bond at atom a takes from its component."""
    return 1 if g.status[a] == KEPT_MARKED else order


@numba.njit(cache=True, inline="always")
def _spare_atoms(g: State, a: int, max_atoms: int) -> int:
    """Atoms that fit beyond those needed once atom a has got a bond; see 2 above."""
    used = 1 if g.status[a] == KEPT_MARKED else 0
    return max_atoms - g.n_atoms - (g.n_marks - used) - (g.n_parts - 1)


@numba.njit(cache=True, inline="always")
def _room(spare: int, n_parts: int, left: int, cost: int, places: int, others: int) -> int:
    """Atoms that may be added at an atom as an item that `left` tells of; see 1 and 2 above."""
    if n_parts > 1:
        if left == LEFT_NONE and places <= cost:
            return 0
        if left == LEFT_TWO and others:
            return spare + 1
    return spare


@numba.njit(cache=True)
def _closes(
    g: State, a: int, order: int, max_atoms: int, places_N: npt.NDArray[np.int16],
    others_N: npt.NDArray[np.uint8],
) -> bool:  # fmt: skip
    """Whether the newest atom may close a ring, or join two components, at atom a."""
    newest = g.newest
    if newest < 0 or a == newest or g.bond[newest, a] > 0:
        return False
    if not (_takes(g, newest, order) and _takes(g, a, order)) or _across_lock(g, newest, a):
        return False
    # Every atom still to come needs a token, so closures may not eat the last ones.
    spare = token_limit(max_atoms) - g.n_tokens - (max_atoms - g.n_atoms)
    if g.n_parts == 1:
        return spare > 0
    taken = order + _cost(g, a, order)
    if g.distance[newest, a] == FAR:
        return spare > 0 and (g.n_parts == 2 or places_N[newest] + places_N[a] > taken)
    room = _spare_atoms(g, a, max_atoms)
    if g.capacity[newest] - order >= 2 and others_N[newest]:
        room += 1
    return spare >= g.n_parts and places_N[newest] > taken and room >= 0


@numba.njit(cache=True)
def allowed_actions(
    g: State, min_atoms: int, max_atoms: int, out_13: npt.NDArray[np.int16]
) -> None:
    """What may come next; `action_columns` says which entry an action needs.

    Of items attachable by a bond of order 1, 2, 3, out_13 holds the size of the largest (0:
    none): [0:3] that leaves one open valence (a ring: one or more), [7:10] that leaves none,
    [10:13] a single atom that leaves two or more. out_13[3:6] is 1 where the newest atom can
    close a ring, or join another component, by that order; out_13[6] is 1 where the graph is
    complete: connected, every attachment point used, and not smaller than `min_atoms` unless
    nothing more fits.
    """
    out_13[:] = 0
    n = g.n_atoms
    if n == 0:
        for left in range(3):
            out_13[FIRST_COLUMN[left]] = max_atoms
        return
    places_N, others_N = np.zeros(n, np.int16), np.zeros(n, np.uint8)
    if g.n_parts > 1:
        _survey(g, places_N, others_N)
    for a in range(n):
        spare, places, others = _spare_atoms(g, a, max_atoms), places_N[a], others_N[a]
        for order in range(1, 4):
            if not _takes(g, a, order):
                continue
            cost = _cost(g, a, order)
            for left in range(3):
                room = _room(spare, g.n_parts, left, cost, places, others)
                column = FIRST_COLUMN[left] + order - 1
                if room > out_13[column]:
                    out_13[column] = room
            if g.newest >= 0 and out_13[2 + order] == 0:
                out_13[2 + order] = _closes(g, a, order, max_atoms, places_N, others_N)
    complete = g.n_marks == 0 and g.n_parts == 1
    stuck = out_13[0] == 0 and out_13[1] == 0 and out_13[2] == 0
    out_13[6] = complete and (n >= min_atoms or stuck)


@numba.njit(cache=True)
def allowed_atoms(
    g: State, action: int, max_atoms: int, tables: Tables, out_N: npt.NDArray[np.uint8]
) -> None:
    """Which atoms the action may point at: out_N[a] is 1 or 0."""
    out_N[:] = 0
    n = g.n_atoms
    if action == STOP:
        return
    order = tables.action_W[action].bond
    size = tables.action_W[action].size
    places_N, others_N = np.zeros(n, np.int16), np.zeros(n, np.uint8)
    left = LEFT_SOME
    if g.n_parts > 1:
        _survey(g, places_N, others_N)
        if action >= N_FIXED_ACTIONS:
            left = left_open(action, tables)
    for a in range(n):
        if action < N_FIXED_ACTIONS:
            out_N[a] = _closes(g, a, order, max_atoms, places_N, others_N)
        elif _takes(g, a, order):
            spare, cost = _spare_atoms(g, a, max_atoms), _cost(g, a, order)
            out_N[a] = size <= _room(spare, g.n_parts, left, cost, places_N[a], others_N[a])
