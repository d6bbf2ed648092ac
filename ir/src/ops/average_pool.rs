//! Means of windows.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{broadcast, div};
use crate::ops::padding::{Padding, Windows};
use crate::ops::reduce::How;
use crate::ops::{Arity, Domain, OpDef, Sample, Tolerance, window::Window};

op! {
    /// The mean of each window over the last axes of `x`. Empty lists stand for ones (strides, dilations) and zeros
    /// (margins). Source: ONNX `AveragePool`.
    pub struct AveragePool = "average_pool" {
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
        /// Are the margins (not what `ceil` adds to them) counted as zeros?
        pub counts_margin: bool,
    }
}

impl OpDef for AveragePool {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (dtype, dims) = (b.dtype(x[0]), b.ty(x[0]).dims()?.to_vec());
        let mut windows = Windows::new(&self.extents, &self.strides, &self.dilations, &self.before, &self.after)?;
        if dims.len() <= windows.extents.len() || !dtype.is_float() {
            return Err(OpError::invalid(format!("means of windows of {} axes over {}", windows.extents.len(), b.ty(x[0]))));
        }
        let spatial = &dims[dims.len() - windows.extents.len()..];
        windows.place(spatial, self.padding, false)?;
        let margins = windows.clone();
        windows.place(spatial, if self.ceil { Padding::Given } else { self.padding }, self.ceil)?;
        let sum = b.apply(Window::over(How::Sum, dims.len(), &windows), x)?;
        let all = windows.extents.iter().map(|n| *n as f64).product::<f64>();
        let plain = windows.before.iter().chain(&windows.after).all(|n| *n <= 0) || (self.counts_margin && windows.after.iter().zip(&margins.after).all(|(a, b)| a <= b));
        let count = if plain {
            b.scalar(dtype, all)
        } else {
            // Windows over ones tell how many elements count.
            let extents = spatial.iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
            let mut counted = windows.clone();
            let mut counts = extents;
            if self.counts_margin {
                for (k, count) in counts.iter_mut().enumerate() {
                    *count += margins.before[k] + margins.after[k];
                    counted.before[k] = 0;
                    counted.after[k] -= margins.after[k];
                }
            }
            let one = b.scalar(dtype, 1.0);
            let ones = broadcast(b, one, &counts)?;
            b.apply(Window::over(How::Sum, counts.len(), &counted), &[ones])?
        };
        Ok(vec![div(b, sum, count)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl AveragePool {
    pub(crate) fn samples() -> Vec<Sample> {
        let pool = |padding, ceil, counts_margin| AveragePool {
            extents: vec![3, 2],
            strides: vec![2, 2],
            dilations: vec![],
            before: vec![1, 0],
            after: vec![0, 1],
            padding,
            ceil,
            counts_margin,
        };
        [pool(Padding::Given, true, false), pool(Padding::Given, true, true), pool(Padding::SameEnd, false, false), pool(Padding::None, false, true)]
            .into_iter()
            .map(|op| Sample::drawn(op, Domain::Ordinary, &[(DType::F32, &[1, 2, 8, 9])]))
            .collect()
    }
}
