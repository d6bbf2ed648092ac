//! Products: convolutions, fully connected layers, matrices. And pools and normalisations.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::padding::Padding;
use frit_ir::ops::{convolution::Convolution, convolution_integer::ConvolutionInteger, deconvolution::Deconvolution, lp_pool::LpPool, lrn::Lrn};
use frit_ir::ops::{abs::Abs, channel_bias::ChannelBias, dequantize::Dequantize, div::Div, equal::Equal, matmul::MatMul, matmul_integer::MatMulInteger, max::Max, max_pool::MaxPool, min::Min, mul::Mul};
use frit_ir::ops::{quantize::Quantize, reciprocal::Reciprocal, reshape_to::ReshapeTo, round::Round, select::Select, transpose::Transpose, unsqueeze::Unsqueeze};
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::How::{Moved, Real, Stored};
use super::Row;
use super::node::{Node, Value, Values, dequantised, parameters};
use super::quantise::{result_scale, stored};
use super::schema::Quantisation;
use crate::import::layout::{channels_first, channels_last, permuted};

pub(super) const OPS: &[Row] = &[
    (126, "BATCH_MATMUL", Stored, batch_matmul),
    (3, "CONV_2D", Stored, |n| {
        let windows = Windows { padding: n.choice(0)?, strides: vec![n.int(2)?, n.int(1)?], dilations: vec![n.dilation(5)?, n.dilation(4)?] };
        convolution(n, &windows, Filter::Joined, 3)
    }),
    (132, "CONV_3D", Stored, |n| {
        let windows = Windows { padding: n.choice(0)?, strides: vec![n.int(1)?, n.int(3)?, n.int(2)?], dilations: vec![n.dilation(5)?, n.dilation(7)?, n.dilation(6)?] };
        convolution(n, &windows, Filter::Behind, 4)
    }),
    (141, "CONV_3D_TRANSPOSE", Stored, |n| {
        let strides = vec![n.int(1)?, n.int(3)?, n.int(2)?];
        deconvolution(n, strides, 4, 4)
    }),
    (4, "DEPTHWISE_CONV_2D", Stored, |n| {
        let windows = Windows { padding: n.choice(0)?, strides: vec![n.int(2)?, n.int(1)?], dilations: vec![n.dilation(6)?, n.dilation(5)?] };
        convolution(n, &windows, Filter::Apart, 4)
    }),
    (9, "FULLY_CONNECTED", Stored, fully_connected),
    (13, "LOCAL_RESPONSE_NORMALIZATION", Real, |n| {
        let size = 2 * n.int(0)? + 1;
        // The sum is weighted, not the mean.
        let op = Lrn { alpha: n.float(2)? * size as f64, beta: n.float(3)?, bias: n.float(1)?, size };
        let x = channels_first(n.builder, n.input(0)?)?;
        let y = n.apply(op, &[x])?;
        Ok(vec![channels_last(n.builder, y)?])
    }),
    (17, "MAX_POOL_2D", Moved, |n| pool(n, Pool::Max)),
    (67, "TRANSPOSE_CONV", Stored, |n| {
        let strides = vec![n.int(2)?, n.int(1)?];
        deconvolution(n, strides, 3, 0)
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[(12, "L2_POOL_2D", Real, |n| pool(n, Pool::Norm))];

/// How windows lie along the spatial axes.
struct Windows {
    padding: i8,
    strides: Vec<i64>,
    dilations: Vec<i64>,
}

impl Windows {
    fn padding(&self) -> Result<Padding, OpError> {
        padding(self.padding)
    }
}

pub(super) fn padding(number: i8) -> Result<Padding, OpError> {
    match number {
        0 => Ok(Padding::SameEnd),
        1 => Ok(Padding::None),
        other => Err(OpError::invalid(format!("padding {other} is unknown"))),
    }
}

/// How a filter's axes stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    /// `out, .., in`.
    Joined,
    /// `.., in, out`.
    Behind,
    /// `1, .., in * multiplier`: each channel has filters of its own.
    Apart,
}

/// A filter as `out, in, ..`, and the axis that results belong to before that.
fn filter_first(n: &mut Node<'_, '_>, filter: ValueId, how: Filter) -> Value {
    let rank = n.builder.rank(filter)?;
    if rank < 3 {
        return Err(OpError::invalid(format!("a filter has at least 3 axes, not {rank}")));
    }
    match how {
        Filter::Joined => channels_first(n.builder, filter),
        Filter::Behind => crate::import::layout::filter_first(n.builder, filter),
        Filter::Apart => permuted(n.builder, filter, &[rank - 1, 0].into_iter().chain(1..rank - 1).collect::<Vec<_>>()),
    }
}

/// The product of two quantised operands is in units of this; one number, or one for each result along an axis.
fn unit(left: &Quantisation, right: &Quantisation) -> Result<Vec<f32>, OpError> {
    match left.scales[..] {
        [scale] => Ok(right.scales.iter().map(|other| scale * other).collect()),
        _ => Err(OpError::unsupported("activations with a scale for each channel are not supported")),
    }
}

/// Units of products in units of the result.
fn ratios(unit: &[f32], scale: f32) -> Vec<f32> {
    unit.iter().map(|unit| unit / scale).collect()
}

/// A vector of numbers that belong to an axis of a value, as a constant that broadcasts over it.
fn along(n: &mut Node<'_, '_>, numbers: &[f32], axis: usize, rank: usize) -> ValueId {
    let extents = match numbers.len() {
        1 => Vec::new(),
        count => (0..rank).map(|k| if k == axis { count as i64 } else { 1 }).collect(),
    };
    n.builder.constant(Tensor::from_slice(&extents, numbers))
}

/// What of two operands that are multiplied is quantised.
enum Numbers<'f> {
    /// Nothing.
    Floats,
    /// The weights only.
    Weights(&'f Quantisation),
    /// Both are bytes.
    Bytes(&'f Quantisation, &'f Quantisation),
    /// Activations of 16 bits, weights of 8.
    Shorts(&'f Quantisation, &'f Quantisation),
}

fn numbers<'f>(n: &Node<'_, 'f>, x: usize, w: usize) -> Result<Numbers<'f>, OpError> {
    let wide = n.builder.dtype(n.input(x)?) == DType::I16;
    Ok(match (n.quantised(x), n.quantised(w)) {
        (None, None) => Numbers::Floats,
        (None, Some(w)) => Numbers::Weights(w),
        (Some(x), Some(w)) if wide => Numbers::Shorts(x, w),
        (Some(x), Some(w)) => Numbers::Bytes(x, w),
        (Some(_), None) => return Err(OpError::unsupported(format!("'{}' of quantised numbers with weights that are floats is not supported", n.op))),
    })
}

/// The bias as floats: integers are in units of the product's.
fn float_bias(n: &mut Node<'_, '_>, at: usize, unit: &[f32]) -> Result<Option<ValueId>, OpError> {
    let Some(bias) = n.optional(at) else { return Ok(None) };
    if n.builder.dtype(bias).is_float() {
        return Ok(Some(bias));
    }
    let unit = along(n, unit, 0, 1);
    let bias = n.cast(bias, DType::F32)?;
    n.mul(bias, unit).map(Some)
}

fn convolution(n: &mut Node<'_, '_>, windows: &Windows, how: Filter, activation: usize) -> Values {
    let (x, w) = (n.input(0)?, n.input(1)?);
    let rank = n.builder.rank(x)?;
    if rank < 3 || n.builder.rank(w)? != rank {
        return Err(OpError::invalid(format!("'{}' of {} with weights {}", n.op, n.builder.ty(x), n.builder.ty(w))));
    }
    let axis = if how == Filter::Joined { 0 } else { rank - 1 };
    let (channels, taken) = (n.builder.ty(x).dims()?[rank - 1].known(), n.builder.extents(w)?);
    let groups = match (how, channels) {
        (Filter::Apart, Some(channels)) => channels,
        (Filter::Joined, Some(channels)) if taken[rank - 1] > 0 && channels % taken[rank - 1] == 0 => channels / taken[rank - 1],
        (_, Some(_)) => 1,
        (_, None) => return Err(OpError::unknown()),
    };
    let (padding, strides, dilations) = (windows.padding()?, windows.strides.clone(), windows.dilations.clone());
    let plain = Convolution { strides: strides.clone(), dilations: dilations.clone(), before: Vec::new(), after: Vec::new(), padding, groups };
    let image = channels_first(n.builder, x)?;
    let y = match numbers(n, 0, 1)? {
        Numbers::Floats => {
            let weights = filter_first(n, w, how)?;
            let operands: Vec<ValueId> = [image, weights].into_iter().chain(n.optional(2)).collect();
            n.apply(plain, &operands)?
        }
        Numbers::Weights(right) => {
            check_axis(right, axis)?;
            let point = taken[if how == Filter::Joined { 1..rank - 1 } else { 0..rank - 2 }].iter().chain(&strides).all(|extent| *extent == 1);
            if point && groups == 1 && how == Filter::Joined {
                return pointwise(n, right, activation);
            }
            let rounded = Rounded::new(n, image)?;
            let bias = n.optional(2);
            if groups == 1 && n.builder.ty(x).dims()?[0].known() == Some(1) {
                // One image has one scale, so that integers can be summed.
                let weights = filter_first(n, w, how)?;
                let (_, w_zero) = parameters(n.builder, right, n.builder.dtype(w))?;
                let op = ConvolutionInteger { strides, dilations, before: Vec::new(), after: Vec::new(), padding, groups };
                let zero = n.reshaped(rounded.zero, &[])?;
                let sums = n.apply(op, &[rounded.bytes, weights, zero, w_zero])?;
                let unit = along(n, &right.scales, 1, rank);
                let scale = n.reshaped(rounded.scale, &[])?;
                let unit = n.mul(unit, scale)?;
                let sums = n.cast(sums, DType::F32)?;
                let y = n.mul(sums, unit)?;
                match bias {
                    Some(bias) => n.apply(ChannelBias {}, &[y, bias])?,
                    None => y,
                }
            } else {
                let weights = dequantised(n.builder, w, right)?;
                let weights = filter_first(n, weights, how)?;
                let operands: Vec<ValueId> = [rounded.floats(n)?, weights].into_iter().chain(bias).collect();
                n.apply(plain, &operands)?
            }
        }
        Numbers::Bytes(left, right) => {
            check_axis(right, axis)?;
            let unit = unit(left, right)?;
            let weights = filter_first(n, w, how)?;
            let (_, x_zero) = parameters(n.builder, left, n.builder.dtype(x))?;
            let (_, w_zero) = parameters(n.builder, right, n.builder.dtype(w))?;
            let op = ConvolutionInteger { strides, dilations, before: Vec::new(), after: Vec::new(), padding, groups };
            let operands: Vec<ValueId> = [image, weights, x_zero, w_zero].into_iter().chain(n.optional(2)).collect();
            let sums = n.apply(op, &operands)?;
            if let Some(scale) = result_scale(n, activation)? {
                let y = scaled(n, sums, &ratios(&unit, scale), 1)?;
                let y = channels_last(n.builder, y)?;
                return Ok(vec![stored(n, y, Some(activation))?]);
            }
            scaled(n, sums, &unit, 1)?
        }
        Numbers::Shorts(left, right) => {
            check_axis(right, axis)?;
            let weights = filter_first(n, w, how)?;
            let (image, weights) = (n.cast(image, DType::F64)?, n.cast(weights, DType::F64)?);
            let sums = n.apply(plain, &[image, weights])?;
            let rank = n.builder.rank(sums)?;
            wide(n, sums, left, right, 1, rank)?
        }
    };
    let y = n.activated(y, activation)?;
    let y = channels_last(n.builder, y)?;
    Ok(vec![n.quantise(y, 0)?])
}

/// A convolution by windows of one element, each of which is rounded by itself, as the interpreter does it.
fn pointwise(n: &mut Node<'_, '_>, weights: &Quantisation, activation: usize) -> Values {
    let (x, w) = (n.input(0)?, n.input(1)?);
    let taken = n.builder.extents(w)?;
    let (channels, features) = (taken[0], taken[taken.len() - 1]);
    let mut extents = n.builder.extents(x)?;
    if let Some(last) = extents.last_mut() {
        *last = channels;
    }
    let (w, x) = (n.reshaped(w, &[channels, features])?, rows(n, x, features)?);
    let mut y = rounded_product(n, x, w, weights)?;
    if let Some(bias) = n.optional(2) {
        y = n.add(y, bias)?;
    }
    let y = n.activated(y, activation)?;
    Ok(vec![n.reshaped(y, &extents)?])
}

/// Scales of weights belong to the results.
fn check_axis(weights: &Quantisation, axis: usize) -> Result<(), OpError> {
    if weights.scales.len() == 1 || weights.axis == axis { Ok(()) } else { Err(OpError::unsupported(format!("weights with scales along axis {} are not supported", weights.axis))) }
}

/// Sums of products as floats, in their units.
fn scaled(n: &mut Node<'_, '_>, sums: ValueId, unit: &[f32], axis: usize) -> Value {
    let rank = n.builder.rank(sums)?;
    let sums = n.cast(sums, DType::F32)?;
    let unit = along(n, unit, axis, rank);
    n.mul(sums, unit)
}

/// Sums of products of 16 and 8 bits as floats: the bias is added, and the ratio of the scales has 15 bits, as in the reference.
fn wide(n: &mut Node<'_, '_>, sums: ValueId, left: &Quantisation, right: &Quantisation, axis: usize, rank: usize) -> Value {
    let mut sums = sums;
    if let Some(bias) = n.optional(2) {
        let bias = n.cast(bias, DType::F64)?;
        let count = n.builder.extents(bias)?;
        let extents: Vec<i64> = (0..rank).map(|k| if k == axis { count[0] } else { 1 }).collect();
        let bias = n.reshaped(bias, &extents)?;
        sums = n.add(sums, bias)?;
    }
    let Some(made) = n.quantised_result(0)? else { return Err(OpError::unsupported(format!("'{}' of shorts whose result is not quantised is not supported", n.op))) };
    let scale = f64::from(made.scales[0]);
    let ratios: Vec<f64> = right.scales.iter().map(|other| reduced(f64::from(left.scales[0]) * f64::from(*other) / scale) * scale).collect();
    let extents: Vec<i64> = if ratios.len() == 1 { Vec::new() } else { (0..rank).map(|k| if k == axis { ratios.len() as i64 } else { 1 }).collect() };
    let ratios = n.builder.constant(Tensor::from_slice(&extents, &ratios));
    let value = n.mul(sums, ratios)?;
    n.cast(value, DType::F32)
}

/// A ratio as a fraction of 15 bits times a power of two.
fn reduced(ratio: f64) -> f64 {
    if ratio <= 0.0 || !ratio.is_finite() {
        return ratio;
    }
    let exponent = ratio.log2().floor() as i32 + 1;
    let fraction = (ratio / 2f64.powi(exponent) * 2f64.powi(15)).round().min(32767.0);
    fraction * 2f64.powi(exponent - 15)
}

/// The result's shape is an operand; the filter is `out, .., in` (or `.., out, in` in three dimensions).
fn deconvolution(n: &mut Node<'_, '_>, strides: Vec<i64>, activation: usize, padding_slot: usize) -> Values {
    let padding = padding(n.choice(if padding_slot == 4 { 0 } else { padding_slot })?)?;
    let (w, x) = (n.input(1)?, n.input(2)?);
    let rank = n.builder.rank(x)?;
    if rank < 3 || n.builder.rank(w)? != rank {
        return Err(OpError::invalid(format!("'{}' of {} with weights {}", n.op, n.builder.ty(x), n.builder.ty(w))));
    }
    // The batch may be open where the other extents are known.
    let declared: Vec<i64> = n.result(0)?.shape.iter().map(|extent| i64::from(*extent)).collect();
    let shape = match declared.get(1..rank - 1) {
        Some(spatial) if spatial.iter().all(|extent| *extent > 0) => spatial.to_vec(),
        _ => n.known(0)?.get(1..rank - 1).ok_or_else(|| OpError::invalid("a shape of too few extents"))?.to_vec(),
    };
    let dilations = vec![1; rank - 2];
    let op = Deconvolution { strides, dilations, before: Vec::new(), after: Vec::new(), extra: Vec::new(), extents: shape, padding: if padding == Padding::None { Padding::SameEnd } else { padding }, groups: 1 };
    let (mut image, mut weights) = (x, w);
    let mut unit = vec![1.0];
    if let (Some(left), Some(right)) = (n.quantised(2), n.quantised(1)) {
        unit = self::unit(left, right)?;
    }
    match n.quantised(2) {
        Some(quantisation) => image = dequantised(n.builder, x, quantisation)?,
        None if n.quantised(1).is_some() => image = Rounded::new(n, x)?.floats(n)?,
        None => {}
    }
    if let Some(quantisation) = n.quantised(1) {
        weights = dequantised(n.builder, w, quantisation)?;
    }
    let image = channels_first(n.builder, image)?;
    // `in, out, ..`.
    let perm: Vec<usize> = if rank == 5 { vec![4, 3, 0, 1, 2] } else { [rank - 1, 0].into_iter().chain(1..rank - 1).collect() };
    let weights = permuted(n.builder, weights, &perm)?;
    let operands: Vec<ValueId> = [image, weights].into_iter().chain(float_bias(n, 3, &unit)?).collect();
    let y = n.apply(op, &operands)?;
    let y = n.activated(y, activation)?;
    let y = channels_last(n.builder, y)?;
    Ok(vec![n.quantise(y, 0)?])
}

/// `x` with all but its last axis as one.
fn rows(n: &mut Node<'_, '_>, x: ValueId, features: i64) -> Value {
    let dims = n.builder.ty(x).dims()?;
    if dims.len() == 2 && dims[1].known() == Some(features) {
        return Ok(x);
    }
    let shape = n.builder.ints(&[-1, features]);
    n.apply(ReshapeTo { zero_copies: false }, &[x, shape])
}

fn fully_connected(n: &mut Node<'_, '_>) -> Values {
    if n.choice(1)? != 0 {
        return Err(OpError::unsupported("'FULLY_CONNECTED' with shuffled weights is not supported"));
    }
    let (mut x, w) = (n.input(0)?, n.input(1)?);
    let weights = n.builder.extents(w)?;
    let [_, features] = weights[..] else { return Err(OpError::invalid(format!("weights of shape {weights:?} are no matrix"))) };
    if !n.flag(2)? {
        x = rows(n, x, features)?;
    }
    let y = match numbers(n, 0, 1)? {
        Numbers::Floats => {
            let right = n.apply(Transpose { perm: vec![1, 0] }, &[w])?;
            let product = n.apply(MatMul {}, &[x, right])?;
            match n.optional(2) {
                Some(bias) => n.add(product, bias)?,
                None => product,
            }
        }
        Numbers::Weights(right) => {
            check_axis(right, 0)?;
            let shape = n.builder.ty(x).dims()?.to_vec();
            let matrix = rows(n, x, features)?;
            let product = rounded_product(n, matrix, w, right)?;
            let product = match n.optional(2) {
                Some(bias) => n.add(product, bias)?,
                None => product,
            };
            if shape.len() == 2 {
                product
            } else {
                let mut extents = n.builder.extents(x)?;
                extents.pop();
                extents.push(weights[0]);
                n.reshaped(product, &extents)?
            }
        }
        Numbers::Bytes(left, right) => {
            check_axis(right, 0)?;
            let unit = unit(left, right)?;
            let (_, x_zero) = parameters(n.builder, left, n.builder.dtype(x))?;
            let (_, w_zero) = parameters(n.builder, right, n.builder.dtype(w))?;
            let right = n.apply(Transpose { perm: vec![1, 0] }, &[w])?;
            let mut sums = n.apply(MatMulInteger {}, &[x, right, x_zero, w_zero])?;
            if let Some(bias) = n.optional(2) {
                sums = n.add(sums, bias)?;
            }
            let rank = n.builder.rank(sums)?;
            if let Some(scale) = result_scale(n, 0)? {
                let y = scaled(n, sums, &ratios(&unit, scale), rank - 1)?;
                return Ok(vec![stored(n, y, Some(0))?]);
            }
            scaled(n, sums, &unit, rank - 1)?
        }
        Numbers::Shorts(left, right) => {
            check_axis(right, 0)?;
            let transposed = n.apply(Transpose { perm: vec![1, 0] }, &[w])?;
            let (a, b) = (n.cast(x, DType::F64)?, n.cast(transposed, DType::F64)?);
            let sums = n.apply(MatMul {}, &[a, b])?;
            let rank = n.builder.rank(sums)?;
            wide(n, sums, left, right, rank - 1, rank)?
        }
    };
    let y = n.activated(y, 0)?;
    Ok(vec![n.quantise(y, 0)?])
}

/// Rows times the transpose of quantised weights, whose scales belong to the results.
pub(super) fn rounded_product(n: &mut Node<'_, '_>, x: ValueId, w: ValueId, weights: &Quantisation) -> Value {
    let rounded = Rounded::new(n, x)?;
    let (_, w_zero) = parameters(n.builder, weights, n.builder.dtype(w))?;
    let right = n.apply(Transpose { perm: vec![1, 0] }, &[w])?;
    let sums = n.apply(MatMulInteger {}, &[rounded.bytes, right, rounded.zero, w_zero])?;
    let last = n.builder.ints(&[-1]);
    let column = n.apply(Unsqueeze {}, &[rounded.scale, last])?;
    let unit = along(n, &weights.scales, 0, 1);
    let unit = n.mul(column, unit)?;
    let sums = n.cast(sums, DType::F32)?;
    n.mul(sums, unit)
}

/// Floats as bytes with a scale and a zero point for each index along the first axes, which follow from the values: the least and the
/// largest, with zero between them, are -128 and 127.
pub(super) struct Rounded {
    bytes: ValueId,
    /// A vector, as is `zero`.
    scale: ValueId,
    zero: ValueId,
}

impl Rounded {
    /// Of a value, each index of whose first axis has a scale of its own.
    pub(super) fn new(n: &mut Node<'_, '_>, x: ValueId) -> Result<Self, OpError> {
        let axes: Vec<usize> = (1..n.builder.rank(x)?).collect();
        let zero = n.number(x, 0.0);
        let low = n.apply(Aggregate { statistic: Statistic::Min, axes: axes.clone(), keep: false }, &[x])?;
        let high = n.apply(Aggregate { statistic: Statistic::Max, axes, keep: false }, &[x])?;
        let (low, high) = (n.apply(Min {}, &[low, zero])?, n.apply(Max {}, &[high, zero])?);
        let width = n.sub(high, low)?;
        let steps = n.number(x, 255.0);
        let factor = n.apply(Div {}, &[steps, width])?;
        // Zeros alone have scale 1.
        let (flat, one) = (n.apply(Equal {}, &[width, zero])?, n.builder.scalar(DType::F32, 1.0));
        let factor = n.apply(Select {}, &[flat, one, factor])?;
        let scale = n.apply(Reciprocal {}, &[factor])?;
        let (reached, least) = (n.mul(low, factor)?, n.number(x, -128.0));
        let offset = n.sub(least, reached)?;
        let offset = n.apply(Round {}, &[offset])?;
        let zero = n.cast(offset, DType::I8)?;
        // The interpreter multiplies where quantising in general divides.
        let behind: Vec<i64> = (1..n.builder.rank(x)? as i64).collect();
        let behind = n.builder.ints(&behind);
        let factor = n.apply(Unsqueeze {}, &[factor, behind])?;
        let quanta = n.mul(x, factor)?;
        let bytes = n.apply(Quantize { to: DType::I8, axis: 0, block: 0 }, &[quanta, one, zero])?;
        Ok(Self { bytes, scale, zero })
    }

    /// The same with zero in the middle: the largest size is 127.
    pub(super) fn symmetric(n: &mut Node<'_, '_>, x: ValueId) -> Result<Self, OpError> {
        let axes: Vec<usize> = (1..n.builder.rank(x)?).collect();
        let sizes = n.apply(Abs {}, &[x])?;
        let largest = n.apply(Aggregate { statistic: Statistic::Max, axes, keep: false }, &[sizes])?;
        let (steps, none, one) = (n.number(x, 127.0), n.number(x, 0.0), n.number(x, 1.0));
        let scale = n.apply(Div {}, &[largest, steps])?;
        let flat = n.apply(Equal {}, &[largest, none])?;
        let scale = n.apply(Select {}, &[flat, one, scale])?;
        let zero = n.apply(Mul {}, &[scale, none])?;
        let zero = n.cast(zero, DType::I8)?;
        let bytes = n.apply(Quantize { to: DType::I8, axis: 0, block: 0 }, &[x, scale, zero])?;
        Ok(Self { bytes, scale, zero })
    }

    /// The floats that the bytes stand for.
    pub(super) fn floats(&self, n: &mut Node<'_, '_>) -> Value {
        n.apply(Dequantize { to: DType::F32, axis: 0, block: 0 }, &[self.bytes, self.scale, self.zero])
    }
}

fn batch_matmul(n: &mut Node<'_, '_>) -> Values {
    let mut operands = Vec::new();
    for at in 0..2 {
        let mut operand = n.input(at)?;
        if let Some(quantisation) = n.quantised(at) {
            operand = dequantised(n.builder, operand, quantisation)?;
        }
        if n.flag(at)? {
            let rank = n.builder.rank(operand)?;
            if rank < 2 {
                return Err(OpError::invalid("'BATCH_MATMUL' of a vector"));
            }
            let perm: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            operand = permuted(n.builder, operand, &perm)?;
        }
        operands.push(operand);
    }
    if n.quantised(0).is_none() && n.quantised(1).is_some() {
        // Each row has a scale of its own.
        let shape = n.builder.extents(operands[0])?;
        let features = shape.last().copied().unwrap_or(1);
        let matrix = rows(n, operands[0], features)?;
        let rounded = Rounded::new(n, matrix)?.floats(n)?;
        operands[0] = n.reshaped(rounded, &shape)?;
    }
    let y = n.apply(MatMul {}, &operands)?;
    Ok(vec![n.quantise(y, 0)?])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pool {
    Max,
    Norm,
}

fn pool(n: &mut Node<'_, '_>, how: Pool) -> Values {
    if how == Pool::Max && !n.real && n.quantised(0).is_some() && n.choice(5)? != 0 {
        return clamped_max_pool(n);
    }
    let y = pooled(n, how, n.input(0)?)?;
    Ok(vec![n.activated(y, 5)?])
}

/// Maxima of quantised numbers, within the bounds of an activation.
fn clamped_max_pool(n: &mut Node<'_, '_>) -> Values {
    let y = pooled(n, Pool::Max, n.input(0)?)?;
    let quantisation = n.quantised(0).ok_or_else(|| OpError::bug("bounds of floats"))?;
    let y = dequantised(n.builder, y, quantisation)?;
    let y = n.activated(y, 5)?;
    Ok(vec![n.quantise(y, 0)?])
}

fn pooled(n: &mut Node<'_, '_>, how: Pool, x: ValueId) -> Value {
    let padding = padding(n.choice(0)?)?;
    let (strides, extents) = (vec![n.int(2)?, n.int(1)?], vec![n.int(4)?, n.int(3)?]);
    let (dilations, before, after) = (Vec::new(), Vec::new(), Vec::new());
    let image = channels_first(n.builder, x)?;
    let y = match how {
        Pool::Max => n.apply(MaxPool { extents, strides, dilations, before, after, padding, ceil: false, indices: false, reversed: false }, &[image])?,
        Pool::Norm => {
            if padding != Padding::None {
                return Err(OpError::unsupported("'L2_POOL_2D' with margins is not supported"));
            }
            let count: i64 = extents.iter().product();
            let norm = n.apply(LpPool { p: 2, extents, strides, dilations, before, after, padding, ceil: false }, &[image])?;
            let factor = n.builder.constant(Tensor::scalar(DType::F32, Scalar::Float(1.0 / (count as f64).sqrt())));
            n.mul(norm, factor)?
        }
    };
    channels_last(n.builder, y)
}
