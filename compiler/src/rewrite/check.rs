//! Rules tried alone, for tests: what their left sides are, and all that they find equal in a graph, as plain data.
//!
//! In: rules and a small graph. Out: [`Saturated`], whose every term can be evaluated. Must not know: costs.
//!
//! A result is checked by what it says: each term of a class must have the value that the class has. How one term comes
//! from another, rule by rule, is what [`proof`](super::proof) is about.

use std::collections::BTreeMap;

use frit_ir::graph::{Graph, ValueId};
use frit_ir::{Error, Op, Scalar, TensorType};

pub use super::pattern::{ELEMENTWISE, Expression, Names, Pattern};
pub use super::rule::Compiled;

use super::language::Head;
use super::facts::{self, Knowledge};
use super::{LEAST_TERMS, Loaded, saturate};

/// What a term applies.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "most terms are ops")]
pub enum Applied {
    /// Nothing: it is this value of the graph.
    Outside(ValueId),
    /// It is one result of an op with several.
    Part(usize),
    /// An op.
    Op(Op),
}

/// A term.
#[derive(Clone, Debug)]
pub struct Term {
    /// What it applies.
    pub applied: Applied,
    /// To which classes.
    pub operands: Vec<usize>,
    /// The rules that made it, by name; none for what was there before.
    pub rules: Vec<&'static str>,
}

/// Terms that are equal, and what is held to be true of them.
#[derive(Clone, Debug)]
pub struct Equal {
    /// The terms.
    pub terms: Vec<Term>,
    /// Types of the results.
    pub types: Vec<TensorType>,
    /// What no element is less and none greater than, and whether one may be NaN.
    pub range: (f64, f64, bool),
    /// What every element is, where that is known.
    pub splat: Option<Scalar>,
}

/// What rules found in a graph.
#[derive(Clone, Debug)]
pub struct Saturated {
    /// The classes.
    pub classes: Vec<Equal>,
    /// The class of each value that a node has or makes.
    pub values: BTreeMap<ValueId, usize>,
    /// For each rule how often it found something new.
    pub hits: Vec<usize>,
    /// Was a bound on rounds or terms reached?
    pub cut: bool,
}

/// Saturates a whole graph, as one region, with some rules.
///
/// # Errors
/// A bug where a rule makes classes equal whose types or constants differ, or the graph holds control flow.
pub fn saturated(graph: &Graph, rules: &[Compiled]) -> Result<Saturated, Error> {
    let nodes: Vec<_> = graph.nodes().filter(|(_, node)| !matches!(node.op, Op::Constant(_))).map(|(id, _)| id).collect();
    let Loaded { graph: mut egraph, mut history, classes, outside } = Loaded::new(facts::Graph::new(Knowledge::default()), graph, &nodes)?;
    saturate::saturate(&mut egraph, rules, LEAST_TERMS, &mut history)?;
    let mut ids: Vec<egg::Id> = egraph.classes().map(|class| class.id).collect();
    ids.sort_unstable();
    let numbers: BTreeMap<egg::Id, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let number = |id: egg::Id| numbers[&egraph.find(id)];
    let term = |term: &super::language::Term| Term {
        applied: match egraph.analysis.heads.get(term.head) {
            Head::Leaf(k) => Applied::Outside(outside[*k]),
            Head::Part(k) => Applied::Part(*k),
            Head::Op(op) => Applied::Op(op.clone()),
        },
        operands: term.children.iter().map(|id| number(*id)).collect(),
        rules: history.made.get(term).map(|made| made.rules.iter().map(|rule| rules[*rule].rule.name).collect()).unwrap_or_default(),
    };
    let equal = |id: &egg::Id| {
        let facts = &egraph[*id].data;
        Equal {
            terms: egraph[*id].nodes.iter().map(term).collect(),
            types: facts.types.clone(),
            range: (facts.range.low, facts.range.high, facts.range.nan),
            splat: facts.splat,
        }
    };
    Ok(Saturated {
        classes: ids.iter().map(equal).collect(),
        values: classes.iter().map(|(value, id)| (*value, number(*id))).collect(),
        hits: history.hits,
        cut: history.cut,
    })
}
