//! Means, maxima or norms of whole channels.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::attr::attr_enum;
use crate::ops::compose::{mean, reduce};
use crate::ops::lp_pool::{powers, root};
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::shape::{Dim, TensorType};

attr_enum! {
    /// What becomes of a channel.
    pub enum Pool {
        /// The mean.
        Mean = "mean",
        /// The largest element.
        Max = "max",
        /// `(sum of |x|^p)^(1/p)`.
        Norm = "norm",
    }
}

op! {
    /// Joins all elements of each channel (all axes but 0 and 1), which keep extent 1. Source: ONNX `GlobalAveragePool`,
    /// `GlobalMaxPool`, `GlobalLpPool`.
    pub struct GlobalPool = "global_pool" {
        /// How.
        pub pool: Pool,
        /// The exponent of a norm.
        pub p: i64,
    }
}

impl OpDef for GlobalPool {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let mut dims = args[0].ty.dims()?.to_vec();
        if dims.len() < 2 || self.p < 1 {
            return Err(OpError::invalid(format!("'global_pool' of {}", args[0].ty)));
        }
        dims[2..].fill(Dim::Known(1));
        Ok(vec![TensorType::ranked(args[0].ty.dtype, dims)])
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let axes: Vec<usize> = (2..b.rank(x[0])?).collect();
        let y = match self.pool {
            Pool::Mean => mean(b, x[0], &axes)?,
            Pool::Max => reduce(b, How::Max, x[0], &axes)?,
            Pool::Norm => {
                let powers = powers(b, x[0], self.p)?;
                let sum = reduce(b, How::Sum, powers, &axes)?;
                root(b, sum, self.p)?
            }
        };
        Ok(vec![y])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        if self.pool == Pool::Max { Tolerance::EXACT } else { Tolerance::sum(dtype, 16.0) }
    }
}

impl GlobalPool {
    pub(crate) fn samples() -> Vec<Sample> {
        [Pool::Mean, Pool::Max, Pool::Norm].into_iter().map(|pool| Sample::drawn(GlobalPool { pool, p: 2 }, Domain::Ordinary, &[(DType::F32, &[2, 3, 5, 7])])).collect()
    }
}
