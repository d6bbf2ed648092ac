//! Sparse tensors made dense.
//!
//! In: the elements that are there, and which places they belong to. Out: a dense [`Tensor`]. Must not know: ops.

use bytes::Bytes;
use frit_ir::{DType, OpError, Tensor};

use super::flat::Table;

/// A dense copy is at most so many times as large as the file's part of it.
const MAX_GROWTH: usize = 1 << 10;

/// One axis of the traversal.
enum Axis {
    /// All places, of so many.
    Dense(usize),
    /// For each place of the axes before: where its places begin and end in the list of them.
    Sparse { segments: Vec<usize>, indices: Vec<usize> },
}

/// Numbers in the narrowest type that holds them.
fn list(table: &Table<'_>, kind: usize) -> Result<Vec<usize>, OpError> {
    let Some(values) = table.table(kind + 1)? else { return Err(OpError::invalid("a sparse axis lacks its lists")) };
    let negative = || OpError::invalid("a sparse axis counts below zero");
    match table.u8(kind, 0)? {
        1 => values.i32s(0)?.into_iter().map(|n| usize::try_from(n).map_err(|_| negative())).collect(),
        2 => Ok(values.u16s(0)?.into_iter().map(usize::from).collect()),
        3 => Ok(values.u8s(0)?.into_iter().map(usize::from).collect()),
        other => Err(OpError::invalid(format!("lists of kind {other} of a sparse axis are unknown"))),
    }
}

/// The dense tensor. Axes are traversed in an order of their own; those behind the tensor's are places in blocks of an axis.
pub(super) fn dense(dtype: DType, extents: &[i64], elems: usize, bytes: &Bytes, sparsity: &Table<'_>) -> Result<Tensor, OpError> {
    let size = dtype.size();
    if size == 0 || matches!(dtype, DType::I4 | DType::U4 | DType::I2) {
        return Err(OpError::unsupported(format!("sparse tensors of {dtype} are not supported")));
    }
    if elems.saturating_mul(size) > bytes.len().saturating_mul(MAX_GROWTH).saturating_add(1 << 20) {
        return Err(OpError::unsupported(format!("a sparse tensor of shape {extents:?} with {} bytes is too sparse to be made dense", bytes.len())));
    }
    let small = |n: i32, count: usize| usize::try_from(n).ok().filter(|n| *n < count).ok_or_else(|| OpError::invalid("a sparse tensor names an axis that it does not have"));
    let order = sparsity.i32s(0)?;
    let count = order.len();
    let order = order.into_iter().map(|axis| small(axis, count)).collect::<Result<Vec<_>, _>>()?;
    let blocks = sparsity.i32s(1)?.into_iter().map(|axis| small(axis, extents.len())).collect::<Result<Vec<_>, _>>()?;
    let tables = sparsity.tables(2)?;
    if tables.len() != count || count != extents.len() + blocks.len() || count == 0 {
        return Err(OpError::invalid("a sparse tensor describes another number of axes than it has"));
    }
    let mut axes = Vec::new();
    let mut sizes = vec![1usize; count];
    for (table, axis) in tables.iter().zip(&order) {
        let places = usize::try_from(table.i32(1, 0)?).map_err(|_| OpError::invalid("a sparse axis has a negative extent"))?;
        axes.push(match table.i8(0, 0)? {
            0 => {
                sizes[*axis] = places;
                Axis::Dense(places)
            }
            1 => Axis::Sparse { segments: list(table, 2)?, indices: list(table, 4)? },
            other => return Err(OpError::invalid(format!("a sparse axis of kind {other} is unknown"))),
        });
    }
    // How far a step along each axis of the traversal leads in the dense tensor.
    let strides: Vec<usize> = frit_ir::tensor::row_strides(extents).into_iter().map(|stride| usize::try_from(stride).unwrap_or(0)).collect();
    let steps = order.iter().map(|axis| match axis.checked_sub(extents.len()) {
        Some(block) => strides[blocks[block]],
        None => blocks.iter().enumerate().filter(|(_, of)| *of == axis).fold(strides[*axis], |step, (block, _)| step.saturating_mul(sizes[extents.len() + block])),
    });
    let steps: Vec<usize> = steps.collect();
    // Places so far: which one it is in the lists, and where it lies.
    let mut places: Vec<(usize, usize)> = vec![(0, 0)];
    let outside = || OpError::invalid("a place of a sparse tensor lies outside it");
    let most = elems.max(bytes.len() / size).max(1);
    for (axis, step) in axes.iter().zip(&steps) {
        let mut next = Vec::new();
        for (at, place) in places {
            let add = |next: &mut Vec<(usize, usize)>, at: usize, index: usize| {
                let place = index.checked_mul(*step).and_then(|offset| place.checked_add(offset)).ok_or_else(outside)?;
                if next.len() >= most {
                    return Err(OpError::invalid("a sparse tensor has more places than elements"));
                }
                next.push((at, place));
                Ok(())
            };
            match axis {
                Axis::Dense(extent) => {
                    for index in 0..*extent {
                        add(&mut next, at.saturating_mul(*extent).saturating_add(index), index)?;
                    }
                }
                Axis::Sparse { segments, indices } => {
                    let (Some(start), Some(end)) = (segments.get(at), segments.get(at + 1)) else { return Err(outside()) };
                    let part = indices.get(*start..*end).ok_or_else(outside)?;
                    for (k, index) in part.iter().enumerate() {
                        add(&mut next, start + k, *index)?;
                    }
                }
            }
        }
        places = next;
    }
    let mut dense = frit_ir::tensor::AlignedBytes::zeroed(elems * size)?;
    for (at, place) in places {
        let from = at.checked_mul(size).and_then(|start| bytes.get(start..start + size)).ok_or_else(outside)?;
        let to = place.checked_mul(size).and_then(|start| dense.as_mut_slice().get_mut(start..start + size)).ok_or_else(outside)?;
        to.copy_from_slice(from);
    }
    Tensor::from_bytes(dtype, extents, dense)
}
