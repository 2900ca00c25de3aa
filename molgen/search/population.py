"""The parents: the best molecules so far, kept apart from each other."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

_N_CANDIDATES = 1000  # the best, from which the population is chosen
_fingerprint = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)


@dataclass(frozen=True, order=True)
class _Candidate:
    rank: tuple[float, int]  # minus the reward, then the earlier first
    smiles: str = field(compare=False)
    scaffold: str = field(compare=False)
    bits: DataStructs.ExplicitBitVect = field(compare=False)


@dataclass
class Population:
    """A small set of good and different molecules.

    A molecule enters in the order of its reward unless a member is more similar to it than
    `max_similarity` (Tanimoto, ECFP4) or its scaffold has `max_per_scaffold` members already.

    Attributes:
        size: members at most.
        max_similarity: between two members.
        max_per_scaffold: members with one scaffold.
    """

    size: int
    max_similarity: float
    max_per_scaffold: int
    _candidates: list[_Candidate] = field(default_factory=list)
    _n_added: int = 0

    def add(self, smiles: str, scaffold: str, reward: float) -> float:
        """Take note of a scored molecule.

        Returns:
            By how much it is better than the last of the best `size` so far (than 0, where there
            are not so many yet); 0 where it is not.
        """
        self._n_added += 1
        rank = (-reward, self._n_added)
        full = len(self._candidates) >= self.size
        to_beat = -self._candidates[self.size - 1].rank[0] if full else 0.0
        if len(self._candidates) < _N_CANDIDATES or rank < self._candidates[-1].rank:
            bits = _fingerprint.GetFingerprint(Chem.MolFromSmiles(smiles))
            insort(self._candidates, _Candidate(rank, smiles, scaffold, bits))
            del self._candidates[_N_CANDIDATES:]
        return max(0.0, reward - to_beat)

    def mean_of_best(self, n: int) -> float:
        """Mean reward of the n best; 0 where there are none."""
        best = [-one.rank[0] for one in self._candidates[:n]]
        return sum(best) / len(best) if best else 0.0

    def members(self) -> list[str]:
        """The population, best first."""
        chosen: list[_Candidate] = []
        per_scaffold: Counter[str] = Counter()
        for one in self._candidates:
            if one.scaffold and per_scaffold[one.scaffold] >= self.max_per_scaffold:
                continue
            alike = DataStructs.BulkTanimotoSimilarity(one.bits, [c.bits for c in chosen])
            if max(alike, default=0.0) > self.max_similarity:
                continue
            per_scaffold[one.scaffold] += 1
            chosen.append(one)
            if len(chosen) == self.size:
                break
        return [one.smiles for one in chosen]


def draw_parents(members: Sequence[str], n: int, rng: np.random.Generator) -> list[str]:
    """N of the population, the k-th best with a weight of 1 / (k + a tenth of the population)."""
    weight = 1.0 / (np.arange(1, len(members) + 1) + 0.1 * len(members))
    return [members[i] for i in rng.choice(len(members), size=n, p=weight / weight.sum())]
