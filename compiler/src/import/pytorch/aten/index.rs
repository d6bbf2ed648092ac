//! Operators that pick and put elements by index, and that sort.

use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::scatter_elements::{ScatterElements, Update};
use frit_ir::ops::{
    cast::Cast, clip::Clip, compress::Compress, concat::Concat, cumulate::Cumulate, cumulate::Running, div::Div, equal::Equal, expand_to::ExpandTo, floor::Floor, gather::Gather,
    gather_elements::GatherElements, gather_nd::GatherNd, iota::Iota, less::Less, less_equal::LessEqual, matmul::MatMul, min::Min, mul::Mul, nonzero::NonZero, one_hot::OneHot, or::Or,
    reshape_to::ReshapeTo, scatter_nd::ScatterNd, select::Select, slice_by::SliceBy, sub::Sub, top_k::TopK, transpose::Transpose, unique::Unique,
};
use frit_ir::{DType, Dim, OpError, Scalar, Tensor, TensorType, ValueId};

use super::Handler;
use super::call::{Call, Values};
use super::movement::{expand_like, extent, reshaped, unsqueezed};
use super::reduce::aggregate;
use crate::import::pytorch::value::Value;

type Built = Result<ValueId, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("_unique2", |c| unique(c, None)),
    ("_unsafe_index", index),
    ("argsort", |c| {
        let pair = sorted(c)?;
        c.one(pair[1])
    }),
    ("argwhere", |c| {
        let x = c.tensor("self")?;
        let value = places(c, x)?;
        c.one(value)
    }),
    ("gather", |c| {
        let (x, index) = (c.tensor("self")?, c.tensor("index")?);
        if c.rank(x)? == 0 {
            return c.one(x);
        }
        let axis = c.axis("dim", x)?;
        let value = c.apply(GatherElements { axis }, &[x, index])?;
        c.one(value)
    }),
    ("index", index),
    ("index_add", |c| {
        let source = c.tensor("source")?;
        let dtype = c.dtype(source);
        let alpha = c.as_dtype("alpha", dtype)?;
        let source = if c.maybe_float("alpha")? == Some(1.0) { source } else { c.apply(Mul {}, &[source, alpha])? };
        rows(c, source, Update::Add)
    }),
    ("index_copy", |c| {
        let source = c.tensor("source")?;
        rows(c, source, Update::Replace)
    }),
    ("index_fill", |c| {
        let (x, index) = (c.tensor("self")?, c.tensor("index")?);
        let axis = c.axis("dim", x)?;
        let dtype = c.dtype(x);
        let value = c.as_dtype("value", dtype)?;
        let mut shape = c.extents(x)?;
        shape[axis] = extent(c, index, 0)?;
        let shape = c.builder().ints(&shape);
        let source = c.apply(ExpandTo {}, &[value, shape])?;
        rows(c, source, Update::Replace)
    }),
    ("index_select", |c| {
        let (x, index) = (c.tensor("self")?, c.tensor("index")?);
        if c.rank(x)? == 0 {
            return c.one(x);
        }
        let axis = c.axis("dim", x)?;
        let index = if c.rank(index)? == 0 { reshaped(c, index, &[1])? } else { index };
        let value = c.apply(Gather { axis }, &[x, index])?;
        c.one(value)
    }),
    ("masked_fill", |c| {
        let (x, mask) = (c.tensor("self")?, c.tensor("mask")?);
        let dtype = c.dtype(x);
        let value = c.as_dtype("value", dtype)?;
        let value = c.apply(Select {}, &[mask, value, x])?;
        c.one(value)
    }),
    ("masked_select", |c| {
        let (x, mask) = (c.tensor("self")?, c.tensor("mask")?);
        let mask = expand_like(c.builder(), mask, x)?;
        let x = expand_like(c.builder(), x, mask)?;
        let (x, mask) = (reshaped(c, x, &[-1])?, reshaped(c, mask, &[-1])?);
        let value = c.apply(Compress { axis: Some(0) }, &[x, mask])?;
        c.one(value)
    }),
    ("msort", |c| {
        let x = c.tensor("self")?;
        let pair = in_order(c, x, 0, false)?;
        c.one(pair[0])
    }),
    ("nonzero", |c| {
        let x = c.tensor("self")?;
        let value = places(c, x)?;
        c.one(value)
    }),
    ("nonzero_numpy", |c| {
        let x = c.tensor("self")?;
        columns(c, x)
    }),
    ("one_hot", |c| {
        let x = c.tensor("self")?;
        let depth = c.int("num_classes")?;
        if depth < 0 {
            return Err(OpError::unsupported("'one_hot' without a number of classes is not supported").help("give num_classes"));
        }
        let values = c.builder().ints(&[0, 1]);
        let axis = c.rank(x)?;
        let value = c.apply(OneHot { depth, axis }, &[x, values])?;
        c.one(value)
    }),
    ("scatter", scatter),
    ("sort", |c| {
        let pair = sorted(c)?;
        c.several(&pair)
    }),
    ("take", |c| {
        let (x, index) = (c.tensor("self")?, c.tensor("index")?);
        let flat = reshaped(c, x, &[-1])?;
        let value = c.apply(Gather { axis: 0 }, &[flat, index])?;
        c.one(value)
    }),
    ("take_along_dim", |c| {
        let (mut x, mut index) = (c.tensor("self")?, c.tensor("indices")?);
        if !c.has("dim") {
            (x, index) = (reshaped(c, x, &[-1])?, reshaped(c, index, &[-1])?);
            let value = c.apply(GatherElements { axis: 0 }, &[x, index])?;
            return c.one(value);
        }
        let axis = c.axis("dim", x)?;
        let (mut wide, mut tall) = (c.extents(x)?, c.extents(index)?);
        if wide.len() != tall.len() {
            return Err(OpError::invalid("'take_along_dim' of tensors of other ranks"));
        }
        for k in (0..wide.len()).filter(|k| *k != axis) {
            let joint = wide[k].max(tall[k]);
            (wide[k], tall[k]) = (joint, joint);
        }
        let (wide, tall) = (c.builder().ints(&wide), c.builder().ints(&tall));
        let (x, index) = (c.apply(ExpandTo {}, &[x, wide])?, c.apply(ExpandTo {}, &[index, tall])?);
        let value = c.apply(GatherElements { axis }, &[x, index])?;
        c.one(value)
    }),
    ("topk", |c| {
        let x = c.tensor("self")?;
        let axis = c.axis("dim", x)?;
        let (count, _) = c.shape("k")?;
        let pair = c.context.builder.apply_all(TopK { axis, largest: c.flag("largest")? }, &[x, count])?;
        c.several(&pair)
    }),
    ("transformers::grouped_mm_fallback", grouped_product),
    ("_grouped_mm", grouped_product),
    ("unique_dim", |c| {
        let x = c.tensor("self")?;
        let axis = c.axis("dim", x)?;
        unique(c, Some(axis))
    }),
    ("where.Scalar", choose),
    ("where.ScalarOther", choose),
    ("where.ScalarSelf", choose),
    ("where.self", choose),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("_embedding_bag", embedding_bag),
    ("_embedding_bag_forward_only", embedding_bag),
    ("embedding_bag", embedding_bag),
    ("_unsafe_index_put", index_put),
    ("bincount", |c| {
        if c.has("weights") || c.int("minlength")? < 1 {
            return Err(OpError::unsupported("'bincount' is only supported without weights and with a minlength that holds all numbers").help("use one_hot(x, count).sum(0)"));
        }
        let (x, depth) = (c.tensor("self")?, c.int("minlength")?);
        let value = counted(c, x, depth)?;
        c.one(value)
    }),
    ("bucketize", |c| {
        let (x, edges) = (c.tensor("self")?, c.tensor("boundaries")?);
        searched(c, edges, x)
    }),
    ("histc", histogram),
    ("index_put", index_put),
    ("isin", |c| {
        let (x, tests) = (c.tensor("elements")?, c.tensor("test_elements")?);
        let pair = super::math::common(c, &[x, tests])?;
        let axis = c.rank(x)?;
        let x = unsqueezed(c, pair[0], &[axis as i64])?;
        let tests = reshaped(c, pair[1], &[-1])?;
        let equal = c.apply(Equal {}, &[x, tests])?;
        let bytes = c.cast(equal, DType::U8)?;
        let any = aggregate(c, bytes, Statistic::Max, &[axis], false)?;
        let any = c.cast(any, DType::Bool)?;
        let value = if c.flag("invert")? { c.apply(frit_ir::ops::not::Not {}, &[any])? } else { any };
        c.one(value)
    }),
    ("masked_scatter", |c| {
        // The k-th place that is masked takes the k-th element of the source.
        let (x, mask, source) = (c.tensor("self")?, c.tensor("mask")?, c.tensor("source")?);
        let mask = expand_like(c.builder(), mask, x)?;
        let flat = reshaped(c, mask, &[-1])?;
        let ones = c.cast(flat, DType::I64)?;
        let before = c.apply(Cumulate { how: Running::Sum, axis: 0, exclusive: true, reverse: false }, &[ones])?;
        let source = reshaped(c, source, &[-1])?;
        let last = extent(c, source, 0)? - 1;
        if last < 0 {
            return c.one(x);
        }
        let last = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(last))));
        let at = c.apply(Min {}, &[before, last])?;
        let picked = c.apply(Gather { axis: 0 }, &[source, at])?;
        let shape = c.extents_of(x)?;
        let picked = c.apply(ReshapeTo { zero_copies: false }, &[picked, shape])?;
        let value = c.apply(Select {}, &[mask, picked, x])?;
        c.one(value)
    }),
    ("scatter_add", |c| {
        let source = c.tensor("src")?;
        elements(c, source, Update::Add)
    }),
    ("scatter_reduce", |c| {
        let update = match c.maybe_text("reduce")?.unwrap_or("") {
            "sum" | "add" => Update::Add,
            "prod" | "multiply" => Update::Multiply,
            "amax" => Update::Max,
            "amin" => Update::Min,
            other => return Err(OpError::unsupported(format!("'scatter_reduce' with '{other}' is not supported"))),
        };
        let source = c.tensor("src")?;
        if !c.has("include_self") || c.flag("include_self")? {
            return elements(c, source, update);
        }
        // What is written to begins with what changes nothing.
        let x = c.tensor("self")?;
        let dtype = c.dtype(x);
        let neutral = match update {
            Update::Multiply => Scalar::one(dtype),
            Update::Max => Scalar::lowest(dtype),
            Update::Min => Scalar::highest(dtype),
            Update::Replace | Update::Add => Scalar::zero(dtype),
        };
        let neutral = c.builder().constant(Tensor::scalar(dtype, neutral));
        let index = c.tensor("index")?;
        let neutral = expand_like(c.builder(), neutral, index)?;
        let axis = c.axis("dim", x)?;
        let begun = c.apply(ScatterElements { axis, update: Update::Replace }, &[x, index, neutral])?;
        let source = cut_to(c, source, index)?;
        let value = c.apply(ScatterElements { axis, update }, &[begun, index, source])?;
        c.one(value)
    }),
    ("searchsorted", |c| {
        let (edges, x) = (c.tensor("sorted_sequence")?, c.tensor("self")?);
        searched(c, edges, x)
    }),
    ("where", |c| {
        let x = c.tensor("condition")?;
        columns(c, x)
    }),
];

