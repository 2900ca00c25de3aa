"""What the newest run below a folder took and scored, as one line of JSON.

    python3 run_summary.py RUNS_DIR OUTPUT_OF_MOLGEN_RUN

The seconds are those that `molgen run` printed at its end. Needs nothing but Python.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from pathlib import Path


def main() -> None:
    runs, output = Path(sys.argv[1]), Path(sys.argv[2]).read_text(errors="replace")
    ledger = max(runs.glob("*/ledger.db"), key=lambda path: path.stat().st_mtime)
    connection = sqlite3.connect(ledger)
    (n_scored,) = connection.execute(
        "select count(*) from molecules where status = 'scored'"
    ).fetchone()
    ended = re.findall(r"ended after .*?, (\d+) s", output)
    print(
        json.dumps(
            {
                "run": ledger.parent.name,
                "campaign_seconds": int(ended[-1]) if ended else None,
                "n_scored": n_scored,
            }
        )
    )


if __name__ == "__main__":
    main()
