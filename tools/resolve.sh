#!/usr/bin/env bash
# The long comparison of state resolution with Synapse's: GRAPHS (1000) random rooms of each version.
# What came of it goes to tests/results/state_resolution.md.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=$(tools/setup.sh --tests)
eval "$environment"

graphs=${GRAPHS:-1000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
start=$SECONDS
outcome=passed
KONTOR_GRAPHS=$graphs cargo test --locked -p kontor --test state_resolution -- --nocapture \
    2>&1 | tee "$log" | grep --line-buffered -E '^(KONTOR_SEED|version|test )' || true
grep -q '^test result: ok' "$log" || outcome=FAILED
synapse=$(sed -n 's/^matrix-synapse==//p' tools/python-requirements.txt)

{
    cat <<HEAD
# State resolution beside Synapse's

\`make resolve GRAPHS=$graphs\`, $(date -u +%F), commit $(git rev-parse --short HEAD), $(nproc) cores of
$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), Linux $(uname -r), debug build:
$outcome after $((SECONDS - start)) s.

$graphs random rooms of each version from 6 to 12, judged by Kontor and by Synapse $synapse from
nothing but their events: which are rejected, and the state wherever forks meet.

Left out, because there Synapse and others are known to differ: people of other servers as targets in
rooms with \`m.federate: false\` (Synapse rejects them; the specification looks at senders only, and
no other server sees such a room); and levels that somebody with less than 50 adds or removes (ruma
judges him by their defaults, Synapse not at all; the specification can be read either way).

HEAD
    for version in 6 7 8 9 10 11 12; do
        grep -E "^version $version: " "$log" | sed 's/^/- /' || true
    done
    printf '\nDifferences:\n\n'
    # One of each room.
    { grep -E '^KONTOR_SEED=' "$log" || echo 'none'; } | awk -F: '!seen[$1 $2]++ { print "- " $0 }'
    printf '\nProperties and controls:\n\n'
    sed -n 's/^test \(orders\|sabotage\)::\(.*\) \.\.\. \(.*\)/- \2: \3/p' "$log" | tr _ ' '
} >tests/results/state_resolution.md
cat tests/results/state_resolution.md
[ $outcome = passed ]
