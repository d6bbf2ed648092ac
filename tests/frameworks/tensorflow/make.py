#!/usr/bin/env python3
# tensorflow-cpu==2.21.0
# keras==3.15.1
# numpy>=1.26
"""Makes the models in this folder, and what TensorFlow gives for drawn inputs.

    make.py [TEXT]

Makes those whose names hold TEXT, else all. Graphs (.pb) are written as they are built, so that their names are those given here; SavedModels are
folders. The folders in SAMPLES are not made here, only their oracles are: they came out of Keras 2, and of TensorFlow.js's converter, which
runs the same net as the SavedModel named beside it.
"""

import os
import pathlib
import shutil
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent
V1 = tf.compat.v1
F, I, B = "float32", "int32", "bool"
WANTED = sys.argv[1] if len(sys.argv) > 1 else ""

# name -> (shapes of inputs, the SavedModel that computes the same, or None)
SAMPLES = {
    "k2_seq": ({"embedding_input": [3, 6]}, None),
    "tfjs_plain": ({"img": [2, 17, 17, 3]}, "convnet"),
    "tfjs_fp16": ({"img": [2, 17, 17, 3]}, None),
    "tfjs_uint8": ({"img": [2, 17, 17, 3]}, None),
}


def wanted(name):
    return WANTED in name


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def draw(rng, shape, dtype, low=None, high=None):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(low if low is not None else (-9 if dtype.kind == "i" else 0), high if high is not None else 10, size=shape).astype(dtype)
    if low is not None:
        return rng.uniform(low, high, size=shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def write(name, inputs, outputs):
    np.savez(HERE / f"{name}.npz", **{f"in:{k}": v for k, v in inputs.items()}, **{f"out:{k}": np.asarray(v) for k, v in outputs.items()})


class Graph:
    """A graph with named inputs and outputs, and its oracle."""

    def __init__(self, name, v1_control_flow=False):
        self.name, self.v1 = name, v1_control_flow
        self.rng, self.feed, self.fetch = rng_of(name), {}, {}

    def __enter__(self):
        self.graph = tf.Graph()
        self.context = self.graph.as_default()
        self.context.__enter__()
        V1.set_random_seed(1)
        if self.v1:
            V1.disable_control_flow_v2()
        else:
            V1.enable_control_flow_v2()
        return self

    def input(self, name, shape, dtype=F, low=None, high=None, declared=None, value=None):
        value = draw(self.rng, shape, dtype, low, high) if value is None else np.asarray(value, dtype)
        self.feed[name] = value
        return V1.placeholder(dtype, declared if declared is not None else shape, name=name)

    def out(self, name, value):
        value = tf.identity(value, name=f"{name}_out")
        self.fetch[value.op.name] = value

    def const(self, shape, dtype=F, low=None, high=None):
        return tf.constant(draw(self.rng, shape, dtype, low, high))

    def __exit__(self, kind, *rest):
        if kind is None:
            with V1.Session() as session:
                values = session.run(self.fetch, {f"{k}:0": v for k, v in self.feed.items()})
            (HERE / f"{self.name}.pb").write_bytes(self.graph.as_graph_def().SerializeToString(deterministic=True))
            write(f"{self.name}.pb", self.feed, values)
        self.context.__exit__(kind, *rest)
        V1.enable_control_flow_v2()


GRAPHS = []


def graph(make):
    GRAPHS.append(make)
    return make


@graph
def unary():
    r = tf.raw_ops
    with Graph("unary") as g:
        x, p, u = g.input("x", [3, 5]), g.input("p", [3, 5], low=0.1, high=4), g.input("u", [3, 5], low=-0.95, high=0.95)
        for op in ["Abs", "Atan", "Asinh", "Ceil", "Cos", "Cosh", "Elu", "Erf", "Erfc", "Exp", "Expm1", "Floor", "IsFinite", "IsInf", "IsNan", "Neg", "Rint", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Square", "Tan", "Tanh", "Relu", "Relu6", "Softmax", "LogSoftmax", "OnesLike", "ZerosLike"]:
            key = {"Softmax": "logits", "LogSoftmax": "logits"}.get(op) or ("features" if op in ("Elu", "Selu", "Softplus", "Softsign", "Relu", "Relu6") else "x")
            g.out(op.lower(), getattr(r, op)(**{key: x}))
        for op in ["Log", "Log1p", "Sqrt", "Rsqrt", "Reciprocal", "Inv"]:
            g.out(op.lower(), getattr(r, op)(x=p))
        for op in ["Acos", "Asin", "Atanh"]:
            g.out(op.lower(), getattr(r, op)(x=u))
        g.out("acosh", tf.acosh(p + 1))
        g.out("leaky", r.LeakyRelu(features=x))
        g.out("leaky3", r.LeakyRelu(features=x, alpha=0.3))
        g.out("gelu", tf.nn.gelu(x))
        g.out("gelutanh", tf.nn.gelu(x, approximate=True))
        g.out("swish", x * tf.sigmoid(x))
        g.out("l2", r.L2Loss(t=x))
        g.out("clip", tf.clip_by_value(x, -0.5, 1))
        g.out("clipraw", r.ClipByValue(t=x, clip_value_min=tf.constant(-1.0), clip_value_max=tf.constant(0.25)))


@graph
def edges():
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.5, -2.5, 0.5, -0.5, 1e-30, 3e38], np.float32)
    with Graph("edges") as g:
        x = g.input("x", special.shape, value=special)
        y = g.input("y", special.shape, value=special[::-1].copy())
        for name, op in {"abs": tf.abs, "relu": tf.nn.relu, "relu6": tf.nn.relu6, "round": tf.round, "floor": tf.floor, "sigmoid": tf.sigmoid, "tanh": tf.tanh, "isnan": tf.math.is_nan, "isinf": tf.math.is_inf, "isfinite": tf.math.is_finite, "exp": tf.exp, "square": tf.square, "sqrt": tf.sqrt, "log1p": tf.math.log1p, "expm1": tf.math.expm1}.items():
            g.out(name, op(x))
        for name, op in {"less": tf.less, "equal": tf.equal, "notequal": tf.not_equal, "divnonan": tf.math.divide_no_nan, "mulnonan": tf.math.multiply_no_nan, "greaterequal": tf.greater_equal}.items():
            g.out(name, op(x, y))
        g.out("where", tf.where(x > y, x, y))


