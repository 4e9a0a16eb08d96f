#!/usr/bin/env bash
# Everything of tests/FAULTS.md, in full, with the programs built for speed.
set -euo pipefail
cargo build --profile sim --locked --workspace --bins
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/faults.jsonl}
seed=${FIELDMOUSE_SEED:-$(date +%Y%m%d)}
for words in crash disk damage commit tail "kills --kills 1000"; do
    # shellcheck disable=SC2086 # several words
    target/sim/faults $words --seed "$seed"
done
target/sim/figures "$FIELDMOUSE_RESULTS"
