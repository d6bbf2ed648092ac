//! A run as Chrome trace events, which Perfetto and chrome://tracing open.
//!
//! In: spans of a run, the rows of its steps. Out: JSON, as in the "Trace Event Format" of Chromium: complete events (`X`), in
//! microseconds, one track for each thread. Must not know: how runs are traced.

use frit::Span;
use serde_json::{Value, json};

use super::rows::Row;

/// The events of some runs, each with the nanoseconds at which it began.
pub(super) fn events(model: &str, threads: usize, runs: &[(u64, Vec<Span>)], rows: &[Row<'_>]) -> Value {
    let mut events = vec![json!({ "ph": "M", "name": "process_name", "pid": 1, "args": { "name": format!("frit {model}") } })];
    for thread in 0..threads {
        let name = if thread == 0 { "caller".to_owned() } else { format!("thread {thread}") };
        events.push(json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": { "name": name } }));
        events.push(json!({ "ph": "M", "name": "thread_sort_index", "pid": 1, "tid": thread, "args": { "sort_index": thread } }));
    }
    for (number, (begun, spans)) in runs.iter().enumerate() {
        let at = |ns: u64| (begun + ns) as f64 / 1e3;
        let slice = |span: &Span, name: &str, kind: &str, args: Value| json!({ "ph": "X", "name": name, "cat": kind, "pid": 1, "tid": span.thread, "ts": at(span.start), "dur": (span.end - span.start) as f64 / 1e3, "args": args });
        if let (Some(start), Some(end)) = (spans.iter().map(|span| span.start).min(), spans.iter().map(|span| span.end).max()) {
            events.push(json!({ "ph": "X", "name": format!("run {number}"), "cat": "run", "pid": 1, "tid": 0, "ts": at(start), "dur": (end - start) as f64 / 1e3, "args": {} }));
        }
        let row = |span: &Span| rows.iter().find(|row| row.leaf == span.step);
        // What lies inside a slice comes after it.
        let (whole, parts): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.points.is_none());
        for span in whole {
            let Some(row) = row(span) else { continue };
            let calls = row.calls.max(1);
            let ns = (span.end - span.start).max(1) as f64;
            let (flops, bytes) = (row.flops / calls, row.bytes / calls);
            let args = json!({ "source_nodes": row.sources, "rules": row.rules, "flops": flops, "bytes": bytes, "gflops": flops as f64 / ns, "gbps": bytes as f64 / ns, "why": row.why });
            events.push(slice(span, row.name, row.placement, args));
        }
        for span in parts {
            let (Some(row), Some(points)) = (row(span), &span.points) else { continue };
            events.push(slice(span, row.name, "points", json!({ "first": points.start, "end": points.end })));
        }
    }
    json!({ "displayTimeUnit": "ns", "traceEvents": events })
}
