#!/usr/bin/env python3
# tensorflow-cpu==2.21.0
# keras==3.15.1
# numpy>=1.26
"""Makes the models in this folder, and what the TFLite interpreter gives for drawn inputs.

    make.py [TEXT]

Makes those whose names hold TEXT, else all. The models in SAMPLES are not made here, only their oracles are: they came out of converters.
Of bytes times bytes that are both computed, the interpreter's default delegate ignores a zero point (TensorFlow 2.21); such models run without it.
"""

import os
import pathlib
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.lite.python import schema_py_generated as schema

HERE = pathlib.Path(__file__).parent
WANTED = sys.argv[1] if len(sys.argv) > 1 else ""
F, I, B = "float32", "int32", "bool"

SAMPLES = ["block_dynamic", "block_float", "block_fp16", "convnet_dynamic", "convnet_float", "convnet_fp16", "convnet_int8", "convnet_int8pt",
           "dense_hybrid", "k2_lstm_dynamic", "k2_lstm_float", "lstm_int8", "small_dyn", "small_int16x8"]


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def draw(rng, shape, dtype, low=None, high=None):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        low, high = (-100, 100) if low is None and dtype == np.int8 else (low if low is not None else 0, high if high is not None else 9)
        return rng.integers(low, high, size=shape).astype(dtype)
    return (rng.standard_normal(shape) if low is None else rng.uniform(low, high, size=shape)).astype(dtype)


