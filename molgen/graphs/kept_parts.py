"""Random parts of a molecule that training sequences start from, as a prompt would give them."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from molgen.graphs.state import FREE, KEPT, KEPT_MARKED

Plan = Any  # one record of `orders.PLAN`


@numba.njit(cache=True)
def random_below(p: Plan, n: int) -> int:
    """A uniform integer in [0, n) by splitmix64 (https://doi.org/10.1145/2714064.2660195)."""
    p.rng += np.uint64(0x9E3779B97F4A7C15)
    z = np.uint64(p.rng)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64((z >> np.uint64(11)) % np.uint64(n))  # type: ignore[return-value]  # compiled


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
