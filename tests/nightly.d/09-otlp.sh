#!/usr/bin/env bash
# Ten minutes of exports that only look like some: bent protobuf, bent JSON, and noise.
set -euo pipefail
cargo build --profile sim --locked --workspace --bins
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/faults.jsonl}
target/sim/hostile otlp 600 "${FIELDMOUSE_SEED:-$(date +%Y%m%d)}"
target/sim/figures "$FIELDMOUSE_RESULTS"
