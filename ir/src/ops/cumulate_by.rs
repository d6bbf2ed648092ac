//! Running sums and products along an axis that is an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::cumulate::{Cumulate, Running};
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, Tolerance};
use crate::shape::{TensorType, axis};
use crate::tensor::Tensor;

op! {
    /// `cumulate_by(x, axis)`: as `cumulate`, with the axis given as one integer (negative counts from the end).
    pub struct CumulateBy = "cumulate_by" {
        /// How.
        pub how: Running,
        /// Is element `i` itself left out?
        pub exclusive: bool,
        /// From the end rather than from the beginning?
        pub reverse: bool,
    }
}

impl OpDef for CumulateBy {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![args[0].ty.clone()])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let rank = b.rank(inputs[0])?;
        let [at] = b.as_ints(inputs[1])?[..] else { return Err(OpError::invalid("the axis of 'cumulate_by' is not one number")) };
        let axis = axis(at, rank)?;
        Ok(vec![b.apply(Cumulate { how: self.how, axis, exclusive: self.exclusive, reverse: self.reverse }, &inputs[..1])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl CumulateBy {
    pub(crate) fn samples() -> Vec<Sample> {
        let axis = Input::Constant(Tensor::from_slice(&[], &[-1i32]));
        vec![Sample { op: CumulateBy { how: Running::Sum, exclusive: false, reverse: true }.into(), inputs: vec![Input::Drawn(DType::F32, vec![2, 9], Domain::Ordinary), axis] }]
    }
}
