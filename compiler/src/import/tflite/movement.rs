//! Ops that move elements: shapes, indices, sorting.

use frit_ir::ops::pad_by::{PadBy, PadMode};
use frit_ir::ops::scatter_nd::ScatterNd;
use frit_ir::ops::scatter_elements::Update;
use frit_ir::ops::slice::Slice;
use frit_ir::ops::{concat::Concat, constant::Constant, expand_to::ExpandTo, gather::Gather, gather_nd::GatherNd, max::Max, min::Min, nonzero::NonZero, one_hot_by::OneHotBy, range::Range};
use frit_ir::ops::{reshape_to::ReshapeTo, reverse_sequence::ReverseSequence, select::Select, shape_of::ShapeOf, slice_by::SliceBy, split::Split, squeeze::Squeeze, tile_by::TileBy};
use frit_ir::ops::{equal::Equal, iota::Iota, mul::Mul, top_k::TopK, transpose::Transpose, unique::Unique, unsqueeze::Unsqueeze, broadcast::Broadcast};
use frit_ir::shape::axis;
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::How::{Moved, Real, Stored};
use super::Row;
use super::node::{Node, Value, Values};

pub(super) const OPS: &[Row] = &[
    (130, "BROADCAST_TO", Moved, |n| {
        let operands = [n.input(0)?, n.index_list(1)?];
        Ok(vec![n.apply(ExpandTo {}, &operands)?])
    }),
    (2, "CONCATENATION", Moved, concatenation),
    (124, "DENSIFY", Stored, |n| Ok(vec![n.input(0)?])),
    (7, "EMBEDDING_LOOKUP", Real, |n| {
        let operands = [n.input(1)?, n.input(0)?];
        Ok(vec![n.apply(Gather { axis: 0 }, &operands)?])
    }),
    (70, "EXPAND_DIMS", Moved, |n| {
        let operands = [n.input(0)?, n.index_list(1)?];
        Ok(vec![n.apply(Unsqueeze {}, &operands)?])
    }),
    (94, "FILL", Moved, |n| {
        let operands = [n.input(1)?, n.index_list(0)?];
        Ok(vec![n.apply(ExpandTo {}, &operands)?])
    }),
    (36, "GATHER", Moved, gather),
    (107, "GATHER_ND", Moved, |n| {
        let operands = [n.input(0)?, n.indices(1)?];
        Ok(vec![n.apply(GatherNd { batch: 0 }, &operands)?])
    }),
    (113, "MATRIX_DIAG", Moved, |n| {
        let x = n.input(0)?;
        let dtype = n.builder.dtype(x);
        let zero = n.builder.scalar(dtype, 0.0);
        let row = -2;
        let axes = n.builder.ints(&[row]);
        let wide = n.apply(Unsqueeze {}, &[x, axes])?;
        let mask = diagonal(n, x)?;
        Ok(vec![n.apply(Select {}, &[mask, wide, zero])?])
    }),
    (100, "MIRROR_PAD", Moved, mirror_pad),
    (83, "PACK", Moved, pack),
    (34, "PAD", Moved, |n| pad(n, None)),
    (60, "PADV2", Moved, |n| {
        let value = n.input(2)?;
        pad(n, Some(value))
    }),
    (96, "RANGE", Real, |n| {
        let operands = [one(n, 0)?, one(n, 1)?, one(n, 2)?];
        Ok(vec![n.apply(Range {}, &operands)?])
    }),
    (110, "RANK", Stored, |n| {
        let rank = n.builder.rank(n.input(0)?)?;
        Ok(vec![n.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(rank as i128)))])
    }),
    (22, "RESHAPE", Moved, |n| {
        let shape = match n.optional(1) {
            Some(_) => n.index_list(1)?,
            None => {
                // Before there were scalars, they were written as one zero.
                let shape = n.ints(0)?;
                n.builder.ints(if shape == [0] { &[] } else { &shape })
            }
        };
        if n.operand(0).is_some_and(super::signal::is_complex) {
            return Ok(vec![super::signal::reshaped(n, shape)?]);
        }
        let x = n.input(0)?;
        Ok(vec![n.apply(ReshapeTo { zero_copies: false }, &[x, shape])?])
    }),
    (112, "REVERSE_SEQUENCE", Moved, |n| {
        let (time, batch) = (n.axis(n.int(0)?, 0)?, n.axis(n.int(1)?, 0)?);
        let operands = [n.input(0)?, n.indices(1)?];
        Ok(vec![n.apply(ReverseSequence { batch, time }, &operands)?])
    }),
    (105, "REVERSE_V2", Moved, |n| {
        let axes = n.known(1)?;
        let ends = n.builder.ints(&vec![i64::MIN; axes.len()]);
        let starts = n.builder.ints(&vec![-1; axes.len()]);
        let steps = n.builder.ints(&vec![-1; axes.len()]);
        let axes = n.builder.ints(&axes);
        let x = n.input(0)?;
        Ok(vec![n.apply(SliceBy {}, &[x, starts, ends, axes, steps])?])
    }),
    (122, "SCATTER_ND", Moved, |n| {
        let (indices, updates, shape) = (n.indices(0)?, n.input(1)?, n.index_list(2)?);
        let zero = n.number(updates, 0.0);
        let zeros = n.apply(ExpandTo {}, &[zero, shape])?;
        Ok(vec![n.apply(ScatterNd { update: Update::Add }, &[zeros, indices, updates])?])
    }),
    (125, "SEGMENT_SUM", Stored, |n| {
        let segments = n.known(1)?;
        let count = segments.last().map_or(0, |last| last.saturating_add(1));
        segment(n, count, Update::Add, 0.0)
    }),
    (77, "SHAPE", Stored, |n| n.simple(ShapeOf { start: 0, end: None }, 1)),
    (65, "SLICE", Moved, slice),
    (68, "SPARSE_TO_DENSE", Moved, sparse_to_dense),
    (49, "SPLIT", Moved, |n| {
        let at = n.known(0)?.first().copied().unwrap_or(0);
        let axis = n.axis(at, 1)?;
        let (x, parts) = (n.input(1)?, parts(n)?);
        n.builder.apply_all(Split { axis, parts }, &[x])
    }),
    (102, "SPLIT_V", Moved, split_v),
    (43, "SQUEEZE", Moved, |n| {
        let axes = n.ints(0)?;
        if axes.is_empty() {
            return n.simple(Squeeze {}, 1);
        }
        let operands = [n.input(0)?, n.builder.ints(&axes)];
        Ok(vec![n.apply(Squeeze {}, &operands)?])
    }),
    (45, "STRIDED_SLICE", Moved, strided_slice),
    (69, "TILE", Moved, |n| {
        let operands = [n.input(0)?, n.indices(1)?];
        Ok(vec![n.apply(TileBy {}, &operands)?])
    }),
    (48, "TOPK_V2", Moved, |n| {
        let axis = n.axis(-1, 0)?;
        let operands = [n.input(0)?, n.index_list(1)?];
        n.builder.apply_all(TopK { axis, largest: true }, &operands)
    }),
    (39, "TRANSPOSE", Moved, |n| {
        let rank = n.builder.rank(n.input(0)?)?;
        let perm = n.known(1)?.into_iter().map(|k| axis(k, rank)).collect::<Result<Vec<_>, _>>()?;
        n.simple(Transpose { perm }, 1)
    }),
    (103, "UNIQUE", Stored, |n| {
        let made = n.simple(Unique { axis: None, sorted: false }, 1)?;
        Ok(vec![made[0], made[2]])
    }),
    (88, "UNPACK", Moved, unpack),
    (154, "UNSORTED_SEGMENT_MAX", Stored, |n| unsorted(n, Update::Max)),
    (157, "UNSORTED_SEGMENT_MIN", Stored, |n| unsorted(n, Update::Min)),
    (153, "UNSORTED_SEGMENT_PROD", Stored, |n| unsorted(n, Update::Multiply)),
    (155, "UNSORTED_SEGMENT_SUM", Stored, |n| unsorted(n, Update::Add)),
    (109, "WHERE", Stored, |n| {
        let places = n.simple(NonZero {}, 1)?;
        Ok(vec![n.apply(Transpose { perm: vec![1, 0] }, &places)?])
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    (145, "BROADCAST_ARGS", Stored, broadcast_args),
    (203, "DILATE", Stored, dilate),
    (151, "DYNAMIC_UPDATE_SLICE", Moved, dynamic_update_slice),
    (115, "MATRIX_SET_DIAG", Moved, |n| {
        let (x, values) = (n.input(0)?, n.input(1)?);
        let mask = diagonal_of(n, x)?;
        let shape = n.builder.extents(x)?;
        let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        // The diagonal's elements stand in the columns; those beyond it are never seen.
        let short = columns - rows.min(columns);
        let mut after = vec![0; shape.len() - 1];
        *after.last_mut().ok_or_else(|| OpError::invalid("'MATRIX_SET_DIAG' of a vector"))? = short;
        let before = vec![0; after.len()];
        let zero = n.number(x, 0.0);
        let pads = n.builder.ints(&before.into_iter().chain(after).collect::<Vec<_>>());
        let values = n.apply(PadBy { mode: PadMode::Constant }, &[values, pads, zero])?;
        let axes = n.builder.ints(&[-2]);
        let values = n.apply(Unsqueeze {}, &[values, axes])?;
        Ok(vec![n.apply(Select {}, &[mask, values, x])?])
    }),
    (85, "ONE_HOT", Moved, one_hot),
    (93, "ZEROS_LIKE", Stored, |n| {
        let x = n.input(0)?;
        let zero = n.number(x, 0.0);
        let shape = n.apply(ShapeOf { start: 0, end: None }, &[x])?;
        Ok(vec![n.apply(ExpandTo {}, &[zero, shape])?])
    }),
];

/// An operand of one element as a number of rank 0.
fn one(n: &mut Node<'_, '_>, at: usize) -> Value {
    let value = n.input(at)?;
    if n.builder.rank(value)? == 0 { Ok(value) } else { n.reshaped(value, &[]) }
}

/// What margins hold that have no value of their own: the integer that stands for zero.
fn nothing(n: &mut Node<'_, '_>) -> Value {
    let x = n.input(0)?;
    let zero = if n.real { 0 } else { n.quantised(0).and_then(|quantisation| quantisation.zeros.first().copied()).unwrap_or(0) };
    let dtype = n.builder.dtype(x);
    Ok(n.builder.constant(Tensor::scalar(dtype, Scalar::Int(i128::from(zero)))))
}

/// Rows of two numbers, before and behind, as the first of each axis, then the second.
fn margins(n: &mut Node<'_, '_>) -> Value {
    let pads = n.indices(1)?;
    let turned = n.apply(Transpose { perm: vec![1, 0] }, &[pads])?;
    let all = n.builder.ints(&[-1]);
    n.apply(ReshapeTo { zero_copies: false }, &[turned, all])
}

fn pad(n: &mut Node<'_, '_>, value: Option<ValueId>) -> Values {
    let value = match value {
        Some(value) => value,
        None => nothing(n)?,
    };
    let operands = [n.input(0)?, margins(n)?, value];
    Ok(vec![n.apply(PadBy { mode: PadMode::Constant }, &operands)?])
}

fn mirror_pad(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    if n.choice(0)? == 0 {
        let operands = [x, margins(n)?];
        return Ok(vec![n.apply(PadBy { mode: PadMode::Reflect }, &operands)?]);
    }
    // With the outermost element repeated: each axis is joined from parts of itself, mirrored.
    let pads = n.known(1)?;
    let mut x = x;
    for (at, pad) in pads.chunks(2).enumerate() {
        let [before, behind] = *pad else { return Err(OpError::invalid("'MIRROR_PAD' with margins that are no pairs")) };
        if before == 0 && behind == 0 {
            continue;
        }
        let extents = n.builder.extents(x)?;
        let extent = *extents.get(at).ok_or_else(|| OpError::invalid("'MIRROR_PAD' with more margins than axes"))?;
        if !(0..=extent).contains(&before) || !(0..=extent).contains(&behind) {
            return Err(OpError::invalid(format!("'MIRROR_PAD' by {before} and {behind} of {extent} elements")));
        }
        let mut parts = Vec::new();
        for (start, count) in [(before - 1, before), (extent - 1, behind)] {
            let (mut starts, mut taken, mut steps) = (vec![0; extents.len()], extents.clone(), vec![1; extents.len()]);
            (starts[at], taken[at], steps[at]) = (start, count, -1);
            if count > 0 {
                parts.push(n.apply(Slice { starts, extents: taken, steps }, &[x])?);
            }
        }
        let behind = if behind > 0 { parts.pop() } else { None };
        parts.push(x);
        parts.extend(behind);
        x = n.apply(Concat { axis: at }, &parts)?;
    }
    Ok(vec![x])
}

fn concatenation(n: &mut Node<'_, '_>) -> Values {
    let inputs = n.all_inputs()?;
    let rank = inputs.iter().find_map(|v| n.builder.rank(*v).ok()).ok_or_else(OpError::unknown)?;
    let axis = axis(n.int(0)?, rank)?;
    let joined = n.apply(Concat { axis }, &inputs)?;
    if !n.real && n.quantised(0).is_some() && n.choice(1)? != 0 {
        return Err(OpError::unsupported("'CONCATENATION' of quantised numbers with an activation is not supported"));
    }
    Ok(vec![n.activated(joined, 1)?])
}

fn pack(n: &mut Node<'_, '_>) -> Values {
    let inputs = n.all_inputs()?;
    let rank = inputs.iter().find_map(|v| n.builder.rank(*v).ok()).ok_or_else(OpError::unknown)?;
    let axis = axis(n.int(1)?, rank + 1)?;
    let at = n.builder.ints(&[axis as i64]);
    let inputs = inputs.into_iter().map(|x| n.apply(Unsqueeze {}, &[x, at])).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![n.apply(Concat { axis }, &inputs)?])
}

