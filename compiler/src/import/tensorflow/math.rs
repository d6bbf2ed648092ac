//! Elementwise ops, activations, reductions.

use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::cumulate::Running;
use frit_ir::ops::flattened::{Flattened, RowFunction};
use frit_ir::ops::random::{Distribution, Random};
use frit_ir::ops::{abs::Abs, acos::Acos, acosh::Acosh, add::Add, aggregate_by::AggregateBy, and::And, arg_extreme::ArgExtreme, asin::Asin, asinh::Asinh, atan::Atan, atanh::Atanh, bitcast::Bitcast};
use frit_ir::ops::{cast::Cast, ceil::Ceil, clip::Clip, cos::Cos, cosh::Cosh, cumulate_by::CumulateBy, div::Div, elu::Elu, equal::Equal, erf::Erf, exp::Exp, floor::Floor, is_inf::IsInf, is_nan::IsNan};
use frit_ir::ops::{leaky_relu::LeakyRelu, less::Less, less_equal::LessEqual, log::Log, max::Max, min::Min, modulo::Modulo, mul::Mul, neg::Neg, not::Not, or::Or, pow::Pow, reciprocal::Reciprocal};
use frit_ir::ops::{relu::Relu, rem::Rem, round::Round, select::Select, selu::Selu, shl::Shl, shr::Shr, sigmoid::Sigmoid, sign::Sign, sin::Sin, sinh::Sinh, softplus::Softplus, softsign::Softsign};
use frit_ir::ops::{sqrt::Sqrt, sub::Sub, tan::Tan, tanh::Tanh, xor::Xor};
use frit_ir::{DType, Op, OpError, Scalar, Tensor, ValueId};

use super::{Handler, node::Node};

type Values = Result<Vec<ValueId>, OpError>;

