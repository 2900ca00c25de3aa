"""Test compounds that a model has seen, perhaps as another salt, in this task or another."""

from __future__ import annotations

from property_models.leakage import overlap, structure_keys, without

TRAIN = structure_keys(["CC(=O)Oc1ccccc1C(=O)[O-].[Na+]", "C[C@H](N)C(=O)O", "c1ccccc1"])
TEST = structure_keys(["CC(=O)Oc1ccccc1C(=O)O", "C[C@@H](N)C(=O)O", "CCO", "xx"])


def test_salts_and_stereoisomers_count_as_the_same_compound() -> None:
    found = overlap(TRAIN, TEST)
    assert found.rows.tolist() == [0, 1]
    assert found.n_test == 4 and found.n_unusable == 1
    assert found.share == 2 / 3
    assert found.keys == TEST[:2]


def test_rows_without_a_structure_never_overlap() -> None:
    assert overlap(["", TRAIN[0]], ["", ""]).share == 0.0
    assert without(["", TRAIN[0]], [TRAIN[0], ""]).tolist() == [True, False]


def test_held_out_compounds_are_masked_in_other_tasks() -> None:
    assert without(TRAIN, TEST).tolist() == [False, False, True]
