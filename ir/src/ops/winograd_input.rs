//! Elements of an image as the points of Winograd's convolution.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::winograd::{Winograd, points, row_times};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar};
use crate::shape::{Dim, TensorType};

op! {
    /// `x` is `[N, C, spatial..]`, `y` is `[N, P*C, spatial..]` for `P = tile + taps - 1` points, in which one spatial axis has an element
    /// for each tile: `y[n, p*C + c, .., t, ..] = sum over k < P of B[p, k] * x[n, c, .., t*tile + k - before[axis], ..]`, along the others
    /// `q - before[..]`, where `x` counts as zero outside its bounds and `B` is the matrix that [`Winograd`] says. There are as many tiles
    /// as results of a window of so many taps need. A convolution in `P` groups of taps along the other axes and
    /// [`winograd_output`](super::winograd_output) make of it what one of windows with these taps is.
    pub struct WinogradInput = "winograd_input" {
        /// The spatial axis, of which the first is 0.
        pub axis: usize,
        /// Results of a tile.
        pub tile: i64,
        /// Extent of a window along the axis.
        pub taps: i64,
        /// Zeros in front, per spatial axis.
        pub before: Vec<i64>,
        /// Zeros behind, per spatial axis.
        pub after: Vec<i64>,
    }
}

impl OpDef for WinogradInput {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let dims = x.dims()?;
        let points = points(self.tile, self.taps)?;
        if !matches!(x.dtype, DType::F32 | DType::F64) {
            return Err(OpError::invalid(format!("'winograd_input' of {x}, whose elements are not f32 or f64")));
        }
        if dims.len() < 3 || self.axis + 2 >= dims.len() || [&self.before, &self.after].iter().any(|list| list.len() + 2 != dims.len() || list.iter().any(|n| *n < 0)) {
            return Err(OpError::invalid(format!("'winograd_input' of {x}: the axis or margins don't fit the rank")));
        }
        let mut result = vec![dims[0].clone(), dims[1].times(&Dim::Known(points))];
        for (k, dim) in dims[2..].iter().enumerate() {
            let padded = dim.plus(&Dim::Known(self.before[k])).plus(&Dim::Known(self.after[k]));
            if k != self.axis {
                result.push(padded);
                continue;
            }
            let results = padded.minus(&Dim::Known(self.taps - 1));
            if results.known().is_some_and(|n| n < 0) {
                return Err(OpError::invalid(format!("'winograd_input' of {x}: windows of {} taps don't fit", self.taps)));
            }
            result.push(results.plus(&Dim::Known(self.tile - 1)).floor_div(&Dim::Known(self.tile)));
        }
        Ok(vec![TensorType::ranked(x.dtype, result)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let x = args[0].extents()?;
        let dtype = args[0].dtype;
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        let elements = Winograd::new(self.tile, self.taps)?.elements;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let channels = e.int(x[1]);
            let (point, channel) = (e.binary(Binary::FloorDiv, at[1], channels), e.binary(Binary::Mod, at[1], channels));
            let mut inside = e.constant(Scalar::Bool(true), DType::Bool);
            let mut place = vec![at[0], channel];
            for k in 0..self.before.len() {
                let shift = e.int(-self.before[k]);
                let i = e.add(at[k + 2], shift);
                if k != self.axis {
                    let holds = e.within(i, (self.before[k] > 0).then_some(0), (self.after[k] > 0).then_some(x[k + 2]));
                    inside = e.and(inside, holds);
                }
                place.push(i);
            }
            let axis = self.axis + 2;
            let tile = e.int(self.tile);
            let first = e.mul(at[axis], tile);
            row_times(e, point, &elements, |e, k| {
                let shift = k as i64 - self.before[self.axis];
                let last = (extents[axis] - 1) * self.tile + shift;
                let shift = e.int(shift);
                let i = e.add(first, shift);
                let holds = e.within(i, (self.before[self.axis] > k as i64).then_some(0), (last >= x[axis]).then_some(x[axis]));
                let guard = e.and(inside, holds);
                place[axis] = i;
                e.guarded_load(Source(0), dtype, place.clone(), guard)
            })
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl WinogradInput {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |axis, tile, taps, before: &[i64], after: &[i64]| WinogradInput { axis, tile, taps, before: before.into(), after: after.into() };
        [
            (op(0, 4, 3, &[1, 1], &[1, 1]), DType::F32, &[1i64, 3, 8, 18][..]),
            (op(0, 4, 3, &[1, 0], &[0, 2]), DType::F32, &[2, 2, 7, 5]),
            (op(1, 4, 3, &[0, 0], &[0, 0]), DType::F32, &[1, 3, 2, 70]),
            (op(1, 4, 3, &[0, 1], &[1, 1]), DType::F32, &[1, 2, 3, 9]),
            (op(0, 2, 3, &[0, 0], &[0, 0]), DType::F64, &[1, 1, 3, 1]),
            (op(0, 2, 5, &[2, 1, 0], &[2, 0, 1]), DType::F32, &[1, 2, 6, 3, 4]),
            (op(0, 4, 3, &[1, 1], &[1, 1]), DType::F32, &[0, 3, 5, 5]),
            (op(0, 4, 3, &[1], &[1]), DType::F32, &[1, 2, 6]),
        ]
        .into_iter()
        .map(|(op, dtype, x)| Sample::drawn(op, Domain::Ordinary, &[(dtype, x)]))
        .collect()
    }
}
