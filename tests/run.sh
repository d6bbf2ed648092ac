#!/usr/bin/env bash
# Sets up what the tests need (tests/setup.sh) and runs all of them. Needs Rust, Python 3.11 or later and pip.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tests/setup.sh
cargo test --release --workspace "$@"
