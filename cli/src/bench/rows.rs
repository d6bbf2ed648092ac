//! What each step of a program takes, and how near that is to what the machine could do.
//!
//! In: a program, the times of its steps, the machine's measured limits. Out: [`Row`]s. Must not know: how anything was measured.

use std::collections::BTreeMap;

use frit::{Executable, Timing};
use frit_compiler::lower::target;
use frit_ir::DType;
use frit_ir::executable::Step;
use frit_ir::vector::Instructions;
use serde_json::{Value, json};

use crate::tell;

/// Where bytes come from, and how fast.
pub(super) struct Level {
    pub name: &'static str,
    /// What it holds of one thread's; everything, for memory.
    pub bytes: u64,
    /// GB/s of all threads that only read.
    pub gbps: f64,
    /// And of such that write as much as they read, both counted.
    pub copy_gbps: f64,
}

/// What the machine reaches with so many threads.
pub(super) struct Roofs {
    pub threads: usize,
    pub gflops: f64,
    /// Operations of one vector of multiply-adds.
    pub vector: u64,
    /// Vector instructions in a nanosecond.
    pub vectors: f64,
    /// The nearest first.
    pub levels: Vec<Level>,
}

impl Roofs {
    /// Measures them; takes some 500 ms.
    pub(super) fn measured(threads: usize) -> Self {
        let sizes = target::host().cache;
        let names = ["L1", "L2", "L3"];
        // The last cache, and memory, are shared by the threads; half of a cache leaves room for others.
        let share = |at: usize, bytes: u64| if at == 2 { bytes / threads as u64 } else { bytes };
        let level = |name, bytes, moved: u64| Level { name, bytes, gbps: frit_runtime::peak::bandwidth(threads, moved as usize), copy_gbps: frit_runtime::peak::copying(threads, moved as usize) };
        let mut levels: Vec<Level> = sizes.iter().enumerate().map(|(at, bytes)| level(names[at], share(at, *bytes), share(at, *bytes) / 2)).collect();
        levels.push(level("memory", u64::MAX, share(2, sizes[2] * 8)));
        Self { threads, gflops: frit_runtime::peak::gflops(threads), vector: 2 * u64::from(target::host().lanes(DType::F32)), vectors: frit_runtime::peak::vectors(threads), levels }
    }

    /// The level that holds so many bytes, dealt out to all threads.
    fn level(&self, bytes: u64) -> &Level {
        let each = bytes / self.threads as u64;
        self.levels.iter().find(|level| each <= level.bytes).unwrap_or(&self.levels[self.levels.len() - 1])
    }

    /// The least milliseconds that so much can take if each byte moves once, and what limits it. `written` of the bytes are written, and
    /// the machine writes no faster than it does beside reading as much.
    fn least(&self, flops: u64, instructions: Instructions, bytes: u64, written: u64) -> (f64, &'static str) {
        let level = self.level(bytes);
        let products = flops.max(instructions.products * self.vector) as f64 / self.gflops / 1e6;
        let (compute, move_) = (products.max(instructions.all as f64 / self.vectors / 1e6), (bytes as f64 / level.gbps).max(2.0 * written.min(bytes - written) as f64 / level.copy_gbps) / 1e6);
        if compute >= move_ { (compute, "compute") } else { (move_, level.name) }
    }

    pub(super) fn json(&self) -> Value {
        self.levels.iter().map(|level| json!({ "name": level.name, "bytes": Some(level.bytes).filter(|bytes| *bytes < u64::MAX), "gbps": level.gbps, "copy_gbps": level.copy_gbps })).collect()
    }
}

/// What a step took and what it did.
pub(super) struct Row<'e> {
    /// Its number in [`Executable::leaves`].
    pub leaf: usize,
    pub name: &'e str,
    pub sources: &'e [String],
    pub rules: &'e [String],
    pub placement: &'static str,
    pub why: Option<&'e str>,
    pub ms: f64,
    pub calls: u64,
    /// Of all calls.
    pub flops: u64,
    pub bytes: u64,
    /// Of the bytes, those that are written.
    pub written: u64,
    /// Of one call.
    pub instructions: Instructions,
}

