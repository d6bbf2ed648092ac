//! Tuning: which of the ways to do a kernel, and which rules, are fastest on this machine.
//!
//! In: a graph, options, inputs. Out: what was measured, as a [`Tuning`] that [`Options`] take, and a file that keeps it for the next time.
//! Results never depend on it. Must not know: how kernels are built.
//!
//! First the program is compiled without the rules that compute in blocks (Winograd's convolutions, Strassen's products), which save products and cost
//! motion, and timed against itself. Then all kernels are built in their first alternative, and timed where they run in the program, then in
//! their second, and so on. Kernels that were measured before, in this program or another, are left as they are known.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use frit_compiler::pipeline::{finished, program_key, rewritten};
use frit_compiler::rewrite::{Class, rules};
use frit_compiler::specialise::specialise;
use frit_ir::executable::Step;

pub use frit_compiler::schedule::tuning::Tuning;

use crate::{Error, Executable, Graph, Options, RunOptions, Session, Tensor, machine};

/// A program is run at least so often, and for at least so long; the shortest run of each kernel counts.
const LEAST_RUNS: usize = 5;
const LEAST: Duration = Duration::from_millis(150);
/// What saves no more than this part is not worth being different.
const WORTH: f64 = 0.02;
/// How often two programs are run in turn.
const TURNS: usize = 15;

/// What tuning did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Kernels that have alternatives.
    pub kernels: usize,
    /// Those that were not known before.
    pub measured: usize,
    /// Those that are built otherwise than estimated.
    pub changed: usize,
}

/// Tunes a graph for the inputs: options to compile it with, and what was found. Runs as `run` says.
///
/// # Errors
/// As [`compile`](crate::compile), [`Session::new`] and [`Session::run`]; invalid where what was kept can't be read or written.
pub fn tune(graph: &Graph, options: &Options, inputs: &[Tensor], run: &RunOptions) -> Result<(Options, Report), Vec<Error>> {
    let one = |error| vec![error];
    let place = machine::folder().map(|folder| folder.join(format!("tuning-{}.txt", machine::host_key())));
    let mut tuning = place.as_ref().map_or(Ok(Tuning::default()), kept).map_err(one)?;
    let with = |tuning: &Tuning| Options { tuning: Some(tuning.clone()), ..options.clone() };
    let program = program_key(&specialise(graph, &options.binding)?);
    if !tuning.programs.contains_key(&program) {
        let without = best_rules(graph, &with(&tuning), inputs, run)?;
        tuning.programs.insert(program, without);
    }
    let (rewritten, _) = rewritten(graph, &with(&tuning))?;
    let build = |tuning: &Tuning| finished(&rewritten, graph.states(), &with(tuning));
    let (estimated, trace) = build(&tuning)?;
    let unknown: BTreeMap<&str, usize> = trace.trials.iter().filter(|trial| !tuning.kernels.contains_key(&trial.key)).map(|trial| (trial.key.as_str(), trial.alternatives.len())).collect();
    let mut report = Report { kernels: trace.trials.len(), measured: unknown.len(), ..Report::default() };
    if !unknown.is_empty() {
        let most = unknown.values().copied().max().unwrap_or(0);
        // For each kernel its best time and alternative; what is estimated to be best wins unless it clearly loses.
        let mut best: BTreeMap<String, (f64, String)> = BTreeMap::new();
        for trial in 0..=most {
            let (executable, trace) = if trial == 0 { (estimated.clone(), trace.clone()) } else { build(&Tuning { trial, ..tuning.clone() })? };
            let kernels: BTreeMap<u32, (&str, Option<&String>)> = trace.trials.iter().filter(|known| unknown.contains_key(known.key.as_str()) && trial <= known.alternatives.len()).map(|known| (known.kernel, (known.key.as_str(), trial.checked_sub(1).map(|at| &known.alternatives[at])))).collect();
            for (kernel, ns) in times(executable, inputs, run).map_err(one)? {
                let Some((key, alternative)) = kernels.get(&kernel) else { continue };
                let name = alternative.map_or_else(String::new, |name| (*name).clone());
                match best.get(*key) {
                    Some((least, _)) if ns >= least * if best[*key].1.is_empty() { 1.0 - WORTH } else { 1.0 } => {}
                    _ => drop(best.insert((*key).to_owned(), (ns, name))),
                }
            }
        }
        let found = Tuning { kernels: best.into_iter().map(|(key, (_, name))| (key, name)).collect(), ..Tuning::default() };
        let mut tuned = tuning.clone();
        tuned.extend(found);
        // What is best for each kernel by itself need not be for all: others may find their data in other caches.
        let (after, _) = build(&tuned)?;
        if faster(&[estimated, after], inputs, run).map_err(one)? == 1 {
            tuning = tuned;
        } else {
            tuning.kernels.extend(unknown.keys().map(|key| ((*key).to_owned(), String::new())));
        }
    }
    report.changed = trace.trials.iter().filter(|trial| tuning.kernels.get(&trial.key).is_some_and(|best| !best.is_empty())).count();
    if let Some(path) = &place {
        machine::keep(path, &tuning.to_string()).map_err(|error| one(Error::invalid(format!("can't write '{}': {error}", path.display())).help("FRIT_CACHE names another folder")))?;
    }
    Ok((with(&tuning), report))
}