@graph
def binary():
    with Graph("binary") as g:
        x, y, p = g.input("x", [2, 3, 5]), g.input("y", [3, 1]), g.input("p", [2, 1, 5], low=0.2, high=3)
        i, j = g.input("i", [4, 3], I), g.input("j", [4, 3], I, low=1, high=5)
        a, b = g.input("a", [2, 3], B), g.input("b", [3], B)
        for name, op in {"add": tf.add, "sub": tf.subtract, "mul": tf.multiply, "div": tf.divide, "max": tf.maximum, "min": tf.minimum, "squareddifference": tf.math.squared_difference, "floordiv": tf.math.floordiv, "floormod": tf.math.floormod, "atan2": tf.math.atan2, "less": tf.less, "greater": tf.greater, "lessequal": tf.less_equal, "greaterequal": tf.greater_equal, "truncmod": tf.truncatemod}.items():
            g.out(name, op(x, y))
        g.out("pow", tf.pow(p, x))
        g.out("xlogy", tf.math.xlogy(x, p))
        g.out("xdivy", tf.math.xdivy(x, p))
        g.out("xlog1py", tf.math.xlog1py(x, p))
        g.out("divnonan", tf.math.divide_no_nan(x, tf.floor(p)))
        for name, op in {"ifloordiv": tf.math.floordiv, "ifloormod": tf.math.floormod, "itruncdiv": tf.truncatediv, "itruncmod": tf.truncatemod, "iand": tf.bitwise.bitwise_and, "ior": tf.bitwise.bitwise_or, "ixor": tf.bitwise.bitwise_xor, "ishl": tf.bitwise.left_shift, "ishr": tf.bitwise.right_shift, "ipow": tf.pow, "ieq": tf.equal, "ine": tf.not_equal}.items():
            g.out(name, op(i, j))
        g.out("invert", tf.bitwise.invert(i))
        g.out("and", tf.logical_and(a, b))
        g.out("or", tf.logical_or(a, b))
        g.out("not", tf.logical_not(a))
        g.out("xor", tf.math.logical_xor(a, b))
        g.out("addn", tf.add_n([x, x, x]))
        g.out("select", tf.where(tf.less(x, 0.2), x, y))
        g.out("selectrows", tf.raw_ops.Select(condition=b, x=y, y=-y))
        g.out("approx", tf.raw_ops.ApproximateEqual(x=x, y=x + 1e-6))
        for to in ["int32", "int64", "float64", "float16", "bool", "uint8"]:
            g.out(f"cast{to}", tf.cast(tf.abs(x) * 3, to))
        g.out("castback", tf.cast(tf.cast(x, tf.bfloat16), tf.float32))
        g.out("casti", tf.cast(i, tf.float32))
        g.out("bitcast", tf.bitcast(x, tf.int32))


@graph
def reduce():
    with Graph("reduce") as g:
        x, i, b = g.input("x", [3, 4, 5]), g.input("i", [3, 4], I), g.input("b", [3, 4], B)
        for name, op in {"sum": tf.reduce_sum, "mean": tf.reduce_mean, "max": tf.reduce_max, "min": tf.reduce_min, "prod": tf.reduce_prod, "norm": tf.math.reduce_euclidean_norm}.items():
            g.out(f"{name}all", op(x))
            g.out(f"{name}1", op(x, 1))
            g.out(f"{name}02", op(x, [0, -1], keepdims=True))
            g.out(f"{name}none", op(x, []))
        g.out("isum", tf.reduce_sum(i, 1))
        g.out("imean", tf.reduce_mean(i, 0))
        g.out("all", tf.reduce_all(b, 0))
        g.out("any", tf.reduce_any(b, 1, keepdims=True))
        g.out("argmax", tf.argmax(x, 1))
        g.out("argmin", tf.argmin(x, -1, output_type=tf.int32))
        g.out("cumsum", tf.cumsum(x, 1))
        g.out("cumsumx", tf.cumsum(x, -1, exclusive=True, reverse=True))
        g.out("cumprod", tf.math.cumprod(x, 0))
        g.out("logsumexp", tf.reduce_logsumexp(x, -1))
        g.out("variance", tf.math.reduce_variance(x, [1, 2]))
        g.out("std", tf.math.reduce_std(x, 0))
        g.out("moments", tf.nn.moments(x, [0, 1])[1])
        g.out("l2normalize", tf.math.l2_normalize(x, -1))


@graph
def shapes():
    with Graph("shapes") as g:
        x, y, i = g.input("x", [2, 3, 4], declared=[None, 3, 4]), g.input("y", [2, 3, 4]), g.input("i", [5], I, low=0, high=3)
        n = tf.shape(x)[0]
        g.out("reshape", tf.reshape(x, [n, 12]))
        g.out("reshape2", tf.reshape(x, tf.stack([-1, 2, 2])))
        g.out("shape", tf.shape(x))
        g.out("shape64", tf.shape(x, out_type=tf.int64))
        g.out("size", tf.size(x))
        g.out("rank", tf.rank(x))
        g.out("squeeze", tf.squeeze(tf.reshape(x, [2, 1, 12, 1])))
        g.out("squeeze1", tf.squeeze(tf.reshape(x, [2, 1, 12, 1]), [1]))
        g.out("expand", tf.expand_dims(x, -2))
        g.out("transpose", tf.transpose(x, [2, 0, 1]))
        g.out("concat", tf.concat([x, y, x], 1))
        g.out("concatlast", tf.concat([x, y], -1))
        g.out("stack", tf.stack([x, y], 2))
        for k, part in enumerate(tf.unstack(y, axis=1)):
            g.out(f"unstack{k}", part)
        for k, part in enumerate(tf.split(y, 2, axis=-1)):
            g.out(f"split{k}", part)
        for k, part in enumerate(tf.split(y, [1, -1], axis=1)):
            g.out(f"splitv{k}", part)
        g.out("tile", tf.tile(y, [1, 2, 3]))
        g.out("fill", tf.fill([n, 2], 7.5))
        g.out("broadcast", tf.broadcast_to(y[:, :1], [2, 3, 4]))
        g.out("range", tf.range(1, 10, 3))
        g.out("rangen", tf.range(n))
        g.out("rangef", tf.range(0.5, 3.0, 0.5))
        g.out("linspace", tf.linspace(1.0, 4.0, 7))
        g.out("onehot", tf.one_hot(i, 3))
        g.out("onehotout", tf.one_hot(i - 1, 2, 5.0, -1.0, axis=0))
        g.out("eye", tf.eye(3, 4))
        g.out("reverse", tf.reverse(y, [0, 2]))
        g.out("roll", tf.roll(y, [1, -2], [1, 2]))
        g.out("pad", tf.pad(y, [[0, 1], [2, 0], [1, 1]]))
        g.out("padv", tf.pad(y, [[0, 1], [2, 0], [1, 1]], constant_values=3.0))
        g.out("reflect", tf.pad(y, [[0, 0], [2, 1], [1, 3]], "REFLECT"))
        g.out("symmetric", tf.pad(y, [[1, 0], [2, 3], [1, 4]], "SYMMETRIC"))
        g.out("bandl", tf.linalg.band_part(y, -1, 0))
        g.out("bandu", tf.linalg.band_part(y, 0, -1))
        g.out("band", tf.linalg.band_part(y, 1, 1))
        g.out("bandu2", tf.linalg.band_part(y, 1, -1))
        g.out("diag", tf.linalg.diag(y[:, 0]))
        g.out("diagpart", tf.linalg.diag_part(y))
        g.out("setdiag", tf.linalg.set_diag(y, y[:, :, 0]))
        g.out("meshgrid", tf.meshgrid(tf.range(3), tf.range(4))[1])
        g.out("sequencemask", tf.sequence_mask(i, 4))
        g.out("zeros", tf.zeros_like(i))
        g.out("invert", tf.math.invert_permutation(tf.constant([2, 0, 3, 1])))
        g.out("bcargs", tf.broadcast_dynamic_shape(tf.shape(x), tf.constant([3, 1])))


