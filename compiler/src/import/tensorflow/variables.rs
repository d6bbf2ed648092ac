//! Where the values of a model's variables lie.
//!
//! In: a meta graph and its checkpoint. Out: for each node that is a variable its key in the checkpoint, and tensors by such nodes. Must not know: how
//! graphs are built.
//!
//! Three ways lead to a key, tried in this order. TensorFlow 2 lists the objects that a function captures, in the order of its last operands; objects
//! have their keys in a second graph of objects, which lies in the checkpoint and is walked side by side with that of the model. TensorFlow 1
//! restores each variable by an op that names the key. Else the variable's own name is the key.

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::{OpError, Tensor};
use frit_proto::tensorflow as wire;
use prost::Message;

use super::bundle::Bundle;

/// The key that the graph of objects lies under.
const OBJECTS: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";
/// What a variable's own value is called among an object's.
const VALUE: &str = "VARIABLE_VALUE";

/// A model's variables.
#[derive(Default)]
pub(super) struct Variables {
    bundle: Option<Bundle>,
    keys: BTreeMap<String, String>,
}

/// Is it a node that is a variable?
pub(super) fn is_variable(op: &str) -> bool {
    matches!(op, "VarHandleOp" | "VariableV2" | "Variable" | "AutoReloadVariable")
}

/// The name of the node that makes an operand.
fn node_of(input: &str) -> &str {
    input.split(':').next().unwrap_or(input)
}

impl Variables {
    /// Finds the keys of a meta graph's variables.
    pub(super) fn new(meta: &wire::MetaGraph, mut bundle: Option<Bundle>) -> Self {
        let mut keys = BTreeMap::new();
        if let (Some(graph), Some(bundle)) = (&meta.graph_def, &mut bundle) {
            restored(graph, &mut keys);
            if let Some(objects) = &meta.object_graph_def
                && let Some(saved) = bundle.text(OBJECTS).ok().and_then(|bytes| wire::TrackableObjectGraph::decode(bytes.as_slice()).ok())
            {
                captured(graph, objects, &saved, &mut keys);
            }
            for node in graph.node.iter().filter(|node| is_variable(&node.op)) {
                if !keys.contains_key(&node.name) {
                    let shared = match node.attr.get("shared_name").and_then(|a| a.value.as_ref()) {
                        Some(wire::attribute::Value::S(name)) => String::from_utf8_lossy(name).into_owned(),
                        _ => String::new(),
                    };
                    let own = [shared, node.name.clone()].into_iter().flat_map(|name| [format!("{name}/.ATTRIBUTES/{VALUE}"), name]).find(|key| bundle.has(key));
                    keys.extend(own.map(|key| (node.name.clone(), key)));
                }
            }
        }
        Self { bundle, keys }
    }

    /// The value of the variable that a node is.
    ///
    /// # Errors
    /// Invalid where the checkpoint holds none.
    pub(super) fn value(&mut self, node: &str) -> Result<Tensor, OpError> {
        let Some(bundle) = &mut self.bundle else {
            return Err(OpError::invalid(format!("variable '{node}' has no value: there is no checkpoint")).help("give the folder of a SavedModel, or freeze the graph"));
        };
        match self.keys.get(node) {
            Some(key) => bundle.tensor(key),
            None => Err(OpError::invalid(format!("the checkpoint holds no value for variable '{node}'"))),
        }
    }
}

/// Keys of variables that are assigned what `RestoreV2` gives.
fn restored<'g>(graph: &'g wire::Graph, keys: &mut BTreeMap<String, String>) {
    let nodes: BTreeMap<&str, &'g wire::Node> = graph.node.iter().map(|node| (node.name.as_str(), node)).collect();
    // Through nodes that hand on their first operand.
    let source = |mut input: &'g str| {
        for _ in 0..8 {
            match nodes.get(node_of(input)) {
                Some(node) if node.op == "Identity" => input = node.input.first().map_or("", String::as_str),
                _ => break,
            }
        }
        let at = input.split(':').nth(1).and_then(|at| at.parse::<usize>().ok()).unwrap_or(0);
        nodes.get(node_of(input)).map(|node| (*node, at))
    };
    for node in graph.node.iter().filter(|node| matches!(node.op.as_str(), "Assign" | "AssignVariableOp")) {
        let [variable, value, ..] = node.input.as_slice() else { continue };
        let Some((restore, at)) = source(value).filter(|(node, _)| node.op == "RestoreV2") else { continue };
        let Some(names) = restore.input.get(1).and_then(|input| source(input)).map(|(node, _)| node) else { continue };
        let key = match names.attr.get("value").and_then(|a| a.value.as_ref()) {
            Some(wire::attribute::Value::Tensor(tensor)) => tensor.string_val.get(at).map(|key| String::from_utf8_lossy(key).into_owned()),
            _ => None,
        };
        keys.extend(key.map(|key| (node_of(variable).to_owned(), key)));
    }
}

/// Keys of variables that functions capture.
fn captured(graph: &wire::Graph, objects: &wire::SavedObjectGraph, saved: &wire::TrackableObjectGraph, keys: &mut BTreeMap<String, String>) {
    let mut key_of: BTreeMap<i32, &str> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut todo = vec![(0i32, 0i32)];
    while let Some((here, there)) = todo.pop() {
        if !seen.insert(here) {
            continue;
        }
        let at = |id: i32| usize::try_from(id).unwrap_or(usize::MAX);
        let (Some(object), Some(entry)) = (objects.nodes.get(at(here)), saved.nodes.get(at(there))) else { continue };
        if let Some(value) = entry.attributes.iter().find(|attribute| attribute.name == VALUE) {
            key_of.entry(here).or_insert(&value.checkpoint_key);
        }
        let children: BTreeMap<&str, i32> = entry.children.iter().map(|child| (child.local_name.as_str(), child.node_id)).collect();
        todo.extend(object.children.iter().filter_map(|child| Some((child.node_id, *children.get(child.local_name.as_str())?))));
    }
    let variables: BTreeSet<&str> = graph.node.iter().filter(|node| is_variable(&node.op)).map(|node| node.name.as_str()).collect();
    for node in &graph.node {
        let Some(wire::attribute::Value::Func(function)) = node.attr.get("f").and_then(|a| a.value.as_ref()) else { continue };
        let Some(bound) = objects.concrete_functions.get(&function.name).map(|function| &function.bound_inputs) else { continue };
        let inputs: Vec<&String> = node.input.iter().filter(|input| !input.starts_with('^')).collect();
        let Some(first) = inputs.len().checked_sub(bound.len()) else { continue };
        for (input, object) in inputs[first..].iter().zip(bound) {
            let name = node_of(input);
            if let Some(key) = key_of.get(object)
                && variables.contains(name)
            {
                keys.insert(name.to_owned(), (*key).to_owned());
            }
        }
    }
}
