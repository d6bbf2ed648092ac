//! The verifier: is a graph well formed?
//!
//! In: a [`Graph`]. Out: every complaint about it. It has no shape rule of its own: types are those that ops infer.
//! Must not know: single ops, source formats.

use crate::error::{Error, Kind, OpError};
use crate::graph::{Graph, Node, Producer, ValueId};
use crate::ops::{Arg, Attr};
use crate::shape::TensorType;

/// A graph has at most so many nodes, and as many values, those of its subgraphs apart.
pub const MAX_NODES: usize = 1 << 24;

/// Subgraphs nest no deeper than this.
pub const MAX_DEPTH: usize = 64;

/// Checks a graph and its subgraphs:
///
/// 1. numbers of nodes and values and the depth of subgraphs stay within [`MAX_NODES`] and [`MAX_DEPTH`];
/// 2. each value is an input or a result of a node, and that end knows it;
/// 3. operands are made before they are used, and outputs are made;
/// 4. types don't contradict those that the ops infer. They may be more precise.
///
/// # Errors
/// All complaints, as bugs: importers, rewrites and builders never make such a graph.
pub fn verify(graph: &Graph) -> Result<(), Vec<Error>> {
    let mut errors = Vec::new();
    check(graph, 0, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn check(graph: &Graph, depth: usize, errors: &mut Vec<Error>) {
    if graph.nodes.len() > MAX_NODES || graph.values.len() > MAX_NODES {
        errors.push(Error::bug(format!("graph '{}' has more than {MAX_NODES} nodes or values", graph.name)));
        return;
    }
    if depth > MAX_DEPTH {
        errors.push(Error::bug(format!("subgraphs nest deeper than {MAX_DEPTH}")));
        return;
    }
    let exists = |id: &ValueId| (id.0 as usize) < graph.values.len();
    let mut made = vec![false; graph.values.len()];
    for (at, value) in graph.values.iter().enumerate() {
        let end = match value.producer {
            Producer::Input(k) => graph.inputs.get(k).map(|(_, id)| *id),
            Producer::Node(node, k) => graph.nodes.get(node.0 as usize).and_then(|node| node.outputs.get(k)).copied(),
        };
        if end != Some(ValueId(at as u32)) {
            errors.push(Error::bug(format!("value %{at} says that {:?} makes it, which makes {end:?}", value.producer)));
        }
    }
    for (k, (name, id)) in graph.inputs.iter().enumerate() {
        match graph.values.get(id.0 as usize) {
            Some(value) if value.producer == Producer::Input(k) => made[id.0 as usize] = true,
            _ => errors.push(Error::bug(format!("input '{name}' is %{}, which is made elsewhere or does not exist", id.0))),
        }
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        let before = errors.len();
        for id in &node.inputs {
            if !exists(id) || !made[id.0 as usize] {
                errors.push(place(OpError::bug(format!("operand %{} is used before it is made", id.0)), graph, node));
            }
        }
        for (k, id) in node.outputs.iter().enumerate() {
            match graph.values.get(id.0 as usize) {
                Some(value) if matches!(value.producer, Producer::Node(producer, j) if producer.0 as usize == at && j == k) => made[id.0 as usize] = true,
                _ => errors.push(place(OpError::bug(format!("result %{} is made elsewhere or does not exist", id.0)), graph, node)),
            }
        }
        for (_, attr) in node.op.def().attrs() {
            subgraphs(&attr, depth, errors);
        }
        if errors.len() == before
            && let Err(error) = types(graph, node)
        {
            errors.push(place(OpError { kind: Kind::Bug, ..error }, graph, node));
        }
    }
    for (name, id) in &graph.outputs {
        if !exists(id) || !made[id.0 as usize] {
            errors.push(Error::bug(format!("output '{name}' is %{}, which nothing makes", id.0)));
        }
    }
}

fn subgraphs(attr: &Attr, depth: usize, errors: &mut Vec<Error>) {
    match attr {
        Attr::Graph(graph) => check(graph, depth + 1, errors),
        Attr::List(items) => items.iter().for_each(|item| subgraphs(item, depth, errors)),
        Attr::Int(_) | Attr::Float(_) | Attr::Bool(_) | Attr::Text(_) | Attr::DType(_) | Attr::Tensor(_) => {}
    }
}

fn place(error: OpError, graph: &Graph, node: &Node) -> Error {
    let name = node.origins.first().map_or_else(|| format!("op {}", node.op.name()), |origin| origin.to_string());
    let inputs = node.inputs.iter().filter_map(|id| graph.values.get(id.0 as usize)).map(|value| value.ty.to_string()).collect();
    Error::at(error, name, inputs)
}

/// Checks that the recorded types of a node's results don't contradict what its op infers. Operands and results must
/// be values of the graph.
///
/// # Errors
/// What the op says of its operands; invalid where number or types of the results differ.
pub fn types(graph: &Graph, node: &Node) -> Result<(), OpError> {
    let args: Vec<Arg<'_>> = node.inputs.iter().map(|id| Arg { ty: graph.ty(*id), value: graph.constant(*id) }).collect();
    let inferred = node.op.infer(&args)?;
    if inferred.len() != node.outputs.len() {
        return Err(OpError::invalid(format!("it gives {} results, not {}", inferred.len(), node.outputs.len())));
    }
    for (id, ty) in node.outputs.iter().zip(&inferred) {
        let recorded = graph.ty(*id);
        if !agree(recorded, ty) {
            return Err(OpError::invalid(format!("its result %{} is {ty}, not {recorded}", id.0)));
        }
    }
    Ok(())
}

/// Can both types be those of one tensor?
pub fn agree(a: &TensorType, b: &TensorType) -> bool {
    a.dtype == b.dtype
        && match (a.shape.dims(), b.shape.dims()) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.may_equal(b)),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;
    use crate::dtype::DType;
    use crate::graph::NodeId;
    use crate::ops::{abs::Abs, add::Add, if_::If};

    fn graph() -> Graph {
        let mut b = Builder::new("g");
        let x = b.input("x", TensorType::known(DType::F32, &[2]));
        let y = b.apply(Abs {}, &[x]).unwrap();
        let z = b.apply(Add {}, &[x, y]).unwrap();
        b.output("z", z);
        b.finish()
    }

    #[test]
    fn a_built_graph_is_well_formed() {
        verify(&graph()).unwrap();
    }

    #[test]
    fn all_complaints_are_collected() {
        let mut bad = graph();
        bad.values[1].ty = TensorType::known(DType::F32, &[3]);
        bad.values[2].producer = Producer::Node(NodeId(0), 7);
        bad.outputs.push(("lost".into(), ValueId(99)));
        let messages: Vec<String> = verify(&bad).unwrap_err().into_iter().map(|error| error.message).collect();
        assert!(messages.iter().any(|m| m.contains("its result %1 is f32[2], not f32[3]")), "{messages:?}");
        assert!(messages.iter().any(|m| m.contains("result %2 is made elsewhere")), "{messages:?}");
        assert!(messages.iter().any(|m| m.contains("output 'lost' is %99")), "{messages:?}");
    }

    #[test]
    fn operands_come_first() {
        let mut bad = graph();
        bad.nodes.swap(0, 1);
        bad.values[1].producer = Producer::Node(NodeId(1), 0);
        bad.values[2].producer = Producer::Node(NodeId(0), 0);
        let errors = verify(&bad).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].message.contains("operand %1 is used before it is made"), "{errors:?}");
    }

    #[test]
    fn subgraphs_are_checked_too() {
        let mut b = Builder::new("outer");
        let cond = b.input("cond", TensorType::known(DType::Bool, &[]));
        let x = b.input("x", TensorType::known(DType::F32, &[2]));
        let mut bad = graph();
        bad.values[1].ty = TensorType::known(DType::F32, &[3]);
        b.apply(If { then_branch: graph(), else_branch: bad }, &[cond, x]).unwrap();
        let errors = verify(&b.finish()).unwrap_err();
        assert!(errors[0].message.contains("its result %1 is f32[2], not f32[3]"), "{errors:?}");
    }
}
