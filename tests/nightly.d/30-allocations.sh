#!/usr/bin/env bash
# Memory asked for in a steady tick, by what is shipped.
exec cargo run --locked --release --quiet --package fieldmouse-tests --bin allocations
