//! Coordinates of an image under an affine map.
use crate::build::{Builder, MAX_FOLDED};
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, Tolerance, infer_parameters};
use crate::ops::{matmul::MatMul, reshape::Reshape, transpose::Transpose};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, checked_elems, row_strides};

op! {
    /// `affine_grid(theta, size)`: `theta` is `[n, k, k + 1]`, `size` holds `n, c` and `k` spatial extents; the result
    /// is `[n, d.., k]`: each point's coordinates (-1 to 1 from end to end, the last axis first) and 1, multiplied by
    /// `theta`. What `grid_sample` takes. Source: ONNX `AffineGrid`, PyTorch `affine_grid`.
    pub struct AffineGrid = "affine_grid" {
        /// Do -1 and 1 mean the middles of the outermost elements (rather than their outer edges)?
        pub align_corners: bool,
    }
}

/// The result's extents.
fn result(theta: &TensorType, size: &[i64]) -> Result<Vec<i64>, OpError> {
    let [n, _, spatial @ ..] = size else { return Err(OpError::invalid(format!("{size:?} is not the shape of a batch of images"))) };
    let rank = spatial.len() as i64;
    let fits = (1..=3).contains(&rank) && theta.dtype.is_float() && theta.dims()?.iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()? == [*n, rank, rank + 1];
    if !fits {
        return Err(OpError::invalid(format!("'affine_grid' of {theta} for shape {size:?}")));
    }
    Ok([n].into_iter().chain(spatial).chain([&rank]).copied().collect())
}

impl OpDef for AffineGrid {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        // Shapes are told without large tables.
        if let Some(size) = args.get(1).and_then(Arg::ints)
            && let Ok(extents) = result(args[0].ty, &size)
            && checked_elems(&extents[1..])? > MAX_FOLDED
        {
            return Ok(vec![TensorType::ranked(args[0].ty.dtype, extents.into_iter().map(Dim::Known).collect::<Vec<_>>())]);
        }
        infer_parameters(self, args, || {
            let count = args[1].length()?;
            let mut dims = vec![Dim::Unknown; count];
            if let (Some(last), Some(spatial)) = (dims.last_mut(), count.checked_sub(2)) {
                *last = Dim::Known(spatial as i64);
            }
            Ok(dims)
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let size = b.as_ints(inputs[1])?;
        let theta = b.ty(inputs[0]).clone();
        let extents = result(&theta, &size)?;
        let (spatial, rank) = (&size[2..], size.len() as i64 - 2);
        let points = checked_elems(spatial)? as i64;
        if b.waits(checked_elems(&extents[1..])? as i64) {
            return Err(OpError::unknown());
        }
        let strides = row_strides(spatial);
        let dtype = theta.dtype;
        let coordinate = |flat: i64, k: usize| {
            let (extent, i) = (spatial[k] as f64, (flat / strides[k] % spatial[k]) as f64);
            match (self.align_corners, spatial[k]) {
                (true, 1) => 0.0,
                (true, _) => -1.0 + 2.0 * i / (extent - 1.0),
                (false, _) => -1.0 + (2.0 * i + 1.0) / extent,
            }
        };
        let values = (0..points).flat_map(|flat| (0..spatial.len()).rev().map(move |k| coordinate(flat, k)).chain([1.0]));
        let base = b.constant(Tensor::from_scalars(dtype, &[points, rank + 1], values.map(Scalar::Float))?);
        let map = b.apply(Transpose { perm: vec![0, 2, 1] }, &inputs[..1])?;
        let flat = b.apply(MatMul {}, &[base, map])?;
        Ok(vec![b.apply(Reshape { extents }, &[flat])?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl AffineGrid {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |align_corners, theta: &[i64], size: &[i64]| Sample {
            op: AffineGrid { align_corners }.into(),
            inputs: vec![Input::Drawn(DType::F32, theta.to_vec(), Domain::Ordinary), Input::Constant(Tensor::from_ints(size))],
        };
        vec![
            sample(true, &[2, 2, 3], &[2, 3, 5, 6]),
            sample(false, &[2, 2, 3], &[2, 3, 5, 6]),
            sample(true, &[1, 3, 4], &[1, 1, 2, 1, 3]),
            sample(false, &[1, 2, 3], &[1, 1, 0, 3]),
            sample(false, &[1, 2, 3], &[1, 1, 90, 110]),
        ]
    }
}
