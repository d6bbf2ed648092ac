//! Products, convolutions, pools and normalisations.

use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::global_pool::{GlobalPool, Pool};
use frit_ir::ops::nll_loss::{NllLoss, Reduction};
use frit_ir::ops::padding::Padding;
use frit_ir::ops::{
    abs::Abs, add::Add, average_pool::AveragePool, batch_norm::BatchNorm, convolution::Convolution, deconvolution::Deconvolution, div::Div, dot::Dot, exp::Exp, expand_to::ExpandTo,
    gather::Gather, gemm::Gemm, group_norm::GroupNorm, layer_norm::LayerNorm, less::Less, log::Log, log_softmax::LogSoftmax, matmul::MatMul, max::Max, max_pool::MaxPool, modulo::Modulo,
    mul::Mul, neg::Neg, rms_norm::RmsNorm, select::Select, softmax::Softmax, softplus::Softplus, sub::Sub, transpose::Transpose,
};
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::call::{Call, Values};
use super::math::in_training;
use super::movement::{extent, reshaped, unsqueezed};
use super::reduce::{aggregate, norm_of};
use super::{Handler, create};
use crate::import::pytorch::value::Value;

type Built = Result<ValueId, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("_convolution", general_convolution),
    ("_convolution_mode", |c| {
        let x = c.tensor("input")?;
        let spatial = c.rank(x)?.saturating_sub(2);
        convolve(c, spatial)
    }),
    ("_log_softmax", |c| log_softmax(c, "dim")),
    ("_native_batch_norm_legit", |c| batch_norm(c, 3)),
    ("_native_batch_norm_legit.no_stats", |c| batch_norm(c, 3)),
    ("_native_batch_norm_legit_no_training", |c| batch_norm(c, 3)),
    ("_safe_softmax", |c| softmax(c, "dim", true)),
    ("_softmax", |c| softmax(c, "dim", false)),
    ("adaptive_avg_pool1d", |c| adaptive_average(c, 1)),
    ("adaptive_avg_pool2d", |c| adaptive_average(c, 2)),
    ("addmm", |c| {
        let op = Gemm { alpha: c.float("alpha")?, beta: c.float("beta")?, trans_a: false, trans_b: false };
        let (bias, a, b) = (c.tensor("self")?, c.tensor("mat1")?, c.tensor("mat2")?);
        let value = c.apply(op, &[a, b, bias])?;
        c.one(value)
    }),
    ("alpha_dropout", dropout),
    ("avg_pool1d", |c| average_pool(c, 1)),
    ("avg_pool2d", |c| average_pool(c, 2)),
    ("avg_pool3d", |c| average_pool(c, 3)),
    ("batch_norm", |c| batch_norm(c, 1)),
    ("bmm", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("mat2")?);
        product(c, a, b)
    }),
    ("conv1d", |c| convolve(c, 1)),
    ("conv2d", |c| convolve(c, 2)),
    ("conv3d", |c| convolve(c, 3)),
    ("conv_transpose1d", |c| deconvolve(c, 1)),
    ("conv_transpose2d", |c| deconvolve(c, 2)),
    ("conv_transpose3d", |c| deconvolve(c, 3)),
    ("convolution", general_convolution),
    ("dot", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("tensor")?);
        product(c, a, b)
    }),
    ("dropout", dropout),
    ("embedding", |c| {
        let (weight, indices) = (c.tensor("weight")?, c.tensor("indices")?);
        let value = c.apply(Gather { axis: 0 }, &[weight, indices])?;
        c.one(value)
    }),
    ("feature_alpha_dropout", dropout),
    ("feature_dropout", dropout),
    ("group_norm", |c| {
        let groups = c.int("num_groups")?;
        let value = group_norm(c, groups)?;
        c.one(value)
    }),
    ("inner", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("other")?);
        if c.rank(a)? == 0 || c.rank(b)? == 0 {
            let value = c.apply(Mul {}, &[a, b])?;
            return c.one(value);
        }
        if c.rank(b)? > 2 {
            return Err(OpError::unsupported("'inner' of more than two axes is not supported"));
        }
        let value = linear(c, a, b, None)?;
        c.one(value)
    }),
    ("instance_norm", |c| {
        if !c.flag("use_input_stats")? {
            return batch_norm(c, 1);
        }
        let value = group_norm(c, 0)?;
        c.one(value)
    }),
    ("layer_norm", |c| {
        let values = layer_norm(c)?;
        c.one(values[0])
    }),
    ("linalg_det", |c| {
        let x = c.first()?;
        let value = c.apply(frit_ir::ops::det::Det {}, &[x])?;
        c.one(value)
    }),
    ("log_softmax", |c| log_softmax(c, "dim")),
    ("matmul", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("other")?);
        product(c, a, b)
    }),
    ("max_pool1d", |c| max_pool(c, 1, false)),
    ("max_pool2d", |c| max_pool(c, 2, false)),
    ("max_pool3d", |c| max_pool(c, 3, false)),
    ("mm", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("mat2")?);
        product(c, a, b)
    }),
    ("mv", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("vec")?);
        product(c, a, b)
    }),
    ("native_batch_norm", |c| batch_norm(c, 3)),
    ("native_dropout", |c| {
        if c.flag("train")? && c.float("p")? > 0.0 {
            return Err(in_training("dropout"));
        }
        let x = c.tensor("input")?;
        padded_results(c, x, 2)
    }),
    ("native_group_norm", |c| {
        let groups = c.int("group")?;
        let value = group_norm(c, groups)?;
        padded_results(c, value, 3)
    }),
    ("native_layer_norm", |c| {
        let values = layer_norm(c)?;
        c.several(&values)
    }),
    ("nll_loss", |c| {
        let x = c.tensor("self")?;
        nll(c, x)
    }),
    ("nll_loss2d", |c| {
        let x = c.tensor("self")?;
        nll(c, x)
    }),
    ("nll_loss_nd", |c| {
        let x = c.tensor("self")?;
        nll(c, x)
    }),
    ("norm_except_dim", |c| {
        let v = c.tensor("v")?;
        let (order, axis) = (c.float("pow")?, c.axis("dim", v)?);
        let axes: Vec<usize> = (0..c.rank(v)?).filter(|k| *k != axis).collect();
        let value = norm_of(c, v, order, &axes, true)?;
        c.one(value)
    }),
    ("outer", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("vec2")?);
        let value = outer(c, a, b)?;
        c.one(value)
    }),
    ("rms_norm", |c| {
        let (x, shape) = (c.tensor("input")?, c.ints("normalized_shape")?);
        let value = rms_norm(c, x, &shape)?;
        c.one(value)
    }),
    ("_fused_rms_norm", |c| {
        let (x, shape) = (c.tensor("input")?, c.ints("normalized_shape")?);
        let value = rms_norm(c, x, &shape)?;
        padded_results(c, value, 2)
    }),
    ("softmax", |c| softmax(c, "dim", false)),
    ("special_softmax", |c| softmax(c, "dim", false)),
    ("special_log_softmax", |c| log_softmax(c, "dim")),
    ("tensordot", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("other")?);
        let (axes_a, axes_b) = (c.ints("dims_self")?, c.ints("dims_other")?);
        let (rank_a, rank_b) = (c.rank(a)?, c.rank(b)?);
        if axes_a.len() != axes_b.len() || rank_a + rank_b > 26 {
            return Err(OpError::invalid("'tensordot' sums over other numbers of axes on both sides"));
        }
        let letter = |k: usize| char::from(b'a' + k as u8);
        let left: Vec<char> = (0..rank_a).map(letter).collect();
        let mut right: Vec<char> = (rank_a..rank_a + rank_b).map(letter).collect();
        let mut summed = Vec::new();
        for (k, l) in axes_a.iter().zip(&axes_b) {
            let (k, l) = (frit_ir::shape::axis(*k, rank_a)?, frit_ir::shape::axis(*l, rank_b)?);
            right[l] = left[k];
            summed.push(left[k]);
        }
        let rest: String = left.iter().chain(&right).filter(|letter| !summed.contains(letter)).collect();
        let equation = format!("{},{}->{rest}", left.iter().collect::<String>(), right.iter().collect::<String>());
        let value = c.apply(frit_ir::ops::einsum::Einsum { equation }, &[a, b])?;
        c.one(value)
    }),
    ("kron", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("other")?);
        let (mut left, mut right) = (c.extents(a)?, c.extents(b)?);
        let rank = left.len().max(right.len());
        left.splice(0..0, std::iter::repeat_n(1, rank - left.len()));
        right.splice(0..0, std::iter::repeat_n(1, rank - right.len()));
        let whole: Vec<i64> = left.iter().zip(&right).map(|(n, m)| n * m).collect();
        let (wide, tall): (Vec<i64>, Vec<i64>) = (left.iter().flat_map(|n| [*n, 1]).collect(), right.iter().flat_map(|m| [1, *m]).collect());
        let (a, b) = (reshaped(c, a, &wide)?, reshaped(c, b, &tall)?);
        let product = c.apply(Mul {}, &[a, b])?;
        let value = reshaped(c, product, &whole)?;
        c.one(value)
    }),
    ("vdot", |c| {
        let (a, b) = (c.tensor("self")?, c.tensor("other")?);
        product(c, a, b)
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("_adaptive_avg_pool2d", |c| adaptive_average(c, 2)),
    ("_adaptive_avg_pool3d", |c| adaptive_average(c, 3)),
    ("_weight_norm", |c| {
        let value = weight_norm(c)?;
        c.one(value)
    }),
    ("_weight_norm_interface", |c| {
        let value = weight_norm(c)?;
        padded_results(c, value, 2)
    }),
    ("adaptive_avg_pool3d", |c| adaptive_average(c, 3)),
    ("adaptive_max_pool1d", |c| adaptive_max(c, 1)),
    ("adaptive_max_pool2d", |c| adaptive_max(c, 2)),
    ("adaptive_max_pool3d", |c| adaptive_max(c, 3)),
    ("addbmm", |c| {
        let (a, b) = (c.tensor("batch1")?, c.tensor("batch2")?);
        let product = c.apply(MatMul {}, &[a, b])?;
        let product = aggregate(c, product, Statistic::Sum, &[0], false)?;
        added(c, product)
    }),
    ("addmv", |c| {
        let (a, b) = (c.tensor("mat")?, c.tensor("vec")?);
        let product = c.apply(Dot {}, &[a, b])?;
        added(c, product)
    }),
    ("addr", |c| {
        let (a, b) = (c.tensor("vec1")?, c.tensor("vec2")?);
        let product = outer(c, a, b)?;
        added(c, product)
    }),
    ("baddbmm", |c| {
        let (a, b) = (c.tensor("batch1")?, c.tensor("batch2")?);
        let product = c.apply(MatMul {}, &[a, b])?;
        added(c, product)
    }),
    ("bilinear", |c| {
        let (a, b, weight) = (c.tensor("input1")?, c.tensor("input2")?, c.tensor("weight")?);
        let value = c.apply(frit_ir::ops::einsum::Einsum { equation: "...i,oij,...j->...o".to_owned() }, &[a, weight, b])?;
        let value = match c.maybe_tensor("bias")? {
            Some(bias) => c.apply(Add {}, &[value, bias])?,
            None => value,
        };
        c.one(value)
    }),
    ("binary_cross_entropy", |c| {
        let (x, target) = (c.tensor("self")?, c.tensor("target")?);
        let one = c.like(x, 1.0);
        let (rest, other) = (c.apply(Sub {}, &[one, x])?, c.apply(Sub {}, &[one, target])?);
        let low = c.like(x, -100.0);
        let mut sum = None;
        for (p, t) in [(x, target), (rest, other)] {
            let log = c.apply(Log {}, &[p])?;
            let log = c.apply(Max {}, &[log, low])?;
            let part = c.apply(Mul {}, &[t, log])?;
            sum = Some(match sum {
                Some(sum) => c.apply(Add {}, &[sum, part])?,
                None => part,
            });
        }
        let sum = sum.ok_or_else(|| OpError::bug("two terms"))?;
        let loss = c.apply(Neg {}, &[sum])?;
        weighted_loss(c, loss)
    }),
    ("binary_cross_entropy_with_logits", |c| {
        if c.has("pos_weight") {
            return Err(c.wrong("pos_weight"));
        }
        let (x, target) = (c.tensor("self")?, c.tensor("target")?);
        let soft = c.apply(Softplus {}, &[x])?;
        let part = c.apply(Mul {}, &[x, target])?;
        let loss = c.apply(Sub {}, &[soft, part])?;
        weighted_loss(c, loss)
    }),
    ("cdist", |c| {
        let (a, b, p) = (c.tensor("x1")?, c.tensor("x2")?, c.float("p")?);
        distances(c, a, b, p)
    }),
    ("_cdist_forward", |c| {
        let (a, b, p) = (c.tensor("x1")?, c.tensor("x2")?, c.float("p")?);
        distances(c, a, b, p)
    }),
    ("_euclidean_dist", |c| {
        let (a, b) = (c.tensor("x1")?, c.tensor("x2")?);
        distances(c, a, b, 2.0)
    }),
    ("cosine_similarity", |c| {
        let (a, b, eps) = (c.tensor("x1")?, c.tensor("x2")?, c.float("eps")?);
        let types = [c.context.builder.ty(a), c.context.builder.ty(b)];
        let rank = frit_ir::shape::broadcast(&types)?.len();
        let axis = frit_ir::shape::axis(c.int("dim")?, rank)?;
        let product = c.apply(Mul {}, &[a, b])?;
        let sum = aggregate(c, product, Statistic::Sum, &[axis], false)?;
        let mut norms = Vec::new();
        for x in [a, b] {
            let own = axis.checked_sub(rank - c.rank(x)?).ok_or_else(|| OpError::unsupported("'cosine_similarity' along an axis that one side lacks is not supported"))?;
            let norm = aggregate(c, x, Statistic::L2, &[own], false)?;
            let least = c.like(norm, eps);
            norms.push(c.apply(Max {}, &[norm, least])?);
        }
        let below = c.apply(Mul {}, &[norms[0], norms[1]])?;
        let value = c.apply(Div {}, &[sum, below])?;
        c.one(value)
    }),
    ("cross_entropy_loss", |c| {
        if c.float("label_smoothing")? != 0.0 {
            return Err(c.wrong("label_smoothing"));
        }
        let (x, target) = (c.tensor("self")?, c.tensor("target")?);
        let axis = usize::from(c.rank(x)? > 1);
        let log = c.apply(LogSoftmax { axis }, &[x])?;
        if c.dtype(target).is_float() {
            let part = c.apply(Mul {}, &[log, target])?;
            let sum = aggregate(c, part, Statistic::Sum, &[axis], false)?;
            let loss = c.apply(Neg {}, &[sum])?;
            return weighted_loss(c, loss);
        }
        nll(c, log)
    }),
    ("huber_loss", |c| {
        let delta = c.float("delta")?;
        smooth(c, delta, false)
    }),
    ("kl_div", |c| {
        let (x, target) = (c.tensor("self")?, c.tensor("target")?);
        let loss = if c.flag("log_target")? {
            let off = c.apply(Sub {}, &[target, x])?;
            let weight = c.apply(Exp {}, &[target])?;
            c.apply(Mul {}, &[weight, off])?
        } else {
            let log = c.apply(Log {}, &[target])?;
            let off = c.apply(Sub {}, &[log, x])?;
            let part = c.apply(Mul {}, &[target, off])?;
            let zero = c.like(target, 0.0);
            let there = c.apply(Less {}, &[zero, target])?;
            c.apply(Select {}, &[there, part, zero])?
        };
        reduced(c, loss)
    }),
    ("l1_loss", |c| {
        let (x, target) = (c.tensor("self")?, c.tensor("target")?);
        let off = c.apply(Sub {}, &[x, target])?;
        let loss = c.apply(Abs {}, &[off])?;
        reduced(c, loss)
    }),
    ("linalg_cross", cross),
    ("cross", cross),
    ("linear", |c| {
        let (x, weight, bias) = (c.tensor("input")?, c.tensor("weight")?, c.maybe_tensor("bias")?);
        let value = linear(c, x, weight, bias)?;
        c.one(value)
    }),
    ("max_pool1d_with_indices", |c| max_pool(c, 1, true)),
    ("max_pool2d_with_indices", |c| max_pool(c, 2, true)),
    ("max_pool3d_with_indices", |c| max_pool(c, 3, true)),
    ("mse_loss", |c| {
        let (x, target) = (c.tensor("self")?, c.tensor("target")?);
        let off = c.apply(Sub {}, &[x, target])?;
        let loss = c.apply(Mul {}, &[off, off])?;
        reduced(c, loss)
    }),
    ("pairwise_distance", |c| {
        let (a, b) = (c.tensor("x1")?, c.tensor("x2")?);
        let (p, eps, keep) = (c.float("p")?, c.float("eps")?, c.flag("keepdim")?);
        let off = c.apply(Sub {}, &[a, b])?;
        let eps = c.like(off, eps);
        let off = c.apply(Add {}, &[off, eps])?;
        let axis = c.rank(off)?.saturating_sub(1);
        let value = norm_of(c, off, p, &[axis], keep)?;
        c.one(value)
    }),
    ("smooth_l1_loss", |c| {
        let beta = c.float("beta")?;
        smooth(c, beta, true)
    }),
    ("_trilinear", |c| {
        let mut product = None;
        for (name, axes) in [("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")] {
            let (x, axes) = (c.tensor(name)?, c.ints(axes)?);
            let x = unsqueezed(c, x, &axes)?;
            product = Some(match product {
                Some(product) => c.apply(Mul {}, &[product, x])?,
                None => x,
            });
        }
        let product = product.ok_or_else(|| OpError::bug("three factors"))?;
        let axes = c.axes("sumdim", product, false)?;
        let value = aggregate(c, product, Statistic::Sum, &axes, false)?;
        c.one(value)
    }),
];

/// A result of several, of which the others are only for learning.
fn padded_results(c: &mut Call<'_>, value: ValueId, count: usize) -> Values {
    let mut values = c.one(value)?;
    values.resize(count, Value::None);
    Ok(values)
}

fn product(c: &mut Call<'_>, a: ValueId, b: ValueId) -> Values {
    let value = if c.rank(a)? > 1 && c.rank(b)? > 1 { c.apply(MatMul {}, &[a, b])? } else { c.apply(Dot {}, &[a, b])? };
    c.one(value)
}

/// `beta * self + alpha * product`.
fn added(c: &mut Call<'_>, product: ValueId) -> Values {
    let (alpha, beta) = (c.float("alpha")?, c.float("beta")?);
    let scaled = |c: &mut Call<'_>, x: ValueId, factor: f64| if factor == 1.0 { Ok(x) } else {
        let factor = c.like(x, factor);
        c.apply(Mul {}, &[x, factor])
    };
    let product = scaled(c, product, alpha)?;
    if beta == 0.0 {
        return c.one(product);
    }
    let x = c.tensor("self")?;
    let x = scaled(c, x, beta)?;
    let value = c.apply(Add {}, &[x, product])?;
    c.one(value)
}

