//! The slices that a condition holds for.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, row_strides};

op! {
    /// `compress(x, condition)`: the slices of `x` along `axis` (without one, its elements in row-major order) at
    /// which `condition`, a vector of bool no longer than `x` is there, holds. Source: ONNX `Compress`.
    pub struct Compress = "compress" {
        /// The axis, if slices are chosen.
        pub axis: Option<usize>,
    }
}

impl OpDef for Compress {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, condition) = (args[0].ty, args[1]);
        if condition.ty.dtype != DType::Bool {
            return Err(OpError::invalid(format!("the condition of 'compress' is {}, not bool", condition.ty)));
        }
        let kept = condition.value.map_or(Dim::Unknown, |c| Dim::Known(c.ints().iter().sum()));
        let Some(axis) = self.axis else { return Ok(vec![TensorType::ranked(x.dtype, vec![kept])]) };
        let mut dims = x.dims()?.to_vec();
        let Some(slot) = dims.get_mut(axis) else { return Err(OpError::invalid(format!("'compress' along axis {axis} of {x}"))) };
        *slot = kept;
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let flat;
        let (x, axis) = match self.axis {
            Some(axis) => (inputs[0], axis),
            None => {
                flat = inputs[0].reshaped(&[inputs[0].elems() as i64])?;
                (&flat, 0)
            }
        };
        let kept: Vec<usize> = inputs[1].ints().iter().enumerate().filter(|(_, holds)| **holds != 0).map(|(i, _)| i).collect();
        let n = x.extents()[axis] as usize;
        if let Some(outside) = kept.iter().find(|i| **i >= n) {
            return Err(OpError::invalid(format!("'compress' keeps slice {outside} of {n}")));
        }
        let inner = row_strides(x.extents())[axis] as usize;
        let outer: usize = x.extents()[..axis].iter().product::<i64>() as usize;
        let mut extents = x.extents().to_vec();
        extents[axis] = kept.len() as i64;
        let places = (0..outer).flat_map(|o| kept.iter().flat_map(move |i| (0..inner).map(move |r| Some((o * n + i) * inner + r))));
        Ok(vec![x.picked(&extents, places)?])
    }
}

impl Compress {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |axis, shape: &[i64], condition: &[bool]| Sample {
            op: Compress { axis }.into(),
            inputs: vec![Input::Drawn(DType::F32, shape.to_vec(), Domain::Any), Input::Given(Tensor::from_bools(&[condition.len() as i64], condition))],
        };
        vec![
            sample(Some(1), &[2, 3, 2], &[true, false, true]),
            sample(Some(0), &[3, 5], &[false, true]),
            sample(None, &[3, 2], &[false, true, true, false, true]),
            sample(Some(0), &[2], &[]),
        ]
    }
}
