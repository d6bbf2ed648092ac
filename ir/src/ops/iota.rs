//! Counting along an axis.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, OpDef, Sample};
use crate::shape::TensorType;

op! {
    /// `y[..i..] = i` along `axis`, in an integer dtype.
    pub struct Iota = "iota" {
        /// Dtype of the result.
        pub dtype: DType,
        /// Extents of the result.
        pub extents: Vec<i64>,
        /// The axis that is counted.
        pub axis: usize,
    }
}

impl OpDef for Iota {
    derived!();
    fn arity(&self) -> Arity {
        0..=0
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, _: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if self.axis >= self.extents.len() {
            return Err(OpError::invalid(format!("'iota' counts axis {} of shape {:?}", self.axis, self.extents)));
        }
        Ok(vec![TensorType::known(self.dtype, &self.extents)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Loops(vec![Compute::map(self.dtype, &self.extents, |e, at| e.cast(self.dtype, at[self.axis]))]))
    }
}

impl Iota {
    pub(crate) fn samples() -> Vec<Sample> {
        [DType::I64, DType::I32, DType::F32].into_iter().map(|dtype| Sample { op: Iota { dtype, extents: vec![3, 5], axis: 1 }.into(), inputs: vec![] }).collect()
    }
}
