//! Images of floats, their channels last.
//!
//! In: a legal graph. Out: an equal graph, in which images that convolutions make lie with their channels last where that is estimated to
//! take less time: then vectors run along channels, whatever the image's size, and windows need no masks. What is made of images alone
//! (element by element, with margins, pooled, joined, cut, upsampled, by Winograd's matrices) follows; everybody else reads the same
//! floats in another order. Must not know: kernels.

use std::collections::BTreeSet;

use frit_ir::graph::{Graph, Node, NodeId, Producer, ValueId};
use frit_ir::ops::{broadcast::Broadcast, concat::Concat, conv::Conv, pad::Pad, reshape::Reshape, slice::Slice, transpose::Transpose, window::Window};
use frit_ir::vector::Target;
use frit_ir::{DType, Error, Op, OpError};

use super::{Turner, first_order, last, last_order};

/// Vector cycles of one element that is fetched or stored by itself.
const APART: f64 = 1.5;
/// Estimates this near to each other say nothing.
const NEARLY: f64 = 0.97;

/// Puts channels last where convolutions of floats want them so.
///
/// # Errors
/// A bug where a node no longer fits its operands.
pub(super) fn channels_last(graph: &Graph, target: &Target) -> Result<Graph, Error> {
    let images = Images { graph, lanes: i64::from(target.lanes(DType::F32)).max(1), uses: graph.uses() }.chosen();
    if images.is_empty() {
        return Ok(graph.clone());
    }
    Turner::run(graph, |turner, node| turn(turner, node, &images))
}

/// Which images lie with their channels last.
struct Images<'a> {
    graph: &'a Graph,
    lanes: i64,
    uses: Vec<Vec<NodeId>>,
}

