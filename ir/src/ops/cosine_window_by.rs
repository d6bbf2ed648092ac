//! Windows whose size is an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::cosine_window::CosineWindow;
use crate::ops::{Arg, Arity, Input, OpDef, Sample, Tolerance};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `cosine_window_by(size)`: as `cosine_window`, with the size given as one integer.
    pub struct CosineWindowBy = "cosine_window_by" {
        /// Factor of each cosine, signs included.
        pub coefficients: Vec<f64>,
        /// Is the last element the mirror image of the first?
        pub symmetric: bool,
        /// Dtype of the result.
        pub dtype: DType,
    }
}

/// The one number that a constant holds.
pub(crate) fn number(b: &Builder, value: ValueId) -> Result<i64, OpError> {
    match b.as_ints(value)?[..] {
        [one] => Ok(one),
        ref many => Err(OpError::invalid(format!("one number was expected, not {}", many.len()))),
    }
}

impl OpDef for CosineWindowBy {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let size = match args[0].value.map(Tensor::ints).as_deref() {
            Some([size]) => Dim::Known(*size),
            Some(_) => return Err(OpError::invalid("the size of a window is one number")),
            None => Dim::Unknown,
        };
        Ok(vec![TensorType::ranked(self.dtype, vec![size])])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let size = number(b, inputs[0])?;
        Ok(vec![b.apply(CosineWindow { coefficients: self.coefficients.clone(), size, symmetric: self.symmetric, dtype: self.dtype }, &[])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl CosineWindowBy {
    pub(crate) fn samples() -> Vec<Sample> {
        let size = Input::Constant(Tensor::from_slice(&[], &[10i32]));
        vec![Sample { op: CosineWindowBy { coefficients: vec![0.5, -0.5], symmetric: false, dtype: DType::F32 }.into(), inputs: vec![size] }]
    }
}
