//! Images made larger or smaller.
use crate::build::{Builder, MAX_FOLDED};
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::attr::attr_enum;
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, Tolerance, infer_parameters};
use crate::ops::{add::Add, broadcast::Broadcast, cast::Cast, equal::Equal, gather::Gather, matmul::MatMul, max::Max, mul::Mul, reshape::Reshape, select::Select};
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

attr_enum! {
    /// What an element between others is made of.
    pub enum Interpolation {
        /// The nearest one.
        Nearest = "nearest",
        /// Two along each axis, weighted by distance.
        Linear = "linear",
        /// Four along each axis (Keys, Cubic Convolution Interpolation, 1981).
        Cubic = "cubic",
    }
}

attr_enum! {
    /// Which coordinate of `x` an index of the result stands for. `s` is the scale, `n` and `m` the extents of `x`
    /// and of the result.
    pub enum Coordinates {
        /// `(i + 0.5) / s - 0.5`.
        HalfPixel = "half_pixel",
        /// As half_pixel, with the middles of both made to meet where `s * n` is not a whole number.
        HalfPixelSymmetric = "half_pixel_symmetric",
        /// As half_pixel, and -0.5 where the result has one element.
        PytorchHalfPixel = "pytorch_half_pixel",
        /// `i * (n - 1) / (m - 1)`.
        AlignCorners = "align_corners",
        /// `i / s`.
        Asymmetric = "asymmetric",
        /// As align_corners within a region of `x`; outside `x` a given value stands.
        TfCropAndResize = "tf_crop_and_resize",
    }
}

attr_enum! {
    /// Which element is nearest.
    pub enum Rounding {
        /// The nearest, of two the one before.
        PreferFloor = "round_prefer_floor",
        /// The nearest, of two the one behind.
        PreferCeil = "round_prefer_ceil",
        /// The one before.
        Floor = "floor",
        /// The one behind.
        Ceil = "ceil",
        /// The one before where the axis grows, the one behind where it shrinks.
        Outward = "outward",
    }
}

attr_enum! {
    /// What extents mean that would change the proportions.
    pub enum Aspect {
        /// They are what they are.
        Stretch = "stretch",
        /// One scale for all axes, so that none is longer than given.
        NotLarger = "not_larger",
        /// One scale for all axes, so that none is shorter than given.
        NotSmaller = "not_smaller",
    }
}

op! {
    /// `resize_to(x, region, scales, sizes)`: `x` resampled along `axes`, one after another, by `scales` or to
    /// extents `sizes`; of these one is empty. An element is a weighted sum of those around its coordinate in `x`,
    /// indices cut to the bounds. `region` holds for each axis the start, then for each the end, as fractions of
    /// `x`; it is used by `tf_crop_and_resize` only. Source: ONNX `Resize`.
    pub struct ResizeTo = "resize_to" {
        /// How elements are weighted.
        pub interpolation: Interpolation,
        /// Where they are taken.
        pub coordinates: Coordinates,
        /// What is nearest.
        pub rounding: Rounding,
        /// The parameter of the cubic kernel.
        pub cubic: f64,
        /// Do elements outside the bounds count as absent (rather than as the last ones)?
        pub exclude_outside: bool,
        /// What stands outside `x`, for `tf_crop_and_resize`.
        pub extrapolation: f64,
        /// Is the kernel widened where the axis shrinks?
        pub antialias: bool,
        /// Which axes, counted as in Python; all where left out.
        pub axes: Option<Vec<i64>>,
        /// What `sizes` mean.
        pub aspect: Aspect,
    }
}

/// One axis to be resampled.
struct Plan {
    axis: usize,
    scale: f64,
    extent: i64,
    region: (f64, f64),
}

/// Longest axis of a result: the tables of weights are made at compile time.
const MAX_EXTENT: i64 = 1 << 24;

/// Up to so many elements around a coordinate are picked; more are a row of a matrix.
const NARROW: i64 = 4;

/// Most elements of such a matrix.
const MAX_MATRIX: i64 = 4 * MAX_EXTENT;

/// The dims of what plans make.
fn result(dims: &[Dim], plans: &[Plan]) -> Vec<Dim> {
    let mut dims = dims.to_vec();
    plans.iter().for_each(|plan| dims[plan.axis] = Dim::Known(plan.extent));
    dims
}