fn outer(c: &mut Call<'_>, a: ValueId, b: ValueId) -> Built {
    let (a, b) = (unsqueezed(c, a, &[1])?, unsqueezed(c, b, &[0])?);
    c.apply(Mul {}, &[a, b])
}

/// `x w' + bias`.
pub(super) fn linear(c: &mut Call<'_>, x: ValueId, weight: ValueId, bias: Option<ValueId>) -> Built {
    if c.rank(x)? == 2 && c.rank(weight)? == 2 {
        let inputs: Vec<ValueId> = [x, weight].into_iter().chain(bias).collect();
        return c.apply(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true }, &inputs);
    }
    let weight = if c.rank(weight)? == 2 { c.apply(Transpose { perm: vec![1, 0] }, &[weight])? } else { weight };
    let y = if c.rank(x)? > 1 && c.rank(weight)? > 1 { c.apply(MatMul {}, &[x, weight])? } else { c.apply(Dot {}, &[x, weight])? };
    match bias {
        Some(bias) => c.apply(Add {}, &[y, bias]),
        None => Ok(y),
    }
}

/// An image with a batch, if it has none, and whether it had none.
fn batched(c: &mut Call<'_>, x: ValueId, spatial: usize) -> Result<(ValueId, bool), OpError> {
    match c.rank(x)? {
        rank if rank == spatial + 2 => Ok((x, false)),
        rank if rank == spatial + 1 => Ok((unsqueezed(c, x, &[0])?, true)),
        rank => Err(OpError::invalid(format!("'{}' of a tensor of {rank} axes", c.name))),
    }
}

