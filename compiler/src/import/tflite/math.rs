//! Elementwise ops, activations, reductions.

use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::cumulate::Running;
use frit_ir::ops::{abs::Abs, aggregate_by::AggregateBy, and::And, arg_extreme::ArgExtreme, atan::Atan, bitcast::Bitcast, ceil::Ceil, cos::Cos, cumulate_by::CumulateBy, div::Div};
use frit_ir::ops::{elu::Elu, equal::Equal, exp::Exp, floor::Floor, gelu::Gelu, leaky_relu::LeakyRelu, less::Less, less_equal::LessEqual, log::Log};
use frit_ir::ops::{log_softmax::LogSoftmax, max::Max, min::Min, modulo::Modulo, neg::Neg, not::Not, or::Or, pow::Pow, prelu::Prelu, reciprocal::Reciprocal, relu::Relu, round::Round};
use frit_ir::ops::{select::Select, shr::Shr, sigmoid::Sigmoid, sign::Sign, sin::Sin, softmax::Softmax, sqrt::Sqrt, tanh::Tanh, unsqueeze::Unsqueeze, xor::Xor};
use frit_ir::{DType, Op, OpError, ValueId};

use super::How::{Moved, Real, Stored};
use super::Row;
use super::node::{Node, Values};

pub(super) const OPS: &[Row] = &[
    (101, "ABS", Real, |n| n.simple(Abs {}, 1)),
    (56, "ARG_MAX", Stored, |n| arg_extreme(n, true)),
    (79, "ARG_MIN", Stored, |n| arg_extreme(n, false)),
    (159, "BITCAST", Stored, bitcast),
    (160, "BITWISE_XOR", Stored, |n| n.simple(Xor {}, 2)),
    (53, "CAST", Stored, |n| {
        let (x, to) = (n.input(0)?, n.result_dtype(0)?);
        Ok(vec![n.cast(x, to)?])
    }),
    (104, "CEIL", Real, |n| n.simple(Ceil {}, 1)),
    (108, "COS", Real, |n| n.simple(Cos {}, 1)),
    (128, "CUMSUM", Real, |n| {
        let (exclusive, reverse) = (n.flag(0)?, n.flag(1)?);
        let operands = [n.input(0)?, n.indices(1)?];
        Ok(vec![n.apply(CumulateBy { how: Running::Sum, exclusive, reverse }, &operands)?])
    }),
    (6, "DEQUANTIZE", Real, |n| {
        let (x, to) = (n.input(0)?, n.result_dtype(0)?);
        Ok(vec![n.cast(x, to)?])
    }),
    (42, "DIV", Real, |n| {
        let quotient = n.simple(Div {}, 2)?[0];
        Ok(vec![n.activated(quotient, 0)?])
    }),
    (111, "ELU", Real, |n| n.simple(Elu { alpha: 1.0 }, 1)),
    (71, "EQUAL", Real, |n| n.simple(Equal {}, 2)),
    (47, "EXP", Real, |n| n.simple(Exp {}, 1)),
    (8, "FLOOR", Real, |n| n.simple(Floor {}, 1)),
    (95, "FLOOR_MOD", Real, |n| n.simple(Modulo {}, 2)),
    (150, "GELU", Real, |n| {
        let tanh = n.flag(0)?;
        n.simple(Gelu { tanh }, 1)
    }),
    (61, "GREATER", Real, |n| swapped(n, Less {}.into())),
    (62, "GREATER_EQUAL", Real, |n| swapped(n, LessEqual {}.into())),
    (98, "LEAKY_RELU", Real, |n| {
        let alpha = n.float(0)?;
        n.simple(LeakyRelu { alpha }, 1)
    }),
    (58, "LESS", Real, |n| n.simple(Less {}, 2)),
    (63, "LESS_EQUAL", Real, |n| n.simple(LessEqual {}, 2)),
    (73, "LOG", Real, |n| n.simple(Log {}, 1)),
    (86, "LOGICAL_AND", Stored, |n| n.simple(And {}, 2)),
    (87, "LOGICAL_NOT", Stored, |n| n.simple(Not {}, 1)),
    (84, "LOGICAL_OR", Stored, |n| n.simple(Or {}, 2)),
    (14, "LOGISTIC", Real, |n| n.simple(Sigmoid {}, 1)),
    (50, "LOG_SOFTMAX", Real, |n| {
        let axis = n.axis(-1, 0)?;
        n.simple(LogSoftmax { axis }, 1)
    }),
    (55, "MAXIMUM", Moved, |n| n.simple(Max {}, 2)),
    (57, "MINIMUM", Moved, |n| n.simple(Min {}, 2)),
    (59, "NEG", Real, |n| n.simple(Neg {}, 1)),
    (78, "POW", Real, |n| n.simple(Pow {}, 2)),
    (54, "PRELU", Real, |n| n.simple(Prelu {}, 2)),
    (114, "QUANTIZE", Real, |n| Ok(vec![n.input(0)?])),
    (140, "REDUCE_ALL", Stored, |n| aggregate(n, Statistic::Min)),
    (91, "REDUCE_ANY", Stored, |n| aggregate(n, Statistic::Max)),
    (82, "REDUCE_MAX", Moved, |n| aggregate(n, Statistic::Max)),
    (89, "REDUCE_MIN", Moved, |n| aggregate(n, Statistic::Min)),
    (81, "REDUCE_PROD", Real, |n| aggregate(n, Statistic::Product)),
    (19, "RELU", Real, |n| n.simple(Relu {}, 1)),
    (21, "RELU6", Real, |n| bounded(n, 0.0, 6.0)),
    (152, "RELU_0_TO_1", Real, |n| bounded(n, 0.0, 1.0)),
    (20, "RELU_N1_TO_1", Real, |n| bounded(n, -1.0, 1.0)),
    (161, "RIGHT_SHIFT", Stored, |n| n.simple(Shr {}, 2)),
    (116, "ROUND", Real, |n| n.simple(Round {}, 1)),
    (64, "SELECT", Moved, select),
    (123, "SELECT_V2", Moved, |n| n.simple(Select {}, 3)),
    (158, "SIGN", Real, |n| n.simple(Sign {}, 1)),
    (66, "SIN", Real, |n| n.simple(Sin {}, 1)),
    (25, "SOFTMAX", Real, |n| {
        let (beta, axis) = (n.float(0)?, n.axis(-1, 0)?);
        let mut x = n.input(0)?;
        if beta != 1.0 {
            let factor = n.number(x, beta);
            x = n.mul(x, factor)?;
        }
        Ok(vec![n.apply(Softmax { axis, zeros: false }, &[x])?])
    }),
    (75, "SQRT", Real, |n| n.simple(Sqrt {}, 1)),
    (92, "SQUARE", Real, |n| Ok(vec![n.mul(n.input(0)?, n.input(0)?)?])),
    (74, "SUM", Real, |n| aggregate(n, Statistic::Sum)),
    (28, "TANH", Real, |n| n.simple(Tanh {}, 1)),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    (106, "ADD_N", Real, |n| {
        let inputs = n.all_inputs()?;
        let mut sum = n.input(0)?;
        for next in &inputs[1..] {
            sum = n.add(sum, *next)?;
        }
        Ok(vec![sum])
    }),
    (156, "ATAN2", Real, atan2),
    (147, "BUCKETIZE", Stored, bucketize),
    (80, "FAKE_QUANT", Real, fake_quant),
    (90, "FLOOR_DIV", Real, floor_div),
    (11, "L2_NORMALIZATION", Real, l2_normalization),
    (72, "NOT_EQUAL", Real, |n| {
        let equal = n.simple(Equal {}, 2)?;
        Ok(vec![n.apply(Not {}, &equal)?])
    }),
    (76, "RSQRT", Real, |n| {
        let root = n.simple(Sqrt {}, 1)?;
        Ok(vec![n.apply(Reciprocal {}, &root)?])
    }),
];