@graph
def blocks():
    """Recurrent cells that are one op."""
    raw = tf.raw_ops
    with Graph("blocks") as g:
        x, c, h = g.input("x", [5, 2, 3]), g.input("c", [2, 4]), g.input("h", [2, 4])
        w, b, peep = g.const([7, 16]), g.const([16]), [g.const([4]) for _ in range(3)]
        steps = tf.constant(5, tf.int64)

        def lstm(name, made, every=True):
            for key in made._fields if every else ("cs", "h"):
                g.out(f"{name}_{key}", getattr(made, key))

        common = {"w": w, "b": b, **dict(zip(("wci", "wcf", "wco"), peep))}
        lstm("one", raw.BlockLSTM(seq_len_max=steps, x=x, cs_prev=c, h_prev=h, **common))
        lstm("peep", raw.BlockLSTM(seq_len_max=steps, x=x, cs_prev=c, h_prev=h, use_peephole=True, forget_bias=0.5, cell_clip=0.7, **common))
        lstm("short", raw.BlockLSTM(seq_len_max=tf.constant(3, tf.int64), x=x, cs_prev=c, h_prev=h, cell_clip=-1.0, **common), every=False)
        lstm("two", raw.BlockLSTMV2(seq_len_max=steps, x=x, cs_prev=c, h_prev=h, **common))
        lstm("cell", raw.LSTMBlockCell(x=x[0], cs_prev=c, h_prev=h, **common))
        lstm("peepcell", raw.LSTMBlockCell(x=x[1], cs_prev=c, h_prev=h, use_peephole=True, cell_clip=0.6, **common))
        gru = raw.GRUBlockCell(x=x[0], h_prev=h, w_ru=g.const([7, 8]), w_c=g.const([7, 4]), b_ru=g.const([8]), b_c=g.const([4]))
        for key in gru._fields:
            g.out(f"gru_{key}", getattr(gru, key))


@graph
def older():
    """Ops that newer ones have taken the place of, and others that are seldom met."""
    raw = tf.raw_ops
    with Graph("older") as g:
        x, y, i, n = g.input("x", [2, 3, 4]), g.input("y", [2, 3, 4], low=0.5, high=2.0), g.input("i", [6], I, low=0, high=4), g.input("n", [2, 3], I, low=1, high=9)
        image, stats = g.input("image", [4, 6, 6, 3]), [g.const([3], low=0.5, high=1.5) for _ in range(4)]
        for name, made in {
            "add": raw.Add(x=x, y=y), "div": raw.Div(x=x, y=y), "divint": raw.Div(x=n * -7, y=n), "mod": raw.Mod(x=n * -7, y=n + 1), "matmul": raw.BatchMatMul(x=x, y=y, adj_y=True),
            "matmul3": raw.BatchMatMulV3(x=x, y=y, Tout=tf.float32, adj_x=True), "bias": raw.BiasAddV1(value=x, bias=y[0, 0]), "check": raw.CheckNumerics(tensor=x, message="odd"),
            "concat": raw.Concat(concat_dim=1, values=[x, y]), "copy": raw.DeepCopy(x=x), "ensure": raw.EnsureShape(input=x, shape=[2, None, 4]), "gather": raw.Gather(params=x[0, 0], indices=i),
            "guarantee": raw.GuaranteeConst(input=x), "linspace": raw.LinSpace(start=x[0, 0, 0], stop=y[0, 0, 0], num=5), "diagonal": raw.MatrixDiag(diagonal=x), "parts": raw.MatrixDiagPart(input=x),
            "set": raw.MatrixSetDiag(input=x, diagonal=y[:, :, 0]), "parallel": raw.ParallelConcat(values=[x[:1], y[:1]], shape=[2, 3, 4]), "prevent": raw.PreventGradient(input=x),
            "reverse": raw.Reverse(tensor=x, dims=[False, True, True]), "snapshot": raw.Snapshot(input=x), "least": raw.TensorScatterMin(tensor=x, indices=[[0, 1], [1, 2]], updates=y[0, :2]),
            "rank": raw.Rank(input=x), "shapes": raw.ShapeN(input=[x, y])[1], "broadcast": tf.broadcast_to(x[:1], raw.BroadcastArgs(s0=tf.shape(x), s1=[2, 1, 1])),
            "unique": raw.UniqueV2(x=i, axis=[0]).y, "counts": raw.UniqueWithCounts(x=i).count, "places": raw.UniqueWithCounts(x=i).idx,
            "blocks": raw.SpaceToBatch(input=image, paddings=[[1, 1], [0, 2]], block_size=2), "unblocked": raw.BatchToSpace(input=image, crops=[[1, 0], [2, 1]], block_size=2),
            "norm": raw.FusedBatchNorm(x=image, scale=stats[0], offset=stats[1], mean=stats[2], variance=stats[3], is_training=False).y, "norm2": raw.FusedBatchNormV2(x=image, scale=stats[0], offset=stats[1], mean=stats[2], variance=stats[3], is_training=False, epsilon=0.01).y,
        }.items():
            g.out(name, made)


@graph
def slices():
    with Graph("slices") as g:
        x, k = g.input("x", [4, 5, 6]), g.input("k", [], I, value=2)
        g.out("a", x[1])
        g.out("b", x[:, -2])
        g.out("c", x[1:3, ::2, ::-1])
        g.out("d", x[..., 0])
        g.out("e", x[:, tf.newaxis, 1:4])
        g.out("f", x[-1, ..., tf.newaxis])
        g.out("g", x[::-2, 3:0:-1])
        g.out("h", x[:, k])
        g.out("i", x[k, :, k + 1])
        g.out("j", x[..., 2:100, -100:3])
        g.out("l", x[tf.newaxis, 1, tf.newaxis, ..., tf.newaxis, 2])
        g.out("slice", tf.slice(x, [1, 0, 2], [2, -1, 3]))
        g.out("slicedyn", tf.slice(x, tf.stack([k - 1, 0, k]), [2, 5, 3]))
        g.out("empty", x[2:2])


