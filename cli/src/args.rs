//! The arguments.
//!
//! In: the command line. Out: [`Args`]. Must not know: what is done with them.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use frit::{DType, Stage};
use frit_compiler::lower::target;
use frit_ir::vector::Target;

/// Compiles neural networks to small, fast programs and runs them.
#[derive(Parser)]
#[command(name = "frit", version, max_term_width = 100, after_help = "Exit status: 0 done, 1 the model or the input is at fault, 2 usage, 3 a bug of Frit's.\nFRIT_LOG=debug shows what happens inside.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs a model or an artifact.
    Run(Run),
    /// Compiles a model to an artifact, one file that the run time maps.
    Compile(Compile),
    /// Measures how long a model takes, kernel by kernel.
    Bench(Bench),
    /// Shows what a model holds and what becomes of it.
    Inspect(Inspect),
    /// Compares the compiled model, kernel by kernel, with the reference interpreter.
    Verify(Verify),
    /// Says which source nodes and rewrites each kernel comes from.
    Explain(Explain),
    /// Measures once what this machine can do, and shows what programs are priced by.
    Machine(Machine),
}

/// A model and what its open dimensions are.
#[derive(clap::Args)]
pub(crate) struct Model {
    /// A model (ONNX, TensorFlow, TensorFlow Lite, Keras, PyTorch) or an artifact, a file or folder; which it is, its content tells.
    pub model: PathBuf,
    /// Picks one where a model has several signatures (`serving_default` unless said).
    #[arg(long, value_name = "NAME")]
    pub signature: Option<String>,
    /// Binds an open dimension.
    #[arg(long = "dim", value_name = "NAME=N", value_parser = dim)]
    pub dims: Vec<(String, i64)>,
    /// Says an input's shape, and its dtype where the model does not: `1,3,224,224` or `i64[1,128]`. An input may be given by position.
    #[arg(long = "shape", value_name = "INPUT=SHAPE", value_parser = shape)]
    pub shapes: Vec<(String, Option<DType>, Vec<i64>)>,
    /// Which rewrites are allowed.
    #[arg(long, value_enum, default_value = "default", help_heading = "Rewriting")]
    pub numerics: Numerics,
    /// Leaves a rewrite out; docs/rules.md lists them.
    #[arg(long, value_name = "NAME", help_heading = "Rewriting")]
    pub without_rule: Vec<String>,
    /// Uses only the first N rewrites.
    #[arg(long, value_name = "N", help_heading = "Rewriting")]
    pub rule_limit: Option<usize>,
    /// What matrix products and convolutions of f32 are computed in. `frit verify` says what that costs.
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: Precision,
    /// What programs are priced by: `default`, the same table everywhere, so that a model always becomes the same artifact;
    /// `measured`, what this machine was measured to do; or a file of such a table.
    #[arg(long, value_name = "default|measured|FILE", default_value = "default", help_heading = "Rewriting")]
    pub machine: String,
}

/// What programs are priced by.
#[derive(clap::Args)]
pub(crate) struct Machine {
    /// Measures anew.
    #[arg(long)]
    pub again: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// What rewrites may change.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Numerics {
    /// Nothing: the same bits.
    Exact,
    /// The order of roundings.
    Reassociating,
    /// As reassociating, and how far NaN and infinities reach.
    Default,
    /// As default, and what NaN and infinities become.
    Finite,
}

/// Inputs from files. Without any they are drawn at random from a fixed seed.
#[derive(clap::Args)]
pub(crate) struct Inputs {
    /// An input, by name or position (`0=x.npy`).
    #[arg(long = "input", value_name = "NAME=FILE.npy", value_parser = pair)]
    pub input: Vec<(String, PathBuf)>,
    /// All inputs, by name.
    #[arg(long, value_name = "FILE.npz", conflicts_with = "input")]
    pub inputs: Option<PathBuf>,
}

/// What runs the model.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// Compiled code on the CPU.
    Cpu,
    /// Compiled code on an NVIDIA GPU.
    Cuda,
    /// The reference interpreter: slow and exact.
    Eval,
}

/// What a model is compiled for.
#[derive(clap::Args)]
pub(crate) struct On {
    /// What runs it. An artifact runs on what it was compiled for.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = compiled)]
    pub device: Target,
}

/// What products of floating-point numbers are computed in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// As the model says.
    F32,
    /// Factors rounded to bfloat16, sums in f32.
    Bf16,
}

#[derive(clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub inputs: Inputs,
    /// Writes the outputs, by name, in the model's order.
    #[arg(long, short, value_name = "FILE.npz")]
    pub output: Option<PathBuf>,
    /// How many threads; all by default.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// What runs it.
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: Device,
    /// Refuses models of which a node has no kernel.
    #[arg(long)]
    pub strict: bool,
    /// Prints a summary of the outputs as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Compile {
    #[command(flatten)]
    pub model: Model,
    /// The file to write.
    #[arg(long, short, value_name = "MODEL.frit")]
    pub output: PathBuf,
    /// Takes the shapes of the inputs from arrays.
    #[arg(long, value_name = "FILE.npz")]
    pub inputs: Option<PathBuf>,
    /// The machine to compile for.
    #[arg(long, default_value = target::NATIVE, value_parser = target::named, help = format!("The machine to compile for: {}", targets()))]
    pub target: Target,
    /// Measures other ways to build kernels, and keeps what is fastest here; takes some times as long. Results are the same.
    #[arg(long)]
    pub tune: bool,
    /// Refuses models of which a node has no kernel.
    #[arg(long)]
    pub strict: bool,
}