fn unbatched(c: &mut Call<'_>, x: ValueId, single: bool) -> Built {
    if !single {
        return Ok(x);
    }
    let axes = c.builder().ints(&[0]);
    c.apply(frit_ir::ops::squeeze::Squeeze {}, &[x, axes])
}

fn with_bias(x: ValueId, weight: ValueId, bias: Option<ValueId>) -> Vec<ValueId> {
    [x, weight].into_iter().chain(bias).collect()
}

fn convolve(c: &mut Call<'_>, spatial: usize) -> Values {
    let (x, weight, bias) = (c.tensor("input")?, c.tensor("weight")?, c.maybe_tensor("bias")?);
    let (x, single) = batched(c, x, spatial)?;
    let dilations = c.per_axis("dilation", spatial)?;
    let (before, after) = match c.get("padding") {
        Value::Str(rule) if rule == "valid" => (vec![0; spatial], vec![0; spatial]),
        Value::Str(rule) if rule == "same" => {
            let extents = c.extents(weight)?;
            let totals: Vec<i64> = extents.iter().skip(2).zip(&dilations).map(|(k, d)| d.saturating_mul(k - 1)).collect();
            (totals.iter().map(|n| n / 2).collect(), totals.iter().map(|n| n - n / 2).collect())
        }
        _ => {
            let padding = c.per_axis("padding", spatial)?;
            (padding.clone(), padding)
        }
    };
    let op = Convolution { strides: c.per_axis("stride", spatial)?, dilations, before, after, padding: Padding::Given, groups: c.int("groups")? };
    let y = c.apply(op, &with_bias(x, weight, bias))?;
    let y = unbatched(c, y, single)?;
    c.one(y)
}