@graph
def gathers():
    with Graph("gathers") as g:
        x, i, w = g.input("x", [4, 5, 6]), g.input("i", [2, 3], I, low=0, high=4), g.input("w", [4, 2], I, low=0, high=5)
        nd = g.input("nd", [3, 2], I, low=0, high=4)
        g.out("gather", tf.gather(x, i))
        g.out("gather1", tf.gather(x, i, axis=1))
        g.out("gatherlast", tf.gather(x, i, axis=-1))
        g.out("batch", tf.gather(x, w, batch_dims=1, axis=1))
        g.out("batch2", tf.gather(x, w, batch_dims=1, axis=2))
        g.out("gathernd", tf.gather_nd(x, nd))
        g.out("scalar", tf.gather(x, 2, axis=1))
        v = g.const([3, 6])
        g.out("scatternd", tf.scatter_nd(nd, v, [4, 5, 6]))
        g.out("update", tf.tensor_scatter_nd_update(x, [[0, 1], [3, 4], [2, 2]], v))
        g.out("tadd", tf.tensor_scatter_nd_add(x, nd, v))
        g.out("tsub", tf.tensor_scatter_nd_sub(x, nd, x[:3, 0]))
        g.out("tmax", tf.tensor_scatter_nd_max(x, nd, v))
        values, indices = tf.math.top_k(x, 3)
        g.out("topv", values)
        g.out("topi", indices)
        g.out("revseq", tf.reverse_sequence(x, [1, 5, 3, 2], seq_axis=1, batch_axis=0))
        g.out("stitch", tf.dynamic_stitch([[0, 2], [1, 3]], [x[0, :2], x[1, 1:3]]))
        g.out("where", tf.where(tf.constant([[True, False], [True, True]])))
        u, at = tf.unique(tf.constant([4, 5, 4, 9, 5]))
        g.out("unique", u)
        g.out("uniqueat", at)
        g.out("embed", tf.nn.embedding_lookup(g.const([7, 3]), i))


@graph
def products():
    with Graph("products") as g:
        a, b, c, d = g.input("a", [3, 4]), g.input("b", [4, 5]), g.input("c", [2, 3, 3, 4]), g.input("d", [3, 4, 5])
        g.out("matmul", tf.matmul(a, b))
        g.out("ta", tf.matmul(a, g.const([3, 2]), transpose_a=True))
        g.out("tb", tf.matmul(a, g.const([6, 4]), transpose_b=True))
        g.out("batch", tf.matmul(c, d))
        g.out("adj", tf.matmul(c, g.const([2, 3, 5, 4]), adjoint_b=True))
        g.out("adjx", tf.matmul(c, g.const([3, 3, 5]), adjoint_a=True))
        g.out("bias", tf.nn.bias_add(tf.matmul(a, b), g.const([5])))
        g.out("einsum", tf.einsum("abij,bjk->abik", c, d))
        g.out("einsum2", tf.einsum("abij,bkj->aibk", c, g.const([3, 6, 4])))
        g.out("ellipsis", tf.einsum("...ij,jk->...ik", c, b))
        g.out("tensordot", tf.tensordot(c, b, [[3], [0]]))
        g.out("imatmul", tf.matmul(g.input("i", [2, 3], I), g.const([3, 2], I)))
        g.out("double", tf.matmul(tf.cast(a, tf.float64), g.const([4, 2], "float64")))


@graph
def convs():
    with Graph("convs") as g:
        x, l, v = g.input("x", [2, 9, 7, 4]), g.input("l", [2, 11, 3]), g.input("v", [1, 5, 6, 4, 2])
        k = 0
        for size, stride, dilation, pad in [(3, 1, 1, "SAME"), (3, 2, 1, "SAME"), (3, 2, 1, "VALID"), (2, 1, 1, "SAME"), (4, 3, 1, "SAME"), (3, 1, 2, "SAME"), (3, 1, 2, "VALID"), (1, 2, 1, "SAME"), ((1, 5), 1, 1, "SAME")]:
            height, width = size if isinstance(size, tuple) else (size, size)
            g.out(f"conv{k}", tf.raw_ops.Conv2D(input=x, filter=g.const([height, width, 4, 5]), strides=[1, stride, stride, 1], padding=pad, dilations=[1, dilation, dilation, 1]))
            if height == width and dilation == 1:
                g.out(f"dw{k}", tf.raw_ops.DepthwiseConv2dNative(input=x, filter=g.const([height, width, 4, 1 + k % 2]), strides=[1, stride, stride, 1], padding=pad, dilations=[1, dilation, dilation, 1]))
            k += 1
        g.out("explicit", tf.nn.conv2d(x, g.const([3, 3, 4, 5]), 2, [[0, 0], [1, 2], [0, 3], [0, 0]]))
        g.out("grouped", tf.nn.conv2d(x, g.const([3, 3, 2, 6]), 1, "SAME"))
        g.out("dwdilated", tf.nn.depthwise_conv2d(x, g.const([3, 3, 4, 2]), [1, 1, 1, 1], "SAME", dilations=[2, 2]))
        g.out("dilatedblocks", tf.nn.convolution(x, g.const([3, 3, 4, 5]), padding="SAME", dilations=[2, 3]))
        g.out("conv1d", tf.nn.conv1d(l, g.const([3, 3, 4]), 2, "SAME"))
        g.out("conv1dcausal", tf.nn.conv1d(tf.pad(l, [[0, 0], [2, 0], [0, 0]]), g.const([3, 3, 4]), 1, "VALID"))
        g.out("conv3d", tf.nn.conv3d(v, g.const([2, 3, 3, 2, 3]), [1, 1, 2, 1, 1], "SAME"))
        g.out("separable", tf.nn.separable_conv2d(x, g.const([3, 3, 4, 2]), g.const([1, 1, 8, 5]), [1, 1, 1, 1], "SAME"))
        s = 0
        for n, size, stride, pad in [(3, 3, 2, "SAME"), (4, 5, 2, "SAME"), (3, 2, 3, "SAME"), (4, 3, 1, "SAME"), (3, 3, 2, "VALID")]:
            y = g.input(f"t{s}", [2, n, n, 4])
            for extra in range(stride if pad == "VALID" else 1):
                out = n * stride - extra if pad == "SAME" else (n - 1) * stride + size + extra
                g.out(f"transposed{s}x{extra}", tf.nn.conv2d_transpose(y, g.const([size, size, 5, 4]), [2, out, out, 5], stride, pad))
            s += 1
        g.out("transposed3d", tf.nn.conv3d_transpose(v, g.const([3, 3, 3, 4, 2]), [1, 10, 6, 8, 4], [1, 2, 1, 2, 1], "SAME"))
        g.out("batchtospace", tf.batch_to_space(tf.space_to_batch(x, [2, 3], [[1, 0], [1, 1]]), [2, 3], [[1, 0], [1, 1]]))
        g.out("spacetobatch", tf.space_to_batch(x, [2, 2], [[0, 1], [1, 0]]))


