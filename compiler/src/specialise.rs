//! Stage 2: open dimensions are bound, shapes inferred again, constants folded.
//!
//! In: an imported graph and a [`Binding`]. Out: a graph in which every shape that does not depend on data is known;
//! shape arithmetic is gone, ops whose parameters were operands have become their static forms, and
//! branches on constants are taken. Must not know: loops, devices.

use std::collections::BTreeMap;

use frit_ir::graph::{Graph, Node, ValueId};
use frit_ir::ops::{Arg, Body, loop_::Loop, scan::Scan};
use frit_ir::shape::TensorType;
use frit_ir::{Builder, Dim, Error, Kind, Op, OpError, Shape, Tensor};

/// What stands for a model's open dimensions.
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// Extents by symbol.
    pub dims: BTreeMap<String, i64>,
    /// Whole shapes by input name; they bind the symbols that the model declares for them.
    pub shapes: BTreeMap<String, Vec<i64>>,
}

/// Folded tensors have no more elements than this, or than four times their operands have.
const MAX_FOLDED: usize = 1 << 14;

/// Composites nest no deeper than this.
const MAX_DEPTH: usize = 64;

/// Binds a graph's open dimensions.
///
/// # Errors
/// Invalid where a dimension stays open, a given shape contradicts the model's, or an op's operands turn out not to fit.
pub fn specialise(graph: &Graph, binding: &Binding) -> Result<Graph, Vec<Error>> {
    let dims = symbols(graph, binding)?;
    let mut types = Vec::new();
    let mut open = Vec::new();
    for (name, value) in graph.inputs() {
        let declared = graph.ty(*value);
        let ty = match binding.shapes.get(name) {
            Some(extents) => TensorType::known(declared.dtype, extents),
            None => TensorType::new(declared.dtype, declared.shape.bind(&dims)),
        };
        match &ty.shape {
            Shape::Ranked(dims) => open.extend(dims.iter().flat_map(Dim::symbols).filter(|s| !open.contains(s)).collect::<Vec<_>>()),
            Shape::Unranked => return Err(vec![Error::invalid(format!("the shape of input '{name}' is open")).help("give the input with --input, so that its shape is known")]),
        }
        types.push(ty);
    }
    if !open.is_empty() {
        let help = open.iter().map(|s| format!("--dim {s}=1")).collect::<Vec<_>>().join(" ");
        return Err(vec![Error::invalid(format!("dimension '{}' is open", open.join("', '"))).help(format!("bind it, as in {help}, or give the inputs"))]);
    }
    rebuild(graph, &types, Expand::Early).map_err(|error| vec![error])
}

/// What the symbols stand for: as given, or as the given shapes imply.
fn symbols(graph: &Graph, binding: &Binding) -> Result<BTreeMap<String, i64>, Vec<Error>> {
    let mut dims = binding.dims.clone();
    let mut errors = Vec::new();
    for (name, value) in graph.inputs() {
        let Some(extents) = binding.shapes.get(name) else { continue };
        let Some(declared) = graph.ty(*value).shape.dims() else { continue };
        let mut fits = declared.len() == extents.len();
        for (dim, extent) in declared.iter().zip(extents) {
            match (dim.known(), dim.symbols().as_slice()) {
                (Some(n), _) => fits &= n == *extent,
                (None, [symbol]) if *dim == Dim::symbol(symbol.clone()) => fits &= *dims.entry(symbol.clone()).or_insert(*extent) == *extent,
                _ => {}
            }
        }
        if !fits {
            errors.push(Error::invalid(format!("input '{name}' has shape {extents:?}, and the model wants {}", graph.ty(*value).shape)).help("the same symbol stands for the same extent everywhere"));
        }
    }
    if errors.is_empty() { Ok(dims) } else { Err(errors) }
}

/// Which composites are expanded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expand {
    /// Those that exist for their parameters' sake.
    Early,
    /// All.
    All,
}

