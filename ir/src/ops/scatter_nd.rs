//! A tensor with slices replaced.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::gather::checked;
use crate::ops::scatter_elements::Update;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::Scalar;
use crate::shape::TensorType;
use crate::tensor::{Tensor, row_strides};

op! {
    /// `scatter_nd(x, indices, updates)`: `indices` is `[i.., k]` and holds tuples of `k` indices into the first axes
    /// of `x`; the result is `x`, after `y[indices[i.., ..], r..]` was updated with `updates[i.., r..]` for all `i`
    /// in row-major order. Indices below 0 count from the extent. Source: ONNX `ScatterND`.
    pub struct ScatterNd = "scatter_nd" {
        /// What an update does.
        pub update: Update,
    }
}

impl OpDef for ScatterNd {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, indices, updates) = (args[0].ty, args[1].ty, args[2].ty);
        let (from, chosen, new) = (x.dims()?, indices.dims()?, updates.dims()?);
        let complain = || Err(OpError::invalid(format!("'scatter_nd' of {updates} into {x} by {indices}")));
        let Some((width, lead)) = chosen.split_last() else { return complain() };
        if x.dtype != updates.dtype || !indices.dtype.is_int() {
            return complain();
        }
        if let Some(width) = width.known() {
            let width = width as usize;
            if width > from.len() || new.len() != lead.len() + from.len() - width || lead.iter().chain(&from[width..]).zip(new).any(|(a, b)| !a.may_equal(b)) {
                return complain();
            }
        }
        Ok(vec![x.clone()])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (x, indices, updates) = (inputs[0], inputs[1], inputs[2]);
        let types = [x.ty(), indices.ty(), updates.ty()];
        self.infer(&types.each_ref().map(|ty| Arg { ty, value: None }))?;
        let (width, lead) = indices.extents().split_last().map_or((0, &[][..]), |(width, lead)| (*width as usize, lead));
        let strides = row_strides(x.extents());
        let block: i64 = x.extents()[width..].iter().product();
        let raw = indices.ints();
        let mut values: Vec<Scalar> = x.scalars().collect();
        for tuple in 0..crate::tensor::checked_elems(lead)? {
            let mut place = 0;
            for k in 0..width {
                place += checked(self.name(), [raw[tuple * width + k]], x.extents()[k])?[0] * strides[k];
            }
            for r in 0..block {
                let slot = &mut values[(place + r) as usize];
                *slot = self.update.apply(*slot, updates.get(tuple * block as usize + r as usize), x.dtype());
            }
        }
        Ok(vec![Tensor::from_scalars(x.dtype(), x.extents(), values)?])
    }
}

impl ScatterNd {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for update in [Update::Replace, Update::Add, Update::Multiply, Update::Max, Update::Min] {
            for dtype in [DType::F32, DType::I64] {
                let inputs = vec![Input::Drawn(dtype, vec![4, 3], Domain::Ordinary), Input::Given(Tensor::from_slice(&[3, 1], &[1i64, -4, 1])), Input::Drawn(dtype, vec![3, 3], Domain::Ordinary)];
                samples.push(Sample { op: ScatterNd { update }.into(), inputs });
            }
        }
        let inputs = vec![Input::Drawn(DType::F32, vec![4, 3], Domain::Any), Input::Given(Tensor::from_slice(&[2, 1, 2], &[3i64, 2, 0, -1])), Input::Drawn(DType::F32, vec![2, 1], Domain::Any)];
        samples.push(Sample { op: ScatterNd { update: Update::Replace }.into(), inputs });
        let inputs = vec![Input::Drawn(DType::F32, vec![4], Domain::Any), Input::Given(Tensor::from_slice::<i64>(&[0, 1], &[])), Input::Drawn(DType::F32, vec![0], Domain::Any)];
        samples.push(Sample { op: ScatterNd { update: Update::Replace }.into(), inputs });
        samples
    }
}
