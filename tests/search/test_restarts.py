"""Restarts: where nothing is gained the search begins anew, away from its best."""

from __future__ import annotations

from molgen.search.engine import Search
from molgen.search.population import Population
from molgen.search.restarts import Restarts
from molgen.search.surrogate import describe
from tests.search.cases import ALKYL, config, judged, row

ACIDS = [f"{'C' * n}C(=O)O" for n in range(1, 41)]


def restarts(patience: int | None) -> Restarts:
    return Restarts(lambda: Population(20, 1.0, 100), patience)


def add(to: Restarts, smiles: list[str], rewards: list[float]) -> list[float]:
    rows = [row(i, s, r) for i, (s, r) in enumerate(zip(smiles, rewards, strict=True))]
    return to.add(rows, describe(smiles))


def test_without_gain_the_search_begins_anew_away_from_the_best() -> None:
    search = restarts(patience=30)
    add(search, ALKYL, [0.5] * 8)
    assert not search.left_behind(describe(ALKYL)).any()
    add(search, ACIDS[:29], [0.1] * 29)
    assert ALKYL[0] in search.population.members()
    add(search, ACIDS[29:30], [0.1])
    assert search.population.members() == []
    assert search.left_behind(describe(ALKYL)).all()
    aniline = "Nc1ccc(S(N)(=O)=O)cc1"
    assert not search.left_behind(describe([aniline])).any()
    assert add(search, ["CCCCCCCCCc1ccccc1", aniline], [0.9, 0.3]) == [0.0, 0.3]
    assert search.population.members() == [aniline]


def test_a_new_beginning_without_gain_ends_in_everything_that_was_scored() -> None:
    search = restarts(patience=10)
    add(search, ALKYL, [0.5] * 8)
    add(search, ACIDS[:10], [0.1] * 10)
    fresh = ["Nc1ccc(S(N)(=O)=O)cc1", "N#CC1CCOC1"]
    add(search, fresh, [0.3, 0.4])
    assert set(search.population.members()) == set(fresh)
    assert not search.left_behind(describe(fresh)).any()
    add(search, ["CS(=O)(=O)N", "FC(F)F"] * 5, [0.1] * 10)
    assert {*ALKYL, *fresh} <= set(search.population.members())
    add(search, ACIDS[:10], [0.1] * 10)
    assert search.left_behind(describe(fresh)).all(), "nor does the next come back here"


def test_as_long_as_there_is_gain_nothing_changes() -> None:
    search = restarts(patience=3)
    for i, smiles in enumerate(ALKYL):
        add(search, [smiles] * 3, [0.1 * 1.05**i] * 3)
        assert smiles in search.population.members()


def test_near_the_top_a_small_gain_is_one() -> None:
    search = restarts(patience=3)
    for i, smiles in enumerate(ALKYL):
        add(search, [smiles] * 3, [1.0 - 0.05 * 0.95**i] * 3)
        assert smiles in search.population.members()


def test_as_long_as_nothing_has_a_reward_there_is_nothing_to_leave() -> None:
    search = restarts(patience=10)
    for _ in range(3):
        add(search, ACIDS[:10], [0.0] * 10)
    add(search, ALKYL, [0.5] * 8)
    assert set(search.population.members()) == set(ALKYL)
    add(search, ACIDS[:10], [0.1] * 10)
    assert search.population.members() == []


def test_without_patience_there_is_no_new_beginning() -> None:
    search = restarts(patience=None)
    for _ in range(50):
        add(search, ALKYL, [0.5] * 8)
    assert search.population.members()


def test_after_a_new_beginning_no_call_goes_to_what_was_left_behind() -> None:
    search = Search(config(search={"restart_after": 10}))
    for _ in range(3):
        search.learn([row(i, s, 0.5) for i, s in enumerate(ALKYL)], {"sample": 10})
    assert {o.arm for shard in search.orders(3) for o in shard} == {"sample"}
    proposed = ["CCCCCCCCCc1ccccc1", "Nc1ccc(S(N)(=O)=O)cc1", "CC(C)CCCCc1ccccc1", "N#CC1CCOC1"]
    assert [m.smiles for m in judged(search, 3, proposed).made] == proposed[1::2]
    assert len(judged(search, 3, proposed[:1])) == 1  # better something known than nothing


def test_rounds_are_small_again_after_a_new_beginning() -> None:
    search = Search(config(search={"restart_after": 10, "round_share": 0.5}))
    sizes = []
    for _ in range(5):
        search.learn([row(i, s, 0.5) for i, s in enumerate(ALKYL)], {"sample": 10})
        sizes.append(search.round_size)
    assert sizes == [10, 10, 10, 10, 20], "half of all but for the third and fourth: anew since"