/// Builds a graph anew with other input types, folding constants and expanding composites on the way.
///
/// # Errors
/// An op's complaint about its new operands.
pub(crate) fn rebuild(graph: &Graph, types: &[TensorType], expand: Expand) -> Result<Graph, Error> {
    let mut builder = Builder::new(graph.name.clone());
    let inputs: Vec<ValueId> = graph.inputs().iter().zip(types).map(|((name, _), ty)| builder.input(name.clone(), ty.clone())).collect();
    let mut rebuilder = Rebuilder { builder, expand, depth: 0 };
    let outputs = rebuilder.graph(graph, &inputs)?;
    let mut builder = rebuilder.builder;
    for ((name, _), value) in graph.outputs().iter().zip(outputs) {
        builder.output(name.clone(), value);
    }
    Ok(builder.finish())
}

struct Rebuilder {
    builder: Builder,
    expand: Expand,
    depth: usize,
}

impl Rebuilder {
    /// Adds a graph's nodes; returns what its outputs became.
    fn graph(&mut self, graph: &Graph, inputs: &[ValueId]) -> Result<Vec<ValueId>, Error> {
        let mut map: BTreeMap<ValueId, ValueId> = graph.inputs().iter().map(|(_, v)| *v).zip(inputs.iter().copied()).collect();
        let saved = self.builder.origins().clone();
        for (_, node) in graph.nodes() {
            self.builder.set_origins(if node.origins.is_empty() { saved.clone() } else { node.origins.clone() });
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
            let outputs = self.node(node, &operands)?;
            for (from, to) in node.outputs.iter().zip(outputs) {
                if let (Some(name), None) = (&graph.value(*from).name, &self.builder.graph().value(to).name) {
                    self.builder.name(to, name.clone());
                }
                map.insert(*from, to);
            }
        }
        self.builder.set_origins(saved);
        Ok(graph.outputs().iter().map(|(_, v)| map[v]).collect())
    }

    fn node(&mut self, node: &Node, operands: &[ValueId]) -> Result<Vec<ValueId>, Error> {
        let constants: Option<Vec<Tensor>> = operands.iter().map(|v| self.builder.as_constant(*v).cloned()).collect();
        match &node.op {
            Op::Constant(_) => return self.add(&node.op, operands),
            Op::If(branches) => {
                if let Some(cond) = self.builder.as_constant(operands[0])
                    && cond.elems() == 1
                {
                    let branch = if cond.get(0).as_bool() { &branches.then_branch } else { &branches.else_branch };
                    return self.graph(branch, &operands[1..]);
                }
            }
            _ => {}
        }
        if let Some(constants) = constants
            && let Some(outputs) = self.fold(node, &constants)
        {
            return Ok(outputs);
        }
        let op = self.with_subgraphs(&node.op, operands)?;
        if let Some(outputs) = self.expanded(&op, operands)? {
            return Ok(outputs);
        }
        self.add(&op, operands)
    }

    fn add(&mut self, op: &Op, operands: &[ValueId]) -> Result<Vec<ValueId>, Error> {
        self.builder.apply_all(op.clone(), operands).map_err(|error| self.builder.locate(error, op, operands))
    }

    /// The results as constants, if they are few enough and the op can be evaluated. What evaluation
    /// complains about is left to be reported when the program runs.
    fn fold(&mut self, node: &Node, constants: &[Tensor]) -> Option<Vec<ValueId>> {
        let given: usize = constants.iter().map(Tensor::elems).sum();
        let limit = MAX_FOLDED.max(given.saturating_mul(4));
        let types: Vec<TensorType> = constants.iter().map(Tensor::ty).collect();
        let args: Vec<Arg<'_>> = types.iter().zip(constants).map(|(ty, tensor)| Arg { ty, value: Some(tensor) }).collect();
        let small = |ty: &TensorType| ty.shape.elems().is_none_or(|n| n as usize <= limit);
        if !node.op.infer(&args).ok()?.iter().all(small) || !node.op.def().deterministic() {
            return None;
        }
        let results = node.op.def().eval(&constants.iter().collect::<Vec<_>>()).ok()?;
        Some(results.into_iter().map(|tensor| self.builder.constant(tensor)).collect())
    }

