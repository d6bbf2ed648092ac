//! `frit bench`.

use std::io::Write;
use std::time::{Duration, Instant};

use frit::{Error, Timing};
use frit_ir::executable::{Executable, Step};
use serde_json::{Value, json};

use crate::args::Bench;
use crate::{memory, model, tell};

/// How long runs are repeated where their number is not given.
const ENOUGH: Duration = Duration::from_secs(1);

/// Runs that are timed step by step.
const PROFILED: usize = 5;

/// Rows of the table.
const ROWS: usize = 20;

/// What a step took and what it did.
struct Row<'e> {
    name: &'e str,
    sources: &'e [String],
    rules: &'e [String],
    placement: &'static str,
    why: Option<&'e str>,
    ms: f64,
    flops: u64,
    bytes: u64,
}

impl<'e> Row<'e> {
    fn new(executable: &'e Executable, step: &'e Step, timing: Timing) -> Option<Self> {
        let ms = timing.ns as f64 / 1e6;
        match step {
            Step::Launch { kernel, sources, rules, .. } => {
                let code = &executable.kernels[*kernel as usize];
                Some(Row { name: &code.name, sources, rules, placement: "compiled", why: None, ms, flops: code.flops * timing.calls, bytes: code.bytes * timing.calls })
            }
            Step::Interpret { sources, why, .. } => Some(Row { name: "interpreted", sources, rules: &[], placement: "interpreted", why: Some(why), ms, flops: 0, bytes: 0 }),
            Step::Copy { .. } => Some(Row { name: "copy", sources: &[], rules: &[], placement: "run time", why: None, ms, flops: 0, bytes: 0 }),
            Step::If { .. } | Step::Loop { .. } => None,
        }
    }

    /// Units of a thousand million per second.
    fn rate(&self, count: u64) -> f64 {
        if self.ms > 0.0 { count as f64 / self.ms / 1e6 } else { 0.0 }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "source_nodes": self.sources, "rules": self.rules, "ms": self.ms, "flops": self.flops, "bytes": self.bytes,
            "gflops": self.rate(self.flops), "gbps": self.rate(self.bytes), "placement": self.placement, "why": self.why,
        })
    }
}

/// Times a model.
pub(crate) fn bench(args: &Bench) -> Result<(), Vec<Error>> {
    let one = |error| vec![error];
    let ready = model::ready(&args.model, &args.inputs, &args.on.device, args.threads, false)?;
    let inputs = model::inputs(&ready, 0)?;
    let session = &ready.session;
    let executable = session.executable();

    // The first run checks an artifact's constants and touches every page.
    let mut times = Vec::new();
    tell::busy("running", || -> Result<(), Error> {
        session.run(&inputs)?;
        let start = Instant::now();
        while args.runs.map_or_else(|| times.len() < 3 || start.elapsed() < ENOUGH, |runs| times.len() < runs.max(1)) {
            let start = Instant::now();
            session.run(&inputs)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(())
    })
    .map_err(one)?;
    times.sort_by(f64::total_cmp);
    let (least, median) = (times[0], times[times.len() / 2]);

    let memory = memory::peak();
    let mut best: Vec<Timing> = Vec::new();
    for _ in 0..PROFILED.min(times.len()) {
        let (_, timings) = session.run_profiled(&inputs).map_err(one)?;
        best = if best.is_empty() { timings } else { best.iter().zip(timings).map(|(a, b)| if a.ns <= b.ns { *a } else { b }).collect() };
    }
    let mut rows: Vec<Row<'_>> = executable.leaves().into_iter().zip(&best).filter_map(|(step, timing)| Row::new(executable, step, *timing)).collect();
    rows.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let device = session.device_times(&inputs, times.len()).map_err(one)?.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2] as f64 / 1e6
    });
    // What a GPU could do is not measured.
    let peak = device.is_none().then(|| tell::busy("measuring the machine", || frit_runtime::peak::gflops(session.threads())));
    let flops: u64 = rows.iter().map(|row| row.flops).sum();

    if let Some(path) = &args.json {
        let report = json!({
            "model": args.model.model, "device": session.gpu().unwrap_or("cpu"), "device_ms": device, "threads": session.threads(), "median_ms": median, "min_ms": least, "runs": times.len(),
            "compile_ms": ready.compile.as_secs_f64() * 1e3, "load_ms": ready.load.as_secs_f64() * 1e3,
            "arena_bytes": executable.arena_bytes, "constant_bytes": executable.constant_bytes(), "code_bytes": executable.code.len(), "peak_rss_bytes": memory,
            "peak_gflops": peak, "gflops": flops as f64 / device.unwrap_or(median) / 1e6, "kernels": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        let text = format!("{report:#}\n");
        if path.as_os_str() == "-" {
            tell::print(&text);
            return Ok(());
        }
        frit::artifact::replace(path, |mut file| file.write_all(text.as_bytes())).map_err(one)?;
    }
    let total: f64 = rows.iter().map(|row| row.ms).sum();
    let cells = rows.iter().take(ROWS).map(|row| {
        let rate = |count: u64| if count > 0 { format!("{:.1}", row.rate(count)) } else { String::new() };
        vec![row.name.to_owned(), tell::brief(row.sources), format!("{:.3}", row.ms), format!("{:.0} %", row.ms / total * 100.0), rate(row.flops), rate(row.bytes)]
    });
    tell::print(&tell::table(&["kernel", "source nodes", ">ms", ">part", ">GFLOP/s", ">GB/s"], cells));
    if rows.len() > ROWS {
        tell::print(&format!("and {} more steps", rows.len() - ROWS));
    }
    let place = match (session.gpu(), device) {
        (Some(name), Some(ms)) => format!("on {name}, {ms:.3} ms without copies to and from it"),
        _ => format!("on {} threads", session.threads()),
    };
    tell::print(&format!(
        "median {median:.3} ms, least {least:.3} ms of {} runs {place}\n{:.1} GFLOP/s{}; compiled in {:.1} ms, loaded in {:.1} ms\narena {}, constants {}, code {}{}",
        times.len(), flops as f64 / device.unwrap_or(median) / 1e6, peak.map(|peak| format!(" of {peak:.0} that this machine reached")).unwrap_or_default(), ready.compile.as_secs_f64() * 1e3, ready.load.as_secs_f64() * 1e3,
        tell::bytes(executable.arena_bytes), tell::bytes(executable.constant_bytes()), tell::bytes(executable.code.len() as u64),
        memory.map(|bytes| format!(", peak memory {}", tell::bytes(bytes))).unwrap_or_default(),
    ));
    Ok(())
}
