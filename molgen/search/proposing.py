"""The worker that draws molecules from the policy and says who they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgen.generator.prompts import Prompt, parse_prompt
from molgen.generator.sampler import SamplingOptions, sample
from molgen.generator.weights import load_network
from molgen.search.policy import read_weights


@dataclass(frozen=True)
class Proposal:
    """A molecule and its identities; `prompt` is the index of its prompt, -1 de novo."""

    smiles: str
    inchikey: str
    constitution: str
    scaffold: str
    prompt: int


class GeneratorWorker:
    """Holds the network; new weights come with the calls that need them."""

    def __init__(
        self, prior: Path | None, prompts: Sequence[str], options: SamplingOptions
    ) -> None:
        self._network = load_network(prior)
        self._prompts: list[Prompt] = [
            parse_prompt(p, self._network.vocabulary, self._network.tables) for p in prompts
        ]
        self._options = options
        self._version = 0

    def propose(
        self, version: int, weights: bytes | None, n: int, seed: Sequence[int], prompt: int
    ) -> list[Proposal]:
        """Draw a shard.

        Args:
            version: of the policy; 0 is the prior.
            weights: the policy's, None for the prior's.
            n: molecules to draw.
            seed: of this shard.
            prompt: index of the prompt, -1: de novo.

        Returns:
            n proposals, repeats included.
        """
        if version != self._version and weights is not None:
            self._network.load_state_dict(read_weights(weights))
            self._version = version
        drawn = sample(
            self._network, n, seed=seed, options=self._options,
            prompt=self._prompts[prompt] if prompt >= 0 else None,
        )  # fmt: skip
        return [identify(s.smiles, prompt) for s in drawn]


def make_generator(
    prior: Path | None, prompts: Sequence[str], options: SamplingOptions
) -> GeneratorWorker:
    """For a worker pool."""
    return GeneratorWorker(prior, prompts, options)


def identify(smiles: str, prompt: int = -1) -> Proposal:
    """The identities of a molecule given by canonical SMILES.

    The scaffold is the Murcko scaffold's SMILES without stereo, '' for an acyclic molecule.
    """
    mol = Chem.MolFromSmiles(smiles)
    inchikey = Chem.MolToInchiKey(mol)
    Chem.RemoveStereochemistry(mol)
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)
    return Proposal(smiles, inchikey, Chem.MolToSmiles(mol), Chem.MolToSmiles(scaffold), prompt)
