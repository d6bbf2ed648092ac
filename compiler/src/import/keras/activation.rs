//! Activations: as functions that other layers name, and as layers.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::cumulate::{Cumulate, Running};
use frit_ir::ops::{celu::Celu, clip::Clip, elu::Elu, exp::Exp, gelu::Gelu, hard_sigmoid::HardSigmoid, hard_swish::HardSwish, leaky_relu::LeakyRelu, less::Less, log_softmax::LogSoftmax, mish::Mish};
use frit_ir::ops::{iota::Iota, neg::Neg, prelu::Prelu, relu::Relu, selu::Selu, shrink::Shrink, sigmoid::Sigmoid, softmax::Softmax, softplus::Softplus, softsign::Softsign, split::Split, sqrt::Sqrt, swish::Swish, tanh::Tanh, thresholded_relu::ThresholdedRelu, top_k::TopK};
use frit_ir::{DType, OpError, ValueId};
use serde_json::Value;

use super::config::{Config, integers};
use super::layer::{Call, Layer, Masked, bare};
use super::{Mask, Row, Version};
use crate::import::Family;

type Values = Result<Vec<Masked>, OpError>;
type Made = Result<ValueId, OpError>;

/// Makes a value of one.
type Function = fn(&mut Layer<'_>, ValueId) -> Made;

/// The functions, by the names that configurations have for them.
const FUNCTIONS: &[(&str, Function)] = &[
    ("celu", |n, x| n.apply(Celu { alpha: 1.0 }, &[x])),
    ("elu", |n, x| n.apply(Elu { alpha: 1.0 }, &[x])),
    ("exponential", |n, x| n.apply(Exp {}, &[x])),
    ("gelu", |n, x| n.apply(Gelu { tanh: false }, &[x])),
    ("hard_shrink", |n, x| n.apply(Shrink { lambda: 0.5, bias: 0.0 }, &[x])),
    ("hard_sigmoid", hard_sigmoid),
    ("hard_silu", |n, x| n.apply(HardSwish {}, &[x])),
    ("hard_swish", |n, x| n.apply(HardSwish {}, &[x])),
    ("hard_tanh", |n, x| clip(n, x, -1.0, 1.0)),
    ("leaky_relu", |n, x| n.apply(LeakyRelu { alpha: 0.2 }, &[x])),
    ("linear", |_, x| Ok(x)),
    ("log_softmax", |n, x| log_softmax(n, x, -1)),
    ("mish", |n, x| n.apply(Mish {}, &[x])),
    ("relu", |n, x| n.apply(Relu {}, &[x])),
    ("relu6", |n, x| clip(n, x, 0.0, 6.0)),
    ("selu", selu),
    ("sigmoid", |n, x| n.apply(Sigmoid {}, &[x])),
    ("silu", |n, x| n.apply(Swish { alpha: 1.0 }, &[x])),
    ("soft_shrink", |n, x| n.apply(Shrink { lambda: 0.5, bias: 0.5 }, &[x])),
    ("softmax", |n, x| softmax(n, x, -1)),
    ("softplus", |n, x| n.apply(Softplus {}, &[x])),
    ("softsign", |n, x| n.apply(Softsign {}, &[x])),
    ("sparse_sigmoid", |n, x| n.apply(HardSigmoid { alpha: 0.5, beta: 0.5 }, &[x])),
    ("swish", |n, x| n.apply(Swish { alpha: 1.0 }, &[x])),
    ("tanh", |n, x| n.apply(Tanh {}, &[x])),
];

/// Made of several of ours.
const EXPANDED_FUNCTIONS: &[(&str, Function)] = &[
    ("glu", |n, x| glu(n, x, -1)),
    ("log_sigmoid", log_sigmoid),
    ("sparse_plus", sparse_plus),
    ("sparsemax", |n, x| sparsemax(n, x, -1)),
    ("squareplus", |n, x| squareplus(n, x, 4.0)),
    ("tanh_shrink", tanh_shrink),
];

pub(super) const LAYERS: &[Row] = &[
    ("Activation", Mask::Stays, |n| {
        let x = n.x()?;
        Ok(bare([activate(n, x, "activation")?]))
    }),
    ("ELU", Mask::Stays, |n| {
        let (x, alpha) = (n.x()?, n.config.float("alpha", 1.0)?);
        Ok(bare([n.apply(Elu { alpha }, &[x])?]))
    }),
    ("LeakyReLU", Mask::Stays, |n| {
        let alpha = n.config.maybe_float("negative_slope")?.or(n.config.maybe_float("alpha")?).unwrap_or(0.3);
        let x = n.x()?;
        Ok(bare([n.apply(LeakyRelu { alpha }, &[x])?]))
    }),
    ("PReLU", Mask::Stays, |n| {
        let (x, slope) = (n.x()?, n.weight(0)?);
        Ok(bare([n.apply(Prelu {}, &[x, slope])?]))
    }),
    ("ReLU", Mask::Stays, |n| {
        let (slope, limit, threshold) = (n.config.float("negative_slope", 0.0)?, n.config.maybe_float("max_value")?, n.config.float("threshold", 0.0)?);
        let x = n.x()?;
        Ok(bare([relu(n, x, slope, limit, threshold)?]))
    }),
    ("Softmax", Mask::Stays, softmax_layer),
    ("ThresholdedReLU", Mask::Stays, |n| {
        let (x, alpha) = (n.x()?, n.config.float("theta", 1.0)?);
        Ok(bare([n.apply(ThresholdedRelu { alpha }, &[x])?]))
    }),
];

/// What becomes of the functions.
pub(super) fn family() -> Family {
    let names = |table: &'static [(&str, Function)]| table.iter().map(|(name, _)| *name);
    Family::new("Activations", names(FUNCTIONS), names(EXPANDED_FUNCTIONS))
}

/// Applies the function that an entry of the configuration names; none where it is left out.
pub(super) fn activate(n: &mut Layer<'_>, x: ValueId, entry: &str) -> Made {
    let config = n.config;
    activate_as(n, x, config, entry)
}

/// As [`activate`], where the configuration is another's.
pub(super) fn activate_as(n: &mut Layer<'_>, x: ValueId, config: Config<'_>, entry: &str) -> Made {
    match config.get(entry) {
        Some(said) => activate_by(n, x, said),
        None => Ok(x),
    }
}

/// The name of a function, if it has one.
pub(super) fn name_of(said: &Value) -> Option<&str> {
    said.as_str().or_else(|| said.get("class_name").and_then(Value::as_str).filter(|class| *class == "function").and_then(|_| said.get("config")?.as_str()))
}

fn activate_by(n: &mut Layer<'_>, x: ValueId, said: &Value) -> Made {
    let Some(name) = name_of(said) else {
        // A layer may stand for a function.
        let values = n.inner(said, "activation", Call::of(x.into()))?;
        return values.first().map(|y| y.value).ok_or_else(|| OpError::invalid("the activation gives nothing"));
    };
    function(n, x, name)
}

/// Applies a function by its name.
pub(super) fn function(n: &mut Layer<'_>, x: ValueId, name: &str) -> Made {
    let function = FUNCTIONS.iter().chain(EXPANDED_FUNCTIONS).find(|(known, _)| *known == name).map(|(_, function)| *function);
    let function = function.ok_or_else(|| OpError::unsupported(format!("activation '{name}' is not Keras's own, or not supported")).help("docs/keras.md lists what is; say it with other activations or keras.ops, or export the model: model.export(\"folder\") writes a SavedModel"))?;
    function(n, x)
}

/// `x` brought between two numbers.
pub(super) fn clip(n: &mut Layer<'_>, x: ValueId, low: f64, high: f64) -> Made {
    let (low, high) = (n.number_like(x, low), n.number_like(x, high));
    n.apply(Clip {}, &[x, low, high])
}

/// Keras 2 has another slope than Keras 3.
fn hard_sigmoid(n: &mut Layer<'_>, x: ValueId) -> Made {
    let alpha = if n.version() == Version::Two { 0.2 } else { 1.0 / 6.0 };
    n.apply(HardSigmoid { alpha, beta: 0.5 }, &[x])
}

pub(super) fn selu(n: &mut Layer<'_>, x: ValueId) -> Made {
    n.apply(Selu { alpha: 1.673_263_242_354_377_2, gamma: 1.050_700_987_355_480_5 }, &[x])
}

pub(super) fn log_sigmoid(n: &mut Layer<'_>, x: ValueId) -> Made {
    let minus = n.apply(Neg {}, &[x])?;
    let y = n.apply(Softplus {}, &[minus])?;
    n.apply(Neg {}, &[y])
}

pub(super) fn tanh_shrink(n: &mut Layer<'_>, x: ValueId) -> Made {
    let y = n.apply(Tanh {}, &[x])?;
    n.sub(x, y)
}

/// `(x + sqrt(x^2 + b)) / 2`.
pub(super) fn squareplus(n: &mut Layer<'_>, x: ValueId, b: f64) -> Made {
    let square = n.mul(x, x)?;
    let sum = n.offset(square, b)?;
    let root = n.apply(Sqrt {}, &[sum])?;
    let sum = n.add(x, root)?;
    n.scale(sum, 0.5)
}

/// 0 up to -1, `(x + 1)^2 / 4` up to 1, then `x`.
pub(super) fn sparse_plus(n: &mut Layer<'_>, x: ValueId) -> Made {
    let raised = n.offset(x, 1.0)?;
    let square = n.mul(raised, raised)?;
    let middle = n.scale(square, 0.25)?;
    let (zero, low, high) = (n.number_like(x, 0.0), n.number_like(x, -1.0), n.number_like(x, 1.0));
    let (above_low, below_high) = (n.apply(Less {}, &[low, x])?, n.apply(Less {}, &[x, high])?);
    let lower = n.select(above_low, middle, zero)?;
    n.select(below_high, lower, x)
}

/// The first half times the sigmoid of the second.
pub(super) fn glu(n: &mut Layer<'_>, x: ValueId, axis: i64) -> Made {
    let axis = n.axis_of(x, axis)?;
    let halves = n.builder.apply_all(Split { axis, parts: 2 }, &[x])?;
    let gate = n.apply(Sigmoid {}, &[halves[1]])?;
    n.mul(halves[0], gate)
}

pub(super) fn softmax(n: &mut Layer<'_>, x: ValueId, axis: i64) -> Made {
    let axis = n.axis_of(x, axis)?;
    n.apply(Softmax { axis, zeros: false }, &[x])
}

pub(super) fn log_softmax(n: &mut Layer<'_>, x: ValueId, axis: i64) -> Made {
    let axis = n.axis_of(x, axis)?;
    n.apply(LogSoftmax { axis }, &[x])
}

/// What Keras has for the nearest point of the simplex (Martins and Astudillo, arXiv 1602.02068).
pub(super) fn sparsemax(n: &mut Layer<'_>, x: ValueId, axis: i64) -> Made {
    let axis = n.axis_of(x, axis)?;
    let (count, rank) = (n.extent(x, axis)?, n.rank(x)?);
    let all = n.builder.ints(&[count]);
    let all = n.reshape(all, &[])?;
    let sorted = n.builder.apply_all(TopK { axis, largest: true }, &[x, all])?[0];
    let sums = n.apply(Cumulate { how: Running::Sum, axis, exclusive: false, reverse: false }, &[sorted])?;
    let mut extents = vec![1; rank];
    extents[axis] = count;
    let places = n.apply(Iota { dtype: DType::I64, extents, axis }, &[])?;
    let dtype = n.builder.dtype(x);
    let places = n.cast(places, dtype)?;
    let places = n.offset(places, 1.0)?;
    let scaled = n.mul(places, sorted)?;
    let reach = n.offset(scaled, 1.0)?;
    let inside = n.apply(Less {}, &[sums, reach])?;
    let inside = n.cast(inside, dtype)?;
    let total = |n: &mut Layer<'_>, x| n.apply(Aggregate { statistic: Statistic::Sum, axes: vec![axis], keep: true }, &[x]);
    // Keras sums the running sums here, not the numbers.
    let kept = n.mul(sums, inside)?;
    let (kept, size) = (total(n, kept)?, total(n, inside)?);
    let excess = n.offset(kept, -1.0)?;
    let threshold = n.div(excess, size)?;
    let over = n.sub(x, threshold)?;
    n.apply(Relu {}, &[over])
}

/// `x` from `threshold` on, up to `limit`; below, `slope` times what lacks.
pub(super) fn relu(n: &mut Layer<'_>, x: ValueId, slope: f64, limit: Option<f64>, threshold: f64) -> Made {
    if slope != 0.0 && limit.is_none() && threshold == 0.0 {
        return n.apply(LeakyRelu { alpha: slope }, &[x]);
    }
    let mut y = match (threshold, limit) {
        (0.0, Some(limit)) => clip(n, x, 0.0, limit)?,
        (0.0, None) => n.apply(Relu {}, &[x])?,
        (threshold, limit) => {
            let bound = n.number_like(x, threshold);
            let above = n.apply(Less {}, &[bound, x])?;
            let zero = n.number_like(x, 0.0);
            let y = n.select(above, x, zero)?;
            match limit {
                Some(limit) => clip(n, y, 0.0, limit)?,
                None => y,
            }
        }
    };
    if slope != 0.0 {
        let minus = n.apply(Neg {}, &[x])?;
        let lack = n.offset(minus, threshold)?;
        let lack = n.apply(Relu {}, &[lack])?;
        let lack = n.scale(lack, slope)?;
        y = n.sub(y, lack)?;
    }
    Ok(y)
}

fn softmax_layer(n: &mut Layer<'_>) -> Values {
    let axes = match n.config.get("axis") {
        Some(said) => integers(said).ok_or_else(|| Config::missing("axis"))?,
        None => vec![-1],
    };
    let mut x = n.x()?;
    let mask = n.value(1, "mask").map(|mask| mask.value).or(n.mask());
    let mask = match mask {
        Some(mask) if n.builder.dtype(mask) != DType::Bool => {
            let half = n.number_like(mask, 0.5);
            Some(n.apply(Less {}, &[half, mask])?)
        }
        mask => mask,
    };
    if let Some(mask) = mask {
        let least = n.number_like(x, if n.builder.dtype(x) == DType::F16 { -3e4 } else { -1e9 });
        x = n.select(mask, x, least)?;
    }
    let mut y = match axes.as_slice() {
        [one] => softmax(n, x, *one)?,
        many => {
            let mut axes = many.iter().map(|axis| n.axis_of(x, *axis)).collect::<Result<Vec<_>, _>>()?;
            axes.sort_unstable();
            axes.dedup();
            let total = n.apply(Aggregate { statistic: Statistic::LogSumExp, axes, keep: true }, &[x])?;
            let share = n.sub(x, total)?;
            n.apply(Exp {}, &[share])?
        }
    };
    if let Some(mask) = mask {
        let zero = n.number_like(y, 0.0);
        y = n.select(mask, y, zero)?;
    }
    Ok(bare([y]))
}