fn choose(c: &mut Call<'_>) -> Values {
    let condition = c.tensor("condition")?;
    let condition = c.cast(condition, DType::Bool)?;
    let pair = c.promoted(&["self", "other"])?;
    let value = c.apply(Select {}, &[condition, pair[0], pair[1]])?;
    c.one(value)
}

/// The places of what is not zero, one a row.
fn places(c: &mut Call<'_>, x: ValueId) -> Built {
    let found = c.apply(NonZero {}, &[x])?;
    c.apply(Transpose { perm: vec![1, 0] }, &[found])
}

fn columns(c: &mut Call<'_>, x: ValueId) -> Values {
    let found = c.apply(NonZero {}, &[x])?;
    let mut list = Vec::new();
    for axis in 0..c.rank(x)?.max(1) as i64 {
        let index = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(axis))));
        list.push(c.apply(Gather { axis: 0 }, &[found, index])?);
    }
    c.list(&list)
}

/// Indices along axes of a tensor: the axes, and the indices as they broadcast.
struct Picked {
    axes: Vec<usize>,
    indices: Vec<ValueId>,
    /// Number of the axes of what the indices make.
    rank: usize,
}

/// Reads a list of indices, in which a mask stands for the places where it holds.
fn picked(c: &mut Call<'_>) -> Result<Picked, OpError> {
    let list = c.maybe_tensors("indices")?;
    let (mut axes, mut indices) = (Vec::new(), Vec::new());
    let mut axis = 0;
    for index in list {
        match index {
            None => axis += 1,
            Some(mask) if matches!(c.dtype(mask), DType::Bool | DType::U8) => {
                let found = c.apply(NonZero {}, &[mask])?;
                for k in 0..c.rank(mask)? {
                    let row = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(k as i128)));
                    indices.push(c.apply(Gather { axis: 0 }, &[found, row])?);
                    axes.push(axis);
                    axis += 1;
                }
            }
            Some(index) => {
                indices.push(c.cast(index, DType::I64)?);
                axes.push(axis);
                axis += 1;
            }
        }
    }
    let types: Vec<&TensorType> = indices.iter().map(|index| c.context.builder.ty(*index)).collect();
    let rank = frit_ir::shape::broadcast(&types)?.len();
    Ok(Picked { axes, indices, rank })
}

