//! What a term costs: an estimate of its time, by a roofline.
//!
//! In: an op, the types of its operands and results, and a [`Machine`]. Out: nanoseconds. What an op computes is read off
//! its nests. Must not know: e-graphs, kernels.

use frit_ir::compute::Compute;
use frit_ir::expr::{Expr, Var};
use frit_ir::graph::{Graph, Node};
use frit_ir::ops::Body;
use frit_ir::scalar::Binary;
use frit_ir::{Builder, Op, TensorType, ValueId};

use crate::cost::{Arithmetic, Machine, additions, of_bytes};

/// Elementwise ops mostly become part of a neighbour's kernel: what remains of their traffic.
const FUSED: f64 = 0.25;

/// What is left of both where the kernel that makes an operand can do it: nothing but the arithmetic, and a reason to do less.
const JOINED: f64 = 4.0;

/// Rows that lie along one axis can't be grouped with what is done to some of them: less than a reshape, for programs that are alike otherwise.
const FLAT: f64 = 0.5;

/// What an op does with its operands' elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// It changes each by itself.
    Elementwise,
    /// It joins many, and gives what it makes in the order in which elementwise ops can follow at once.
    Joins,
    /// It moves them, or does something irregular.
    Other,
}

/// What an op does with operands of these types.
pub(super) fn kind(op: &Op, operands: &[&TensorType]) -> Kind {
    match op.def().body(operands) {
        Ok(Body::Loops(nests)) if nests.iter().any(Compute::reduces) => Kind::Joins,
        Ok(Body::Loops(nests)) if nests.iter().all(in_place) => Kind::Elementwise,
        Ok(Body::Expansion) => {
            let Some(graph) = expanded(op, operands) else { return Kind::Other };
            let of = |node: &Node| kind(&node.op, &node.inputs.iter().map(|v| graph.ty(*v)).collect::<Vec<_>>());
            let computed = || graph.nodes().filter(|(_, node)| !node.inputs.is_empty());
            let last = graph.outputs().first().and_then(|(_, value)| graph.producer(*value)).map_or(Kind::Other, of);
            match last {
                Kind::Elementwise if computed().any(|(_, node)| of(node) != Kind::Elementwise) => Kind::Joins,
                last => last,
            }
        }
        _ => Kind::Other,
    }
}

/// Does a nest read nothing but elements at the point that it computes, and for each of them another one?
fn in_place(nest: &Compute) -> bool {
    let mut whole = false;
    let at_point = nest.exprs.reachable(&[nest.value]).into_iter().all(|id| match nest.exprs.get(id) {
        Expr::Load { index, guard, .. } => {
            let vars: Vec<usize> = index.iter().filter_map(|at| if let Expr::Var(Var(k)) = nest.exprs.get(*at) { Some(*k as usize) } else { None }).collect();
            whole |= nest.extents.iter().enumerate().all(|(k, extent)| *extent == 1 || vars.contains(&k));
            guard.is_none() && vars.is_sorted() && index.iter().all(|at| matches!(nest.exprs.get(*at), Expr::Var(_) | Expr::Const(_)))
        }
        _ => true,
    });
    at_point && whole
}

