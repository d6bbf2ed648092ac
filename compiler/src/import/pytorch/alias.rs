//! Tensors that share memory, and writes to them, as values that never change.
//!
//! A *cell* is memory that tensors refer to: its value now. A tensor is a cell and a chain of *views*. A write through a tensor
//! makes a new value of the whole cell; whoever reads another tensor of that cell afterwards derives it anew.
//!
//! In: values, views, writes. Out: what each tensor is at the time it is read. Must not know: single ops of a source.

use std::collections::BTreeMap;

use frit_ir::ops::{bitcast::Bitcast, concat::Concat, expand_to::ExpandTo, gather::Gather, reshape_to::ReshapeTo, select::Select, shape_of::ShapeOf, slice_by::SliceBy, transpose::Transpose};
use frit_ir::{Builder, DType, OpError, Tensor, ValueId};

/// Tables that say what is written are no longer than this.
const MAX_TABLE: i64 = 1 << 22;

/// A tensor of a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TensorId(usize);

/// Memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct CellId(usize);

/// How a tensor is made of another one in the same memory.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// Axes in another order: axis `k` is axis `perm[k]`.
    Transpose(Vec<usize>),
    /// The same elements in row-major order under another shape, a vector of i64.
    Reshape(ValueId),
    /// From `start` to `end` (vectors of one i64, as in Python) by `step` along an axis.
    Slice {
        /// The axis.
        axis: usize,
        /// The first index.
        start: ValueId,
        /// Behind the last index.
        end: ValueId,
        /// Distance between elements; positive.
        step: i64,
    },
    /// Repeated to a shape, a vector of i64. It can't be written to.
    Expand(ValueId),
    /// Slices picked by a vector of indices along an axis: windows, which may overlap. It can't be written to.
    Gather {
        /// The axis.
        axis: usize,
        /// The indices.
        indices: ValueId,
    },
    /// The bits as another dtype of the same size.
    Bitcast(DType),
}

#[derive(Clone, Copy)]
struct Cell {
    value: ValueId,
    version: u32,
}

#[derive(Clone)]
struct Entry {
    cell: CellId,
    views: Vec<View>,
    value: ValueId,
    version: u32,
}

/// All tensors of a graph under construction.
#[derive(Clone, Default)]
pub(crate) struct Aliases {
    cells: Vec<Cell>,
    tensors: Vec<Entry>,
    strides: BTreeMap<TensorId, Vec<i64>>,
}

impl Aliases {
    /// A tensor in memory of its own.
    pub(crate) fn fresh(&mut self, value: ValueId) -> TensorId {
        self.cells.push(Cell { value, version: 0 });
        self.add(Entry { cell: CellId(self.cells.len() - 1), views: Vec::new(), value, version: 0 })
    }

    fn add(&mut self, entry: Entry) -> TensorId {
        self.tensors.push(entry);
        TensorId(self.tensors.len() - 1)
    }

    /// A view of a tensor.
    ///
    /// # Errors
    /// What the ops that views consist of say.
    pub(crate) fn view(&mut self, builder: &mut Builder, of: TensorId, views: Vec<View>) -> Result<TensorId, OpError> {
        let mut value = self.read(builder, of)?;
        for view in &views {
            value = applied(builder, view, value)?;
        }
        let mut entry = self.tensors[of.0].clone();
        entry.views.extend(views);
        entry.value = value;
        Ok(self.add(entry))
    }

    /// Makes a tensor stand for a view of itself (`squeeze_`, `t_`).
    ///
    /// # Errors
    /// As [`Aliases::view`].
    pub(crate) fn become_view(&mut self, tensor: TensorId, view: TensorId) {
        self.tensors[tensor.0] = self.tensors[view.0].clone();
    }