impl ResizeTo {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        match &self.axes {
            Some(axes) => axes.iter().map(|k| axis(*k, rank)).collect(),
            None => Ok((0..rank).collect()),
        }
    }

    /// What to do along each axis.
    fn plan(&self, dims: &[Dim], region: &[f64], scales: &[f64], sizes: &[i64]) -> Result<Vec<Plan>, OpError> {
        let axes = self.axes(dims.len())?;
        let count = axes.len();
        if scales.is_empty() == sizes.is_empty() || (scales.len() != count && sizes.len() != count) {
            return Err(OpError::invalid(format!("'resize_to' takes {count} scales or {count} extents, not {} and {}", scales.len(), sizes.len())));
        }
        let crops = self.coordinates == Coordinates::TfCropAndResize;
        if crops && region.len() != 2 * count {
            return Err(OpError::invalid(format!("'resize_to' needs a region of {} numbers, not {}", 2 * count, region.len())));
        }
        // An axis that keeps its extent need not be known.
        let from = |k: usize| dims[axes[k]].known().ok_or_else(OpError::unknown);
        let mut plans = Vec::new();
        let common = match self.aspect {
            Aspect::Stretch => None,
            Aspect::NotLarger | Aspect::NotSmaller if sizes.is_empty() => None,
            Aspect::NotLarger | Aspect::NotSmaller => {
                let ratios = (0..count).map(|k| Ok(sizes[k] as f64 / from(k)? as f64)).collect::<Result<Vec<f64>, OpError>>()?;
                Some(if self.aspect == Aspect::NotLarger { ratios.into_iter().fold(f64::INFINITY, f64::min) } else { ratios.into_iter().fold(0.0, f64::max) })
            }
        };
        for (k, axis) in axes.iter().enumerate() {
            let region = if crops { (region[k], region[count + k]) } else { (0.0, 1.0) };
            if scales.get(k) == Some(&1.0) && region == (0.0, 1.0) {
                continue;
            }
            let n = from(k)?;
            let (scale, extent) = match (common, scales.get(k)) {
                (Some(scale), _) => (scale, (scale * n as f64 + 0.5).floor()),
                (None, Some(scale)) => (*scale, (scale * n as f64).floor()),
                (None, None) => (sizes[k] as f64 / n as f64, sizes[k] as f64),
            };
            if !(scale.is_finite() && scale >= 0.0 && extent >= 0.0 && extent <= MAX_EXTENT as f64) || (n == 0 && extent > 0.0) {
                return Err(OpError::invalid(format!("'resize_to' makes an axis of extent {n} {scale} times as long")));
            }
            plans.push(Plan { axis: *axis, scale, extent: extent as i64, region });
        }
        Ok(plans)
    }

    /// How many elements around a coordinate are weighted on either side.
    fn reach(&self, scale: f64) -> i64 {
        // With antialiasing the kernel is as wide in the result as it would be in `x`.
        let shrink = if self.antialias { scale.min(1.0) } else { 1.0 };
        match self.interpolation {
            Interpolation::Nearest => 0,
            Interpolation::Linear => (1.0 / shrink).ceil() as i64,
            Interpolation::Cubic => (2.0 / shrink).ceil() as i64,
        }
    }

    /// How many elements a row of an axis's table has: one for each index of the result.
    fn row(&self, plan: &Plan, dims: &[Dim]) -> i64 {
        let width = self.reach(plan.scale).saturating_mul(2).max(1);
        if width <= NARROW { width } else { width.max(dims[plan.axis].known().unwrap_or(0)) }
    }

    /// How many elements the table of an axis has.
    fn table(&self, plan: &Plan, dims: &[Dim]) -> i64 {
        plan.extent.saturating_mul(self.row(plan, dims))
    }

    fn coordinate(&self, i: f64, n: f64, plan: &Plan) -> f64 {
        let (scale, wide) = (plan.scale, plan.scale * n);
        let half = (i + 0.5) / scale - 0.5;
        match self.coordinates {
            Coordinates::HalfPixel => half,
            Coordinates::PytorchHalfPixel => if wide == 1.0 { -0.5 } else { half },
            Coordinates::HalfPixelSymmetric => n / 2.0 * (1.0 - plan.extent as f64 / wide) + half,
            Coordinates::AlignCorners => if wide == 1.0 { 0.0 } else { i * (n - 1.0) / (wide - 1.0) },
            Coordinates::Asymmetric => i / scale,
            Coordinates::TfCropAndResize => {
                let (start, end) = plan.region;
                let offset = if wide == 1.0 { (end - start) * (n - 1.0) / 2.0 } else { i * (end - start) * (n - 1.0) / (wide - 1.0) };
                start * (n - 1.0) + offset
            }
        }
    }

    /// The indices, not yet cut to the bounds, and weights that make the element at coordinate `x`.
    fn taps(&self, x: f64, scale: f64) -> Vec<(i64, f64)> {
        let floor = x.floor();
        let around = |first: i64, last: i64, weight: &dyn Fn(f64) -> f64| (first..=last).map(|k| (floor as i64 + k, weight(floor + k as f64 - x))).collect();
        let shrink = if self.antialias { scale.min(1.0) } else { 1.0 };
        let reach = self.reach(scale);
        match self.interpolation {
            Interpolation::Nearest => {
                let nearest = match self.rounding {
                    Rounding::PreferFloor => (x - 0.5).ceil(),
                    Rounding::PreferCeil => (x + 0.5).floor(),
                    Rounding::Floor => floor,
                    Rounding::Ceil => x.ceil(),
                    Rounding::Outward => if scale < 1.0 { x.ceil() } else { floor },
                };
                vec![(nearest as i64, 1.0)]
            }
            Interpolation::Linear => around(1 - reach, reach, &|d| (1.0 - (d * shrink).abs()).max(0.0)),
            Interpolation::Cubic => {
                let a = self.cubic;
                around(1 - reach, reach, &|d| {
                    let d = (d * shrink).abs();
                    if d <= 1.0 {
                        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
                    } else if d < 2.0 {
                        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
                    } else {
                        0.0
                    }
                })
            }
        }
    }

    /// Resamples one axis of `x`, which is of a float dtype unless elements are only picked.
    fn resample(&self, b: &mut Builder, x: ValueId, plan: &Plan) -> Result<ValueId, OpError> {
        let dims = b.ty(x).dims()?.to_vec();
        let n = dims[plan.axis].known().ok_or_else(OpError::unknown)?;
        let dtype = b.dtype(x);
        if self.row(plan, &dims) > NARROW && self.table(plan, &dims) > MAX_MATRIX {
            return Err(OpError::unsupported(format!("resampling from {n} to {} elements", plan.extent)));
        }
        let mut rows: Vec<Vec<(i64, f64)>> = Vec::new();
        let mut outside = Vec::new();
        for i in 0..plan.extent {
            let at = self.coordinate(i as f64, n as f64, plan);
            outside.push(self.coordinates == Coordinates::TfCropAndResize && !(0.0..=(n - 1) as f64).contains(&at));
            let at = if at.is_finite() { at.clamp(-1e9, 1e9) } else { 0.0 };
            let mut taps = self.taps(at, plan.scale);
            if self.exclude_outside {
                taps.retain(|(k, _)| (0..n).contains(k));
            }
            let sum: f64 = taps.iter().map(|(_, w)| w).sum();
            if (self.exclude_outside || self.antialias) && sum != 0.0 {
                taps.iter_mut().for_each(|(_, w)| *w /= sum);
            }
            for (k, _) in &mut taps {
                *k = (*k).clamp(0, (n - 1).max(0));
            }
            rows.push(taps);
        }
        let width = rows.iter().map(Vec::len).max().unwrap_or(1) as i64;
        let mut column = vec![1i64; dims.len() - plan.axis];
        column[0] = plan.extent;
        let mut y = if self.interpolation == Interpolation::Nearest {
            let places: Vec<i64> = rows.iter().map(|taps| taps.first().map_or(0, |(k, _)| *k)).collect();
            let times = plan.extent / n.max(1);
            if times > 1 && plan.extent == n * times && places.iter().enumerate().all(|(i, k)| i as i64 / times == *k) {
                // Each element as often as any other: that needs no table.
                let mut extents = b.extents(x)?;
                extents.insert(plan.axis + 1, 1);
                let apart = b.apply(Reshape { extents: extents.clone() }, &[x])?;
                extents[plan.axis + 1] = times;
                let repeated = b.apply(Broadcast { extents: extents.clone() }, &[apart])?;
                extents.remove(plan.axis + 1);
                extents[plan.axis] = plan.extent;
                b.apply(Reshape { extents }, &[repeated])?
            } else {
                let indices = b.ints(&places);
                b.apply(Gather { axis: plan.axis }, &[x, indices])?
            }
        } else if width <= NARROW {
            let mut sum = None;
            for t in 0..width as usize {
                let tap = |taps: &Vec<(i64, f64)>| taps.get(t).copied().unwrap_or((0, 0.0));
                let weights: Vec<f64> = rows.iter().map(|taps| tap(taps).1).collect();
                let indices = b.ints(&rows.iter().map(|taps| tap(taps).0).collect::<Vec<_>>());
                let weights = b.constant(Tensor::from_f64s(dtype, &column, &weights)?);
                let picked = b.apply(Gather { axis: plan.axis }, &[x, indices])?;
                let term = b.apply(Mul {}, &[picked, weights])?;
                sum = Some(match sum {
                    None => term,
                    Some(sum) => b.apply(Add {}, &[sum, term])?,
                });
            }
            sum.ok_or_else(|| OpError::bug("a kernel of no elements"))?
        } else {
            // As a product with a matrix of weights: [outer, n, inner] -> [outer, extent, inner].
            let extents = b.extents(x)?;
            let outer: i64 = extents[..plan.axis].iter().product();
            let inner: i64 = extents[plan.axis + 1..].iter().product();
            let mut matrix = vec![0.0; crate::tensor::checked_elems(&[plan.extent, n])?];
            for (i, taps) in rows.iter().enumerate() {
                for (k, w) in taps {
                    matrix[i * n as usize + *k as usize] += w;
                }
            }
            let matrix = b.constant(Tensor::from_f64s(dtype, &[plan.extent, n], &matrix)?);
            let flat = b.apply(Reshape { extents: vec![outer, n, inner] }, &[x])?;
            let product = b.apply(MatMul {}, &[matrix, flat])?;
            let mut extents = extents;
            extents[plan.axis] = plan.extent;
            b.apply(Reshape { extents }, &[product])?
        };
        if outside.contains(&true) {
            let mask = b.constant(Tensor::from_bools(&column, &outside));
            let value = b.scalar(dtype, self.extrapolation);
            y = b.apply(Select {}, &[mask, value, y])?;
        }
        Ok(y)
    }
}

