//! Building graphs node by node, with types inferred and errors reported at the call that made them.
//!
//! In: ops and operands. Out: a [`Graph`]. Must not know: source formats.

use std::sync::Arc;

use crate::dtype::DType;
use crate::error::{Error, OpError};
use crate::graph::{Graph, Node, NodeId, Origins, Producer, Value, ValueId};
use crate::ops::{Arg, Op, constant::Constant};
use crate::scalar::Scalar;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// A graph under construction.
#[derive(Default, Debug)]
pub struct Builder {
    graph: Graph,
    origins: Origins,
}

impl Builder {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { graph: Graph { name: name.into(), ..Graph::default() }, origins: Vec::new() }
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The source nodes that nodes added from now on stand for.
    pub fn set_origins(&mut self, origins: Origins) {
        self.origins = origins;
    }

    /// The current source nodes.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    fn value(&mut self, ty: TensorType, name: Option<String>, producer: Producer) -> ValueId {
        self.graph.values.push(Value { ty, name, producer });
        ValueId(self.graph.values.len() as u32 - 1)
    }

    /// Adds an input.
    pub fn input(&mut self, name: impl Into<String>, ty: TensorType) -> ValueId {
        let name = name.into();
        let at = self.graph.inputs.len();
        let value = self.value(ty, Some(name.clone()), Producer::Input(at));
        self.graph.inputs.push((name, value));
        value
    }

    /// Names an output.
    pub fn output(&mut self, name: impl Into<String>, value: ValueId) {
        self.graph.outputs.push((name.into(), value));
    }

    /// Gives a value the name that the user knows it by.
    pub fn name(&mut self, value: ValueId, name: impl Into<String>) {
        self.graph.values[value.0 as usize].name = Some(name.into());
    }

    /// Overrides a value's inferred type with a more precise one of the same dtype (from a source
    /// that declares it).
    pub fn refine(&mut self, value: ValueId, ty: TensorType) {
        debug_assert_eq!(self.graph.ty(value).dtype, ty.dtype);
        self.graph.values[value.0 as usize].ty = ty;
    }

    /// A value's type.
    pub fn ty(&self, value: ValueId) -> &TensorType {
        self.graph.ty(value)
    }

    /// A value's dtype.
    pub fn dtype(&self, value: ValueId) -> DType {
        self.graph.ty(value).dtype
    }

    /// A value's extents; [`OpError::unknown`] where one is open.
    pub fn extents(&self, value: ValueId) -> Result<Vec<i64>, OpError> {
        self.graph.ty(value).extents()
    }

    /// A value's rank; [`OpError::unknown`] where it is open.
    pub fn rank(&self, value: ValueId) -> Result<usize, OpError> {
        self.graph.ty(value).rank()
    }

    /// The tensor, if the value is a constant.
    pub fn as_constant(&self, value: ValueId) -> Option<&Tensor> {
        self.graph.constant(value)
    }

    /// The integers of a constant; [`OpError::unknown`] where the value is not a constant.
    pub fn as_ints(&self, value: ValueId) -> Result<Vec<i64>, OpError> {
        self.as_constant(value).map(Tensor::ints).ok_or_else(OpError::unknown)
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.apply(Constant { value: tensor }, &[]).expect("a constant takes nothing")
    }

    /// A constant of rank 0.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> ValueId {
        self.constant(Tensor::scalar(dtype, Scalar::Float(value)))
    }

    /// A constant vector of i64.
    pub fn ints(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::from_ints(values))
    }

    /// Applies an op of one result.
    ///
    /// # Errors
    /// What the op says of its operands.
    pub fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, OpError> {
        let outputs = self.apply_all(op, inputs)?;
        match outputs.as_slice() {
            [one] => Ok(*one),
            many => Err(OpError::bug(format!("an op with {} results was used as if it had one", many.len()))),
        }
    }

    /// Applies an op.
    ///
    /// # Errors
    /// What the op says of its operands.
    pub fn apply_all(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let op = op.into();
        let args: Vec<Arg<'_>> = inputs.iter().map(|v| Arg { ty: self.graph.ty(*v), value: self.graph.constant(*v) }).collect();
        let types = op.infer(&args)?;
        let node = NodeId(self.graph.nodes.len() as u32);
        let outputs: Vec<ValueId> = types.into_iter().enumerate().map(|(at, ty)| self.value(ty, None, Producer::Node(node, at))).collect();
        self.graph.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone(), origins: self.origins.clone() });
        Ok(outputs)
    }

    /// Copies a graph's nodes into this one, its inputs standing for `inputs`. Returns what its outputs became.
    ///
    /// # Errors
    /// An op's complaint about its new operands, with the node's name.
    pub fn inline(&mut self, graph: &Graph, inputs: &[ValueId]) -> Result<Vec<ValueId>, Error> {
        let mut map: Vec<Option<ValueId>> = vec![None; graph.values.len()];
        for ((_, from), to) in graph.inputs.iter().zip(inputs) {
            map[from.0 as usize] = Some(*to);
        }
        let saved = std::mem::take(&mut self.origins);
        for node in &graph.nodes {
            self.origins.clone_from(if node.origins.is_empty() { &saved } else { &node.origins });
            let operands = Self::mapped(&map, &node.inputs)?;
            let outputs = self.apply_all(node.op.clone(), &operands).map_err(|error| self.locate(error, &node.op, &operands))?;
            for (from, to) in node.outputs.iter().zip(outputs) {
                if let Some(name) = &graph.value(*from).name {
                    self.name(to, name.clone());
                }
                map[from.0 as usize] = Some(to);
            }
        }
        self.origins = saved;
        let ends: Vec<ValueId> = graph.outputs.iter().map(|(_, value)| *value).collect();
        Self::mapped(&map, &ends)
    }

    fn mapped(map: &[Option<ValueId>], values: &[ValueId]) -> Result<Vec<ValueId>, Error> {
        values.iter().map(|v| map[v.0 as usize].ok_or_else(|| Error::bug("a node uses a value before it is made"))).collect()
    }

    /// Places an op's complaint at the current source node.
    pub fn locate(&self, error: OpError, op: &Op, inputs: &[ValueId]) -> Error {
        let node = self.origins.first().map_or_else(|| format!("op {}", op.name()), |origin| origin.to_string());
        Error::at(error, node, inputs.iter().map(|v| self.graph.ty(*v).to_string()).collect())
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }
}

/// One origin, as nodes carry them.
pub fn origin(name: impl Into<String>, op: impl Into<String>, opset: impl Into<String>) -> Origins {
    vec![Arc::new(crate::graph::Origin { name: name.into(), op: op.into(), opset: opset.into() })]
}
