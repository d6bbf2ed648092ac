//! Conversion to another dtype.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::shape::TensorType;

op! {
    /// Converts each element to `to`, see [`crate::scalar::cast`].
    pub struct Cast = "cast" {
        /// The new dtype.
        pub to: DType,
    }
}

impl OpDef for Cast {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.to]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if self.to == DType::Str || args[0].ty.dtype == DType::Str {
            return Err(OpError::unsupported("casts from and to text are not supported"));
        }
        Ok(vec![TensorType::new(self.to, args[0].ty.shape.clone())])
    }
    fn elementwise(&self) -> bool {
        true
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].dtype;
        Ok(Body::Loops(vec![Compute::map(self.to, &args[0].extents()?, |e, at| {
            let x = e.load(Source(0), from, at.to_vec());
            e.cast(self.to, x)
        })]))
    }
}

impl Cast {
    pub(crate) fn samples() -> Vec<Sample> {
        let dtypes = [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I8, DType::U8, DType::I32, DType::I64, DType::U64, DType::Bool];
        dtypes.iter().flat_map(|from| dtypes.iter().map(|to| Sample::drawn(Cast { to: *to }, Domain::Any, &[(*from, &[37])]))).collect()
    }
}