#[derive(clap::Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub on: On,
    #[command(flatten)]
    pub inputs: Inputs,
    /// How many threads; all by default.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// How many runs; about a second's worth by default.
    #[arg(long, value_name = "N")]
    pub runs: Option<usize>,
    /// Tunes the program first, as `frit compile --tune` does.
    #[arg(long)]
    pub tune: bool,
    /// Times another program of the same model as well, in turn, and shows what each kernel saves: `unfused` has kernels of its
    /// own for each source node (or what rewrites made one node of), `f32` computes as the model says, not as --precision. With --without-rule, the program with all rules is
    /// the other one.
    #[arg(long, value_name = "WHAT", value_enum, help_heading = "Comparing")]
    pub compare: Option<Compare>,
    /// Times other engines as well, in turn, each in a process of its own, after their outputs were compared. They are
    /// packages of the Python that FRIT_PYTHON names, or of `python3`.
    #[arg(long, value_name = "ENGINE", value_enum, value_delimiter = ',', help_heading = "Comparing")]
    pub against: Vec<Engine>,
    /// Writes the measurements as JSON; `-` is the terminal. docs/bench.md says what it holds.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub json: Option<PathBuf>,
    /// Writes a page that shows each kernel under this machine's roofline.
    #[arg(long, value_name = "FILE.html", help_heading = "Reports")]
    pub html: Option<PathBuf>,
    /// Writes when each thread ran what, as Chrome trace events, which Perfetto opens.
    #[arg(long, value_name = "FILE.json", help_heading = "Reports")]
    pub trace: Option<PathBuf>,
}

/// Which other program a benchmark times.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compare {
    /// Each source node has kernels of its own.
    Unfused,
    /// Products are computed in f32.
    F32,
}

/// An engine that Frit can be timed beside.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// ONNX Runtime, on the CPU.
    Onnxruntime,
    /// OpenVINO, on the CPU.
    Openvino,
}

impl Engine {
    /// Its name, and that of its Python package.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Engine::Onnxruntime => "onnxruntime",
            Engine::Openvino => "openvino",
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub on: On,
    /// Shows what a stage makes of the model, as text.
    #[arg(long, value_parser = stage, help = format!("Shows what a stage makes of the model: {}", stages()))]
    pub stage: Option<Stage>,
    /// Writes one page that shows the graph before and after, and the plan of the memory.
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
    /// Writes the graph in Graphviz's language.
    #[arg(long, value_name = "FILE")]
    pub dot: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long, conflicts_with = "stage")]
    pub json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub on: On,
    /// Only kernels whose name, or one of whose source nodes' names, holds this.
    #[arg(long, value_name = "NAME")]
    pub kernel: Option<String>,
    /// Proves, step by step, that each of them computes what its source nodes do.
    #[arg(long, requires = "kernel")]
    pub proof: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub on: On,
    #[command(flatten)]
    pub inputs: Inputs,
    /// How many times, with other inputs each time.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub seeds: u64,
    /// How many threads; all by default.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

fn compiled(text: &str) -> Result<Target, String> {
    match text {
        "cpu" => Ok(target::host()),
        "cuda" => Ok(target::cuda()),
        _ => Err("the devices are cpu, cuda".to_owned()),
    }
}

fn dim(text: &str) -> Result<(String, i64), String> {
    let (name, extent) = text.rsplit_once('=').ok_or("write NAME=N")?;
    let extent = extent.parse().ok().filter(|n| *n >= 0).ok_or_else(|| format!("'{extent}' is not an extent"))?;
    Ok((name.to_owned(), extent))
}

fn shape(text: &str) -> Result<(String, Option<DType>, Vec<i64>), String> {
    let (name, ty) = text.rsplit_once('=').ok_or("write INPUT=1,3,224,224 or INPUT=i64[1,128]")?;
    let (dtype, extents) = match ty.strip_suffix(']').and_then(|ty| ty.split_once('[')) {
        Some((dtype, extents)) => (Some(dtype.parse().map_err(|()| format!("'{dtype}' is no dtype"))?), extents),
        None => (None, ty),
    };
    let extent = |text: &str| text.trim().parse().ok().filter(|n| *n >= 0).ok_or_else(|| format!("'{text}' is not an extent"));
    let extents = extents.split(',').filter(|_| !extents.trim().is_empty()).map(extent).collect::<Result<_, _>>()?;
    Ok((name.to_owned(), dtype, extents))
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write NAME=FILE.npy, or POSITION=FILE.npy")?;
    Ok((name.to_owned(), path.into()))
}

fn stage(text: &str) -> Result<Stage, String> {
    text.parse().map_err(|_| format!("the stages are {}", stages()))
}

fn targets() -> String {
    target::names().collect::<Vec<_>>().join(", ")
}

fn stages() -> String {
    Stage::ALL.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(", ")
}
