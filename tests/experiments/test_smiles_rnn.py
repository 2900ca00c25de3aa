"""The SMILES network that the generator is compared with."""

from __future__ import annotations

import pytest
import torch

from experiments.distribution.smiles_rnn import CELLS, SmilesRNN, Stepper, sample
from molgen.generator.network import has_bfloat16

VOCABULARY = ["end", *"CNOcn1=()"]


@pytest.mark.parametrize("cell", CELLS)
def test_a_token_at_a_time_gives_what_the_whole_string_gives(cell: str) -> None:
    torch.manual_seed(0)
    network = SmilesRNN(VOCABULARY, cell)
    tokens_TB = torch.randint(0, len(VOCABULARY), (9, 4))
    step = Stepper(network, 4)
    with torch.no_grad():
        one_by_one = torch.stack([step(tokens_B) for tokens_B in tokens_TB]).log_softmax(-1)
        at_once = network(tokens_TB)
    precision = 0.05 if has_bfloat16("cpu") else 1e-5
    assert torch.allclose(one_by_one, at_once, atol=precision)


@pytest.mark.parametrize("cell", CELLS)
def test_a_new_string_does_not_remember_the_one_before_it(cell: str) -> None:
    network = SmilesRNN(VOCABULARY, cell)
    step, first = Stepper(network, 2), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        fresh = step(first)
        step(torch.tensor([3, 4]))
        step.forget(torch.tensor([0]).numpy())
        again = step(first)
    assert torch.allclose(again[0], fresh[0])
    assert not torch.allclose(again[1], fresh[1])


def test_as_many_strings_as_asked_for_are_drawn_and_the_seed_decides() -> None:
    torch.manual_seed(0)
    network = SmilesRNN(VOCABULARY, "lstm")
    drawn = sample(network, 7, seed=1, batch_size=3)
    assert len(drawn) == 7
    assert drawn == sample(network, 7, seed=1, batch_size=3)
    assert drawn != sample(network, 7, seed=2, batch_size=3)
