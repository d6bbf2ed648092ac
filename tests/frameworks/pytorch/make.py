#!/usr/bin/env python3
"""Makes the exported programs of this folder, and what PyTorch gives for them on drawn inputs.

    make.py [NAME...]

Writes NAME.pt2 beside NAME.pt2.npz: inputs as `in:NAME`, outputs as `out:NAME`, in the program's order. The programs `sample*.pt2` were
written by PyTorch 2.6, 2.8 and 2.15, and are only read.

requirements:
    torch==2.15.0
    numpy==2.4.6
"""

import pathlib
import sys
import warnings
import zipfile

import numpy as np
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent
CASES = {}


def case(*inputs, dynamic=None, decompose=False, again=None):
    """Registers a module class or a function. `inputs` are shapes, or functions that draw; `again` are shapes of another run than
    the exporting one, which is the one that is stored."""
    def register(what):
        name = what.__name__.lower()
        CASES[name] = (what, inputs, dynamic, False, again)
        if decompose:
            CASES[f"{name}_core"] = (what, inputs, dynamic, True, again)
        return what
    return register


class Wrapped(nn.Module):
    """A function of tensors as a module that gives a dictionary."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def draw(spec, generator):
    if callable(spec):
        return spec(generator)
    return torch.randn(spec, generator=generator)


def ints(low, high, *shape, dtype=torch.int64):
    return lambda g: torch.randint(low, high, shape, generator=g).to(dtype)


def bools(*shape):
    return lambda g: torch.rand(shape, generator=g) > 0.5


def uniform(low, high, *shape, dtype=torch.float32):
    return lambda g: (torch.rand(shape, generator=g) * (high - low) + low).to(dtype)


def edges(*shape):
    """Drawn numbers with NaN, infinities and both zeros among them."""
    def make(g):
        x = torch.randn(shape, generator=g)
        x.view(-1)[:6] = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e-30])
        return x
    return make


@case((3, 7), uniform(0.1, 3.0, 3, 7), uniform(-0.99, 0.99, 3, 7), edges(3, 7), decompose=True)
def unary(x, p, u, e):
    T = torch
    return {
        "abs": x.abs(), "neg": -x, "sin": x.sin(), "cos": x.cos(), "tan": u.tan(), "asin": u.asin(), "acos": u.acos(), "atan": x.atan(), "sinh": x.sinh(), "cosh": x.cosh(),
        "tanh": x.tanh(), "asinh": x.asinh(), "acosh": (p + 1).acosh(), "atanh": u.atanh(), "exp": x.exp(), "exp2": x.exp2(), "expm1": x.expm1(), "log": p.log(), "log2": p.log2(),
        "log10": p.log10(), "log1p": p.log1p(), "log1p_small": (u * 1e-4).log1p(), "sqrt": p.sqrt(), "rsqrt": p.rsqrt(), "reciprocal": p.reciprocal(), "square": x.square(), "sign": e.sign(),
        "floor": e.floor(), "ceil": e.ceil(), "round": (x * 2).round(), "decimals": x.round(decimals=2), "trunc": e.trunc(), "frac": x.frac(), "erf": x.erf(), "erfc": x.erfc(), "sigmoid": e.sigmoid(), "logit": T.logit(x, eps=1e-3),
        "isnan": e.isnan(), "isinf": e.isinf(), "isfinite": e.isfinite(), "isposinf": e.isposinf(), "isneginf": e.isneginf(), "signbit": e.signbit(), "nan_to_num": e.nan_to_num(), "nan_to_num_given": e.nan_to_num(1.0, 2.0, -3.0),
        "logical_not": e.logical_not(), "sinc": x.sinc(), "deg2rad": x.deg2rad(), "positive": +x, "not_bits": ~(x * 10).int(), "int_float": (x * 10).int().sin(), "sgn": e.sgn(), "floor_int": (x * 10).int().floor(),
        "exp_edge": e.exp(), "relu_edge": e.relu(), "expm1_edge": e.expm1(),
    }


@case((3, 7), edges(3, 7), decompose=True)
def activations(x, e):
    return {
        "relu": x.relu(), "relu6": F.relu6(x * 5), "elu": F.elu(x, 0.7), "selu": F.selu(x), "celu": F.celu(x, 0.6), "leaky": F.leaky_relu(x, 0.2), "gelu": F.gelu(x), "gelu_tanh": F.gelu(x, approximate="tanh"), "silu": F.silu(x),
        "mish": F.mish(x), "softplus": F.softplus(x, 2.0, 1.0), "softplus_plain": F.softplus(e), "softsign": F.softsign(x), "hardtanh": F.hardtanh(x, -0.5, 0.7), "hardswish": F.hardswish(x * 3), "hardsigmoid": F.hardsigmoid(x * 3),
        "softshrink": F.softshrink(x, 0.3), "hardshrink": F.hardshrink(x, 0.3), "tanhshrink": F.tanhshrink(x), "threshold": F.threshold(x, 0.1, 2.0), "threshold_zero": F.threshold(x, 0.1, 0.0), "logsigmoid": F.logsigmoid(x),
        "glu": F.glu(x[:, :6], -1), "softmax": F.softmax(x, 1), "softmax0": F.softmax(x, 0, dtype=torch.float64), "log_softmax": F.log_softmax(x, -1), "softmin": F.softmin(x, 1), "rrelu": F.rrelu(x),
        "prelu": F.prelu(x, torch.linspace(0.1, 0.5, 7)), "clamp": e.clamp(-0.5, 0.5), "clamp_min": e.clamp(min=0.1), "clamp_max": e.clamp(max=0.1), "clamp_tensor": x.clamp(torch.tensor(-0.3), torch.full((7,), 0.4)), "clamp_int": (x * 10).int().clamp(-3, 4), "clamp_mixed": (x * 10).int().clamp(-2.5, 3.5),
    }


@case((3, 7), (7,), uniform(0.2, 2.0, 3, 1), ints(-9, 9, 3, 7), ints(1, 9, 3, 7, dtype=torch.int32), edges(3, 7), decompose=True)
def binary(x, y, p, i, j, e):
    T = torch
    return {
        "add": x + y, "add_alpha": T.add(x, y, alpha=0.5), "sub": x - p, "sub_alpha": T.sub(i, j, alpha=3), "rsub": 2 - x, "rsub_alpha": T.rsub(x, y, alpha=2), "mul": x * y, "div": x / p, "div_int": i / j, "floor_div": i // j, "floor_div_neg": i // -j, "floor_div_float": x // p,
        "trunc_div": T.div(i, j, rounding_mode="trunc"), "trunc_div_float": T.div(x, p, rounding_mode="trunc"), "floor_mode": T.div(x, p, rounding_mode="floor"), "remainder": i % j, "remainder_neg": i % -j, "remainder_float": T.remainder(x, p), "fmod": T.fmod(x, p), "fmod_int": T.fmod(i, j),
        "pow": p ** y, "pow2": x ** 2, "pow_half": p ** 0.5, "pow_int": j ** 2, "scalar_pow": 2.0 ** x, "scalar_pow_int": 2 ** j, "maximum": T.maximum(e, y), "minimum": T.minimum(e, y), "fmax": T.fmax(e, y), "fmin": T.fmin(e, y), "atan2": T.atan2(x, y), "hypot": T.hypot(x, y),
        "copysign": T.copysign(x, y), "xlogy": T.xlogy(x, p), "logaddexp": T.logaddexp(x, y), "lerp": T.lerp(x, y, 0.3), "addcmul": T.addcmul(x, y, p, value=0.5), "addcdiv": T.addcdiv(x, y, p, value=2.0), "eq": i == j, "ne": i != 3, "lt": e < y, "le": e <= y, "gt": e > 0, "ge": e >= y,
        "and": (x > 0) & (y > 0), "or": (x > 0) | (y > 0), "xor": (x > 0) ^ (y > 0), "bits_and": i & j, "bits_or": i | 5, "bits_xor": i ^ j, "shl": j << 2, "shr": i >> 1, "logical_and": T.logical_and(i, j), "logical_or": T.logical_or(e, x > 0), "logical_xor": T.logical_xor(i, x > 0),
        "where": T.where(x > 0, x, y), "where_scalar": T.where(x > 0, 1.0, y), "where_both": T.where(x > 0, 1, 2), "heaviside": T.heaviside(e, y), "masked_fill": x.masked_fill(x > 0, -1.5), "float_power": T.float_power(p, 2), "isclose": T.isclose(x, x + 1e-9),
    }


@case((2, 3), ints(0, 5, 2, 3), ints(0, 5, 2, 3, dtype=torch.int32), ints(0, 5, 2, 3, dtype=torch.uint8), bools(2, 3), (), ints(0, 5), uniform(0, 4, 2, 3, dtype=torch.float64), uniform(0, 4, 2, 3, dtype=torch.float16), uniform(0, 4, 2, 3, dtype=torch.bfloat16))
def promotion(f, l, i, u, b, zero, whole, d, h, w):
    return {
        "int_float": i + f, "int_scalar": i + 1, "int_float_scalar": i * 2.5, "bool_int": b + i, "bool_scalar": b * 3, "bool_float": b * 1.5, "bool_bool": b + b, "byte_int": u + i, "byte_zero": u + whole, "int_zero_float": i + zero, "half_zero": h + zero, "half_float": h + f,
        "half_brain": h + w, "brain_scalar": w * 2.5, "double_float": d + f, "float_zero_int": f + whole, "long_int": l - i, "long_half": l * h, "bool_zero": b + whole, "byte_scalar": u + 300, "cat": torch.cat([i, f]), "cat_int": torch.cat([l, i]), "where": torch.where(b, i, f), "stack": torch.stack([f, d]),
        "compare": (i < 2.5), "compare_mixed": (u == l), "max": torch.maximum(i, l), "sum_bool": b.sum(), "sum_int": i.sum(), "prod": i.prod(), "mean": f.mean(), "cumsum": i.cumsum(0), "sum_half": h.sum(1), "div": u / u.clamp(1), "to": f.to(torch.int32), "long": f.long(), "bool": f.bool(), "half": f.half(),
        "sum_dtype": f.sum(dtype=torch.float64), "type_as": i.type_as(f), "double_scalar": f * torch.tensor(2.0, dtype=torch.float64),
    }


@case((2, 3, 4), (2, 3, 4), decompose=True)
def shapes(x, y):
    T = torch
    return {
        "view": x.view(6, -1), "reshape": x.reshape(4, 6), "flatten": x.flatten(1), "flatten_all": x.flatten(), "unflatten": x.unflatten(2, (2, -1)), "squeeze": x[:1].squeeze(), "squeeze_dim": x[:, :1].squeeze(1), "squeeze_no": x.squeeze(1), "unsqueeze": x.unsqueeze(-1), "permute": x.permute(2, 0, 1),
        "transpose": x.transpose(0, -1), "t": x[0].t(), "mT": x.mT, "T": x[0].T, "movedim": x.movedim(0, 2), "swapaxes": x.swapaxes(0, 1), "expand": x[:, :1].expand(-1, 5, -1), "expand_front": x.expand(2, 2, 3, 4), "expand_as": x[:1].expand_as(x), "repeat": x.repeat(2, 1, 3), "tile": x.tile(2),
        "interleave": x.repeat_interleave(2, 1), "interleave_flat": x.repeat_interleave(3), "cat": T.cat([x, y], 1), "stack": T.stack([x, y], 1), "hstack": T.hstack([x, y]), "vstack": T.vstack([x, y]), "split": x.split(2, 2)[1], "split_sizes": x.split([1, 2], 1)[1], "chunk": x.chunk(3, 2)[1], "tensor_split": x.tensor_split(3, 2)[0],
        "unbind": x.unbind(1)[2], "select": x.select(1, -1), "slice": x[:, 1:, ::2], "slice_neg": x[:, -2:-1], "narrow": x.narrow(2, 1, 2), "roll": x.roll(1, 2), "roll2": x.roll((1, -1), (0, 1)), "roll_flat": x.roll(5), "flip": x.flip(0, 2), "rot90": x[0].rot90(1, (0, 1)), "rot90_neg": x[0].rot90(-1, (0, 1)),
        "diagonal": x.diagonal(0, 1, 2), "diagonal_off": x.diagonal(1, 1, 2), "diagonal_low": x.diagonal(-1, 1, 2), "unfold": x.unfold(2, 2, 1), "tril": x.tril(), "triu": x.triu(1), "tril_bool": (x > 0).tril(-1), "pad": F.pad(x, (1, 2, 0, 1)), "pad_value": F.pad(x, (1, 0), value=3.5), "pad_neg": F.pad(x, (-1, 1)), "reflect": F.pad(x, (2, 1), mode="reflect"),
        "replicate": F.pad(x, (2, 1), mode="replicate"), "circular": F.pad(x, (2, 1), mode="circular"), "meshgrid": T.meshgrid(x[0, 0], y[0, 0], indexing="ij")[1], "meshgrid_xy": T.meshgrid(x[0, 0], y[0, 0, :3], indexing="xy")[0], "atleast": T.atleast_3d(x[0]), "broadcast": T.broadcast_to(x[0], (2, 3, 4)), "clone": x.clone(), "contiguous": x.transpose(0, 1).contiguous(), "view_as": x.view_as(y.view(4, 6)),
        "diff": x.diff(dim=1), "as_strided": x.as_strided((2, 2), (3, 1), 2), "column_stack": T.column_stack([x[0], y[0]]), "select_scatter": T.select_scatter(x, y[:, 0], 1, 2), "slice_scatter": T.slice_scatter(x, y[:, :2], 1, 1), "slice_scatter_step": T.slice_scatter(x, y[:, :, :2], 2, 0, 4, 2), "diagonal_scatter": T.diagonal_scatter(x[0], y[0, 0, :3]), "ravel": x.ravel(), "bits": x.view(T.int32),
    }


@case((3, 5, 4), edges(4, 6), bools(3, 5), ints(-5, 9, 3, 5), decompose=True)
def reductions(x, e, b, i):
    T = torch
    return {
        "sum": x.sum(), "sum_dim": x.sum(1), "sum_dims": x.sum((0, 2), keepdim=True), "mean": x.mean((1, 2)), "prod": x.prod(1), "amax": x.amax((0, 1)), "amin": x.amin(2, keepdim=True), "max": x.max(), "min": i.min(), "max_dim": x.max(1).values, "max_index": x.max(1).indices, "min_dim": x.min(-1, keepdim=True)[0], "min_index": x.min(-1, keepdim=True)[1],
        "argmax": x.argmax(), "argmax_dim": x.argmax(1, keepdim=True), "argmin": i.argmin(1), "any": b.any(), "any_dim": b.any(1), "all": b.all(0), "all_int": i.all(1, keepdim=True), "var": x.var(1), "var0": x.var((0, 2), correction=0), "std": x.std(), "std_dim": x.std(1, unbiased=False), "var_mean": T.var_mean(x, 2)[1], "std_mean": T.std_mean(x, 2)[0], "norm": x.norm(), "norm1": x.norm(1, 2), "norm3": x.norm(3, 1),
        "norm_inf": T.linalg.vector_norm(x, float("inf"), 1), "norm0": T.linalg.vector_norm(i.float(), 0, 1), "linalg_norm": T.linalg.norm(x, dim=2), "logsumexp": x.logsumexp(1), "cumsum": x.cumsum(1), "cumprod": x.cumprod(2), "cummax": x.cummax(1)[0], "cummin": x.cummin(1)[1], "logcumsumexp": x.logcumsumexp(1), "count": i.count_nonzero(1), "aminmax": T.aminmax(x, dim=1)[1], "median": x.median(), "median_dim": x.median(1)[0],
        "kth": x.kthvalue(2, 1)[0], "nansum": e[0:1].nansum(1), "nanmean": T.nanmean(e[1:], 1), "max_nan": e.amax(1), "min_nan": e.min(1)[0], "trace": x[0, :4].trace(), "normalize": F.normalize(x, dim=2), "max_bool": b.max(), "sum_bool": b.sum(1), "mean_all": x.mean(),
    }


@case((4, 5, 3), ints(0, 4, 6), ints(0, 5, 6), ints(-4, 4, 2, 3), bools(4, 5), (4, 5, 3), decompose=True)
def indexing(x, i, j, n, m, y):
    T = torch
    big = i.clamp(max=2)
    g = T.stack([i[:3], i[3:]]).unsqueeze(2) % 3
    put = x.clone()
    put[i[:2], j[:2]] = 7.0
    masked = x.clone()
    masked[m] = 0.5
    added = x.index_put((i, j), T.ones(3), accumulate=True)
    return {
        "index": x[i], "index_axis": x[:, j], "index_last": x[..., big], "index_two": x[i, j], "index_gap": x[i, :, big], "index_tail": x[:, j, big], "index_neg": x[n], "index_broadcast": x[i[:, None], j[None, :]], "index_select": x.index_select(1, j), "gather": x.gather(1, (j[:6].view(1, 6, 1) % 5).expand(4, 6, 3)), "take": x.take(j), "take_along": T.take_along_dim(x, g[:1], 1),
        "scatter": x.scatter(1, g, y), "scatter_value": x.scatter(1, g, 2.5), "scatter_add": x.scatter_add(0, T.zeros(1, 5, 3, dtype=T.int64), y), "scatter_reduce": x.scatter_reduce(1, g, y, "amax"), "scatter_prod": x.scatter_reduce(1, g, y, "prod", include_self=False), "index_add": x.index_add(0, i, T.ones(6, 5, 3), alpha=0.5), "index_add1": x.index_add(1, j, T.ones(4, 6, 3)), "index_copy": x.index_copy(0, T.tensor([2, 0]), y[:2]), "index_fill": x.index_fill(1, T.tensor([1, 3]), -2.0),
        "put": put, "masked": masked, "added": added, "masked_scatter": x.masked_scatter(m[..., None], y), "where": T.where(m[..., None], x, y), "topk": x.topk(2, 1)[0], "topk_index": x.topk(2, 1, largest=False)[1], "sort": x.sort(1)[0], "sort_index": x.sort(dim=1, descending=True, stable=True)[1], "argsort": x.argsort(0), "msort": x.msort(), "one_hot": F.one_hot(i, 5), "bucketize": T.bucketize(x, T.tensor([-1.0, 0.0, 1.0])), "bucketize_right": T.bucketize(j, T.tensor([1, 3]), right=True),
        "searchsorted": T.searchsorted(T.arange(12.0).view(4, 3), x[:, 0] * 10), "isin": T.isin(i, j), "histc": T.histc(x, 7, -2, 2), "embedding": F.embedding(i, x[:, 0]), "triu": T.triu_indices(3, 4, 1), "tril": T.tril_indices(3, 3), "index_bool_axis": x[:, T.tensor([True, False, True, True, False])], "cross": T.linalg.cross(x, y),
    }


@case((2, 3), ints(1, 4, 2))
def dynamic_results(x, i):
    flat = x.reshape(-1)
    return {"nonzero": torch.nonzero(x > 0), "masked_select": flat.masked_select(flat > 0), "index": x[x > 0], "where": torch.where(x > 0)[1], "unique": torch.unique(i)}


@case((2, 3))
def creation(x):
    T = torch
    return {
        "arange": T.arange(5), "arange_from": T.arange(2, 9, 3), "arange_down": T.arange(5, 0, -2), "arange_float": T.arange(0, 1, 0.3), "arange_dtype": T.arange(4, dtype=T.float32), "zeros": T.zeros(2, 3) + x, "ones_like": T.ones_like(x), "full": T.full((2,), 3), "full_float": T.full((2, 2), 1.5), "full_like": T.full_like(x, 2), "new_zeros": x.new_zeros(3), "new_ones": x.new_ones((2, 2), dtype=T.int64),
        "new_full": x.new_full((2,), 4.0), "linspace": T.linspace(-1, 2, 7), "linspace1": T.linspace(3, 5, 1), "eye": T.eye(3), "eye_m": T.eye(2, 4), "tensor": T.tensor([[1, 2], [3, 4]]), "scalar": T.scalar_tensor(2.5), "zeros_bool": T.zeros(3, dtype=T.bool), "hann": T.hann_window(8), "hamming": T.hamming_window(8, periodic=False), "x": x,
    }


@case((2, 3, 4), (2, 4, 5), (4,), (5, 4), (3,), decompose=True)
def products(a, b, v, w, bias):
    T = torch
    return {
        "matmul": a @ b, "matvec": a @ v, "vecmat": v @ b, "dot": v @ v, "mm": a[0] @ b[0], "broadcast": a[:, None] @ b, "bmm": T.bmm(a, b), "mv": w.mv(v), "outer": T.outer(v, bias), "inner": T.inner(v, w), "addmm": T.addmm(bias[:, None].expand(3, 5), a[0], b[0], beta=0.5, alpha=2.0), "addmm_bias": T.addmm(T.ones(5), a[0], b[0]), "baddbmm": T.baddbmm(T.ones(2, 3, 5), a, b, beta=0.5, alpha=3),
        "addbmm": T.addbmm(T.ones(3, 5), a, b), "addmv": T.addmv(T.ones(5), w, v), "linear": F.linear(a, w), "linear_bias": F.linear(a[0], w, T.ones(5)), "linear_vector": F.linear(v, w), "linear4": F.linear(a[None], w, T.ones(5)), "einsum": T.einsum("bij,bjk->bik", a, b), "einsum_ellipsis": T.einsum("...ij,kj->...ik", a, w), "bilinear": F.bilinear(a[0], a[1], T.ones(6, 4, 4), T.zeros(6)), "cdist": T.cdist(a, a[:, :2]), "cdist1": T.cdist(a[0], w, p=1),
        "cosine": F.cosine_similarity(a, a.flip(1), dim=2), "pairwise": F.pairwise_distance(a[0], a[1]), "tensordot": T.tensordot(a, b, dims=([2], [1])), "int_matmul": (a[0] * 4).long() @ (b[0] * 4).long(), "kron": T.kron(a[0], b[0]),
    }


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({
            "plain": nn.Conv2d(4, 6, 3), "strided": nn.Conv2d(4, 6, 3, stride=2, padding=1), "uneven": nn.Conv2d(4, 5, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1)), "same": nn.Conv2d(4, 6, 4, padding="same", dilation=2), "valid": nn.Conv2d(4, 6, 3, padding="valid"), "groups": nn.Conv2d(4, 8, 3, groups=2, bias=False),
            "depthwise": nn.Conv2d(4, 4, 3, groups=4, padding=1), "reflect": nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"), "point": nn.Conv2d(4, 3, 1), "transposed": nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), "transposed_groups": nn.ConvTranspose2d(4, 6, (2, 3), stride=(2, 1), groups=2, dilation=(1, 2)),
        })
        self.one = nn.ModuleDict({"conv1d": nn.Conv1d(4, 5, 3, padding=1, stride=2), "transposed1d": nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1)})
        self.three = nn.ModuleDict({"conv3d": nn.Conv3d(2, 3, (1, 3, 2), padding=(0, 1, 1)), "transposed3d": nn.ConvTranspose3d(2, 3, 2, stride=2)})

    def forward(self, x, line, cube):
        out = {name: layer(x) for name, layer in self.layers.items()}
        out |= {name: layer(line) for name, layer in self.one.items()}
        out |= {name: layer(cube) for name, layer in self.three.items()}
        out["unbatched"] = self.layers["plain"](x[0])
        return out


case((2, 4, 9, 8), (2, 4, 11), (1, 2, 3, 5, 4), decompose=True)(Convolutions)


@case((2, 3, 9, 8), (2, 3, 11), (1, 2, 5, 6, 7), decompose=True)
def pools(x, line, cube):
    return {
        "max": F.max_pool2d(x, 2), "max_uneven": F.max_pool2d(x, (3, 2), (2, 1), (1, 0)), "max_ceil": F.max_pool2d(x, 3, 2, 1, ceil_mode=True), "max_dilated": F.max_pool2d(x, 2, 1, 0, 2), "indices": F.max_pool2d(x, 3, 2, return_indices=True)[1], "avg": F.avg_pool2d(x, 2), "avg_pad": F.avg_pool2d(x, 3, 2, 1), "avg_nopad": F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        "avg_ceil": F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), "avg_divisor": F.avg_pool2d(x, 2, divisor_override=3), "max1d": F.max_pool1d(line, 3, 2), "avg1d": F.avg_pool1d(line, 3, 2, 1), "max3d": F.max_pool3d(cube, 2), "avg3d": F.avg_pool3d(cube, (1, 2, 3)), "adaptive": F.adaptive_avg_pool2d(x, 1), "adaptive_even": F.adaptive_avg_pool2d(x, (3, 4)), "adaptive_odd": F.adaptive_avg_pool2d(x, (4, 3)),
        "adaptive_up": F.adaptive_avg_pool2d(x, 11), "adaptive_none": F.adaptive_avg_pool2d(x, (None, 2)), "adaptive1d": F.adaptive_avg_pool1d(line, 4), "adaptive_max": F.adaptive_max_pool2d(x, (4, 3)), "adaptive_max1d": F.adaptive_max_pool1d(line, 5), "lp": F.lp_pool2d(x, 2, 2), "unbatched": F.max_pool2d(x[0], 2), "unfold": F.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=2), "fold": F.fold(F.unfold(x, 3), (9, 8), 3),
    }


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn, self.bn_plain, self.bn1 = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.BatchNorm1d(4)
        self.ln, self.ln_plain, self.ln_two = nn.LayerNorm(5), nn.LayerNorm(5, elementwise_affine=False), nn.LayerNorm((6, 5), bias=False)
        self.gn, self.inorm, self.inorm_affine, self.rms = nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.InstanceNorm2d(4, affine=True), nn.RMSNorm(5)
        self.rms_eps, self.lrn = nn.RMSNorm((6, 5), eps=1e-3), nn.LocalResponseNorm(3)
        self.wn = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 3, 3))
        self.untracked = nn.BatchNorm2d(4, track_running_stats=False)
        for p in self.parameters():
            nn.init.normal_(p, 0.5, 0.5)
        for m in (self.bn, self.bn_plain, self.bn1):
            nn.init.normal_(m.running_mean)
            nn.init.uniform_(m.running_var, 0.5, 2.0)

    def forward(self, x):
        return {
            "bn": self.bn(x), "bn_plain": self.bn_plain(x), "bn1": self.bn1(x[:, :, 0]), "bn_rows": self.bn1(x[:, :, 0, 0]), "ln": self.ln(x), "ln_plain": self.ln_plain(x), "ln_two": self.ln_two(x), "gn": self.gn(x), "gn1": F.group_norm(x, 1), "inorm": self.inorm(x), "inorm_affine": self.inorm_affine(x), "rms": self.rms(x), "rms_eps": self.rms_eps(x),
            "lrn": self.lrn(x), "weight_norm": self.wn(x[:, :, 0]), "untracked": self.untracked(x), "dropout": F.dropout(x, 0.5, self.training),
        }


case((2, 4, 6, 5), decompose=True)(Norms)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.lstm_two = nn.LSTM(5, 4), nn.LSTM(5, 3, 2, batch_first=True, bidirectional=True)
        self.gru, self.gru_plain, self.rnn = nn.GRU(5, 4, 2, bidirectional=True), nn.GRU(5, 3, batch_first=True, bias=False), nn.RNN(5, 4, nonlinearity="relu")
        self.lstm_cell, self.gru_cell, self.rnn_cell = nn.LSTMCell(5, 4), nn.GRUCell(5, 4), nn.RNNCell(5, 4)

    def forward(self, x, h):
        out = {}
        out["lstm"], (out["lstm_h"], out["lstm_c"]) = self.lstm(x, (h, h * 0.5))
        out["lstm_two"], (out["lstm_two_h"], out["lstm_two_c"]) = self.lstm_two(x)
        out["gru"], out["gru_h"] = self.gru(x)
        out["gru_plain"], out["gru_plain_h"] = self.gru_plain(x)
        out["rnn"], out["rnn_h"] = self.rnn(x, h)
        out["lstm_single"], _ = self.lstm(x[:, 0])
        out["lstm_cell"] = self.lstm_cell(x[0], (h[0], h[0]))[1]
        out["gru_cell"] = self.gru_cell(x[0], h[0])
        out["rnn_cell"] = self.rnn_cell(x[0], h[0])
        return out


case((6, 2, 5), (1, 2, 4))(Recurrent)


@case((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), (5, 7), bools(2, 1, 5, 7), decompose=True)
def attention(q, k, v, bias, mask):
    sdpa = F.scaled_dot_product_attention
    mask = mask | (torch.arange(7) == 0)
    return {
        "plain": sdpa(q, k, v), "scale": sdpa(q, k, v, scale=0.3), "bias": sdpa(q, k, v, bias), "mask": sdpa(q, k, v, mask), "causal": sdpa(q, k[:, :, :5], v[:, :, :5], is_causal=True), "three": sdpa(q[0], k[0], v[0]), "two": sdpa(q[0, 0], k[0, 0], v[0, 0]), "grouped": sdpa(q.repeat(1, 2, 1, 1), k, v, enable_gqa=True), "batch": sdpa(q[:1], k, v), "five": sdpa(q[None], k[None], v[None]),
    }


@case((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), bools(2, 1, 5, 7), (1, 2, 17, 8), (1, 2, 17, 8), bools(17, 17), edges(4, 6), decompose=True)
def blind(q, k, v, mask, a, b, wide, e):
    """Queries that see no key, which give 0."""
    sdpa, never = F.scaled_dot_product_attention, torch.tensor(float("-inf"))
    mask = mask & (torch.arange(5) != 1)[:, None]
    wide = wide & (torch.arange(17) % 4 != 0)[:, None]
    bias = torch.where(mask, 0.3, never)
    rows = torch.where((torch.arange(4) == 1)[:, None] | (torch.arange(6) == 2), never, e)
    return {
        "mask": sdpa(q, k, v, mask), "bias": sdpa(q, k, v, bias), "scale": sdpa(q, k, v, bias, scale=0.3), "all": sdpa(q, k, v, torch.zeros(5, 7, dtype=torch.bool)), "wide": sdpa(a, b, a, wide), "wide_bias": sdpa(a, b, a, torch.where(wide, a[0, 0, :, :1], never)),
        "query": sdpa(q[:, :, 1:2], k, v, mask[:, :, 1:2]), "key": sdpa(q, k[:, :, :1], v[:, :, :1], mask[..., :1]), "batch": sdpa(q[0], k[0], v[0], mask[0]), "softmax": torch.ops.aten._safe_softmax(rows, -1), "columns": torch.ops.aten._safe_softmax(rows, 0), "double": torch.ops.aten._safe_softmax(rows, 1, torch.float64),
    }


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
        self.decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        y, weights = self.attention(x, x, x)
        return {"attention": y, "weights": weights, "encoder": self.layer(x), "decoder": self.decoder(x, x.flip(1))}


case((2, 5, 8), decompose=True)(Transformer)


@case((2, 3, 5, 6), (2, 3, 7), (1, 2, 3, 4, 5), uniform(-1.2, 1.2, 2, 4, 5, 2), (2, 2, 3), (2, 12, 3, 2))
def images(x, line, cube, grid, theta, blocks):
    up = F.interpolate
    return {
        "nearest": up(x, scale_factor=2), "nearest_odd": up(x, (7, 4)), "exact": up(x, (7, 4), mode="nearest-exact"), "bilinear": up(x, (9, 11), mode="bilinear"), "bilinear_factor": up(x, scale_factor=1.7, mode="bilinear"), "bilinear_align": up(x, (9, 11), mode="bilinear", align_corners=True), "bilinear_down": up(x, (3, 4), mode="bilinear"), "antialias": up(x, (3, 4), mode="bilinear", antialias=True), "bicubic": up(x, (9, 11), mode="bicubic"),
        "bicubic_align": up(x, scale_factor=2, mode="bicubic", align_corners=True), "bicubic_aa": up(x, (3, 4), mode="bicubic", antialias=True), "area": up(x, (3, 4), mode="area"), "linear": up(line, 11, mode="linear"), "nearest1d": up(line, 4), "trilinear": up(cube, (4, 5, 7), mode="trilinear"), "grid": F.grid_sample(x, grid, align_corners=False), "grid_nearest": F.grid_sample(x, grid, mode="nearest", padding_mode="border", align_corners=True),
        "grid_cubic": F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False), "affine": F.affine_grid(theta, (2, 3, 4, 5), align_corners=False), "shuffle": F.pixel_shuffle(blocks, 2), "unshuffle": F.pixel_unshuffle(x[:, :, :4], 2), "channel_shuffle": F.channel_shuffle(blocks, 3), "reflect": F.pad(x, (1, 2, 2, 1), mode="reflect"), "factor_kept": up(x, scale_factor=(1.3, 0.8), mode="bilinear", recompute_scale_factor=True),
    }


@case((9, 4), ints(0, 9, 11), ints(0, 9, 3, 5), (11,), (3, 5), decompose=True)
def bags(table, flat, wide, weights, wide_weights):
    bag = F.embedding_bag
    offsets = torch.tensor([0, 4, 4, 9])
    return {
        **{mode: bag(flat, table, offsets, mode=mode) for mode in ("sum", "mean", "max")}, **{f"wide_{mode}": bag(wide, table, mode=mode) for mode in ("sum", "mean", "max")},
        **{f"padded_{mode}": bag(flat % 3, table, offsets, mode=mode, padding_idx=1) for mode in ("sum", "mean", "max")}, "weighted": bag(flat, table, offsets, mode="sum", per_sample_weights=weights),
        "wide_weighted": bag(wide, table, mode="sum", per_sample_weights=wide_weights, padding_idx=-2), "last": bag(flat, table, torch.tensor([0, 3, 3, 11]), mode="mean", include_last_offset=True), "all_padded": bag(wide * 0, table, mode="max", padding_idx=0),
    }


@case((4, 5), ints(0, 5, 4), (4, 5), uniform(0.05, 0.95, 4, 5), decompose=True)
def losses(x, target, y, p):
    return {
        "mse": F.mse_loss(x, y), "mse_sum": F.mse_loss(x, y, reduction="sum"), "l1": F.l1_loss(x, y, reduction="none"), "smooth": F.smooth_l1_loss(x, y, beta=0.5), "huber": F.huber_loss(x, y, delta=0.7), "cross": F.cross_entropy(x, target), "cross_none": F.cross_entropy(x, target, reduction="none"), "cross_soft": F.cross_entropy(x, F.softmax(y, 1)), "nll": F.nll_loss(F.log_softmax(x, 1), target), "bce": F.binary_cross_entropy(p, F.sigmoid(y)),
        "bce_logits": F.binary_cross_entropy_with_logits(x, p), "kl": F.kl_div(F.log_softmax(x, 1), F.softmax(y, 1), reduction="sum"),
    }


@case((3, 6), decompose=True)
def mutations(x):
    """Writes through views and in place, as programs before functionalisation have them."""
    a = x.clone()
    a[:, 0] = 0.0
    a[1] += 2.0
    a[:, 1::2].mul_(-1)
    b = x.clone()
    row = b[0]
    b.add_(1.0)
    c = x.clone()
    view = c.view(2, 9)
    view[1, 3:5].fill_(9.0)
    c.t()[0].copy_(x[:, 1])
    d = torch.zeros(3, 6)
    for i in range(3):
        d[i] = x[2 - i] * i
    e = x.clone()
    e[e > 0] = 1.0
    e.diagonal().zero_()
    f = x.clone().transpose(0, 1)
    f[1:3, 2] = x[0, :2]
    f.relu_()
    g = x.clone()
    g.index_add_(0, torch.tensor([0, 2]), x[:2])
    g.clamp_(-1, 1)
    h = x.clone().unsqueeze_(0).squeeze_(0).t_()
    h[0].zero_()
    i = x.clone()
    parts = i.chunk(2, 1)
    parts[0].exp_()
    i[..., -1].masked_fill_(x[:, 0] > 0, 5.0)
    j = x.reshape(6, 3).clone()
    j.view(-1)[4:8] = torch.arange(4.0)
    k = x.clone()
    torch.add(k, 1, out=k) if False else k.sub_(1, alpha=2)
    return {"a": a, "b": b, "row": row, "c": c, "view": view, "d": d, "e": e, "f": f, "g": g, "h": h, "i": i, "j": j, "k": k}


class Counter(nn.Module):
    """Buffers that a run changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("past", torch.zeros(4, 3))

    def forward(self, x):
        self.count.add_(1.0)
        self.past[1:] = self.past[:-1].clone()
        self.past[0] = x.mean(0)
        return {"y": x * self.count, "past": self.past.sum(0)}


