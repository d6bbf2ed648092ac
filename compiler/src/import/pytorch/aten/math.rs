//! Elementwise operators.

use frit_ir::ops::{
    abs::Abs, acos::Acos, acosh::Acosh, add::Add, and::And, asin::Asin, asinh::Asinh, atan::Atan, atanh::Atanh, ceil::Ceil, celu::Celu, clip::Clip, cos::Cos, cosh::Cosh, div::Div, elu::Elu,
    equal::Equal, erf::Erf, exp::Exp, floor::Floor, gelu::Gelu, hard_sigmoid::HardSigmoid, hard_swish::HardSwish, is_inf::IsInf, is_nan::IsNan, leaky_relu::LeakyRelu, less::Less,
    less_equal::LessEqual, log::Log, max::Max, min::Min, mish::Mish, modulo::Modulo, mul::Mul, neg::Neg, not::Not, or::Or, pow::Pow, prelu::Prelu, reciprocal::Reciprocal, relu::Relu, rem::Rem,
    reshape_to::ReshapeTo, round::Round, select::Select, selu::Selu, shl::Shl, shr::Shr, shrink::Shrink, sigmoid::Sigmoid, sign::Sign, sin::Sin, sinh::Sinh, softplus::Softplus,
    sqrt::Sqrt, sub::Sub, swish::Swish, tan::Tan, tanh::Tanh, thresholded_relu::ThresholdedRelu, xor::Xor,
};
use frit_ir::{DType, Op, OpError, Scalar, Tensor, ValueId};

use super::call::{Call, Values};
use super::promote::{self, Operand};
use super::Handler;
use crate::import::pytorch::value::Value;

