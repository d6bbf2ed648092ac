//! Operators that move elements: shapes, views, joining and cutting.

use frit_ir::ops::extend::Margin;
use frit_ir::ops::pad_by::{PadBy, PadMode};
use frit_ir::ops::{
    concat::Concat, expand_to::ExpandTo, extend::Extend, gather::Gather, pad::Pad, reshape_to::ReshapeTo,
    shape_of::ShapeOf, slice_by::SliceBy, tile_by::TileBy, triangle::Triangle, unsqueeze::Unsqueeze,
};
use frit_ir::shape::axis;
use frit_ir::{Builder, DType, Dim, OpError, Shape, Tensor, TensorType, ValueId};

use super::call::{Call, Values};
use super::math::common;
use super::{Handler, create};
use crate::import::pytorch::alias::{TensorId, View};
use crate::import::pytorch::value::{Symbol, Value};

pub(super) const OPS: &[(&str, Handler)] = &[
    ("_reshape_alias", |c| reshape(c, "size")),
    ("_to_copy", to),
    ("_unsafe_view", |c| reshape(c, "size")),
    ("adjoint", |c| swap(c, -2, -1)),
    ("alias", same),
    ("as_strided", as_strided),
    ("atleast_1d", |c| at_least(c, 1)),
    ("atleast_2d", |c| at_least(c, 2)),
    ("atleast_3d", |c| at_least(c, 3)),
    ("broadcast_tensors", |c| {
        let tensors = c.tensors("tensors")?;
        let shape = joint_shape(c, &tensors)?;
        let values = tensors.iter().map(|x| c.apply(ExpandTo {}, &[*x, shape])).collect::<Result<Vec<_>, _>>()?;
        c.list(&values)
    }),
    ("broadcast_to", |c| expand(c, "size")),
    ("cat", |c| concatenate(c, "dim")),
    ("channel_shuffle", |c| {
        let x = c.id("self")?;
        let groups = c.int("groups")?;
        let value = c.tensor("self")?;
        let extents = c.extents(value)?;
        let [batch, channels, rest @ ..] = extents.as_slice() else { return Err(OpError::invalid("'channel_shuffle' wants an image")) };
        if groups < 1 || channels % groups != 0 {
            return Err(OpError::invalid(format!("{channels} channels don't make {groups} groups")));
        }
        let split: Vec<i64> = [*batch, groups, channels / groups].iter().chain(rest).copied().collect();
        let (split, whole) = (c.builder().ints(&split), c.builder().ints(&extents));
        let perm = [0, 2, 1].into_iter().chain(3..extents.len() + 1).collect();
        let value = c.view(x, vec![View::Reshape(split), View::Transpose(perm), View::Reshape(whole)])?;
        fresh(c, value)
    }),
    ("clone", |c| {
        let x = c.tensor("self")?;
        c.one(x)
    }),
    ("column_stack", |c| {
        let tensors = c.tensors("tensors")?;
        let parts = tensors.iter().map(|x| if c.rank(*x)? < 2 { reshaped(c, *x, &[-1, 1]) } else { Ok(*x) }).collect::<Result<Vec<_>, _>>()?;
        join(c, &parts, 1)
    }),
    ("concat", |c| concatenate(c, "dim")),
    ("concatenate", |c| concatenate(c, "dim")),
    ("constant_pad_nd", |c| {
        let pads = c.ints("pad")?;
        constant_pad(c, &pads)
    }),
    ("contiguous", contiguous),
    ("copy", |c| {
        let (x, source) = (c.tensor("self")?, c.tensor("src")?);
        let dtype = c.dtype(x);
        let source = c.cast(source, dtype)?;
        let value = expand_like(c.builder(), source, x)?;
        c.one(value)
    }),
    ("cpu", same),
    ("cuda", same),
    ("detach", same),
    ("detach_", same),
    ("detach_copy", same),
    ("diagonal", |c| diagonal(c).map(|value| vec![value])),
    ("expand", |c| expand(c, "size")),
    ("expand_as", |c| {
        let like = c.tensor("other")?;
        let shape = c.extents_of(like)?;
        let x = c.id("self")?;
        c.view(x, vec![View::Expand(shape)])
    }),
    ("expand_copy", |c| expand(c, "size")),
    ("flatten", |c| {
        let value = c.tensor("self")?;
        let rank = c.rank(value)?;
        if rank == 0 {
            return reshape_values(c, &[Value::Int(1)]);
        }
        let (start, end) = (axis(c.int("start_dim")?, rank)?, axis(c.int("end_dim")?, rank)?);
        if start > end {
            return Err(OpError::invalid("'flatten' ends before it begins"));
        }
        let mut sizes = sizes(c, value)?;
        if sizes.iter().all(|size| matches!(size, Value::Int(_))) {
            let product: i64 = sizes[start..=end].iter().map(|size| if let Value::Int(n) = size { *n } else { 1 }).fold(1i64, i64::wrapping_mul);
            sizes.splice(start..=end, [Value::Int(product)]);
        } else {
            sizes.splice(start..=end, [Value::Int(-1)]);
        }
        reshape_values(c, &sizes)
    }),
    ("flip", |c| {
        let x = c.tensor("self")?;
        let axes = c.axes("dims", x, false)?;
        let value = flipped(c, x, &axes)?;
        c.one(value)
    }),
    ("fliplr", |c| {
        let x = c.tensor("self")?;
        let value = flipped(c, x, &[1])?;
        c.one(value)
    }),
    ("flipud", |c| {
        let x = c.tensor("self")?;
        let value = flipped(c, x, &[0])?;
        c.one(value)
    }),
    ("hstack", |c| {
        let tensors = c.tensors("tensors")?;
        let mut parts = Vec::new();
        for x in tensors {
            parts.push(if c.rank(x)? == 0 { reshaped(c, x, &[1])? } else { x });
        }
        let axis = usize::from(parts.first().map(|x| c.rank(*x)).transpose()?.is_some_and(|rank| rank > 1));
        join(c, &parts, axis)
    }),
    ("lift", same),
    ("lift_fresh", same),
    ("lift_fresh_copy", |c| {
        let x = c.tensor("self")?;
        c.one(x)
    }),
    ("meshgrid", |c| meshgrid(c, false)),
    ("meshgrid.indexing", |c| {
        let swapped = c.maybe_text("indexing")? == Some("xy");
        meshgrid(c, swapped)
    }),
    ("movedim", movedim),
    ("mH", |c| swap(c, -2, -1)),
    ("mT", |c| swap(c, -2, -1)),
    ("moveaxis", movedim),
    ("narrow", |c| {
        let value = c.tensor("self")?;
        let axis = c.axis("dim", value)?;
        let (start, length) = (c.int("start")?, c.int("length")?);
        let start = if start < 0 { start + extent(c, value, axis)? } else { start };
        let end = start.checked_add(length).ok_or_else(|| OpError::invalid("'narrow' ends outside"))?;
        let view = slice_view(c, axis, start, end, 1);
        let x = c.id("self")?;
        c.view(x, vec![view])
    }),
    ("narrow_copy", |c| {
        let value = c.tensor("self")?;
        let axis = c.axis("dim", value)?;
        let (start, length) = (c.int("start")?, c.int("length")?);
        let view = slice_view(c, axis, start, start.saturating_add(length), 1);
        let x = c.id("self")?;
        let value = c.view(x, vec![view])?;
        fresh(c, value)
    }),
    ("numpy_T", |c| {
        let rank = rank(c)?;
        permuted(c, (0..rank).rev().collect())
    }),
    ("pad", |c| {
        let pads = c.ints("pad")?;
        match c.maybe_text("mode")?.unwrap_or("constant") {
            "constant" => constant_pad(c, &pads),
            "reflect" => extended(c, &pads, Margin::Reflect),
            "replicate" => extended(c, &pads, Margin::Edge),
            "circular" => extended(c, &pads, Margin::Wrap),
            other => Err(OpError::unsupported(format!("padding mode '{other}' is not supported"))),
        }
    }),
    ("permute", |c| {
        let rank = rank(c)?;
        let perm = c.ints("dims")?.iter().map(|k| axis(*k, rank)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = perm.clone();
        seen.sort_unstable();
        if !seen.iter().copied().eq(0..rank) {
            return Err(OpError::invalid(format!("{perm:?} is no order of {rank} axes")));
        }
        permuted(c, perm)
    }),
    ("permute_copy", |c| {
        let rank = rank(c)?;
        let perm = c.ints("dims")?.iter().map(|k| axis(*k, rank)).collect::<Result<Vec<_>, _>>()?;
        permuted(c, perm)
    }),
    ("ravel", |c| reshape_values(c, &[Value::Int(-1)])),
    ("reflection_pad1d", |c| padded(c, Margin::Reflect)),
    ("reflection_pad2d", |c| padded(c, Margin::Reflect)),
    ("reflection_pad3d", |c| padded(c, Margin::Reflect)),
    ("repeat", |c| {
        let x = c.tensor("self")?;
        let repeats = c.get("repeats").elements().ok_or_else(|| c.wrong("repeats"))?.to_vec();
        tiled(c, x, &repeats)
    }),
    ("repeat_interleave.self_int", |c| {
        let x = c.tensor("self")?;
        let repeats = c.int("repeats")?;
        let (x, axis) = if c.has("dim") { (x, c.axis("dim", x)?) } else { (reshaped(c, x, &[-1])?, 0) };
        let wide = {
            let axes = c.builder().ints(&[axis as i64 + 1]);
            c.apply(Unsqueeze {}, &[x, axes])?
        };
        let rank = c.rank(wide)?;
        let mut shape = vec![1; rank];
        shape[axis + 1] = repeats;
        let shape = c.builder().ints(&shape);
        let wide = c.apply(TileBy {}, &[wide, shape])?;
        let mut shape: Vec<i64> = vec![0; rank - 1];
        shape[axis] = -1;
        for (k, slot) in shape.iter_mut().enumerate() {
            if k != axis {
                *slot = extent(c, x, k)?;
            }
        }
        if let Ok(known) = extent(c, x, axis) {
            shape[axis] = known.checked_mul(repeats).ok_or_else(|| OpError::invalid("it repeats too often"))?;
        }
        let value = reshaped(c, wide, &shape)?;
        c.one(value)
    }),
    ("repeat_interleave.self_Tensor", |c| {
        let x = c.tensor("self")?;
        let repeats = c.known_ints("repeats")?;
        let (x, axis) = if c.has("dim") { (x, c.axis("dim", x)?) } else { (reshaped(c, x, &[-1])?, 0) };
        let extent = extent(c, x, axis)?;
        let repeats = if repeats.len() == 1 { vec![repeats[0]; usize::try_from(extent).unwrap_or(0)] } else { repeats };
        if repeats.len() as i64 != extent || repeats.iter().any(|n| *n < 0) || repeats.iter().sum::<i64>() > create::MOST {
            return Err(OpError::invalid("'repeat_interleave' has other counts than elements"));
        }
        let indices: Vec<i64> = repeats.iter().enumerate().flat_map(|(at, n)| std::iter::repeat_n(at as i64, *n as usize)).collect();
        let indices = c.builder().ints(&indices);
        let value = c.apply(Gather { axis }, &[x, indices])?;
        c.one(value)
    }),
    ("replication_pad1d", |c| padded(c, Margin::Edge)),
    ("replication_pad2d", |c| padded(c, Margin::Edge)),
    ("replication_pad3d", |c| padded(c, Margin::Edge)),
    ("reshape", |c| reshape(c, "shape")),
    ("reshape_as", |c| like(c)),
    ("resolve_conj", same),
    ("resolve_neg", same),
    ("rot90", |c| {
        let x = c.tensor("self")?;
        let axes = c.ints("dims")?;
        let rank = c.rank(x)?;
        let [a, b] = axes.as_slice() else { return Err(OpError::invalid("'rot90' takes two axes")) };
        let (a, b) = (axis(*a, rank)?, axis(*b, rank)?);
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(a, b);
        let turned = |c: &mut Call<'_>, x: ValueId| c.apply(frit_ir::ops::transpose::Transpose { perm }, &[x]);
        let value = match c.int("k")?.rem_euclid(4) {
            0 => x,
            1 => {
                let x = flipped(c, x, &[b])?;
                turned(c, x)?
            }
            2 => flipped(c, x, &[a, b])?,
            _ => {
                let x = turned(c, x)?;
                flipped(c, x, &[b])?
            }
        };
        c.one(value)
    }),
    ("select", select),
    ("select_copy", select),
    ("slice", slice),
    ("slice_copy", slice),
    ("squeeze", |c| {
        let value = c.tensor("self")?;
        let axes: Vec<usize> = c.extents(value)?.iter().enumerate().filter(|(_, n)| **n == 1).map(|(axis, _)| axis).collect();
        without(c, &axes)
    }),
    ("squeeze.dim", squeeze),
    ("squeeze.dims", squeeze),
    ("squeeze_", |c| in_place(c, "squeeze")),
    ("stack", |c| {
        let tensors = c.tensors("tensors")?;
        let tensors = common(c, &tensors)?;
        let Some(first) = tensors.first() else { return Err(OpError::invalid("'stack' of nothing")) };
        let at = axis(c.int("dim")?, c.rank(*first)? + 1)?;
        let axes = c.builder().ints(&[at as i64]);
        let parts = tensors.iter().map(|x| c.apply(Unsqueeze {}, &[*x, axes])).collect::<Result<Vec<_>, _>>()?;
        join(c, &parts, at)
    }),
    ("swapaxes", |c| {
        let (a, b) = (c.int("axis0")?, c.int("axis1")?);
        swap(c, a, b)
    }),
    ("swapdims", |c| {
        let (a, b) = (c.int("dim0")?, c.int("dim1")?);
        swap(c, a, b)
    }),
    ("t", |c| if rank(c)? < 2 { same(c) } else { swap(c, 0, 1) }),
    ("t_", |c| in_place(c, "t")),
    ("tile", |c| {
        let x = c.tensor("self")?;
        let repeats = c.get("dims").elements().ok_or_else(|| c.wrong("dims"))?.to_vec();
        let missing = c.rank(x)?.saturating_sub(repeats.len());
        let repeats: Vec<Value> = std::iter::repeat_n(Value::Int(1), missing).chain(repeats).collect();
        tiled(c, x, &repeats)
    }),
    ("to", to),
    ("transpose", |c| {
        let (a, b) = (c.int("dim0")?, c.int("dim1")?);
        swap(c, a, b)
    }),
    ("transpose_", |c| in_place(c, "transpose")),
    ("transpose_copy", |c| {
        let (a, b) = (c.int("dim0")?, c.int("dim1")?);
        swap(c, a, b)
    }),
    ("tril", |c| triangle(c, false)),
    ("triu", |c| triangle(c, true)),
    ("type_as", |c| {
        let like = c.tensor("other")?;
        let dtype = c.dtype(like);
        converted(c, dtype, false)
    }),
    ("unflatten", |c| {
        let value = c.tensor("self")?;
        let at = c.axis("dim", value)?;
        let inner = c.get("sizes").elements().ok_or_else(|| c.wrong("sizes"))?.to_vec();
        let mut sizes = sizes(c, value)?;
        sizes.splice(at..=at, inner);
        reshape_values(c, &sizes)
    }),
    ("unfold", unfold),
    ("unsqueeze", unsqueeze),
    ("unsqueeze_", |c| in_place(c, "unsqueeze")),
    ("unsqueeze_copy", unsqueeze),
    ("view", |c| reshape(c, "size")),
    ("view.dtype", |c| {
        let to = c.maybe_dtype("dtype")?.ok_or_else(|| c.wrong("dtype"))?;
        let x = c.tensor("self")?;
        if c.dtype(x).size() != to.size() {
            return Err(OpError::unsupported("the bits of a tensor as elements of another size are not supported"));
        }
        let x = c.id("self")?;
        c.view(x, vec![View::Bitcast(to)])
    }),
    ("view_as", |c| like(c)),
    ("view_copy", |c| reshape(c, "size")),
    ("vstack", |c| {
        let tensors = c.tensors("tensors")?;
        let parts = tensors.iter().map(|x| if c.rank(*x)? < 2 { reshaped(c, *x, &[1, -1]) } else { Ok(*x) }).collect::<Result<Vec<_>, _>>()?;
        join(c, &parts, 0)
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("chunk", |c| {
        let x = c.id("self")?;
        let value = c.tensor("self")?;
        let axis = c.axis("dim", value)?;
        let (count, extent) = (c.int("chunks")?, extent(c, value, axis)?);
        if !(1..=create::PARTS).contains(&count) {
            return Err(OpError::invalid(format!("'chunk' into {count} parts")));
        }
        let size = (extent + count - 1) / count;
        equal_parts(c, x, axis, size, extent)
    }),
    ("diagonal_scatter", |c| {
        let x = c.tensor("self")?;
        let base = c.context.aliases.fresh(x);
        c.values[0] = Value::Tensor(base);
        let part = diagonal(c)?;
        scatter(c, base, &part)
    }),
    ("hsplit.int", |c| split_into(c, "sections", 1)),
    ("roll", roll),
    ("select_scatter", |c| {
        let x = c.tensor("self")?;
        let base = c.context.aliases.fresh(x);
        let axis = c.axis("dim", x)?;
        let views = select_views(c, x, axis)?;
        let part = c.view(base, views)?.remove(0);
        scatter(c, base, &part)
    }),
    ("slice_scatter", |c| {
        let x = c.tensor("self")?;
        let base = c.context.aliases.fresh(x);
        let view = slice_views(c, x)?;
        let part = c.view(base, vec![view])?.remove(0);
        scatter(c, base, &part)
    }),
    ("split", |c| {
        let value = c.tensor("self")?;
        if c.get("split_size").elements().is_some() {
            let sizes = c.ints("split_size")?;
            return split_with(c, &sizes);
        }
        let axis = c.axis("dim", value)?;
        let (size, extent) = (c.int("split_size")?, extent(c, value, axis)?);
        let x = c.id("self")?;
        equal_parts(c, x, axis, size, extent)
    }),
    ("split_with_sizes", |c| {
        let sizes = c.ints("split_sizes")?;
        split_with(c, &sizes)
    }),
    ("split_with_sizes_copy", |c| {
        let sizes = c.ints("split_sizes")?;
        split_with(c, &sizes)
    }),
    ("tensor_split.indices", |c| {
        let value = c.tensor("self")?;
        let axis = c.axis("dim", value)?;
        let extent = extent(c, value, axis)?;
        let clamped = |n: i64| if n < 0 { (n + extent).max(0) } else { n.min(extent) };
        let ends: Vec<i64> = c.ints("indices")?.into_iter().map(clamped).collect();
        let bounds: Vec<(i64, i64)> = std::iter::once(0).chain(ends.iter().copied()).zip(ends.iter().copied().chain([extent])).collect();
        let x = c.id("self")?;
        parts(c, x, axis, &bounds)
    }),
    ("tensor_split.sections", |c| {
        let value = c.tensor("self")?;
        let axis = c.axis("dim", value)?;
        let (count, extent) = (c.int("sections")?, extent(c, value, axis)?);
        if !(1..=create::PARTS).contains(&count) {
            return Err(OpError::invalid(format!("a tensor is split into {count} parts")));
        }
        let end = |k: i64| k * (extent / count) + k.min(extent % count);
        let bounds: Vec<(i64, i64)> = (0..count).map(|k| (end(k), end(k + 1))).collect();
        let x = c.id("self")?;
        parts(c, x, axis, &bounds)
    }),
    ("unbind", |c| {
        let value = c.tensor("self")?;
        let axis = c.axis("dim", value)?;
        let count = extent(c, value, axis)?;
        if count > create::PARTS {
            return Err(OpError::unsupported(format!("a tensor is cut into {count} parts")));
        }
        let rest = shape_without(c, value, &[axis])?;
        let x = c.id("self")?;
        let mut list = Vec::new();
        for at in 0..count {
            let cut = slice_view(c, axis, at, at + 1, 1);
            list.extend(c.view(x, vec![cut, View::Reshape(rest)])?);
        }
        Ok(vec![Value::List(list)])
    }),
    ("unsafe_chunk", |c| split_into(c, "chunks", 0)),
    ("unsafe_split", |c| {
        let value = c.tensor("self")?;
        let axis = c.axis("dim", value)?;
        let (size, extent) = (c.int("split_size")?, extent(c, value, axis)?);
        let x = c.id("self")?;
        equal_parts(c, x, axis, size, extent)
    }),
    ("unsafe_split_with_sizes", |c| {
        let sizes = c.ints("split_sizes")?;
        split_with(c, &sizes)
    }),
];

/// The operators whose result may share its memory with their first operand.
pub(crate) const VIEWS: &[&str] = &[
    "_reshape_alias", "_unsafe_view", "adjoint", "alias", "as_strided", "broadcast_to", "chunk", "contiguous", "detach", "diagonal", "dropout", "expand", "expand_as", "flatten", "mH", "mT", "movedim", "moveaxis",
    "narrow", "numpy_T", "permute", "positive", "ravel", "reshape", "reshape_as", "select", "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t", "tensor_split", "to", "transpose", "type_as", "unbind",
    "unflatten", "unfold", "unsqueeze", "view", "view_as",
];

/// Operators that change what a tensor refers to, but no memory.
pub(crate) const RESHAPERS: &[&str] = &["detach_", "requires_grad_", "squeeze_", "t_", "transpose_", "unsqueeze_"];

/// A value repeated to the shape of another one.
pub(super) fn expand_like(builder: &mut Builder, x: ValueId, like: ValueId) -> Result<ValueId, OpError> {
    if builder.ty(x).shape == builder.ty(like).shape && builder.extents(x).is_ok() {
        return Ok(x);
    }
    let shape = builder.apply(ShapeOf { start: 0, end: None }, &[like])?;
    builder.apply(ExpandTo {}, &[x, shape])
}

/// The tensor itself.
fn same(c: &mut Call<'_>) -> Values {
    Ok(vec![c.values.first().cloned().unwrap_or(Value::None)])
}

fn rank(c: &mut Call<'_>) -> Result<usize, OpError> {
    let x = c.first()?;
    c.rank(x)
}

/// What a view shows, in memory of its own.
fn fresh(c: &mut Call<'_>, values: Vec<Value>) -> Values {
    let mut copies = Vec::new();
    for value in values {
        let Value::Tensor(tensor) = value else { return Err(OpError::bug("a view is a tensor")) };
        let value = c.context.read(tensor)?;
        copies.push(c.context.fresh(value));
    }
    Ok(copies)
}

/// An extent as a number.
pub(super) fn extent(c: &Call<'_>, x: ValueId, axis: usize) -> Result<i64, OpError> {
    c.context.builder.ty(x).dims()?.get(axis).and_then(Dim::known).ok_or_else(OpError::unknown)
}

/// A value under another shape.
pub(super) fn reshaped(c: &mut Call<'_>, x: ValueId, shape: &[i64]) -> Result<ValueId, OpError> {
    if c.extents(x).is_ok_and(|extents| extents == shape) {
        return Ok(x);
    }
    let shape = c.builder().ints(shape);
    c.apply(ReshapeTo { zero_copies: false }, &[x, shape])
}

/// A value with axes of extent 1 put in.
pub(super) fn unsqueezed(c: &mut Call<'_>, x: ValueId, axes: &[i64]) -> Result<ValueId, OpError> {
    let axes = c.builder().ints(axes);
    c.apply(Unsqueeze {}, &[x, axes])
}

/// A tensor's extents as Python knows them.
pub(super) fn sizes(c: &mut Call<'_>, x: ValueId) -> Result<Vec<Value>, OpError> {
    let dims = c.context.builder.ty(x).dims()?.to_vec();
    (0..).zip(dims).map(|(axis, dim)| size(c, x, axis, dim)).collect()
}

/// One of a tensor's extents as Python knows it.
pub(super) fn size(c: &mut Call<'_>, x: ValueId, axis: i64, dim: Dim) -> Result<Value, OpError> {
    if let Some(n) = dim.known() {
        return Ok(Value::Int(n));
    }
    let vector = c.apply(ShapeOf { start: axis, end: Some(axis + 1) }, &[x])?;
    let single = c.builder().ints(&[]);
    let value = c.apply(ReshapeTo { zero_copies: false }, &[vector, single])?;
    Ok(Value::Symbol(Symbol::new(value, dim)))
}

/// The shape of a tensor without some axes, as a vector.
fn shape_without(c: &mut Call<'_>, x: ValueId, axes: &[usize]) -> Result<ValueId, OpError> {
    let shape = c.extents_of(x)?;
    let rest: Vec<i64> = (0..c.rank(x)?).filter(|axis| !axes.contains(axis)).map(|axis| axis as i64).collect();
    let rest = c.builder().ints(&rest);
    c.apply(Gather { axis: 0 }, &[shape, rest])
}

/// Says what is known of the shape of a tensor that was just made.
fn refine(c: &mut Call<'_>, tensor: &Value, dims: Vec<Dim>) -> Result<(), OpError> {
    let Value::Tensor(tensor) = tensor else { return Ok(()) };
    let value = c.context.read(*tensor)?;
    let ty = c.context.builder.ty(value);
    if let Shape::Ranked(known) = &ty.shape
        && known.len() == dims.len()
    {
        let better = known.iter().zip(dims).map(|(known, dim)| if *known == Dim::Unknown { dim } else { known.clone() }).collect();
        let ty = TensorType::ranked(ty.dtype, better);
        c.builder().refine(value, ty);
    }
    Ok(())
}

fn reshape(c: &mut Call<'_>, name: &str) -> Values {
    let sizes = match c.get(name) {
        Value::List(sizes) | Value::Tuple(sizes) => sizes.clone(),
        other => vec![other.clone()],
    };
    reshape_values(c, &sizes)
}

fn reshape_values(c: &mut Call<'_>, sizes: &[Value]) -> Values {
    let x = c.id("self")?;
    let (shape, dims) = c.shape_of_values(sizes, "shape")?;
    let rows = !c.context.aliases.views(x).iter().any(|view| matches!(view, View::Transpose(_) | View::Expand(_) | View::Gather { .. }));
    let values = c.view(x, vec![View::Reshape(shape)])?;
    refine(c, &values[0], dims.into_iter().map(|dim| if dim == Dim::Known(-1) { Dim::Unknown } else { dim }).collect())?;
    // A reshape is a view where elements lie row by row, and a copy elsewhere.
    if rows || c.name.contains("view") { Ok(values) } else { fresh(c, values) }
}

/// The shape of another tensor.
fn like(c: &mut Call<'_>) -> Values {
    let other = c.tensor("other")?;
    let sizes = sizes(c, other)?;
    reshape_values(c, &sizes)
}

fn contiguous(c: &mut Call<'_>) -> Values {
    let x = c.id("self")?;
    if c.context.aliases.views(x).is_empty() {
        return same(c);
    }
    let x = c.tensor("self")?;
    c.one(x)
}

fn permuted(c: &mut Call<'_>, perm: Vec<usize>) -> Values {
    let x = c.id("self")?;
    c.view(x, vec![View::Transpose(perm)])
}

fn swap(c: &mut Call<'_>, a: i64, b: i64) -> Values {
    let rank = rank(c)?;
    if rank == 0 {
        return same(c);
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis(a, rank)?, axis(b, rank)?);
    permuted(c, perm)
}

fn movedim(c: &mut Call<'_>) -> Values {
    let rank = rank(c)?;
    let axes = |list: Vec<i64>| list.into_iter().map(|k| axis(k, rank)).collect::<Result<Vec<_>, _>>();
    let (from, to) = (axes(c.ints("source")?)?, axes(c.ints("destination")?)?);
    let mut perm: Vec<Option<usize>> = vec![None; rank];
    for (from, to) in from.iter().zip(&to) {
        perm[*to] = Some(*from);
    }
    let mut rest = (0..rank).filter(|axis| !from.contains(axis));
    let perm: Vec<usize> = perm.into_iter().map(|slot| slot.or_else(|| rest.next()).ok_or_else(|| OpError::invalid("'movedim' names an axis twice"))).collect::<Result<_, _>>()?;
    permuted(c, perm)
}

fn expand(c: &mut Call<'_>, name: &str) -> Values {
    let value = c.tensor("self")?;
    let mut list = c.get(name).elements().ok_or_else(|| c.wrong(name))?.to_vec();
    let dims = c.context.builder.ty(value).dims()?.to_vec();
    let new = list.len().saturating_sub(dims.len());
    let mut known = Vec::new();
    for (at, size) in list.iter_mut().enumerate() {
        // An extent that stays is one that is not repeated.
        if let Value::Int(-1) = size {
            *size = Value::Int(1);
        }
        known.push(match (&*size, at.checked_sub(new).and_then(|at| dims.get(at))) {
            (Value::Int(1), Some(dim)) => dim.clone(),
            (Value::Int(n), _) => Dim::Known(*n),
            (Value::Symbol(symbol), _) => symbol.dim.clone(),
            _ => Dim::Unknown,
        });
    }
    let (shape, _) = c.shape_of_values(&list, name)?;
    let x = c.id("self")?;
    let values = c.view(x, vec![View::Expand(shape)])?;
    refine(c, &values[0], known)?;
    Ok(values)
}

fn at_least(c: &mut Call<'_>, wanted: usize) -> Values {
    let value = c.tensor("self")?;
    let mut sizes = sizes(c, value)?;
    match (sizes.len(), wanted) {
        (have, want) if have >= want => return same(c),
        (2, 3) => sizes.push(Value::Int(1)),
        (1, 3) => {
            sizes.insert(0, Value::Int(1));
            sizes.push(Value::Int(1));
        }
        (have, want) => drop(sizes.splice(0..0, std::iter::repeat_n(Value::Int(1), want - have))),
    }
    reshape_values(c, &sizes)
}

fn joint_shape(c: &mut Call<'_>, tensors: &[ValueId]) -> Result<ValueId, OpError> {
    let types: Vec<&TensorType> = tensors.iter().map(|x| c.context.builder.ty(*x)).collect();
    let dims = frit_ir::shape::broadcast(&types)?;
    let known = dims.iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
    Ok(c.builder().ints(&known))
}

/// Joins parts along an axis.
pub(super) fn join(c: &mut Call<'_>, parts: &[ValueId], axis: usize) -> Values {
    let value = match parts {
        [one] => *one,
        many => c.apply(Concat { axis }, many)?,
    };
    c.one(value)
}

fn concatenate(c: &mut Call<'_>, name: &str) -> Values {
    let mut tensors = c.tensors("tensors")?;
    // An empty vector joins with anything.
    let empty = |c: &Call<'_>, x: ValueId| c.extents(x).is_ok_and(|extents| extents == [0]);
    if tensors.iter().any(|x| !empty(c, *x)) {
        tensors = common(c, &tensors)?;
        tensors.retain(|x| !empty(c, *x));
    }
    let Some(first) = tensors.first() else { return Err(OpError::invalid("'cat' of nothing")) };
    let at = axis(c.int(name)?, c.rank(*first)?)?;
    join(c, &tensors, at)
}

/// From `start` to `end` by `step`.
pub(super) fn slice_view(c: &mut Call<'_>, axis: usize, start: i64, end: i64, step: i64) -> View {
    let (start, end) = (c.builder().ints(&[start]), c.builder().ints(&[end]));
    View::Slice { axis, start, end, step }
}

/// An index as a vector of one.
fn bound(c: &mut Call<'_>, name: &str, default: i64) -> Result<ValueId, OpError> {
    match c.get(name).clone() {
        Value::None => Ok(c.builder().ints(&[default])),
        value => Ok(c.shape_of_values(&[value], name)?.0),
    }
}

fn slice_views(c: &mut Call<'_>, x: ValueId) -> Result<View, OpError> {
    let axis = c.axis("dim", x)?;
    let step = c.int("step")?;
    if step < 1 {
        return Err(OpError::invalid(format!("a slice by steps of {step}")));
    }
    let (start, end) = (bound(c, "start", 0)?, bound(c, "end", i64::MAX)?);
    Ok(View::Slice { axis, start, end, step })
}

fn slice(c: &mut Call<'_>) -> Values {
    let value = c.tensor("self")?;
    let view = slice_views(c, value)?;
    let axis = c.axis("dim", value)?;
    let x = c.id("self")?;
    let values = c.view(x, vec![view])?;
    let mut dims = c.context.builder.ty(value).dims()?.to_vec();
    let whole = matches!(c.get("start"), Value::None | Value::Int(0)) && matches!(c.get("end"), Value::None | Value::Int(i64::MAX)) && c.int("step")? == 1;
    if !whole {
        dims[axis] = match (c.get("start"), c.get("end"), c.int("step")?) {
            // As many as were asked for: PyTorch has checked that there are.
            (Value::None | Value::Int(0), Value::Symbol(end), 1) => end.dim.clone(),
            _ => Dim::Unknown,
        };
    }
    refine(c, &values[0], dims)?;
    Ok(values)
}

fn select_views(c: &mut Call<'_>, x: ValueId, axis: usize) -> Result<Vec<View>, OpError> {
    let rest = shape_without(c, x, &[axis])?;
    let cut = match c.get("index").clone() {
        value @ (Value::Symbol(_) | Value::Tensor(_)) if c.int("index").is_err() => {
            let index = match value {
                Value::Tensor(tensor) => c.context.read(tensor)?,
                Value::Symbol(symbol) => symbol.value,
                _ => return Err(c.wrong("index")),
            };
            let one = c.builder().ints(&[1]);
            let start = c.apply(ReshapeTo { zero_copies: false }, &[index, one])?;
            let start = c.cast(start, DType::I64)?;
            let end = c.apply(frit_ir::ops::add::Add {}, &[start, one])?;
            View::Slice { axis, start, end, step: 1 }
        }
        _ => {
            let index = c.int("index")?;
            if let Ok(extent) = extent(c, x, axis)
                && !(-extent..extent).contains(&index)
            {
                return Err(OpError::invalid(format!("index {index} is outside an axis of {extent} elements")));
            }
            slice_view(c, axis, index, if index == -1 { i64::MAX } else { index.saturating_add(1) }, 1)
        }
    };
    Ok(vec![cut, View::Reshape(rest)])
}

fn select(c: &mut Call<'_>) -> Values {
    let value = c.tensor("self")?;
    let axis = c.axis("dim", value)?;
    let views = select_views(c, value, axis)?;
    let mut dims = c.context.builder.ty(value).dims()?.to_vec();
    dims.remove(axis);
    let x = c.id("self")?;
    let values = c.view(x, views)?;
    refine(c, &values[0], dims)?;
    Ok(values)
}

/// `base` after `src` was written to a part of it.
fn scatter(c: &mut Call<'_>, base: TensorId, part: &Value) -> Values {
    let Value::Tensor(part) = part else { return Err(OpError::bug("a view is a tensor")) };
    let source = c.tensor("src")?;
    c.written(*part, source)?;
    Ok(vec![Value::Tensor(base)])
}

fn parts(c: &mut Call<'_>, x: TensorId, axis: usize, bounds: &[(i64, i64)]) -> Values {
    let mut list = Vec::new();
    for (start, end) in bounds {
        let view = slice_view(c, axis, *start, *end, 1);
        list.extend(c.view(x, vec![view])?);
    }
    Ok(vec![Value::List(list)])
}

fn equal_parts(c: &mut Call<'_>, x: TensorId, axis: usize, size: i64, extent: i64) -> Values {
    if size < 1 && extent > 0 || extent / size.max(1) > create::PARTS {
        return Err(OpError::invalid(format!("{extent} elements are cut into parts of {size}")));
    }
    let size = size.min(extent.max(1));
    let count = if extent == 0 { 1 } else { (extent + size - 1) / size };
    let bounds: Vec<(i64, i64)> = (0..count).map(|k| (k * size, ((k + 1) * size).min(extent))).collect();
    parts(c, x, axis, &bounds)
}

fn split_into(c: &mut Call<'_>, name: &str, default_axis: i64) -> Values {
    let value = c.tensor("self")?;
    let axis = if c.has("dim") { c.axis("dim", value)? } else { axis(default_axis, c.rank(value)?)? };
    let (count, extent) = (c.int(name)?, extent(c, value, axis)?);
    if !(1..=create::PARTS).contains(&count) {
        return Err(OpError::invalid(format!("a tensor is split into {count} parts")));
    }
    let x = c.id("self")?;
    equal_parts(c, x, axis, (extent + count - 1) / count, extent)
}

fn split_with(c: &mut Call<'_>, sizes: &[i64]) -> Values {
    let value = c.tensor("self")?;
    let axis = c.axis("dim", value)?;
    let mut at = 0i64;
    let mut bounds = Vec::new();
    for size in sizes {
        let end = at.checked_add(*size).filter(|end| *end >= at).ok_or_else(|| OpError::invalid(format!("a tensor is split into {sizes:?}")))?;
        bounds.push((at, end));
        at = end;
    }
    if extent(c, value, axis).is_ok_and(|extent| extent != at) {
        return Err(OpError::invalid(format!("{} elements are split into {sizes:?}", extent(c, value, axis)?)));
    }
    let x = c.id("self")?;
    parts(c, x, axis, &bounds)
}

/// Drops axes of extent 1.
fn without(c: &mut Call<'_>, axes: &[usize]) -> Values {
    let value = c.tensor("self")?;
    let rest = shape_without(c, value, axes)?;
    let mut dims = c.context.builder.ty(value).dims()?.to_vec();
    for axis in axes.iter().rev() {
        dims.remove(*axis);
    }
    let x = c.id("self")?;
    let values = c.view(x, vec![View::Reshape(rest)])?;
    refine(c, &values[0], dims)?;
    Ok(values)
}

fn squeeze(c: &mut Call<'_>) -> Values {
    let value = c.tensor("self")?;
    let mut axes = c.axes("dim", value, false)?;
    for axis in axes.clone() {
        // An axis of another extent stays.
        if extent(c, value, axis)? != 1 {
            axes.retain(|known| *known != axis);
        }
    }
    without(c, &axes)
}

fn unsqueeze(c: &mut Call<'_>) -> Values {
    let value = c.tensor("self")?;
    let mut sizes = sizes(c, value)?;
    let at = axis(c.int("dim")?, sizes.len() + 1)?;
    sizes.insert(at, Value::Int(1));
    let x = c.id("self")?;
    let (shape, dims) = c.shape_of_values(&sizes, "shape")?;
    let values = c.view(x, vec![View::Reshape(shape)])?;
    refine(c, &values[0], dims)?;
    Ok(values)
}

/// A tensor that becomes a view of itself.
fn in_place(c: &mut Call<'_>, pure: &str) -> Values {
    let x = c.id("self")?;
    let arguments = super::Arguments { positional: Vec::new(), keyword: c.schema.parameters.iter().zip(&c.values).map(|(parameter, value)| (parameter.name.to_owned(), value.clone())).collect() };
    let view = super::call(c.context, &format!("aten::{pure}"), Some(overload(pure, c.schema.overload)), &arguments)?;
    let [Value::Tensor(view)] = view.as_slice() else { return Err(OpError::bug("a view is a tensor")) };
    c.context.aliases.become_view(x, *view);
    Ok(vec![Value::Tensor(x)])
}

/// The overload of `transpose` that `transpose_` is.
fn overload<'a>(pure: &str, overload: &'a str) -> &'a str {
    if pure == "transpose" { "int" } else { overload }
}

fn flipped(c: &mut Call<'_>, x: ValueId, axes: &[usize]) -> Result<ValueId, OpError> {
    if axes.is_empty() {
        return Ok(x);
    }
    let list = |c: &mut Call<'_>, value: i64| c.builder().ints(&vec![value; axes.len()]);
    let (starts, ends, steps) = (list(c, -1), list(c, i64::MIN), list(c, -1));
    let axes = c.builder().ints(&axes.iter().map(|axis| *axis as i64).collect::<Vec<_>>());
    c.apply(SliceBy {}, &[x, starts, ends, axes, steps])
}

fn roll(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let (shifts, axes) = (c.ints("shifts")?, c.ints("dims")?);
    let rank = c.rank(x)?;
    let (mut value, axes) = if axes.is_empty() { (reshaped(c, x, &[-1])?, vec![0]) } else { (x, axes) };
    if shifts.len() != axes.len() {
        return Err(OpError::invalid(format!("'roll' has {} shifts for {} axes", shifts.len(), axes.len())));
    }
    let flat = c.rank(value)? != rank || c.ints("dims")?.is_empty();
    for (shift, at) in shifts.iter().zip(axes) {
        let axis = axis(at, c.rank(value)?)?;
        let extent = extent(c, value, axis)?;
        if extent == 0 || shift.rem_euclid(extent) == 0 {
            continue;
        }
        let cut = extent - shift.rem_euclid(extent);
        let axes = c.builder().ints(&[axis as i64]);
        let part = |c: &mut Call<'_>, from: i64, to: i64| {
            let (from, to) = (c.builder().ints(&[from]), c.builder().ints(&[to]));
            c.apply(SliceBy {}, &[value, from, to, axes])
        };
        let parts = [part(c, cut, extent)?, part(c, 0, cut)?];
        value = c.apply(Concat { axis }, &parts)?;
    }
    if flat {
        let shape = c.extents_of(x)?;
        value = c.apply(ReshapeTo { zero_copies: false }, &[value, shape])?;
    }
    c.one(value)
}

