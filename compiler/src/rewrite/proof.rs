//! Proofs: why a program that rules made equals its source, and a checker that knows nothing of e-graphs.
//!
//! In: a small graph and rules. Out: a [`Proof`], written by `egg`'s explanations, and [`check`]'s judgement of it. A proof
//! is made of [`Chain`]s of terms. Each link is what one rule does to one whole term, forward or backward, or takes over
//! what other chains show of operands. Nothing is proved while models are compiled. Must not know: single rules.
//!
//! The checker builds each term by itself, where nothing is equal to anything else, applies the rule that is named there,
//! and wants the next term to come out, to the letter. Whether the two are equal is another question: who checks a proof
//! can evaluate them, since terms are whole programs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use egg::{Id, TreeTerm};
use frit_ir::graph::{Graph, NodeId, ValueId};
use frit_ir::ops::Attr;
use frit_ir::ops::constant::Constant;
use frit_ir::text::print_attr;
use frit_ir::{Error, Op};

pub use super::check::Applied;

use super::facts::{self, FOLDING, Knowledge};
use super::language::{self, Head, HeadId};
use super::pattern::{Bindings, Site};
use super::region::{self, Part};
use super::rule::Compiled;
use super::saturate::{self, Application};
use super::{LEAST_TERMS, Loaded, Prices, Report, Rewriter, TERMS_PER_NODE, extract};

/// A term of a proof.
#[derive(Clone, Debug)]
pub struct Term {
    /// What it applies.
    pub applied: Applied,
    /// To which terms, by their numbers, which are less than its own.
    pub operands: Vec<usize>,
}

/// Why a term equals the one before it.
#[derive(Clone, Debug)]
pub enum Why {
    /// A rule makes one out of the other.
    Rule {
        /// Its name.
        rule: &'static str,
        /// Does it make this one out of the one before?
        forward: bool,
        /// What its left side matched: one of the two, and for a family the other members.
        lefts: Vec<usize>,
        /// Which of them it is.
        member: usize,
    },
    /// One is a constant, and what the other computes from constants.
    Folding,
    /// The operands are equal, by these chains.
    Operands(Vec<usize>),
}

/// A step of a proof.
#[derive(Clone, Debug)]
pub struct Link {
    /// Why the term equals the one before.
    pub why: Why,
    /// The term.
    pub to: usize,
}

/// Terms that are equal, each because of the one before it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The first term.
    pub from: usize,
    /// How it goes on. Chains of operands have lesser numbers than this one.
    pub links: Vec<Link>,
}

impl Chain {
    /// The last term.
    pub fn to(&self) -> usize {
        self.links.last().map_or(self.from, |link| link.to)
    }
}

/// Why values of a graph equal what rules made of them.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// All terms.
    pub terms: Vec<Term>,
    /// What is shown of them.
    pub chains: Vec<Chain>,
    /// What they are for.
    pub claims: Vec<Claim>,
    /// The terms that are values of the graph as it was.
    pub values: BTreeMap<usize, ValueId>,
}

/// What a proof is for: a value of a graph is equal to a term.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The value.
    pub value: ValueId,
    /// The term.
    pub term: usize,
    /// The chain that begins with what the graph says of the value, and ends with the term.
    pub chain: usize,
}

impl Proof {
    /// The links that apply a rule, in the order in which they are needed: rule, the term before, the term after.
    pub fn applications(&self) -> impl Iterator<Item = (&'static str, usize, usize)> {
        self.chains.iter().flat_map(|chain| {
            let before = std::iter::once(chain.from).chain(chain.links.iter().map(|link| link.to));
            before.zip(&chain.links).filter_map(|(before, link)| match &link.why {
                Why::Rule { rule, .. } => Some((*rule, before, link.to)),
                Why::Folding | Why::Operands(_) => None,
            })
        })
    }
}

/// What is to be proved of a graph's outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// They equal what is extracted.
    Extracted,
    /// They equal each term that was found for them.
    Found,
}

