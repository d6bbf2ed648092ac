//! Ops that move elements: shapes, indices, sorting.

use frit_ir::ops::pad_by::{PadBy, PadMode};
use frit_ir::ops::scatter_elements::Update;
use frit_ir::ops::{
    concat::Concat, expand_to::ExpandTo, gather::Gather, gather_nd::GatherNd, iota::Iota, less::Less, nonzero::NonZero, one_hot_by::OneHotBy, range::Range, reshape_to::ReshapeTo,
    reverse_sequence::ReverseSequence, scatter_nd::ScatterNd, select::Select, size_of::SizeOf, slice_by::SliceBy, split::Split, squeeze::Squeeze, tile_by::TileBy, top_k::TopK, transpose::Transpose, trilu_by::TriluBy,
    unique::Unique,
};
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::evaluate::Bound;
use super::math::int_scalar;
use super::node::Node;
use super::tensor::Decoded;
use super::{BoundHandler, Handler};

type Values = Result<Vec<ValueId>, OpError>;

/// Ops that are one of ours.
pub(super) const OPS: &[(&str, Handler)] = &[
    ("BroadcastTo", |n| {
        let (x, shape) = (n.input(0)?, n.vector(1)?);
        Ok(vec![n.apply(ExpandTo {}, &[x, shape])?])
    }),
    ("Concat", |n| {
        let inputs = n.all_inputs()?;
        concat(n, inputs[0], &inputs[1..])
    }),
    ("ConcatV2", |n| {
        let inputs = n.all_inputs()?;
        let (axis, parts) = inputs.split_last().ok_or_else(|| OpError::invalid("'ConcatV2' takes operands"))?;
        concat(n, *axis, parts)
    }),
    ("Const", |n| match n.tensor("value")? {
        Decoded::Whole(tensor) => {
            n.keep(&tensor);
            Ok(vec![n.constant(tensor)])
        }
        Decoded::Spread(element, extents) => {
            let (element, shape) = (n.constant(element), n.builder.ints(&extents));
            Ok(vec![n.apply(ExpandTo {}, &[element, shape])?])
        }
    }),
    ("ExpandDims", |n| {
        let x = n.input(0)?;
        let axis = n.known_int(1)?;
        Ok(vec![n.unsqueeze(x, &[axis])?])
    }),
    ("Fill", |n| {
        let (shape, value) = (n.vector(0)?, n.input(1)?);
        Ok(vec![n.apply(ExpandTo {}, &[value, shape])?])
    }),
    ("Gather", |n| n.simple(Gather { axis: 0 }, 2)),
    ("GatherNd", |n| n.simple(GatherNd { batch: 0 }, 2)),
    ("GatherV2", gather),
    ("InvertPermutation", |n| {
        let x = n.input(0)?;
        let dtype = n.builder.dtype(x);
        let count = n.builder.extents(x)?.first().copied().ok_or_else(|| OpError::invalid("a permutation is a vector"))?;
        let numbers = n.apply(Iota { dtype, extents: vec![count], axis: 0 }, &[])?;
        let indices = n.unsqueeze(x, &[-1])?;
        Ok(vec![n.apply(ScatterNd { update: Update::Replace }, &[x, indices, numbers])?])
    }),
    ("MatrixBandPart", matrix_band_part),
    ("MatrixDiag", |n| {
        let x = n.input(0)?;
        diagonal_matrix(n, x)
    }),
    ("MatrixDiagV3", |n| {
        main_diagonal(n, 1)?;
        let x = n.input(0)?;
        diagonal_matrix(n, x)
    }),
    ("MatrixSetDiag", matrix_set_diag),
    ("MatrixSetDiagV3", |n| {
        main_diagonal(n, 2)?;
        matrix_set_diag(n)
    }),
    ("MirrorPad", mirror_pad),
    ("OnesLike", |n| {
        let x = n.input(0)?;
        filled_like(n, x, 1)
    }),
    ("Pack", |n| {
        let inputs = n.all_inputs()?;
        let Some(first) = inputs.first() else { return Err(OpError::invalid("'Pack' takes operands")) };
        let rank = n.builder.rank(*first)?;
        let axis = frit_ir::shape::axis(n.int("axis", 0), rank + 1)?;
        let parts = inputs.iter().map(|x| n.unsqueeze(*x, &[axis as i64])).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![n.apply(Concat { axis }, &parts)?])
    }),
    ("Pad", |n| pad(n, PadMode::Constant)),
    ("PadV2", |n| pad(n, PadMode::Constant)),
    ("ParallelConcat", |n| {
        let parts = n.all_inputs()?;
        Ok(vec![n.apply(Concat { axis: 0 }, &parts)?])
    }),
    ("Range", |n| n.simple(Range {}, 3)),
    ("Rank", |n| {
        let x = n.input(0)?;
        let rank = n.builder.rank(x)? as i64;
        Ok(vec![int_scalar(n, DType::I32, rank)])
    }),
    ("Reshape", |n| {
        let (x, shape) = (n.input(0)?, n.vector(1)?);
        Ok(vec![n.apply(ReshapeTo { zero_copies: false }, &[x, shape])?])
    }),
    ("Reverse", |n| {
        let x = n.input(0)?;
        let flags = n.known_ints(1)?;
        let axes: Vec<i64> = (0..).zip(flags).filter(|(_, flag)| *flag != 0).map(|(axis, _)| axis).collect();
        reversed(n, x, &axes)
    }),
    ("ReverseSequence", |n| {
        let x = n.input(0)?;
        let (time, batch) = (n.axis(n.int("seq_dim", 0), x)?, n.axis(n.int("batch_dim", 0), x)?);
        let lengths = n.vector(1)?;
        Ok(vec![n.apply(ReverseSequence { batch, time }, &[x, lengths])?])
    }),
    ("ReverseV2", |n| {
        let x = n.input(0)?;
        let axes = n.known_ints(1)?;
        reversed(n, x, &axes)
    }),
    ("ScatterNd", |n| {
        let (indices, updates, shape) = (n.input(0)?, n.input(1)?, n.vector(2)?);
        let zero = n.number(updates, 0.0);
        let base = n.apply(ExpandTo {}, &[zero, shape])?;
        Ok(vec![n.apply(ScatterNd { update: Update::Add }, &[base, indices, updates])?])
    }),
    ("Select", |n| {
        // The condition may be a vector that tells of rows.
        let (mut condition, a, b) = (n.input(0)?, n.input(1)?, n.input(2)?);
        let (rank, own) = (n.builder.rank(a)?, n.builder.rank(condition)?);
        if own == 1 && rank > 1 {
            condition = n.unsqueeze(condition, &(1..rank as i64).collect::<Vec<_>>())?;
        }
        Ok(vec![n.apply(Select {}, &[condition, a, b])?])
    }),
    ("SelectV2", |n| n.simple(Select {}, 3)),
    ("Shape", |n| {
        let x = n.input(0)?;
        Ok(vec![shape(n, x)?])
    }),
    ("ShapeN", |n| n.all_inputs()?.into_iter().map(|x| shape(n, x)).collect()),
    ("Size", |n| {
        let x = n.input(0)?;
        let size = n.apply(SizeOf {}, &[x])?;
        let to = n.dtype("out_type", DType::I32)?;
        Ok(vec![n.cast(size, to)?])
    }),
    ("Slice", slice),
    ("Split", |n| {
        let x = n.input(1)?;
        let axis = n.known_int(0)?;
        let parts = usize::try_from(n.int("num_split", 1)).map_err(|_| OpError::invalid("'num_split' is negative"))?;
        let axis = n.axis(axis, x)?;
        if let Some(extent) = n.builder.ty(x).dims()?[axis].known()
            && (parts == 0 || extent % parts as i64 != 0)
        {
            return Err(OpError::invalid(format!("an extent of {extent} is not split into {parts} equal parts")));
        }
        n.builder.apply_all(Split { axis, parts }, &[x])
    }),
    ("SplitV", split_v),
    ("Squeeze", |n| {
        let x = n.input(0)?;
        let axes = if n.ints("squeeze_dims").is_empty() { n.ints("axis") } else { n.ints("squeeze_dims") };
        if axes.is_empty() { Ok(vec![n.apply(Squeeze {}, &[x])?]) } else { Ok(vec![n.squeeze(x, axes)?]) }
    }),
    ("StridedSlice", strided_slice),
    ("TensorScatterAdd", |n| tensor_scatter(n, Update::Add)),
    ("TensorScatterMax", |n| tensor_scatter(n, Update::Max)),
    ("TensorScatterMin", |n| tensor_scatter(n, Update::Min)),
    ("TensorScatterUpdate", |n| tensor_scatter(n, Update::Replace)),
    ("Tile", |n| {
        let (x, repeats) = (n.input(0)?, n.vector(1)?);
        Ok(vec![n.apply(TileBy {}, &[x, repeats])?])
    }),
    ("TopK", |n| {
        let k = n.int("k", 0);
        let k = n.builder.ints(&[k]);
        top_k(n, k)
    }),
    ("TopKV2", |n| {
        let k = n.vector(1)?;
        top_k(n, k)
    }),
    ("Transpose", |n| {
        let x = n.input(0)?;
        let rank = n.builder.rank(x)?;
        let perm = n.known_ints(1)?.into_iter().map(|axis| frit_ir::shape::axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![crate::import::layout::permuted(n.builder, x, &perm)?])
    }),
    ("Unique", |n| unique(n, false)),
    ("UniqueV2", |n| unique(n, false)),
    ("UniqueWithCounts", |n| unique(n, true)),
    ("Unpack", |n| {
        let x = n.input(0)?;
        let axis = n.axis(n.int("axis", 0), x)?;
        let parts = usize::try_from(n.int("num", 0)).map_err(|_| OpError::invalid("'num' is negative"))?;
        let parts = n.builder.apply_all(Split { axis, parts }, &[x])?;
        parts.into_iter().map(|part| n.squeeze(part, &[axis as i64])).collect()
    }),
    ("UnsortedSegmentSum", |n| {
        let (x, segments, count) = (n.input(0)?, n.input(1)?, n.vector(2)?);
        let (rank, own) = (n.builder.rank(x)?, n.builder.rank(segments)?);
        let inner = n.apply(frit_ir::ops::shape_of::ShapeOf { start: own as i64, end: Some(rank as i64) }, &[x])?;
        let shape = n.apply(Concat { axis: 0 }, &[count, inner])?;
        let zero = n.number(x, 0.0);
        let base = n.apply(ExpandTo {}, &[zero, shape])?;
        let indices = n.unsqueeze(segments, &[-1])?;
        Ok(vec![n.apply(ScatterNd { update: Update::Add }, &[base, indices, x])?])
    }),
    ("Where", |n| {
        let indices = n.simple(NonZero {}, 1)?;
        Ok(vec![n.apply(Transpose { perm: vec![1, 0] }, &indices)?])
    }),
    ("ZerosLike", |n| {
        let x = n.input(0)?;
        filled_like(n, x, 0)
    }),
];