@graph
def pools():
    with Graph("pools") as g:
        x, v = g.input("x", [2, 9, 7, 3]), g.input("v", [1, 5, 6, 4, 2])
        for k, (size, stride, pad) in enumerate([(2, 2, "VALID"), (3, 2, "SAME"), (3, 1, "SAME"), (2, 2, "SAME"), (4, 3, "VALID")]):
            g.out(f"max{k}", tf.nn.max_pool2d(x, size, stride, pad))
            g.out(f"avg{k}", tf.nn.avg_pool2d(x, size, stride, pad))
        g.out("max3d", tf.nn.max_pool3d(v, 2, 2, "SAME"))
        g.out("avg3d", tf.nn.avg_pool3d(v, [3, 2, 2], 1, "SAME"))
        y, at = tf.nn.max_pool_with_argmax(x, 3, 2, "SAME", include_batch_in_index=True)
        g.out("argmaxv", y)
        g.out("argmaxi", at)
        g.out("argmaxj", tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")[1])
        g.out("maxv2", tf.raw_ops.MaxPoolV2(input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"))
        g.out("global", tf.reduce_mean(x, [1, 2]))


@graph
def norms():
    with Graph("norms") as g:
        x = g.input("x", [2, 5, 4, 3])
        scale, shift, mean, variance = g.const([3]), g.const([3]), g.const([3]), g.const([3], low=0.1, high=2)
        g.out("infer", V1.nn.fused_batch_norm(x, scale, shift, mean, variance, epsilon=1e-3, is_training=False)[0])
        y, m, s = V1.nn.fused_batch_norm(x, scale, shift, is_training=True)
        g.out("train", y)
        g.out("trainmean", m)
        g.out("trainvar", s)
        g.out("batchnorm", tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-3))
        g.out("lrn", tf.nn.lrn(g.input("c", [1, 3, 2, 11]), depth_radius=2, bias=1.5, alpha=0.3, beta=0.6))
        g.out("fakeargs", tf.quantization.fake_quant_with_min_max_args(x, -1.3, 2.1))
        g.out("fakevars", tf.quantization.fake_quant_with_min_max_vars(x, -1.0, 2.0, num_bits=5, narrow_range=True))
        g.out("fakechannel", tf.quantization.fake_quant_with_min_max_vars_per_channel(x, [-1.0, -0.3, -2.0], [2.0, 0.4, 1.0]))


@graph
def images():
    r = tf.raw_ops
    with Graph("images") as g:
        x = g.input("x", [2, 4, 5, 3])
        for name, (height, width) in {"up": (8, 10), "odd": (7, 9), "down": (3, 2), "same": (4, 5), "one": (1, 1)}.items():
            for mode, (corners, half) in {"legacy": (False, False), "corners": (True, False), "half": (False, True)}.items():
                size = tf.constant([height, width])
                g.out(f"linear_{name}_{mode}", r.ResizeBilinear(images=x, size=size, align_corners=corners, half_pixel_centers=half))
                g.out(f"nearest_{name}_{mode}", r.ResizeNearestNeighbor(images=x, size=size, align_corners=corners, half_pixel_centers=half))
                if mode != "corners":
                    g.out(f"cubic_{name}_{mode}", r.ResizeBicubic(images=x, size=size, align_corners=corners, half_pixel_centers=half))
        d = g.input("d", [2, 2, 3, 12])
        g.out("depthtospace", tf.nn.depth_to_space(d, 2))
        g.out("spacetodepth", tf.nn.space_to_depth(g.input("s", [1, 4, 6, 3]), 2))
        boxes = np.array([[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, -0.1, 1, 0.9], [0, 10, 1, 11], [0, 10.1, 1, 11.1], [0, 100, 1, 101]], np.float32)
        g.out("nms", tf.image.non_max_suppression(g.input("boxes", boxes.shape, value=boxes), g.input("scores", [6], value=[0.9, 0.75, 0.6, 0.95, 0.5, 0.3]), 3, 0.5, 0.1))


@graph
def crops():
    r = tf.raw_ops
    with Graph("crops") as g:
        x, flat = g.input("x", [2, 5, 7, 3]), g.input("flat", [1, 1, 6, 2])
        boxes = np.array([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], [-0.3, 0.5, 0.4, 1.2], [0.9, 0.8, 0.1, 0.3], [0.25, 0.5, 0.25, 0.5]], np.float32)
        boxes, owners = g.input("boxes", boxes.shape, value=boxes), g.input("owners", [5], I, value=[0, 1, 1, 0, 1])
        for name, size in {"up": [9, 8], "down": [2, 3], "one": [1, 1], "row": [1, 4], "column": [3, 1]}.items():
            for method in ("bilinear", "nearest"):
                g.out(f"{method}_{name}", r.CropAndResize(image=x, boxes=boxes, box_ind=owners, crop_size=size, method=method, extrapolation_value=-1.5 if name != "down" else 0))
        g.out("flat", r.CropAndResize(image=flat, boxes=boxes[:2], box_ind=owners[:2] * 0, crop_size=[2, 3]))
        g.out("bytes", r.CropAndResize(image=tf.cast(tf.abs(x) * 50, tf.uint8), boxes=boxes, box_ind=owners, crop_size=[3, 3]))


def rnn_step(x, h, w):
    return tf.tanh(tf.matmul(tf.concat([x, h], 1), w))


def loops(g):
    x, h0, limit, cond = g.input("x", [6, 2, 3]), g.input("h0", [2, 4]), g.input("limit", [], F, value=30.0), g.input("cond", [], B, value=True)
    off = g.input("off", [], B, value=False)
    w = g.const([7, 4])

    def body(i, h, out):
        h = rnn_step(x[i], h, w)
        return i + 1, h, out.write(i, h)

    _, last, out = tf.while_loop(lambda i, h, out: i < 6, body, [0, h0, tf.TensorArray(tf.float32, 6)])
    g.out("last", last)
    g.out("all", out.stack())
    seq = tf.TensorArray(tf.float32, 6).unstack(x)
    _, last, out = tf.while_loop(lambda i, h, out: i < 6, lambda i, h, out: (i + 1, rnn_step(seq.read(i), h, w), out.write(i, tf.reduce_sum(h, 1))), [0, h0, tf.TensorArray(tf.float32, 6)])
    g.out("readlast", last)
    g.out("readall", out.stack())
    g.out("dynamic", tf.while_loop(lambda v, n: tf.reduce_sum(v) < limit, lambda v, n: (v * 1.5 + 0.1, n + 1), [tf.abs(h0), 0])[0])
    g.out("dynamiccount", tf.while_loop(lambda v, n: tf.reduce_sum(v) < limit, lambda v, n: (v * 1.5 + 0.1, n + 1), [tf.abs(h0), 0])[1])
    g.out("counter", tf.while_loop(lambda i, s: i < 5, lambda i, s: (i + 1, s + tf.cast(i, tf.float32) * h0), [2, h0])[1])
    g.out("none", tf.while_loop(lambda i, s: i < 0, lambda i, s: (i + 1, s * 2), [0, h0])[1])
    g.out("grows", tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, tf.concat([s, s[:1] * 2], 0)), [0, h0], shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, 4])])[1])

    def nested(i, s):
        inner = tf.while_loop(lambda j, t: j < i + 2, lambda j, t: (j + 1, t * 0.5 + tf.cast(j, tf.float32)), [0, s])[1]
        return i + 1, inner + 1

    g.out("nested", tf.while_loop(lambda i, s: i < 3, nested, [0, h0])[1])
    g.out("cond", tf.cond(cond, lambda: h0 * 2, lambda: h0 - 1))
    g.out("condoff", tf.cond(off, lambda: h0 * 2, lambda: tf.nn.relu(h0) - 1))
    g.out("condvalue", tf.cond(tf.reduce_sum(x) > 0, lambda: tf.reduce_max(x, 0), lambda: tf.reduce_min(x, 0)))
    g.out("condconst", tf.cond(cond, lambda: tf.constant(3.0), lambda: tf.constant(4.0)))
    g.out("condnested", tf.cond(cond, lambda: tf.cond(off, lambda: h0 + 1, lambda: h0 + 2), lambda: tf.cond(cond, lambda: h0 + 3, lambda: h0 + 4)))
    g.out("condinloop", tf.while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, tf.cond(tf.equal(i % 2, 0), lambda: s * 2, lambda: s + 1)), [0, h0])[1])
    g.out("loopincond", tf.cond(cond, lambda: tf.while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, s * 1.5), [0, h0])[1], lambda: h0))
    g.out("map", tf.map_fn(lambda row: tf.reduce_sum(row * row, 0), x))
    g.out("scan", tf.scan(lambda a, row: a * 0.5 + row, x))
    g.out("foldl", tf.foldl(lambda a, row: a * 0.5 + row, x))
    g.out("backward", tf.while_loop(lambda i, out: i >= 0, lambda i, out: (i - 1, out.write(i, x[i] * 2)), [5, tf.TensorArray(tf.float32, 6)])[1].stack())
    g.out("unordered", tf.while_loop(lambda i, out: i < 3, lambda i, out: (i + 1, out.write(2 * i, x[i] * 2)), [0, tf.TensorArray(tf.float32, 6, element_shape=[2, 3])])[1].stack())
    previous = tf.while_loop(lambda i, out: i < 6, lambda i, out: (i + 1, out.write(i, out.read(i - 1) * 0.5 + x[i])), [1, tf.TensorArray(tf.float32, 6, clear_after_read=False).write(0, x[0])])[1]
    g.out("previous", previous.stack())


