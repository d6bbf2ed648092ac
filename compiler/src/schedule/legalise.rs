//! The graph in the form that fusion wants: core ops only, and no windows that reach outside.
//!
//! In: a rewritten graph. Out: an equal graph without composites; padding of convolutions is an op of its
//! own, so that it becomes a store address of whatever makes the padded tensor. Must not know: kernels.

use std::collections::BTreeMap;

use frit_ir::graph::{Graph, ValueId};
use frit_ir::ops::{conv::Conv, pad::Pad};
use frit_ir::scalar::Scalar;
use frit_ir::{Builder, Error, Op, TensorType};

use crate::rewrite::rewrite;
use crate::specialise::{Expand, rebuild};

/// Legalises a graph.
///
/// # Errors
/// A bug where a composite does not expand.
pub(super) fn legalise(graph: &Graph) -> Result<Graph, Error> {
    let types: Vec<TensorType> = graph.inputs().iter().map(|(_, v)| graph.ty(*v).clone()).collect();
    rewrite(&split_padding(&rebuild(graph, &types, Expand::All)?)?)
}

fn split_padding(graph: &Graph) -> Result<Graph, Error> {
    let mut builder = Builder::new(graph.name.clone());
    let mut map: BTreeMap<ValueId, ValueId> = graph.inputs().iter().map(|(name, v)| (*v, builder.input(name.clone(), graph.ty(*v).clone()))).collect();
    for (_, node) in graph.nodes() {
        builder.set_origins(node.origins.clone());
        let mut operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
        let op = match &node.op {
            Op::Conv(conv) if conv.before.iter().chain(&conv.after).any(|n| *n != 0) => {
                let around = |pads: &[i64]| [&[0, 0], pads].concat();
                let pad = Pad { before: around(&conv.before), after: around(&conv.after), value: Scalar::Int(0) };
                operands[0] = builder.apply(pad, &operands[..1]).map_err(|error| builder.locate(error, &node.op, &operands))?;
                let zeros = vec![0; conv.strides.len()];
                Conv { before: zeros.clone(), after: zeros, ..conv.clone() }.into()
            }
            op => op.clone(),
        };
        let outputs = builder.apply_all(op.clone(), &operands).map_err(|error| builder.locate(error, &op, &operands))?;
        for (from, to) in node.outputs.iter().zip(outputs) {
            if let Some(name) = &graph.value(*from).name {
                builder.name(to, name.clone());
            }
            map.insert(*from, to);
        }
    }
    for (name, value) in graph.outputs() {
        builder.output(name.clone(), map[value]);
    }
    Ok(builder.finish())
}
