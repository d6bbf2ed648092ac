#!/usr/bin/env python3
"""Converts keras.applications to TensorFlow Lite, float and full int8, and runs the `frit` command on each.

    tests/sweeps/tflite.py FRIT [--keep FOLDER] [--only TEXT]

Random weights, small images, calibrated on drawn data. Each model is run by the TFLite interpreter and by Frit on the same drawn inputs;
floats may differ by 1e-4 + 1e-3 |b|, and by as much as the interpreter's own kernels do from its reference kernels; quantised numbers by one quantum. The table goes to tflite.md beside this file. Models stay in FOLDER, if
one is given, and are taken from there.

Needs tensorflow==2.21.0, keras==3.15.1, numpy.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import sys
import time

sys.path.pop(0)  # this file's folder, where keras.py would be taken for keras

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

# name -> image size
ARCHITECTURES = {
    "ConvNeXtTiny": 64,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetB3": 64,
    "EfficientNetV2B0": 64,
    "EfficientNetV2S": 64,
    "InceptionResNetV2": 96,
    "InceptionV3": 96,
    "MobileNet": 64,
    "MobileNetV2": 64,
    "MobileNetV3Large": 64,
    "MobileNetV3Small": 64,
    "NASNetMobile": 64,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "ResNet101": 64,
    "VGG16": 64,
    "VGG19": 64,
    "Xception": 96,
}
KINDS = ("float", "int8")


def convert(name, size, kind):
    import keras
    import tensorflow as tf
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=100, classifier_activation=None)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            # Statistics and factors that are neither zero nor one.
            for weight in layer.weights:
                mean = 0.0 if weight.name in ("beta", "moving_mean") else 1.0
                weight.assign(mean + rng.uniform(-0.2, 0.2, weight.shape))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([draw(np.random.default_rng(seed), (1, size, size, 3), name)] for seed in range(8))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def draw(rng, shape, name):
    """Images in the range that a family expects."""
    whole = any(family in name for family in ("EfficientNet", "ConvNeXt", "MobileNetV3"))
    image = rng.uniform(-1, 1, shape).astype(np.float32)
    return (image + 1) * np.float32(127.5) if whole else image


def interpret(path, name, **resolver):
    import tensorflow as tf
    interpreter = tf.lite.Interpreter(str(path), num_threads=1, **resolver)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    x = draw(np.random.default_rng(99), given["shape"], name)
    if given["dtype"] == np.int8:
        scale, zero = given["quantization"]
        x = np.clip(np.round(x / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    ends = interpreter._get_full_signature_list()["serving_default"]
    return next(iter(ends["inputs"])), x, next(iter(ends["outputs"])), interpreter.get_tensor(made["index"])


def reference(path, name):
    """What the reference kernels make of the same."""
    import tensorflow as tf
    return interpret(path, name, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF)[3]


def differs(got, wanted, again):
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
    if wanted.dtype == np.int8:
        off = np.abs(got.astype(int) - wanted.astype(int)).max()
        return f"{off} quanta off" if off > 1 else ""
    off = np.abs(got - wanted) - (1e-4 + 1e-3 * np.abs(wanted))
    if (off <= 0).all():
        return ""
    spread = np.abs(again() - wanted).max()
    return f"{np.abs(got - wanted).max():.2g} off; the interpreter's kernels are {spread:.2g} apart" if not (off <= spread).all() else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frit", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    folder = args.keep or pathlib.Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, size in ARCHITECTURES.items():
        for kind in KINDS:
            if args.only not in f"{name} {kind}":
                continue
            path = folder / f"{name}_{kind}.tflite"
            if not path.exists():
                path.write_bytes(convert(name, size, kind))
            rows.append((name, kind, *check(args.frit, path, name)))
            print(*rows[-1], flush=True)
    passed = sum(result == "matches" for _, _, result, *_ in rows)
    lines = [f"# keras.applications as TensorFlow Lite\n\nWritten by `tests/sweeps/tflite.py`. {passed} of {len(rows)} match the interpreter.\n",
             "| architecture | numbers | result | steps | import, s |", "|---|---|---|---:|---:|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    if not args.only:
        pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    return passed != len(rows)


def check(frit, path, name):
    """Result, number of kernels, seconds to import."""
    source, x, sink, wanted = interpret(path, name)
    with tempfile.TemporaryDirectory() as scratch:
        given, made, report = (f"{scratch}/{file}" for file in ("in.npz", "out.npz", "bench.json"))
        np.savez(given, **{source: x})
        ran = subprocess.run([frit, "run", path, "--inputs", given, "--output", made], capture_output=True, text=True)
        if ran.returncode:
            return " ".join(ran.stderr.split())[:200], "", ""
        why = differs(np.load(made)[sink], wanted, lambda: reference(path, name))
        subprocess.run([frit, "bench", path, "--inputs", given, "--threads", "1", "--runs", "1", "--json", report], capture_output=True, check=True)
        kernels = len(json.loads(pathlib.Path(report).read_text())["kernels"])
    start = time.monotonic()
    subprocess.run([frit, "inspect", path, "--stage", "import", "--shape", f"{source}={','.join(map(str, x.shape))}"], capture_output=True, check=True)
    return why or "matches", kernels, f"{time.monotonic() - start:.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