/// Ops that are one of ours.
pub(super) const OPS: &[(&str, Handler)] = &[
    ("Abs", |n| n.simple(Abs {}, 1)),
    ("Acos", |n| n.simple(Acos {}, 1)),
    ("Acosh", |n| n.simple(Acosh {}, 1)),
    ("Add", |n| n.simple(Add {}, 2)),
    ("AddV2", |n| n.simple(Add {}, 2)),
    ("All", |n| aggregate(n, Statistic::Min)),
    ("Any", |n| aggregate(n, Statistic::Max)),
    ("ArgMax", |n| arg_extreme(n, true)),
    ("ArgMin", |n| arg_extreme(n, false)),
    ("Asin", |n| n.simple(Asin {}, 1)),
    ("Asinh", |n| n.simple(Asinh {}, 1)),
    ("Atan", |n| n.simple(Atan {}, 1)),
    ("Atanh", |n| n.simple(Atanh {}, 1)),
    ("BitwiseAnd", |n| n.simple(And {}, 2)),
    ("BitwiseOr", |n| n.simple(Or {}, 2)),
    ("BitwiseXor", |n| n.simple(Xor {}, 2)),
    ("Bitcast", bitcast),
    ("Cast", cast),
    ("Ceil", |n| n.simple(Ceil {}, 1)),
    ("ClipByValue", |n| n.simple(Clip {}, 3)),
    ("Cos", |n| n.simple(Cos {}, 1)),
    ("Cosh", |n| n.simple(Cosh {}, 1)),
    ("Cumprod", |n| cumulate(n, Running::Product)),
    ("Cumsum", |n| cumulate(n, Running::Sum)),
    ("Div", |n| n.simple(Div {}, 2)),
    ("Elu", |n| n.simple(Elu { alpha: 1.0 }, 1)),
    ("Equal", |n| n.simple(Equal {}, 2)),
    ("Erf", |n| n.simple(Erf {}, 1)),
    ("Exp", |n| n.simple(Exp {}, 1)),
    ("Floor", |n| n.simple(Floor {}, 1)),
    ("FloorMod", |n| n.simple(Modulo {}, 2)),
    ("Greater", |n| swapped(n, Less {}.into())),
    ("GreaterEqual", |n| swapped(n, LessEqual {}.into())),
    ("Inv", |n| n.simple(Reciprocal {}, 1)),
    ("Invert", |n| n.simple(Not {}, 1)),
    ("IsInf", |n| n.simple(IsInf { negative: true, positive: true }, 1)),
    ("IsNan", |n| n.simple(IsNan {}, 1)),
    ("LeakyRelu", |n| {
        let alpha = n.float("alpha", f64::from(0.2f32));
        n.simple(LeakyRelu { alpha }, 1)
    }),
    ("LeftShift", |n| n.simple(Shl {}, 2)),
    ("Less", |n| n.simple(Less {}, 2)),
    ("LessEqual", |n| n.simple(LessEqual {}, 2)),
    ("Log", |n| n.simple(Log {}, 1)),
    ("LogSoftmax", |n| n.simple(Flattened { function: RowFunction::LogSoftmax, axis: -1, alone: true }, 1)),
    ("LogicalAnd", |n| n.simple(And {}, 2)),
    ("LogicalNot", |n| n.simple(Not {}, 1)),
    ("LogicalOr", |n| n.simple(Or {}, 2)),
    ("Max", |n| aggregate(n, Statistic::Max)),
    ("Maximum", |n| n.simple(Max {}, 2)),
    ("Mean", |n| aggregate(n, Statistic::Mean)),
    ("Min", |n| aggregate(n, Statistic::Min)),
    ("Minimum", |n| n.simple(Min {}, 2)),
    ("Mod", |n| n.simple(Rem {}, 2)),
    ("Mul", |n| n.simple(Mul {}, 2)),
    ("Neg", |n| n.simple(Neg {}, 1)),
    ("Pow", |n| n.simple(Pow {}, 2)),
    ("Prod", |n| aggregate(n, Statistic::Product)),
    ("RandomStandardNormal", |n| random(n, Distribution::Normal)),
    ("RandomUniform", |n| random(n, Distribution::Uniform)),
    ("RealDiv", |n| n.simple(Div {}, 2)),
    ("Reciprocal", |n| n.simple(Reciprocal {}, 1)),
    ("Relu", |n| n.simple(Relu {}, 1)),
    ("Relu6", |n| {
        let x = n.input(0)?;
        let (low, high) = (n.number(x, 0.0), n.number(x, 6.0));
        Ok(vec![n.apply(Clip {}, &[x, low, high])?])
    }),
    ("RightShift", |n| n.simple(Shr {}, 2)),
    ("Rint", |n| n.simple(Round {}, 1)),
    ("Round", |n| n.simple(Round {}, 1)),
    ("Selu", |n| n.simple(Selu { alpha: f64::from(1.673_263_2_f32), gamma: f64::from(1.050_701_f32) }, 1)),
    ("Sigmoid", |n| n.simple(Sigmoid {}, 1)),
    ("Sign", |n| n.simple(Sign {}, 1)),
    ("Sin", |n| n.simple(Sin {}, 1)),
    ("Sinh", |n| n.simple(Sinh {}, 1)),
    ("Softmax", |n| n.simple(Flattened { function: RowFunction::Softmax, axis: -1, alone: true }, 1)),
    ("Softplus", |n| n.simple(Softplus {}, 1)),
    ("Softsign", |n| n.simple(Softsign {}, 1)),
    ("Sqrt", |n| n.simple(Sqrt {}, 1)),
    ("Square", |n| {
        let x = n.input(0)?;
        Ok(vec![n.mul(x, x)?])
    }),
    ("Sub", |n| n.simple(Sub {}, 2)),
    ("Sum", |n| aggregate(n, Statistic::Sum)),
    ("Tan", |n| n.simple(Tan {}, 1)),
    ("Tanh", |n| n.simple(Tanh {}, 1)),
    ("TruncateDiv", |n| n.simple(Div {}, 2)),
    ("TruncateMod", |n| n.simple(Rem {}, 2)),
];