impl Picked {
    /// The indices side by side along a new last axis.
    fn tuples(&self, c: &mut Call<'_>) -> Built {
        let types: Vec<&TensorType> = self.indices.iter().map(|index| c.context.builder.ty(*index)).collect();
        let dims = frit_ir::shape::broadcast(&types)?;
        let shape: Option<Vec<i64>> = dims.iter().map(Dim::known).collect();
        let mut parts = Vec::new();
        for index in &self.indices {
            let mut index = *index;
            if let Some(shape) = &shape {
                let shape = c.builder().ints(shape);
                index = c.apply(ExpandTo {}, &[index, shape])?;
            }
            parts.push(unsqueezed(c, index, &[self.rank as i64])?);
        }
        if parts.len() == 1 { Ok(parts[0]) } else { c.apply(Concat { axis: self.rank }, &parts) }
    }

    /// The axes that are indexed, then the others.
    fn front(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        if self.axes.iter().any(|axis| *axis >= rank) {
            return Err(OpError::invalid(format!("more indices than the {rank} axes of the tensor")));
        }
        Ok(self.axes.iter().copied().chain((0..rank).filter(|axis| !self.axes.contains(axis))).collect())
    }

    /// Do the axes follow each other?
    fn together(&self) -> bool {
        self.axes.windows(2).all(|pair| pair[1] == pair[0] + 1)
    }
}