fn swapped(n: &mut Node<'_, '_>, op: Op) -> Values {
    let operands = [n.input(1)?, n.input(0)?];
    Ok(vec![n.apply(op, &operands)?])
}

fn bounded(n: &mut Node<'_, '_>, low: f64, high: f64) -> Values {
    Ok(vec![n.between(n.input(0)?, low, high)?])
}

fn aggregate(n: &mut Node<'_, '_>, statistic: Statistic) -> Values {
    let keep = n.flag(0)?;
    let operands = [n.input(0)?, n.index_list(1)?];
    Ok(vec![n.apply(AggregateBy { statistic, keep, empty_is_none: true }, &operands)?])
}

fn arg_extreme(n: &mut Node<'_, '_>, largest: bool) -> Values {
    let axis = n.known(1)?.first().copied().unwrap_or(0);
    let axis = n.axis(axis, 0)?;
    n.simple(ArgExtreme { axis, largest, last: false, keep: false }, 1)
}

/// `x / sqrt(sum of squares)` along the last axis; the root is at least 1e-6.
fn l2_normalization(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let axis = n.axis(-1, 0)?;
    let norm = n.apply(frit_ir::ops::aggregate::Aggregate { statistic: Statistic::L2, axes: vec![axis], keep: true }, &[x])?;
    let least = n.number(x, 1e-6);
    let norm = n.apply(Max {}, &[norm, least])?;
    let y = n.apply(Div {}, &[x, norm])?;
    Ok(vec![n.activated(y, 0)?])
}

/// The condition may be one for each row.
fn select(n: &mut Node<'_, '_>) -> Values {
    let (mut condition, a, b) = (n.input(0)?, n.input(1)?, n.input(2)?);
    let rank = n.builder.rank(a)?;
    if n.builder.rank(condition)? == 1 && rank > 1 {
        let axes = n.builder.ints(&(1..rank as i64).collect::<Vec<_>>());
        condition = n.apply(Unsqueeze {}, &[condition, axes])?;
    }
    Ok(vec![n.apply(Select {}, &[condition, a, b])?])
}

