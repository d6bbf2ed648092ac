//! Division by a norm along an axis.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{div, reduce, select};
use crate::ops::lp_pool::{powers, root};
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance, equal::Equal};
use crate::shape::{TensorType, axis};

op! {
    /// `y = x / (sum of |x|^p)^(1/p)` along `axis`; 0 where the norm is 0. Source: ONNX `LpNormalization`.
    pub struct LpNorm = "lp_norm" {
        /// The axis; negative counts from the end.
        pub axis: i64,
        /// The exponent.
        pub p: i64,
    }
}

impl OpDef for LpNorm {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        axis(self.axis, args[0].ty.rank()?)?;
        if self.p < 1 || !args[0].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("'lp_norm' of order {} of {}", self.p, args[0].ty)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let axis = axis(self.axis, b.rank(x[0])?)?;
        let powers = powers(b, x[0], self.p)?;
        let sum = reduce(b, How::Sum, powers, &[axis])?;
        let norm = root(b, sum, self.p)?;
        let (zero, one) = (b.scalar(b.dtype(norm), 0.0), b.scalar(b.dtype(norm), 1.0));
        let nothing = b.apply(Equal {}, &[norm, zero])?;
        let divisor = select(b, nothing, one, norm)?;
        Ok(vec![div(b, x[0], divisor)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 1.0)
    }
}

impl LpNorm {
    pub(crate) fn samples() -> Vec<Sample> {
        [(-1, 2), (0, 1), (1, 3)].into_iter().map(|(axis, p)| Sample::drawn(LpNorm { axis, p }, Domain::Ordinary, &[(DType::F32, &[3, 4, 17])])).collect()
    }
}
