//! How long each stage of compiling takes.
//!
//! `cargo bench --workspace --bench compile_time -- [MODEL..]`: transformers of 12, 24, 48 and 96 layers, whose time must grow
//! linearly, then the given models, open dimensions being 1; `MODEL=1,3,224,224` says the shape of an input of floats where the model does not. Prints a table: for each stage the least of several times in
//! milliseconds, how fast the file is imported, terms and bounds of the e-graph, and the most memory that the process held.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::path::Path;
use std::time::Instant;

use frit_compiler::import;
use frit_compiler::lower;
use frit_compiler::pipeline::Options;
use frit_compiler::rewrite::{Report, rewrite};
use frit_compiler::schedule::schedule;
use frit_compiler::specialise::{Binding, specialise};
use frit_ir::model::{Handle, Model};
use frit_ir::{DType, Error, Graph, Tensor};

/// Times are the least of this many.
const RUNS: usize = 3;

fn main() {
    // `cargo bench` passes `--bench`.
    let models: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    println!("{:28} {:>6} {:>9} {:>8} {:>11} {:>9} {:>9} {:>9} {:>8} {:>5} {:>9}", "model", "nodes", "import", "MB/s", "specialise", "rewrite", "schedule", "lower", "regions", "cut", "peak MiB");
    for layers in [12, 24, 48, 96] {
        match transformer(layers) {
            Ok(graph) => measure(&format!("transformer, {layers} layers"), &graph, None),
            Err(error) => println!("transformer, {layers} layers: {error}"),
        }
    }
    for model in &models {
        let (path, shape) = model.split_once('=').map_or((model.as_str(), None), |(path, shape)| (path, Some(shape)));
        let path = Path::new(path);
        match imported(path, shape) {
            Ok((graph, took)) => measure(&path.file_name().unwrap_or_default().to_string_lossy(), &graph, Some((took, size(path)))),
            Err(errors) => errors.iter().for_each(|error| println!("{}: {error}", path.display())),
        }
    }
}

/// A model's graph, and the seconds that its import takes. `shape` is its first input's.
fn imported(path: &Path, shape: Option<&str>) -> Result<(Graph, f64), Vec<Error>> {
    let mut least = f64::INFINITY;
    let mut binding = Binding::default();
    if let Some(shape) = shape {
        let extents = shape.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|error| vec![Error::invalid(format!("'{shape}' is no shape: {error}"))])?;
        binding.shapes.insert("0".to_owned(), extents);
        binding.dtypes.insert("0".to_owned(), DType::F32);
    }
    let mut graph = import::load(path, &binding, None)?;
    for _ in 0..RUNS {
        let start = Instant::now();
        graph = import::load(path, &binding, None)?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok((graph, least))
}

/// The bytes of a file, or of all in a folder.
fn size(path: &Path) -> u64 {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| size(&entry.path())).sum(),
        Err(_) => path.metadata().map_or(0, |file| file.len()),
    }
}

/// Times the stages of one model, whose import took so many seconds and read so many bytes.
fn measure(name: &str, graph: &Graph, import: Option<(f64, u64)>) {
    let mut least = [f64::INFINITY; 4];
    let mut report = Report::default();
    for _ in 0..RUNS {
        match stages(graph) {
            Ok((times, did)) => {
                least = std::array::from_fn(|k| least[k].min(times[k]));
                report = did;
            }
            Err(errors) => return errors.iter().for_each(|error| println!("{name}: {error}")),
        }
    }
    let nodes = graph.nodes().filter(|(_, node)| !node.inputs.is_empty()).count();
    let [specialise, rewrite, schedule, lower] = least;
    let [import, speed] = import.map_or_else(Default::default, |(seconds, bytes)| [format!("{:.1}", seconds * 1e3), format!("{:.0}", bytes as f64 / 1e6 / seconds)]);
    println!("{name:28} {nodes:6} {import:>9} {speed:>8} {specialise:11.1} {rewrite:9.1} {schedule:9.1} {lower:9.1} {:8} {:5} {:9}", report.regions, report.cut, peak());
}

