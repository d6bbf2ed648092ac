#!/usr/bin/env python3
"""Draws inputs for the models and keeps ONNX Runtime's outputs for them, its optimiser switched off so that
every node, QuantizeLinear included, is computed as it is written.

    oracles.py DATA [--write-table]

For every DATA/models/PACKAGE/FILE.onnx (called PACKAGE/FILE) and DATA/zoo/NAME.onnx (called zoo/NAME) writes
DATA/oracles/CALLED.in.npz and .out.npz, keyed by the model's own names; for a model that ONNX Runtime
refuses, CALLED.refused.txt with the reason. Inputs come from a fixed seed; shapes and ranges from
input_specs.json beside this script, whose keys are parts of a model's name, later ones winning:

    {"part of the name": {"input": {"shape": [..], "value": v, "lo": n, "hi": n, "scale": x, "ones": n, "text": n},
                          "*": {"default": extent of open dimensions, "dimension": extent}}}

Integers (and floats that have a `lo`) are drawn from lo until hi, `ones` sets the first n elements to 1 and
the rest to 0, `text` draws lines of dark glyphs n pixels high on a light page. models.md lists what was drawn; it fails the run when
it no longer tells the truth, and --write-table rewrites it. So do outputs that say nothing: floats that do
not vary, integers that are all the same. What is there and up to date is left alone. Needs numpy, onnx,
onnxruntime.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort

HERE = pathlib.Path(__file__).resolve().parent
DTYPES = {onnx.TensorProto.DataType.Value(name): np.dtype(code) for name, code in [
    ("FLOAT", "f4"), ("DOUBLE", "f8"), ("FLOAT16", "f2"), ("BOOL", "?"), ("UINT8", "u1"), ("INT8", "i1"),
    ("UINT16", "u2"), ("INT16", "i2"), ("UINT32", "u4"), ("INT32", "i4"), ("UINT64", "u8"), ("INT64", "i8")]}
QUIET = 1e-6  # a spread below this says nothing



def models(data):
    """(what a model is called, its path), by name."""
    found = [(f"{path.parent.name}/{path.stem}", path) for path in (data / "models").glob("*/*.onnx")]
    found += [(f"zoo/{path.stem}", path) for path in (data / "zoo").glob("*.onnx")]
    return sorted(found)


def extents(value, spec, defaults):
    if "shape" in spec:
        return spec["shape"]
    shape = []
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value > 0:
            shape.append(dim.dim_value)
        else:
            shape.append(defaults.get(dim.dim_param, 1 if axis == 0 else defaults.get("default", 16)))
    return shape


def draw_text(shape, height, rng):
    """A light page (1) with lines of glyphs, each a few dark strokes (-1), the same in every channel."""
    page = np.ones(shape)
    for top in range(height, shape[-2] - height, 2 * height):
        for left in range(height, shape[-1] - height, height * 3 // 4):
            if rng.random() < 0.15:
                continue  # a space between words
            for _ in range(3):
                y, x = top + rng.integers(0, height - 4), left + rng.integers(0, height // 2 - 4)
                page[..., top:top + height, x:x + 3] = -1
                page[..., y:y + 3, left:left + height // 2] = -1
    return page + 0.05 * rng.standard_normal(shape)


def draw(value, specs, rng):
    spec = specs.get(value.name, {})
    shape = extents(value, spec, specs.get("*", {}))
    dtype = DTYPES[value.type.tensor_type.elem_type]
    if "value" in spec:
        return np.full(shape, spec["value"], dtype)
    if "ones" in spec:
        return (np.arange(np.prod(shape, dtype=int)) < spec["ones"]).astype(dtype).reshape(shape)
    if dtype.kind == "b":
        return np.ones(shape, dtype)
    if "text" in spec:
        return draw_text(shape, spec["text"], rng).astype(dtype)
    if dtype.kind in "iu" or "lo" in spec:
        return rng.integers(spec.get("lo", 1), spec.get("hi", 10), size=shape).astype(dtype)
    return (rng.standard_normal(shape) * spec.get("scale", 0.5)).astype(dtype)


def specs_for(name, all_specs):
    merged = {}
    for part, specs in all_specs.items():
        if part in name:
            merged.update(specs)
    return merged


def count_ops(graph, counts=None):
    counts = collections.Counter() if counts is None else counts
    for node in graph.node:
        counts[node.op_type] += 1
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                count_ops(inner, counts)
    return counts


def spread(values):
    """How much an output varies; of a single number, how far it is from 0."""
    values = np.asarray(values)
    if values.size == 0:
        return 0.0
    values = values.astype(np.float64)
    return float(abs(values.ravel()[0]) if values.size == 1 else values.std())


def make(name, path, stem, all_specs):
    """Write the oracle of one model; what the table says of it."""
    proto = onnx.load(path, load_external_data=False)
    constant = {tensor.name for tensor in proto.graph.initializer}
    counts = count_ops(proto.graph)
    rng = np.random.default_rng(0)
    feed = {value.name: draw(value, specs_for(name, all_specs), rng)
            for value in proto.graph.input if value.name not in constant}
    row = {
        "nodes": sum(counts.values()),
        "ops": len(counts),
        "inputs": ", ".join(f"{key} {value.dtype}{list(value.shape)}" for key, value in feed.items()),
        "outputs": {},
        "refused": "",
    }
    del proto
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        results = session.run(None, feed)
    except Exception as error:  # ONNX Runtime has no common class for its errors
        row["refused"] = " ".join(str(error).split())[:200]
        stem.with_name(stem.name + ".refused.txt").write_text(row["refused"] + "\n")
        return row
    outputs = dict(zip([output.name for output in session.get_outputs()], results))
    np.savez(stem.with_name(stem.name + ".in.npz"), **feed)
    np.savez(stem.with_name(stem.name + ".out.npz"), **outputs)
    row["outputs"] = {key: spread(value) for key, value in outputs.items()}
    return row


def table(rows, spreads=True):
    """The text of models.md; without spreads, those figures that differ by a rounding between machines."""
    lines = [
        "# The models of the tests", "",
        f"Made by `tests/oracles.py --write-table`. ONNX Runtime {ort.__version__} with its optimiser off gave the "
        "outputs. The spread is an output's standard deviation (of a single number, its distance from 0).", "",
        "| model | nodes | kinds of ops | ONNX Runtime | inputs drawn | outputs' spread |", "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        said = ", ".join(f"{key} {value:.2g}" if spreads else key for key, value in row["outputs"].items())
        lines.append(f"| {name} | {row['nodes']} | {row['ops']} | {row['refused'] or 'runs'} | {row['inputs']} | {said} |")
    return "\n".join(lines) + "\n"


def without_spreads(text):
    """A table's text less the numbers in its last column."""
    lines = []
    for line in text.splitlines():
        head, bar, last = line.removesuffix(" |").rpartition(" | ")
        if bar and head.count("|") == 5 and not head.startswith(("| model", "|---")):
            last = ", ".join(part.rpartition(" ")[0] for part in last.split(", "))
            line = f"{head} | {last} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--write-table", action="store_true", help="rewrite models.md")
    args = parser.parse_args()
    ort.set_default_logger_severity(3)
    specs_text = (HERE / "input_specs.json").read_text()
    all_specs = json.loads(specs_text)
    recipe = hashlib.sha256((pathlib.Path(__file__).read_text() + specs_text + ort.__version__).encode()).hexdigest()

    rows, complaints = {}, []
    for name, path in models(args.data):
        stem = args.data / "oracles" / name
        stamp = stem.with_name(stem.name + ".json")
        made_from = f"{recipe} {path.stat().st_size} {path.stat().st_mtime_ns}"
        known = json.loads(stamp.read_text()) if stamp.exists() else {}
        if known.get("made_from") == made_from:
            row = known["row"]
        else:
            stem.parent.mkdir(parents=True, exist_ok=True)
            for old in stem.parent.glob(stem.name + ".*"):
                old.unlink()
            row = make(name, path, stem, all_specs)
            stamp.write_text(json.dumps({"made_from": made_from, "row": row}))
            print(f"oracle   {name}: {row['refused'] or row['inputs']}", flush=True)
        rows[name] = row
        for output, value in row["outputs"].items():
            if not value > QUIET:
                complaints.append(f"{name}: output {output} says nothing (spread {value:.2g})")
    if not rows:
        complaints.append(f"no models below {args.data}; run tests/setup.sh")

    text = table(rows)
    path = HERE / "models.md"
    if args.write_table:
        path.write_text(text)
    elif not path.exists() or without_spreads(path.read_text()) != without_spreads(text):
        complaints.append("tests/models.md is out of date; run tests/oracles.py DATA --write-table and commit it")
    for complaint in complaints:
        print(f"FAILED   {complaint}")
    print(f"oracles: {len(rows)} models, {sum(bool(row['refused']) for row in rows.values())} refused by ONNX Runtime, "
          f"{len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
