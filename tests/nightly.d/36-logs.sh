#!/usr/bin/env bash
# Lines a second through masking, miner and book; and days of real log text with planted incidents where LOGHUB names the
# folder of Loghub-2k.
set -euo pipefail
cargo build --release --locked --workspace
target/release/bench logs
[ -z "${LOGHUB:-}" ] || target/release/bench logday --data "$LOGHUB" --seeds 10 --from 1000
