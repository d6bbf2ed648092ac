//! Control flow.

use frit_ir::ops::{fail::failing, if_::If, loop_::Loop, scan::Scan};
use frit_ir::{DType, Dim, OpError, Scalar, Shape, Tensor, TensorType, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[("If", if_), ("Loop", loop_), ("Scan", scan)];

fn if_(n: &mut Node<'_, '_>) -> Values {
    let (mut graphs, captures) = n.subgraphs(&["then_branch", "else_branch"], &[])?;
    let (else_branch, then_branch) = (graphs.pop(), graphs.pop());
    let types: Vec<TensorType> = captures.iter().map(|v| n.builder.ty(*v).clone()).collect();
    let (then_branch, else_branch) = match (then_branch, else_branch) {
        (Some(Ok(a)), Some(Ok(b))) => (a, b),
        // A branch that does not fit the shapes is an error only where it is taken.
        (Some(Ok(a)), Some(Err(error))) if error.is_invalid() => {
            let b = failing(&a, &types, &error.to_string())?;
            (a, b)
        }
        (Some(Err(error)), Some(Ok(b))) if error.is_invalid() => (failing(&b, &types, &error.to_string())?, b),
        (Some(Err(error)), _) | (_, Some(Err(error))) => return Err(error.into()),
        _ => return Err(OpError::bug("two graphs were asked for")),
    };
    let mut inputs = vec![n.input(0)?];
    inputs.extend(captures);
    n.builder.apply_all(If { then_branch, else_branch }, &inputs)
}

/// The same dtype and rank with every extent open: what a loop carries may change its shape.
fn opened(ty: &TensorType) -> TensorType {
    TensorType::new(ty.dtype, ty.shape.dims().map_or(Shape::Unranked, |dims| Shape::Ranked(vec![Dim::Unknown; dims.len()])))
}

fn loop_(n: &mut Node<'_, '_>) -> Values {
    let mut given = vec![TensorType::known(DType::I64, &[]), TensorType::known(DType::Bool, &[])];
    for at in 2..n.inputs.len() {
        let value = n.input(at)?;
        given.push(opened(n.builder.ty(value)));
    }
    let (body, captures) = n.subgraph("body", &given)?;
    let trips = n.optional(0).unwrap_or_else(|| n.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(i64::MAX)))));
    let cond = n.optional(1).unwrap_or_else(|| n.builder.constant(Tensor::from_bools(&[], &[true])));
    let mut inputs = vec![trips, cond];
    let carried = (2..n.inputs.len()).map(|at| n.input(at)).collect::<Result<Vec<_>, _>>()?;
    inputs.extend_from_slice(&carried);
    inputs.extend(captures);
    n.builder.apply_all(Loop { body, carried: carried.len() }, &inputs)
}

fn scan(n: &mut Node<'_, '_>) -> Values {
    if n.opset < 9 {
        return Err(OpError::unsupported("'Scan' before opset 9 is not supported").help("convert the model to opset 9 or newer"));
    }
    let mut inputs = n.all_inputs()?;
    let scanned = usize::try_from(n.required_int("num_scan_inputs")?).ok().filter(|count| *count <= inputs.len());
    let Some(scanned) = scanned else { return Err(OpError::invalid("'Scan' scans more inputs than it has")) };
    let states = inputs.len() - scanned;
    let element = |ty: &TensorType| TensorType::new(ty.dtype, ty.shape.dims().filter(|dims| !dims.is_empty()).map_or(Shape::Unranked, |dims| Shape::Ranked(vec![Dim::Unknown; dims.len() - 1])));
    let given: Vec<TensorType> = inputs.iter().enumerate().map(|(k, v)| if k < states { opened(n.builder.ty(*v)) } else { element(n.builder.ty(*v)) }).collect();
    let (body, captures) = n.subgraph("body", &given)?;
    let collected = body.outputs().len().saturating_sub(states);
    let axes = |name, count| n.maybe_ints(name).map_or_else(|| vec![0; count], <[i64]>::to_vec);
    let ways = |name, count| n.maybe_ints(name).map_or_else(|| vec![false; count], |list| list.iter().map(|way| *way != 0).collect());
    let op = Scan {
        states,
        input_axes: axes("scan_input_axes", scanned),
        input_reversed: ways("scan_input_directions", scanned),
        output_axes: axes("scan_output_axes", collected),
        output_reversed: ways("scan_output_directions", collected),
        body,
    };
    inputs.extend(captures);
    n.builder.apply_all(op, &inputs)
}
