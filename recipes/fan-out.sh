#!/usr/bin/env bash
# The catalogue under several interpreters at once, each with a torch of its own, and one table of all of them:
#   recipes/fan-out.sh envs/2.8/bin/python envs/2.15/bin/python
# On a CI, let each job of a matrix keep its record, and put them together likewise in a job that waits for them all.
# A torch on another machine: pytest -n0 --dist load --tx ssh=user@host//python=/path/to/python --pyargs pitfalls.
set -uo pipefail

out=${PITFALLS_OUT:-pitfalls-report}
mkdir -p "$out"
records=()
for python in "$@"; do
    record="$out/run-${#records[@]}.json"
    records+=("$record")
    "$python" -m pytest -q -p no:cacheprovider --pyargs pitfalls --device cpu --record "$record" >"$record.log" 2>&1 &
done
wait
"$1" -m pitfalls merge "${records[@]}"