/// Ops that are made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("BroadcastArgs", |n| {
        // Shapes broadcast as tensors of these shapes do.
        let (a, b) = (n.vector(0)?, n.vector(1)?);
        let first = n.input(0)?;
        let dtype = n.builder.dtype(first);
        let one = n.constant(Tensor::from_bools(&[], &[true]));
        let (a, b) = (n.apply(ExpandTo {}, &[one, a])?, n.apply(ExpandTo {}, &[one, b])?);
        let both = n.apply(frit_ir::ops::and::And {}, &[a, b])?;
        let shape = n.shape_of(both)?;
        Ok(vec![n.cast(shape, dtype)?])
    }),
    ("DynamicStitch", dynamic_stitch),
    ("LinSpace", lin_space),
    ("MatrixDiagPart", |n| {
        let x = n.input(0)?;
        diagonal(n, x)
    }),
    ("MatrixDiagPartV3", |n| {
        main_diagonal(n, 1)?;
        let x = n.input(0)?;
        diagonal(n, x)
    }),
    ("OneHot", one_hot),
    ("Roll", roll),
    ("TensorScatterSub", |n| {
        let (x, indices, updates) = (n.input(0)?, n.input(1)?, n.input(2)?);
        let updates = n.apply(frit_ir::ops::neg::Neg {}, &[updates])?;
        Ok(vec![n.apply(ScatterNd { update: Update::Add }, &[x, indices, updates])?])
    }),
];