def oracle(name, given=None, shapes=None, delegate=True, runs=1):
    """Runs a model of this folder on drawn inputs, or those that are given by the signature's names; again on other inputs where it remembers."""
    kind = tf.lite.experimental.OpResolverType
    interpreter = tf.lite.Interpreter(str(HERE / f"{name}.tflite"), num_threads=1, experimental_op_resolver_type=kind.AUTO if delegate else kind.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    signatures = interpreter._get_full_signature_list()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if signatures:
        ends = signatures.get("serving_default") or next(iter(signatures.values()))
        names, results = {index: key for key, index in ends["inputs"].items()}, ends["outputs"]
    else:
        names, results = {detail["index"]: detail["name"] for detail in inputs}, {detail["name"]: detail["index"] for detail in outputs}
    rng, feed = rng_of(name), {}
    for detail in inputs:
        key = names[detail["index"]]
        shape = (shapes or {}).get(key) or [extent if extent > 0 else 2 for extent in detail["shape_signature"]]
        feed[key] = (given or {}).get(key, None)
        if feed[key] is None:
            feed[key] = draw(rng, shape, detail["dtype"])
        interpreter.resize_tensor_input(detail["index"], feed[key].shape)
    interpreter.allocate_tensors()
    arrays = {}
    for run in range(1, runs + 1):
        count = "" if run == 1 else run
        for detail in inputs:
            key = names[detail["index"]]
            if run > 1:
                feed[key] = draw(rng, feed[key].shape, detail["dtype"])
            interpreter.set_tensor(detail["index"], feed[key])
        interpreter.invoke()
        arrays |= {f"in{count}:{k}": v for k, v in feed.items()} | {f"out{count}:{k}": interpreter.get_tensor(index) for k, index in results.items()}
    np.savez(HERE / f"{name}.tflite.npz", **arrays)


def op(name, function, *specs, given=None, **options):
    """One op, or a few, from a function; each operand is (shape, dtype) or (shape, dtype, low, high)."""
    if WANTED not in name:
        return
    names = [f"x{at}" for at in range(len(specs))]
    traced = tf.function(lambda *args: {f"y{at}": y for at, y in enumerate(listed(function(*args)))}, input_signature=[tf.TensorSpec(spec[0], spec[1], name=key) for key, spec in zip(names, specs)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
    rng = rng_of(name)
    drawn = {key: draw(rng, [2 if extent is None else extent for extent in spec[0]], *spec[1:]) for key, spec in zip(names, specs)}
    convert(name, converter, {**drawn, **(given or {})}, **options)


TYPES = {"float32": 0, "int32": 2, "bool": 6, "int16": 7, "int8": 9}


def written(name, op, options, tensors, variables=(), given=None, runs=1):
    """One op that converters don't make of anything at hand: its name, its options, its operands and its result, the last one. Operands are (dtype,
    shape or data) and perhaps scale and zero point; those without data are inputs, or variables."""
    if WANTED not in name:
        return
    model, graph, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [schema.OperatorCodeT()], [graph], [schema.BufferT()]
    code = getattr(schema.BuiltinOperator, op)
    model.operatorCodes[0].builtinCode, model.operatorCodes[0].deprecatedBuiltinCode = code, min(code, 127)
    graph.tensors, graph.inputs, graph.outputs, graph.operators, graph.name = [], [], [len(tensors) - 1], [operator], b"main"
    operator.inputs, operator.outputs, operator.opcodeIndex = list(range(len(tensors) - 1)), [len(tensors) - 1], 0
    operator.builtinOptionsType, operator.builtinOptions = (0, None) if options is None else (getattr(schema.BuiltinOptions, type(options).__name__[:-1]), options)
    for at, (dtype, content, *quantisation) in enumerate(tensors):
        tensor = schema.TensorT()
        known = isinstance(content, np.ndarray)
        tensor.name, tensor.type, tensor.shape, tensor.buffer = f"t{at}".encode(), TYPES[dtype], list(content.shape if known else content), 0
        if known:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content.astype(dtype).tobytes(), "uint8")
            tensor.buffer = len(model.buffers)
            model.buffers.append(buffer)
        elif at in variables:
            tensor.isVariable = True
        elif at < len(tensors) - 1:
            graph.inputs.append(at)
        if quantisation:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [quantisation[0]], [quantisation[1]]
        graph.tensors.append(tensor)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (HERE / f"{name}.tflite").write_bytes(bytes(builder.Output()))
    oracle(name, given, runs=runs)


def listed(y):
    return list(y) if isinstance(y, (list, tuple)) else [y]


def convert(name, converter, given, kind="float", delegate=True, calibrate=None):
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("int8", "int16"):
        samples = calibrate or (lambda: [[(value * np.float32(1 - seed / 8)).astype(value.dtype) if value.dtype == np.float32 else value for value in given.values()] for seed in range(4)])
        converter.representative_dataset = lambda: iter(samples())
        # Results stay as they are stored, so that they can be compared by quanta.
        converter.inference_output_type = tf.int8 if kind == "int8" else tf.int16
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8 if kind == "int8" else sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    (HERE / f"{name}.tflite").write_bytes(converter.convert())
    oracle(name, given, delegate=delegate)


def net(name, shape, *stack, kinds=("float",), batch=2, dtype=F, **options):
    """Layers one after another with drawn weights, in several kinds of numbers."""
    for kind in kinds:
        full = name if kind == "float" else f"{name}_{kind}"
        if WANTED not in full:
            continue
        keras.utils.set_random_seed(3)
        x = inputs = layers.Input(batch_shape=(batch, *shape), dtype=dtype, name="x")
        for layer in stack:
            x = layer() if isinstance(layer, type) else layer.__class__.from_config(layer.get_config())(x)
        model = keras.Model(inputs, x)
        rng = rng_of(name)
        for weight in model.weights:
            if "variance" in weight.name:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            else:
                weight.assign(rng.standard_normal(weight.shape) * 0.3)
        convert(full, tf.lite.TFLiteConverter.from_keras_model(model), {"x": draw(rng, (batch or 2, *shape), dtype)}, kind, **options)


def elementwise():
    a, b, row, positive = ((2, 3, 5), F), ((2, 3, 5), F), ((5,), F), ((2, 3, 5), F, 0.2, 3.0)
    op("binary", lambda a, b, c, d: [a + b, a - c, a * b, a / d, tf.maximum(a, c), tf.minimum(a, b), tf.math.squared_difference(a, c), tf.pow(d, c), tf.math.floordiv(a, d), tf.math.floormod(a, d), tf.math.atan2(a, b), tf.add_n([a, b, d])], a, b, row, positive)
    op("binary_ints", lambda a, b: [a + b, a - b, a * b, tf.math.floordiv(a, b), tf.math.floormod(a, b), tf.maximum(a, b), tf.bitwise.bitwise_xor(a, b), tf.bitwise.right_shift(a, b)], ((3, 4), I, -20, 20), ((3, 4), I, 1, 7))
    op("compare", lambda a, b: [a < b, a <= b, a > b, a >= b, tf.equal(a, b), tf.not_equal(a, b * 2.), tf.logical_and(a < b, b > 0.), tf.logical_or(a < b, b > 0.), tf.logical_not(tf.logical_or(b > 0., a > 1.))], a, b)
    op("unary", lambda a, p: [tf.abs(a), tf.math.ceil(a), tf.cos(a), tf.exp(a), tf.floor(a), tf.math.log(p), -a, tf.round(a), tf.math.rsqrt(p), tf.sin(a), tf.sqrt(p), tf.square(a), tf.sign(a), tf.zeros_like(a)], a, positive)
    op("activations", lambda a: [tf.nn.relu(a), tf.nn.relu6(a * 4.), tf.tanh(a), tf.sigmoid(a), tf.nn.elu(a), tf.nn.leaky_relu(a, 0.3), tf.nn.gelu(a, True), a * tf.nn.relu6(a + 3.) / 6., tf.nn.softmax(a), tf.nn.log_softmax(a), tf.math.l2_normalize(a, -1), tf.clip_by_value(a, -1., 1.)], a)
    op("casts", lambda a, i: [tf.cast(a * 3., tf.int32), tf.cast(i, tf.float32), tf.cast(i, tf.int64), tf.cast(a > 0., tf.float32), tf.cast(i, tf.bool)], a, ((3, 4), I, -2, 3))
    op("reduce", lambda a, i: [tf.reduce_mean(a, 1), tf.reduce_sum(a, [0, 2], keepdims=True), tf.reduce_max(a, -1), tf.reduce_min(a), tf.reduce_prod(a, 0), tf.reduce_any(a > 1., 1), tf.reduce_all(a > -2., [1, 2]), tf.reduce_sum(i, 0), tf.argmax(a, 1), tf.argmin(a, -1, output_type=tf.int32), tf.cumsum(a, 1), tf.cumsum(a, 2, exclusive=True, reverse=True)], a, ((3, 4), I))
    op("select", lambda c, a, b, r: [tf.where(c, a, b), tf.where(r, a, b), tf.compat.v1.where(tf.reduce_any(c, [1, 2]), a, b), tf.where(r)], ((2, 3, 5), B), a, b, ((5,), B))


def movement():
    x = ((2, 3, 4, 5), F)
    op("shapes", lambda x: [tf.reshape(x, [6, -1]), tf.transpose(x, [0, 3, 1, 2]), tf.squeeze(tf.expand_dims(x, 2), 2), tf.tile(x, [1, 2, 1, 3]), tf.reverse(x, [1, 2]), tf.shape(x), tf.stack([x, x * 2.], 2), tf.broadcast_to(x[:, :1], [2, 3, 4, 5]), tf.concat([x, x], -1), tf.rank(x)], x)
    op("parts", lambda x: [*tf.split(x, 2, 2), *tf.split(x, [1, -1], 1), *tf.unstack(x, axis=0), tf.slice(x, [0, 1, 0, 2], [-1, 2, 3, 2])], x)
    op("strided", lambda x: [x[:, 1:, ::2, -3:-1], x[0, ..., 1], x[:, tf.newaxis, 1, :, ::-1], x[..., -1], x[1:, :2, tf.newaxis, ..., 0], x[-1]], x)
    op("strided_by", lambda x, i: [x[i], x[:, i:i + 2], x[-1, i, tf.newaxis]], x, ((), I, 0, 1))
    op("pads", lambda x: [tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]), tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], constant_values=3.), tf.pad(x, [[0, 0], [1, 2], [2, 1], [0, 0]], "REFLECT"), tf.pad(x, [[0, 0], [1, 2], [2, 1], [0, 0]], "SYMMETRIC")], x)
    op("gather", lambda x, i, j: [tf.gather(x, i), tf.gather(x, i, axis=2), tf.gather(x, j, axis=1, batch_dims=1), tf.gather(x, j, axis=3, batch_dims=1), tf.gather_nd(x, [[0, 1], [1, 2]]), tf.nn.embedding_lookup(x[0, 0], i)], x, ((2, 3), I, 0, 2), ((2, 4), I, 0, 3))
    op("scatter", lambda i, u, x: [tf.scatter_nd(i, u, [6, 3]), tf.tensor_scatter_nd_update(x, i, u), tf.one_hot(i[:, 0], 7), tf.one_hot(i[:, 0] - 1, 5, 2., -1., axis=0), tf.linalg.diag(x), tf.linalg.set_diag(x, x[0]), tf.math.segment_sum(x, [0, 0, 1, 2, 2, 2])], ((2, 1), I, 0, 5), ((2, 3), F), ((6, 3), F))
    op("sorts", lambda x: [*tf.math.top_k(x, 3), tf.reverse_sequence(x, [2, 4, 1], 1, 0), tf.fill([2, 3], 1.5), tf.range(0., 3., 0.5), *tf.unique(tf.constant([3, 1, 3, 2, 1]))], ((3, 7), F))
    op("dynamic_update", lambda x, u, i: [tf.raw_ops.XlaDynamicUpdateSlice(input=x, update=u, indices=i)] if False else [tf.tensor_scatter_nd_update(x, [[1], [3]], u)], ((5, 4), F), ((2, 4), F), ((2,), I, 0, 3))


