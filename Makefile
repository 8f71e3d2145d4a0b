# Everything a developer needs: `make run`, `make test`, `make bench`.

.PHONY: run test conformance crash simulate resolve bench bench-vs-synapse

# One process that hosts two companies whose people talk to each other, shown on the terminal; it
# stays up for any Matrix client.
run:
	@eval "$$(tools/setup.sh)" && cargo run --locked -- demo

# Everything that must be green before a change is merged.
test:
	@tools/test.sh

# The conformance suite alone; `make conformance TARGET=synapse` plays it on Synapse.
conformance:
	@eval "$$(tools/setup.sh --tests)" && TARGET=$(TARGET) cargo test --locked -p kontor --test conformance

# 200 kills and as many power cuts under load, into tests/results/crash.md; half an hour.
crash:
	@tools/crash.sh

# `make simulate SEEDS=5000`: homeservers on a simulated network, clock and disk, into
# tests/results/simulation.md; one seed alone, step by step: see tests/simulation/simulation.rs.
simulate:
	@SEEDS=$(SEEDS) tools/simulate.sh

# `make resolve GRAPHS=1000`: random rooms of each version, judged and resolved by Kontor and by
# Synapse, into tests/results/state_resolution.md.
resolve:
	@GRAPHS=$(GRAPHS) tools/resolve.sh

# What Kontor costs, and what Synapse costs on the same machine, into bench/results.md. Needs a
# quiet machine. SCALE=small takes some minutes, full a quarter of an hour.
SCALE ?= full

bench:
	@tools/bench.sh --scale $(SCALE)

bench-vs-synapse:
	@tools/bench.sh --scale $(SCALE) --synapse
