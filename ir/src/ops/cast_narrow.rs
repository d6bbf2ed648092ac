//! Conversion to a narrow float with a choice of what happens to values that don't fit.
use crate::dtype::DType;
use crate::error::OpError;
use crate::minifloat;
use crate::ops::attr::attr_enum;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::TensorType;
use crate::tensor::{AlignedBytes, Tensor};

attr_enum! {
    /// Rounding of a conversion to powers of two.
    pub enum Rounding {
        /// To the nearest, ties up.
        Nearest = "nearest",
        /// Away from zero.
        Up = "up",
        /// Towards zero.
        Down = "down",
    }
}

op! {
    /// Converts each element to `to`, a float of 8 bits or fewer. With `saturate` values beyond the largest become the
    /// largest, else infinity, or NaN where there is no infinity. Source: ONNX `Cast`, OCP Microscaling Formats 1.0.
    pub struct CastNarrow = "cast_narrow" {
        /// The new dtype.
        pub to: DType,
        /// Do values that are too large become the largest?
        pub saturate: bool,
        /// How to round to a power of two (`f8e8m0`); the other types round to nearest, ties to even.
        pub rounding: Rounding,
    }
}

impl CastNarrow {
    fn encode(&self, x: f64) -> u8 {
        if self.to != DType::F8E8M0 || self.rounding == Rounding::Nearest || x.is_nan() || x <= 0.0 || x.is_infinite() {
            return minifloat::encode(x, self.to, self.saturate);
        }
        let below = x.log2().floor();
        // A logarithm rounds; the power itself is exact.
        let below = if below.exp2() > x { below - 1.0 } else { below };
        let up = self.rounding == Rounding::Up && below.exp2() < x;
        minifloat::encode((below + f64::from(u8::from(up))).exp2(), self.to, self.saturate)
    }
}

impl OpDef for CastNarrow {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.to]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if !self.to.is_float() || self.to.size() != 1 || args[0].ty.dtype == DType::Str {
            return Err(OpError::invalid(format!("'cast_narrow' converts {} to {}, which is not a narrow float", args[0].ty.dtype, self.to)));
        }
        Ok(vec![TensorType::new(self.to, args[0].ty.shape.clone())])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let mut buffer = AlignedBytes::zeroed(inputs[0].elems())?;
        for (byte, x) in buffer.as_mut_slice().iter_mut().zip(inputs[0].scalars()) {
            *byte = self.encode(x.as_f64());
        }
        Ok(vec![Tensor::from_bytes(self.to, inputs[0].extents(), buffer)?])
    }
}

impl CastNarrow {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for to in [DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ] {
            samples.push(Sample::drawn(CastNarrow { to, saturate: false, rounding: Rounding::Nearest }, Domain::Any, &[(DType::F32, &[5, 67])]));
        }
        for rounding in [Rounding::Nearest, Rounding::Up, Rounding::Down] {
            samples.push(Sample::drawn(CastNarrow { to: DType::F8E8M0, saturate: true, rounding }, Domain::Any, &[(DType::F16, &[67])]));
        }
        samples
    }
}
