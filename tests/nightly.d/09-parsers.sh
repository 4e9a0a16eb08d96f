#!/usr/bin/env bash
# Everything that reads what strangers write in lines: ten minutes of random input, instead of the second of every day.
set -euo pipefail
export PROPTEST_CASES=${PROPTEST_CASES:-400000}
cargo test --locked --profile sim --package fieldmouse-core --lib logs::
PROPTEST_CASES=$((PROPTEST_CASES / 4)) cargo test --locked --profile sim --package fieldmouse --lib syslog::frames
