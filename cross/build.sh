#!/usr/bin/env bash
# Builds the static programs and the no_std core, strips them, and checks their size.
#
#   cross/build.sh [TRIPLE...]      default: every target that has a budget
#
# The standard library is built from source with the program, so no target has to be installed.
# Needs a rustc with its library sources; takes the one in PATH, else Debian's, else says how.
#
#   CROSS_MIN=1        smallest program: panics abort without a message
#   CROSS_INSTALL=0    install nothing, name the command instead
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
out=$root/target/cross
venv=$out/venv
zig_version=0.17.1
zigbuild_version=0.24.0
debian_packages="rustc-web cargo-web rust-web-src libstd-rust-web-dev python3-venv llvm"
mkdir -p "$out"

die() { echo "cross/build.sh: $*" >&2; exit 1; }

# field TRIPLE KEY: one value of targets.toml; without arguments, the triples that have a budget.
field() {
    python3 - "$here/targets.toml" "$@" <<'PY'
import sys, tomllib
targets = tomllib.load(open(sys.argv[1], "rb"))["target"]
if len(sys.argv) == 2:
    print("\n".join(t["triple"] for t in targets if "budget" in t))
else:
    found = [t for t in targets if t["triple"] == sys.argv[2]]
    if not found:
        sys.exit("unknown triple " + sys.argv[2] + "; known: " + " ".join(t["triple"] for t in targets))
    print(found[0].get(sys.argv[3], ""))
PY
}

has_sources() { [ -x "$1" ] && [ -f "$("$1" --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]; }

# Chooses the compiler: RUSTC, then the one in PATH, then Debian's.
choose_rust() {
    local rustc
    for rustc in "${RUSTC:-}" "$(command -v rustc || true)" /usr/bin/rustc; do
        if [ -n "$rustc" ] && has_sources "$rustc"; then
            RUSTC=$rustc
            CARGO=$(dirname "$rustc")/cargo
            export RUSTC CARGO
            return 0
        fi
    done
    return 1
}

install_rust() {
    local command="apt-get install -y $debian_packages"
    if [ "${CROSS_INSTALL:-1}" = 1 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive $command -qq
    else
        die "no rustc with library sources; run \`rustup component add rust-src\` or \`$command\`"
    fi
}

install_zig() {
    [ -x "$venv/bin/cargo-zigbuild" ] && return
    local packages="ziglang==$zig_version cargo-zigbuild==$zigbuild_version"
    [ "${CROSS_INSTALL:-1}" = 1 ] || die "run \`python3 -m venv $venv && $venv/bin/pip install $packages\`"
    python3 -m venv "$venv" && "$venv/bin/pip" install -q $packages
}

strip_tool() {
    local tool
    for tool in llvm-strip /usr/lib/llvm-*/bin/llvm-strip "$("$RUSTC" --print sysroot)"/lib/rustlib/*/bin/rust-objcopy; do
        if command -v "$tool" >/dev/null; then
            echo "$tool"
            return
        fi
    done
    die "no llvm-strip; run \`apt-get install llvm\` or \`rustup component add llvm-tools\`"
}

# The program believes no clock that says less: see agent/edge/src/floor.rs.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}

build_program() {
    local triple=$1 package=$2 cpu=$3 flags std
    flags="-C target-cpu=$cpu -C link-self-contained=no -C relocation-model=static"
    flags+=" -C target-feature=+crt-static -C force-unwind-tables=no"
    # No path of the building machine ends up in the program.
    flags+=" --remap-path-prefix=$root=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    flags+=" --remap-path-prefix=$("$RUSTC" --print sysroot)=rust"
    std=(-Z build-std=std,panic_abort -Z build-std-features=optimize_for_size)
    [ "${CROSS_MIN:-0}" = 1 ] && flags+=" -Z unstable-options -C panic=immediate-abort"
    install_zig
    (cd "$root" && PATH=$venv/bin:$PATH RUSTFLAGS=$flags CARGO_PROFILE_RELEASE_STRIP=none RUSTC_BOOTSTRAP=1 \
        "$venv/bin/cargo-zigbuild" zigbuild --release --locked "${std[@]}" \
        --package "$package" --bin "$package" --target "$triple" --target-dir "$out")
    local built=$out/$triple/release/$package final=$out/$package-$triple
    "$(strip_tool)" --strip-all -o "$final" "$built" 2>/dev/null || "$(strip_tool)" --strip-all "$built" "$final"
    if LC_ALL=C readelf -lW "$final" | grep -q INTERP; then
        die "$final asks for a dynamic loader"
    fi
    size "$triple" "$(stat -c %s "$final")"
}

build_core() {
    local triple=$1 package=$2 cpu=$3
    (cd "$root" && RUSTFLAGS="-C target-cpu=$cpu" RUSTC_BOOTSTRAP=1 "$CARGO" build --release --locked \
        -Z build-std=core --package "$package" --lib --target "$triple" --target-dir "$out")
    size "$triple" "$(stat -c %s "$out/$triple/release/lib${package//-/_}.rlib")"
}

over=0
size() {
    local budget
    echo "size_$1 $2 bytes"
    budget=$(field "$1" budget)
    if [ -n "$budget" ] && [ "$2" -gt "$budget" ]; then
        echo "size_$1 is over its budget of $budget bytes by $(($2 - budget))" >&2
        over=1
    fi
}

choose_rust || { install_rust; choose_rust || die "the installed rustc has no library sources"; }
"$RUSTC" --version
[ $# -gt 0 ] || set -- $(field)
for triple; do
    package=$(field "$triple" package)
    cpu=$(field "$triple" cpu)
    case $triple in
        *-linux-*) build_program "$triple" "$package" "$cpu" ;;
        *) build_core "$triple" "$package" "$cpu" ;;
    esac
done
exit $over
