//! Windows that are sums of cosines.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, OpDef, Sample, Tolerance};
use crate::scalar::Unary;
use crate::shape::TensorType;

op! {
    /// `y[i] = sum over k of coefficients[k] * cos(2 pi k i / period)`, `size` elements; the period is `size`, or
    /// `size - 1` if the window is symmetric. Source: ONNX `HannWindow`, `HammingWindow`, `BlackmanWindow`.
    pub struct CosineWindow = "cosine_window" {
        /// Factor of each cosine, signs included.
        pub coefficients: Vec<f64>,
        /// Number of elements.
        pub size: i64,
        /// Is the last element the mirror image of the first?
        pub symmetric: bool,
        /// Dtype of the result.
        pub dtype: DType,
    }
}

impl OpDef for CosineWindow {
    derived!();
    fn arity(&self) -> Arity {
        0..=0
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, _: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        crate::tensor::checked_elems(&[self.size])?;
        if !(self.dtype.is_float() || self.dtype.is_int()) {
            return Err(OpError::invalid(format!("a window of {}", self.dtype)));
        }
        Ok(vec![TensorType::known(self.dtype, &[self.size])])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        let period = (if self.symmetric { self.size - 1 } else { self.size }).max(1);
        let wide = if self.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        Ok(Body::Loops(vec![Compute::map(self.dtype, &[self.size], |e, at| {
            let mut sum = e.float(self.coefficients.first().copied().unwrap_or(0.0), wide);
            let place = e.cast(wide, at[0]);
            for (k, coefficient) in self.coefficients.iter().enumerate().skip(1) {
                let turn = e.float(std::f64::consts::TAU * k as f64 / period as f64, wide);
                let angle = e.mul(place, turn);
                let cosine = e.unary(Unary::Cos, angle);
                let factor = e.float(*coefficient, wide);
                let term = e.mul(factor, cosine);
                sum = e.add(sum, term);
            }
            e.cast(self.dtype, sum)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl CosineWindow {
    pub(crate) fn samples() -> Vec<Sample> {
        [(10, true, DType::F32), (17, false, DType::F64), (1, true, DType::F32), (0, false, DType::F32), (400, false, DType::F16)]
            .into_iter()
            .map(|(size, symmetric, dtype)| Sample { op: CosineWindow { coefficients: vec![0.42, -0.5, 0.08], size, symmetric, dtype }.into(), inputs: vec![] })
            .collect()
    }
}
