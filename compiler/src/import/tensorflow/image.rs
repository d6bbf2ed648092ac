//! Ops on images: resampling, blocks of pixels, boxes.

use frit_ir::ops::resize_to::{Coordinates, Interpolation, ResizeTo, Rounding};
use frit_ir::ops::{depth_to_space::DepthToSpace, non_max_suppression::NonMaxSuppression, pad_by::{PadBy, PadMode}, space_to_depth::SpaceToDepth, transpose::Transpose};
use frit_ir::{DType, OpError, Tensor, ValueId};

use super::{Handler, node::Node};
use crate::import::layout::{channels_first, channels_last};

type Values = Result<Vec<ValueId>, OpError>;

/// Ops that are one of ours, between transpositions.
pub(super) const OPS: &[(&str, Handler)] = &[
    ("DepthToSpace", |n| blocks(n, true)),
    ("ResizeBicubic", |n| resize(n, Interpolation::Cubic)),
    ("ResizeBilinear", |n| resize(n, Interpolation::Linear)),
    ("ResizeNearestNeighbor", |n| resize(n, Interpolation::Nearest)),
    ("SpaceToDepth", |n| blocks(n, false)),
];

/// Ops that are made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("BatchToSpace", |n| {
        let block = n.int("block_size", 2);
        batch_to_space(n, &[block, block], 1)
    }),
    ("BatchToSpaceND", |n| {
        let block = n.known_ints(1)?;
        batch_to_space(n, &block, 2)
    }),
    ("NonMaxSuppressionV3", |n| non_max_suppression(n)),
    ("SpaceToBatch", |n| {
        let block = n.int("block_size", 2);
        space_to_batch(n, &[block, block], 1)
    }),
    ("SpaceToBatchND", |n| {
        let block = n.known_ints(1)?;
        space_to_batch(n, &block, 2)
    }),
];

fn resize(n: &mut Node<'_, '_>, interpolation: Interpolation) -> Values {
    let x = n.input(0)?;
    let sizes = n.known_ints(1)?;
    let (corners, half) = (n.flag("align_corners", false), n.flag("half_pixel_centers", false));
    let coordinates = match (corners, half) {
        (true, _) => Coordinates::AlignCorners,
        (_, true) => Coordinates::HalfPixel,
        _ => Coordinates::Asymmetric,
    };
    // The nearest pixel is that whose area the middle lies in, or with corners aligned the nearest, halves rounded up.
    let (coordinates, rounding) = match (interpolation, corners, half) {
        (Interpolation::Nearest, true, _) => (coordinates, Rounding::PreferCeil),
        (Interpolation::Nearest, _, true) => (Coordinates::HalfPixel, Rounding::PreferCeil),
        (Interpolation::Nearest, ..) => (coordinates, Rounding::Floor),
        _ => (coordinates, Rounding::PreferFloor),
    };
    let image = channels_first(n.builder, x)?;
    let dtype = n.builder.dtype(image);
    let nearest = interpolation == Interpolation::Nearest;
    let image = if nearest || dtype.is_float() { image } else { n.cast(image, DType::F32)? };
    let cubic = if half { -0.5 } else { -0.75 };
    let op = ResizeTo { rounding, cubic, exclude_outside: half && interpolation == Interpolation::Cubic, axes: Some(vec![2, 3]), ..ResizeTo::new(interpolation, coordinates) };
    let none = n.constant(Tensor::from_slice::<f32>(&[0], &[]));
    let sizes = n.builder.ints(&sizes);
    let y = n.apply(op, &[image, none, none, sizes])?;
    let y = if nearest { y } else { n.cast(y, DType::F32)? };
    Ok(vec![channels_last(n.builder, y)?])
}

fn blocks(n: &mut Node<'_, '_>, to_space: bool) -> Values {
    let x = n.input(0)?;
    let block = n.int("block_size", 2);
    let last = match n.text("data_format", "NHWC") {
        "NHWC" => true,
        "NCHW" => false,
        other => return Err(n.unknown_text("data_format", other)),
    };
    let x = if last { channels_first(n.builder, x)? } else { x };
    let y = if to_space { n.apply(DepthToSpace { block, channels_first: false }, &[x])? } else { n.apply(SpaceToDepth { block }, &[x])? };
    Ok(vec![if last { channels_last(n.builder, y)? } else { y }])
}

fn checked_blocks(block: &[i64], pairs: &[i64], extents: &[i64]) -> Result<(), OpError> {
    if block.iter().any(|b| *b < 1) || pairs.len() != 2 * block.len() || extents.len() <= block.len() {
        return Err(OpError::invalid(format!("blocks of {block:?} in shape {extents:?}")));
    }
    Ok(())
}

