"""Weights files: what is saved comes back, what is broken or foreign is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from molgen.errors import ModelFileError
from molgen.generator.network import GraphTransformer
from molgen.generator.sampler import sample
from molgen.generator.weights import SHIPPED_PRIOR, load_network, network_state, save_network


def test_a_network_comes_back_at_half_precision(
    network: GraphTransformer, prior_file: Path
) -> None:
    again = load_network(prior_file)
    assert again.size == network.size
    assert again.vocabulary == network.vocabulary
    assert not again.training
    for name, weight in network_state(network).items():
        assert again.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(again.state_dict()[name], weight.half().float(), rtol=0, atol=0)


def test_saving_twice_changes_nothing_more(prior_file: Path, tmp_path: Path) -> None:
    first = load_network(prior_file)
    save_network(first, tmp_path / "again.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["again.safetensors"]
    second = load_network(tmp_path / "again.safetensors")
    drawn = [[s.smiles for s in sample(n, 20, seed=1)] for n in (first, second)]
    assert drawn[0] == drawn[1]


def test_a_broken_or_missing_file_is_refused(prior_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    whole = prior_file.read_bytes()
    for content in (b"", b"not weights", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"broken\.safetensors: cannot read"):
            load_network(path)
    with pytest.raises(ModelFileError, match="nowhere"):
        load_network(tmp_path / "nowhere.safetensors")


def test_another_kind_of_file_is_refused(tmp_path: Path, network: GraphTransformer) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="not a generator of this version"):
        load_network(path)
    save_file({"a": torch.zeros(3)}, path, metadata={"format": "molgen-generator-2"})
    with pytest.raises(ModelFileError, match="cannot read generator weights"):
        load_network(path)


@pytest.mark.skipif(not SHIPPED_PRIOR.is_file(), reason="no prior in this checkout")
def test_the_shipped_prior_draws_molecules() -> None:
    torch.set_num_threads(1)
    network = load_network()
    smiles = {s.smiles for s in sample(network, 16, seed=1)}
    assert len(smiles) >= 15
    assert SHIPPED_PRIOR.stat().st_size <= 15e6
