//! Short forms of applications that many composites are written with.
//!
//! In: a [`Builder`] and values. Out: values. Must not know: single composites.

use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reduce::How;
use crate::ops::{add::Add, broadcast::Broadcast, cast::Cast, div::Div, iota::Iota, less::Less, mul::Mul, reduce::Reduce, reshape::Reshape, select::Select, slice::Slice, sub::Sub, transpose::Transpose};

/// What building with values gives.
pub(crate) type Built = Result<ValueId, OpError>;

pub(crate) fn add(b: &mut Builder, x: ValueId, y: ValueId) -> Built {
    b.apply(Add {}, &[x, y])
}

pub(crate) fn sub(b: &mut Builder, x: ValueId, y: ValueId) -> Built {
    b.apply(Sub {}, &[x, y])
}

pub(crate) fn mul(b: &mut Builder, x: ValueId, y: ValueId) -> Built {
    b.apply(Mul {}, &[x, y])
}

pub(crate) fn div(b: &mut Builder, x: ValueId, y: ValueId) -> Built {
    b.apply(Div {}, &[x, y])
}

pub(crate) fn less(b: &mut Builder, x: ValueId, y: ValueId) -> Built {
    b.apply(Less {}, &[x, y])
}

pub(crate) fn select(b: &mut Builder, cond: ValueId, x: ValueId, y: ValueId) -> Built {
    b.apply(Select {}, &[cond, x, y])
}

/// `x` with a number of its own dtype: nothing is added for a number that changes nothing.
pub(crate) fn add_number(b: &mut Builder, x: ValueId, number: f64) -> Built {
    if number == 0.0 {
        return Ok(x);
    }
    let number = b.scalar(b.dtype(x), number);
    add(b, x, number)
}

/// `x` times a number of its own dtype: nothing is added for 1.
pub(crate) fn scale(b: &mut Builder, x: ValueId, number: f64) -> Built {
    if number == 1.0 {
        return Ok(x);
    }
    let number = b.scalar(b.dtype(x), number);
    mul(b, x, number)
}

/// Conversion; nothing where the dtype is right already.
pub(crate) fn cast(b: &mut Builder, x: ValueId, to: DType) -> Built {
    if b.dtype(x) == to { Ok(x) } else { b.apply(Cast { to }, &[x]) }
}

pub(crate) fn reshape(b: &mut Builder, x: ValueId, extents: &[i64]) -> Built {
    if b.extents(x).is_ok_and(|now| now == extents) {
        return Ok(x);
    }
    b.apply(Reshape { extents: extents.to_vec() }, &[x])
}

pub(crate) fn broadcast(b: &mut Builder, x: ValueId, extents: &[i64]) -> Built {
    if b.extents(x).is_ok_and(|now| now == extents) {
        return Ok(x);
    }
    b.apply(Broadcast { extents: extents.to_vec() }, &[x])
}

pub(crate) fn transpose(b: &mut Builder, x: ValueId, perm: &[usize]) -> Built {
    if perm.iter().copied().eq(0..perm.len()) {
        return Ok(x);
    }
    b.apply(Transpose { perm: perm.to_vec() }, &[x])
}

/// `count` elements from `start`, `step` apart, along one axis.
pub(crate) fn slice(b: &mut Builder, x: ValueId, axis: usize, start: i64, count: i64, step: i64) -> Built {
    let mut extents = b.extents(x)?;
    if start == 0 && step == 1 && extents.get(axis) == Some(&count) {
        return Ok(x);
    }
    let (mut starts, mut steps) = (vec![0; extents.len()], vec![1; extents.len()]);
    if axis >= extents.len() {
        return Err(OpError::invalid(format!("axis {axis} is outside shape {extents:?}")));
    }
    (starts[axis], extents[axis], steps[axis]) = (start, count, step);
    b.apply(Slice { starts, extents, steps }, &[x])
}

pub(crate) fn reduce(b: &mut Builder, how: How, x: ValueId, axes: &[usize]) -> Built {
    b.apply(Reduce { how, axes: axes.to_vec() }, &[x])
}

/// Mean along axes, which keep extent 1.
pub(crate) fn mean(b: &mut Builder, x: ValueId, axes: &[usize]) -> Built {
    let extents = b.extents(x)?;
    let count: f64 = axes.iter().map(|axis| extents[*axis] as f64).product();
    let sum = reduce(b, How::Sum, x, axes)?;
    let count = b.scalar(b.dtype(x), count);
    div(b, sum, count)
}

/// Numbers 0, 1, .. in a shape that is 1 but for one axis.
pub(crate) fn count(b: &mut Builder, dtype: DType, rank: usize, axis: usize, extent: i64) -> Built {
    let mut extents = vec![1; rank];
    extents[axis] = extent;
    b.apply(Iota { dtype, extents, axis }, &[])
}

/// A vector as one value per channel (axis 1) of a tensor of some rank.
pub(crate) fn per_channel(b: &mut Builder, x: ValueId, rank: usize) -> Built {
    let extents = b.extents(x)?;
    let [channels] = extents[..] else { return Err(OpError::invalid(format!("one number per channel is a vector, not shape {extents:?}"))) };
    let mut wide = vec![1; rank];
    if let Some(slot) = wide.get_mut(1) {
        *slot = channels;
    }
    reshape(b, x, &wide)
}