/// Saturates a whole graph, as one region, and proves what was found.
///
/// # Errors
/// A bug where a rule makes classes equal that differ, or the graph holds control flow.
pub fn prove(graph: &Graph, rules: &[Compiled], prices: &Prices<'_>, goal: Goal) -> Result<Proof, Error> {
    let nodes = nodes(graph);
    let made: BTreeSet<ValueId> = nodes.iter().flat_map(|id| &graph.node(*id).outputs).copied().collect();
    let wanted: Vec<ValueId> = graph.outputs().iter().map(|(_, value)| *value).filter(|value| made.contains(value)).collect();
    proved(graph, &nodes, &wanted, &mut |_| wanted.clone(), rules, prices, goal)
}

/// Proves what becomes of a graph, region by region as it is rewritten; or of what is made of some of its values. `inside`
/// are these; values are added to them that come after them and are no longer there after rewriting, up to those that are.
/// Proofs are checked. Subgraphs are left out.
///
/// # Errors
/// As for [`prove`]; a bug where a proof does not stand [`check`]ing.
pub fn prove_regions(graph: &Graph, mut inside: Option<&mut BTreeSet<ValueId>>, rules: &[Compiled], prices: &Prices<'_>) -> Result<Vec<Proof>, Error> {
    let uses = graph.uses();
    let mut proofs = Vec::new();
    for part in region::parts(graph, &uses) {
        let Part::Region(nodes) = part else { continue };
        let wanted = region::wanted(graph, &nodes, &uses);
        let made = |id: &NodeId| graph.node(*id).outputs.clone();
        let proof = match &mut inside {
            None => proved(graph, &nodes, &wanted, &mut |_| wanted.clone(), rules, prices, Goal::Extracted)?,
            Some(inside) if nodes.iter().flat_map(made).any(|value| inside.contains(&value)) => {
                let mut last = |is_there: &dyn Fn(ValueId) -> bool| {
                    let mut last = Vec::new();
                    for value in nodes.iter().flat_map(made) {
                        let users = || uses[value.0 as usize].iter().filter(|user| nodes.contains(user));
                        match inside.contains(&value) {
                            true if is_there(value) && !users().flat_map(made).any(|value| inside.contains(&value)) => last.push(value),
                            true if !is_there(value) => inside.extend(users().flat_map(made)),
                            _ => {}
                        }
                    }
                    last
                };
                proved(graph, &nodes, &wanted, &mut last, rules, prices, Goal::Extracted)?
            }
            Some(_) => continue,
        };
        check_part(&proof, graph, &nodes, rules).map_err(|why| Error::bug(format!("a proof does not hold: {why}")))?;
        proofs.push(proof);
    }
    Ok(proofs)
}

/// Chooses values, where it can be told which are there after rewriting.
type Choose<'a> = dyn FnMut(&dyn Fn(ValueId) -> bool) -> Vec<ValueId> + 'a;