/// How many parts an op makes.
fn parts(n: &Node<'_, '_>) -> Result<usize, OpError> {
    if n.operator.outputs.is_empty() { Err(OpError::invalid(format!("'{}' without results", n.op))) } else { Ok(n.operator.outputs.len()) }
}

fn unpack(n: &mut Node<'_, '_>) -> Values {
    let (axis, parts) = (n.axis(n.int(1)?, 0)?, parts(n)?);
    let x = n.input(0)?;
    let at = n.builder.ints(&[axis as i64]);
    let split = if parts == 1 { vec![x] } else { n.builder.apply_all(Split { axis, parts }, &[x])? };
    split.into_iter().map(|part| n.apply(Squeeze {}, &[part, at])).collect()
}

fn split_v(n: &mut Node<'_, '_>) -> Values {
    let mut sizes = n.known(1)?;
    let at = n.known(2)?.first().copied().unwrap_or(0);
    let axis = n.axis(at, 0)?;
    let x = n.input(0)?;
    if let Some(open) = sizes.iter().position(|size| *size == -1) {
        let extent = n.builder.extents(x)?[axis];
        sizes[open] = sizes.iter().filter(|size| **size != -1).fold(extent, |left, size| left.saturating_sub(*size));
    }
    let parts = parts(n)?;
    let sizes = n.builder.ints(&sizes);
    n.builder.apply_all(Split { axis, parts }, &[x, sizes])
}

