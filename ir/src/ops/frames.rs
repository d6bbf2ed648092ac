//! Overlapping pieces of a signal.
use crate::compute::Compute;
use crate::error::OpError;
use crate::dtype::DType;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::{Dim, TensorType};

op! {
    /// `y[b, f, i, ..] = x[b, f * step + i, ..]`: all whole pieces of `length` elements of axis 1.
    pub struct Frames = "frames" {
        /// Elements of a piece.
        pub length: i64,
        /// Distance between pieces.
        pub step: i64,
    }
}

impl OpDef for Frames {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        let fits = dims.len() >= 2 && self.length >= 1 && self.step >= 1 && dims[1].known().is_none_or(|n| n >= self.length);
        if !fits {
            return Err(OpError::invalid(format!("'frames' of {} elements by {} of {}", self.length, self.step, args[0].ty)));
        }
        let count = dims[1].minus(&Dim::Known(self.length)).floor_div(&Dim::Known(self.step)).plus(&Dim::Known(1));
        let mut result = vec![dims[0].clone(), count, Dim::Known(self.length)];
        result.extend_from_slice(&dims[2..]);
        Ok(vec![TensorType::ranked(args[0].ty.dtype, result)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        let dtype = args[0].dtype;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let step = e.int(self.step);
            let start = e.mul(at[1], step);
            let mut index = vec![at[0], e.add(start, at[2])];
            index.extend_from_slice(&at[3..]);
            e.load(Source(0), dtype, index)
        })]))
    }
}

impl Frames {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Frames { length: 16, step: 8 }, Domain::Any, &[(DType::F32, &[2, 128, 1])]),
            Sample::drawn(Frames { length: 5, step: 7 }, Domain::Any, &[(DType::I32, &[1, 20])]),
            Sample::drawn(Frames { length: 3, step: 1 }, Domain::Any, &[(DType::F32, &[0, 3, 2])]),
        ]
    }
}
