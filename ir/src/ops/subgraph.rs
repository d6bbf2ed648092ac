//! What control flow shares: types of subgraphs, and elements of tensors along an axis.
//!
//! In: graphs that ops hold as attributes, and what they are applied to. Out: types, graphs with closer types, tensors.
//! Must not know: single ops.

use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::{Graph, ValueId};
use crate::ops::Arg;
use crate::shape::{Dim, Shape, TensorType};
use crate::tensor::{AlignedBytes, Tensor, checked_elems};

/// The same graph for inputs of other types: as the graph declares them or closer. Types of all its values are inferred
/// anew.
///
/// # Errors
/// Invalid where the number of inputs or a dtype differs, or a node does not take its operands' new types.
pub fn retype(graph: &Graph, types: &[TensorType]) -> Result<Graph, OpError> {
    check(graph, types.iter())?;
    let mut builder = Builder::new(graph.name.clone());
    let inputs: Vec<ValueId> = graph.inputs().iter().zip(types).map(|((name, _), ty)| builder.input(name.clone(), ty.clone())).collect();
    let outputs = builder.inline(graph, &inputs)?;
    for ((name, _), value) in graph.outputs().iter().zip(outputs) {
        builder.output(name.clone(), value);
    }
    Ok(builder.finish())
}

/// Types of a graph's outputs for some operands.
///
/// # Errors
/// As [`retype`].
pub(crate) fn infer(graph: &Graph, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
    check(graph, args.iter().map(|arg| arg.ty))?;
    let mut builder = Builder::new("infer");
    let inputs: Vec<ValueId> = args
        .iter()
        .enumerate()
        .map(|(at, arg)| match arg.value {
            Some(tensor) => builder.constant(tensor.clone()),
            None => builder.input(at.to_string(), arg.ty.clone()),
        })
        .collect();
    let outputs = builder.inline(graph, &inputs)?;
    Ok(outputs.iter().map(|value| builder.ty(*value).clone()).collect())
}

fn check<'a>(graph: &Graph, types: impl ExactSizeIterator<Item = &'a TensorType>) -> Result<(), OpError> {
    if graph.inputs().len() != types.len() {
        return Err(OpError::invalid(format!("subgraph '{}' takes {} operands, not {}", graph.name, graph.inputs().len(), types.len())));
    }
    for ((name, value), ty) in graph.inputs().iter().zip(types) {
        if graph.ty(*value).dtype != ty.dtype {
            return Err(OpError::invalid(format!("input '{name}' of subgraph '{}' is {}, and gets {ty}", graph.name, graph.ty(*value).dtype)));
        }
    }
    Ok(())
}

/// The closest shape that holds for tensors of either shape.
pub(crate) fn either(a: &Shape, b: &Shape) -> Shape {
    match (a, b) {
        (Shape::Ranked(a), Shape::Ranked(b)) if a.len() == b.len() => {
            Shape::Ranked(a.iter().zip(b).map(|(x, y)| if x.provably_equal(y) { x.clone() } else { Dim::Unknown }).collect())
        }
        _ => Shape::Unranked,
    }
}

/// Elements of a tensor along an axis as bytes: how many blocks lie before it, and how many bytes one index takes in each.
fn blocks(tensor: &Tensor, axis: usize) -> Result<(usize, usize), OpError> {
    numbers(tensor)?;
    let outer = checked_elems(&tensor.extents()[..axis])?;
    let inner = checked_elems(&tensor.extents()[axis + 1..])?;
    Ok((outer, inner * tensor.dtype().size()))
}

fn numbers(tensor: &Tensor) -> Result<(), OpError> {
    if tensor.dtype() == DType::Str { Err(OpError::unsupported("loops over text are not supported")) } else { Ok(()) }
}

/// What lies at one index along an axis, which is dropped.
///
/// # Errors
/// Invalid where there is no such index.
pub(crate) fn at(tensor: &Tensor, axis: usize, index: usize) -> Result<Tensor, OpError> {
    let mut extents = tensor.extents().to_vec();
    if axis >= extents.len() || index as i64 >= extents[axis] {
        return Err(OpError::invalid(format!("there is no index {index} along axis {axis} of shape {extents:?}")));
    }
    let (outer, size) = blocks(tensor, axis)?;
    let count = extents.remove(axis) as usize;
    let mut bytes = AlignedBytes::zeroed(outer * size)?;
    for block in 0..outer {
        let from = (block * count + index) * size;
        bytes.as_mut_slice()[block * size..(block + 1) * size].copy_from_slice(&tensor.bytes()[from..from + size]);
    }
    Tensor::from_bytes(tensor.dtype(), &extents, bytes)
}

/// Tensors of one type side by side along a new axis.
///
/// # Errors
/// Invalid where there are none, their types differ, or there is no such axis.
pub(crate) fn stack(parts: &[Tensor], axis: usize) -> Result<Tensor, OpError> {
    let Some(first) = parts.first() else { return Err(OpError::bug("nothing to stack")) };
    if let Some(other) = parts.iter().find(|part| part.ty() != first.ty()) {
        return Err(OpError::invalid(format!("a loop's steps give {} and {}", first.ty(), other.ty())).help("elements that a loop collects have one shape"));
    }
    if axis > first.rank() {
        return Err(OpError::invalid(format!("axis {axis} is outside a tensor of rank {}", first.rank() + 1)));
    }
    numbers(first)?;
    let mut extents = first.extents().to_vec();
    extents.insert(axis, parts.len() as i64);
    let elems = checked_elems(&extents)?;
    let outer = checked_elems(&extents[..axis])?;
    let size = checked_elems(&extents[axis + 1..])? * first.dtype().size();
    let mut bytes = AlignedBytes::zeroed(elems * first.dtype().size())?;
    for (index, part) in parts.iter().enumerate() {
        for block in 0..outer {
            let to = (block * parts.len() + index) * size;
            bytes.as_mut_slice()[to..to + size].copy_from_slice(&part.bytes()[block * size..(block + 1) * size]);
        }
    }
    Tensor::from_bytes(first.dtype(), &extents, bytes)
}

/// A tensor without elements for a type whose open extents count as 0, with a new axis of extent 0.
///
/// # Errors
/// Invalid where the rank is not known or there is no such axis.
pub(crate) fn nothing(ty: &TensorType, axis: usize) -> Result<Tensor, OpError> {
    let dims = ty.shape.dims().ok_or_else(|| OpError::invalid("a loop without steps collects elements of unknown rank"))?;
    let mut extents: Vec<i64> = dims.iter().map(|dim| dim.known().unwrap_or(0)).collect();
    if axis > extents.len() {
        return Err(OpError::invalid(format!("axis {axis} is outside a tensor of rank {}", extents.len() + 1)));
    }
    extents.insert(axis, 0);
    Tensor::zeros(ty.dtype, &extents)
}
