#!/usr/bin/env bash
# The shared library exports what ffi-tests/symbols.txt lists and the header declares. `--bless` writes the list anew.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "${1-}" != --bless ] || export RINGFENCE_BLESS=1
cargo test --locked -p ringfence-ffi-tests --test symbols
