//! Discrete Fourier transforms whose axis and length are operands.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::cosine_window_by::number;
use crate::ops::dft::Dft;
use crate::ops::{Arity, Domain, Input, OpDef, Sample, Tolerance};
use crate::shape::axis;
use crate::tensor::Tensor;

op! {
    /// `dft_by(x, axis, length?)`: as `dft`; by default the length is that of the signal.
    pub struct DftBy = "dft_by" {
        /// Is it the inverse?
        pub inverse: bool,
        /// Is the transform of a real signal held by half?
        pub onesided: bool,
    }
}

impl OpDef for DftBy {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let axis = axis(number(b, inputs[1])?, b.rank(inputs[0])?)?;
        let length = match inputs.get(2) {
            Some(length) => number(b, *length)?,
            None => {
                let given = b.ty(inputs[0]).dims()?[axis].known().ok_or_else(OpError::unknown)?;
                if self.inverse && self.onesided { 2 * (given - 1) } else { given }
            }
        };
        Ok(vec![b.apply(Dft { axis, length, inverse: self.inverse, onesided: self.onesided }, &inputs[..1])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl DftBy {
    pub(crate) fn samples() -> Vec<Sample> {
        let inputs = vec![Input::Drawn(DType::F32, vec![2, 9, 2], Domain::Ordinary), Input::Constant(Tensor::from_slice(&[], &[-2i64]))];
        vec![Sample { op: DftBy { inverse: true, onesided: true }.into(), inputs }]
    }
}
