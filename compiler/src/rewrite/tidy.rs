//! A graph without dead nodes, with common subexpressions shared, also of what is joined, and without movement that undoes itself.
//!
//! In: a graph that was just expanded. Out: an equal graph. Must not know: rules, loops, devices.

use std::collections::{BTreeMap, HashMap};

use frit_ir::graph::{Graph, Node, ValueId};
use frit_ir::ops::{reshape::Reshape, transpose::Transpose};
use frit_ir::{Builder, Error, Op};

use super::language::key;

/// Tidies a graph.
///
/// # Errors
/// A bug where a node no longer fits its operands.
pub(crate) fn tidy(graph: &Graph) -> Result<Graph, Error> {
    let live = live(graph);
    let mut builder = Builder::new(graph.name.clone());
    let mut map: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (name, value) in graph.inputs() {
        map.insert(*value, builder.input(name.clone(), graph.ty(*value).clone()));
    }
    let mut known: HashMap<String, Vec<ValueId>> = HashMap::new();
    for (id, node) in graph.nodes() {
        if !live[id.0 as usize] {
            continue;
        }
        builder.set_origins(node.origins.clone());
        let operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
        let joined = matches!(node.op, Op::Concat(_)).then(|| name_of(&node.op, &operands)).flatten();
        let operands = extended(&known, &node.op, operands);
        let outputs = match simplified(&builder, &node.op, &operands) {
            Simplified::Value(value) => vec![value],
            Simplified::Op(op, operands) => add(&mut builder, &mut known, &op, &operands)?,
            Simplified::No => add(&mut builder, &mut known, &node.op, &operands)?,
        };
        if let Some(key) = joined {
            known.insert(key, outputs.clone());
        }
        for (from, to) in node.outputs.iter().zip(outputs) {
            if let (Some(name), None) = (&graph.value(*from).name, &builder.graph().value(to).name) {
                builder.name(to, name.clone());
            }
            map.insert(*from, to);
        }
    }
    for (name, value) in graph.outputs() {
        builder.output(name.clone(), map[value]);
    }
    let done = builder.finish();
    // Removing movement can leave its source unused.
    if self::live(&done).iter().all(|live| *live) { Ok(done) } else { tidy(&done) }
}

/// What a node and its equals are known by.
fn name_of(op: &Op, operands: &[ValueId]) -> Option<String> {
    if op.def().deterministic() { key(op).map(|key| format!("{key}{operands:?}")) } else { None }
}

/// The operands of a node; where it joins values of which the first are joined already, that and the others. Densely connected
/// networks join all that they have again and again.
fn extended(known: &HashMap<String, Vec<ValueId>>, op: &Op, operands: Vec<ValueId>) -> Vec<ValueId> {
    if !matches!(op, Op::Concat(_)) {
        return operands;
    }
    let begun = (2..operands.len()).rev().find_map(|count| Some((known.get(&name_of(op, &operands[..count])?)?[0], count)));
    begun.map(|(value, count)| [&[value], &operands[count..]].concat()).unwrap_or(operands)
}

/// Adds a node unless an equal one is there.
fn add(builder: &mut Builder, known: &mut HashMap<String, Vec<ValueId>>, op: &Op, operands: &[ValueId]) -> Result<Vec<ValueId>, Error> {
    let key = name_of(op, operands);
    if let Some(outputs) = key.as_ref().and_then(|key| known.get(key)) {
        return Ok(outputs.clone());
    }
    let outputs = builder.apply_all(op.clone(), operands).map_err(|error| builder.locate(error, op, operands))?;
    if let Some(key) = key {
        known.insert(key, outputs.clone());
    }
    Ok(outputs)
}

/// Which nodes the outputs need.
pub(super) fn live(graph: &Graph) -> Vec<bool> {
    let mut wanted = vec![false; graph.values().len()];
    for (_, value) in graph.outputs() {
        wanted[value.0 as usize] = true;
    }
    let mut live = vec![false; graph.nodes().len()];
    for (id, node) in graph.nodes().rev() {
        if node.outputs.iter().any(|v| wanted[v.0 as usize]) {
            live[id.0 as usize] = true;
            for input in &node.inputs {
                wanted[input.0 as usize] = true;
            }
        }
    }
    live
}

#[allow(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
enum Simplified {
    No,
    /// The node's one result is another value.
    Value(ValueId),
    /// Another node gives the same.
    Op(Op, Vec<ValueId>),
}

fn simplified(builder: &Builder, op: &Op, operands: &[ValueId]) -> Simplified {
    let maker = |value: ValueId| -> Option<&Node> { builder.graph().producer(value) };
    let same_shape = |extents: &[i64]| builder.extents(operands[0]).is_ok_and(|from| from == extents);
    match op {
        Op::Reshape(op) if same_shape(&op.extents) => Simplified::Value(operands[0]),
        Op::Broadcast(op) if same_shape(&op.extents) => Simplified::Value(operands[0]),
        Op::Cast(op) if builder.dtype(operands[0]) == op.to => Simplified::Value(operands[0]),
        Op::Slice(op) if same_shape(&op.extents) && op.steps.iter().all(|n| *n == 1) => Simplified::Value(operands[0]),
        Op::Transpose(op) if op.perm.iter().enumerate().all(|(at, k)| at == *k) => Simplified::Value(operands[0]),
        Op::Concat(_) if operands.len() == 1 => Simplified::Value(operands[0]),
        Op::Transpose(outer) => match maker(operands[0]) {
            Some(Node { op: Op::Transpose(inner), inputs, .. }) => {
                let perm: Vec<usize> = outer.perm.iter().map(|k| inner.perm[*k]).collect();
                if perm.iter().enumerate().all(|(at, k)| at == *k) { Simplified::Value(inputs[0]) } else { Simplified::Op(Transpose { perm }.into(), inputs.clone()) }
            }
            _ => Simplified::No,
        },
        Op::Reshape(outer) => match maker(operands[0]) {
            Some(Node { op: Op::Reshape(_), inputs, .. }) => Simplified::Op(Reshape { extents: outer.extents.clone() }.into(), inputs.clone()),
            _ => Simplified::No,
        },
        _ => Simplified::No,
    }
}
