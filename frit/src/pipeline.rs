//! Stands in for the compiler's pipeline until its lowering is there: every node runs in the interpreter.

use std::collections::BTreeMap;
use std::str::FromStr;

use frit_compiler::rewrite::rewrite;
use frit_compiler::specialise::{Binding, specialise};
use frit_ir::executable::{Executable, Operand, Port, Slot, Step};
use frit_ir::graph::Node;
use frit_ir::vector::Target;
use frit_ir::{Builder, Error, Graph, Op, ValueId, text};

/// The forms that a model passes through, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Bytes to graph.
    Import,
    /// Open dimensions bound.
    Specialise,
    /// Graph to cheaper equal graph.
    Rewrite,
}

impl Stage {
    /// All stages.
    pub const ALL: &[Stage] = &[Stage::Import, Stage::Specialise, Stage::Rewrite];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Import => "import",
            Stage::Specialise => "specialise",
            Stage::Rewrite => "rewrite",
        }
    }
}

impl FromStr for Stage {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Stage::ALL.iter().copied().find(|stage| stage.name() == text).ok_or_else(|| format!("there is no stage '{text}'"))
    }
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// What stands for open dimensions.
    pub binding: Binding,
    /// What code is made for.
    pub target: Target,
    /// Is it an error if an op is left to the reference interpreter?
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        let target = Target { triple: String::new(), features: Vec::new(), vector_bits: 128, vector_registers: 16, fma: false, cache: [0; 3] };
        Self { binding: Binding::default(), target, strict: false }
    }
}

/// What a stage makes of a graph, as text.
///
/// # Errors
/// As [`compile`].
pub fn dump(graph: &Graph, options: &Options, stage: Stage) -> Result<String, Vec<Error>> {
    Ok(match stage {
        Stage::Import => text::summarise(graph),
        Stage::Specialise => text::summarise(&specialise(graph, &options.binding)?),
        Stage::Rewrite => text::summarise(&rewrite(&specialise(graph, &options.binding)?).map_err(|error| vec![error])?),
    })
}

/// Compiles a graph.
///
/// # Errors
/// Invalid where the model is at fault or a dimension stays open.
pub fn compile(graph: &Graph, options: &Options) -> Result<Executable, Vec<Error>> {
    let graph = specialise(graph, &options.binding)?;
    let graph = rewrite(&graph).map_err(|error| vec![error])?;
    executable(&graph).map_err(|error| vec![error])
}

fn executable(graph: &Graph) -> Result<Executable, Error> {
    let mut slots: BTreeMap<ValueId, Slot> = graph.inputs().iter().enumerate().map(|(at, (_, v))| (*v, Slot::Input(at as u32))).collect();
    let (mut constants, mut steps, mut dynamics) = (Vec::new(), Vec::new(), 0);
    let operand = |slots: &BTreeMap<ValueId, Slot>, v: ValueId| Operand { slot: slots[&v].clone(), dtype: graph.ty(v).dtype, extents: graph.ty(v).shape.extents().unwrap_or_default() };
    for (_, node) in graph.nodes() {
        if let Op::Constant(constant) = &node.op {
            slots.insert(node.outputs[0], Slot::Constant(constants.len() as u32));
            constants.push(constant.value.clone());
            continue;
        }
        for output in &node.outputs {
            slots.insert(*output, Slot::Dynamic(dynamics));
            dynamics += 1;
        }
        steps.push(Step::Interpret {
            graph: text::print(&single(graph, node)?),
            inputs: node.inputs.iter().map(|v| operand(&slots, *v)).collect(),
            outputs: node.outputs.iter().map(|v| operand(&slots, *v)).collect(),
            sources: node.origins.iter().map(|origin| origin.name.clone()).collect(),
            why: "there is no code generator yet".to_owned(),
        });
    }
    let port = |(name, v): &(String, ValueId)| Port { name: name.clone(), dtype: graph.ty(*v).dtype, extents: graph.ty(*v).shape.extents(), declared: graph.ty(*v).shape.to_string() };
    for (at, (_, v)) in graph.outputs().iter().enumerate() {
        let from = operand(&slots, *v);
        steps.push(Step::Copy { to: Operand { slot: Slot::Output(at as u32), ..from.clone() }, from });
    }
    Ok(Executable {
        name: graph.name.clone(),
        target: Options::default().target,
        inputs: graph.inputs().iter().map(port).collect(),
        outputs: graph.outputs().iter().map(port).collect(),
        constants,
        kernels: Vec::new(),
        code: Vec::new(),
        arena_bytes: 0,
        dynamics,
        steps,
    })
}

fn single(graph: &Graph, node: &Node) -> Result<Graph, Error> {
    let mut builder = Builder::new(node.op.name());
    builder.set_origins(node.origins.clone());
    let inputs: Vec<ValueId> = node.inputs.iter().enumerate().map(|(at, v)| builder.input(format!("{at}"), graph.ty(*v).clone())).collect();
    let outputs = builder.apply_all(node.op.clone(), &inputs).map_err(|error| builder.locate(error, &node.op, &inputs))?;
    for (at, v) in outputs.into_iter().enumerate() {
        builder.output(format!("{at}"), v);
    }
    Ok(builder.finish())
}