    /// What a tensor is now.
    ///
    /// # Errors
    /// What the ops that its views consist of say.
    pub(crate) fn read(&mut self, builder: &mut Builder, tensor: TensorId) -> Result<ValueId, OpError> {
        let entry = &self.tensors[tensor.0];
        let cell = &self.cells[entry.cell.0];
        if entry.version == cell.version {
            return Ok(entry.value);
        }
        let (mut value, version) = (cell.value, cell.version);
        for view in &entry.views {
            value = applied(builder, view, value)?;
        }
        let entry = &mut self.tensors[tensor.0];
        (entry.value, entry.version) = (value, version);
        Ok(value)
    }

    /// Writes to a tensor: `value` has its dtype and shape.
    ///
    /// # Errors
    /// Unsupported where elements of the tensor share memory.
    pub(crate) fn write(&mut self, builder: &mut Builder, tensor: TensorId, value: ValueId) -> Result<(), OpError> {
        let entry = self.tensors[tensor.0].clone();
        let mut before = vec![self.cells[entry.cell.0].value];
        for view in &entry.views {
            let last = before[before.len() - 1];
            before.push(applied(builder, view, last)?);
        }
        let mut whole = value;
        for (view, before) in entry.views.iter().zip(&before).rev() {
            whole = put(builder, view, *before, whole)?;
        }
        let cell = &mut self.cells[entry.cell.0];
        cell.value = whole;
        cell.version += 1;
        let version = cell.version;
        let entry = &mut self.tensors[tensor.0];
        (entry.value, entry.version) = (value, version);
        Ok(())
    }

    /// Notes the strides of a tensor, where a program says them.
    pub(crate) fn set_strides(&mut self, tensor: TensorId, strides: Vec<i64>) {
        self.strides.insert(tensor, strides);
    }

    /// The strides of a tensor, as far as a program said them.
    pub(crate) fn strides(&self, tensor: TensorId) -> Option<&[i64]> {
        self.strides.get(&tensor).map(Vec::as_slice)
    }

    /// The memory that a tensor lies in.
    pub(crate) fn cell(&self, tensor: TensorId) -> CellId {
        self.tensors[tensor.0].cell
    }

    /// All memory.
    pub(crate) fn cells(&self) -> impl Iterator<Item = CellId> + use<> {
        (0..self.cells.len()).map(CellId)
    }

    /// Is it one of these tensors, not one that another copy of them got later?
    pub(crate) fn knows(&self, tensor: TensorId) -> bool {
        tensor.0 < self.tensors.len()
    }

    /// A tensor that is all of a cell.
    pub(crate) fn whole(&mut self, cell: CellId) -> TensorId {
        let Cell { value, version } = self.cells[cell.0];
        self.add(Entry { cell, views: Vec::new(), value, version })
    }

    /// The value of all of a cell now, and how often it was written to.
    pub(crate) fn content(&self, cell: CellId) -> (ValueId, u32) {
        let Cell { value, version } = self.cells[cell.0];
        (value, version)
    }

    /// The views that a tensor consists of.
    pub(crate) fn views(&self, tensor: TensorId) -> &[View] {
        &self.tensors[tensor.0].views
    }
}

fn applied(builder: &mut Builder, view: &View, x: ValueId) -> Result<ValueId, OpError> {
    match view {
        View::Transpose(perm) if perm.iter().copied().eq(0..perm.len()) => Ok(x),
        View::Transpose(perm) => builder.apply(Transpose { perm: perm.clone() }, &[x]),
        View::Reshape(shape) => match (builder.as_ints(*shape), builder.extents(x)) {
            (Ok(shape), Ok(extents)) if shape == extents => Ok(x),
            _ => builder.apply(ReshapeTo { zero_copies: false }, &[x, *shape]),
        },
        View::Slice { axis, start, end, step } => slice(builder, x, *axis, *start, *end, *step),
        View::Expand(shape) => match (builder.as_ints(*shape), builder.extents(x)) {
            (Ok(shape), Ok(extents)) if shape == extents => Ok(x),
            _ => builder.apply(ExpandTo {}, &[x, *shape]),
        },
        View::Gather { axis, indices } => builder.apply(Gather { axis: *axis }, &[x, *indices]),
        View::Bitcast(to) => builder.apply(Bitcast { to: *to }, &[x]),
    }
}