case((5, 3), decompose=True)(Counter)


class Control(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, n):
        chosen = torch.cond(x.sum() > 0, lambda x: self.linear(x).sin(), lambda x: x.cos() * 2, (x,))
        count, doubled = torch.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, a * 1.5 + i), (torch.zeros((), dtype=torch.int64), x))
        with torch.no_grad():
            y = x + 1
        return {"chosen": chosen, "count": count, "doubled": doubled, "y": y}


case((3, 4), ints(3, 4))(Control)


class Dynamic(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.conv = nn.Linear(6, 5), nn.Conv1d(3, 6, 3, padding=1)

    def forward(self, x, y):
        b, _, n = x.shape
        z = self.conv(x).transpose(1, 2)
        z = self.linear(z.reshape(b * n, 6)).view(b, n, -1)
        mask = torch.ones(n, n).tril()
        return {"z": z, "rows": z.sum((0, 1)) + b, "mask": mask @ z, "y": y.view(b, 2, -1), "positions": torch.arange(n)[None].expand(b, -1), "first": x[:, :, : n - 1], "mean": x.sum() / (b * n), "size": x.new_zeros(b, n + 1), "zeros": (n + 1) // 2 + x[:, 0, 0]}


case((3, 3, 7), (6, 4), dynamic=({0: Dim("batch", max=16), 2: Dim("time", min=3)}, {0: 2 * Dim("batch", max=16)}), decompose=True, again=[(2, 3, 5), (4, 4)])(Dynamic)


@case((2, 3), (2, 3))
def nested(x, y):
    return {"pair": (x + y, [x - y]), "one": x * y}, (x, y.neg()), [x.sin()]


class Tied(nn.Module):
    """Weights that share memory, lie in other orders, or are repeated."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight
        big = torch.randn(5, 8)
        self.register_buffer("part", big[1:3, 2:6])
        self.register_buffer("turned", torch.randn(3, 4).t())
        self.register_buffer("spread", torch.randn(3, 1).expand(3, 4))
        self.register_buffer("last", torch.randn(1, 4, 3, 3).to(memory_format=torch.channels_last))
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("brain", torch.randn(3).bfloat16())
        self.register_buffer("hidden", torch.randn(2), persistent=False)

    def forward(self, i):
        x = self.embedding(i)
        return {"logits": self.head(x), "part": x[:2] * self.part, "turned": x[:3] @ self.turned, "spread": x[:3] + self.spread, "last": self.last.sum(1), "empty": torch.cat([x, self.empty]), "half": self.brain * 2, "hidden": self.hidden + 1}


case(ints(0, 7, 5))(Tied)


class Speech(nn.Module):
    """A spectrogram, what a model does to it, and the signal back."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(8))
        self.mask = nn.Conv1d(5, 5, 3, padding=1)

    def forward(self, x):
        z = torch.stft(x, 8, 2, window=self.window, return_complex=True)
        size, angle = z.abs(), z.angle()
        masked = size * torch.sigmoid(self.mask(torch.log1p(size)))
        y = torch.istft(torch.polar(masked, angle), 8, 2, window=self.window)
        bounded = torch.istft(z * torch.exp(1j * angle), 8, 2, window=self.window, length=40)
        return {"power": z.real ** 2 + z.imag ** 2, "parts": torch.view_as_real(z), "y": y, "bounded": bounded}


case((2, 36), decompose=True)(Speech)


class Turned(nn.Module):
    """Positions as angles of complex numbers, as the first Llama has them."""

    def __init__(self):
        super().__init__()
        angles = torch.outer(torch.arange(6.0), 0.3 ** torch.arange(4.0))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

    def forward(self, q, k):
        turns = self.turns[: q.shape[1]].view(1, q.shape[1], 1, -1)
        q, k = (torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2)) for x in (q, k))
        q, k = (torch.view_as_real(x * turns).flatten(3) for x in (q, k))
        return torch.einsum("bqhc,bkhc->bhqk", q, k)