/// Ops that hand on what they are given.
pub(super) const HANDED_ON: &[(&str, BoundHandler)] = &[
    ("CheckNumerics", first),
    ("DeepCopy", first),
    ("EnsureShape", first),
    ("GuaranteeConst", first),
    ("Identity", first),
    ("IdentityN", |n| Ok(n.inputs.to_vec())),
    ("PlaceholderWithDefault", first),
    ("PreventGradient", first),
    ("ReadVariableOp", |n| Ok(vec![n.input(0)?.into()])),
    ("Snapshot", first),
    ("StopGradient", first),
];

fn first(n: &mut Node<'_, '_>) -> Result<Vec<Bound>, OpError> {
    Ok(vec![n.bound(0)?.clone()])
}

fn shape(n: &mut Node<'_, '_>, x: ValueId) -> Result<ValueId, OpError> {
    let shape = n.shape_of(x)?;
    let to = n.dtype("out_type", DType::I32)?;
    n.cast(shape, to)
}

fn filled_like(n: &mut Node<'_, '_>, x: ValueId, number: i64) -> Values {
    let dtype = n.builder.dtype(x);
    let number = n.constant(Tensor::scalar(dtype, Scalar::Int(i128::from(number))));
    let shape = n.shape_of(x)?;
    Ok(vec![n.apply(ExpandTo {}, &[number, shape])?])
}

