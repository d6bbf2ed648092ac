//! Rules applied to a region until nothing new comes out, within bounds.
//!
//! In: a region's e-graph and [`Compiled`] rules. Out: the e-graph with all that they find equal, and what was done.
//! There is no clock: the bounds are iterations and terms. Must not know: costs.

use std::collections::{BTreeMap, BTreeSet};

use egg::Id;
use frit_ir::{Builder, Error};

use super::facts::Graph;
use super::language::{Head, Term};
use super::pattern::{Bindings, Bound, Site, add};
use super::rule::{Class, Compiled, Right};

/// Rounds of matching and applying all rules.
const MAX_ROUNDS: usize = 12;
/// Families are looked for after the other rules have settled, this many times.
const FAMILY_ROUNDS: usize = 2;
/// A rule is applied no more often than this in one round.
const MAX_APPLICATIONS: usize = 2_000;

/// How a term came to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    /// Source nodes, by their number in the region.
    pub nodes: BTreeSet<u32>,
    /// The rules that made it, in order.
    pub rules: Vec<usize>,
}

/// How terms came to be, and how often rules fired.
#[derive(Default, Debug)]
pub(super) struct History {
    /// By term, canonical since the last round.
    pub made: BTreeMap<Term, Made>,
    /// For each rule how often it found something new.
    pub hits: Vec<usize>,
    /// For each rule how many terms it added.
    pub grown: Vec<usize>,
    /// Was a bound reached?
    pub cut: bool,
    /// What was made equal, in order, where the e-graph explains: the reasons there are numbers of these.
    pub applications: Vec<Application>,
}

/// What a rule was applied to: the very terms.
#[derive(Clone, Debug)]
pub(super) struct Application {
    /// The rule.
    pub rule: usize,
    /// The terms that its left side matched, several of a family.
    pub lefts: Vec<Id>,
    /// Which of them was made equal to something.
    pub member: usize,
}

impl History {
    /// A term that a source node stands for.
    pub(super) fn source(&mut self, term: Term, node: u32) {
        self.made.entry(term).or_default().nodes.insert(node);
    }

    fn canonicalise(&mut self, graph: &Graph) {
        let old = std::mem::take(&mut self.made);
        for (mut term, made) in old {
            term.children.iter_mut().for_each(|id| *id = graph.find(*id));
            let known = self.made.entry(term).or_insert_with(|| made.clone());
            if made.rules.len() < known.rules.len() {
                *known = made;
            }
        }
    }

    /// How a match came to be, with the rule that found it.
    fn after(&self, terms: &[Term], rule: usize) -> Made {
        let mut after = Made::default();
        for made in terms.iter().filter_map(|term| self.made.get(term)) {
            after.nodes.extend(&made.nodes);
            after.rules.extend(made.rules.iter().filter(|rule| !after.rules.contains(rule)).copied().collect::<Vec<_>>());
        }
        if !after.rules.contains(&rule) {
            after.rules.push(rule);
        }
        after
    }
}

/// A match of a rule: the class, and what is bound. Families have one entry per member.
struct Found {
    rule: usize,
    members: Vec<(Id, Bindings)>,
}

/// Saturates an e-graph. It holds no more than about `limit` terms afterwards.
///
/// # Errors
/// A bug where a rule makes classes equal that differ.
pub(super) fn saturate(graph: &mut Graph, rules: &[Compiled], limit: usize, history: &mut History) -> Result<(), Error> {
    history.hits.resize(rules.len(), 0);
    history.grown.resize(rules.len(), 0);
    graph.analysis.exact = rules.iter().all(|rule| rule.rule.class == Class::Exact);
    graph.rebuild();
    history.canonicalise(graph);
    settle(graph, rules, limit, history)?;
    for _ in 0..FAMILY_ROUNDS {
        let found = search(graph, rules, true, history);
        if !apply(graph, rules, found, limit, history)? {
            break;
        }
        settle(graph, rules, limit, history)?;
    }
    Ok(())
}

fn settle(graph: &mut Graph, rules: &[Compiled], limit: usize, history: &mut History) -> Result<(), Error> {
    for round in 0.. {
        let found = search(graph, rules, false, history);
        if !apply(graph, rules, found, limit, history)? {
            break;
        }
        if round + 1 == MAX_ROUNDS {
            history.cut = true;
            break;
        }
    }
    Ok(())
}

/// All matches of the rules that are about families, or of the others.
fn search(graph: &Graph, rules: &[Compiled], families: bool, history: &mut History) -> Vec<Found> {
    let mut found = Vec::new();
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.each.is_empty() != families) {
        let mut matches = Vec::new();
        for id in rule.left.candidates(graph) {
            for bindings in rule.left.matches(graph, id, rule.names.len(), &mut history.cut) {
                let site = Site { graph, bindings: &bindings, root: id, member: 0 };
                if matches.len() == MAX_APPLICATIONS {
                    history.cut = true;
                } else if site.holds(&rule.when) {
                    matches.push((id, bindings));
                }
            }
        }
        if families {
            found.extend(grouped(rule, matches).into_iter().map(|members| Found { rule: at, members }));
        } else {
            found.extend(matches.into_iter().map(|member| Found { rule: at, members: vec![member] }));
        }
    }
    found
}

