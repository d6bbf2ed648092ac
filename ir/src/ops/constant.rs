//! A tensor that is part of the program.
use crate::error::OpError;
use crate::dtype::DType;
use crate::ops::{Arg, Arity, Body, OpDef, Sample};
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// A constant.
    pub struct Constant = "constant" {
        /// Its value.
        pub value: Tensor,
    }
}

impl OpDef for Constant {
    derived!();
    fn arity(&self) -> Arity {
        0..=0
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.value.dtype()]
    }
    fn infer(&self, _: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![self.value.ty()])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, _: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.value.clone()])
    }
}

impl Constant {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![Sample { op: Constant { value: Tensor::from_slice(&[2, 2], &[1.0f32, f32::NAN, -0.0, f32::INFINITY]) }.into(), inputs: vec![] }]
    }
}
