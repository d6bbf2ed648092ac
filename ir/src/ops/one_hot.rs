//! Indices as rows of one "on" value among "off" values.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Input, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `one_hot(indices, values)`: a new axis of extent `depth` at `axis` of the result; along it `values[1]` stands
    /// at the index, `values[0]` elsewhere. Indices below 0 count from `depth`; one outside gives a row of
    /// `values[0]`. Indices that are floats are cut off. Source: ONNX `OneHot`.
    pub struct OneHot = "one_hot" {
        /// Extent of the new axis.
        pub depth: i64,
        /// Where it stands in the result.
        pub axis: usize,
    }
}

impl OpDef for OneHot {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[1]]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let mut dims = args[0].ty.dims()?.to_vec();
        if self.axis > dims.len() || self.depth < 0 {
            return Err(OpError::invalid(format!("'one_hot' of depth {} at axis {} for indices {}", self.depth, self.axis, args[0].ty)));
        }
        if !matches!(args[1].ty.dims()?, [n] if n.may_equal(&Dim::Known(2))) {
            return Err(OpError::invalid(format!("'one_hot' takes two values, off and on, not {}", args[1].ty)));
        }
        dims.insert(self.axis, Dim::Known(self.depth));
        Ok(vec![TensorType::ranked(args[1].ty.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let mut extents = args[0].extents()?;
        extents.insert(self.axis, self.depth);
        let dtype = args[1].dtype;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let mut place = at.to_vec();
            let here = place.remove(self.axis);
            let raw = e.load(Source(0), args[0].dtype, place);
            let (wanted, depth, zero, one) = (e.cast(DType::I64, raw), e.int(self.depth), e.int(0), e.int(1));
            let negative = e.binary(Binary::Lt, wanted, zero);
            let from_end = e.add(wanted, depth);
            let wanted = e.select(negative, from_end, wanted);
            let hit = e.binary(Binary::Eq, here, wanted);
            let (off, on) = (e.load(Source(1), dtype, vec![zero]), e.load(Source(1), dtype, vec![one]));
            e.select(hit, on, off)
        })]))
    }
}

impl OneHot {
    pub(crate) fn samples() -> Vec<Sample> {
        let values = || Input::Given(Tensor::from_slice(&[2], &[-1.5f32, 3.0]));
        let sample = |depth, axis, indices: Tensor| Sample { op: OneHot { depth, axis }.into(), inputs: vec![Input::Given(indices), values()] };
        vec![
            sample(5, 1, Tensor::from_ints(&[0, -1, 4, 5, -6, i64::MAX, i64::MIN, 2, 2])),
            sample(3, 0, Tensor::from_slice(&[2, 2], &[0i32, 1, -3, 9])),
            sample(4, 1, Tensor::from_slice(&[2, 3], &[0u8, 1, 2, 3, 4, 255])),
            sample(4, 0, Tensor::from_slice(&[], &[1.0f32])),
            sample(0, 0, Tensor::from_ints(&[1])),
            sample(3, 1, Tensor::from_ints(&[])),
        ]
    }
}
