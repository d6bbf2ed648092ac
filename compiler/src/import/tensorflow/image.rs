//! Ops on images: resampling, blocks of pixels, boxes.

use frit_ir::ops::resize_to::{Coordinates, Interpolation, ResizeTo, Rounding};
use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::grid_sample::{GridSample, Outside};
use frit_ir::ops::{aggregate_by::AggregateBy, and::And, concat::Concat, div::Div, equal::Equal, expand_to::ExpandTo, floor::Floor, iota::Iota, less_equal::LessEqual, matmul::MatMul, max::Max, min::Min, round::Round, select::Select};
use frit_ir::ops::{depth_to_space::DepthToSpace, non_max_suppression::NonMaxSuppression, pad_by::{PadBy, PadMode}, space_to_depth::SpaceToDepth, transpose::Transpose};
use frit_ir::{DType, OpError, Tensor, ValueId};

use super::{Handler, node::Node};
use crate::import::layout::{channels_first, channels_last};

type Values = Result<Vec<ValueId>, OpError>;

/// Ops that are one of ours, between transpositions.
pub(super) const OPS: &[(&str, Handler)] = &[
    ("DepthToSpace", |n| blocks(n, true)),
    ("ResizeBilinear", |n| resize(n, Interpolation::Linear)),
    ("ResizeNearestNeighbor", |n| resize(n, Interpolation::Nearest)),
    ("SpaceToBatch", |n| {
        let block = n.int("block_size", 2);
        space_to_batch(n, &[block, block], 1)
    }),
    ("SpaceToBatchND", |n| {
        let block = n.known_ints(1)?;
        space_to_batch(n, &block, 2)
    }),
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
    ("CropAndResize", crop_and_resize),
    ("NonMaxSuppressionV3", |n| non_max_suppression(n)),
    ("ResizeBicubic", resize_cubic),
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
    let op = ResizeTo { rounding, axes: Some(vec![2, 3]), ..ResizeTo::new(interpolation, coordinates) };
    let none = n.constant(Tensor::from_slice::<f32>(&[0], &[]));
    let sizes = n.builder.ints(&sizes);
    let y = n.apply(op, &[image, none, none, sizes])?;
    let y = if nearest { y } else { n.cast(y, DType::F32)? };
    Ok(vec![channels_last(n.builder, y)?])
}

/// Parts of images, each resampled to the same size; beyond its image stands a number.
fn crop_and_resize(n: &mut Node<'_, '_>) -> Values {
    let (image, boxes, owners) = (n.input(0)?, n.input(1)?, n.input(2)?);
    let [height, width] = n.known_ints(3)?[..] else { return Err(OpError::invalid("it takes two extents")) };
    let interpolation = match n.text("method", "bilinear") {
        "bilinear" => Interpolation::Linear,
        "nearest" => Interpolation::Nearest,
        other => return Err(n.unknown_text("method", other)),
    };
    let image = channels_first(n.builder, image)?;
    let image = n.cast(image, DType::F32)?;
    let image = n.pick(image, 0, owners)?;
    let extents = n.builder.ty(image).dims()?.to_vec();
    let known = |axis: usize| extents.get(axis).and_then(|dim| dim.known()).ok_or_else(OpError::unknown);
    let count = known(0)?;
    let (rows, rows_inside) = crop_places(n, boxes, 0, known(2)?, height, interpolation)?;
    let (columns, columns_inside) = crop_places(n, boxes, 1, known(3)?, width, interpolation)?;
    let whole = n.builder.ints(&[count, height, width, 1]);
    let (rows, columns) = (n.unsqueeze(rows, &[2, 3])?, n.unsqueeze(columns, &[1, 3])?);
    let (rows, columns) = (n.apply(ExpandTo {}, &[rows, whole])?, n.apply(ExpandTo {}, &[columns, whole])?);
    let grid = n.apply(Concat { axis: 3 }, &[columns, rows])?;
    let y = n.apply(GridSample { interpolation, outside: Outside::Border, align_corners: true }, &[image, grid])?;
    let (rows_inside, columns_inside) = (n.unsqueeze(rows_inside, &[1, 3])?, n.unsqueeze(columns_inside, &[1, 2])?);
    let inside = n.apply(And {}, &[rows_inside, columns_inside])?;
    let outside = n.float("extrapolation_value", 0.0);
    let outside = n.number(y, outside);
    let y = n.apply(Select {}, &[inside, y, outside])?;
    Ok(vec![channels_last(n.builder, y)?])
}