    /// A composite as other ops, if it is to be expanded and can be.
    fn expanded(&mut self, op: &Op, operands: &[ValueId]) -> Result<Option<Vec<ValueId>>, Error> {
        let def = op.def();
        let wanted = match self.expand {
            Expand::Early => def.expands_early(),
            Expand::All => {
                let types: Vec<TensorType> = operands.iter().map(|v| self.builder.ty(*v).clone()).collect();
                matches!(def.body(&types.iter().collect::<Vec<_>>()), Ok(Body::Expansion))
            }
        };
        if !wanted {
            return Ok(None);
        }
        if self.depth >= MAX_DEPTH {
            return Err(Error::bug(format!("the expansion of '{}' does not end", op.name())));
        }
        let mut scratch = Builder::new(op.name());
        let inputs: Vec<ValueId> = operands
            .iter()
            .map(|v| match self.builder.as_constant(*v) {
                Some(tensor) => scratch.constant(tensor.clone()),
                None => scratch.input("", self.builder.ty(*v).clone()),
            })
            .collect();
        let outputs = match def.expand(&mut scratch, &inputs) {
            Ok(outputs) => outputs,
            Err(error) if error.kind == Kind::Unknown => return Ok(None),
            Err(error) => return Err(self.builder.locate(error, op, operands)),
        };
        for value in outputs {
            scratch.output("", value);
        }
        let open: Vec<ValueId> = operands.iter().copied().filter(|v| self.builder.as_constant(*v).is_none()).collect();
        self.depth += 1;
        let outputs = self.graph(&scratch.finish(), &open);
        self.depth -= 1;
        outputs.map(Some)
    }

    /// The op with its subgraphs rebuilt for the operands that they get.
    fn with_subgraphs(&mut self, op: &Op, operands: &[ValueId]) -> Result<Op, Error> {
        let types: Vec<TensorType> = operands.iter().map(|v| self.builder.ty(*v).clone()).collect();
        match op {
            Op::If(branches) => {
                let mut branches = branches.clone();
                branches.then_branch = rebuild(&branches.then_branch, &types[1..], self.expand)?;
                branches.else_branch = rebuild(&branches.else_branch, &types[1..], self.expand)?;
                Ok(branches.into())
            }
            Op::Loop(repeat) => {
                let args: Vec<Arg<'_>> = types.iter().zip(operands).map(|(ty, v)| Arg { ty, value: self.builder.as_constant(*v) }).collect();
                let inner = repeat.body_inputs(&args);
                Ok(match self.unless_unknown(inner, op, operands)? {
                    Some(inner) => Op::Loop(Loop { body: rebuild(&repeat.body, &inner, self.expand)?, ..repeat.clone() }),
                    None => op.clone(),
                })
            }
            Op::Scan(scan) => {
                let inner = scan.body_inputs(&types.iter().collect::<Vec<_>>());
                Ok(match self.unless_unknown(inner, op, operands)? {
                    Some(inner) => Op::Scan(Scan { body: rebuild(&scan.body, &inner, self.expand)?, ..scan.clone() }),
                    None => op.clone(),
                })
            }
            _ => Ok(op.clone()),
        }
    }

    fn unless_unknown(&self, types: Result<Vec<TensorType>, OpError>, op: &Op, operands: &[ValueId]) -> Result<Option<Vec<TensorType>>, Error> {
        match types {
            Ok(types) => Ok(Some(types)),
            Err(error) if error.kind == Kind::Unknown => Ok(None),
            Err(error) => Err(self.builder.locate(error, op, operands)),
        }
    }
}
