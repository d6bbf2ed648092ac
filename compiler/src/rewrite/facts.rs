//! What is known of each class of equal terms: types, constants, ranges.
//!
//! In: terms. Out: [`Facts`], kept by `egg` as its analysis. Small constants are folded here; large ones are only known to
//! be constant and are folded after extraction. Merging classes whose types or constants differ is recorded as a
//! [conflict](Knowledge::conflicts) that names both and the rule. Must not know: rules, costs.

use std::cell::RefCell;
use std::collections::HashMap;

use egg::{Analysis, DidMerge, EGraph, Id};
use frit_ir::ops::{Arg, constant::Constant};
use frit_ir::scalar::Scalar;
use frit_ir::{DType, Op, OpError, Tensor, TensorType};

use super::language::{Head, Heads, Term};

/// The e-graph of a region.
pub(super) type Graph = EGraph<Term, Knowledge>;

/// Constants of no more elements than this are folded in the e-graph.
const SMALL: usize = 1 << 12;

/// An interval that all elements lie in; infinite ends are included.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Range {
    /// No element is less.
    pub low: f64,
    /// No element is greater.
    pub high: f64,
    /// May an element be NaN?
    pub nan: bool,
}

impl Range {
    const ANY: Range = Range { low: f64::NEG_INFINITY, high: f64::INFINITY, nan: true };

    /// Neither NaN nor infinite?
    pub(super) fn finite(&self) -> bool {
        !self.nan && self.low > f64::NEG_INFINITY && self.high < f64::INFINITY
    }

    fn meet(&self, other: &Range) -> Range {
        Range { low: self.low.max(other.low), high: self.high.min(other.high), nan: self.nan && other.nan }
    }
}

/// What is known of a class.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Types of the results, one but for ops with several.
    pub types: Vec<TensorType>,
    /// Does it depend on constants only?
    pub constant: bool,
    /// The tensor, where it is a small constant.
    pub value: Option<Tensor>,
    /// What every element is, where they are all the same.
    pub splat: Option<Scalar>,
    /// What its elements lie in.
    pub range: Range,
    /// Are there zeros that padding put around others, wherever they were moved since?
    pub padded: bool,
}

impl Facts {
    /// Of a value from outside of the region.
    pub(super) fn outside(ty: TensorType) -> Facts {
        Facts { types: vec![ty], constant: false, value: None, splat: None, range: Range::ANY, padded: false }
    }

    /// The type of the one result.
    pub(super) fn ty(&self) -> Option<&TensorType> {
        match self.types.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The extents of the one result, if all are known.
    pub(super) fn extents(&self) -> Option<Vec<i64>> {
        self.ty()?.shape.extents()
    }

    fn of_value(value: &Tensor) -> (Option<Scalar>, Range) {
        let mut scalars = value.scalars();
        let first = scalars.next();
        let splat = first.filter(|first| scalars.all(|next| next == *first));
        let mut range = Range { low: f64::INFINITY, high: f64::NEG_INFINITY, nan: false };
        for x in value.scalars().map(Scalar::as_f64) {
            range.nan |= x.is_nan();
            range.low = range.low.min(x);
            range.high = range.high.max(x);
        }
        (splat, if value.elems() == 0 { Range::ANY } else { range })
    }
}

/// Types of an op's results for operands of these facts.
///
/// # Errors
/// What the op says of them.
pub(super) fn infer(op: &Op, operands: &[&Facts]) -> Result<Vec<TensorType>, OpError> {
    let mut args = Vec::with_capacity(operands.len());
    for facts in operands {
        let ty = facts.ty().ok_or_else(|| OpError::bug("an operand has several results"))?;
        args.push(Arg { ty, value: facts.value.as_ref() });
    }
    op.infer(&args)
}

/// What is known of tensors' elements, by where these lie, their number and dtype: the tensor, and the largest and the smallest
/// size.
type Sizes = HashMap<(usize, usize, DType), (Tensor, Option<(f64, f64)>)>;

/// What all rules share.
#[derive(Default, Debug)]
pub(super) struct Knowledge {
    /// What terms apply.
    pub heads: Heads,
    /// Facts of the values from outside.
    pub leaves: Vec<Facts>,
    /// Are all rules exact, so that equal constants have the same bits?
    pub exact: bool,
    /// Are constants not folded, so that a class without rules is one term?
    pub plain: bool,
    /// The rule at work, for messages.
    pub rule: &'static str,
    /// Classes that were merged though they can't be equal.
    pub conflicts: Vec<String>,
    /// Sizes of constants' elements that were measured.
    pub sizes: RefCell<Sizes>,
}

impl Knowledge {
    fn conflict(&mut self, what: &str, a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug) {
        self.conflicts.push(format!("rule '{}' makes equal what differs in {what}: {a:?} and {b:?}", self.rule));
    }
}

impl Analysis<Term> for Knowledge {
    type Data = Facts;

