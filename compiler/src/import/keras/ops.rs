//! Operations of `keras.ops`, as models keep them between layers: arithmetic, statistics and functions of nets. Those that move elements
//! are in [`super::shapes`].
//!
//! Operands that are numbers stand in the call, parameters in the configuration. Dtypes are brought together as Keras does: a number takes
//! that of the tensor beside it.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::cumulate::{Cumulate, Running};
use frit_ir::ops::{abs::Abs, acos::Acos, acosh::Acosh, and::And, arg_extreme::ArgExtreme, asin::Asin, asinh::Asinh, atan::Atan, atanh::Atanh, ceil::Ceil, celu::Celu, cos::Cos, cosh::Cosh, dot::Dot, einsum::Einsum, elu::Elu};
use frit_ir::ops::{equal::Equal, erf::Erf, exp::Exp, floor::Floor, gelu::Gelu, is_inf::IsInf, is_nan::IsNan, leaky_relu::LeakyRelu, less::Less, less_equal::LessEqual, log::Log, max::Max, min::Min, modulo::Modulo, mul::Mul};
use frit_ir::ops::{neg::Neg, not::Not, one_hot::OneHot, or::Or, pow::Pow, reciprocal::Reciprocal, reshape_to::ReshapeTo, round::Round, shrink::Shrink, sign::Sign, sin::Sin, sinh::Sinh, sqrt::Sqrt, sub::Sub, tan::Tan, tanh::Tanh, top_k::TopK, xor::Xor};
use frit_ir::ops::{add::Add, softplus::Softplus};
use frit_ir::{DType, Op, OpError, Tensor, ValueId};
use serde_json::Value;

use super::activation::{function, glu, log_softmax, softmax, sparsemax, squareplus};
use super::config::{Config, integer, integers, number};
use super::layer::{Arg, Layer, Masked, bare, dtype};
use super::norm::{numbers, unit_length};
use super::{Handler, shapes};
use crate::import::{Family, Refused};

type Values = Result<Vec<Masked>, OpError>;
type Made = Result<ValueId, OpError>;

/// How an operation is made, if it is known.
pub(super) fn handler(class: &str) -> Option<Handler> {
    [OPS, EXPANDED, shapes::OPS, shapes::EXPANDED].into_iter().flatten().find(|(name, _)| *name == class).map(|(_, handler)| *handler)
}

