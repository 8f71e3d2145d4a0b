#!/usr/bin/env bash
# Builds Kontor and the load generator for release, measures, and writes bench/results.md.
# Arguments go to kontor-bench: --synapse, --scale small, --only send,sync.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=$(tools/setup.sh --tests)
eval "$environment"

cargo build --release --locked -p kontor -p bench
exec "$CARGO_TARGET_DIR/release/kontor-bench" --kontor "$CARGO_TARGET_DIR/release/kontor" \
    --results bench "$@"
