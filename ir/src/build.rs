//! Building graphs node by node, with types inferred and errors reported at the call that made them.
//!
//! In: ops and operands. Out: a [`Graph`]. Must not know: source formats.

use std::sync::Arc;

use crate::dtype::DType;
use crate::error::{Error, Kind, OpError};
use crate::graph::{Graph, Node, NodeId, Origins, Producer, Value, ValueId};
use crate::ops::{Arg, Body, Op, constant::Constant};
use crate::scalar::Scalar;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// What a builder does with an op beyond adding its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Folding {
    /// Nothing.
    #[default]
    Off,
    /// Ops on constants become constants, branches on constants are taken, and composites that exist for their parameters'
    /// sake ([`OpDef::expands_early`](crate::ops::OpDef::expands_early)) are expanded.
    Early,
    /// As `Early`, and all composites are expanded.
    All,
}

/// Folded tensors have no more elements than this, or take no more bytes than their operands: what would grow is folded
/// when all is known about those who read it, if at all.
pub const MAX_FOLDED: usize = 1 << 14;

/// What composites make of constants on the way to their results has no more elements than [`MAX_FOLDED`], or than this many times what they
/// are given: statistics of an empty tensor can be as many as its other extents say.
const MAX_GROWTH: usize = 4;

/// Composites nest no deeper than this.
const MAX_DEPTH: usize = 64;

/// A graph under construction.
#[derive(Default, Debug)]
pub struct Builder {
    graph: Graph,
    origins: Origins,
    folding: Folding,
    depth: usize,
    states: Vec<State>,
}

/// What a run leaves to the next one: an input that the graph gives its next value.
#[derive(Debug)]
struct State {
    value: ValueId,
    next: ValueId,
    initial: Tensor,
}

