"""The worker that proposes molecules and says who they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgen.generator.prompts import Prompt, parse_prompt
from molgen.generator.sampler import SamplingOptions, sample
from molgen.generator.weights import SHIPPED_PRIOR, load_network
from molgen.objectives.descriptors import sa_score
from molgen.search.edits import Parts, groups_of, read, ring_systems_of
from molgen.search.moves import Made, Order, make
from molgen.search.plausible import flaws
from molgen.search.policy import read_weights
from molgen.search.surrogate import Description, describe_mols
from property_models.datasets import file_sha256


@dataclass(frozen=True)
class Proposal:
    """A molecule and its identities."""

    smiles: str
    inchikey: str
    constitution: str
    scaffold: str
    arm: str = "sample"
    parents: tuple[str, ...] = ()
    prompt: int = -1


@dataclass(frozen=True)
class MadeShard:
    """What a shard's orders gave.

    Attributes:
        made: plausible molecules, repeats included.
        described: what the surrogate sees of them, where it was asked for.
        n_implausible: molecules dropped.
    """

    made: list[Made]
    described: Description | None
    n_implausible: int


class GeneratorWorker:
    """Holds the network; new weights come with the calls that need them."""

    def __init__(
        self, prior: Path | None, prompts: Sequence[str], options: SamplingOptions,
        plausible_only: bool, max_sa_score: float | None, n_donors: int = 0,
        donor_seed: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self._network = load_network(prior)
        self._prompts: list[Prompt] = [
            parse_prompt(p, self._network.vocabulary, self._network.tables) for p in prompts
        ]
        self._options, self._plausible_only = options, plausible_only
        self._max_sa = math.inf if max_sa_score is None else max_sa_score
        # What is implausible or hard to make in a prompt is the user's own: it counts against no
        # sample.
        self._own = [frozenset(flaws(p.core)) for p in self._prompts]
        self._own_max_sa = [max(self._max_sa, sa_score(p.core) + 1.0) for p in self._prompts]
        self._version = 0
        self._parts = Parts()
        if n_donors:
            prior = SHIPPED_PRIOR if prior is None else prior
            self._parts = _parts(prior, file_sha256(prior), n_donors, tuple(donor_seed), options)

    def propose(
        self, version: int, weights: bytes | None, orders: Sequence[Order], seed: Sequence[int],
        with_description: bool,
    ) -> MadeShard:  # fmt: skip
        """Carry out a shard's orders.

        Args:
            version: of the policy; 0 is the prior.
            weights: the policy's, None for the prior's.
            orders: what to make.
            seed: of this shard.
            with_description: whether the surrogate is to judge.
        """
        if version != self._version and weights is not None:
            self._network.load_state_dict(read_weights(weights))
            self._version = version
        made = make(orders, self._network, self._prompts, self._options, seed, self._parts)
        # Many are made more than once, and looked at once.
        mols = {s: read(s) for s in dict.fromkeys(m.smiles for m in made)}
        is_plausible = {
            (s, prompt): self._is_plausible(prompt, mols[s])
            for s, prompt in dict.fromkeys((m.smiles, m.prompt) for m in made)
        }
        kept = [m for m in made if is_plausible[m.smiles, m.prompt]]
        described = _described(kept, mols) if with_description else None
        return MadeShard(kept, described, len(made) - len(kept))

    def _is_plausible(self, prompt: int, mol: Chem.Mol) -> bool:
        if self._plausible_only:
            own = self._own[prompt] if prompt >= 0 else frozenset()
            if any(flaw not in own for flaw in flaws(mol)):
                return False
        limit = self._own_max_sa[prompt] if prompt >= 0 else self._max_sa
        return math.isinf(limit) or sa_score(mol) <= limit

    def identify(self, made: Sequence[Made]) -> list[Proposal]:
        """The identities of molecules, in their order."""
        return [identify(m.smiles, m.arm, m.parents, m.prompt) for m in made]


@lru_cache(maxsize=1)
def _parts(
    prior: Path, sha256: str, n_donors: int, seed: tuple[int, ...], options: SamplingOptions
) -> Parts:
    """Of samples of a prior: a process that runs one campaign after another samples them once."""
    donors = sample(load_network(prior), n_donors, seed=seed, options=options)
    mols = [Chem.MolFromSmiles(d.smiles) for d in donors]
    return Parts(groups_of(mols), ring_systems_of(mols))


def _described(made: Sequence[Made], mols: Mapping[str, Chem.Mol]) -> Description:
    row = {s: i for i, s in enumerate(dict.fromkeys(m.smiles for m in made))}
    rows = np.array([row[m.smiles] for m in made], np.int64)
    return describe_mols([mols[s] for s in row]).take(rows)


def make_generator(
    prior: Path | None, prompts: Sequence[str], options: SamplingOptions, plausible_only: bool,
    max_sa_score: float | None, n_donors: int = 0, donor_seed: Sequence[int] = (),
) -> GeneratorWorker:  # fmt: skip
    """For a worker pool.

    Args:
        prior: weights; None: the shipped ones.
        prompts: of the config.
        options: for all that is sampled.
        plausible_only: whether what is implausible is dropped.
        max_sa_score: what is harder to make is dropped; None: nothing is.
        n_donors: samples of the prior, of which `graft` and `swap_ring` take parts.
        donor_seed: of these samples.
    """
    return GeneratorWorker(
        prior, prompts, options, plausible_only, max_sa_score, n_donors, donor_seed
    )


def identify(
    smiles: str, arm: str = "sample", parents: tuple[str, ...] = (), prompt: int = -1
) -> Proposal:
    """The identities of a molecule given by canonical SMILES.

    The scaffold is the Murcko scaffold's SMILES without stereo, '' for an acyclic molecule.
    """
    mol = Chem.MolFromSmiles(smiles)
    inchikey = Chem.MolToInchiKey(mol)
    Chem.RemoveStereochemistry(mol)
    scaffold = Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(mol))
    return Proposal(smiles, inchikey, Chem.MolToSmiles(mol), scaffold, arm, parents, prompt)
