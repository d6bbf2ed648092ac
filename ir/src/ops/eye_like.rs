//! Ones on a diagonal.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::TensorType;

op! {
    /// A matrix of the shape of `x` with 1 where column minus row is `diagonal`, else 0. Source: ONNX `EyeLike`.
    pub struct EyeLike = "eye_like" {
        /// Dtype of the result.
        pub dtype: DType,
        /// Which diagonal.
        pub diagonal: i64,
    }
}

impl OpDef for EyeLike {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args[0].ty.rank()? != 2 {
            return Err(OpError::invalid(format!("'eye_like' of {}, which is no matrix", args[0].ty)));
        }
        Ok(vec![TensorType::new(self.dtype, args[0].ty.shape.clone())])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Loops(vec![Compute::map(self.dtype, &args[0].extents()?, |e, at| {
            let distance = e.sub(at[1], at[0]);
            let diagonal = e.int(self.diagonal);
            let on = e.binary(Binary::Eq, distance, diagonal);
            e.cast(self.dtype, on)
        })]))
    }
}

impl EyeLike {
    pub(crate) fn samples() -> Vec<Sample> {
        [(DType::F32, 0), (DType::I64, 1), (DType::Bool, -3), (DType::F16, i64::MIN)]
            .into_iter()
            .flat_map(|(dtype, diagonal)| [&[3i64, 5][..], &[0, 2], &[7, 1]].map(|shape| Sample::drawn(EyeLike { dtype, diagonal }, Domain::Any, &[(DType::I32, shape)])))
            .collect()
    }
}
