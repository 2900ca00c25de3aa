"""The policy learns from what was scored best.

By maximum likelihood it follows a mixture of two: the best molecules so far, the best oftenest, and
samples of the prior, which hold it back from forgetting what molecules look like. So nothing is
ever made less likely but by what is made likelier (hill climbing: Segler et al. 2018,
https://doi.org/10.1021/acscentsci.7b00512; with a search that finds the best: Ahn et al. 2020,
https://arxiv.org/abs/2007.04897). A loss that pushes bad molecules below the prior leaves room for
nonsense, which no score corrects as it is never scored; experiments/pmo has it measured.

Sequences are drawn afresh from each molecule at every update; which one, is chance where
`graphs.orders` leaves ties and in the order of a prompt's atoms.

Examples, if a config gives any, tune the prior by plain likelihood before the first update; the
tuned network then is the prior of the mixture.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from safetensors.torch import load, save
from torch import Tensor

from molgen.config.campaign import LearningConfig
from molgen.errors import DataError
from molgen.generator.likelihood import log_prob_of_orders
from molgen.generator.network import Goals, GraphTransformer, Tokens, autocast, to_tensors
from molgen.generator.prompts import Prompt
from molgen.generator.sampler import SamplingOptions, sample
from molgen.generator.weights import below, network_state
from molgen.graphs.encoding import encode, flatten
from molgen.graphs.orders import Plan, draw_order, expand, new_plan, new_targets
from molgen.graphs.state import KEPT, KEPT_MARKED, new_states

_CLIP_NORM = 1.0
_N_DRAWN = 128  # samples of the prior at a time


@dataclass(frozen=True)
class Lesson:
    """A scored molecule to learn from."""

    smiles: str
    scaffold: str
    reward: float
    prompt: int


class Policy:
    """The network that proposes, beside the prior that it started from."""

    def __init__(
        self, prior: GraphTransformer, config: LearningConfig, prompts: Sequence[Prompt],
        options: SamplingOptions, seed: int,
    ) -> None:  # fmt: skip
        self.prior, self.network = prior, copy.deepcopy(prior)
        self._config, self._prompts, self._options = config, prompts, options
        self._seed = seed
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self._plans: dict[tuple[str, int], Plan | None] = {}
        self._leash = PriorSamples(prior, prompts, options, seed)
        self.version = 0

    def learn(self, best: Sequence[Lesson]) -> dict[str, float]:
        """A round's updates.

        Args:
            best: scored so far, best first; the replay is chosen from those with a reward.

        Returns:
            Mean negative log-likelihood of a building sequence, nats, of the replay
            (`nats_of_best`) and of the prior's samples (`nats_of_prior`), NaN where `prior_share`
            leaves no room for them; empty where there was nothing to learn from.
        """
        self.version += 1
        rng = np.random.default_rng([self._seed, self.version, 0, 0, 2])
        torch.set_num_threads(self._config.n_threads)
        if self.version == 1:
            self._learn_examples(rng)
        replay = [m for m in self._replay(best) if self._plan(m) is not None]
        if not replay:
            return {}
        n_best = max(1, round((1.0 - self._config.prior_share) * self._config.batch_size))
        n_prior = self._config.batch_size - n_best
        nats_of_best, nats_of_prior = [], []
        for update in range(self._config.n_updates):
            plans = [self._plan(m) for m in draw_by_rank(replay, n_best, rng)]
            number = (self.version - 1) * self._config.n_updates + update
            prior = self._leash.plans(number * n_prior, n_prior)
            nats_B = self._update([p for p in [*plans, *prior] if p is not None], rng)
            nats_of_best.append(nats_B[:n_best].mean())
            nats_of_prior += nats_B[n_best:].tolist()
        return {
            "nats_of_best": float(np.mean(nats_of_best)),
            "nats_of_prior": float(np.mean(nats_of_prior)) if nats_of_prior else math.nan,
        }

    def _learn_examples(self, rng: np.random.Generator) -> None:
        prompts = range(len(self._prompts)) if self._prompts else [-1]
        lessons = [Lesson(s, "", 1.0, p) for s in self._config.examples for p in prompts]
        plans = [plan for m in lessons if (plan := self._plan(m)) is not None]
        if not plans:
            return
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self._config.learning_rate)
        for _ in range(self._config.n_example_updates):
            chosen = [plans[i] for i in rng.integers(len(plans), size=self._config.batch_size)]
            with autocast(None):
                log_prob_B = log_prob_of_orders(self.network, *self._draw(chosen, rng))
            self._step(optimiser, -log_prob_B.mean())
        self._hold_to(self.network)

    def _hold_to(self, network: GraphTransformer) -> None:
        """Take a copy of it as the prior from now on."""
        self.prior = copy.deepcopy(network)
        self._leash = PriorSamples(self.prior, self._prompts, self._options, self._seed)

    def _step(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        optimiser.step()

    def _update(self, plans: Sequence[Plan], rng: np.random.Generator) -> NDArray[np.float32]:
        """One step; what the molecules cost before it, nats, shape (len(plans),)."""
        with autocast(None):
            nats_B = -log_prob_of_orders(self.network, *self._draw(plans, rng))
        self._step(self._optimiser, nats_B.mean())
        return nats_B.detach().float().numpy()

    def _draw(self, plans: Sequence[Plan], rng: np.random.Generator) -> tuple[Tokens, Goals]:
        states, targets = new_states(len(plans)), new_targets(len(plans))
        for b, plan in enumerate(plans):
            plan["rng"] = rng.integers(2**63)
            draw_order(
                states[b], plan, self.prior.tables, self.prior.size.max_atoms, targets[b], False
            )
        return to_tensors(states, targets)

    def _replay(self, best: Sequence[Lesson]) -> list[Lesson]:
        seen: Counter[str] = Counter()
        chosen = []
        for lesson in best:
            if not lesson.reward > 0:
                break
            seen[lesson.scaffold] += 1
            if seen[lesson.scaffold] <= self._config.max_per_scaffold:
                chosen.append(lesson)
            if len(chosen) == self._config.replay_size:
                break
        return chosen

    def _plan(self, lesson: Lesson) -> Plan | None:
        """The molecule in the vocabulary's numbers; None where it cannot be expressed."""
        key = (lesson.smiles, lesson.prompt)
        if key not in self._plans:
            prompt = self._prompts[lesson.prompt] if lesson.prompt >= 0 else None
            self._plans[key] = make_plan(lesson.smiles, prompt, self.prior)
        return self._plans[key]

    def weights(self) -> bytes:
        """The policy's weights, for workers; exact."""
        return save(network_state(self.network))

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold beside `version`."""
        tensors = {f"network.{k}": v for k, v in network_state(self.network).items()}
        if self._config.examples:
            tensors |= {f"prior.{k}": v for k, v in network_state(self.prior).items()}
        for number, entry in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": v for k, v in entry.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], version: int) -> None:
        """Go on from a checkpoint."""
        self.version = version
        self.network.load_state_dict(below("network.", tensors))
        if self._config.examples:
            self._hold_to(self.network)
            self.prior.load_state_dict(below("prior.", tensors))
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in below("optimiser.", tensors).items():
            number, key = name.split(".", 1)
            entries.setdefault(int(number), {})[key] = value
        loaded = self._optimiser.state_dict()
        loaded["state"] = entries
        self._optimiser.load_state_dict(loaded)


class PriorSamples:
    """An endless row of samples of the prior, of each prompt in its turn.

    So the policy learns none of them twice, and each is the same after a resume.
    """

    def __init__(
        self, prior: GraphTransformer, prompts: Sequence[Prompt], options: SamplingOptions,
        seed: int,
    ) -> None:  # fmt: skip
        self._prior, self._prompts, self._options, self._seed = prior, prompts, options, seed
        self._part, self._plans = -1, list[Plan | None]()

    def plans(self, first: int, n: int) -> list[Plan | None]:
        """N of them from the first on, None for what `make_plan` cannot express."""
        found = []
        for i in range(first, first + n):
            part, place = divmod(i, _N_DRAWN)
            if part != self._part:
                self._part, self._plans = part, self._draw(part)
            found.append(self._plans[place])
        return found

    def _draw(self, part: int) -> list[Plan | None]:
        n = max(1, len(self._prompts))
        prompts = [self._prompts[i % n] if self._prompts else None for i in range(_N_DRAWN)]
        drawn = sample(
            self._prior, _N_DRAWN, seed=[self._seed, part, 0, 0, 15],
            prompt=prompts if self._prompts else None, options=self._options,
        )  # fmt: skip
        return [make_plan(s.smiles, p, self._prior) for s, p in zip(drawn, prompts, strict=True)]


def read_weights(weights: bytes) -> dict[str, Tensor]:
    """What `Policy.weights` wrote."""
    return load(weights)


def draw_by_rank(replay: Sequence[Lesson], n: int, rng: np.random.Generator) -> list[Lesson]:
    """Draw n lessons with weights 1 / (rank + 1% of the size), so the best come oftenest."""
    weight = 1.0 / (0.01 * len(replay) + np.arange(1, len(replay) + 1))
    return [replay[i] for i in rng.choice(len(replay), size=n, p=weight / weight.sum())]


def make_plan(smiles: str, prompt: Prompt | None, network: GraphTransformer) -> Plan | None:
    """A molecule ready for `draw_order`, its prompt's atoms kept.

    Returns:
        None where it is not one piece of known atoms, too large, or without the prompt's core.
    """
    try:
        mol = flatten(Chem.MolFromSmiles(smiles))
        encoded = encode(mol)
    except DataError:
        return None
    numbers = network.vocabulary.units(encoded)
    if numbers is None or len(encoded.source_atoms) > network.size.max_atoms:
        return None
    plan = new_plan()
    expand(plan, numbers[0].astype(np.uint16), numbers[1].astype(np.uint8), network.tables)
    if prompt is None:
        return plan
    place = {atom: i for i, atom in enumerate(encoded.source_atoms)}
    core = _find_core(mol, prompt)
    if core is None:
        return None
    kind = KEPT_MARKED if prompt.n_points else KEPT
    for atom in core:
        plan["kept"][place[atom]] = kind
    if prompt.n_points:
        for atom in core:
            a = place[atom]
            for c in range(int(plan["n_atoms"])):
                if plan["kept"][c] == 0 and plan["bond"][a, c]:
                    plan["mark"][a, plan["bond"][a, c]] += 1
    return plan


def _find_core(mol: Chem.Mol, prompt: Prompt) -> tuple[int, ...] | None:
    """The first match of the core whose open atoms are the prompt's attachment points."""
    for match in mol.GetSubstructMatches(prompt.core, uniquify=False, maxMatches=200):
        inside = set(match)
        outside = [
            sum(n.GetIdx() not in inside for n in mol.GetAtomWithIdx(i).GetNeighbors())
            for i in match
        ]
        if not prompt.n_points or outside == [sum(m) for m in prompt.marks]:
            return tuple(match)
    return None
