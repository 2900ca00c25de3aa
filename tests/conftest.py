"""Fixtures that several folders of tests share: a tiny vocabulary, network and weights file.

Heavy libraries are imported by the fixtures that need them, so that other tests start at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.property_models.drugs import DRUGS

if TYPE_CHECKING:
    from molgen.generator.network import GraphTransformer
    from molgen.graphs.dataset import PackedMolecules
    from molgen.graphs.vocabulary import Vocabulary
    from tests.graphs.building import Kit

MAX_ATOMS = 45

# The first call of compiled code takes seconds. Examples are the same in every run.
settings.register_profile("molgen", deadline=None, derandomize=True)
settings.load_profile("molgen")


@pytest.fixture(scope="session")
def packed() -> PackedMolecules:
    """The drugs, with a vocabulary of everything that occurs in them."""
    from molgen.graphs.dataset import pack

    return pack(DRUGS, max_atoms=MAX_ATOMS, n_rooted_rings=500, min_atom_count=1)


@pytest.fixture(scope="session")
def vocabulary(packed: PackedMolecules) -> Vocabulary:
    return packed.vocabulary


@pytest.fixture(scope="session")
def kit(vocabulary: Vocabulary) -> Kit:
    from tests.graphs.building import Kit

    return Kit(vocabulary, vocabulary.tables())


@pytest.fixture(scope="session")
def network(vocabulary: Vocabulary) -> GraphTransformer:
    """Untrained: only the masks keep its molecules valid. Not to be changed by a test."""
    import torch

    from molgen.generator.network import GraphTransformer, NetworkSize
    from molgen.graphs.vocabulary import STOP

    torch.set_num_threads(1)
    torch.manual_seed(0)
    size = NetworkSize(width=32, n_layers=2, n_heads=2, max_atoms=MAX_ATOMS)
    network = GraphTransformer(vocabulary, size)
    network.action_bias.data[STOP] = 3.0  # so that not every molecule grows to the limit
    return network.eval()


@pytest.fixture(scope="session")
def prior_file(network: GraphTransformer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained network's weights, as `generator.prior` takes them."""
    from molgen.generator.weights import save_network

    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    save_network(network, path)
    return path
