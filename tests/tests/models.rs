//! Real models and the zoo on the CPU device, against ONNX Runtime's outputs.
//!
//! `cargo test --release --test models -- TEXT` takes the models whose name holds TEXT. Prints a table; fails with a list.
//! `kernel_counts.txt` says how many kernels each model launches; `BLESS=1` rewrites it when all models run, except in CI.
#![allow(clippy::print_stdout, reason = "a test that prints a table")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use frit_compiler::rewrite::{Class, Options, Report, rules};
use frit_ir::ops::Tolerance;
use frit_ir::{Graph, Scalar, Tensor};
use frit_runtime::Threads;
use frit_tests::compare::difference;
use frit_tests::data::{self, Model};
use frit_tests::device::{self, Imported, Inputs, Outcome};
use frit_tests::npz;

/// What a model's floats may differ by.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-4, relative: 1e-3 };

/// The largest difference between the floats of two tensors of one type.
fn largest(got: &Tensor, expected: &Tensor) -> f64 {
    got.scalars().zip(expected.scalars()).map(|(a, b)| (a.as_f64() - b.as_f64()).abs()).filter(|error| !error.is_nan()).fold(0.0, f64::max)
}

fn oracle(model: &Model, end: &str) -> Result<Vec<(String, Tensor)>, String> {
    npz::read(&model.oracle.with_file_name(format!("{}{end}", model.oracle.file_name().unwrap_or_default().to_string_lossy())))
}

/// Compares outputs with the oracle's; the largest difference.
fn compare(outputs: &[(String, Tensor)], expected: &[(String, Tensor)]) -> Result<f64, String> {
    if outputs.len() != expected.len() {
        return Err(format!("{} outputs instead of {}", outputs.len(), expected.len()));
    }
    let mut error = 0.0f64;
    for (name, tensor) in expected {
        let (_, got) = outputs.iter().find(|(given, _)| given == name).ok_or_else(|| format!("output '{name}' is missing"))?;
        if let Some(why) = difference(got, tensor, TOLERANCE) {
            return Err(format!("output '{name}': {why}"));
        }
        error = error.max(largest(got, tensor));
    }
    Ok(error)
}

/// Runs a model and compares its outputs; the largest difference. The other classes of rules are then used too: exact
/// ones must leave every bit as it is without any, and all must keep to the tolerance.
fn check(model: &Model, threads: &Threads) -> Result<(Outcome, f64), String> {
    let inputs = oracle(model, ".in.npz")?;
    let expected = oracle(model, ".out.npz")?;
    let start = Instant::now();
    let imported = Imported::new(&model.path, &Inputs::Named(&inputs))?;
    let outcome = imported.run(&imported.graph, &Options::default(), threads, start)?;
    let error = compare(&outcome.outputs, &expected)?;

    // What the largest class in use did not change is as it was: such programs are not compiled again.
    let uses = |report: &Report, class: Class| rules().any(|rule| rule.class == class && report.rules.iter().any(|(name, ..)| *name == rule.name));
    let rewritten = |numerics: Class| imported.rewritten(&Options { numerics: Some(numerics), ..Options::default() });
    let run = |graph: &Graph| imported.run(graph, &Options::none(), threads, Instant::now()).map(|outcome| outcome.outputs);
    let (finite, report) = rewritten(Class::Finite)?;
    if uses(&report, Class::Finite) {
        compare(&run(&finite)?, &expected).map_err(|why| format!("with finite rules: {why}"))?;
    }
    drop(finite);
    let (exact, report) = rewritten(Class::Exact)?;
    if uses(&report, Class::Exact) {
        let with = run(&exact)?;
        drop(exact);
        compare(&with, &expected).map_err(|why| format!("with exact rules: {why}"))?;
        for ((name, with), (_, without)) in with.iter().zip(&run(&imported.graph)?) {
            if let Some(why) = changed(with, without) {
                return Err(format!("exact rules change output '{name}': {why}"));
            }
        }
    }
    Ok((outcome, error))
}

/// The first element whose bits differ, but for those of NaN.
fn changed(with: &Tensor, without: &Tensor) -> Option<String> {
    let same = |a: Scalar, b: Scalar| a == b || (a.as_f64().is_nan() && b.as_f64().is_nan());
    if with.ty() != without.ty() || with.strings() != without.strings() {
        return Some(format!("{with:?} instead of {without:?}"));
    }
    let count = with.scalars().zip(without.scalars()).filter(|(a, b)| !same(*a, *b)).count();
    let (at, (a, b)) = with.scalars().zip(without.scalars()).enumerate().find(|(_, (a, b))| !same(*a, *b))?;
    Some(format!("{count} of {} elements; number {at} is {a:?} instead of {b:?}", with.elems()))
}

fn all(text: &str) -> Result<ExitCode, String> {
    let models = data::models(&data::folder()?)?;
    let chosen: Vec<&Model> = models.iter().filter(|model| model.name.contains(text)).collect();
    if chosen.is_empty() {
        return Err(format!("no model's name holds '{text}'"));
    }
    let threads = Threads::all().map_err(|error| error.to_string())?;
    println!("{:48} {:>7} {:>8} {:>11} {:>9} {:>10} {:>8}", "model", "kernels", "launches", "interpreted", "error", "compile ms", "run ms");
    let mut failures = Vec::new();
    let mut counts = BTreeMap::new();
    let mut alone = 0;
    for model in &chosen {
        match device::caught(|| check(model, &threads)) {
            Ok((outcome, error)) => {
                alone += usize::from(outcome.interpreted == 0);
                let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
                counts.insert(model.name.clone(), outcome.launches);
                println!(
                    "{:48} {:>7} {:>8} {:>11} {:>9.1e} {:>10.0} {:>8.1}",
                    model.name, outcome.kernels, outcome.launches, outcome.interpreted, error, ms(outcome.compile), ms(outcome.run)
                );
            }
            Err(why) => {
                println!("{:48} FAILED", model.name);
                failures.push(format!("{}: {why}", model.name));
            }
        }
    }
    let wrong = failures.len();
    // The list is the CPU's.
    if !device::target().is_cuda() {
        failures.extend(differing(&counts, text.is_empty())?);
    }
    for failure in &failures {
        println!("FAILED {failure}");
    }
    println!("models: {} passed, {alone} of them by compiled kernels alone; {} failed", chosen.len() - wrong, failures.len());
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The models whose number of launches is not the one in the list, which `BLESS=1` rewrites if these are all models.
fn differing(counts: &BTreeMap<String, usize>, all: bool) -> Result<Vec<String>, String> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernel_counts.txt");
    let complaint = |error: std::io::Error| format!("{}: {error}", list.display());
    if all && std::env::var("BLESS").is_ok_and(|bless| bless == "1") && std::env::var_os("CI").is_none() {
        let lines: String = counts.iter().map(|(name, count)| format!("{name}\t{count}\n")).collect();
        std::fs::write(&list, lines).map_err(complaint)?;
        return Ok(Vec::new());
    }
    let listed = std::fs::read_to_string(&list).map_err(complaint)?;
    let listed: BTreeMap<&str, &str> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let known = |name: &str| listed.get(name).copied().unwrap_or("no number");
    Ok(counts.iter().filter(|(name, count)| known(name) != count.to_string()).map(|(name, count)| format!("{name}: {count} launches, but tests/kernel_counts.txt says {}", known(name))).collect())
}

fn main() -> ExitCode {
    let text = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    all(&text).unwrap_or_else(|why| {
        println!("error: {why}");
        ExitCode::FAILURE
    })
}
