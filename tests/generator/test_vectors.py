"""Loops over single-precision numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molgen.generator.vectors import exp_in_place, widen


@given(st.lists(st.floats(-87, 88, width=32), max_size=200))
def test_exponentials_agree_with_numpy_in_double_precision(numbers: list[float]) -> None:
    x = np.array(numbers, np.float32)
    expected = np.exp(x.astype(np.float64))
    exp_in_place(x)
    np.testing.assert_allclose(x, expected, rtol=2e-7)


def test_what_is_not_allowed_weighs_exactly_nothing() -> None:
    x = np.array([-np.inf, -1e30, -89.0, 0.0], np.float32)
    exp_in_place(x)
    assert x.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("numbers", [[1.5, -2.0, 0.0, np.inf], [-0.0, 3.0e38]])
def test_a_bfloat16_is_the_upper_half_of_a_float(numbers: list[float]) -> None:
    whole = np.array(numbers, np.float32).view(np.uint32)
    half = (whole >> 16).astype(np.uint16)
    out = np.empty_like(whole)
    widen(half, np.uint32(16), out)
    assert (out == whole & 0xFFFF0000).all()
    widen(whole, np.uint32(0), out)
    assert (out == whole).all()
