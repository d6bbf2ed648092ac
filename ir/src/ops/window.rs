//! Sum, product, maximum or minimum of windows.
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::padding::Windows;
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};

op! {
    /// `y[p..]` joins `x[p*strides + k*dilations - before]` for all `k` below `extents`; what lies outside `x` does not
    /// count. Every list has one number per axis of `x`; the extents of `y` are
    /// `floor((n + before + after - (extents-1)*dilations - 1) / strides) + 1`. Narrow floats are accumulated in f32.
    pub struct Window = "window" {
        /// How elements become one.
        pub how: How,
        /// Number of a window's elements.
        pub extents: Vec<i64>,
        /// Distance between windows.
        pub strides: Vec<i64>,
        /// Distance between a window's elements.
        pub dilations: Vec<i64>,
        /// Places in front of `x` where windows may begin.
        pub before: Vec<i64>,
        /// Places behind `x` where windows may end; negative where they must end earlier.
        pub after: Vec<i64>,
    }
}

impl Window {
    /// Windows over the last axes of a tensor of some rank.
    pub(crate) fn over(how: How, rank: usize, windows: &Windows) -> Self {
        let lead = rank.saturating_sub(windows.extents.len());
        let full = |list: &[i64], default: i64| std::iter::repeat_n(default, lead).chain(list.iter().copied()).collect();
        Self {
            how,
            extents: full(&windows.extents, 1),
            strides: full(&windows.strides, 1),
            dilations: full(&windows.dilations, 1),
            before: full(&windows.before, 0),
            after: full(&windows.after, 0),
        }
    }

    /// The extents of the result.
    pub(crate) fn dims(&self, dims: &[Dim]) -> Result<Vec<Dim>, OpError> {
        let windows = Windows::new(&self.extents, &self.strides, &self.dilations, &self.before, &self.after)?;
        let whole = [&self.extents, &self.strides, &self.dilations, &self.before, &self.after].iter().all(|list| list.len() == dims.len());
        if !whole || self.extents.contains(&0) {
            return Err(OpError::invalid(format!("windows of {:?} don't fit {} axes", self.extents, dims.len())));
        }
        (0..dims.len())
            .map(|k| {
                let room = dims[k].plus(&Dim::Known(self.before[k] + self.after[k] - windows.reach(k)));
                if room.known().is_some_and(|n| n < 0) {
                    return Err(OpError::invalid(format!("a window of {} does not fit axis {k} of extent {}", windows.reach(k), dims[k])));
                }
                Ok(room.floor_div(&Dim::Known(self.strides[k])).plus(&Dim::Known(1)))
            })
            .collect()
    }
}

impl OpDef for Window {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![TensorType::ranked(args[0].ty.dtype, self.dims(args[0].ty.dims()?)?)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (dtype, from) = (args[0].dtype, args[0].extents()?);
        let extents = TensorType::ranked(dtype, self.dims(args[0].dims()?)?).extents()?;
        let combine = match self.how {
            How::Sum => Combine::Sum,
            How::Product => Combine::Product,
            How::Max => Combine::Max,
            How::Min => Combine::Min,
        };
        let axes: Vec<usize> = (0..from.len()).filter(|k| self.extents[*k] > 1).collect();
        let reduce: Vec<i64> = axes.iter().map(|k| self.extents[*k]).collect();
        Ok(Body::Loops(vec![Compute::reduction(dtype, &extents, &reduce, combine, |e, at, r| {
            let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
            let mut index = Vec::new();
            for k in 0..from.len() {
                let (stride, shift) = (e.int(self.strides[k]), e.int(-self.before[k]));
                let mut i = e.mul(at[k], stride);
                if let Some(which) = axes.iter().position(|axis| *axis == k) {
                    let dilation = e.int(self.dilations[k]);
                    let offset = e.mul(r[which], dilation);
                    i = e.add(i, offset);
                }
                let i = e.add(i, shift);
                let last = (extents[k] - 1) * self.strides[k] + (self.extents[k] - 1) * self.dilations[k] - self.before[k];
                let holds = e.within(i, (self.before[k] > 0).then_some(0), (last >= from[k]).then_some(from[k]));
                inside = e.and(inside, holds);
                index.push(i);
            }
            let load = e.guarded_load(Source(0), dtype, index, inside);
            let x = e.cast(dtype.accumulator(), load);
            if self.how == How::Sum {
                return x;
            }
            let nothing = e.constant(combine.identity(dtype), dtype.accumulator());
            e.select(inside, x, nothing)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        match self.how {
            How::Sum | How::Product => Tolerance::sum(dtype, 16.0),
            How::Max | How::Min => Tolerance::EXACT,
        }
    }
}

impl Window {
    pub(crate) fn samples() -> Vec<Sample> {
        let window = |how, extents: &[i64], strides: &[i64], dilations: &[i64], before: &[i64], after: &[i64]| Window {
            how,
            extents: extents.into(),
            strides: strides.into(),
            dilations: dilations.into(),
            before: before.into(),
            after: after.into(),
        };
        let mut samples = Vec::new();
        for how in [How::Sum, How::Max, How::Min] {
            samples.push(Sample::drawn(window(how, &[1, 1, 3, 3], &[1, 1, 2, 2], &[1; 4], &[0, 0, 1, 1], &[0, 0, 1, 1]), Domain::Ordinary, &[(DType::F32, &[2, 3, 9, 11])]));
            samples.push(Sample::drawn(window(how, &[1, 5, 1], &[1; 3], &[1; 3], &[0, 2, 0], &[0, 2, 0]), Domain::Ordinary, &[(DType::F32, &[2, 7, 3])]));
            samples.push(Sample::drawn(window(how, &[1, 2], &[1, 3], &[1, 4], &[0, 1], &[0, -2]), Domain::Ordinary, &[(DType::F32, &[2, 40])]));
        }
        samples.push(Sample::drawn(window(How::Max, &[1, 1, 2, 2], &[1, 1, 2, 2], &[1; 4], &[0; 4], &[0; 4]), Domain::Any, &[(DType::U8, &[1, 2, 6, 6])]));
        samples
    }
}
