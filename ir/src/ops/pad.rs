//! A tensor with a margin of one value.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::{Scalar, cast};
use crate::shape::{Dim, TensorType};

op! {
    /// `x` with `before` and `after` elements of `value` along each axis. Negative numbers cut off.
    pub struct Pad = "pad" {
        /// Elements added in front, per axis.
        pub before: Vec<i64>,
        /// Elements added behind, per axis.
        pub after: Vec<i64>,
        /// What they are.
        pub value: Scalar,
    }
}

impl OpDef for Pad {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        if dims.len() != self.before.len() || dims.len() != self.after.len() {
            return Err(OpError::invalid(format!("'pad' of shape {} needs two numbers for each axis", args[0].ty.shape)));
        }
        let padded: Vec<Dim> = dims.iter().zip(self.before.iter().zip(&self.after)).map(|(dim, (a, b))| dim.plus(&Dim::Known(*a)).plus(&Dim::Known(*b))).collect();
        if padded.iter().any(|dim| dim.known().is_some_and(|n| n < 0)) {
            return Err(OpError::invalid(format!("'pad' cuts more than there is off shape {}", args[0].ty.shape)));
        }
        Ok(vec![TensorType::ranked(args[0].ty.dtype, padded)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let from = args[0].extents()?;
        let extents: Vec<i64> = from.iter().enumerate().map(|(k, n)| n + self.before[k] + self.after[k]).collect();
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
            let mut index = Vec::new();
            for (k, i) in at.iter().enumerate() {
                let offset = e.int(-self.before[k]);
                let i = e.add(*i, offset);
                let holds = e.within(i, (self.before[k] > 0).then_some(0), (self.after[k] > 0).then_some(from[k]));
                inside = e.and(inside, holds);
                index.push(i);
            }
            let load = e.guarded_load(Source(0), dtype, index, inside);
            if cast(self.value, dtype) == Scalar::zero(dtype) {
                return load;
            }
            let value = e.constant(self.value, dtype);
            e.select(inside, load, value)
        })]))
    }
}

impl Pad {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Pad { before: vec![0, 2], after: vec![1, 0], value: Scalar::Float(0.0) }, Domain::Any, &[(DType::F32, &[3, 7])]),
            Sample::drawn(Pad { before: vec![-1, 2], after: vec![1, -3], value: Scalar::Float(1.5) }, Domain::Any, &[(DType::F32, &[3, 7])]),
            Sample::drawn(Pad { before: vec![2], after: vec![2], value: Scalar::Int(-4) }, Domain::Any, &[(DType::I32, &[0])]),
        ]
    }
}
