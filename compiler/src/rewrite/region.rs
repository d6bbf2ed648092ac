//! Cutting a graph into regions that an e-graph can hold.
//!
//! In: a graph. Out: [`Part`]s in an order in which operands come first. A cut goes where few values cross it, so that what
//! belongs together stays together: between the layers of a network that is one or two. Must not know: rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    let (order, inside) = ordered(graph, &live);
    for id in order {
        let node = graph.node(id);
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
            cut(graph, uses, &inside, &mut open, &mut parts);
            parts.push(Part::Barrier(id));
        }
    }
    open.extend(waiting.iter().enumerate().filter(|(_, waiting)| **waiting).map(|(at, _)| NodeId(at as u32)));
    cut(graph, uses, &inside, &mut open, &mut parts);
    parts
}

/// For each value that depends on constants only the first one that is computed as it is.
fn fixed(graph: &Graph, live: &[bool]) -> BTreeMap<ValueId, ValueId> {
    let mut known: HashMap<String, ValueId> = HashMap::new();
    let mut fixed = BTreeMap::new();
    for (id, node) in graph.nodes() {
        let ([value], true, true) = (node.outputs.as_slice(), live[id.0 as usize], node.op.def().deterministic()) else { continue };
        let operands: Option<Vec<ValueId>> = node.inputs.iter().map(|v| fixed.get(v).copied()).collect();
        if let (Some(operands), Some(key)) = (operands, key(&node.op)) {
            fixed.insert(*value, *known.entry(format!("{key}{operands:?}")).or_insert(*value));
        }
    }
    fixed
}

/// The nodes that are live, operands first, what depends on constants only before all others. Products of parts of one value by the same weights follow each other, so that a
/// region holds all of them: the steps of an unrolled loop use them one by one. Also the nodes after which no region ends
/// therefore.
fn ordered(graph: &Graph, live: &[bool]) -> (Vec<NodeId>, BTreeSet<NodeId>) {
    let mut groups: BTreeMap<(ValueId, ValueId), Vec<Vec<NodeId>>> = BTreeMap::new();
    let mut keys: BTreeMap<NodeId, (ValueId, ValueId)> = BTreeMap::new();
    let fixed = fixed(graph, live);
    let nodes = || graph.nodes().filter(|(id, node)| live[id.0 as usize] && !matches!(node.op, Op::Constant(_)));
    for (id, node) in nodes() {
        let (Op::MatMul(_) | Op::Gemm(_), [part, weights, rest @ ..]) = (&node.op, node.inputs.as_slice()) else { continue };
        let Some(weights) = fixed.get(weights).filter(|_| rest.iter().all(|value| fixed.contains_key(value))) else { continue };
        let mut taken = vec![id];
        let mut whole = *part;
        while let Some(maker) = made_by(graph, whole) {
            let (Op::Gather(_) | Op::Slice(_) | Op::Reshape(_), [of, rest @ ..]) = (&graph.node(maker).op, graph.node(maker).inputs.as_slice()) else { break };
            if rest.iter().any(|value| graph.constant(*value).is_none()) {
                break;
            }
            taken.push(maker);
            whole = *of;
        }
        if taken.len() > 1 {
            taken.reverse();
            groups.entry((whole, *weights)).or_default().push(taken);
            keys.insert(id, (whole, *weights));
        }
    }
    let mut order = Vec::new();
    let mut inside = BTreeSet::new();
    let mut placed = vec![false; graph.nodes().len()];
    let of_constants = nodes().filter(|(_, node)| node.outputs.iter().all(|value| fixed.contains_key(value)));
    for (id, _) in of_constants.chain(nodes()) {
        let members: Vec<NodeId> = keys.get(&id).and_then(|key| groups.remove(key)).map_or(vec![id], |group| group.concat());
        let first = order.len();
        for member in members {
            if !std::mem::replace(&mut placed[member.0 as usize], true) {
                order.push(member);
            }
        }
        inside.extend(order[first..].iter().rev().skip(1));
    }
    (order, inside)
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
fn cut(graph: &Graph, uses: &[Vec<NodeId>], inside: &BTreeSet<NodeId>, open: &mut Vec<NodeId>, parts: &mut Vec<Part>) {
    let nodes = std::mem::take(open);
    let mut crossing = crossing(graph, uses, &nodes);
    nodes.iter().zip(&mut crossing).filter(|(id, _)| inside.contains(id)).for_each(|(_, crossing)| *crossing = usize::MAX);
    // Integers stay together with who works on what they mean.
    let dequantizes = |at: usize| matches!(graph.node(nodes[at]).op, Op::Dequantize(_));
    let mut start = 0;
    while start < nodes.len() {
        let left = nodes.len() - start;
        let count = if left <= MOST { left } else { (LEAST..=MOST.min(left - LEAST)).min_by_key(|count| (crossing[start + count - 1], dequantizes(start + count - 1), MOST - count)).unwrap_or(MOST) };
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
