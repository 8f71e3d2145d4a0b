#!/usr/bin/env bash
# The long simulation: SEEDS (5000) runs of tests/simulation. What came of it goes to
# tests/results/simulation.md.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=$(tools/setup.sh)
eval "$environment"

seeds=${SEEDS:-5000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
start=$SECONDS
outcome=passed
KONTOR_SEEDS=$seeds cargo test --locked -p kontor -p simulation --test simulation -- \
    --nocapture whatever_happens 2>&1 | tee "$log" | grep --line-buffered -E '^(KONTOR_SEED|[0-9]+ seeds)' \
    || true
grep -q '^test result: ok. 1 passed' "$log" || outcome=FAILED

mkdir -p tests/results
{
    cat <<HEAD
# Simulation from seeds

\`make simulate SEEDS=$seeds\`, $(date -u +%F), commit $(git rev-parse --short HEAD), $(nproc) cores of
$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), Linux $(uname -r), debug build:
$outcome after $((SECONDS - start)) s.

$(grep -E '^[0-9]+ seeds:' "$log" || true)

Seeds that fail:

HEAD
    # One complaint of each.
    { grep -E '^KONTOR_SEED=' "$log" || echo 'none'; } | awk -F: '!seen[$1]++ { print "- " $0 }'
} >tests/results/simulation.md
cat tests/results/simulation.md
[ $outcome = passed ]
