#!/usr/bin/env bash
# The figures of ARCHITECTURE.md that need a quiet machine: real faults end to end, and the agent's cost beside peers.
set -euo pipefail
command -v stress-ng >/dev/null || apt-get install -y -q stress-ng
for peer in collectd-core:collectd prometheus-node-exporter:prometheus-node-exporter; do
  command -v "${peer##*:}" >/dev/null || apt-get install -y -q --no-install-recommends "${peer%%:*}"
done
cargo build --release --locked --workspace
target/release/allocations
target/release/bench endtoend --calm 300 --fault 30
tests/bench/cost.sh --warm 60 --seconds 300
target/release/bench replay-speed
target/release/bench append
target/release/bench drain
target/release/fieldmouse record target/host.csv --for 330s
target/release/bench capsule target/host.csv
target/release/bench flash
target/release/bench learnt