/// Proves what rules find in some nodes, of which `wanted` are to be made. `values` says for which values.
fn proved(graph: &Graph, nodes: &[NodeId], wanted: &[ValueId], values: &mut Choose<'_>, rules: &[Compiled], prices: &Prices<'_>, goal: Goal) -> Result<Proof, Error> {
    let Loaded { graph: mut egraph, mut history, classes, outside } = Loaded::new(facts::Graph::new(Knowledge::default()).with_explanations_enabled(), graph, nodes)?;
    saturate::saturate(&mut egraph, rules, LEAST_TERMS.max(nodes.len() * TERMS_PER_NODE), &mut history)?;
    let pairs: Vec<(ValueId, Id)> = match goal {
        Goal::Found => {
            let terms = |value: &ValueId| egraph[classes[value]].nodes.iter().map(|term| (*value, term.clone())).collect::<Vec<_>>();
            let all: Vec<(ValueId, language::Term)> = values(&|_| true).iter().flat_map(terms).collect();
            all.into_iter().map(|(value, term)| (value, egraph.add_uncanonical(term))).collect()
        }
        Goal::Extracted => {
            let rewriter = Rewriter { rules, prices, report: &mut Report::default(), hits: &mut BTreeMap::new() };
            let roots: Vec<Id> = wanted.iter().map(|value| classes[value]).collect();
            let fail = || Error::bug("nothing could be taken out of the e-graph");
            let (choice, _) = rewriter.cheapest(&egraph, &roots)?;
            let mut taken: BTreeMap<Id, Id> = BTreeMap::new();
            for id in extract::reached(&egraph, &roots, &choice).ok_or_else(fail)? {
                let mut term = egraph[id].nodes[choice[&id]].clone();
                term.children.iter_mut().for_each(|child| *child = taken[&egraph.find(*child)]);
                taken.insert(id, egraph.add_uncanonical(term));
            }
            let at = |value: ValueId| taken.get(&egraph.find(*classes.get(&value)?)).copied();
            values(&|value| at(value).is_some()).into_iter().filter_map(|value| Some((value, at(value)?))).collect()
        }
    };
    let mut writer = Writer { rules, applications: history.applications, outside, proof: Proof::default(), terms: HashMap::new(), by_id: HashMap::new(), chains: HashMap::new() };
    for (value, to) in pairs {
        let explanation = egraph.explain_id_equivalence(classes[&value], to);
        let chain = writer.chain(&egraph, &explanation.explanation_trees)?;
        let term = writer.term_of(&egraph, to);
        writer.proof.claims.push(Claim { value, term, chain });
    }
    for (value, id) in &classes {
        let term = writer.term_of(&egraph, *id);
        writer.proof.values.entry(term).or_insert(*value);
    }
    Ok(writer.proof)
}

/// The nodes of a graph that is one region.
fn nodes(graph: &Graph) -> Vec<NodeId> {
    graph.nodes().filter(|(_, node)| !matches!(node.op, Op::Constant(_))).map(|(id, _)| id).collect()
}

type Tree = Rc<TreeTerm<language::Term>>;

/// Writes `egg`'s explanations as chains.
struct Writer<'a> {
    rules: &'a [Compiled],
    applications: Vec<Application>,
    outside: Vec<ValueId>,
    proof: Proof,
    /// The numbers of terms.
    terms: HashMap<(HeadId, Vec<usize>), usize>,
    /// The numbers of terms that `egg` knows by a number of its own.
    by_id: HashMap<Id, usize>,
    /// The numbers of chains, by what they are written after, which is kept so that no other takes its place.
    chains: HashMap<Vec<*const TreeTerm<language::Term>>, (usize, Vec<Tree>)>,
}