fn index(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let picked = picked(c)?;
    let rank = c.rank(x)?;
    let front = picked.front(rank)?;
    let value = match picked.indices.as_slice() {
        [] => x,
        [one] => c.apply(Gather { axis: picked.axes[0] }, &[x, *one])?,
        _ => {
            let tuples = picked.tuples(c)?;
            let turned = if front.iter().copied().eq(0..rank) { x } else { c.apply(Transpose { perm: front }, &[x])? };
            let value = c.apply(GatherNd { batch: 0 }, &[turned, tuples])?;
            // What is picked stands where the axes stood that were indexed, if they followed each other, else in front.
            let before = picked.axes[0];
            if picked.together() && before > 0 {
                let total = picked.rank + rank - picked.axes.len();
                let perm = (picked.rank..picked.rank + before).chain(0..picked.rank).chain(picked.rank + before..total).collect();
                c.apply(Transpose { perm }, &[value])?
            } else {
                value
            }
        }
    };
    c.one(value)
}

fn index_put(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let values = c.tensor("values")?;
    let accumulate = c.flag("accumulate")?;
    let masks = c.maybe_tensors("indices")?;
    // One number for all places of a mask needs no places.
    if let [Some(mask)] = masks[..]
        && c.dtype(mask) == DType::Bool
        && !accumulate
        && c.context.builder.ty(values).shape.elems() == Some(1)
        && c.rank(values)? <= 1
    {
        let missing: Vec<i64> = (c.rank(mask)? as i64..c.rank(x)? as i64).collect();
        let mask = unsqueezed(c, mask, &missing)?;
        let value = c.apply(Select {}, &[mask, values, x])?;
        return c.one(value);
    }
    let picked = picked(c)?;
    let rank = c.rank(x)?;
    let front = picked.front(rank)?;
    if picked.indices.is_empty() {
        let value = expand_like(c.builder(), values, x)?;
        return c.one(value);
    }
    let tuples = picked.tuples(c)?;
    let moved = !front.iter().copied().eq(0..rank);
    let turned = if moved { c.apply(Transpose { perm: front.clone() }, &[x])? } else { x };
    // The values have the shape that indexing would give.
    let target = c.apply(GatherNd { batch: 0 }, &[turned, tuples])?;
    let before = picked.axes[0];
    let total = picked.rank + rank - picked.axes.len();
    let values = if picked.together() && before > 0 {
        let missing: Vec<i64> = (0..total.saturating_sub(c.rank(values)?) as i64).collect();
        let values = if missing.is_empty() { values } else { unsqueezed(c, values, &missing)? };
        let perm = (before..before + picked.rank).chain(0..before).chain(before + picked.rank..total).collect();
        c.apply(Transpose { perm }, &[values])?
    } else {
        values
    };
    let values = expand_like(c.builder(), values, target)?;
    let value = c.apply(ScatterNd { update: if accumulate { Update::Add } else { Update::Replace } }, &[turned, tuples, values])?;
    let value = if moved {
        let mut back = vec![0; rank];
        for (to, from) in front.iter().enumerate() {
            back[*from] = to;
        }
        c.apply(Transpose { perm: back }, &[value])?
    } else {
        value
    };
    c.one(value)
}

