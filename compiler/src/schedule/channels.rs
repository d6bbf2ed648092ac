//! Which images lie with their channels last.
//!
//! In: a legal graph and a target. Out: an equal graph, in which some images lie so, as orders of axes say that are nodes of their own; whoever makes and
//! reads them takes these into its indices. Must not know: kernels.

mod bytes;
mod floats;

use frit_ir::vector::Target;
use frit_ir::{Error, Graph};

pub(super) use bytes::in_words;

/// Puts channels last where that is better for a target. Teams of threads read elements side by side in either order.
///
/// # Errors
/// A bug where a node no longer fits its operands.
pub(super) fn channels_last(graph: Graph, target: &Target) -> Result<Graph, Error> {
    let graph = if target.dots() { bytes::channels_last(&graph)? } else { graph };
    if target.team > 1 { Ok(graph) } else { floats::channels_last(&graph, target) }
}

/// The order of axes in which channels, the second one, are last.
fn last_order(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

/// From there to the order in which they are second.
fn first_order(rank: usize) -> Vec<usize> {
    [0, rank - 1].into_iter().chain(1..rank - 1).collect()
}

/// Numbers, one per axis, as they are with channels last.
fn last(list: &[i64]) -> Vec<i64> {
    last_order(list.len()).into_iter().map(|k| list[k]).collect()
}