impl Writer<'_> {
    fn chain(&mut self, graph: &facts::Graph, trees: &[Tree]) -> Result<usize, Error> {
        let key: Vec<_> = trees.iter().map(Rc::as_ptr).collect();
        if let Some((known, _)) = self.chains.get(&key) {
            return Ok(*known);
        }
        let mut from = None;
        let mut links: Vec<Link> = Vec::new();
        for tree in trees {
            let operands: Vec<usize> = tree.child_proofs.iter().map(|trees| self.chain(graph, trees)).collect::<Result<_, _>>()?;
            let begins = self.term(graph, tree.node.head, operands.iter().map(|chain| self.proof.chains[*chain].from).collect());
            if let Some(reason) = tree.forward_rule.or(tree.backward_rule) {
                links.push(Link { why: self.why(graph, reason.as_str(), tree.forward_rule.is_some())?, to: begins });
            }
            from.get_or_insert(begins);
            if operands.iter().any(|chain| !self.proof.chains[*chain].links.is_empty()) {
                let to = self.term(graph, tree.node.head, operands.iter().map(|chain| self.proof.chains[*chain].to()).collect());
                links.push(Link { why: Why::Operands(operands), to });
            }
        }
        let from = from.ok_or_else(|| Error::bug("an explanation is empty"))?;
        self.proof.chains.push(Chain { from, links });
        self.chains.insert(key, (self.proof.chains.len() - 1, trees.to_vec()));
        Ok(self.proof.chains.len() - 1)
    }

    fn why(&mut self, graph: &facts::Graph, reason: &str, forward: bool) -> Result<Why, Error> {
        if reason == FOLDING {
            return Ok(Why::Folding);
        }
        let application = reason.parse().ok().and_then(|number: usize| self.applications.get(number)).cloned();
        let Application { rule, lefts, member } = application.ok_or_else(|| Error::bug(format!("terms were made equal for the reason '{reason}', which is none")))?;
        Ok(Why::Rule { rule: self.rules[rule].rule.name, forward, lefts: lefts.into_iter().map(|id| self.term_of(graph, id)).collect(), member })
    }

    fn term_of(&mut self, graph: &facts::Graph, id: Id) -> usize {
        if let Some(known) = self.by_id.get(&id) {
            return *known;
        }
        let node = graph.id_to_node(id);
        let operands = node.children.iter().map(|child| self.term_of(graph, *child)).collect();
        let term = self.term(graph, node.head, operands);
        self.by_id.insert(id, term);
        term
    }

    fn term(&mut self, graph: &facts::Graph, head: HeadId, operands: Vec<usize>) -> usize {
        let next = self.proof.terms.len();
        let number = *self.terms.entry((head, operands.clone())).or_insert(next);
        if number == next {
            let applied = match graph.analysis.heads.get(head) {
                Head::Leaf(k) => Applied::Outside(self.outside[*k]),
                Head::Part(k) => Applied::Part(*k),
                Head::Op(op) => Applied::Op(op.clone()),
            };
            self.proof.terms.push(Term { applied, operands });
        }
        number
    }
}

/// Checks a proof: each claim begins with what the graph says, and each link is what its reason says.
///
/// # Errors
/// What is wrong with it.
pub fn check(proof: &Proof, graph: &Graph, rules: &[Compiled]) -> Result<(), String> {
    check_part(proof, graph, &nodes(graph), rules)
}

fn check_part(proof: &Proof, graph: &Graph, nodes: &[NodeId], rules: &[Compiled]) -> Result<(), String> {
    if proof.terms.iter().enumerate().any(|(at, term)| term.operands.iter().any(|operand| *operand >= at)) {
        return Err("a term holds itself".into());
    }
    let Loaded { graph: mut plain, classes, outside, .. } = Loaded::new(plain(Vec::new()), graph, nodes).map_err(|error| error.to_string())?;
    let leaves = outside.iter().enumerate().map(|(at, value)| (*value, at)).collect();
    let checker = Checker { proof, rules, leaves, leaf_facts: plain.analysis.leaves.clone() };
    let mut built = BTreeMap::new();
    for claim in &proof.claims {
        let chain = proof.chains.get(claim.chain).ok_or("a claim has no chain")?;
        if chain.to() != claim.term {
            return Err("a claim's chain does not end with its term".into());
        }
        if classes.get(&claim.value) != Some(&checker.build(&mut plain, &mut built, chain.from)?) {
            return Err("a claim's chain does not begin with what the graph says of its value".into());
        }
    }
    for (at, chain) in proof.chains.iter().enumerate() {
        let mut before = chain.from;
        for link in &chain.links {
            checker.link(at, before, link)?;
            before = link.to;
        }
    }
    Ok(())
}

/// An e-graph in which nothing equals anything else.
fn plain(leaves: Vec<facts::Facts>) -> facts::Graph {
    facts::Graph::new(Knowledge { plain: true, leaves, ..Knowledge::default() })
}

struct Checker<'a> {
    proof: &'a Proof,
    rules: &'a [Compiled],
    leaves: BTreeMap<ValueId, usize>,
    leaf_facts: Vec<facts::Facts>,
}

