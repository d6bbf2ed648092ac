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
    /// `x` is `[N, C, rows, spatial..]`, `y` is `[N, P*C, tiles, spatial..]` for `P = tile + taps - 1` points:
    /// `y[n, p*C + c, t, q..] = sum over k < P of B[p, k] * x[n, c, t*tile + k - before[0], (q - before[1..])..]`, where `x` counts as zero
    /// outside its bounds and `B` is the matrix that [`Winograd`] says. There are as many tiles as results of a window of `taps` rows need.
    /// A convolution in `P` groups of taps along the other axes and [`winograd_output`](super::winograd_output) make of it what
    /// one of windows of `taps` rows is.
    pub struct WinogradInput = "winograd_input" {
        /// Results of a tile.
        pub tile: i64,
        /// Rows of a window.
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
        if dims.len() < 3 || [&self.before, &self.after].iter().any(|list| list.len() + 2 != dims.len() || list.iter().any(|n| *n < 0)) {
            return Err(OpError::invalid(format!("'winograd_input' of {x}: margins don't fit the rank")));
        }
        let mut result = vec![dims[0].clone(), dims[1].times(&Dim::Known(points))];
        for (k, dim) in dims[2..].iter().enumerate() {
            let padded = dim.plus(&Dim::Known(self.before[k])).plus(&Dim::Known(self.after[k]));
            if k > 0 {
                result.push(padded);
                continue;
            }
            let rows = padded.minus(&Dim::Known(self.taps - 1));
            if rows.known().is_some_and(|n| n < 0) {
                return Err(OpError::invalid(format!("'winograd_input' of {x}: windows of {} rows don't fit", self.taps)));
            }
            result.push(rows.plus(&Dim::Known(self.tile - 1)).floor_div(&Dim::Known(self.tile)));
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
            let mut place = vec![at[0], channel, at[2]];
            for k in 1..self.before.len() {
                let shift = e.int(-self.before[k]);
                let i = e.add(at[k + 2], shift);
                let holds = e.within(i, (self.before[k] > 0).then_some(0), (self.after[k] > 0).then_some(x[k + 2]));
                inside = e.and(inside, holds);
                place.push(i);
            }
            let tile = e.int(self.tile);
            let first = e.mul(at[2], tile);
            row_times(e, point, &elements, |e, k| {
                let shift = e.int(k as i64 - self.before[0]);
                let row = e.add(first, shift);
                let last = (extents[2] - 1) * self.tile + k as i64 - self.before[0];
                let holds = e.within(row, (self.before[0] > k as i64).then_some(0), (last >= x[2]).then_some(x[2]));
                let guard = e.and(inside, holds);
                place[2] = row;
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
        let op = |tile, taps, before: &[i64], after: &[i64]| WinogradInput { tile, taps, before: before.into(), after: after.into() };
        [
            (op(4, 3, &[1, 1], &[1, 1]), DType::F32, &[1i64, 3, 8, 18][..]),
            (op(4, 3, &[1, 0], &[0, 2]), DType::F32, &[2, 2, 7, 5]),
            (op(2, 3, &[0, 0], &[0, 0]), DType::F64, &[1, 1, 3, 1]),
            (op(2, 5, &[2, 1, 0], &[2, 0, 1]), DType::F32, &[1, 2, 6, 3, 4]),
            (op(4, 3, &[1, 1], &[1, 1]), DType::F32, &[0, 3, 5, 5]),
            (op(4, 3, &[1], &[1]), DType::F32, &[1, 2, 6]),
        ]
        .into_iter()
        .map(|(op, dtype, x)| Sample::drawn(op, Domain::Ordinary, &[(dtype, x)]))
        .collect()
    }
}
