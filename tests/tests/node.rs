//! ONNX's own node tests on the CPU device.
//!
//! `node_failures.txt` beside this folder names the cases that fail, with the reason; a case that starts to fail or to
//! pass without the list's changing fails the run. `BLESS=1` rewrites the list, except in CI.
//! `cargo test --release --test node -- TEXT` takes the cases whose name holds TEXT and leaves the list alone.
#![allow(clippy::print_stdout, reason = "a test that prints a count")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use frit_runtime::Threads;
use frit_tests::compare::difference;
use frit_tests::data;
use frit_tests::device::{self, Inputs};
use frit_tests::node_cases::{Case, TOLERANCE, cases};

/// Reasons are cut to so many characters.
const REASON: usize = 160;

/// Runs a case's data sets; does the reference interpreter do a part of it?
fn check(case: &Case) -> Result<bool, String> {
    let mut interpreted = false;
    let sets = case.data_sets().map_err(|error| error.to_string())?;
    if sets.is_empty() {
        return Err("the case has no data set".to_owned());
    }
    for (inputs, outputs) in sets {
        let outcome = device::run(&case.folder.join("model.onnx"), &Inputs::Ordered(&inputs), &Threads::one())?;
        interpreted |= outcome.interpreted > 0;
        if outcome.outputs.len() != outputs.len() {
            return Err(format!("{} outputs instead of {}", outcome.outputs.len(), outputs.len()));
        }
        for ((name, got), expected) in outcome.outputs.iter().zip(&outputs) {
            if let Some(why) = difference(got, expected, TOLERANCE) {
                return Err(format!("output '{name}': {why}"));
            }
        }
    }
    Ok(interpreted)
}

/// The reason as the list keeps it: one line, without this machine's paths.
fn reason(why: &str, case: &Case) -> String {
    let folder = format!("{}/", case.folder.display());
    why.replace(&folder, "").replace(['\n', '\t'], " ").chars().take(REASON).collect()
}

/// Runs cases on all cores; the results in their order.
fn run(cases: &[Case]) -> Vec<Result<bool, String>> {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, Result<bool, String>)> = std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            while let Some((at, case)) = { let at = next.fetch_add(1, Ordering::Relaxed); cases.get(at).map(|case| (at, case)) } {
                mine.push((at, device::caught(|| check(case)).map_err(|why| reason(&why, case))));
            }
            mine
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("workers catch panics")).collect()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn known(list: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(list).map_err(|error| format!("{}: {error}", list.display()))?;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').map(|(name, why)| (name.to_owned(), why.to_owned())).ok_or_else(|| format!("{}: no tab in '{line}'", list.display())))
        .collect()
}

fn all(text: &str) -> Result<ExitCode, String> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_failures.txt");
    let mut cases = cases(&data::folder()?.join("node")).map_err(|error| error.to_string())?;
    cases.retain(|case| case.name.contains(text));
    if cases.is_empty() {
        return Err(format!("no case's name holds '{text}'"));
    }
    std::panic::set_hook(Box::new(|_| {}));
    let results = run(&cases);
    let _ = std::panic::take_hook();

    let failing: BTreeMap<&str, &str> = cases.iter().zip(&results).filter_map(|(case, result)| Some((case.name.as_str(), result.as_ref().err()?.as_str()))).collect();
    let by = |interpreted: bool| results.iter().filter(|result| **result == Ok(interpreted)).count();
    let summary = format!("passed by compiled kernels alone: {}, passed with some op in the interpreter: {}, failed: {}", by(false), by(true), failing.len());

    if !text.is_empty() {
        for (name, why) in &failing {
            println!("FAILED {name}: {why}");
        }
        println!("node tests: {summary}");
        return Ok(if failing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if std::env::var_os("BLESS").is_some() {
        if std::env::var("CI").is_ok_and(|ci| ci == "true") {
            return Err("BLESS is refused in CI".to_owned());
        }
        let head = "# ONNX node tests that fail, and why. Written by BLESS=1 cargo test --release -p frit-tests --test node\n";
        let lines: String = failing.iter().map(|(name, why)| format!("{name}\t{why}\n")).collect();
        std::fs::write(&list, format!("{head}{lines}")).map_err(|error| format!("{}: {error}", list.display()))?;
        println!("node tests: {summary}; the list is written");
        return Ok(ExitCode::SUCCESS);
    }
    let known = known(&list)?;
    let broken: Vec<_> = failing.iter().filter(|(name, _)| !known.contains_key(**name)).collect();
    let mended: Vec<_> = known.keys().filter(|name| !failing.contains_key(name.as_str())).collect();
    for (name, why) in &broken {
        println!("FAILED {name}: {why}");
    }
    for name in &mended {
        println!("PASSES {name}, though tests/node_failures.txt lists it");
    }
    println!("node tests: {summary}; {} of the failures are not listed, {} listed ones pass", broken.len(), mended.len());
    if broken.is_empty() && mended.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("help: mend what is broken; if the change is right, BLESS=1 cargo test --release -p frit-tests --test node");
    Ok(ExitCode::FAILURE)
}

fn main() -> ExitCode {
    let text = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    all(&text).unwrap_or_else(|why| {
        println!("error: {why}");
        ExitCode::FAILURE
    })
}
