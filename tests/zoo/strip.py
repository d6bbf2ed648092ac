#!/usr/bin/env python3
"""Strips the weights off the graphs that export.py wrote, and chooses from what fill.py draws new ones.

    strip.py EXPORTED

For every NAME.onnx below EXPORTED writes NAME.onnx.gz beside this script: the same graph, its large float
weights replaced by type, shape, mean and standard deviation. Weights with few distinct values (masks) and
everything small or of another type stay as they are, names of source files and stack traces go.

A weight keeps the mean and spread that it was exported with, except in convolutional nets without norms
(the exporter has folded their batch norms into weights that only fit the data as a whole): there each
convolution's spread is found by running the filled model node by node and scaling its output to a standard
deviation of 1. Prints the smallest and largest spread of any intermediate float value, as ONNX Runtime
computes it. Needs numpy, onnx, onnxruntime.
"""

import gzip
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

import fill

SMALLEST = 64  # elements of a weight that is worth stripping
FEW = 16  # distinct values of a tensor that is a mask rather than a weight


def set_draw(tensor, mean, std, *centred):
    del tensor.metadata_props[:]
    tensor.metadata_props.add(key="draw", value=" ".join([f"{mean:.2g}", f"{std:.3g}", *centred]))


def strip(model):
    """Empty the weights in place; the names of those that were."""
    del model.metadata_props[:], model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
        value.doc_string = ""
    stripped = set()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST or len(np.unique(values)) <= FEW:
            continue
        name, dims = tensor.name, list(tensor.dims)
        mean = float(values.mean(dtype=np.float64))
        tensor.Clear()
        tensor.name, tensor.data_type = name, onnx.TensorProto.FLOAT
        tensor.dims.extend(dims)
        set_draw(tensor, round(mean), float(values.std(dtype=np.float64)))
        stripped.add(name)
    return stripped


def run_node(model, node, inputs):
    graph = helper.make_graph(
        [node], "one",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()],
        [helper.make_empty_tensor_value_info(n) for n in node.output if n])
    one = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = ort.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([n for n in node.output if n], session.run(None, inputs)))


def plausible_input(value, rng):
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    if value.type.tensor_type.elem_type == onnx.TensorProto.INT64:
        return np.ones(shape, np.int64) if "mask" in value.name else rng.integers(0, 2, shape) if "type" in value.name \
            else rng.integers(1, 10000, shape)
    return rng.standard_normal(shape).astype(np.float32)


def walk(model, name, stripped, calibrate):
    """Run node by node. With `calibrate`, choose each convolution's spread on the way. The spreads of all
    intermediate values."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    values = {t.name: numpy_helper.to_array(t) for t in fill.fill(filled, name).graph.initializer}
    rng = np.random.default_rng(0)
    values.update({value.name: plausible_input(value, rng) for value in model.graph.input})
    spreads = {}
    for node in model.graph.node:
        inputs = {n: values[n] for n in node.input if n}
        if calibrate and node.op_type == "Conv" and node.input[1] in stripped:
            weight = tensors[node.input[1]]
            centred = ["centred"] if weight.dims[1] > 1 else []
            if len(node.input) > 2 and node.input[2] in stripped:
                bias = tensors[node.input[2]]
                set_draw(bias, 0, 0.1)
                values[bias.name] = inputs[bias.name] = fill.draw(f"{name}/{bias.name}", tuple(bias.dims), "0 0.1")
            set_draw(weight, 0, 1, *centred)
            for _ in range(2):  # the second round measures what the rounded spread gives
                recipe = weight.metadata_props[0].value
                inputs[weight.name] = fill.draw(f"{name}/{weight.name}", tuple(weight.dims), recipe)
                outputs = run_node(model, node, inputs)
                spread = float(outputs[node.output[0]].std(dtype=np.float64))
                set_draw(weight, 0, float(recipe.split()[1]) / spread, *centred)
            weight.metadata_props[0].value = recipe
        else:
            outputs = run_node(model, node, inputs)
        values.update(outputs)
        for n, v in outputs.items():
            if v.dtype == np.float32 and v.size > 1:
                spreads[n] = float(v.std(dtype=np.float64))
    return spreads


def main(exported):
    ort.set_default_logger_severity(3)
    for path in sorted(pathlib.Path(exported).glob("*.onnx")):
        model, name = onnx.load(path), path.stem
        stripped = strip(model)
        ops = {node.op_type for node in model.graph.node}
        calibrate = "Conv" in ops and "LayerNormalization" not in ops
        spreads = walk(model, name, stripped, calibrate)
        data = gzip.compress(model.SerializeToString(), 9, mtime=0)
        fill.HERE.joinpath(f"{name}.onnx.gz").write_bytes(data)
        finite = {n: s for n, s in spreads.items() if np.isfinite(s) and s > 0}
        low, high = min(finite, key=finite.get), max(finite, key=finite.get)
        print(f"{name}: {len(data) / 1e3:.0f} kB, {len(stripped)} weights, intermediate spreads {finite[low]:.3g} ({low}) "
              f"to {finite[high]:.3g} ({high}), outputs {[round(spreads[o.name], 3) for o in model.graph.output]}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
