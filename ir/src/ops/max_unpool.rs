//! Elements put where a pool found them.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::padding::Windows;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, checked_elems};

op! {
    /// `max_unpool(x, places, shape?)`: zeros of the shape that pooling came from, `(n-1)*strides + extents - before - after`
    /// along the spatial axes, with each element of `x` at the row-major place that `places` (i64) says. With `shape` (a vector
    /// of i64) more zeros are added behind to reach it. Source: ONNX `MaxUnpool`.
    pub struct MaxUnpool = "max_unpool" {
        /// Number of a window's elements, per spatial axis.
        pub extents: Vec<i64>,
        /// Distance between windows; empty for ones.
        pub strides: Vec<i64>,
        /// Margin in front; empty for zeros.
        pub before: Vec<i64>,
        /// Margin behind; empty for zeros.
        pub after: Vec<i64>,
    }
}

impl MaxUnpool {
    fn dims(&self, dims: &[Dim]) -> Result<Vec<Dim>, OpError> {
        let windows = Windows::new(&self.extents, &self.strides, &[], &self.before, &self.after)?;
        let lead = dims.len().checked_sub(self.extents.len()).ok_or_else(|| OpError::invalid("'max_unpool' has more windows than its operand has axes"))?;
        let mut result = dims.to_vec();
        for (k, dim) in result[lead..].iter_mut().enumerate() {
            *dim = dim.minus(&Dim::Known(1)).times(&Dim::Known(windows.strides[k])).plus(&Dim::Known(self.extents[k] - windows.before[k] - windows.after[k]));
        }
        Ok(result)
    }
}

impl OpDef for MaxUnpool {
    derived!();
    fn arity(&self) -> Arity {
        2..=3
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let dims = self.dims(x.dims()?)?;
        if !args[1].ty.dtype.is_int() {
            return Err(OpError::invalid(format!("'max_unpool' takes places as integers, not {}", args[1].ty)));
        }
        let dims = match args.get(2) {
            None => dims,
            Some(Arg { value: Some(shape), .. }) => shape.ints().into_iter().map(Dim::Known).collect(),
            Some(_) => vec![Dim::Unknown; dims.len()],
        };
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let ty = inputs[0].ty();
        let extents = TensorType::ranked(ty.dtype, self.dims(ty.dims()?)?).extents()?;
        let elems = checked_elems(&extents)?;
        if inputs[0].elems() != inputs[1].elems() {
            return Err(OpError::invalid(format!("'max_unpool' puts {} elements at {} places", inputs[0].elems(), inputs[1].elems())));
        }
        let given = inputs.get(2).map(|shape| shape.ints());
        let whole = given.unwrap_or_else(|| extents.clone());
        if whole.len() != extents.len() || whole.iter().zip(&extents).any(|(a, b)| a < b) {
            return Err(OpError::invalid(format!("'max_unpool' to shape {whole:?} of at least {extents:?}")));
        }
        let mut values = vec![Scalar::zero(ty.dtype); checked_elems(&whole)?];
        for (value, place) in inputs[0].scalars().zip(inputs[1].ints()) {
            let mut rest = usize::try_from(place).ok().filter(|place| *place < elems).ok_or_else(|| OpError::invalid(format!("'max_unpool' puts an element at {place} of {elems}")))?;
            let (mut flat, mut stride) = (0, 1);
            for (n, wide) in extents.iter().zip(&whole).rev() {
                flat += rest % *n as usize * stride;
                rest /= *n as usize;
                stride *= *wide as usize;
            }
            values[flat] = value;
        }
        Ok(vec![Tensor::from_scalars(ty.dtype, &whole, values)?])
    }
}

impl MaxUnpool {
    pub(crate) fn samples() -> Vec<Sample> {
        let places = Tensor::from_slice(&[1, 1, 2, 2], &[5i64, 7, 13, 15]);
        vec![Sample {
            op: MaxUnpool { extents: vec![2, 2], strides: vec![2, 2], before: vec![], after: vec![] }.into(),
            inputs: vec![Input::Drawn(DType::F32, vec![1, 1, 2, 2], Domain::Any), Input::Given(places)],
        }]
    }
}
