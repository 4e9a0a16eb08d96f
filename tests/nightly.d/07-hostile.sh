#!/usr/bin/env bash
# Brokers that misbehave as a seed says, and bytes that only look like packets, against the real link.
set -euo pipefail
cargo build --profile sim --locked --workspace --bins
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/faults.jsonl}
seed=${FIELDMOUSE_SEED:-$(date +%Y%m%d)}
target/sim/hostile schedules 10000 "$seed"
target/sim/hostile streams 100000 "$seed"
target/sim/figures "$FIELDMOUSE_RESULTS"
