//! Ops that move elements: shapes, indices, sorting, images.

use frit_ir::ops::{concat::Concat, constant::Constant, reshape_to::ReshapeTo, transpose::Transpose};
use frit_ir::shape::axis;
use frit_ir::{OpError, Tensor, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("Concat", concat),
    ("Constant", constant),
    ("Identity", |n| Ok(vec![n.input(0)?])),
    ("Reshape", |n| {
        let zero_copies = !n.flag("allowzero", false);
        n.simple(ReshapeTo { zero_copies }, 2)
    }),
    ("Transpose", transpose),
];

fn concat(n: &mut Node<'_, '_>) -> Values {
    let inputs = n.all_inputs()?;
    let rank = n.builder.rank(n.input(0)?)?;
    let axis = axis(n.int("axis", 1), rank)?;
    Ok(vec![n.apply(Concat { axis }, &inputs)?])
}

fn constant(n: &mut Node<'_, '_>) -> Values {
    let value = if let Some(tensor) = n.maybe_tensor("value")? {
        tensor
    } else if let Some(tensor) = n.maybe_tensor("sparse_value")? {
        tensor
    } else if let Some(ints) = n.maybe_ints("value_ints") {
        Tensor::from_ints(ints)
    } else if let Some(int) = n.maybe_int("value_int") {
        Tensor::from_slice(&[], &[int])
    } else if let Some(floats) = n.maybe_floats("value_floats") {
        Tensor::from_slice(&[floats.len() as i64], floats)
    } else if let Some(float) = n.maybe_float("value_float") {
        Tensor::from_slice(&[], &[float as f32])
    } else if let Some(texts) = n.maybe_texts("value_strings") {
        Tensor::from_strings(&[texts.len() as i64], texts)?
    } else if let Some(text) = n.maybe_text("value_string") {
        Tensor::from_strings(&[], vec![text.to_owned()])?
    } else {
        return Err(n.missing("value"));
    };
    Ok(vec![n.apply(Constant { value }, &[])?])
}

fn transpose(n: &mut Node<'_, '_>) -> Values {
    let rank = n.builder.rank(n.input(0)?)?;
    let perm = match n.maybe_ints("perm") {
        Some(perm) => perm.iter().map(|k| axis(*k, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    n.simple(Transpose { perm }, 1)
}
