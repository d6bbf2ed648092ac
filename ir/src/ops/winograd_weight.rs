//! Weights of a convolution at the points of Winograd's.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::winograd::{Winograd, points, row_times};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar};
use crate::shape::{Dim, TensorType};
use crate::tensor::{AlignedBytes, Tensor, checked_elems, read, write};

op! {
    /// `w` is `[O, C, kernel..]`, `y` is `[P*O, C, kernel..]` for `P = tile + taps - 1` points, in which one axis of the kernel, that of the
    /// taps, is 1: `y[p*O + o, c, .., 0, ..] = sum over j < taps of G[p, j] * w[o, c, .., j, ..]`, where `G` is the matrix that
    /// [`Winograd`] says.
    pub struct WinogradWeight = "winograd_weight" {
        /// The axis of the kernel, of which the first is 0.
        pub axis: usize,
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
        if dims.len() < 3 || self.axis + 2 >= dims.len() || !matches!(w.dtype, DType::F32 | DType::F64) {
            return Err(OpError::invalid(format!("'winograd_weight' of {w}, which are not weights of f32 or f64")));
        }
        let taps = dims[self.axis + 2].known().ok_or_else(OpError::unknown)?;
        dims[0] = dims[0].times(&Dim::Known(points(self.tile, taps)?));
        dims[self.axis + 2] = Dim::Known(1);
        Ok(vec![TensorType::ranked(w.dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (w, dtype) = (args[0].extents()?, args[0].dtype);
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        let weights = Winograd::new(self.tile, w[self.axis + 2])?.weights;
        Ok(Body::Loops(vec![Compute::map(dtype, &extents, |e, at| {
            let outputs = e.int(w[0]);
            let (point, output) = (e.binary(Binary::FloorDiv, at[0], outputs), e.binary(Binary::Mod, at[0], outputs));
            // In double precision, since it is done once.
            let sum = row_times(e, point, &weights, |e, j| {
                let mut place = at.to_vec();
                place[0] = output;
                place[self.axis + 2] = e.int(j as i64);
                let value = e.load(Source(0), dtype, place);
                e.cast(DType::F64, value)
            });
            e.cast(dtype, sum)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let w = inputs[0];
        let extents = self.infer(&[Arg { ty: &w.ty(), value: None }])?[0].extents()?;
        let taps = w.extents()[self.axis + 2];
        let matrix = Winograd::new(self.tile, taps)?.weights;
        let (taps, columns) = (taps as usize, checked_elems(&w.extents()[self.axis + 3..])?);
        let (dtype, filter) = (w.dtype(), taps * columns);
        let filters = w.elems().checked_div(filter).unwrap_or(0);
        let mut data = AlignedBytes::zeroed(checked_elems(&extents)? * dtype.size())?;
        let mut values = vec![0.0; filter];
        for at in 0..filters {
            values.iter_mut().enumerate().for_each(|(k, value)| *value = read(w.bytes(), at * filter + k, dtype).as_f64());
            for (point, row) in matrix.iter().enumerate() {
                for k in 0..columns {
                    let sum: f64 = row.iter().enumerate().map(|(j, factor)| if *factor == 0.0 { 0.0 } else { values[j * columns + k] * factor }).sum();
                    write(data.as_mut_slice(), (point * filters + at) * columns + k, dtype, Scalar::Float(sum));
                }
            }
        }
        Ok(vec![Tensor::from_bytes(dtype, &extents, data)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 1.0)
    }
}

impl WinogradWeight {
    pub(crate) fn samples() -> Vec<Sample> {
        [(0, 4, DType::F32, &[5i64, 3, 3, 3][..]), (1, 4, DType::F32, &[5, 3, 2, 3]), (0, 2, DType::F64, &[2, 1, 5, 1]), (0, 4, DType::F32, &[1, 4, 3]), (0, 4, DType::F32, &[0, 4, 3, 1])]
            .into_iter()
            .map(|(axis, tile, dtype, w)| Sample::drawn(WinogradWeight { axis, tile }, Domain::Ordinary, &[(dtype, w)]))
            .collect()
    }
}