/// Ops that are made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("AddN", |n| {
        let inputs = n.all_inputs()?;
        let first = n.input(0)?;
        let sum = inputs[1..].iter().try_fold(first, |sum, next| n.add(sum, *next))?;
        Ok(vec![sum])
    }),
    ("ApproximateEqual", |n| {
        let (a, b) = (n.input(0)?, n.input(1)?);
        let difference = n.sub(a, b)?;
        let distance = n.apply(Abs {}, &[difference])?;
        let tolerance = n.float("tolerance", 1e-5);
        let tolerance = n.number(distance, tolerance);
        Ok(vec![n.apply(Less {}, &[distance, tolerance])?])
    }),
    ("Atan2", atan2),
    ("Bucketize", |n| {
        // How many bounds are not above.
        let x = n.input(0)?;
        let bounds = n.floats("boundaries");
        let bounds = n.constant(Tensor::from_slice(&[bounds.len() as i64], bounds));
        let x = n.cast(x, DType::F32)?;
        count_of(n, LessEqual {}.into(), bounds, x)
    }),
    ("DivNoNan", |n| {
        let (a, b) = (n.input(0)?, n.input(1)?);
        let quotient = n.apply(Div {}, &[a, b])?;
        zero_where_zero(n, b, quotient)
    }),
    ("Erfc", |n| {
        // Near 1 the difference is as exact as erf is; where erfc is small only its absolute error is.
        let x = n.input(0)?;
        let erf = n.apply(Erf {}, &[x])?;
        let one = n.number(x, 1.0);
        Ok(vec![n.sub(one, erf)?])
    }),
    ("EuclideanNorm", |n| {
        // Not a statistic of ours: without axes it is the absolute value.
        let x = n.input(0)?;
        let (square, axes) = (n.mul(x, x)?, n.vector(1)?);
        let keep = n.flag("keep_dims", false);
        let sum = n.apply(AggregateBy { statistic: Statistic::Sum, keep, empty_is_none: true }, &[square, axes])?;
        Ok(vec![n.apply(Sqrt {}, &[sum])?])
    }),
    ("Expm1", |n| {
        // tanh(x / 2) (e^x + 1), which keeps small results exact.
        let x = n.input(0)?;
        let (half, one) = (n.number(x, 0.5), n.number(x, 1.0));
        let half = n.mul(x, half)?;
        let (tanh, power) = (n.apply(Tanh {}, &[half])?, n.apply(Exp {}, &[x])?);
        let more = n.add(power, one)?;
        Ok(vec![n.mul(tanh, more)?])
    }),
    ("FakeQuantWithMinMaxArgs", |n| {
        let x = n.input(0)?;
        let (low, high) = (n.float("min", -6.0), n.float("max", 6.0));
        let (low, high) = (n.number(x, low), n.number(x, high));
        fake_quantised(n, x, low, high)
    }),
    ("FakeQuantWithMinMaxVars", |n| {
        let (x, low, high) = (n.input(0)?, n.input(1)?, n.input(2)?);
        fake_quantised(n, x, low, high)
    }),
    ("FakeQuantWithMinMaxVarsPerChannel", |n| {
        let (x, low, high) = (n.input(0)?, n.input(1)?, n.input(2)?);
        fake_quantised(n, x, low, high)
    }),
    ("FloorDiv", |n| {
        let (a, b) = (n.input(0)?, n.input(1)?);
        if n.builder.dtype(a).is_float() {
            let quotient = n.apply(Div {}, &[a, b])?;
            return Ok(vec![n.apply(Floor {}, &[quotient])?]);
        }
        let rest = n.apply(Modulo {}, &[a, b])?;
        let whole = n.sub(a, rest)?;
        Ok(vec![n.apply(Div {}, &[whole, b])?])
    }),
    ("IsFinite", |n| {
        let x = n.input(0)?;
        let (infinite, nan) = (n.apply(IsInf { negative: true, positive: true }, &[x])?, n.apply(IsNan {}, &[x])?);
        let odd = n.apply(Or {}, &[infinite, nan])?;
        Ok(vec![n.apply(Not {}, &[odd])?])
    }),
    ("L2Loss", |n| {
        let x = n.input(0)?;
        let axes = n.builder.ints(&[]);
        let sum = n.apply(AggregateBy { statistic: Statistic::SumSquare, keep: false, empty_is_none: false }, &[x, axes])?;
        let half = n.number(x, 0.5);
        Ok(vec![n.mul(sum, half)?])
    }),
    ("Log1p", |n| {
        // x ln(u) / (u - 1) with u = 1 + x, which keeps small results exact (Kahan); x itself where u is 1.
        let x = n.input(0)?;
        let one = n.number(x, 1.0);
        let u = n.add(x, one)?;
        let (log, less) = (n.apply(Log {}, &[u])?, n.sub(u, one)?);
        let factor = n.apply(Div {}, &[x, less])?;
        let product = n.mul(log, factor)?;
        let tiny = n.apply(Equal {}, &[u, one])?;
        let infinite = n.apply(IsInf { negative: false, positive: true }, &[u])?;
        let large = n.apply(Select {}, &[infinite, u, product])?;
        Ok(vec![n.apply(Select {}, &[tiny, x, large])?])
    }),
    ("LowerBound", |n| bound(n, Less {}.into())),
    ("MulNoNan", |n| {
        let (a, b) = (n.input(0)?, n.input(1)?);
        let product = n.mul(a, b)?;
        zero_where_zero(n, b, product)
    }),
    ("NotEqual", |n| {
        let equal = n.simple(Equal {}, 2)?;
        Ok(vec![n.apply(Not {}, &equal)?])
    }),
    ("Rsqrt", |n| {
        let root = n.simple(Sqrt {}, 1)?;
        Ok(vec![n.apply(Reciprocal {}, &root)?])
    }),
    ("SquaredDifference", |n| {
        let difference = n.simple(Sub {}, 2)?[0];
        Ok(vec![n.mul(difference, difference)?])
    }),
    ("UpperBound", |n| bound(n, LessEqual {}.into())),
    ("Xdivy", |n| {
        let (a, b) = (n.input(0)?, n.input(1)?);
        let quotient = n.apply(Div {}, &[a, b])?;
        zero_where_zero(n, a, quotient)
    }),
    ("Xlog1py", |n| {
        let (a, b) = (n.input(0)?, n.input(1)?);
        let one = n.number(b, 1.0);
        let more = n.add(b, one)?;
        let log = n.apply(Log {}, &[more])?;
        let product = n.mul(a, log)?;
        zero_where_zero(n, a, product)
    }),
    ("Xlogy", |n| {
        let (a, b) = (n.input(0)?, n.input(1)?);
        let log = n.apply(Log {}, &[b])?;
        let product = n.mul(a, log)?;
        zero_where_zero(n, a, product)
    }),
];