/// `[b.., batch, n.., rest]` from blocks of an image: blocks' places come before the samples.
fn space_to_batch(n: &mut Node<'_, '_>, block: &[i64], at: usize) -> Values {
    let x = n.input(0)?;
    let pairs = n.known_ints(at)?;
    let rank = n.builder.rank(x)?;
    checked_blocks(block, &pairs, &vec![0; rank])?;
    let dims = block.len();
    let mut pads = vec![0; 2 * rank];
    for k in 0..dims {
        pads[k + 1] = pairs[2 * k];
        pads[rank + k + 1] = pairs[2 * k + 1];
    }
    let pads = n.builder.ints(&pads);
    let zero = n.number(x, 0.0);
    let x = n.apply(PadBy { mode: PadMode::Constant }, &[x, pads, zero])?;
    let extents = n.builder.extents(x)?;
    let mut split = vec![extents[0]];
    for k in 0..dims {
        if extents[k + 1] % block[k] != 0 {
            return Err(OpError::invalid(format!("an extent of {} is no number of blocks of {}", extents[k + 1], block[k])));
        }
        split.extend([extents[k + 1] / block[k], block[k]]);
    }
    split.extend(&extents[dims + 1..]);
    let apart = n.reshape(x, &split)?;
    let perm: Vec<usize> = (0..dims).map(|k| 2 + 2 * k).chain([0]).chain((0..dims).map(|k| 1 + 2 * k)).chain(1 + 2 * dims..split.len()).collect();
    let moved = n.apply(Transpose { perm }, &[apart])?;
    let times: i64 = block.iter().product();
    let shape: Vec<i64> = std::iter::once(extents[0].saturating_mul(times)).chain((0..dims).map(|k| extents[k + 1] / block[k])).chain(extents[dims + 1..].iter().copied()).collect();
    Ok(vec![n.reshape(moved, &shape)?])
}

fn batch_to_space(n: &mut Node<'_, '_>, block: &[i64], at: usize) -> Values {
    let x = n.input(0)?;
    let pairs = n.known_ints(at)?;
    let extents = n.builder.extents(x)?;
    checked_blocks(block, &pairs, &extents)?;
    let dims = block.len();
    let times: i64 = block.iter().fold(1i64, |times, b| times.saturating_mul(*b));
    if extents[0] % times != 0 {
        return Err(OpError::invalid(format!("{} samples are no number of blocks of {times}", extents[0])));
    }
    let split: Vec<i64> = block.iter().copied().chain([extents[0] / times]).chain(extents[1..].iter().copied()).collect();
    let apart = n.reshape(x, &split)?;
    let perm: Vec<usize> = std::iter::once(dims).chain((0..dims).flat_map(|k| [dims + 1 + k, k])).chain(2 * dims + 1..split.len()).collect();
    let moved = n.apply(Transpose { perm }, &[apart])?;
    let whole: Vec<i64> = (0..dims).map(|k| extents[k + 1].saturating_mul(block[k])).collect();
    let shape: Vec<i64> = std::iter::once(extents[0] / times).chain(whole.iter().copied()).chain(extents[dims + 1..].iter().copied()).collect();
    let mut y = n.reshape(moved, &shape)?;
    for k in 0..dims {
        let (before, after) = (pairs[2 * k], pairs[2 * k + 1]);
        if (before, after) != (0, 0) {
            y = n.part(y, k + 1, before, whole[k].saturating_sub(after))?;
        }
    }
    Ok(vec![y])
}

/// Boxes of one image and one class.
fn non_max_suppression(n: &mut Node<'_, '_>) -> Values {
    let (boxes, scores, most, overlap, score) = (n.input(0)?, n.input(1)?, n.vector(2)?, n.input(3)?, n.input(4)?);
    let boxes = n.unsqueeze(boxes, &[0])?;
    let scores = n.unsqueeze(scores, &[0, 1])?;
    let (overlap, score) = (n.cast(overlap, DType::F32)?, n.cast(score, DType::F32)?);
    let (boxes, scores) = (n.cast(boxes, DType::F32)?, n.cast(scores, DType::F32)?);
    let rows = n.apply(NonMaxSuppression { centered: false }, &[boxes, scores, most, overlap, score])?;
    let column = n.part(rows, 1, 2, 3)?;
    let column = n.squeeze(column, &[1])?;
    Ok(vec![n.cast(column, DType::I32)?])
}
