#!/usr/bin/env bash
# How long `molgen --help` takes: wall time, median of five after one that warms the disk cache.
#
#     experiments/timing/help.sh
#
# To hold: under 0.5 s. Writes into results.json here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
export LC_ALL=C  # a point in EPOCHREALTIME
molgen=.venv/bin/molgen

"$molgen" --help > /dev/null
times_ms=()
for _ in 1 2 3 4 5; do
    began=${EPOCHREALTIME/./}
    "$molgen" --help > /dev/null
    times_ms+=($(( (${EPOCHREALTIME/./} - began) / 1000 )))
done
median_ms=$(printf '%s\n' "${times_ms[@]}" | sort -n | sed -n 3p)
echo "molgen --help: median $median_ms ms of ${times_ms[*]}"
.venv/bin/python -m experiments.recording "$here/help.sh" "median_ms=$median_ms" \
    "times_ms=[$(IFS=,; echo "${times_ms[*]}")]"
