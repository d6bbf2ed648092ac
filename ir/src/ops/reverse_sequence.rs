//! The beginnings of sequences reversed.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `reverse_sequence(x, lengths)`: along `time`, for each `b` along `batch`, the first `lengths[b]` elements in
    /// reverse order, the others as they are. Lengths lie within 0 and the extent. Source: ONNX `ReverseSequence`.
    pub struct ReverseSequence = "reverse_sequence" {
        /// The axis that `lengths` runs along.
        pub batch: usize,
        /// The axis that is reversed.
        pub time: usize,
    }
}

impl OpDef for ReverseSequence {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, lengths) = (args[0].ty, args[1].ty);
        let dims = x.dims()?;
        let fits = self.batch < dims.len() && self.time < dims.len() && self.batch != self.time && lengths.dtype.is_int() && matches!(lengths.dims()?, [n] if n.may_equal(&dims[self.batch]));
        if !fits {
            return Err(OpError::invalid(format!("'reverse_sequence' of {x} along axis {} with lengths {lengths} along axis {}", self.time, self.batch)));
        }
        Ok(vec![x.clone()])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let extents = args[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let length = e.load(Source(1), args[1].dtype, vec![at[self.batch]]);
            let (length, one) = (e.cast(DType::I64, length), e.int(1));
            let now = at[self.time];
            let reversed = e.binary(Binary::Lt, now, length);
            let last = e.sub(length, one);
            let mirror = e.sub(last, now);
            let mut index = at.to_vec();
            index[self.time] = e.select(reversed, mirror, now);
            let inside = e.within(index[self.time], Some(0), Some(extents[self.time]));
            e.guarded_load(Source(0), args[0].dtype, index, inside)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let time = inputs[0].extents()[self.time];
        if let Some(length) = inputs[1].ints().into_iter().find(|n| !(0..=time).contains(n)) {
            return Err(OpError::invalid(format!("'reverse_sequence' reverses {length} elements of {time}")));
        }
        crate::ops::eval_body(self, inputs)
    }
}

impl ReverseSequence {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |batch, time, shape: &[i64], lengths: &[i64]| Sample {
            op: ReverseSequence { batch, time }.into(),
            inputs: vec![Input::Drawn(DType::F32, shape.to_vec(), Domain::Any), Input::Given(Tensor::from_ints(lengths))],
        };
        vec![sample(0, 1, &[3, 5], &[0, 5, 2]), sample(1, 0, &[4, 2, 3], &[1, 4]), sample(0, 1, &[2, 0], &[0, 0]), sample(1, 2, &[2, 1, 33], &[17])]
    }
}