/// Milliseconds of specialise, rewrite, schedule and lower.
fn stages(graph: &Graph) -> Result<([f64; 4], Report), Vec<Error>> {
    let symbols = graph.inputs().iter().filter_map(|(_, value)| graph.ty(*value).shape.dims()).flatten().flat_map(|dim| dim.symbols());
    let binding = Binding { dims: symbols.map(|symbol| (symbol.to_string(), 1)).collect(), ..Binding::default() };
    let options = Options { binding, ..Options::default() };
    let one = |error| vec![error];
    let start = Instant::now();
    let ms = || start.elapsed().as_secs_f64() * 1e3;
    let graph = specialise(graph, &options.binding)?;
    let specialised = ms();
    let (graph, report) = options.priced(|prices| rewrite(&graph, &options.rewrite, prices)).map_err(one)?;
    let rewritten = ms();
    let schedule = schedule(&graph, &options.device()).map_err(one)?;
    let scheduled = ms();
    lower::lower(schedule, &options.target).map_err(one)?;
    let lowered = ms();
    Ok(([specialised, rewritten - specialised, scheduled - rewritten, lowered - scheduled], report))
}

/// The most memory that the process held so far, in MiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Width of the transformer: small, since weights cost nothing here.
const WIDTH: i64 = 64;
const HEADS: i64 = 4;
const TOKENS: i64 = 32;

/// An encoder of so many layers, written as exporters write it: norms and activations in pieces, projections apart.
fn transformer(layers: usize) -> Result<Graph, Error> {
    let m = Model::new("transformer");
    let mut x = m.input("x", DType::F32, &[1.into(), TOKENS.into(), WIDTH.into()])?;
    let mut seed = 0;
    let mut weight = |extents: &[i64]| {
        seed += 1;
        let count = extents.iter().product::<i64>();
        let data: Vec<f32> = (0..count).map(|k| ((k * 7919 + seed * 104_729) % 2003) as f32 / 20_000.0 - 0.05).collect();
        m.constant(Tensor::from_slice(extents, &data))
    };
    for _ in 0..layers {
        let mut project = |x: &Handle, from: i64, to: i64| -> Result<Handle, Error> { x.matmul(&weight(&[from, to]))? + &weight(&[to]) };
        let heads = |x: Handle| x.reshape(&[1, TOKENS, HEADS, WIDTH / HEADS])?.transpose(&[0, 2, 1, 3]);
        let q = heads(project(&x, WIDTH, WIDTH)?)?;
        let k = heads(project(&x, WIDTH, WIDTH)?)?;
        let v = heads(project(&x, WIDTH, WIDTH)?)?;
        let scores = (q.matmul(&k.transpose(&[0, 1, 3, 2])?)? * 0.25)?;
        let mixed = scores.softmax(-1)?.matmul(&v)?.transpose(&[0, 2, 1, 3])?.reshape(&[1, TOKENS, WIDTH])?;
        let attended = project(&mixed, WIDTH, WIDTH)?;
        let (scale, shift) = (weight(&[WIDTH]), weight(&[WIDTH]));
        let normal = norm(&(x + &attended)?, &scale, &shift)?;
        let mut project = |x: &Handle, from: i64, to: i64| -> Result<Handle, Error> { x.matmul(&weight(&[from, to]))? + &weight(&[to]) };
        let hidden = project(&normal, WIDTH, 4 * WIDTH)?;
        let gate = ((&hidden / std::f64::consts::SQRT_2)?.erf()? + 1.0)?;
        let active = ((&hidden * &gate)? * 0.5)?;
        let out = project(&active, 4 * WIDTH, WIDTH)?;
        let (scale, shift) = (weight(&[WIDTH]), weight(&[WIDTH]));
        x = norm(&(normal + &out)?, &scale, &shift)?;
    }
    m.output("y", &x)?;
    Ok(m.finish())
}

/// Layer norm in pieces.
fn norm(x: &Handle, scale: &Handle, shift: &Handle) -> Result<Handle, Error> {
    let off = (x - &x.reduce_mean(&[-1])?)?;
    let variance = (&off * &off)?.reduce_mean(&[-1])?;
    let normal = (&off / &(variance + 1e-5)?.sqrt()?)?;
    (normal * scale)? + shift
}
