//! Where windows hold a given value.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::padding::Windows;
use crate::ops::reduce::How;
use crate::ops::window::Window;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::{Binary, Scalar, Unary};
use crate::shape::TensorType;

op! {
    /// `window_index(x, y)`: for each window of `x` (see `window`) the smallest row-major place in `x` of an element that
    /// equals `y[p..]` or is NaN, an i64. A window that holds none gives the largest i64.
    pub struct WindowIndex = "window_index" {
        /// Number of a window's elements.
        pub extents: Vec<i64>,
        /// Distance between windows.
        pub strides: Vec<i64>,
        /// Distance between a window's elements.
        pub dilations: Vec<i64>,
        /// Margin in front.
        pub before: Vec<i64>,
        /// Margin behind.
        pub after: Vec<i64>,
        /// So many of the last axes are counted in reverse order.
        pub reversed: usize,
    }
}

impl WindowIndex {
    fn window(&self) -> Window {
        Window {
            how: How::Max,
            extents: self.extents.clone(),
            strides: self.strides.clone(),
            dilations: self.dilations.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
        }
    }
}

impl OpDef for WindowIndex {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I64]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = self.window().dims(args[0].ty.dims()?)?;
        let given = args[1].ty.dims()?;
        if args[0].ty.dtype != args[1].ty.dtype || given.len() != dims.len() || !given.iter().zip(&dims).all(|(a, b)| a.may_equal(b)) || self.reversed > dims.len() {
            return Err(OpError::invalid(format!("'window_index' of {} looks for {}", args[0].ty, args[1].ty)));
        }
        Ok(vec![TensorType::ranked(DType::I64, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (dtype, from) = (args[0].dtype, args[0].extents()?);
        let extents = args[1].extents()?;
        let rank = from.len();
        let kept = rank - self.reversed;
        let order: Vec<usize> = (0..kept).chain((kept..rank).rev()).collect();
        Ok(Body::Loops(vec![Compute::reduction(DType::I64, &extents, &self.extents, Combine::Min, |e, at, r| {
            let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
            let mut index = Vec::new();
            for k in 0..rank {
                let (stride, shift, dilation) = (e.int(self.strides[k]), e.int(-self.before[k]), e.int(self.dilations[k]));
                let (first, offset) = (e.mul(at[k], stride), e.mul(r[k], dilation));
                let sum = e.add(first, offset);
                let i = e.add(sum, shift);
                let last = (extents[k] - 1) * self.strides[k] + (self.extents[k] - 1) * self.dilations[k] - self.before[k];
                let holds = e.within(i, (self.before[k] > 0).then_some(0), (last >= from[k]).then_some(from[k]));
                inside = e.and(inside, holds);
                index.push(i);
            }
            let mut place = e.int(0);
            for k in &order {
                let extent = e.int(from[*k]);
                let scaled = e.mul(place, extent);
                place = e.add(scaled, index[*k]);
            }
            let x = e.guarded_load(Source(0), dtype, index, inside);
            let y = e.load(Source(1), dtype, at.to_vec());
            let mut found = e.binary(Binary::Eq, x, y);
            if dtype.is_float() {
                let odd = e.unary(Unary::IsNan, x);
                found = e.binary(Binary::Or, found, odd);
            }
            let found = e.and(found, inside);
            let none = e.int(i64::MAX);
            e.select(found, place, none)
        })]))
    }
}

impl WindowIndex {
    pub(crate) fn samples() -> Vec<Sample> {
        let windows = Windows { extents: vec![1, 2, 2], strides: vec![1, 2, 2], dilations: vec![1; 3], before: vec![0; 3], after: vec![0; 3] };
        let index = |reversed| WindowIndex {
            extents: windows.extents.clone(),
            strides: windows.strides.clone(),
            dilations: windows.dilations.clone(),
            before: windows.before.clone(),
            after: windows.after.clone(),
            reversed,
        };
        [0, 2].into_iter().map(|reversed| Sample::drawn(index(reversed), Domain::Between(-2.0, 2.0), &[(DType::I32, &[2, 6, 8]), (DType::I32, &[2, 3, 4])])).collect()
    }
}
