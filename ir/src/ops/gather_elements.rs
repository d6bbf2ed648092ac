//! Elements of a tensor, picked by one index each.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::gather::{checked, index};
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `gather_elements(x, indices)`: `y[a.., j, b..] = x[a.., indices[a.., j, b..], b..]`; `indices` has as many
    /// axes as `x`, and is no longer along the others. Indices out of range as in `gather`. Source: ONNX
    /// `GatherElements`, PyTorch `gather`.
    pub struct GatherElements = "gather_elements" {
        /// The axis.
        pub axis: usize,
    }
}

impl OpDef for GatherElements {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, indices) = (args[0].ty, args[1].ty);
        let (from, chosen) = (x.dims()?, indices.dims()?);
        let shorter = |k: usize| from[k].known().zip(chosen[k].known()).is_none_or(|(n, m)| m <= n);
        if self.axis >= from.len() || from.len() != chosen.len() || !indices.dtype.is_int() || (0..from.len()).any(|k| k != self.axis && !shorter(k)) {
            return Err(OpError::invalid(format!("'gather_elements' along axis {} of {x} by {indices}", self.axis)));
        }
        Ok(vec![TensorType::ranked(x.dtype, chosen.to_vec())])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (from, extents) = (args[0].extents()?, args[1].extents()?);
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let raw = e.load(Source(1), args[1].dtype, at.to_vec());
            let (i, inside) = index(e, raw, from[self.axis]);
            let mut place = at.to_vec();
            place[self.axis] = i;
            e.guarded_load(Source(0), args[0].dtype, place, inside)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        checked(self.name(), inputs[1].ints(), inputs[0].extents()[self.axis])?;
        crate::ops::eval_body(self, inputs)
    }
}

impl GatherElements {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |axis, dtype, shape: &[i64], indices: Tensor| Sample { op: GatherElements { axis }.into(), inputs: vec![Input::Drawn(dtype, shape.to_vec(), Domain::Any), Input::Given(indices)] };
        vec![
            sample(1, DType::F32, &[2, 5], Tensor::from_slice(&[2, 3], &[4i64, -1, 0, 2, 2, -5])),
            sample(0, DType::I64, &[4, 2], Tensor::from_slice(&[1, 2], &[-4i32, 3])),
            sample(0, DType::F16, &[3], Tensor::from_slice(&[7], &[0i64, 1, 2, 0, 1, 2, -1])),
            sample(1, DType::F32, &[2, 3], Tensor::from_slice::<i64>(&[2, 0], &[])),
        ]
    }
}
