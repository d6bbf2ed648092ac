//! Stage 3: a graph becomes a cheaper equal graph, by equality saturation.
//!
//! In: a specialised graph. Out: an equal graph of lower cost, whose nodes say which [rules](rule::Rule) made them, and a
//! [`Report`]. Must not know: loops, devices.
//!
//! The graph is cut into regions of bounded size. Each becomes an e-graph (`language`, with what is known of each class in
//! `facts`), is saturated with the rules (`saturate`), and the cheapest program is taken out (`extract`, priced by
//! `cost`). Rules are data: the tables below `rules/`, in the language of `pattern` and `functions`.

pub mod check;
mod cost;
mod extract;
mod facts;
mod functions;
mod language;
mod pattern;
pub mod proof;
mod region;
mod rule;
mod rules;
mod saturate;
mod steps;
pub(crate) mod tidy;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use frit_ir::build::Folding;
use frit_ir::graph::{Graph, Node, NodeId, Origins, ValueId};
use frit_ir::ops::{if_::If, loop_::Loop, scan::Scan};
use frit_ir::{Builder, Error, Op, Tensor};

pub use functions::FUNCTIONS;
pub use steps::Step;
pub use rule::{Class, Rule, all as rules, tables};

use crate::cost::Machine;
use cost::Kind;
use facts::{Facts, Knowledge};
pub(crate) use language::key;
use language::Head;
use region::Part;
use rule::Compiled;
use saturate::{History, Made};

/// An e-graph holds no more than so many terms for each node of its region, and no fewer than `LEAST_TERMS`.
const TERMS_PER_NODE: usize = 24;
const LEAST_TERMS: usize = 400;

/// Programs whose terms cost so many launches more than the cheapest's are priced by their kernels.
const SLACK: f64 = 2.0;
/// No more of a region's programs than this are.
const MAX_PRICED: usize = 8;
/// A program must be cheaper by this factor to be taken: the estimate is rough.
const MARGIN: f64 = 0.98;

/// How to rewrite.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rules up to this class are used; none at all without.
    pub numerics: Option<Class>,
    /// Rules that are left out, by name.
    pub without: BTreeSet<String>,
    /// How many of the remaining rules, in the order of the tables, are used.
    pub limit: Option<usize>,
    /// Further rules, used after the tables' whatever their class is.
    pub extra: Vec<&'static Rule>,
}

impl Default for Options {
    /// All rules but those for finite numbers.
    fn default() -> Self {
        Self { numerics: Some(Class::Blocked), without: BTreeSet::new(), limit: None, extra: Vec::new() }
    }
}

impl Options {
    /// No rules: the program as it came, but for dead and repeated nodes.
    pub fn none() -> Self {
        Self { numerics: None, ..Self::default() }
    }

    /// The rules that are used, in order.
    ///
    /// # Errors
    /// Invalid where a rule that is to be left out does not exist.
    pub fn rules(&self) -> Result<Vec<&'static Rule>, Error> {
        if let Some(name) = self.without.iter().find(|name| !rules().any(|rule| rule.name == **name)) {
            return Err(Error::invalid(format!("there is no rule '{name}'")).help("docs/rules.md lists all rules"));
        }
        let used = rules().filter(|rule| self.numerics.is_some_and(|most| rule.class <= most) && !self.without.contains(rule.name));
        Ok(used.chain(self.extra.iter().copied()).take(self.limit.unwrap_or(usize::MAX)).collect())
    }
}

/// What rewriting did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// For each rule that found something: its name, how often it did, and how many terms it added.
    pub rules: Vec<(&'static str, usize, usize)>,
    /// How many regions there were.
    pub regions: usize,
    /// How many of them reached a bound.
    pub cut: usize,
    /// Estimated nanoseconds before.
    pub before: f64,
    /// Estimated nanoseconds after.
    pub after: f64,
}

/// What programs cost.
#[derive(Clone, Copy)]
pub struct Prices<'a> {
    /// What terms are priced for.
    pub machine: &'a Machine,
    /// The time of a program's kernels in nanoseconds.
    pub kernels: &'a dyn Fn(&Graph) -> Result<f64, Error>,
}