fn concat(n: &mut Node<'_, '_>, axis: ValueId, parts: &[ValueId]) -> Values {
    let [axis] = n.builder.as_ints(axis)?[..] else { return Err(OpError::invalid("the axis of a concatenation is one number")) };
    if let [only] = parts {
        return Ok(vec![*only]);
    }
    let first = parts.first().ok_or_else(|| OpError::invalid("a concatenation takes operands"))?;
    let axis = n.axis(axis, *first)?;
    Ok(vec![n.apply(Concat { axis }, parts)?])
}

/// With axes that run along with those of the indices, these are put before each index as further ones.
fn gather(n: &mut Node<'_, '_>) -> Values {
    let (x, indices) = (n.input(0)?, n.input(1)?);
    let axis = if n.inputs.len() > 2 { n.known_int(2)? } else { 0 };
    let axis = n.axis(axis, x)?;
    let batch = n.int("batch_dims", 0);
    let batch = if batch == 0 { 0 } else { n.axis(batch, indices).or_else(|error| if batch == n.builder.rank(indices)? as i64 { Ok(batch as usize) } else { Err(error) })? };
    if batch == 0 {
        return Ok(vec![n.apply(Gather { axis }, &[x, indices])?]);
    }
    if batch > axis {
        return Err(OpError::invalid("'batch_dims' of 'GatherV2' is beyond its axis"));
    }
    // The axis is moved behind the common ones, gathered by tuples, and the others moved back.
    let (rank, chosen) = (n.builder.rank(x)?, n.builder.rank(indices)?);
    let perm: Vec<usize> = (0..batch).chain([axis]).chain((batch..rank).filter(|k| *k != axis)).collect();
    let moved = crate::import::layout::permuted(n.builder, x, &perm)?;
    let tuples = n.unsqueeze(indices, &[-1])?;
    let rows = n.apply(GatherNd { batch }, &[moved, tuples])?;
    let (between, inner) = (axis - batch, chosen - batch);
    let back: Vec<usize> = (0..batch).chain((0..between).map(|k| batch + inner + k)).chain((0..inner).map(|k| batch + k)).chain(batch + inner + between..rank + chosen - batch - 1).collect();
    Ok(vec![crate::import::layout::permuted(n.builder, rows, &back)?])
}

fn one_hot(n: &mut Node<'_, '_>) -> Values {
    let (indices, depth, on, off) = (n.input(0)?, n.vector(1)?, n.input(2)?, n.input(3)?);
    let (on, off) = (n.flat(on)?, n.flat(off)?);
    let values = n.apply(Concat { axis: 0 }, &[off, on])?;
    // Negative indices stand for nothing, which an index behind the last does too.
    let dtype = n.builder.dtype(indices);
    let indices = if dtype == DType::U8 {
        indices
    } else {
        let zero = n.number(indices, 0.0);
        let negative = n.apply(Less {}, &[indices, zero])?;
        let beyond = n.cast(depth, dtype)?;
        let beyond = n.reshape(beyond, &[])?;
        n.apply(Select {}, &[negative, beyond, indices])?
    };
    let depth = n.reshape(depth, &[])?;
    Ok(vec![n.apply(OneHotBy { axis: n.int("axis", -1) }, &[indices, depth, values])?])
}

/// Paddings are pairs of numbers in front and behind, per axis.
fn margins(n: &mut Node<'_, '_>) -> Result<ValueId, OpError> {
    let pairs = n.input(1)?;
    let pairs = n.cast(pairs, DType::I64)?;
    let columns = n.apply(Transpose { perm: vec![1, 0] }, &[pairs])?;
    n.flat(columns)
}

fn pad(n: &mut Node<'_, '_>, mode: PadMode) -> Values {
    let x = n.input(0)?;
    let pads = margins(n)?;
    let value = if n.inputs.len() > 2 { n.input(2)? } else { n.number(x, 0.0) };
    Ok(vec![n.apply(PadBy { mode }, &[x, pads, value])?])
}

fn mirror_pad(n: &mut Node<'_, '_>) -> Values {
    match n.text("mode", "REFLECT") {
        "REFLECT" => pad(n, PadMode::Reflect),
        "SYMMETRIC" => {
            // Mirrored with the outermost element: along each axis what is reversed is put beside.
            let mut x = n.input(0)?;
            let pairs = n.known_ints(1)?;
            for (axis, pair) in pairs.chunks(2).enumerate() {
                let [before, after] = *pair else { return Err(OpError::invalid("paddings are pairs")) };
                let extent = n.builder.ty(x).dims()?.get(axis).and_then(|dim| dim.known()).ok_or_else(OpError::unknown)?;
                if !(0..=extent).contains(&before) || !(0..=extent).contains(&after) {
                    return Err(OpError::invalid(format!("an axis of {extent} elements can't be mirrored by {before} and {after}")));
                }
                let mut parts = Vec::new();
                if before > 0 {
                    let edge = n.part(x, axis, 0, before)?;
                    parts.extend(reversed(n, edge, &[axis as i64])?);
                }
                parts.push(x);
                if after > 0 {
                    let edge = n.part(x, axis, extent - after, extent)?;
                    parts.extend(reversed(n, edge, &[axis as i64])?);
                }
                if parts.len() > 1 {
                    x = n.apply(Concat { axis }, &parts)?;
                }
            }
            Ok(vec![x])
        }
        other => Err(n.unknown_text("mode", other)),
    }
}

