//! Slices of a tensor, picked by index tuples.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::gather::{checked, index};
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::Scalar;
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `gather_nd(x, indices)`: `indices` is `[b.., i.., k]` and holds tuples of `k` indices into the axes of `x`
    /// behind the first `batch`, over which both run together: `y[b.., i.., r..] = x[b.., indices[b.., i.., ..], r..]`.
    /// Indices out of range as in `gather`. Source: ONNX `GatherND`.
    pub struct GatherNd = "gather_nd" {
        /// Number of axes that run together.
        pub batch: usize,
    }
}

impl OpDef for GatherNd {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, indices) = (args[0].ty, args[1].ty);
        let (from, chosen) = (x.dims()?, indices.dims()?);
        let complain = || Err(OpError::invalid(format!("'gather_nd' of {x} by {indices} with {} batch axes", self.batch)));
        let Some((width, lead)) = chosen.split_last() else { return complain() };
        let width = width.known().ok_or_else(OpError::unknown)? as usize;
        if lead.len() < self.batch || from.len() < self.batch + width || !indices.dtype.is_int() || (0..self.batch).any(|k| !from[k].may_equal(&lead[k])) {
            return complain();
        }
        Ok(vec![TensorType::ranked(x.dtype, [lead, &from[self.batch + width..]].concat())])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (from, chosen) = (args[0].extents()?, args[1].extents()?);
        let lead = chosen.len() - 1;
        let width = chosen[lead] as usize;
        let extents = [&chosen[..lead], &from[self.batch + width..]].concat();
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let mut place = at[..self.batch].to_vec();
            let mut all_inside = e.constant(Scalar::Bool(true), DType::Bool);
            for k in 0..width {
                let mut tuple = at[..lead].to_vec();
                tuple.push(e.int(k as i64));
                let raw = e.load(Source(1), args[1].dtype, tuple);
                let (i, inside) = index(e, raw, from[self.batch + k]);
                all_inside = e.and(all_inside, inside);
                place.push(i);
            }
            place.extend_from_slice(&at[lead..]);
            e.guarded_load(Source(0), args[0].dtype, place, all_inside)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let width = inputs[1].extents().last().copied().unwrap_or(0).max(1) as usize;
        let indices = inputs[1].ints();
        for k in 0..width {
            if let Some(extent) = inputs[0].extents().get(self.batch + k) {
                checked(self.name(), indices.iter().copied().skip(k).step_by(width), *extent)?;
            }
        }
        crate::ops::eval_body(self, inputs)
    }
}

impl GatherNd {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |batch, dtype, shape: &[i64], indices: Tensor| Sample { op: GatherNd { batch }.into(), inputs: vec![Input::Drawn(dtype, shape.to_vec(), Domain::Any), Input::Given(indices)] };
        vec![
            sample(0, DType::F32, &[3, 4], Tensor::from_slice(&[3, 2], &[0i64, 0, -1, 3, 2, -4])),
            sample(0, DType::I32, &[3, 4, 5], Tensor::from_slice(&[2, 1, 1], &[-3i64, 1])),
            sample(1, DType::F32, &[2, 3, 4], Tensor::from_slice(&[2, 1], &[-1i64, 0])),
            sample(0, DType::F16, &[2, 2], Tensor::from_slice::<i64>(&[0, 2], &[])),
            sample(0, DType::F32, &[2, 3], Tensor::from_slice::<i64>(&[2, 0], &[])),
        ]
    }
}
