//! The graph in the form that fusion wants: core ops only, no windows that reach outside, scans forward over first axes.
//!
//! In: a rewritten graph. Out: an equal graph without composites (but for the precision that was asked for); padding of convolutions is an op of its
//! own, so that it becomes a store address of whatever makes the padded tensor, and transposed convolutions whose windows don't
//! overlap are convolutions. Must not know: kernels.

use std::collections::BTreeMap;

use frit_ir::build::{Folding, MAX_FOLDED};
use frit_ir::compute::Compute;
use frit_ir::graph::{Graph, Node, NodeId, ValueId};
use frit_ir::ops::{Body, conv::Conv, conv_transpose::ConvTranspose, if_::If, loop_::Loop, pad::Pad, reshape::Reshape, scan::Scan, slice::Slice, transpose::Transpose};
use frit_ir::scalar::Scalar;
use frit_ir::shape::axis;
use frit_ir::{Builder, Error, Op, OpError, Tensor, TensorType};

use super::channels::{channels_last, in_words};
use super::contraction::{CONTRACTED, Contraction};
use super::{Device, precision};
use crate::rewrite::tidy::tidy;
use crate::specialise::rebuild;

/// Legalises a graph.
///
/// # Errors
/// A bug where a composite does not expand.
pub(super) fn legalise(graph: &Graph, device: &Device<'_>) -> Result<Graph, Error> {
    let types: Vec<TensorType> = graph.inputs().iter().map(|(_, v)| graph.ty(*v).clone()).collect();
    legal(&rebuild(graph, &types, Folding::All)?, device, &[])
}

/// As [`legalise`], for a graph without composites. `known`: of its inputs those that are constants, which it then has itself.
fn legal(graph: &Graph, device: &Device<'_>, known: &[Option<Tensor>]) -> Result<Graph, Error> {
    let graph = tidy(&simplify(graph, device, known)?)?;
    channels_last(graph, device.target)
}

/// Rewrites the nodes whose form is not the one that is scheduled, and folds what was too large to be folded early. `known`: of the
/// graph's inputs those that are constants, which it then has itself.
fn simplify(graph: &Graph, device: &Device<'_>, known: &[Option<Tensor>]) -> Result<Graph, Error> {
    let mut builder = Builder::new(graph.name.clone()).folding(Folding::Early);
    let mut map: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (at, (name, v)) in graph.inputs().iter().enumerate() {
        let value = match known.get(at).and_then(Option::as_ref) {
            Some(tensor) => builder.constant(tensor.clone()),
            None => builder.input(name.clone(), graph.ty(*v).clone()),
        };
        map.insert(*v, value);
    }
    let uses = graph.uses();
    let kept = kept(graph, &uses, device);
    // Folded tensors, until the last node that is folded too has read them.
    let mut folded: BTreeMap<ValueId, Tensor> = BTreeMap::new();
    for (id, node) in graph.nodes() {
        builder.set_origins(node.origins.clone());
        let results = if kept[id.0 as usize] { None } else { fold(graph, node, |v| folded.get(&v).or_else(|| builder.as_constant(*map.get(&v)?)).cloned()) };
        let is_folded = results.is_some();
        folded.extend(node.outputs.iter().copied().zip(results.into_iter().flatten()));
        if !is_folded {
            for value in &node.inputs {
                if let (Some(tensor), false) = (folded.get(value), map.contains_key(value)) {
                    map.insert(*value, builder.constant(tensor.clone()));
                }
            }
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
            let outputs = match &node.op {
                Op::ConvInteger(_) if device.target.dots() && in_words(graph, node) => builder.apply_all(node.op.clone(), &operands),
                op => simple(&mut builder, op, &operands, device),
            };
            let outputs = outputs.map_err(|error| builder.locate(error, &node.op, &operands))?;
            for (from, to) in node.outputs.iter().zip(outputs) {
                if let Some(name) = &graph.value(*from).name {
                    builder.name(to, name.clone());
                }
                map.insert(*from, to);
            }
        }
        folded.retain(|value, _| graph.outputs().iter().any(|(_, v)| v == value) || uses[value.0 as usize].last().is_some_and(|last| *last > id));
    }
    for (name, value) in graph.outputs() {
        let value = match folded.remove(value) {
            Some(tensor) if !map.contains_key(value) => builder.constant(tensor),
            _ => map[value],
        };
        builder.output(name.clone(), value);
    }
    Ok(builder.finish())
}