type Built = Result<ValueId, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("__and__", |c| bits(c, And {})),
    ("__lshift__", |c| shift(c, true)),
    ("__or__", |c| bits(c, Or {})),
    ("__rshift__", |c| shift(c, false)),
    ("__xor__", |c| bits(c, Xor {})),
    ("abs", |c| unsigned_or(c, Abs {})),
    ("absolute", |c| unsigned_or(c, Abs {})),
    ("acos", |c| float(c, Acos {})),
    ("acosh", |c| float(c, Acosh {})),
    ("add", |c| sum(c, true)),
    ("arccos", |c| float(c, Acos {})),
    ("arccosh", |c| float(c, Acosh {})),
    ("arcsin", |c| float(c, Asin {})),
    ("arcsinh", |c| float(c, Asinh {})),
    ("arctan", |c| float(c, Atan {})),
    ("arctanh", |c| float(c, Atanh {})),
    ("asin", |c| float(c, Asin {})),
    ("asinh", |c| float(c, Asinh {})),
    ("atan", |c| float(c, Atan {})),
    ("atanh", |c| float(c, Atanh {})),
    ("bitwise_and", |c| bits(c, And {})),
    ("bitwise_left_shift", |c| shift(c, true)),
    ("bitwise_not", |c| unary(c, Not {})),
    ("bitwise_or", |c| bits(c, Or {})),
    ("bitwise_right_shift", |c| shift(c, false)),
    ("bitwise_xor", |c| bits(c, Xor {})),
    ("ceil", |c| rounded(c, Ceil {})),
    ("celu", |c| {
        let alpha = c.float("alpha")?;
        unary(c, Celu { alpha })
    }),
    ("clamp", |c| clamp(c, "min", "max")),
    ("clamp_max", |c| clamp(c, "", "max")),
    ("clamp_min", |c| clamp(c, "min", "")),
    ("clip", |c| clamp(c, "min", "max")),
    ("cos", |c| float(c, Cos {})),
    ("cosh", |c| float(c, Cosh {})),
    ("deg2rad", |c| float_by(c, |c, x| scaled(c, x, std::f64::consts::PI / 180.0))),
    ("div", divide),
    ("divide", divide),
    ("elu", elu),
    ("eq", |c| compare(c, Equal {}, false, false)),
    ("erf", |c| float(c, Erf {})),
    ("exp", |c| float(c, Exp {})),
    ("exp2", |c| {
        float_by(c, |c, x| {
            let two = c.like(x, 2.0);
            let shape = c.extents_of(x)?;
            let base = c.apply(frit_ir::ops::expand_to::ExpandTo {}, &[two, shape])?;
            c.apply(Pow {}, &[base, x])
        })
    }),
    ("float_power", |c| {
        let (x, exponent) = (c.as_dtype("self", DType::F64)?, c.as_dtype("exponent", DType::F64)?);
        power(c, x, exponent)
    }),
    ("floor", |c| rounded(c, Floor {})),
    ("fmod", |c| binary(c, Rem {})),
    ("ge", |c| compare(c, LessEqual {}, true, false)),
    ("gelu", |c| {
        let tanh = c.maybe_text("approximate")? == Some("tanh");
        unary(c, Gelu { tanh })
    }),
    ("greater", |c| compare(c, Less {}, true, false)),
    ("greater_equal", |c| compare(c, LessEqual {}, true, false)),
    ("gt", |c| compare(c, Less {}, true, false)),
    ("hardshrink", |c| {
        let lambda = c.float("lambd")?;
        unary(c, Shrink { lambda, bias: 0.0 })
    }),
    ("hardsigmoid", |c| unary(c, HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 })),
    ("hardswish", |c| unary(c, HardSwish {})),
    ("hardtanh", |c| clamp(c, "min_val", "max_val")),
    ("isinf", |c| float(c, IsInf { negative: true, positive: true })),
    ("isnan", |c| float(c, IsNan {})),
    ("isneginf", |c| float(c, IsInf { negative: true, positive: false })),
    ("isposinf", |c| float(c, IsInf { negative: false, positive: true })),
    ("le", |c| compare(c, LessEqual {}, false, false)),
    ("leaky_relu", |c| {
        let alpha = c.float("negative_slope")?;
        unary(c, LeakyRelu { alpha })
    }),
    ("less", |c| compare(c, Less {}, false, false)),
    ("less_equal", |c| compare(c, LessEqual {}, false, false)),
    ("log", |c| float(c, Log {})),
    ("logical_and", |c| logical(c, And {})),
    ("logical_not", |c| {
        let x = c.tensor("self")?;
        let x = truth(c, x)?;
        let value = c.apply(Not {}, &[x])?;
        c.one(value)
    }),
    ("logical_or", |c| logical(c, Or {})),
    ("logical_xor", |c| logical(c, Xor {})),
    ("lt", |c| compare(c, Less {}, false, false)),
    ("max.other", |c| binary(c, Max {})),
    ("maximum", |c| binary(c, Max {})),
    ("min.other", |c| binary(c, Min {})),
    ("minimum", |c| binary(c, Min {})),
    ("mish", |c| unary(c, Mish {})),
    ("mul", |c| product(c)),
    ("multiply", |c| product(c)),
    ("neg", |c| unary(c, Neg {})),
    ("negative", |c| unary(c, Neg {})),
    ("positive", |c| Ok(vec![c.get("self").clone()])),
    ("pow", |c| {
        let [x, exponent] = promoted(c, &["self", "exponent"])?;
        power(c, x, exponent)
    }),
    ("prelu", |c| {
        let (x, slope) = (c.tensor("self")?, c.tensor("weight")?);
        let rank = c.rank(x)?;
        let slope = if rank > 2 && c.rank(slope)? == 1 {
            let mut shape = vec![1; rank];
            shape[1] = -1;
            shape.remove(0);
            let shape = c.builder().ints(&shape);
            c.apply(ReshapeTo { zero_copies: false }, &[slope, shape])?
        } else {
            slope
        };
        let value = c.apply(Prelu {}, &[x, slope])?;
        c.one(value)
    }),
    ("rad2deg", |c| float_by(c, |c, x| scaled(c, x, 180.0 / std::f64::consts::PI))),
    ("reciprocal", |c| float(c, Reciprocal {})),
    ("relu", |c| unsigned_or(c, Relu {})),
    ("relu6", |c| {
        let x = c.tensor("self")?;
        let (low, high) = (c.like(x, 0.0), c.like(x, 6.0));
        let value = c.apply(Clip {}, &[x, low, high])?;
        c.one(value)
    }),
    ("remainder", |c| binary(c, Modulo {})),
    ("round", |c| rounded(c, Round {})),
    ("rrelu", rrelu),
    ("rsub", |c| sum(c, false)),
    ("selu", |c| unary(c, Selu { alpha: 1.673_263_242_354_377_2, gamma: 1.050_700_987_355_480_5 })),
    ("rrelu_with_noise_functional", rrelu),
    ("sigmoid", |c| float(c, Sigmoid {})),
    ("silu", |c| unary(c, Swish { alpha: 1.0 })),
    ("sin", |c| float(c, Sin {})),
    ("sinh", |c| float(c, Sinh {})),
    ("softplus", softplus),
    ("softshrink", |c| {
        let lambda = c.float("lambd")?;
        unary(c, Shrink { lambda, bias: lambda })
    }),
    ("special_erf", |c| float(c, Erf {})),
    ("special_expit", |c| float(c, Sigmoid {})),
    ("sqrt", |c| float(c, Sqrt {})),
    ("square", |c| {
        let x = c.tensor("self")?;
        let value = c.apply(Mul {}, &[x, x])?;
        c.one(value)
    }),
    ("sub", |c| sum(c, true)),
    ("subtract", |c| sum(c, true)),
    ("tan", |c| float(c, Tan {})),
    ("tanh", |c| float(c, Tanh {})),
    ("threshold", |c| {
        let x = c.tensor("self")?;
        let dtype = c.dtype(x);
        let (limit, value) = (c.as_dtype("threshold", dtype)?, c.as_dtype("value", dtype)?);
        if let (Some(limit), Some(0.0)) = (c.maybe_float("threshold")?, c.maybe_float("value")?)
            && dtype.is_float()
            && limit >= 0.0
        {
            return unary(c, ThresholdedRelu { alpha: limit });
        }
        let below = c.apply(LessEqual {}, &[x, limit])?;
        let value = c.apply(Select {}, &[below, value, x])?;
        c.one(value)
    }),
    ("true_divide", divide),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("addcdiv", |c| scaled_term(c, Div {}.into())),
    ("addcmul", |c| scaled_term(c, Mul {}.into())),
    ("arctan2", atan2),
    ("atan2", atan2),
    ("copysign", copysign),
    ("erfc", |c| {
        float_by(c, |c, x| {
            let (erf, one) = (c.apply(Erf {}, &[x])?, c.like(x, 1.0));
            c.apply(Sub {}, &[one, erf])
        })
    }),
    ("expm1", |c| float_by(c, expm1)),
    ("fix", |c| rounded_by(c, truncated)),
    ("floor_divide", |c| {
        let [a, b] = two(c)?;
        let value = floor_quotient(c, a, b)?;
        c.one(value)
    }),
    ("fmax", |c| ordered(c, Max {}.into())),
    ("fmin", |c| ordered(c, Min {}.into())),
    ("frac", |c| {
        float_by(c, |c, x| {
            let whole = truncated(c, x)?;
            c.apply(Sub {}, &[x, whole])
        })
    }),
    ("glu", glu),
    ("heaviside", |c| {
        let [x, at_zero] = promoted(c, &["self", "values"])?;
        let (zero, one) = (c.like(x, 0.0), c.like(x, 1.0));
        let (below, equal) = (c.apply(Less {}, &[x, zero])?, c.apply(Equal {}, &[x, zero])?);
        let step = c.apply(Select {}, &[below, zero, one])?;
        let step = c.apply(Select {}, &[equal, at_zero, step])?;
        // NaN is not below zero, and PyTorch gives 0 for it.
        let nan = c.apply(IsNan {}, &[x])?;
        let value = c.apply(Select {}, &[nan, zero, step])?;
        c.one(value)
    }),
    ("hypot", |c| {
        let [a, b] = two(c)?;
        let (a, b) = (c.apply(Mul {}, &[a, a])?, c.apply(Mul {}, &[b, b])?);
        let sum = c.apply(Add {}, &[a, b])?;
        let value = c.apply(Sqrt {}, &[sum])?;
        c.one(value)
    }),
    ("isclose", |c| {
        let (relative, absolute, equal_nan) = (c.float("rtol")?, c.float("atol")?, c.flag("equal_nan")?);
        let [a, b] = two(c)?;
        let same = c.apply(Equal {}, &[a, b])?;
        if !c.dtype(a).is_float() {
            return Err(OpError::unsupported("'isclose' of integers is not supported"));
        }
        let size = c.apply(Abs {}, &[b])?;
        let part = scaled(c, size, relative)?;
        let rest = c.like(a, absolute);
        let allowed = c.apply(Add {}, &[part, rest])?;
        let off = c.apply(Sub {}, &[a, b])?;
        let off = c.apply(Abs {}, &[off])?;
        let near = c.apply(LessEqual {}, &[off, allowed])?;
        // What is infinitely far is close to nothing else, whatever is allowed.
        let infinite = c.apply(IsInf { negative: true, positive: true }, &[off])?;
        let finite = c.apply(Not {}, &[infinite])?;
        let near = c.apply(And {}, &[near, finite])?;
        let mut value = c.apply(Or {}, &[same, near])?;
        if equal_nan {
            let (a, b) = (c.apply(IsNan {}, &[a])?, c.apply(IsNan {}, &[b])?);
            let both = c.apply(And {}, &[a, b])?;
            value = c.apply(Or {}, &[value, both])?;
        }
        c.one(value)
    }),
    ("isfinite", |c| {
        let (nan, infinite) = odd(c)?;
        let either = c.apply(Or {}, &[nan, infinite])?;
        let value = c.apply(Not {}, &[either])?;
        c.one(value)
    }),
    ("lerp", |c| {
        let [start, end] = promoted(c, &["self", "end"])?;
        let dtype = c.dtype(start);
        let weight = c.as_dtype("weight", dtype)?;
        let difference = c.apply(Sub {}, &[end, start])?;
        let part = c.apply(Mul {}, &[weight, difference])?;
        let value = c.apply(Add {}, &[start, part])?;
        c.one(value)
    }),
    ("log10", |c| float_by(c, |c, x| logarithm(c, x, std::f64::consts::LOG10_E))),
    ("log1p", |c| float_by(c, log1p)),
    ("log2", |c| float_by(c, |c, x| logarithm(c, x, std::f64::consts::LOG2_E))),
    ("log_sigmoid", |c| unary_by(c, log_sigmoid)),
    ("logaddexp", |c| {
        let [a, b] = two(c)?;
        let (high, difference) = (c.apply(Max {}, &[a, b])?, c.apply(Sub {}, &[a, b])?);
        let distance = c.apply(Abs {}, &[difference])?;
        let minus = c.apply(Neg {}, &[distance])?;
        let small = c.apply(Softplus {}, &[minus])?;
        let sum = c.apply(Add {}, &[high, small])?;
        // Equal infinities have no difference.
        let same = c.apply(Equal {}, &[a, b])?;
        let two = c.like(a, std::f64::consts::LN_2);
        let doubled = c.apply(Add {}, &[a, two])?;
        let value = c.apply(Select {}, &[same, doubled, sum])?;
        c.one(value)
    }),
    ("logit", |c| {
        let (low, high) = (c.maybe_float("eps")?, c.maybe_float("eps")?.map(|eps| 1.0 - eps));
        float_by(c, |c, x| {
            let x = match (low, high) {
                (Some(low), Some(high)) => {
                    let (low, high) = (c.like(x, low), c.like(x, high));
                    c.apply(Clip {}, &[x, low, high])?
                }
                _ => x,
            };
            let one = c.like(x, 1.0);
            let rest = c.apply(Sub {}, &[one, x])?;
            let odds = c.apply(Div {}, &[x, rest])?;
            c.apply(Log {}, &[odds])
        })
    }),
    ("nan_to_num", nan_to_num),
    ("ne", |c| compare(c, Equal {}, false, true)),
    ("not_equal", |c| compare(c, Equal {}, false, true)),
    ("round.decimals", |c| {
        let factor = 10f64.powi(c.int("decimals")?.clamp(-300, 300) as i32);
        float_by(c, |c, x| {
            let x = scaled(c, x, factor)?;
            let x = c.apply(Round {}, &[x])?;
            let factor = c.like(x, factor);
            c.apply(Div {}, &[x, factor])
        })
    }),
    ("rsqrt", |c| {
        float_by(c, |c, x| {
            let root = c.apply(Sqrt {}, &[x])?;
            c.apply(Reciprocal {}, &[root])
        })
    }),
    ("sgn", sign),
    ("sign", sign),
    ("signbit", |c| {
        let x = c.tensor("self")?;
        let value = negative(c, x)?;
        c.one(value)
    }),
    ("sinc", |c| {
        float_by(c, |c, x| {
            let angle = scaled(c, x, std::f64::consts::PI)?;
            let sine = c.apply(Sin {}, &[angle])?;
            let quotient = c.apply(Div {}, &[sine, angle])?;
            let (zero, one) = (c.like(x, 0.0), c.like(x, 1.0));
            let middle = c.apply(Equal {}, &[x, zero])?;
            c.apply(Select {}, &[middle, one, quotient])
        })
    }),
    ("special_expm1", |c| float_by(c, expm1)),
    ("special_log1p", |c| float_by(c, log1p)),
    ("trunc", |c| rounded_by(c, truncated)),
    ("xlogy", |c| {
        let [x, y] = two(c)?;
        let log = c.apply(Log {}, &[y])?;
        let product = c.apply(Mul {}, &[x, log])?;
        let zero = c.like(x, 0.0);
        let none = c.apply(Equal {}, &[x, zero])?;
        let value = c.apply(Select {}, &[none, zero, product])?;
        let nan = c.apply(IsNan {}, &[y])?;
        let value = c.apply(Select {}, &[nan, y, value])?;
        c.one(value)
    }),
];

