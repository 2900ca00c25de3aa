"""Which loss makes the network a good proposer of what comes next?

    .venv/bin/python -m experiments.pmo.policy_losses LOG --task perindopril_mpo --calls 500

The prior learns from the first so many calls of a log, by several losses with equal batches and
rate, and draws 400 molecules after 20, 60 and 150 updates. Of those that are new and that the
search would not drop (implausible, hard to make), printed are the number, the oracle's mean and
that of the ten best; above them the ten best of the log. The oracle's answers are for this
comparison alone: only on tasks on which settings may be chosen.

- likelihood: of the best (by rank) and, with the share given, of samples of the prior: what the
  search does (`molgen.search.policy`).
- log variance: the variance of `log prior + sigma * reward - log policy` over a batch, sigma 200,
  half any calls, half the best (Richter et al. 2020, https://arxiv.org/abs/2010.10436).
- augmented likelihood: the mean square of that difference, sigma 100, on such batches (Olivecrona
  et al. 2017, https://doi.org/10.1186/s13321-017-0235-x).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from experiments.pmo.counting import read_log
from experiments.pmo.neighbours import MAX_ATOMS, MAX_SA, TUNED_ON
from experiments.pmo.run import CONFIG
from experiments.pmo.tasks import oracle_of
from experiments.recording import print_table
from molgen.config.campaign import LearningConfig
from molgen.generator.likelihood import log_prob_of_orders
from molgen.generator.network import GraphTransformer, autocast
from molgen.generator.sampler import SamplingOptions, sample
from molgen.generator.weights import load_network
from molgen.objectives.descriptors import sa_score
from molgen.search.plausible import implausible
from molgen.search.policy import Lesson, Policy, draw_by_rank

PRIOR = CONFIG.parent / "zinc250k" / "prior.safetensors"
AFTER, BATCH, N_SAMPLES = (20, 60, 150), 32, 400
OPTIONS = SamplingOptions(max_atoms=MAX_ATOMS)
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of log prior, reward, log policy


def log_variance(prior_B: Tensor, reward_B: Tensor, policy_B: Tensor) -> Tensor:
    """With sigma 200."""
    return (prior_B + 200.0 * reward_B - policy_B).var()


def augmented_likelihood(prior_B: Tensor, reward_B: Tensor, policy_B: Tensor) -> Tensor:
    """With sigma 100."""
    return ((prior_B + 100.0 * reward_B - policy_B) ** 2).mean()


class Contrasting(Policy):
    """Learns by a loss that also makes molecules less likely."""

    def teach(self, lessons: Sequence[Lesson], best: Sequence[Lesson], loss: Loss) -> None:
        """Updates, half of each batch any lessons, half the best."""
        rng = np.random.default_rng([self._seed, self.version, 0, 0, 2])
        self.version += 1
        replay = [m for m in self._replay(best) if self._plan(m) is not None]
        for _ in range(self._config.n_updates):
            chosen = [lessons[i] for i in rng.integers(len(lessons), size=BATCH // 2)]
            chosen = [m for m in chosen if self._plan(m) is not None]
            chosen += draw_by_rank(replay, BATCH - len(chosen), rng)
            plans = [plan for m in chosen if (plan := self._plan(m)) is not None]
            tokens, goals = self._draw(plans, rng)
            reward_B = torch.tensor([m.reward for m in chosen], dtype=torch.float32)
            with autocast(None):
                with torch.no_grad():
                    prior_B = log_prob_of_orders(self.prior, tokens, goals)
                policy_B = log_prob_of_orders(self.network, tokens, goals)
            self._step(self._optimiser, loss(prior_B, reward_B, policy_B))


def quality(network: GraphTransformer, task: str, known: set[str]) -> list[str]:
    """Of what it draws: new and passable, their mean, the ten best of them."""
    drawn = {s.smiles for s in sample(network, N_SAMPLES, seed=5, options=OPTIONS)} - known
    mols = [Chem.MolFromSmiles(s) for s in sorted(drawn)]
    passed = [m for m in mols if not implausible(m) and sa_score(m) <= MAX_SA]
    scores = np.sort([oracle_of(task)(m) for m in passed])[::-1]
    return [str(len(passed)), f"{scores.mean():.3f}", f"{scores[:10].mean():.3f}"]


def compare(log: Path, task: str, n_calls: int, seed: int) -> list[list[str]]:
    """A row for the log, for the prior, and for each loss and number of updates."""
    calls = read_log(log)[:n_calls]
    # One scaffold's share of the replay is not bounded here: the log does not name scaffolds.
    lessons = [Lesson(c.smiles, c.smiles, float(np.nan_to_num(c.score)), -1) for c in calls]
    best = sorted(lessons, key=lambda m: -m.reward)
    known, prior = {m.smiles for m in lessons}, load_network(PRIOR)
    top = f"{np.mean([m.reward for m in best[:10]]):.3f}"
    rows = [["the log", "", str(n_calls), f"{np.mean([m.reward for m in lessons]):.3f}", top]]
    rows.append(["the prior", "0", *quality(prior, task, known)])
    for share in (0.5, 0.2, 0.0):
        policies = LearningConfig(prior_share=share, batch_size=BATCH, n_updates=10)
        policy = Policy(prior, policies, [], OPTIONS, seed)
        for n in range(10, AFTER[-1] + 1, 10):
            policy.learn(best)
            if n in AFTER:
                name = f"likelihood, {share:.0%} of the prior"
                rows.append([name, str(n), *quality(policy.network, task, known)])
    for name, loss in (("log variance", log_variance), ("augmented", augmented_likelihood)):
        other = Contrasting(
            prior, LearningConfig(batch_size=BATCH, n_updates=10), [], OPTIONS, seed
        )
        for n in range(10, AFTER[-1] + 1, 10):
            other.teach(lessons, best, loss)
            if n in AFTER:
                rows.append([name, str(n), *quality(other.network, task, known)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--task", choices=TUNED_ON, required=True)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    torch.set_num_threads(1)
    print_table(
        ["learnt by", "updates", "new and passable of 400", "mean", "ten best"],
        compare(a.log, a.task, a.calls, a.seed),
    )


if __name__ == "__main__":
    main()