    fn make(egraph: &mut Graph, term: &Term, _: Id) -> Facts {
        match egraph.analysis.heads.get(term.head).clone() {
            Head::Leaf(k) => egraph.analysis.leaves[k].clone(),
            Head::Part(k) => {
                let whole = &egraph[term.children[0]].data;
                Facts { types: whole.types.get(k).cloned().into_iter().collect(), constant: whole.constant, value: None, splat: None, range: Range::ANY, padded: false }
            }
            Head::Op(Op::Constant(Constant { value })) => of_constant(&value),
            Head::Op(op) => {
                let operands: Vec<&Facts> = term.children.iter().map(|id| &egraph[*id].data).collect();
                let mut facts = of_op(&op, &operands);
                if matches!((&op, term.children.as_slice()), (Op::Mul(_), [a, b]) if egraph.find(*a) == egraph.find(*b)) && facts.types.iter().all(|ty| ty.dtype.is_float()) {
                    // A square; what can't be a square is NaN.
                    facts.range = facts.range.meet(&Range { low: 0.0, high: f64::INFINITY, nan: true });
                }
                facts
            }
        }
    }

    fn merge(&mut self, a: &mut Facts, b: Facts) -> DidMerge {
        if a.types != b.types {
            self.conflict("type", &a.types, &b.types);
        }
        let before = (a.constant, a.value.is_some(), a.splat.is_some(), a.range, a.padded);
        let theirs = (b.constant, b.value.is_some(), b.splat.is_some(), b.range, b.padded);
        if let (Some(x), Some(y)) = (&a.value, &b.value)
            && !(if self.exact { same(x, y) } else { close(x, y) })
        {
            self.conflict("value", x, y);
        }
        a.constant |= b.constant;
        a.padded |= b.padded;
        a.range = a.range.meet(&b.range);
        a.value = a.value.take().or(b.value);
        a.splat = a.splat.or(b.splat);
        let after = (a.constant, a.value.is_some(), a.splat.is_some(), a.range, a.padded);
        DidMerge(before != after, theirs != after)
    }

    fn modify(egraph: &mut Graph, id: Id) {
        let Some(value) = egraph[id].data.value.clone() else { return };
        if egraph.analysis.plain || egraph[id].nodes.iter().any(|term| term.name == "constant") {
            return;
        }
        if let Some(constant) = constant(egraph, value) {
            let rule = std::mem::replace(&mut egraph.analysis.rule, FOLDING);
            if egraph.are_explanations_enabled() {
                let folded = folded(egraph, id).unwrap_or(id);
                egraph.union_trusted(folded, constant, FOLDING);
            } else {
                egraph.union(id, constant);
            }
            egraph.analysis.rule = rule;
        }
    }
}

/// What makes a constant equal to what it is computed from.
pub(super) const FOLDING: &str = "constant folding";

fn constant(egraph: &mut Graph, value: Tensor) -> Option<Id> {
    let term = egraph.analysis.heads.term(Head::Op(Constant { value }.into()), Vec::new())?;
    Some(egraph.add_uncanonical(term))
}

/// The term of a class that its value is computed by, from constants.
fn folded(egraph: &mut Graph, id: Id) -> Option<Id> {
    let terms = egraph[id].nodes.clone();
    let wanted = egraph[id].data.value.clone()?;
    let (term, values) = terms.into_iter().find_map(|term| {
        let Head::Op(op) = egraph.analysis.heads.get(term.head) else { return None };
        let values: Vec<Tensor> = term.children.iter().map(|child| egraph[*child].data.value.clone()).collect::<Option<_>>()?;
        let results = op.def().eval(&values.iter().collect::<Vec<_>>()).ok()?;
        matches!(results.as_slice(), [one] if same(one, &wanted)).then_some((term, values))
    })?;
    let children = values.into_iter().map(|value| constant(egraph, value)).collect::<Option<_>>()?;
    Some(egraph.add_uncanonical(Term { children, ..term }))
}

fn of_constant(value: &Tensor) -> Facts {
    let small = value.elems() <= SMALL;
    let (splat, range) = if small { Facts::of_value(value) } else { (None, Range::ANY) };
    Facts { types: vec![value.ty()], constant: true, value: small.then(|| value.clone()), splat, range, padded: false }
}

fn of_op(op: &Op, operands: &[&Facts]) -> Facts {
    let types = infer(op, operands).unwrap_or_default();
    let constant = op.def().deterministic() && operands.iter().all(|facts| facts.constant);
    let few = |ty: &TensorType| ty.shape.elems().is_some_and(|n| n as usize <= SMALL);
    if constant && let [ty] = types.as_slice() && few(ty) {
        let values: Option<Vec<&Tensor>> = operands.iter().map(|facts| facts.value.as_ref()).collect();
        if let Some(value) = values.and_then(|values| op.def().eval(&values).ok()).and_then(|mut results| results.pop()) {
            return of_constant(&value);
        }
    }
    let moves = matches!(op, Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_));
    let splat = if moves { operands.first().and_then(|facts| facts.splat) } else { None };
    let range = match types.as_slice() {
        [ty] if ty.dtype.is_float() => range(op, operands),
        _ => Range::ANY,
    };
    Facts { types, constant, value: None, splat, range, padded: pads(op) || carries(op) && operands.first().is_some_and(|facts| facts.padded) }
}

