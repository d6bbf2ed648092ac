//! Operators that move elements: shapes, views, joining and cutting.

use frit_ir::ops::expand_to::ExpandTo;
use frit_ir::ops::shape_of::ShapeOf;
use frit_ir::{Builder, OpError, ValueId};

use super::Handler;

pub(super) const OPS: &[(&str, Handler)] = &[];

/// A value repeated to the shape of another one.
pub(super) fn expand_like(builder: &mut Builder, x: ValueId, like: ValueId) -> Result<ValueId, OpError> {
    if builder.ty(x).shape == builder.ty(like).shape && builder.extents(x).is_ok() {
        return Ok(x);
    }
    let shape = builder.apply(ShapeOf { start: 0, end: None }, &[like])?;
    builder.apply(ExpandTo {}, &[x, shape])
}
