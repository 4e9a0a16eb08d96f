#!/usr/bin/env bash
# Memory asked for in a steady tick, of what is shipped.
exec cargo test --locked --release -p fieldmouse-tests --test allocations
