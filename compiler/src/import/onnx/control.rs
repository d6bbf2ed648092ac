//! Control flow.

use frit_ir::ops::{if_::If, loop_::Loop, scan::Scan};
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[("If", if_), ("Loop", loop_), ("Scan", scan)];

fn if_(n: &mut Node<'_, '_>) -> Values {
    let (graphs, captures) = n.subgraphs(&["then_branch", "else_branch"])?;
    let [then_branch, else_branch]: [_; 2] = graphs.try_into().map_err(|_| OpError::bug("two graphs were asked for"))?;
    let mut inputs = vec![n.input(0)?];
    inputs.extend(captures);
    n.builder.apply_all(If { then_branch, else_branch }, &inputs)
}

fn loop_(n: &mut Node<'_, '_>) -> Values {
    let (graphs, captures) = n.subgraphs(&["body"])?;
    let [body]: [_; 1] = graphs.try_into().map_err(|_| OpError::bug("one graph was asked for"))?;
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
    let (graphs, captures) = n.subgraphs(&["body"])?;
    let [body]: [_; 1] = graphs.try_into().map_err(|_| OpError::bug("one graph was asked for"))?;
    let mut inputs = n.all_inputs()?;
    let scanned = usize::try_from(n.required_int("num_scan_inputs")?).ok().filter(|count| *count <= inputs.len());
    let Some(scanned) = scanned else { return Err(OpError::invalid("'Scan' scans more inputs than it has")) };
    let states = inputs.len() - scanned;
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
