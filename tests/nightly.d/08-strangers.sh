#!/usr/bin/env bash
# Models with every byte damaged, or cut there: each is tried in a process of its own.
set -euo pipefail
STRANGERS_EVERY=1 cargo test --locked --package fieldmouse --test strangers -- --nocapture
