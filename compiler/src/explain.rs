//! Where kernels come from: their source nodes, the rules that made them, and what they cost before and after.
//!
//! In: a graph and [`Options`]. Out: an [`Explanation`]. Must not know: terminals, pages.

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::Error;
use frit_ir::executable::{Step, leaves};
use frit_ir::graph::{Graph, ValueId};
use frit_ir::ops::Attr;

use crate::pipeline::{Options, scheduled};
use crate::rewrite::{self, Report, Rule};
use crate::schedule::Planned;
use crate::specialise::specialise;

/// A node of the source, as far as something is left of it once shapes are known.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its op, in the source's words.
    pub op: String,
    /// The type of its first result.
    pub ty: String,
}

/// A launch of a kernel, or a step of the reference interpreter.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The kernel's name.
    pub name: String,
    /// Source nodes, by their number, in order.
    pub sources: Vec<usize>,
    /// The rules that were applied, in order.
    pub rules: Vec<&'static Rule>,
    /// Estimated nanoseconds of the source nodes, each by itself.
    pub before: f64,
    /// Estimated nanoseconds of the kernel.
    pub after: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that move at least once.
    pub bytes: u64,
    /// Why it runs in the reference interpreter, if it does.
    pub interpreted: Option<String>,
}

/// What becomes of a graph.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The source's nodes, in order.
    pub sources: Vec<Source>,
    /// Which source node's result which other one uses.
    pub edges: Vec<(usize, usize)>,
    /// Kernels, in the order of their launches; branches and loop bodies in place.
    pub kernels: Vec<Kernel>,
    /// The plan of the arena.
    pub buffers: Vec<Planned>,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// Bytes of the constants.
    pub constant_bytes: u64,
    /// What rewriting did.
    pub report: Report,
}

/// Explains what becomes of a graph.
///
/// # Errors
/// As [`compile`](crate::pipeline::compile).
pub fn explain(graph: &Graph, options: &Options) -> Result<Explanation, Vec<Error>> {
    let specialised = specialise(graph, &options.binding)?;
    let mut origins = Sources::default();
    origins.read(&specialised, options);
    let (schedule, report) = scheduled(graph, options)?;
    let mut kernels = Vec::new();
    for step in leaves(&schedule.steps) {
        let (name, sources, rules, kernel, interpreted) = match step {
            Step::Launch { kernel, sources, rules, .. } => {
                (schedule.kernels[*kernel as usize].name.as_str(), sources, rules.as_slice(), Some(*kernel as usize), None)
            }
            Step::Interpret { sources, why, .. } => ("interpreted", sources, [].as_slice(), None, Some(why.clone())),
            Step::Copy { .. } | Step::If { .. } | Step::Loop { .. } => continue,
        };
        let sources: Vec<usize> = sources.iter().filter_map(|name| origins.numbers.get(name).copied()).collect();
        let before = sources.iter().map(|k| origins.costs[*k]).sum();
        let rules = rules.iter().filter_map(|name| rewrite::rules().find(|rule| rule.name == name)).collect();
        let (flops, bytes) = kernel.map_or((0, 0), |k| (schedule.kernels[k].flops, schedule.kernels[k].bytes));
        let after = kernel.map_or(before, |k| options.machine.launch + schedule.costs[k]);
        kernels.push(Kernel { name: name.to_owned(), sources, rules, before, after, flops, bytes, interpreted });
    }
    let constant_bytes = schedule.constants.iter().map(|tensor| tensor.bytes().len() as u64).sum();
    Ok(Explanation { sources: origins.sources, edges: origins.edges.into_iter().collect(), kernels, buffers: schedule.buffers, arena_bytes: schedule.arena_bytes, constant_bytes, report })
}

/// A step of the proof that a kernel computes what its source nodes do.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The rule, or none where constants are folded.
    pub rule: Option<&'static Rule>,
    /// Was the term before made out of the term after?
    pub backward: bool,
    /// The source node whose value it is about.
    pub place: String,
    /// The term before. Values are named by the source nodes that make them.
    pub before: String,
    /// The term after.
    pub after: String,
}

/// Proves that a kernel computes what its source nodes do, as far as rules changed them: the steps, in the order in which
/// they build on each other. The regions in which the nodes lie are rewritten once more, with proofs, and these are checked.
/// There are none for nodes in subgraphs.
///
/// # Errors
/// As [`explain`]; a bug where a proof does not hold.
pub fn proof(graph: &Graph, options: &Options, explanation: &Explanation, kernel: &Kernel) -> Result<Vec<Proved>, Vec<Error>> {
    let graph = specialise(graph, &options.binding)?;
    let names: BTreeSet<&str> = kernel.sources.iter().map(|k| explanation.sources[*k].name.as_str()).collect();
    let nodes = graph.nodes().map(|(_, node)| node).filter(|node| node.origins.first().is_some_and(|origin| names.contains(origin.name.as_str())));
    let inside: BTreeSet<ValueId> = nodes.flat_map(|node| &node.outputs).copied().collect();
    let name = |value: ValueId| {
        // A constant bears the name of the node that it was read for.
        let made = graph.producer(value).filter(|node| !node.inputs.is_empty()).and_then(|node| node.origins.first()).map(|origin| origin.name.clone());
        made.filter(|name| !name.is_empty()).or_else(|| graph.value(value).name.clone()).unwrap_or_else(|| format!("{}", graph.ty(value)))
    };
    let (steps, rules) = options.priced(|prices| rewrite::steps(&graph, &options.rewriting(), prices, inside, &name)).map_err(|error| vec![error])?;
    let proved = |step: rewrite::Step| Proved { rule: rules.iter().find(|rule| rule.name == step.rule).copied(), backward: step.backward, place: name(step.place), before: step.before, after: step.after };
    Ok(steps.into_iter().map(proved).collect())
}

/// The source nodes of a graph and its subgraphs.
#[derive(Default)]
struct Sources {
    sources: Vec<Source>,
    costs: Vec<f64>,
    numbers: BTreeMap<String, usize>,
    edges: BTreeSet<(usize, usize)>,
}

impl Sources {
    fn read(&mut self, graph: &Graph, options: &Options) {
        for (_, node) in graph.nodes().filter(|(_, node)| !node.inputs.is_empty()) {
            let Some(origin) = node.origins.first() else { continue };
            let number = *self.numbers.entry(origin.name.clone()).or_insert(self.sources.len());
            if number == self.sources.len() {
                let ty = node.outputs.first().map_or_else(String::new, |v| graph.ty(*v).to_string());
                self.sources.push(Source { name: origin.name.clone(), op: origin.op.clone(), ty });
                self.costs.push(0.0);
            }
            self.costs[number] += rewrite::price(graph, node, &options.machine);
            for producer in node.inputs.iter().filter_map(|v| graph.producer(*v)) {
                if let Some(from) = producer.origins.first().and_then(|origin| self.numbers.get(&origin.name))
                    && *from != number
                {
                    self.edges.insert((*from, number));
                }
            }
            for (_, attr) in node.op.def().attrs() {
                if let Attr::Graph(subgraph) = attr {
                    self.read(&subgraph, options);
                }
            }
        }
    }
}