fn deconvolve(c: &mut Call<'_>, spatial: usize) -> Values {
    let (x, weight, bias) = (c.tensor("input")?, c.tensor("weight")?, c.maybe_tensor("bias")?);
    let (x, single) = batched(c, x, spatial)?;
    let padding = c.per_axis("padding", spatial)?;
    let op = Deconvolution {
        strides: c.per_axis("stride", spatial)?,
        dilations: c.per_axis("dilation", spatial)?,
        before: padding.clone(),
        after: padding,
        extra: c.per_axis("output_padding", spatial)?,
        extents: Vec::new(),
        padding: Padding::Given,
        groups: c.int("groups")?,
    };
    let y = c.apply(op, &with_bias(x, weight, bias))?;
    let y = unbatched(c, y, single)?;
    c.one(y)
}

fn general_convolution(c: &mut Call<'_>) -> Values {
    let weight = c.tensor("weight")?;
    let spatial = c.rank(weight)?.checked_sub(2).filter(|n| *n > 0).ok_or_else(|| OpError::invalid("a filter has at least three axes"))?;
    if c.flag("transposed")? { deconvolve(c, spatial) } else { convolve(c, spatial) }
}

/// One number for each channel where there is none.
fn per_channel(c: &mut Call<'_>, name: &str, like: ValueId, channels: i64, number: f64) -> Built {
    if let Some(given) = c.maybe_tensor(name)? {
        return Ok(given);
    }
    let single = c.like(like, number);
    let shape = c.builder().ints(&[channels]);
    c.apply(ExpandTo {}, &[single, shape])
}