/// To an integer dtype, rounded to nearest.
fn rounded(b: &mut Builder, x: ValueId, to: DType) -> Result<ValueId, OpError> {
    let dtype = b.dtype(x);
    let (zero, up, down) = (b.scalar(dtype, 0.0), b.scalar(dtype, 0.5), b.scalar(dtype, -0.5));
    let above = b.apply(Max {}, &[x, zero])?;
    let positive = b.apply(Equal {}, &[above, x])?;
    let half = b.apply(Select {}, &[positive, up, down])?;
    let shifted = b.apply(Add {}, &[x, half])?;
    b.apply(Cast { to }, &[shifted])
}

impl OpDef for ResizeTo {
    derived!();
    fn arity(&self) -> Arity {
        4..=4
    }
    fn expands_early(&self) -> bool {
        true
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        // Shapes are told without large tables.
        if let [x, parameters @ ..] = args
            && let [Some(region), Some(scales), Some(sizes)] = parameters.iter().map(|arg| arg.value).collect::<Vec<_>>()[..]
            && let Ok(dims) = x.ty.dims()
            && let Ok(plans) = self.plan(dims, &region.f64s(), &scales.f64s(), &sizes.ints())
            && plans.iter().any(|plan| self.table(plan, dims) > MAX_FOLDED as i64)
        {
            return Ok(vec![TensorType::ranked(x.ty.dtype, result(dims, &plans))]);
        }
        infer_parameters(self, args, || {
            let mut dims = args[0].ty.dims()?.to_vec();
            let scales = args[2].value.map(Tensor::f64s);
            let sizes = args[3].ints();
            for (at, k) in self.axes(dims.len())?.into_iter().enumerate() {
                let size = sizes.as_ref().and_then(|sizes| sizes.get(at)).filter(|_| self.aspect == Aspect::Stretch);
                let scale = scales.as_ref().and_then(|scales| scales.get(at)).filter(|s| s.fract() == 0.0 && (0.0..1e6).contains(*s));
                dims[k] = match (size, scale) {
                    (Some(n), _) => Dim::Known(*n),
                    (None, Some(s)) => dims[k].times(&Dim::Known(*s as i64)),
                    (None, None) => Dim::Unknown,
                };
            }
            Ok(dims)
        })
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let floats = |b: &Builder, v: ValueId| b.as_constant(v).map(Tensor::f64s).ok_or_else(OpError::unknown);
        let crops = self.coordinates == Coordinates::TfCropAndResize;
        let region = if crops { floats(b, inputs[1])? } else { Vec::new() };
        let (scales, sizes) = (floats(b, inputs[2])?, b.as_ints(inputs[3])?);
        let dims = b.ty(inputs[0]).dims()?.to_vec();
        let plans = self.plan(&dims, &region, &scales, &sizes)?;
        let dtype = b.dtype(inputs[0]);
        if let Some(extents) = result(&dims, &plans).iter().map(Dim::known).collect::<Option<Vec<_>>>().filter(|extents| extents.contains(&0)) {
            return Ok(vec![b.constant(Tensor::zeros(dtype, &extents)?)]);
        }
        if plans.iter().any(|plan| b.waits(self.table(plan, &dims))) {
            return Err(OpError::unknown());
        }
        if self.interpolation == Interpolation::Nearest || plans.is_empty() {
            let mut x = inputs[0];
            for plan in &plans {
                x = self.resample(b, x, plan)?;
            }
            return Ok(vec![x]);
        }
        let wide = if dtype.is_float() { dtype.accumulator() } else { DType::F32 };
        let mut x = b.apply(Cast { to: wide }, &inputs[..1])?;
        for plan in plans.iter().filter(|plan| plan.scale != 1.0 || dims[plan.axis].known() != Some(plan.extent) || plan.region != (0.0, 1.0)) {
            x = self.resample(b, x, plan)?;
        }
        Ok(vec![if dtype.is_float() { b.apply(Cast { to: dtype }, &[x])? } else { rounded(b, x, dtype)? }])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        if self.interpolation == Interpolation::Nearest { Tolerance::EXACT } else { Tolerance::sum(dtype, 16.0) }
    }
}