/// Rewrites a graph to what takes the least time.
///
/// # Errors
/// Invalid options; a bug where a rule is wrong or a rewritten node no longer fits its operands.
pub fn rewrite(graph: &Graph, options: &Options, prices: &Prices<'_>) -> Result<(Graph, Report), Error> {
    let rules = options.rules()?.into_iter().map(|rule| Compiled::new(*rule)).collect::<Result<Vec<_>, _>>().map_err(Error::bug)?;
    let mut report = Report::default();
    let mut hits: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    let done = Rewriter { rules: &rules, prices, report: &mut report, hits: &mut hits }.graph(graph)?;
    report.rules = rules.iter().filter_map(|rule| hits.get(rule.rule.name).map(|(hits, grown)| (rule.rule.name, *hits, *grown))).collect();
    Ok((done, report))
}

/// What rules do to the values `inside` of a graph, step by step, by a proof that was checked; and the rules. Nothing is
/// told of how other values come to be.
///
/// # Errors
/// Invalid options; a bug where a proof does not hold.
pub(crate) fn steps(graph: &Graph, options: &Options, prices: &Prices<'_>, mut inside: BTreeSet<ValueId>, name: &dyn Fn(ValueId) -> String) -> Result<(Vec<Step>, Vec<&'static Rule>), Error> {
    let used = options.rules()?;
    let rules = used.iter().map(|rule| Compiled::new(**rule)).collect::<Result<Vec<_>, _>>().map_err(Error::bug)?;
    let proofs = proof::prove_regions(graph, Some(&mut inside), &rules, prices)?;
    let steps = proofs.iter().flat_map(|proof| steps::steps(proof, &rules, &|value| inside.contains(&value), name)).collect();
    Ok((steps, used))
}

/// What a node costs by itself, in nanoseconds. Nothing where it is computed once, now.
pub fn price(graph: &Graph, node: &Node, machine: &Machine) -> f64 {
    let constant = !node.inputs.is_empty() && node.inputs.iter().all(|v| graph.constant(*v).is_some());
    let operands: Vec<_> = node.inputs.iter().map(|v| graph.ty(*v)).collect();
    let results: Vec<_> = node.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
    if constant { 0.0 } else { cost::op(&node.op, &operands, &results, false, machine) }
}

struct Rewriter<'a> {
    rules: &'a [Compiled],
    prices: &'a Prices<'a>,
    report: &'a mut Report,
    hits: &'a mut BTreeMap<&'static str, (usize, usize)>,
}

/// A graph that is being rewritten.
struct Progress<'g> {
    from: &'g Graph,
    builder: Builder,
    /// What values became.
    map: BTreeMap<ValueId, ValueId>,
    /// Constants that are there, by the key of what gives them.
    constants: HashMap<String, ValueId>,
}

