//! Variables, and what has no value.
//!
//! Variables that are assigned are states of the graph: a run begins with what the last one left.

use frit_ir::OpError;

use super::BoundHandler;
use super::evaluate::Bound;
use super::node::Node;

pub(super) const OPS: &[(&str, BoundHandler)] = &[
    ("Assert", nothing),
    ("Assign", |n| {
        let value = n.input(1)?;
        assign(n, value)
    }),
    ("AssignAdd", |n| change(n, 1)),
    ("AssignAddVariableOp", |n| change(n, 1)),
    ("AssignSub", |n| change(n, -1)),
    ("AssignSubVariableOp", |n| change(n, -1)),
    ("AssignVariableOp", |n| {
        let value = n.input(1)?;
        assign(n, value)
    }),
    ("IsVariableInitialized", |n| Ok(vec![n.constant(frit_ir::Tensor::from_bools(&[], &[true])).into()])),
    ("NoOp", nothing),
    ("Placeholder", |_| Err(OpError::invalid("nothing is given for this placeholder").help("the signature doesn't name it among its inputs"))),
    ("Print", nothing),
    ("PrintV2", nothing),
    ("ResourceGather", |n| {
        let (x, indices) = (n.input(0)?, n.input(1)?);
        Ok(vec![n.pick(x, 0, indices)?.into()])
    }),
    ("VarIsInitializedOp", |n| Ok(vec![n.constant(frit_ir::Tensor::from_bools(&[], &[true])).into()])),
    ("VariableShape", |n| {
        let x = n.input(0)?;
        let shape = n.shape_of(x)?;
        let to = n.dtype("out_type", frit_ir::DType::I32)?;
        Ok(vec![n.cast(shape, to)?.into()])
    }),
];

fn nothing(n: &mut Node<'_, '_>) -> Result<Vec<Bound>, OpError> {
    Ok(vec![n.inputs.first().filter(|_| n.op == "Print").cloned().unwrap_or(Bound::Other("nothing"))])
}

fn assign(n: &mut Node<'_, '_>, value: frit_ir::ValueId) -> Result<Vec<Bound>, OpError> {
    let Bound::Variable(name) = n.bound(0)? else { return Err(OpError::unsupported("what is assigned to is no variable that is known")) };
    n.importer.assign(n.builder, name, value)?;
    Ok(vec![Bound::Variable(name.clone())])
}

fn change(n: &mut Node<'_, '_>, sign: i32) -> Result<Vec<Bound>, OpError> {
    let (before, by) = (n.input(0)?, n.input(1)?);
    let after = if sign > 0 { n.add(before, by)? } else { n.sub(before, by)? };
    assign(n, after)
}
