//! Dropping axes of extent 1.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reshape::Reshape;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample};
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

op! {
    /// `squeeze(x, axes)`: `x` without the named axes, which have extent 1; without the operand `axes`, without all
    /// axes of extent 1. Negative axes count from the rank. Source: ONNX `Squeeze`, NumPy `squeeze`.
    pub struct Squeeze = "squeeze" {}
}

impl OpDef for Squeeze {
    derived!();
    fn arity(&self) -> Arity {
        1..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        let dropped: Vec<usize> = match args.get(1) {
            None => {
                let extents = args[0].ty.extents()?;
                (0..extents.len()).filter(|k| extents[*k] == 1).collect()
            }
            Some(arg) => match arg.ints() {
                Some(axes) => axes.iter().map(|k| axis(*k, dims.len())).collect::<Result<_, _>>()?,
                None => {
                    let rank = dims.len().checked_sub(arg.length()?).ok_or_else(|| OpError::invalid("'squeeze' drops more axes than there are"))?;
                    return Ok(vec![TensorType::ranked(args[0].ty.dtype, vec![Dim::Unknown; rank])]);
                }
            },
        };
        if let Some(wide) = dropped.iter().find(|k| !dims[**k].may_equal(&Dim::Known(1))) {
            return Err(OpError::invalid(format!("'squeeze' drops axis {wide} of shape {}, which is not 1", args[0].ty.shape)));
        }
        let kept = dims.iter().enumerate().filter(|(k, _)| !dropped.contains(k)).map(|(_, dim)| dim.clone()).collect();
        Ok(vec![TensorType::ranked(args[0].ty.dtype, kept)])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let args: Vec<Arg<'_>> = inputs.iter().map(|v| Arg { ty: b.ty(*v), value: b.as_constant(*v) }).collect();
        let extents = self.infer(&args)?[0].extents()?;
        Ok(vec![b.apply(Reshape { extents }, &inputs[..1])?])
    }
}

impl Squeeze {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |axes: &[i64]| Sample { op: Squeeze {}.into(), inputs: vec![Input::Drawn(DType::F32, vec![1, 3, 1, 5], Domain::Any), Input::Constant(Tensor::from_ints(axes))] };
        vec![sample(&[0]), sample(&[-2, 0]), sample(&[]), Sample::drawn(Squeeze {}, Domain::Any, &[(DType::I8, &[1, 0, 1, 3])])]
    }
}