/// What becomes of the operations.
pub(super) fn family() -> Family {
    let names = |tables: [&'static [(&str, Handler)]; 2]| tables.into_iter().flatten().map(|(name, _)| *name);
    Family::new("Operations of keras.ops", names([OPS, shapes::OPS]), names([EXPANDED, shapes::EXPANDED]))
}

/// Is an operation made of several ops of ours?
pub(super) fn is_expanded(class: &str) -> bool {
    [EXPANDED, shapes::EXPANDED].into_iter().flatten().any(|(name, _)| *name == class)
}

/// Operations that people meet and that are not supported.
pub(super) const REFUSED: &[Refused] = &[
    ("AssociativeScan", FUNCTIONS, super::EXPORT),
    ("Cholesky*", MATRICES, MATRICES_INSTEAD),
    ("Cond", FUNCTIONS, super::EXPORT),
    ("Eig*", MATRICES, MATRICES_INSTEAD),
    ("FFT*", super::COMPLEX, super::EXPORT),
    ("ForiLoop", FUNCTIONS, super::EXPORT),
    ("IFFT2", super::COMPLEX, super::EXPORT),
    ("IRFFT", super::COMPLEX, super::EXPORT),
    ("ISTFT", super::COMPLEX, super::EXPORT),
    ("LuFactor", MATRICES, MATRICES_INSTEAD),
    ("Map", FUNCTIONS, super::EXPORT),
    ("QR", MATRICES, MATRICES_INSTEAD),
    ("RFFT", super::COMPLEX, super::EXPORT),
    ("STFT", super::COMPLEX, super::EXPORT),
    ("SVD", MATRICES, MATRICES_INSTEAD),
    ("Scan", FUNCTIONS, super::EXPORT),
    ("Solve*", MATRICES, MATRICES_INSTEAD),
    ("Switch", FUNCTIONS, super::EXPORT),
    ("VectorizedMap", FUNCTIONS, super::EXPORT),
    ("WhileLoop", FUNCTIONS, super::EXPORT),
];

const FUNCTIONS: &str = "the functions that it calls are not in the file";
const MATRICES: &str = "it factorises matrices";
const MATRICES_INSTEAD: &str = "compute what depends on weights only before the model is saved";

/// Is there such an operation?
pub(super) fn known(class: &str) -> bool {
    handler(class).is_some()
}

/// The operations, by class.
pub(super) const OPS: &[(&str, Handler)] = &[
    ("Absolute", |n| keeping(n, Abs {})),
    ("Add", |n| pair(n, Add {})),
    ("All", |n| truth(n, Statistic::Min)),
    ("Amax", |n| statistic(n, Statistic::Max)),
    ("Amin", |n| statistic(n, Statistic::Min)),
    ("Any", |n| truth(n, Statistic::Max)),
    ("Arccos", |n| unary(n, Acos {})),
    ("Arccosh", |n| unary(n, Acosh {})),
    ("Arcsin", |n| unary(n, Asin {})),
    ("Arcsinh", |n| unary(n, Asinh {})),
    ("Arctan", |n| unary(n, Atan {})),
    ("Arctanh", |n| unary(n, Atanh {})),
    ("Argmax", |n| extreme(n, true)),
    ("Argmin", |n| extreme(n, false)),
    ("Cast", cast),
    ("Ceil", |n| unary(n, Ceil {})),
    ("Celu", |n| {
        let alpha = n.config.float("alpha", 1.0)?;
        unary(n, Celu { alpha })
    }),
    ("Clip", clip),
    ("Cos", |n| unary(n, Cos {})),
    ("Cosh", |n| unary(n, Cosh {})),
    ("Cumprod", |n| running(n, Running::Product)),
    ("Cumsum", |n| running(n, Running::Sum)),
    ("Divide", divide),
    ("Dot", |n| pair(n, Dot {})),
    ("Einsum", |n| {
        let equation = n.config.maybe_text("subscripts")?.ok_or_else(|| Config::missing("subscripts"))?.to_owned();
        let values: Vec<ValueId> = n.call.values().map(|x| x.value).collect();
        let common = values.iter().map(|x| n.builder.dtype(*x)).reduce(together).ok_or_else(|| OpError::invalid("it has no operand"))?;
        let values = values.into_iter().map(|x| n.cast(x, common)).collect::<Result<Vec<_>, _>>()?;
        Ok(bare([n.apply(Einsum { equation }, &values)?]))
    }),
    ("Elu", |n| {
        let alpha = n.config.float("alpha", 1.0)?;
        unary(n, Elu { alpha })
    }),
    ("Equal", |n| pair(n, Equal {})),
    ("Erf", |n| unary(n, Erf {})),
    ("Exp", |n| unary(n, Exp {})),
    ("Floor", |n| unary(n, Floor {})),
    ("Gelu", |n| {
        let tanh = n.config.flag("approximate", true)?;
        unary(n, Gelu { tanh })
    }),
    ("Greater", |n| {
        let (x, y) = operands(n)?;
        Ok(bare([n.apply(Less {}, &[y, x])?]))
    }),
    ("GreaterEqual", |n| {
        let (x, y) = operands(n)?;
        Ok(bare([n.apply(LessEqual {}, &[y, x])?]))
    }),
    ("HardShrink", |n| {
        let lambda = n.config.float("threshold", 0.5)?;
        unary(n, Shrink { lambda, bias: 0.0 })
    }),
    ("HardSigmoid", |n| named(n, "hard_sigmoid")),
    ("HardSilu", |n| named(n, "hard_silu")),
    ("HardTanh", |n| named(n, "hard_tanh")),
    ("Isinf", |n| unary(n, IsInf { negative: true, positive: true })),
    ("Isnan", |n| unary(n, IsNan {})),
    ("LeakyRelu", |n| {
        let alpha = n.config.float("negative_slope", 0.2)?;
        unary(n, LeakyRelu { alpha })
    }),
    ("Less", |n| pair(n, Less {})),
    ("LessEqual", |n| pair(n, LessEqual {})),
    ("Log", |n| unary(n, Log {})),
    ("LogSoftmax", |n| {
        let (x, axis) = (n.x()?, n.config.maybe_int("axis")?.unwrap_or(-1));
        Ok(bare([log_softmax(n, x, axis)?]))
    }),
    ("LogicalAnd", |n| logical(n, And {})),
    ("LogicalNot", |n| {
        let x = n.x()?;
        let x = n.cast(x, DType::Bool)?;
        Ok(bare([n.apply(Not {}, &[x])?]))
    }),
    ("LogicalOr", |n| logical(n, Or {})),
    ("LogicalXor", |n| logical(n, Xor {})),
    ("Logsumexp", |n| statistic(n, Statistic::LogSumExp)),
    ("Matmul", |n| pair(n, Dot {})),
    ("Max", |n| statistic(n, Statistic::Max)),
    ("Maximum", |n| pair(n, Max {})),
    ("Mean", |n| statistic(n, Statistic::Mean)),
    ("Min", |n| statistic(n, Statistic::Min)),
    ("Minimum", |n| pair(n, Min {})),
    ("Mod", |n| pair(n, Modulo {})),
    ("Multiply", |n| pair(n, Mul {})),
    ("Negative", |n| keeping(n, Neg {})),
    ("Norm", norm),
    ("Power", |n| {
        let (x, y) = operands(n)?;
        Ok(bare([n.apply(Pow {}, &[x, y])?]))
    }),
    ("Prod", |n| statistic(n, Statistic::Product)),
    ("Reciprocal", |n| unary(n, Reciprocal {})),
    ("Relu", |n| keeping_named(n, "relu")),
    ("Relu6", |n| named(n, "relu6")),
    ("Round", |n| {
        if n.config.maybe_int("decimals")?.unwrap_or(0) != 0 {
            return Err(OpError::unsupported("rounding to decimals is not supported").help("multiply before and divide after it"));
        }
        unary(n, Round {})
    }),
    ("Selu", |n| named(n, "selu")),
    ("Sigmoid", |n| named(n, "sigmoid")),
    ("Sign", |n| keeping(n, Sign {})),
    ("Silu", |n| named(n, "silu")),
    ("Sin", |n| unary(n, Sin {})),
    ("Sinh", |n| unary(n, Sinh {})),
    ("SoftShrink", |n| {
        let lambda = n.config.float("threshold", 0.5)?;
        unary(n, Shrink { lambda, bias: lambda })
    }),
    ("Softmax", |n| {
        let (x, axis) = (n.x()?, n.config.maybe_int("axis")?.unwrap_or(-1));
        Ok(bare([softmax(n, x, axis)?]))
    }),
    ("Softplus", |n| unary(n, Softplus {})),
    ("Softsign", |n| named(n, "softsign")),
    ("SparseSigmoid", |n| named(n, "sparse_sigmoid")),
    ("Sqrt", |n| unary(n, Sqrt {})),
    ("Square", |n| {
        let x = n.x()?;
        Ok(bare([n.mul(x, x)?]))
    }),
    ("StopGradient", |n| Ok(bare([n.x()?]))),
    ("Subtract", |n| pair(n, Sub {})),
    ("Sum", |n| statistic(n, Statistic::Sum)),
    ("Tan", |n| unary(n, Tan {})),
    ("Tanh", |n| unary(n, Tanh {})),
    ("TopK", |n| {
        let x = n.x()?;
        let axis = n.axis_of(x, -1)?;
        let k = n.config.count("k")?;
        let k = n.builder.ints(&[k]);
        let k = n.reshape(k, &[])?;
        let results = n.builder.apply_all(TopK { axis, largest: true }, &[x, k])?;
        let places = n.cast(results[1], DType::I32)?;
        Ok(bare([results[0], places]))
    }),
    ("TrueDivide", divide),
    ("Where", |n| {
        let condition = n.x()?;
        let condition = n.cast(condition, DType::Bool)?;
        let (x, y) = two(n, (1, "x1"), (2, "x2"))?;
        Ok(bare([n.select(condition, x, y)?]))
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("DivideNoNan", |n| {
        let (x, y) = floats(n)?;
        let zero = n.number_like(y, 0.0);
        let none = n.apply(Equal {}, &[y, zero])?;
        let ratio = n.div(x, y)?;
        Ok(bare([n.select(none, zero, ratio)?]))
    }),
    ("Exp2", |n| {
        let x = float(n)?;
        let x = n.scale(x, std::f64::consts::LN_2)?;
        Ok(bare([n.apply(Exp {}, &[x])?]))
    }),
    ("Expm1", |n| {
        let x = float(n)?;
        // Below zero the unit that has it loses nothing; above it nothing that matters is lost.
        let low = n.apply(Elu { alpha: 1.0 }, &[x])?;
        let power = n.apply(Exp {}, &[x])?;
        let high = n.offset(power, -1.0)?;
        let zero = n.number_like(x, 0.0);
        let below = n.apply(Less {}, &[x, zero])?;
        Ok(bare([n.select(below, low, high)?]))
    }),
    ("FloorDivide", |n| {
        let (x, y) = operands(n)?;
        if n.builder.dtype(x).is_float() {
            let ratio = n.div(x, y)?;
            return Ok(bare([n.apply(Floor {}, &[ratio])?]));
        }
        let rest = n.apply(Modulo {}, &[x, y])?;
        let whole = n.sub(x, rest)?;
        Ok(bare([n.div(whole, y)?]))
    }),
    ("Glu", |n| {
        let (x, axis) = (n.x()?, n.config.maybe_int("axis")?.unwrap_or(-1));
        Ok(bare([glu(n, x, axis)?]))
    }),
    ("Isfinite", |n| {
        let x = float(n)?;
        let (nan, infinite) = (n.apply(IsNan {}, &[x])?, n.apply(IsInf { negative: true, positive: true }, &[x])?);
        let either = n.apply(Or {}, &[nan, infinite])?;
        Ok(bare([n.apply(Not {}, &[either])?]))
    }),
    ("Log10", |n| logarithm(n, 1.0 / std::f64::consts::LN_10)),
    ("Log1p", |n| {
        let x = float(n)?;
        let sum = n.offset(x, 1.0)?;
        Ok(bare([n.apply(Log {}, &[sum])?]))
    }),
    ("Log2", |n| logarithm(n, std::f64::consts::LOG2_E)),
    ("LogSigmoid", |n| named(n, "log_sigmoid")),
    ("Logaddexp", |n| {
        // max + log(1 + exp(-|x - y|)), which does not overflow.
        let (x, y) = floats(n)?;
        let (most, off) = (n.apply(Max {}, &[x, y])?, n.sub(x, y)?);
        let off = n.apply(Abs {}, &[off])?;
        let soft = n.apply(Softplus {}, &[off])?;
        let extra = n.sub(soft, off)?;
        Ok(bare([n.add(most, extra)?]))
    }),
    ("Normalize", |n| {
        let x = float(n)?;
        if n.config.maybe_int("order")?.unwrap_or(2) != 2 {
            return Err(OpError::unsupported("a norm of another order than 2 is not supported here").help("divide by keras.ops.norm"));
        }
        let axes = axes(n, x)?;
        let epsilon = n.config.float("epsilon", 1e-7)?;
        Ok(bare([unit_length(n, x, axes, epsilon)?]))
    }),
    ("NotEqual", |n| {
        let (x, y) = operands(n)?;
        let equal = n.apply(Equal {}, &[x, y])?;
        Ok(bare([n.apply(Not {}, &[equal])?]))
    }),
    ("OneHot", |n| {
        let x = n.x()?;
        let depth = n.config.count("num_classes")?;
        let to = match n.config.maybe_text("dtype")? {
            Some(name) => dtype(name)?,
            None => DType::F32,
        };
        let axis = match n.config.maybe_int("axis")?.unwrap_or(-1) {
            -1 => n.rank(x)?,
            axis => frit_ir::shape::axis(axis, n.rank(x)? + 1)?,
        };
        let values = n.builder.constant(Tensor::from_slice::<f32>(&[2], &[0.0, 1.0]));
        let (indices, values) = (n.cast(x, DType::I64)?, n.cast(values, to)?);
        // Keras gives an index below 0 a row of zeros; those that are behind the end have one.
        let zero = n.number_like(indices, 0.0);
        let below = n.apply(Less {}, &[indices, zero])?;
        let behind = n.number_like(indices, depth as f64);
        let indices = n.select(below, behind, indices)?;
        Ok(bare([n.apply(OneHot { depth, axis }, &[indices, values])?]))
    }),
    ("Rsqrt", |n| {
        let x = float(n)?;
        let root = n.apply(Sqrt {}, &[x])?;
        Ok(bare([n.apply(Reciprocal {}, &[root])?]))
    }),
    ("SparsePlus", |n| named(n, "sparse_plus")),
    ("Sparsemax", |n| {
        let (x, axis) = (n.x()?, n.config.maybe_int("axis")?.unwrap_or(-1));
        Ok(bare([sparsemax(n, x, axis)?]))
    }),
    ("Squareplus", |n| {
        let (x, b) = (float(n)?, n.config.float("b", 4.0)?);
        Ok(bare([squareplus(n, x, b)?]))
    }),
    ("Std", |n| {
        let variance = variance(n)?;
        Ok(bare([n.apply(Sqrt {}, &[variance])?]))
    }),
    ("TanhShrink", |n| named(n, "tanh_shrink")),
    ("Threshold", |n| {
        let x = float(n)?;
        let (bound, other) = (n.config.float("threshold", 0.0)?, n.config.float("default_value", 0.0)?);
        let (bound, other) = (n.number_like(x, bound), n.number_like(x, other));
        let above = n.apply(Less {}, &[bound, x])?;
        Ok(bare([n.select(above, x, other)?]))
    }),
    ("Var", |n| Ok(bare([variance(n)?]))),
];

/// The dtype that two are brought to.
pub(super) fn together(a: DType, b: DType) -> DType {
    let size = |dtype: DType| dtype.size();
    match (a, b) {
        (a, b) if a == b => a,
        (DType::Bool, other) | (other, DType::Bool) => other,
        (DType::F64, _) | (_, DType::F64) => DType::F64,
        (a, b) if a.is_float() && b.is_float() => DType::F32,
        (float, _) | (_, float) if float.is_float() => float,
        (a, b) => {
            let signed = |dtype: DType| matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
            match (signed(a), signed(b)) {
                (x, y) if x == y => if size(a) >= size(b) { a } else { b },
                (a_signed, _) => {
                    let (signed, unsigned) = if a_signed { (a, b) } else { (b, a) };
                    match size(signed).max(2 * size(unsigned)) {
                        0..=2 => DType::I16,
                        3..=4 => DType::I32,
                        5..=8 => DType::I64,
                        _ => DType::F32,
                    }
                }
            }
        }
    }
}

/// An operand, or a number that stands for one.
enum Given<'m> {
    Tensor(ValueId),
    Number(&'m Value),
}

fn given<'m>(n: &Layer<'m>, (at, name): (usize, &str)) -> Result<Given<'m>, OpError> {
    match n.arg(at, name) {
        Some(Arg::Value(value)) => Ok(Given::Tensor(value.value)),
        Some(Arg::Data(data)) => Ok(Given::Number(data)),
        Some(Arg::List(list)) if list.len() == 1 => list[0].values().first().map(|value| Given::Tensor(value.value)).ok_or_else(|| OpError::invalid("a list is no operand")),
        Some(Arg::List(_) | Arg::Dict(_)) => Err(OpError::unsupported("a list of numbers as an operand is not supported").help("make a tensor of it")),
        None => Err(OpError::invalid(format!("operand '{name}' is missing"))),
    }
}

/// A constant of what stands in a call: a number, or a tensor that was put there.
pub(super) fn constant(n: &mut Layer<'_>, data: &Value, beside: Option<DType>) -> Made {
    if let Some(flag) = data.as_bool() {
        let value = n.builder.constant(Tensor::from_bools(&[], &[flag]));
        return n.cast(value, beside.unwrap_or(DType::Bool));
    }
    if data.is_number() {
        let own = if data.is_f64() { DType::F32 } else { DType::I32 };
        let to = match beside {
            Some(beside) if beside.is_float() || (own == DType::I32 && beside != DType::Bool) => beside,
            _ => own,
        };
        let number = number(data).ok_or_else(|| OpError::invalid("a number is none"))?;
        return Ok(n.builder.scalar(to, number));
    }
    let tensor = n.builder.constant(numbers(data)?);
    let said = data.get("config").and_then(|config| config.get("dtype")).and_then(Value::as_str);
    match said {
        Some(name) => n.cast(tensor, dtype(name)?),
        None => n.cast(tensor, beside.unwrap_or(DType::F32)),
    }
}

/// Two operands of one dtype.
fn two(n: &mut Layer<'_>, first: (usize, &str), second: (usize, &str)) -> Result<(ValueId, ValueId), OpError> {
    let (x, y) = match (given(n, first)?, given(n, second)?) {
        (Given::Tensor(x), Given::Tensor(y)) => (x, y),
        (Given::Tensor(x), Given::Number(data)) => (x, constant(n, data, Some(n.builder.dtype(x)))?),
        (Given::Number(data), Given::Tensor(y)) => (constant(n, data, Some(n.builder.dtype(y)))?, y),
        (Given::Number(a), Given::Number(b)) => (constant(n, a, None)?, constant(n, b, None)?),
    };
    let common = together(n.builder.dtype(x), n.builder.dtype(y));
    Ok((n.cast(x, common)?, n.cast(y, common)?))
}

fn operands(n: &mut Layer<'_>) -> Result<(ValueId, ValueId), OpError> {
    two(n, (0, "x1"), (1, "x2"))
}

/// Two operands that are floats.
fn floats(n: &mut Layer<'_>) -> Result<(ValueId, ValueId), OpError> {
    let (x, y) = operands(n)?;
    if n.builder.dtype(x).is_float() { Ok((x, y)) } else { Ok((n.cast(x, DType::F32)?, n.cast(y, DType::F32)?)) }
}

/// The operand as a float.
fn float(n: &mut Layer<'_>) -> Made {
    let x = n.x()?;
    if n.builder.dtype(x).is_float() { Ok(x) } else { n.cast(x, DType::F32) }
}

fn unary(n: &mut Layer<'_>, op: impl Into<Op>) -> Values {
    let x = float(n)?;
    Ok(bare([n.apply(op, &[x])?]))
}

/// An op that takes any numbers.
fn keeping(n: &mut Layer<'_>, op: impl Into<Op>) -> Values {
    let x = n.x()?;
    Ok(bare([n.apply(op, &[x])?]))
}

fn named(n: &mut Layer<'_>, name: &str) -> Values {
    let x = float(n)?;
    Ok(bare([function(n, x, name)?]))
}

fn keeping_named(n: &mut Layer<'_>, name: &str) -> Values {
    let x = n.x()?;
    Ok(bare([function(n, x, name)?]))
}

fn pair(n: &mut Layer<'_>, op: impl Into<Op>) -> Values {
    let (x, y) = operands(n)?;
    Ok(bare([n.apply(op, &[x, y])?]))
}

fn logical(n: &mut Layer<'_>, op: impl Into<Op>) -> Values {
    let (x, y) = operands(n)?;
    let (x, y) = (n.cast(x, DType::Bool)?, n.cast(y, DType::Bool)?);
    Ok(bare([n.apply(op, &[x, y])?]))
}

fn divide(n: &mut Layer<'_>) -> Values {
    let (x, y) = floats(n)?;
    Ok(bare([n.div(x, y)?]))
}

fn logarithm(n: &mut Layer<'_>, factor: f64) -> Values {
    let x = float(n)?;
    let log = n.apply(Log {}, &[x])?;
    Ok(bare([n.scale(log, factor)?]))
}

fn cast(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let to = dtype(n.config.maybe_text("dtype")?.ok_or_else(|| Config::missing("dtype"))?)?;
    Ok(bare([n.cast(x, to)?]))
}

fn clip(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let own = n.builder.dtype(x);
    let mut bound = |name: &str| -> Made {
        let data = n.config.get(name).ok_or_else(|| Config::missing(name))?;
        let data = constant(n, data, Some(own))?;
        n.cast(data, own)
    };
    let (low, high) = (bound("x_min")?, bound("x_max")?);
    Ok(bare([n.apply(frit_ir::ops::clip::Clip {}, &[x, low, high])?]))
}

/// The axes that an entry names, ascending; all where it is left out.
pub(super) fn axes(n: &Layer<'_>, x: ValueId) -> Result<Vec<usize>, OpError> {
    let Some(said) = n.config.get("axis") else { return Ok((0..n.rank(x)?).collect()) };
    let said = integers(said).ok_or_else(|| OpError::invalid("'axis' is no list of integers"))?;
    let mut axes = said.iter().map(|axis| n.axis_of(x, *axis)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

fn statistic(n: &mut Layer<'_>, statistic: Statistic) -> Values {
    let mut x = n.x()?;
    let dtype = n.builder.dtype(x);
    if matches!(statistic, Statistic::Mean | Statistic::LogSumExp) && !dtype.is_float() {
        x = n.cast(x, DType::F32)?;
    } else if dtype == DType::Bool || matches!(statistic, Statistic::Sum | Statistic::Product) && matches!(dtype, DType::I8 | DType::I16) {
        x = n.cast(x, DType::I32)?;
    }
    let (axes, keep) = (axes(n, x)?, n.config.flag("keepdims", false)?);
    let y = n.apply(Aggregate { statistic, axes, keep }, &[x])?;
    if dtype == DType::Bool && matches!(statistic, Statistic::Max | Statistic::Min) {
        return Ok(bare([n.cast(y, DType::Bool)?]));
    }
    Ok(bare([y]))
}

fn truth(n: &mut Layer<'_>, statistic: Statistic) -> Values {
    let x = n.x()?;
    let x = n.cast(x, DType::Bool)?;
    let x = n.cast(x, DType::I32)?;
    let (axes, keep) = (axes(n, x)?, n.config.flag("keepdims", false)?);
    let y = n.apply(Aggregate { statistic, axes, keep }, &[x])?;
    Ok(bare([n.cast(y, DType::Bool)?]))
}

fn variance(n: &mut Layer<'_>) -> Made {
    let x = float(n)?;
    let (axes, keep) = (axes(n, x)?, n.config.flag("keepdims", false)?);
    let mean = n.apply(Aggregate { statistic: Statistic::Mean, axes: axes.clone(), keep: true }, &[x])?;
    let off = n.sub(x, mean)?;
    let square = n.mul(off, off)?;
    n.apply(Aggregate { statistic: Statistic::Mean, axes, keep }, &[square])
}

fn extreme(n: &mut Layer<'_>, largest: bool) -> Values {
    let x = n.x()?;
    let keep = n.config.flag("keepdims", false)?;
    let (x, axis) = match n.config.maybe_int("axis")? {
        Some(axis) => (x, n.axis_of(x, axis)?),
        None if !keep => (n.reshape(x, &[-1])?, 0),
        None => return Err(OpError::unsupported("a place in all axes that stay is not supported").help("give an axis, or leave keepdims out")),
    };
    let y = n.apply(ArgExtreme { axis, largest, last: false, keep }, &[x])?;
    Ok(bare([n.cast(y, DType::I32)?]))
}

fn running(n: &mut Layer<'_>, how: Running) -> Values {
    let mut x = n.x()?;
    if n.builder.dtype(x) == DType::Bool {
        x = n.cast(x, DType::I32)?;
    }
    let axis = match n.config.maybe_int("axis")? {
        Some(axis) => n.axis_of(x, axis)?,
        None => {
            let all = n.builder.ints(&[-1]);
            x = n.apply(ReshapeTo { zero_copies: false }, &[x, all])?;
            0
        }
    };
    let y = n.apply(Cumulate { how, axis, exclusive: false, reverse: false }, &[x])?;
    match n.config.maybe_text("dtype")? {
        Some(name) => Ok(bare([n.cast(y, dtype(name)?)?])),
        None => Ok(bare([y])),
    }
}

/// A norm of vectors, or of matrices by their elements.
fn norm(n: &mut Layer<'_>) -> Values {
    let x = float(n)?;
    let (axes, keep) = (axes(n, x)?, n.config.flag("keepdims", false)?);
    let said = n.config.get("ord");
    let order = said.and_then(integer);
    let euclidean = said.is_none() || (order == Some(2) && axes.len() == 1) || said.and_then(Value::as_str) == Some("fro");
    let statistic = match order {
        _ if euclidean => Statistic::L2,
        Some(1) if axes.len() == 1 => Statistic::L1,
        _ => return Err(OpError::unsupported("this norm is not supported").help("use the norm of order 2, or 1 along one axis")),
    };
    Ok(bare([n.apply(Aggregate { statistic, axes, keep }, &[x])?]))
}
