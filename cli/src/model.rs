//! Models and their inputs.
//!
//! In: paths and arguments. Out: graphs, sessions and tensors. Must not know: what is done with them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use frit::{Binding, DType, Error, Executable, Graph, Options, RunOptions, Session, Tensor, Threads};
use frit_compiler::lower::target;
use frit_compiler::rewrite;
use frit_ir::executable::Step;
use frit_ir::vector::Target;

use crate::args::{Inputs, Model, Numerics, Precision};
use crate::draw::Draw;
use crate::{machine, npy, tell};

/// What a file turned out to be.
pub(crate) enum Source {
    /// A model.
    Graph(Box<Graph>),
    /// An artifact.
    Artifact,
}

/// A session, what it was made of and how long that took.
pub(crate) struct Ready {
    pub session: Session,
    pub graph: Option<Box<Graph>>,
    /// The session's threads.
    pub threads: Threads,
    /// How it was compiled.
    pub options: Options,
    pub inputs: Option<Vec<Tensor>>,
    pub compile: Duration,
    pub load: Duration,
}

fn one(error: Error) -> Vec<Error> {
    vec![error]
}

/// Reads a model, or sees that it is an artifact. Dimensions are bound as the arguments and the given arrays say.
pub(crate) fn open(model: &Model, files: &Files) -> Result<Source, Vec<Error>> {
    if frit::is_artifact(&model.model).map_err(one)? {
        if model.numerics != Numerics::Default || !model.without_rule.is_empty() || model.rule_limit.is_some() || model.machine != machine::DEFAULT {
            return Err(one(Error::invalid("an artifact can't be rewritten").help("that was done when it was compiled; compile the model again")));
        }
        if model.precision != Precision::F32 {
            return Err(one(Error::invalid("an artifact computes in the precision that it was compiled for").help("compile the model again with --precision")));
        }
        if !model.dims.is_empty() || !model.shapes.is_empty() {
            return Err(one(Error::invalid("an artifact's dimensions can't be bound").help("they were bound when it was compiled; compile the model again with other --dim or --shape")));
        }
        if model.signature.is_some() {
            return Err(one(Error::invalid("an artifact has one signature").help("it was picked when it was compiled; compile the model again with --signature")));
        }
        return Ok(Source::Artifact);
    }
    let graph = tell::busy("importing", || frit::import(&model.model, &binding(model, files), model.signature.as_deref()))?;
    let names: Vec<&str> = graph.inputs().iter().map(|(name, _)| name.as_str()).collect();
    if let Some((name, ..)) = model.shapes.iter().find(|(name, ..)| !names.contains(&name.as_str()) && !name.parse().is_ok_and(|at: usize| at < names.len())) {
        return Err(one(Error::invalid(format!("--shape says the shape of '{name}', and there is no such input")).help(format!("the inputs are '{}'", names.join("', '")))));
    }
    Ok(Source::Graph(Box::new(graph)))
}

/// Which rewrites the arguments allow.
fn rewriting(model: &Model) -> rewrite::Options {
    let numerics = match model.numerics {
        Numerics::Exact => rewrite::Class::Exact,
        Numerics::Reassociating => rewrite::Class::Reassociating,
        Numerics::Default => rewrite::Class::Blocked,
        Numerics::Finite => rewrite::Class::Finite,
    };
    rewrite::Options { numerics: Some(numerics), without: model.without_rule.iter().cloned().collect(), limit: model.rule_limit, ..rewrite::Options::default() }
}

/// What the arguments and the given arrays say of open dimensions.
fn binding(model: &Model, files: &Files) -> Binding {
    let mut binding = Binding { dims: model.dims.iter().cloned().collect(), ..Binding::default() };
    for (name, dtype, extents) in &model.shapes {
        binding.shapes.insert(name.clone(), extents.clone());
        binding.dtypes.extend(dtype.map(|dtype| (name.clone(), dtype)));
    }
    for file in &files.0 {
        let name = position(&file.name);
        binding.shapes.extend(npy::shape(&file.data).map(|extents| (name.to_owned(), extents)));
        binding.dtypes.extend(npy::element(&file.data).map(|dtype| (name.to_owned(), dtype)));
    }
    binding
}

/// The options that the arguments and the given arrays imply.
pub(crate) fn options(model: &Model, files: &Files, target: &Target, strict: bool) -> Result<Options, Vec<Error>> {
    let machine = if model.machine == machine::DEFAULT { target::machine(target) } else { machine::named(&model.machine).map_err(one)? };
    let precision = match model.precision {
        Precision::F32 => frit::Precision::F32,
        Precision::Bf16 => frit::Precision::BF16,
    };
    Ok(Options { binding: binding(model, files), signature: model.signature.clone(), target: target.clone(), machine, strict, rewrite: rewriting(model), fusion: true, precision, tuning: None })
}