/// Begin and size of each axis; a size of -1 is all that is left.
fn slice(n: &mut Node<'_, '_>) -> Values {
    let (x, begins, sizes) = (n.input(0)?, n.indices(1)?, n.indices(2)?);
    let ends = n.add(begins, sizes)?;
    let (all, last) = (n.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(-1))), n.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(i64::MAX)))));
    let open = n.apply(Equal {}, &[sizes, all])?;
    let ends = n.apply(Select {}, &[open, last, ends])?;
    Ok(vec![n.apply(SliceBy {}, &[x, begins, ends])?])
}

/// What happens to one axis in a strided slice.
enum Cut {
    /// It stays.
    Whole,
    /// A part of it; the number of its entry in the lists, and whether it is dropped then.
    Part(usize, bool),
}

/// Begin, end and stride for some axes, whose meaning bit masks change.
fn strided_slice(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let rank = n.builder.rank(x)?;
    let mut masks = [0; 5];
    for (slot, mask) in masks.iter_mut().enumerate() {
        *mask = n.int(slot)?;
    }
    let [begin_mask, end_mask, ellipsis, new_axis, shrink] = masks;
    let offset = n.flag(5)?;
    let (begins, ends, steps) = (n.indices(1)?, n.indices(2)?, n.known(3)?);
    let entries = steps.len();
    if entries > 32 || [begins, ends].iter().any(|list| n.builder.extents(*list).is_ok_and(|extents| extents != [entries as i64])) {
        return Err(OpError::invalid("'STRIDED_SLICE' with lists of different lengths"));
    }
    let has = |mask: i64, entry: usize| mask >> entry & 1 == 1;
    let consumed = (0..entries).filter(|entry| !has(new_axis, *entry) && !has(ellipsis, *entry)).count();
    let filled = rank.checked_sub(consumed).ok_or_else(|| OpError::invalid(format!("'STRIDED_SLICE' of {consumed} axes of a tensor of rank {rank}")))?;
    let mut cuts = Vec::new();
    // Where new axes stand in the result.
    let (mut added, mut at) = (Vec::new(), 0i64);
    let mut spread = false;
    for entry in 0..entries {
        if has(ellipsis, entry) {
            if std::mem::replace(&mut spread, true) {
                return Err(OpError::invalid("'STRIDED_SLICE' with more than one ellipsis"));
            }
            cuts.extend((0..filled).map(|_| Cut::Whole));
            at += filled as i64;
        } else if has(new_axis, entry) {
            added.push(at);
            at += 1;
        } else {
            let dropped = has(shrink, entry);
            cuts.push(Cut::Part(entry, dropped));
            at += i64::from(!dropped);
        }
    }
    cuts.extend((cuts.len()..rank).map(|_| Cut::Whole));
    let (mut axes, mut dropped, mut starts, mut stops, mut strides) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let one = n.builder.ints(&[1]);
    for (axis, cut) in cuts.iter().enumerate() {
        let Cut::Part(entry, drop) = *cut else { continue };
        let stride = if drop { 1 } else { steps[entry] };
        let (first, last) = if stride < 0 { (i64::MAX, i64::MIN) } else { (0, i64::MAX) };
        let begin = if has(begin_mask, entry) && !drop { n.builder.ints(&[first]) } else { entry_of(n, begins, entry)? };
        let end = if drop {
            // The last element, counted from the end, ends at the end.
            let (next, minus) = (n.add(begin, one)?, n.builder.ints(&[-1]));
            let (is_last, last) = (n.apply(Equal {}, &[begin, minus])?, n.builder.ints(&[i64::MAX]));
            n.apply(Select {}, &[is_last, last, next])?
        } else if has(end_mask, entry) {
            n.builder.ints(&[last])
        } else {
            let end = entry_of(n, ends, entry)?;
            if offset { n.add(begin, end)? } else { end }
        };
        axes.push(axis as i64);
        strides.push(stride);
        starts.push(begin);
        stops.push(end);
        if drop {
            dropped.push(axis as i64);
        }
    }
    let mut y = x;
    if !axes.is_empty() {
        let (starts, stops) = (n.apply(Concat { axis: 0 }, &starts)?, n.apply(Concat { axis: 0 }, &stops)?);
        let (axes, strides) = (n.builder.ints(&axes), n.builder.ints(&strides));
        y = n.apply(SliceBy {}, &[x, starts, stops, axes, strides])?;
    }
    if !dropped.is_empty() {
        let dropped = n.builder.ints(&dropped);
        y = n.apply(Squeeze {}, &[y, dropped])?;
    }
    if !added.is_empty() {
        let added = n.builder.ints(&added);
        y = n.apply(Unsqueeze {}, &[y, added])?;
    }
    Ok(vec![y])
}