impl Rewriter<'_> {
    fn graph(&mut self, graph: &Graph) -> Result<Graph, Error> {
        let mut builder = Builder::new(graph.name.clone()).folding(Folding::Early);
        let map = graph.inputs().iter().map(|(name, value)| (*value, builder.input(name.clone(), graph.ty(*value).clone()))).collect();
        let mut progress = Progress { from: graph, builder, map, constants: HashMap::new() };
        let uses = graph.uses();
        for part in region::parts(graph, &uses) {
            match part {
                Part::Region(nodes) => self.region(&mut progress, &nodes, &uses)?,
                Part::Barrier(node) => self.barrier(&mut progress, graph.node(node))?,
            }
        }
        for (name, value) in graph.outputs() {
            let value = progress.value(*value)?;
            progress.builder.output(name.clone(), value);
        }
        tidy::tidy(&progress.builder.finish())
    }

    /// A node that no rule looks into. Its subgraphs are rewritten.
    fn barrier(&mut self, progress: &mut Progress<'_>, node: &Node) -> Result<(), Error> {
        let op: Op = match &node.op {
            Op::If(branches) => If { then_branch: self.graph(&branches.then_branch)?, else_branch: self.graph(&branches.else_branch)? }.into(),
            Op::Loop(repeat) => Loop { body: self.graph(&repeat.body)?, ..repeat.clone() }.into(),
            Op::Scan(scan) => Scan { body: self.graph(&scan.body)?, ..scan.clone() }.into(),
            other => other.clone(),
        };
        let operands = node.inputs.iter().map(|v| progress.value(*v)).collect::<Result<Vec<_>, _>>()?;
        let outputs = progress.add(&op, &operands, node.origins.clone())?;
        for (from, to) in node.outputs.iter().zip(outputs) {
            progress.is(*from, to);
        }
        Ok(())
    }

    fn region(&mut self, progress: &mut Progress<'_>, nodes: &[NodeId], uses: &[Vec<NodeId>]) -> Result<(), Error> {
        let from = progress.from;
        let Loaded { mut graph, mut history, classes, outside } = Loaded::new(facts::Graph::new(Knowledge::default()), from, nodes)?;
        let wanted = region::wanted(from, nodes, uses);
        let roots: Vec<egg::Id> = wanted.iter().map(|v| classes[v]).collect();
        let fail = || Error::bug("nothing could be taken out of the e-graph");
        let (_, before) = extract::extract(&graph, &roots, &self.costs(&graph)).ok_or_else(fail)?;
        let limit = LEAST_TERMS.max(nodes.len() * TERMS_PER_NODE);
        saturate::saturate(&mut graph, self.rules, limit, &mut history)?;
        let (choice, after) = self.cheapest(&graph, &roots)?;
        self.report.before += before;
        self.report.after += after;
        self.report.regions += 1;
        self.report.cut += usize::from(history.cut);
        for (rule, (hits, grown)) in self.rules.iter().zip(history.hits.iter().zip(&history.grown)) {
            if *hits > 0 {
                let entry = self.hits.entry(rule.rule.name).or_default();
                *entry = (entry.0 + hits, entry.1 + grown);
            }
        }
        // The chosen terms, operands first.
        let mut built: BTreeMap<egg::Id, Vec<ValueId>> = BTreeMap::new();
        for id in extract::reached(&graph, &roots, &choice).ok_or_else(fail)? {
            let term = &graph[id].nodes[choice[&id]];
            let operands: Vec<&[ValueId]> = term.children.iter().map(|child| built[&graph.find(*child)].as_slice()).collect();
            let results = match graph.analysis.heads.get(term.head) {
                Head::Leaf(k) => vec![progress.value(outside[*k])?],
                Head::Part(k) => vec![operands[0][*k]],
                Head::Op(op) => {
                    let origins = history.made.get(term).map(|made| self.origins(from, nodes, made)).unwrap_or_default();
                    let operands: Vec<ValueId> = operands.iter().map(|results| results[0]).collect();
                    progress.add(op, &operands, origins)?
                }
            };
            built.insert(id, results);
        }
        for (value, id) in &classes {
            if let Some([to]) = built.get(&graph.find(*id)).map(Vec::as_slice) {
                progress.is(*value, *to);
            }
        }
        Ok(())
    }

    /// The cheapest program for the roots, and what its terms cost.
    ///
    /// Terms are priced one by one. Programs that hardly differ by that, but in what can begin or end a kernel, are priced by
    /// the kernels that they come to.
    fn cheapest(&self, graph: &facts::Graph, roots: &[egg::Id]) -> Result<(extract::Choice, f64), Error> {
        let fail = || Error::bug("nothing could be taken out of the e-graph");
        let costs = self.costs(graph);
        let (mut choice, total) = extract::extract(graph, roots, &costs).ok_or_else(fail)?;
        let begins_kernel = |id: egg::Id, k: usize| !graph[id].data.constant && kind(graph, &graph[id].nodes[k]) == Kind::Joins;
        let slack = SLACK * self.prices.machine.launch;
        let others = extract::alternatives(graph, roots, &costs, &choice, slack, &begins_kernel);
        if others.is_empty() {
            return Ok((choice, total));
        }
        let price = |choice: &extract::Choice| alone(graph, roots, choice)?.map(|program| (self.prices.kernels)(&program)).transpose();
        let Some(mut least) = price(&choice)? else { return Ok((choice, total)) };
        for moves in others.into_iter().take(MAX_PRICED) {
            let mut other = choice.clone();
            other.extend(moves);
            // A move can need what an earlier one has taken away.
            if extract::reached(graph, roots, &other).is_none() {
                continue;
            }
            if let Some(price) = price(&other)?.filter(|price| *price < MARGIN * least) {
                (choice, least) = (other, price);
            }
        }
        Ok((choice, total))
    }

    /// What each term of each class costs.
    fn costs(&self, graph: &facts::Graph) -> extract::Costs {
        // For each class whether an elementwise op can follow it at once.
        let computed: BTreeMap<egg::Id, bool> = graph.classes().map(|class| (class.id, class.nodes.iter().any(|term| kind(graph, term) != Kind::Other))).collect();
        let followed = |child: &egg::Id| computed[&graph.find(*child)];
        let price = |id: &egg::Id, term: &language::Term| {
            let facts = &graph[*id].data;
            match graph.analysis.heads.get(term.head) {
                Head::Leaf(_) | Head::Part(_) => 0.0,
                Head::Op(Op::Constant(_)) => 0.0,
                // It is computed once, now.
                Head::Op(_) if facts.constant => 1e-3,
                Head::Op(op) => {
                    let operands: Option<Vec<_>> = term.children.iter().map(|child| graph[*child].data.ty()).collect();
                    let joined = term.children.iter().any(followed);
                    operands.map_or(f64::INFINITY, |operands| cost::op(op, &operands, &facts.types, joined, self.prices.machine))
                }
            }
        };
        computed.keys().map(|id| (*id, graph[*id].nodes.iter().map(|term| price(id, term)).collect())).collect()
    }

    fn origins(&self, from: &Graph, nodes: &[NodeId], made: &Made) -> Origins {
        let mut origins = Origins::default();
        for at in &made.nodes {
            origins.add(&from.node(nodes[*at as usize]).origins);
        }
        origins.rules.extend(made.rules.iter().map(|rule| Arc::from(self.rules[*rule].rule.name)));
        origins
    }
}

