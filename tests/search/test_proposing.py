"""The worker that draws: a shard depends on weights and seed, and every proposal has its names."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem

from molgen.config.campaign import LearningConfig
from molgen.generator.network import GraphTransformer
from molgen.generator.sampler import SamplingOptions
from molgen.search.policy import Policy
from molgen.search.proposing import identify, make_generator
from tests.search.test_policy import BEST, LESSONS

PROMPTS = ["[*:1]c1ccccc1", "[*:1]N[*:2]"]


def test_a_shard_is_the_same_on_any_worker(prior_file: Path) -> None:
    workers = [make_generator(prior_file, PROMPTS, SamplingOptions()) for _ in range(2)]
    first = workers[0].propose(0, None, 10, (1, 0, 0), -1)
    workers[1].propose(0, None, 7, (9, 9, 9), 0)
    assert workers[1].propose(0, None, 10, (1, 0, 0), -1) == first
    assert workers[1].propose(0, None, 10, (1, 0, 1), -1) != first


def test_new_weights_come_with_the_call(network: GraphTransformer, prior_file: Path) -> None:
    policy = Policy(network, LearningConfig(learning_rate=0.01), [], seed=1)
    policy.learn(LESSONS, BEST)
    worker, fresh = (make_generator(prior_file, [], SamplingOptions()) for _ in range(2))
    before = worker.propose(0, None, 10, (1,), -1)
    after = worker.propose(1, policy.weights(), 10, (1,), -1)
    assert after != before
    assert fresh.propose(1, policy.weights(), 10, (1,), -1) == after


def test_proposals_of_a_prompt_say_so_and_contain_it(prior_file: Path) -> None:
    worker = make_generator(prior_file, PROMPTS, SamplingOptions())
    for number, core in enumerate(("c1ccccc1", "N")):
        for proposal in worker.propose(0, None, 10, (1,), number):
            assert proposal.prompt == number
            mol = Chem.MolFromSmiles(proposal.smiles)
            assert mol.HasSubstructMatch(Chem.MolFromSmarts(core))


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