/// The time of an op in nanoseconds, in a kernel that makes an operand (`joined`) or not.
pub(super) fn op(op: &Op, operands: &[&TensorType], results: &[TensorType], joined: bool, machine: &Machine) -> f64 {
    let bytes = |ty: &TensorType| ty.shape.elems().unwrap_or(1) as f64 * ty.dtype.size() as f64;
    let moved: f64 = operands.iter().copied().chain(results).map(bytes).sum();
    let elems: f64 = results.iter().map(|ty| ty.shape.elems().unwrap_or(1) as f64).sum();
    let traffic = machine.traffic(moved);
    match op {
        Op::Constant(_) | Op::Iota(_) => return 0.0,
        // Movement becomes part of its consumers' addresses; what is read in another order is read more slowly.
        Op::Reshape(_) => return 1.0,
        Op::Broadcast(_) => return 5.0,
        // Unlike the others it stands between what makes a value and what could be done to it there.
        Op::Slice(_) => return 20.0,
        Op::Gather(_) | Op::Concat(_) | Op::Pad(_) | Op::RotaryEmbedding(_) => return 40.0 + traffic * FUSED,
        Op::Transpose(_) => return 10.0 + traffic * 0.05,
        _ => {}
    }
    match op.def().body(operands) {
        _ if kind(op, operands) == Kind::Elementwise => machine.time(work(op, operands)) + if joined { JOINED } else { 20.0 + traffic * FUSED },
        Ok(Body::Loops(_)) => machine.kernel(work(op, operands), moved) + if flat(op, operands) { FLAT } else { 0.0 },
        Ok(Body::Expansion) if let Some(graph) = expanded(op, operands) => {
            let ty = |value: &ValueId| graph.ty(*value);
            let price = |node: &Node| {
                let operands: Vec<&TensorType> = node.inputs.iter().map(ty).collect();
                let follows = |maker: &Node| kind(&maker.op, &maker.inputs.iter().map(ty).collect::<Vec<_>>()) != Kind::Other;
                let joined = node.inputs.iter().filter_map(|v| graph.producer(*v)).any(follows);
                self::op(&node.op, &operands, &node.outputs.iter().map(|v| ty(v).clone()).collect::<Vec<_>>(), joined, machine)
            };
            let kept = match op {
                // Nothing but other names.
                Op::Aggregate(_) | Op::GlobalPool(_) => 1.0,
                // Another name, of which parts may be shared.
                Op::Gemm(_) => 1.001,
                _ => KEPT,
            };
            kept * graph.nodes().map(|(_, node)| price(node)).sum::<f64>()
        }
        _ => machine.launch + traffic + machine.time(Arithmetic { elementwise: IRREGULAR * elems, ..Arithmetic::default() }),
    }
}

/// Does a product have all its rows along one axis?
fn flat(op: &Op, operands: &[&TensorType]) -> bool {
    matches!((op, operands), (Op::MatMul(_), [rows, _]) if rows.rank().is_ok_and(|rank| rank == 2))
}

/// What an op computes.
fn work(op: &Op, operands: &[&TensorType]) -> Arithmetic {
    let mut work = Arithmetic::default();
    match op.def().body(operands) {
        Ok(Body::Loops(nests)) => {
            for nest in &nests {
                let steps: f64 = nest.extents.iter().chain(&nest.reduce).map(|extent| *extent as f64).product();
                match nest.exprs.get(nest.value) {
                    Expr::Binary(Binary::Mul, ..) if nest.reduces() && of_bytes(&nest.exprs, nest.value) => work.dot += 2.0 * steps,
                    Expr::Binary(Binary::Mul, ..) if nest.reduces() => work.contraction += 2.0 * steps,
                    _ => work.elementwise += steps * f64::from(additions(&nest.exprs, nest.value).clamp(1, FUNCTION)),
                }
            }
        }
        Ok(Body::Expansion) => {
            for (graph, node) in expanded(op, operands).iter().flat_map(|graph| graph.nodes().map(move |(_, node)| (graph, node))) {
                let own = self::work(&node.op, &node.inputs.iter().map(|v| graph.ty(*v)).collect::<Vec<_>>());
                work = Arithmetic { contraction: work.contraction + own.contraction, dot: work.dot + own.dot, elementwise: work.elementwise + own.elementwise };
            }
        }
        _ => {}
    }
    work
}

/// A function of an element costs no more additions than this, whatever it is defined by: one that has a name is kept.
const FUNCTION: u32 = 16;

/// An element of an irregular op costs as much as so many additions.
const IRREGULAR: f64 = 16.0;

/// A composite costs a little less than what it expands to, so that it is kept.
const KEPT: f64 = 0.9;

fn expanded(op: &Op, operands: &[&TensorType]) -> Option<Graph> {
    let mut builder = Builder::new("cost");
    let inputs: Vec<ValueId> = operands.iter().map(|ty| builder.input("", (*ty).clone())).collect();
    for value in op.def().expand(&mut builder, &inputs).ok()? {
        builder.output("", value);
    }
    Some(builder.finish())
}
