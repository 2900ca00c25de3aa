"""Scores of earlier runs, for a run that need not ask for them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from molgen.campaign.run_folder import RunFolder, changed_files, objective_hashes
from molgen.config.campaign import RunConfig
from molgen.config.loading import load_config
from molgen.errors import ConfigError
from molgen.ledger import Ledger, Value


@dataclass(frozen=True)
class KnownScore:
    """What an earlier run found of a molecule.

    Attributes:
        reward: in [0, 1].
        values: of the components.
        source: the run's folder.
    """

    reward: float
    values: Mapping[str, Value]
    source: str


def known_scores(config: RunConfig) -> dict[str, KnownScore]:
    """By SMILES, the scores in the run folders that `ledger.reuse_from` names; the first counts.

    Molecules that could not be scored are not among them: they are asked for again.

    Raises:
        ConfigError: a folder is no run's, or the run had another objective, other predictors or
            other scorers, so that its scores are not what this run would find.
    """
    known: dict[str, KnownScore] = {}
    for entry in config.ledger.reuse_from:
        folder = RunFolder(Path(entry))
        where = f"ledger.reuse_from: {entry}"
        if not folder.config_file.is_file() or not folder.manifest_file.is_file():
            raise ConfigError(f"{where}: not a run folder (no config.yaml and manifest.json)")
        earlier = load_config(folder.config_file)
        if earlier.objective != config.objective:
            raise ConfigError(f"{where}: that run had another objective; its scores do not fit")
        changed = changed_files(folder.manifest()["sha256"], objective_hashes(config))
        if changed:
            raise ConfigError(f"{where}: {changed[0]} has changed since that run")
        ledger = Ledger.open(earlier.ledger.url or folder.ledger_file, create=False)
        try:
            for row in ledger.best(ledger.n_oracle_calls()):
                known.setdefault(row.smiles, KnownScore(row.reward, row.values, entry))
        finally:
            ledger.close()
    return known
