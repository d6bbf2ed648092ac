//! Images whose channels are the last axis, for ops that have them second.
//!
//! In: values of a builder. Out: the same with axes moved. What moves there and back is the rewriter's to remove. Must not know:
//! any format.

use frit_ir::ops::transpose::Transpose;
use frit_ir::{Builder, OpError, ValueId};

/// A value with its axes in another order: axis `k` of the result is axis `perm[k]`.
pub(crate) fn permuted(builder: &mut Builder, x: ValueId, perm: &[usize]) -> Result<ValueId, OpError> {
    if perm.iter().copied().eq(0..perm.len()) {
        return Ok(x);
    }
    builder.apply(Transpose { perm: perm.to_vec() }, &[x])
}

/// `N, .., C` as `N, C, ..`.
pub(crate) fn channels_first(builder: &mut Builder, x: ValueId) -> Result<ValueId, OpError> {
    let rank = builder.rank(x)?;
    if rank < 3 {
        return Ok(x);
    }
    let perm: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    permuted(builder, x, &perm)
}

/// `N, C, ..` as `N, .., C`.
pub(crate) fn channels_last(builder: &mut Builder, x: ValueId) -> Result<ValueId, OpError> {
    let rank = builder.rank(x)?;
    if rank < 3 {
        return Ok(x);
    }
    let perm: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
    permuted(builder, x, &perm)
}

/// A filter `.., in, out` as `out, in, ..`.
pub(crate) fn filter_first(builder: &mut Builder, filter: ValueId) -> Result<ValueId, OpError> {
    let rank = builder.rank(filter)?;
    if rank < 3 {
        return Err(OpError::invalid(format!("a filter has at least 3 axes, not {rank}")));
    }
    let perm: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect();
    permuted(builder, filter, &perm)
}
