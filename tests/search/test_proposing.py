"""The worker that draws: a shard depends on weights and seed, and every proposal has its names."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molgen.config.campaign import LearningConfig
from molgen.generator.network import GraphTransformer
from molgen.generator.sampler import SamplingOptions
from molgen.generator.weights import save_network
from molgen.objectives.descriptors import sa_score
from molgen.search.moves import Order
from molgen.search.plausible import flaws
from molgen.search.policy import Policy, read_weights
from molgen.search.proposing import GeneratorWorker, identify, make_generator
from molgen.search.surrogate import describe
from tests.search.test_policy import BEST

PROMPTS = ["[*:1]c1ccccc1", "[*:1]N[*:2]"]


def sampled(n: int, prompt: int = -1) -> list[Order]:
    return [Order("sample", ((),) * n, prompt)]


def worker(
    prior: Path, *, plausible_only: bool = False, max_sa_score: float | None = None
) -> GeneratorWorker:
    return make_generator(prior, PROMPTS, SamplingOptions(), plausible_only, max_sa_score)


def trained(network: GraphTransformer) -> GraphTransformer:
    """Another network than the one given."""
    policy = Policy(network, LearningConfig(learning_rate=0.01), [], SamplingOptions(), seed=1)
    policy.learn(BEST)
    other = copy.deepcopy(network)
    other.load_state_dict(read_weights(policy.weights()))
    return other


def test_a_shard_is_the_same_on_any_worker(prior_file: Path) -> None:
    workers = [worker(prior_file), worker(prior_file)]
    orders = [*sampled(5), Order("edit", (("CCOc1ccccc1",),) * 5)]
    first = workers[0].propose(0, None, orders, (1, 0, 0), False)
    workers[1].propose(0, None, sampled(7, prompt=0), (9, 9, 9), False)
    assert workers[1].propose(0, None, orders, (1, 0, 0), False) == first
    assert workers[1].propose(0, None, orders, (1, 0, 1), False) != first


def test_new_weights_come_with_the_call(network: GraphTransformer, prior_file: Path) -> None:
    policy = Policy(network, LearningConfig(learning_rate=0.01), [], SamplingOptions(), seed=1)
    policy.learn(BEST)
    used, fresh = worker(prior_file), worker(prior_file)
    before = used.propose(0, None, sampled(10), (1,), False)
    after = used.propose(1, policy.weights(), sampled(10), (1,), False)
    assert after != before
    assert fresh.propose(1, policy.weights(), sampled(10), (1,), False) == after


def test_groups_are_of_the_file_s_weights_even_if_another_file_had_its_name(
    network: GraphTransformer, tmp_path: Path
) -> None:
    def grafted(file: Path) -> list[str]:
        worker = make_generator(file, [], SamplingOptions(max_atoms=20), False, None, 20, (3,))
        orders = [Order("graft", (("CCOc1ccccc1",),) * 10)]
        return [m.smiles for m in worker.propose(0, None, orders, (1,), False).made]

    another = trained(network)
    save_network(network, tmp_path / "one")
    save_network(another, tmp_path / "other")
    one, other = (grafted(tmp_path / name) for name in ("one", "other"))
    assert one and one != other
    save_network(another, tmp_path / "one")
    assert grafted(tmp_path / "one") == other


def test_what_is_made_twice_stays_twice_each_with_its_own_description(prior_file: Path) -> None:
    # Butane has few edits, so that 40 of them repeat each other.
    orders = [Order("edit", (("CCCC",),) * 40), *sampled(3)]
    answer = worker(prior_file, plausible_only=True).propose(0, None, orders, (1,), True)
    smiles = [m.smiles for m in answer.made]
    assert 3 < len(set(smiles)) < len(smiles)
    expected = describe(smiles)
    assert answer.described is not None
    assert np.array_equal(answer.described.ecfp, expected.ecfp)
    assert np.array_equal(answer.described.descriptors, expected.descriptors)


def test_proposals_of_a_prompt_say_so_and_contain_it(prior_file: Path) -> None:
    for number, core in enumerate(("c1ccccc1", "N")):
        answer = worker(prior_file).propose(0, None, sampled(10, number), (1,), False)
        assert len(answer.made) == 10
        for made in answer.made:
            assert made.prompt == number
            mol = Chem.MolFromSmiles(made.smiles)
            assert mol.HasSubstructMatch(Chem.MolFromSmarts(core))


def test_implausible_molecules_are_dropped_and_counted(prior_file: Path) -> None:
    molecules = ["CC(=O)Nc1ccc(O)cc1", "CC=C=CC", "COOC", "CN1CCCC1c1cccnc1"]
    orders = [Order("library", tuple((s,) for s in molecules))]
    everything = worker(prior_file).propose(0, None, orders, (1,), False)
    assert (len(everything.made), everything.n_implausible) == (4, 0)
    answer = worker(prior_file, plausible_only=True).propose(0, None, orders, (1,), True)
    assert [m.smiles for m in answer.made] == ["CC(=O)Nc1ccc(O)cc1", "CN1CCCC1c1cccnc1"]
    assert answer.n_implausible == 2
    assert answer.described is not None
    assert len(answer.described) == 2


def test_what_is_hard_to_make_is_dropped_unless_the_prompt_is(prior_file: Path) -> None:
    easy, hard = "CC(=O)Nc1ccc(O)cc1", "CC12CCC3C(CCC4CC(O)CCC43C)C1CCC2=O"
    orders = [Order("library", ((easy,), (hard,)))]
    assert sa_score(Chem.MolFromSmiles(easy)) < 3 < sa_score(Chem.MolFromSmiles(hard))
    answer = worker(prior_file, max_sa_score=3.0).propose(0, None, orders, (1,), False)
    assert [m.smiles for m in answer.made] == [easy]
    assert answer.n_implausible == 1
    bound = SamplingOptions(max_atoms=25)
    steroid = make_generator(prior_file, ["[*:1]" + hard[1:]], bound, False, 1.5)
    made = steroid.propose(0, None, sampled(10, prompt=0), (1,), False)
    assert made.made and all(m.prompt == 0 for m in made.made)


@pytest.mark.parametrize(
    ("smiles", "constitution", "scaffold", "inchikey"),
    [
        ("CC(=O)Nc1ccc(O)cc1", "CC(=O)Nc1ccc(O)cc1", "c1ccccc1", "RZVAJINKPMORJF-UHFFFAOYSA-N"),
        ("C[C@H](N)C(=O)O", "CC(N)C(=O)O", "", "QNAYBMKLOCPYGJ-REOHCLBHSA-N"),
    ],
)  # fmt: skip
def test_a_molecule_has_its_known_names(
    smiles: str, constitution: str, scaffold: str, inchikey: str
) -> None:
    found = identify(smiles)
    assert (found.smiles, found.constitution) == (smiles, constitution)
    assert (found.scaffold, found.inchikey) == (scaffold, inchikey)


def test_what_is_implausible_in_a_prompt_is_the_users_own(prior_file: Path) -> None:
    peroxide = "[*:1]COOC"
    own = make_generator(prior_file, [peroxide], SamplingOptions(), True, None)
    assert len(own.propose(0, None, sampled(10, prompt=0), (1,), False).made) > 0
    orders = [Order("library", (("CCOOC",),))]
    assert own.propose(0, None, orders, (1,), False).n_implausible == 1


def test_a_flaw_of_the_prompt_hides_no_other() -> None:
    own = set(flaws(Chem.MolFromSmiles("ClN1CCCCC1")))
    assert len(own) == 1
    assert set(flaws(Chem.MolFromSmiles("ClN1CCC(C=N)CC1"))) - own == {
        "imine with hydrogen on nitrogen"
    }


def test_of_a_library_salts_and_what_cannot_be_read_are_passed_over(prior_file: Path) -> None:
    lines = ["CC(=O)Nc1ccc(O)cc1", "CCN.Cl", "not a molecule", "C"]
    orders = [Order("library", tuple((s,) for s in lines))]
    answer = worker(prior_file).propose(0, None, orders, (1,), False)
    assert [m.smiles for m in answer.made] == ["CC(=O)Nc1ccc(O)cc1"]
