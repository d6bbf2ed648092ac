#!/usr/bin/env python3
"""Runs the models that tests/fetch.py brings, other than ONNX, in their own frameworks.

    make.py [MODELS]         MODELS: tests/data/models by default

Writes beside itself PACKAGE__PATH.npz: inputs, drawn from a seed, as in:NAME, and what the framework makes of them as out:NAME. Runs what
the Python at hand can: TensorFlow's, TFLite's and Keras's models where TensorFlow is installed, TorchScript where PyTorch is.
"""

import importlib.util
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
# model -> input -> extents, where the model leaves them open; integers below a bound are drawn for inputs that are indices
EXTENTS = {
    "basic-pitch/nmp": [1, 43844, 1],
    "deepbrain/graph.pb": [1, 128, 128, 128, 1],
    "ethnicolr/census2010_ln_lstm.h5": [4, 20],
    "ethnicolr/nc_voter_name_hispanic_lstm.h5": [4, 25],
}
# Of tensors of more elements only every STEP-th is kept, as some:NAME.
LARGE, STEP = 1 << 20, 61
# What a frozen graph does not say of itself.
ENDS = {"deepbrain/graph.pb": (["img:0", "training:0"], ["prob:0"])}


def draw(rng, shape, dtype, indices=False):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":  # is it training?
        return np.zeros(shape, dtype)
    if dtype.kind in "iu" or indices:
        return rng.integers(-100 if dtype == np.int8 else 1, 100 if dtype.itemsize == 1 else 20, size=shape).astype(dtype)
    if len(shape) == 4 and shape[-1] == 3:  # a picture
        return (rng.integers(0, 65, size=shape) / 64).astype(dtype)
    if len(shape) == 5 and np.prod(shape) > LARGE:  # a head: on noise the net says the same of all points
        z = np.stack(np.meshgrid(*[np.linspace(-1, 1, extent) for extent in shape[1:4]], indexing="ij"))
        head = np.exp(-3 * (z**2).sum(0)) * (0.7 + 0.3 * np.sin(9 * z[0]) * np.cos(7 * z[1]))
        return (np.round(head.reshape(shape) * 64) / 64).astype(dtype)
    # Steps of 1/32 compress well.
    return (np.round(rng.standard_normal(shape) * 16) / 32).astype(dtype)


def extents(name, shape):
    given = next((given for text, given in EXTENTS.items() if name.startswith(text)), None)
    return given or [extent if extent and extent > 0 else 1 for extent in shape]


def run_tflite(path, name, rng):
    """By each of the interpreter's sets of kernels. Where these are further apart than results may be, that distance is kept as spread:NAME."""
    import tensorflow as tf
    state = rng.bit_generator.state
    kernels = tf.lite.experimental.OpResolverType
    feed, outputs = interpreted(tf.lite.Interpreter(str(path), num_threads=1), name, rng)
    for other in (kernels.BUILTIN_WITHOUT_DEFAULT_DELEGATES, kernels.BUILTIN_REF):
        rng.bit_generator.state = state
        _, others = interpreted(tf.lite.Interpreter(str(path), num_threads=1, experimental_op_resolver_type=other), name, rng)
        for key, value in list(outputs.items()):
            if key.startswith("spread:") or value.dtype.kind != "f":
                continue
            apart = np.abs(value.astype(np.float64) - others[key])
            # What is much further apart is other arithmetic (rounded activations), and the default's is asked for.
            if (apart > 1e-4 + 1e-3 * np.abs(value)).any() and apart.max() < 1e-3 * np.abs(value).max():
                outputs["spread:" + key] = np.float64(max(apart.max(), outputs.get("spread:" + key, 0)))
    return feed, outputs