/// Complains about an operator that does something else while a model learns.
pub(super) fn in_training(name: &str) -> OpError {
    OpError::unsupported(format!("'{name}' in training mode is not supported")).help("export the model in evaluation mode: model.eval()")
}

/// An op of one operand, in its dtype.
fn unary(c: &mut Call<'_>, op: impl Into<Op>) -> Values {
    let x = c.first()?;
    let value = c.apply(op, &[x])?;
    c.one(value)
}

fn unary_by(c: &mut Call<'_>, build: impl FnOnce(&mut Call<'_>, ValueId) -> Built) -> Values {
    let x = c.first()?;
    let value = build(c, x)?;
    c.one(value)
}

/// An op that leaves truth values and numbers without a sign alone.
fn unsigned_or(c: &mut Call<'_>, op: impl Into<Op>) -> Values {
    let x = c.first()?;
    let op = op.into();
    match (c.dtype(x), &op) {
        (DType::Bool, _) | (DType::U8, Op::Abs(_) | Op::Relu(_)) => c.one(x),
        _ => unary(c, op),
    }
}

/// The sign, which is 0 for NaN.
fn sign(c: &mut Call<'_>) -> Values {
    let x = c.first()?;
    if !c.dtype(x).is_float() {
        return unsigned_or(c, Sign {});
    }
    let sign = c.apply(Sign {}, &[x])?;
    let (nan, zero) = (c.apply(IsNan {}, &[x])?, c.like(x, 0.0));
    let value = c.apply(Select {}, &[nan, zero, sign])?;
    c.one(value)
}