/// Where the results of each box lie along an axis of `from` pixels, -1 to 1 from end to end, and whether they lie in the image, both `[boxes, to]`. `side` is the box's
/// first number for the axis.
fn crop_places(n: &mut Node<'_, '_>, boxes: ValueId, side: i64, from: i64, to: i64, interpolation: Interpolation) -> Result<(ValueId, ValueId), OpError> {
    let (low, high) = (n.part(boxes, 1, side, side + 1)?, n.part(boxes, 1, side + 2, side + 3)?);
    let (zero, half, one, last) = (n.number(low, 0.0), n.number(low, 0.5), n.number(low, 1.0), n.number(low, (from - 1) as f64));
    let mut place = if to > 1 {
        let (first, size) = (n.mul(low, last)?, n.sub(high, low)?);
        let size = n.mul(size, last)?;
        let steps = n.number(low, (to - 1) as f64);
        let step = n.apply(Div {}, &[size, steps])?;
        let index = n.apply(Iota { dtype: DType::I64, extents: vec![1, to], axis: 1 }, &[])?;
        let index = n.cast(index, DType::F32)?;
        let moved = n.mul(index, step)?;
        n.add(first, moved)?
    } else {
        let sum = n.add(low, high)?;
        let middle = n.mul(half, sum)?;
        n.mul(middle, last)?
    };
    let (behind, before) = (n.apply(LessEqual {}, &[zero, place])?, n.apply(LessEqual {}, &[place, last])?);
    let inside = n.apply(And {}, &[behind, before])?;
    if interpolation == Interpolation::Nearest {
        // Halves are rounded up.
        let raised = n.add(place, half)?;
        place = n.apply(Floor {}, &[raised])?;
    }
    // Of one pixel all coordinates are the same.
    let scale = n.number(low, if from > 1 { 2.0 / (from - 1) as f64 } else { 0.0 });
    let scaled = n.mul(place, scale)?;
    Ok((n.sub(scaled, one)?, inside))
}

/// Cubic resampling as TensorFlow does it: where a result lies between pixels is rounded to steps of 1/1024, so that our own would be off. Each
/// axis is a product with a matrix of weights, which are constants.
fn resize_cubic(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let [height, width] = n.known_ints(1)?[..] else { return Err(OpError::invalid("it takes two extents")) };
    let image = channels_first(n.builder, x)?;
    let image = n.cast(image, DType::F32)?;
    let extents = n.builder.ty(image).dims()?.to_vec();
    let from = |axis: usize| extents.get(axis).and_then(|dim| dim.known()).ok_or_else(OpError::unknown);
    let rows = cubic_weights(n, from(2)?, height)?;
    let columns = cubic_weights(n, from(3)?, width)?;
    let columns = n.apply(Transpose { perm: vec![1, 0] }, &[columns])?;
    let y = n.apply(MatMul {}, &[rows, image])?;
    let y = n.apply(MatMul {}, &[y, columns])?;
    Ok(vec![channels_last(n.builder, y)?])
}

/// The weights of an axis' pixels in each result, `[to, from]`. Source: Keys, Cubic Convolution Interpolation, 1981, with TensorFlow's parameters.
fn cubic_weights(n: &mut Node<'_, '_>, from: i64, to: i64) -> Result<ValueId, OpError> {
    let (corners, half) = (n.flag("align_corners", false), n.flag("half_pixel_centers", false));
    if from < 1 || to < 1 {
        return Err(OpError::invalid(format!("{from} pixels can't be resampled to {to}")));
    }
    let scale = if corners && to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { from as f32 / to as f32 };
    let float = |n: &mut Node<'_, '_>, x: f64| n.builder.scalar(DType::F32, x);
    let index = n.apply(Iota { dtype: DType::I64, extents: vec![to, 1], axis: 0 }, &[])?;
    let mut place = n.cast(index, DType::F32)?;
    let (middle, factor) = (float(n, 0.5), float(n, f64::from(scale)));
    if half {
        place = n.add(place, middle)?;
    }
    place = n.mul(place, factor)?;
    if half {
        place = n.sub(place, middle)?;
    }
    let first = n.apply(Floor {}, &[place])?;
    let off = n.sub(place, first)?;
    let steps = float(n, 1024.0);
    let off = n.mul(off, steps)?;
    let off = n.apply(Round {}, &[off])?;
    let off = n.apply(Div {}, &[off, steps])?;
    let a = if half { -0.5 } else { -0.75 };
    let one = float(n, 1.0);
    let rest = n.sub(one, off)?;
    let pixels = n.apply(Iota { dtype: DType::I64, extents: vec![1, from], axis: 1 }, &[])?;
    let pixels = n.cast(pixels, DType::F32)?;
    let (zero, last) = (float(n, 0.0), float(n, (from - 1) as f64));
    let mut sum: Option<ValueId> = None;
    for (k, (distance, far)) in [(off, true), (off, false), (rest, false), (rest, true)].into_iter().enumerate() {
        // Near: (a + 2) d^3 - (a + 3) d^2 + 1; far, for d + 1: a d^3 - 2 a d^2 + a d, of the distance d itself.
        let polynomial = if far { [a, -2.0 * a, a, 0.0] } else { [a + 2.0, -(a + 3.0), 0.0, 1.0] };
        let mut weight = float(n, polynomial[0]);
        for coefficient in &polynomial[1..] {
            let coefficient = float(n, *coefficient);
            weight = n.mul(weight, distance)?;
            weight = n.add(weight, coefficient)?;
        }
        let move_by = float(n, k as f64 - 1.0);
        let at = n.add(first, move_by)?;
        let at = if half {
            at
        } else {
            let at = n.apply(Max {}, &[at, zero])?;
            n.apply(Min {}, &[at, last])?
        };
        let here = n.apply(Equal {}, &[at, pixels])?;
        let weight = n.apply(Select {}, &[here, weight, zero])?;
        sum = Some(match sum {
            Some(sum) => n.add(sum, weight)?,
            None => weight,
        });
    }
    let weights = sum.ok_or_else(|| OpError::bug("four weights were added"))?;
    if !half {
        return Ok(weights);
    }
    // Pixels outside don't count.
    let axis = n.builder.ints(&[1]);
    let whole = n.apply(AggregateBy { statistic: Statistic::Sum, keep: true, empty_is_none: true }, &[weights, axis])?;
    n.apply(Div {}, &[weights, whole])
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