impl Images<'_> {
    /// Of those that could, connected ones are turned together or not at all.
    fn chosen(&self) -> BTreeSet<ValueId> {
        let able = self.able();
        let mut chosen = BTreeSet::new();
        let mut left = able.clone();
        let mut visited = BTreeSet::new();
        while let Some(first) = left.pop_first() {
            let mut together = BTreeSet::from([first]);
            let mut open = vec![first];
            while let Some(value) = open.pop() {
                let beside: Vec<&Node> = self.maker(value).into_iter().chain(self.uses[value.0 as usize].iter().copied()).filter(|node| visited.insert(*node)).map(|node| self.graph.node(node)).collect();
                for next in beside.iter().flat_map(|node| node.inputs.iter().chain(&node.outputs)) {
                    if left.remove(next) {
                        together.insert(*next);
                        open.push(*next);
                    }
                }
            }
            if self.time(&together, true) < self.time(&together, false) * NEARLY {
                chosen.extend(together);
            }
        }
        chosen
    }

    fn maker(&self, value: ValueId) -> Option<NodeId> {
        match self.graph.value(value).producer {
            Producer::Node(maker, _) => Some(maker),
            _ => None,
        }
    }

    fn extents(&self, value: ValueId) -> Vec<i64> {
        self.graph.ty(value).shape.extents().unwrap_or_default()
    }

    /// Images that could lie with their channels last: made by a convolution, or of such images only.
    fn able(&self) -> BTreeSet<ValueId> {
        let outside: BTreeSet<ValueId> = self.graph.inputs().iter().chain(self.graph.outputs()).map(|(_, v)| *v).collect();
        let is_image = |v: &ValueId| {
            let extents = self.extents(*v);
            let many = extents.len() >= 3 && extents[1] >= self.lanes && extents[2..].iter().product::<i64>() > 1 && !extents.contains(&0);
            many && self.graph.ty(*v).dtype == DType::F32 && !outside.contains(v)
        };
        let mut able: BTreeSet<ValueId> = BTreeSet::new();
        for (_, node) in self.graph.nodes() {
            let [out] = node.outputs[..] else { continue };
            if !is_image(&out) {
                continue;
            }
            let of_images = match &node.op {
                // Windows of single channels run along them in what they read as well.
                Op::Conv(conv) => self.graph.constant(node.inputs[1]).is_some_and(|w| !is_depthwise(conv, w.extents()) || able.contains(&node.inputs[0])),
                Op::Pad(_) | Op::WinogradInput(_) | Op::WinogradOutput(_) => able.contains(&node.inputs[0]),
                Op::Window(window) => able.contains(&node.inputs[0]) && window.extents[..2] == [1, 1],
                Op::Transpose(transpose) => transpose.perm == first_order(transpose.perm.len()) && self.graph.constant(node.inputs[0]).is_none() && !able.contains(&node.inputs[0]),
                Op::Slice(_) | Op::Broadcast(_) => able.contains(&node.inputs[0]) && self.graph.ty(node.inputs[0]).rank() == self.graph.ty(out).rank(),
                Op::Reshape(_) => able.contains(&node.inputs[0]) && self.extents(node.inputs[0]).get(..2) == self.extents(out).get(..2),
                Op::Concat(concat) => concat.axis == 1 && node.inputs.iter().all(|v| able.contains(v)),
                op if op.def().elementwise() => {
                    let whole: Vec<&ValueId> = node.inputs.iter().filter(|v| self.extents(**v) == self.extents(out)).collect();
                    !whole.is_empty() && whole.iter().all(|v| able.contains(v)) && node.inputs.iter().all(|v| self.graph.ty(*v).shape.extents().is_some())
                }
                _ => false,
            };
            if of_images {
                able.insert(out);
            }
        }
        able
    }

    /// Vector cycles of what makes and reads images, if they lie with their channels last or not.
    fn time(&self, images: &BTreeSet<ValueId>, last: bool) -> f64 {
        let elems = |v: ValueId| self.extents(v).iter().product::<i64>() as f64;
        let mut readers = BTreeSet::new();
        let mut sum = 0.0;
        for image in images {
            sum += self.maker(*image).map_or(0.0, |node| self.made(self.graph.node(node), last));
            for user in &self.uses[image.0 as usize] {
                let node = self.graph.node(*user);
                let follows = node.outputs.iter().any(|v| images.contains(v)) || matches!(node.op, Op::Reduce(_)) || is_last(&node.op);
                if last && !follows && readers.insert((*user, *image)) {
                    sum += elems(*image) * APART;
                }
            }
        }
        sum
    }

    /// Vector cycles of a node whose result has its channels last or not.
    fn made(&self, node: &Node, last: bool) -> f64 {
        // A product with an element of a window that is read anew, across the image's rows with masks.
        const WINDOW: f64 = 1.7;
        const MASKED: f64 = 3.0;
        let extents = self.extents(node.outputs[0]);
        let (n, channels, row) = (extents[0], extents[1], *extents.last().unwrap_or(&1));
        let points = extents[2..].iter().product::<i64>();
        let vectors = |n: i64| ((n + self.lanes - 1) / self.lanes) as f64;
        // Rows of an image share vectors where there is no window.
        let by_channels = (n * points) as f64 * vectors(channels);
        let by_rows = (n * channels * (points / row.max(1))) as f64 * vectors(row);
        match &node.op {
            Op::Conv(conv) => {
                let weights = self.extents(node.inputs[1]);
                let depth = weights[1..].iter().product::<i64>() as f64;
                if is_depthwise(conv, &weights) {
                    return if last { by_channels * depth * WINDOW } else { by_rows * depth * MASKED };
                }
                let (own, groups) = (channels / conv.groups, conv.groups);
                let by_channels = (n * points * groups) as f64 * vectors(own) * depth;
                if last {
                    return by_channels;
                }
                let columns = if points > 2 * self.lanes { vectors((points + 2 * self.lanes - 1) / (2 * self.lanes) * 2 * self.lanes) } else { vectors(points) };
                let in_rows = (n * channels) as f64 * columns * depth + (n * groups) as f64 * columns * depth * 3.0;
                in_rows.min(by_channels + (n * points * channels) as f64 * APART)
            }
            Op::Window(window) => (if last { by_channels } else { by_rows }) * window.extents.iter().product::<i64>() as f64,
            // Where channels are last already, or first.
            Op::Transpose(_) => if last { 0.0 } else { (n * channels * points) as f64 * APART },
            Op::WinogradInput(_) | Op::WinogradOutput(_) => (if last { by_channels } else { by_rows }) * 8.0,
            _ => if last { by_channels } else { by_rows },
        }
    }
}

