//! A tensor with single elements replaced.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::attr::attr_enum;
use crate::ops::gather::checked;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::{Binary, Scalar};
use crate::shape::TensorType;
use crate::tensor::{Tensor, row_strides};

attr_enum! {
    /// What an update does to the element that it meets.
    pub enum Update {
        /// Replaces it.
        Replace = "replace",
        /// Is added to it.
        Add = "add",
        /// Multiplies it.
        Multiply = "multiply",
        /// Replaces it if it is larger.
        Max = "max",
        /// Replaces it if it is smaller.
        Min = "min",
    }
}

impl Update {
    /// The element after the update.
    pub(crate) fn apply(self, old: Scalar, new: Scalar, dtype: DType) -> Scalar {
        match self {
            Update::Replace => new,
            Update::Add => Binary::Add.apply(old, new, dtype),
            Update::Multiply => Binary::Mul.apply(old, new, dtype),
            Update::Max => Binary::Max.apply(old, new, dtype),
            Update::Min => Binary::Min.apply(old, new, dtype),
        }
    }
}

op! {
    /// `scatter_elements(x, indices, updates)`: `x`, after `y[a.., indices[a.., j, b..], b..]` was updated with
    /// `updates[a.., j, b..]` for all places of `indices` in row-major order. Indices below 0 count from the extent.
    /// Source: ONNX `ScatterElements`.
    pub struct ScatterElements = "scatter_elements" {
        /// The axis.
        pub axis: usize,
        /// What an update does.
        pub update: Update,
    }
}

impl OpDef for ScatterElements {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, indices, updates) = (args[0].ty, args[1].ty, args[2].ty);
        let (from, chosen, new) = (x.dims()?, indices.dims()?, updates.dims()?);
        let shorter = |k: usize| from[k].known().zip(chosen[k].known()).is_none_or(|(n, m)| m <= n);
        let fits = self.axis < from.len()
            && from.len() == chosen.len()
            && chosen.len() == new.len()
            && x.dtype == updates.dtype
            && indices.dtype.is_int()
            && (0..from.len()).all(|k| chosen[k].may_equal(&new[k]) && (k == self.axis || shorter(k)));
        if !fits {
            return Err(OpError::invalid(format!("'scatter_elements' of {updates} along axis {} of {x} by {indices}", self.axis)));
        }
        Ok(vec![x.clone()])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (x, indices, updates) = (inputs[0], inputs[1], inputs[2]);
        let chosen = checked(self.name(), indices.ints(), x.extents()[self.axis])?;
        let strides = row_strides(x.extents());
        let mut values: Vec<Scalar> = x.scalars().collect();
        let mut at = vec![0i64; x.rank()];
        for (k, i) in chosen.into_iter().enumerate() {
            let place: i64 = (0..at.len()).map(|axis| if axis == self.axis { i } else { at[axis] } * strides[axis]).sum();
            let slot = &mut values[place as usize];
            *slot = self.update.apply(*slot, updates.get(k), x.dtype());
            crate::compute::advance(&mut at, indices.extents());
        }
        Ok(vec![Tensor::from_scalars(x.dtype(), x.extents(), values)?])
    }
}

impl ScatterElements {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for update in [Update::Replace, Update::Add, Update::Multiply, Update::Max, Update::Min] {
            for dtype in [DType::F32, DType::I32] {
                let inputs = vec![Input::Drawn(dtype, vec![3, 5], Domain::Ordinary), Input::Given(Tensor::from_slice(&[2, 3], &[1i64, -1, 1, 0, 3, -5])), Input::Drawn(dtype, vec![2, 3], Domain::Ordinary)];
                samples.push(Sample { op: ScatterElements { axis: 1, update }.into(), inputs });
            }
        }
        let inputs = vec![Input::Drawn(DType::F16, vec![3], Domain::Any), Input::Given(Tensor::from_ints(&[])), Input::Drawn(DType::F16, vec![0], Domain::Any)];
        samples.push(Sample { op: ScatterElements { axis: 0, update: Update::Replace }.into(), inputs });
        samples
    }
}
