//! Where a tensor is not zero.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// The indices of the elements of `x` that are not zero, in row-major order, as the columns of an i64 matrix with
    /// one row for each axis. Source: ONNX `NonZero`, NumPy `nonzero`.
    pub struct NonZero = "nonzero" {}
}

impl OpDef for NonZero {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I64]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let rows = args[0].ty.rank().map_or(Dim::Unknown, |rank| Dim::Known(rank as i64));
        Ok(vec![TensorType::ranked(DType::I64, vec![rows, Dim::Unknown])])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = inputs[0];
        let mut rows: Vec<Vec<i64>> = vec![Vec::new(); x.rank()];
        let mut at = vec![0i64; x.rank()];
        let mut count = 0;
        for value in x.scalars() {
            if value.as_bool() {
                count += 1;
                for (row, i) in rows.iter_mut().zip(&at) {
                    row.push(*i);
                }
            }
            crate::compute::advance(&mut at, x.extents());
        }
        Ok(vec![Tensor::from_slice(&[x.rank() as i64, count], &rows.concat())])
    }
}

impl NonZero {
    pub(crate) fn samples() -> Vec<Sample> {
        let few = Domain::Between(-1.0, 2.0);
        [(DType::I32, &[3i64, 5][..]), (DType::Bool, &[2, 2, 9]), (DType::F32, &[0, 3]), (DType::I64, &[])]
            .into_iter()
            .map(|(dtype, shape)| Sample::drawn(NonZero {}, few, &[(dtype, shape)]))
            .chain([Sample::drawn(NonZero {}, Domain::Any, &[(DType::F32, &[67])])])
            .collect()
    }
}
