#!/usr/bin/env bash
# Builds Frit, compiles the digits classifier with it, and lets it read pictures: the two beside this script, or
# those that are given. Needs Rust.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v cargo >/dev/null || { echo "run.sh: there is no cargo" >&2; echo "help: install Rust from https://rustup.rs" >&2; exit 1; }
images=("$@")
[[ $# -gt 0 ]] || images=("$here/seven.pgm" "$here/three.pgm")
cargo run --quiet --release --manifest-path "$here/../../Cargo.toml" -p frit --example digits -- "$here/digits.onnx" "${images[@]}"
