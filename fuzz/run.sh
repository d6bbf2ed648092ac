#!/usr/bin/env bash
# Fuzzes importers, one after the other: run.sh [SECONDS each, 1200 unless said] [TARGET...]. Seeds are the samples below tests/ and what
# corpus/ keeps; new inputs that reach new code are kept there, minimised, at most 256 kB for a target. A crash is a failure, and its input lies in artifacts/.
#
# Needs a nightly Rust and a C++ compiler; installs cargo-fuzz where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-1200}
shift || true
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(onnx tensorflow tflite keras pytorch)
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz
failed=0
for target in "${targets[@]}"; do
    seeds=$(mktemp -d)
    case $target in
        onnx) from=(../tests/samples/onnx) ;;
        pytorch) from=(../tests/frameworks/pytorch ../tests/frameworks/torchscript) ;;
        *) from=("../tests/frameworks/$target") ;;
    esac
    # -size: what is large is slow, and small files have all that there is.
    find "${from[@]}" -type f ! -name '*.npz' ! -name '*.py' -size -96k -exec cp --backup=numbered -t "$seeds" {} +
    if [[ $target == tensorflow ]]; then
        # A SavedModel and the index of its variables, as the target takes them.
        for model in ../tests/frameworks/tensorflow/*/saved_model.pb; do
            index=${model%/*}/variables/variables.index
            [[ ! -f $index ]] || python3 -c 'import sys; model, index = (open(path, "rb").read() for path in sys.argv[1:]); sys.stdout.buffer.write(b"\1" + len(model).to_bytes(4, "little") + model + index)' "$model" "$index" >"$seeds/saved-$(basename "${model%/*}")"
        done
    fi
    mkdir -p "corpus/$target" "artifacts/$target"
    echo "fuzz $target: $(find "$seeds" -type f | wc -l) seeds, $seconds s"
    # The allocator counts what is held, which the address sanitizer's own allocator would hide; unsafe code is elsewhere.
    cargo +nightly fuzz run --sanitizer none --release "$target" "corpus/$target" "$seeds" -- \
        -max_total_time="$seconds" -max_len=131072 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 2>&1 | tail -n 12 || failed=1
    # What reaches code that the seeds do not.
    small=$(mktemp -d)
    cp "$seeds"/* "$small"
    cargo +nightly fuzz run --sanitizer none --release "$target" -- -merge=1 "$small" "corpus/$target" >/dev/null 2>&1 || true
    (cd "$seeds" && find . -type f) | (cd "$small" && xargs -d '\n' rm -f)
    rm -rf "corpus/$target"
    mkdir -p "corpus/$target"
    find "$small" -type f -size -16k -printf '%s %p\n' | sort -n | awk '{ sum += $1; if (sum < 262144) print $2 }' | xargs -r cp -t "corpus/$target"
    rm -rf "$small" "$seeds"
done
exit $failed
