"""The search: what to propose next, and what of it to score.

All that it knows is a function of the rounds learnt so far, in their order (the ledger holds
them), so a run that was taken up again goes on as if nothing had been.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from molgen.config.campaign import RunConfig
from molgen.ledger import LedgerRow
from molgen.objectives.tradeoffs import Tradeoffs
from molgen.search.bandit import Bandit
from molgen.search.library import Library
from molgen.search.moves import ARMS, DRAWN, MOVE_OF, N_PARENTS, Made, Order
from molgen.search.pool import Pool
from molgen.search.population import Population, draw_parents
from molgen.search.restarts import Restarts
from molgen.search.surrogate import MIN_SCORED, Description, Surrogate, describe

_FEWEST_PARENTS = 5  # before there are so many, everything is drawn afresh
_N_IMAGINED = 50  # best proposals that serve as parents, though no one knows their reward:
_IMAGINED_SHARE = 0.5  # of this share of a round's proposals, and of all that are bred from it
_FRESH_SHARE = 0.5  # of what a round is at least when the search has begun anew
_DRAWN_SHARE = 0.5  # of a round's proposals at least, for the network's moves
_N_EDITS = 250  # of a parent, of the 400 to 1,000 that there are; two thirds are let through
_N_DRAWN_SPARES = 50  # of each of these moves, beside the best of all
# Moves without the network, so they are cheap.
_BRED_BY = ("edit", "edit_twice", "cross", "graft", "swap_ring")


class Search:
    """Populations, bandit, surrogate, spares and library of a run."""

    def __init__(self, config: RunConfig) -> None:
        s = config.search
        self._config, self._seed = config, config.seed
        # Rounds that aim at other things each have no common gain to wait for.
        patience = s.restart_after if s.surrogate and not s.pareto else None
        self._restarts = Restarts(self._new_population, patience)
        # Other moves would not keep what a prompt says must stay.
        moves = ["sample"] if config.generator.prompts else s.moves
        arms = [arm for move in moves for arm in ARMS[move]]
        self._library = Library(s.library) if s.library else None
        if self._library:
            arms.append("library")
        self._bandit = Bandit(arms, adapts=s.adapt_moves)
        self._surrogate = Surrogate(config.seed, s.max_compounds) if s.surrogate else None
        self._explored: set[str] = set()
        self._turn: list[str] = []
        self._scored: list[LedgerRow] = []
        self.spares: list[Made] = []  # promising proposals of the latest round
        self._described_spares: Description | None = None
        self.tradeoffs = Tradeoffs(config.objective) if s.pareto else None

    @property
    def ranks(self) -> bool:
        """Whether more is proposed than scored."""
        return self._surrogate is not None and len(self._surrogate) >= MIN_SCORED

    @property
    def round_size(self) -> int:
        """Molecules to be scored in the next round; without a surrogate, to be proposed."""
        n = 0 if self._surrogate is None else len(self._surrogate)
        n_fresh = self._restarts.n_fresh
        if n_fresh is not None:  # a new climb takes as many rounds as the first, or nearly
            n = max(n_fresh, math.ceil(_FRESH_SHARE * n))
        grown = math.ceil(self._config.search.round_share * n)
        return max(self._config.round_size, grown)

    def orders(self, number: int) -> list[list[Order]]:
        """A round's proposals in shards of the config's size.

        Proposals are `round_size`, and with a surrogate that has learnt something
        `proposals_per_call` times as many.
        """
        c, rng = self._config, self._rng(number, 10)
        n = self.round_size * (c.search.proposals_per_call if self.ranks else 1)
        # What the user named as wanted serves as parent too, after the best of the run.
        members = list(dict.fromkeys([*self._parents(number), *c.learning.examples]))
        shares = self._bandit.shares()
        if len(members) < _FEWEST_PARENTS:
            shares = {arm: s for arm, s in shares.items() if arm in ("sample", "library")}
            shares = shares or {"sample": 1.0}
        arms = _apportioned(_with_drawn(shares) if c.search.drawn_share else shares, n, rng)
        shards = []
        n_shards = -(-n // c.generator.shard_size)
        for shard in range(n_shards):
            part = arms[shard * c.generator.shard_size : (shard + 1) * c.generator.shard_size]
            turn = number * n_shards + shard
            prompt = turn % len(c.generator.prompts) if c.generator.prompts else -1
            shards.append(
                [
                    self._order(arm, n_made, members, prompt, rng)
                    for arm, n_made in Counter(part).items()
                ]
            )
        return shards

    def neighbour_orders(self) -> list[list[Order]]:
        """Many single edits of the best parents whose turn it is, a shard for each."""
        return [[Order("neighbours", ((smiles,),) * _N_EDITS)] for smiles in self._turn]

    def _parents(self, number: int) -> list[str]:
        """The population, best first: by reward, or by what the round aims at."""
        aimed = self._aimed(number)
        if aimed is None:
            return self._restarts.population.members()
        population = self._new_population()
        for i in np.argsort(-aimed, kind="stable")[: 10 * population.size]:
            population.add(self._scored[i].smiles, self._scored[i].scaffold, float(aimed[i]))
        return population.members()

    def _new_population(self) -> Population:
        s = self._config.search
        return Population(s.population_size, s.max_similarity, s.max_per_scaffold)

    def _aimed(self, number: int) -> NDArray[np.float64] | None:
        """How good everything scored is for this round; None: as good as its reward."""
        return self.tradeoffs.aimed(self._rng(number, 13)) if self.tradeoffs else None

    def _order(
        self, arm: str, n: int, members: Sequence[str], prompt: int, rng: np.random.Generator
    ) -> Order:
        if arm == "library":
            assert self._library is not None, "the arm is there with the library alone"
            return Order(arm, tuple((s,) for s in self._library.draw(n, rng)))
        k = N_PARENTS.get(arm, 1)
        drawn = self._draw(members, k * n, rng) if k else []
        return Order(
            arm, tuple(tuple(drawn[k * i : k * (i + 1)]) for i in range(n)),
            prompt if arm == "sample" else -1,
        )  # fmt: skip

    def _draw(self, members: Sequence[str], n: int, rng: np.random.Generator) -> list[str]:
        drawn = draw_parents(members, n, rng)
        if not self.spares:
            return drawn
        imagined = draw_parents([m.smiles for m in self.spares[:_N_IMAGINED]], n, rng)
        is_imagined = rng.random(n) < _IMAGINED_SHARE
        return [i if is_i else d for d, i, is_i in zip(drawn, imagined, is_imagined, strict=True)]

    def judge(self, number: int, made: Sequence[Made], described: Description) -> Pool:
        """What of the proposals may be chosen, as the surrogate judges it.

        Without what a restart keeps away from, where anything else is there.
        """
        assert self._surrogate is not None, "asked only where it ranks"
        kept = np.flatnonzero(~self._restarts.left_behind(described))
        if not len(kept):
            kept = np.arange(len(made))
        described = described.take(kept)
        mean, deviation = self._surrogate.judge(described, self._aimed(number))
        return Pool([made[int(i)] for i in kept], described, mean, deviation)

    def breeding_orders(self, number: int, generation: int, pool: Pool) -> list[list[Order]]:
        """A generation of children of the most promising proposals, by moves that are cheap.

        None where the config has no such moves, or nothing has a reward that could tell which way
        to go. So a molecule several moves away from all that was scored is reached without a call
        on the way.
        """
        s = self._config.search
        arms = {arm: share for arm, share in self._bandit.shares().items() if arm in _BRED_BY}
        if not arms or not len(pool) or not self._restarts.population.members():
            return []
        rng = self._rng(number, 10, generation)
        parents = [m.smiles for m in pool.best(_N_IMAGINED, s.optimism).made]
        orders = []
        for arm, n in Counter(_apportioned(arms, s.generation_size, rng)).items():
            k = N_PARENTS.get(arm, 1)
            drawn = draw_parents(parents, k * n, rng)
            orders.append(Order(arm, tuple(tuple(drawn[k * i : k * (i + 1)]) for i in range(n))))
        return [orders]

    def keep_spares(self, pool: Pool) -> None:
        """Remember the best of a round for the next; what is scored meanwhile drops out there."""
        s = self._config.search
        n_drawn = _N_DRAWN_SPARES if s.n_spares and s.drawn_share else 0
        best = pool.best(s.n_spares, s.optimism, n_drawn)
        self.spares, self._described_spares = list(best.made), best.described

    def described_spares(self) -> Description:
        """What the surrogate sees of the spares."""
        # After a resume they come from the ledger, as SMILES.
        if self._described_spares is None:
            self._described_spares = describe([m.smiles for m in self.spares])
        return self._described_spares

    def choose(self, number: int, pool: Pool, n: int) -> list[int]:
        """Indices of the proposals that are worth an oracle call, the first first; at most n."""
        s = self._config.search
        return pool.choose(
            n, optimism=s.optimism, random_share=s.random_share, drawn_share=s.drawn_share,
            max_similarity=s.max_batch_similarity, rng=self._rng(number, 11),
        )  # fmt: skip

    def learn(self, rows: Sequence[LedgerRow], proposed: Mapping[str, float]) -> None:
        """Take note of a finished round.

        Args:
            rows: of the round, as the ledger has them.
            proposed: number of proposals by arm.
        """
        scored = [row for row in rows if row.status == "scored"]
        described = describe([row.smiles for row in scored])
        gains = self._restarts.add(scored, described)
        if self.tradeoffs and scored:
            self._scored += scored
            self.tradeoffs.add([row.values for row in scored])
            gains = self._aimed_gains(scored[0].round, len(scored))
        gained: dict[str, float] = defaultdict(float)
        for row, gain in zip(scored, gains, strict=True):
            gained[arm_of(row.origin)] += gain
        self._bandit.learn(proposed, gained)
        if self._surrogate is not None and scored:
            self._surrogate.add(described, [row.reward for row in scored])
            self._take_turns()

    def _take_turns(self) -> None:
        """Whose neighbours compete in the next round: the best parents that had no turn yet."""
        c = self._config
        n = 0 if c.generator.prompts or "edit" not in c.search.moves else c.search.n_explored
        members = self._restarts.population.members() if n and self.ranks else []
        self._turn = list(islice((s for s in members if s not in self._explored), n))
        self._explored.update(self._turn)

    def _aimed_gains(self, number: int, n: int) -> list[float]:
        """`Population.add` of the latest n, but by what their round aimed at."""
        aimed = self._aimed(number)
        assert aimed is not None, "asked only where rounds have aims"
        before = np.sort(aimed[:-n])[::-1][: self._config.search.population_size]
        return np.maximum(0.0, aimed[-n:] - before[-1]).tolist() if len(before) else [0.0] * n

    def _rng(self, number: int, purpose: int, generation: int = 0) -> np.random.Generator:
        # Zeros at the end of a seed are ignored: the place tells it from a shard's seed.
        return np.random.default_rng([self._seed, number, 0, generation, purpose])


def origin_of(arm: str, prompt: int) -> str:
    """How the ledger calls it."""
    return arm if prompt < 0 else f"{arm}, prompt {prompt}"


def arm_of(origin: str) -> str:
    """The arm of a ledger's origin."""
    return origin.partition(", prompt ")[0]


