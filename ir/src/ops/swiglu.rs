//! Gated swish.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{mul::Mul, swish::Swish};

op! {
    /// `swiglu(a, b) = swish(a) * b`. Source: arXiv:2002.05202.
    pub struct Swiglu = "swiglu" {
        /// Scale of the input of the sigmoid.
        pub alpha: f64,
    }
}

impl OpDef for Swiglu {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let gate = b.apply(Swish { alpha: self.alpha }, &x[..1])?;
        Ok(vec![b.apply(Mul {}, &[gate, x[1]])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // Swish and a product.
        Tolerance::ulps(20.0, dtype)
    }
}

impl Swiglu {
    pub(crate) fn samples() -> Vec<Sample> {
        [DType::F32, DType::F16].into_iter().map(|d| Sample::drawn(Swiglu { alpha: 1.25 }, Domain::Any, &[(d, &[3, 37]), (d, &[3, 37])])).collect()
    }
}
