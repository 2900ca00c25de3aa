"""How likely the network finds building sequences, exactly, and molecules, by sampled orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem, rdBase
from torch import Tensor

from molgen.errors import DataError
from molgen.generator.network import Goals, GraphTransformer, Tokens, to_tensors
from molgen.graphs.encoding import encode, flatten
from molgen.graphs.order_probability import Symmetries, sequence_probability
from molgen.graphs.orders import Plan, Targets, draw_order, expand, new_plan, new_targets
from molgen.graphs.state import States, new_states, token_limit

MAX_SYMMETRIES = 20_000
_BATCH = 128  # sequences that the network reads together
_ALL = 1 - 1e-9  # sequences of this probability together are all there are

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MoleculeLikelihoods:
    """Of n molecules; iterating gives `log_prob` and `standard_error`.

    Attributes:
        log_prob: (n,) nats; NaN where there is a reason.
        standard_error: (n,) of `log_prob`, nats; 0 where all orders were seen and it is exact.
        reasons: for each molecule why it has no likelihood, or None.
    """

    log_prob: FloatArray
    standard_error: FloatArray
    reasons: list[str | None]

    def __iter__(self) -> Iterator[FloatArray]:
        return iter((self.log_prob, self.standard_error))


def log_prob_of_orders(network: GraphTransformer, tokens: Tokens, goals: Goals) -> Tensor:
    """Log-probability of each molecule being built in the given order, nats, (B,).

    This is exact for the sequence. The molecule's own probability is the sum over all its
    sequences, so this is a lower bound of its logarithm. A prompt's part counts nothing.
    """
    action_BT, pointer_BT = network.log_prob(tokens, goals)
    return action_BT.sum(1) + pointer_BT.sum(1)


@torch.no_grad()
def log_prob_of_molecules(
    network: GraphTransformer, smiles: Sequence[str], *, n_orders: int = 32, seed: int = 0
) -> MoleculeLikelihoods:
    """Log-probability of molecules along the orders that training draws, nats.

    What is estimated is the sum of the network's probabilities over the building sequences of a
    molecule that `graphs.orders.draw_order` can draw. The network could also build it in other
    ways, which training never shows it, so this is a lower bound of the whole.

    Sequences are drawn n_orders times; each is weighted by its probability under the network over
    its probability of being drawn (importance sampling, Owen, Monte Carlo theory, methods and
    examples, 2013, chapter 9, https://artowen.su.domains/mc/), and the weights are averaged. Their
    mean is unbiased, its logarithm is a little low; the standard error is that of the mean over
    the mean. Most drugs have but a few sequences: where all were drawn, their sum is returned.

    Args:
        network: in evaluation mode.
        smiles: molecules; stereo and isotopes are ignored, as in training.
        n_orders: sequences drawn of each molecule.
        seed: of the orders.

    Returns:
        One entry for each molecule, NaN and a reason where it cannot be built from the network's
        vocabulary within its size.
    """
    n = len(smiles)
    found = MoleculeLikelihoods(np.full(n, np.nan), np.full(n, np.nan), [None] * n)
    drawn: list[_Drawn | None] = []
    for i, text in enumerate(smiles):
        try:
            drawn.append(_draw(network, text, n_orders, np.random.default_rng([seed, i])))
        except DataError as error:
            found.reasons[i] = str(error)
            drawn.append(None)
    parts = [d for d in drawn if d is not None]
    if parts:
        states = np.concatenate([d.states for d in parts])
        log_p = _log_probs(network, states, np.concatenate([d.targets for d in parts]))
        last = 0
        for i, d in enumerate(drawn):
            if d is not None:
                first, last = last, last + len(d.states)
                found.log_prob[i], found.standard_error[i] = _estimate(log_p[first:last], d)
    return found


@dataclass(frozen=True)
class _Drawn:
    """Distinct sequences of a molecule: each one's probability, and how often it was drawn."""

    states: States
    targets: Targets
    probability: FloatArray
    count: npt.NDArray[np.int64]


def _draw(network: GraphTransformer, text: str, n_orders: int, rng: np.random.Generator) -> _Drawn:
    plan, symmetries = _plan(network, text)
    max_atoms = network.size.max_atoms
    states, targets, scratch = new_states(n_orders), new_targets(n_orders), new_states(1)[0]
    other = new_targets(1)[0]
    place: dict[bytes, int] = {}
    count, probability = np.zeros(n_orders, np.int64), np.zeros(n_orders)
    for _ in range(n_orders):
        k = len(place)
        plan["rng"] = rng.integers(2**64, dtype=np.uint64)
        draw_order(states[k], plan, network.tables, max_atoms, targets[k], False)
        key = targets[k]["action"].tobytes() + targets[k]["pointer"].tobytes()
        if key not in place:
            place[key] = k
            probability[k] = sequence_probability(
                states[k], plan, targets[k], symmetries, network.tables, max_atoms,
                (scratch, other),
            )  # fmt: skip
        count[place[key]] += 1
    k = len(place)
    return _Drawn(states[:k], targets[:k], probability[:k], count[:k])


def _plan(network: GraphTransformer, text: str) -> tuple[Plan, Symmetries]:
    """A molecule ready to be drawn, and its symmetries; a DataError says why there is none."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    if mol is None or mol.GetNumAtoms() == 0:
        raise DataError("cannot be parsed")
    mol = flatten(mol)
    if mol.GetNumAtoms() > network.size.max_atoms:
        raise DataError(f"more than {network.size.max_atoms} heavy atoms")
    encoded = encode(mol)
    numbers = network.vocabulary.units(encoded)
    if numbers is None:
        raise DataError("atom type not in the vocabulary")
    n_closures = len(numbers[1]) - len(numbers[0]) + 1
    if n_closures > token_limit(network.size.max_atoms) - 1 - network.size.max_atoms:
        raise DataError("too many rings outside the vocabulary")
    plan = new_plan()
    expand(plan, numbers[0].astype(np.uint16), numbers[1].astype(np.uint8), network.tables)
    matches = mol.GetSubstructMatches(mol, uniquify=False, maxMatches=MAX_SYMMETRIES + 1)
    if len(matches) > MAX_SYMMETRIES:
        raise DataError(f"more than {MAX_SYMMETRIES} symmetries")
    order = np.array(encoded.source_atoms)
    return plan, np.argsort(order)[np.array(matches)[:, order]].astype(np.int16)


def _log_probs(network: GraphTransformer, states: States, targets: Targets) -> FloatArray:
    """Exact log-probability of each sequence; those of like length are read together."""
    result = np.empty(len(states))
    order = np.argsort(states["n_tokens"], kind="stable")
    for first in range(0, len(order), _BATCH):
        chosen = order[first : first + _BATCH]
        tokens, goals = to_tensors(states[chosen], targets[chosen])
        result[chosen] = log_prob_of_orders(network, tokens, goals).double().numpy()
    return result


def _estimate(log_p: FloatArray, d: _Drawn) -> tuple[float, float]:
    """The logarithm of the molecule's probability, and its standard error."""
    if d.probability.sum() > _ALL:
        return float(np.logaddexp.reduce(log_p)), 0.0
    log_w = log_p - np.log(d.probability)
    top = log_w.max()
    w = np.repeat(np.exp(log_w - top), d.count)
    error = w.std(ddof=1) / np.sqrt(len(w)) / w.mean() if len(w) > 1 else np.nan
    return float(top + np.log(w.mean())), float(error)