/// An op of floats; integers become the default ones.
fn float(c: &mut Call<'_>, op: impl Into<Op>) -> Values {
    let op = op.into();
    float_by(c, |c, x| c.apply(op, &[x]))
}

fn float_by(c: &mut Call<'_>, build: impl FnOnce(&mut Call<'_>, ValueId) -> Built) -> Values {
    let x = c.first()?;
    let dtype = promote::float(c.dtype(x));
    let x = c.cast(x, dtype)?;
    let value = build(c, x)?;
    c.one(value)
}

/// Rounding, which changes nothing about integers.
fn rounded(c: &mut Call<'_>, op: impl Into<Op>) -> Values {
    let op = op.into();
    rounded_by(c, |c, x| c.apply(op, &[x]))
}

fn rounded_by(c: &mut Call<'_>, build: impl FnOnce(&mut Call<'_>, ValueId) -> Built) -> Values {
    let x = c.first()?;
    let value = if c.dtype(x).is_float() { build(c, x)? } else { x };
    c.one(value)
}

fn promoted<const N: usize>(c: &mut Call<'_>, names: &[&str; N]) -> Result<[ValueId; N], OpError> {
    c.promoted(names)?.try_into().map_err(|_| OpError::bug("as many operands as names"))
}

/// The two operands of a binary operator in one dtype.
fn two(c: &mut Call<'_>) -> Result<[ValueId; 2], OpError> {
    promoted(c, &["self", "other"])
}

