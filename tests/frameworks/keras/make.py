#!/usr/bin/env python3
"""Makes the models of this folder, and what Keras makes of drawn inputs.

Beside each model lies NAME.npz: inputs as in:NAME, outputs as out:NAME. Weights and statistics are drawn, too. Models of Keras 2 are made
by a process of their own, since one process has one Keras. Samples (`sample_*`) are kept as they are; only their oracles are remade.

Needs (pinned): tensorflow-cpu==2.21.0 keras==3.15.1 tf_keras==2.21.0 numpy==2.4.6 scipy==1.17.1 h5py==3.14.0
"""

import os
import pathlib
import subprocess
import sys
import zipfile
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

HERE = pathlib.Path(__file__).parent
TWO = "--two" in sys.argv
if TWO:
    import tf_keras as keras
    K = None
else:
    import keras
    K = keras.ops
L = keras.layers
ONLY = next((argument for argument in sys.argv[1:] if not argument.startswith("--")), "")


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def variables(model):
    if not TWO:
        return [(variable, variable.path) for variable in model.variables]
    return [(variable, variable.name) for variable in model.weights]


def draw_weights(model, rng):
    for variable, name in variables(model):
        shape = tuple(variable.shape)
        if "float" not in str(variable.dtype).replace("bfloat", "float") or "seed" in name:
            continue
        if "variance" in name:
            value = rng.uniform(0.5, 1.5, shape)
        elif "gamma" in name or name.rsplit("/", 1)[-1].startswith("scale"):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            value = rng.normal(0, 1 / max(np.prod(shape[:-1]), 1) ** 0.5, shape)
        else:
            value = rng.normal(0, 0.3, shape)
        variable.assign(value.astype("float32"))