fn batch_norm(c: &mut Call<'_>, results: usize) -> Values {
    let x = c.first()?;
    let channels = extent(c, x, 1)?;
    let epsilon = c.float("eps")?;
    let tracked = c.has("running_mean") && c.has("running_var");
    let training = c.flag("training")? || !tracked;
    if training && tracked {
        return Err(in_training("batch_norm"));
    }
    let like = match c.maybe_tensor("running_mean")? {
        Some(mean) => mean,
        None => x,
    };
    let inputs = [
        x,
        per_channel(c, "weight", like, channels, 1.0)?,
        per_channel(c, "bias", like, channels, 0.0)?,
        per_channel(c, "running_mean", like, channels, 0.0)?,
        per_channel(c, "running_var", like, channels, 1.0)?,
    ];
    let y = c.context.builder.apply_all(BatchNorm { epsilon, momentum: training.then_some(0.0) }, &inputs)?[0];
    padded_results(c, y, results)
}

fn stash(dtype: DType) -> DType {
    dtype.accumulator()
}

fn layer_norm(c: &mut Call<'_>) -> Result<Vec<ValueId>, OpError> {
    let (x, shape) = (c.tensor("input")?, c.ints("normalized_shape")?);
    let factor = ones(c, "weight", x, &shape)?;
    let mut inputs = vec![x, factor];
    inputs.extend(c.maybe_tensor("bias")?);
    let op = LayerNorm { axis: -(shape.len() as i64), epsilon: c.float("eps")?, stash: stash(c.dtype(x)) };
    c.context.builder.apply_all(op, &inputs)
}

