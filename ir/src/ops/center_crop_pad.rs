//! Cutting or padding around the middle.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::pad::Pad;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, infer_parameters};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

op! {
    /// `center_crop_pad(x, shape)`: `x` made to have extents `shape` along `axes`: the middle where it is longer,
    /// zeros on both sides where it is shorter; of an odd number the smaller half goes in front. Source: ONNX
    /// `CenterCropPad`.
    pub struct CenterCropPad = "center_crop_pad" {
        /// Which axes, counted as in Python; all where left out.
        pub axes: Option<Vec<i64>>,
    }
}

impl CenterCropPad {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        match &self.axes {
            Some(axes) => axes.iter().map(|k| axis(*k, rank)).collect(),
            None => Ok((0..rank).collect()),
        }
    }
}

impl OpDef for CenterCropPad {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || {
            let mut dims = args[0].ty.dims()?.to_vec();
            let shape = args[1].ints();
            for (at, k) in self.axes(dims.len())?.into_iter().enumerate() {
                dims[k] = shape.as_ref().and_then(|shape| shape.get(at)).map_or(Dim::Unknown, |n| Dim::Known(*n));
            }
            Ok(dims)
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dims = b.ty(inputs[0]).dims()?.to_vec();
        let shape = b.as_ints(inputs[1])?;
        let axes = self.axes(dims.len())?;
        if shape.len() != axes.len() || shape.iter().any(|n| *n < 0) {
            return Err(OpError::invalid(format!("{shape:?} are not extents of {} axes", axes.len())));
        }
        let (mut before, mut after) = (vec![0; dims.len()], vec![0; dims.len()]);
        for (k, wanted) in axes.into_iter().zip(shape) {
            let more = wanted - dims[k].known().ok_or_else(OpError::unknown)?;
            before[k] = more / 2;
            after[k] = more - more / 2;
        }
        Ok(vec![b.apply(Pad { before, after, value: Scalar::zero(b.dtype(inputs[0])) }, &inputs[..1])?])
    }
}

impl CenterCropPad {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |axes: Option<&[i64]>, shape: &[i64]| Sample {
            op: CenterCropPad { axes: axes.map(<[i64]>::to_vec) }.into(),
            inputs: vec![Input::Drawn(DType::F32, vec![4, 7], Domain::Any), Input::Constant(Tensor::from_ints(shape))],
        };
        vec![sample(None, &[7, 4]), sample(None, &[1, 0]), sample(Some(&[-1]), &[10]), sample(Some(&[1, 0]), &[2, 9])]
    }
}
