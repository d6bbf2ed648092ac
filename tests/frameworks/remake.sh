#!/usr/bin/env bash
# Installs TensorFlow and PyTorch (below tests/data, or where FRIT_TEST_DATA points: 6 GB), makes the models of the given formats
# (tensorflow, tflite, keras, pytorch, torchscript; all by default) and their oracles anew, and runs the sweeps over well-known architectures, whose
# tables lie in tests/sweeps. The tests themselves need none of this. Takes hours; `--no-sweeps` some minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${FRIT_TEST_DATA:-$here/../data}
mkdir -p "$data"
data=$(cd "$data" && pwd)
python=${PYTHON:-python3}
sweeps=1
if [[ ${1:-} == --no-sweeps ]]; then
    sweeps=0
    shift
fi
formats=("$@")
[[ ${#formats[@]} -gt 0 ]] || formats=(tensorflow tflite keras pytorch torchscript)
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "remake: $("$python" --version) is too old" >&2
    echo "help: name a Python 3.11 or later: PYTHON=python3.12 $0" >&2
    exit 1
}
[[ $sweeps == 0 ]] || cargo build --release --workspace --bins --manifest-path "$here/../../Cargo.toml"
for format in "${formats[@]}"; do
    case $format in
        tensorflow | tflite | keras) framework=tensorflow ;;
        pytorch | torchscript) framework=pytorch ;;
        *)
            echo "remake: there is no format '$format'" >&2
            exit 2
            ;;
    esac
    venv=$data/frameworks/$framework
    wanted=$here/requirements-$framework.txt
    if ! cmp -s "$wanted" "$venv/requirements.txt"; then
        echo "remake   Python packages for $framework"
        rm -rf "$venv"
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 -r "$wanted"
        cp "$wanted" "$venv/requirements.txt"
    fi
    sweeps_of=()
    command=$here/../../target/release/frit
    case $format in
        tensorflow) sweeps_of=("tensorflow_savedmodel.py") ;;
        tflite) sweeps_of=("tflite.py $command") ;;
        keras) sweeps_of=("keras.py $command" "formats.py $command tensorflow") ;;
        pytorch) sweeps_of=("pytorch.py $command $data/sweeps/pytorch" "formats.py $command pytorch") ;;
        torchscript) sweeps_of=("torchscript.py $command") ;;
    esac
    echo "remake   $format"
    (cd "$here/$format" && "$venv/bin/python" make.py)
    case $format in
        pytorch) "$venv/bin/python" "$here/anonymise.py" "$here/$format"/*.pt2 ;;
        torchscript) "$venv/bin/python" "$here/anonymise.py" "$here/$format"/*.pt ;;
    esac
    if [[ $sweeps == 1 ]]; then
        for sweep in "${sweeps_of[@]}"; do
            echo "remake   sweep: ${sweep%% *}"
            # shellcheck disable=SC2086 # a script and its arguments
            (cd "$here/../sweeps" && "$venv/bin/python" $sweep)
        done
    fi
    # The models that tests/fetch.py brings, as far as this framework runs them.
    [[ ! -d $data/models ]] || "$venv/bin/python" "$here/public/make.py" "$data/models"
done