def prompt_of(origin: str) -> int:
    """The prompt's index of a ledger's origin, -1 where it had none."""
    _, _, prompt = origin.partition(", prompt ")
    return int(prompt) if prompt else -1


def _with_drawn(shares: Mapping[str, float]) -> dict[str, float]:
    """The shares with at least so much for the network's arms together, if there are any."""
    drawn = {arm: s for arm, s in shares.items() if MOVE_OF.get(arm) in DRAWN}
    total, has = sum(shares.values()), sum(drawn.values())
    if not drawn or has >= _DRAWN_SHARE * total or has == total:
        return dict(shares)
    up = _DRAWN_SHARE * total / has
    down = (1.0 - _DRAWN_SHARE) * total / (total - has)
    return {arm: s * (up if arm in drawn else down) for arm, s in shares.items()}


def _apportioned(shares: Mapping[str, float], n: int, rng: np.random.Generator) -> list[str]:
    """N arms in their shares, rounded to whole numbers by chance, in a random order."""
    names, p = list(shares), np.array(list(shares.values()))
    p = p / p.sum()
    whole = np.floor(p * n).astype(int)
    rest = p * n - whole
    n_more = n - int(whole.sum())
    if n_more:
        whole += np.bincount(
            rng.choice(len(p), n_more, replace=False, p=rest / rest.sum()), minlength=len(p)
        )
    # Whole runs of an arm, so that a shard has few orders and each order many molecules.
    order = rng.permutation(len(names))
    return [names[i] for i in order for _ in range(whole[i])]