fn binary(c: &mut Call<'_>, op: impl Into<Op>) -> Values {
    let [a, b] = two(c)?;
    let op = op.into();
    let value = match (c.dtype(a), &op) {
        (DType::Bool, Op::Max(_)) => c.apply(Or {}, &[a, b])?,
        (DType::Bool, Op::Min(_)) => c.apply(And {}, &[a, b])?,
        _ => c.apply(op, &[a, b])?,
    };
    c.one(value)
}

/// Bits of integers, or truth values.
fn bits(c: &mut Call<'_>, op: impl Into<Op>) -> Values {
    binary(c, op)
}

fn shift(c: &mut Call<'_>, left: bool) -> Values {
    let [a, b] = two(c)?;
    let value = if left { c.apply(Shl {}, &[a, b])? } else { c.apply(Shr {}, &[a, b])? };
    c.one(value)
}

/// `self + alpha * other` or the difference; for `rsub` the other way round.
fn sum(c: &mut Call<'_>, forward: bool) -> Values {
    let [mut a, mut b] = two(c)?;
    if !forward {
        (a, b) = (b, a);
    }
    let adds = c.name.starts_with("add");
    if c.dtype(a) == DType::Bool {
        if !adds {
            return Err(OpError::unsupported("truth values can't be subtracted"));
        }
        let value = c.apply(Or {}, &[a, b])?;
        return c.one(value);
    }
    let dtype = c.dtype(a);
    if c.has("alpha") && !matches!(c.get("alpha"), Value::Int(1) | Value::Bool(true)) && c.maybe_float("alpha").ok().flatten() != Some(1.0) {
        let alpha = c.as_dtype("alpha", dtype)?;
        b = c.apply(Mul {}, &[b, alpha])?;
    }
    let value = if adds { c.apply(Add {}, &[a, b])? } else { c.apply(Sub {}, &[a, b])? };
    c.one(value)
}

fn product(c: &mut Call<'_>) -> Values {
    let [a, b] = two(c)?;
    let value = if c.dtype(a) == DType::Bool { c.apply(And {}, &[a, b])? } else { c.apply(Mul {}, &[a, b])? };
    c.one(value)
}

/// `self + value * (a op b)`.
fn scaled_term(c: &mut Call<'_>, op: Op) -> Values {
    let [x, a, b] = promoted(c, &["self", "tensor1", "tensor2"])?;
    let term = c.apply(op, &[a, b])?;
    let dtype = c.dtype(x);
    let term = match c.maybe_float("value") {
        Ok(Some(1.0)) => term,
        _ => {
            let factor = c.as_dtype("value", dtype)?;
            c.apply(Mul {}, &[term, factor])?
        }
    };
    let value = c.apply(Add {}, &[x, term])?;
    c.one(value)
}

fn divide(c: &mut Call<'_>) -> Values {
    let mode = c.maybe_text("rounding_mode")?.map(str::to_owned);
    let [a, b] = two(c)?;
    let value = match mode.as_deref() {
        None => {
            let dtype = promote::float(c.dtype(a));
            let (a, b) = (c.cast(a, dtype)?, c.cast(b, dtype)?);
            c.apply(Div {}, &[a, b])?
        }
        Some("trunc") => {
            let quotient = c.apply(Div {}, &[a, b])?;
            if c.dtype(a).is_float() { truncated(c, quotient)? } else { quotient }
        }
        Some("floor") => floor_quotient(c, a, b)?,
        Some(other) => return Err(OpError::invalid(format!("rounding_mode is '{other}'"))),
    };
    c.one(value)
}

