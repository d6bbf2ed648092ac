#!/usr/bin/env python3
"""Fills the zoo's graphs with weights drawn from a fixed seed.

    fill.py OUT [NAME...]

For every NAME.onnx.gz beside this script writes OUT/NAME.onnx. In the stripped graphs a large weight has a
type and a shape but no data; its metadata entry `draw` holds `mean std`, followed by `centred` where the
values that make up one output channel sum to zero (so that the mean of a ReLU's output does not drown what
varies). strip.py has chosen mean and std so that activations stay of order one through the whole model.

The same bits come out on every machine and with every NumPy: SplitMix64 numbers, each cut into four 16-bit
integers whose sum is near enough to a normal distribution; all in integers up to one final multiplication
and addition. A model that is there and was made from the same inputs is left alone. Needs numpy and onnx.
"""

import gzip
import hashlib
import pathlib
import sys

import numpy as np
import onnx

HERE = pathlib.Path(__file__).resolve().parent
SEED = 1
CHUNK = 1 << 18  # numbers drawn at a time, so that they stay in the cache
SUM_MEAN = 2 * 65535
SUM_STD = (65536 ** 2 / 3) ** 0.5


def draw_integers(name, count):
    """`count` integers around 0, all but normal, with a standard deviation of `SUM_STD`."""
    key = np.uint64(int.from_bytes(hashlib.sha256(f"{SEED}/{name}".encode()).digest()[:8], "little"))
    out = np.empty(count, np.int32)
    for start in range(0, count, CHUNK):
        stop = min(count, start + CHUNK)
        z = np.arange(start + 1, stop + 1, dtype=np.uint64)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z += key
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        parts = z.astype("<u8", copy=False).view("<u2").reshape(-1, 4)
        out[start:stop] = parts.sum(axis=1, dtype=np.int32)
    out -= SUM_MEAN
    return out


def draw(name, shape, text):
    """A float32 array as the text of a `draw` entry tells it."""
    mean, std, *centred = text.split()
    values = draw_integers(name, int(np.prod(shape))).reshape(shape)
    if centred:
        axes = tuple(range(1, len(shape)))
        fan_in = values[0].size
        values = values - (values.sum(axis=axes, keepdims=True, dtype=np.int64) // fan_in).astype(np.int32)
    return (values * (float(std) / SUM_STD) + float(mean)).astype(np.float32)


def fill(model, name):
    """Give every stripped weight of a model its values."""
    for tensor in model.graph.initializer:
        recipe = {entry.key: entry.value for entry in tensor.metadata_props}.get("draw")
        if recipe is not None:
            del tensor.metadata_props[:]
            values = draw(f"{name}/{tensor.name}", tuple(tensor.dims), recipe)
            tensor.raw_data = values.astype("<f4", copy=False).tobytes()
    return model


def main(out, *names):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    known = sorted(path.name.removesuffix(".onnx.gz") for path in HERE.glob("*.onnx.gz"))
    for name in names or known:
        stripped = (HERE / f"{name}.onnx.gz").read_bytes()
        made_from = hashlib.sha256(stripped + pathlib.Path(__file__).read_bytes()).hexdigest()
        path, stamp = out / f"{name}.onnx", out / f"{name}.stamp"
        if path.exists() and stamp.exists() and stamp.read_text() == f"{made_from} {path.stat().st_size}\n":
            continue
        data = fill(onnx.load_from_string(gzip.decompress(stripped)), name).SerializeToString()
        part = path.with_suffix(".part")
        part.write_bytes(data)
        part.replace(path)
        stamp.write_text(f"{made_from} {len(data)}\n")
        print(f"filled   {name}: {len(data) / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
