//! Contractions, convolutions, pools and normalisations.

use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::padding::Padding;
use frit_ir::ops::{
    aggregate_by::AggregateBy, average_pool::AveragePool, batch_norm::BatchNorm, channel_bias::ChannelBias, clip::Clip, convolution::Convolution, deconvolution::Deconvolution, einsum::Einsum, elu::Elu,
    leaky_relu::LeakyRelu, lrn::Lrn, matmul::MatMul, max_pool::MaxPool, prelu::Prelu, relu::Relu, sigmoid::Sigmoid, tanh::Tanh, transpose::Transpose,
};
use frit_ir::{DType, OpError, ValueId};

use super::{Handler, node::Node};
use crate::import::layout::{channels_first, channels_last, filter_first};

type Values = Result<Vec<ValueId>, OpError>;

/// Ops that are one of ours, between transpositions.
pub(super) const OPS: &[(&str, Handler)] = &[
    ("AvgPool", average_pool),
    ("AvgPool3D", average_pool),
    ("BatchMatMul", batch_matmul),
    ("BatchMatMulV2", batch_matmul),
    ("BatchMatMulV3", batch_matmul),
    ("BiasAdd", bias_add),
    ("BiasAddV1", bias_add),
    ("Conv2D", conv),
    ("Conv2DBackpropInput", conv_transpose),
    ("Conv3D", conv),
    ("Conv3DBackpropInputV2", conv_transpose),
    ("DepthwiseConv2dNative", depthwise),
    ("Einsum", einsum),
    ("FusedBatchNorm", batch_norm),
    ("FusedBatchNormV2", batch_norm),
    ("FusedBatchNormV3", batch_norm),
    ("LRN", lrn),
    ("MatMul", matmul),
    ("MaxPool", max_pool),
    ("MaxPool3D", max_pool),
    ("MaxPoolV2", max_pool),
];

/// Ops that are made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("MaxPoolWithArgmax", max_pool_with_argmax),
    ("_FusedBatchNormEx", fused_batch_norm),
    ("_FusedConv2D", |n| {
        let y = conv(n)?[0];
        fused(n, y, 2)
    }),
    ("_FusedDepthwiseConv2dNative", |n| {
        let y = depthwise(n)?[0];
        fused(n, y, 2)
    }),
    ("FusedDepthwiseConv2dNative", |n| {
        let y = depthwise(n)?[0];
        fused(n, y, 2)
    }),
    ("_FusedMatMul", |n| {
        let y = matmul(n)?[0];
        fused(n, y, 2)
    }),
];

/// Are the channels of an image its second axis?
fn first(n: &Node<'_, '_>, rank: usize) -> Result<bool, OpError> {
    match n.text("data_format", if rank == 5 { "NDHWC" } else { "NHWC" }) {
        "NHWC" | "NDHWC" | "NWC" | "" => Ok(false),
        "NCHW" | "NCDHW" | "NCW" => Ok(true),
        other => Err(n.unknown_text("data_format", other)),
    }
}

/// What a list says of the spatial axes: it has an entry for each axis of the image.
fn spatial(list: &[i64], rank: usize, channels_first: bool) -> Result<Vec<i64>, OpError> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    if list.len() != rank || rank < 3 {
        return Err(OpError::invalid(format!("a list of {} entries for an image of {rank} axes", list.len())));
    }
    let (others, within) = if channels_first { ([0, 1], 2..rank) } else { ([0, rank - 1], 1..rank - 1) };
    if others.iter().any(|axis| list[*axis] != 1) {
        return Err(OpError::unsupported("windows over samples or channels are not supported"));
    }
    Ok(list[within].to_vec())
}

