"""Sampling: an untrained network shows what the masks alone guarantee."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from molgen.errors import ConfigError
from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import parse_prompt
from molgen.generator.sampler import SamplingOptions, check_room, sample
from tests.conftest import MAX_ATOMS
from tests.generator.keeping import assert_molecule


def drawn(network: GraphTransformer, n: int, seed: int = 1, **options: float) -> list[str]:
    settings = SamplingOptions(**options)  # type: ignore[arg-type]
    return [s.smiles for s in sample(network, n, seed=seed, options=settings)]


def test_every_sample_is_a_connected_molecule_within_size(network: GraphTransformer) -> None:
    for seed in range(3):
        for each in sample(network, 128, seed=seed):
            assert_molecule(each, MAX_ATOMS)
            assert each.kept == ()


def test_nothing_asked_for_is_nothing_drawn(network: GraphTransformer) -> None:
    prompt = parse_prompt("[*:1]c1ccccc1", network.vocabulary, network.tables)
    assert sample(network, 0, seed=1, prompt=prompt) == []
    assert sample(network, 0, seed=1, prompt=[]) == sample(network, 0, seed=1) == []


def test_samples_are_of_all_sizes_and_differ(network: GraphTransformer) -> None:
    smiles = drawn(network, 128)
    sizes = [Chem.MolFromSmiles(s).GetNumAtoms() for s in smiles]
    assert min(sizes) < 20 and max(sizes) > 40
    assert len(set(smiles)) > 120


def test_the_seed_decides(network: GraphTransformer) -> None:
    first = drawn(network, 20, seed=5)
    assert drawn(network, 20, seed=5) == first
    assert drawn(network, 20, seed=6) != first
    several = [s.smiles for s in sample(network, 20, seed=(5, 0, 1))]
    assert several == [s.smiles for s in sample(network, 20, seed=(5, 0, 1))] != first


@pytest.mark.parametrize(("low", "high"), [(1, 2), (1, 9), (12, 14), (20, 20), (40, 45)])
def test_sizes_are_respected(network: GraphTransformer, low: int, high: int) -> None:
    sizes = [
        Chem.MolFromSmiles(s).GetNumAtoms()
        for s in drawn(network, 100, min_atoms=low, max_atoms=high)
    ]
    assert max(sizes) <= high
    # A molecule without an open valence left, such as CF4, is finished below the minimum.
    saturated = [s for s in sizes if s < low]
    assert len(saturated) <= 20


def test_a_molecule_below_the_minimum_had_nowhere_to_grow(network: GraphTransformer) -> None:
    for each in sample(network, 100, seed=3, options=SamplingOptions(min_atoms=12, max_atoms=14)):
        if each.mol.GetNumAtoms() < 12:
            assert all(a.GetTotalNumHs() == 0 for a in each.mol.GetAtoms())


def test_a_low_temperature_draws_the_likely(network: GraphTransformer) -> None:
    sharp = GraphTransformer(network.vocabulary, network.size).eval()
    sharp.load_state_dict(network.state_dict())
    sharp.action_bias.data[0] = 8.0  # stop
    cold = [Chem.MolFromSmiles(s).GetNumAtoms() for s in drawn(sharp, 50, temperature=0.5)]
    hot = [Chem.MolFromSmiles(s).GetNumAtoms() for s in drawn(sharp, 50, temperature=2.0)]
    assert np.mean(cold) < np.mean(hot)


def test_sizes_that_leave_no_room_are_refused(network: GraphTransformer) -> None:
    with pytest.raises(ConfigError, match=f"max_heavy_atoms: .* at most {MAX_ATOMS}"):
        sample(network, 1, seed=1, options=SamplingOptions(max_atoms=MAX_ATOMS + 1))
    prompt = parse_prompt("[*:1]c1ccc([*:2])cc1", network.vocabulary, network.tables)
    with pytest.raises(ConfigError, match=r"needs 8 heavy atoms .* max_heavy_atoms is 7"):
        check_room(network, prompt, SamplingOptions(max_atoms=7))
    check_room(network, prompt, SamplingOptions(max_atoms=8))
    bare = parse_prompt("c1ccccc1", network.vocabulary, network.tables)
    with pytest.raises(ConfigError, match="needs 7 heavy atoms"):
        check_room(network, bare, SamplingOptions(max_atoms=6))