/// One entry of a vector, as a vector.
fn entry_of(n: &mut Node<'_, '_>, list: ValueId, entry: usize) -> Value {
    n.apply(Slice { starts: vec![entry as i64], extents: vec![1], steps: vec![1] }, &[list])
}

fn gather(n: &mut Node<'_, '_>) -> Values {
    let (x, indices) = (n.input(0)?, n.indices(1)?);
    let axis = n.axis(n.int(0)?, 0)?;
    let rank = n.builder.rank(indices)?;
    let batch = n.int(1)?;
    let batch = usize::try_from(if batch < 0 { batch + rank as i64 } else { batch }).ok().filter(|batch| *batch <= rank.min(axis));
    let batch = batch.ok_or_else(|| OpError::invalid("'GATHER' with more batch axes than there are"))?;
    if batch == 0 {
        return Ok(vec![n.apply(Gather { axis }, &[x, indices])?]);
    }
    // The gathered axis comes next to the batch's, and what lay between goes behind the indices' axes.
    let from = n.builder.rank(x)?;
    let forward: Vec<usize> = (0..batch).chain([axis]).chain((batch..from).filter(|k| *k != axis)).collect();
    let moved = n.apply(Transpose { perm: forward }, &[x])?;
    let last = n.builder.ints(&[-1]);
    let tuples = n.apply(Unsqueeze {}, &[indices, last])?;
    let taken = n.apply(GatherNd { batch }, &[moved, tuples])?;
    let (own, between) = (rank - batch, axis - batch);
    let back: Vec<usize> = (0..batch).chain(rank..rank + between).chain(batch..batch + own).chain(rank + between..from - 1 + own).collect();
    Ok(vec![n.apply(Transpose { perm: back }, &[taken])?])
}

