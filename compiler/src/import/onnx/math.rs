//! Elementwise ops, activations, reductions.

use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::cast_narrow::{CastNarrow, Rounding};
use frit_ir::ops::cumulate::Running;
use frit_ir::ops::flattened::{Flattened, RowFunction};
use frit_ir::ops::{abs::Abs, acos::Acos, acosh::Acosh, add::Add, aggregate_by::AggregateBy, and::And, arg_extreme::ArgExtreme, asin::Asin, asinh::Asinh, atan::Atan, atanh::Atanh, average::Average};
use frit_ir::ops::{bitcast::Bitcast, cast::Cast, ceil::Ceil, celu::Celu, clip::Clip, cos::Cos, cosh::Cosh, cumulate_by::CumulateBy, det::Det, div::Div, elu::Elu, equal::Equal, erf::Erf, exp::Exp};
use frit_ir::ops::{floor::Floor, gelu::Gelu, hard_sigmoid::HardSigmoid, hard_swish::HardSwish, is_inf::IsInf, is_nan::IsNan, leaky_relu::LeakyRelu, less::Less, less_equal::LessEqual, log::Log};
use frit_ir::ops::{max::Max, min::Min, mish::Mish, modulo::Modulo, mul::Mul, neg::Neg, not::Not, or::Or, pow::Pow, prelu::Prelu, reciprocal::Reciprocal, relu::Relu, rem::Rem, round::Round};
use frit_ir::ops::{select::Select, selu::Selu, shl::Shl, shr::Shr, shrink::Shrink, sigmoid::Sigmoid, sign::Sign, sin::Sin, sinh::Sinh, softplus::Softplus, softsign::Softsign, sqrt::Sqrt};
use frit_ir::ops::{standardise::Standardise, sub::Sub, swiglu::Swiglu, swish::Swish, tan::Tan, tanh::Tanh, thresholded_relu::ThresholdedRelu, xor::Xor};
use frit_ir::shape::axis;
use frit_ir::{DType, Op, OpError, Scalar, Tensor, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("Abs", |n| n.simple(Abs {}, 1)),
    ("Acos", |n| n.simple(Acos {}, 1)),
    ("Acosh", |n| n.simple(Acosh {}, 1)),
    ("Add", |n| n.simple(Add {}, 2)),
    ("And", |n| n.simple(And {}, 2)),
    ("ArgMax", |n| arg_extreme(n, true)),
    ("ArgMin", |n| arg_extreme(n, false)),
    ("Asin", |n| n.simple(Asin {}, 1)),
    ("Asinh", |n| n.simple(Asinh {}, 1)),
    ("Atan", |n| n.simple(Atan {}, 1)),
    ("Atanh", |n| n.simple(Atanh {}, 1)),
    ("BitCast", |n| {
        let to = n.maybe_dtype("to")?.ok_or_else(|| n.missing("to"))?;
        n.simple(Bitcast { to }, 1)
    }),
    ("BitShift", bit_shift),
    ("BitwiseAnd", |n| n.simple(And {}, 2)),
    ("BitwiseNot", |n| n.simple(Not {}, 1)),
    ("BitwiseOr", |n| n.simple(Or {}, 2)),
    ("BitwiseXor", |n| n.simple(Xor {}, 2)),
    ("Cast", |n| {
        let to = n.maybe_dtype("to")?.ok_or_else(|| n.missing("to"))?;
        cast(n, to)
    }),
    ("CastLike", |n| {
        let to = n.builder.dtype(n.input(1)?);
        cast(n, to)
    }),
    ("Ceil", |n| n.simple(Ceil {}, 1)),
    ("Celu", |n| {
        let alpha = n.float("alpha", 1.0);
        n.simple(Celu { alpha }, 1)
    }),
    ("Clip", clip),
    ("Cos", |n| n.simple(Cos {}, 1)),
    ("Cosh", |n| n.simple(Cosh {}, 1)),
    ("CumProd", |n| cumulate(n, Running::Product)),
    ("CumSum", |n| cumulate(n, Running::Sum)),
    ("Det", |n| n.simple(Det {}, 1)),
    ("Div", |n| n.simple(Div {}, 2)),
    ("Elu", |n| {
        let alpha = n.float("alpha", 1.0);
        n.simple(Elu { alpha }, 1)
    }),
    ("Equal", |n| n.simple(Equal {}, 2)),
    ("Erf", |n| n.simple(Erf {}, 1)),
    ("Exp", |n| n.simple(Exp {}, 1)),
    ("Floor", |n| n.simple(Floor {}, 1)),
    ("Gelu", |n| {
        let tanh = n.text("approximate", "none") == "tanh";
        n.simple(Gelu { tanh }, 1)
    }),
    ("Greater", |n| swapped(n, Less {}.into())),
    ("GreaterOrEqual", |n| swapped(n, LessEqual {}.into())),
    ("HardSigmoid", |n| {
        let (alpha, beta) = (n.float("alpha", 0.2), n.float("beta", 0.5));
        n.simple(HardSigmoid { alpha, beta }, 1)
    }),
    ("HardSwish", |n| n.simple(HardSwish {}, 1)),
    ("Hardmax", |n| by_rows(n, RowFunction::Hardmax)),
    ("IsInf", |n| {
        let (negative, positive) = (n.flag("detect_negative", true), n.flag("detect_positive", true));
        n.simple(IsInf { negative, positive }, 1)
    }),
    ("IsNaN", |n| n.simple(IsNan {}, 1)),
    ("LeakyRelu", |n| {
        let alpha = n.float("alpha", 0.01);
        n.simple(LeakyRelu { alpha }, 1)
    }),
    ("Less", |n| n.simple(Less {}, 2)),
    ("LessOrEqual", |n| n.simple(LessEqual {}, 2)),
    ("Log", |n| n.simple(Log {}, 1)),
    ("LogSoftmax", |n| by_rows(n, RowFunction::LogSoftmax)),
    ("Max", |n| variadic(n, Max {}.into())),
    ("Mean", |n| {
        let inputs = n.all_inputs()?;
        Ok(vec![n.apply(Average {}, &inputs)?])
    }),
    ("MeanVarianceNormalization", |n| {
        let axes = n.maybe_ints("axes").unwrap_or(&[0, 2, 3]).to_vec();
        n.simple(Standardise { axes }, 1)
    }),
    ("Min", |n| variadic(n, Min {}.into())),
    ("Mish", |n| n.simple(Mish {}, 1)),
    ("Mod", |n| if n.flag("fmod", false) { n.simple(Rem {}, 2) } else { n.simple(Modulo {}, 2) }),
    ("Mul", |n| n.simple(Mul {}, 2)),
    ("Neg", |n| n.simple(Neg {}, 1)),
    ("Not", |n| n.simple(Not {}, 1)),
    ("Or", |n| n.simple(Or {}, 2)),
    ("PRelu", |n| n.simple(Prelu {}, 2)),
    ("Pow", |n| n.simple(Pow {}, 2)),
    ("Reciprocal", |n| n.simple(Reciprocal {}, 1)),
    ("ReduceL1", |n| aggregate(n, Statistic::L1)),
    ("ReduceL2", |n| aggregate(n, Statistic::L2)),
    ("ReduceLogSum", |n| aggregate(n, Statistic::LogSum)),
    ("ReduceLogSumExp", |n| aggregate(n, Statistic::LogSumExp)),
    ("ReduceMax", |n| aggregate(n, Statistic::Max)),
    ("ReduceMean", |n| aggregate(n, Statistic::Mean)),
    ("ReduceMin", |n| aggregate(n, Statistic::Min)),
    ("ReduceProd", |n| aggregate(n, Statistic::Product)),
    ("ReduceSum", |n| aggregate(n, Statistic::Sum)),
    ("ReduceSumSquare", |n| aggregate(n, Statistic::SumSquare)),
    ("Relu", |n| n.simple(Relu {}, 1)),
    ("Round", |n| n.simple(Round {}, 1)),
    ("Selu", |n| {
        let (alpha, gamma) = (n.float("alpha", f64::from(1.673_263_2_f32)), n.float("gamma", f64::from(1.050_701_f32)));
        n.simple(Selu { alpha, gamma }, 1)
    }),
    ("Shrink", |n| {
        let (lambda, bias) = (n.float("lambd", 0.5), n.float("bias", 0.0));
        n.simple(Shrink { lambda, bias }, 1)
    }),
    ("Sigmoid", |n| n.simple(Sigmoid {}, 1)),
    ("Sign", |n| n.simple(Sign {}, 1)),
    ("Sin", |n| n.simple(Sin {}, 1)),
    ("Sinh", |n| n.simple(Sinh {}, 1)),
    ("Softmax", |n| by_rows(n, RowFunction::Softmax)),
    ("Softplus", |n| n.simple(Softplus {}, 1)),
    ("Softsign", |n| n.simple(Softsign {}, 1)),
    ("Sqrt", |n| n.simple(Sqrt {}, 1)),
    ("Sub", |n| n.simple(Sub {}, 2)),
    ("Sum", |n| variadic(n, Add {}.into())),
    ("SwiGLU", |n| {
        let alpha = n.float("alpha", 1.0);
        n.simple(Swiglu { alpha }, 2)
    }),
    ("Swish", |n| {
        let alpha = n.float("alpha", 1.0);
        n.simple(Swish { alpha }, 1)
    }),
    ("Tan", |n| n.simple(Tan {}, 1)),
    ("Tanh", |n| n.simple(Tanh {}, 1)),
    ("ThresholdedRelu", |n| {
        let alpha = n.float("alpha", 1.0);
        n.simple(ThresholdedRelu { alpha }, 1)
    }),
    ("Where", |n| n.simple(Select {}, 3)),
    ("Xor", |n| n.simple(Xor {}, 2)),
];

