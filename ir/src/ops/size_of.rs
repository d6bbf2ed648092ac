//! A tensor's number of elements.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, infer_parameters};
use crate::scalar::Scalar;
use crate::tensor::Tensor;

op! {
    /// The number of elements of `x`, one i64. Source: ONNX `Size`.
    pub struct SizeOf = "size_of" {}
}

impl OpDef for SizeOf {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I64]
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<crate::shape::TensorType>, OpError> {
        infer_parameters(self, args, || Ok(Vec::new()))
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let elems = b.ty(inputs[0]).shape.elems().ok_or_else(OpError::unknown)?;
        Ok(vec![b.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(elems))))])
    }
}

impl SizeOf {
    pub(crate) fn samples() -> Vec<Sample> {
        [&[2i64, 3, 5][..], &[], &[0, 4]].into_iter().map(|shape| Sample::drawn(SizeOf {}, Domain::Any, &[(DType::F32, shape)])).collect()
    }
}
