//! A model on a device, as a caller would run it: the CPU, or a GPU where `FRIT_TEST_DEVICE=cuda`.
//!
//! In: a model file and input tensors. Out: output tensors and what they cost. Must not know: what is right.

use std::path::Path;
use std::time::{Duration, Instant};

use frit_compiler::lower::target;
use frit_compiler::pipeline::{self, Options};
use frit_compiler::rewrite::{self, Report};
use frit_compiler::specialise::Binding;
use frit_ir::executable::Step;
use frit_ir::vector::Target;
use frit_ir::{Graph, Tensor};
use frit_runtime::{Session, Threads};

/// What the tests compile for.
pub fn target() -> Target {
    match std::env::var("FRIT_TEST_DEVICE").as_deref() {
        Ok("cuda") => target::cuda(),
        Ok("cpu") | Err(_) => target::host(),
        Ok(other) => panic!("FRIT_TEST_DEVICE is '{other}', neither 'cpu' nor 'cuda'"),
    }
}

/// What a run gave.
pub struct Outcome {
    /// The outputs, by name, in the model's order.
    pub outputs: Vec<(String, Tensor)>,
    /// Number of compiled kernels.
    pub kernels: usize,
    /// Number of steps that launch one.
    pub launches: usize,
    /// Number of steps that the reference interpreter does.
    pub interpreted: usize,
    /// From the model's bytes to a session.
    pub compile: Duration,
    /// One run.
    pub run: Duration,
}

/// Which inputs a model is given.
pub enum Inputs<'t> {
    /// By name.
    Named(&'t [(String, Tensor)]),
    /// In the model's order.
    Ordered(&'t [Tensor]),
}

/// Compiles a model for the shapes of its inputs and runs it once.
///
/// # Errors
/// The first complaint, on one line.
pub fn run(model: &Path, inputs: &Inputs<'_>, threads: &Threads) -> Result<Outcome, String> {
    let start = Instant::now();
    let imported = Imported::new(model, inputs)?;
    imported.run(&imported.graph, &rewrite::Options::default(), threads, start)
}

/// A model and tensors for its inputs.
pub struct Imported {
    /// The model.
    pub graph: Graph,
    /// Its inputs, in the model's order.
    pub tensors: Vec<Tensor>,
    /// Their shapes, for open dimensions.
    pub binding: Binding,
}

impl Imported {
    /// Imports a model for the shapes of its inputs.
    ///
    /// # Errors
    /// The first complaint, on one line.
    pub fn new(model: &Path, inputs: &Inputs<'_>) -> Result<Self, String> {
        let given: Vec<(String, &Tensor)> = match inputs {
            Inputs::Named(tensors) => tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect(),
            Inputs::Ordered(tensors) => tensors.iter().enumerate().map(|(at, tensor)| (at.to_string(), tensor)).collect(),
        };
        let shapes = given.iter().map(|(name, tensor)| (name.clone(), tensor.extents().to_vec())).collect();
        let dtypes = given.iter().map(|(name, tensor)| (name.clone(), tensor.dtype())).collect();
        let graph = frit_compiler::import::load(model, &Binding { shapes, dtypes, ..Binding::default() }, None).map_err(first)?;
        let tensors = ordered(&graph, inputs)?;
        let shapes = graph.inputs().iter().zip(&tensors).map(|((name, _), tensor)| (name.clone(), tensor.extents().to_vec())).collect();
        Ok(Self { graph, tensors, binding: Binding { shapes, ..Binding::default() } })
    }

    /// The graph as rules leave it, and what they did.
    ///
    /// # Errors
    /// The first complaint, on one line.
    pub fn rewritten(&self, rules: &rewrite::Options) -> Result<(Graph, Report), String> {
        pipeline::rewritten(&self.graph, &Options { binding: self.binding.clone(), rewrite: rules.clone(), ..Options::default() }).map_err(first)
    }

    /// Compiles a graph that has this one's inputs and runs it once. Compilation is timed from `start`.
    ///
    /// # Errors
    /// The first complaint, on one line.
    pub fn run(&self, graph: &Graph, rules: &rewrite::Options, threads: &Threads, start: Instant) -> Result<Outcome, String> {
        let one = |error: frit_ir::Error| first(vec![error]);
        let options = Options { binding: self.binding.clone(), rewrite: rules.clone(), machine: target::machine(&target()), target: target(), ..Options::default() };
        let executable = pipeline::compile(graph, &options).map_err(first)?;
        let kernels = executable.kernels.len();
        let interpreted = executable.leaves().into_iter().filter(|step| matches!(step, Step::Interpret { .. })).count();
        let launches = executable.leaves().into_iter().filter(|step| matches!(step, Step::Launch { .. })).count();
        let session = Session::new(executable, &frit_runtime::Options { threads: threads.clone() }).map_err(one)?;
        let compile = start.elapsed();

        let start = Instant::now();
        let results = session.run(&self.tensors).map_err(one)?;
        let run = start.elapsed();
        let outputs = session.outputs().iter().map(|port| port.name.clone()).zip(results).collect();
        Ok(Outcome { outputs, kernels, launches, interpreted, compile, run })
    }
}

fn first(errors: Vec<frit_ir::Error>) -> String {
    errors.first().map_or_else(|| "no reason given".to_owned(), ToString::to_string).replace('\n', " ")
}

/// The tensors in the order of the graph's inputs.
fn ordered(graph: &Graph, inputs: &Inputs<'_>) -> Result<Vec<Tensor>, String> {
    let wanted = graph.inputs();
    match inputs {
        Inputs::Ordered(tensors) if tensors.len() == wanted.len() => Ok(tensors.to_vec()),
        Inputs::Ordered(tensors) => Err(format!("{} inputs instead of {}", tensors.len(), wanted.len())),
        Inputs::Named(tensors) => wanted[..wanted.len() - graph.states().len()]
            .iter()
            .map(|(name, _)| tensors.iter().find(|(given, _)| given == name).map(|(_, tensor)| tensor.clone()).ok_or_else(|| format!("input '{name}' is missing")))
            .collect(),
    }
}

/// Runs something that may panic; a panic becomes a complaint that says so.
///
/// # Errors
/// What it says itself, or `PANIC` and the message.
pub fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
        Err(format!("PANIC: {}", text.unwrap_or("no message").replace('\n', " ")))
    })
}