/// The quotient rounded down. That of floats is a whole number already when the remainder is taken away; what is left is rounding.
pub(super) fn floor_quotient(c: &mut Call<'_>, a: ValueId, b: ValueId) -> Built {
    let rest = c.apply(Modulo {}, &[a, b])?;
    let even = c.apply(Sub {}, &[a, rest])?;
    let quotient = c.apply(Div {}, &[even, b])?;
    if !c.dtype(a).is_float() {
        return Ok(quotient);
    }
    let whole = c.apply(Round {}, &[quotient])?;
    let zero = c.like(b, 0.0);
    let undefined = c.apply(Equal {}, &[b, zero])?;
    let plain = c.apply(Div {}, &[a, b])?;
    c.apply(Select {}, &[undefined, plain, whole])
}

/// Rounding towards zero.
pub(super) fn truncated(c: &mut Call<'_>, x: ValueId) -> Built {
    let zero = c.like(x, 0.0);
    let below = c.apply(Less {}, &[x, zero])?;
    let (up, down) = (c.apply(Ceil {}, &[x])?, c.apply(Floor {}, &[x])?);
    c.apply(Select {}, &[below, up, down])
}

fn power(c: &mut Call<'_>, x: ValueId, exponent: ValueId) -> Values {
    // A power keeps the shape of neither by itself: the one that is a number is the exponent, which broadcasts.
    let value = c.apply(Pow {}, &[x, exponent])?;
    c.one(value)
}

fn scaled(c: &mut Call<'_>, x: ValueId, factor: f64) -> Built {
    let factor = c.like(x, factor);
    c.apply(Mul {}, &[x, factor])
}

fn logarithm(c: &mut Call<'_>, x: ValueId, factor: f64) -> Built {
    let log = c.apply(Log {}, &[x])?;
    scaled(c, log, factor)
}

/// `e^x - 1`, exact where `x` is small: above zero it is `-(e^-x - 1) e^x`.
fn expm1(c: &mut Call<'_>, x: ValueId) -> Built {
    let zero = c.like(x, 0.0);
    let below = c.apply(LessEqual {}, &[x, zero])?;
    let minus = c.apply(Neg {}, &[x])?;
    let (left, right, power) = (c.apply(Elu { alpha: 1.0 }, &[x])?, c.apply(Elu { alpha: 1.0 }, &[minus])?, c.apply(Exp {}, &[x])?);
    let product = c.apply(Mul {}, &[right, power])?;
    let above = c.apply(Neg {}, &[product])?;
    c.apply(Select {}, &[below, left, above])
}

/// `ln(1 + x)`, exact where `x` is small: there it is `2 atanh(x / (2 + x))`.
fn log1p(c: &mut Call<'_>, x: ValueId) -> Built {
    let (one, two, half) = (c.like(x, 1.0), c.like(x, 2.0), c.like(x, 0.5));
    let sum = c.apply(Add {}, &[x, one])?;
    let plain = c.apply(Log {}, &[sum])?;
    let below = c.apply(Add {}, &[x, two])?;
    let ratio = c.apply(Div {}, &[x, below])?;
    let angle = c.apply(Atanh {}, &[ratio])?;
    let close = c.apply(Mul {}, &[angle, two])?;
    let size = c.apply(Abs {}, &[x])?;
    let small = c.apply(Less {}, &[size, half])?;
    c.apply(Select {}, &[small, close, plain])
}

/// `-softplus(-x)`.
fn log_sigmoid(c: &mut Call<'_>, x: ValueId) -> Built {
    let minus = c.apply(Neg {}, &[x])?;
    let plus = c.apply(Softplus {}, &[minus])?;
    c.apply(Neg {}, &[plus])
}

/// In evaluation the slope is the middle of its bounds. What noise there was is not given.
fn rrelu(c: &mut Call<'_>) -> Values {
    if c.flag("training")? {
        return Err(in_training("rrelu"));
    }
    let alpha = f64::midpoint(c.float("lower")?, c.float("upper")?);
    let mut values = unary(c, LeakyRelu { alpha })?;
    values.resize(c.schema.results, Value::None);
    Ok(values)
}