/// Sums, means or largest of a table's rows in bags, whose indices follow each other; each bag begins where its offset says. The three results that
/// are for learning are not given.
fn embedding_bag(c: &mut Call<'_>) -> Values {
    let (weight, indices, mut offsets) = (c.tensor("weight")?, c.tensor("indices")?, c.tensor("offsets")?);
    let mut bags = extent(c, offsets, 0)?;
    if c.flag("include_last_offset")? {
        bags -= 1;
        let (from, to, axis) = (c.builder().ints(&[0]), c.builder().ints(&[bags]), c.builder().ints(&[0]));
        offsets = c.apply(SliceBy {}, &[offsets, from, to, axis])?;
    }
    let (count, width, known) = (extent(c, indices, 0)?, extent(c, weight, 1)?, extent(c, weight, 0)?);
    let (mode, dtype) = (c.int("mode")?, c.dtype(weight));
    let (update, neutral) = match mode {
        0 | 1 => (Update::Add, 0.0),
        2 => (Update::Max, f64::NEG_INFINITY),
        other => return Err(OpError::invalid(format!("'{}' has no mode {other}", c.name))),
    };
    let (indices, offsets) = (c.cast(indices, DType::I64)?, c.cast(offsets, DType::I64)?);
    let mut rows = c.apply(Gather { axis: 0 }, &[weight, indices])?;
    if let Some(factors) = c.maybe_tensor("per_sample_weights")? {
        let factors = unsqueezed(c, factors, &[1])?;
        rows = c.apply(Mul {}, &[rows, factors])?;
    }
    // An index lies in the last bag that has begun.
    let place = c.apply(Iota { dtype: DType::I64, extents: vec![1, count], axis: 1 }, &[])?;
    let offsets = unsqueezed(c, offsets, &[1])?;
    let begun = c.apply(LessEqual {}, &[offsets, place])?;
    let begun = c.cast(begun, DType::I64)?;
    let begun = aggregate(c, begun, Statistic::Sum, &[0], false)?;
    let one = c.builder().scalar(DType::I64, 1.0);
    let bag = c.apply(Sub {}, &[begun, one])?;
    let bag = unsqueezed(c, bag, &[1])?;
    let filled = |c: &mut Call<'_>, extents: &[i64], number: f64| {
        let (number, extents) = (c.builder().scalar(dtype, number), c.builder().ints(extents));
        c.apply(ExpandTo {}, &[number, extents])
    };
    let mut weights = filled(c, &[count], 1.0)?;
    if let Some(padding) = c.maybe_int("padding_idx")?.map(|at| if at < 0 && c.name == "embedding_bag" { at + known } else { at }).filter(|at| *at >= 0) {
        let padding = c.builder().scalar(DType::I64, padding as f64);
        let skipped = c.apply(Equal {}, &[indices, padding])?;
        let zero = c.builder().scalar(dtype, 0.0);
        weights = c.apply(Select {}, &[skipped, zero, weights])?;
        let skipped = unsqueezed(c, skipped, &[1])?;
        let neutral = c.builder().scalar(dtype, neutral);
        rows = c.apply(Select {}, &[skipped, neutral, rows])?;
    }
    let empty = filled(c, &[bags, width], neutral)?;
    let mut y = c.apply(ScatterNd { update }, &[empty, bag, rows])?;
    if mode > 0 {
        let none = filled(c, &[bags], 0.0)?;
        let sizes = c.apply(ScatterNd { update: Update::Add }, &[none, bag, weights])?;
        let sizes = unsqueezed(c, sizes, &[1])?;
        let (zero, one) = (c.builder().scalar(dtype, 0.0), c.builder().scalar(dtype, 1.0));
        let bare = c.apply(Equal {}, &[sizes, zero])?;
        y = if mode == 1 {
            let sizes = c.apply(Select {}, &[bare, one, sizes])?;
            c.apply(Div {}, &[y, sizes])?
        } else {
            c.apply(Select {}, &[bare, zero, y])?
        };
    }
    let mut values = c.one(y)?;
    values.resize(4, Value::None);
    Ok(values)
}

