#!/usr/bin/env bash
# Ten minutes for each parser of what strangers write: what was kept, bent on. What is new is kept in turn, to be looked at
# and committed.
set -euo pipefail
cargo build --profile sim --locked --workspace --bins
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/faults.jsonl}
target/sim/fuzz --keep --seconds 600 --seed "${FIELDMOUSE_SEED:-$(date +%Y%m%d)}"
target/sim/figures "$FIELDMOUSE_RESULTS"