fn reversed(n: &mut Node<'_, '_>, x: ValueId, axes: &[i64]) -> Values {
    if axes.is_empty() {
        return Ok(vec![x]);
    }
    let count = axes.len();
    let (starts, ends) = (n.builder.ints(&vec![-1; count]), n.builder.ints(&vec![i64::MIN; count]));
    let (axes, steps) = (n.builder.ints(axes), n.builder.ints(&vec![-1; count]));
    Ok(vec![n.apply(SliceBy {}, &[x, starts, ends, axes, steps])?])
}

fn roll(n: &mut Node<'_, '_>) -> Values {
    let mut x = n.input(0)?;
    let (shifts, axes) = (n.known_ints(1)?, n.known_ints(2)?);
    for (shift, axis) in shifts.into_iter().zip(axes) {
        let axis = n.axis(axis, x)?;
        let extent = n.builder.ty(x).dims()?[axis].known().ok_or_else(OpError::unknown)?;
        if extent == 0 {
            continue;
        }
        let cut = extent - shift.rem_euclid(extent);
        if cut != extent {
            let (head, tail) = (n.part(x, axis, 0, cut)?, n.part(x, axis, cut, extent)?);
            x = n.apply(Concat { axis }, &[tail, head])?;
        }
    }
    Ok(vec![x])
}

fn slice(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let (begin, size) = (n.vector(1)?, n.vector(2)?);
    if let (Ok(begins), Ok(sizes)) = (n.builder.as_ints(begin), n.builder.as_ints(size)) {
        if begins.len() != sizes.len() {
            return Err(OpError::invalid("'Slice' takes as many begins as sizes"));
        }
        let ends: Vec<i64> = begins.iter().zip(&sizes).map(|(begin, size)| if *size < 0 { i64::MAX } else { begin.saturating_add(*size) }).collect();
        let ends = n.builder.ints(&ends);
        return Ok(vec![n.apply(SliceBy {}, &[x, begin, ends])?]);
    }
    if let Ok(sizes) = n.builder.as_ints(size) {
        // The extents are known, so elements are picked by where they begin.
        let mut x = x;
        for (axis, size) in sizes.into_iter().enumerate() {
            let extent = n.builder.ty(x).dims()?.get(axis).and_then(|dim| dim.known()).ok_or_else(OpError::unknown)?;
            if size == extent || size < 0 && extent == 1 {
                continue;
            }
            if size < 0 {
                return Err(OpError::unknown());
            }
            let from = n.part(begin, 0, axis as i64, axis as i64 + 1)?;
            let offsets = n.apply(Iota { dtype: DType::I64, extents: vec![size], axis: 0 }, &[])?;
            let indices = n.add(offsets, from)?;
            x = n.apply(Gather { axis }, &[x, indices])?;
        }
        return Ok(vec![x]);
    }
    let ends = n.add(begin, size)?;
    Ok(vec![n.apply(SliceBy {}, &[x, begin, ends])?])
}

fn split_v(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let (mut sizes, axis) = (n.known_ints(1)?, n.known_int(2)?);
    let axis = n.axis(axis, x)?;
    if let Some(open) = sizes.iter().position(|size| *size < 0) {
        let extent = n.builder.ty(x).dims()?[axis].known().ok_or_else(OpError::unknown)?;
        let rest: i64 = sizes.iter().enumerate().filter(|(k, _)| *k != open).map(|(_, size)| *size).fold(0i64, i64::saturating_add);
        sizes[open] = extent - rest;
    }
    let parts = sizes.len();
    let sizes = n.builder.ints(&sizes);
    n.builder.apply_all(Split { axis, parts }, &[x, sizes])
}

fn tensor_scatter(n: &mut Node<'_, '_>, update: Update) -> Values {
    n.simple(ScatterNd { update }, 3)
}

fn top_k(n: &mut Node<'_, '_>, k: ValueId) -> Values {
    let x = n.input(0)?;
    let axis = n.axis(-1, x)?;
    let found = n.builder.apply_all(TopK { axis, largest: true }, &[x, k])?;
    let to = n.dtype("index_type", DType::I32)?;
    Ok(vec![found[0], n.cast(found[1], to)?])
}

