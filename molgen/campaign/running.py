"""`molgen run` on a terminal: progress while it runs, the top ten and where to look at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from molgen.campaign.run_folder import RunFolder, check_new, new_run_folder, open_run_folder
from molgen.campaign.wiring import check_campaign, execute
from molgen.config.campaign import RunConfig
from molgen.config.loading import load_config
from molgen.errors import MolgenError
from molgen.report import ReportFiles, top_lines
from molgen.runtime.tracking import without_credentials


def check_start(config: RunConfig, out: Path | None) -> None:
    """Find what would keep a campaign from starting, before what it needs is trained."""
    check_new(config, out)
    check_campaign(config)


def start_run(config_file: Path, overrides: Sequence[str], out: Path | None) -> None:
    """Start a campaign from its config file."""
    config = load_config(config_file, overrides)
    check_campaign(config)
    _run(config, new_run_folder(config, out))


def resume_run(path: Path, overrides: Sequence[str]) -> None:
    """Go on with a campaign."""
    folder, config = open_run_folder(path, overrides)
    check_campaign(config)
    _run(config, folder)


def _run(config: RunConfig, folder: RunFolder) -> None:
    print(f"campaign {config.name}, seed {config.seed}, in {folder.path}", flush=True)
    began = time.monotonic()
    try:
        with _Progress(config) as progress:
            ended, files = execute(config, folder, progress.show)
    except (KeyboardInterrupt, MolgenError):
        print(f"go on with: molgen run --resume {folder.path}", file=sys.stderr)
        raise
    print(f"ended after {ended}, {time.monotonic() - began:.0f} s\n")
    _closing_lines(config, files)


def _closing_lines(config: RunConfig, files: ReportFiles) -> None:
    primary = config.report.primary_endpoint
    print("\n".join(top_lines(files.candidates, components=[primary] if primary else [])))
    print(f"\n{files.n_candidates} candidates: {files.candidates_csv}, {files.candidates_sdf.name}")
    print(f"look at {files.report_html}")
    if config.tracking.enabled:
        uri = config.tracking.uri or f"sqlite:///{files.report_html.parent.parent / 'mlflow.db'}"
        print(f"runs side by side: mlflow ui --backend-store-uri {without_credentials(uri)}")


class _Progress:
    """A bar on a terminal, a line a round elsewhere."""

    def __init__(self, config: RunConfig) -> None:
        self._n_rounds = config.budget.n_rounds
        self._n_calls = config.budget.n_oracle_calls
        console = Console()
        self._plain = not console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=console, disable=self._plain,
        )  # fmt: skip
        by_rounds = self._n_rounds is not None
        self._task = self._bar.add_task(
            "round", total=self._n_rounds if by_rounds else self._n_calls
        )

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, number: int, statistics: dict[str, float]) -> None:
        """Show a finished round."""
        calls = int(statistics["n_oracle_calls"])
        text = (
            f"round {number + 1}: {calls} oracle calls, reward {statistics['reward_mean']:.3f} "
            f"(top 10: {statistics['reward_top10']:.3f})"
        )
        if self._plain:
            print(f"{text}, {statistics['seconds_round']:.1f} s", flush=True)
        done = number + 1 if self._n_rounds is not None else calls
        self._bar.update(self._task, description=text, completed=done)