fn floor_div(n: &mut Node<'_, '_>) -> Values {
    let (a, b) = (n.input(0)?, n.input(1)?);
    if n.builder.dtype(a).is_float() {
        let quotient = n.apply(Div {}, &[a, b])?;
        return Ok(vec![n.apply(Floor {}, &[quotient])?]);
    }
    // The remainder has the divisor's sign, so that what is left is divided evenly.
    let rest = n.apply(Modulo {}, &[a, b])?;
    let whole = n.sub(a, rest)?;
    Ok(vec![n.apply(Div {}, &[whole, b])?])
}

/// The angle of `(x, y)`: the arc tangent of `y / x`, turned by half a circle where `x` is negative. Both operands' signs of zero count.
fn atan2(n: &mut Node<'_, '_>) -> Values {
    let (y, x) = (n.input(0)?, n.input(1)?);
    let zero = n.number(x, 0.0);
    let negative = |n: &mut Node<'_, '_>, value: ValueId| -> Result<ValueId, OpError> {
        // Zeros are told apart by their reciprocals.
        let below = n.apply(Less {}, &[value, zero])?;
        let inverse = n.apply(Reciprocal {}, &[value])?;
        let under = n.apply(Less {}, &[inverse, zero])?;
        n.apply(Or {}, &[below, under])
    };
    let (left, down) = (negative(n, x)?, negative(n, y)?);
    let both_zero = {
        let (a, b) = (n.apply(Equal {}, &[x, zero])?, n.apply(Equal {}, &[y, zero])?);
        n.apply(And {}, &[a, b])?
    };
    let (size_x, size_y) = (n.apply(Abs {}, &[x])?, n.apply(Abs {}, &[y])?);
    let alike = n.apply(Equal {}, &[size_x, size_y])?;
    let ratio = n.apply(Div {}, &[size_y, size_x])?;
    // Of two infinities, too, the ratio is 1; of two zeros it is 0.
    let one = n.number(x, 1.0);
    let ratio = n.apply(Select {}, &[alike, one, ratio])?;
    let ratio = n.apply(Select {}, &[both_zero, zero, ratio])?;
    let angle = n.apply(Atan {}, &[ratio])?;
    let pi = n.number(x, std::f64::consts::PI);
    let turned = n.sub(pi, angle)?;
    let angle = n.apply(Select {}, &[left, turned, angle])?;
    let mirrored = n.apply(Neg {}, &[angle])?;
    Ok(vec![n.apply(Select {}, &[down, mirrored, angle])?])
}

/// Bits under another dtype; the last axis is split or joined where sizes differ.
fn bitcast(n: &mut Node<'_, '_>) -> Values {
    let (x, to) = (n.input(0)?, n.result_dtype(0)?);
    if n.builder.dtype(x).size() != to.size() {
        return Err(OpError::unsupported("'BITCAST' between dtypes of different sizes is not supported"));
    }
    Ok(vec![n.apply(Bitcast { to }, &[x])?])
}

/// How many boundaries are not above each element.
fn bucketize(n: &mut Node<'_, '_>) -> Values {
    let bounds = n.operator.options.map_or(Ok(Vec::new()), |options| options.f32s(0))?;
    let x = n.input(0)?;
    let x = n.cast(x, DType::F32)?;
    let last = n.builder.ints(&[-1]);
    let column = n.apply(Unsqueeze {}, &[x, last])?;
    let bounds = n.builder.constant(frit_ir::Tensor::from_slice(&[bounds.len() as i64], &bounds));
    let reached = n.apply(LessEqual {}, &[bounds, column])?;
    let reached = n.cast(reached, DType::I32)?;
    Ok(vec![n.apply(AggregateBy { statistic: Statistic::Sum, keep: false, empty_is_none: false }, &[reached, last])?])
}

/// Rounded to the nearest of evenly spaced numbers, of which zero is one.
fn fake_quant(n: &mut Node<'_, '_>) -> Values {
    let (low, high, bits, narrow) = (n.float(0)?, n.float(1)?, n.int(2)?, n.flag(3)?);
    if !((2..=16).contains(&bits) && low <= 0.0 && high >= 0.0 && low < high) {
        return Err(OpError::invalid(format!("'FAKE_QUANT' to {bits} bits between {low} and {high}")));
    }
    let (first, last) = (if narrow { 1.0 } else { 0.0 }, f64::from((1i32 << bits) - 1));
    let scale = ((high - low) / (last - first)) as f32;
    let zero = (first - low / f64::from(scale)).round().clamp(first, last);
    let x = n.input(0)?;
    let x = n.between(x, (first - zero) * f64::from(scale), (last - zero) * f64::from(scale))?;
    let unit = n.number(x, f64::from(scale));
    let steps = n.apply(Div {}, &[x, unit])?;
    let steps = n.apply(Round {}, &[steps])?;
    Ok(vec![n.mul(steps, unit)?])
}
