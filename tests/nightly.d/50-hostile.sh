#!/usr/bin/env bash
# Brokers that misbehave as a seed says, and bytes that only look like packets, against the real link.
set -euo pipefail
hostile="cargo run --quiet --locked --profile sim --package fieldmouse-tests --bin hostile --"
$hostile schedules 10000 1
$hostile streams 100000 1
