#!/usr/bin/env python3
"""Saves the same architectures in each of a framework's formats, and counts the steps that Frit makes of them.

    formats.py FRIT (tensorflow|pytorch) [--only TEXT]

Writes formats-FRAMEWORK.md beside this file. Counts of one architecture should differ by 5 % at most: what is one net should become one program,
however it is written down.

Needs what remake.sh installs for the framework.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.pop(0)  # this file's folder, where keras.py would be taken for keras

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

KERAS = {"ResNet50": 64, "ResNet50V2": 64, "MobileNetV2": 64, "MobileNetV3Small": 64, "DenseNet121": 64, "EfficientNetB0": 64, "Xception": 96, "ConvNeXtTiny": 64, "VGG16": 64}
TORCHVISION = {"resnet50": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "densenet121": 64, "efficientnet_b0": 64, "convnext_tiny": 64, "vit_b_16": 224, "swin_t": 224, "vgg11_bn": 64, "squeezenet1_1": 64}


def keras(name, size, folder):
    import numpy as np
    import keras
    import tensorflow as tf
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    rng = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight, low in ((layer.moving_mean, -0.2), (layer.moving_variance, 0.5), (layer.beta, -0.2), (layer.gamma, 0.5)):
                if weight is not None:
                    weight.assign(rng.uniform(low, low + 1, weight.shape))
    model.save(folder / "m.keras")
    yield ".keras", folder / "m.keras"
    model.save(folder / "m.h5")
    yield ".h5", folder / "m.h5"
    model.export(str(folder / "saved"), verbose=False)
    yield "SavedModel", folder / "saved"
    (folder / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    yield "TFLite", folder / "m.tflite"


def torchvision(name, size, folder):
    import torch
    import torchvision
    torch.manual_seed(1)
    model = getattr(torchvision.models, name)().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.2), (module.running_var, 0.5), (module.weight.data, 0.5), (module.bias.data, -0.2)):
                tensor.uniform_(low, low + 1)
    x = torch.randn(1, 3, size, size)
    program = torch.export.export(model, (x,))
    torch.export.save(program, folder / "m.pt2")
    yield ".pt2", folder / "m.pt2"
    torch.export.save(program.run_decompositions(), folder / "d.pt2")
    yield ".pt2 decomposed", folder / "d.pt2"
    torch.jit.trace(model, x, check_trace=False).save(folder / "t.pt")
    yield "traced", folder / "t.pt"
    torch.jit.freeze(torch.jit.script(model)).save(folder / "s.pt")
    yield "scripted, frozen", folder / "s.pt"
    torch.onnx.export(model, (x,), folder / "m.onnx", dynamo=True, verbose=False)
    yield "ONNX", folder / "m.onnx"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frit", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("framework", choices=["tensorflow", "pytorch"])
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    names, save = (KERAS, keras) if args.framework == "tensorflow" else (TORCHVISION, torchvision)
    rows, header = [], None
    for name, size in names.items():
        if args.only not in name:
            continue
        counts = {}
        shape = ["--shape", f"0=1,{size},{size},3" if args.framework == "tensorflow" else f"0=1,3,{size},{size}"]
        with tempfile.TemporaryDirectory() as folder:
            for form, path in save(name, size, pathlib.Path(folder)):
                done = subprocess.run([args.frit, "inspect", path, "--json", *shape], capture_output=True, text=True)
                counts[form] = len(json.loads(done.stdout)["compiled"]["steps"]) if done.returncode == 0 else " ".join(done.stderr.split())[:100]
        header = header or list(counts)
        numbers = [n for n in counts.values() if isinstance(n, int)]
        spread = f"{max(numbers) / min(numbers) - 1:.1%}" if numbers else ""
        rows.append(f"| {name} | {size} | " + " | ".join(str(counts.get(form, "")) for form in header) + f" | {spread} |")
        print(rows[-1], flush=True)
    if rows and not args.only:
        head = f"# Steps of one architecture in several formats\n\nWritten by `tests/sweeps/formats.py FRIT {args.framework}`.\n\n| architecture | image | " + " | ".join(header) + " | apart |\n|---|---:|" + "---:|" * (len(header) + 1) + "\n"
        pathlib.Path(__file__).with_name(f"formats-{args.framework}.md").write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
