//! The page that shows each kernel under the machine's roofline (S. Williams, A. Waterman, D. Patterson: "Roofline: an insightful
//! visual performance model for multicore architectures", CACM 52(4), 2009).
//!
//! In: rows, roofs, what source nodes are. Out: a page that stands alone. Must not know: how anything was measured.

use std::collections::BTreeMap;
use std::fmt::Write;

use frit::Graph;
use frit_ir::ops::attr::Attr;

use super::rows::{Roofs, Row, milliseconds};

/// The page around the plot.
const PAGE: &str = include_str!("roofline.html");

/// Size of the plot, and what is left for the axes' labels.
const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;

/// What a kernel mostly is; the first of its source nodes' kinds in this order.
const KINDS: [&str; 6] = ["convolution", "matrix product", "reduction, norm, pool", "elementwise", "movement", "interpreted"];

/// The kind of a source op, as a place in [`KINDS`].
fn kind_of(op: &str) -> usize {
    let op = op.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| op.contains(word));
    match () {
        () if has(&["conv"]) => 0,
        () if has(&["matmul", "gemm", "einsum", "attention", "lstm", "gru", "rnn"]) => 1,
        () if has(&["reduce", "softmax", "norm", "pool", "window", "argm", "sum", "mean", "cumul"]) => 2,
        () if has(&["reshape", "transpose", "concat", "slice", "gather", "scatter", "pad", "split", "squeeze", "expand", "tile", "flatten", "identity", "resize", "space", "shape", "constant", "copy", "fill", "cast"]) => 4,
        () => 3,
    }
}

/// The source ops by their nodes' names.
pub(super) fn ops(graph: &Graph) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (_, node) in graph.nodes() {
        found.extend(node.origins.iter().map(|origin| (origin.to_string(), origin.op.clone())));
        for (_, attr) in node.op.def().attrs() {
            if let Attr::Graph(body) = attr {
                found.extend(ops(&body));
            }
        }
    }
    found
}

/// The kind of a row: by its source nodes, or where the model is not there by its name, which holds its first ops.
fn kind(row: &Row<'_>, ops: &BTreeMap<String, String>) -> usize {
    if row.placement == "interpreted" {
        return 5;
    }
    let known = row.sources.iter().filter_map(|source| ops.get(source)).map(|op| kind_of(op)).min();
    known.unwrap_or_else(|| row.name.split('_').map(kind_of).filter(|kind| *kind != 3).min().unwrap_or(3))
}

/// Text that is no markup.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number in few digits.
fn short(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 1.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}

/// Powers of ten around some numbers.
struct Axis {
    least: i32,
    most: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn around(numbers: &[f64], from: f64, to: f64) -> Self {
        let exponents = || numbers.iter().filter(|number| **number > 0.0).map(|number| number.log10());
        let least = exponents().fold(f64::INFINITY, f64::min).floor().max(-6.0) as i32;
        let most = exponents().fold(f64::NEG_INFINITY, f64::max).ceil().min(12.0) as i32;
        Self { least: least.min(0), most: most.max(least + 1).max(1), from, to }
    }

    fn at(&self, number: f64) -> f64 {
        let part = (number.max(1e-12).log10() - f64::from(self.least)) / f64::from(self.most - self.least);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.least..=self.most).map(|exponent| 10f64.powi(exponent))
    }
}

/// What the page says of the whole.
pub(super) struct About<'a> {
    pub model: &'a str,
    pub median: f64,
    pub threads: usize,
}

/// The page.
pub(super) fn page(about: &About<'_>, rows: &[Row<'_>], roofs: &Roofs, ops: &BTreeMap<String, String>) -> String {
    let total: f64 = rows.iter().map(|row| row.ms).sum();
    let mut order: Vec<&Row<'_>> = rows.iter().filter(|row| row.ms > 0.0).collect();
    order.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let dots: Vec<&Row<'_>> = order.iter().copied().filter(|row| row.flops > 0 && row.bytes > 0).collect();
    let flops: u64 = rows.iter().map(|row| row.flops).sum();
    let text = format!(
        "Median {} ms on {} threads, {} GFLOP/s of {} that this machine's multiply-adds reach. {} of {} steps do floating-point operations and are shown.",
        milliseconds(about.median), about.threads, short(flops as f64 / about.median / 1e6), short(roofs.gflops), dots.len(), order.len()
    );
    let mut key = String::new();
    for (number, name) in KINDS.iter().enumerate() {
        let (count, ms) = order.iter().filter(|row| kind(row, ops) == number).fold((0, 0.0), |(count, ms), row| (count + 1, ms + row.ms));
        if count > 0 {
            let _ = writeln!(key, "<li><span class=\"swatch k{number}\"></span>{name}: {count} steps, {:.0} % of the time</li>", ms / total * 100.0);
        }
    }
    let mut table = "<tr><th>kernel</th><th>source nodes</th><th class=n>ms</th><th class=n>part</th><th class=n>GFLOP/s</th><th class=n>GB/s</th><th class=n>flop/byte</th><th class=n>of peak</th><th class=n>of roof</th><th>limit</th></tr>\n".to_owned();
    for row in &order {
        let (part, limit) = row.of_roof(roofs).map_or((String::new(), ""), |(part, limit)| (format!("{:.1} %", part * 100.0), limit));
        let _ = writeln!(
            table,
            "<tr id=\"s{}\"><td class=k><span class=\"swatch k{}\"></span>{}</td><td>{}</td><td class=n>{}</td><td class=n>{:.1} %</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{:.1} %</td><td class=n>{part}</td><td class=l>{limit}</td></tr>",
            row.leaf, kind(row, ops), plain(row.name), plain(&row.sources.join(", ")), milliseconds(row.ms), row.ms / total * 100.0, short(row.rate(row.flops)), short(row.rate(row.bytes)), short(row.intensity()),
            row.rate(row.flops) / roofs.gflops * 100.0
        );
    }
    let plot = plot(&dots, total, roofs, ops);
    PAGE.replace("<!--MODEL-->", &plain(about.model)).replace("<!--ABOUT-->", &text).replace("<!--KEY-->", &key).replace("<!--PLOT-->", &plot).replace("<!--TABLE-->", &table)
}

