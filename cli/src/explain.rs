//! `frit explain`, and the page of `frit inspect --html`.

use std::fmt::Write as _;

use frit::Error;
use frit_compiler::explain::{Explanation, Kernel, Proved};
use serde_json::{Value, json};

use crate::args::Explain;
use crate::model::{self, Files, Source};
use crate::tell;

/// Columns of lines that are wrapped.
const COLUMNS: usize = 100;

/// The page, but for its data.
const PAGE: &str = include_str!("page.html");

/// Says where kernels come from.
pub(crate) fn explain(args: &Explain) -> Result<(), Vec<Error>> {
    let files = Files::none();
    let Source::Graph(graph) = model::open(&args.model, &files)? else {
        return Err(vec![Error::invalid("an artifact holds no graph").help("give the model that it was compiled from")]);
    };
    let options = model::options(&args.model, &files, &args.on.device, false)?;
    let explanation = tell::busy("compiling", || frit_compiler::explain::explain(&graph, &options))?;
    let wanted = |kernel: &&Kernel| args.kernel.as_ref().is_none_or(|text| kernel.name.contains(text) || kernel.sources.iter().any(|k| explanation.sources[*k].name.contains(text)));
    let kernels: Vec<&Kernel> = explanation.kernels.iter().filter(wanted).collect();
    if kernels.is_empty() && args.kernel.is_some() {
        return Err(vec![Error::invalid("no kernel and no source node is called so").help("`frit explain MODEL` lists all")]);
    }
    let prove = |kernel: &&Kernel| args.proof.then(|| tell::busy("proving", || frit_compiler::explain::proof(&graph, &options, &explanation, kernel))).transpose();
    let proofs: Vec<Option<Vec<Proved>>> = kernels.iter().map(prove).collect::<Result<_, _>>()?;
    if args.json {
        tell::print(&format!("{:#}", json!({ "model": args.model.model, "kernels": kernels.iter().zip(&proofs).map(|(kernel, steps)| described(&explanation, kernel, steps.as_deref())).collect::<Vec<_>>(), "rewriting": report(&explanation) })));
        return Ok(());
    }
    let mut text = String::new();
    for (kernel, steps) in kernels.iter().zip(&proofs) {
        let _ = writeln!(text, "{}{}", block(&explanation, kernel), steps.as_ref().map(|steps| proof(kernel, steps)).unwrap_or_default());
    }
    if args.kernel.is_none() {
        let did = &explanation.report;
        let _ = writeln!(text, "{} kernels of {} source nodes; estimated {} before and {} after", explanation.kernels.len(), explanation.sources.len(), time(did.before), time(did.after));
        for (name, hits, terms) in &did.rules {
            let _ = writeln!(text, "  {name}: found {hits} times, {terms} terms");
        }
        if did.cut > 0 {
            let _ = writeln!(text, "  in {} of {} regions a bound of the e-graph was reached", did.cut, did.regions);
        }
    }
    tell::print(text.trim_end());
    Ok(())
}

fn block(explanation: &Explanation, kernel: &Kernel) -> String {
    let mut text = format!("{}\n", kernel.name);
    if let Some(why) = &kernel.interpreted {
        let _ = writeln!(text, "  runs in the reference interpreter: {why}");
    }
    for k in &kernel.sources {
        let source = &explanation.sources[*k];
        let _ = writeln!(text, "  from {} '{}'", source.op, source.name);
    }
    for rule in &kernel.rules {
        text += &wrapped("  by   ", &format!("{} ({}): {}", rule.name, rule.class.name(), rule.why));
    }
    let _ = writeln!(text, "  estimated {} apart, {} as one kernel", time(kernel.before), time(kernel.after));
    text
}