fn unique(n: &mut Node<'_, '_>, counts: bool) -> Values {
    let x = n.input(0)?;
    if n.builder.rank(x)? != 1 {
        return Err(OpError::unsupported("'Unique' of more than one axis is not supported"));
    }
    let found = n.builder.apply_all(Unique { axis: None, sorted: false }, &[x])?;
    let to = n.dtype("out_idx", DType::I32)?;
    let mut results = vec![found[0], n.cast(found[2], to)?];
    if counts {
        results.push(n.cast(found[3], to)?);
    }
    Ok(results)
}

fn lin_space(n: &mut Node<'_, '_>) -> Values {
    let (start, stop) = (n.input(0)?, n.input(1)?);
    let count = n.known_int(2)?;
    if count < 1 {
        return Err(OpError::invalid("'LinSpace' gives at least one number"));
    }
    let dtype = n.builder.dtype(start);
    let numbers = n.apply(Iota { dtype: DType::I64, extents: vec![count], axis: 0 }, &[])?;
    let numbers = n.cast(numbers, dtype)?;
    let range = n.sub(stop, start)?;
    let last = n.builder.scalar(dtype, (count - 1).max(1) as f64);
    let step = n.apply(frit_ir::ops::div::Div {}, &[range, last])?;
    let distance = n.mul(numbers, step)?;
    Ok(vec![n.add(distance, start)?])
}

/// Where row and column lie so far apart, as a truth value for each element of a matrix: lower and upper bound of column less row.
fn band(n: &mut Node<'_, '_>, rows: i64, columns: i64, lower: Option<i64>, upper: Option<i64>) -> Result<Option<ValueId>, OpError> {
    let row = n.apply(Iota { dtype: DType::I64, extents: vec![rows, 1], axis: 0 }, &[])?;
    let column = n.apply(Iota { dtype: DType::I64, extents: vec![1, columns], axis: 1 }, &[])?;
    let distance = n.sub(column, row)?;
    let mut within: Option<ValueId> = None;
    for (bound, above) in [(lower, true), (upper, false)] {
        let Some(bound) = bound else { continue };
        let bound = int_scalar(n, DType::I64, bound);
        let pair = if above { [bound, distance] } else { [distance, bound] };
        let holds = n.apply(frit_ir::ops::less_equal::LessEqual {}, &pair)?;
        within = Some(match within {
            Some(other) => n.apply(frit_ir::ops::and::And {}, &[other, holds])?,
            None => holds,
        });
    }
    Ok(within)
}

fn matrix_extents(n: &mut Node<'_, '_>, x: ValueId) -> Result<(i64, i64), OpError> {
    match n.builder.ty(x).dims()? {
        [.., rows, columns] => rows.known().zip(columns.known()).ok_or_else(OpError::unknown),
        _ => Err(OpError::invalid("it takes matrices")),
    }
}

fn matrix_band_part(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let (lower, upper) = (n.known_int(1)?, n.known_int(2)?);
    if lower < 0 && upper < 0 {
        return Ok(vec![x]);
    }
    // Triangles have an op of their own.
    if n.builder.dtype(x) != DType::Bool && ((lower < 0 && upper >= 0) || (upper < 0 && lower >= 0)) {
        let diagonal = n.builder.ints(&[if lower < 0 { upper } else { -lower }]);
        return Ok(vec![n.apply(TriluBy { upper: upper < 0 }, &[x, diagonal])?]);
    }
    let (rows, columns) = matrix_extents(n, x)?;
    let within = band(n, rows, columns, (lower >= 0).then_some(-lower), (upper >= 0).then_some(upper))?;
    let Some(within) = within else { return Ok(vec![x]) };
    let dtype = n.builder.dtype(x);
    let zero = n.constant(Tensor::scalar(dtype, Scalar::zero(dtype)));
    Ok(vec![n.apply(Select {}, &[within, x, zero])?])
}

/// Only the main diagonal is supported where others could be asked for.
fn main_diagonal(n: &mut Node<'_, '_>, at: usize) -> Result<(), OpError> {
    if n.known_ints(at)?.iter().any(|k| *k != 0) {
        return Err(OpError::unsupported(format!("'{}' of other diagonals than the main one is not supported", n.op)));
    }
    Ok(())
}

