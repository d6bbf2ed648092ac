//! Values brought to mean 0 and deviation 1.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::aggregate::Statistic;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{add::Add, aggregate_by::AggregateBy, div::Div, mul::Mul, sqrt::Sqrt, sub::Sub};
use crate::shape::TensorType;

op! {
    /// `y = (x - mean) / (sqrt(variance) + 1e-9)`, mean and variance taken along `axes`. Source: ONNX
    /// `MeanVarianceNormalization`.
    pub struct Standardise = "standardise" {
        /// The axes; negative ones count from the end.
        pub axes: Vec<i64>,
    }
}

impl OpDef for Standardise {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let rank = args[0].ty.rank()?;
        for at in &self.axes {
            crate::shape::axis(*at, rank)?;
        }
        if !args[0].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("'standardise' takes floats, not {}", args[0].ty.dtype)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let axes = b.ints(&self.axes);
        let mean = |b: &mut Builder, x: ValueId| b.apply(AggregateBy { statistic: Statistic::Mean, keep: true, empty_is_none: false }, &[x, axes]);
        let centre = mean(b, x[0])?;
        let shifted = b.apply(Sub {}, &[x[0], centre])?;
        let squares = b.apply(Mul {}, &[shifted, shifted])?;
        let variance = mean(b, squares)?;
        let deviation = b.apply(Sqrt {}, &[variance])?;
        let tiny = b.scalar(b.dtype(x[0]), 1e-9);
        let divisor = b.apply(Add {}, &[deviation, tiny])?;
        Ok(vec![b.apply(Div {}, &[shifted, divisor])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Standardise {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Standardise { axes: vec![0, 2, 3] }, Domain::Ordinary, &[(DType::F32, &[3, 3, 5, 7])]),
            Sample::drawn(Standardise { axes: vec![-1] }, Domain::Ordinary, &[(DType::F64, &[4, 33])]),
        ]
    }
}
