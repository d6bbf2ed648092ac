//! Maxima of windows, and where they lie.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::padding::{Padding, Windows};
use crate::ops::reduce::How;
use crate::ops::window_index::WindowIndex;
use crate::ops::{Arity, Domain, OpDef, Sample, window::Window};

op! {
    /// The largest element of each window over the last axes of `x`, and (if `indices`) its place in all of `x`. What
    /// lies outside `x` does not count. Empty lists stand for ones (strides, dilations) and zeros (margins).
    /// Source: ONNX `MaxPool`.
    pub struct MaxPool = "max_pool" {
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
        /// Is there a second result, the place of each maximum?
        pub indices: bool,
        /// Do places count the spatial axes in reverse order?
        pub reversed: bool,
    }
}

impl OpDef for MaxPool {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        if self.indices { vec![args[0], DType::I64] } else { vec![args[0]] }
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dims = b.ty(x[0]).dims()?.to_vec();
        let mut windows = Windows::new(&self.extents, &self.strides, &self.dilations, &self.before, &self.after)?;
        if dims.len() <= windows.extents.len() {
            return Err(OpError::invalid(format!("windows of {} axes over shape {}", windows.extents.len(), b.ty(x[0]).shape)));
        }
        windows.place(&dims[dims.len() - windows.extents.len()..], self.padding, self.ceil)?;
        let window = Window::over(How::Max, dims.len(), &windows);
        let largest = b.apply(window.clone(), x)?;
        if !self.indices {
            return Ok(vec![largest]);
        }
        let index = WindowIndex {
            extents: window.extents,
            strides: window.strides,
            dilations: window.dilations,
            before: window.before,
            after: window.after,
            reversed: if self.reversed { windows.extents.len() } else { 0 },
        };
        Ok(vec![largest, b.apply(index, &[x[0], largest])?])
    }
}

impl MaxPool {
    pub(crate) fn samples() -> Vec<Sample> {
        let pool = |padding, ceil, indices| MaxPool {
            extents: vec![3, 2],
            strides: vec![2, 2],
            dilations: vec![],
            before: vec![],
            after: vec![],
            padding,
            ceil,
            indices,
            reversed: false,
        };
        [pool(Padding::Given, true, false), pool(Padding::SameEnd, false, false), pool(Padding::SameBegin, false, true), pool(Padding::None, false, true)]
            .into_iter()
            .map(|op| Sample::drawn(op, Domain::Ordinary, &[(DType::F32, &[1, 2, 8, 9])]))
            .collect()
    }
}