/// A node's results, if `constant` knows all its operands and the results are not out of proportion to them. What
/// evaluation complains about is left to be reported when the program runs.
fn fold(graph: &Graph, node: &Node, constant: impl Fn(ValueId) -> Option<Tensor>) -> Option<Vec<Tensor>> {
    if node.inputs.is_empty() || !node.op.def().deterministic() {
        return None;
    }
    let operands: Vec<Tensor> = node.inputs.iter().map(|v| constant(*v)).collect::<Option<_>>()?;
    let limit = MAX_FOLDED.max(operands.iter().map(Tensor::elems).sum::<usize>().saturating_mul(4));
    let small = |v: &ValueId| graph.ty(*v).shape.elems().is_some_and(|n| n as usize <= limit);
    if !node.outputs.iter().all(small) {
        return None;
    }
    let results = node.op.def().eval(&operands.iter().collect::<Vec<_>>()).ok()?;
    operands.iter().for_each(Tensor::release);
    Some(results)
}

/// Which nodes are not folded although only constants feed them: those whose one reader computes the elements that it
/// needs, from smaller constants, or packs them at compile time.
fn kept(graph: &Graph, uses: &[Vec<NodeId>], device: &Device<'_>) -> Vec<bool> {
    // What is cut out of a constant or transposed, and nothing else.
    let mut moved = vec![false; graph.values().len()];
    for (_, node) in graph.nodes() {
        let from = |v: &ValueId| graph.constant(*v).is_some() || moved[v.0 as usize];
        if let (Op::Transpose(_) | Op::Slice(_), [out]) = (&node.op, node.outputs.as_slice()) {
            moved[out.0 as usize] = node.inputs.iter().all(from);
        }
    }
    let mut kept = vec![false; graph.nodes().len()];
    for (id, node) in graph.nodes().rev() {
        let readers = |out: &ValueId| &uses[out.0 as usize];
        kept[id.0 as usize] = match (&node.op, node.outputs.as_slice()) {
            // Products pack a constant that is only moved from the original.
            (Op::Transpose(_) | Op::Slice(_), [out]) if moved[out.0 as usize] => readers(out).iter().all(|user| kept[user.0 as usize] || matches!(graph.node(*user).op, Op::MatMul(_))),
            (Op::Cast(_) | Op::Dequantize(_) | Op::StrassenWeight(_) | Op::Transpose(_) | Op::Reshape(_) | Op::Sub(_) | Op::Mul(_), [out]) => match readers(out).as_slice() {
                [user] => (kept[user.0 as usize] || reads_as_needed(graph, graph.node(*user), *out)) && nest(graph, node).is_some_and(|nest| (device.supported)(&nest).is_ok()),
                _ => false,
            },
            _ => false,
        };
    }
    kept
}

/// Does a node read no element of an operand more than once in a run, or have it packed?
fn reads_as_needed(graph: &Graph, node: &Node, operand: ValueId) -> bool {
    let elems = |v: ValueId| graph.ty(v).shape.elems();
    match node.op {
        Op::Gather(_) => node.inputs[0] == operand && elems(node.outputs[0]).is_some_and(|n| Some(n) <= elems(operand)),
        Op::MatMul(_) => nest(graph, node).is_some_and(|nest| {
            let packs = Contraction::of(&nest).is_some_and(|roles| node.inputs[roles.vector_operand.0 as usize] == operand);
            packs && CONTRACTED.contains(&nest.exprs.dtype(nest.value))
        }),
        _ => false,
    }
}

/// The one nest that a node is, if it is one.
fn nest(graph: &Graph, node: &Node) -> Option<Compute> {
    let types: Vec<&TensorType> = node.inputs.iter().map(|v| graph.ty(*v)).collect();
    match node.op.def().body(&types).ok()? {
        Body::Loops(mut nests) if nests.len() == 1 => nests.pop(),
        _ => None,
    }
}