fn tiled(c: &mut Call<'_>, x: ValueId, repeats: &[Value]) -> Values {
    let missing = repeats.len().saturating_sub(c.rank(x)?);
    let x = if missing > 0 { unsqueezed(c, x, &(0..missing as i64).collect::<Vec<_>>())? } else { x };
    let (repeats, _) = c.shape_of_values(repeats, "repeats")?;
    let value = c.apply(TileBy {}, &[x, repeats])?;
    c.one(value)
}

fn meshgrid(c: &mut Call<'_>, swapped: bool) -> Values {
    let mut tensors = c.tensors("tensors")?;
    if swapped && tensors.len() > 1 {
        tensors.swap(0, 1);
    }
    let count = tensors.len();
    let mut columns = Vec::new();
    for (at, x) in tensors.into_iter().enumerate() {
        let mut shape = vec![1; count];
        shape[at] = -1;
        if let Ok([extent]) = c.extents(x).as_deref() {
            shape[at] = *extent;
        }
        columns.push(reshaped(c, x, &shape)?);
    }
    let shape = joint_shape(c, &columns)?;
    let mut grids = columns.iter().map(|x| c.apply(ExpandTo {}, &[*x, shape])).collect::<Result<Vec<_>, _>>()?;
    if swapped && count > 1 {
        grids.swap(0, 1);
    }
    c.list(&grids)
}

