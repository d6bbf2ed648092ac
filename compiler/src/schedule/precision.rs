//! Products in a smaller precision than the model's.
//!
//! In: a product (matrix product, convolution without margins) and its operands, in a graph that is being legalised. Out: what
//! stands for it. Must not know: kernels.
//!
//! In bf16 both factors are rounded to the nearest bf16, and sums are f32. Where the target has an instruction for it the factors are
//! pairs in words along the axis that is summed: constants are that before the program runs; what is computed becomes it once,
//! in the kernel that makes it or in one of its own, however often it is read. Elsewhere the factors are rounded and the rest stays
//! as it is, which differs in what becomes of subnormal numbers and in the order of roundings only.

use frit_ir::graph::{Graph, NodeId, Producer, ValueId};
use frit_ir::ops::{Arg, Body, cast::Cast, conv::Conv, conv_pairs::ConvPairs, matmul_pairs::MatMulPairs, pad::Pad, pair::Pair};
use frit_ir::scalar::Scalar;
use frit_ir::tensor::{AlignedBytes, checked_elems};
use frit_ir::{Builder, DType, Op, OpError, Tensor, TensorType};

use super::Device;
use super::contraction::Contraction;
use super::fuse::Fused;

/// Between a constant and what reads it lie no more nodes than this that were not folded.
const MAX_UNFOLDED: usize = 6;

/// What products of f32 are computed in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Precision {
    /// f32, as the model says.
    #[default]
    F32,
    /// Factors are rounded to bf16, sums are f32. That goes for f32 and bf16 where it is worth register tiles: not for windows of
    /// single channels, and not for sums of a few products.
    BF16,
}

/// Adds a product to a graph, in the precision that is asked for.
///
/// # Errors
/// What the ops say of the operands.
pub(super) fn product(b: &mut Builder, op: Op, operands: &[ValueId], device: &Device<'_>) -> Result<ValueId, OpError> {
    let dtype = b.dtype(operands[0]);
    let has_instruction = device.target.pairs();
    // Without the instruction products of bf16 are those of f32 already.
    if device.precision == Precision::F32 || !in_tiles(b.graph(), &op, operands) || !has_instruction && dtype == DType::BF16 {
        return b.apply(op, operands);
    }
    let product = match &op {
        _ if !has_instruction => {
            let round = [Cast { to: DType::BF16 }.into(), Cast { to: DType::F32 }.into()];
            let operands = [rounded(b, &round, operands[0], device)?, rounded(b, &round, operands[1], device)?];
            b.apply(op, &operands)?
        }
        Op::Conv(Conv { strides, dilations, groups, .. }) => {
            let operands = [paired(b, operands[0], 1, device)?, paired(b, operands[1], 1, device)?];
            b.apply(ConvPairs { strides: strides.clone(), dilations: dilations.clone(), groups: *groups }, &operands)?
        }
        _ => {
            let (rows, columns) = (b.rank(operands[0])? - 1, b.rank(operands[1])? - 2);
            let operands = [paired(b, operands[0], rows, device)?, paired(b, operands[1], columns, device)?];
            b.apply(MatMulPairs {}, &operands)?
        }
    };
    if b.dtype(product) == dtype { Ok(product) } else { b.apply(Cast { to: dtype }, &[product]) }
}

/// Is it a product of f32 or bf16 that register tiles do, and whose factors make pairs?
fn in_tiles(graph: &Graph, op: &Op, operands: &[ValueId]) -> bool {
    let types: Vec<&TensorType> = operands.iter().map(|v| graph.ty(*v)).collect();
    let Ok(Body::Loops(nests)) = op.def().body(&types) else { return false };
    let [nest] = nests.as_slice() else { return false };
    let fused = Fused::new(nest, NodeId(0), operands[0]).settled();
    let constant = |roles: &Contraction| is_constant(graph, operands[roles.vector_operand.0 as usize]);
    let exchanged = || Contraction::exchanged(&fused.exprs, fused.value, &fused.extents, &fused.reduce, fused.combine).filter(constant);
    let Some(roles) = Contraction::find(&fused.exprs, fused.value, &fused.extents, &fused.reduce, fused.combine).or_else(exchanged) else { return false };
    let rows = roles.m.iter().any(|k| fused.extents[*k] > 1);
    // A channel alone has no other, and of an odd number in each group two would be of different groups.
    let paired = match op {
        Op::Conv(conv) if conv.groups > 1 => nest.reduce[0] % 2 == 0,
        _ => nest.reduce[0] > 1,
    };
    matches!(types[0].dtype, DType::F32 | DType::BF16) && paired && (rows || constant(&roles))
}

