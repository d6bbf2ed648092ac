//! Every so-manieth element between two bounds.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::TensorType;
use crate::tensor::{Tensor, row_strides};

op! {
    /// `y[i..] = x[starts + i * steps]`, `extents` elements along each axis. Steps may be negative, not zero.
    pub struct Slice = "slice" {
        /// First index along each axis.
        pub starts: Vec<i64>,
        /// Extents of the result.
        pub extents: Vec<i64>,
        /// Distance between elements along each axis.
        pub steps: Vec<i64>,
    }
}

impl OpDef for Slice {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        if dims.len() != self.starts.len() || dims.len() != self.extents.len() || dims.len() != self.steps.len() {
            return Err(OpError::invalid(format!("'slice' of shape {} needs a start, an extent and a step for each axis", args[0].ty.shape)));
        }
        for (axis, dim) in dims.iter().enumerate() {
            let (start, extent, step) = (self.starts[axis], self.extents[axis], self.steps[axis]);
            let last = extent.checked_sub(1).and_then(|n| n.checked_mul(step)).and_then(|n| n.checked_add(start));
            let inside = |i: i64| i >= 0 && dim.known().is_none_or(|n| i < n);
            if extent < 0 || step == 0 || (extent > 0 && !(inside(start) && last.is_some_and(inside))) {
                return Err(OpError::invalid(format!("'slice' takes {extent} elements from {start} by {step} along axis {axis} of {}", args[0].ty.shape)));
            }
        }
        Ok(vec![TensorType::known(args[0].ty.dtype, &self.extents)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &self.extents, |e, at| {
            let index = at
                .iter()
                .enumerate()
                .map(|(axis, i)| {
                    let (start, step) = (e.int(self.starts[axis]), e.int(self.steps[axis]));
                    let offset = e.mul(*i, step);
                    e.add(offset, start)
                })
                .collect();
            e.load(Source(0), args[0].dtype, index)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let strides = row_strides(inputs[0].extents());
        let start = self.starts.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        let steps: Vec<i64> = self.steps.iter().zip(&strides).map(|(step, stride)| step.saturating_mul(*stride)).collect();
        Ok(vec![inputs[0].strided(&self.extents, start, &steps)?])
    }
}

impl Slice {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Slice { starts: vec![1, 6], extents: vec![2, 3], steps: vec![1, -2] }, Domain::Any, &[(DType::F32, &[4, 7])]),
            Sample::drawn(Slice { starts: vec![0, 0], extents: vec![0, 7], steps: vec![1, 1] }, Domain::Any, &[(DType::F32, &[4, 7])]),
            Sample::drawn(Slice { starts: vec![3], extents: vec![20], steps: vec![2] }, Domain::Any, &[(DType::I64, &[50])]),
        ]
    }
}
