#!/usr/bin/env bash
# A million states that power cuts may leave, and years of virtual time with everything going wrong.
set -euo pipefail
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/faults.jsonl}
tests/run power-cuts --states 1000000
tests/run sim --seeds 2000
target/sim/figures "$FIELDMOUSE_RESULTS"
