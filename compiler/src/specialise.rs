//! Stage 2: open dimensions are bound, shapes inferred again, constants folded.
//!
//! In: an imported graph and a [`Binding`]. Out: a graph in which every shape that does not depend on data is known;
//! shape arithmetic is gone, ops whose parameters were operands have become their static forms, and
//! branches on constants are taken. Must not know: loops, devices.

use std::collections::BTreeMap;

use frit_ir::build::Folding;
use frit_ir::graph::{Graph, ValueId};
use frit_ir::ops::{Arg, fail::failing, if_::If, loop_::Loop, scan::Scan};
use frit_ir::shape::TensorType;
use frit_ir::{Builder, DType, Dim, Error, Kind, Op, OpError, Shape};

/// What stands for a model's open dimensions.
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// Extents by symbol.
    pub dims: BTreeMap<String, i64>,
    /// Whole shapes by input name, or by position (`0`) where no input has that name; they bind the symbols that the model
    /// declares for them.
    pub shapes: BTreeMap<String, Vec<i64>>,
    /// Element types of inputs, by name or position as shapes are, for formats that declare none. Those that do are not changed.
    pub dtypes: BTreeMap<String, DType>,
}

/// Binds a graph's open dimensions.
///
/// # Errors
/// Invalid where a dimension stays open, a given shape contradicts the model's, or an op's operands turn out not to fit.
pub fn specialise(graph: &Graph, binding: &Binding) -> Result<Graph, Vec<Error>> {
    let declared: Vec<(&str, &TensorType)> = graph.inputs().iter().map(|(name, value)| (name.as_str(), graph.ty(*value))).collect();
    let binding = binding.by_name(&declared.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let dims = binding.symbols(&declared)?;
    let mut types = Vec::new();
    let mut open = Vec::new();
    for (name, declared) in declared {
        let ty = binding.bind(name, declared, &dims);
        match &ty.shape {
            Shape::Ranked(dims) => open.extend(dims.iter().flat_map(Dim::symbols).filter(|s| !open.contains(s)).collect::<Vec<_>>()),
            Shape::Unranked => return Err(vec![Error::invalid(format!("the shape of input '{name}' is open")).help(format!("say it, as in --shape {name}=1,3,224,224, or give the input with --input"))]),
        }
        types.push(ty);
    }
    if !open.is_empty() {
        let help = open.iter().map(|s| format!("--dim {s}=1")).collect::<Vec<_>>().join(" ");
        return Err(vec![Error::invalid(format!("dimension '{}' is open", open.join("', '"))).help(format!("bind it, as in {help}, or give the inputs"))]);
    }
    rebuild(graph, &types, Folding::Early).map_err(|error| vec![error])
}

impl Binding {
    /// The same with all shapes by name.
    pub(crate) fn by_name(&self, inputs: &[&str]) -> Self {
        let named = |key: &String| match key.parse::<usize>() {
            Ok(at) if !inputs.contains(&key.as_str()) => inputs.get(at).map_or_else(|| key.clone(), ToString::to_string),
            _ => key.clone(),
        };
        Self {
            dims: self.dims.clone(),
            shapes: self.shapes.iter().map(|(key, extents)| (named(key), extents.clone())).collect(),
            dtypes: self.dtypes.iter().map(|(key, dtype)| (named(key), *dtype)).collect(),
        }
    }

    /// What the symbols stand for: as given, or as the given shapes imply.
    ///
    /// # Errors
    /// Invalid where a given shape contradicts the declared one.
    pub(crate) fn symbols(&self, inputs: &[(&str, &TensorType)]) -> Result<BTreeMap<String, i64>, Vec<Error>> {
        let mut dims = self.dims.clone();
        let mut errors = Vec::new();
        for (name, ty) in inputs {
            let Some(extents) = self.shapes.get(*name) else { continue };
            let Some(declared) = ty.shape.dims() else { continue };
            let mut fits = declared.len() == extents.len();
            for (dim, extent) in declared.iter().zip(extents) {
                match (dim.known(), dim.symbols().as_slice()) {
                    (Some(n), _) => fits &= n == *extent,
                    (None, [symbol]) if *dim == Dim::symbol(symbol.clone()) => fits &= *dims.entry(symbol.clone()).or_insert(*extent) == *extent,
                    _ => {}
                }
            }
            if !fits {
                errors.push(Error::invalid(format!("input '{name}' has shape {extents:?}, and the model wants {}", ty.shape)).help("the same symbol stands for the same extent everywhere"));
            }
        }
        if errors.is_empty() { Ok(dims) } else { Err(errors) }
    }

    /// The type of an input, bound as far as is known.
    pub(crate) fn bind(&self, name: &str, declared: &TensorType, dims: &BTreeMap<String, i64>) -> TensorType {
        match self.shapes.get(name) {
            Some(extents) => TensorType::known(declared.dtype, extents),
            None => TensorType::new(declared.dtype, declared.shape.bind(dims)),
        }
    }
}

/// Builds a graph anew with other input types, folding on the way.
///
/// # Errors
/// An op's complaint about its new operands.
pub(crate) fn rebuild(graph: &Graph, types: &[TensorType], folding: Folding) -> Result<Graph, Error> {
    let mut builder = Builder::new(graph.name.clone()).folding(folding);
    let inputs: Vec<ValueId> = graph.inputs().iter().zip(types).map(|((name, _), ty)| builder.input(name.clone(), ty.clone())).collect();
    let mut rebuilder = Rebuilder { builder, folding };
    let outputs = rebuilder.graph(graph, &inputs)?;
    let mut builder = rebuilder.builder;
    for ((name, _), value) in graph.outputs().iter().zip(outputs) {
        builder.output(name.clone(), value);
    }
    Ok(builder.finish().with_states(graph.states().to_vec()))
}

struct Rebuilder {
    builder: Builder,
    folding: Folding,
}

impl Rebuilder {
    /// Adds a graph's nodes; returns what its outputs became.
    fn graph(&mut self, graph: &Graph, inputs: &[ValueId]) -> Result<Vec<ValueId>, Error> {
        let mut map: BTreeMap<ValueId, ValueId> = graph.inputs().iter().map(|(_, v)| *v).zip(inputs.iter().copied()).collect();
        for (_, node) in graph.nodes() {
            self.builder.set_origins(node.origins.clone());
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
            let op = self.with_subgraphs(&node.op, &operands)?;
            let outputs = self.builder.apply_all(op, &operands).map_err(|error| self.builder.locate(error, &node.op, &operands))?;
            for (from, to) in node.outputs.iter().zip(outputs) {
                if let (Some(name), None) = (&graph.value(*from).name, &self.builder.graph().value(to).name) {
                    self.builder.name(to, name.clone());
                }
                map.insert(*from, to);
            }
        }
        Ok(graph.outputs().iter().map(|(_, v)| map[v]).collect())
    }

    /// The op with its subgraphs rebuilt for the operands that they get.
    fn with_subgraphs(&mut self, op: &Op, operands: &[ValueId]) -> Result<Op, Error> {
        let types: Vec<TensorType> = operands.iter().map(|v| self.builder.ty(*v).clone()).collect();
        match op {
            Op::If(branches) if self.builder.as_constant(operands[0]).is_none() => {
                let branch = |graph: &Graph| rebuild(graph, &types[1..], self.folding);
                let (then_branch, else_branch) = match (branch(&branches.then_branch), branch(&branches.else_branch)) {
                    (Ok(a), Ok(b)) => (a, b),
                    // A branch that does not fit the shapes is an error only where it is taken.
                    (Ok(a), Err(error)) if error.is_invalid() => {
                        let b = failing(&a, &types[1..], &error.to_string())?;
                        (a, b)
                    }
                    (Err(error), Ok(b)) if error.is_invalid() => (failing(&b, &types[1..], &error.to_string())?, b),
                    (Err(error), _) | (_, Err(error)) => return Err(error),
                };
                Ok(If { then_branch, else_branch }.into())
            }
            Op::Loop(repeat) => {
                let args: Vec<Arg<'_>> = types.iter().zip(operands).map(|(ty, v)| Arg { ty, value: self.builder.as_constant(*v) }).collect();
                let inner = repeat.body_inputs(&args);
                Ok(match self.unless_unknown(inner, op, operands)? {
                    Some(inner) => Op::Loop(Loop { body: rebuild(&repeat.body, &inner, self.folding)?, ..repeat.clone() }),
                    None => op.clone(),
                })
            }
            Op::Scan(scan) => {
                let inner = scan.body_inputs(&types.iter().collect::<Vec<_>>());
                Ok(match self.unless_unknown(inner, op, operands)? {
                    Some(inner) => Op::Scan(Scan { body: rebuild(&scan.body, &inner, self.folding)?, ..scan.clone() }),
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
