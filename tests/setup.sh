#!/usr/bin/env bash
# Brings everything that the tests need and that is not in the repository: a Python with ONNX Runtime, the
# models, the zoo's weights, the oracles. Installs and fetches only what is missing; done again, it takes a
# second. About 300 MB are downloaded and 2.5 GB filled, below tests/data or where FRIT_TEST_DATA points.
#
# Needs Python 3.11 or later (PYTHON picks which) and pip. DATA/python runs that Python with the packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${FRIT_TEST_DATA:-$here/data}
python=${PYTHON:-python3}

fail() {
    echo "setup: $1" >&2
    echo "help: $2" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python" "install Python 3.11 or later, or name one: PYTHON=python3.12 $0"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old for ONNX Runtime 1.31" "name a Python 3.11 or later: PYTHON=python3.12 $0"
mkdir -p "$data"
data=$(cd "$data" && pwd)

# One setup at a time, also where two checkouts share one folder.
if command -v flock >/dev/null; then
    exec 9>"$data/.lock"
    flock 9
fi

wanted="$("$python" -c 'import sys; print(sys.executable, sys.version)') $(cat "$here/requirements.txt")"
if [[ ! -x $data/python || "$(cat "$data/python.stamp" 2>/dev/null)" != "$wanted" ]]; then
    echo "setup    Python packages"
    rm -rf "$data/venv" "$data/site" "$data/python" "$data/python.stamp"
    install=(-m pip install --quiet --disable-pip-version-check --retries 5 --only-binary :all: -r "$here/requirements.txt")
    if "$python" -m venv "$data/venv" >"$data/venv.log" 2>&1; then
        "$data/venv/bin/python" "${install[@]}"
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$data/venv/bin/python" >"$data/python"
    else
        # Debian's Python comes without venv: packages in a folder of their own do as well.
        rm -rf "$data/venv"
        "$python" -m pip --version >/dev/null 2>&1 ||
            fail "$python has neither venv nor pip" "install pip (on Debian: apt-get install python3-pip)"
        "$python" "${install[@]}" --target "$data/site"
        printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$@"\n' "$data/site" "$(command -v "$python")" >"$data/python"
    fi
    chmod +x "$data/python"
    "$data/python" -c 'import numpy, onnx, onnxruntime' || fail "the packages do not load" "see the message above; remove $data and try again"
    printf '%s\n' "$wanted" >"$data/python.stamp"
fi

"$data/python" "$here/fetch.py" "$data"
"$data/python" "$here/zoo/fill.py" "$data/zoo"
"$data/python" "$here/oracles.py" "$data"
