//! Exponentials that sum to one.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{div::Div, equal::Equal, exp::Exp, mul::Mul, reciprocal::Reciprocal, reduce::Reduce, select::Select, sub::Sub};
use crate::shape::TensorType;

op! {
    /// `y = exp(x - max(x)) (1 / sum(exp(x - max(x))))` along `axis`. The sum is at least 1, so its reciprocal is neither
    /// infinite nor 0, and there is one division for each row and not for each element (but in half precision, where that would show).
    /// A row that is all -inf gives NaN, or 0 (`zeros`).
    pub struct Softmax = "softmax" {
        /// The axis.
        pub axis: usize,
        /// Does a row that is all -inf give 0?
        pub zeros: bool,
    }
}

impl OpDef for Softmax {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if self.axis >= args[0].ty.rank()? || !args[0].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("'softmax' along axis {} of {}", self.axis, args[0].ty)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let axes = vec![self.axis];
        // Less 0 a row that is all -inf has powers that are 0, and so is what they are divided by; no other sum is.
        let replaced = |b: &mut Builder, x: ValueId, number: f64, other: f64| {
            if !self.zeros {
                return Ok(x);
            }
            let (number, other) = (b.scalar(b.dtype(x), number), b.scalar(b.dtype(x), other));
            let all = b.apply(Equal {}, &[x, number])?;
            b.apply(Select {}, &[all, other, x])
        };
        let largest = b.apply(Reduce { how: How::Max, axes: axes.clone() }, x)?;
        let largest = replaced(b, largest, f64::NEG_INFINITY, 0.0)?;
        let shifted = b.apply(Sub {}, &[x[0], largest])?;
        let powers = b.apply(Exp {}, &[shifted])?;
        let sum = b.apply(Reduce { how: How::Sum, axes }, &[powers])?;
        let sum = replaced(b, sum, 0.0, 1.0)?;
        // A reciprocal that has few digits would show.
        if b.dtype(x[0]).size() < 4 {
            return Ok(vec![b.apply(Div {}, &[powers, sum])?]);
        }
        let part = b.apply(Reciprocal {}, &[sum])?;
        Ok(vec![b.apply(Mul {}, &[powers, part])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 1.0)
    }
}

impl Softmax {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Softmax { axis: 1, zeros: false }, Domain::Ordinary, &[(DType::F32, &[7, 33])]),
            Sample::drawn(Softmax { axis: 0, zeros: false }, Domain::Ordinary, &[(DType::F32, &[7, 33])]),
            Sample::drawn(Softmax { axis: 1, zeros: false }, Domain::Ordinary, &[(DType::F16, &[2, 5, 3])]),
            Sample::drawn(Softmax { axis: 1, zeros: false }, Domain::Ordinary, &[(DType::F32, &[3, 0])]),
            Sample::drawn(Softmax { axis: 1, zeros: true }, Domain::Ordinary, &[(DType::F32, &[7, 33])]),
        ]
    }
}