impl<'e> Row<'e> {
    fn new(executable: &'e Executable, leaf: usize, step: &'e Step, timing: Timing) -> Option<Self> {
        let (ms, calls) = (timing.ns as f64 / 1e6, timing.calls);
        let plain = |name, placement| Row { leaf, name, sources: &[], rules: &[], placement, why: None, ms, calls, flops: 0, bytes: 0, written: 0, instructions: Instructions::default() };
        match step {
            Step::Launch { kernel, sources, rules, .. } => {
                let code = &executable.kernels[*kernel as usize];
                let written = code.params.iter().filter(|param| param.written).map(|param| param.elems * param.dtype.size() as u64).sum::<u64>().min(code.bytes);
                Some(Row { sources, rules, flops: code.flops * calls, bytes: code.bytes * calls, written: written * calls, instructions: code.instructions, ..plain(&code.name, "compiled") })
            }
            Step::Interpret { sources, why, .. } => Some(Row { sources, why: Some(why), ..plain("interpreted", "interpreted") }),
            Step::Copy { .. } => Some(plain("copy", "run time")),
            Step::If { .. } | Step::Loop { .. } => None,
        }
    }

    /// Units of a thousand million per second.
    pub(super) fn rate(&self, count: u64) -> f64 {
        if self.ms > 0.0 { count as f64 / self.ms / 1e6 } else { 0.0 }
    }

    /// Floating-point operations for each byte that moves at least.
    pub(super) fn intensity(&self) -> f64 {
        if self.bytes > 0 { self.flops as f64 / self.bytes as f64 } else { 0.0 }
    }

    /// What part of its time it would take if the machine's limits were all that there is, and which limit that is; nothing where
    /// nothing is known of what it does.
    pub(super) fn of_roof(&self, roofs: &Roofs) -> Option<(f64, &'static str)> {
        if self.ms <= 0.0 || self.calls == 0 || self.flops + self.bytes == 0 {
            return None;
        }
        let (least, limit) = roofs.least(self.flops / self.calls, self.instructions, self.bytes / self.calls, self.written / self.calls);
        Some((least * self.calls as f64 / self.ms, limit))
    }

    pub(super) fn json(&self, roofs: Option<&Roofs>) -> Value {
        let of_roof = roofs.and_then(|roofs| self.of_roof(roofs));
        json!({
            "name": self.name, "source_nodes": self.sources, "rules": self.rules, "ms": self.ms, "calls": self.calls, "flops": self.flops, "products": self.instructions.products * self.calls, "instructions": self.instructions.all * self.calls, "bytes": self.bytes, "written": self.written,
            "gflops": self.rate(self.flops), "gbps": self.rate(self.bytes), "intensity": self.intensity(),
            "of_peak": roofs.map(|roofs| self.rate(self.flops) / roofs.gflops), "of_roof": of_roof.map(|(part, _)| part), "limit": of_roof.map(|(_, limit)| limit),
            "placement": self.placement, "why": self.why,
        })
    }
}

/// The rows of a program's steps, in their order.
pub(super) fn rows<'e>(executable: &'e Executable, times: &[Timing]) -> Vec<Row<'e>> {
    executable.leaves().into_iter().zip(times).enumerate().filter_map(|(leaf, (step, timing))| Row::new(executable, leaf, step, *timing)).collect()
}

