//! Which images lie with their channels last.
//!
//! In: a legal graph and a target. Out: an equal graph, in which some images lie so, as orders of axes say that are nodes of their own; whoever makes and
//! reads them takes these into its indices. Must not know: kernels.

mod bytes;
mod floats;

use std::collections::BTreeMap;

use frit_ir::graph::{Node, ValueId};
use frit_ir::ops::transpose::Transpose;
use frit_ir::vector::Target;
use frit_ir::{Builder, Error, Graph, Op, OpError};

pub(super) use bytes::in_words;

/// Puts channels last where that is better for a target. Teams of threads read elements side by side in either order.
///
/// # Errors
/// A bug where a node no longer fits its operands.
pub(super) fn channels_last(graph: Graph, target: &Target) -> Result<Graph, Error> {
    let graph = if target.dots() { bytes::channels_last(&graph)? } else { graph };
    if target.team > 1 { Ok(graph) } else { floats::channels_last(&graph, target) }
}

/// A graph made anew, with some images in another order of axes.
struct Turner<'a> {
    graph: &'a Graph,
    builder: Builder,
    map: BTreeMap<ValueId, ValueId>,
    /// Images with their channels last.
    last: BTreeMap<ValueId, ValueId>,
    /// And read in the old order.
    back: BTreeMap<ValueId, ValueId>,
}

impl<'a> Turner<'a> {
    /// The graph that `each` makes of the nodes, one after the other.
    fn run(graph: &'a Graph, mut each: impl FnMut(&mut Self, &Node) -> Result<(), OpError>) -> Result<Graph, Error> {
        let mut turner = Self { graph, builder: Builder::new(graph.name.clone()), map: BTreeMap::new(), last: BTreeMap::new(), back: BTreeMap::new() };
        for (name, value) in graph.inputs() {
            let input = turner.builder.input(name.clone(), graph.ty(*value).clone());
            turner.map.insert(*value, input);
        }
        for (_, node) in graph.nodes() {
            turner.builder.set_origins(node.origins.clone());
            each(&mut turner, node).map_err(|error| turner.builder.locate(error, &node.op, &[]))?;
        }
        for (name, value) in graph.outputs() {
            let to = turner.plain(*value).map_err(|error| turner.builder.locate(error, &Op::from(Transpose { perm: Vec::new() }), &[]))?;
            turner.builder.output(name.clone(), to);
        }
        Ok(turner.builder.finish())
    }

    fn rank(&self, value: ValueId) -> usize {
        self.graph.ty(value).rank().unwrap_or(0)
    }

    /// What a node's operands are in the old order.
    fn operands(&mut self, node: &Node) -> Result<Vec<ValueId>, OpError> {
        node.inputs.iter().map(|v| self.plain(*v)).collect()
    }

    /// Says what a node's results are, in the old order.
    fn made(&mut self, node: &Node, outputs: Vec<ValueId>) {
        for (from, to) in node.outputs.iter().zip(outputs) {
            if let Some(name) = &self.graph.value(*from).name {
                self.builder.name(to, name.clone());
            }
            self.map.insert(*from, to);
        }
    }

    /// A value in the old order. An image that lies with its channels last is read there.
    fn plain(&mut self, value: ValueId) -> Result<ValueId, OpError> {
        if let Some(known) = self.back.get(&value) {
            return Ok(*known);
        }
        let Some(last) = self.last.get(&value) else { return Ok(self.map[&value]) };
        let perm = first_order(self.rank(value));
        let back = self.builder.apply(Transpose { perm }, &[*last])?;
        self.back.insert(value, back);
        Ok(back)
    }
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
