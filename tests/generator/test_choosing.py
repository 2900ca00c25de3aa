"""Drawing an index by its weight, whole or from the nucleus."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from molgen.generator.choosing import draw_one

WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(1e-30, 1.0)), min_size=1, max_size=40).map(
    lambda x: np.array(x, np.float32)
)
UNIFORM = st.floats(0, 1, width=32, exclude_max=True)


@given(WEIGHTS, UNIFORM, st.sampled_from([1.0, 0.9, 0.5, 0.01]))
def test_an_entry_without_weight_is_never_drawn(
    weight: np.ndarray,
    uniform: float,
    top_p: float,  # type: ignore[type-arg]
) -> None:
    drawn = draw_one(weight, uniform, top_p)
    if weight.any():
        assert weight[drawn] > 0
    else:
        assert drawn == -1


@given(WEIGHTS, UNIFORM)
def test_it_is_the_inverse_of_the_cumulated_weights(
    weight: np.ndarray,
    uniform: float,  # type: ignore[type-arg]
) -> None:
    if weight.any():
        cumulated = weight.astype(np.float64).cumsum()
        expected = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
        assert draw_one(weight, uniform, 1.0) == expected


@given(st.integers(65, 400), UNIFORM, st.integers(0, 1000))
def test_blocks_that_are_passed_over_change_no_draw(n: int, uniform: float, seed: int) -> None:
    # Whole numbers add up without rounding, so the two must agree to the entry.
    weight = np.random.default_rng(seed).integers(0, 4, n).astype(np.float32)
    cumulated = weight.astype(np.float64).cumsum()
    expected = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
    assert draw_one(weight, uniform, 1.0) == expected


@given(WEIGHTS, st.floats(0.01, 0.99))
def test_the_nucleus_is_the_smallest_set_of_the_likeliest_that_reaches_its_share(
    weight: np.ndarray,
    top_p: float,  # type: ignore[type-arg]
) -> None:
    if not weight.any():
        return
    order = np.argsort(-weight.astype(np.float64), kind="stable")
    reached = weight[order].astype(np.float64).cumsum()
    n_kept = int(np.searchsorted(reached, top_p * reached[-1])) + 1
    drawn = {draw_one(weight, u, top_p) for u in np.arange(0, 1, 0.01, np.float32)}
    # On a tie at the border, or within rounding of it, either entry may be in.
    lightest = weight[order[min(n_kept, len(order) - 1)]]
    assert all(weight[i] >= lightest for i in drawn)
    assert max(weight[i] for i in drawn) == weight[order[0]]


def test_draws_follow_the_weights_within_the_nucleus() -> None:
    weight = np.array([0.1, 0.4, 0.0, 0.3, 0.2], np.float32)
    uniform = np.random.default_rng(0).random(20_000, np.float32)
    whole = np.bincount([draw_one(weight, u, 1.0) for u in uniform], minlength=5) / 20_000
    np.testing.assert_allclose(whole, weight, atol=0.02)
    nucleus = np.bincount([draw_one(weight, u, 0.65) for u in uniform], minlength=5) / 20_000
    np.testing.assert_allclose(nucleus, [0, 4 / 7, 0, 3 / 7, 0], atol=0.02)