case((2, 6, 3, 8), (2, 6, 3, 8), decompose=True)(Turned)


@case((2, 6, 8), decompose=True)
def fourier(x):
    z = torch.fft.rfft(x)
    return {
        "mixed": torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real, "plane": torch.fft.fft2(x).imag, "half": torch.view_as_real(torch.fft.rfft2(x, norm="ortho").resolve_conj()),
        "size": z.abs(), "back": torch.fft.irfft(z * torch.linspace(0, 1, 5)), "odd": torch.fft.irfft(torch.fft.rfft(x, dim=1), n=5, dim=1, norm="ortho"),
        "longer": torch.view_as_real(torch.fft.fft(x, n=11, dim=1, norm="forward").resolve_conj()), "shorter": torch.fft.rfft(x, n=5).real, "moved": torch.fft.ifftshift(torch.fft.fftshift(x, dim=1)), "whole": torch.fft.irfftn(torch.fft.rfftn(x, norm="forward"), s=(2, 6, 8), norm="forward"),
        "inverse": torch.view_as_real(torch.fft.ifft2(torch.fft.fftshift(torch.fft.fft2(x), dim=(1, 2))).resolve_conj()), "some": torch.view_as_real(torch.fft.ifftn(x, dim=(0, 2), norm="ortho").resolve_conj()), "forward": torch.view_as_real(torch.fft.ifft(x, norm="forward").resolve_conj()),
    }


