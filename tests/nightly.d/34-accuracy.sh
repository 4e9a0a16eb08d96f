#!/usr/bin/env bash
# Open data with labels, where FIELDMOUSE_DATA says it is: it is no part of the project (tests/ACCURACY.md, Data).
set -euo pipefail
if [ -z "${FIELDMOUSE_DATA:-}" ]; then
    echo "NOT RUN: FIELDMOUSE_DATA names no folder with the open sets" >&2
    exit 0
fi
export FIELDMOUSE_RESULTS=${FIELDMOUSE_RESULTS:-target/accuracy.jsonl}
tests/run accuracy --data "$FIELDMOUSE_DATA"
cargo run --locked --quiet --profile sim --package fieldmouse-tests --bin figures -- "$FIELDMOUSE_RESULTS"
