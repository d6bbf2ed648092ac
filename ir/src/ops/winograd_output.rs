//! Results of a convolution from the points of Winograd's.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::winograd::{Winograd, points, row_times};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};

op! {
    /// `x` is `[N, P*O, spatial..]` for `P = tile + taps - 1` points, with an element for each tile along one spatial axis, `y` is
    /// `[N, O, spatial..]` with an element for each result: `y[n, o, .., h, ..] = sum over p < P of A[h mod tile, p] *
    /// x[n, p*O + o, .., h div tile, ..]`, where `A` is the matrix that [`Winograd`] says.
    pub struct WinogradOutput = "winograd_output" {
        /// The spatial axis, of which the first is 0.
        pub axis: usize,
        /// Results of a tile.
        pub tile: i64,
        /// Extent of a window along the axis.
        pub taps: i64,
        /// Extent of the result along the axis; the last tile may have more.
        pub extent: i64,
    }
}

impl OpDef for WinogradOutput {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let mut dims = x.dims()?.to_vec();
        let points = points(self.tile, self.taps)?;
        if dims.len() < 3 || self.axis + 2 >= dims.len() || !matches!(x.dtype, DType::F32 | DType::F64) {
            return Err(OpError::invalid(format!("'winograd_output' of {x}, which is not an image of f32 or f64")));
        }
        let tiles = self.extent.checked_add(self.tile - 1).filter(|_| self.extent >= 0).map(|n| n / self.tile);
        if dims[1].known().is_some_and(|n| n % points != 0) || dims[self.axis + 2].known().is_some_and(|n| Some(n) != tiles) {
            return Err(OpError::invalid(format!("'winograd_output' of {x}: channels don't make {points} points, or tiles of {} don't make {}", self.tile, self.extent)));
        }
        dims[1] = dims[1].floor_div(&Dim::Known(points));
        dims[self.axis + 2] = Dim::Known(self.extent);
        Ok(vec![TensorType::ranked(x.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        let results = Winograd::new(self.tile, self.taps)?.results;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let (axis, tile) = (self.axis + 2, e.int(self.tile));
            let (tile, result) = (e.binary(Binary::FloorDiv, at[axis], tile), e.binary(Binary::Mod, at[axis], tile));
            row_times(e, result, &results, |e, p| {
                let shift = e.int(p as i64 * extents[1]);
                let mut place = at.to_vec();
                place[1] = e.add(at[1], shift);
                place[axis] = tile;
                e.load(Source(0), dtype, place)
            })
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl WinogradOutput {
    pub(crate) fn samples() -> Vec<Sample> {
        [
            ((0, 4, 3, 8), DType::F32, &[1i64, 18, 2, 17][..]),
            ((0, 4, 3, 7), DType::F32, &[2, 12, 2, 5]),
            ((0, 4, 3, 13), DType::F32, &[1, 6, 4, 40]),
            ((1, 4, 3, 56), DType::F32, &[1, 12, 3, 14]),
            ((1, 4, 3, 27), DType::F32, &[1, 12, 3, 7]),
            ((0, 2, 3, 1), DType::F64, &[1, 4, 1, 3]),
            ((0, 2, 5, 6), DType::F32, &[1, 12, 3, 2, 3]),
            ((0, 4, 3, 0), DType::F32, &[1, 6, 0, 5]),
            ((0, 4, 3, 6), DType::F32, &[1, 6, 2]),
        ]
        .into_iter()
        .map(|((axis, tile, taps, extent), dtype, x)| Sample::drawn(WinogradOutput { axis, tile, taps, extent }, Domain::Ordinary, &[(dtype, x)]))
        .collect()
    }
}
