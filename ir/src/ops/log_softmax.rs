//! Logarithms of softmax.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{exp::Exp, log::Log, reduce::Reduce, sub::Sub};
use crate::shape::TensorType;

op! {
    /// `y = (x - max(x)) - ln(sum(exp(x - max(x))))` along `axis`.
    pub struct LogSoftmax = "log_softmax" {
        /// The axis.
        pub axis: usize,
    }
}

impl OpDef for LogSoftmax {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if self.axis >= args[0].ty.rank()? || !args[0].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("'log_softmax' along axis {} of {}", self.axis, args[0].ty)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let axes = vec![self.axis];
        let largest = b.apply(Reduce { how: How::Max, axes: axes.clone() }, x)?;
        let shifted = b.apply(Sub {}, &[x[0], largest])?;
        let powers = b.apply(Exp {}, &[shifted])?;
        let sum = b.apply(Reduce { how: How::Sum, axes }, &[powers])?;
        let log = b.apply(Log {}, &[sum])?;
        Ok(vec![b.apply(Sub {}, &[shifted, log])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl LogSoftmax {
    pub(crate) fn samples() -> Vec<Sample> {
        [(1, DType::F32, &[7i64, 33][..]), (0, DType::F32, &[7, 33]), (1, DType::F16, &[2, 5, 3]), (1, DType::F32, &[3, 0]), (0, DType::F32, &[1])]
            .into_iter()
            .map(|(axis, dtype, extents)| Sample::drawn(LogSoftmax { axis }, Domain::Ordinary, &[(dtype, extents)]))
            .collect()
    }
}