impl ResizeTo {
    /// The op with everything but these two as ONNX has it by default.
    pub fn new(interpolation: Interpolation, coordinates: Coordinates) -> Self {
        Self {
            interpolation,
            coordinates,
            rounding: Rounding::PreferFloor,
            cubic: -0.75,
            exclude_outside: false,
            extrapolation: 0.0,
            antialias: false,
            axes: None,
            aspect: Aspect::Stretch,
        }
    }

    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |op: ResizeTo, dtype, shape: &[i64], scales: &[f32], sizes: &[i64]| Sample {
            op: op.into(),
            inputs: vec![
                Input::Drawn(dtype, shape.to_vec(), Domain::Between(0.0, 9.0)),
                Input::Constant(Tensor::from_slice(&[8], &[0.0f32, 0.0, 0.4, -0.2, 1.0, 1.0, 1.3, 0.6])),
                Input::Constant(Tensor::from_slice(&[scales.len() as i64], scales)),
                Input::Constant(Tensor::from_ints(sizes)),
            ],
        };
        let mut samples = Vec::new();
        for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic] {
            for coordinates in [
                Coordinates::HalfPixel,
                Coordinates::HalfPixelSymmetric,
                Coordinates::PytorchHalfPixel,
                Coordinates::AlignCorners,
                Coordinates::Asymmetric,
                Coordinates::TfCropAndResize,
            ] {
                let op = ResizeTo::new(interpolation, coordinates);
                samples.push(sample(op.clone(), DType::F32, &[1, 2, 5, 7], &[], &[1, 2, 9, 4]));
                samples.push(sample(op.clone(), DType::F32, &[1, 1, 4, 4], &[1.0, 1.0, 2.0, 0.6], &[]));
                samples.push(sample(op, DType::F32, &[1, 2, 3, 16], &[], &[1, 2, 6, 32]));
            }
            let small = ResizeTo { antialias: interpolation != Interpolation::Nearest, axes: Some(vec![-1, 2]), ..ResizeTo::new(interpolation, Coordinates::HalfPixel) };
            samples.push(sample(small, DType::F32, &[2, 1, 17, 33], &[], &[4, 5]));
            samples.push(sample(ResizeTo::new(interpolation, Coordinates::HalfPixel), DType::U8, &[1, 1, 3, 3], &[], &[1, 1, 5, 1]));
        }
        // A table that waits.
        samples.push(sample(ResizeTo::new(Interpolation::Linear, Coordinates::HalfPixel), DType::F32, &[1, 1, 6000], &[], &[1, 1, 10_000]));
        samples
    }
}
