"""What an action's item leaves open once it is attached: the masks ask for nothing else of it."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP, Tables

LEFT_NONE, LEFT_SOME, LEFT_TWO = 0, 1, 2  # open valence: none, one (of a ring: any), two or more
FIRST_COLUMN = (7, 0, 10)  # for each of these, the entries of `allowed_actions` that tell of it


@numba.njit(cache=True)
def left_open(action: int, tables: Tables) -> int:
    """Open valence of what an action adds, once it is attached: LEFT_NONE, LEFT_SOME or LEFT_TWO.

    A ring added whole closes nothing, so it cannot join fragments at once: LEFT_SOME at most.
    """
    item = tables.action_W[action].item
    order = tables.action_W[action].bond
    n_types = tables.valence_A.shape[0]
    if item < n_types:
        return int(min(tables.valence_A[item] - order, LEFT_TWO))
    ring = tables.ring_R[item - n_types]
    left = -order
    for k in range(ring.n_atoms):
        left += tables.valence_A[ring.type[k]]
    for e in range(ring.n_bonds):
        left -= 2 * ring.bond[e, 2]
    return int(min(left, LEFT_SOME))


@numba.njit(cache=True)
def action_columns(tables: Tables) -> npt.NDArray[np.int64]:
    """For each action the entry of `allowed_actions` that says what of its kind may come next.

    That entry must be at least the action's size (1 for stop and closures).
    """
    n_actions = tables.action_W.shape[0]
    column_W = np.empty(n_actions, np.int64)
    column_W[STOP] = 6
    for action in range(STOP + 1, n_actions):
        order = tables.action_W[action].bond
        if action < N_FIXED_ACTIONS:
            column_W[action] = 2 + order
        else:
            column_W[action] = FIRST_COLUMN[left_open(action, tables)] + order - 1
    return column_W