/// Whole slices along an axis replaced or added to.
fn rows(c: &mut Call<'_>, source: ValueId, update: Update) -> Values {
    let (x, index) = (c.tensor("self")?, c.tensor("index")?);
    let axis = c.axis("dim", x)?;
    let rank = c.rank(x)?;
    let index = reshaped(c, index, &[-1, 1])?;
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(0, axis);
    let turn = |c: &mut Call<'_>, x: ValueId| if axis == 0 { Ok(x) } else { c.apply(Transpose { perm: perm.clone() }, &[x]) };
    let (turned, source) = (turn(c, x)?, turn(c, source)?);
    let value = c.apply(ScatterNd { update }, &[turned, index, source])?;
    let value = turn(c, value)?;
    c.one(value)
}

/// The beginning of a tensor, as large as another one.
fn cut_to(c: &mut Call<'_>, x: ValueId, like: ValueId) -> Built {
    if c.context.builder.ty(x).shape == c.context.builder.ty(like).shape {
        return Ok(x);
    }
    let rank = c.rank(x)?;
    let starts = c.builder().ints(&vec![0; rank]);
    let ends = c.extents_of(like)?;
    let axes = c.builder().ints(&(0..rank as i64).collect::<Vec<_>>());
    c.apply(SliceBy {}, &[x, starts, ends, axes])
}