/// The shape that two shapes broadcast to.
fn broadcast_args(n: &mut Node<'_, '_>) -> Values {
    let (a, b) = (n.index_list(0)?, n.index_list(1)?);
    let (left, right) = (n.builder.as_ints(a)?, n.builder.as_ints(b)?);
    let rank = left.len().max(right.len());
    let full = |shape: &[i64]| vec![1; rank - shape.len()].into_iter().chain(shape.iter().copied()).collect::<Vec<_>>();
    let (left, right) = (n.builder.ints(&full(&left)), n.builder.ints(&full(&right)));
    // An extent of 0 counts more than one of 1.
    let larger = n.apply(Max {}, &[left, right])?;
    let product = n.apply(Mul {}, &[left, right])?;
    Ok(vec![n.apply(Min {}, &[larger, product])?])
}

fn one_hot(n: &mut Node<'_, '_>) -> Values {
    let axis = n.int(0)?;
    let (indices, depth, on, off) = (n.indices(0)?, n.indices(1)?, n.input(2)?, n.input(3)?);
    let (on, off) = (n.reshaped(on, &[1])?, n.reshaped(off, &[1])?);
    let values = n.apply(Concat { axis: 0 }, &[off, on])?;
    // Indices below zero have no place; those that count from the end in other formats are led out of range.
    let zero = n.number(indices, 0.0);
    let below = n.apply(frit_ir::ops::less::Less {}, &[indices, zero])?;
    let depth = n.reshaped(depth, &[])?;
    let indices = n.apply(Select {}, &[below, depth, indices])?;
    Ok(vec![n.apply(OneHotBy { axis }, &[indices, depth, values])?])
}

