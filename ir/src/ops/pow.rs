//! Power.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::sample::{Classes, broadcast_nest};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::Binary;
use crate::shape::{TensorType, broadcast};

op! {
    /// `pow(a, b) = a^b`, in the dtype of `a`; shapes broadcast. If one of the two is a float it is computed in
    /// floats (an integer result is then cut off towards zero), else by repeated product, which wraps.
    pub struct Pow = "pow" {}
}

impl OpDef for Pow {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (a, b) = (args[0].ty, args[1].ty);
        if !Classes::Numbers.contain(a.dtype) || !Classes::Numbers.contain(b.dtype) {
            return Err(OpError::invalid(format!("'pow' of {} and {}", a.dtype, b.dtype)));
        }
        Ok(vec![TensorType::ranked(a.dtype, broadcast(&[a, b])?)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (a, b) = (args[0].dtype, args[1].dtype);
        let within = if a.is_float() || !b.is_float() { a } else { b };
        Ok(Body::Loops(vec![broadcast_nest(a, args, |e, x| {
            let (base, exponent) = (e.cast(within, x[0]), e.cast(within, x[1]));
            let power = e.binary(Binary::Pow, base, exponent);
            e.cast(a, power)
        })?]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // The exponential of a product with a logarithm magnifies the logarithm's rounding by the size of the result's exponent.
        Tolerance::ulps(64.0, dtype)
    }
}

impl Pow {
    pub(crate) fn samples() -> Vec<Sample> {
        let between = Domain::Between(0.5, 3.0);
        let mut samples: Vec<Sample> = [DType::F32, DType::F64, DType::F16, DType::I32, DType::I64].iter().map(|d| Sample::drawn(Pow {}, between, &[(*d, &[3, 37]), (*d, &[37])])).collect();
        for (a, b) in [(DType::F32, DType::I32), (DType::F32, DType::I64), (DType::F32, DType::U64), (DType::I32, DType::I64)] {
            samples.push(Sample::drawn(Pow {}, Domain::Between(-3.0, 3.0), &[(a, &[3, 5]), (b, &[5])]));
        }
        samples.push(Sample::drawn(Pow {}, Domain::Any, &[(DType::F32, &[4001]), (DType::F32, &[1])]));
        samples.push(Sample::drawn(Pow {}, between, &[(DType::F32, &[0, 4]), (DType::F32, &[])]));
        samples
    }
}
