//! Normalisations.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::{batch_norm::BatchNorm, broadcast::Broadcast, group_norm::GroupNorm, layer_norm::LayerNorm, min::Min, mul::Mul, reciprocal::Reciprocal, rms_norm::RmsNorm, sqrt::Sqrt};
use frit_ir::{DType, OpError, Tensor, ValueId};
use serde_json::Value;

use super::config::{integers, number};
use super::layer::{Layer, Masked, bare};
use super::{Mask, Row};

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("BatchNormalization", Mask::Stays, batch),
    ("GroupNormalization", Mask::Stays, group),
    ("LayerNormalization", Mask::Stays, layer),
    ("RMSNormalization", Mask::Ends, rms),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("Normalization", Mask::Stays, given),
    ("UnitNormalization", Mask::Stays, unit),
];

/// The axes that an entry names, ascending.
fn axes(n: &Layer<'_>, x: ValueId) -> Result<Vec<usize>, OpError> {
    let numbers = n.config.maybe_ints("axis")?.unwrap_or_else(|| vec![-1]);
    let mut axes = numbers.iter().map(|axis| n.axis_of(x, *axis)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

/// The one axis that an entry names.
fn one_axis(n: &Layer<'_>, x: ValueId) -> Result<usize, OpError> {
    match axes(n, x)?.as_slice() {
        [axis] => Ok(*axis),
        many => Err(OpError::unsupported(format!("{} axes are not supported here", many.len())).help("give it one axis")),
    }
}

/// A vector of one number.
fn filled(n: &mut Layer<'_>, count: i64, number: f64) -> Result<ValueId, OpError> {
    let number = n.builder.scalar(n.policy.compute, number);
    n.apply(Broadcast { extents: vec![count] }, &[number])
}

/// The order in which axis `axis` is the second, and its inverse.
fn second(rank: usize, axis: usize) -> (Vec<usize>, Vec<usize>) {
    let perm: Vec<usize> = if rank == 1 { vec![0] } else { [usize::from(axis == 0), axis].into_iter().chain((0..rank).filter(|k| *k != axis).skip(1)).collect() };
    let mut inverse = vec![0; rank];
    for (to, from) in perm.iter().enumerate() {
        inverse[*from] = to;
    }
    (perm, inverse)
}

fn batch(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    if n.config.flag("renorm", false)? {
        return Err(OpError::unsupported("batch renormalisation is not supported").help("make the layer with renorm=False and copy its weights"));
    }
    let (rank, axis) = (n.rank(x)?, one_axis(n, x)?);
    let (scale, center) = (n.config.flag("scale", true)?, n.config.flag("center", true)?);
    let epsilon = n.config.float("epsilon", 1e-3)?;
    let first = usize::from(scale) + usize::from(center);
    let (mean, variance) = (n.weight(first)?, n.weight(first + 1)?);
    let count = n.extent(mean, 0)?;
    let factor = if scale { n.weight(0)? } else { filled(n, count, 1.0)? };
    let shift = if center { n.weight(usize::from(scale))? } else { filled(n, count, 0.0)? };
    let (perm, inverse) = second(rank, axis);
    let x = n.permuted(x, &perm)?;
    let y = n.apply(BatchNorm { epsilon, momentum: None }, &[x, factor, shift, mean, variance])?;
    Ok(bare([n.permuted(y, &inverse)?]))
}

/// What means are computed in.
fn stash(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The order in which some axes are the last, and its inverse.
fn last(rank: usize, axes: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let perm: Vec<usize> = (0..rank).filter(|k| !axes.contains(k)).chain(axes.iter().copied()).collect();
    let mut inverse = vec![0; rank];
    for (to, from) in perm.iter().enumerate() {
        inverse[*from] = to;
    }
    (perm, inverse)
}

fn layer(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let axes = axes(n, x)?;
    let (scale, center, rms) = (n.config.flag("scale", true)?, n.config.flag("center", true)?, n.config.flag("rms_scaling", false)?);
    let epsilon = n.config.float("epsilon", 1e-3)?;
    let (perm, inverse) = last(n.rank(x)?, &axes);
    let x = n.permuted(x, &perm)?;
    let axis = -(axes.len() as i64);
    let stash = stash(n.policy.compute);
    let one = n.number_like(x, 1.0);
    let factor = if scale || rms { n.weight(0)? } else { n.reshape(one, &vec![1; axes.len()])? };
    let y = if rms {
        // Keras takes the variance here, which is about the mean, for the mean of squares.
        let variance = centred_variance(n, x, axes.len())?;
        let sum = n.offset(variance, epsilon)?;
        let root = n.apply(Sqrt {}, &[sum])?;
        let y = n.div(x, root)?;
        n.mul(y, factor)?
    } else {
        let mut operands = vec![x, factor];
        if center {
            operands.push(n.weight(usize::from(scale))?);
        }
        n.builder.apply_all(LayerNorm { axis, epsilon, stash }, &operands)?[0]
    };
    Ok(bare([n.permuted(y, &inverse)?]))
}

/// The variance over the last axes, which stay with extent 1.
fn centred_variance(n: &mut Layer<'_>, x: ValueId, count: usize) -> Result<ValueId, OpError> {
    let rank = n.rank(x)?;
    let axes: Vec<usize> = (rank - count..rank).collect();
    let mean = |n: &mut Layer<'_>, x: ValueId| n.apply(Aggregate { statistic: Statistic::Mean, axes: axes.clone(), keep: true }, &[x]);
    let middle = mean(n, x)?;
    let off = n.sub(x, middle)?;
    let square = n.mul(off, off)?;
    mean(n, square)
}

fn rms(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let axes = axes(n, x)?;
    let epsilon = n.config.float("epsilon", 1e-6)?;
    let (perm, inverse) = last(n.rank(x)?, &axes);
    let x = n.permuted(x, &perm)?;
    let factor = n.weight(0)?;
    let y = n.apply(RmsNorm { axis: -(axes.len() as i64), epsilon, stash: stash(n.policy.compute) }, &[x, factor])?;
    Ok(bare([n.permuted(y, &inverse)?]))
}

fn group(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let axis = one_axis(n, x)?;
    let (scale, center) = (n.config.flag("scale", true)?, n.config.flag("center", true)?);
    let channels = n.extent(x, axis)?;
    let groups = match n.config.maybe_int("groups")?.unwrap_or(32) {
        -1 => channels,
        groups => groups,
    };
    let epsilon = n.config.float("epsilon", 1e-3)?;
    let factor = if scale { n.weight(0)? } else { filled(n, channels, 1.0)? };
    let shift = if center { n.weight(usize::from(scale))? } else { filled(n, channels, 0.0)? };
    let (perm, inverse) = second(n.rank(x)?, axis);
    let x = n.permuted(x, &perm)?;
    let y = n.apply(GroupNorm { groups, epsilon, per_group: false, stash: stash(n.policy.compute) }, &[x, factor, shift])?;
    Ok(bare([n.permuted(y, &inverse)?]))
}

/// `x` divided by the root of the sum of its squares along axes, if that is more than next to nothing.
pub(super) fn unit_length(n: &mut Layer<'_>, x: ValueId, axes: Vec<usize>, epsilon: f64) -> Result<ValueId, OpError> {
    let sum = n.apply(Aggregate { statistic: Statistic::SumSquare, axes, keep: true }, &[x])?;
    let root = n.apply(Sqrt {}, &[sum])?;
    let inverse = n.apply(Reciprocal {}, &[root])?;
    let most = n.number_like(x, 1.0 / epsilon);
    let factor = n.apply(Min {}, &[inverse, most])?;
    n.apply(Mul {}, &[x, factor])
}

fn unit(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let axes = axes(n, x)?;
    Ok(bare([unit_length(n, x, axes, 1e-12)?]))
}

/// Numbers, in lists of lists, as a tensor.
pub(super) fn numbers(value: &Value) -> Result<Tensor, OpError> {
    let wrong = || OpError::invalid("a list of numbers is none");
    let value = match value.get("class_name").and_then(Value::as_str) {
        Some("__numpy__" | "__tensor__") => value.get("config").and_then(|config| config.get("value")).ok_or_else(wrong)?,
        _ => value.get("value").unwrap_or(value),
    };
    let mut extents = Vec::new();
    let mut inner = value;
    while let Some(list) = inner.as_array() {
        extents.push(list.len() as i64);
        let Some(first) = list.first() else { break };
        inner = first;
    }
    let mut all = Vec::new();
    flatten(value, &mut all)?;
    if all.len() as i64 != extents.iter().product::<i64>() {
        return Err(wrong());
    }
    Ok(Tensor::from_slice(&extents, &all))
}

fn flatten(value: &Value, into: &mut Vec<f32>) -> Result<(), OpError> {
    match value.as_array() {
        Some(list) => list.iter().try_for_each(|item| flatten(item, into)),
        None => {
            into.push(number(value).ok_or_else(|| OpError::invalid("a list of numbers holds something else"))? as f32);
            Ok(())
        }
    }
}

/// `(x - mean) / max(deviation, epsilon)` with numbers that were found before.
fn given(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let x = n.cast(x, n.policy.compute)?;
    let rank = n.rank(x)?;
    let kept = match n.config.get("axis") {
        None => Vec::new(),
        Some(said) => integers(said).ok_or_else(|| OpError::invalid("'axis' is no list of integers"))?.iter().map(|axis| n.axis_of(x, *axis)).collect::<Result<Vec<_>, _>>()?,
    };
    let mut shape = vec![1; rank];
    for axis in &kept {
        shape[*axis] = n.extent(x, *axis)?;
    }
    let mut made = Vec::new();
    for (at, name) in ["mean", "variance"].into_iter().enumerate() {
        let value = match n.config.get(name) {
            Some(said) => {
                let tensor = n.builder.constant(numbers(said)?);
                n.cast(tensor, n.policy.compute)?
            }
            None => n.weight(at)?,
        };
        let own = n.builder.extents(value)?;
        // Numbers that are given stand for the last of the axes.
        let fits = own.iter().product::<i64>() == shape.iter().product::<i64>();
        let shape = if fits {
            shape.clone()
        } else {
            let mut shape = vec![1; rank];
            let mut kept = kept.clone();
            kept.sort_unstable();
            for (axis, extent) in kept.iter().rev().zip(own.iter().rev()) {
                shape[*axis] = *extent;
            }
            shape
        };
        made.push(n.reshape(value, &shape)?);
    }
    let deviation = n.apply(Sqrt {}, &[made[1]])?;
    let least = n.number_like(deviation, 1e-7);
    let deviation = n.apply(frit_ir::ops::max::Max {}, &[deviation, least])?;
    let y = if n.config.flag("invert", false)? {
        let scaled = n.mul(x, deviation)?;
        n.add(scaled, made[0])?
    } else {
        let off = n.sub(x, made[0])?;
        n.div(off, deviation)?
    };
    Ok(bare([y]))
}
