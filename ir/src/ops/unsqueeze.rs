//! New axes of extent 1.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reshape::Reshape;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample};
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

op! {
    /// `unsqueeze(x, axes)`: `x` with axes of extent 1 put in so that they stand at `axes` of the result; negative
    /// ones count from its rank. Source: ONNX `Unsqueeze`, NumPy `expand_dims`.
    pub struct Unsqueeze = "unsqueeze" {}
}

impl OpDef for Unsqueeze {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        let Some(axes) = args[1].ints() else {
            return Ok(vec![TensorType::ranked(args[0].ty.dtype, vec![Dim::Unknown; dims.len() + args[1].length()?])]);
        };
        let rank = dims.len() + axes.len();
        let mut new = axes.iter().map(|k| axis(*k, rank)).collect::<Result<Vec<_>, _>>()?;
        new.sort_unstable();
        if !new.is_sorted_by(|a, b| a < b) {
            return Err(OpError::invalid(format!("'unsqueeze' names an axis twice in {axes:?}")));
        }
        let mut result = dims.to_vec();
        for k in new {
            result.insert(k, Dim::Known(1));
        }
        Ok(vec![TensorType::ranked(args[0].ty.dtype, result)])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let args: Vec<Arg<'_>> = inputs.iter().map(|v| Arg { ty: b.ty(*v), value: b.as_constant(*v) }).collect();
        let extents = self.infer(&args)?[0].extents()?;
        Ok(vec![b.apply(Reshape { extents }, &inputs[..1])?])
    }
}

impl Unsqueeze {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |axes: &[i64], shape: &[i64]| Sample { op: Unsqueeze {}.into(), inputs: vec![Input::Drawn(DType::F32, shape.to_vec(), Domain::Any), Input::Constant(Tensor::from_ints(axes))] };
        vec![sample(&[0], &[3, 5]), sample(&[-1, 1], &[3, 5]), sample(&[0], &[]), sample(&[4, 0, 2], &[2, 0]), sample(&[], &[7])]
    }
}
