#!/usr/bin/env bash
# Several collectors on one store, a storm of devices, a flood, and a million payloads that no agent sends; and the table of
# collector/SCALING.md anew.
set -euo pipefail
cargo build --release --locked --workspace --bins
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/collectors.jsonl}
seed=${FIELDMOUSE_SEED:-$(date +%Y%m%d)}
target/release/faults collectors --minutes 10 --rate 1000 --seed "$seed"
for words in gone full-store flood; do
    target/release/faults $words --seed "$seed"
done
target/release/hostile rubbish 1000000 "$seed"
target/release/bench storm
target/release/bench storm --postgres
target/release/figures "$FIELDMOUSE_RESULTS" collector/SCALING.md