/// PyTorch's margins, which begin with the last axis, as those in front and behind along all axes.
fn margins(rank: usize, pads: &[i64]) -> Result<(Vec<i64>, Vec<i64>), OpError> {
    if !pads.len().is_multiple_of(2) || pads.len() / 2 > rank {
        return Err(OpError::invalid(format!("margins {pads:?} don't fit {rank} axes")));
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (k, pair) in pads.chunks_exact(2).enumerate() {
        (before[rank - 1 - k], after[rank - 1 - k]) = (pair[0], pair[1]);
    }
    Ok((before, after))
}

fn constant_pad(c: &mut Call<'_>, pads: &[i64]) -> Values {
    let x = c.tensor("self")?;
    let (before, after) = margins(c.rank(x)?, pads)?;
    let dtype = c.dtype(x);
    let filler = if c.has("value") { c.as_dtype("value", dtype)? } else { c.like(x, 0.0) };
    let value = match c.context.builder.as_constant(filler).filter(|tensor| tensor.elems() == 1).map(|tensor| tensor.get(0)) {
        Some(value) => c.apply(Pad { before, after, value }, &[x])?,
        None => {
            let pads = c.builder().ints(&[before, after].concat());
            c.apply(PadBy { mode: PadMode::Constant }, &[x, pads, filler])?
        }
    };
    c.one(value)
}

fn extended(c: &mut Call<'_>, pads: &[i64], margin: Margin) -> Values {
    let x = c.tensor("self")?;
    let (before, after) = margins(c.rank(x)?, pads)?;
    let mode = match margin {
        Margin::Edge => PadMode::Edge,
        Margin::Reflect => PadMode::Reflect,
        Margin::Wrap => PadMode::Wrap,
    };
    let value = if before.iter().chain(&after).all(|n| *n >= 0) {
        c.apply(Extend { before, after, margin }, &[x])?
    } else {
        let pads = c.builder().ints(&[before, after].concat());
        c.apply(PadBy { mode }, &[x, pads])?
    };
    c.one(value)
}

fn padded(c: &mut Call<'_>, margin: Margin) -> Values {
    let pads = c.ints("padding")?;
    extended(c, &pads, margin)
}

fn triangle(c: &mut Call<'_>, upper: bool) -> Values {
    let x = c.tensor("self")?;
    let diagonal = c.int("diagonal")?;
    let value = if c.dtype(x) == DType::Bool {
        let bytes = c.cast(x, DType::U8)?;
        let part = c.apply(Triangle { upper, diagonal }, &[bytes])?;
        c.cast(part, DType::Bool)?
    } else {
        c.apply(Triangle { upper, diagonal }, &[x])?
    };
    c.one(value)
}

/// A diagonal of the matrices in two axes, as a last axis: in rows of `columns` elements it is every `columns + 1`-th.
fn diagonal(c: &mut Call<'_>) -> Result<Value, OpError> {
    let value = c.tensor("self")?;
    let extents = c.extents(value)?;
    let rank = extents.len();
    let (a, b) = (c.axis("dim1", value)?, c.axis("dim2", value)?);
    if a == b || rank < 2 {
        return Err(OpError::invalid("a diagonal has two axes"));
    }
    let offset = c.int("offset")?;
    let (rows, columns) = (extents[a], extents[b]);
    let rest: Vec<usize> = (0..rank).filter(|axis| ![a, b].contains(axis)).collect();
    let length = if offset >= 0 { rows.min(columns - offset) } else { (rows + offset).min(columns) }.max(0);
    let start = if length == 0 { 0 } else if offset >= 0 { offset } else { -offset * columns };
    let end = if length == 0 { 0 } else { start + (length - 1) * (columns + 1) + 1 };
    let mut flat: Vec<i64> = rest.iter().map(|axis| extents[*axis]).collect();
    flat.push(rows.saturating_mul(columns));
    let perm: Vec<usize> = rest.iter().copied().chain([a, b]).collect();
    let flat = c.builder().ints(&flat);
    let cut = slice_view(c, rest.len(), start, end, columns + 1);
    let x = c.id("self")?;
    Ok(c.view(x, vec![View::Transpose(perm), View::Reshape(flat), cut])?.remove(0))
}

/// Windows along an axis, as a new last one.
fn unfold(c: &mut Call<'_>) -> Values {
    let value = c.tensor("self")?;
    let axis = c.axis("dimension", value)?;
    let (size, step, extent) = (c.int("size")?, c.int("step")?, extent(c, value, axis)?);
    if size < 0 || step < 1 || size > extent {
        return Err(OpError::invalid(format!("windows of {size} by {step} of {extent} elements")));
    }
    let count = (extent - size) / step + 1;
    if count.saturating_mul(size) > create::MOST {
        return Err(OpError::unsupported("so many windows are not supported"));
    }
    let rank = c.rank(value)?;
    let indices: Vec<i64> = (0..count).flat_map(|at| (0..size).map(move |k| at * step + k)).collect();
    let indices = c.builder().constant(Tensor::from_ints(&indices).reshaped(&[count, size])?);
    // The windows' elements follow the axis, and go to the end.
    let perm = (0..=axis).chain(axis + 2..=rank).chain([axis + 1]).collect();
    let x = c.id("self")?;
    c.view(x, vec![View::Gather { axis, indices }, View::Transpose(perm)])
}

/// Other steps through the same memory. What memory a tensor lies in is not known here, but that of those that were just made: row by row.
fn as_strided(c: &mut Call<'_>) -> Values {
    let (sizes, strides) = (c.ints("size")?, c.ints("stride")?);
    let offset = c.maybe_int("storage_offset")?.unwrap_or(0);
    let x = c.id("self")?;
    let value = c.tensor("self")?;
    let extents = c.extents(value)?;
    if sizes.len() != strides.len() {
        return Err(OpError::invalid("'as_strided' has other strides than extents"));
    }
    let own = c.context.aliases.strides(x).map_or_else(|| frit_ir::tensor::row_strides(&extents), <[i64]>::to_vec);
    if extents == sizes && (own == strides || extents.iter().zip(own.iter().zip(&strides)).all(|(n, (a, b))| *n == 1 || a == b)) && offset == 0 {
        return same(c);
    }
    // The elements in the order of memory.
    let mut order: Vec<usize> = (0..extents.len()).collect();
    order.sort_by_key(|axis| (std::cmp::Reverse(own[*axis]), *axis));
    let sorted: Vec<i64> = order.iter().map(|axis| extents[*axis]).collect();
    let dense = order.iter().zip(frit_ir::tensor::row_strides(&sorted)).all(|(axis, stride)| extents[*axis] == 1 || own[*axis] == stride);
    if !dense {
        return Err(OpError::unsupported("'as_strided' of a tensor that is not dense is not supported"));
    }
    let elems = frit_ir::tensor::checked_elems(&extents)? as i64;
    let count = frit_ir::tensor::checked_elems(&sizes)? as i64;
    let flat = c.builder().ints(&[elems]);
    let mut views = vec![View::Transpose(order), View::Reshape(flat)];
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|axis| (std::cmp::Reverse(strides[*axis]), *axis));
    let sorted: Vec<i64> = order.iter().map(|axis| sizes[*axis]).collect();
    let rows = order.iter().zip(frit_ir::tensor::row_strides(&sorted)).all(|(axis, stride)| sizes[*axis] == 1 || strides[*axis] == stride);
    if rows {
        if offset < 0 || offset.checked_add(count).is_none_or(|end| end > elems) {
            return Err(OpError::invalid("'as_strided' goes outside the tensor"));
        }
        views.push(slice_view(c, 0, offset, offset + count, 1));
        views.push(View::Reshape(c.builder().ints(&sorted)));
        let mut back = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            back[*from] = to;
        }
        views.push(View::Transpose(back));
    } else {
        if count > create::MOST {
            return Err(OpError::unsupported("'as_strided' of so many elements is not supported"));
        }
        let rows = frit_ir::tensor::row_strides(&sizes);
        let place = |at: i64| (0..sizes.len()).try_fold(offset, |sum, axis| strides[axis].checked_mul(at / rows[axis] % sizes[axis]).and_then(|step| sum.checked_add(step)));
        let places = (0..count).map(|at| place(at).filter(|place| (0..elems).contains(place)).ok_or_else(|| OpError::invalid("'as_strided' goes outside the tensor"))).collect::<Result<Vec<_>, _>>()?;
        let indices = c.builder().constant(Tensor::from_ints(&places).reshaped(&sizes)?);
        views.push(View::Gather { axis: 0, indices });
    }
    c.view(x, views)
}

/// A tensor in another dtype. It is the tensor itself where it has that dtype.
fn converted(c: &mut Call<'_>, dtype: DType, copy: bool) -> Values {
    let x = c.first()?;
    if c.dtype(x) == dtype && !copy {
        return same(c);
    }
    let value = c.cast(x, dtype)?;
    c.one(value)
}

fn to(c: &mut Call<'_>) -> Values {
    let copy = c.name == "_to_copy" || c.flag("copy")?;
    let x = c.first()?;
    let dtype = match c.get("other").clone() {
        Value::Tensor(other) => {
            let other = c.context.read(other)?;
            c.dtype(other)
        }
        _ => c.maybe_dtype("dtype")?.unwrap_or(c.dtype(x)),
    };
    converted(c, dtype, copy)
}
