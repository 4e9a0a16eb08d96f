#!/usr/bin/env bash
# What the program consists of: `crate bytes` lines, the largest first.
#
#   cross/size.sh [PROGRAM | TRIPLE]    default: x86_64-unknown-linux-musl as cross/build.sh left it
#
# Reads the symbols of the program before it was stripped. A generic function counts for the crate
# that its name begins with; what is inlined counts for the crate it was inlined into. `data` is
# what no symbol names: strings, tables, vtables.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${1:-x86_64-unknown-linux-musl}
[ -f "$program" ] || program=$(dirname "$here")/target/cross/$program/release/fieldmouse
[ -f "$program" ] || { echo "cross/size.sh: no $program; run cross/build.sh first" >&2; exit 1; }
nm=$(command -v llvm-nm || command -v nm)

"$nm" --print-size --size-sort -C "$program" | python3 -c '
import collections, re, signal, subprocess, sys

signal.signal(signal.SIGPIPE, signal.SIG_DFL)

crates = collections.Counter()
for line in sys.stdin:
    parts = line.rstrip("\n").split(" ", 3)
    if len(parts) < 4 or parts[2] in "bB":
        continue
    name = re.sub(r"^(?:<|&|mut |dyn |\[|\(|\*const |\*mut |alloc::boxed::Box<|core::ptr::drop_in_place<)+", "", parts[3])
    found = re.match(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[0-9a-f]+\])?::", name)
    crates[found.group(1) if found else "c_and_asm"] += int(parts[1], 16)
sections = subprocess.run(["readelf", "-SW", sys.argv[1]], capture_output=True, text=True).stdout
loaded = 0
for line in sections.splitlines():
    found = re.match(r"\s*\[\s*\d+\]\s+\S+\s+(\S+)\s+\S+\s+\S+\s+([0-9a-f]+)\s+\S+\s+(\S*A\S*)", line)
    if found and found.group(1) != "NOBITS":
        loaded += int(found.group(2), 16)
crates["data"] = max(0, loaded - sum(crates.values()))
for crate, size in crates.most_common():
    print(crate, size)
print("total", sum(crates.values()))
' "$program"