/// The op and the operands of the node that makes a value, unless it is a constant.
fn producer(graph: &Graph, value: ValueId) -> Option<(&Op, &[ValueId])> {
    match graph.value(value).producer {
        Producer::Node(node, _) if graph.constant(value).is_none() => Some((&graph.node(node).op, &graph.node(node).inputs)),
        _ => None,
    }
}

/// Is a value made of constants, though perhaps not folded?
fn is_constant(graph: &Graph, value: ValueId) -> bool {
    fn within(graph: &Graph, value: ValueId, nodes: usize) -> bool {
        let made = |(op, inputs): (&Op, &[ValueId])| op.def().deterministic() && !inputs.is_empty() && inputs.iter().all(|v| within(graph, *v, nodes - 1));
        graph.constant(value).is_some() || nodes > 0 && producer(graph, value).is_some_and(made)
    }
    within(graph, value, MAX_UNFOLDED)
}

/// The tensor that a value made of constants is. What grows by folding is held only until it is rounded.
fn known(graph: &Graph, value: ValueId) -> Option<Tensor> {
    match producer(graph, value) {
        None => graph.constant(value).cloned(),
        Some((op, inputs)) => {
            let tensors: Vec<Tensor> = inputs.iter().map(|v| known(graph, *v)).collect::<Option<_>>()?;
            op.def().eval(&tensors.iter().collect::<Vec<_>>()).ok()?.into_iter().next()
        }
    }
}

/// A value's elements in pairs along an axis. Movement is done with the pairs.
fn paired(b: &mut Builder, mut value: ValueId, mut axis: usize, device: &Device<'_>) -> Result<ValueId, OpError> {
    let mut moves: Vec<Op> = Vec::new();
    loop {
        match producer(b.graph(), value) {
            Some((Op::Transpose(transpose), &[x])) => {
                moves.push(transpose.clone().into());
                (value, axis) = (x, transpose.perm[axis]);
            }
            Some((Op::Pad(pad), &[x])) if pad.before[axis] == 0 && pad.after[axis] == 0 && pad.value.as_f64() == 0.0 => {
                moves.push(Pad { value: Scalar::Int(0), ..pad.clone() }.into());
                value = x;
            }
            _ => break,
        }
    }
    let words = rounded(b, &[Pair { axis }.into()], value, device)?;
    moves.into_iter().rev().try_fold(words, |words, op| b.apply(op, &[words]))
}

/// What ops that round make of a value, one after the other.
fn rounded(b: &mut Builder, ops: &[Op], value: ValueId, device: &Device<'_>) -> Result<ValueId, OpError> {
    if is_constant(b.graph(), value) {
        let mut ty = b.ty(value).clone();
        let mut tensor = if device.priced { None } else { known(b.graph(), value) };
        for op in ops {
            ty = op.def().infer(&[Arg { ty: &ty, value: None }])?.swap_remove(0);
            tensor = match tensor {
                Some(tensor) => {
                    let result = op.def().eval(&[&tensor])?.into_iter().next();
                    tensor.release();
                    result
                }
                None => None,
            };
        }
        if let Some(tensor) = tensor {
            return Ok(b.constant(tensor));
        }
        if device.priced {
            let extents = ty.extents()?;
            let zeros = AlignedBytes::zeroed(checked_elems(&extents)? * ty.dtype.size())?;
            return Ok(b.constant(Tensor::from_bytes(ty.dtype, &extents, zeros)?));
        }
    }
    ops.iter().try_fold(value, |value, op| b.apply(op.clone(), &[value]))
}