def images():
    x = ((2, 6, 8, 8), F)
    for name, op_of in (("bilinear", tf.compat.v1.image.resize_bilinear), ("nearest", tf.compat.v1.image.resize_nearest_neighbor)):
        op(f"resize_{name}", lambda x, f=op_of: [f(x, [9, 5]), f(x, [12, 16], half_pixel_centers=True), f(x, [4, 15], align_corners=True), f(x, [7, 3], half_pixel_centers=True)], ((1, 6, 8, 3), F))
    op("blocks", lambda x: [tf.nn.space_to_depth(x, 2), tf.nn.depth_to_space(x, 2), tf.space_to_batch(x, [2, 3], [[1, 1], [0, 1]]), tf.batch_to_space(tf.concat([x, x], 0), [2, 2], [[1, 0], [0, 2]])], x)
    op("lrn", lambda x: tf.nn.local_response_normalization(x, 2, 1.5, 0.2, 0.7), x)
    op("pools", lambda x: [tf.nn.max_pool2d(x, 3, 2, "SAME"), tf.nn.max_pool2d(x, [2, 3], [1, 2], "VALID"), tf.nn.avg_pool2d(x, 3, 2, "SAME"), tf.nn.avg_pool2d(x, 2, 1, "VALID")], x)
    op("nms", lambda b, s: tf.raw_ops.NonMaxSuppressionV4(boxes=b, scores=s, max_output_size=6, iou_threshold=0.4, score_threshold=0.1, pad_to_max_output_size=True), ((12, 4), F, 0.0, 1.0), ((12,), F, 0.0, 1.0))


