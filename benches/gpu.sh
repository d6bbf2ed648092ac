#!/usr/bin/env bash
# Checks Frit on an NVIDIA GPU against the oracles and times it there, beside PyTorch. Builds nothing and fetches nothing:
# it needs the frit command (FRIT, or target/release/frit), what tests/setup.sh made (FRIT_TEST_DATA, or tests/data), and
# NVRTC, which it also finds in Python's own packages. See benches/gpu.py --help for the arguments.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
libraries=$("$python" - <<'PYTHON'
import pathlib, sysconfig
site = pathlib.Path(sysconfig.get_paths()["purelib"])
print(":".join(sorted({str(path.parent) for path in site.glob("nvidia/*/lib/libnvrtc.so*")})))
PYTHON
)
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}${libraries:+:$libraries}
exec "$python" "$here/gpu.py" "$@"
