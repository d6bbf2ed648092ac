//! Quantisation, and contractions of quantised numbers.

use frit_ir::ops::cast_narrow::{CastNarrow, Rounding};
use frit_ir::ops::{cast::Cast, convolution_integer::ConvolutionInteger, dequantize::Dequantize, dynamic_quantize::DynamicQuantize, matmul_integer::MatMulInteger, matmul_quantized::MatMulQuantized, mul::Mul, quantize::Quantize, reshape::Reshape};
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
    ("QLinearConv", quantised_convolution),
    ("QLinearMatMul", |n| n.simple(MatMulQuantized {}, 8)),
    ("QuantizeLinear", quantize),
];

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
