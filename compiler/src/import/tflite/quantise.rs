//! Arithmetic of bytes, rounded as the interpreter rounds it.
//!
//! In: operators whose operands and results are quantised with one scale each. Out: the same results to the bit where the interpreter's own
//! arithmetic is no coarser than this. What is not of that form is computed with the numbers that bytes stand for.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::average_pool::AveragePool;
use frit_ir::ops::{abs::Abs, add::Add, floor::Floor, hard_swish::HardSwish, mul::Mul, quantize::Quantize, round::Round, shr::Shr, sign::Sign, sub::Sub};
use frit_ir::{DType, Op, OpError, Scalar, Tensor, ValueId};

use super::How::Stored;
use super::Row;
use super::node::{Node, Value, Values, dequantised};
use super::schema::Quantisation;
use crate::import::layout::{channels_first, channels_last};

pub(super) const OPS: &[Row] = &[
    (0, "ADD", Stored, |n| sum(n, 1.0)),
    (1, "AVERAGE_POOL_2D", Stored, average_pool),
    (117, "HARD_SWISH", Stored, hard_swish),
    (40, "MEAN", Stored, mean),
    (18, "MUL", Stored, product),
    (41, "SUB", Stored, |n| sum(n, -1.0)),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    (99, "SQUARED_DIFFERENCE", Stored, squared_difference),
];

/// One scale and zero point.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    scale: f32,
    zero: i64,
}

fn grid(quantisation: Option<&Quantisation>) -> Option<Grid> {
    match quantisation {
        Some(Quantisation { scales, zeros, .. }) if scales.len() == 1 && scales[0] > 0.0 && scales[0].is_finite() => Some(Grid { scale: scales[0], zero: *zeros.first()? }),
        _ => None,
    }
}

/// The grids of some operands and of the result, if all of them are bytes.
fn grids<const N: usize>(n: &Node<'_, '_>) -> Result<Option<([Grid; N], Grid)>, OpError> {
    let byte = |dtype: DType| matches!(dtype, DType::I8 | DType::U8);
    let mut given = [Grid { scale: 1.0, zero: 0 }; N];
    for (at, slot) in given.iter_mut().enumerate() {
        match grid(n.quantised(at)) {
            Some(grid) if byte(n.builder.dtype(n.input(at)?)) => *slot = grid,
            _ => return Ok(None),
        }
    }
    Ok(grid(n.quantised_result(0)?).filter(|_| n.result_dtype(0).is_ok_and(byte)).map(|made| (given, made)))
}

/// An operand as the numbers that it stands for.
fn real(n: &mut Node<'_, '_>, at: usize) -> Value {
    let value = n.input(at)?;
    match n.quantised(at) {
        Some(quantisation) => dequantised(n.builder, value, quantisation),
        None => Ok(value),
    }
}

/// An op of two operands with the numbers that they stand for.
fn plain(n: &mut Node<'_, '_>, op: impl Into<Op>, activation: Option<usize>) -> Values {
    let operands = [real(n, 0)?, real(n, 1)?];
    let mut y = n.apply(op, &operands)?;
    if let Some(slot) = activation {
        y = n.activated(y, slot)?;
    }
    Ok(vec![n.quantise(y, 0)?])
}

/// What an operand lies above its zero point.
fn lifted(n: &mut Node<'_, '_>, at: usize, grid: Grid, dtype: DType) -> Value {
    let value = n.input(at)?;
    let value = n.cast(value, dtype)?;
    let zero = n.number(value, -(grid.zero as f64));
    n.add(value, zero)
}

/// The bounds that an activation leaves, in quanta above the zero point; nothing where there are none.
fn bounds(n: &Node<'_, '_>, slot: usize, scale: f32) -> Result<Option<(f64, f64)>, OpError> {
    let quanta = |x: f64| x / f64::from(scale);
    match n.choice(slot)? {
        0 => Ok(None),
        1 => Ok(Some((0.0, f64::from(f32::MAX)))),
        2 => Ok(Some((quanta(-1.0), quanta(1.0)))),
        3 => Ok(Some((0.0, quanta(6.0)))),
        other => Err(OpError::unsupported(format!("activation {other} of quantised numbers is not supported"))),
    }
}

