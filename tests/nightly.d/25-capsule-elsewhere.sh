#!/usr/bin/env bash
# A capsule of this machine, replayed by the static program of another kind of processor: scores within 1e-4.
set -euo pipefail
command -v qemu-aarch64-static > /dev/null || apt-get install -y -q --no-install-recommends qemu-user-static
program=target/cross/fieldmouse-aarch64-unknown-linux-musl
# One of yesterday knows neither today's configuration nor today's state.
cross/build.sh aarch64-unknown-linux-musl
capsule=$PWD/target/one.capsule
CAPSULE_OUT=$capsule cargo test --locked --package fieldmouse --test capsule every_score
qemu-aarch64-static "$program" replay --capsule "$capsule"