/// What a term does with its operands' elements.
fn kind(graph: &facts::Graph, term: &language::Term) -> Kind {
    match graph.analysis.heads.get(term.head) {
        Head::Op(op) => term.children.iter().map(|child| graph[*child].data.ty()).collect::<Option<Vec<_>>>().map_or(Kind::Other, |operands| cost::kind(op, &operands)),
        Head::Leaf(_) | Head::Part(_) => Kind::Other,
    }
}

/// A program taken out of an e-graph, by itself, to be priced: what is computed once, now, is there as zeros. None where that has
/// no known size, or more bytes than memory can hold.
fn alone(graph: &facts::Graph, roots: &[egg::Id], choice: &extract::Choice) -> Result<Option<Graph>, Error> {
    let mut builder = Builder::new("region");
    let mut built: BTreeMap<egg::Id, Vec<ValueId>> = BTreeMap::new();
    for id in extract::reached(graph, roots, choice).ok_or_else(|| Error::bug("a program needs itself"))? {
        let term = &graph[id].nodes[choice[&id]];
        let facts = &graph[id].data;
        let operands: Vec<&[ValueId]> = term.children.iter().map(|child| built[&graph.find(*child)].as_slice()).collect();
        let ty = || facts.ty().ok_or_else(|| Error::bug("a value has several types"));
        let results = match graph.analysis.heads.get(term.head) {
            Head::Leaf(_) => vec![builder.input("", ty()?.clone())],
            Head::Op(op) if facts.constant && !matches!(op, Op::Constant(_)) && facts.types.len() == 1 => {
                let ty = ty()?;
                let Ok(zeros) = ty.extents().and_then(|extents| Tensor::zeros(ty.dtype, &extents)) else { return Ok(None) };
                vec![builder.constant(zeros)]
            }
            Head::Part(k) => vec![operands[0][*k]],
            Head::Op(op) => {
                let operands: Vec<ValueId> = operands.iter().map(|results| results[0]).collect();
                builder.apply_all(op.clone(), &operands).map_err(|error| builder.locate(error, op, &operands))?
            }
        };
        built.insert(id, results);
    }
    for root in roots {
        builder.output("", built[&graph.find(*root)][0]);
    }
    Ok(Some(builder.finish()))
}