@graph
def signals():
    with Graph("signals") as g:
        x = g.input("x", [2, 20])
        g.out("rfft", tf.abs(tf.signal.rfft(x)))
        g.out("padded", tf.math.real(tf.signal.rfft(x, [24])))
        g.out("imag", tf.math.imag(tf.signal.rfft(x, [15])))
        g.out("stft", tf.abs(tf.signal.stft(x, 8, 4, 8)))
        g.out("back", tf.signal.irfft(tf.signal.rfft(x), [20]))
        z = tf.complex(x, tf.reverse(x, [1]))
        g.out("fft", tf.math.real(tf.signal.fft(z)))
        g.out("ifft", tf.math.imag(tf.signal.ifft(tf.math.conj(z))))


@graph
def searches():
    with Graph("searches") as g:
        x = g.input("x", [3, 5])
        edges = np.sort(draw(g.rng, [3, 4], F), -1)
        g.out("left", tf.searchsorted(tf.constant(edges), x))
        g.out("right", tf.searchsorted(tf.constant(edges), x, side="right", out_type=tf.int64))
        g.out("bucketize", tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.5]))
        g.out("segments", tf.math.unsorted_segment_sum(x, [2, 0, 2], 4))
        g.out("sorted", tf.sort(x, -1, direction="DESCENDING"))
        g.out("argsort", tf.argsort(x, -1))
        g.out("ascending", tf.sort(x, 0))


@graph
def loops_v1():
    with Graph("loops_v1", v1_control_flow=True) as g:
        loops(g)


@graph
def loops_v2():
    with Graph("loops_v2") as g:
        loops(g)


@graph
def case_v2():
    with Graph("case_v2") as g:
        x, k = g.input("x", [2, 3]), g.input("k", [], I, value=1)
        g.out("two", tf.switch_case(k, [lambda: x + 1, lambda: x * 2]))
        g.out("const", tf.switch_case(tf.constant(2), [lambda: x + 1, lambda: x * 2, lambda: -x]))
        g.out("beyond", tf.switch_case(tf.constant(7), [lambda: x + 1, lambda: x * 2, lambda: -x]))


# SavedModels of functions.

class Module(tf.Module):
    def __init__(self):
        rng = rng_of("module")
        self.w = tf.Variable(draw(rng, [3, 4], F), name="w")
        self.nested = [tf.Variable(draw(rng, [4], F)), {"a": tf.Variable(2.0, name="w")}]
        self.half = tf.Variable(tf.cast(draw(rng, [4], F), tf.float16))
        self.brain = tf.Variable(tf.cast(draw(rng, [4], F), tf.bfloat16))
        self.flags = tf.Variable([True, False, True, True])
        self.count = tf.Variable(5, dtype=tf.int64)
        self.captured = tf.constant(draw(rng, [4], F))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serve(self, x):
        y = self.inner(x)
        if tf.reduce_sum(y) > 0:
            y = y * 2.0
        else:
            y = y - self.nested[1]["a"]
        for i in tf.range(3):
            y = y + tf.cast(i, tf.float32) * self.nested[0]
        return {"y": tf.where(self.flags, y, self.captured), "z": y + tf.cast(self.half, tf.float32) + tf.cast(self.brain, tf.float32)}

    @tf.function
    def inner(self, x):
        return tf.matmul(x, self.w) + self.nested[0]

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, name="a"), tf.TensorSpec([None, 2], tf.float32, name="b")])
    def other(self, a, b):
        self.count.assign_add(2)
        doubled = self.count * 2
        self.count.assign(doubled)
        return {"sum": a + b, "count": self.count.read_value()}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="text")])
    def text(self, text):
        return {"length": tf.strings.length(text)}


def clear(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def tidy(folder):
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    for empty in [folder / "assets"]:
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def serve(name, shapes, signature="serving_default", bounds=None):
    """The oracle of a SavedModel's signature."""
    rng = rng_of(name + signature)
    function = tf.saved_model.load(str(HERE / name)).signatures[signature]
    specs = function.structured_input_signature[1]
    low, high = bounds or (None, None)
    inputs = {key: draw(rng, shapes[key], specs[key].dtype.as_numpy_dtype, low, high) for key in sorted(specs)}
    outputs = function(**{key: tf.constant(value) for key, value in inputs.items()})
    write(name if signature == "serving_default" else f"{name}@{signature}", inputs, {key: value.numpy() for key, value in outputs.items()})


def module():
    folder = clear("module")
    made = Module()
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.serve, "other": made.other, "text": made.text})
    tidy(folder)
    serve("module", {"x": [3, 3]})
    serve("module", {"a": [2], "b": [5, 2]}, "other")


