#!/usr/bin/env bash
# Prepares a Debian machine for building Kontor, and prints the environment that cargo needs.
#
#   tools/setup.sh            system packages and a static RocksDB, both only if missing
#   tools/setup.sh --tests    the same, and the Python peers and clients that the tests drive
#
# Everything that is built goes into a cache of the user's ($KONTOR_CACHE, by default
# ~/.cache/kontor), so that a second clone on the same machine finds it. Progress goes to stderr;
# stdout is shell code for `eval`.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${KONTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kontor}
mkdir -p "$cache"
say() { printf 'setup: %s\n' "$*" >&2; }

# One set-up at a time on a machine; a second one waits and then finds everything done.
exec 9>"$cache/setup.lock"
flock 9

# A toolchain is the one thing that we do not install: everybody has his own way.
toolchain() {
    local wanted
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null; then
        say "there is no cargo: install Rust $wanted or newer, see https://rustup.rs"
        exit 1
    fi
    if command -v rustup >/dev/null && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        say "installing rustfmt and clippy"
        rustup component add rustfmt clippy >&2
    fi
}

system_packages() {
    local missing=()
    command -v clang++ >/dev/null || missing+=(clang)
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || missing+=(libclang-dev)
    command -v make >/dev/null || missing+=(make)
    command -v g++ >/dev/null || missing+=(g++)
    if [ "${1:-}" = tests ]; then
        python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
        python3 -c 'import sysconfig, os; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null \
            || missing+=(python3-dev)
        # The control of the crash test runs a server that only believes that it syncs.
        compgen -G '/usr/lib/*/libeatmydata.so' >/dev/null || missing+=(libeatmydata1)
    fi
    [ ${#missing[@]} -eq 0 ] && return
    say "installing system packages: ${missing[*]}"
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# librocksdb.a is compiled once per machine and linked into every profile: it is nine tenths of
# the time of a build from nothing.
rocksdb() {
    local version
    version=$(sed -n '/^name = "librocksdb-sys"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
    rocksdb_dir="$cache/rocksdb-$version-$(uname -m)"
    [ -f "$rocksdb_dir/librocksdb.a" ] && return
    say "building RocksDB $version (once per machine, about 7 minutes on two cores)"
    local work="$cache/rocksdb-build"
    CC=clang CXX=clang++ CARGO_TARGET_DIR="$work" \
        cargo build --locked --release -p librocksdb-sys >&2
    mkdir -p "$rocksdb_dir"
    cp "$(find "$work" -name librocksdb.a | head -1)" "$rocksdb_dir/librocksdb.a.new"
    mv "$rocksdb_dir/librocksdb.a.new" "$rocksdb_dir/librocksdb.a"
    rm -rf "$work"
}

# Synapse and matrix-nio in an environment of exactly our pins; its name holds their hash, by
# which the tests find it (tests/harness/src/python.rs).
python_peers() {
    local pins=tools/python-requirements.txt hash environment
    hash=$(sha256sum "$pins" | cut -c1-12)
    environment="$cache/python-$hash"
    [ -x "$environment/bin/python" ] && return
    say "installing the Python peers into $environment"
    rm -rf "$environment.new"
    # It is moved to its place when it is whole. It is run only as `bin/python -m ...`, so it does
    # not matter that the scripts beside it remember the old path.
    python3 -m venv "$environment.new" >&2
    "$environment.new/bin/python" -m pip install --quiet --disable-pip-version-check \
        --only-binary :all: -r "$pins" >&2
    "$environment.new/bin/python" -c 'import synapse.app.homeserver, nio' >&2
    mv "$environment.new" "$environment"
}

toolchain
case "${1:-}" in
    --tests) system_packages tests ;;
    *) system_packages ;;
esac
rocksdb
[ "${1:-}" = --tests ] && python_peers
cat <<ENV
export ROCKSDB_LIB_DIR='$rocksdb_dir' ROCKSDB_STATIC=1
export CARGO_TARGET_DIR='${CARGO_TARGET_DIR:-$cache/target}'
export KONTOR_CACHE='$cache'
ENV