fn elu(c: &mut Call<'_>) -> Values {
    let (alpha, scale, input_scale) = (c.float("alpha")?, c.float("scale")?, c.float("input_scale")?);
    let x = c.tensor("self")?;
    if input_scale == 1.0 {
        let y = c.apply(Elu { alpha }, &[x])?;
        let value = if scale == 1.0 { y } else { scaled(c, y, scale)? };
        return c.one(value);
    }
    let inner = scaled(c, x, input_scale)?;
    let curve = expm1(c, inner)?;
    let curve = scaled(c, curve, alpha)?;
    let zero = c.like(x, 0.0);
    let below = c.apply(LessEqual {}, &[x, zero])?;
    let y = c.apply(Select {}, &[below, curve, x])?;
    let value = scaled(c, y, scale)?;
    c.one(value)
}

fn softplus(c: &mut Call<'_>) -> Values {
    let (beta, threshold) = (c.float("beta")?, c.float("threshold")?);
    let x = c.tensor("self")?;
    let inner = if beta == 1.0 { x } else { scaled(c, x, beta)? };
    let soft = c.apply(Softplus {}, &[inner])?;
    let soft = if beta == 1.0 { soft } else { scaled(c, soft, 1.0 / beta)? };
    // Above the usual threshold the difference is below what a float tells apart.
    if threshold >= 20.0 && c.dtype(x) != DType::F64 {
        return c.one(soft);
    }
    let limit = c.like(x, threshold);
    let above = c.apply(Less {}, &[limit, inner])?;
    let value = c.apply(Select {}, &[above, x, soft])?;
    c.one(value)
}

fn glu(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let axis = c.axis("dim", x)?;
    let halves = c.context.builder.apply_all(frit_ir::ops::split::Split { axis, parts: 2 }, &[x])?;
    let gate = c.apply(Sigmoid {}, &[halves[1]])?;
    let value = c.apply(Mul {}, &[halves[0], gate])?;
    c.one(value)
}

fn compare(c: &mut Call<'_>, op: impl Into<Op>, swapped: bool, negated: bool) -> Values {
    let [a, b] = two(c)?;
    let value = c.apply(op, &if swapped { [b, a] } else { [a, b] })?;
    let value = if negated { c.apply(Not {}, &[value])? } else { value };
    c.one(value)
}

/// Is it another number than zero?
pub(super) fn truth(c: &mut Call<'_>, x: ValueId) -> Built {
    c.cast(x, DType::Bool)
}

fn logical(c: &mut Call<'_>, op: impl Into<Op>) -> Values {
    let (a, b) = (c.tensor("self")?, c.tensor("other")?);
    let (a, b) = (truth(c, a)?, truth(c, b)?);
    let value = c.apply(op, &[a, b])?;
    c.one(value)
}

/// Bounds are numbers, tensors or nothing. A number does not change the dtype of floats.
fn clamp(c: &mut Call<'_>, low: &str, high: &str) -> Values {
    let mut names = vec!["self"];
    names.extend([low, high].into_iter().filter(|name| !name.is_empty() && c.has(name)));
    let operands = names.iter().map(|name| c.operand(name)).collect::<Result<Vec<_>, _>>()?;
    let dtype = promote::result(&c.context.builder, &operands)?;
    let mut x = c.as_dtype("self", dtype)?;
    let has = |c: &Call<'_>, name: &str| !name.is_empty() && c.has(name);
    match (has(c, low), has(c, high)) {
        (true, true) => {
            let (low, high) = (c.as_dtype(low, dtype)?, c.as_dtype(high, dtype)?);
            x = c.apply(Clip {}, &[x, low, high])?;
        }
        (true, false) => {
            let low = c.as_dtype(low, dtype)?;
            x = c.apply(Max {}, &[x, low])?;
        }
        (false, true) => {
            let high = c.as_dtype(high, dtype)?;
            x = c.apply(Min {}, &[x, high])?;
        }
        (false, false) => {}
    }
    c.one(x)
}

/// The larger or smaller of two where NaN counts as nothing.
fn ordered(c: &mut Call<'_>, op: Op) -> Values {
    let [a, b] = two(c)?;
    let mut value = c.apply(op, &[a, b])?;
    if c.dtype(a).is_float() {
        for (this, other) in [(a, b), (b, a)] {
            let nan = c.apply(IsNan {}, &[this])?;
            value = c.apply(Select {}, &[nan, other, value])?;
        }
    }
    c.one(value)
}

fn odd(c: &mut Call<'_>) -> Result<(ValueId, ValueId), OpError> {
    let x = c.first()?;
    let dtype = promote::float(c.dtype(x));
    let x = c.cast(x, dtype)?;
    Ok((c.apply(IsNan {}, &[x])?, c.apply(IsInf { negative: true, positive: true }, &[x])?))
}

/// Is the sign bit set? That of zero shows in its reciprocal.
fn negative(c: &mut Call<'_>, x: ValueId) -> Built {
    let zero = c.like(x, 0.0);
    let below = c.apply(Less {}, &[x, zero])?;
    if !c.dtype(x).is_float() {
        return Ok(below);
    }
    let inverse = c.apply(Reciprocal {}, &[x])?;
    let inverse_below = c.apply(Less {}, &[inverse, zero])?;
    c.apply(Or {}, &[below, inverse_below])
}

