//! The graph in the form that fusion wants: core ops only, no windows that reach outside, scans forward over first axes.
//!
//! In: a rewritten graph. Out: an equal graph without composites; padding of convolutions is an op of its
//! own, so that it becomes a store address of whatever makes the padded tensor. Must not know: kernels.

use std::collections::BTreeMap;

use frit_ir::build::Folding;
use frit_ir::graph::{Graph, ValueId};
use frit_ir::ops::{conv::Conv, if_::If, loop_::Loop, pad::Pad, scan::Scan, slice::Slice, transpose::Transpose};
use frit_ir::scalar::Scalar;
use frit_ir::shape::axis;
use frit_ir::{Builder, Error, Op, OpError, TensorType};

use crate::rewrite::tidy::tidy;
use crate::specialise::rebuild;

/// Legalises a graph.
///
/// # Errors
/// A bug where a composite does not expand.
pub(super) fn legalise(graph: &Graph) -> Result<Graph, Error> {
    let types: Vec<TensorType> = graph.inputs().iter().map(|(_, v)| graph.ty(*v).clone()).collect();
    tidy(&simplify(&rebuild(graph, &types, Folding::All)?)?)
}

/// Rewrites the nodes whose form is not the one that is scheduled.
fn simplify(graph: &Graph) -> Result<Graph, Error> {
    let mut builder = Builder::new(graph.name.clone()).folding(Folding::Early);
    let uses = graph.uses();
    let mut map: BTreeMap<ValueId, ValueId> = graph.inputs().iter().map(|(name, v)| (*v, builder.input(name.clone(), graph.ty(*v).clone()))).collect();
    for (_, node) in graph.nodes() {
        builder.set_origins(node.origins.clone());
        let operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
        // Products pack a transposed constant from the original; for other users it is transposed now rather than in every run.
        let packed = node.outputs.iter().all(|v| uses[v.0 as usize].iter().all(|user| matches!(graph.node(*user).op, Op::MatMul(_))));
        let transposed = match (&node.op, operands.first().and_then(|v| builder.as_constant(*v))) {
            (Op::Transpose(_), Some(tensor)) if !packed => Some(node.op.def().eval(&[tensor]).map_err(|error| builder.locate(error, &node.op, &operands))?),
            _ => None,
        };
        if let (Some(tensors), [from]) = (transposed, node.outputs.as_slice()) {
            let constants: Vec<ValueId> = tensors.into_iter().map(|tensor| builder.constant(tensor)).collect();
            map.insert(*from, constants[0]);
            continue;
        }
        let outputs = simple(&mut builder, &node.op, &operands).map_err(|error| builder.locate(error, &node.op, &operands))?;
        for (from, to) in node.outputs.iter().zip(outputs) {
            if let Some(name) = &graph.value(*from).name {
                builder.name(to, name.clone());
            }
            map.insert(*from, to);
        }
    }
    for (name, value) in graph.outputs() {
        builder.output(name.clone(), map[value]);
    }
    Ok(builder.finish())
}

fn simple(b: &mut Builder, op: &Op, operands: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
    match op {
        Op::Conv(conv) if conv.before.iter().chain(&conv.after).any(|n| *n != 0) => {
            let around = |pads: &[i64]| [&[0, 0], pads].concat();
            let pad = Pad { before: around(&conv.before), after: around(&conv.after), value: Scalar::Int(0) };
            let padded = b.apply(pad, &operands[..1])?;
            let zeros = vec![0; conv.strides.len()];
            b.apply_all(Conv { before: zeros.clone(), after: zeros, ..conv.clone() }, &[padded, operands[1]])
        }
        Op::If(branches) => b.apply_all(If { then_branch: inner(&branches.then_branch)?, else_branch: inner(&branches.else_branch)? }, operands),
        Op::Loop(repeat) => b.apply_all(Loop { body: inner(&repeat.body)?, ..repeat.clone() }, operands),
        Op::Scan(scan) => forward(b, scan, operands),
        _ => b.apply_all(op.clone(), operands),
    }
}

fn inner(graph: &Graph) -> Result<Graph, OpError> {
    Ok(tidy(&simplify(graph)?)?)
}

/// A scan over first axes from the start, whatever the axes and directions were.
fn forward(b: &mut Builder, scan: &Scan, operands: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
    let body = inner(&scan.body)?;
    let known = operands[scan.states..].iter().take(scan.input_axes.len()).all(|v| b.extents(*v).is_ok());
    let results = scan.body.outputs()[scan.states..].iter().all(|(_, v)| scan.body.ty(*v).rank().is_ok());
    if !known || !results {
        return b.apply_all(Scan { body, ..scan.clone() }, operands);
    }
    let mut operands = operands.to_vec();
    for (k, value) in operands[scan.states..].iter_mut().take(scan.input_axes.len()).enumerate() {
        let rank = b.rank(*value)?;
        let at = axis(scan.input_axes[k], rank)?;
        let perm = std::iter::once(at).chain((0..rank).filter(|k| *k != at)).collect();
        *value = b.apply(Transpose { perm }, &[*value])?;
        if scan.input_reversed[k] {
            *value = reversed(b, *value)?;
        }
    }
    let (inputs, collected) = (scan.input_axes.len(), scan.output_axes.len());
    let plain = Scan { body, states: scan.states, input_axes: vec![0; inputs], input_reversed: vec![false; inputs], output_axes: vec![0; collected], output_reversed: vec![false; collected] };
    let mut outputs = b.apply_all(plain, &operands)?;
    for (k, value) in outputs[scan.states..].iter_mut().enumerate() {
        if scan.output_reversed[k] {
            *value = reversed(b, *value)?;
        }
        let rank = b.rank(*value)?;
        let at = axis(scan.output_axes[k], rank)?;
        let mut perm: Vec<usize> = (1..rank).collect();
        perm.insert(at, 0);
        *value = b.apply(Transpose { perm }, &[*value])?;
    }
    Ok(outputs)
}

/// The same elements from the end of the first axis.
fn reversed(b: &mut Builder, value: ValueId) -> Result<ValueId, OpError> {
    let extents = b.extents(value)?;
    let mut starts = vec![0; extents.len()];
    let mut steps = vec![1; extents.len()];
    starts[0] = (extents[0] - 1).max(0);
    steps[0] = -1;
    b.apply(Slice { starts, extents, steps }, &[value])
}