/// Compiles a model, or loads an artifact, and reads the inputs that are given.
pub(crate) fn ready(model: &Model, inputs: &Inputs, target: &Target, threads: Option<usize>, strict: bool, tune: bool) -> Result<Ready, Vec<Error>> {
    let threads = threads.map_or_else(Threads::all, Threads::count).map_err(one)?;
    let run = RunOptions { threads: threads.clone() };
    let files = Files::read(inputs).map_err(one)?;
    match open(model, &files)? {
        Source::Artifact => {
            let start = Instant::now();
            let session = Session::load(&model.model, &run).map_err(one)?;
            let load = start.elapsed();
            if target.is_cuda() && !session.executable().target.is_cuda() {
                return Err(one(Error::invalid("the artifact was compiled for the CPU").help("compile the model with `--target cuda`, or leave --device out")));
            }
            let ports: Vec<(&str, DType)> = session.inputs().iter().map(|port| (port.name.as_str(), port.dtype)).collect();
            let states: Vec<Tensor> = session.states().cloned().collect();
            let inputs = given(&files, &ports, &states).map_err(one)?;
            Ok(Ready { session, graph: None, threads, options: Options::default(), inputs, compile: Duration::ZERO, load })
        }
        Source::Graph(graph) => {
            let ports: Vec<(&str, DType)> = graph.inputs().iter().map(|(name, v)| (name.as_str(), graph.ty(*v).dtype)).collect();
            let inputs = given(&files, &ports, graph.states()).map_err(one)?;
            let mut options = options(model, &files, target, strict)?;
            if tune {
                options = tuned(&graph, options, inputs.clone(), &run)?;
            }
            let start = Instant::now();
            let executable = tell::busy("compiling", || frit::compile(&graph, &options))?;
            let compile = start.elapsed();
            warn(&executable);
            let start = Instant::now();
            let session = Session::new(executable, &run).map_err(one)?;
            Ok(Ready { session, graph: Some(graph), threads, options, inputs, compile, load: start.elapsed() })
        }
    }
}

/// The options with what tuning finds for a graph.
pub(crate) fn tuned(graph: &Graph, options: Options, inputs: Option<Vec<Tensor>>, run: &RunOptions) -> Result<Options, Vec<Error>> {
    if options.target != target::host() {
        return Err(one(Error::invalid("tuning measures, and this is not the machine that code is made for").help("tune on that machine, without --target")));
    }
    let inputs = match inputs {
        Some(inputs) => inputs,
        None => {
            drawn_for(&frit_compiler::specialise::specialise(graph, &options.binding)?)?
        }
    };
    let start = Instant::now();
    let (options, report) = tell::busy("tuning", || frit::tune::tune(graph, &options, &inputs, run))?;
    tell::line(&format!("tuned in {:.1} s: of {} kernels that have alternatives {} were measured, {} are built otherwise", start.elapsed().as_secs_f64(), report.kernels, report.measured, report.changed));
    Ok(options)
}

/// Says which nodes have no kernel.
pub(crate) fn warn(executable: &Executable) {
    let leaves = executable.leaves();
    let left: Vec<(&[String], &str)> = leaves.iter().filter_map(|step| if let Step::Interpret { sources, why, .. } = step { Some((sources.as_slice(), why.as_str())) } else { None }).collect();
    if left.is_empty() {
        return;
    }
    tell::line(&format!("warning: {} of {} steps have no kernel and run in the reference interpreter, which is slow", left.len(), leaves.len()));
    for (sources, why) in left.iter().take(3) {
        tell::line(&format!("  {}: {why}", tell::names(sources)));
    }
    if left.len() > 3 {
        tell::line("  .. (`frit inspect` shows them all)");
    }
}

/// The given inputs, or drawn ones; says so if they are drawn.
pub(crate) fn inputs(ready: &Ready, seed: u64) -> Result<Vec<Tensor>, Vec<Error>> {
    if let Some(inputs) = &ready.inputs {
        return Ok(inputs.clone());
    }
    let states: Vec<Tensor> = ready.session.states().cloned().collect();
    let ports = ready.session.inputs().iter().map(|port| (port.name.as_str(), port.dtype, port.extents.clone()));
    let drawn = drawn(ports, &states, seed)?;
    let named: Vec<_> = ready.session.inputs().iter().zip(&drawn).map(|(port, tensor)| format!("{} {}", port.name, tensor.ty())).take(drawn.len() - states.len()).collect();
    if !named.is_empty() {
        tell::line(&format!("inputs are drawn at random (seed {seed}): {}", named.join(", ")));
    }
    Ok(drawn)
}