def old():
    """As version 1 saved models, with variables of both kinds."""
    for resource in [False, True]:
        name = f"v1_{'resource' if resource else 'ref'}"
        folder = clear(name)
        rng = rng_of(name)
        with tf.Graph().as_default(), V1.Session() as session:
            x = V1.placeholder(F, [None, 4], name="in")
            with V1.variable_scope("net", use_resource=resource):
                w = V1.get_variable("w", initializer=draw(rng, [4, 3], F))
                b = V1.get_variable("b", initializer=draw(rng, [3], F))
            training = V1.placeholder_with_default(False, [], name="training")
            V1.disable_control_flow_v2()
            h = tf.cond(training, lambda: tf.nn.dropout(x, 0.5), lambda: x * 1.0)
            y = tf.nn.softmax(tf.matmul(h, w) + b)
            V1.enable_control_flow_v2()
            session.run(V1.global_variables_initializer())
            V1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": y})
            value = draw(rng, [5, 4], F)
            write(name, {"x": value}, {"y": session.run(y, {x: value})})
            if resource:
                continue
            checkpoint = clear("checkpoint")
            checkpoint.mkdir()
            V1.train.Saver().save(session, str(checkpoint / "model.ckpt"), write_state=False)
            out = f"{y.op.name}"
            write("checkpoint", {"in": value}, {out: session.run(y, {x: value})})


def shards():
    """A checkpoint whose variables lie in two shards, and the same with an index of small blocks that are compressed, which TensorFlow reads and doesn't write."""
    folder, packed = clear("shards"), clear("shards_packed")
    folder.mkdir()
    rng = rng_of("shards")
    with tf.Graph().as_default(), V1.Session(config=V1.ConfigProto(device_count={"CPU": 2})) as session:
        x = h = V1.placeholder(F, [None, 4], name="in")
        for layer in range(4):
            with tf.device(f"/cpu:{layer % 2}"), V1.variable_scope(f"net/layer_{layer}", use_resource=layer < 2):
                w = V1.get_variable("weight", initializer=draw(rng, [4, 4], F))
                b = V1.get_variable("bias", initializer=draw(rng, [4], F))
            h = tf.tanh(tf.matmul(h, w) + b)
        y = tf.identity(h, "out")
        session.run(V1.global_variables_initializer())
        saver = V1.train.Saver(sharded=True)
        saver.save(session, str(folder / "model.ckpt"), write_state=False)
        value = draw(rng, [3, 4], F)
        expected = session.run(y, {x: value})
        write("shards", {"in": value}, {"out": expected})
        shutil.copytree(folder, packed)
        index = packed / "model.ckpt.index"
        index.write_bytes(table(entries(index.read_bytes())))
        session.run([V1.assign(variable, tf.zeros_like(variable)) for variable in V1.global_variables()])
        saver.restore(session, str(packed / "model.ckpt"))
        restored = session.run(y, {x: value})
        assert (restored == expected).all()
        write("shards_packed", {"in": value}, {"out": restored})


# The table that an index is: https://github.com/google/leveldb/blob/main/doc/table_format.md

def varint(number):
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def snappy(data):
    """Snappy's format: what stood before within 64 KiB is copied, the rest is literal."""
    out, seen, at, literal = bytearray(varint(len(data))), {}, 0, 0

    def flush(end):
        nonlocal literal
        while literal < end:
            part = data[literal : min(end, literal + 60)]
            out.append(len(part) - 1 << 2)
            out.extend(part)
            literal += len(part)

    while at < len(data):
        before = seen.get(data[at : at + 4])
        seen[data[at : at + 4]] = at
        length = 0
        if before is not None:
            while at + length < len(data) and length < 64 and data[before + length] == data[at + length]:
                length += 1
        if length >= 4:
            flush(at)
            out.append(length - 1 << 2 | 2)
            out.extend((at - before).to_bytes(2, "little"))
            literal = at = at + length
        else:
            at += 1
    flush(len(data))
    return bytes(out)


def block_entries(block):
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    at, key, found = 0, b"", []
    while at < end:
        shared, at = read_varint(block, at)
        rest, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + rest]
        found.append((key, block[at + rest : at + rest + length]))
        at += rest + length
    return found


def entries(data):
    """Keys and values of a table whose blocks are not compressed."""
    footer = data[-48:]
    _, at = read_varint(footer, 0)
    _, at = read_varint(footer, at)
    offset, at = read_varint(footer, at)
    length, at = read_varint(footer, at)
    found = []
    for _, handle in block_entries(data[offset : offset + length]):
        offset, at = read_varint(handle, 0)
        length, at = read_varint(handle, at)
        assert data[offset + length] == 0
        found += block_entries(data[offset : offset + length])
    return found


def block(found):
    out, last = bytearray(), b""
    for key, value in found:
        shared = len(os.path.commonprefix([key, last]))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return bytes(out) + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def table(found, each=3):
    """A table whose blocks hold so many entries each and are compressed."""
    out, handles = bytearray(), []

    def put(plain):
        packed = snappy(plain) + bytes([1])
        handle = varint(len(out)) + varint(len(packed) - 1)
        crc = crc32c(packed)
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        out.extend(packed + masked.to_bytes(4, "little"))
        return handle

    for at in range(0, len(found), each):
        part = found[at : at + each]
        handles.append((part[-1][0], put(block(part))))
    handles = put(block([])) + put(block(handles))
    return bytes(out) + handles.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


