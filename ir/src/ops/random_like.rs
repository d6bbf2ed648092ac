//! Random numbers in the shape of an operand.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::random::{Distribution, Random};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::shape::TensorType;

op! {
    /// `random_like(x)`: as `random`, in the shape of `x`, whose values don't matter.
    pub struct RandomLike = "random_like" {
        /// Dtype of the result.
        pub dtype: DType,
        /// How they are distributed.
        pub distribution: Distribution,
        /// Lower bound or mean.
        pub first: f64,
        /// Upper bound or deviation.
        pub second: f64,
        /// The seed.
        pub seed: i64,
    }
}

impl OpDef for RandomLike {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if !self.dtype.is_float() {
            return Err(OpError::invalid(format!("'random_like' makes floats, not {}", self.dtype)));
        }
        Ok(vec![TensorType::new(self.dtype, args[0].ty.shape.clone())])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let extents = b.extents(x[0])?;
        Ok(vec![b.apply(Random { dtype: self.dtype, extents, distribution: self.distribution, first: self.first, second: self.second, seed: self.seed }, &[])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 8.0)
    }
}

impl RandomLike {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![Sample::drawn(RandomLike { dtype: DType::F32, distribution: Distribution::Uniform, first: 0.0, second: 1.0, seed: 3 }, Domain::Ordinary, &[(DType::F16, &[3, 5])])]
    }
}
