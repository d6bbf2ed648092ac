//! Weights of a convolution at the points of Winograd's.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::winograd::{Winograd, points, row_times};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, checked_elems};

op! {
    /// `w` is `[O, C, taps, kernel..]`, `y` is `[P*O, C, 1, kernel..]` for `P = tile + taps - 1` points:
    /// `y[p*O + o, c, 0, k..] = sum over j < taps of G[p, j] * w[o, c, j, k..]`, where `G` is the matrix that [`Winograd`] says.
    pub struct WinogradWeight = "winograd_weight" {
        /// Results of a tile.
        pub tile: i64,
    }
}

impl OpDef for WinogradWeight {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let w = args[0].ty;
        let mut dims = w.dims()?.to_vec();
        if dims.len() < 3 || !matches!(w.dtype, DType::F32 | DType::F64) {
            return Err(OpError::invalid(format!("'winograd_weight' of {w}, which are not weights of f32 or f64")));
        }
        let taps = dims[2].known().ok_or_else(OpError::unknown)?;
        dims[0] = dims[0].times(&Dim::Known(points(self.tile, taps)?));
        dims[2] = Dim::Known(1);
        Ok(vec![TensorType::ranked(w.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (w, dtype) = (args[0].extents()?, args[0].dtype);
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        let weights = Winograd::new(self.tile, w[2])?.weights;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let outputs = e.int(w[0]);
            let (point, output) = (e.binary(Binary::FloorDiv, at[0], outputs), e.binary(Binary::Mod, at[0], outputs));
            // In double precision, since it is done once.
            let sum = row_times(e, point, &weights, |e, j| {
                let mut place = at.to_vec();
                place[0] = output;
                place[2] = e.int(j as i64);
                let value = e.load(Source(0), dtype, place);
                e.cast(DType::F64, value)
            });
            e.cast(dtype, sum)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let w = inputs[0];
        let extents = self.infer(&[Arg { ty: &w.ty(), value: None }])?[0].extents()?;
        let taps = w.extents()[2];
        let matrix = Winograd::new(self.tile, taps)?.weights;
        let (taps, columns) = (taps as usize, checked_elems(&w.extents()[3..])?);
        let values = w.f64s();
        let mut result = Vec::with_capacity(checked_elems(&extents)?);
        for row in &matrix {
            for rows in values.chunks_exact((taps * columns).max(1)) {
                result.extend((0..columns).map(|k| row.iter().enumerate().filter(|(_, factor)| **factor != 0.0).map(|(j, factor)| rows[j * columns + k] * factor).sum::<f64>()));
            }
        }
        Ok(vec![Tensor::from_f64s(w.dtype(), &extents, &result)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 1.0)
    }
}

impl WinogradWeight {
    pub(crate) fn samples() -> Vec<Sample> {
        [(4, DType::F32, &[5i64, 3, 3, 3][..]), (2, DType::F64, &[2, 1, 5, 1]), (4, DType::F32, &[1, 4, 3]), (4, DType::F32, &[0, 4, 3, 1])]
            .into_iter()
            .map(|(tile, dtype, w)| Sample::drawn(WinogradWeight { tile }, Domain::Ordinary, &[(dtype, w)]))
            .collect()
    }
}
