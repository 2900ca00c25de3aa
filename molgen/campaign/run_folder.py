"""The run folder: made once, then the truth about the run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from molgen.config.campaign import RunConfig
from molgen.config.loading import dump_config, load_config
from molgen.errors import ConfigError, DataError
from molgen.generator.weights import SHIPPED_PRIOR
from molgen.ledger import Ledger, absolute_url
from molgen.objectives import SHIPPED_PREDICTORS
from molgen.objectives.external import scorer_files
from molgen.objectives.known import parts_with_predictors, source_of
from property_models.datasets import file_sha256

_PACKAGES = ("molgen", "torch", "rdkit", "numpy", "scikit-learn", "lightgbm", "ray", "mlflow")
_RESUMABLE = ("budget.", "executor.")
_SCORER = "scorer "  # begins the names of what a user's own scorers consist of


class RunFolder:
    """Paths and the manifest of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.manifest_file = path / "manifest.json"
        self.ledger_file = path / "ledger.db"
        self.checkpoints = path / "checkpoints"

    def manifest(self) -> dict[str, Any]:
        """What is recorded about the run."""
        try:
            manifest: dict[str, Any] = json.loads(self.manifest_file.read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{self.manifest_file}: missing or broken ({error})") from error
        return manifest

    def note(self, **entries: Any) -> None:
        """Add entries to the manifest, atomically."""
        old = self.manifest() if self.manifest_file.exists() else {}
        temporary = self.manifest_file.with_suffix(".part")
        temporary.write_text(json.dumps(old | entries, indent=1) + "\n")
        temporary.replace(self.manifest_file)

    def take_up(self, config: RunConfig) -> None:
        """Record what the run now goes on with; only for the process that holds its lock.

        Raises:
            ConfigError: the folder cannot be written.
        """
        temporary = self.config_file.with_suffix(".part")
        try:
            temporary.write_text(_text(config))
            temporary.replace(self.config_file)
            self.note(status="running")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written ({error.strerror})") from error


def new_run_folder(config: RunConfig, out: Path | None) -> RunFolder:
    """Make the folder of a new run and record what goes into it.

    Args:
        config: resolved.
        out: must be new or empty; default: runs/<name>, with a number where that is taken.

    Raises:
        ConfigError: the folder holds something, or cannot be written; or the ledger that the config
            names holds another run's rows.
    """
    check_new(config, out)
    origin = _origin(config)
    path = Path("runs") / config.name if out is None else out
    try:
        if out is None:
            path = _make_numbered(path)
        path.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(path)
        with folder.config_file.open("x") as file:  # of two runs at once, one gets the folder
            file.write(_text(config))
        folder.note(**origin, status="running")
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror})") from error
    return folder


def open_run_folder(path: Path, overrides: Sequence[str]) -> tuple[RunFolder, RunConfig]:
    """Open a run to go on with.

    Args:
        path: a run folder.
        overrides: `budget.…=` or `executor.…=`; in the folder's config once the run goes on.

    Raises:
        ConfigError: no run there, another override, or weights or scorers that are not the run's.
    """
    folder = RunFolder(path)
    if not folder.config_file.is_file() or not folder.manifest_file.is_file():
        raise ConfigError(f"--resume {path}: not a run folder (no config.yaml and manifest.json)")
    for override in overrides:
        if not override.startswith(_RESUMABLE):
            raise ConfigError(f"{override}: a resumed run takes only budget.… and executor.…")
    config = load_config(folder.config_file, overrides)
    changed = changed_files(folder.manifest()["sha256"], _hashes(config))
    if changed:
        raise ConfigError(
            f"--resume {path}: {changed[0]} has changed since the run began; "
            "restore it or start a new run"
        )
    return folder, config


def check_new(config: RunConfig, out: Path | None) -> None:
    """Check that a new run would not meet another one's folder or ledger.

    It would go on with the rows of that ledger as if they were its own.

    Raises:
        ConfigError: as `new_run_folder`.
    """
    try:
        taken = out is not None and out.exists() and any(out.iterdir())
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from error
    if taken:
        raise ConfigError(
            f"--out {out}: is not empty; choose another folder, or go on with "
            f"`molgen run --resume {out}`"
        )
    if config.ledger.url is None:
        return
    ledger = Ledger.open(config.ledger.url, create=True)
    try:
        if not ledger.is_empty():
            raise ConfigError(
                f"ledger.url: {ledger.name} holds another run's molecules; name a new database, or "
                "go on with that run: molgen run --resume FOLDER"
            )
    finally:
        ledger.close()


def _make_numbered(path: Path) -> Path:
    """Make the folder, with a number behind its name where that is taken, be it just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made, number = path, 1
    while True:
        try:
            made.mkdir()
            return made
        except FileExistsError:
            number += 1
            made = path.with_name(f"{path.name}-{number}")


def _text(config: RunConfig) -> str:
    """The config of a run as its folder keeps it: the ledger is found from anywhere."""
    if (url := config.ledger.url) is not None:
        ledger = config.ledger.model_copy(update={"url": absolute_url(url)})
        config = config.model_copy(update={"ledger": ledger})
    return dump_config(config)


def _origin(config: RunConfig) -> dict[str, Any]:
    return {
        "name": config.name,
        "seed": config.seed,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {package: version(package) for package in _PACKAGES},
        "commit": _commit(),
        "sha256": _hashes(config),
    }


def _hashes(config: RunConfig) -> dict[str, str]:
    """Hashes of everything trained that the run uses, of its library and its scorers' files."""
    prior = Path(config.generator.prior) if config.generator.prior else SHIPPED_PRIOR
    if not prior.is_file():
        raise ConfigError(
            f"generator.prior: {prior} does not exist; make one with `molgen pretrain`"
        )
    library = config.search.library  # that it can be read is known: `check_campaign`
    searched = {} if library is None else {"search.library": file_sha256(Path(library))}
    return {"prior": file_sha256(prior)} | searched | objective_hashes(config)


def objective_hashes(config: RunConfig) -> dict[str, str]:
    """Hashes of the files of all predictors that the objective asks, by `endpoint/file`.

    The folder's name stands before it for a second predictor of the same endpoint. What is known
    of a user's own scorers stands under `scorer <name>: <file or module>`.
    """
    hashes: dict[str, str] = {}
    first: dict[str, Path] = {}
    for _, part in parts_with_predictors(config.objective):
        root, endpoint = source_of(part, SHIPPED_PREDICTORS)
        prefix = "" if first.setdefault(endpoint, root) == root else f"{root}/"
        for file in sorted((root / endpoint).rglob("*")):
            if file.is_file():
                hashes[f"{prefix}{file.relative_to(root).as_posix()}"] = file_sha256(file)
    for name, file in scorer_files(config.objective).items():
        hashes[f"{_SCORER}{name}"] = file_sha256(file)
    return hashes


def changed_files(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as it was recorded; scorers' files that were not recorded are passed over.

    Earlier versions of molgen recorded none, and a scorer may itself make one that it is given.
    """
    return sorted(
        name
        for name, sha256 in now.items()
        if recorded.get(name, sha256 if name.startswith(_SCORER) else None) != sha256
    )


def _commit() -> str | None:
    """The commit of a source checkout, None in an installed package."""
    here = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True,
            timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