fn ones(c: &mut Call<'_>, name: &str, x: ValueId, shape: &[i64]) -> Built {
    if let Some(given) = c.maybe_tensor(name)? {
        return Ok(given);
    }
    let (one, shape) = (c.like(x, 1.0), c.builder().ints(shape));
    c.apply(ExpandTo {}, &[one, shape])
}

/// Without a given one the epsilon is that of the dtype.
fn rms_norm(c: &mut Call<'_>, x: ValueId, shape: &[i64]) -> Built {
    let own = match c.dtype(x) {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    };
    let epsilon = c.maybe_float("eps")?.unwrap_or(own);
    let factor = ones(c, "weight", x, shape)?;
    c.apply(RmsNorm { axis: -(shape.len() as i64), epsilon, stash: stash(c.dtype(x)) }, &[x, factor])
}

fn group_norm(c: &mut Call<'_>, groups: i64) -> Built {
    let x = c.first()?;
    let channels = extent(c, x, 1)?;
    let (factor, shift) = (per_channel(c, "weight", x, channels, 1.0)?, per_channel(c, "bias", x, channels, 0.0)?);
    c.apply(GroupNorm { groups, epsilon: c.float("eps")?, per_group: false, stash: stash(c.dtype(x)) }, &[x, factor, shift])
}

/// `v g / |v|`, the norm over all axes but one.
fn weight_norm(c: &mut Call<'_>) -> Built {
    let (v, g) = (c.tensor("v")?, c.tensor("g")?);
    let axis = c.axis("dim", v)?;
    let axes: Vec<usize> = (0..c.rank(v)?).filter(|k| *k != axis).collect();
    let norm = aggregate(c, v, Statistic::L2, &axes, true)?;
    let factor = c.apply(Div {}, &[g, norm])?;
    c.apply(Mul {}, &[v, factor])
}

/// With `zeros` a row that is all -inf gives 0.
fn softmax(c: &mut Call<'_>, name: &str, zeros: bool) -> Values {
    let (mut x, axis, dtype) = softmax_operand(c, name)?;
    let rank = c.rank(x)?;
    if rank == 0 {
        x = unsqueezed(c, x, &[0])?;
    }
    let mut value = c.apply(Softmax { axis, zeros }, &[x])?;
    if rank == 0 {
        value = reshaped(c, value, &[])?;
    }
    let value = c.cast(value, dtype)?;
    c.one(value)
}

fn log_softmax(c: &mut Call<'_>, name: &str) -> Values {
    let (x, axis, dtype) = softmax_operand(c, name)?;
    let value = if c.rank(x)? == 0 { c.like(x, 0.0) } else { c.apply(LogSoftmax { axis }, &[x])? };
    let value = c.cast(value, dtype)?;
    c.one(value)
}

fn softmax_operand(c: &mut Call<'_>, name: &str) -> Result<(ValueId, usize, DType), OpError> {
    let x = c.first()?;
    let own = c.dtype(x);
    let dtype = if c.flag("half_to_float")? { DType::F32 } else { c.maybe_dtype("dtype")?.unwrap_or(own) };
    let x = c.cast(x, dtype)?;
    Ok((x, c.axis(name, x)?, dtype))
}

fn dropout(c: &mut Call<'_>) -> Values {
    if c.flag("train")? && c.float("p")? > 0.0 {
        return Err(in_training(c.name));
    }
    Ok(vec![c.values.first().cloned().unwrap_or(Value::None)])
}

/// Windows of pools: extents, strides (as wide as the windows where left out) and margins.
fn windows(c: &Call<'_>, spatial: usize) -> Result<[Vec<i64>; 3], OpError> {
    let extents = c.per_axis("kernel_size", spatial)?;
    let strides = if c.maybe_ints("stride")?.is_none_or(|list| list.is_empty()) { extents.clone() } else { c.per_axis("stride", spatial)? };
    Ok([extents, strides, c.per_axis("padding", spatial)?])
}

fn max_pool(c: &mut Call<'_>, spatial: usize, indices: bool) -> Values {
    let x = c.tensor("self")?;
    let (x, single) = batched(c, x, spatial)?;
    let [extents, strides, margin] = windows(c, spatial)?;
    let op = MaxPool {
        extents,
        strides,
        dilations: c.per_axis("dilation", spatial)?,
        before: margin.clone(),
        after: margin,
        padding: Padding::Given,
        ceil: c.flag("ceil_mode")?,
        indices,
        reversed: false,
    };
    let outputs = c.context.builder.apply_all(op, &[x])?;
    let mut values = Vec::new();
    for (at, y) in outputs.into_iter().enumerate() {
        // PyTorch counts places within a channel.
        let y = if at == 1 {
            let spatial = c.context.builder.ty(x).dims()?[2..].iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
            let plane: i64 = spatial.iter().product();
            let plane = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(plane))));
            c.apply(Modulo {}, &[y, plane])?
        } else {
            y
        };
        values.push(unbatched(c, y, single)?);
    }
    c.several(&values)
}

