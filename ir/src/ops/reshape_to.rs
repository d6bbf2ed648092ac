//! Reshape to a shape that is an operand.
use crate::build::Builder;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reshape::Reshape;
use crate::dtype::DType;
use crate::ops::{Arg, Arity, Input, OpDef, Sample, infer_parameters};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `reshape_to(x, shape)`: as `reshape`, with the new shape given as a vector of i64 in which -1 stands for
    /// what is left over. Source: ONNX `Reshape`, NumPy `reshape`.
    pub struct ReshapeTo = "reshape_to" {
        /// Does 0 stand for the extent of `x` at the same axis (rather than for 0)?
        pub zero_copies: bool,
    }
}

impl OpDef for ReshapeTo {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || {
            let Some(wanted) = args[1].ints() else { return Ok(vec![Dim::Unknown; args[1].length()?]) };
            let from = args[0].ty.shape.dims();
            let mut dims: Vec<Dim> = wanted
                .iter()
                .enumerate()
                .map(|(axis, n)| match *n {
                    -1 => Dim::Unknown,
                    0 if self.zero_copies => from.and_then(|from| from.get(axis)).cloned().unwrap_or(Dim::Unknown),
                    n => Dim::Known(n),
                })
                .collect();
            if let (Some(from), Some(open)) = (from, wanted.iter().position(|n| *n == -1)) {
                let product = |dims: &mut dyn Iterator<Item = &Dim>| dims.fold(Dim::Known(1), |p, dim| p.times(dim));
                let rest = product(&mut dims.iter().enumerate().filter(|(k, _)| *k != open).map(|(_, dim)| dim));
                dims[open] = product(&mut from.iter()).floor_div(&rest);
            }
            Ok(dims)
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let mut extents = b.as_ints(inputs[1])?;
        if self.zero_copies && extents.contains(&0) {
            let dims = b.ty(inputs[0]).dims()?.to_vec();
            for (axis, extent) in extents.iter_mut().enumerate().filter(|(_, n)| **n == 0) {
                let dim = dims.get(axis).ok_or_else(|| OpError::invalid(format!("the new shape copies axis {axis} of a tensor of rank {}", dims.len())))?;
                *extent = dim.known().ok_or_else(OpError::unknown)?;
            }
        }
        let open = extents.iter().filter(|n| **n == -1).count();
        if open > 1 || extents.iter().any(|n| *n < -1) {
            return Err(OpError::invalid(format!("{extents:?} is not a shape")).help("at most one extent may be -1"));
        }
        if open == 1 {
            let elems = b.ty(inputs[0]).shape.elems().ok_or_else(OpError::unknown)?;
            let rest: i64 = extents.iter().filter(|n| **n != -1).try_fold(1i64, |p, n| p.checked_mul(*n)).ok_or_else(|| OpError::invalid("the new shape overflows"))?;
            if rest == 0 || elems % rest != 0 {
                return Err(OpError::invalid(format!("{elems} elements don't make shape {extents:?}")));
            }
            for extent in extents.iter_mut().filter(|n| **n == -1) {
                *extent = elems / rest;
            }
        }
        Ok(vec![b.apply(Reshape { extents }, &inputs[..1])?])
    }
}

impl ReshapeTo {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |shape: &[i64], zero_copies| Sample {
            op: ReshapeTo { zero_copies }.into(),
            inputs: vec![Input::Drawn(DType::F32, vec![2, 3, 4], crate::ops::Domain::Any), Input::Constant(Tensor::from_ints(shape))],
        };
        vec![sample(&[4, -1], false), sample(&[0, 12], true), sample(&[24], false)]
    }
}