fn variadic(n: &mut Node<'_, '_>, op: Op) -> Values {
    let inputs = n.all_inputs()?;
    let mut result = n.input(0)?;
    for next in &inputs[1..] {
        result = n.apply(op.clone(), &[result, *next])?;
    }
    Ok(vec![result])
}

fn swapped(n: &mut Node<'_, '_>, op: Op) -> Values {
    let operands = [n.input(1)?, n.input(0)?];
    Ok(vec![n.apply(op, &operands)?])
}

fn bit_shift(n: &mut Node<'_, '_>) -> Values {
    match n.text("direction", "") {
        "LEFT" => n.simple(Shl {}, 2),
        "RIGHT" => n.simple(Shr {}, 2),
        other => Err(OpError::invalid(format!("direction '{other}' is neither LEFT nor RIGHT"))),
    }
}

fn cast(n: &mut Node<'_, '_>, to: DType) -> Values {
    let saturate = n.flag("saturate", true);
    let rounding = match n.text("round_mode", "up") {
        "up" => Rounding::Up,
        "down" => Rounding::Down,
        "nearest" => Rounding::Nearest,
        other => return Err(OpError::invalid(format!("round_mode '{other}' is none of up, down and nearest"))),
    };
    let narrow = to == DType::F8E8M0 || (!saturate && to.is_float() && to.size() == 1);
    if n.builder.dtype(n.input(0)?).is_float() && to.int_bits().is_some_and(|bits| (2..8).contains(&bits)) {
        // Values out of range wrap, as from integers, instead of saturating.
        let x = n.input(0)?;
        let whole = n.apply(Cast { to: DType::I32 }, &[x])?;
        return Ok(vec![n.apply(Cast { to }, &[whole])?]);
    }
    if narrow { n.simple(CastNarrow { to, saturate, rounding }, 1) } else { n.simple(Cast { to }, 1) }
}

