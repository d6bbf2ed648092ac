//! Ops on images: resampling, blocks of pixels, boxes.

use frit_ir::ops::pad_by::{PadBy, PadMode};
use frit_ir::ops::resize_to::{Coordinates, Interpolation, ResizeTo, Rounding};
use frit_ir::ops::slice::Slice;
use frit_ir::ops::{depth_to_space::DepthToSpace, non_max_suppression::NonMaxSuppression, space_to_depth::SpaceToDepth, transpose::Transpose};
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::How::{Moved, Real, Stored};
use super::Row;
use super::node::{Node, Values};
use crate::import::layout::{channels_first, channels_last};

pub(super) const OPS: &[Row] = &[
    (37, "BATCH_TO_SPACE_ND", Moved, batch_to_space),
    (5, "DEPTH_TO_SPACE", Moved, |n| {
        let block = n.int(0)?;
        let x = channels_first(n.builder, n.input(0)?)?;
        let y = n.apply(DepthToSpace { block, channels_first: false }, &[x])?;
        Ok(vec![channels_last(n.builder, y)?])
    }),
    (23, "RESIZE_BILINEAR", Real, |n| {
        let (align, half) = (n.flag(2)?, n.flag(3)?);
        resize(n, Interpolation::Linear, align, half)
    }),
    (97, "RESIZE_NEAREST_NEIGHBOR", Moved, |n| {
        let (align, half) = (n.flag(0)?, n.flag(1)?);
        resize(n, Interpolation::Nearest, align, half)
    }),
    (38, "SPACE_TO_BATCH_ND", Moved, space_to_batch),
    (26, "SPACE_TO_DEPTH", Moved, |n| {
        let block = n.int(0)?;
        let x = channels_first(n.builder, n.input(0)?)?;
        let y = n.apply(SpaceToDepth { block }, &[x])?;
        Ok(vec![channels_last(n.builder, y)?])
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    (120, "NON_MAX_SUPPRESSION_V4", Stored, non_max_suppression),
    (121, "NON_MAX_SUPPRESSION_V5", Stored, non_max_suppression),
];

fn resize(n: &mut Node<'_, '_>, interpolation: Interpolation, align: bool, half: bool) -> Values {
    let coordinates = if align { Coordinates::AlignCorners } else if half { Coordinates::HalfPixel } else { Coordinates::Asymmetric };
    // The nearest is the one that a coordinate lies in; where corners meet it is the nearer one, of two the one behind. With half
    // pixels that is the nearest to `(i + 0.5) / s - 0.5`, of two the one behind.
    let rounding = if align || half { Rounding::PreferCeil } else { Rounding::Floor };
    let op = ResizeTo { rounding, axes: Some(vec![1, 2]), ..ResizeTo::new(interpolation, coordinates) };
    let empty = n.builder.constant(Tensor::from_slice::<f32>(&[0], &[]));
    let operands = [n.input(0)?, empty, empty, n.indices(1)?];
    Ok(vec![n.apply(op, &operands)?])
}

/// Extents of blocks along the axes behind the first, and the margins or what is cut off before and behind, as pairs.
fn blocks(n: &mut Node<'_, '_>) -> Result<(Vec<i64>, Vec<i64>), OpError> {
    let (blocks, pairs) = (n.known(1)?, n.known(2)?);
    let rank = n.builder.rank(n.input(0)?)?;
    if blocks.iter().any(|block| *block < 1) || pairs.len() != 2 * blocks.len() || blocks.len() >= rank {
        return Err(OpError::invalid(format!("'{}' by blocks {blocks:?} with {pairs:?}", n.op)));
    }
    Ok((blocks, pairs))
}

fn space_to_batch(n: &mut Node<'_, '_>) -> Values {
    let (blocks, pads) = blocks(n)?;
    let x = n.input(0)?;
    let rank = n.builder.rank(x)?;
    let zero = if n.real { 0 } else { n.quantised(0).and_then(|quantisation| quantisation.zeros.first().copied()).unwrap_or(0) };
    let zero = n.builder.constant(Tensor::scalar(n.builder.dtype(x), Scalar::Int(i128::from(zero))));
    let axes: Vec<i64> = (1..=blocks.len() as i64).collect();
    let pairs: Vec<i64> = pads.iter().step_by(2).chain(pads.iter().skip(1).step_by(2)).copied().collect();
    let (pairs, axes) = (n.builder.ints(&pairs), n.builder.ints(&axes));
    let x = n.apply(PadBy { mode: PadMode::Constant }, &[x, pairs, zero, axes])?;
    let extents = n.builder.extents(x)?;
    let mut apart = vec![extents[0]];
    for (block, extent) in blocks.iter().zip(&extents[1..]) {
        if extent % block != 0 {
            return Err(OpError::invalid(format!("an axis of {extent} elements is not made of blocks of {block}")));
        }
        apart.extend([extent / block, *block]);
    }
    apart.extend_from_slice(&extents[1 + blocks.len()..]);
    let x = n.reshaped(x, &apart)?;
    // Places in a block come first, then the batch, then the blocks.
    let count = blocks.len();
    let perm: Vec<usize> = (0..count).map(|k| 2 + 2 * k).chain([0]).chain((0..count).map(|k| 1 + 2 * k)).chain(1 + 2 * count..rank + count).collect();
    let x = n.apply(Transpose { perm }, &[x])?;
    let batch = blocks.iter().fold(extents[0], |batch, block| batch.saturating_mul(*block));
    let shape: Vec<i64> = [batch].into_iter().chain(blocks.iter().zip(&extents[1..]).map(|(block, extent)| extent / block)).chain(extents[1 + count..].iter().copied()).collect();
    Ok(vec![n.reshaped(x, &shape)?])
}

fn batch_to_space(n: &mut Node<'_, '_>) -> Values {
    let (blocks, crops) = blocks(n)?;
    let x = n.input(0)?;
    let (extents, count) = (n.builder.extents(x)?, blocks.len());
    let parts = blocks.iter().fold(1i64, |parts, block| parts.saturating_mul(*block));
    if extents[0] % parts != 0 {
        return Err(OpError::invalid(format!("a batch of {} is not made of blocks of {parts}", extents[0])));
    }
    let apart: Vec<i64> = blocks.iter().copied().chain([extents[0] / parts]).chain(extents[1..].iter().copied()).collect();
    let x = n.reshaped(x, &apart)?;
    let perm: Vec<usize> = [count].into_iter().chain((0..count).flat_map(|k| [count + 1 + k, k])).chain(2 * count + 1..apart.len()).collect();
    let x = n.apply(Transpose { perm }, &[x])?;
    let joined = blocks.iter().zip(&extents[1..]).map(|(block, extent)| block.saturating_mul(*extent));
    let shape: Vec<i64> = [extents[0] / parts].into_iter().chain(joined).chain(extents[1 + count..].iter().copied()).collect();
    let x = n.reshaped(x, &shape)?;
    let (mut starts, mut kept) = (vec![0; shape.len()], shape);
    for (axis, pair) in crops.chunks(2).enumerate() {
        starts[axis + 1] = pair[0];
        kept[axis + 1] = kept[axis + 1].saturating_sub(pair[0]).saturating_sub(pair[1]);
    }
    let steps = vec![1; kept.len()];
    Ok(vec![n.apply(Slice { starts, extents: kept, steps }, &[x])?])
}

/// Boxes that are taken, filled up with zeros to the number that is allowed (and with version 5 their scores), and how many they are.
fn non_max_suppression(n: &mut Node<'_, '_>) -> Values {
    let scored = n.op.ends_with('5');
    if scored {
        let sigma = n.input(5)?;
        let known = n.builder.as_constant(sigma).is_some_and(|sigma| sigma.f64s().iter().all(|sigma| *sigma == 0.0));
        if !known {
            return Err(OpError::unsupported("'NON_MAX_SUPPRESSION_V5' that lowers scores is not supported").help("export it with soft_nms_sigma = 0"));
        }
    }
    let (boxes, scores) = (n.input(0)?, n.input(1)?);
    let most = n.known(2)?.first().copied().unwrap_or(0);
    let limit = n.builder.ints(&[most]);
    let axis = n.builder.ints(&[0]);
    let front = n.builder.ints(&[0, 1]);
    let unsqueeze = frit_ir::ops::unsqueeze::Unsqueeze {};
    let (image, rows) = (n.apply(unsqueeze.clone(), &[boxes, axis])?, n.apply(unsqueeze, &[scores, front])?);
    let operands = [image, rows, limit, n.input(3)?, n.input(4)?];
    let taken = n.apply(NonMaxSuppression { centered: false }, &operands)?;
    // Rows of image, class and box.
    let (two, three, one) = (n.builder.ints(&[2]), n.builder.ints(&[3]), n.builder.ints(&[1]));
    let column = n.apply(frit_ir::ops::slice_by::SliceBy {}, &[taken, two, three, one])?;
    let chosen = n.apply(frit_ir::ops::squeeze::Squeeze {}, &[column, one])?;
    let count = n.apply(frit_ir::ops::shape_of::ShapeOf { start: 0, end: Some(1) }, &[chosen])?;
    let missing = n.sub(limit, count)?;
    let none = n.builder.ints(&[0]);
    let pads = n.apply(frit_ir::ops::concat::Concat { axis: 0 }, &[none, missing])?;
    let filled = |n: &mut Node<'_, '_>, value: ValueId| {
        let zero = n.number(value, 0.0);
        let padded = n.apply(PadBy { mode: PadMode::Constant }, &[value, pads, zero])?;
        let shape = n.builder.ints(&[most]);
        n.apply(frit_ir::ops::reshape_to::ReshapeTo { zero_copies: false }, &[padded, shape])
    };
    let indices = filled(n, chosen)?;
    let number = n.reshaped(count, &[])?;
    let number = n.cast(number, DType::I32)?;
    if !scored {
        return Ok(vec![indices, number]);
    }
    let kept = n.apply(frit_ir::ops::gather::Gather { axis: 0 }, &[scores, chosen])?;
    Ok(vec![indices, filled(n, kept)?, number])
}
