//! `frit run` and `frit compile`.

use std::io::Write;
use std::time::Instant;

use frit::{Error, RunOptions, Tensor, Threads};
use frit_compiler::lower::target;
use serde_json::json;

use crate::args::{Compile, Device, Inputs, Precision, Run};
use crate::model::{self, Files, Source};
use crate::{memory, npy, tell};

/// Runs a model.
pub(crate) fn run(args: &Run) -> Result<(), Vec<Error>> {
    let start = Instant::now();
    let (names, outputs, ready) = match args.device {
        Device::Eval => evaluate(args)?,
        Device::Cpu | Device::Cuda => {
            let target = if args.device == Device::Cuda { target::cuda() } else { target::host() };
            let ready = model::ready(&args.model, &args.inputs, &target, args.threads, args.strict, false)?;
            let inputs = model::inputs(&ready, 0)?;
            let prepared = start.elapsed();
            let outputs = tell::busy("running", || ready.session.run(&inputs)).map_err(|error| vec![error])?;
            let names = ready.session.outputs().iter().map(|port| port.name.clone()).collect();
            (names, outputs, prepared)
        }
    };
    let took = start.elapsed() - ready;
    if let Some(path) = &args.output {
        let named: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&outputs).collect();
        let bytes = npy::zip(named).map_err(|error| vec![Error::at(error, "", Vec::new())])?;
        frit::artifact::replace(path, |mut file| file.write_all(&bytes)).map_err(|error| vec![error])?;
        tell::line(&format!("wrote {} outputs to '{}'", outputs.len(), path.display()));
    }
    let summaries: Vec<Summary> = names.iter().zip(&outputs).map(|(name, tensor)| Summary::of(name, tensor)).collect();
    if args.json {
        let outputs: Vec<_> = summaries.iter().map(|s| json!({ "name": s.name, "type": s.ty, "min": s.range.map(|r| r.0), "mean": s.range.map(|r| r.1), "max": s.range.map(|r| r.2) })).collect();
        tell::print(&json!({ "ready_ms": ready.as_secs_f64() * 1e3, "run_ms": took.as_secs_f64() * 1e3, "peak_rss_bytes": memory::peak(), "outputs": outputs }).to_string());
    } else {
        tell::print(&tell::table(&["output", "type", ">min", ">mean", ">max", "first elements"], summaries.iter().map(Summary::row)));
        let peak = memory::peak().map(|bytes| format!(", peak memory {}", tell::bytes(bytes))).unwrap_or_default();
        tell::line(&format!("ready after {:.1} ms, ran in {:.3} ms{peak}", ready.as_secs_f64() * 1e3, took.as_secs_f64() * 1e3));
    }
    Ok(())
}

/// Runs a model in the reference interpreter.
fn evaluate(args: &Run) -> Result<(Vec<String>, Vec<Tensor>, std::time::Duration), Vec<Error>> {
    if args.model.precision != Precision::F32 {
        return Err(vec![Error::invalid("the reference interpreter computes as the model says").help("leave --precision or --device out")]);
    }
    let start = Instant::now();
    let files = Files::read(&args.inputs).map_err(|error| vec![error])?;
    let Source::Graph(graph) = model::open(&args.model, &files)? else {
        return Err(vec![Error::invalid("an artifact has no graph to interpret").help("give the model that it was compiled from")]);
    };
    let (graph, inputs) = specialised(&args.model, &files, &graph)?;
    let prepared = start.elapsed();
    let outputs = tell::busy("interpreting", || frit_ir::eval::run(&graph, &inputs.iter().collect::<Vec<_>>())).map_err(|error| vec![error])?;
    Ok((graph.outputs().iter().map(|(name, _)| name.clone()).collect(), outputs, prepared))
}

/// A graph with its dimensions bound, and inputs for it.
fn specialised(model: &crate::args::Model, files: &Files, graph: &frit::Graph) -> Result<(frit::Graph, Vec<Tensor>), Vec<Error>> {
    let ports: Vec<_> = graph.inputs().iter().map(|(name, v)| (name.as_str(), graph.ty(*v).dtype)).collect();
    let given = model::given(files, &ports, graph.states()).map_err(|error| vec![error])?;
    let options = model::options(model, files, &target::host(), false)?;
    let bound = frit_compiler::specialise::specialise(graph, &options.binding)?;
    let inputs = match given {
        Some(inputs) => inputs,
        None => {
            tell::line("inputs are drawn at random (seed 0)");
            model::drawn_for(&bound)?
        }
    };
    Ok((bound, inputs))
}

/// What is said of an output.
struct Summary {
    name: String,
    ty: String,
    /// Smallest, mean and largest element, if there are any and they are numbers.
    range: Option<(f64, f64, f64)>,
    first: String,
}

impl Summary {
    fn of(name: &str, tensor: &Tensor) -> Self {
        let numbers = tensor.f64s();
        let range = (!numbers.is_empty()).then(|| {
            let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (least, numbers.iter().sum::<f64>() / numbers.len() as f64, most)
        });
        let mut first: Vec<String> = if numbers.is_empty() { tensor.strings().iter().take(4).map(|text| format!("{text:?}")).collect() } else { numbers.iter().take(4).map(|x| short(*x)).collect() };
        if tensor.elems() > first.len() {
            first.push("..".to_owned());
        }
        Self { name: name.to_owned(), ty: tensor.ty().to_string(), range, first: first.join(" ") }
    }

    fn row(&self) -> Vec<String> {
        let (least, mean, most) = self.range.map_or_else(Default::default, |(a, b, c)| (short(a), short(b), short(c)));
        vec![self.name.clone(), self.ty.clone(), least, mean, most, self.first.clone()]
    }
}

/// Five digits.
fn short(x: f64) -> String {
    if x == x.trunc() && x.abs() < 1e9 {
        format!("{x}")
    } else if (1e-3..1e6).contains(&x.abs()) {
        format!("{x:.5}")
    } else {
        format!("{x:.3e}")
    }
}

/// Compiles a model to an artifact.
pub(crate) fn compile(args: &Compile) -> Result<(), Vec<Error>> {
    let inputs = Inputs { input: Vec::new(), inputs: args.inputs.clone() };
    let files = Files::read(&inputs).map_err(|error| vec![error])?;
    let Source::Graph(graph) = model::open(&args.model, &files)? else {
        return Err(vec![Error::invalid(format!("'{}' is an artifact already", args.model.model.display())).help("give the model that it was compiled from")]);
    };
    let ports: Vec<_> = graph.inputs().iter().map(|(name, v)| (name.as_str(), graph.ty(*v).dtype)).collect();
    let inputs = model::given(&files, &ports, graph.states()).map_err(|error| vec![error])?;
    let mut options = model::options(&args.model, &files, &args.target, args.strict)?;
    if args.tune {
        let run = RunOptions { threads: Threads::all().map_err(|error| vec![error])? };
        options = model::tuned(&graph, options, inputs, &run)?;
    }
    let start = Instant::now();
    let executable = tell::busy("compiling", || frit::compile(&graph, &options))?;
    let took = start.elapsed();
    tell::busy("writing", || frit::artifact::write(&executable, &args.output)).map_err(|error| vec![error])?;
    let size = std::fs::metadata(&args.output).map_or(0, |data| data.len());
    model::warn(&executable);
    tell::line(&format!("wrote '{}': {}, {} kernels, {} of constants, compiled in {:.1} ms", args.output.display(), tell::bytes(size), executable.kernels.len(), tell::bytes(executable.constant_bytes()), took.as_secs_f64() * 1e3));
    Ok(())
}
