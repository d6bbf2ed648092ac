//! Proofs to be read: the applications of rules, in the order in which they build on each other, terms abbreviated.
//!
//! In: a [`Proof`], and which values of the graph are looked into. Out: [`Step`]s. Must not know: single rules.

use std::collections::{BTreeMap, BTreeSet};

use frit_ir::Op;
use frit_ir::graph::ValueId;

use super::facts::FOLDING;
use super::pattern::{ELEMENTWISE, Pattern};
use super::proof::{Applied, Open, Proof, Why, shown};
use super::rule::{Compiled, Right};

/// Below what a rule looks at, so many ops of a term without a name are written out.
const DEPTH: usize = 2;

/// An application of a rule.
#[derive(Clone, Debug)]
pub struct Step {
    /// The rule's name.
    pub rule: &'static str,
    /// Was the term before made out of the term after?
    pub backward: bool,
    /// The value of the graph that the term is, or is part of.
    pub place: ValueId,
    /// The term before.
    pub before: String,
    /// The term after.
    pub after: String,
}

/// The steps of a proof. Values that are not `inside` are taken as they are, and so is what proves them.
pub(crate) fn steps(proof: &Proof, rules: &[Compiled], inside: &dyn Fn(ValueId) -> bool, name: &dyn Fn(ValueId) -> String) -> Vec<Step> {
    let mut walk = Walk { proof, inside, seen: BTreeSet::new(), steps: BTreeSet::new(), same: proof.values.clone(), found: Vec::new() };
    for claim in &proof.claims {
        walk.chain(claim.chain, claim.value);
    }
    let Walk { same, found, .. } = walk;
    let named = |term: usize| match &proof.terms[term].applied {
        Applied::Op(Op::Constant(constant)) if constant.value.elems() == 1 => None,
        _ => same.get(&term).map(|value| name(*value)),
    };
    let step = |Applies { why, place, before, after }| {
        let (rule, backward) = match why {
            Why::Rule { rule, forward, .. } => (*rule, !forward),
            Why::Folding | Why::Operands(_) => (FOLDING, false),
        };
        let mut open = Open::from([(before, BTreeSet::new())]);
        if let Some(compiled) = rules.iter().find(|compiled| compiled.rule.name == rule) {
            let (left, right) = if backward { (after, before) } else { (before, after) };
            matched(proof, &compiled.left, left, &mut open);
            match &compiled.right {
                Right::Term(pattern) => matched(proof, pattern, right, &mut open),
                Right::Expansion => drop(open.entry(right).or_default()),
            }
        }
        let show = |term| shown(proof, term, &open, DEPTH, &named);
        Step { rule, backward, place, before: show(before), after: show(after) }
    };
    found.into_iter().map(step).collect()
}

struct Applies<'a> {
    why: &'a Why,
    place: ValueId,
    before: usize,
    after: usize,
}

struct Walk<'a> {
    proof: &'a Proof,
    inside: &'a dyn Fn(ValueId) -> bool,
    /// Chains that were walked, and pairs of terms that were found.
    seen: BTreeSet<usize>,
    steps: BTreeSet<(usize, usize)>,
    /// Terms that are values of the graph, or what became of them.
    same: BTreeMap<usize, ValueId>,
    found: Vec<Applies<'a>>,
}

impl Walk<'_> {
    fn chain(&mut self, at: usize, place: ValueId) {
        let chain = &self.proof.chains[at];
        let value = self.proof.values.get(&chain.from).copied();
        if let Some(value) = value.filter(|value| !(self.inside)(*value)) {
            self.same.entry(chain.to()).or_insert(value);
            return;
        }
        if !self.seen.insert(at) {
            return;
        }
        let place = value.unwrap_or(place);
        let mut before = chain.from;
        for link in &chain.links {
            match &link.why {
                Why::Operands(chains) => chains.iter().for_each(|chain| self.chain(*chain, place)),
                // Congruent terms repeat it.
                why if self.steps.insert((before, link.to)) => self.found.push(Applies { why, place, before, after: link.to }),
                _ => {}
            }
            before = link.to;
        }
    }
}

/// The terms that the ops of a pattern stand for, and the attributes that it speaks of.
fn matched(proof: &Proof, pattern: &Pattern, number: usize, open: &mut Open) {
    let Pattern::Apply { op, operands, attrs, .. } = pattern else { return };
    let term = &proof.terms[number];
    if !applies(op, &term.applied) {
        return;
    }
    open.entry(number).or_default().extend(attrs.iter().map(|(name, _)| name.clone()));
    let fits = |(pattern, operand): (&Pattern, &usize)| pattern.op().is_none_or(|op| applies(op, &proof.terms[*operand].applied));
    let mut terms = term.operands.clone();
    if terms.len() == 2 && !operands.iter().zip(&terms).all(fits) {
        terms.reverse();
    }
    operands.iter().zip(terms).for_each(|(pattern, operand)| matched(proof, pattern, operand, open));
}

/// Is something that is applied what a pattern names?
fn applies(name: &str, applied: &Applied) -> bool {
    match applied {
        Applied::Op(op) => op.name() == name || name == ELEMENTWISE && op.def().elementwise(),
        Applied::Part(_) => name == "part",
        Applied::Outside(_) => false,
    }
}
