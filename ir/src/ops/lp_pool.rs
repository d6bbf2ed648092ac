//! Norms of windows.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::padding::{Padding, Windows};
use crate::ops::reduce::How;
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{abs::Abs, pow::Pow, window::Window};

op! {
    /// `(sum of |x|^p)^(1/p)` of each window over the last axes of `x`. Empty lists stand for ones (strides, dilations)
    /// and zeros (margins). Source: ONNX `LpPool`.
    pub struct LpPool = "lp_pool" {
        /// The exponent.
        pub p: i64,
        /// Number of a window's elements, per spatial axis.
        pub extents: Vec<i64>,
        /// Distance between windows.
        pub strides: Vec<i64>,
        /// Distance between a window's elements.
        pub dilations: Vec<i64>,
        /// Margin in front, if given.
        pub before: Vec<i64>,
        /// Margin behind, if given.
        pub after: Vec<i64>,
        /// How the margins are found.
        pub padding: Padding,
        /// Does a last window count that ends outside?
        pub ceil: bool,
    }
}

impl OpDef for LpPool {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dims = b.ty(x[0]).dims()?.to_vec();
        let mut windows = Windows::new(&self.extents, &self.strides, &self.dilations, &self.before, &self.after)?;
        if dims.len() <= windows.extents.len() || self.p < 1 {
            return Err(OpError::invalid(format!("norms of order {} of windows of {} axes over shape {}", self.p, windows.extents.len(), b.ty(x[0]).shape)));
        }
        windows.place(&dims[dims.len() - windows.extents.len()..], self.padding, self.ceil)?;
        let powers = powers(b, x[0], self.p)?;
        let sum = b.apply(Window::over(How::Sum, dims.len(), &windows), &[powers])?;
        Ok(vec![root(b, sum, self.p)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

/// `|x|^p`.
pub(crate) fn powers(b: &mut Builder, x: ValueId, p: i64) -> Result<ValueId, OpError> {
    if p == 2 {
        return crate::ops::compose::mul(b, x, x);
    }
    let size = b.apply(Abs {}, &[x])?;
    if p == 1 {
        return Ok(size);
    }
    let exponent = b.scalar(b.dtype(x), p as f64);
    b.apply(Pow {}, &[size, exponent])
}

/// `x^(1/p)` for `x` from 0.
pub(crate) fn root(b: &mut Builder, x: ValueId, p: i64) -> Result<ValueId, OpError> {
    match p {
        1 => Ok(x),
        2 => b.apply(crate::ops::sqrt::Sqrt {}, &[x]),
        _ => {
            let exponent = b.scalar(b.dtype(x), 1.0 / p as f64);
            b.apply(Pow {}, &[x, exponent])
        }
    }
}

impl LpPool {
    pub(crate) fn samples() -> Vec<Sample> {
        [1, 2, 3]
            .into_iter()
            .map(|p| LpPool { p, extents: vec![3, 2], strides: vec![2, 1], dilations: vec![], before: vec![], after: vec![], padding: Padding::SameEnd, ceil: false })
            .map(|op| Sample::drawn(op, Domain::Ordinary, &[(DType::F32, &[1, 2, 8, 9])]))
            .collect()
    }
}
