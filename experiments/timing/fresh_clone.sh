#!/usr/bin/env bash
# A new user's first ten minutes: clone, `make run`, and `make run` again.
#
#     experiments/timing/fresh_clone.sh [REPOSITORY]
#
# Clones REPOSITORY (this checkout's last commit by default) into an empty folder, with an empty
# home, no pip cache and no MOLGEN_DATA, and measures
#   1. `make run` from nothing: virtual environment, all downloads, the default campaign;
#   2. `make run` again, when all is installed.
# Of each: seconds, peak memory of all processes together (measure.py), the campaign's own seconds
# and the molecules it scored. To hold: 1. at most 600 s on 2 cores, 2. under 300 s; campaign at
# most 240 s with at least 3,000 scored; under 4 GB. Fewer idle cores make it slower: run it alone.
# Writes into results.json here. Needs python3.11 on PATH, as `make run` does.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
repository=${1:-$root}
python=$(command -v python3.11)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/home"
export HOME=$work/home PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
unset MOLGEN_DATA VIRTUAL_ENV PYTHONPATH

git clone --quiet "$repository" "$work/clone"
commit=$(git -C "$work/clone" rev-parse --short=12 HEAD)
cd "$work/clone"

measure() {  # NAME
    local output=$work/$1.txt
    if ! "$python" "$here/measure.py" "$work/$1.json" -- make run 2>&1 | tee "$output"; then
        echo "make run ($1) failed" >&2
        exit 1
    fi
    "$python" "$here/run_summary.py" runs "$output" > "$work/$1_run.json"
}

measure first
measure again

cd "$root"
echo
for name in first again; do
    echo "$name: $(cat "$work/$name.json") $(cat "$work/${name}_run.json")"
done
"$python" -m experiments.recording "$here/fresh_clone.sh" "cloned_commit=\"$commit\"" \
    "first=$(cat "$work/first.json")" "first_run=$(cat "$work/first_run.json")" \
    "again=$(cat "$work/again.json")" "again_run=$(cat "$work/again_run.json")"