fn diagonal(n: &mut Node<'_, '_>, x: ValueId) -> Values {
    let (rows, columns) = matrix_extents(n, x)?;
    let side = rows.min(columns);
    let rank = n.builder.rank(x)?;
    let x = n.part(x, rank - 2, 0, side)?;
    let x = n.part(x, rank - 1, 0, side)?;
    let index = n.apply(Iota { dtype: DType::I64, extents: vec![side, 1], axis: 0 }, &[])?;
    let mut extents = n.builder.extents(x)?;
    extents[rank - 1] = 1;
    let shape = n.builder.ints(&extents);
    let index = n.apply(ExpandTo {}, &[index, shape])?;
    let picked = n.apply(frit_ir::ops::gather_elements::GatherElements { axis: rank - 1 }, &[x, index])?;
    Ok(vec![n.squeeze(picked, &[-1])?])
}

fn diagonal_matrix(n: &mut Node<'_, '_>, x: ValueId) -> Values {
    let side = n.builder.ty(x).dims()?.last().and_then(|dim| dim.known()).ok_or_else(OpError::unknown)?;
    let on = band(n, side, side, Some(0), Some(0))?.ok_or_else(|| OpError::bug("a band has bounds"))?;
    let row = n.unsqueeze(x, &[-1])?;
    let dtype = n.builder.dtype(x);
    let zero = n.constant(Tensor::scalar(dtype, Scalar::zero(dtype)));
    Ok(vec![n.apply(Select {}, &[on, row, zero])?])
}

fn matrix_set_diag(n: &mut Node<'_, '_>) -> Values {
    let (x, diagonal) = (n.input(0)?, n.input(1)?);
    let (rows, columns) = matrix_extents(n, x)?;
    let on = band(n, rows, columns, Some(0), Some(0))?.ok_or_else(|| OpError::bug("a band has bounds"))?;
    // The diagonal lies along the shorter axis.
    let spread = n.unsqueeze(diagonal, &[if rows <= columns { -1 } else { -2 }])?;
    Ok(vec![n.apply(Select {}, &[on, spread, x])?])
}

/// Slices of the result by lists of their places; where all places are given once, what comes last wins.
fn dynamic_stitch(n: &mut Node<'_, '_>) -> Values {
    let inputs = n.all_inputs()?;
    let (indices, data) = inputs.split_at(inputs.len() / 2);
    let mut places: Vec<i64> = Vec::new();
    let (mut index_parts, mut parts) = (Vec::new(), Vec::new());
    for (index, data) in indices.iter().zip(data) {
        places.extend(n.builder.as_ints(*index)?);
        let rank = n.builder.rank(*index)?;
        index_parts.push(n.flat(*index)?);
        let shape: Vec<i64> = std::iter::once(-1).chain(n.builder.extents(*data)?.into_iter().skip(rank)).collect();
        parts.push(n.reshape(*data, &shape)?);
    }
    let count = places.iter().max().map_or(0, |last| last + 1);
    if places.iter().any(|place| *place < 0) || count > 1 << 24 {
        return Err(OpError::invalid("'DynamicStitch' to places that make no sense"));
    }
    let first = *parts.first().ok_or_else(|| OpError::invalid("'DynamicStitch' takes operands"))?;
    let (index, data) = (n.apply(Concat { axis: 0 }, &index_parts)?, n.apply(Concat { axis: 0 }, &parts)?);
    let shape: Vec<i64> = std::iter::once(count).chain(n.builder.extents(first)?.into_iter().skip(1)).collect();
    let (zero, shape) = (n.number(first, 0.0), n.builder.ints(&shape));
    let base = n.apply(ExpandTo {}, &[zero, shape])?;
    let index = n.unsqueeze(index, &[-1])?;
    Ok(vec![n.apply(ScatterNd { update: Update::Replace }, &[base, index, data])?])
}

/// An entry of `StridedSlice`'s lists.
enum Entry {
    /// A new axis of extent 1.
    New,
    /// An axis taken whole.
    Whole,
    /// An axis, sliced by the list's entry.
    Sliced(usize),
    /// An axis of which one index is taken.
    Picked(usize),
}