impl Checker<'_> {
    fn link(&self, chain: usize, before: usize, link: &Link) -> Result<(), String> {
        match &link.why {
            Why::Operands(chains) => {
                let (from, to) = (self.term(before)?, self.term(link.to)?);
                let mut plain = plain(Vec::new());
                let head = |plain: &mut facts::Graph, term: &Term| self.head(plain, term);
                if head(&mut plain, from)? != head(&mut plain, to)? || from.operands.len() != chains.len() || to.operands.len() != chains.len() {
                    return Err("a link that is about operands changes more than these".into());
                }
                for (operand, by) in chains.iter().enumerate() {
                    let by = self.proof.chains[..chain].get(*by).ok_or("a link rests on a chain that comes later")?;
                    if (by.from, by.to()) != (from.operands[operand], to.operands[operand]) {
                        return Err("a link rests on a chain that is about something else".into());
                    }
                }
                Ok(())
            }
            Why::Folding => {
                let mut plain = plain(self.leaf_facts.clone());
                let mut built = BTreeMap::new();
                let ends = [before, link.to].map(|term| self.build(&mut plain, &mut built, term));
                let [Ok(a), Ok(b)] = ends else { return Err("a term does not fit together".into()) };
                let is_constant = |term: usize| matches!(self.proof.terms[term].applied, Applied::Op(Op::Constant(_)));
                match (&plain[a].data.value, &plain[b].data.value) {
                    (Some(x), Some(y)) if facts::same(x, y) && (is_constant(before) || is_constant(link.to)) => Ok(()),
                    _ => Err(format!("a constant is not what {} computes", self.show(if is_constant(before) { link.to } else { before }))),
                }
            }
            Why::Rule { rule, forward, lefts, member } => {
                let compiled = self.rules.iter().find(|known| known.rule.name == *rule).ok_or_else(|| format!("there is no rule '{rule}'"))?;
                let (left, right) = if *forward { (before, link.to) } else { (link.to, before) };
                if lefts.get(*member) != Some(&left) {
                    return Err(format!("'{rule}' is said to be applied to another term than it stands at"));
                }
                match self.applies(compiled, lefts, *member, right)? {
                    true => Ok(()),
                    false => Err(format!("'{rule}' does not make {} out of {}", self.show(right), self.show(left))),
                }
            }
        }
    }

    /// Does a rule, applied to terms that stand alone, make `right` equal to one of them?
    fn applies(&self, rule: &Compiled, lefts: &[usize], member: usize, right: usize) -> Result<bool, String> {
        let mut graph = plain(self.leaf_facts.clone());
        let mut built = BTreeMap::new();
        let roots: Vec<Id> = lefts.iter().map(|term| self.build(&mut graph, &mut built, *term)).collect::<Result<_, _>>()?;
        graph.rebuild();
        let mut matches: Vec<Vec<Bindings>> = Vec::new();
        for root in &roots {
            let holds = |bindings: &Bindings| Site { graph: &graph, bindings, root: *root, member: 0 }.holds(&rule.when);
            matches.push(rule.left.matches(&graph, *root, rule.names.len(), &mut false).into_iter().filter(holds).collect());
        }
        let root = roots[member];
        for own in &matches[member] {
            let agrees = |other: &&Bindings| (0..own.bound.len()).filter(|k| !rule.each.contains(k)).all(|k| other.bound[k] == own.bound[k]);
            let Some(members) = matches.iter().enumerate().map(|(at, found)| if at == member { Some(own) } else { found.iter().find(agrees) }).collect::<Option<Vec<_>>>() else { continue };
            let bindings = saturate::joined(rule, &members);
            let Some(made) = saturate::build(&mut graph, rule, &bindings, root, member, &mut Vec::new()) else { continue };
            if graph[made].data.types == graph[root].data.types && made == self.build(&mut graph, &mut built, right)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn term(&self, number: usize) -> Result<&Term, String> {
        self.proof.terms.get(number).ok_or_else(|| "a term is missing".into())
    }

    fn head(&self, graph: &mut facts::Graph, term: &Term) -> Result<HeadId, String> {
        let head = match &term.applied {
            Applied::Outside(value) => Head::Leaf(*self.leaves.get(value).ok_or("a term holds a value that the graph does not use")?),
            Applied::Part(k) => Head::Part(*k),
            Applied::Op(op) => Head::Op(op.clone()),
        };
        graph.analysis.heads.intern(head).ok_or_else(|| "a term holds a subgraph".into())
    }

    /// Adds a term to an e-graph in which nothing equals anything else: its number there is that of no other term.
    fn build(&self, graph: &mut facts::Graph, built: &mut BTreeMap<usize, Id>, number: usize) -> Result<Id, String> {
        if let Some(known) = built.get(&number) {
            return Ok(*known);
        }
        let term = self.term(number)?;
        let children: Vec<Id> = term.operands.iter().map(|operand| self.build(graph, built, *operand)).collect::<Result<_, _>>()?;
        if let Applied::Op(op) = &term.applied
            && !matches!(op, Op::Constant(_))
        {
            let operands: Vec<&facts::Facts> = children.iter().map(|id| &graph[*id].data).collect();
            facts::infer(op, &operands).map_err(|error| format!("a term does not fit together: {error}"))?;
        }
        let head = self.head(graph, term)?;
        let name = graph.analysis.heads.get(head).name();
        let id = graph.add(language::Term { head, name, children });
        built.insert(number, id);
        Ok(id)
    }

    fn show(&self, term: usize) -> String {
        show(self.proof, term, 6, &|_| None)
    }
}

/// A term as text; what lies deeper than some ops is left out, but for what has a name.
pub fn show(proof: &Proof, term: usize, depth: usize, name: &dyn Fn(usize) -> Option<String>) -> String {
    shown(proof, term, &Open::new(), depth, name)
}

/// Terms that are written out, and the attributes of them that are.
pub(super) type Open = BTreeMap<usize, BTreeSet<String>>;

/// More characters of attributes than this are left out.
const MAX_ATTRIBUTES: usize = 70;

/// A term as text. Terms that are open are written out, and below them no more than `depth` ops that have no name.
pub(super) fn shown(proof: &Proof, number: usize, open: &Open, depth: usize, name: &dyn Fn(usize) -> Option<String>) -> String {
    let term = &proof.terms[number];
    let depth = match (open.get(&number), name(number)) {
        (Some(_), _) => depth + 1,
        (None, Some(name)) => return name,
        (None, None) => depth,
    };
    let attributes = |op: &Op| {
        let told = |(name, attr): &(&str, Attr)| open.get(&number).is_some_and(|told| told.contains(*name)).then(|| format!("{name}={}", print_attr(attr)));
        let told: Vec<String> = op.def().attrs().iter().filter_map(told).collect();
        Some(format!("[{}]", told.join(", "))).filter(|text| !told.is_empty() && text.len() <= MAX_ATTRIBUTES).unwrap_or_default()
    };
    let operands = || match depth {
        0 => "..".to_owned(),
        _ => term.operands.iter().map(|operand| shown(proof, *operand, open, depth - 1, name)).collect::<Vec<_>>().join(", "),
    };
    match &term.applied {
        Applied::Outside(value) => format!("%{}", value.0),
        Applied::Part(k) => format!("{}.{k}", operands()),
        Applied::Op(Op::Constant(Constant { value })) if value.elems() == 1 && value.strings().is_empty() => format!("{}", value.get(0).as_f64()),
        Applied::Op(Op::Constant(Constant { value })) => format!("{}", value.ty()),
        Applied::Op(op) => format!("{}{}({})", op.name(), attributes(op), operands()),
    }
}
