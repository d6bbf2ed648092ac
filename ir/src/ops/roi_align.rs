//! Regions of an image pooled at interpolated points.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::gather::checked;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample, Tolerance};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `roi_align(x, rois, batch)`: `x` is `[n, c, h, w]`, `rois` is `[r, 4]` with rows `x1, y1, x2, y2`, `batch` says
    /// which image each region lies in; the result is `[r, c, height, width]`. Each of its elements is the mean (or
    /// the largest weighted element) of bilinear samples on a regular grid in its part of the region. Samples more
    /// than one element outside count as 0. Source: He et al., Mask R-CNN, 2017; ONNX `RoiAlign`.
    pub struct RoiAlign = "roi_align" {
        /// The largest (else the mean)?
        pub largest: bool,
        /// Rows of the result.
        pub height: i64,
        /// Columns of the result.
        pub width: i64,
        /// Samples along each axis of a part; 0 takes as many as elements of `x` it is wide.
        pub samples: i64,
        /// Factor from the regions' coordinates to those of `x`.
        pub scale: f64,
        /// Are coordinates shifted by half an element?
        pub half_pixel: bool,
    }
}

/// Four elements and their weights.
type Corners = [(usize, f64); 4];

/// The elements around a point, or nothing where it lies outside.
fn corners(y: f64, x: f64, height: usize, width: usize) -> Option<Corners> {
    let between = |v: f64, n: usize| {
        if !(-1.0..=n as f64).contains(&v) || n == 0 {
            return None;
        }
        let v = v.max(0.0);
        let low = v as usize;
        Some(if low >= n - 1 { (n - 1, n - 1, 0.0) } else { (low, low + 1, v - low as f64) })
    };
    let ((top, bottom, ty), (left, right, tx)) = (between(y, height)?, between(x, width)?);
    Some([
        (top * width + left, (1.0 - ty) * (1.0 - tx)),
        (top * width + right, (1.0 - ty) * tx),
        (bottom * width + left, ty * (1.0 - tx)),
        (bottom * width + right, ty * tx),
    ])
}

/// Most samples along one axis of a part.
const MAX_SAMPLES: f64 = 4096.0;

impl OpDef for RoiAlign {
    derived!();
    fn arity(&self) -> Arity {
        3..=3
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, rois, batch) = (args[0].ty, args[1].ty, args[2].ty);
        let (from, regions) = (x.dims()?, rois.dims()?);
        let fits = from.len() == 4
            && regions.len() == 2
            && regions[1].may_equal(&Dim::Known(4))
            && batch.dtype.is_int()
            && matches!(batch.dims()?, [n] if n.may_equal(&regions[0]))
            && x.dtype.is_float()
            && rois.dtype.is_float()
            && self.height >= 0
            && self.width >= 0
            && (0..=MAX_SAMPLES as i64).contains(&self.samples);
        if !fits {
            return Err(OpError::invalid(format!("'roi_align' of {x} in regions {rois} of images {batch}")));
        }
        Ok(vec![TensorType::ranked(x.dtype, vec![regions[0].clone(), from[1].clone(), Dim::Known(self.height), Dim::Known(self.width)])])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (x, from) = (inputs[0].f64s(), inputs[0].extents());
        let (channels, height, width) = (from[1] as usize, from[2] as usize, from[3] as usize);
        let batch = checked(self.name(), inputs[2].ints(), from[0])?;
        let rois = inputs[1].f64s();
        let extents = [batch.len() as i64, from[1], self.height, self.width];
        let (rows, columns) = (self.height as usize, self.width as usize);
        let mut result = Vec::with_capacity(crate::tensor::checked_elems(&extents)?);
        for (roi, image) in rois.chunks_exact(4).zip(&batch) {
            let shift = if self.half_pixel { 0.5 } else { 0.0 };
            let [x1, y1, x2, y2] = [0, 1, 2, 3].map(|k| roi[k] * self.scale - shift);
            let least = if self.half_pixel { f64::NEG_INFINITY } else { 1.0 };
            let (tall, wide) = ((y2 - y1).max(least) / rows as f64, (x2 - x1).max(least) / columns as f64);
            let count = |size: f64| if self.samples > 0 { self.samples as f64 } else { size.ceil().max(0.0) };
            let (ny, nx) = (count(tall), count(wide));
            if !(ny <= MAX_SAMPLES && nx <= MAX_SAMPLES) {
                return Err(OpError::invalid(format!("'roi_align' takes {ny} by {nx} samples of one part of a region")));
            }
            let mut parts: Vec<Vec<Option<Corners>>> = Vec::new();
            for row in 0..rows {
                for column in 0..columns {
                    let points = (0..ny as usize).flat_map(|i| (0..nx as usize).map(move |j| (i, j)));
                    parts.push(points.map(|(i, j)| {
                        let y = y1 + (row as f64 + (i as f64 + 0.5) / ny) * tall;
                        let x = x1 + (column as f64 + (j as f64 + 0.5) / nx) * wide;
                        corners(y, x, height, width)
                    }).collect());
                }
            }
            for c in 0..channels {
                let plane = &x[(*image as usize * channels + c) * height * width..][..height * width];
                for samples in &parts {
                    let weighted = samples.iter().map(|corners| corners.map_or([0.0; 4], |corners| corners.map(|(at, w)| plane[at] * w)));
                    result.push(if self.largest {
                        weighted.flatten().reduce(f64::max).unwrap_or(0.0)
                    } else {
                        weighted.map(|four| four.iter().sum::<f64>()).sum::<f64>() / samples.len().max(1) as f64
                    });
                }
            }
        }
        Ok(vec![Tensor::from_f64s(inputs[0].dtype(), &extents, &result)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl RoiAlign {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for largest in [true, false] {
            for (half_pixel, count) in [(true, 0), (false, 2)] {
                let op = RoiAlign { largest, height: 3, width: 2, samples: count, scale: 0.5, half_pixel };
                let rois = Tensor::from_slice(&[3, 4], &[0.0f32, 0.0, 9.0, 9.0, 3.5, 2.0, 7.0, 30.0, -5.0, -5.0, -4.0, 4.0]);
                samples.push(Sample { op: op.into(), inputs: vec![Input::Drawn(DType::F32, vec![2, 3, 7, 6], Domain::Ordinary), Input::Given(rois), Input::Given(Tensor::from_ints(&[0, 1, 1]))] });
            }
        }
        samples
    }
}
