//! The reference interpreter: a graph and tensors in, tensors out, node by node.
//!
//! Written for clarity: every op computes in f64 (floats) or exactly (integers) and rounds once.
//! It is what compiled code is checked against, and what runs an op that a device has no kernel
//! for. Must not know: kernels, devices.

use crate::error::{Error, OpError};
use crate::graph::{Graph, Node, ValueId};
use crate::tensor::Tensor;

/// Runs a graph.
///
/// # Errors
/// Invalid where number or dtypes of the inputs don't fit, or a node's operands are at fault.
pub fn run(graph: &Graph, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
    run_observed(graph, inputs, |_, _| {})
}

/// Runs a graph and shows every value to `observe` as it is made.
///
/// # Errors
/// As [`run`].
pub fn run_observed(graph: &Graph, inputs: &[&Tensor], mut observe: impl FnMut(ValueId, &Tensor)) -> Result<Vec<Tensor>, Error> {
    if inputs.len() != graph.inputs().len() {
        return Err(Error::invalid(format!("graph '{}' takes {} inputs, not {}", graph.name, graph.inputs().len(), inputs.len())));
    }
    let mut values: Vec<Option<Tensor>> = vec![None; graph.values().len()];
    for ((name, value), tensor) in graph.inputs().iter().zip(inputs) {
        let expected = graph.ty(*value).dtype;
        if tensor.dtype() != expected {
            return Err(Error::invalid(format!("input '{name}' is {expected}, not {}", tensor.dtype())));
        }
        values[value.0 as usize] = Some((*tensor).clone());
    }
    let mut last_use = vec![usize::MAX; graph.values().len()];
    for (id, node) in graph.nodes() {
        for input in &node.inputs {
            last_use[input.0 as usize] = id.0 as usize;
        }
    }
    for (_, value) in graph.outputs() {
        last_use[value.0 as usize] = usize::MAX;
    }
    for (id, node) in graph.nodes() {
        let operands = node.inputs.iter().map(|v| values[v.0 as usize].as_ref()).collect::<Option<Vec<&Tensor>>>().ok_or_else(|| Error::bug("a node uses a value before it is made"))?;
        let results = apply(node, &operands)?;
        for (value, tensor) in node.outputs.iter().zip(results) {
            observe(*value, &tensor);
            values[value.0 as usize] = Some(tensor);
        }
        for input in &node.inputs {
            if last_use[input.0 as usize] == id.0 as usize {
                values[input.0 as usize] = None;
            }
        }
    }
    graph.outputs().iter().map(|(name, v)| values[v.0 as usize].clone().ok_or_else(|| Error::bug(format!("output '{name}' was not made")))).collect()
}

/// Runs one node.
///
/// # Errors
/// Invalid where its operands are at fault, with the node's name.
pub fn apply(node: &Node, operands: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
    let results = node.op.def().eval(operands).and_then(|results| {
        if results.len() == node.outputs.len() { Ok(results) } else { Err(OpError::bug(format!("op '{}' gave {} results, not {}", node.op.name(), results.len(), node.outputs.len()))) }
    });
    results.map_err(|error| {
        let place = node.origins.first().map_or_else(|| format!("op '{}'", node.op.name()), |origin| origin.to_string());
        Error::at(error, place, operands.iter().map(|tensor| tensor.ty().to_string()).collect())
    })
}
