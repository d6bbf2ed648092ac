//! The graph: nodes in an order in which operands come first, typed values, named ends.
//!
//! In: nodes added by a [`Builder`](crate::build::Builder) (importers, rewrites and users all add through it).
//! Out: [`Graph`]. Subgraphs of control flow are graphs in an op's attributes; what they use from
//! outside reaches them as operands. Must not know: source formats, devices.

use std::sync::Arc;

use crate::ops::Op;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// A value of a graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ValueId(pub u32);

/// A node of a graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(pub u32);

/// Where a node came from, in the words of the user's framework. Opaque to the compiler.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Origin {
    /// The source node's name.
    pub name: String,
    /// The source op, as `Conv`.
    pub op: String,
    /// The version of the source's op set, as `ai.onnx 17`.
    pub opset: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node '{}'", self.name)?;
        match (self.op.is_empty(), self.opset.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => write!(f, " ({})", self.op),
            (false, false) => write!(f, " ({}, opset {})", self.op, self.opset),
        }
    }
}

/// Where a node came from: the source nodes that it stands for (as which this dereferences), and the rewrites that made it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origins {
    /// Source nodes, each once.
    pub nodes: Vec<Arc<Origin>>,
    /// Names of rewrites, in the order in which they were applied.
    pub rules: Vec<Arc<str>>,
}

impl Origins {
    /// Takes in what another node stands for.
    pub fn add(&mut self, other: &Origins) {
        self.nodes.extend(other.nodes.iter().filter(|node| !self.nodes.contains(node)).cloned().collect::<Vec<_>>());
        self.rules.extend(other.rules.iter().filter(|rule| !self.rules.contains(rule)).cloned().collect::<Vec<_>>());
    }
}

impl std::ops::Deref for Origins {
    type Target = [Arc<Origin>];
    fn deref(&self) -> &[Arc<Origin>] {
        &self.nodes
    }
}

/// An application of an op.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What it does, with its attributes.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<ValueId>,
    /// Results.
    pub outputs: Vec<ValueId>,
    /// Source nodes.
    pub origins: Origins,
}

/// What makes a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Producer {
    /// The graph's input of this number.
    Input(usize),
    /// An output of a node.
    Node(NodeId, usize),
}

/// A value: its type, the name the user knows it by, and its producer.
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    /// Dtype and shape.
    pub ty: TensorType,
    /// The name in the source, if it has one.
    pub name: Option<String>,
    /// What makes it.
    pub producer: Producer,
}

/// A static computation graph. Nodes stand in an order in which operands come first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// The model's name.
    pub name: String,
    pub(crate) values: Vec<Value>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<(String, ValueId)>,
    pub(crate) outputs: Vec<(String, ValueId)>,
    pub(crate) states: Vec<Tensor>,
}

impl Graph {
    /// The nodes, operands first.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, &Node)> + DoubleEndedIterator {
        self.nodes.iter().enumerate().map(|(at, node)| (NodeId(at as u32), node))
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// All values.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().map(|(at, value)| (ValueId(at as u32), value))
    }

    /// A value's type.
    pub fn ty(&self, id: ValueId) -> &TensorType {
        &self.values[id.0 as usize].ty
    }

    /// Named inputs, in order.
    pub fn inputs(&self) -> &[(String, ValueId)] {
        &self.inputs
    }

    /// Named outputs, in order.
    pub fn outputs(&self) -> &[(String, ValueId)] {
        &self.outputs
    }

    /// What states are before the first run. States are the last inputs, and what they are after a run the last outputs, in this order.
    pub fn states(&self) -> &[Tensor] {
        &self.states
    }

    /// The graph with these states.
    ///
    /// # Panics
    /// Where there are fewer inputs or outputs than states.
    #[must_use]
    pub fn with_states(mut self, states: Vec<Tensor>) -> Self {
        assert!(states.len() <= self.inputs.len().min(self.outputs.len()), "states are inputs and outputs");
        self.states = states;
        self
    }

    /// The node that makes a value, unless the value is an input.
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        match self.value(id).producer {
            Producer::Input(_) => None,
            Producer::Node(node, _) => Some(self.node(node)),
        }
    }

    /// The tensor, if the value is a constant.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        match self.producer(id) {
            Some(Node { op: Op::Constant(constant), .. }) => Some(&constant.value),
            _ => None,
        }
    }

    /// For each value, the nodes that use it, in order, and once per use; graph outputs are not counted.
    pub fn uses(&self) -> Vec<Vec<NodeId>> {
        let mut uses = vec![Vec::new(); self.values.len()];
        for (id, node) in self.nodes() {
            for input in &node.inputs {
                uses[input.0 as usize].push(id);
            }
        }
        uses
    }
}