fn elements(c: &mut Call<'_>, source: ValueId, update: Update) -> Values {
    let (x, index) = (c.tensor("self")?, c.tensor("index")?);
    let axis = c.axis("dim", x)?;
    let source = cut_to(c, source, index)?;
    let value = c.apply(ScatterElements { axis, update }, &[x, index, source])?;
    c.one(value)
}

fn scatter(c: &mut Call<'_>) -> Values {
    let update = match c.maybe_text("reduce")? {
        None => Update::Replace,
        Some("add") => Update::Add,
        Some("multiply") => Update::Multiply,
        Some(other) => return Err(OpError::invalid(format!("'scatter' with '{other}'"))),
    };
    if c.has("src") {
        let source = c.tensor("src")?;
        return elements(c, source, update);
    }
    let (x, index) = (c.tensor("self")?, c.tensor("index")?);
    let dtype = c.dtype(x);
    let value = c.as_dtype("value", dtype)?;
    let source = expand_like(c.builder(), value, index)?;
    elements(c, source, update)
}

/// A tensor sorted along an axis, and where each element was.
fn in_order(c: &mut Call<'_>, x: ValueId, axis: usize, descending: bool) -> Result<[ValueId; 2], OpError> {
    let dtype = c.dtype(x);
    if c.rank(x)? == 0 {
        let zero = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(0)));
        return Ok([x, zero]);
    }
    let number = if dtype == DType::Bool { c.cast(x, DType::U8)? } else { x };
    let count = c.apply(frit_ir::ops::shape_of::ShapeOf { start: axis as i64, end: Some(axis as i64 + 1) }, &[x])?;
    let pair = c.context.builder.apply_all(TopK { axis, largest: descending }, &[number, count])?;
    Ok([c.cast(pair[0], dtype)?, pair[1]])
}

fn sorted(c: &mut Call<'_>) -> Result<[ValueId; 2], OpError> {
    let x = c.tensor("self")?;
    let (axis, descending) = (c.axis("dim", x)?, c.flag("descending")?);
    in_order(c, x, axis, descending)
}

fn unique(c: &mut Call<'_>, axis: Option<usize>) -> Values {
    let x = c.tensor("self")?;
    let results = c.context.builder.apply_all(Unique { axis, sorted: true }, &[x])?;
    let inverse = match axis {
        Some(_) => results[2],
        None => {
            let shape = c.extents_of(x)?;
            c.apply(ReshapeTo { zero_copies: false }, &[results[2], shape])?
        }
    };
    c.several(&[results[0], inverse, results[3]])
}

/// How many edges lie before each element, or at it (`right`).
fn searched(c: &mut Call<'_>, edges: ValueId, x: ValueId) -> Values {
    if c.has("sorter") {
        return Err(c.wrong("sorter"));
    }
    let right = c.flag("right")? || c.maybe_text("side")? == Some("right");
    let pair = super::math::common(c, &[edges, x])?;
    let rank = c.rank(x)?;
    let wide = unsqueezed(c, pair[1], &[rank as i64])?;
    let edges = if c.rank(edges)? > 1 {
        let at = c.rank(edges)? as i64 - 1;
        unsqueezed(c, pair[0], &[at])?
    } else {
        pair[0]
    };
    let before = if right { c.apply(LessEqual {}, &[edges, wide])? } else { c.apply(Less {}, &[edges, wide])? };
    let ones = c.cast(before, DType::I64)?;
    let value = aggregate(c, ones, Statistic::Sum, &[rank], false)?;
    let value = if c.flag("out_int32")? { c.cast(value, DType::I32)? } else { value };
    c.one(value)
}