/// A number of quanta above the zero point as the file stores it, after the activation that an option names.
pub(super) fn stored(n: &mut Node<'_, '_>, quanta: ValueId, activation: Option<usize>) -> Value {
    let Some(made) = grid(n.quantised_result(0)?) else { return Err(OpError::unsupported("a result with several scales is not supported")) };
    let mut value = quanta;
    if let Some(slot) = activation
        && let Some((low, high)) = bounds(n, slot, made.scale)?
    {
        value = n.between(value, low, high)?;
    }
    let to = n.result_dtype(0)?;
    let one = n.builder.scalar(DType::F32, 1.0);
    let zero = n.builder.constant(Tensor::scalar(to, Scalar::Int(i128::from(made.zero))));
    n.apply(Quantize { to, axis: 0, block: 0 }, &[value, one, zero])
}

/// The scale of the result, if there is one, and an activation that bounds can say.
pub(super) fn result_scale(n: &Node<'_, '_>, activation: usize) -> Result<Option<f32>, OpError> {
    let simple = matches!(n.choice(activation)?, 0..=3);
    Ok(grid(n.quantised_result(0)?).filter(|_| simple).map(|grid| grid.scale))
}

/// The least and the largest byte.
fn range(dtype: DType) -> (f64, f64) {
    if dtype == DType::I8 { (-128.0, 127.0) } else { (0.0, 255.0) }
}

/// Bits of a factor in [`sum`].
const FACTOR_BITS: i32 = 20;

/// `a + sign * b`: in fixed point, each operand with a factor of 21 bits, the sum rounded with half a quantum up.
fn sum(n: &mut Node<'_, '_>, sign: f64) -> Values {
    let op: Op = if sign < 0.0 { Sub {}.into() } else { Add {}.into() };
    let Some(([a, b], made)) = grids::<2>(n)? else { return plain(n, op, Some(0)) };
    let ratios = [a.scale / made.scale, b.scale / made.scale];
    let exponent = f64::from(ratios[0].max(ratios[1])).log2().floor() as i32;
    let shift = FACTOR_BITS - exponent;
    if !(13..=30).contains(&shift) {
        return plain(n, op, Some(0));
    }
    let factors = ratios.map(|ratio| (f64::from(ratio) * 2f64.powi(shift)).round_ties_even());
    let factors = [factors[0], sign * factors[1]];
    let bias = 2f64.powi(shift - 1) - factors[0] * a.zero as f64 - factors[1] * b.zero as f64;
    let mut total = n.builder.scalar(DType::I32, bias);
    for (at, factor) in factors.into_iter().enumerate() {
        let value = n.input(at)?;
        let value = n.cast(value, DType::I32)?;
        let factor = n.number(value, factor);
        let term = n.mul(value, factor)?;
        total = n.add(total, term)?;
    }
    let shift = n.number(total, f64::from(shift));
    let quanta = n.apply(Shr {}, &[total, shift])?;
    let zero = n.number(quanta, made.zero as f64);
    let value = n.add(quanta, zero)?;
    let to = n.result_dtype(0)?;
    let (mut low, mut high) = range(to);
    if let Some((least, most)) = bounds(n, 0, made.scale)? {
        low = (least.round_ties_even() + made.zero as f64).clamp(low, high);
        high = (most.round_ties_even() + made.zero as f64).clamp(low, high);
    }
    let value = n.between(value, low, high)?;
    Ok(vec![n.cast(value, to)?])
}

/// The product of what lies above the zero points, scaled once.
fn product(n: &mut Node<'_, '_>) -> Values {
    let Some(([a, b], made)) = grids::<2>(n)? else { return plain(n, Mul {}, Some(0)) };
    // Of integers: one that is known would otherwise be multiplied with the ratio first, and the product rounded differently.
    let operands = [lifted(n, 0, a, DType::I32)?, lifted(n, 1, b, DType::I32)?];
    let product = n.mul(operands[0], operands[1])?;
    let product = n.cast(product, DType::F32)?;
    let ratio = n.number(product, f64::from(a.scale * b.scale / made.scale));
    let quanta = n.mul(product, ratio)?;
    Ok(vec![stored(n, quanta, Some(0))?])
}