/// Does an op put zeros around its operand?
pub(super) fn pads(op: &Op) -> bool {
    matches!(op, Op::Pad(pad) if pad.value.as_f64() == 0.0 && pad.before.iter().chain(&pad.after).any(|n| *n > 0))
}

/// Are elements of an op's first operand all that it gives, but for a border?
pub(super) fn carries(op: &Op) -> bool {
    matches!(op, Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Gather(_) | Op::Pad(_))
}

/// What an op's result lies in, for floats.
fn range(op: &Op, operands: &[&Facts]) -> Range {
    let first = operands.first().map_or(Range::ANY, |facts| facts.range);
    let within = |low: f64, high: f64| Range { low, high, nan: first.nan };
    match op {
        Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) => first,
        Op::Relu(_) | Op::Abs(_) => Range { low: 0.0, ..within(0.0, f64::INFINITY) },
        Op::Exp(_) => within(0.0, f64::INFINITY),
        Op::Sigmoid(_) | Op::HardSigmoid(_) => within(0.0, 1.0),
        Op::Tanh(_) | Op::Erf(_) | Op::Sin(_) | Op::Cos(_) => Range { nan: first.nan || !first.finite(), ..within(-1.0, 1.0) },
        Op::Softmax(_) => Range { nan: true, ..within(0.0, 1.0) },
        Op::Add(_) if operands.iter().all(|facts| facts.range.low >= 0.0) => Range { low: 0.0, high: f64::INFINITY, nan: operands.iter().any(|facts| facts.range.nan) },
        Op::Sqrt(_) => Range { nan: first.nan || first.low < 0.0, ..within(0.0, f64::INFINITY) },
        _ => Range::ANY,
    }
}

/// Are two constants the same, bit by bit? One NaN is as good as another.
pub(super) fn same(a: &Tensor, b: &Tensor) -> bool {
    a.ty() == b.ty() && a.strings() == b.strings() && a.scalars().zip(b.scalars()).all(|(x, y)| x == y || (x.as_f64().is_nan() && y.as_f64().is_nan()))
}

/// Are two constants the same, but for roundings, which differences of close numbers magnify?
fn close(a: &Tensor, b: &Tensor) -> bool {
    let largest = a.scalars().chain(b.scalars()).map(|x| x.as_f64().abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
    a.ty() == b.ty()
        && a.scalars().zip(b.scalars()).all(|(x, y)| {
            let (p, q) = (x.as_f64(), y.as_f64());
            x == y || p == q || (a.dtype().is_float() && ((p.is_nan() && q.is_nan()) || (p - q).abs() <= 1e-2 * largest + 1e-5))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use frit_ir::DType;

    /// The complaint about two classes that a rule makes equal.
    fn conflict(add: impl Fn(&mut Graph, usize) -> Id) -> String {
        let mut graph = Graph::new(Knowledge::default());
        let (a, b) = (add(&mut graph, 0), add(&mut graph, 1));
        graph.rebuild();
        graph.analysis.rule = "some-rule";
        graph.union(a, b);
        graph.rebuild();
        graph.analysis.conflicts.first().cloned().unwrap_or_default()
    }

    fn added(graph: &mut Graph, head: Head) -> Id {
        let term = graph.analysis.heads.term(head, Vec::new()).expect("a head without a subgraph");
        graph.add(term)
    }

    #[test]
    fn making_different_types_equal_is_an_error_that_names_both() {
        let why = conflict(|graph, k| {
            graph.analysis.leaves.push(Facts::outside(TensorType::known([DType::F32, DType::I32][k], &[2])));
            added(graph, Head::Leaf(k))
        });
        assert!(why.contains("some-rule") && why.contains("type") && why.contains("F32") && why.contains("I32"), "{why}");
    }

    #[test]
    fn making_different_constants_equal_is_an_error_that_names_both() {
        let why = conflict(|graph, k| added(graph, Head::Op(Constant { value: Tensor::from_slice(&[], &[[1.5f32, 2.5][k]]) }.into())));
        assert!(why.contains("some-rule") && why.contains("value") && why.contains("1.5") && why.contains("2.5"), "{why}");
    }
}