@case((3, 4, 2), (3, 4, 2), (4, 3))
def complexes(a, b, c):
    x, y = torch.view_as_complex(a), torch.view_as_complex(b)
    z = torch.complex(c, c.sin())
    parts = [
        x + y, x - c.t(), c.t() - y, x * 2.5, x * (1 + 2j), x / y, 3 / (y + 2), x / 4, x.conj() * y, -x, x @ z, torch.exp(x), torch.cat([x, y.t().reshape(3, 4)], 1)[:, 2:6],
        torch.where(c.t() > 0, x, y), torch.stack(x.unbind(0)).sum(1, keepdim=True).expand(3, 2), x.mean(0), torch.roll(y, 1, 1), y.reshape(2, 6).permute(1, 0), F.pad(x, (1, 2)), c.t().to(torch.complex64) * y,
    ]
    return [torch.view_as_real(part.resolve_conj()) for part in parts] + [x.angle(), c.angle(), x.abs().sum(), (x * x.conj()).real, torch.view_as_real(x.masked_fill(c.t() > 0, 0.5)).sum()]


@case((40,), (2, 33))
def spectra(x, y):
    window = torch.hamming_window(6)
    return {
        "one": torch.view_as_real(torch.stft(x, 10, 3, 6, window, normalized=True, onesided=False, return_complex=True)), "bare": torch.stft(y, 8, center=False, return_complex=True).abs(),
        "zeros": torch.view_as_real(torch.stft(y, 9, 2, 7, pad_mode="constant", return_complex=True)), "again": torch.istft(torch.stft(x, 10, 3, 6, window, normalized=True, return_complex=True), 10, 3, 6, window, normalized=True),
        "two": torch.istft(torch.stft(y, 8, 2, onesided=False, return_complex=True), 8, 2, onesided=False, length=40),
    }


