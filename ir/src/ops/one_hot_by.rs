//! One-hot rows whose length is an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::one_hot::OneHot;
use crate::ops::{Arg, Arity, Input, OpDef, Sample, infer_parameters};
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

op! {
    /// `one_hot_by(indices, depth, values)`: as `one_hot`, with the depth as one number of any dtype. Source: ONNX
    /// `OneHot`.
    pub struct OneHotBy = "one_hot_by" {
        /// Where the new axis stands in the result, counted as in Python.
        pub axis: i64,
    }
}

impl OpDef for OneHotBy {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[2]]
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_parameters(self, args, || {
            let mut dims = args[0].ty.dims()?.to_vec();
            dims.insert(axis(self.axis, dims.len() + 1)?, Dim::Unknown);
            Ok(dims)
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let axis = axis(self.axis, b.rank(inputs[0])? + 1)?;
        let [depth] = b.as_ints(inputs[1])?[..] else { return Err(OpError::invalid("the depth of 'one_hot_by' is one number")) };
        Ok(vec![b.apply(OneHot { depth, axis }, &[inputs[0], inputs[2]])?])
    }
}

impl OneHotBy {
    pub(crate) fn samples() -> Vec<Sample> {
        [-1, 0]
            .into_iter()
            .map(|axis| Sample {
                op: OneHotBy { axis }.into(),
                inputs: vec![Input::Given(Tensor::from_ints(&[1, -1, 7])), Input::Constant(Tensor::from_slice(&[], &[3.0f32])), Input::Given(Tensor::from_slice(&[2], &[0i32, 1]))],
            })
            .collect()
    }
}