/// Where row and column are the same in a matrix as wide and high as a vector is long.
fn diagonal(n: &mut Node<'_, '_>, x: ValueId) -> Value {
    let extents = n.builder.extents(x)?;
    let extent = *extents.last().ok_or_else(|| OpError::invalid("'MATRIX_DIAG' of a scalar"))?;
    square(n, extent, extent)
}

/// Where row and column are the same in matrices.
fn diagonal_of(n: &mut Node<'_, '_>, x: ValueId) -> Value {
    let extents = n.builder.extents(x)?;
    let [.., rows, columns] = extents[..] else { return Err(OpError::invalid("'MATRIX_SET_DIAG' of less than a matrix")) };
    square(n, rows, columns)
}

fn square(n: &mut Node<'_, '_>, rows: i64, columns: i64) -> Value {
    let row = n.apply(Iota { dtype: DType::I64, extents: vec![rows, 1], axis: 0 }, &[])?;
    let column = n.apply(Iota { dtype: DType::I64, extents: vec![1, columns], axis: 1 }, &[])?;
    n.apply(Equal {}, &[row, column])
}

/// Elements spread out along each axis, with a value between them.
fn dilate(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let (factors, value) = (n.known(1)?, n.input(2)?);
    let value = n.reshaped(value, &[])?;
    let mut x = x;
    for (axis, factor) in factors.into_iter().enumerate() {
        if factor == 1 {
            continue;
        }
        // Each element becomes `factor`, of which the others are the value; behind the last one nothing is left.
        let extents = n.builder.extents(x)?;
        let extent = *extents.get(axis).ok_or_else(|| OpError::invalid("'DILATE' with more factors than axes"))?;
        if factor < 1 || extent == 0 {
            return Err(OpError::invalid(format!("'DILATE' of {extent} elements by {factor}")));
        }
        let behind = n.builder.ints(&[axis as i64 + 1]);
        let apart = n.apply(Unsqueeze {}, &[x, behind])?;
        let pads = n.builder.ints(&[0, factor - 1]);
        let wide = n.apply(PadBy { mode: PadMode::Constant }, &[apart, pads, value, behind])?;
        let mut joined = extents.clone();
        joined[axis] = extent.checked_mul(factor).ok_or_else(|| OpError::invalid("'DILATE' overflows"))?;
        let wide = n.reshaped(wide, &joined)?;
        let mut kept = joined;
        kept[axis] -= factor - 1;
        x = n.apply(Slice { starts: vec![0; kept.len()], steps: vec![1; kept.len()], extents: kept }, &[wide])?;
    }
    Ok(vec![x])
}

