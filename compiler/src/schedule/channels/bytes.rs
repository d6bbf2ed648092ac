//! Images of bytes, their channels last.
//!
//! In: a legal graph. Out: an equal graph, in which the images that convolutions of bytes read lie with their channels last, margins
//! and all: so four channels of a point are one word, which such a convolution broadcasts, and as many results as there are lanes
//! lie side by side. Everybody else reads the same bytes in another order. Must not know: kernels.

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::graph::{Graph, Node, NodeId, ValueId};
use frit_ir::ops::{Body, concat::Concat, conv_integer::ConvInteger, pad::Pad, transpose::Transpose};
use frit_ir::scalar::Scalar;
use frit_ir::{Error, Op, OpError, Tensor, TensorType};

use super::{Turner, first_order, last_order};

/// Convolutions of fewer channels than this are not worth a vector.
const MIN_CHANNELS: i64 = 4;

/// Puts channels last where convolutions of bytes want them so.
///
/// # Errors
/// A bug where a node no longer fits its operands.
pub(super) fn channels_last(graph: &Graph) -> Result<Graph, Error> {
    let images = images(graph);
    if images.is_empty() {
        return Ok(graph.clone());
    }
    let mut padded = BTreeMap::new();
    Turner::run(graph, |turner, node| turn(turner, node, &images, &mut padded))
}

/// Can a convolution be done in words, four channels at a time? Its weights must be constants that fit signed bytes; what stands for
/// margins and channels that are not there must be known.
pub(in super::super) fn in_words(graph: &Graph, node: &Node) -> bool {
    let (Op::ConvInteger(conv), [x, w, x_zero, w_zero]) = (&node.op, node.inputs.as_slice()) else { return false };
    let (Some(weights), Some(zeros)) = (graph.constant(*w), graph.constant(*w_zero)) else { return false };
    let [channels, per_channel, ..] = *weights.extents() else { return false };
    let bytes = graph.ty(*x).dtype.int_bits() == Some(8) && graph.ty(*x).dtype.size() == 1 && weights.dtype().int_bits() == Some(8);
    let exact = per_channel % 4 == 0 && conv.before.iter().chain(&conv.after).all(|n| *n == 0);
    bytes && conv.groups == 1 && channels >= MIN_CHANNELS && (exact || graph.constant(*x_zero).is_some()) && graph.ty(*x).shape.extents().is_some_and(|extents| !extents.contains(&0)) && fit(weights, zeros)
}

/// Do all weights less their zero points fit signed bytes?
fn fit(weights: &Tensor, zeros: &Tensor) -> bool {
    let row = weights.elems() / weights.extents().first().map_or(1, |n| *n as usize).max(1);
    let Some((low, high)) = weights.dtype().int_range() else { return false };
    let within = |low: i128, high: i128, zero: Scalar| low - zero.as_int() >= -128 && high - zero.as_int() <= 127;
    let all = zeros.scalars().all(|zero| within(low, high, zero));
    all || weights.scalars().enumerate().all(|(at, n)| within(n.as_int(), n.as_int(), zeros.get(if zeros.elems() == 1 { 0 } else { at / row.max(1) })))
}

/// The images that lie with their channels last: those that convolutions of bytes read, those that such images are
/// made of window by window, and what is made of a convolution and waits until it is joined with that of a later one.
fn images(graph: &Graph) -> BTreeSet<ValueId> {
    let is_image = |v: &ValueId| graph.ty(*v).dtype.size() == 1 && graph.ty(*v).dtype.is_int() && graph.constant(*v).is_none();
    let rank = |v: &ValueId| graph.ty(*v).rank().ok();
    let mut images = joined_later(graph);
    for (_, node) in graph.nodes().rev() {
        let made = node.outputs.iter().any(|v| images.contains(v));
        if made && !matches!(node.op, Op::ConvInteger(_)) && is_nest(graph, node) {
            images.extend(node.inputs.iter().copied().filter(|v| is_image(v) && rank(v) == rank(&node.outputs[0])));
        }
        if in_words(graph, node) {
            images.insert(node.inputs[0]);
        }
    }
    images
}

/// What convolutions of bytes become, element by element, and where several meet, the bytes that all but the last have been.
fn joined_later(graph: &Graph) -> BTreeSet<ValueId> {
    let mut found = BTreeSet::new();
    // For what is made of a convolution: which, and the last bytes on the way.
    let mut made: BTreeMap<ValueId, (NodeId, Option<ValueId>)> = BTreeMap::new();
    for (id, node) in graph.nodes() {
        let [out] = node.outputs[..] else { continue };
        if in_words(graph, node) {
            made.insert(out, (id, None));
            continue;
        }
        let types: Vec<&TensorType> = node.inputs.iter().map(|v| graph.ty(*v)).collect();
        let Ok(Body::Loops(nests)) = node.op.def().body(&types) else { continue };
        if nests.len() != 1 || nests[0].reduces() || Some(&nests[0].extents) != graph.ty(out).shape.extents().as_ref() || matches!(node.op, Op::Transpose(_) | Op::Concat(_) | Op::Pad(_) | Op::Slice(_) | Op::Gather(_)) {
            continue;
        }
        let operands: Vec<(NodeId, Option<ValueId>)> = node.inputs.iter().filter_map(|v| made.get(v).copied()).collect();
        let Some((last, bytes)) = operands.iter().copied().max_by_key(|(maker, _)| *maker) else { continue };
        found.extend(operands.iter().filter(|(maker, _)| *maker != last).filter_map(|(_, bytes)| *bytes));
        let is_image = graph.ty(out).dtype.is_int() && graph.ty(out).dtype.size() == 1;
        made.insert(out, (last, if is_image { Some(out) } else { bytes }));
    }
    found
}

