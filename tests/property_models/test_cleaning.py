"""One value per compound: duplicates, conflicts, bounds, and the count of what is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from property_models.cleaning import clean
from property_models.datasets import CleaningRules, Rows
from property_models.errors import DataError

POTENCY = CleaningRules(conflict_limit=1.0)


def rows_of(
    smiles: list[object],
    values: list[float],
    signs: str = "",
    rules: CleaningRules = CleaningRules(),
) -> Rows:
    return Rows(
        smiles,
        np.array(values, float),
        np.zeros(len(values), bool),
        {"file": "t.csv"},
        relation=np.array(list(signs)) if signs else None,
        rules=rules,
    )


def test_duplicates_become_their_median_with_their_spread() -> None:
    table = clean(rows_of(["CCO", "OCC", "C(O)C", "CCN"], [1.0, 2.0, 9.0, 5.0]), task="regression")
    assert table.values.tolist() == [2.0, 5.0]
    assert table.counts["n_duplicates_merged"] == 2
    assert table.n_obs is not None and table.n_obs.tolist() == [3, 1]
    assert table.spread is not None and table.spread.tolist() == [8.0, 0.0]


def test_conflicting_labels_are_dropped_for_classification() -> None:
    rows = rows_of(["CCO", "OCC", "CCN", "NCC", "CCC"], [1, 0, 1, 1, 0])
    table = clean(rows, task="classification")
    assert [m.smiles for m in table.molecules] == ["CCN", "CCC"]
    assert table.counts["n_conflicting_structures_dropped"] == 1
    assert table.counts["n_used"] == 2
    assert table.conflicts == {"CCO": [1.0, 0.0]}
    assert table.dropped == {"labels of one structure differ": 2}


def test_kept_conflicts_take_the_majority_and_a_tie_is_dropped() -> None:
    keep = CleaningRules(conflicts="keep")
    rows = rows_of(["C", "C", "C", "CC", "CC"], [1, 0, 1, 1, 0], rules=keep)
    table = clean(rows, task="classification")
    assert [m.smiles for m in table.molecules] == ["C"]
    assert table.values.tolist() == [1.0]


def test_values_that_differ_by_more_than_the_limit_conflict() -> None:
    smiles: list[object] = ["C", "C", "CC", "CC"]
    rows = rows_of(smiles, [5.0, 6.5, 7.0, 7.9], rules=POTENCY)
    table = clean(rows, task="regression")
    assert table.values.tolist() == [7.45]
    assert table.conflicts == {"C": [5.0, 6.5]}
    kept = clean(replace(rows, rules=replace(POTENCY, conflicts="keep")), task="regression")
    assert kept.values.tolist() == [5.75, 7.45]
    assert kept.counts["n_conflicting_structures_kept"] == 1


def test_an_exact_value_comes_before_a_bound() -> None:
    table = clean(rows_of(["C", "C"], [5.0, 4.5], ">=", rules=POTENCY), task="regression")
    assert table.values.tolist() == [4.5]
    assert table.relation is not None and table.relation.tolist() == ["="]
    assert sum(table.dropped.values()) == 1


def test_a_bound_that_contradicts_the_exact_value_is_a_conflict() -> None:
    table = clean(rows_of(["C", "C"], [7.0, 4.5], ">=", rules=POTENCY), task="regression")
    assert len(table) == 0
    assert table.counts["n_conflicting_structures_dropped"] == 1


def test_of_bounds_alone_the_tightest_is_used_and_marked() -> None:
    rows = rows_of(["C", "C", "CC", "CC", "CCC", "CCC"], [4, 5, 6, 7, 3, 4], ">><<<>")
    table = clean(rows, task="regression")
    assert table.values.tolist() == [5.0, 6.0]
    assert table.relation is not None and table.relation.tolist() == [">", "<"]
    assert table.counts["n_censored"] == 2
    assert table.dropped["only bounds, from both sides"] == 2


def test_bounds_can_be_left_out() -> None:
    rows = rows_of(["C", "CC"], [4, 5], "<=", rules=CleaningRules(censored="drop"))
    table = clean(rows, task="regression")
    assert table.values.tolist() == [5.0]
    assert table.counts["n_censored_dropped"] == 1


def test_salts_of_one_compound_are_duplicates() -> None:
    table = clean(rows_of(["CC(=O)O", "CC(=O)[O-].[Na+]"], [1.0, 3.0]), task="regression")
    assert table.values.tolist() == [2.0]


def test_unusable_rows_are_counted_not_lost() -> None:
    table = clean(rows_of(["CCO", "xx", None, "CCN"], [1, 1, 1, np.nan]), task="regression")
    assert table.counts["n_unusable_structures"] == 2
    assert table.counts["n_without_value"] == 1
    assert table.counts["n_used"] == 1


def test_a_row_with_two_faults_is_counted_once() -> None:
    table = clean(rows_of(["CCO", "xx", "CCN"], [1, np.nan, np.nan]), task="regression")
    counts = [table.counts[f"n_{k}"] for k in ("used", "unusable_structures", "without_value")]
    assert counts == [1, 1, 1]


def test_a_reason_from_reading_is_counted() -> None:
    rows = replace(rows_of(["C", "CC"], [np.nan, 1.0]), reasons=["outside 2 to 12", ""])
    table = clean(rows, task="regression")
    assert table.dropped == {"outside 2 to 12": 1}
    assert table.counts["n_unusable_values"] == 1
    assert table.counts["n_without_value"] == 0


@pytest.mark.parametrize("sign", ["", "=>"])
def test_a_label_that_is_neither_0_nor_1_names_its_row(sign: str) -> None:
    with pytest.raises(DataError, match=r"t\.csv: row 2: .* found >?0\.5"):
        clean(rows_of(["CCO", "CCN"], [1, 0.5], sign), task="classification")


def test_the_first_year_of_a_structure_is_kept() -> None:
    rows = replace(rows_of(["C", "C", "CC"], [1, 1, 1]), year=np.array([2005, 1999, np.nan]))
    table = clean(rows, task="regression")
    assert table.year is not None
    assert np.array_equal(table.year, [1999.0, np.nan], equal_nan=True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["C", "CC", "CCO", "c1ccccc1", "xx", "[Na+].CC(=O)[O-]"]),
            st.one_of(st.just(float("nan")), st.floats(2, 9)),
            st.sampled_from("=<>"),
        ),
        max_size=12,
    ),
    st.sampled_from(["drop", "keep"]),
    st.sampled_from(["drop", "bound"]),
)
def test_every_row_is_used_or_counted(
    entries: list[tuple[str, float, str]], conflicts: str, censored: str
) -> None:
    rules = CleaningRules(1.0, conflicts, censored)  # type: ignore[arg-type]
    rows = rows_of(
        [e[0] for e in entries], [e[1] for e in entries], "".join(e[2] for e in entries), rules
    )
    table = clean(rows, task="regression")
    assert table.n_obs is not None
    assert table.n_obs.sum() + sum(table.dropped.values()) == len(entries)
    assert len(set(m.smiles for m in table.molecules)) == len(table)


def test_a_compound_has_the_assay_that_all_its_measurements_share() -> None:
    rows = rows_of(["CCO", "OCC", "CCN", "NCC", "CCC"], [1.0, 2.0, 3.0, 3.0, 5.0])
    assert clean(rows, task="regression").assay is None
    told = replace(rows, assay=["a", "a", "a", "b", ""])
    assert clean(told, task="regression").assay == ["a", "", ""]