fn average_pool(c: &mut Call<'_>, spatial: usize) -> Values {
    let x = c.tensor("self")?;
    let (x, single) = batched(c, x, spatial)?;
    let [extents, strides, margin] = windows(c, spatial)?;
    let ceil = c.flag("ceil_mode")?;
    let divisor = c.maybe_int("divisor_override")?;
    let size: i64 = extents.iter().product();
    if divisor.is_some() && ceil {
        return Err(OpError::unsupported("'avg_pool' with both ceil_mode and divisor_override is not supported"));
    }
    let op = AveragePool {
        extents,
        strides,
        dilations: Vec::new(),
        before: margin.clone(),
        after: margin,
        padding: Padding::Given,
        ceil,
        counts_margin: divisor.is_some() || c.flag("count_include_pad")?,
    };
    let y = c.apply(op, &[x])?;
    let y = match divisor {
        Some(divisor) => {
            let factor = c.like(y, size as f64 / divisor as f64);
            c.apply(Mul {}, &[y, factor])?
        }
        None => y,
    };
    let y = unbatched(c, y, single)?;
    c.one(y)
}

/// The extents of an adaptive pool's result; where there is none an axis stays.
fn adaptive_extents(c: &Call<'_>, x: ValueId, spatial: usize) -> Result<Vec<i64>, OpError> {
    let rank = c.rank(x)?;
    let list = c.get("output_size").elements().map(<[Value]>::to_vec).unwrap_or_else(|| vec![c.get("output_size").clone()]);
    if list.is_empty() || list.len() > spatial || rank < spatial + 1 {
        return Err(OpError::invalid(format!("'{}' of {rank} axes to {} extents", c.name, list.len())));
    }
    (0..spatial)
        .map(|k| match &list[k.min(list.len() - 1)] {
            Value::None => extent(c, x, rank - spatial + k),
            Value::Int(n) if *n >= 0 => Ok(*n),
            Value::Symbol(symbol) => c.context.builder.as_ints(symbol.value)?.first().copied().ok_or_else(OpError::unknown),
            _ => Err(c.wrong("output_size")),
        })
        .collect()
}

/// Where the k-th of `parts` windows over `n` elements begins and ends.
fn adaptive_window(k: i64, n: i64, parts: i64) -> (i64, i64) {
    (k * n / parts, ((k + 1) * n + parts - 1) / parts)
}

fn adaptive_average(c: &mut Call<'_>, spatial: usize) -> Values {
    let x = c.tensor("self")?;
    let wanted = adaptive_extents(c, x, spatial)?;
    let (x, single) = batched(c, x, spatial)?;
    if wanted.iter().all(|n| *n == 1) {
        let y = c.apply(GlobalPool { pool: Pool::Mean, p: 1 }, &[x])?;
        let y = unbatched(c, y, single)?;
        return c.one(y);
    }
    let extents = c.extents(x)?;
    let y = if extents[2..].iter().zip(&wanted).all(|(n, parts)| *parts > 0 && n % parts == 0 && *n > 0) {
        let window: Vec<i64> = extents[2..].iter().zip(&wanted).map(|(n, parts)| n / parts).collect();
        if window.iter().all(|n| *n == 1) {
            x
        } else {
            let op = AveragePool { extents: window.clone(), strides: window, dilations: Vec::new(), before: Vec::new(), after: Vec::new(), padding: Padding::None, ceil: false, counts_margin: false };
            c.apply(op, &[x])?
        }
    } else {
        // Windows of different lengths: along each axis a product with a matrix of means.
        let mut y = x;
        for (k, parts) in wanted.iter().enumerate() {
            let (axis, n) = (k + 2, extents[k + 2]);
            if n.saturating_mul(*parts) > create::MOST {
                return Err(OpError::unsupported(format!("'{}' from {n} to {parts} elements is not supported", c.name)));
            }
            let weights: Vec<f64> = (0..n).flat_map(|at| (0..*parts).map(move |part| {
                let (begin, end) = adaptive_window(part, n, *parts);
                if (begin..end).contains(&at) { 1.0 / (end - begin) as f64 } else { 0.0 }
            })).collect();
            let dtype = c.dtype(x);
            let weights = c.builder().constant(Tensor::from_f64s(dtype, &[n, *parts], &weights)?);
            let mut perm: Vec<usize> = (0..spatial + 2).collect();
            perm.swap(axis, spatial + 1);
            let turned = c.apply(Transpose { perm: perm.clone() }, &[y])?;
            let mean = c.apply(MatMul {}, &[turned, weights])?;
            y = c.apply(Transpose { perm }, &[mean])?;
        }
        y
    };
    let y = unbatched(c, y, single)?;
    c.one(y)
}

