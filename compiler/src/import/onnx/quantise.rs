//! Quantisation, and contractions of quantised numbers.

use frit_ir::ops::cast_narrow::{CastNarrow, Rounding};
use frit_ir::ops::{cast::Cast, dequantize::Dequantize, dynamic_quantize::DynamicQuantize, matmul_integer::MatMulInteger, matmul_quantized::MatMulQuantized, quantize::Quantize};
use frit_ir::{DType, OpError, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("DequantizeLinear", dequantize),
    ("DynamicQuantizeLinear", |n| n.simple(DynamicQuantize {}, 1)),
    ("MatMulInteger", matmul_integer),
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
    let operands: Vec<ValueId> = [n.input(0)?, n.input(1)?].into_iter().chain(n.optional(2)).collect();
    Ok(vec![n.apply(Dequantize { to, axis, block }, &operands)?])
}

fn matmul_integer(n: &mut Node<'_, '_>) -> Values {
    let (a, b) = (n.input(0)?, n.input(1)?);
    let zero = |n: &mut Node<'_, '_>, at: usize, x: ValueId| n.optional(at).unwrap_or_else(|| n.builder.scalar(n.builder.dtype(x), 0.0));
    let (a_zero, b_zero) = (zero(n, 2, a), zero(n, 3, b));
    Ok(vec![n.apply(MatMulInteger {}, &[a, b, a_zero, b_zero])?])
}
