#!/usr/bin/env bash
# Real incidents on this machine, about five hours of them, and jobs that come by the clock. Needs root and a machine on
# which nothing else goes on. INCIDENTS takes other options, such as `--calm 120 --repeats 1`.
set -euo pipefail
command -v stress-ng > /dev/null || apt-get install -y -q stress-ng
cargo build --release --locked --workspace
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/accuracy.jsonl}
# shellcheck disable=SC2086 # several words
target/release/bench incidents ${INCIDENTS:-}
target/release/bench seasons --seeds 3
target/release/figures "$FIELDMOUSE_RESULTS"