fn copysign(c: &mut Call<'_>) -> Values {
    let [a, b] = two(c)?;
    let dtype = promote::float(c.dtype(a));
    let (a, b) = (c.cast(a, dtype)?, c.cast(b, dtype)?);
    let size = c.apply(Abs {}, &[a])?;
    let minus = c.apply(Neg {}, &[size])?;
    let sign = negative(c, b)?;
    let value = c.apply(Select {}, &[sign, minus, size])?;
    c.one(value)
}

fn nan_to_num(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let dtype = c.dtype(x);
    if !dtype.is_float() {
        return c.one(x);
    }
    let limits = [("nan", Scalar::Float(0.0)), ("posinf", Scalar::highest(dtype)), ("neginf", Scalar::lowest(dtype))];
    let mut value = x;
    for (name, default) in limits {
        // The extremes of a dtype are its largest finite numbers here.
        let finite = match (default, dtype) {
            (Scalar::Float(limit), DType::F32) if limit.is_infinite() => Scalar::Float(f64::from(f32::MAX).copysign(limit)),
            (Scalar::Float(limit), DType::F64) if limit.is_infinite() => Scalar::Float(f64::MAX.copysign(limit)),
            (Scalar::Float(limit), DType::F16) if limit.is_infinite() => Scalar::Float(65504f64.copysign(limit)),
            (Scalar::Float(limit), DType::BF16) if limit.is_infinite() => Scalar::Float(3.389_531_389_251_535_5e38f64.copysign(limit)),
            _ => default,
        };
        let put = match c.maybe_float(name)? {
            Some(number) => c.like(x, number),
            None => c.builder().constant(Tensor::scalar(dtype, finite)),
        };
        let wrong = match name {
            "nan" => c.apply(IsNan {}, &[x])?,
            _ => c.apply(IsInf { negative: name == "neginf", positive: name == "posinf" }, &[x])?,
        };
        value = c.apply(Select {}, &[wrong, put, value])?;
    }
    c.one(value)
}

/// The angle of a point: that of its slope, turned where `x` is below zero.
fn atan2(c: &mut Call<'_>) -> Values {
    let operands = [c.operand("self")?, c.operand("other")?];
    let dtype = promote::float(promote::result(&c.context.builder, &operands)?);
    let (y, x) = (c.as_dtype("self", dtype)?, c.as_dtype("other", dtype)?);
    let slope = c.apply(Div {}, &[y, x])?;
    let angle = c.apply(Atan {}, &[slope])?;
    let (zero, pi, half, quarter) = (c.like(x, 0.0), c.like(x, std::f64::consts::PI), c.like(x, std::f64::consts::FRAC_PI_2), c.like(x, std::f64::consts::FRAC_PI_4));
    let (y_negative, x_negative) = (negative(c, y)?, negative(c, x)?);
    let minus = |c: &mut Call<'_>, value: ValueId| -> Built {
        let negated = c.apply(Neg {}, &[value])?;
        c.apply(Select {}, &[y_negative, negated, value])
    };
    let (turn, right, diagonal) = (minus(c, pi)?, minus(c, half)?, minus(c, quarter)?);
    let turned = c.apply(Add {}, &[angle, turn])?;
    let mut value = c.apply(Select {}, &[x_negative, turned, angle])?;
    let (x_zero, y_zero) = (c.apply(Equal {}, &[x, zero])?, c.apply(Equal {}, &[y, zero])?);
    value = c.apply(Select {}, &[x_zero, right, value])?;
    // On the axis itself the angle is that of the nearest side, with the sign of `y`.
    let none = minus(c, zero)?;
    let axis = c.apply(Select {}, &[x_negative, turn, none])?;
    value = c.apply(Select {}, &[y_zero, axis, value])?;
    let infinite = IsInf { negative: true, positive: true };
    let (x_infinite, y_infinite) = (c.apply(infinite.clone(), &[x])?, c.apply(infinite, &[y])?);
    let both = c.apply(And {}, &[x_infinite, y_infinite])?;
    let three = c.apply(Sub {}, &[turn, diagonal])?;
    let corner = c.apply(Select {}, &[x_negative, three, diagonal])?;
    value = c.apply(Select {}, &[both, corner, value])?;
    let (x_nan, y_nan) = (c.apply(IsNan {}, &[x])?, c.apply(IsNan {}, &[y])?);
    value = c.apply(Select {}, &[x_nan, x, value])?;
    value = c.apply(Select {}, &[y_nan, y, value])?;
    c.one(value)
}

/// Operands of promotion that are lists.
pub(super) fn common(c: &mut Call<'_>, values: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
    let operands: Vec<Operand> = values.iter().map(|value| Operand::Tensor(*value)).collect();
    let dtype = promote::result(&c.context.builder, &operands)?;
    values.iter().map(|value| c.cast(*value, dtype)).collect()
}