/// Inputs for a graph whose dimensions are bound, drawn with seed 0.
pub(crate) fn drawn_for(graph: &Graph) -> Result<Vec<Tensor>, Vec<Error>> {
    let ports = graph.inputs().iter().map(|(name, v)| (name.as_str(), graph.ty(*v).dtype, graph.ty(*v).shape.extents()));
    drawn(ports, graph.states(), 0)
}

/// Drawn inputs, and the states, which are the last of the ports.
fn drawn<'a>(ports: impl ExactSizeIterator<Item = (&'a str, DType, Option<Vec<i64>>)>, states: &[Tensor], seed: u64) -> Result<Vec<Tensor>, Vec<Error>> {
    let free = ports.len() - states.len();
    let mut draw = Draw::new(seed);
    let drawn = ports.take(free).map(|(name, dtype, extents)| {
        let extents = extents.ok_or_else(|| Error::invalid(format!("the shape of input '{name}' is open")).help(format!("give it with --input {name}=FILE.npy")))?;
        draw.tensor(name, dtype, &extents)
    });
    drawn.chain(states.iter().cloned().map(Ok)).collect::<Result<_, _>>().map_err(one)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::invalid(format!("can't read '{}': {error}", path.display())).help("give the path of a .npy or .npz file"))
}

/// An array that the arguments give.
struct Given {
    name: String,
    path: PathBuf,
    /// An `.npy` file.
    data: Vec<u8>,
}

/// The arrays that the arguments give.
pub(crate) struct Files(Vec<Given>);

impl Files {
    /// No arrays.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads them.
    pub(crate) fn read(inputs: &Inputs) -> Result<Self, Error> {
        let mut files = Vec::new();
        for (name, path) in &inputs.input {
            files.push(Given { name: name.clone(), path: path.clone(), data: read(path)? });
        }
        if let Some(path) = &inputs.inputs {
            let arrays = npy::unzip(&read(path)?).map_err(|error| Error::at(error, format!("'{}'", path.display()), Vec::new()))?;
            files.extend(arrays.into_iter().map(|(name, data)| Given { name, path: path.clone(), data }));
        }
        Ok(Self(files))
    }
}

/// An array's name, or its position where `numpy.savez` gave it none.
fn position(name: &str) -> &str {
    name.strip_prefix("arr_").filter(|at| at.parse::<usize>().is_ok()).unwrap_or(name)
}

/// The given arrays as tensors, in the order of the ports, the last of which are states that may be left out; nothing where none are given.
pub(crate) fn given(files: &Files, ports: &[(&str, DType)], states: &[Tensor]) -> Result<Option<Vec<Tensor>>, Error> {
    if files.0.is_empty() {
        return Ok(None);
    }
    let help = || format!("the inputs are {}", ports.iter().map(|(name, dtype)| format!("'{name}' ({dtype})")).collect::<Vec<_>>().join(", "));
    let mut slots: Vec<Option<Tensor>> = vec![None; ports.len()];
    for Given { name, path, data } in &files.0 {
        let position = position(name).parse().ok().filter(|at| *at < ports.len());
        let at = ports.iter().position(|(port, _)| port == name).or(position);
        let at = at.ok_or_else(|| Error::invalid(format!("the model has no input '{name}'")).help(help()))?;
        let tensor = npy::read(data, Some(ports[at].1)).map_err(|error| Error::at(error, format!("'{}' of '{}'", name, path.display()), Vec::new()))?;
        if tensor.dtype() != ports[at].1 {
            return Err(Error::invalid(format!("input '{}' is {}, and {} is given", ports[at].0, ports[at].1, tensor.ty())).help(format!("convert the array with .astype; {}", help())));
        }
        if slots[at].replace(tensor).is_some() {
            return Err(Error::invalid(format!("input '{}' is given twice", ports[at].0)));
        }
    }
    for (slot, initial) in slots.iter_mut().rev().zip(states.iter().rev()) {
        slot.get_or_insert_with(|| initial.clone());
    }
    let missing: Vec<&str> = slots.iter().zip(ports).filter(|(slot, _)| slot.is_none()).map(|(_, (name, _))| *name).collect();
    if missing.is_empty() { Ok(Some(slots.into_iter().flatten().collect())) } else { Err(Error::invalid(format!("no array is given for input '{}'", missing.join("', '"))).help(help())) }
}
