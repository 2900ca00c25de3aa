"""Run a command; measure its time and the peak memory of all its processes together.

    python3 measure.py RESULT.json -- make run

Samples, ten times a second, every process that descends from the command. Memory is the
proportional set size (pages shared by several processes are counted once, in shares); beside it
the sum of resident set sizes, which counts shared pages several times. Needs Linux's /proc and
nothing but Python. Ends with the command's exit code.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

_INTERVAL_S = 0.1


def descendants(root: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it has ended meanwhile
            continue
        parent = int(text.rpartition(")")[2].split()[1])  # the name may hold spaces
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children.get(process, [])
    return found


def memory_kb(process: int) -> tuple[int, int]:
    """Proportional and resident set size in kB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    fields = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return int(fields.get("Pss", 0)), int(fields.get("Rss", 0))


def main() -> None:
    result, separator, *command = sys.argv[1:]
    if separator != "--" or not command:
        raise SystemExit(__doc__)
    began = time.monotonic()
    process = subprocess.Popen(command)
    peak_pss = peak_rss = n_processes = 0
    while process.poll() is None:
        family = descendants(process.pid)
        sizes = [memory_kb(p) for p in family]
        peak_pss = max(peak_pss, sum(pss for pss, _ in sizes))
        peak_rss = max(peak_rss, sum(rss for _, rss in sizes))
        n_processes = max(n_processes, len(family))
        time.sleep(_INTERVAL_S)
    answer = {
        "seconds": round(time.monotonic() - began, 1),
        "peak_memory_gb": round(peak_pss * 1024 / 1e9, 3),
        "peak_resident_sum_gb": round(peak_rss * 1024 / 1e9, 3),
        "max_processes": n_processes,
        "exit_code": process.returncode,
    }
    Path(result).write_text(json.dumps(answer))
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