fn slice(builder: &mut Builder, x: ValueId, axis: usize, start: ValueId, end: ValueId, step: i64) -> Result<ValueId, OpError> {
    let (axes, steps) = (builder.ints(&[axis as i64]), builder.ints(&[step]));
    if step == 1
        && let (Ok(start), Ok(end), Ok(extents)) = (builder.as_ints(start), builder.as_ints(end), builder.extents(x))
        && let ([0], [end]) = (start.as_slice(), end.as_slice())
        && extents.get(axis).is_some_and(|n| end >= n)
    {
        return Ok(x);
    }
    builder.apply(SliceBy {}, &[x, start, end, axes, steps])
}

/// What `before` becomes when `value` is written through a view of it.
fn put(builder: &mut Builder, view: &View, before: ValueId, value: ValueId) -> Result<ValueId, OpError> {
    match view {
        View::Transpose(perm) => {
            let mut back = vec![0; perm.len()];
            for (to, from) in perm.iter().enumerate() {
                back[*from] = to;
            }
            applied(builder, &View::Transpose(back), value)
        }
        View::Reshape(_) => {
            let shape = builder.apply(ShapeOf { start: 0, end: None }, &[before])?;
            applied(builder, &View::Reshape(shape), value)
        }
        View::Slice { axis, start, end, step: 1 } => {
            let (none, all) = (builder.ints(&[0]), builder.ints(&[i64::MAX]));
            let mut parts = vec![slice(builder, before, *axis, none, *start, 1)?, value, slice(builder, before, *axis, *end, all, 1)?];
            parts.retain(|part| builder.ty(*part).shape.dims().and_then(|dims| dims.get(*axis)).is_none_or(|dim| dim.known() != Some(0)));
            match parts.as_slice() {
                [] => Ok(before),
                [one] => Ok(*one),
                many => builder.apply(Concat { axis: *axis }, many),
            }
        }
        View::Slice { axis, start, end, step } => put_every(builder, before, value, *axis, &[*start, *end], *step),
        View::Expand(_) | View::Gather { .. } => {
            let (from, to) = (builder.extents(before), builder.extents(value));
            if from.is_ok() && from == to {
                return Ok(value);
            }
            Err(OpError::unsupported("it writes to a tensor whose elements share memory").help("clone the tensor before it is written to"))
        }
        View::Bitcast(_) => builder.apply(Bitcast { to: builder.dtype(before) }, &[value]),
    }
}

/// Puts slices at every `step`-th place of an axis: each place takes the new slice or keeps its own, by constant tables.
fn put_every(builder: &mut Builder, before: ValueId, value: ValueId, axis: usize, bounds: &[ValueId; 2], step: i64) -> Result<ValueId, OpError> {
    let extents = builder.extents(before)?;
    let count = builder.extents(value)?[axis];
    let start = match builder.as_ints(bounds[0])?.as_slice() {
        [start] if *start < 0 => (start + extents[axis]).max(0),
        [start] => *start,
        _ => return Err(OpError::invalid("the start of a slice is not one number")),
    };
    if count == 0 {
        return Ok(before);
    }
    if extents[axis] > MAX_TABLE {
        return Err(OpError::unsupported(format!("it writes to every {step}th of {} elements; at most {MAX_TABLE} are supported", extents[axis])));
    }
    let places: Vec<Option<i64>> = (0..extents[axis]).map(|at| (at >= start && (at - start) % step == 0).then(|| (at - start) / step).filter(|k| *k < count)).collect();
    let indices = builder.ints(&places.iter().map(|k| k.unwrap_or(0)).collect::<Vec<_>>());
    let mut shape = vec![1; extents.len()];
    shape[axis] = extents[axis];
    let chosen = builder.constant(Tensor::from_bools(&shape, &places.iter().map(Option::is_some).collect::<Vec<_>>()));
    let spread = builder.apply(Gather { axis }, &[value, indices])?;
    builder.apply(Select {}, &[chosen, spread, before])
}
