//! What a term costs: an estimate of its time, by a roofline.
//!
//! In: an op, the types of its operands and results, and a [`Machine`]. Out: nanoseconds. Must not know: e-graphs, kernels.

use frit_ir::graph::Node;
use frit_ir::{Builder, Op, TensorType, ValueId};

/// What a machine can do, per core.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Machine {
    /// Floating-point operations in a nanosecond.
    pub flops: f64,
    /// Bytes from and to memory in a nanosecond.
    pub bandwidth: f64,
    /// Nanoseconds that launching a kernel takes.
    pub launch: f64,
}

impl Machine {
    /// A usual x86-64 core with AVX2. Builds that must not depend on the machine price by it.
    pub const DEFAULT: Machine = Machine { flops: 50.0, bandwidth: 10.0, launch: 2000.0 };

    /// The time of a kernel that does so many operations and moves so many bytes, in nanoseconds.
    pub fn kernel(&self, flops: u64, bytes: u64) -> f64 {
        self.launch + (flops as f64 / self.flops).max(bytes as f64 / self.bandwidth)
    }
}

/// Elementwise ops mostly become part of a neighbour's kernel: what remains of their traffic.
const FUSED: f64 = 0.25;

/// What remains of an elementwise op's time where the kernel that makes an operand can do it.
pub(super) const JOINED: f64 = 0.2;

/// Is it done to each element by itself?
pub(super) fn elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Add(_)
            | Op::Sub(_)
            | Op::Mul(_)
            | Op::Neg(_)
            | Op::Max(_)
            | Op::Min(_)
            | Op::Abs(_)
            | Op::Select(_)
            | Op::Relu(_)
            | Op::Clip(_)
            | Op::Not(_)
            | Op::Cast(_)
            | Op::Div(_)
            | Op::Sqrt(_)
            | Op::Reciprocal(_)
            | Op::Exp(_)
            | Op::Log(_)
            | Op::Tanh(_)
            | Op::Erf(_)
            | Op::Sigmoid(_)
            | Op::Quantize(_)
            | Op::Dequantize(_)
            | Op::Pow(_)
            | Op::Swish(_)
            | Op::Softplus(_)
            | Op::Mish(_)
            | Op::Gelu(_)
            | Op::HardSigmoid(_)
            | Op::HardSwish(_)
    )
}

/// Does it make its results in the order in which elementwise ops can follow at once?
pub(super) fn computes(op: &Op) -> bool {
    elementwise(op) || matches!(op, Op::MatMul(_) | Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::Reduce(_) | Op::Window(_))
}

/// The time of an op in nanoseconds.
pub(super) fn op(op: &Op, operands: &[&TensorType], results: &[TensorType], machine: &Machine) -> f64 {
    let bytes = |ty: &TensorType| ty.shape.elems().unwrap_or(1) as f64 * ty.dtype.size() as f64;
    let moved: f64 = operands.iter().copied().chain(results).map(bytes).sum();
    let elems: f64 = results.iter().map(|ty| ty.shape.elems().unwrap_or(1) as f64).sum();
    let traffic = moved / machine.bandwidth;
    match op {
        Op::Constant(_) | Op::Iota(_) => 0.0,
        // Movement becomes part of its consumers' addresses; what is read in another order is read more slowly.
        Op::Reshape(_) => 1.0,
        Op::Broadcast(_) => 5.0,
        // Unlike the others it stands between what makes a value and what could be done to it there.
        Op::Slice(_) => 20.0,
        Op::Gather(_) | Op::Concat(_) | Op::Pad(_) | Op::RotaryEmbedding(_) => 40.0 + traffic * FUSED,
        Op::Transpose(_) => 10.0 + traffic * 0.05,
        Op::MatMul(_) | Op::Conv(_) | Op::ConvTranspose(_) | Op::Convolution(_) | Op::Gemm(_) => {
            let depth = match (op, operands) {
                (Op::MatMul(_) | Op::Gemm(_), [a, ..]) => a.shape.extents().and_then(|e| e.last().copied()).unwrap_or(1) as f64,
                (_, [_, w, ..]) => w.shape.extents().map_or(1, |e| e.iter().skip(1).product()) as f64,
                _ => 1.0,
            };
            machine.launch + (2.0 * elems * depth / machine.flops).max(traffic)
        }
        op if elementwise(op) => {
            let work = match op {
                Op::Div(_) | Op::Sqrt(_) | Op::Reciprocal(_) => 4.0,
                Op::Exp(_) | Op::Log(_) | Op::Tanh(_) | Op::Erf(_) | Op::Sigmoid(_) | Op::Swish(_) | Op::Softplus(_) | Op::Mish(_) | Op::Gelu(_) | Op::Quantize(_) | Op::Dequantize(_) => 16.0,
                Op::HardSigmoid(_) | Op::HardSwish(_) => 4.0,
                Op::Pow(_) => 40.0,
                _ => 1.0,
            };
            20.0 + (traffic + work * elems / machine.flops) * FUSED
        }
        Op::Reduce(_) => machine.launch + traffic,
        // Nothing but other names.
        Op::Aggregate(_) | Op::GlobalPool(_) => expanded(op, operands, machine).unwrap_or(machine.launch + traffic),
        _ => expanded(op, operands, machine).map_or(machine.launch + traffic + 16.0 * elems / machine.flops, |cost| KEPT * cost),
    }
}

/// A composite costs a little less than what it expands to, so that it is kept.
const KEPT: f64 = 0.9;

fn expanded(op: &Op, operands: &[&TensorType], machine: &Machine) -> Option<f64> {
    let mut builder = Builder::new("cost");
    let inputs: Vec<ValueId> = operands.iter().map(|ty| builder.input("", (*ty).clone())).collect();
    op.def().expand(&mut builder, &inputs).ok()?;
    let graph = builder.finish();
    let ty = |value: &ValueId| graph.ty(*value);
    let price = |node: &Node| {
        let whole = self::op(&node.op, &node.inputs.iter().map(ty).collect::<Vec<_>>(), &node.outputs.iter().map(|v| ty(v).clone()).collect::<Vec<_>>(), machine);
        let joins = elementwise(&node.op) && node.inputs.iter().filter_map(|v| graph.producer(*v)).any(|maker| computes(&maker.op));
        if joins { whole * JOINED } else { whole }
    };
    Some(graph.nodes().map(|(_, node)| price(node)).sum())
}