/// Matches that are equal but for what differs between members, if there are several.
fn grouped(rule: &Compiled, matches: Vec<(Id, Bindings)>) -> Vec<Vec<(Id, Bindings)>> {
    let mut groups: Vec<Vec<(Id, Bindings)>> = Vec::new();
    for (id, bindings) in matches {
        let shared = |other: &Bindings| (0..bindings.bound.len()).filter(|k| !rule.each.contains(k)).all(|k| other.bound[k] == bindings.bound[k]);
        match groups.iter_mut().find(|group| shared(&group[0].1)) {
            Some(group) if group.iter().any(|(known, _)| *known == id) => {}
            Some(group) => group.push((id, bindings)),
            None => groups.push(vec![(id, bindings)]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// Applies matches; was anything new?
fn apply(graph: &mut Graph, rules: &[Compiled], found: Vec<Found>, limit: usize, history: &mut History) -> Result<bool, Error> {
    let mut changed = false;
    let mut lefts: Vec<Vec<Id>> = Vec::new();
    let explained = graph.are_explanations_enabled();
    for found in found.iter().filter(|_| explained) {
        let left = &rules[found.rule].left;
        lefts.push(found.members.iter().map(|(id, bindings)| left.instance(graph, *id, bindings)).collect());
    }
    for (number, Found { rule: at, members }) in found.into_iter().enumerate() {
        if graph.total_size() >= limit {
            history.cut = true;
            break;
        }
        let rule = &rules[at];
        graph.analysis.rule = rule.rule.name;
        let bindings = joined(rule, &members.iter().map(|(_, bindings)| bindings).collect::<Vec<_>>());
        let all = history.after(&members.iter().flat_map(|(_, bindings)| bindings.terms.clone()).collect::<Vec<_>>(), at);
        for (member, (root, own)) in members.iter().enumerate() {
            let mut made = Vec::new();
            let before = graph.total_size();
            let built = build(graph, rule, &bindings, *root, member, &mut made);
            let grew = graph.total_size() - before;
            // What stands on top of a member's right side is its own; what lies below is the family's.
            let is_top = |term: &mut Term| members.len() > 1 && built.is_some_and(|id| graph.lookup(term) == Some(graph.find(id)));
            if let Some(term) = made.pop_if(is_top) {
                let own = history.after(&own.terms, at);
                history.made.entry(term).or_insert(own);
            }
            for term in made {
                history.made.entry(term).or_insert_with(|| all.clone());
            }
            let Some(built) = built else { continue };
            let new = match lefts.get(number) {
                Some(lefts) => {
                    history.applications.push(Application { rule: at, lefts: lefts.clone(), member });
                    graph.union_trusted(lefts[member], built, (history.applications.len() - 1).to_string())
                }
                None => graph.union(*root, built),
            };
            if new {
                history.hits[at] += 1;
                history.grown[at] += grew;
                changed = true;
            }
        }
        if let Some(conflict) = graph.analysis.conflicts.first() {
            return Err(Error::bug(conflict.clone()));
        }
    }
    graph.rebuild();
    if let Some(conflict) = graph.analysis.conflicts.first() {
        return Err(Error::bug(conflict.clone()));
    }
    history.canonicalise(graph);
    Ok(changed)
}

/// What is bound by all members of a family: what differs between them becomes a list.
pub(super) fn joined(rule: &Compiled, members: &[&Bindings]) -> Bindings {
    let mut bindings = members[0].clone();
    for k in &rule.each {
        let each = members.iter().map(|bindings| match &bindings.bound[*k] {
            Some(Bound::Class(id)) => Some(*id),
            _ => None,
        });
        bindings.bound[*k] = each.collect::<Option<Vec<Id>>>().map(Bound::Classes);
    }
    bindings
}

/// Builds a rule's right side for a match, or for one member of a family.
pub(super) fn build(graph: &mut Graph, rule: &Compiled, bindings: &Bindings, root: Id, member: usize, made: &mut Vec<Term>) -> Option<Id> {
    match &rule.right {
        Right::Expansion => expansion(graph, &bindings.terms[0], made),
        Right::Term(pattern) => pattern.build(graph, bindings, root, member, made),
    }
}

/// Adds the expansion of a composite.
fn expansion(graph: &mut Graph, term: &Term, made: &mut Vec<Term>) -> Option<Id> {
    let Head::Op(op) = graph.analysis.heads.get(term.head).clone() else { return None };
    let mut builder = Builder::new(op.name());
    let mut inputs = Vec::new();
    for id in &term.children {
        let facts = &graph[*id].data;
        inputs.push(match &facts.value {
            Some(value) => builder.constant(value.clone()),
            None => builder.input("", facts.ty()?.clone()),
        });
    }
    let outputs = op.def().expand(&mut builder, &inputs).ok()?;
    let [output] = outputs.as_slice() else { return None };
    let expanded = builder.finish();
    let mut map: BTreeMap<_, Id> = inputs.iter().copied().zip(term.children.iter().copied()).collect();
    for (_, node) in expanded.nodes() {
        let children: Vec<Id> = node.inputs.iter().map(|v| map.get(v).copied()).collect::<Option<_>>()?;
        let [out] = node.outputs.as_slice() else { return None };
        if !map.contains_key(out) {
            let id = add(graph, Head::Op(node.op.clone()), children, made)?;
            map.insert(*out, id);
        }
    }
    map.get(output).copied()
}