fn simple(b: &mut Builder, op: &Op, operands: &[ValueId], device: &Device<'_>) -> Result<Vec<ValueId>, OpError> {
    match op {
        Op::Conv(conv) => {
            let mut x = operands[0];
            if conv.before.iter().chain(&conv.after).any(|n| *n != 0) {
                let around = |pads: &[i64]| [&[0, 0], pads].concat();
                let pad = Pad { before: around(&conv.before), after: around(&conv.after), value: Scalar::Int(0) };
                x = b.apply(pad, &operands[..1])?;
            }
            let zeros = vec![0; conv.strides.len()];
            precision::product(b, Conv { before: zeros.clone(), after: zeros, ..conv.clone() }.into(), &[x, operands[1]], device).map(|y| vec![y])
        }
        Op::MatMul(_) => precision::product(b, op.clone(), operands, device).map(|y| vec![y]),
        Op::ConvInteger(conv) => {
            let shifted = conv.shifted(b, operands)?;
            simple(b, &conv.plain().into(), &shifted, device)
        }
        Op::ConvTranspose(conv) => match apart(b, conv, operands, device)? {
            Some(value) => Ok(vec![value]),
            None => b.apply_all(conv.clone(), operands),
        },
        Op::If(branches) => b.apply_all(If { then_branch: legal(&branches.then_branch, device, &[])?, else_branch: legal(&branches.else_branch, device, &[])? }, operands),
        Op::Loop(repeat) => {
            let (known, operands) = captured(b, operands, 2 + repeat.carried);
            b.apply_all(Loop { body: legal(&repeat.body, device, &known)?, ..repeat.clone() }, &operands)
        }
        Op::Scan(scan) => forward(b, scan, operands, device),
        _ => b.apply_all(op.clone(), operands),
    }
}

/// A transposed convolution whose windows lie side by side: each element of `x` makes a block of the result by itself, so it is a
/// convolution with windows of one element, a channel for each place in the block, and the blocks put in place.
fn apart(b: &mut Builder, conv: &ConvTranspose, operands: &[ValueId], device: &Device<'_>) -> Result<Option<ValueId>, OpError> {
    let (x, w) = (b.extents(operands[0])?, b.extents(operands[1])?);
    let (spatial, window) = (x[2..].to_vec(), w[2..].to_vec());
    let plain = conv.groups == 1 && conv.dilations.iter().all(|n| *n == 1) && conv.before.iter().chain(&conv.after).all(|n| *n == 0);
    if !plain || window != conv.strides || window.iter().all(|n| *n == 1) {
        return Ok(None);
    }
    let (rank, axes) = (x.len(), spatial.len());
    let channels = w[1..].iter().product();
    let last = b.apply(Transpose { perm: (1..rank).chain([0]).collect() }, &operands[1..])?;
    let weights = b.apply(Reshape { extents: [vec![channels, w[0]], vec![1; axes]].concat() }, &[last])?;
    let (ones, zeros) = (vec![1; axes], vec![0; axes]);
    let blocks = precision::product(b, Conv { strides: ones.clone(), dilations: ones, before: zeros.clone(), after: zeros, groups: 1 }.into(), &[operands[0], weights], device)?;
    let split = b.apply(Reshape { extents: [&[x[0], w[1]], &window[..], &spatial].concat() }, &[blocks])?;
    let placed = b.apply(Transpose { perm: [0, 1].into_iter().chain((0..axes).flat_map(|k| [2 + axes + k, 2 + k])).collect() }, &[split])?;
    let extents = [x[0], w[1]].into_iter().chain(spatial.iter().zip(&window).map(|(n, k)| n * k)).collect();
    b.apply(Reshape { extents }, &[placed]).map(Some)
}

/// The constants among what a body captures (the operands from `first` on), which it is to have itself, so that products can pack
/// them; and the operands that are left.
fn captured(b: &Builder, operands: &[ValueId], first: usize) -> (Vec<Option<Tensor>>, Vec<ValueId>) {
    let known: Vec<Option<Tensor>> = operands.iter().enumerate().map(|(at, v)| b.as_constant(*v).filter(|_| at >= first).cloned()).collect();
    let left = operands.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(v, _)| *v).collect();
    (known, left)
}

/// A scan over first axes from the start, whatever the axes and directions were.
fn forward(b: &mut Builder, scan: &Scan, operands: &[ValueId], device: &Device<'_>) -> Result<Vec<ValueId>, OpError> {
    let (constants, operands) = &captured(b, operands, scan.states + scan.input_axes.len());
    let body = legal(&scan.body, device, constants)?;
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
