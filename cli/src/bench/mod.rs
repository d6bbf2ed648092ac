//! `frit bench`: how long a model takes, kernel by kernel, and beside what.

mod engines;
mod roofline;
mod rows;
mod trace;
mod turns;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use frit::verify::{self, Comparison};
use frit::{Error, Options, RunOptions, Session, Tensor, Timing};
use serde_json::{Value, json};

use self::engines::Running;
use self::rows::{Roofs, milliseconds};
use self::turns::{Timed, called};
use crate::args::{Bench, Compare, Precision};
use crate::model::Ready;
use crate::{memory, model, tell};

/// Runs of each program that are timed step by step; the least time of each step counts.
const PROFILED: usize = 10;

/// Runs that are traced.
const TRACED: usize = 3;

/// Rows of a table.
const ROWS: usize = 20;

/// Another program of the same model.
struct Other {
    /// What is different.
    name: &'static str,
    session: Session,
}

/// Times a model.
pub(crate) fn bench(args: &Bench) -> Result<(), Vec<Error>> {
    let one = |error| vec![error];
    let ready = model::ready(&args.model, &args.inputs, &args.on.device, args.threads, false, args.tune)?;
    let inputs = model::inputs(&ready, 0)?;
    let session = &ready.session;
    let executable = session.executable();
    if args.trace.is_some() && session.gpu().is_some() {
        return Err(one(Error::unsupported("a GPU's threads are not traced").help("leave --trace out, or --device")));
    }
    if args.html.is_some() && session.gpu().is_some() {
        return Err(one(Error::unsupported("what a GPU could do is not measured").help("leave --html out, or --device")));
    }

    // The first run checks an artifact's constants and touches every page; outputs are compared before anything is timed.
    let outputs = tell::busy("running", || session.run(&inputs)).map_err(one)?;
    let others = others(args, &ready)?;
    let part = verify::part(ready.options.precision);
    let mut off = BTreeMap::new();
    for other in &others {
        let made = tell::busy("running", || other.session.run(&inputs)).map_err(one)?;
        off.insert(other.name.to_owned(), differ(session, &outputs, &made, other.name, part)?);
    }
    let mut engines = Vec::new();
    for (_, engine) in args.against.iter().enumerate().filter(|(at, engine)| !args.against[..*at].contains(engine)) {
        if ready.graph.is_none() {
            return Err(one(Error::invalid("other engines can't run an artifact").help("give the model that it was compiled from")));
        }
        let engine = tell::busy("starting another engine", || Running::start(*engine, &args.model.model, session, &inputs)).map_err(one)?;
        off.insert(engine.title(), differ(session, &outputs, &engine.outputs, &engine.title(), part)?);
        engines.push(RefCell::new(engine));
    }

    let ours = |session: &'_ Session| session.run(&inputs).map(drop);
    let mut timed = vec![Timed::new("frit", called(|| ours(session)))];
    timed.extend(others.iter().map(|other| Timed::new(other.name, called(|| ours(&other.session)))));
    timed.extend(engines.iter().map(|engine| Timed::new(&engine.borrow().title(), Box::new(|runs, enough| engine.borrow_mut().time(runs, enough)))));
    tell::busy("running", || turns::time(&mut timed, args.runs)).map_err(one)?;
    let memory = memory::peak();

    let runs = timed[0].times.len();
    let mut profiles: Vec<Vec<Timing>> = vec![Vec::new(); 1 + others.len()];
    for _ in 0..PROFILED.min(runs) {
        for (session, best) in std::iter::once(session).chain(others.iter().map(|other| &other.session)).zip(&mut profiles) {
            let (_, timings) = session.run_profiled(&inputs).map_err(one)?;
            *best = if best.is_empty() { timings } else { best.iter().zip(timings).map(|(a, b)| if a.ns <= b.ns { *a } else { b }).collect() };
        }
    }
    let rows = rows::rows(executable, &profiles[0]);
    let other_rows: Vec<_> = others.iter().zip(&profiles[1..]).map(|(other, times)| rows::rows(other.session.executable(), times)).collect();
    let pairs: Vec<_> = other_rows.iter().map(|others| rows::pairs(&rows, others)).collect();
    let device = session.device_times(&inputs, runs).map_err(one)?.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2] as f64 / 1e6
    });
    // What a GPU could do is not measured.
    let roofs = device.is_none().then(|| tell::busy("measuring the machine", || Roofs::measured(session.threads())));
    let (median, least) = (timed[0].median(), timed[0].least());
    let gflops = rows.iter().map(|row| row.flops).sum::<u64>() as f64 / device.unwrap_or(median) / 1e6;

    if let Some(path) = &args.trace {
        write(path, &format!("{}\n", traced(args, session, &inputs, &rows).map_err(one)?))?;
    }
    if let (Some(path), Some(roofs)) = (&args.html, &roofs) {
        let ops = ready.graph.as_ref().map(|graph| roofline::ops(graph)).unwrap_or_default();
        let about = roofline::About { model: &args.model.model.display().to_string(), median, threads: session.threads() };
        write(path, &roofline::page(&about, &rows, roofs, &ops))?;
    }
    if let Some(path) = &args.json {
        let beside = |timed: &Timed<'_>| json!({ "name": timed.name, "median_ms": timed.median(), "min_ms": timed.least(), "runs": timed.times.len(), "times": timed.median() / median, "off": off.get(&timed.name) });
        let mut compared: Vec<Value> = timed[1..].iter().map(beside).collect();
        compared.iter_mut().zip(&pairs).for_each(|(compared, pairs)| compared["kernels"] = rows::pairs_json(pairs));
        let mut order: Vec<_> = rows.iter().collect();
        order.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        let report = json!({
            "model": args.model.model, "device": session.gpu().unwrap_or("cpu"), "device_ms": device, "threads": session.threads(), "median_ms": median, "min_ms": least, "runs": runs,
            "compile_ms": ready.compile.as_secs_f64() * 1e3, "load_ms": ready.load.as_secs_f64() * 1e3,
            "arena_bytes": executable.arena_bytes, "constant_bytes": executable.constant_bytes(), "code_bytes": executable.code.len(), "peak_rss_bytes": memory,
            "peak_gflops": roofs.as_ref().map(|roofs| roofs.gflops), "peak_vectors": roofs.as_ref().map(|roofs| roofs.vectors), "roofs": roofs.as_ref().map(Roofs::json), "gflops": gflops,
            "kernels": order.iter().map(|row| row.json(roofs.as_ref())).collect::<Vec<_>>(), "beside": compared,
        });
        if path.as_os_str() == "-" {
            tell::print(&format!("{report:#}"));
            return Ok(());
        }
        write(path, &format!("{report:#}\n"))?;
    }

    tell::print(&rows::table(&rows, ROWS, roofs.as_ref()));
    for (other, pairs) in others.iter().zip(&pairs) {
        tell::print(&format!("\nbeside {}, by what does the same work", other.name));
        tell::print(&rows::pairs_table(pairs, ROWS, other.name));
    }
    if timed.len() > 1 {
        tell::print("\nin turn, on the same inputs");
        let cells = timed.iter().map(|timed| vec![timed.name.clone(), milliseconds(timed.median()), milliseconds(timed.least()), timed.times.len().to_string(), format!("{:.2}", timed.median() / median), off.get(&timed.name).map(|off| format!("{off:.1e}")).unwrap_or_default()]);
        tell::print(&tell::table(&["program", ">median ms", ">least", ">runs", ">times frit's", ">outputs off by"], cells));
    }
    let place = match (session.gpu(), device) {
        (Some(name), Some(ms)) => format!("on {name}, {ms:.3} ms without copies to and from it"),
        _ => format!("on {} threads", session.threads()),
    };
    let limits = roofs.as_ref().map(|roofs| {
        let levels: Vec<String> = roofs.levels.iter().map(|level| format!("{} {:.0}", level.name, level.gbps)).collect();
        format!(" of {:.0} that this machine reaches; it reads {} GB/s", roofs.gflops, levels.join(", "))
    });
    tell::print(&format!(
        "\nmedian {} ms, least {} ms of {runs} runs {place}\n{gflops:.1} GFLOP/s{}\ncompiled in {:.1} ms, loaded in {:.1} ms\narena {}, constants {}, code {}{}",
        milliseconds(median), milliseconds(least), limits.unwrap_or_default(), ready.compile.as_secs_f64() * 1e3, ready.load.as_secs_f64() * 1e3,
        tell::bytes(executable.arena_bytes), tell::bytes(executable.constant_bytes()), tell::bytes(executable.code.len() as u64),
        memory.map(|bytes| format!(", peak memory {}", tell::bytes(bytes))).unwrap_or_default(),
    ));
    for path in args.html.iter().chain(&args.trace) {
        tell::line(&format!("wrote '{}'", path.display()));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Vec<Error>> {
    frit::artifact::replace(path, |mut file| file.write_all(text.as_bytes())).map_err(|error| vec![error])
}

/// The other programs that are asked for.
fn others(args: &Bench, ready: &Ready) -> Result<Vec<Other>, Vec<Error>> {
    let mut wanted: Vec<(&'static str, Options)> = Vec::new();
    match args.compare {
        Some(Compare::Unfused) => wanted.push(("unfused", Options { fusion: false, ..ready.options.clone() })),
        Some(Compare::F32) if args.model.precision == Precision::F32 => return Err(vec![Error::invalid("a program in f32 would be compared with itself").help("give --precision as well")]),
        Some(Compare::F32) => wanted.push(("f32", Options { precision: frit::Precision::F32, ..ready.options.clone() })),
        None => {}
    }
    if !args.model.without_rule.is_empty() {
        let mut options = ready.options.clone();
        options.rewrite.without.clear();
        wanted.push(("all rules", options));
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let graph = ready.graph.as_ref().ok_or_else(|| vec![Error::invalid("an artifact can't be compiled in another way").help("give the model that it was compiled from")])?;
    let other = |(name, options): (&'static str, Options)| {
        let executable = tell::busy("compiling", || frit::compile(graph, &options))?;
        let session = Session::new(executable, &RunOptions { threads: ready.threads.clone() }).map_err(|error| vec![error])?;
        Ok(Other { name, session })
    };
    wanted.into_iter().map(other).collect()
}

/// How far another program's outputs are off at most.
///
/// # Errors
/// Invalid where they differ by more than rounding explains: a wrong answer has no time.
fn differ(session: &Session, outputs: &[Tensor], others: &[Tensor], name: &str, part: f64) -> Result<f64, Vec<Error>> {
    let comparisons = session.outputs().iter().zip(outputs.iter().zip(others)).map(|(port, (output, other))| Comparison::of(&port.name, output, other, part));
    let mut most = 0f64;
    let mut errors = Vec::new();
    for comparison in comparisons {
        most = most.max(comparison.off);
        if !comparison.fits {
            let what = format!("output '{}' of frit and of '{name}' differ by {:.3e}, where its largest element is {:.3e}", comparison.name, comparison.off, comparison.largest);
            errors.push(Error::invalid(what).help("inputs that were drawn may be none that the model is for: give some with --inputs; `frit verify` compares with the reference interpreter"));
        }
    }
    if errors.is_empty() { Ok(most) } else { Err(errors) }
}

/// A trace of some runs.
fn traced(args: &Bench, session: &Session, inputs: &[Tensor], rows: &[rows::Row<'_>]) -> Result<Value, Error> {
    // One run before them wakes the threads.
    session.run(inputs)?;
    let begin = Instant::now();
    let mut runs = Vec::new();
    for _ in 0..TRACED {
        let begun = begin.elapsed().as_nanos() as u64;
        runs.push((begun, session.run_traced(inputs)?.1));
    }
    Ok(trace::events(&args.model.model.display().to_string(), session.threads(), &runs, rows))
}
