"""What a run folder holds, read back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from molgen.config.campaign import RunConfig

FINISHED = "finished"  # the manifest's status of a run that reached its budget


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it, finished or not.

    Attributes:
        config: The resolved config.
        manifest: Versions, commit, seed, hashes, status.
        table: The ledger's molecules, one row per identity, in order of proposal.
        rounds: The ledger's statistics, one row per round.
    """

    config: RunConfig
    manifest: dict[str, Any]
    table: pd.DataFrame
    rounds: pd.DataFrame

    @property
    def status(self) -> str:
        """The manifest's status; 'unknown' where it has none."""
        return str(self.manifest.get("status") or "unknown")

    @property
    def finished(self) -> bool:
        """Whether the run reached the end of its budget."""
        return self.status.lower() == FINISHED


def read_run(run_dir: Path | str) -> RunRecord:
    """Reads config.yaml, manifest.json and the ledger of a run folder.

    Raises:
        DataError: The folder or one of its files is missing or broken.
        ConfigError: config.yaml does not hold a campaign's config.
    """
    from molgen.config.loading import load_config
    from molgen.ledger import Ledger

    folder = Path(run_dir)
    path = folder / "config.yaml"
    if not path.is_file():
        raise DataError(f"{folder} is no run folder: it has no config.yaml; give a folder that "
                        "`molgen run` wrote")  # fmt: skip
    config = load_config(path, [])
    ledger = Ledger.open(config.ledger.url or folder / "ledger.db", create=False)
    try:
        table, rounds = ledger.table(), ledger.rounds()
    finally:
        ledger.close()
    return RunRecord(config, _manifest(folder / "manifest.json"), table, rounds)


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest; empty where a run was stopped before it wrote one."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}); restore or delete it") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object; restore or delete it")
    return content