/// Is a node made of what it reads element by element or window by window?
fn is_nest(graph: &Graph, node: &Node) -> bool {
    let types: Vec<&TensorType> = node.inputs.iter().map(|v| graph.ty(*v)).collect();
    matches!(node.op, Op::Window(_) | Op::Concat(_) | Op::Relu(_) | Op::Clip(_)) && matches!(node.op.def().body(&types), Ok(Body::Loops(nests)) if nests.len() == 1)
}

/// Images with margins, read in the old order.
type Padded = BTreeMap<(ValueId, Vec<i64>, Vec<i64>), ValueId>;

/// A node with its images turned.
fn turn(turner: &mut Turner<'_>, node: &Node, images: &BTreeSet<ValueId>, padded: &mut Padded) -> Result<(), OpError> {
    let outputs = match &node.op {
        Op::ConvInteger(conv) if in_words(turner.graph, node) => convolution(turner, conv, node, padded)?,
        Op::Concat(concat) if concat.axis == 1 && images.contains(&node.outputs[0]) && node.inputs.iter().all(|v| turner.last.contains_key(v)) => {
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| turner.last[v]).collect();
            let axis = turner.rank(node.outputs[0]) - 1;
            let joined = turner.builder.apply(Concat { axis }, &operands)?;
            turner.last.insert(node.outputs[0], joined);
            return Ok(());
        }
        op => {
            let operands = turner.operands(node)?;
            turner.builder.apply_all(op.clone(), &operands)?
        }
    };
    turner.made(node, outputs);
    for value in node.outputs.iter().filter(|v| images.contains(v)) {
        turned(turner, *value)?;
    }
    Ok(())
}

/// An image with its channels last.
fn turned(turner: &mut Turner<'_>, value: ValueId) -> Result<ValueId, OpError> {
    if let Some(known) = turner.last.get(&value) {
        return Ok(*known);
    }
    let perm = last_order(turner.rank(value));
    let last = turner.builder.apply(Transpose { perm }, &[turner.map[&value]])?;
    turner.last.insert(value, last);
    Ok(last)
}

/// A convolution whose margins are part of the image, and whose channels are a multiple of four.
fn convolution(turner: &mut Turner<'_>, conv: &ConvInteger, node: &Node, padded: &mut Padded) -> Result<Vec<ValueId>, OpError> {
    let [x, w, x_zero, w_zero] = [node.inputs[0], node.inputs[1], node.inputs[2], node.inputs[3]];
    let rank = turner.rank(x);
    let last = turned(turner, x)?;
    let channels = turner.graph.ty(w).extents()?[1];
    let more = (4 - channels % 4) % 4;
    let around = |margin: &[i64], channels: i64| [&[0], margin, &[channels]].concat();
    let (before, after) = (around(&conv.before, 0), around(&conv.after, more));
    let image = if before.iter().chain(&after).all(|n| *n == 0) {
        turner.plain(x)?
    } else {
        let key = (x, before, after);
        match padded.get(&key) {
            Some(known) => *known,
            None => {
                let value = turner.graph.constant(x_zero).map_or(Scalar::Int(0), |zero| zero.get(0));
                let image = turner.builder.apply(Pad { before: key.1.clone(), after: key.2.clone(), value }, &[last])?;
                let image = turner.builder.apply(Transpose { perm: first_order(rank) }, &[image])?;
                padded.insert(key, image);
                image
            }
        }
    };
    let mut weights = turner.map[&w];
    if more > 0
        && let Some(tensor) = turner.graph.constant(w)
    {
        let mut after = vec![0; rank];
        after[1] = more;
        let op = Op::from(Pad { before: vec![0; rank], after, value: Scalar::Int(0) });
        weights = op.def().eval(&[tensor])?.into_iter().next().map_or(weights, |tensor| turner.builder.constant(tensor));
    }
    let zeros = vec![0; conv.strides.len()];
    let plain = ConvInteger { before: zeros.clone(), after: zeros, ..conv.clone() };
    let operands = [image, weights, turner.map[&x_zero], turner.map[&w_zero]];
    turner.builder.apply_all(plain, &operands)
}
