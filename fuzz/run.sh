#!/usr/bin/env bash
# Fuzzes importers, one after the other: run.sh [SECONDS each, 1200 unless said] [TARGET...]. Seeds are the samples below tests/ and what
# corpus/TARGET.zip keeps; new inputs that reach new code are kept there, minimised. `cargo test --test robust` imports all that is kept. A crash is a
# failure, and its input lies in artifacts/.
#
# Needs a nightly Rust, a C++ compiler and Python 3; installs cargo-fuzz where it is missing.
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
    corpus=$(mktemp -d)
    [[ ! -f corpus/$target.zip ]] || python3 -m zipfile -e "corpus/$target.zip" "$corpus"
    mkdir -p corpus "artifacts/$target"
    echo "fuzz $target: $(find "$seeds" -type f | wc -l) seeds, $seconds s"
    # The allocator counts what is held, which the address sanitizer's own allocator would hide; unsafe code is elsewhere.
    cargo +nightly fuzz run --sanitizer none --release "$target" "$corpus" "$seeds" -- \
        -max_total_time="$seconds" -max_len=131072 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 2>&1 | tail -n 12 || failed=1
    # What reaches code that the seeds do not, the smallest first, at most a megabyte before it is packed.
    small=$(mktemp -d)
    cp "$seeds"/* "$small"
    cargo +nightly fuzz run --sanitizer none --release "$target" -- -merge=1 "$small" "$corpus" >/dev/null 2>&1 || true
    (cd "$seeds" && find . -type f) | (cd "$small" && xargs -d '\n' rm -f)
    python3 - "$small" "corpus/$target.zip" <<'PACK'
import pathlib, sys, zipfile

kept, size = [], 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir(), key=lambda path: (path.stat().st_size, path.name)):
    size += path.stat().st_size
    if size < 1 << 20:
        kept.append(path)
with zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
    for path in sorted(kept):
        # With a date of its own the same inputs are the same bytes.
        packed.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
print(f"{len(kept)} inputs are kept")
PACK
    rm -rf "$small" "$seeds" "$corpus"
done
exit $failed
