"""The search's parts: parents are good and apart, moves that pay get more, the surrogate ranks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import Crippen, rdFingerprintGenerator

from molgen.errors import ConfigError
from molgen.ledger import LedgerRow
from molgen.search.bandit import Bandit
from molgen.search.engine import Search
from molgen.search.library import Library
from molgen.search.moves import DRAWN, MOVE_OF, Made, Order
from molgen.search.pool import Pool
from molgen.search.population import Population, draw_parents
from molgen.search.surrogate import MIN_SCORED, Surrogate, describe
from tests.search.cases import ALKYL, config, drawn, judged, row

MIXED = [
    f"{r}{core}"
    for r in ("C", "CC", "CO", "N", "Cl", "F", "OCC", "CC(C)", "CS", "CCN")
    for core in ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "N1CCOCC1", "c1ccsc1", "C(=O)Nc1ccccc1")
]
READABLE = [s for s in MIXED if Chem.MolFromSmiles(s)]


UP = {"type": "increasing", "zero_at": 0, "one_at": 1}


# ------------------------------------------------------------------------------------- population


def test_the_population_is_the_best_but_not_all_alike() -> None:
    population = Population(size=4, max_similarity=0.5, max_per_scaffold=10)
    for i, smiles in enumerate([*ALKYL, "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(=O)Oc1ccccc1C(=O)O"]):
        population.add(smiles, "", 1.0 - 0.01 * i)
    members = population.members()
    assert members[0] == ALKYL[0]
    assert "Cn1c(=O)c2c(ncn2C)n(C)c1=O" in members
    fingerprint = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = [fingerprint.GetFingerprint(Chem.MolFromSmiles(s)) for s in members]
    for i, one in enumerate(bits):
        assert max(DataStructs.BulkTanimotoSimilarity(one, bits[:i]), default=0.0) <= 0.5


def test_one_scaffold_fills_no_population() -> None:
    population = Population(size=10, max_similarity=1.0, max_per_scaffold=3)
    for smiles in ALKYL:
        population.add(smiles, "c1ccccc1", 0.5)
    assert population.members() == ALKYL[:3]


def test_a_molecule_gains_by_what_it_is_better_than_the_last_of_the_best() -> None:
    population = Population(size=2, max_similarity=1.0, max_per_scaffold=9)
    rewards = (0.5, 0.6, 0.4, 0.7, 0.0)
    gains = [population.add(s, "", r) for s, r in zip(ALKYL, rewards, strict=False)]
    assert gains == pytest.approx([0.5, 0.6, 0.0, 0.2, 0.0])


def test_better_parents_are_drawn_oftener() -> None:
    drawn = Counter(draw_parents(ALKYL, 4000, np.random.default_rng(0)))
    counts = [drawn[s] for s in ALKYL]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) > 50


# ----------------------------------------------------------------------------------------- bandit


def test_arms_share_equally_until_something_is_known() -> None:
    assert Bandit(["a", "b"]).shares() == {"a": 0.5, "b": 0.5}


def test_an_arm_that_pays_gets_most_and_the_other_keeps_a_little() -> None:
    bandit = Bandit(["a", "b"])
    for _ in range(10):
        bandit.learn({"a": 100, "b": 100}, {"a": 20})
    shares = bandit.shares()
    assert shares["a"] > 0.8
    assert 0.04 <= shares["b"] < 0.2


def test_an_arm_whose_proposals_are_never_chosen_loses_too() -> None:
    bandit = Bandit(["chosen", "ignored"])
    bandit.learn({"chosen": 50, "ignored": 500}, {"chosen": 0.5})
    assert bandit.shares()["chosen"] > 0.5


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 500)),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20)),
)
def test_shares_sum_to_one(proposed: dict[str, float], good: dict[str, float]) -> None:
    bandit = Bandit(list("abcd"))
    bandit.learn(proposed, good)
    shares = bandit.shares()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) >= 0.04 - 1e-9


# -------------------------------------------------------------------------------------- surrogate


def logp(smiles: str) -> float:
    return float(Crippen.MolLogP(Chem.MolFromSmiles(smiles)))  # type: ignore[attr-defined]


def taught(smiles: list[str]) -> Surrogate:
    surrogate = Surrogate(seed=1, max_compounds=30)
    for i in range(0, len(smiles), 7):  # as rounds come
        part = smiles[i : i + 7]
        surrogate.add(describe(part), [logp(s) for s in part])
    return surrogate


def pool_of(surrogate: Surrogate, proposed: list[str]) -> Pool:
    described = describe(proposed)
    return Pool(drawn(proposed), described, *surrogate.judge(described))


def chosen_of(surrogate: Surrogate, proposed: list[str], n: int, **changes: float) -> list[str]:
    options = {"optimism": 0.0, "random_share": 0.0, "drawn_share": 0.0, "max_similarity": 1.0}
    options |= changes
    chosen = pool_of(surrogate, proposed).choose(n, rng=np.random.default_rng(3), **options)
    return [proposed[i] for i in chosen]


def test_the_surrogate_chooses_what_is_better_than_the_rest() -> None:
    rng = np.random.default_rng(0)
    shuffled = [READABLE[i] for i in rng.permutation(len(READABLE))]
    known, proposed = shuffled[:40], shuffled[40:]
    best = chosen_of(taught(known), proposed, 5)
    assert np.mean([logp(s) for s in best]) > np.mean([logp(s) for s in proposed]) + 0.5


def test_choices_are_distinct_and_no_more_than_there_are() -> None:
    assert sorted(chosen_of(taught(READABLE), ALKYL, 99, optimism=1.0, random_share=0.3)) == sorted(
        ALKYL
    )


def test_a_batch_is_not_one_molecule_eight_times() -> None:
    proposed = [*ALKYL, "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(=O)Oc1ccccc1C(=O)O"]
    batch = chosen_of(taught(READABLE), proposed, 3, max_similarity=0.4)
    assert len(set(batch) & set(ALKYL)) <= 2


def test_a_share_of_a_batch_is_for_what_the_network_made() -> None:
    proposed = [*READABLE[:20], *ALKYL, *READABLE[20:40]]
    described = describe(proposed)
    arms = ["edit"] * 20 + ["sample", "regrow_small", "regrow_large", "link"] * 2 + ["edit"] * 20
    made = [Made(s, arm, (), -1) for s, arm in zip(proposed, arms, strict=True)]
    mean = np.where(np.array(arms) == "edit", 1.0, 0.0)
    pool = Pool(made, described, mean, np.zeros(len(made)))
    options = {"optimism": 0.0, "random_share": 0.0, "max_similarity": 1.0}

    def arms_of(share: float) -> list[str]:
        rng = np.random.default_rng(1)
        return [arms[i] for i in pool.choose(12, drawn_share=share, rng=rng, **options)]

    assert set(arms_of(0.0)) == {"edit"}
    assert 2 <= 12 - arms_of(0.5).count("edit") <= 8
    # all eight, whether regrown or linked; then the best of the others
    assert sorted(set(arms_of(1.0))) == ["edit", "link", "regrow_large", "regrow_small", "sample"]
    assert pool.best(3, optimism=0.0, n_drawn=1).made[3:] == [made[20], made[21], made[23]]


def test_before_enough_is_known_nothing_is_ranked() -> None:
    search = Search(config())
    search.learn([row(i, s, logp(s)) for i, s in enumerate(READABLE[:7])], {"sample": 10})
    assert not search.ranks
    assert sum(len(o.parents) for shard in search.orders(1) for o in shard) == 10
    search.learn([row(7, READABLE[7], logp(READABLE[7]))], {"sample": 10})
    assert search.ranks


def test_pools_join_and_the_best_come_first() -> None:
    surrogate = taught(READABLE)
    whole = pool_of(surrogate, ALKYL)
    joined = pool_of(surrogate, ALKYL[:3]).joined(pool_of(surrogate, ALKYL[3:]))
    assert joined.made == whole.made and np.allclose(joined.mean, whole.mean)
    best = joined.best(3, optimism=0.0)
    assert list(best.mean) == sorted(joined.mean, reverse=True)[:3]
    assert np.array_equal(best.described.ecfp, describe([m.smiles for m in best.made]).ecfp)
    doubtful = joined.best(1, optimism=1e6)
    assert doubtful.deviation[0] == joined.deviation.max()


def test_what_the_surrogate_says_depends_on_what_it_was_taught_alone() -> None:
    """Not on when it was asked: so a run that is taken up again goes on as it would have."""
    asked, fresh = Surrogate(1, 30), Surrogate(1, 30)
    for i in range(0, len(READABLE), 7):
        part = READABLE[i : i + 7]
        for one in (asked, fresh):
            one.add(describe(part), [logp(s) for s in part])
        if len(asked) >= MIN_SCORED:
            chosen_of(asked, ALKYL, 2)
    assert chosen_of(asked, ALKYL, 5) == chosen_of(fresh, ALKYL, 5)


# ----------------------------------------------------------------------------------------- engine


def test_at_first_the_policy_is_sampled_and_then_all_moves_share() -> None:
    search = Search(config())
    first = search.orders(0)
    assert {o.arm for shard in first for o in shard} == {"sample"}
    assert sum(len(o.parents) for shard in first for o in shard) == 10
    search.learn([row(i, s, 0.5 + 0.001 * i) for i, s in enumerate(READABLE)], {"sample": 10})
    second = [o for shard in search.orders(1) for o in shard]
    assert sum(len(o.parents) for o in second) == 40
    assert {o.arm for o in second} >= {"sample", "edit", "regrow_medium", "cross"}
    assert all(p in READABLE for o in second for parents in o.parents for p in parents)
    assert all(len(p) == 2 for o in second if o.arm == "cross" for p in o.parents)


def share_of_the_network(**changes: object) -> float:
    """Of the proposals of a round after one in which only edits paid."""
    search = Search(config(search={"proposals_per_call": 40} | changes))
    rows = [row(i, s, logp(s), origin="edit") for i, s in enumerate(READABLE[:40])]
    search.learn(rows, {"edit": 50, "sample": 900, "regrow_small": 900, "link": 900})
    orders = [o for shard in search.orders(2) for o in shard]
    drawn = sum(len(o.parents) for o in orders if MOVE_OF[o.arm] in DRAWN)
    return drawn / sum(len(o.parents) for o in orders)


def test_half_of_a_rounds_proposals_are_the_networks_whatever_pays() -> None:
    assert share_of_the_network() == pytest.approx(0.5, abs=0.01)
    assert share_of_the_network(drawn_share=0.0) < 0.35


def test_shards_hold_as_many_as_the_config_says() -> None:
    search = Search(config())
    search.learn([row(i, s, 0.5) for i, s in enumerate(READABLE)], {"sample": 10})
    assert [sum(len(o.parents) for o in shard) for shard in search.orders(1)] == [16, 16, 8]


def n_proposed(search: Search) -> int:
    return sum(len(o.parents) for shard in search.orders(1) for o in shard)


def test_rounds_grow_with_what_was_scored() -> None:
    search = Search(config(search={"round_share": 0.25, "proposals_per_call": 4}))
    rows = [row(i, s, 0.1 + 0.01 * i) for i, s in enumerate(READABLE)]
    assert search.round_size == 10 and n_proposed(search) == 10
    search.learn(rows[:40], {"sample": 10})
    assert search.round_size == 10 and n_proposed(search) == 40
    search.learn(rows[40:49], {"sample": 10})
    assert search.round_size == 13 and n_proposed(search) == 52


def test_a_grown_round_has_no_more_children_in_a_generation() -> None:
    search = knowing(READABLE[:40], round_share=0.5, generation_size=15)
    assert search.round_size == 20
    (orders,) = search.breeding_orders(1, 1, judged(search, 1, READABLE[40:]))
    assert sum(len(o.parents) for o in orders) == 15


def test_without_the_surrogate_rounds_stay_as_they_are() -> None:
    search = Search(config(search={"surrogate": False, "round_share": 0.9}))
    search.learn([row(i, s, 0.5) for i, s in enumerate(READABLE)], {"sample": 10})
    assert search.round_size == 10 and n_proposed(search) == 10


def test_a_prompt_is_kept_by_sampling_alone() -> None:
    search = Search(config(generator={"prompts": ["[*:1]c1ccccc1"], "shard_size": 16}))
    search.learn([row(i, s, 0.5) for i, s in enumerate(READABLE)], {"sample": 10})
    assert {o.arm for shard in search.orders(1) for o in shard} == {"sample"}


def test_moves_and_surrogate_can_be_left_out() -> None:
    search = Search(config(search={"moves": ["edit"], "surrogate": False}))
    search.learn([row(i, s, 0.5) for i, s in enumerate(READABLE)], {"sample": 10})
    orders = [o for shard in search.orders(1) for o in shard]
    assert {o.arm for o in orders} == {"edit", "edit_twice"}
    assert sum(len(o.parents) for o in orders) == 10


def knowing(known: list[str], **changes: object) -> Search:
    search = Search(config(search=changes))
    search.learn([row(i, s, logp(s)) for i, s in enumerate(known)], {"sample": 10})
    return search


def test_the_best_of_a_round_are_spared_for_the_next() -> None:
    search = knowing(READABLE[:40], n_spares=6)
    pool = judged(search, 1, READABLE[40:])
    search.keep_spares(pool)
    spared = [m.smiles for m in search.spares]
    assert spared == [m.smiles for m in pool.best(6, optimism=0.5).made]
    others = [logp(s) for s in READABLE[40:] if s not in spared]
    assert np.mean([logp(s) for s in spared]) > np.mean(others)


def test_about_half_of_the_parents_are_spares() -> None:
    search = knowing(READABLE[:40], moves=["edit"], proposals_per_call=40)
    search.keep_spares(judged(search, 1, READABLE[40:]))
    parents = [p for shard in search.orders(2) for o in shard for (p,) in o.parents]
    assert set(parents) <= set(READABLE)
    assert 0.3 < sum(p in READABLE[40:] for p in parents) / len(parents) < 0.7


def test_without_spares_only_what_was_scored_has_children() -> None:
    search = knowing(READABLE[:40], n_spares=0)
    search.keep_spares(judged(search, 1, READABLE[40:]))
    parents = {p for shard in search.orders(2) for o in shard for ps in o.parents for p in ps}
    assert parents <= set(READABLE[:40])


def test_spares_taken_from_the_ledger_are_what_they_were() -> None:
    search, other = (knowing(READABLE[:40]) for _ in range(2))
    search.keep_spares(judged(search, 1, READABLE[40:]))
    other.spares = search.spares
    assert other.orders(2) == search.orders(2)
    assert np.array_equal(search.described_spares().ecfp, other.described_spares().ecfp)
    assert np.array_equal(
        search.described_spares().descriptors, other.described_spares().descriptors
    )


def test_the_most_promising_proposals_have_children_by_cheap_moves() -> None:
    search = knowing(READABLE[:10], generation_size=30)
    pool = judged(search, 1, READABLE[10:])
    (orders,) = search.breeding_orders(1, 1, pool)
    assert sum(len(o.parents) for o in orders) == 30
    assert {o.arm for o in orders} <= {"edit", "edit_twice", "cross", "graft", "swap_ring"}
    assert {p for o in orders for ps in o.parents for p in ps} <= set(READABLE[10:])
    assert search.breeding_orders(1, 1, pool) == [orders]
    assert search.breeding_orders(1, 2, pool) != [orders]


def test_the_neighbours_of_the_best_parents_compete_once_each() -> None:
    search = knowing(READABLE[:10])
    best = sorted(READABLE[:10], key=logp, reverse=True)
    turns = []
    for number in range(4):
        shards = search.neighbour_orders()
        assert {o.arm for shard in shards for o in shard} <= {"neighbours"}
        assert all(len(set(o.parents)) == 1 for shard in shards for o in shard)
        turns += [o.parents[0][0] for shard in shards for o in shard]
        assert search.neighbour_orders() == shards, "to ask changes nothing"
        search.learn([row(20 + number, READABLE[20 + number], 0.0)], {"sample": 10})
    assert turns[:3] == [m for m in best if m in turns][:3]
    assert len(set(turns)) == len(turns) > 3


@pytest.mark.parametrize(
    "changes",
    [
        {"search": {"moves": ["sample", "cross"]}},
        {"search": {"n_explored": 0}},
        {"search": {"surrogate": False}},
        {"generator": {"prompts": ["[*:1]C"]}},
    ],
)
def test_where_edits_or_the_surrogate_are_left_out_no_neighbours_compete(
    changes: dict[str, object],
) -> None:
    search = Search(config(**changes))
    search.learn([row(i, s, logp(s)) for i, s in enumerate(READABLE[:10])], {"sample": 10})
    assert search.neighbour_orders() == []


def test_as_long_as_everything_scores_zero_the_policy_is_sampled() -> None:
    search = Search(config())
    search.learn([row(i, s, 0.0) for i, s in enumerate(READABLE[:20])], {"sample": 10})
    assert {o.arm for shard in search.orders(1) for o in shard} == {"sample"}
    assert search.breeding_orders(1, 1, judged(search, 1, READABLE[20:])) == []
    search.learn([row(i, s, 0.1) for i, s in enumerate(READABLE[20:30])], {"sample": 10})
    parents = {p for shard in search.orders(2) for o in shard for ps in o.parents for p in ps}
    assert parents and parents <= set(READABLE[20:30])


@pytest.mark.parametrize(
    "changes", [{"search": {"moves": ["sample", "regrow"]}}, {"generator": {"prompts": ["[*:1]C"]}}]
)
def test_where_the_cheap_moves_are_left_out_nothing_is_bred(changes: dict[str, object]) -> None:
    search = Search(config(**changes))
    search.learn([row(i, s, logp(s)) for i, s in enumerate(READABLE[:10])], {"sample": 10})
    assert search.breeding_orders(1, 1, judged(search, 1, READABLE[10:])) == []


def test_a_library_is_one_more_move(tmp_path: Path) -> None:
    file = tmp_path / "library.smi"
    file.write_text("\n".join(f"{s} name{i}" for i, s in enumerate(READABLE)))
    search = Search(config(search={"library": str(file), "moves": ["sample"]}))
    orders = [o for shard in search.orders(0) for o in shard]
    assert {o.arm for o in orders} == {"sample", "library"}
    drawn = [p[0] for o in orders if o.arm == "library" for p in o.parents]
    assert len(set(drawn)) == len(drawn) and set(drawn) <= set(READABLE)


@pytest.mark.parametrize("text", [None, "", "\n\n"])
def test_a_library_without_a_molecule_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "library.smi"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=r"library\.smi"):
        Library(str(file))


def test_two_searches_with_one_history_order_the_same() -> None:
    histories = []
    for _ in range(2):
        search = Search(config())
        search.learn([row(i, s, logp(s)) for i, s in enumerate(READABLE)], {"sample": 10})
        histories.append(search.orders(1))
    assert histories[0] == histories[1]
    assert isinstance(histories[0][0][0], Order)


def test_with_pareto_a_move_pays_by_what_its_round_aimed_at() -> None:
    two = [
        {"type": "descriptor", "name": name, "desirability": UP} for name in ("qed", "tpsa")
    ]  # fmt: skip

    def rows_of(number: int, origin: str, qed: float, tpsa: float) -> list[LedgerRow]:
        values = {"qed_desirability": qed, "tpsa_desirability": tpsa}
        changes = {"values": values, "round": number, "origin": origin}
        return [
            dataclasses.replace(row(10 * number + i, s, 0.5), **changes)
            for i, s in enumerate(READABLE[10 * number : 10 * number + 10])
        ]

    search = Search(config(objective={"components": two}, search={"pareto": True}))
    shares, proposed = [], {"cross": 100, "edit": 100}
    for number in range(2):  # all rewards are the same
        search.learn(rows_of(number, "cross", 0.1 + 0.4 * number, 0.1 + 0.4 * number), proposed)
        shares.append(search._bandit.shares()["cross"])
    assert shares[0] == pytest.approx(1 / len(search._bandit.arms))  # nothing to be better than
    assert shares[1] > 1.2 * shares[0]


def test_with_pareto_each_round_aims_at_other_weights_and_the_same_on_every_visit() -> None:
    two = [
        {"type": "descriptor", "name": name, "desirability": UP} for name in ("qed", "tpsa")
    ]  # fmt: skip
    search = Search(config(objective={"components": two}, search={"pareto": True}))
    smiles = READABLE[:20]
    rows = [
        dataclasses.replace(
            row(i, s, 0.5), values={"qed_desirability": i / 20, "tpsa_desirability": 1 - i / 20}
        )
        for i, s in enumerate(smiles)
    ]
    search.learn(rows, {})
    firsts = [search._parents(number)[0] for number in range(1, 30)]
    assert len(set(firsts)) > 5  # every one of them lies on the front
    assert firsts == [search._parents(number)[0] for number in range(1, 30)]
    assert search.tradeoffs is not None
    assert search.tradeoffs.hypervolume() == pytest.approx(sum(i / 20 / 20 for i in range(1, 20)))