/// A part of the first operand replaced by the second. Where it starts is moved so that it lies inside.
fn dynamic_update_slice(n: &mut Node<'_, '_>) -> Values {
    let (x, update, starts) = (n.input(0)?, n.input(1)?, n.indices(2)?);
    let (whole, part) = (n.builder.extents(x)?, n.builder.extents(update)?);
    if whole.len() != part.len() || whole.iter().zip(&part).any(|(whole, part)| part > whole) {
        return Err(OpError::invalid(format!("a part of shape {part:?} does not fit a tensor of shape {whole:?}")));
    }
    // Axes from which on all is replaced need no index.
    let indexed = whole.iter().zip(&part).rposition(|(whole, part)| whole != part).map_or(0, |last| last + 1);
    if indexed == 0 {
        return Ok(vec![update]);
    }
    let limits: Vec<i64> = whole.iter().zip(&part).map(|(whole, part)| whole - part).collect();
    let (zero, limits) = (n.builder.scalar(DType::I64, 0.0), n.builder.ints(&limits));
    let starts = n.apply(Max {}, &[starts, zero])?;
    let starts = n.apply(Min {}, &[starts, limits])?;
    let mut shape = part[..indexed].to_vec();
    shape.push(1);
    let mut columns = Vec::new();
    for axis in 0..indexed {
        let steps = n.apply(Iota { dtype: DType::I64, extents: shape.clone(), axis }, &[])?;
        let start = entry_of(n, starts, axis)?;
        columns.push(n.add(steps, start)?);
    }
    let indices = n.apply(Concat { axis: indexed }, &columns)?;
    Ok(vec![n.apply(ScatterNd { update: Update::Replace }, &[x, indices, update])?])
}

/// Values at places, one value elsewhere. Places are numbers, or rows of them.
fn sparse_to_dense(n: &mut Node<'_, '_>) -> Values {
    let (mut indices, shape, mut values, default) = (n.indices(0)?, n.index_list(1)?, n.input(2)?, n.input(3)?);
    let rank = n.builder.extents(shape)?[0];
    if n.builder.rank(indices)? < 2 {
        let rows = n.builder.ty(indices).shape.elems().ok_or_else(OpError::unknown)?;
        indices = if rank == 1 { n.reshaped(indices, &[rows, 1])? } else { n.reshaped(indices, &[1, rows])? };
    }
    if n.builder.rank(values)? == 0 {
        let count = n.builder.extents(indices)?[0];
        values = n.apply(Broadcast { extents: vec![count] }, &[values])?;
    }
    let default = n.reshaped(default, &[])?;
    let filled = n.apply(ExpandTo {}, &[default, shape])?;
    Ok(vec![n.apply(ScatterNd { update: Update::Replace }, &[filled, indices, values])?])
}

/// Rows that belong to one segment joined; segments without rows hold `empty`, or the dtype's most extreme number.
fn segment(n: &mut Node<'_, '_>, count: i64, update: Update, empty: f64) -> Values {
    let (x, segments) = (n.input(0)?, n.indices(1)?);
    let dims = n.builder.rank(segments)?;
    let mut shape = vec![count];
    shape.extend_from_slice(n.builder.extents(x)?.get(dims..).ok_or_else(|| OpError::invalid("segments of more axes than the tensor"))?);
    let dtype = n.builder.dtype(x);
    let empty = n.apply(Constant { value: Tensor::scalar(dtype, Scalar::Float(empty)) }, &[])?;
    let base = n.apply(Broadcast { extents: shape }, &[empty])?;
    let last = n.builder.ints(&[-1]);
    let rows = n.apply(Unsqueeze {}, &[segments, last])?;
    Ok(vec![n.apply(ScatterNd { update }, &[base, rows, x])?])
}

fn unsorted(n: &mut Node<'_, '_>, update: Update) -> Values {
    let count = n.known(2)?.first().copied().filter(|count| *count >= 0).ok_or_else(|| OpError::invalid("a negative number of segments"))?;
    let dtype = n.result_dtype(0)?;
    // Numbers out of an integer's range become its nearest.
    let largest = if dtype == DType::F32 { f64::from(f32::MAX) } else { 1e30 };
    let empty = match update {
        Update::Max => -largest,
        Update::Min => largest,
        Update::Multiply => 1.0,
        Update::Replace | Update::Add => 0.0,
    };
    // Rows of negative segments belong to none.
    segment(n, count, update, empty)
}