/// A proof's steps, numbered.
fn proof(kernel: &Kernel, steps: &[Proved]) -> String {
    let mut text = match steps.len() {
        0 if kernel.rules.is_empty() => "  proof: no rule changed its source nodes\n".to_owned(),
        0 => "  proof: none, since its source nodes lie in a subgraph\n".to_owned(),
        1 => "  proof, checked, of 1 step\n".to_owned(),
        count => format!("  proof, checked, of {count} steps\n"),
    };
    for (at, step) in steps.iter().enumerate() {
        let by = step.rule.map_or_else(|| "constants folded".to_owned(), |rule| format!("{} ({})", rule.name, rule.class.name()));
        let _ = writeln!(text, "  {:>3}. {by}{}, at '{}'", at + 1, if step.backward { " backward" } else { "" }, step.place);
        let _ = write!(text, "{}{}", wrapped("         ", &step.before), wrapped("       = ", &step.after));
    }
    text
}

/// Text in lines, the first one with a head of its own.
fn wrapped(head: &str, text: &str) -> String {
    let mut lines = vec![head.to_owned()];
    for word in text.split_inclusive(' ') {
        let full = lines.last().is_some_and(|line| line.len() > head.len() && line.chars().count() + word.trim_end().chars().count() > COLUMNS);
        if full {
            lines.push(" ".repeat(head.len() + 2));
        }
        if let Some(line) = lines.last_mut() {
            *line += word;
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn time(ns: f64) -> String {
    if ns < 1e6 { format!("{:.1} us", ns / 1e3) } else { format!("{:.2} ms", ns / 1e6) }
}

fn described(explanation: &Explanation, kernel: &Kernel, steps: Option<&[Proved]>) -> Value {
    let sources: Vec<Value> = kernel.sources.iter().map(|k| &explanation.sources[*k]).map(|source| json!({ "name": source.name, "op": source.op })).collect();
    let mut described = json!({ "name": kernel.name, "source_nodes": sources, "rules": rules(kernel), "before_ns": kernel.before, "after_ns": kernel.after, "flops": kernel.flops, "bytes": kernel.bytes, "interpreted": kernel.interpreted });
    if let Some(steps) = steps {
        let step = |step: &Proved| json!({ "rule": step.rule.map(|rule| rule.name), "backward": step.backward, "at": step.place, "before": step.before, "after": step.after });
        described["proof"] = steps.iter().map(step).collect();
    }
    described
}

fn rules(kernel: &Kernel) -> Vec<Value> {
    kernel.rules.iter().map(|rule| json!({ "name": rule.name, "class": rule.class.name(), "left": rule.left, "right": rule.right, "when": rule.when, "why": rule.why })).collect()
}

fn report(explanation: &Explanation) -> Value {
    let did = &explanation.report;
    let rules: Vec<Value> = did.rules.iter().map(|(name, hits, terms)| json!({ "name": name, "hits": hits, "terms": terms })).collect();
    json!({ "regions": did.regions, "cut": did.cut, "before_ns": did.before, "after_ns": did.after, "rules": rules })
}

/// The page that shows a model before and after.
pub(crate) fn page(model: &str, explanation: &Explanation) -> String {
    let kernel = |kernel: &Kernel| {
        json!({ "name": kernel.name, "nodes": kernel.sources, "rules": rules(kernel), "before": kernel.before, "after": kernel.after, "flops": kernel.flops, "bytes": kernel.bytes, "interpreted": kernel.interpreted })
    };
    let data = json!({
        "model": model,
        "before": explanation.report.before,
        "after": explanation.report.after,
        "arena_bytes": explanation.arena_bytes,
        "constant_bytes": explanation.constant_bytes,
        "steps": explanation.buffers.iter().map(|buffer| buffer.last).max().unwrap_or(0) + 1,
        "nodes": explanation.sources.iter().map(|source| json!({ "name": source.name, "op": source.op, "type": source.ty })).collect::<Vec<_>>(),
        "edges": explanation.edges,
        "kernels": explanation.kernels.iter().map(kernel).collect::<Vec<_>>(),
        "buffers": explanation.buffers.iter().map(|b| json!({ "offset": b.offset, "bytes": b.bytes, "first": b.first, "last": b.last })).collect::<Vec<_>>(),
    });
    // Names come from the model: nothing in them may end the script.
    PAGE.replace("/*DATA*/", &data.to_string().replace('<', "\\u003c"))
}