/// Along each axis the windows' elements are picked side by side, a shorter window's last one twice.
fn adaptive_max(c: &mut Call<'_>, spatial: usize) -> Values {
    let x = c.tensor("self")?;
    let wanted = adaptive_extents(c, x, spatial)?;
    let (x, single) = batched(c, x, spatial)?;
    let extents = c.extents(x)?;
    let mut y = x;
    for (k, parts) in wanted.iter().enumerate() {
        let (axis, n) = (k + 2, extents[k + 2]);
        let windows: Vec<(i64, i64)> = (0..(*parts).min(create::MOST)).map(|part| adaptive_window(part, n, *parts)).collect();
        let longest = windows.iter().map(|(begin, end)| end - begin).max().unwrap_or(0);
        if n < 1 || longest.saturating_mul(*parts) > create::MOST {
            return Err(OpError::unsupported(format!("'{}' from {n} to {parts} elements is not supported", c.name)));
        }
        let places: Vec<i64> = windows.iter().flat_map(|(begin, end)| (0..longest).map(move |at| (begin + at).min(end - 1))).collect();
        let places = c.builder().constant(Tensor::from_ints(&places).reshaped(&[*parts, longest])?);
        let picked = c.apply(Gather { axis }, &[y, places])?;
        y = aggregate(c, picked, Statistic::Max, &[axis + 1], false)?;
    }
    let y = unbatched(c, y, single)?;
    padded_results(c, y, c.schema.results)
}

/// Distances between all rows of `a` and all of `b`.
fn distances(c: &mut Call<'_>, a: ValueId, b: ValueId, p: f64) -> Values {
    let (rank_a, rank_b) = (c.rank(a)? as i64, c.rank(b)? as i64);
    let (a, b) = (unsqueezed(c, a, &[rank_a - 1])?, unsqueezed(c, b, &[rank_b - 2])?);
    let off = c.apply(Sub {}, &[a, b])?;
    let axis = c.rank(off)? - 1;
    let value = norm_of(c, off, p, &[axis], false)?;
    c.one(value)
}

fn cross(c: &mut Call<'_>) -> Values {
    let (a, b) = (c.first()?, c.tensor("other")?);
    let rank = c.rank(a)?;
    let axis = match c.maybe_int("dim")? {
        Some(axis) => frit_ir::shape::axis(axis, rank)?,
        None => c.extents(a)?.iter().position(|n| *n == 3).ok_or_else(|| OpError::invalid("'cross' wants an axis of extent 3"))?,
    };
    let turned = |c: &mut Call<'_>, x: ValueId, order: &[i64]| {
        let order = c.builder().ints(order);
        c.apply(Gather { axis }, &[x, order])
    };
    let (a1, b2, a2, b1) = (turned(c, a, &[1, 2, 0])?, turned(c, b, &[2, 0, 1])?, turned(c, a, &[2, 0, 1])?, turned(c, b, &[1, 2, 0])?);
    let (left, right) = (c.apply(Mul {}, &[a1, b2])?, c.apply(Mul {}, &[a2, b1])?);
    let value = c.apply(Sub {}, &[left, right])?;
    c.one(value)
}

/// PyTorch numbers what is made of losses: none, mean, sum.
fn reduced(c: &mut Call<'_>, loss: ValueId) -> Values {
    let axes: Vec<usize> = (0..c.rank(loss)?).collect();
    let value = match c.int("reduction")? {
        0 => loss,
        1 => aggregate(c, loss, Statistic::Mean, &axes, false)?,
        2 => aggregate(c, loss, Statistic::Sum, &axes, false)?,
        other => return Err(OpError::invalid(format!("reduction is {other}"))),
    };
    c.one(value)
}

fn weighted_loss(c: &mut Call<'_>, loss: ValueId) -> Values {
    let loss = match c.maybe_tensor("weight")? {
        Some(weight) => c.apply(Mul {}, &[loss, weight])?,
        None => loss,
    };
    reduced(c, loss)
}

fn nll(c: &mut Call<'_>, x: ValueId) -> Values {
    let reduction = match c.int("reduction")? {
        0 => Reduction::None,
        1 => Reduction::Mean,
        _ => Reduction::Sum,
    };
    let op = NllLoss { ignore: c.maybe_int("ignore_index")?, reduction };
    let target = c.tensor("target")?;
    let single = c.rank(x)? == 1;
    let (x, target) = if single { (unsqueezed(c, x, &[0])?, reshaped(c, target, &[1])?) } else { (x, target) };
    let mut inputs = vec![x, target];
    inputs.extend(c.maybe_tensor("weight")?);
    let value = c.apply(op, &inputs)?;
    let value = if single && c.rank(value)? > 0 { create::single(c, value)? } else { value };
    padded_results(c, value, c.schema.results)
}

/// Half the square of small differences, the size of large ones; `relative` to the limit between them or not.
fn smooth(c: &mut Call<'_>, limit: f64, relative: bool) -> Values {
    let (x, target) = (c.tensor("self")?, c.tensor("target")?);
    let off = c.apply(Sub {}, &[x, target])?;
    let size = c.apply(Abs {}, &[off])?;
    if limit == 0.0 {
        return reduced(c, size);
    }
    let square = c.apply(Mul {}, &[off, off])?;
    let (half, edge, shift) = (c.like(x, if relative { 0.5 / limit } else { 0.5 }), c.like(x, limit), c.like(x, 0.5 * limit));
    let small = c.apply(Mul {}, &[square, half])?;
    let large = c.apply(Sub {}, &[size, shift])?;
    let large = if relative { large } else { c.apply(Mul {}, &[large, edge])? };
    let near = c.apply(Less {}, &[size, edge])?;
    let loss = c.apply(Select {}, &[near, small, large])?;
    reduced(c, loss)
}
