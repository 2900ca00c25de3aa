"""Baselines of the campaign comparison: drawn and scored as the campaign's molecules are."""

from __future__ import annotations

from pathlib import Path

from experiments.campaign.against_baselines import prior_samples, score_all, workers
from molgen.runtime.executor import InlineExecutor
from tests.campaign.campaigns import tiny


def test_samples_of_the_prior_are_filtered_and_scored_by_the_campaigns_rules(
    prior_file: Path,
) -> None:
    config = tiny(prior_file)
    executor = InlineExecutor(workers(config))
    drawn = prior_samples(config, 20, 5, executor)
    assert len(drawn) == 20
    table = score_all(config, drawn, 10, executor)
    assert 0 < len(table) <= 10 and table["constitution"].is_unique
    assert (table["status"] == "scored").all() and table["reward"].between(0, 1).all()
    assert (table["carbon"] == table["carbon_desirability"]).all()
