#!/usr/bin/env bash
# include/ringfence.h is what src/ffi says. `--bless` writes it anew. Installs nothing: cbindgen is a pinned library here.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "${1-}" != --bless ] || export RINGFENCE_BLESS=1
cargo test --locked -p ringfence-ffi-tests --test header
