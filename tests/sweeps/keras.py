#!/usr/bin/env python3
"""Runs keras.applications through Frit, saved as .keras and as HDF5, and compares with Keras.

    keras.py [FRIT [FOLDER]] [--only TEXT] [--export] [--table FILE]

FRIT is the command; models and what Keras makes of drawn inputs are kept in FOLDER, so that a second run compares only. --export
only makes them. Weights and statistics are drawn. Outputs match where |a - b| <= 1e-4 + 1e-3 |b|.

Needs (pinned): tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6 h5py==3.14.0
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

from weights import draw

sys.path.pop(0)  # this file's folder, where this file would be taken for keras

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

# name -> extent of the image
MODELS = {
    "Xception": 96, "VGG16": 64, "VGG19": 64, "ResNet50": 96, "ResNet101": 64, "ResNet152": 64, "ResNet50V2": 96, "ResNet101V2": 64,
    "ResNet152V2": 64, "InceptionV3": 96, "InceptionResNetV2": 96, "MobileNet": 96, "MobileNetV2": 96, "MobileNetV3Small": 96,
    "MobileNetV3Large": 96, "DenseNet121": 64, "DenseNet169": 64, "DenseNet201": 64, "NASNetMobile": 96, "EfficientNetB0": 96,
    "EfficientNetB1": 96, "EfficientNetB2": 64, "EfficientNetB3": 64, "EfficientNetB4": 64, "EfficientNetV2B0": 96, "EfficientNetV2B1": 64,
    "EfficientNetV2B2": 64, "EfficientNetV2B3": 64, "EfficientNetV2S": 64, "ConvNeXtTiny": 64, "ConvNeXtSmall": 64, "ConvNeXtBase": 64,
}


def export(name, size, folder):
    import keras
    rng = np.random.default_rng(len(name) * 1000 + size)
    keras.backend.clear_session()
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    draw(model, rng)
    x = rng.uniform(0, 255 if "Efficient" in name or "ConvNeXt" in name or "V3Small" in name or "V3Large" in name else 1, (1, size, size, 3)).astype("float32")
    # Outputs that all are one class tell nothing: what goes into the last layer is compared too.
    head = model.layers[-1]
    model = keras.Model(model.input, [head.output, model.layers[-2].output], name=name.lower())
    outputs = [np.asarray(y) for y in model(x, training=False)]
    model.save(folder / f"{name}.keras")
    model.save(folder / f"{name}.h5")
    np.savez(folder / f"{name}.in.npz", **{model.inputs[0]._keras_history[0].name: x})
    np.savez(folder / f"{name}.out.npz", **dict(zip(model.output_names, outputs)))


def run(frit, path, folder, name):
    call = lambda *words: subprocess.run([frit, *words], capture_output=True, text=True)
    start = time.time()
    done = call("inspect", "--stage", "import", path, "--dim", "batch=1")
    imported = time.time() - start
    if done.returncode:
        return "import failed", "", imported, reason(done.stderr)
    artifact, result = folder / "artifact", folder / "result.npz"
    done = call("compile", path, "--dim", "batch=1", "-o", artifact)
    if done.returncode:
        return "compile failed", "", imported, reason(done.stderr)
    kernels = len(json.loads(call("inspect", artifact, "--json").stdout)["compiled"]["steps"])
    done = call("run", artifact, "--inputs", folder / f"{name}.in.npz", "-o", result)
    if done.returncode:
        return "run failed", kernels, imported, reason(done.stderr)
    got, wanted = np.load(result), np.load(folder / f"{name}.out.npz")
    for key in wanted.files:
        if key not in got.files or got[key].shape != wanted[key].shape:
            return "differs", kernels, imported, f"output {key} is missing or has another shape"
        a, b = got[key].astype("float64"), wanted[key].astype("float64")
        if not (np.abs(a - b) <= 1e-4 + 1e-3 * np.abs(b)).all():
            return "differs", kernels, imported, f"{key} by {np.abs(a - b).max():.2g}"
    return "matches", kernels, imported, ""


def reason(text):
    return " ".join(text.split())[:200]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tests = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("frit", nargs="?", default=tests.parent / "target/release/frit")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(os.environ.get("FRIT_TEST_DATA", tests / "data")) / "sweeps/keras")
    parser.add_argument("--only", default="")
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--table", type=pathlib.Path, default=pathlib.Path(__file__).with_suffix(".md"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows, good = [], 0
    for name, size in MODELS.items():
        if args.only not in name:
            continue
        if not (args.folder / f"{name}.out.npz").exists():
            export(name, size, args.folder)
            print("exported", name, flush=True)
        if args.export:
            continue
        for suffix in (".keras", ".h5"):
            result, kernels, seconds, why = run(args.frit, args.folder / f"{name}{suffix}", args.folder, name)
            good += result == "matches"
            rows.append(f"| {name} | {size} | {suffix} | {result} | {kernels} | {seconds:.2f} | {why} |")
            print(rows[-1], flush=True)
    if rows and not args.only:
        head = f"# keras.applications through Frit\n\nWritten by `tests/sweeps/keras.py`. {good} of {len(rows)} match.\n\n| model | image | file | result | steps | seconds to import | reason |\n|---|---|---|---|---|---|---|\n"
        args.table.write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
