//! One where the largest element is, zero elsewhere.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample};
use crate::ops::{arg_extreme::ArgExtreme, cast::Cast, equal::Equal, iota::Iota};
use crate::shape::TensorType;

op! {
    /// `y[i] = 1` at the first largest element along `axis`, else 0.
    pub struct Hardmax = "hardmax" {
        /// The axis.
        pub axis: usize,
    }
}

impl OpDef for Hardmax {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if self.axis >= args[0].ty.rank()? {
            return Err(OpError::invalid(format!("'hardmax' along axis {} of {}", self.axis, args[0].ty)));
        }
        Ok(vec![args[0].ty.clone()])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let extents = b.extents(x[0])?;
        if extents[self.axis] == 0 {
            return Ok(vec![x[0]]);
        }
        let first = b.apply(ArgExtreme { axis: self.axis, largest: true, last: false, keep: true }, x)?;
        let mut line = vec![1; extents.len()];
        line[self.axis] = extents[self.axis];
        let numbers = b.apply(Iota { dtype: DType::I64, extents: line, axis: self.axis }, &[])?;
        let hit = b.apply(Equal {}, &[first, numbers])?;
        Ok(vec![b.apply(Cast { to: b.dtype(x[0]) }, &[hit])?])
    }
}

impl Hardmax {
    pub(crate) fn samples() -> Vec<Sample> {
        [(1, DType::F32, &[7i64, 33][..]), (0, DType::F32, &[7, 33]), (1, DType::F16, &[2, 5, 3]), (1, DType::F32, &[3, 0])]
            .into_iter()
            .map(|(axis, dtype, extents)| Sample::drawn(Hardmax { axis }, Domain::Any, &[(dtype, extents)]))
            .collect()
    }
}