def interpreted(interpreter, name, rng):
    signatures = interpreter.get_signature_list()
    if signatures:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        feed = {key: draw(rng, extents(name, detail["shape_signature"]), detail["dtype"]) for key, detail in runner.get_input_details().items()}
        return feed, runner(**feed)
    feed = {}
    for detail in interpreter.get_input_details():
        shape = extents(name, detail["shape_signature"])
        interpreter.resize_tensor_input(detail["index"], shape)
        feed[detail["name"]] = (detail["index"], draw(rng, shape, detail["dtype"]))
    interpreter.allocate_tensors()
    for index, value in feed.values():
        interpreter.set_tensor(index, value)
    interpreter.invoke()
    outputs = {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
    return {key: value for key, (_, value) in feed.items()}, outputs


def without_time_major(path):
    """Keras 3 refuses a key of old LSTM configurations; a copy without it loads."""
    import h5py
    copy = pathlib.Path(tempfile.mkdtemp()) / path.name
    shutil.copy(path, copy)
    with h5py.File(copy, "r+") as file:
        config = file.attrs["model_config"]
        config = config if isinstance(config, str) else config.decode()
        file.attrs["model_config"] = config.replace('"time_major": false, ', "").replace(', "time_major": false', "")
    return copy


def run_keras(path, name, rng):
    import keras
    model = keras.models.load_model(path if path.suffix == ".keras" else without_time_major(path), compile=False, safe_mode=True)
    indices = any(type(layer).__name__ == "Embedding" for layer in model.layers)
    feed = {tensor.name: draw(rng, extents(name, tensor.shape), np.float32, indices) for tensor in model.inputs}
    result = model(list(feed.values()) if len(feed) > 1 else next(iter(feed.values())), training=False)
    result = result if isinstance(result, (list, tuple)) else [result]
    names = getattr(model, "output_names", None) or [f"output_{at}" for at in range(len(result))]
    return feed, {key: np.asarray(value) for key, value in zip(names, result)}


def run_saved_model(folder, name, rng):
    import tensorflow as tf
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signature = meta.signature_def["serving_default"]
        feed, by_tensor = {}, {}
        for key, info in signature.inputs.items():
            feed[key] = draw(rng, extents(name, [dim.size for dim in info.tensor_shape.dim]), tf.dtypes.as_dtype(info.dtype).as_numpy_dtype)
            by_tensor[info.name] = feed[key]
        keys = sorted(signature.outputs)
        values = session.run([signature.outputs[key].name for key in keys], by_tensor)
    return feed, dict(zip(keys, values))


def run_graph(path, name, rng):
    import tensorflow as tf
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(path.read_bytes())
    inputs, outputs = ENDS[name]
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        feed = {}
        for key in inputs:
            tensor = graph.get_tensor_by_name(key)
            feed[key] = draw(rng, extents(name, tensor.shape.as_list()) if tensor.shape.rank else [], tensor.dtype.as_numpy_dtype)
        results = session.run(outputs, feed)
    plain = lambda key: key.removesuffix(":0")
    return {plain(key): value for key, value in feed.items()}, {plain(key): value for key, value in zip(outputs, results)}


def run_script(path, name, rng):
    import torch
    module = torch.jit.load(str(path)).eval()
    x = draw(rng, [1, 512], np.float32)
    with torch.no_grad():
        output = module(torch.from_numpy(x), 16000)
    return {"x": x, "dim:sr": np.array(16000, np.int64)}, {"output": output.numpy()}


def models(root):
    tensorflow, torch = [importlib.util.find_spec(name) is not None for name in ("tensorflow", "torch")]
    for path in sorted(root.rglob("*")):
        run = {".tflite": run_tflite, ".keras": run_keras, ".h5": run_keras, ".hdf5": run_keras}.get(path.suffix)
        if path.name == "saved_model.pb" and path.parts[-3] != "guesslang":  # whose signatures take text
            path, run = path.parent, run_saved_model
        elif path.suffix == ".pb" and path.name != "saved_model.pb":
            run = run_graph
        elif path.suffix == ".jit":
            run = run_script
        if run and (torch if run is run_script else tensorflow):
            yield path, run


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent.parent / "data/models"
    for path, run in models(root):
        name = path.relative_to(root).as_posix()
        # What ships as several formats of one net gets the same inputs.
        rng = np.random.default_rng([ord(letter) for letter in name.split("/")[0]])
        feed, outputs = run(path, name, rng)
        target = HERE / (name.replace("/", "__") + ".npz")
        kept = {key if key.startswith("dim:") else "in:" + key: value for key, value in feed.items()}
        for key, value in outputs.items():
            value = np.asarray(value)
            if key.startswith("spread:"):
                kept[key] = value
                continue
            kept.update({"some:" + key: value.reshape(-1)[::STEP]} if value.size > LARGE else {"out:" + key: value})
        np.savez_compressed(target, **kept)
        print(name, {key: np.shape(value) for key, value in feed.items()}, {key: np.shape(value) for key, value in outputs.items()}, f"{target.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