@case((3, 4), lambda g: torch.rand(3, 4, generator=g) * 1.8 - 0.9, ints(0, 4, 3, 4), ints(0, 3, 5))
def seldom(x, y, i, n):
    """Operators that are seldom met, and other names of common ones."""
    a, z = torch.ops.aten, (x > 0).float()
    logs = torch.log_softmax(x, 1)
    return {
        "names": (torch.absolute(x), torch.adjoint(x), torch.arccos(y), torch.arccosh(y.abs() + 1.5), torch.arcsin(y), torch.arcsinh(x), torch.arctan(x), torch.arctanh(y), torch.arctan2(x, y), torch.clip(x, -0.5, 0.5), torch.concat([x, y]), torch.concatenate([x, y], 1), torch.divide(x, y + 2), torch.fix(x * 3), torch.greater(x, y), torch.greater_equal(x, y), torch.less(x, y), torch.less_equal(x, y), torch.not_equal(i, i.flip(0)), torch.moveaxis(x, 0, 1), torch.multiply(x, y), torch.negative(x), torch.subtract(x, y), torch.swapdims(x, 0, 1), torch.true_divide(i, n[:1] + 2)),
        "special": (torch.special.erf(x), torch.special.expit(x), torch.special.log_softmax(x, 1), torch.special.softmax(x, 0), torch.special.expm1(x), torch.special.log1p(y)),
        "copies": (a.detach_copy(x), a.expand_copy(x[:1], [2, 4]), a.narrow_copy(x, 1, 1, 2), a.permute_copy(x, [1, 0]), a.select_copy(x, 1, 2), a.slice_copy(x, 1, 0, 3), *a.split_with_sizes_copy(x, [1, 3], 1), a.transpose_copy(x, 0, 1), a.unsqueeze_copy(x, 1), a.view_copy(x, [4, 3]), a.fill(x, 2.0), a.lift_fresh_copy(x), a._unsafe_view(x, [2, 6]), a._reshape_alias(x, [4, 3], [3, 1])),
        "bits": (torch.bitwise_left_shift(i, i), torch.bitwise_right_shift(i * 100, i), torch.rad2deg(x), torch.atleast_1d(x.sum()), torch.atleast_2d(x[0]), torch.fliplr(x), torch.flipud(x), torch.clamp_max(x, 0.3), torch.zeros_like(x) + x.numel(), x.reshape(4, 3).reshape_as(y)),
        "sums": (torch.dot(x[0], y[0]), torch.vdot(x[1], y[1]), torch.linalg.det(x[:, :3]), torch.frobenius_norm(x, [0, 1]), a.norm(x, 3.0), a.norm(x, 1.0, [1], True), torch.addr(y[:, :3], x[:, 0], y[:, 1]), torch.linalg.cross(x[:, :3], y[:, :3]), torch.cross(x[:, 1:], y[:, 1:], 1), a._euclidean_dist(x, y), torch.bincount(n, minlength=4)),
        "parts": (*torch.tensor_split(x, [1, 3], 1), *torch.hsplit(x, 2), *torch.unsafe_chunk(x, 2, 1), *torch.unsafe_split(x, 2, 1), *a.unsafe_split_with_sizes(x, [1, 3], 1), torch.repeat_interleave(x, torch.tensor([1, 0, 2]), 0), torch.meshgrid(x[0], y[1], indexing="xy")[0]),
        "losses": (F.nll_loss(logs, n[:3]), F.nll_loss(logs, n[:3], reduction="none"), a.argwhere(torch.tensor([[1, 0], [0, 1]])), a._weight_norm(x, y[:, :1], 0)),
    }


