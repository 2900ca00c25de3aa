"""What the retrospective experiment hides, and what it counts as found."""

from __future__ import annotations

import numpy as np

from experiments.retrospective.run import hide, recovered
from property_models.cleaning import clean
from property_models.datasets import Rows, Table

FAMILY = [f"{'C' * n}Oc1ccc(C(=O)NC2CCNCC2)cc1" for n in range(1, 11)]
OTHERS = [
    "CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
    "CN1C2CCC1CC(OC(=O)C(CO)c1ccccc1)C2", "NC(=O)c1cnccn1", "CC(=O)Nc1ccc(O)cc1",
    "CCN(CC)CC(=O)Nc1c(C)cccc1C", "Cc1ccccc1N", "OC(=O)CCc1c[nH]cn1", "FC(F)(F)c1ccc(Br)nc1",
]  # fmt: skip


def table(values: list[float]) -> Table:
    rows = Rows([*FAMILY, *OTHERS], np.array(values), np.zeros(len(values), bool))
    return clean(rows, task="regression")


def test_the_best_are_hidden_with_everything_that_resembles_them() -> None:
    compounds = table([9.0, *[5.0] * 9, *np.linspace(4.0, 6.0, 10)])
    hidden = hide(compounds)
    assert hidden[0]
    assert hidden.sum() > 1
    assert set(np.flatnonzero(hidden)) <= set(range(len(FAMILY)))


def test_found_is_told_apart_exactly_nearly_and_by_scaffold() -> None:
    compounds = table([5.0] * 20)
    asked = np.arange(20) < 10
    found = recovered(compounds, asked, ["c1ccccc1", OTHERS[0], FAMILY[4]])
    assert found["n"] == 10
    assert found["exact"] == 1
    assert (found["n_scaffolds"], found["scaffolds"]) == (1, 1)
    assert 1 < found["near"] <= 10
    assert found["near_at"] == [3] * found["near"]


def test_a_stereoisomer_of_a_hidden_compound_is_found() -> None:
    compounds = table([5.0] * 20)
    ibuprofen = np.arange(20) == len(FAMILY) + 1
    assert recovered(compounds, ibuprofen, ["CC(C)Cc1ccc([C@H](C)C(=O)O)cc1"])["exact"] == 1


def test_where_nothing_comes_back_all_is_zero() -> None:
    found = recovered(table([5.0] * 20), np.arange(20) < 10, [])
    assert (found["exact"], found["near"], found["scaffolds"]) == (0, 0, 0)
    assert found["near_at"] == []