def draw(rng, shape, dtype, high=None):
    if dtype == "bool":
        return rng.random(shape) < 0.6
    if "int" in str(dtype):
        return rng.integers(0, high or 8, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def save(name, model, formats=("keras",), batch=2, extents=None, feed=None, weights=True, high=None):
    """Saves a model and its oracle."""
    if ONLY not in name:
        return
    rng = rng_of(name)
    if weights:
        draw_weights(model, rng)
    inputs = list(model.inputs)
    values = {}
    for at, tensor in enumerate(inputs):
        shape = [(extents or {}).get((at, axis), batch if axis == 0 else 5) if extent is None else extent for axis, extent in enumerate(tensor.shape)]
        dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
        key = tensor.name.split(":")[0] if TWO else tensor._keras_history[0].name
        values[key] = feed[at] if feed is not None else draw(rng, shape, dtype, high)
    if isinstance(getattr(model, "_inputs_struct", None), dict):
        arguments = values
    else:
        arguments = list(values.values()) if len(values) > 1 else next(iter(values.values()))
    result = model(arguments, training=False)
    if isinstance(result, dict):
        outputs = {key: np.asarray(value) for key, value in result.items()}
    else:
        import tensorflow as tf
        result = [np.asarray(value) for value in tf.nest.flatten(result)]
        if isinstance(model, keras.Sequential):
            names = [f"output_{at}" for at in range(len(result))]
        else:
            names, used = [], set()
            for plain in model.output_names:
                unique, count = plain, 0
                while unique in used:
                    count += 1
                    unique = f"{plain}_{count}"
                used.add(unique)
                names.append(unique)
        outputs = dict(zip(names, result))
    for form in formats:
        path = HERE / f"{name}.{form}"
        model.save(path)
        if form == "keras" and not name[-1].isdigit():
            repack(path)
        np.savez(HERE / f"{path.name}.npz", **{f"in:{key}": value for key, value in values.items()}, **{f"out:{key}": value for key, value in outputs.items()})


PENDING = {}


def repack(path):
    """What becomes of an archive that is unpacked and packed again: its members are compressed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def one(name, layer, shape, dtype="float32", batch=2, **options):
    """A model of one layer. Those that take the same and ask for nothing else become one model."""
    if options:
        x = keras.Input(shape, dtype=dtype, name="x")
        save(name, keras.Model(x, layer(x)), batch=batch, **options)
        return
    layer._name = name
    if not TWO:
        layer.name = name
    PENDING.setdefault((shape, dtype, batch), []).append(layer)


def flush(family):
    """Makes the models of the layers that were gathered."""
    for at, ((shape, dtype, batch), layers) in enumerate(PENDING.items()):
        x = keras.Input(shape, dtype=dtype, name="x")
        save(f"{family}_{at}", keras.Model(x, [layer(x) for layer in layers]), batch=batch)
    PENDING.clear()


def op(name, function, *shapes, dtype="float32", **options):
    """A model of operations."""
    if ONLY not in name:
        return
    dtypes = dtype if isinstance(dtype, (list, tuple)) else [dtype] * len(shapes)
    inputs = [keras.Input(shape, dtype=kind, name=f"x{at}") for at, (shape, kind) in enumerate(zip(shapes, dtypes))]
    save(name, keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs)), **options)


def convolutions():
    one("conv1d_causal", L.Conv1D(5, 3, padding="causal", dilation_rate=2, activation="relu"), (9, 4))
    one("conv1d_same_strided", L.Conv1D(3, 4, strides=3, padding="same", use_bias=False), (11, 2))
    one("conv1d_groups", L.Conv1D(6, 3, groups=2), (8, 4))
    one("conv2d_same", L.Conv2D(5, (3, 2), padding="same", activation="tanh"), (7, 6, 3), formats=("keras", "h5"))
    one("conv2d_same_strided_even", L.Conv2D(4, 4, strides=(2, 3), padding="same"), (9, 10, 2))
    one("conv2d_dilated", L.Conv2D(4, 3, dilation_rate=(2, 1), padding="same"), (9, 8, 2))
    one("conv2d_groups_open", L.Conv2D(6, 3, groups=3, use_bias=False), (None, None, 3), extents={(0, 1): 7, (0, 2): 5})
    one("conv3d", L.Conv3D(3, (2, 3, 1), strides=(1, 2, 1), padding="same"), (4, 5, 3, 2))
    for padding in ("same", "valid"):
        for stride, size in ((1, 3), (2, 3), (3, 2), (2, 4)):
            one(f"conv2d_transpose_{padding}_{stride}_{size}", L.Conv2DTranspose(3, size, strides=stride, padding=padding), (4, 5, 2), batch=1)
        one(f"conv1d_transpose_{padding}", L.Conv1DTranspose(3, 5, strides=3, padding=padding, activation="relu"), (4, 2))
        one(f"conv3d_transpose_{padding}", L.Conv3DTranspose(2, (2, 3, 3), strides=(1, 2, 2), padding=padding), (2, 3, 4, 2), batch=1)
        one(f"depthwise2d_{padding}", L.DepthwiseConv2D((3, 2), strides=2, padding=padding, depth_multiplier=2), (7, 6, 3))
    one("conv2d_transpose_dilated", L.Conv2DTranspose(3, 3, dilation_rate=2, padding="same", use_bias=False), (4, 5, 2))
    one("conv2d_transpose_output_padding", L.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=1), (4, 3, 2))
    one("conv2d_transpose_output_padding_0", L.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=0), (4, 3, 2))
    one("conv2d_transpose_output_padding_valid", L.Conv2DTranspose(2, 3, strides=3, padding="valid", output_padding=2), (4, 3, 2))
    one("depthwise2d_dilated", L.DepthwiseConv2D(3, dilation_rate=2, padding="same", activation="relu6"), (8, 7, 2))
    one("depthwise1d", L.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2), (9, 3))
    one("separable2d", L.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=2, activation="elu"), (9, 8, 3), formats=("keras", "h5"))
    one("separable1d", L.SeparableConv1D(4, 3, padding="valid", use_bias=False, dilation_rate=2), (9, 3))


def pools():
    for padding in ("valid", "same"):
        one(f"max2d_{padding}", L.MaxPooling2D((3, 2), strides=2, padding=padding), (7, 8, 3))
        one(f"average2d_{padding}", L.AveragePooling2D(3, strides=2, padding=padding), (8, 7, 3))
        one(f"max1d_{padding}", L.MaxPooling1D(3, strides=2, padding=padding), (8, 3))
        one(f"average3d_{padding}", L.AveragePooling3D(2, strides=(1, 2, 1), padding=padding), (3, 5, 4, 2))
    one("average1d", L.AveragePooling1D(3, padding="same"), (10, 2))
    one("max3d", L.MaxPooling3D((2, 2, 1)), (4, 5, 3, 2))
    for kind in ("Average", "Max"):
        for axes, shape in ((1, (5, 3)), (2, (4, 5, 3)), (3, (3, 2, 4, 2))):
            layer = getattr(L, f"Global{kind}Pooling{axes}D")
            one(f"global_{kind.lower()}{axes}d", layer(), shape)
            one(f"global_{kind.lower()}{axes}d_keep", layer(keepdims=True), shape)
            one(f"global_{kind.lower()}{axes}d_first", layer(data_format="channels_first"), shape)
    one("adaptive_average2d", L.AdaptiveAveragePooling2D((3, 2)), (7, 5, 2))
    one("adaptive_max1d", L.AdaptiveMaxPooling1D(4), (9, 2))


def first():
    """Channels first, as far as TensorFlow can on a CPU."""
    one("first_padding", L.ZeroPadding2D(((1, 2), (0, 3)), data_format="channels_first"), (2, 3, 4))
    one("first_padding3d", L.ZeroPadding3D(((1, 2), (0, 3), (1, 0)), data_format="channels_first"), (2, 3, 4, 2))
    one("first_cropping", L.Cropping2D(((1, 0), (1, 2)), data_format="channels_first"), (2, 4, 5))
    one("first_flatten", L.Flatten(data_format="channels_first"), (2, 3, 4))
    one("first_upsampling", L.UpSampling2D((2, 3), data_format="channels_first"), (2, 3, 4))
    one("first_upsampling3d", L.UpSampling3D((2, 1, 3), data_format="channels_first"), (2, 3, 4, 2))
    one("first_norm", L.BatchNormalization(axis=1), (3, 4, 5))
    one("first_resize", L.Resizing(5, 7, data_format="channels_first"), (3, 4, 6))
    one("first_conv", L.Conv2D(4, 3, strides=2, data_format="channels_first", activation="relu"), (3, 6, 7))
    one("first_conv1d", L.Conv1D(4, 3, padding="same", data_format="channels_first"), (3, 6))
    one("first_transpose", L.Conv2DTranspose(4, 3, padding="same", strides=2, data_format="channels_first"), (3, 4, 5))
    one("first_depthwise", L.DepthwiseConv2D(3, data_format="channels_first"), (3, 6, 7))
    one("first_max", L.MaxPooling2D(2, data_format="channels_first"), (3, 6, 7))
    one("first_average", L.AveragePooling2D(3, strides=2, padding="same", data_format="channels_first"), (3, 6, 7))


def movement():
    one("cropping1d", L.Cropping1D((1, 2)), (7, 3))
    one("cropping2d", L.Cropping2D(((1, 0), (2, 1))), (5, 7, 2))
    one("cropping3d", L.Cropping3D(1), (4, 5, 3, 2))
    one("padding1d", L.ZeroPadding1D((0, 3)), (4, 2))
    one("padding2d", L.ZeroPadding2D(((0, 1), (2, 1))), (3, 4, 2), formats=("keras", "h5"))
    one("padding3d", L.ZeroPadding3D((1, 0, 2)), (2, 3, 2, 2))
    one("upsampling1d", L.UpSampling1D(3), (4, 2))
    one("upsampling2d", L.UpSampling2D((2, 3)), (3, 4, 2))
    one("upsampling2d_bilinear", L.UpSampling2D((2, 3), interpolation="bilinear"), (3, 4, 2))
    one("upsampling2d_bicubic", L.UpSampling2D((2, 4), interpolation="bicubic"), (4, 5, 2))
    one("upsampling3d", L.UpSampling3D((1, 2, 2)), (2, 2, 3, 2))
    one("reshape", L.Reshape((2, -1, 3)), (4, 9))
    one("reshape_open", L.Reshape((-1, 4)), (None, 8), extents={(0, 1): 3})
    one("permute", L.Permute((3, 1, 2)), (2, 3, 4))
    one("repeat_vector", L.RepeatVector(4), (3,))
    one("flatten", L.Flatten(), (2, 3, 4))
    one("flatten_scalar", L.Flatten(), ())


def norms():
    one("batch_norm", L.BatchNormalization(epsilon=0.01), (5, 4, 3), formats=("keras", "h5"))
    one("batch_norm_1", L.BatchNormalization(axis=2), (5, 4, 3))
    one("batch_norm_flat", L.BatchNormalization(), (6,))
    one("batch_norm_bare", L.BatchNormalization(scale=False, center=False), (5, 4))
    one("batch_norm_noscale", L.BatchNormalization(scale=False), (5, 4), formats=("keras", "h5"))
    one("batch_norm_nocenter", L.BatchNormalization(center=False), (5, 4))
    one("layer_norm", L.LayerNormalization(), (5, 4))
    one("layer_norm_axes", L.LayerNormalization(axis=[1, 2], epsilon=0.1), (5, 4, 3))
    one("layer_norm_axis1", L.LayerNormalization(axis=1, center=False), (5, 4, 3))
    one("layer_norm_bare", L.LayerNormalization(center=False, scale=False), (5, 4))
    one("layer_norm_noscale", L.LayerNormalization(scale=False), (5, 4))
    one("group_norm", L.GroupNormalization(2), (4, 3, 6))
    one("group_norm_axis1", L.GroupNormalization(3, axis=1, scale=False), (6, 3, 4))
    one("group_norm_instance", L.GroupNormalization(-1, center=False), (4, 3, 6))
    one("rms_norm", L.RMSNormalization(), (5, 4))
    one("unit_norm", L.UnitNormalization(axis=[1, 2]), (5, 4))
    one("spectral_norm", L.SpectralNormalization(L.Dense(4)), (5,))
    one("spectral_norm_conv", L.SpectralNormalization(L.Conv2D(4, 3)), (5, 6, 2), formats=("keras", "h5"))
    norm = L.Normalization()
    norm.adapt(rng_of("adapt").normal(2, 3, (20, 5)).astype("float32"))
    one("normalization", norm, (5,), weights=False, formats=("keras", "h5"))
    norm = L.Normalization(axis=None)
    norm.adapt(rng_of("adapt").normal(2, 3, (20, 5)).astype("float32"))
    one("normalization_all", norm, (5,), weights=False)
    one("normalization_given", L.Normalization(mean=[1.0, 2.0, 3.0], variance=[0.5, 1.0, 2.0]), (4, 3))
    one("normalization_invert", L.Normalization(mean=1.5, variance=2.0, invert=True), (4, 3))


def activations():
    names = ["celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax",
             "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
             "swish", "tanh", "tanh_shrink"]
    if ONLY in "activations":
        x = keras.Input((8,), name="x")
        values = rng_of("activations").normal(0, 3, (6, 8)).astype("float32")
        values[0] = [0, -0.0, 1, -1, 0.5, -0.5, 20, -20]
        save("activations", keras.Model(x, [L.Activation(name, name=f"a_{name}")(x) for name in names]), feed=[values])
        layers = {
            "relu_max": L.ReLU(max_value=2.0), "relu_slope": L.ReLU(negative_slope=0.1), "relu_all": L.ReLU(max_value=3.0, negative_slope=0.2, threshold=0.5),
            "relu_threshold": L.ReLU(threshold=0.5), "leaky": L.LeakyReLU(), "leaky_slope": L.LeakyReLU(negative_slope=0.05), "elu": L.ELU(0.7), "softmax": L.Softmax(),
            "relu_slope_max": L.ReLU(max_value=6.0, negative_slope=0.1),
        }
        save("activation_layers", keras.Model(x, [layer(x) for layer in layers.values()]), feed=[values])
    one("prelu", L.PReLU(), (4, 3))
    one("prelu_shared", L.PReLU(shared_axes=[1, 2]), (4, 5, 3), formats=("keras", "h5"))
    one("softmax_axes", L.Softmax(axis=[1, 2]), (4, 5))
    one("activation_layer_in_dense", L.Dense(5, activation=L.LeakyReLU(negative_slope=0.3)), (4,))


def cores():
    one("dense", L.Dense(5, activation="gelu"), (4,), formats=("keras", "h5"))
    one("dense_3d", L.Dense(5, use_bias=False), (3, 4))
    one("einsum_dense", L.EinsumDense("abc,cde->abde", output_shape=(None, 3, 4), bias_axes="de"), (5, 6))
    one("einsum_dense_ellipsis", L.EinsumDense("...x,xy->...y", output_shape=4, bias_axes="y", activation="relu"), (5, 3, 6))
    one("einsum_dense_bias", L.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d"), (5, 6), formats=("keras", "h5"))
    one("einsum_dense_bare", L.EinsumDense("abc,cd->adb", output_shape=(4, None)), (5, 6), extents={})
    one("embedding", L.Embedding(8, 3), (5,), dtype="int32", formats=("keras", "h5"))
    one("embedding_float", L.Embedding(8, 3), (5,), feed=[rng_of("e").integers(0, 8, (2, 5)).astype("float32")])
    one("dropouts", keras.Sequential([L.Dropout(0.5), L.GaussianNoise(1.0), L.GaussianDropout(0.5), L.AlphaDropout(0.2), L.SpatialDropout1D(0.5), L.ActivityRegularization(0.1), L.Identity()]), (4, 3))
    quantised = keras.Sequential([keras.Input((6,)), L.Dense(8, activation="relu"), L.Dense(4, use_bias=False)])
    if ONLY in "int8_dense":
        draw_weights(quantised, rng_of("int8"))
        quantised.quantize("int8")
        save("int8_dense", quantised, weights=False, batch=5)
    embedded = keras.Sequential([keras.Input((6,), dtype="int32"), L.Embedding(8, 4), L.Dense(3)])
    if ONLY in "int8_embedding":
        draw_weights(embedded, rng_of("int8"))
        embedded.quantize("int8")
        save("int8_embedding", embedded, weights=False, batch=3)
    for name, size in (("int4_whole", 128), ("int4_blocks", 4), ("int4_columns", None)):
        if ONLY in name:
            ids, x = keras.Input((6,), dtype="int32", name="ids"), keras.Input((10,), name="x")
            narrow = keras.Model([ids, x], [L.Embedding(8, 7)(ids), L.Dense(4, use_bias=False)(L.Dense(9, activation="relu")(x))])
            draw_weights(narrow, rng_of("int4"))
            narrow.quantize("int4", config=keras.quantizers.Int4QuantizationConfig(block_size=size))
            save(name, narrow, weights=False, batch=3)
    x = keras.Input((8, 8, 3), name="x")
    y = L.Conv2D(4, 3, dtype="mixed_bfloat16")(x)
    y = L.BatchNormalization(dtype="mixed_bfloat16")(y)
    y = L.GlobalAveragePooling2D(dtype="mixed_bfloat16")(y)
    save("mixed_bfloat16", keras.Model(x, K.cast(y, "float16")))
    y = L.Conv2D(4, 3, dtype="mixed_float16", activation="relu")(x)
    y = L.BatchNormalization(dtype="mixed_float16")(y)
    save("mixed_float16", keras.Model(x, L.Dense(5, dtype="float16", name="y")(L.Flatten(dtype="float16")(y))))
    one("float64", L.Dense(3, activation="tanh", dtype="float64"), (4,), dtype="float64")


def recurrent():
    for kind in ("LSTM", "GRU", "SimpleRNN"):
        layer, low = getattr(L, kind), kind.lower()
        one(f"{low}", layer(4), (5, 3), formats=("keras", "h5"))
        one(f"{low}_sequences", layer(4, return_sequences=True, use_bias=False), (5, 3))
        one(f"{low}_backwards", layer(4, return_sequences=True, return_state=True, go_backwards=True), (5, 3))
        one(f"{low}_state", layer(4, return_state=True, unroll=True), (5, 3))
        one(f"{low}_bidirectional", L.Bidirectional(layer(3, return_sequences=True)), (5, 4), formats=("keras", "h5"))
        one(f"{low}_bidirectional_sum", L.Bidirectional(layer(3, return_state=True), merge_mode="sum"), (5, 4))
        one(f"{low}_bidirectional_none", L.Bidirectional(layer(3, return_sequences=True), merge_mode=None), (5, 4))
        one(f"{low}_one_step", layer(2, return_sequences=True), (1, 3), batch=1)
        x = keras.Input((6,), dtype="int32", name="x")
        y = L.Embedding(8, 3, mask_zero=True)(x)
        save(f"{low}_masked", keras.Model(x, [layer(4, return_sequences=True, return_state=True)(y), layer(4)(y), layer(3, return_sequences=True, zero_output_for_mask=True)(y), layer(3, go_backwards=True, return_sequences=True)(y)]), batch=4, high=3)
        save(f"{low}_masked_bidirectional", keras.Model(x, [L.Bidirectional(layer(4, return_sequences=True))(y), L.Bidirectional(layer(4), merge_mode="ave")(y)]), batch=4, high=3)
    one("lstm_relu", L.LSTM(4, activation="relu", recurrent_activation="hard_sigmoid"), (5, 3))
    one("lstm_gelu", L.LSTM(4, activation="gelu", return_sequences=True), (5, 3))
    one("gru_before", L.GRU(4, reset_after=False, return_sequences=True), (5, 3), formats=("keras", "h5"))
    one("gru_before_elu", L.GRU(4, reset_after=False, activation="swish"), (5, 3))
    one("lstm_open", L.LSTM(4), (None, 3), extents={(0, 1): 7})
    one("rnn_cell", L.RNN(L.LSTMCell(4), return_sequences=True, return_state=True), (5, 3), formats=("keras", "h5"))
    one("rnn_stacked", L.RNN([L.LSTMCell(4), L.GRUCell(3), L.SimpleRNNCell(2), L.LSTMCell(3)], return_sequences=True, return_state=True), (5, 3), formats=("keras", "h5"))
    one("rnn_stacked_cells", L.RNN(L.StackedRNNCells([L.GRUCell(4), L.GRUCell(3, reset_after=False)])), (5, 3))
    one("time_distributed", L.TimeDistributed(L.Dense(4, activation="relu")), (5, 3), formats=("keras", "h5"))
    one("time_distributed_conv", L.TimeDistributed(L.Conv2D(3, 2)), (3, 4, 5, 2))
    one("time_distributed_model", L.TimeDistributed(keras.Sequential([keras.Input((4, 2)), L.Conv1D(3, 2), L.Flatten(), L.Dense(2)])), (3, 4, 2), formats=("keras", "h5"))
    one("bidirectional_two", L.Bidirectional(L.LSTM(3, return_sequences=True), backward_layer=L.GRU(2, return_sequences=True, go_backwards=True)), (5, 4))
    x, h, c = keras.Input((5, 3), name="x"), keras.Input((4,), name="h"), keras.Input((4,), name="c")
    save("lstm_initial", keras.Model([x, h, c], L.LSTM(4, return_sequences=True, return_state=True)(x, initial_state=[h, c])), formats=("keras", "h5"))
    save("gru_initial", keras.Model([x, h], L.GRU(4, return_sequences=True)(x, initial_state=h)))
    save("bidirectional_initial", keras.Model([x, h, c], L.Bidirectional(L.GRU(4, return_state=True))(x, initial_state=[h, c])))
    e = L.LSTM(4, return_state=True, name="encoder")(x)
    save("encoder_decoder", keras.Model([x], L.Dense(3)(L.LSTM(4, return_sequences=True, name="decoder")(L.RepeatVector(3)(e[0]), initial_state=e[1:]))), formats=("keras", "h5"))
    one("conv_lstm1d", L.ConvLSTM1D(3, 2, return_sequences=True), (4, 6, 2))
    one("conv_lstm2d", L.ConvLSTM2D(3, (3, 2), strides=(2, 1), padding="same"), (3, 5, 4, 2), formats=("keras", "h5"))
    one("conv_lstm2d_sequences", L.ConvLSTM2D(2, 3, return_sequences=True, return_state=True, go_backwards=True, use_bias=False), (3, 5, 6, 2))
    one("conv_lstm3d", L.ConvLSTM3D(2, 2), (2, 3, 4, 3, 1), batch=1)


def masks():
    values = rng_of("masks").normal(size=(3, 6, 4)).astype("float32")
    values[0, 4:] = 0
    values[1, 2] = 0
    values[2] = 0
    feed = [values]
    x = keras.Input((6, 4), name="x")
    m = L.Masking()(x)
    save("masking", keras.Model(x, m), feed=feed)
    save("masking_average", keras.Model(x, L.GlobalAveragePooling1D()(m)), feed=[values[:2]])
    save("masking_through", keras.Model(x, L.LSTM(3)(L.Dropout(0.1)(L.Dense(5, activation="relu")(L.LayerNormalization()(m))))), feed=feed, formats=("keras", "h5"))
    save("masking_ends", keras.Model(x, L.LSTM(3)(L.Conv1D(4, 1)(m))), feed=feed)
    save("masking_add", keras.Model(x, L.GRU(3, return_sequences=True)(L.Add()([m, L.Masking(mask_value=0.0)(L.Dense(4)(m))]))), feed=feed)
    save("masking_concat", keras.Model(x, [L.GRU(3)(L.Concatenate()([m, x])), L.GRU(3)(L.Concatenate()([m, m])), L.GRU(3, return_sequences=True)(L.Concatenate(axis=1)([m, x]))]), feed=feed)
    save("masking_time_distributed", keras.Model(x, L.LSTM(3)(L.TimeDistributed(L.Dense(4))(m))), feed=feed)
    save("masking_stacked", keras.Model(x, L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True)(m)), feed=feed)
    n, o = L.Masking()(x), L.Masking()(x)
    save("masking_attention", keras.Model(x, [L.MultiHeadAttention(2, 3)(n, n), L.MultiHeadAttention(2, 3, dropout=0.1)(o, o), L.Attention()([m, m]), L.AdditiveAttention()([m, m])]), feed=feed)
    y = L.Add()([n, L.MultiHeadAttention(2, 3)(n, n)])
    save("masking_transformer", keras.Model(x, L.LSTM(3)(L.LayerNormalization()(y))), feed=feed)
    save("masking_grouped", keras.Model(x, L.LSTM(3)(L.Add()([m, L.GroupQueryAttention(3, 2, 1)(m, m)]))), feed=feed)
    save("masking_softmax", keras.Model(x, L.Softmax(axis=1)(x, mask=K.not_equal(x, 0.0))), feed=feed)


def attention():
    q, v = keras.Input((4, 6), name="q"), keras.Input((5, 8), name="v")
    k, a = keras.Input((5, 6), name="k"), keras.Input((4, 5), dtype="bool", name="a")
    save("mha", keras.Model([q, v], L.MultiHeadAttention(2, 3, value_dim=5)(q, v)), formats=("keras", "h5"))
    save("mha_key", keras.Model([q, v, k], L.MultiHeadAttention(2, 3, use_bias=False)(q, v, k)))
    save("mha_key_word", keras.Model([q, v, k], L.MultiHeadAttention(2, 3, output_shape=7)(query=q, value=v, key=k)))
    save("mha_causal", keras.Model(q, L.MultiHeadAttention(3, 2)(q, q, use_causal_mask=True)))
    save("mha_scores", keras.Model([q, v, a], L.MultiHeadAttention(2, 3)(q, v, attention_mask=a, return_attention_scores=True)))
    save("mha_mask", keras.Model([q, v, a], L.MultiHeadAttention(2, 3, use_gate=True)(q, v, attention_mask=a)))
    save("mha_mask_dropout", keras.Model([q, v, a], L.MultiHeadAttention(2, 3, dropout=0.2)(q, v, attention_mask=a, use_causal_mask=True)))
    save("mha_window", keras.Model(q, L.MultiHeadAttention(2, 3, sliding_window=2)(q, q, use_causal_mask=True)))
    x = keras.Input((3, 4, 5), name="x")
    save("mha_4d", keras.Model(x, L.MultiHeadAttention(2, 3)(x, x)))
    w = keras.Input((5, 6), name="w")
    save("gqa", keras.Model([q, w, a], L.GroupQueryAttention(3, 4, 2)(q, w, attention_mask=a)))
    save("gqa_causal", keras.Model(q, L.GroupQueryAttention(3, 4, 1, use_bias=False)(q, q, use_causal_mask=True)))
    save("attention", keras.Model([q, w], L.Attention(use_scale=True)([q, w])), formats=("keras", "h5"))
    save("attention_key", keras.Model([q, v, k], L.Attention()([q, v, k], return_attention_scores=True)))
    save("attention_concat", keras.Model([q, w], L.Attention(use_scale=True, score_mode="concat")([q, w])))
    save("attention_causal", keras.Model(q, L.Attention()([q, q], use_causal_mask=True)))
    save("additive_attention", keras.Model([q, w], L.AdditiveAttention()([q, w], return_attention_scores=True)))
    save("additive_attention_causal", keras.Model(q, L.AdditiveAttention(use_scale=False)([q, q], use_causal_mask=True)))


def merges():
    a, b, c = keras.Input((4, 3), name="a"), keras.Input((4, 3), name="b"), keras.Input((3,), name="c")
    save("merges", keras.Model([a, b, c], [L.Add()([a, b, c]), L.Subtract()([a, b]), L.Multiply()([a, c]), L.Average()([a, b, c]), L.Maximum()([a, b]), L.Minimum()([a, b]), L.Concatenate(axis=1)([a, b])]), formats=("keras", "h5"))
    d = keras.Input((5, 3), name="d")
    save("dots", keras.Model([a, d, c], [L.Dot(axes=2)([a, d]), L.Dot(axes=(2, 1))([a, c]), L.Dot(axes=1)([c, c]), L.Dot(axes=-1, normalize=True)([a, d])]))


def models():
    x = keras.Input((6,), name="x")
    shared = L.Dense(6, activation="tanh")
    inner = keras.Sequential([keras.Input((6,)), L.Dense(4), L.BatchNormalization(), L.Dense(6)], name="inner")
    i, j = keras.Input((6,), name="i"), keras.Input((6,), name="j")
    two = keras.Model([i, j], [L.Add()([L.Dense(3)(i), L.Dense(3)(j)]), L.Multiply()([i, j])], name="two")
    y = shared(inner(shared(x)))
    s, p = two([x, y])
    t, _ = two([y, p])
    save("nested", keras.Model(x, {"sum": s, "product": p, "again": t}))
    save("nested_list", keras.Model(x, [s, p, t]), formats=("keras", "h5"))
    n, m = keras.Input((6,), name="zeta"), keras.Input((4,), name="alpha")
    save("dictionary", keras.Model({"zeta": n, "alpha": m}, L.Concatenate()([n, m])))
    save("several_of_one", keras.Model(x, L.LSTM(3, return_state=True)(L.Reshape((2, 3))(x))))
    save("frozen", keras.Model(x, frozen()(x)), formats=("keras", "h5"))
    save("sequential_in_sequential", keras.Sequential([keras.Sequential([keras.Input((6,)), L.Dense(4)]), keras.Sequential([L.BatchNormalization(), L.Dense(3)])]), formats=("keras", "h5"))
    bare = keras.Sequential([L.Dense(4), L.Dense(3)])
    bare.build((None, 5))
    save("sequential_built", bare)
    z = x
    for _ in range(2):
        z = shared(z)
    save("shared_input_output", keras.Model(x, [x, z]), formats=("keras", "h5"))


def frozen():
    inner = keras.Sequential([keras.Input((6,)), L.Dense(5, trainable=False), L.BatchNormalization(), L.Dense(4), L.BatchNormalization(trainable=False)], name="part")
    return inner


def images():
    one("rescaling", L.Rescaling(1 / 127.5, offset=-1), (4, 5, 3))
    one("rescaling_list", L.Rescaling([0.5, 2.0, 3.0], offset=[1.0, 0.0, -1.0]), (4, 5, 3))
    one("rescaling_int", L.Rescaling(1 / 255), (4, 5, 3), dtype="uint8")
    for way in ("nearest", "bilinear"):
        one(f"resizing_{way}_up", L.Resizing(9, 7, interpolation=way), (5, 4, 2))
        one(f"resizing_{way}_down", L.Resizing(4, 3, interpolation=way), (9, 11, 2))
    # TensorFlow takes cubic weights from a table of 1024: these are in it.
    one("resizing_bicubic_up", L.Resizing(10, 16, interpolation="bicubic"), (5, 4, 2))
    one("resizing_bicubic_down", L.Resizing(4, 3, interpolation="bicubic"), (8, 12, 2))
    one("resizing_antialias", L.Resizing(4, 5, antialias=True), (9, 11, 2))
    one("resizing_antialias_bicubic", L.Resizing(4, 5, interpolation="bicubic", antialias=True), (11, 9, 2))
    one("resizing_crop", L.Resizing(4, 6, crop_to_aspect_ratio=True), (9, 7, 2))
    one("resizing_pad", L.Resizing(4, 6, pad_to_aspect_ratio=True, fill_value=0.5), (9, 7, 2))
    one("center_crop", L.CenterCrop(4, 3), (7, 8, 2))
    one("center_crop_small", L.CenterCrop(8, 6), (5, 7, 2))
    one("random_crop", L.RandomCrop(4, 3), (7, 8, 2))
    one("augmentation", keras.Sequential([L.RandomFlip(), L.RandomRotation(0.2), L.RandomZoom(0.2), L.RandomTranslation(0.1, 0.1), L.RandomContrast(0.2), L.RandomBrightness(0.2)]), (6, 6, 3))
    one("category_one_hot", L.CategoryEncoding(8, output_mode="one_hot"), (1,), dtype="int32")
    one("category_multi_hot", L.CategoryEncoding(8, output_mode="multi_hot"), (4,), dtype="int32")
    one("category_count", L.CategoryEncoding(8, output_mode="count"), (4,), dtype="int32")
    one("discretization", L.Discretization(bin_boundaries=[-0.5, 0.0, 0.7]), (6,))


def spectrograms():
    for at, mode in enumerate(("log", "magnitude", "psd", "real", "imag", "stft")):
        one(f"spectrogram_{mode}", L.STFTSpectrogram(mode, 16, 5, 32, padding="same" if at % 2 else "valid", expand_dims=at % 3 == 1, scaling=("density", "spectrum", None)[at % 3]), (40, 2))
    one("spectrogram_first", L.STFTSpectrogram("log", 8, data_format="channels_first", window="hamming"), (2, 40))
    one("spectrogram_image", L.STFTSpectrogram("log", 8, data_format="channels_first", expand_dims=True, periodic=True), (2, 40))


def operations():
    op("op_arithmetic", lambda x, y: [x + y, x - 2, 3 * x, x / y, -x, x ** 2, 1 - x, 2.0 / (K.abs(x) + 1), x // y, x % y, K.maximum(x, 0.1), K.minimum(x, y)], (4, 3), (4, 3))
    op("op_unary", lambda x: [K.exp(x), K.sqrt(K.abs(x)), K.square(x), K.sin(x), K.cos(x), K.tan(x), K.tanh(x), K.arctan(x), K.sinh(x), K.cosh(x), K.floor(x), K.ceil(x), K.round(x), K.sign(x), K.erf(x), K.expm1(x), K.log1p(K.abs(x)), K.log(K.abs(x) + 1), K.rsqrt(K.abs(x) + 1), K.reciprocal(K.abs(x) + 1), K.exp2(x), K.log2(K.abs(x) + 1), K.log10(K.abs(x) + 1)], (4, 3))
    op("op_nn", lambda x: [K.relu(x), K.relu6(x), K.sigmoid(x), K.softplus(x), K.silu(x), K.gelu(x), K.gelu(x, approximate=False), K.leaky_relu(x), K.elu(x), K.selu(x), K.softmax(x), K.softmax(x, axis=1), K.log_softmax(x), K.hard_sigmoid(x), K.hard_silu(x), K.celu(x), K.glu(x), K.softsign(x), K.log_sigmoid(x), K.threshold(x, 0.2, -1.0), K.sparsemax(x), K.squareplus(x), K.normalize(x), K.logaddexp(x, 0.5 * x)], (4, 6))
    op("op_statistics", lambda x: [K.mean(x, axis=1), K.sum(x, axis=[1, 2]), K.max(x, axis=-1, keepdims=True), K.min(x, axis=2), K.prod(x, axis=1), K.var(x, axis=1), K.std(x, axis=-1, keepdims=True), K.argmax(x, axis=-1), K.argmin(x, axis=1), K.logsumexp(x, axis=1), K.cumsum(x, axis=1), K.cumprod(x, axis=2), K.norm(x, axis=-1), K.any(x > 1.0, axis=1), K.all(x > -1.0, axis=1)], (4, 3))
    op("op_shapes", lambda x: [K.reshape(x, (-1, 6)), K.transpose(x, (0, 2, 1)), K.expand_dims(x, -1), K.squeeze(K.expand_dims(x, 1), 1), K.concatenate([x, x], axis=1), K.stack([x, x], axis=2), K.flip(x, axis=1), K.roll(x, 1, axis=2), K.swapaxes(x, 1, 2), K.moveaxis(x, 1, 2), K.tile(x, (1, 2, 1)), K.repeat(x, 2, axis=2), K.pad(x, ((0, 0), (1, 2), (0, 1))), K.pad(x, ((0, 0), (1, 1), (1, 1)), mode="reflect"), K.take(x, [2, 0], axis=1), K.sort(x, axis=1), K.argsort(x, axis=-1), K.broadcast_to(K.expand_dims(x[:, 0], 1), (2, 5, 3)), K.tril(x), K.triu(x, k=1), K.zeros_like(x), K.ones_like(x)], (4, 3))
    op("op_parts", lambda x: [*K.split(x, 2, axis=1), *K.split(x, [1, 3], axis=1), *K.unstack(x, axis=2), *K.top_k(x, 2)], (4, 3))
    op("op_items", lambda x: [x[:, 0], x[:, 1:3], x[..., -1], x[:, ::-1], x[:, None, 2], x[:, 1:, ::2], x[1], x[:, -2:, 0]], (4, 5))
    op("op_compare", lambda x, y: [x > y, x >= 0.0, x < y, x <= 1, K.equal(x, y), K.not_equal(x, 0.0), K.where(x > y, x, y), K.where(x > 0, x, 0.0), K.logical_and(x > 0, y > 0), K.logical_or(x > 0, y > 0), K.logical_not(x > 0), K.logical_xor(x > 0, y > 0), K.clip(x, -0.5, 0.7), K.isnan(x), K.isfinite(x)], (4, 3), (4, 3))
    op("op_products", lambda x, y: [K.matmul(x, y), K.einsum("bij,bjk->bik", x, y), K.einsum("bij,bjk->bk", x, y)], (4, 3), (3, 5))
    op("op_dtypes", lambda x, y: [K.cast(x, "float32") * 0.5, x + y, x * 2, x / 2, K.cast(y, "int32"), K.mean(x, axis=1), K.one_hot(x, 8), x // 3, K.cast(x > 3, "float32")], (4,), (4,), dtype=["int32", "float32"])
    op("op_images", lambda x: [K.image.resize(x, (6, 5)), K.image.resize(x, (2, 3), interpolation="nearest"), K.image.rgb_to_grayscale(x), K.mean(x, axis=(1, 2))], (4, 5, 3))
    op("op_blocks", lambda x: [K.depth_to_space(x, 2), K.space_to_depth(x, 2)], (4, 6, 8))
    op("op_take", lambda x, i: [K.take(x, i, axis=0), K.take_along_axis(x, K.reshape(i, (2, 3)), axis=1)], (4,), (3,), dtype=["float32", "int32"], high=2)


def two():
    """Models of Keras 2."""
    one("two_lstm", L.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid"), (5, 3), formats=("h5", "keras"))
    one("two_gru", L.GRU(4), (5, 3), formats=("h5", "keras"))
    one("two_gru_before", L.GRU(4, reset_after=False), (5, 3), formats=("h5",))
    one("two_bidirectional", L.Bidirectional(L.LSTM(3, return_sequences=True)), (5, 4), formats=("h5", "keras"))
    one("two_hard_sigmoid", L.Dense(5, activation="hard_sigmoid"), (4,), formats=("h5", "keras"))
    one("two_leaky", L.LeakyReLU(alpha=0.1), (4,), formats=("h5",))
    one("two_thresholded", L.ThresholdedReLU(0.4), (4,), formats=("h5",))
    one("two_mha", L.TimeDistributed(L.Dense(4)), (3, 5), formats=("h5", "keras"))
    x = keras.Input((9, 9, 3), name="x")
    y = L.BatchNormalization(axis=3)(L.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x))
    y = L.SeparableConv2D(5, 3)(L.ReLU(6.0)(L.DepthwiseConv2D(3, padding="same")(y)))
    save("two_conv", keras.Model(x, [L.GlobalMaxPooling2D()(y), L.Flatten()(L.Conv2DTranspose(2, 3, strides=2)(y))]), formats=("h5", "keras"))
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = L.Dense(4, activation="relu")
    inner = keras.Sequential([L.Dense(5, input_shape=(4,)), L.BatchNormalization(), L.Dense(4)], name="inner")
    i = keras.Input((4,), name="i")
    fun = keras.Model(i, L.Multiply()([i, L.Dense(4)(i)]), name="fun")
    y = L.Add()([shared(a), shared(b), inner(b)])
    save("two_nested", keras.Model([a, b], [fun(fun(y)), inner(y)]), formats=("h5", "keras"))
    import tensorflow as tf
    save("two_functions", keras.Model([a, b], [a + b, a * 2.0, 1.0 - b, a / (b * b + 1.0), tf.nn.relu(a), tf.concat([a, b], axis=1), tf.reduce_mean(a, axis=1, keepdims=True), a[:, 1:3], tf.reshape(a, (-1, 2, 2)), tf.math.sigmoid(a) * b]), formats=("h5", "keras"))
    q = keras.Input((4, 6), name="q")
    save("two_attention", keras.Model(q, [L.MultiHeadAttention(2, 3)(q, q), L.Attention(use_scale=True)([q, q])]), formats=("h5", "keras"))
    i = keras.Input((6,), dtype="int32", name="i")
    y = L.Embedding(8, 3, mask_zero=True)(i)
    save("two_masked", keras.Model(i, [L.LSTM(4)(y), L.Bidirectional(L.GRU(3, return_sequences=True))(y)]), formats=("h5", "keras"), batch=4, high=3)
    save("two_state", keras.Model(q, L.LSTM(3, return_sequences=True)(L.Dense(3)(q), initial_state=L.LSTM(3, return_state=True)(q)[1:])), formats=("h5", "keras"))
    x = keras.Input(batch_shape=(5, 2, 3), name="x")
    save("two_time", keras.Model(x, [L.LSTM(4, time_major=True)(x), *L.GRU(3, time_major=True, return_sequences=True, return_state=True)(x), L.SimpleRNN(2, time_major=True, return_sequences=True, go_backwards=True)(x)]), formats=("h5", "keras"))


def wrong():
    """Models that can't be read, for what is said about them."""
    folder = HERE.parent.parent / "samples" / "keras"
    folder.mkdir(exist_ok=True)
    if ONLY not in "wrong":
        return

    @keras.saving.register_keras_serializable(package="Mine")
    class Doubling(L.Layer):
        def call(self, x):
            return 2 * x

    x = keras.Input((4,), name="x")
    keras.Model(x, L.Lambda(lambda x: x + 1, name="plus")(x), name="lambda").save(folder / "lambda.keras")
    keras.Model(x, Doubling(name="double")(x), name="custom").save(folder / "custom.keras")
    keras.Model(x, L.Dense(2)(x)).save_weights(folder / "only.weights.h5")


def samples():
    """Files that were made elsewhere: what is in them is what Keras of that time wrote."""
    for path in sorted(HERE.glob("sample_*")):
        if path.suffix == ".npz" or ONLY not in path.name:
            continue
        of_two = "k2" in path.name
        if of_two != TWO:
            continue
        model = keras.models.load_model(path, compile=False)
        rng = rng_of(path.name)
        inputs = model.inputs
        values = {}
        for tensor in inputs:
            dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
            indices = any(type(layer).__name__ == "Embedding" for layer in model.layers)
            shape = [2 if extent is None else extent for extent in tensor.shape]
            value = rng.integers(0, 11, shape).astype(dtype) if indices else draw(rng, shape, dtype)
            values[tensor.name.split(":")[0]] = value
        result = model(list(values.values()) if len(values) > 1 else next(iter(values.values())), training=False)
        result = result if isinstance(result, (list, tuple)) else [result]
        names = [f"output_{at}" for at in range(len(result))] if isinstance(model, keras.Sequential) else model.output_names
        np.savez(HERE / f"{path.name}.npz", **{f"in:{key}": value for key, value in values.items()}, **{f"out:{key}": np.asarray(value).astype("float32") for key, value in zip(names, result)})


def main():
    if TWO:
        two()
        flush("two")
        samples()
        return
    for family in (convolutions, pools, first, movement, norms, activations, cores, recurrent, masks, attention, merges, models, images, spectrograms, operations, wrong, samples):
        family()
        flush(family.__name__)
    subprocess.run([sys.executable, __file__, "--two", *sys.argv[1:]], check=True, env={**os.environ, "TF_USE_LEGACY_KERAS": "1"})


if __name__ == "__main__":
    main()