/// The plot: operations a second over operations a byte, both logarithmic.
fn plot(dots: &[&Row<'_>], total: f64, roofs: &Roofs, ops: &BTreeMap<String, String>) -> String {
    let ridges = roofs.levels.iter().map(|level| roofs.gflops / level.gbps);
    let x = Axis::around(&dots.iter().map(|row| row.intensity()).chain(ridges.map(|ridge| ridge * 2.0)).collect::<Vec<_>>(), LEFT, WIDTH - RIGHT);
    let y = Axis::around(&dots.iter().map(|row| row.rate(row.flops)).chain([roofs.gflops * 1.5]).collect::<Vec<_>>(), HEIGHT - BOTTOM, TOP);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"roofline: kernels and this machine's limits\" xmlns=\"http://www.w3.org/2000/svg\">\n");
    let label = |number: f64| if (0.01..=1e5).contains(&number) { format!("{number}") } else { format!("1e{:.0}", number.log10()) };
    for tick in x.ticks() {
        let at = x.at(tick);
        let _ = writeln!(svg, "<line class=grid x1={at:.1} x2={at:.1} y1={TOP} y2={} /><text class=soft x={at:.1} y={} text-anchor=middle>{}</text>", HEIGHT - BOTTOM, HEIGHT - BOTTOM + 18.0, label(tick));
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = writeln!(svg, "<line class=grid x1={LEFT} x2={} y1={at:.1} y2={at:.1} /><text class=soft x={} y={:.1} text-anchor=end>{}</text>", WIDTH - RIGHT, LEFT - 8.0, at + 4.0, label(tick));
    }
    let _ = writeln!(svg, "<text class=soft x={} y={} text-anchor=middle>floating-point operations for each byte that moves at least</text>", (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0);
    let _ = writeln!(svg, "<text class=soft transform=\"translate(18 {}) rotate(-90)\" text-anchor=middle>GFLOP/s</text>", (TOP + HEIGHT - BOTTOM) / 2.0);
    // Each memory's roof rises to the peak, which they share.
    let (left, bottom) = (10f64.powi(x.least), 10f64.powi(y.least));
    let first = roofs.levels.iter().map(|level| roofs.gflops / level.gbps).fold(f64::INFINITY, f64::min);
    let peak = y.at(roofs.gflops);
    let _ = writeln!(svg, "<line class=roof x1={:.1} x2={} y1={peak:.1} y2={peak:.1} /><text x={} y={:.1}>{} GFLOP/s</text>", x.at(first), WIDTH - RIGHT, WIDTH - RIGHT + 8.0, peak + 4.0, short(roofs.gflops));
    for (number, level) in roofs.levels.iter().enumerate() {
        let begin = left.max(bottom / level.gbps);
        let (x1, y1, x2) = (x.at(begin), y.at(begin * level.gbps), x.at(roofs.gflops / level.gbps));
        let far = if number + 1 == roofs.levels.len() { " far" } else { "" };
        let angle = (peak - y1).atan2(x2 - x1).to_degrees();
        // The labels stand apart from each other, along their roofs.
        let part = 0.05 + 0.24 * number as f64;
        let (at, height) = (x1 + (x2 - x1) * part, y1 + (peak - y1) * part);
        let _ = writeln!(svg, "<line class=\"roof{far}\" x1={x1:.1} y1={y1:.1} x2={x2:.1} y2={peak:.1} /><text class=name transform=\"translate({at:.1} {:.1}) rotate({angle:.1})\">{} {} GB/s</text>", height - 5.0, level.name, short(level.gbps));
    }
    for row in dots {
        let (cx, cy) = (x.at(row.intensity()), y.at(row.rate(row.flops)));
        let radius = 4.0 + 20.0 * (row.ms / total).sqrt();
        let of_roof = row.of_roof(roofs).map(|(part, limit)| format!("\n{:.1} % of the roof, which is {limit}", part * 100.0)).unwrap_or_default();
        let sources = match row.sources {
            [] => String::new(),
            sources => format!("\nfrom {}{}", sources.iter().take(6).cloned().collect::<Vec<_>>().join(", "), if sources.len() > 6 { ", .." } else { "" }),
        };
        let tip = format!("{}\n{} ms, {:.1} % of the time\n{} GFLOP/s, {} GB/s, {} operations a byte{of_roof}{sources}", row.name, milliseconds(row.ms), row.ms / total * 100.0, short(row.rate(row.flops)), short(row.rate(row.bytes)), short(row.intensity()));
        let _ = writeln!(svg, "<a href=\"#s{}\"><circle class=\"dot k{}\" cx={cx:.1} cy={cy:.1} r={radius:.1}><title>{}</title></circle></a>", row.leaf, kind(row, ops), plain(&tip));
    }
    svg + "</svg>"
}
