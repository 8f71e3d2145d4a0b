# Everything a developer needs: `make run` and `make test`.

.PHONY: run test

# One process that hosts two companies whose people talk to each other, shown on the terminal; it
# stays up for any Matrix client.
run:
	@eval "$$(tools/setup.sh)" && cargo run --locked -- demo

# Everything that must be green before a change is merged.
test:
	@tools/test.sh
