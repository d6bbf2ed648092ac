//! Largest elements of parts of regions of an image.
use crate::error::OpError;
use crate::dtype::DType;
use crate::ops::gather::checked;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `max_roi_pool(x, rois)`: `x` is `[n, c, h, w]`, `rois` is `[r, 5]` with rows `image, x1, y1, x2, y2`; the result
    /// is `[r, c, height, width]`: each region, rounded to whole elements, is cut into parts, and each part's largest
    /// element taken; 0 where a part is empty. Source: Girshick, Fast R-CNN, 2015; ONNX `MaxRoiPool`.
    pub struct MaxRoiPool = "max_roi_pool" {
        /// Rows of the result.
        pub height: i64,
        /// Columns of the result.
        pub width: i64,
        /// Factor from the regions' coordinates to those of `x`.
        pub scale: f64,
    }
}

/// First element and the one behind the last of part `k` of `parts` of a region.
fn part(k: i64, parts: i64, start: i64, end: i64, extent: i64) -> std::ops::Range<usize> {
    let size = (end - start + 1).max(1) as f64 / parts as f64;
    let bound = |at: f64| ((at as i64).saturating_add(start)).clamp(0, extent) as usize;
    bound((k as f64 * size).floor())..bound(((k + 1) as f64 * size).ceil())
}

impl OpDef for MaxRoiPool {
    derived!();
    fn arity(&self) -> Arity {
        2..=2
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (x, rois) = (args[0].ty, args[1].ty);
        let (from, regions) = (x.dims()?, rois.dims()?);
        if from.len() != 4 || regions.len() != 2 || !regions[1].may_equal(&Dim::Known(5)) || !x.dtype.is_float() || self.height < 0 || self.width < 0 {
            return Err(OpError::invalid(format!("'max_roi_pool' of {x} in regions {rois}")));
        }
        Ok(vec![TensorType::ranked(x.dtype, vec![regions[0].clone(), from[1].clone(), Dim::Known(self.height), Dim::Known(self.width)])])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (x, from) = (inputs[0].f64s(), inputs[0].extents());
        let (channels, width) = (from[1] as usize, from[3] as usize);
        let plane = from[2] as usize * width;
        let rois = inputs[1].f64s();
        let extents = [inputs[1].extents()[0], from[1], self.height, self.width];
        let mut result = Vec::with_capacity(crate::tensor::checked_elems(&extents)?);
        for roi in rois.chunks_exact(5) {
            let image = checked(self.name(), [roi[0] as i64], from[0])?[0] as usize;
            let [x1, y1, x2, y2] = [1, 2, 3, 4].map(|k| (roi[k] * self.scale).round().clamp(-1e12, 1e12) as i64);
            for c in 0..channels {
                let image = &x[(image * channels + c) * plane..][..plane];
                for row in 0..self.height {
                    let rows = part(row, self.height, y1, y2, from[2]);
                    for column in 0..self.width {
                        let columns = part(column, self.width, x1, x2, from[3]);
                        let elements = rows.clone().flat_map(|i| columns.clone().map(move |j| image[i * width + j]));
                        result.push(elements.reduce(f64::max).unwrap_or(0.0));
                    }
                }
            }
        }
        Ok(vec![Tensor::from_f64s(inputs[0].dtype(), &extents, &result)?])
    }
}

impl MaxRoiPool {
    pub(crate) fn samples() -> Vec<Sample> {
        let rois = Tensor::from_slice(&[3, 5], &[0.0f32, 0.0, 0.0, 9.0, 9.0, 1.0, 3.0, 2.0, 7.0, 30.0, 1.0, -5.0, -5.0, -4.0, 4.0]);
        vec![Sample { op: MaxRoiPool { height: 3, width: 2, scale: 0.5 }.into(), inputs: vec![Input::Drawn(DType::F32, vec![2, 3, 7, 6], Domain::Ordinary), Input::Given(rois)] }]
    }
}
