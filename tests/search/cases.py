"""What the tests of the search share: a config, rows of a ledger, proposals."""

from __future__ import annotations

from molgen.config.campaign import RunConfig
from molgen.ledger import LedgerRow
from molgen.search.engine import Search
from molgen.search.moves import Made
from molgen.search.pool import Pool
from molgen.search.surrogate import describe

ALKYL = [f"{'C' * n}c1ccccc1" for n in range(1, 9)]


def config(**changes: object) -> RunConfig:
    data = {
        "name": "tiny",
        "round_size": 10,
        "generator": {"shard_size": 16},
        "objective": {
            "components": [
                {
                    "type": "descriptor",
                    "name": "qed",
                    "desirability": {"type": "increasing", "zero_at": 0, "one_at": 1},
                }
            ]
        },
        "search": {"proposals_per_call": 4},
        "budget": {"n_rounds": 2},
    } | changes
    return RunConfig.model_validate(data)


def row(number: int, smiles: str, reward: float, origin: str = "sample") -> LedgerRow:
    return LedgerRow(
        id=number, smiles=smiles, inchikey="", constitution=smiles, scaffold="", round=0,
        origin=origin, parents=(), status="scored", reason="", attempts=1, reward=reward,
        values={"qed_desirability": reward}, worker="", seconds=0.0, created_at="", scored_at=None,
    )  # fmt: skip


def drawn(smiles: list[str]) -> list[Made]:
    return [Made(s, "edit", (), -1) for s in smiles]


def judged(search: Search, number: int, smiles: list[str]) -> Pool:
    return search.judge(number, drawn(smiles), describe(smiles))
