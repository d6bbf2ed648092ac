//! Cutting a graph into regions that an e-graph can hold.
//!
//! In: a graph. Out: [`Part`]s in an order in which operands come first. A cut goes where few values cross it, so that what
//! belongs together stays together: between the layers of a network that is one or two. Must not know: rules.

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::Op;
use frit_ir::graph::{Graph, Node, NodeId, Producer, ValueId};

use super::language::key;

/// A region has at least this many nodes, where there are so many.
const LEAST: usize = 48;
/// A region has no more nodes than this.
const MOST: usize = 176;

/// A part of a graph.
pub(super) enum Part {
    /// Nodes that rules look into.
    Region(Vec<NodeId>),
    /// A node that they don't: control flow, and what differs from run to run.
    Barrier(NodeId),
}

/// The parts of a graph; constants and dead nodes are in none. What depends on constants only comes right before the first
/// that uses it, so that rules see the two together.
pub(super) fn parts(graph: &Graph, uses: &[Vec<NodeId>]) -> Vec<Part> {
    let live = super::tidy::live(graph);
    let open_to_rules = |node: &Node| node.op.def().deterministic() && key(&node.op).is_some();
    let mut waiting = vec![false; graph.nodes().len()];
    let mut parts = Vec::new();
    let mut open: Vec<NodeId> = Vec::new();
    for (id, node) in graph.nodes().filter(|(id, node)| live[id.0 as usize] && !matches!(node.op, Op::Constant(_))) {
        let fixed = |v: &ValueId| graph.constant(*v).is_some() || made_by(graph, *v).is_some_and(|maker| waiting[maker.0 as usize]);
        let used = node.outputs.iter().any(|v| !uses[v.0 as usize].is_empty());
        if open_to_rules(node) && used && node.inputs.iter().all(fixed) {
            waiting[id.0 as usize] = true;
            continue;
        }
        let mut before = BTreeSet::new();
        let mut stack: Vec<ValueId> = node.inputs.clone();
        while let Some(value) = stack.pop() {
            if let Some(maker) = made_by(graph, value).filter(|maker| std::mem::take(&mut waiting[maker.0 as usize])) {
                before.insert(maker);
                stack.extend(&graph.node(maker).inputs);
            }
        }
        open.extend(before);
        if open_to_rules(node) {
            open.push(id);
        } else {
            cut(graph, uses, &mut open, &mut parts);
            parts.push(Part::Barrier(id));
        }
    }
    open.extend(waiting.iter().enumerate().filter(|(_, waiting)| **waiting).map(|(at, _)| NodeId(at as u32)));
    cut(graph, uses, &mut open, &mut parts);
    parts
}

fn made_by(graph: &Graph, value: ValueId) -> Option<NodeId> {
    match graph.value(value).producer {
        Producer::Node(id, _) => Some(id),
        Producer::Input(_) => None,
    }
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