fn swapped(n: &mut Node<'_, '_>, op: Op) -> Values {
    let operands = [n.input(1)?, n.input(0)?];
    Ok(vec![n.apply(op, &operands)?])
}

/// For each element how many of the last axis of `sorted` it compares with; the axis is put behind those of the elements.
fn count_of(n: &mut Node<'_, '_>, compare: Op, sorted: ValueId, x: ValueId) -> Values {
    let x = n.unsqueeze(x, &[-1])?;
    let holds = n.apply(compare, &[sorted, x])?;
    let ones = n.cast(holds, DType::I32)?;
    let axis = n.builder.ints(&[-1]);
    let count = n.apply(AggregateBy { statistic: Statistic::Sum, keep: false, empty_is_none: true }, &[ones, axis])?;
    Ok(vec![count])
}

/// Where elements belong in rows that are sorted.
fn bound(n: &mut Node<'_, '_>, compare: Op) -> Values {
    let (sorted, x) = (n.input(0)?, n.input(1)?);
    let sorted = n.unsqueeze(sorted, &[-2])?;
    let count = count_of(n, compare, sorted, x)?[0];
    let to = n.dtype("out_type", DType::I32)?;
    Ok(vec![n.cast(count, to)?])
}

/// Numbers of another sequence than TensorFlow's: the same seed gives others.
fn random(n: &mut Node<'_, '_>, distribution: Distribution) -> Values {
    let extents = n.known_ints(0)?;
    let dtype = n.dtype("dtype", DType::F32)?;
    let (first, second) = (0.0, 1.0);
    let seed = match (n.int("seed", 0), n.int("seed2", 0)) {
        (0, 0) => n.builder.graph().nodes().len() as i64,
        (a, b) => a.wrapping_mul(1 << 20).wrapping_add(b),
    };
    n.simple(Random { dtype, extents, distribution, first, second, seed }, 0)
}

/// `otherwise`, and 0 where `x` is 0.
fn zero_where_zero(n: &mut Node<'_, '_>, x: ValueId, otherwise: ValueId) -> Values {
    let zero = n.number(x, 0.0);
    let is_zero = n.apply(Equal {}, &[x, zero])?;
    Ok(vec![n.apply(Select {}, &[is_zero, zero, otherwise])?])
}

fn bitcast(n: &mut Node<'_, '_>) -> Values {
    let to = n.maybe_dtype("type")?.ok_or_else(|| n.missing("type"))?;
    let x = n.input(0)?;
    if n.builder.dtype(x).size() != to.size() {
        return Err(OpError::unsupported("'Bitcast' to a type of another size is not supported"));
    }
    Ok(vec![n.apply(Bitcast { to }, &[x])?])
}

fn cast(n: &mut Node<'_, '_>) -> Values {
    let to = n.maybe_dtype("DstT")?.ok_or_else(|| n.missing("DstT"))?;
    let x = n.input(0)?;
    // Numbers become true where they are not 0.
    if n.builder.dtype(x) == to { Ok(vec![x]) } else { Ok(vec![n.apply(Cast { to }, &[x])?]) }
}