@case((2, 3, 7), (2, 3, 6, 5), (1, 2, 4, 6, 5))
def padded(a, b, c):
    op = torch.ops.aten
    return {
        "reflected": (op.reflection_pad1d(a, [2, 1]), op.reflection_pad2d(b, [1, 2, 0, 3]), op.reflection_pad3d(c, [1, 2, 0, 3, 1, 1])), "repeated": (op.replication_pad1d(a, [2, 1]), op.replication_pad2d(b, [1, 2, 0, 3]), op.replication_pad3d(c, [1, 2, 0, 3, 1, 1])),
        "larger": (op.upsample_nearest3d(c, [6, 9, 7]), op._upsample_nearest_exact1d(a, [11]), op._upsample_nearest_exact3d(c, [6, 9, 7])), "pools": (F.adaptive_avg_pool3d(c, (2, 3, 2)), F.adaptive_max_pool3d(c, (2, 3, 2)), *F.max_pool1d(a, 3, 2, return_indices=True)),
        "shuffled": op.native_channel_shuffle(c[:, :, 0], 2), "planes": op.fft_irfft2(op.fft_rfft2(b), [6, 5]), "space": torch.view_as_real(op.fft_fftn(b, None, [1, 3]).resolve_conj()),
    }


def flat(tree):
    """The results by the names that a program's outputs have: keys and indices below keys, joined by points; nothing for those that only
    lie in lists and tuples."""
    if isinstance(tree, torch.Tensor):
        return [(None, tree)]
    if isinstance(tree, dict):
        return [(key if name is None else f"{key}.{name}", value) for key, inner in tree.items() for name, value in indexed(inner)]
    return [pair for inner in tree for pair in flat(inner)]


