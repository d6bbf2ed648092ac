#!/usr/bin/env python3
# tensorflow-cpu==2.21.0
# keras==3.15.1
"""Exports the architectures of keras.applications with drawn weights, as SavedModels in both ways, and runs `frit` on each.

    tensorflow_savedmodel.py [TEXT]

Exports those whose names hold TEXT, else all, runs them on a drawn input, compares (|a - b| <= 1e-4 + 1e-3 |b|), and writes their rows of the table
tensorflow.md beside this script. Of each architecture the smallest variant and a small image are taken.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from weights import draw

sys.path.pop(0)  # this file's folder, where keras.py would be taken for keras

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent
ARCHITECTURES = [
    ("Xception", 71), ("VGG16", 32), ("VGG19", 32), ("ResNet50", 64), ("ResNet101", 64), ("ResNet50V2", 64), ("InceptionV3", 75), ("InceptionResNetV2", 75),
    ("MobileNet", 64), ("MobileNetV2", 64), ("MobileNetV3Small", 64), ("MobileNetV3Large", 64), ("DenseNet121", 64), ("DenseNet169", 64), ("NASNetMobile", 64),
    ("EfficientNetB0", 64), ("EfficientNetB3", 64), ("EfficientNetV2B0", 64), ("EfficientNetV2S", 64), ("ConvNeXtTiny", 64), ("ConvNeXtSmall", 64),
]


def made(name, size):
    keras.utils.set_random_seed(1)
    make = getattr(keras.applications, name)
    model = make(weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None)
    draw(model, np.random.default_rng(1))
    return model


def row(frit, model, form, folder, image):
    inputs = folder.parent / "in.npz"
    function = tf.saved_model.load(str(folder)).signatures["serving_default"]
    key = next(iter(function.structured_input_signature[1]))
    expected = {name: value.numpy() for name, value in function(**{key: tf.constant(image)}).items()}
    np.savez(inputs, **{key: image})
    outputs = folder.parent / "out.npz"
    start = time.time()
    run = subprocess.run([frit, "run", folder, "--inputs", inputs, "-o", outputs, "--threads", "1"], capture_output=True, text=True)
    seconds = time.time() - start
    if run.returncode:
        return "fails", "", seconds, " ".join(run.stderr.split())[:160]
    got = np.load(outputs)
    for name, value in expected.items():
        off = np.abs(got[name].astype(float) - value)
        if got[name].shape != value.shape or not (off <= 1e-4 + 1e-3 * np.abs(value)).all():
            return "differs", "", seconds, f"by up to {off.max():.3g}, spread {value.std():.3g}"
    shape = ",".join(str(n) for n in image.shape)
    shown = subprocess.run([frit, "inspect", folder, "--json", "--dim", f"{key}.0=1"], capture_output=True, text=True)
    kernels = len(json.loads(shown.stdout)["compiled"]["steps"]) if shown.returncode == 0 else ""
    return "matches", kernels, seconds, f"spread {float(np.std(next(iter(expected.values())))):.3g}"


def main():
    frit = os.environ.get("FRIT", HERE.parent.parent / "target/release/frit")
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    table = HERE / "tensorflow.md"
    rows = [line for line in table.read_text().splitlines() if line.startswith("| ")][1:] if wanted else []
    for name, size in ARCHITECTURES:
        if wanted not in name:
            continue
        model = made(name, size)
        image = np.random.default_rng(2).uniform(0, 255 if "Efficient" in name or "V3" in name and "Mobile" in name or "ConvNeXt" in name else 1, (1, size, size, 3)).astype(np.float32)
        for form in ["model.export", "tf.saved_model.save"]:
            with tempfile.TemporaryDirectory() as place:
                folder = pathlib.Path(place) / "model"
                if form == "model.export":
                    model.export(str(folder), verbose=False)
                else:
                    tf.saved_model.save(model, str(folder))
                result, kernels, seconds, note = row(frit, model, form, folder, image)
            start = f"| {name} | {form} |"
            rows = [line for line in rows if not line.startswith(start)] + [f"{start} {result} | {kernels} | {seconds:.1f} | {note} |"]
            print(rows[-1], flush=True)
        keras.backend.clear_session()
    order = [name for name, _ in ARCHITECTURES]
    rows.sort(key=lambda line: order.index(line.split(" | ")[0].removeprefix("| ")))
    matched = sum(line.split(" | ")[2] == "matches" for line in rows)
    head = f"# keras.applications as SavedModels\n\nWritten by `tests/sweeps/tensorflow_savedmodel.py`. {matched} of {len(rows)} match TensorFlow {tf.__version__}.\n\n"
    head += "| architecture | saved by | result | steps | seconds to import, compile and run | note |\n|---|---|---|---|---|---|\n"
    table.write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
