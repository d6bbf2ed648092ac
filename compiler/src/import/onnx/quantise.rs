//! Quantisation, and contractions of quantised numbers.

use frit_ir::ops::cast_narrow::{CastNarrow, Rounding};
use frit_ir::ops::{add::Add, cast::Cast, convolution_integer::ConvolutionInteger, dequantize::Dequantize, dynamic_quantize::DynamicQuantize, gemm::Gemm, matmul_integer::MatMulInteger, matmul_quantized::MatMulQuantized, mul::Mul, quantize::Quantize, reshape::Reshape};
use frit_ir::ops::global_pool::{GlobalPool, Pool};
use frit_ir::{DType, OpError, ValueId};

use super::nn::{list, margins};
use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("ConvInteger", |n| {
        let (x, w) = (n.input(0)?, n.input(1)?);
        let operands = [x, w, zero_point(n, 2, x), zero_point(n, 3, w)];
        Ok(vec![convolution(n, &operands)?])
    }),
    ("DequantizeLinear", dequantize),
    ("DynamicQuantizeLinear", |n| n.simple(DynamicQuantize {}, 1)),
    ("MatMulInteger", matmul_integer),
    ("QLinearMatMul", |n| n.simple(MatMulQuantized {}, 8)),
    ("QuantizeLinear", quantize),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("QLinearConv", quantised_convolution),
];

/// ONNX Runtime's own, which its quantiser writes: an op between numbers that are made floats and quantised again.
pub(super) const MICROSOFT: &[(&str, Handler)] = &[
    ("QGemm", quantised_gemm),
    ("QLinearAdd", |n| {
        let operands = [dequantised(n, 0)?, dequantised(n, 3)?];
        let sum = n.apply(Add {}, &operands)?;
        quantised(n, sum, 6)
    }),
    ("QLinearGlobalAveragePool", |n| {
        if n.flag("channels_last", false) {
            return Err(OpError::unsupported("images with their channels last"));
        }
        let x = dequantised(n, 0)?;
        let mean = n.apply(GlobalPool { pool: Pool::Mean, p: 1 }, &[x])?;
        quantised(n, mean, 3)
    }),
    ("QLinearMul", |n| {
        let operands = [dequantised(n, 0)?, dequantised(n, 3)?];
        let product = n.apply(Mul {}, &operands)?;
        quantised(n, product, 6)
    }),
];

/// The operand at a place as floats: it, its scale and its zero point.
fn dequantised(n: &mut Node<'_, '_>, at: usize) -> Result<ValueId, OpError> {
    let (x, scale) = (n.input(at)?, n.input(at + 1)?);
    let zero = zero_point(n, at + 2, x);
    n.apply(Dequantize { to: DType::F32, axis: 1, block: 0 }, &[x, scale, zero])
}

/// A result, quantised with the scale at a place and the zero point behind it.
fn quantised(n: &mut Node<'_, '_>, value: ValueId, at: usize) -> Values {
    let x = n.input(0)?;
    let (scale, zero) = (n.input(at)?, zero_point(n, at + 1, x));
    let to = n.builder.dtype(zero);
    Ok(vec![n.apply(Quantize { to, axis: 1, block: 0 }, &[value, scale, zero])?])
}

/// `alpha * a' b' + c`, where `c` are 32-bit integers in units of `alpha` and both scales. Without a scale for the result it stays f32.
fn quantised_gemm(n: &mut Node<'_, '_>) -> Values {
    let (alpha, trans_a, trans_b) = (n.float("alpha", 1.0), n.flag("transA", false), n.flag("transB", false));
    let left = dequantised(n, 0)?;
    let (b, b_scale) = (n.input(3)?, n.input(4)?);
    let zero = zero_point(n, 5, b);
    let right = n.apply(Dequantize { to: DType::F32, axis: i64::from(!trans_b), block: 0 }, &[b, b_scale, zero])?;
    let mut operands = vec![left, right];
    if let Some(c) = n.optional(6) {
        let a_scale = n.input(1)?;
        let unit = n.apply(Mul {}, &[a_scale, b_scale])?;
        let c = n.apply(Cast { to: DType::F32 }, &[c])?;
        operands.push(n.apply(Mul {}, &[c, unit])?);
    }
    let y = n.apply(Gemm { alpha, beta: alpha, trans_a, trans_b }, &operands)?;
    if n.optional(7).is_none() { Ok(vec![y]) } else { quantised(n, y, 7) }
}