/// How often each number below `depth` occurs.
fn counted(c: &mut Call<'_>, x: ValueId, depth: i64) -> Built {
    let flat = reshaped(c, x, &[-1])?;
    let values = c.builder().ints(&[0, 1]);
    let hot = c.apply(OneHot { depth, axis: 1 }, &[flat, values])?;
    aggregate(c, hot, Statistic::Sum, &[0], false)
}

fn histogram(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let dtype = c.dtype(x);
    let (bins, low, high) = (c.int("bins")?, c.float("min")?, c.float("max")?);
    let within = if dtype.is_float() { dtype } else { DType::F32 };
    let flat = reshaped(c, x, &[-1])?;
    let flat = c.apply(Cast { to: within }, &[flat])?;
    let (low, high) = if low == high {
        (aggregate(c, flat, Statistic::Min, &[0], false)?, aggregate(c, flat, Statistic::Max, &[0], false)?)
    } else {
        (c.like(flat, low), c.like(flat, high))
    };
    let (off, range) = (c.apply(Sub {}, &[flat, low])?, c.apply(Sub {}, &[high, low])?);
    let count = c.like(flat, bins as f64);
    let scaled = c.apply(Mul {}, &[off, count])?;
    let place = c.apply(Div {}, &[scaled, range])?;
    let place = c.apply(Floor {}, &[place])?;
    // The last bin holds the upper bound; what lies outside counts nowhere.
    let (zero, last) = (c.like(flat, 0.0), c.like(flat, bins as f64 - 1.0));
    let inside = c.apply(Clip {}, &[place, zero, last])?;
    let (below, above) = (c.apply(Less {}, &[flat, low])?, c.apply(Less {}, &[high, flat])?);
    let outside = c.apply(Or {}, &[below, above])?;
    let none = c.like(flat, bins as f64);
    let place = c.apply(Select {}, &[outside, none, inside])?;
    let place = c.cast(place, DType::I64)?;
    let value = counted(c, place, bins)?;
    let value = c.cast(value, dtype)?;
    c.one(value)
}

/// Rows in groups, each of which is multiplied by a matrix of its own; `offs` says where each group ends. Every row is multiplied by
/// every matrix, and its own product is taken.
fn grouped_product(c: &mut Call<'_>) -> Values {
    let (x, weight) = (c.values.first().cloned(), c.values.get(1).cloned());
    let (Some(Value::Tensor(x)), Some(Value::Tensor(weight))) = (x, weight) else { return Err(OpError::invalid("'grouped_mm' wants two tensors")) };
    let (x, weight, ends) = (c.context.read(x)?, c.context.read(weight)?, c.tensor("offs")?);
    let (rows, groups) = (extent(c, x, 0)?, extent(c, weight, 0)?);
    if c.rank(x)? != 2 || c.rank(weight)? != 3 {
        return Err(OpError::unsupported("'grouped_mm' is only supported of a matrix and a matrix for each group"));
    }
    let ends = c.cast(ends, DType::I64)?;
    let ends = reshaped(c, ends, &[1, groups])?;
    let row = c.apply(frit_ir::ops::iota::Iota { dtype: DType::I64, extents: vec![rows, 1], axis: 0 }, &[])?;
    let past = c.apply(LessEqual {}, &[ends, row])?;
    let past = c.cast(past, DType::I64)?;
    let group = aggregate(c, past, Statistic::Sum, &[1], false)?;
    let last = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(groups - 1))));
    let group = c.apply(Min {}, &[group, last])?;
    let wide = unsqueezed(c, x, &[0])?;
    let all = c.apply(MatMul {}, &[wide, weight])?;
    let turned = c.apply(Transpose { perm: vec![1, 0, 2] }, &[all])?;
    let row = reshaped(c, row, &[rows, 1])?;
    let group = reshaped(c, group, &[rows, 1])?;
    let tuples = c.apply(Concat { axis: 1 }, &[row, group])?;
    let value = c.apply(GatherNd { batch: 0 }, &[turned, tuples])?;
    c.one(value)
}
