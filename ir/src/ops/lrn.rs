//! Local response normalisation.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add_number, div, mul, scale};
use crate::ops::padding::Windows;
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{pow::Pow, window::Window};
use crate::shape::TensorType;

op! {
    /// `y = x / (bias + alpha / size * s)^beta`, where `s` is the sum of squares over the channels (axis 1) from
    /// `c - (size-1)/2` (rounded down) to `c + (size-1)/2` (rounded up). Source: Krizhevsky, Sutskever and Hinton 2012, 3.3;
    /// ONNX `LRN`.
    pub struct Lrn = "lrn" {
        /// Factor of the sum.
        pub alpha: f64,
        /// The exponent.
        pub beta: f64,
        /// Added to the sum.
        pub bias: f64,
        /// Number of channels that count.
        pub size: i64,
    }
}

impl OpDef for Lrn {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if self.size < 1 || args[0].ty.rank()? < 2 || !args[0].ty.dtype.is_float() {
            return Err(OpError::invalid(format!("'lrn' over {} channels of {}", self.size, args[0].ty)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let rank = b.rank(x[0])?;
        let squares = mul(b, x[0], x[0])?;
        let mut windows = Windows::new(&vec![1; rank - 1], &[], &[], &[], &[])?;
        (windows.extents[0], windows.before[0], windows.after[0]) = (self.size, (self.size - 1) / 2, self.size / 2);
        let sum = b.apply(Window::over(How::Sum, rank, &windows), &[squares])?;
        let sum = scale(b, sum, self.alpha / self.size as f64)?;
        let sum = add_number(b, sum, self.bias)?;
        let beta = b.scalar(b.dtype(x[0]), self.beta);
        let divisor = b.apply(Pow {}, &[sum, beta])?;
        Ok(vec![div(b, x[0], divisor)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl Lrn {
    pub(crate) fn samples() -> Vec<Sample> {
        [3, 4].into_iter().map(|size| Sample::drawn(Lrn { alpha: 0.0002, beta: 0.5, bias: 2.0, size }, Domain::Ordinary, &[(DType::F32, &[2, 7, 5, 5])])).collect()
    }
}
