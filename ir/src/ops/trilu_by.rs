//! The upper or lower part of matrices, cut at a diagonal that is an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::triangle::Triangle;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample};
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `trilu_by(x, diagonal)`: as `triangle`, with one i64. Source: ONNX `Trilu`.
    pub struct TriluBy = "trilu_by" {
        /// Is the part above the diagonal kept (else that below)?
        pub upper: bool,
    }
}

impl OpDef for TriluBy {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        Triangle { upper: self.upper, diagonal: 0 }.infer(&args[..1])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let [diagonal] = b.as_ints(inputs[1])?[..] else { return Err(OpError::invalid("the diagonal is one number")) };
        Ok(vec![b.apply(Triangle { upper: self.upper, diagonal }, &inputs[..1])?])
    }
}

impl TriluBy {
    pub(crate) fn samples() -> Vec<Sample> {
        [(true, 1), (false, -2)]
            .into_iter()
            .map(|(upper, k)| Sample { op: TriluBy { upper }.into(), inputs: vec![Input::Drawn(DType::F32, vec![4, 5], Domain::Any), Input::Constant(Tensor::from_ints(&[k]))] })
            .collect()
    }
}