/// A region as an e-graph, before any rule.
struct Loaded {
    graph: facts::Graph,
    history: History,
    /// The classes of the region's values and of those that it uses.
    classes: BTreeMap<ValueId, egg::Id>,
    /// What its leaves stand for.
    outside: Vec<ValueId>,
}

impl Loaded {
    /// Loads a region into an empty e-graph.
    fn new(mut graph: facts::Graph, from: &Graph, nodes: &[NodeId]) -> Result<Self, Error> {
        let mut history = History::default();
        let mut classes: BTreeMap<ValueId, egg::Id> = BTreeMap::new();
        let mut outside: Vec<ValueId> = Vec::new();
        for (at, id) in nodes.iter().enumerate() {
            let node = from.node(*id);
            for value in &node.inputs {
                if classes.contains_key(value) {
                    continue;
                }
                let head = match from.producer(*value).map(|node| &node.op) {
                    Some(Op::Constant(constant)) => Head::Op(constant.clone().into()),
                    _ => {
                        graph.analysis.leaves.push(Facts { padded: padded(from, *value), ..Facts::outside(from.ty(*value).clone()) });
                        outside.push(*value);
                        Head::Leaf(outside.len() - 1)
                    }
                };
                classes.insert(*value, added(&mut graph, head, Vec::new())?.0);
            }
            let operands = node.inputs.iter().map(|v| classes[v]).collect();
            let (whole, term) = added(&mut graph, Head::Op(node.op.clone()), operands)?;
            history.source(term, at as u32);
            match node.outputs.as_slice() {
                [one] => {
                    classes.insert(*one, whole);
                }
                many => {
                    for (k, value) in many.iter().enumerate() {
                        let (part, term) = added(&mut graph, Head::Part(k), vec![whole])?;
                        history.source(term, at as u32);
                        classes.insert(*value, part);
                    }
                }
            }
        }
        Ok(Self { graph, history, classes, outside })
    }
}

/// Are there zeros in a value that padding put around others, wherever they were moved since?
fn padded(graph: &Graph, mut value: ValueId) -> bool {
    while let Some(node) = graph.producer(value).filter(|node| !facts::pads(&node.op)) {
        match node.inputs.first().filter(|_| facts::carries(&node.op)) {
            Some(operand) => value = *operand,
            None => return false,
        }
    }
    graph.producer(value).is_some()
}

fn added(graph: &mut facts::Graph, head: Head, children: Vec<egg::Id>) -> Result<(egg::Id, language::Term), Error> {
    let term = graph.analysis.heads.term(head, children).ok_or_else(|| Error::bug("an op with a subgraph is in a region"))?;
    Ok((graph.add_uncanonical(term.clone()), term))
}

impl Progress<'_> {
    /// What a value became.
    fn value(&mut self, value: ValueId) -> Result<ValueId, Error> {
        if let Some(known) = self.map.get(&value) {
            return Ok(*known);
        }
        let node = self.from.producer(value).filter(|node| matches!(node.op, Op::Constant(_))).ok_or_else(|| Error::bug("a value is used before it is made"))?;
        let to = self.add(&node.op, &[], node.origins.clone())?[0];
        self.is(value, to);
        Ok(to)
    }

    fn add(&mut self, op: &Op, operands: &[ValueId], origins: Origins) -> Result<Vec<ValueId>, Error> {
        // What is computed now is computed once, however many regions say it: large constants are only known to be the same
        // by where they lie.
        let constant = op.def().deterministic() && operands.iter().all(|value| self.builder.as_constant(*value).is_some());
        let key = if constant { key(op).map(|key| format!("{key}{operands:?}")) } else { None };
        if let Some(known) = key.as_ref().and_then(|key| self.constants.get(key)) {
            return Ok(vec![*known]);
        }
        self.builder.set_origins(origins);
        let outputs = self.builder.apply_all(op.clone(), operands).map_err(|error| self.builder.locate(error, op, operands))?;
        if let (Some(key), [one]) = (key, outputs.as_slice()) {
            self.constants.insert(key, *one);
        }
        Ok(outputs)
    }

    fn is(&mut self, from: ValueId, to: ValueId) {
        if let (Some(name), None) = (&self.from.value(from).name, &self.builder.graph().value(to).name) {
            self.builder.name(to, name.clone());
        }
        self.map.insert(from, to);
    }
}