fn strided_slice(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let (begin, end, strides) = (n.vector(1)?, n.vector(2)?, n.vector(3)?);
    let count = n.builder.extents(begin)?.first().copied().ok_or_else(|| OpError::invalid("'StridedSlice' takes vectors"))?;
    let count = usize::try_from(count).ok().filter(|count| *count <= 32).ok_or_else(|| OpError::invalid("'StridedSlice' of that many axes"))?;
    let mask = |name: &str| {
        let bits = n.int(name, 0);
        move |k: usize| bits >> k & 1 == 1
    };
    let (begin_mask, end_mask, ellipsis, new_axis, shrink) = (mask("begin_mask"), mask("end_mask"), mask("ellipsis_mask"), mask("new_axis_mask"), mask("shrink_axis_mask"));
    let rank = n.builder.rank(x)?;
    if (0..count).filter(|k| ellipsis(*k)).count() > 1 {
        return Err(OpError::invalid("'StridedSlice' of more than one ellipsis"));
    }
    let consumed = (0..count).filter(|k| !ellipsis(*k) && !new_axis(*k)).count();
    if consumed > rank {
        return Err(OpError::invalid(format!("'StridedSlice' of {consumed} axes of {}", n.builder.ty(x))));
    }
    let mut entries = Vec::new();
    for k in 0..count {
        if ellipsis(k) {
            entries.extend((0..rank - consumed).map(|_| Entry::Whole));
        } else if new_axis(k) {
            entries.push(Entry::New);
        } else if shrink(k) {
            entries.push(Entry::Picked(k));
        } else {
            entries.push(Entry::Sliced(k));
        }
    }
    let steps = n.builder.as_ints(strides)?;
    let (begins, ends) = (n.builder.as_ints(begin).ok(), n.builder.as_ints(end).ok());
    if steps.len() < count || begins.as_ref().is_some_and(|list| list.len() < count) || ends.as_ref().is_some_and(|list| list.len() < count) {
        return Err(OpError::invalid("'StridedSlice' takes as many begins as ends and steps"));
    }
    // First what is known or taken in ranges, then single indices that are only known when the model runs, then new axes.
    let (mut from, mut to, mut axes, mut by) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut picked: Vec<(usize, ValueId)> = Vec::new();
    let mut dropped: Vec<i64> = Vec::new();
    let mut axis = 0usize;
    for entry in &entries {
        match *entry {
            Entry::New => continue,
            Entry::Whole => {}
            Entry::Sliced(k) => {
                let step = steps[k];
                if step == 0 {
                    return Err(OpError::invalid("a step of 0"));
                }
                if !(begin_mask(k) && end_mask(k) && step == 1) {
                    let open = |n: &mut Node<'_, '_>, masked: bool, known: &Option<Vec<i64>>, list: ValueId, default: i64| match known {
                        _ if masked => Ok::<_, OpError>(n.builder.ints(&[default])),
                        Some(known) => Ok(n.builder.ints(&[known[k]])),
                        None => n.part(list, 0, k as i64, k as i64 + 1),
                    };
                    from.push(open(n, begin_mask(k), &begins, begin, if step > 0 { 0 } else { i64::MAX })?);
                    to.push(open(n, end_mask(k), &ends, end, if step > 0 { i64::MAX } else { i64::MIN })?);
                    axes.push(axis as i64);
                    by.push(step);
                }
            }
            Entry::Picked(k) => match &begins {
                Some(begins) => {
                    let at = begins[k];
                    if let Some(extent) = n.builder.ty(x).dims()?[axis].known()
                        && !(-extent..extent).contains(&at)
                    {
                        return Err(OpError::invalid(format!("index {at} of an axis of {extent} elements")));
                    }
                    from.push(n.builder.ints(&[at]));
                    to.push(n.builder.ints(&[if at == -1 { i64::MAX } else { at + 1 }]));
                    axes.push(axis as i64);
                    by.push(1);
                    dropped.push(axis as i64);
                }
                None => {
                    let index = n.part(begin, 0, k as i64, k as i64 + 1)?;
                    picked.push((axis, n.reshape(index, &[])?));
                }
            },
        }
        axis += 1;
    }
    let mut y = x;
    if !axes.is_empty() {
        let (from, to) = (joined(n, &from)?, joined(n, &to)?);
        let (axes, by) = (n.builder.ints(&axes), n.builder.ints(&by));
        y = n.apply(SliceBy {}, &[y, from, to, axes, by])?;
        // A part of a shape may be known although another isn't.
        if let Some(known) = n.known_value(y) {
            y = known;
        }
    }
    for (axis, index) in picked.iter().rev() {
        let row = n.pick(y, *axis, *index)?;
        y = n.unsqueeze(row, &[*axis as i64])?;
        dropped.push(*axis as i64);
    }
    if !dropped.is_empty() {
        dropped.sort_unstable();
        y = n.squeeze(y, &dropped)?;
    }
    let mut new = Vec::new();
    let mut at = 0i64;
    for entry in &entries {
        match entry {
            Entry::New => {
                new.push(at);
                at += 1;
            }
            Entry::Picked(_) => {}
            _ => at += 1,
        }
    }
    if !new.is_empty() {
        y = n.unsqueeze(y, &new)?;
    }
    Ok(vec![y])
}

fn joined(n: &mut Node<'_, '_>, parts: &[ValueId]) -> Result<ValueId, OpError> {
    if let [one] = parts { Ok(*one) } else { n.apply(Concat { axis: 0 }, parts) }
}
