//! Where kernels come from: their source nodes, the rules that made them, and what they cost before and after.
//!
//! In: a graph and [`Options`]. Out: one [`Kernel`] per launch. Must not know: terminals.

use std::collections::BTreeMap;

use frit_ir::Error;
use frit_ir::executable::Step;
use frit_ir::graph::{Graph, Origin};

use crate::pipeline::{Options, scheduled};
use crate::rewrite::{self, Report, Rule};
use crate::specialise::specialise;

/// A launch of a kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The kernel's name.
    pub name: String,
    /// Source nodes, in order: name and op.
    pub sources: Vec<(String, String)>,
    /// The rules that were applied, in order.
    pub rules: Vec<&'static Rule>,
    /// Estimated nanoseconds of the source nodes, each by itself.
    pub before: f64,
    /// Estimated nanoseconds of the kernel.
    pub after: f64,
    /// Why it runs in the reference interpreter, if it does.
    pub interpreted: Option<String>,
}

/// Explains what becomes of a graph: its kernels in the order of their launches, branches and loop bodies in place, and what
/// rewriting did.
///
/// # Errors
/// As [`compile`](crate::pipeline::compile).
pub fn explain(graph: &Graph, options: &Options) -> Result<(Vec<Kernel>, Report), Vec<Error>> {
    let specialised = specialise(graph, &options.binding)?;
    let mut nodes: BTreeMap<&str, (&str, f64)> = BTreeMap::new();
    price(&specialised, options, &mut nodes);
    let (schedule, report) = scheduled(graph, options)?;
    let mut kernels = Vec::new();
    let mut open: Vec<&Step> = schedule.steps.iter().rev().collect();
    while let Some(step) = open.pop() {
        let (name, sources, rules, after, interpreted) = match step {
            Step::Launch { kernel, sources, rules, .. } => {
                let kernel = &schedule.kernels[*kernel as usize];
                (kernel.name.clone(), sources, rules.as_slice(), options.rewrite.machine.kernel(kernel.flops, kernel.bytes), None)
            }
            Step::Interpret { sources, why, .. } => ("interpreted".to_owned(), sources, [].as_slice(), 0.0, Some(why.clone())),
            Step::Copy { .. } => continue,
            Step::If { then_steps, else_steps, .. } => {
                open.extend(else_steps.iter().rev());
                open.extend(then_steps.iter().rev());
                continue;
            }
            Step::Loop { body, .. } => {
                open.extend(body.iter().rev());
                continue;
            }
        };
        let known = |name: &String| nodes.get(name.as_str()).copied().unwrap_or_default();
        kernels.push(Kernel {
            name,
            sources: sources.iter().map(|name| (name.clone(), known(name).0.to_owned())).collect(),
            rules: rules.iter().filter_map(|name| rewrite::rules().find(|rule| rule.name == name)).collect(),
            before: sources.iter().map(|name| known(name).1).sum(),
            after,
            interpreted,
        });
    }
    Ok((kernels, report))
}

/// Adds the source nodes of a graph and its subgraphs, with what they cost.
fn price<'g>(graph: &'g Graph, options: &Options, nodes: &mut BTreeMap<&'g str, (&'g str, f64)>) {
    for (_, node) in graph.nodes() {
        let cost = rewrite::price(graph, node, &options.rewrite.machine);
        if let Some(Origin { name, op, .. }) = node.origins.first().map(AsRef::as_ref) {
            nodes.entry(name).or_insert((op, 0.0)).1 += cost;
        }
    }
}