/// The rule for the margins of a window op, and the margins where they are given.
fn margins(n: &Node<'_, '_>, rank: usize, channels_first: bool) -> Result<(Padding, Vec<i64>, Vec<i64>), OpError> {
    match n.text("padding", "VALID") {
        "SAME" => Ok((Padding::SameEnd, Vec::new(), Vec::new())),
        "VALID" => Ok((Padding::None, Vec::new(), Vec::new())),
        "EXPLICIT" => {
            let pads = n.ints("explicit_paddings");
            if pads.len() != 2 * rank {
                return Err(OpError::invalid("explicit paddings are pairs, one for each axis"));
            }
            let side = |which: usize| {
                let all: Vec<i64> = pads.iter().skip(which).step_by(2).copied().collect();
                if channels_first { all[2..].to_vec() } else { all[1..rank - 1].to_vec() }
            };
            Ok((Padding::Given, side(0), side(1)))
        }
        other => Err(n.unknown_text("padding", other)),
    }
}

/// The image with its channels second.
fn image(n: &mut Node<'_, '_>, at: usize) -> Result<(ValueId, usize, bool), OpError> {
    let x = n.input(at)?;
    let rank = n.builder.rank(x)?;
    let channels_first_already = first(n, rank)?;
    let x = if channels_first_already { x } else { channels_first(n.builder, x)? };
    Ok((x, rank, channels_first_already))
}

fn back(n: &mut Node<'_, '_>, y: ValueId, channels_first: bool) -> Result<ValueId, OpError> {
    if channels_first { Ok(y) } else { channels_last(n.builder, y) }
}

fn channels(n: &Node<'_, '_>, x: ValueId, axis: usize) -> Result<i64, OpError> {
    n.builder.ty(x).dims()?.get(axis).and_then(|dim| dim.known()).ok_or_else(OpError::unknown)
}

fn conv(n: &mut Node<'_, '_>) -> Values {
    let (x, rank, cf) = image(n, 0)?;
    let filter = n.input(1)?;
    if n.builder.rank(filter)? != rank {
        return Err(OpError::invalid(format!("a filter {} for an image {}", n.builder.ty(filter), n.builder.ty(x))));
    }
    let (inner, all) = (channels(n, filter, rank - 2)?, channels(n, x, 1)?);
    if inner == 0 || all % inner != 0 {
        return Err(OpError::invalid(format!("a filter of {inner} channels for an image of {all}")));
    }
    let (padding, before, after) = margins(n, rank, cf)?;
    let op = Convolution { strides: spatial(n.ints("strides"), rank, cf)?, dilations: spatial(n.ints("dilations"), rank, cf)?, before, after, padding, groups: all / inner };
    let weights = filter_first(n.builder, filter)?;
    let y = n.apply(op, &[x, weights])?;
    Ok(vec![back(n, y, cf)?])
}

/// Each channel is convolved with filters of its own: `H, W, C, M`, which make channels `c * M + m`.
fn depthwise(n: &mut Node<'_, '_>) -> Values {
    let (x, rank, cf) = image(n, 0)?;
    let filter = n.input(1)?;
    let extents = n.builder.extents(filter)?;
    let [height, width, channels, times] = extents[..] else { return Err(OpError::invalid("a filter of a depthwise convolution has four axes")) };
    let weights = n.reshape(filter, &[height, width, 1, channels.saturating_mul(times)])?;
    let weights = filter_first(n.builder, weights)?;
    let (padding, before, after) = margins(n, rank, cf)?;
    let op = Convolution { strides: spatial(n.ints("strides"), rank, cf)?, dilations: spatial(n.ints("dilations"), rank, cf)?, before, after, padding, groups: channels };
    let y = n.apply(op, &[x, weights])?;
    Ok(vec![back(n, y, cf)?])
}

