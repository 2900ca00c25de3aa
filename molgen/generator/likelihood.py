"""How likely the network finds building sequences, and molecules."""

from __future__ import annotations

from torch import Tensor

from molgen.generator.network import Goals, GraphTransformer, Tokens


def log_prob_of_orders(network: GraphTransformer, tokens: Tokens, goals: Goals) -> Tensor:
    """Log-probability of each molecule being built in the given order, nats, (B,).

    This is exact for the sequence. The molecule's own probability is the sum over all its
    sequences, so this is a lower bound of its logarithm. A prompt's part counts nothing.
    """
    action_BT, pointer_BT = network.log_prob(tokens, goals)
    return action_BT.sum(1) + pointer_BT.sum(1)