def keras_models():
    import keras
    from keras import layers as L
    keras.utils.set_random_seed(7)

    def randomise(model):
        rng = rng_of(model.name)
        for layer in model._flatten_layers():
            if isinstance(layer, L.BatchNormalization):
                count = layer.moving_mean.shape
                layer.moving_mean.assign(draw(rng, count, F))
                layer.moving_variance.assign(draw(rng, count, F, 0.3, 2))
                if layer.scale:
                    layer.gamma.assign(draw(rng, count, F, 0.5, 1.5))
                if layer.center:
                    layer.beta.assign(draw(rng, count, F))

    def convnet():
        i = L.Input((17, 17, 3), name="img")
        x = L.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(i)
        x = L.BatchNormalization()(x)
        x = L.ReLU(max_value=6)(x)
        x = L.DepthwiseConv2D(3, padding="valid", depth_multiplier=2)(x)
        x = L.Activation("hard_silu")(x)
        x = L.SeparableConv2D(6, 3, padding="same", activation="selu")(x)
        x = L.MaxPooling2D(2, padding="same")(x)
        x = L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="leaky_relu")(x)
        x = L.UpSampling2D(2, interpolation="bilinear")(x)
        x = L.ZeroPadding2D(((1, 0), (0, 2)))(x)
        x = L.Cropping2D(1)(x)
        x = L.AveragePooling2D(3, 2, padding="same")(x)
        x = L.GroupNormalization(2)(x)
        y = L.GlobalAveragePooling2D()(x)
        z = L.GlobalMaxPooling2D()(x)
        return keras.Model(i, L.Dense(5, activation="softmax")(L.Concatenate()([y, z])), name="convnet")

    def rnn():
        i = L.Input((7,), dtype="int32", name="ids")
        x = L.Embedding(11, 5, mask_zero=True)(i)
        x = L.LSTM(3, return_sequences=True)(x)
        x = L.GRU(4, return_sequences=True)(x)
        x = L.Bidirectional(L.GRU(2, reset_after=False, return_sequences=True))(x)
        y, state = L.SimpleRNN(3, return_state=True, go_backwards=True)(x)
        return keras.Model(i, [L.Dense(2)(y), state], name="rnn")

    def plain_rnn():
        i = L.Input((None, 3), name="x")
        x = L.LSTM(4, return_sequences=True)(i)
        x = L.TimeDistributed(L.Dense(3, activation="elu"))(x)
        x = L.GRU(4, return_sequences=True, reset_after=True)(x)
        x = L.Conv1D(4, 3, padding="causal", dilation_rate=2)(x)
        return keras.Model(i, L.LSTM(2, unroll=False)(x), name="plain_rnn")

    def convlstm():
        i = L.Input((4, 6, 5, 2), name="x")
        x = L.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(i)
        x = L.Conv3D(2, 2)(x)
        return keras.Model(i, L.Flatten()(x), name="convlstm")

    def block():
        i = L.Input((6, 8), name="x")
        x = L.LayerNormalization()(i)
        x = L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
        x = L.Add()([i, x])
        y = L.Dense(16, activation="gelu")(x)
        y = L.Dense(8)(y)
        y = L.RMSNormalization()(y)
        a = L.Attention(use_scale=True)([x, y])
        return keras.Model(i, [L.Add()([x, y]), L.UnitNormalization()(a)], name="block")

    def mixed():
        i, j = L.Input((6, 4), name="a"), L.Input((6, 4), name="b")
        x = L.Multiply()([i, j])
        x = L.Permute((2, 1))(x)
        x = L.Reshape((3, 8))(x)
        x = L.PReLU(alpha_initializer="random_normal")(x)
        x = L.Rescaling(0.5, 1.0)(x)
        x = L.Dot(2)([x, L.Maximum()([x, L.Minimum()([x, x])])])
        y = keras.ops.mean(keras.ops.square(i), axis=-1)
        z = L.Softmax()(L.RepeatVector(2)(y))
        q = L.Conv1DTranspose(3, 4, strides=2, padding="same")(i)
        return keras.Model([i, j], {"x": x, "z": z, "q": L.SpatialDropout1D(0.3)(q), "n": L.Normalization(mean=0.5, variance=2.0)(j)}, name="mixed")

    shapes = {"convnet": {"img": [2, 17, 17, 3]}, "rnn": {"ids": [3, 7]}, "plain_rnn": {"x": [2, 9, 3]}, "convlstm": {"x": [2, 4, 6, 5, 2]}, "block": {"x": [3, 6, 8]}, "mixed": {"a": [2, 6, 4], "b": [2, 6, 4]}}
    for make in [convnet, rnn, plain_rnn, convlstm, block, mixed]:
        if not (wanted(make.__name__)):
            continue
        model = make()
        randomise(model)
        given = shapes[model.name]
        bounds = (0, 11) if model.name == "rnn" else None
        exported = clear(f"{model.name}_export")
        model.export(str(exported), verbose=False)
        tidy(exported)
        serve(exported.name, given, bounds=bounds)
        if model.name in ("convnet", "plain_rnn"):
            saved = clear(model.name)
            tf.saved_model.save(model, str(saved))
            tidy(saved)
            names = tf.saved_model.load(str(saved)).signatures["serving_default"].structured_input_signature[1]
            serve(saved.name, dict(zip(sorted(names), given.values())), bounds=bounds)
        if model.name in ("plain_rnn", "rnn"):
            from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
            spec = [tf.TensorSpec(given[t.name], t.dtype, name=t.name) for t in model.inputs]
            function = tf.function(lambda x: model(x, training=False)).get_concrete_function(*spec)
            frozen = convert_variables_to_constants_v2(function, lower_control_flow=model.name == "rnn")
            frozen_def = frozen.graph.as_graph_def()
            name = f"{model.name}_frozen.pb"
            (HERE / name).write_bytes(frozen_def.SerializeToString(deterministic=True))
            rng = rng_of(name)
            value = draw(rng, given[model.inputs[0].name], spec[0].dtype.as_numpy_dtype, *(bounds or (None, None)))
            results = frozen(tf.constant(value))
            write(name, {frozen.inputs[0].op.name: value}, {t.op.name: r.numpy() for t, r in zip(frozen.outputs, results)})


def samples():
    for name, (shapes, same_as) in SAMPLES.items():
        if not wanted(name):
            continue
        if name.startswith("tfjs"):
            tfjs(name, shapes)
        else:
            saved(name, shapes, (0, 10))


def saved(name, shapes, bounds):
    """Runs a SavedModel's graph without its objects."""
    rng = rng_of(name)
    with tf.Graph().as_default(), V1.Session() as session:
        signature = V1.saved_model.load(session, ["serve"], str(HERE / name)).signature_def["serving_default"]
        inputs = {key: draw(rng, shapes[key], tf.dtypes.as_dtype(info.dtype).as_numpy_dtype, *bounds) for key, info in signature.inputs.items()}
        outputs = session.run({key: info.name for key, info in signature.outputs.items()}, {signature.inputs[key].name: value for key, value in inputs.items()})
    write(name, inputs, outputs)


def tfjs(name, shapes):
    """Runs TensorFlow.js's graph in TensorFlow: weights are put into it as the converter documents their storage."""
    import json
    from google.protobuf import json_format
    folder = HERE / name
    model = json.loads((folder / "model.json").read_text())
    data = b"".join((folder / path).read_bytes() for group in model["weightsManifest"] for path in group["paths"])
    weights, at = {}, 0
    for entry in [entry for group in model["weightsManifest"] for entry in group["weights"]]:
        quantised = entry.get("quantization")
        stored = np.dtype((quantised or entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        value = np.frombuffer(data, stored, count, at).reshape(entry["shape"])
        at += value.nbytes
        if quantised:
            value = (value * quantised.get("scale", 1) + quantised.get("min", 0)).astype(entry["dtype"])
        weights[entry["name"]] = value
    definition = V1.GraphDef()
    topology = model["modelTopology"]
    for node in topology["node"]:
        if node["op"] == "Const":
            node["attr"].pop("value", None)
    json_format.ParseDict(topology, definition, ignore_unknown_fields=True)
    for node in definition.node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
    signature = model.get("signature") or model["userDefinedMetadata"]["signature"]
    with tf.Graph().as_default(), V1.Session() as session:
        tf.import_graph_def(definition, name="")
        rng = rng_of("tfjs")
        inputs = {key: draw(rng, shapes[key], F) for key in signature["inputs"]}
        outputs = session.run({key: info["name"] for key, info in signature["outputs"].items()}, {signature["inputs"][key]["name"]: value for key, value in inputs.items()})
    write(name, inputs, outputs)


def main():
    for make in GRAPHS:
        if wanted(make.__name__):
            make()
    if wanted("module"):
        module()
    if wanted("v1") or wanted("checkpoint"):
        old()
    if wanted("shards"):
        shards()
    keras_models()
    samples()


if __name__ == "__main__":
    main()
