"""Which moves pay: shares of the proposals for each, learnt from what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_FORGET = 0.95  # what a round's counts are worth a round later
_FLOOR = 0.04  # share that each arm keeps, so that it may recover
_POWER = 2  # of the yield: greedier than in proportion (experiments/pmo, how it was chosen)
_PRIOR_PROPOSED = 100.0  # proposals that an arm is credited with at first, at the average yield


@dataclass
class Bandit:
    """Shares in proportion to the yield's square: what the best so far gained, per proposal.

    An arm costs its proposals, whether the surrogate chose them or not; so an arm whose
    proposals are never chosen loses as one whose molecules score badly.

    Attributes:
        arms: their names.
        adapts: False: equal shares for ever.
    """

    arms: Sequence[str]
    adapts: bool = True
    _proposed: dict[str, float] = field(default_factory=dict)
    _gained: dict[str, float] = field(default_factory=dict)

    def learn(self, proposed: Mapping[str, float], gained: Mapping[str, float]) -> None:
        """A round by arm: proposals made, and the gains of its molecules (`Population.add`)."""
        for counts, new in ((self._proposed, proposed), (self._gained, gained)):
            for arm in self.arms:
                counts[arm] = _FORGET * counts.get(arm, 0.0) + new.get(arm, 0.0)

    def shares(self) -> dict[str, float]:
        """Share of each arm, in their order; they sum to one."""
        equal = 1.0 / len(self.arms)
        n, gained = sum(self._proposed.values()), sum(self._gained.values())
        if not self.adapts or n == 0 or gained == 0:
            return dict.fromkeys(self.arms, equal)
        average = gained / n
        worth = {
            arm: (
                (self._gained.get(arm, 0.0) / average + _PRIOR_PROPOSED)
                / (self._proposed.get(arm, 0.0) + _PRIOR_PROPOSED)
            )
            ** _POWER
            for arm in self.arms
        }
        total, floor = sum(worth.values()), min(_FLOOR, equal)
        return {
            arm: floor + (1.0 - floor * len(self.arms)) * worth[arm] / total for arm in self.arms
        }