def products():
    kinds = ("float", "fp16", "dynamic", "int8", "int16")
    conv = layers.Conv2D
    net("conv_same", (9, 8, 16), conv(24, 3, padding="same", activation="relu"), kinds=kinds, batch=1)
    net("conv_strides", (11, 10, 5), conv(7, (3, 2), strides=(2, 3), padding="same"), conv(6, 3, activation="relu6"), kinds=("float", "int8"))
    net("conv_dilated", (12, 11, 6), conv(5, 3, dilation_rate=(2, 1), padding="same"), kinds=("float", "int8"))
    net("conv_groups", (7, 7, 8), conv(12, 3, groups=4), kinds=("float",))
    net("conv_point", (7, 5, 32), conv(40, 1), kinds=("float", "dynamic", "int8"), batch=1)
    net("conv1d", (13, 8), layers.Conv1D(9, 4, padding="causal", dilation_rate=2), kinds=("float",))
    net("conv3d", (5, 6, 7, 3), layers.Conv3D(4, 3, strides=(1, 2, 1), padding="same"), kinds=("float",))
    net("depthwise", (9, 8, 16), layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu6"), kinds=kinds, batch=1)
    net("depthwise_strides", (9, 8, 5), layers.DepthwiseConv2D(3, strides=2), kinds=("float", "int8"))
    net("deconv", (5, 4, 16), layers.Conv2DTranspose(24, 3, strides=2, padding="same"), kinds=kinds, batch=1)
    net("deconv_valid", (5, 4, 6), layers.Conv2DTranspose(7, (2, 4), strides=(3, 2)), kinds=("float",))
    net("dense", (40,), layers.Dense(48, activation="relu"), layers.Dense(11), kinds=kinds)
    net("dense_rows", (5, 40), layers.Dense(32), kinds=("float", "dynamic", "int8"))
    net("norms", (6, 7, 8), layers.BatchNormalization(), layers.LayerNormalization(), layers.Activation("hard_swish"), layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax"), kinds=("float", "int8"))
    net("pools_net", (12, 12, 4), layers.AveragePooling2D(3, 2, "same"), layers.MaxPooling2D(2), layers.UpSampling2D(2, interpolation="bilinear"), layers.Flatten(), kinds=("float", "int8"))
    net("prelu", (6, 5, 4), layers.PReLU(shared_axes=[1, 2]), layers.LeakyReLU(negative_slope=0.2), kinds=("float", "int8"))
    op("matmul", lambda a, b, c: [tf.matmul(a, b), tf.matmul(a, c, transpose_b=True), tf.matmul(c, b)], ((2, 3, 5), F), ((2, 5, 4), F), ((2, 4, 5), F))
    op("matmul_int8", lambda a, b: tf.matmul(a, b), ((2, 9, 16), F), ((2, 16, 7), F), kind="int8", delegate=False)
    op("bytes", lambda a, b: [a + b, a - b, a * b, tf.maximum(a, b), tf.sigmoid(a), tf.tanh(b), tf.concat([a, b], 1), tf.reduce_mean(a, 1), tf.nn.softmax(a), tf.nn.relu(a - b), tf.math.squared_difference(a, b)], ((3, 40), F), ((3, 40), F, -2.0, 5.0), kind="int8")
    op("open_batch", lambda x: tf.nn.softmax(tf.reshape(x, [-1, 12]) @ tf.ones([12, 3])), ((None, 3, 4), F))


def spectra():
    op("rfft", lambda x: [tf.abs(tf.signal.rfft(x)), tf.math.real(tf.signal.rfft(x, [8])), tf.math.imag(tf.signal.rfft(x, [32]))], ((3, 16), F))
    op("rfft2d", lambda x: [tf.math.real(tf.signal.rfft2d(x)), tf.math.imag(tf.signal.rfft2d(x, [4, 32]))], ((2, 8, 16), F))
    op("spectrogram", lambda x: tf.math.log(tf.abs(tf.signal.stft(x, 16, 8)) + 1.0) @ tf.signal.linear_to_mel_weight_matrix(5, 9, 8000, 100.0, 3900.0), ((1, 64), F))


def svdf():
    def options(rank, activation=0):
        made = schema.SVDFOptionsT()
        made.rank, made.fusedActivationFunction, made.asymmetricQuantizeInputs = rank, activation, False
        return made

    rng = np.random.default_rng(5)
    features, time, bias = rng.standard_normal((6, 8)), rng.standard_normal((6, 4)), rng.standard_normal(3)
    written("svdf", "SVDF", options(2, 1), [(F, (2, 8)), (F, features), (F, time), (F, bias), (F, (2, 24)), (F, (2, 3))], variables=[4], runs=6)
    written("svdf_short", "SVDF", options(1), [(F, (1, 8)), (F, features), (F, time[:, :1]), (F, np.zeros(6)), (F, (1, 6)), (F, (1, 6))], variables=[4], runs=2)
    narrow = [np.clip(np.round(w / 0.02), -127, 127) for w in (features, time)]
    written("svdf_hybrid", "SVDF", options(2), [(F, (2, 8)), ("int8", narrow[0], 0.02, 0), ("int8", narrow[1], 0.02, 0), (F, bias), (F, (2, 24)), (F, (2, 3))], variables=[4], runs=6)
    time16, bias32 = np.clip(np.round(time / 1e-4), -32767, 32767), np.round(bias / (1e-4 * 5e-4))
    written("svdf_int8", "SVDF", options(2, 1), [("int8", (2, 8), 0.02, 3), ("int8", narrow[0], 0.02, 0), ("int16", time16, 1e-4, 0), ("int32", bias32, 5e-8, 0), ("int16", (2, 24), 5e-4, 0), ("int8", (2, 3), 0.06, -10)], variables=[4], runs=6)


def rare():
    """Ops that this converter makes no more, or not of anything simple."""
    def options(kind, **fields):
        made = getattr(schema, f"{kind}OptionsT")()
        for key, value in fields.items():
            setattr(made, key, value)
        return made

    def ids(*values):
        return np.array(values, np.int32)

    x, rows = (F, (2, 3, 4)), (F, (5, 3))
    segments, pool = ids(2, 0, 2, 3, 0), options("Pool2D", padding=1, strideW=2, strideH=1, filterWidth=3, filterHeight=2)
    written("rare_embedding", "EMBEDDING_LOOKUP", None, [(I, (4,)), (F, rng_of("table").standard_normal((9, 3))), (F, (4, 3))])
    written("rare_expand", "EXPAND_DIMS", options("ExpandDims"), [x, (I, ids(-2)), (F, (2, 3, 1, 4))])
    written("rare_squeeze", "SQUEEZE", options("Squeeze", squeezeDims=[1, -1]), [(F, (2, 1, 1, 4, 1)), (F, (2, 1, 4))])
    written("rare_fill", "FILL", options("Fill"), [(I, ids(2, 3)), (F, ()), (F, (2, 3))])
    written("rare_l2_pool", "L2_POOL_2D", pool, [(F, (1, 5, 7, 3)), (F, (1, 4, 3, 3))])
    written("rare_diagonal", "MATRIX_DIAG", options("MatrixDiag"), [x, (F, (2, 3, 4, 4))])
    written("rare_set_diagonal", "MATRIX_SET_DIAG", options("MatrixSetDiag"), [x, (F, (2, 3)), x])
    written("rare_relu6", "RELU6", None, [(F, (3, 4)), (F, (3, 4))], given={"t0": np.linspace(-3, 9, 12, dtype=F).reshape(3, 4)})
    written("rare_relu1", "RELU_0_TO_1", None, [(F, (3, 4)), (F, (3, 4))])
    written("rare_zeros", "ZEROS_LIKE", options("ZerosLike"), [x, x])
    written("rare_one_hot", "ONE_HOT", options("OneHot", axis=-1), [(I, (4,)), (I, np.array(5, np.int32)), (F, np.array(2.0)), (F, np.array(-1.0)), (F, (4, 5))])
    written("rare_buckets", "BUCKETIZE", options("Bucketize", boundaries=[-1.0, 0.0, 0.5]), [x, (I, (2, 3, 4))])
    written("rare_update", "DYNAMIC_UPDATE_SLICE", options("DynamicUpdateSlice"), [rows, (F, (2, 2)), (I, (2,)), rows], given={"t2": ids(2, 1)})
    written("rare_dense", "SPARSE_TO_DENSE", options("SparseToDense"), [(I, np.array([[0, 1], [2, 3]], np.int32)), (I, ids(3, 4)), (F, (2,)), (F, np.array(0.5)), (F, (3, 4))])
    written("rare_segments", "SEGMENT_SUM", options("SegmentSum"), [rows, (I, ids(0, 0, 1, 2, 2)), (F, (3, 3))])
    for kind in ("Max", "Min", "Prod", "Sum"):
        written(f"rare_unsorted_{kind.lower()}", f"UNSORTED_SEGMENT_{kind.upper()}", options(f"UnsortedSegment{kind}"), [rows, (I, segments), (I, np.array(4, np.int32)), (F, (4, 3))])
    written("rare_fake_quant", "FAKE_QUANT", options("FakeQuant", min=-1.3, max=1.9, numBits=8, narrowRange=False), [x, x])
    deconv = options("Conv3D", padding=0, strideD=1, strideW=2, strideH=2, dilationDFactor=1, dilationWFactor=1, dilationHFactor=1)
    written("rare_deconv3d", "CONV_3D_TRANSPOSE", deconv, [(I, ids(1, 3, 8, 6, 4)), (F, rng_of("filter").standard_normal((2, 3, 3, 4, 5))), (F, (1, 3, 4, 3, 5)), (F, (1, 3, 8, 6, 4))])
    draws = [rng_of("rnn").standard_normal(shape) for shape in ((4, 3), (4, 4), (4,))]
    written("rare_rnn", "UNIDIRECTIONAL_SEQUENCE_RNN", options("SequenceRNN", fusedActivationFunction=4), [(F, (2, 5, 3)), *[(F, weights) for weights in draws], (F, (2, 4)), (F, (2, 5, 4))], variables=[4], runs=2)


def recurrent():
    for name, layer in (("gru", layers.GRU(5)), ("gru_sequence", layers.GRU(5, return_sequences=True)), ("lstm", layers.LSTM(5, return_sequences=True)), ("lstm_unrolled", layers.LSTM(5, unroll=True)),
                        ("lstm_both", layers.Bidirectional(layers.LSTM(5))), ("rnn", layers.SimpleRNN(5))):
        net(f"keras_{name}", (7, 6), layer)

    def loop(x, n):
        i = tf.constant(0)
        while i < n:
            x = x * 1.5 + 1.0
            i += 2
        return tf.cond(tf.reduce_sum(x) > 0.0, lambda: x + 1.0, lambda: x - 1.0)

    op("loop", tf.autograph.experimental.do_not_convert(lambda x, n: tf.autograph.to_graph(loop)(x, n)), ((2, 3), F), ((), I, 5, 6))
    if WANTED in "variable":
        module = tf.Module()
        module.total = tf.Variable(np.arange(6, dtype=F).reshape(2, 3), name="total")

        @tf.function(input_signature=[tf.TensorSpec((2, 3), name="x")])
        def count(x):
            return {"y": module.total.assign_add(x) * 2.0}

        module.count = count
        converter = tf.lite.TFLiteConverter.from_concrete_functions([count.get_concrete_function()], module)
        converter.experimental_enable_resource_variables = True
        convert("variable", converter, {"x": draw(rng_of("variable"), (2, 3), F)})


def main():
    for family in (elementwise, movement, images, products, spectra, svdf, rare, recurrent):
        family()
    for name in SAMPLES:
        if WANTED in name:
            oracle(name)


if __name__ == "__main__":
    main()
