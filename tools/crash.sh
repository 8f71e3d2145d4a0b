#!/usr/bin/env bash
# The long crash test: ROUNDS (200) kills and as many power cuts, and the control without syncing.
# What came of it goes to tests/results/crash.md.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=$(tools/setup.sh --tests)
eval "$environment"

rounds=${ROUNDS:-200}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# name of the test → one line of the table
run() {
    local what=$1 name=$2 start=$SECONDS outcome=passed
    echo "==> $what: $rounds rounds"
    KONTOR_CRASH_ROUNDS=$rounds cargo test --locked -p kontor --test crash -- \
        --exact --nocapture "$name" 2>&1 | tee "$log" | grep --line-buffered -E '^(round|to repeat|test result)' \
        || outcome=FAILED
    grep -q '^test result: ok. 1 passed' "$log" || outcome=FAILED
    local seed acknowledged done
    seed=$(sed -n 's/.*KONTOR_SEED=//p' "$log")
    done=$(grep -c '^round ' "$log" || true)
    acknowledged=$(sed -n 's/^round .*: \([0-9]*\) acknowledged/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    echo "| $what | $done | $acknowledged | $outcome | $seed | $((SECONDS - start)) |" >>"$table"
    [ $outcome = passed ]
}

table=$(mktemp)
failed=
run 'kill -9' a_kill_at_any_moment_loses_nothing_that_was_acknowledged || failed=1
run 'power cut' a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged || failed=1
run 'power cut without syncing: a loss must be noticed' \
    without_syncing_a_power_cut_is_seen_to_lose_something || failed=1

{
    cat <<HEAD
# Crashes under load

\`make crash\`, $(date -u +%F), commit $(git rev-parse --short HEAD), $(nproc) cores of
$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), Linux $(uname -r), debug build.

Each round: four users of one company and one of another, whose server stays up, send messages,
state, receipts, account data, files and to-device messages and come and go, until the server is
struck at a random moment; then every acknowledged thing must be there once, on both servers.

| what | rounds | acknowledged | outcome | seed | seconds |
|---|---|---|---|---|---|
HEAD
    cat "$table"
} >tests/results/crash.md
rm -f "$table"
cat tests/results/crash.md
[ -z "$failed" ]
