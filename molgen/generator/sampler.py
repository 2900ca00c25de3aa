"""Draw molecules from the network, many at once.

Whatever the network says, a sample is a connected molecule of legal valences that contains its
prompt: illegal actions and atoms are masked before anything is drawn. Only forbidden
substructures may cost attempts, and these are counted.

All tokens of a step, a whole ring or a whole prompt, go through the network together; a molecule
that is finished makes room for the next one, so the batch stays full to the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem
from torch import Tensor
from torch.nn import functional as F

from molgen.errors import ConfigError
from molgen.generator.choosing import (
    draw_actions,
    draw_atoms,
    gather_tokens,
    needs_of,
    take_steps,
)
from molgen.generator.forbidden import NO_LEGAL_STEP, Restrictions, restrictions
from molgen.generator.network import Cache, GraphTransformer, as_bits, autocast, padded
from molgen.generator.prompts import Prompt, lay_down
from molgen.graphs.decoding import canonical_smiles, to_mol
from molgen.graphs.orders import new_plan, new_targets
from molgen.graphs.state import MAX_ATOMS, States, new_states, start, token_limit
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP

BATCH_SIZE = 128  # molecules under way at once
_N_PROMPT_ORDERS = 16  # orders in which a prompt is laid down, each fed to the network once


@dataclass(frozen=True)
class SamplingOptions:
    """How to sample.

    Attributes:
        temperature: below 1 the likely gets likelier.
        min_atoms: heavy atoms below which a molecule is not finished while more fits; None: 4, the
            smallest size that the shipped prior was trained on, or `max_atoms` where that is less.
        max_atoms: heavy atoms at most.
        top_p: below 1, each choice is made among the likeliest that together reach this share.
        elements: symbols of the elements that may be added; empty: all that the generator knows.
            A prompt may hold others.
        forbidden: SMARTS that no sample matches. A match that the prompt alone has is the user's
            own and does not count.
        max_attempts: molecules started at most, for each one asked for.
    """

    temperature: float = 1.0
    min_atoms: int | None = None
    max_atoms: int = 45
    top_p: float = 1.0
    elements: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    max_attempts: int = 100

    @property
    def fewest_atoms(self) -> int:
        """Heavy atoms at least."""
        return min(4, self.max_atoms) if self.min_atoms is None else self.min_atoms


@dataclass(frozen=True)
class Sample:
    """A molecule that was drawn.

    Attributes:
        smiles: canonical; stereo the model does not know is left open.
        mol: its RDKit molecule in building order, a prompt's atoms first.
        kept: for each atom of the prompt's core, its index in `mol`; empty de novo.
    """

    smiles: str
    mol: Chem.Mol
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Drawn:
    """Samples, and what they cost.

    Attributes:
        samples: in the order they were started.
        n_attempts: molecules started; more than samples only where something is forbidden.
        n_rejected: by reason: the SMARTS matched, or `NO_LEGAL_STEP`. A molecule that matches
            several counts for the first.
    """

    samples: list[Sample]
    n_attempts: int
    n_rejected: Counter[str]


def sample(
    network: GraphTransformer,
    n: int,
    *,
    seed: int | Sequence[int],
    prompt: Prompt | Sequence[Prompt | None] | None = None,
    options: SamplingOptions = SamplingOptions(),
) -> list[Sample]:
    """Draw n molecules; `draw` also says what was rejected on the way, and raises the same."""
    return draw(network, n, seed=seed, prompt=prompt, options=options).samples


@torch.no_grad()
def draw(
    network: GraphTransformer,
    n: int,
    *,
    seed: int | Sequence[int],
    prompt: Prompt | Sequence[Prompt | None] | None = None,
    options: SamplingOptions = SamplingOptions(),
    batch_size: int = BATCH_SIZE,
    bfloat16: bool | None = None,
) -> Drawn:
    """Draw n molecules.

    The result depends on the arguments alone (with one torch thread, on one kind of processor),
    so a shard gives the same molecules wherever it is drawn.

    Args:
        network: prior or policy, in evaluation mode, on the CPU.
        n: number of molecules. Every one started is returned unless something is forbidden.
        seed: anything that numpy's default_rng takes.
        prompt: the part to keep, or n of them, one for each sample; None: de novo.
        options: sizes, temperature, what may be added and what not.
        batch_size: molecules under way at once.
        bfloat16: matrix products in bfloat16; None: where the processor has instructions for it.

    Returns:
        n samples, and how many were started and rejected.

    Raises:
        ConfigError: the options do not fit the generator or the prompt, or `max_attempts` were
            not enough.
    """
    rng = np.random.default_rng(seed)
    each: Sequence[Prompt | None]
    if isinstance(prompt, Sequence):
        each = prompt
        if len(each) != n:
            raise ValueError(f"{n} samples asked for, with {len(each)} prompts")
    else:  # samples of one prompt share some beginnings
        each = [prompt] * (1 if prompt is None else min(n, _N_PROMPT_ORDERS))
    if n == 0:
        return Drawn([], 0, Counter())
    for one in {id(one): one for one in each}.values():
        rules = check_options(network, one, options)
    with autocast(bfloat16):
        run = _Run(network, n, rng, each, options, rules, batch_size)
        while run.refill():
            run.step()
    return Drawn([s for s in run.samples if s is not None], run.n_attempts, run.n_rejected)


def check_options(
    network: GraphTransformer, prompt: Prompt | None, options: SamplingOptions
) -> Restrictions:
    """What the options forbid; raises a ConfigError where they do not fit generator or prompt."""
    check_room(network, prompt, options)
    if options.temperature <= 0:
        raise ConfigError(f"temperature: {options.temperature} is not above 0")
    if not 0 < options.top_p <= 1:
        raise ConfigError(f"top_p: {options.top_p} is not above 0 and at most 1")
    if options.max_attempts < 1:
        raise ConfigError(f"max_attempts: {options.max_attempts} is not at least 1")
    rules = restrictions(network.vocabulary, options.elements, options.forbidden)
    bond_W = network.tables.action_W["bond"][N_FIXED_ACTIONS:]
    orders = set(bond_W[rules.usable_W[N_FIXED_ACTIONS:]].tolist())
    if prompt is not None and prompt.n_fragments > 1 and not _may_join(network, rules):
        raise ConfigError(
            f"prompt {prompt.smiles!r}: nothing that may be added takes two bonds, as joining "
            "fragments asks; allow more elements"
        )
    for atom_marks in prompt.marks if prompt else ():
        for order, n in enumerate(atom_marks, start=1):
            if n and order not in orders:
                raise ConfigError(
                    f"prompt {prompt.smiles if prompt else ''!r}: nothing that may be added takes "
                    f"a bond of order {order}, as an attachment point asks; allow more elements"
                )
    return rules


def _may_join(network: GraphTransformer, rules: Restrictions) -> bool:
    """Whether a ring or an atom of two bonds or more may be added."""
    valence_A = network.tables.valence_A
    items = network.tables.action_W["item"][N_FIXED_ACTIONS:][rules.usable_W[N_FIXED_ACTIONS:]]
    atoms = items[items < len(valence_A)]
    return len(atoms) < len(items) or bool((valence_A[atoms] > 1).any())


def check_room(network: GraphTransformer, prompt: Prompt | None, options: SamplingOptions) -> None:
    """Raise a ConfigError where the sizes leave no room for a molecule."""
    limit = min(MAX_ATOMS, network.size.max_atoms)
    if options.max_atoms > limit:
        raise ConfigError(f"max_heavy_atoms: this generator draws at most {limit}")
    if not 1 <= options.fewest_atoms <= options.max_atoms:
        raise ConfigError(
            f"min_heavy_atoms: {options.min_atoms} is not between 1 and max_heavy_atoms, "
            f"{options.max_atoms}"
        )
    if prompt is not None and prompt.n_atoms_needed > options.max_atoms:
        raise ConfigError(
            f"prompt {prompt.smiles!r}: needs {prompt.n_atoms_needed} heavy atoms with its "
            f"attachment points, max_heavy_atoms is {options.max_atoms}"
        )


class _Beginnings:
    """Laid-down prompts, or the empty graph, once through the network.

    Attributes:
        prompts: one for each beginning; several may be the same, laid down in different orders.
        states: of each.
        kept: of each, where the core's atoms went.
        cache: of their tokens.
        h_MD: hidden states after the last token.
    """

    def __init__(
        self, network: GraphTransformer, prompts: Sequence[Prompt | None], max_atoms: int,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        m = len(prompts)
        self.states: States = new_states(m)
        self.prompts = prompts
        self.kept: list[tuple[int, ...]] = [()] * m
        scratch, plan, of = new_targets(1)[0], new_plan(), None
        for i, (prompt, state) in enumerate(zip(prompts, self.states, strict=True)):
            if prompt is None:
                start(state, False)
                continue
            if prompt is not of:
                plan, of = prompt.plan.copy(), prompt
                plan["rng"] = rng.integers(2**63)
            self.kept[i] = lay_down(prompt, state, plan, scratch, network.tables, max_atoms)
        self.cache = Cache(network.size, m, int(self.states["n_tokens"].max()))
        self.h_MD = _feed(network, self.states, np.arange(m), np.zeros(m, np.int64), self.cache)


def _feed(
    network: GraphTransformer, states: States, slot: npt.NDArray[np.int64],
    n_fed: npt.NDArray[np.int64], cache: Cache,
) -> Tensor:  # fmt: skip
    """Give the network the new tokens of these molecules; hidden states after the last (P, D)."""
    *tokens, newest = gather_tokens(states, slot, n_fed)
    n_fed[slot] = states["n_tokens"][slot]
    features, code, slots, places = (torch.from_numpy(x) for x in tokens)
    return network.extend(features, code, slots, places, cache)[torch.from_numpy(newest)]


class _Run:
    """Molecules under way, each in a slot, and those that are finished."""

    def __init__(
        self, network: GraphTransformer, n: int, rng: np.random.Generator,
        prompts: Sequence[Prompt | None], options: SamplingOptions, rules: Restrictions,
        batch_size: int,
    ) -> None:  # fmt: skip
        self.samples: list[Sample | None] = [None] * n
        self.n_attempts, self.n_rejected = 0, Counter[str]()
        self._network, self._rng, self._options, self._rules = network, rng, options, rules
        self._begin = _Beginnings(network, prompts, options.max_atoms, rng)
        n_slots = min(n, batch_size)
        self._states = new_states(n_slots)
        self._cache = Cache(network.size, n_slots, token_limit(options.max_atoms))
        self._n_fed = np.zeros(n_slots, np.int64)
        self._h_SD = torch.empty(n_slots, network.size.width)
        self._sample_of = np.full(n_slots, -1)  # -1: the slot is free
        self._to_start = list(range(n))[::-1]
        self._bias_W = network.action_bias.detach().numpy()
        self._need = needs_of(network.column_W.numpy(), network.need_W.numpy(), rules.usable_W)

    def refill(self) -> bool:
        """Start molecules in free slots; False where none is left to be finished."""
        free = np.flatnonzero(self._sample_of < 0)[: len(self._to_start)]
        if len(free):
            starting = np.array([self._to_start.pop() for _ in free])
            self.n_attempts += len(free)
            self._sample_of[free] = starting
            begin = starting % len(self._begin.states)
            n_tokens = self._begin.states["n_tokens"]
            self._states[free] = self._begin.states[begin]
            self._n_fed[free] = n_tokens[begin]
            source, target = torch.from_numpy(begin), torch.from_numpy(free)
            self._cache.copy(self._begin.cache, source, target, int(n_tokens.max()))
            self._h_SD[target] = self._begin.h_MD[source]
        return bool((self._sample_of >= 0).any())

    def step(self) -> None:
        """Draw and take a step of every molecule under way; see to those that stop."""
        slot = np.flatnonzero(self._sample_of >= 0)
        action, pointer = self._choose(slot)
        for s, a in zip(slot[action <= STOP], action[action <= STOP], strict=True):
            self._finish(int(s), stuck=a != STOP)
        slot, action, pointer = (x[action > STOP] for x in (slot, action, pointer))
        if not len(slot):
            return
        take_steps(self._states, slot, action, pointer, self._network.tables)
        h_PD = _feed(self._network, self._states, slot, self._n_fed, self._cache)
        self._h_SD[torch.from_numpy(slot)] = h_PD

    def _choose(
        self, slot: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The next action of each molecule, -1 where none is legal, and the atom it goes to."""
        network, o = self._network, self._options
        uniform = self._rng.random((2, len(slot)), np.float32)
        n = len(slot)
        h_PD = padded(self._h_SD[torch.from_numpy(slot)])
        logits_PW, shift = as_bits(network.action_products(h_PD)[:n])
        action = draw_actions(
            self._states, slot, logits_PW, shift, self._bias_W, self._need, o.fewest_atoms,
            o.max_atoms, o.temperature, uniform[0], o.top_p,
        )  # fmt: skip
        actions = F.pad(torch.from_numpy(action.clip(0)), (0, len(h_PD) - n))
        query_PD = network.pointer_queries(h_PD, actions)
        bias_PC = network.pointer_code(query_PD)[:n].float()
        pointer = draw_atoms(
            self._states, slot, action, query_PD[:n].float().numpy(),
            self._cache.pointer_keys_STD.numpy(), bias_PC.numpy(), o.max_atoms,
            o.temperature, uniform[1], o.top_p, network.tables,
        )  # fmt: skip
        return action, pointer

    def _finish(self, slot: int, *, stuck: bool) -> None:
        """Take the sample, or reject it and start it again."""
        number = int(self._sample_of[slot])
        self._sample_of[slot] = -1
        reason = NO_LEGAL_STEP if stuck else None
        if not stuck:
            begin = number % len(self._begin.kept)
            kept, prompt = self._begin.kept[begin], self._begin.prompts[begin]
            mol = to_mol(self._states[slot], self._network.vocabulary)
            if prompt is not None:
                mol = prompt.finish(mol, kept)
            finished = Sample(canonical_smiles(mol), mol, kept)
            reason = self._rules.first_match(finished.smiles, mol, kept, prompt)
            if reason is None:
                self.samples[number] = finished
                return
        assert reason is not None
        self.n_rejected[reason] += 1
        if self.n_attempts >= self._options.max_attempts * len(self.samples):
            self._give_up()
        self._to_start.append(number)

    def _give_up(self) -> None:
        reasons = ", ".join(f"{n} by {reason}" for reason, n in self.n_rejected.most_common(3))
        n_found = sum(s is not None for s in self.samples)
        texts = {p.smiles for p in self._begin.prompts if p is not None}
        around = f" around {texts.pop()!r}" if len(texts) == 1 else ""
        o = self._options
        faults = {"elements": "allow more elements"} if o.elements else {}
        faults |= {"forbidden": "forbid less"} if o.forbidden else {}
        if self.n_rejected[NO_LEGAL_STEP] == 0:  # elements are masked and reject nothing else
            faults.pop("elements", None)
        raise ConfigError(
            f"{', '.join(faults) or 'prompt'}: {self.n_attempts} molecules started{around}, "
            f"{n_found} of {len(self.samples)} found; rejected {reasons}; "
            + " or ".join([*faults.values(), "allow more attempts"])
        )
