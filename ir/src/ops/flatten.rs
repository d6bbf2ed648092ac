//! Two axes out of many.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reshape::Reshape;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample};
use crate::shape::{Dim, TensorType};

op! {
    /// `x` as a matrix: axes before `axis` become the first, the others the second. Source: ONNX `Flatten`.
    pub struct Flatten = "flatten" {
        /// The first axis of the second part; up to the rank.
        pub axis: usize,
    }
}

impl OpDef for Flatten {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        if self.axis > dims.len() {
            return Err(OpError::invalid(format!("'flatten' at axis {} of shape {}", self.axis, args[0].ty.shape)));
        }
        let product = |dims: &[Dim]| dims.iter().fold(Dim::Known(1), |p, dim| p.times(dim));
        Ok(vec![TensorType::ranked(args[0].ty.dtype, vec![product(&dims[..self.axis]), product(&dims[self.axis..])])])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let extents = self.infer(&[Arg { ty: b.ty(inputs[0]), value: None }])?[0].extents()?;
        Ok(vec![b.apply(Reshape { extents }, inputs)?])
    }
}

impl Flatten {
    pub(crate) fn samples() -> Vec<Sample> {
        (0..=3)
            .map(|axis| Sample::drawn(Flatten { axis }, Domain::Any, &[(DType::F32, &[2, 3, 5])]))
            .chain([Sample::drawn(Flatten { axis: 0 }, Domain::Any, &[(DType::I64, &[])]), Sample::drawn(Flatten { axis: 1 }, Domain::Any, &[(DType::F16, &[0, 3])])])
            .collect()
    }
}