/// A node with its images turned.
fn turn(turner: &mut Turner<'_>, node: &Node, images: &BTreeSet<ValueId>) -> Result<(), OpError> {
    let out = node.outputs[0];
    if !images.contains(&out) {
        if is_last(&node.op)
            && let Some(known) = turner.last.get(&node.inputs[0])
        {
            turner.map.insert(out, *known);
            return Ok(());
        }
        let operands = turner.operands(node)?;
        let outputs = turner.builder.apply_all(node.op.clone(), &operands)?;
        turner.made(node, outputs);
        return Ok(());
    }
    let rank = turner.graph.ty(out).rank()?;
    let turned = match &node.op {
        Op::Conv(_) | Op::WinogradInput(_) | Op::WinogradOutput(_) => {
            let mut operands = turner.operands(node)?;
            if let Op::Conv(conv) = &node.op {
                operands[1] = weights(turner, conv, node)?;
            }
            let made = turner.builder.apply_all(node.op.clone(), &operands)?;
            turner.builder.apply(Transpose { perm: last_order(rank) }, &made)?
        }
        Op::Pad(pad) => turner.builder.apply(Pad { before: last(&pad.before), after: last(&pad.after), value: pad.value }, &[turner.last[&node.inputs[0]]])?,
        Op::Window(window) => {
            let turned = Window {
                how: window.how,
                extents: last(&window.extents),
                strides: last(&window.strides),
                dilations: last(&window.dilations),
                before: last(&window.before),
                after: last(&window.after),
            };
            turner.builder.apply(turned, &[turner.last[&node.inputs[0]]])?
        }
        Op::Transpose(_) => turner.plain(node.inputs[0])?,
        Op::Reshape(reshape) => turner.builder.apply(Reshape { extents: last(&reshape.extents) }, &[turner.last[&node.inputs[0]]])?,
        Op::Broadcast(broadcast) => turner.builder.apply(Broadcast { extents: last(&broadcast.extents) }, &[turner.last[&node.inputs[0]]])?,
        Op::Slice(slice) => {
            let turned = Slice { starts: last(&slice.starts), extents: last(&slice.extents), steps: last(&slice.steps) };
            turner.builder.apply(turned, &[turner.last[&node.inputs[0]]])?
        }
        Op::Concat(_) => {
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| turner.last[v]).collect();
            turner.builder.apply(Concat { axis: rank - 1 }, &operands)?
        }
        op => {
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| beside(turner, *v, rank)).collect::<Result<_, _>>()?;
            turner.builder.apply_all(op.clone(), &operands)?[0]
        }
    };
    turner.last.insert(out, turned);
    Ok(())
}

/// An operand of what works on images element by element, its channels last.
fn beside(turner: &mut Turner<'_>, value: ValueId, rank: usize) -> Result<ValueId, OpError> {
    let extents = turner.graph.ty(value).extents()?;
    if let Some(known) = turner.last.get(&value).filter(|_| extents.len() == rank) {
        return Ok(*known);
    }
    let plain = turner.plain(value)?;
    if extents.iter().product::<i64>() == 1 {
        return Ok(plain);
    }
    let full = [vec![1; rank - extents.len()], extents].concat();
    if let Some(tensor) = turner.graph.constant(value) {
        let reshaped = tensor.reshaped(&full)?;
        let turned = Op::from(Transpose { perm: last_order(rank) }).def().eval(&[&reshaped])?;
        return Ok(turned.into_iter().next().map_or(plain, |tensor| turner.builder.constant(tensor)));
    }
    let wide = turner.builder.apply(Reshape { extents: full.clone() }, &[plain])?;
    // Where only channels are not 1 their order stays.
    if full[2..].iter().all(|n| *n == 1) {
        return turner.builder.apply(Reshape { extents: last(&full) }, &[wide]);
    }
    turner.builder.apply(Transpose { perm: last_order(rank) }, &[wide])
}

/// A convolution's weights. Those of single channels lie side by side for a window's element.
fn weights(turner: &mut Turner<'_>, conv: &Conv, node: &Node) -> Result<ValueId, OpError> {
    let own = turner.map[&node.inputs[1]];
    let Some(tensor) = turner.graph.constant(node.inputs[1]).filter(|w| is_depthwise(conv, w.extents())) else { return Ok(own) };
    let rank = tensor.extents().len();
    let turned = Op::from(Transpose { perm: (1..rank).chain([0]).collect() }).def().eval(&[tensor])?;
    let Some(turned) = turned.into_iter().next() else { return Ok(own) };
    let turned = turner.builder.constant(turned);
    turner.builder.apply(Transpose { perm: std::iter::once(rank - 1).chain(0..rank - 1).collect() }, &[turned])
}

/// Does a convolution with such weights make each channel of one of its own?
fn is_depthwise(conv: &Conv, weights: &[i64]) -> bool {
    conv.groups > 1 && weights[..2] == [conv.groups, 1]
}

/// Does a node put channels last?
fn is_last(op: &Op) -> bool {
    matches!(op, Op::Transpose(transpose) if transpose.perm.len() >= 3 && transpose.perm == last_order(transpose.perm.len()))
}