def indexed(tree):
    if isinstance(tree, torch.Tensor):
        return [(None, tree)]
    if isinstance(tree, dict):
        return flat(tree)
    return [(str(at) if name is None else f"{at}.{name}", value) for at, inner in enumerate(tree) for name, value in indexed(inner)]


def numpy(tensor):
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes
        return tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def pack(path):
    """Deflates the program itself, which PyTorch stores."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            deflated = name.endswith((".json", "sample_inputs/model.pt"))
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED, 9)


def oracle(path, program, inputs):
    results = flat(program.module()(*[x.clone() for x in inputs]))
    outputs = [spec.arg.name for spec in program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    arrays = {f"in:{name}": numpy(x) for name, x in zip(program.graph_signature.user_inputs, inputs, strict=True)}
    arrays |= {f"out:{key or node}": numpy(value) for (key, value), node in zip(results, outputs, strict=True)}
    np.savez(path.with_name(path.name + ".npz"), **arrays)
    print(f"{path.name}: {len(results)} outputs, {path.stat().st_size} bytes")


def make(name):
    what, shapes, dynamic, decompose, again = CASES[name]
    torch.manual_seed(sum(map(ord, name.removesuffix("_core"))))
    module = (what() if isinstance(what, type) else Wrapped(what)).eval()
    generator = torch.Generator().manual_seed(1)
    inputs = tuple(draw(shape, generator) for shape in shapes)
    with torch.no_grad():
        program = torch.export.export(module, inputs, dynamic_shapes=dynamic and (dynamic if isinstance(what, type) else (dynamic,)), strict=False)
        if decompose:
            program = program.run_decompositions()
        path = HERE / f"{name}.pt2"
        torch.export.save(program, path)
        if again:
            inputs = tuple(draw(shape, generator) for shape in again)
        oracle(path, torch.export.load(path), inputs)
    pack(path)


def sample(path):
    generator = torch.Generator().manual_seed(2)
    program = torch.export.load(path)
    inputs = [torch.randn(x.shape, generator=generator) if x.is_floating_point() else x for x in program.example_inputs[0]]
    with torch.no_grad():
        oracle(path, program, [x for x in inputs if isinstance(x, torch.Tensor)])


def main():
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or CASES:
        make(name)
    if not sys.argv[1:]:
        for path in sorted(HERE.glob("sample*.pt2")):
            sample(path)


if __name__ == "__main__":
    main()