/// Squares of differences that are rounded to 1/128 of twice the larger scale.
fn squared_difference(n: &mut Node<'_, '_>) -> Values {
    let Some(([a, b], made)) = grids::<2>(n)? else {
        let operands = [real(n, 0)?, real(n, 1)?];
        let difference = n.sub(operands[0], operands[1])?;
        let square = n.mul(difference, difference)?;
        return Ok(vec![n.quantise(square, 0)?]);
    };
    let widest = 2.0 * f64::from(a.scale.max(b.scale));
    let mut terms = Vec::new();
    for (at, grid) in [a, b].into_iter().enumerate() {
        let value = lifted(n, at, grid, DType::F32)?;
        let ratio = n.number(value, 128.0 * f64::from(grid.scale) / widest);
        let value = n.mul(value, ratio)?;
        terms.push(n.apply(Round {}, &[value])?);
    }
    let difference = n.sub(terms[0], terms[1])?;
    let square = n.mul(difference, difference)?;
    let ratio = n.number(square, widest * widest / (128.0 * 128.0) / f64::from(made.scale));
    let quanta = n.mul(square, ratio)?;
    Ok(vec![stored(n, quanta, None)?])
}

/// The sum of what lies above the zero point, scaled once.
fn mean(n: &mut Node<'_, '_>) -> Values {
    let keep = n.flag(0)?;
    let grids = grids::<1>(n)?;
    let rank = n.builder.rank(n.input(0)?)?;
    let given = n.index_list(1)?;
    let mut axes = n.builder.as_ints(given)?.into_iter().map(|k| frit_ir::shape::axis(k, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    let Some(([a], made)) = grids else {
        let x = real(n, 0)?;
        let y = n.apply(Aggregate { statistic: Statistic::Mean, axes, keep }, &[x])?;
        return Ok(vec![n.quantise(y, 0)?]);
    };
    let extents = n.builder.extents(n.input(0)?)?;
    let count: f64 = axes.iter().map(|axis| extents[*axis] as f64).product();
    let x = lifted(n, 0, a, DType::F32)?;
    let sum = n.apply(Aggregate { statistic: Statistic::Sum, axes, keep }, &[x])?;
    let ratio = n.number(sum, f64::from(a.scale) / f64::from(made.scale) / count);
    let quanta = n.mul(sum, ratio)?;
    Ok(vec![stored(n, quanta, None)?])
}

/// Means of bytes are rounded away from zero where they lie between two.
fn average_pool(n: &mut Node<'_, '_>) -> Values {
    let (strides, extents) = (vec![n.int(2)?, n.int(1)?], vec![n.int(4)?, n.int(3)?]);
    let op = AveragePool { extents, strides, dilations: Vec::new(), before: Vec::new(), after: Vec::new(), padding: super::nn::padding(n.choice(0)?)?, ceil: false, counts_margin: false };
    let alike = grids::<1>(n)?.filter(|([a], made)| a.scale == made.scale && a.zero == made.zero);
    let Some((_, made)) = alike else {
        let x = real(n, 0)?;
        let image = channels_first(n.builder, x)?;
        let y = n.apply(op, &[image])?;
        let y = channels_last(n.builder, y)?;
        let y = n.activated(y, 5)?;
        return Ok(vec![n.quantise(y, 0)?]);
    };
    let x = n.input(0)?;
    let x = n.cast(x, DType::F32)?;
    let image = channels_first(n.builder, x)?;
    let mean = n.apply(op, &[image])?;
    let (size, sign) = (n.apply(Abs {}, &[mean])?, n.apply(Sign {}, &[mean])?);
    let half = n.number(size, 0.5);
    let size = n.add(size, half)?;
    let size = n.apply(Floor {}, &[size])?;
    let mut y = n.mul(size, sign)?;
    if let Some((low, high)) = bounds(n, 5, made.scale)? {
        y = n.between(y, low.round_ties_even() + made.zero as f64, (high.round_ties_even() + made.zero as f64).min(f64::from(f32::MAX)))?;
    }
    let to = n.result_dtype(0)?;
    let y = n.cast(y, to)?;
    Ok(vec![channels_last(n.builder, y)?])
}

/// A factor as a number of 16 bits, one of them for the sign, and an exponent: it is that number times `2^(exponent - 15)`.
fn multiplier(factor: f32) -> (f64, i32) {
    let factor = f64::from(factor);
    let mut exponent = (factor.to_bits() >> 52) as i32 - 1022;
    let mut fixed = (factor / 2f64.powi(exponent) * 2f64.powi(31)).round();
    if fixed == 2f64.powi(31) {
        fixed /= 2.0;
        exponent += 1;
    }
    (((fixed + 2f64.powi(15)) / 2f64.powi(16)).floor().min(32767.0), exponent)
}

/// `x * relu6(x + 3) / 6` in fixed point of 16 bits: the gate's half, from -1 to 1, and x in a finer scale than the result's are multiplied.
/// Source: TensorFlow Lite's reference kernel, `reference/hard_swish.h`.
fn hard_swish(n: &mut Node<'_, '_>) -> Values {
    let plain = |n: &mut Node<'_, '_>| {
        let x = real(n, 0)?;
        let y = n.apply(HardSwish {}, &[x])?;
        Ok(vec![n.quantise(y, 0)?])
    };
    let Some(([a], made)) = grids::<1>(n)? else { return plain(n) };
    let fine = a.scale / 128.0;
    let ((output, down), (gate, up)) = (multiplier(fine / made.scale), multiplier(fine / (3.0 / 32768.0)));
    if !(-30..=0).contains(&down) || !(-30..=15).contains(&up) {
        return plain(n);
    }
    let number = |n: &mut Node<'_, '_>, x: ValueId, y: f64, op: Op| {
        let y = n.number(x, y);
        n.apply(op, &[x, y])
    };
    // Rounded to the nearest, halves up; and halves away from zero.
    let high = |n: &mut Node<'_, '_>, x: ValueId, factor: f64| {
        let x = number(n, x, factor, Mul {}.into())?;
        let x = number(n, x, f64::from(1 << 14), Add {}.into())?;
        number(n, x, 15.0, Shr {}.into())
    };
    let divided = |n: &mut Node<'_, '_>, x: ValueId, bits: i32| {
        if bits == 0 {
            return Ok(x);
        }
        let sign = number(n, x, 31.0, Shr {}.into())?;
        let x = n.add(x, sign)?;
        let x = number(n, x, 2f64.powi(bits - 1), Add {}.into())?;
        number(n, x, f64::from(bits), Shr {}.into())
    };
    let saturated = |n: &mut Node<'_, '_>, x: ValueId, bits: i32| {
        let x = number(n, x, 2f64.powi(bits), Mul {}.into())?;
        n.between(x, -32768.0, 32767.0)
    };
    let x = lifted(n, 0, a, DType::I32)?;
    let x = number(n, x, 128.0, Mul {}.into())?;
    let value = high(n, x, output)?;
    let mut half = x;
    if up > 0 {
        half = saturated(n, half, up - 1)?;
    }
    half = high(n, half, gate)?;
    half = if up > 0 { saturated(n, half, 1)? } else { divided(n, half, -up)? };
    let half = number(n, half, f64::from(1 << 15), Add {}.into())?;
    let gate = number(n, half, 1.0, Shr {}.into())?;
    let product = n.mul(gate, value)?;
    // Rounded towards zero.
    let sign = number(n, product, 31.0, Shr {}.into())?;
    let margin = number(n, sign, -32767.0, Mul {}.into())?;
    let product = n.add(product, margin)?;
    let product = number(n, product, 15.0, Shr {}.into())?;
    let quanta = divided(n, product, -down)?;
    let value = number(n, quanta, made.zero as f64, Add {}.into())?;
    let to = n.result_dtype(0)?;
    let (low, high) = range(to);
    let value = n.between(value, low, high)?;
    Ok(vec![n.cast(value, to)?])
}
