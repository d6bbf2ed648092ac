//! Axes in another order.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::TensorType;
use crate::tensor::{Tensor, row_strides};

op! {
    /// `y`'s axis `k` is `x`'s axis `perm[k]`.
    pub struct Transpose = "transpose" {
        /// The order.
        pub perm: Vec<usize>,
    }
}

impl OpDef for Transpose {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..dims.len()) {
            return Err(OpError::invalid(format!("{:?} is not an order of the axes of {}", self.perm, args[0].ty.shape)));
        }
        Ok(vec![TensorType::ranked(args[0].ty.dtype, self.perm.iter().map(|k| dims[*k].clone()).collect())])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].extents()?;
        let extents: Vec<i64> = self.perm.iter().map(|k| from[*k]).collect();
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let mut index = vec![at.first().copied().unwrap_or_else(|| e.int(0)); from.len()];
            for (i, k) in at.iter().zip(&self.perm) {
                index[*k] = *i;
            }
            e.load(Source(0), args[0].dtype, index)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let from = inputs[0].extents();
        let strides = row_strides(from);
        let extents: Vec<i64> = self.perm.iter().map(|k| from[*k]).collect();
        let steps: Vec<i64> = self.perm.iter().map(|k| strides[*k]).collect();
        Ok(vec![inputs[0].strided(&extents, 0, &steps)?])
    }
}

impl Transpose {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Transpose { perm: vec![2, 0, 1] }, Domain::Any, &[(DType::F32, &[3, 5, 7])]),
            Sample::drawn(Transpose { perm: vec![1, 0] }, Domain::Any, &[(DType::I8, &[33, 17])]),
            Sample::drawn(Transpose { perm: vec![] }, Domain::Any, &[(DType::F32, &[])]),
        ]
    }
}