/// What a convolution's input would have been: the result's extents are an operand, the filter is `.., out, in`.
fn conv_transpose(n: &mut Node<'_, '_>) -> Values {
    let (x, rank, cf) = image(n, 2)?;
    let filter = n.input(1)?;
    let mut sizes = n.partly_known(0)?;
    if sizes.len() == rank {
        sizes = if cf { sizes[2..].to_vec() } else { sizes[1..rank - 1].to_vec() };
    }
    let sizes = sizes.into_iter().map(|size| size.ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
    if sizes.len() != rank - 2 {
        return Err(OpError::invalid(format!("extents {sizes:?} of an image of {rank} axes")));
    }
    let (outer, inner) = (channels(n, filter, rank - 1)?, channels(n, x, 1)?);
    if outer == 0 || inner != outer {
        return Err(OpError::unsupported("a transposed convolution in groups is not supported"));
    }
    let (padding, before, after) = margins(n, rank, cf)?;
    let (strides, dilations) = (spatial(n.ints("strides"), rank, cf)?, spatial(n.ints("dilations"), rank, cf)?);
    let extents = if padding == Padding::Given { Vec::new() } else { sizes.clone() };
    let mut extra = Vec::new();
    if padding == Padding::Given {
        let (from, reach) = (n.builder.extents(x)?, n.builder.extents(filter)?);
        for k in 0..rank - 2 {
            let (stride, dilation) = (strides.get(k).copied().unwrap_or(1), dilations.get(k).copied().unwrap_or(1));
            let full = (from[k + 2] - 1).saturating_mul(stride).saturating_add((reach[k] - 1).saturating_mul(dilation)).saturating_add(1);
            extra.push(sizes[k] - (full - before[k] - after[k]));
        }
    }
    let weights = filter_first(n.builder, filter)?;
    let op = Deconvolution { strides, dilations, before, after, extra, extents, padding, groups: 1 };
    let y = n.apply(op, &[x, weights])?;
    Ok(vec![back(n, y, cf)?])
}

/// Strides and extents of a pool's windows: attributes, or in newer versions operands.
fn windows(n: &mut Node<'_, '_>, rank: usize, cf: bool) -> Result<(Vec<i64>, Vec<i64>), OpError> {
    let (extents, strides) = if n.inputs.len() > 2 { (n.known_ints(1)?, n.known_ints(2)?) } else { (n.ints("ksize").to_vec(), n.ints("strides").to_vec()) };
    Ok((spatial(&extents, rank, cf)?, spatial(&strides, rank, cf)?))
}

fn max_pool(n: &mut Node<'_, '_>) -> Values {
    let (x, rank, cf) = image(n, 0)?;
    let (extents, strides) = windows(n, rank, cf)?;
    let (padding, before, after) = margins(n, rank, cf)?;
    let op = MaxPool { extents, strides, dilations: Vec::new(), before, after, padding, ceil: false, indices: false, reversed: false };
    let y = n.apply(op, &[x])?;
    Ok(vec![back(n, y, cf)?])
}

fn average_pool(n: &mut Node<'_, '_>) -> Values {
    let (x, rank, cf) = image(n, 0)?;
    let (extents, strides) = windows(n, rank, cf)?;
    let (padding, before, after) = margins(n, rank, cf)?;
    let op = AveragePool { extents, strides, dilations: Vec::new(), before, after, padding, ceil: false, counts_margin: false };
    let y = n.apply(op, &[x])?;
    Ok(vec![back(n, y, cf)?])
}

/// Places count `(y * width + x) * channels + channel`, with the sample's if asked for; ours count channels before places.
fn max_pool_with_argmax(n: &mut Node<'_, '_>) -> Values {
    let (x, rank, cf) = image(n, 0)?;
    let (extents, strides) = windows(n, rank, cf)?;
    let (padding, before, after) = margins(n, rank, cf)?;
    let whole = n.builder.extents(x)?;
    let [samples, count, height, width] = whole[..] else { return Err(OpError::invalid("it takes images of four axes")) };
    let op = MaxPool { extents, strides, dilations: Vec::new(), before, after, padding, ceil: false, indices: true, reversed: false };
    let found = n.builder.apply_all(op, &[x])?;
    let plane = height.saturating_mul(width);
    let within = n.builder.scalar(DType::I64, plane as f64);
    let place = n.apply(frit_ir::ops::modulo::Modulo {}, &[found[1], within])?;
    let numbers = |n: &mut Node<'_, '_>, extent: i64, axis: usize, step: i64| {
        let mut extents = vec![1; 4];
        extents[axis] = extent;
        let numbers = n.apply(frit_ir::ops::iota::Iota { dtype: DType::I64, extents, axis }, &[])?;
        let step = n.builder.scalar(DType::I64, step as f64);
        n.mul(numbers, step)
    };
    let factor = n.builder.scalar(DType::I64, count as f64);
    let place = n.mul(place, factor)?;
    let channel = numbers(n, count, 1, 1)?;
    let mut index = n.add(place, channel)?;
    if n.flag("include_batch_in_index", false) {
        let sample = numbers(n, samples, 0, plane.saturating_mul(count))?;
        index = n.add(index, sample)?;
    }
    let to = n.dtype("Targmax", DType::I64)?;
    let index = n.cast(index, to)?;
    Ok(vec![back(n, found[0], cf)?, back(n, index, cf)?])
}

fn bias_add(n: &mut Node<'_, '_>) -> Values {
    let (x, bias) = (n.input(0)?, n.input(1)?);
    let rank = n.builder.rank(x)?;
    if n.text("data_format", "NHWC").starts_with("NC") && rank > 2 { Ok(vec![n.apply(ChannelBias {}, &[x, bias])?]) } else { Ok(vec![n.add(x, bias)?]) }
}

fn transposed(n: &mut Node<'_, '_>, x: ValueId) -> Result<ValueId, OpError> {
    let rank = n.builder.rank(x)?;
    if rank < 2 {
        return Err(OpError::invalid("it takes matrices"));
    }
    let perm = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
    n.apply(Transpose { perm }, &[x])
}

fn product(n: &mut Node<'_, '_>, swap_a: bool, swap_b: bool) -> Values {
    let (mut a, mut b) = (n.input(0)?, n.input(1)?);
    if swap_a {
        a = transposed(n, a)?;
    }
    if swap_b {
        b = transposed(n, b)?;
    }
    Ok(vec![n.apply(MatMul {}, &[a, b])?])
}

fn matmul(n: &mut Node<'_, '_>) -> Values {
    let (swap_a, swap_b) = (n.flag("transpose_a", false), n.flag("transpose_b", false));
    product(n, swap_a, swap_b)
}

fn batch_matmul(n: &mut Node<'_, '_>) -> Values {
    let (swap_a, swap_b) = (n.flag("adj_x", false), n.flag("adj_y", false));
    product(n, swap_a, swap_b)
}

fn einsum(n: &mut Node<'_, '_>) -> Values {
    let inputs = n.all_inputs()?;
    let equation = n.text("equation", "").replace(' ', "");
    Ok(vec![n.apply(Einsum { equation }, &inputs)?])
}

/// Beside the result: mean and variance, which are the operands where it is not training, and what only training uses.
fn batch_norm(n: &mut Node<'_, '_>) -> Values {
    let (x, rank, cf) = image(n, 0)?;
    let (factor, shift, mut mean, mut variance) = (n.input(1)?, n.input(2)?, n.input(3)?, n.input(4)?);
    let epsilon = n.float("epsilon", f64::from(1e-4f32));
    let mut reported = variance;
    if n.flag("is_training", true) {
        let axes: Vec<i64> = std::iter::once(0).chain(2..rank as i64).collect();
        let axes = n.builder.ints(&axes);
        let average = |n: &mut Node<'_, '_>, x: ValueId, keep: bool| n.apply(AggregateBy { statistic: Statistic::Mean, keep, empty_is_none: true }, &[x, axes]);
        let wide = n.cast(x, DType::F32)?;
        let kept = average(n, wide, true)?;
        mean = average(n, wide, false)?;
        let off = n.sub(wide, kept)?;
        let square = n.mul(off, off)?;
        variance = average(n, square, false)?;
        // What is reported is the estimate of the population's.
        let extents = n.builder.extents(x)?;
        let count: i64 = extents.iter().enumerate().filter(|(axis, _)| *axis != 1).map(|(_, extent)| *extent).product();
        let correction = n.builder.scalar(DType::F32, count as f64 / (count - 1).max(1) as f64);
        reported = n.mul(variance, correction)?;
    }
    let y = n.apply(BatchNorm { epsilon, momentum: None }, &[x, factor, shift, mean, variance])?;
    let y = back(n, y, cf)?;
    Ok(vec![y, mean, reported, mean, variance, variance])
}

fn fused_batch_norm(n: &mut Node<'_, '_>) -> Values {
    let mut results = batch_norm(n)?;
    if n.int("num_side_inputs", 0) > 0 {
        let side = n.input(5)?;
        results[0] = n.add(results[0], side)?;
    }
    match n.text("activation_mode", "Identity") {
        "Identity" => {}
        "Relu" => results[0] = n.apply(Relu {}, &[results[0]])?,
        other => return Err(n.unknown_text("activation_mode", other)),
    }
    Ok(results)
}

fn lrn(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let size = n.int("depth_radius", 5).saturating_mul(2).saturating_add(1);
    let op = Lrn { alpha: n.float("alpha", 1.0) * size as f64, beta: n.float("beta", 0.5), bias: n.float("bias", 1.0), size };
    let x = channels_first(n.builder, x)?;
    let y = n.apply(op, &[x])?;
    Ok(vec![channels_last(n.builder, y)?])
}

/// What a fused op does to its product, in order; operands are taken from `at` on.
fn fused(n: &mut Node<'_, '_>, mut y: ValueId, mut at: usize) -> Values {
    for op in n.texts("fused_ops") {
        y = match op.as_str() {
            "BiasAdd" => {
                let bias = n.input(at)?;
                at += 1;
                if n.text("data_format", "NHWC") == "NCHW" { n.apply(ChannelBias {}, &[y, bias])? } else { n.add(y, bias)? }
            }
            "FusedBatchNorm" => {
                let (factor, shift, mean, variance) = (n.input(at)?, n.input(at + 1)?, n.input(at + 2)?, n.input(at + 3)?);
                at += 4;
                let epsilon = n.float("epsilon", f64::from(1e-4f32));
                let cf = n.text("data_format", "NHWC") == "NCHW";
                let x = if cf { y } else { channels_first(n.builder, y)? };
                let y = n.apply(BatchNorm { epsilon, momentum: None }, &[x, factor, shift, mean, variance])?;
                back(n, y, cf)?
            }
            "Add" | "AddV2" => {
                let other = n.input(at)?;
                at += 1;
                n.add(y, other)?
            }
            "Relu" => n.apply(Relu {}, &[y])?,
            "Relu6" => {
                let (low, high) = (n.number(y, 0.0), n.number(y, 6.0));
                n.apply(Clip {}, &[y, low, high])?
            }
            "Elu" => n.apply(Elu { alpha: 1.0 }, &[y])?,
            "LeakyRelu" => {
                let alpha = n.float("leakyrelu_alpha", f64::from(0.2f32));
                n.apply(LeakyRelu { alpha }, &[y])?
            }
            "Prelu" => {
                let slope = n.input(at)?;
                at += 1;
                n.apply(Prelu {}, &[y, slope])?
            }
            "Sigmoid" => n.apply(Sigmoid {}, &[y])?,
            "Tanh" => n.apply(Tanh {}, &[y])?,
            other => return Err(n.unknown_text("fused_ops", other)),
        };
    }
    Ok(vec![y])
}
