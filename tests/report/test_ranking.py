"""Laws of the ranking."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from molgen.report.ranking import rank

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "constitution": st.sampled_from("ABCDEFGH"),
            "stereo": st.sampled_from(["", "@", "@@"]),
            "scaffold": st.sampled_from(["", "ring 1", "ring 2", "ring 3"]),
            "status": st.sampled_from(["scored", "scored", "unscored", "filtered", "pending"]),
            "reward": st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan]),
        }
    ),
    max_size=40,
)


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A ledger table: the constitution decides the scaffold, ids count from 1."""
    scaffold_of = {str(row["constitution"]): row["scaffold"] for row in rows}
    filled = [
        {**row, "id": i, "smiles": f"{row['constitution']}{row['stereo']}",
         "scaffold": scaffold_of[str(row["constitution"])]}
        for i, row in enumerate(rows, start=1)
    ]  # fmt: skip
    columns = ["id", "smiles", "constitution", "scaffold", "status", "reward"]
    return pd.DataFrame(filled, columns=columns).drop_duplicates("smiles")


def reference(table: pd.DataFrame, n: int, max_per_scaffold: int) -> list[int]:
    """Ids by walking down the sorted rows one by one."""
    rows = [r for r in table.to_dict("records") if r["status"] == "scored" and r["reward"] >= 0]
    chosen: list[dict[str, object]] = []
    for row in sorted(rows, key=lambda r: (-r["reward"], r["id"])):
        seen = {r["constitution"] for r in chosen}
        used = Counter(str(r["scaffold"]) for r in chosen if r["scaffold"])
        if row["constitution"] not in seen and used[row["scaffold"]] < max_per_scaffold:
            chosen.append(row)
    return [int(str(r["id"])) for r in chosen[:n]]


@given(ROWS, st.integers(0, 12), st.integers(1, 3))
def test_candidates_are_those_of_a_walk_down_the_sorted_rows(rows, n, most) -> None:
    table = frame(rows)
    assert list(rank(table, n, max_per_scaffold=most)["id"]) == reference(table, n, most)


def test_where_nothing_was_scored_there_is_no_front_and_no_candidate() -> None:
    """Columns of values come with the first score."""
    row = {"constitution": "A", "stereo": "", "scaffold": "", "status": "filtered"}
    table = frame([{**row, "reward": math.nan}])
    found = rank(table, 5, max_per_scaffold=1, pareto=["qed_desirability"])
    assert len(found) == 0 and {"rank", "pareto_front"} <= set(found)


@given(ROWS, st.integers(1, 3), st.randoms())
def test_the_order_of_the_rows_does_not_matter(rows, most, random) -> None:
    table = frame(rows)
    order = list(range(len(table)))
    random.shuffle(order)
    expected = rank(table, 10, max_per_scaffold=most)
    pd.testing.assert_frame_equal(rank(table.iloc[order], 10, max_per_scaffold=most), expected)


@given(ROWS, st.integers(1, 3))
def test_fewer_candidates_are_the_head_of_more(rows, most) -> None:
    table = frame(rows)
    few, many = (rank(table, n, max_per_scaffold=most) for n in (3, 8))
    assert list(few["id"]) == list(many["id"])[:3]


@given(ROWS)
def test_ranks_count_from_one_and_rewards_fall(rows) -> None:
    best = rank(frame(rows), 10, max_per_scaffold=2)
    assert list(best["rank"]) == list(range(1, len(best) + 1))
    assert best["reward"].is_monotonic_decreasing
    assert best["reward"].notna().all()


def test_stereoisomers_count_once_unless_a_component_tells_them_apart() -> None:
    table = frame(
        [
            {"constitution": "A", "stereo": s, "scaffold": "", "status": "scored", "reward": 0.5}
            for s in ("@", "@@")
        ]
    )
    assert list(rank(table, 10, max_per_scaffold=1)["smiles"]) == ["A@"]
    both = rank(table, 10, max_per_scaffold=1, stereo_aware=True)
    assert list(both["smiles"]) == ["A@", "A@@"]


def test_acyclic_molecules_are_not_limited_by_their_empty_scaffold() -> None:
    table = frame(
        [
            {"constitution": c, "stereo": "", "scaffold": "", "status": "scored", "reward": 0.5}
            for c in "ABCD"
        ]
    )
    assert len(rank(table, 10, max_per_scaffold=1)) == 4
