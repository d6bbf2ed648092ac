//! The mean of several tensors.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance, at_least};
use crate::ops::{add::Add, div::Div};

op! {
    /// `average(a, b, ..) = (a + b + ..) / count`; shapes broadcast.
    pub struct Average = "average" {}
}

impl OpDef for Average {
    derived!();
    fn arity(&self) -> Arity {
        at_least(1)
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let mut sum = x[0];
        for next in &x[1..] {
            sum = b.apply(Add {}, &[sum, *next])?;
        }
        let count = b.scalar(b.dtype(sum), x.len() as f64);
        Ok(vec![b.apply(Div {}, &[sum, count])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl Average {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Average {}, Domain::Ordinary, &[(DType::F32, &[3, 37]), (DType::F32, &[37]), (DType::F32, &[])]),
            Sample::drawn(Average {}, Domain::Any, &[(DType::F64, &[5])]),
        ]
    }
}
