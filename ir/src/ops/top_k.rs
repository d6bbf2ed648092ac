//! The largest or smallest elements and where they were.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::{Scalar, order};
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, row_strides};

op! {
    /// `top_k(x, k)`: the `k` largest (or smallest) elements along `axis`, in order, and their indices as i64. Equal
    /// elements come by index, the lower first; NaN counts as larger than everything. `k` is one i64. Source: ONNX
    /// `TopK`.
    pub struct TopK = "top_k" {
        /// The axis.
        pub axis: usize,
        /// The largest (else the smallest)?
        pub largest: bool,
    }
}

impl OpDef for TopK {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0], DType::I64]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let mut dims = args[0].ty.dims()?.to_vec();
        if self.axis >= dims.len() {
            return Err(OpError::invalid(format!("'top_k' along axis {} of {}", self.axis, args[0].ty)));
        }
        let k = match args[1].ints().as_deref() {
            None => Dim::Unknown,
            Some([k]) if *k >= 0 && dims[self.axis].known().is_none_or(|n| *k <= n) => Dim::Known(*k),
            Some(other) => return Err(OpError::invalid(format!("'top_k' takes {other:?} of {} elements", dims[self.axis]))),
        };
        dims[self.axis] = k;
        Ok(vec![TensorType::ranked(args[0].ty.dtype, dims.clone()), TensorType::ranked(DType::I64, dims)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (x, types) = (inputs[0], [inputs[0].ty(), inputs[1].ty()]);
        let extents = self.infer(&[Arg { ty: &types[0], value: None }, Arg { ty: &types[1], value: Some(inputs[1]) }])?[0].extents()?;
        let (n, k) = (x.extents()[self.axis] as usize, extents[self.axis] as usize);
        let inner = row_strides(x.extents())[self.axis] as usize;
        let outer: usize = x.extents()[..self.axis].iter().product::<i64>() as usize;
        let mut places = vec![0usize; outer * k * inner];
        let mut indices = vec![0i64; outer * k * inner];
        for o in 0..outer {
            for r in 0..inner {
                let lane: Vec<Scalar> = (0..n).map(|i| x.get((o * n + i) * inner + r)).collect();
                let mut sorted: Vec<usize> = (0..n).collect();
                sorted.sort_by(|a, b| if self.largest { order(lane[*b], lane[*a]) } else { order(lane[*a], lane[*b]) });
                for (rank, i) in sorted.into_iter().take(k).enumerate() {
                    let to = (o * k + rank) * inner + r;
                    places[to] = (o * n + i) * inner + r;
                    indices[to] = i as i64;
                }
            }
        }
        Ok(vec![x.picked(&extents, places.into_iter().map(Some))?, Tensor::from_slice(&extents, &indices)])
    }
}

impl TopK {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |axis, largest, dtype, shape: &[i64], k: i64, domain| Sample {
            op: TopK { axis, largest }.into(),
            inputs: vec![Input::Drawn(dtype, shape.to_vec(), domain), Input::Constant(Tensor::from_ints(&[k]))],
        };
        vec![
            sample(1, true, DType::F32, &[3, 37], 5, Domain::Any),
            sample(0, false, DType::F32, &[9, 2], 9, Domain::Any),
            sample(1, true, DType::I32, &[2, 20, 3], 7, Domain::Between(0.0, 3.0)),
            sample(0, false, DType::U8, &[4], 0, Domain::Any),
            sample(0, true, DType::F16, &[1], 1, Domain::Any),
            sample(1, true, DType::F32, &[0, 4], 2, Domain::Any),
        ]
    }
}