impl Builder {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { graph: Graph { name: name.into(), ..Graph::default() }, ..Self::default() }
    }

    /// The same builder with folding.
    #[must_use]
    pub fn folding(mut self, folding: Folding) -> Self {
        self.folding = folding;
        self
    }

    /// Is a table of so many elements, which an expansion makes of a few numbers, more than what is folded so far? Then the expansion waits,
    /// which it says by [`OpError::unknown`].
    pub fn waits(&self, elems: i64) -> bool {
        self.folding == Folding::Early && elems > MAX_FOLDED as i64
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The source nodes that nodes added from now on stand for.
    pub fn set_origins(&mut self, origins: Origins) {
        self.origins = origins;
        self.trace("");
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

    /// Adds a state: an input that is `initial` at first, and later what the last run made of it ([`Builder::update`]). Without an
    /// update it stays what it is.
    pub fn state(&mut self, name: impl Into<String>, initial: Tensor) -> ValueId {
        let value = self.input(name, initial.ty());
        self.states.push(State { value, next: value, initial });
        value
    }

    /// Says what a state is after the run.
    ///
    /// # Errors
    /// Invalid where it is no state of this graph, or of another type.
    pub fn update(&mut self, state: ValueId, next: ValueId) -> Result<(), OpError> {
        let (old, new) = (self.ty(state).clone(), self.ty(next).clone());
        let at = self.states.iter_mut().find(|known| known.value == state).ok_or_else(|| OpError::invalid("the value that is updated is no state"))?;
        if old != new {
            return Err(OpError::invalid(format!("a state is {old}, and its next value {new}")));
        }
        at.next = next;
        Ok(())
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
        let name = op.name();
        let outputs = self.placed(op, inputs)?;
        // What expansions apply is not what the source asked for, nor are constants.
        if self.depth == 0 && !outputs.iter().all(|value| self.as_constant(*value).is_some()) {
            self.trace(name);
        }
        Ok(outputs)
    }

    /// Says that an op is applied on behalf of the current source node, or, with an empty name, that this is now the current one.
    fn trace(&self, op: &str) {
        if let Some(origin) = self.origins.first() {
            // All nodes of one source node share its origin, and no others.
            tracing::trace!(target: APPLIED, op, source = origin.op, at = Arc::as_ptr(origin).addr());
        }
    }

    /// Adds a node, or what becomes of it.
    fn placed(&mut self, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        if let Some(outputs) = self.folded(&op, inputs)? {
            return Ok(outputs);
        }
        let args: Vec<Arg<'_>> = inputs.iter().map(|v| Arg { ty: self.graph.ty(*v), value: self.graph.constant(*v) }).collect();
        let types = op.infer(&args)?;
        let node = NodeId(self.graph.nodes.len() as u32);
        let outputs: Vec<ValueId> = types.into_iter().enumerate().map(|(at, ty)| self.value(ty, None, Producer::Node(node, at))).collect();
        self.graph.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone(), origins: self.origins.clone() });
        Ok(outputs)
    }

    /// What an op's results are without a node of its own, if folding says so.
    fn folded(&mut self, op: &Op, inputs: &[ValueId]) -> Result<Option<Vec<ValueId>>, OpError> {
        if self.folding == Folding::Off || matches!(op, Op::Constant(_)) {
            return Ok(None);
        }
        if let Op::If(branches) = op
            && let Some(cond) = inputs.first().and_then(|v| self.as_constant(*v))
            && cond.elems() == 1
        {
            let branch = if cond.get(0).as_bool() { &branches.then_branch } else { &branches.else_branch };
            return Ok(Some(self.inline(branch, &inputs[1..])?));
        }
        if let Some(outputs) = self.evaluated(op, inputs) {
            return Ok(Some(outputs));
        }
        let wanted = match self.folding {
            Folding::Off => false,
            Folding::Early => op.def().expands_early(),
            Folding::All => {
                let types: Vec<&TensorType> = inputs.iter().map(|v| self.graph.ty(*v)).collect();
                matches!(op.def().body(&types), Ok(Body::Expansion))
            }
        };
        if !wanted || !op.def().arity().contains(&inputs.len()) {
            return Ok(None);
        }
        if self.depth >= MAX_DEPTH {
            return Err(OpError::bug(format!("the expansion of '{}' does not end", op.name())));
        }
        self.depth += 1;
        let outputs = op.def().expand(self, inputs);
        self.depth -= 1;
        match outputs {
            Ok(outputs) => Ok(Some(outputs)),
            // It waits for a shape or a value; what was added on the way is dead.
            Err(error) if error.kind == Kind::Unknown => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The results as constants, if all operands are, the results are few enough and the op can be evaluated. What
    /// evaluation complains about is left to be reported when the program runs.
    fn evaluated(&mut self, op: &Op, inputs: &[ValueId]) -> Option<Vec<ValueId>> {
        let constants: Vec<Tensor> = inputs.iter().map(|v| self.as_constant(*v).cloned()).collect::<Option<_>>()?;
        // What is expanded now anyway is folded piece by piece: its expansion may wait, which its evaluation can't.
        if !op.def().deterministic() || (self.folding == Folding::Early && op.def().expands_early()) {
            return None;
        }
        let given: usize = constants.iter().map(Tensor::elems).sum();
        // A large transposed constant would be held twice; whoever reads it can read it in the other order.
        if matches!(op, Op::Transpose(_)) && given > MAX_FOLDED {
            return None;
        }
        // Weights are a quarter as long as integers, and rules look for products of these.
        if matches!(op, Op::Dequantize(_)) && constants[0].extents().len() > 1 && constants[0].dtype().size() == 1 {
            return None;
        }
        let bytes: usize = constants.iter().map(|tensor| tensor.bytes().len()).sum();
        let args: Vec<Arg<'_>> = inputs.iter().zip(&constants).map(|(v, tensor)| Arg { ty: self.graph.ty(*v), value: Some(tensor) }).collect();
        let small = |ty: &TensorType| ty.shape.elems().is_none_or(|n| n as usize <= MAX_FOLDED || n as usize <= bytes / ty.dtype.size().max(1));
        let limit = MAX_FOLDED.max(given.saturating_mul(MAX_GROWTH));
        if !op.infer(&args).ok()?.iter().all(small) || !expands_within(op, &args, limit) {
            return None;
        }
        let results = op.def().eval(&constants.iter().collect::<Vec<_>>()).ok()?;
        constants.iter().for_each(Tensor::release);
        Some(results.into_iter().map(|tensor| self.constant(tensor)).collect())
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
            self.origins.clone_from(if node.origins.nodes.is_empty() { &saved } else { &node.origins });
            let operands = Self::mapped(&map, &node.inputs)?;
            let outputs = self.placed(node.op.clone(), &operands).map_err(|error| self.locate(error, &node.op, &operands))?;
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

    /// The finished graph: states are its last inputs and outputs.
    pub fn finish(self) -> Graph {
        let Self { mut graph, states, .. } = self;
        let is_state = |value: ValueId| states.iter().any(|state| state.value == value);
        graph.inputs.sort_by_key(|(_, value)| is_state(*value));
        for (at, (_, value)) in graph.inputs.iter().enumerate() {
            graph.values[value.0 as usize].producer = Producer::Input(at);
        }
        for state in states {
            let name = graph.inputs.iter().find(|(_, value)| *value == state.value).map(|(name, _)| name.clone());
            graph.outputs.push((name.unwrap_or_default(), state.next));
            graph.states.push(state.initial);
        }
        graph
    }
}

/// The target of traces that say which source nodes are imported, and which ops are applied on their behalf.
pub const APPLIED: &str = "frit::applied";

/// One origin, as nodes carry them.
pub fn origin(name: impl Into<String>, op: impl Into<String>, opset: impl Into<String>) -> Origins {
    Origins { nodes: vec![Arc::new(crate::graph::Origin { name: name.into(), op: op.into(), opset: opset.into() })], rules: Vec::new() }
}

/// Has nothing that an op's expansion makes more elements than `limit`, as far as can be told?
fn expands_within(op: &Op, args: &[Arg<'_>], limit: usize) -> bool {
    let types: Vec<&TensorType> = args.iter().map(|arg| arg.ty).collect();
    if !matches!(op.def().body(&types), Ok(Body::Expansion)) {
        return true;
    }
    let mut builder = Builder::new(op.name());
    let inputs = crate::ops::bind(&mut builder, args);
    if op.def().expand(&mut builder, &inputs).is_err() {
        return true;
    }
    let small = |v: &ValueId| {
        let shape = &builder.graph.ty(*v).shape;
        shape.extents().is_none() || shape.elems().is_some_and(|n| n as usize <= limit)
    };
    builder.graph.nodes.iter().all(|node| {
        let args: Vec<Arg<'_>> = node.inputs.iter().map(|v| Arg { ty: builder.graph.ty(*v), value: builder.graph.constant(*v) }).collect();
        node.outputs.iter().all(small) && expands_within(&node.op, &args, limit)
    })
}