fn quantize(n: &mut Node<'_, '_>) -> Values {
    let (mut x, mut scale, zero) = (n.input(0)?, n.input(1)?, n.optional(2));
    let asked = if n.int("output_dtype", 0) == 0 { None } else { n.maybe_dtype("output_dtype")? };
    let to = zero.map(|zero| n.builder.dtype(zero)).or(asked).unwrap_or(DType::U8);
    if n.int("precision", 0) != 0
        && let Some(within) = n.maybe_dtype("precision")?
    {
        x = n.apply(Cast { to: within }, &[x])?;
        scale = n.apply(Cast { to: within }, &[scale])?;
    }
    let (axis, block) = (n.int("axis", 1), n.int("block_size", 0));
    let zero = if zero.is_none() && to.is_int() && to.size() == 1 && block == 0 { Some(n.builder.scalar(to, 0.0)) } else { zero };
    let operands: Vec<ValueId> = [x, scale].into_iter().chain(zero).collect();
    if to.is_float() && !n.flag("saturate", true) {
        let ratio = n.apply(Quantize { to: DType::F32, axis, block }, &operands)?;
        return Ok(vec![n.apply(CastNarrow { to, saturate: false, rounding: Rounding::Nearest }, &[ratio])?]);
    }
    Ok(vec![n.apply(Quantize { to, axis, block }, &operands)?])
}

fn dequantize(n: &mut Node<'_, '_>) -> Values {
    let asked = if n.int("output_dtype", 0) == 0 { None } else { n.maybe_dtype("output_dtype")? };
    let to = asked.unwrap_or(n.builder.dtype(n.input(1)?));
    let (axis, block) = (n.int("axis", 1), n.int("block_size", 0));
    // Bytes always have a zero point, so that rules see one form.
    let x = n.input(0)?;
    let zero = if n.builder.dtype(x).is_int() && n.builder.dtype(x).size() == 1 && block == 0 { Some(zero_point(n, 2, x)) } else { n.optional(2) };
    let operands: Vec<ValueId> = [x, n.input(1)?].into_iter().chain(zero).collect();
    Ok(vec![n.apply(Dequantize { to, axis, block }, &operands)?])
}

/// An operand, or zero of the dtype of `x`.
fn zero_point(n: &mut Node<'_, '_>, at: usize, x: ValueId) -> ValueId {
    n.optional(at).unwrap_or_else(|| n.builder.scalar(n.builder.dtype(x), 0.0))
}

fn matmul_integer(n: &mut Node<'_, '_>) -> Values {
    let (a, b) = (n.input(0)?, n.input(1)?);
    let operands = [a, b, zero_point(n, 2, a), zero_point(n, 3, b)];
    Ok(vec![n.apply(MatMulInteger {}, &operands)?])
}

fn convolution(n: &mut Node<'_, '_>, operands: &[ValueId]) -> Result<ValueId, OpError> {
    let (padding, before, after) = margins(n)?;
    let op = ConvolutionInteger { strides: list(n, "strides"), dilations: list(n, "dilations"), before, after, padding, groups: n.int("group", 1) };
    n.apply(op, operands)
}

fn quantised_convolution(n: &mut Node<'_, '_>) -> Values {
    let operands: Vec<ValueId> = [n.input(0)?, n.input(3)?, n.input(2)?, n.input(5)?].into_iter().chain(n.optional(8)).collect();
    let sums = convolution(n, &operands)?;
    let scales = [n.input(1)?, n.input(4)?];
    let mut scale = n.apply(Mul {}, &scales)?;
    let rank = n.builder.rank(n.input(0)?)?;
    if n.builder.rank(scale)? == 1 {
        let mut extents = vec![1; rank.saturating_sub(1)];
        extents.splice(0..1, n.builder.extents(scale)?);
        scale = n.apply(Reshape { extents }, &[scale])?;
    }
    let sums = n.apply(Cast { to: DType::F32 }, &[sums])?;
    let value = n.apply(Mul {}, &[sums, scale])?;
    let (y_scale, y_zero) = (n.input(6)?, n.input(7)?);
    let to = n.builder.dtype(y_zero);
    Ok(vec![n.apply(Quantize { to, axis: 1, block: 0 }, &[value, y_scale, y_zero])?])
}
