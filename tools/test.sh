#!/usr/bin/env bash
# Everything that must be green before a change is merged; `make test` calls it.
#
# Runs every part, prints what each runner says, and fails if any part failed. Licences and banned
# crates are checked by the tests in src/tidy/licences.rs. Absent: known vulnerabilities of
# dependencies, for which `cargo deny check advisories` must fetch a database from the network.
set -uo pipefail
cd "$(dirname "$0")/.."

# Without the set-up nothing else can run.
environment=$(tools/setup.sh --tests) || exit 1
eval "$environment"

failed=()
part() {
    local name=$1
    shift
    printf '\n==> %s\n' "$name"
    local start=$SECONDS
    "$@" || failed+=("$name")
    printf '==> %s: %s s\n' "$name" "$((SECONDS - start))"
}

part 'formatting' cargo fmt --all --check
part 'clippy' cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
part 'tests' cargo test --workspace --locked --no-fail-fast

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFAILED: %s\n' "${failed[*]}" >&2
    exit 1
fi
printf '\nEverything passed.\n'