/// The axes are the second operand, a vector or one number; none of them means `x` itself.
fn aggregate(n: &mut Node<'_, '_>, statistic: Statistic) -> Values {
    let (x, axes) = (n.input(0)?, n.vector(1)?);
    let keep = n.flag("keep_dims", false);
    let dtype = n.builder.dtype(x);
    let op = AggregateBy { statistic, keep, empty_is_none: true };
    if dtype == DType::Bool {
        let narrow = n.cast(x, DType::U8)?;
        let joined = n.apply(op, &[narrow, axes])?;
        return Ok(vec![n.cast(joined, DType::Bool)?]);
    }
    Ok(vec![n.apply(op, &[x, axes])?])
}

fn arg_extreme(n: &mut Node<'_, '_>, largest: bool) -> Values {
    let x = n.input(0)?;
    let axis = if n.inputs.len() > 1 { n.known_int(1)? } else { 0 };
    let axis = n.axis(axis, x)?;
    let index = n.apply(ArgExtreme { axis, largest, last: false, keep: false }, &[x])?;
    let to = n.dtype("output_type", DType::I64)?;
    Ok(vec![n.cast(index, to)?])
}

fn cumulate(n: &mut Node<'_, '_>, how: Running) -> Values {
    let (exclusive, reverse) = (n.flag("exclusive", false), n.flag("reverse", false));
    let x = n.input(0)?;
    let axis = n.vector(1)?;
    let axis = n.reshape(axis, &[])?;
    Ok(vec![n.apply(CumulateBy { how, exclusive, reverse }, &[x, axis])?])
}

/// The angle of a point, by the quadrant that it lies in.
fn atan2(n: &mut Node<'_, '_>) -> Values {
    let (y, x) = (n.input(0)?, n.input(1)?);
    let zero = n.number(x, 0.0);
    let quotient = n.apply(Div {}, &[y, x])?;
    let angle = n.apply(Atan {}, &[quotient])?;
    let pi = n.number(x, std::f64::consts::PI);
    let minus = n.number(x, -std::f64::consts::PI);
    let below = n.apply(Less {}, &[y, zero])?;
    let turn = n.apply(Select {}, &[below, minus, pi])?;
    let turned = n.add(angle, turn)?;
    let left = n.apply(Less {}, &[x, zero])?;
    let beside = n.apply(Select {}, &[left, turned, angle])?;
    // On the axis of y the quotient is infinite, and at the origin it is NaN, where the angle is 0.
    let (on_x, on_y) = (n.apply(Equal {}, &[x, zero])?, n.apply(Equal {}, &[y, zero])?);
    let origin = n.apply(And {}, &[on_x, on_y])?;
    Ok(vec![n.apply(Select {}, &[origin, zero, beside])?])
}

/// Numbers rounded to the steps of a range, whose bounds are moved so that 0 is one of the steps.
fn fake_quantised(n: &mut Node<'_, '_>, x: ValueId, low: ValueId, high: ValueId) -> Values {
    let bits = n.int("num_bits", 8);
    if !(2..=16).contains(&bits) {
        return Err(OpError::invalid(format!("quantisation to {bits} bits")));
    }
    let first = if n.flag("narrow_range", false) { 1.0 } else { 0.0 };
    let last = ((1i64 << bits) - 1) as f64;
    let (first, last) = (n.number(x, first), n.number(x, last));
    let (range, steps) = (n.sub(high, low)?, n.sub(last, first)?);
    let scale = n.apply(Div {}, &[range, steps])?;
    let ratio = n.apply(Div {}, &[low, scale])?;
    let zero_point = n.sub(first, ratio)?;
    let cut = n.apply(Max {}, &[zero_point, first])?;
    let cut = n.apply(Min {}, &[cut, last])?;
    // Halves are rounded up.
    let half = n.number(x, 0.5);
    let raised = n.add(cut, half)?;
    let zero_point = n.apply(Floor {}, &[raised])?;
    let below = n.sub(first, zero_point)?;
    let above = n.sub(last, zero_point)?;
    let (low, high) = (n.mul(below, scale)?, n.mul(above, scale)?);
    let x = n.apply(Max {}, &[x, low])?;
    let x = n.apply(Min {}, &[x, high])?;
    let from = n.sub(x, low)?;
    let steps = n.apply(Div {}, &[from, scale])?;
    let steps = n.add(steps, half)?;
    let steps = n.apply(Floor {}, &[steps])?;
    let distance = n.mul(steps, scale)?;
    Ok(vec![n.add(distance, low)?])
}

/// A constant of rank 0.
pub(super) fn int_scalar(n: &mut Node<'_, '_>, dtype: DType, value: i64) -> ValueId {
    n.constant(Tensor::scalar(dtype, Scalar::Int(i128::from(value))))
}