/// Bounds are attributes before opset 11, then optional operands.
fn clip(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let dtype = n.builder.dtype(x);
    let bound = |n: &mut Node<'_, '_>, at: usize, name: &str| {
        if n.opset < 11 {
            n.maybe_float(name).map(|value| n.builder.constant(Tensor::scalar(dtype, Scalar::Float(value))))
        } else {
            n.optional(at)
        }
    };
    let (low, high) = (bound(n, 1, "min"), bound(n, 2, "max"));
    Ok(vec![match (low, high) {
        (Some(low), Some(high)) => n.apply(Clip {}, &[x, low, high])?,
        (Some(low), None) => n.apply(Max {}, &[x, low])?,
        (None, Some(high)) => n.apply(Min {}, &[x, high])?,
        (None, None) => x,
    }])
}

/// Axes are an attribute, and since opset 18 (13 for sums) an optional operand.
fn aggregate(n: &mut Node<'_, '_>, statistic: Statistic) -> Values {
    let x = n.input(0)?;
    let axes = match (n.optional(1), n.maybe_ints("axes")) {
        (Some(axes), _) => axes,
        (None, axes) => n.builder.ints(axes.unwrap_or(&[])),
    };
    let (keep, empty_is_none) = (n.flag("keepdims", true), n.flag("noop_with_empty_axes", false));
    Ok(vec![n.apply(AggregateBy { statistic, keep, empty_is_none }, &[x, axes])?])
}

fn arg_extreme(n: &mut Node<'_, '_>, largest: bool) -> Values {
    let axis = axis(n.int("axis", 0), n.builder.rank(n.input(0)?)?)?;
    let (last, keep) = (n.flag("select_last_index", false), n.flag("keepdims", true));
    n.simple(ArgExtreme { axis, largest, last, keep }, 1)
}

fn cumulate(n: &mut Node<'_, '_>, how: Running) -> Values {
    let (exclusive, reverse) = (n.flag("exclusive", false), n.flag("reverse", false));
    n.simple(CumulateBy { how, exclusive, reverse }, 2)
}

/// Before opset 13 the axes from `axis` on were flattened, and the default was 1.
fn by_rows(n: &mut Node<'_, '_>, function: RowFunction) -> Values {
    let alone = n.opset >= 13;
    let axis = n.int("axis", if alone { -1 } else { 1 });
    n.simple(Flattened { function, axis, alone }, 1)
}
