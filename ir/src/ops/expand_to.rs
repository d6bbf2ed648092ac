//! Broadcasting to a shape that is an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::broadcast::Broadcast;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, infer_parameters};
use crate::shape::{Dim, TensorType, broadcast};
use crate::tensor::Tensor;

op! {
    /// `expand_to(x, shape)`: `x` broadcast with a tensor of shape `shape` (a vector of i64); where `shape` says 1 the
    /// extent of `x` stays. Source: ONNX `Expand`.
    pub struct ExpandTo = "expand_to" {}
}

impl OpDef for ExpandTo {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || {
            let dims = args[0].ty.dims()?;
            if let Some(shape) = args[1].ints() {
                return broadcast(&[args[0].ty, &TensorType::known(args[0].ty.dtype, &shape)]);
            }
            let rank = dims.len().max(args[1].length()?);
            let mut result = vec![Dim::Unknown; rank];
            for (slot, dim) in result[rank - dims.len()..].iter_mut().zip(dims) {
                if dim.known().is_some_and(|n| n != 1) {
                    *slot = dim.clone();
                }
            }
            Ok(result)
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let shape = b.as_ints(inputs[1])?;
        crate::tensor::checked_elems(&shape)?;
        let ty = b.ty(inputs[0]);
        let extents = TensorType::ranked(ty.dtype, broadcast(&[ty, &TensorType::known(ty.dtype, &shape)])?).extents()?;
        Ok(vec![b.apply(Broadcast { extents }, &inputs[..1])?])
    }
}

impl ExpandTo {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |dtype, from: &[i64], to: &[i64]| Sample { op: ExpandTo {}.into(), inputs: vec![Input::Drawn(dtype, from.to_vec(), Domain::Any), Input::Constant(Tensor::from_ints(to))] };
        vec![sample(DType::F32, &[3, 1], &[2, 1, 6]), sample(DType::I64, &[3, 1], &[3, 4]), sample(DType::Bool, &[], &[0, 2]), sample(DType::F16, &[1], &[]), sample(DType::F32, &[4, 5], &[1])]
    }
}
