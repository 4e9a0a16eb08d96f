#!/usr/bin/env bash
# Generated fleets through the collector: faults of weeks, one uplink that takes ten thousand devices along, and ten
# thousand orders in which events may come.
set -euo pipefail
seed=${FIELDMOUSE_SEED:-$(date +%Y%m%d)}
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/fleet.jsonl}
cargo build --locked --profile sim --workspace --bins
target/sim/bench fleet-week --seeds 5 --from "$seed"
target/sim/bench uplink --seeds 2 --from "$seed"
target/sim/figures "$FIELDMOUSE_RESULTS"
FLEET_ORDERS=10000 FLEET_SEED=$seed cargo test --locked --profile sim --package fieldmouse-tests --test it fleet::in_whatever -- --ignored --nocapture