/// A table of the rows that take longest.
pub(super) fn table(rows: &[Row<'_>], most: usize, roofs: Option<&Roofs>) -> String {
    let mut order: Vec<&Row<'_>> = rows.iter().collect();
    order.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let total: f64 = rows.iter().map(|row| row.ms).sum();
    let percent = |part: f64| if part < 0.0995 { format!("{:.1} %", part * 100.0) } else { format!("{:.0} %", part * 100.0) };
    let cells = order.iter().take(most).map(|row| {
        let rate = |count: u64| if count > 0 { format!("{:.1}", row.rate(count)) } else { String::new() };
        let mut cells = vec![row.name.to_owned(), tell::brief(row.sources), milliseconds(row.ms), format!("{:.0} %", row.ms / total * 100.0), rate(row.flops), rate(row.bytes)];
        if let Some(roofs) = roofs {
            cells.push(if row.flops > 0 { percent(row.rate(row.flops) / roofs.gflops) } else { String::new() });
            cells.push(row.of_roof(roofs).map(|(part, limit)| format!("{} {limit}", percent(part))).unwrap_or_default());
        }
        cells
    });
    let headings: &[&str] = &["kernel", "source nodes", ">ms", ">part", ">GFLOP/s", ">GB/s", ">of peak", ">of roof"];
    let mut text = tell::table(&headings[..if roofs.is_some() { headings.len() } else { 6 }], cells);
    if rows.len() > most {
        text += &format!("and {} more steps\n", rows.len() - most);
    }
    text
}

/// Milliseconds with digits enough for what takes microseconds.
pub(super) fn milliseconds(ms: f64) -> String {
    if ms < 0.1 { format!("{ms:.4}") } else { format!("{ms:.3}") }
}

/// Steps of two programs that do the same work: as few as possible, so that none of their source nodes is elsewhere.
pub(super) struct Pair<'r, 'e> {
    pub these: Vec<&'r Row<'e>>,
    pub others: Vec<&'r Row<'e>>,
    pub sources: Vec<String>,
}

impl Pair<'_, '_> {
    pub(super) fn ms(rows: &[&Row<'_>]) -> f64 {
        rows.iter().map(|row| row.ms).sum()
    }

    /// What the first program saves, in ms.
    pub(super) fn saved(&self) -> f64 {
        Self::ms(&self.others) - Self::ms(&self.these)
    }

    fn json(&self) -> Value {
        let [kernels, others] = [&self.these, &self.others].map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>());
        json!({ "source_nodes": self.sources, "kernels": kernels, "ms": Self::ms(&self.these), "other_kernels": others, "other_ms": Self::ms(&self.others) })
    }
}

/// Pairs the steps of two programs by their source nodes; those that save most come first.
pub(super) fn pairs<'r, 'e>(these: &'r [Row<'e>], others: &'r [Row<'e>]) -> Vec<Pair<'r, 'e>> {
    // Source nodes that some step shares are in one set. A step without any is in the one of the copies.
    let mut sets: BTreeMap<&str, &str> = BTreeMap::new();
    fn root<'s>(sets: &BTreeMap<&'s str, &'s str>, mut name: &'s str) -> &'s str {
        while let Some(next) = sets.get(name).filter(|next| **next != name) {
            name = next;
        }
        name
    }
    let key = |row: &Row<'e>| row.sources.first().map_or("", String::as_str);
    for row in these.iter().chain(others) {
        for source in row.sources {
            let (a, b) = (root(&sets, key(row)), root(&sets, source));
            sets.insert(b, a);
        }
    }
    let mut found: BTreeMap<&str, Pair<'r, 'e>> = BTreeMap::new();
    for (at, row) in these.iter().map(|row| (0, row)).chain(others.iter().map(|row| (1, row))) {
        let pair = found.entry(root(&sets, key(row))).or_insert_with(|| Pair { these: Vec::new(), others: Vec::new(), sources: Vec::new() });
        if at == 0 { pair.these.push(row) } else { pair.others.push(row) }
        for source in row.sources {
            if !pair.sources.contains(source) {
                pair.sources.push(source.clone());
            }
        }
    }
    let mut pairs: Vec<Pair<'r, 'e>> = found.into_values().collect();
    pairs.sort_by(|a, b| b.saved().abs().total_cmp(&a.saved().abs()));
    pairs
}

/// A table of pairs.
pub(super) fn pairs_table(pairs: &[Pair<'_, '_>], most: usize, other: &str) -> String {
    let name = |rows: &[&Row<'_>]| match rows {
        [] => "none".to_owned(),
        [one] => one.name.to_owned(),
        [first, ..] => format!("{} +{}", first.name, rows.len() - 1),
    };
    let cells = pairs.iter().take(most).map(|pair| {
        let (ms, other) = (Pair::ms(&pair.these), Pair::ms(&pair.others));
        let times = if ms > 0.0 { format!("{:.2}", other / ms) } else { String::new() };
        vec![name(&pair.these), tell::brief(&pair.sources), milliseconds(ms), pair.others.len().to_string(), milliseconds(other), times]
    });
    let mut text = tell::table(&["kernels", "source nodes", ">ms", &format!(">steps, {other}"), &format!(">ms, {other}"), ">times"], cells);
    if pairs.len() > most {
        text += &format!("and {} more rows\n", pairs.len() - most);
    }
    text
}

pub(super) fn pairs_json(pairs: &[Pair<'_, '_>]) -> Value {
    pairs.iter().map(Pair::json).collect()
}
