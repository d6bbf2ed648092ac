#!/usr/bin/env python3
"""Trains the digits classifier and writes it as digits.onnx beside this script.

    train.py SCIKIT_LEARN_WHEEL

Data: 1,797 handwritten digits of 8 x 8 pixels, values 0 to 16 (E. Alpaydin and C. Kaynak, Optical
Recognition of Handwritten Digits, UCI Machine Learning Repository, CC BY 4.0), as they lie in the wheel that
`pip download --no-deps scikit-learn==1.7.2` brings. The last 360, by other writers, are held out. Net: two
3 x 3 convolutions, max pooling, two dense layers; cross entropy, Adam. Fixed seed. Needs numpy and onnx.
"""

import gzip
import pathlib
import sys
import zipfile

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

HELD_OUT = 360
EPOCHS, BATCH, RATE, DECAY = 40, 64, 2e-3, 1e-4


def load(wheel):
    with zipfile.ZipFile(wheel).open("sklearn/datasets/data/digits.csv.gz") as file:
        rows = np.loadtxt(gzip.open(file), delimiter=",")
    return (rows[:, :64] / 16).astype(np.float32).reshape(-1, 1, 8, 8), rows[:, 64].astype(int)


def patches(x):
    """[n, c, h, w] -> [n, h, w, 9 c], the 3 x 3 neighbourhood of every pixel, zeros outside."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(*windows.shape[:1], *windows.shape[2:4], -1)


def spread_patches(grad, channels):
    """The transpose of `patches`."""
    n, h, w, _ = grad.shape
    grad = grad.reshape(n, h, w, channels, 3, 3)
    x = np.zeros((n, channels, h + 2, w + 2), np.float32)
    for i in range(3):
        for j in range(3):
            x[:, :, i:i + h, j:j + w] += grad[..., i, j].transpose(0, 3, 1, 2)
    return x[:, :, 1:-1, 1:-1]


def initial(rng):
    def weight(*shape):
        return (rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)

    def bias(n):
        return np.zeros(n, np.float32)

    return {"conv1.w": weight(16, 1, 3, 3), "conv1.b": bias(16), "conv2.w": weight(32, 16, 3, 3), "conv2.b": bias(32),
            "dense1.w": weight(64, 512), "dense1.b": bias(64), "dense2.w": weight(10, 64), "dense2.b": bias(10)}


def conv(p, name, x):
    """Convolution and ReLU; the output and what the way back needs."""
    cols = patches(x)
    y = np.maximum(cols @ p[f"{name}.w"].reshape(len(p[f"{name}.b"]), -1).T + p[f"{name}.b"], 0)
    return y.transpose(0, 3, 1, 2), (cols, y)


def conv_back(p, grads, name, saved, grad):
    cols, y = saved
    grad = grad.transpose(0, 2, 3, 1) * (y > 0)
    w = p[f"{name}.w"]
    grads[f"{name}.w"] = np.tensordot(grad, cols, ((0, 1, 2), (0, 1, 2))).reshape(w.shape)
    grads[f"{name}.b"] = grad.sum((0, 1, 2))
    return spread_patches(grad @ w.reshape(len(w), -1), w.shape[1])


def forward(p, x):
    a, saved1 = conv(p, "conv1", x)
    b, saved2 = conv(p, "conv2", a)
    n, c, h, w = b.shape
    blocks = b.reshape(n, c, h // 2, 2, w // 2, 2)
    pooled = blocks.max((3, 5))
    flat = pooled.reshape(n, -1)
    hidden = np.maximum(flat @ p["dense1.w"].T + p["dense1.b"], 0)
    return hidden @ p["dense2.w"].T + p["dense2.b"], (saved1, saved2, blocks, pooled, flat, hidden)


def gradients(p, x, labels):
    logits, (saved1, saved2, blocks, pooled, flat, hidden) = forward(p, x)
    chances = np.exp(logits - logits.max(1, keepdims=True))
    grad = chances / chances.sum(1, keepdims=True)
    grad[np.arange(len(x)), labels] -= 1
    grad /= len(x)
    grads = {"dense2.w": grad.T @ hidden, "dense2.b": grad.sum(0)}
    grad = grad @ p["dense2.w"] * (hidden > 0)
    grads.update({"dense1.w": grad.T @ flat, "dense1.b": grad.sum(0)})
    grad = (grad @ p["dense1.w"]).reshape(pooled.shape)[:, :, :, None, :, None] * (blocks == pooled[:, :, :, None, :, None])
    grad = grad.reshape(len(x), 32, 8, 8)
    conv_back(p, grads, "conv1", saved1, conv_back(p, grads, "conv2", saved2, grad))
    return grads


def shifted(x, rng):
    """Each picture moved by up to one pixel, so that the place of a stroke matters less."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.stack([picture[:, i:i + 8, j:j + 8] for picture, (i, j) in zip(padded, rng.integers(0, 3, (len(x), 2)))])


def train(x, labels, rng):
    p = initial(rng)
    first, second = ({k: np.zeros_like(v) for k, v in p.items()} for _ in range(2))
    step = 0
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        for start in range(0, len(x), BATCH):
            chosen = order[start:start + BATCH]
            step += 1
            for k, g in gradients(p, shifted(x[chosen], rng), labels[chosen]).items():
                first[k] += 0.1 * (g - first[k])
                second[k] += 0.001 * (g * g - second[k])
                towards = first[k] / (1 - 0.9 ** step) / (np.sqrt(second[k] / (1 - 0.999 ** step)) + 1e-8)
                p[k] -= (rate * (towards + DECAY * p[k])).astype(np.float32)
    return p


def export(p, path):
    nodes = [
        helper.make_node("Conv", ["image", "conv1.w", "conv1.b"], ["conv1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv1"], ["relu1"], "relu1"),
        helper.make_node("Conv", ["relu1", "conv2.w", "conv2.b"], ["conv2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv2"], ["relu2"], "relu2"),
        helper.make_node("MaxPool", ["relu2"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "dense1.w", "dense1.b"], ["dense1"], "dense1", transB=1),
        helper.make_node("Relu", ["dense1"], ["relu3"], "relu3"),
        helper.make_node("Gemm", ["relu3", "dense2.w", "dense2.b"], ["logits"], "dense2", transB=1),
        helper.make_node("Softmax", ["logits"], ["probability"], "softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in p.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="examples/digits")
    checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def main(wheel):
    x, labels = load(wheel)
    p = train(x[:-HELD_OUT], labels[:-HELD_OUT], np.random.default_rng(0))
    for said, part in ("training", slice(None, -HELD_OUT)), ("held-out", slice(-HELD_OUT, None)):
        right = (forward(p, x[part])[0].argmax(1) == labels[part]).mean()
        print(f"{said}: {100 * right:.1f} % right of {len(labels[part])}")
    export(p, pathlib.Path(__file__).with_name("digits.onnx"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
