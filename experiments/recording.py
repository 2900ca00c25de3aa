"""What every benchmark records beside its numbers: machine, date, seed, commit, versions.

Each folder has one `results.json`; a script's entry there bears the script's name and is replaced
when the script runs again. Shell scripts write theirs by
`python -m experiments.recording SCRIPT.sh key=value …`. Needs nothing but Python.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PACKAGES = ("molgen", "torch", "rdkit", "numpy", "scikit-learn", "lightgbm", "fcd-torch")


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory in GB, operating system, Python."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "n_cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory_bytes / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def stamp(*, seed: int | None = None, command: str | None = None) -> dict[str, Any]:
    """When, from which commit and with what a benchmark ran.

    `commit` ends in `+changes` where the checkout held changes that are not committed. Of absolute
    paths in the command only the last part is kept: they mean nothing elsewhere.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "seed": seed,
        "command": command or " ".join(["python", *map(_without_folder, sys.orig_argv[1:])]),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "hardware": hardware(),
    }


def write_results(
    script: str | Path, results: Mapping[str, Any], *, seed: int | None, out: Path | None,
    command: str | None = None,
) -> Path:  # fmt: skip
    """Write a script's results, stamped, into its folder's results.json.

    Args:
        script: the script's `__file__`; its name is the key.
        results: anything JSON can hold; NaN becomes null.
        seed: the benchmark's.
        out: another file than the folder's results.json.
        command: what was run; default: this process's command line.

    Returns:
        The file written.
    """
    path = out or Path(script).resolve().parent / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    entries[Path(script).stem] = _plain(
        {"stamp": stamp(seed=seed, command=command), "results": results}
    )
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(entries, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)
    return path


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table that is also Markdown, numbers at four digits, NaN as -."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |")


def with_interval(value: float, interval: Sequence[float]) -> str:
    """A value with its interval, for a table."""
    return f"{_cell(value)} ({_cell(float(interval[0]))} to {_cell(float(interval[1]))})"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def _plain(value: Any) -> Any:
    """The value in JSON's types."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=12", "HEAD").strip()
        changed = any(
            not line.endswith("/results.json") for line in _git("status", "-s").splitlines()
        )
    except (OSError, subprocess.SubprocessError):
        return "not a git checkout"
    return commit + ("+changes" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _without_folder(argument: str) -> str:
    name, equals, value = argument.rpartition("=")
    return name + equals + (Path(value).name if value.startswith("/") else value)


def _from_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    """`python -m experiments.recording SCRIPT.sh key=value …`, for shell scripts."""
    script, *pairs = sys.argv[1:]
    results = {key: _from_text(text) for key, _, text in (pair.partition("=") for pair in pairs)}
    path = Path(script).resolve()
    print(write_results(path, results, seed=None, out=None, command=str(path.relative_to(ROOT))))


if __name__ == "__main__":
    main()
