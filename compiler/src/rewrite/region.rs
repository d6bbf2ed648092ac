//! Cutting a graph into regions that an e-graph can hold.
//!
//! In: a graph. Out: [`Part`]s in an order in which operands come first. A cut goes where few values cross it, so that what
//! belongs together stays together: between the layers of a network that is one or two. Must not know: rules.

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::Op;
use frit_ir::graph::{Graph, NodeId, ValueId};

use super::language::key;

/// A region has at least this many nodes, where there are so many.
const LEAST: usize = 48;
/// A region has no more nodes than this.
const MOST: usize = 128;

/// A part of a graph.
pub(super) enum Part {
    /// Nodes that rules look into.
    Region(Vec<NodeId>),
    /// A node that they don't: control flow, and what differs from run to run.
    Barrier(NodeId),
}

/// The parts of a graph; constants and dead nodes are in none.
pub(super) fn parts(graph: &Graph, uses: &[Vec<NodeId>]) -> Vec<Part> {
    let live = super::tidy::live(graph);
    let mut parts = Vec::new();
    let mut open: Vec<NodeId> = Vec::new();
    for (id, node) in graph.nodes().filter(|(id, node)| live[id.0 as usize] && !matches!(node.op, Op::Constant(_))) {
        if node.op.def().deterministic() && key(&node.op).is_some() {
            open.push(id);
        } else {
            cut(graph, uses, &mut open, &mut parts);
            parts.push(Part::Barrier(id));
        }
    }
    cut(graph, uses, &mut open, &mut parts);
    parts
}

/// The values that a region must give: those that others use.
pub(super) fn wanted(graph: &Graph, nodes: &[NodeId], uses: &[Vec<NodeId>]) -> Vec<ValueId> {
    let inside: BTreeSet<NodeId> = nodes.iter().copied().collect();
    let outputs: BTreeSet<ValueId> = graph.outputs().iter().map(|(_, v)| *v).collect();
    let values = nodes.iter().flat_map(|id| &graph.node(*id).outputs).copied();
    values.filter(|v| outputs.contains(v) || uses[v.0 as usize].iter().any(|user| !inside.contains(user))).collect()
}

/// Cuts a row of nodes into regions.
fn cut(graph: &Graph, uses: &[Vec<NodeId>], open: &mut Vec<NodeId>, parts: &mut Vec<Part>) {
    let nodes = std::mem::take(open);
    let crossing = crossing(graph, uses, &nodes);
    let mut start = 0;
    while start < nodes.len() {
        let left = nodes.len() - start;
        let count = if left <= MOST { left } else { (LEAST..=MOST.min(left - LEAST)).min_by_key(|count| (crossing[start + count - 1], MOST - count)).unwrap_or(MOST) };
        parts.push(Part::Region(nodes[start..start + count].to_vec()));
        start += count;
    }
}

/// How many values are alive after each node of a row.
fn crossing(graph: &Graph, uses: &[Vec<NodeId>], nodes: &[NodeId]) -> Vec<usize> {
    let at: BTreeMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let mut change = vec![0i64; nodes.len() + 1];
    for (first, id) in nodes.iter().enumerate() {
        for value in &graph.node(*id).outputs {
            let last = uses[value.0 as usize].iter().filter_map(|user| at.get(user)).copied().max().unwrap_or(first);
            change[first] += 1;
            change[last.max(first)] -= 1;
        }
    }
    let mut alive = 0;
    nodes.iter().enumerate().map(|(k, _)| { alive += change[k]; alive.max(0) as usize }).collect()
}