/// What a file keeps; nothing where there is none.
fn kept(path: &PathBuf) -> Result<Tuning, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().map_err(|error: Error| error.help(format!("'{}' is damaged; remove it", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Tuning::default()),
        Err(error) => Err(Error::invalid(format!("can't read '{}': {error}", path.display()))),
    }
}

/// The rules that a program had better go without: none, the last of those that compute in blocks, the last two, ...
fn best_rules(graph: &Graph, options: &Options, inputs: &[Tensor], run: &RunOptions) -> Result<Vec<String>, Vec<Error>> {
    let blocked: Vec<String> = rules().filter(|rule| rule.class == Class::Blocked && !options.rewrite.without.contains(rule.name)).map(|rule| rule.name.to_owned()).collect();
    let mut programs: Vec<Executable> = Vec::new();
    let mut left_out: Vec<Vec<String>> = Vec::new();
    let mut graphs: Vec<Graph> = Vec::new();
    for first in (0..=blocked.len()).rev() {
        let without = blocked[first..].to_vec();
        let mut options = options.clone();
        options.rewrite.without.extend(without.iter().cloned());
        let (graph_now, _) = rewritten(graph, &options)?;
        if graphs.last() != Some(&graph_now) {
            programs.push(finished(&graph_now, graph.states(), &options)?.0);
            left_out.push(without);
            graphs.push(graph_now);
        }
    }
    let best = faster(&programs, inputs, run).map_err(|error| vec![error])?;
    Ok(left_out.swap_remove(best))
}

/// Nanoseconds of each kernel, all its launches together, in the shortest runs.
fn times(executable: Executable, inputs: &[Tensor], run: &RunOptions) -> Result<BTreeMap<u32, f64>, Error> {
    let session = Session::new(executable, run)?;
    let kernels: Vec<Option<u32>> = session.executable().leaves().iter().map(|step| if let Step::Launch { kernel, .. } = step { Some(*kernel) } else { None }).collect();
    let mut least = vec![u64::MAX; kernels.len()];
    let begin = Instant::now();
    let mut runs = 0;
    while runs < LEAST_RUNS || begin.elapsed() < LEAST {
        for timing in session.run_profiled(inputs)?.1 {
            least[timing.step] = least[timing.step].min(timing.ns);
        }
        runs += 1;
    }
    let mut times = BTreeMap::new();
    for (kernel, ns) in kernels.iter().zip(least) {
        if let Some(kernel) = kernel {
            *times.entry(*kernel).or_insert(0.0) += ns as f64;
        }
    }
    Ok(times)
}

/// Which program is fastest; the first, unless another clearly is. They run in turn.
fn faster(programs: &[Executable], inputs: &[Tensor], run: &RunOptions) -> Result<usize, Error> {
    let sessions = programs.iter().map(|executable| Session::new(executable.clone(), run)).collect::<Result<Vec<_>, _>>()?;
    let mut times = vec![Vec::new(); sessions.len()];
    if sessions.len() > 1 {
        for _ in 0..TURNS {
            for (session, times) in sessions.iter().zip(&mut times) {
                let start = Instant::now();
                session.run(inputs)?;
                times.push(start.elapsed());
            }
        }
    }
    let medians: Vec<f64> = times
        .into_iter()
        .map(|mut times| {
            times.sort_unstable();
            times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
        })
        .collect();
    let mut best = 0;
    for (at, median) in medians.iter().enumerate() {
        if *median < medians[best] * if best == 0 { 1.0 - WORTH / 2.0 } else { 1.0 } {
            best = at;
        }
    }
    Ok(best)
}
