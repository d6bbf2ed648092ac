//! Layers that prepare images and numbers, and those that change them only in training.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::resize_to::{Aspect, Coordinates, Interpolation, ResizeTo, Rounding};
use frit_ir::ops::{less_equal::LessEqual, one_hot::OneHot, unsqueeze::Unsqueeze};
use frit_ir::{DType, OpError, Tensor, ValueId};
use serde_json::Value;

use super::config::{Config, number};
use super::core::same;
use super::layer::{Layer, Masked, bare};
use super::norm::numbers;
use super::{Mask, Row};

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("RandomBrightness", Mask::Ends, same),
    ("RandomColorDegeneration", Mask::Ends, same),
    ("RandomColorJitter", Mask::Ends, same),
    ("RandomContrast", Mask::Ends, same),
    ("RandomCrop", Mask::Ends, same),
    ("RandomErasing", Mask::Ends, same),
    ("RandomFlip", Mask::Ends, same),
    ("RandomGaussianBlur", Mask::Ends, same),
    ("RandomGrayscale", Mask::Ends, same),
    ("RandomHue", Mask::Ends, same),
    ("RandomInvert", Mask::Ends, same),
    ("RandomPerspective", Mask::Ends, same),
    ("RandomPosterization", Mask::Ends, same),
    ("RandomRotation", Mask::Ends, same),
    ("RandomSaturation", Mask::Ends, same),
    ("RandomSharpness", Mask::Ends, same),
    ("RandomShear", Mask::Ends, same),
    ("RandomTranslation", Mask::Ends, same),
    ("RandomZoom", Mask::Ends, same),
    ("Resizing", Mask::Ends, resize),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("CategoryEncoding", Mask::Ends, categories),
    ("CenterCrop", Mask::Ends, center_crop),
    ("Discretization", Mask::Ends, discretize),
    ("Rescaling", Mask::Stays, rescale),
];

fn rescale(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let x = n.cast(x, n.policy.compute)?;
    let mut made = Vec::new();
    for (name, default) in [("scale", 1.0), ("offset", 0.0)] {
        made.push(match n.config.get(name) {
            Some(said) if number(said).is_none() => {
                let tensor = n.builder.constant(numbers(said)?);
                // A list has one number for each channel.
                let tensor = if n.rank(tensor)? == 1 && !n.channels_last()? && n.rank(x)? > 2 {
                    let rank = n.rank(x)?;
                    let mut shape = vec![1; rank - 1];
                    shape[0] = -1;
                    n.reshape(tensor, &shape)?
                } else {
                    tensor
                };
                n.cast(tensor, n.policy.compute)?
            }
            said => {
                let value = said.and_then(number).unwrap_or(default);
                n.number_like(x, value)
            }
        });
    }
    let y = n.mul(x, made[0])?;
    Ok(bare([n.add(y, made[1])?]))
}

/// An image, or several, of other extents.
pub(super) fn resized(n: &mut Layer<'_>, x: ValueId, last: bool, sizes: &[i64], interpolation: &str, antialias: bool) -> Result<ValueId, OpError> {
    let rank = n.rank(x)? as i64;
    let first = if last { rank - 3 } else { rank - 2 };
    let (interpolation, rounding) = match interpolation {
        "nearest" => (Interpolation::Nearest, Rounding::PreferCeil),
        "bilinear" => (Interpolation::Linear, Rounding::PreferFloor),
        "bicubic" => (Interpolation::Cubic, Rounding::PreferFloor),
        other => return Err(OpError::unsupported(format!("interpolation '{other}' is not supported")).help("use nearest, bilinear or bicubic")),
    };
    if first < 0 || sizes.iter().any(|size| !(1..1 << 20).contains(size)) {
        return Err(OpError::invalid(format!("an image of {rank} axes can't get the extents {sizes:?}")));
    }
    let empty = n.builder.constant(Tensor::from_slice::<f32>(&[0], &[]));
    let sizes = n.builder.ints(sizes);
    let exclude_outside = antialias || interpolation == Interpolation::Cubic;
    let antialias = antialias && interpolation != Interpolation::Nearest;
    let op = ResizeTo { interpolation, coordinates: Coordinates::HalfPixel, rounding, cubic: -0.5, exclude_outside, extrapolation: 0.0, antialias, axes: Some(vec![first, first + 1]), aspect: Aspect::Stretch };
    n.apply(op, &[x, empty, empty, sizes])
}

/// The middle of an image with the proportions of other extents.
fn cropped_to(n: &mut Layer<'_>, x: ValueId, first: usize, [height, width]: [i64; 2]) -> Result<ValueId, OpError> {
    let (h, w) = (n.extent(x, first)?, n.extent(x, first + 1)?);
    let share = |a: i64, b: i64, c: i64| ((a.saturating_mul(b) as f32) / c as f32) as i64;
    let (crop_h, crop_w) = (share(w, height, width).clamp(1, h.max(1)), share(h, width, height).clamp(1, w.max(1)));
    let (top, left) = ((h - crop_h) / 2, (w - crop_w) / 2);
    let x = n.slice(x, first, top, top + crop_h, 1)?;
    n.slice(x, first + 1, left, left + crop_w, 1)
}

fn target(n: &Layer<'_>) -> Result<[i64; 2], OpError> {
    Ok([n.config.count("height")?, n.config.count("width")?])
}

/// Where the two axes of an image begin.
fn first_axis(n: &Layer<'_>, x: ValueId) -> Result<usize, OpError> {
    let behind = if n.channels_last()? { 3 } else { 2 };
    n.rank(x)?.checked_sub(behind).ok_or_else(|| OpError::invalid("it takes an image"))
}

fn resize(n: &mut Layer<'_>) -> Values {
    let mut x = n.x()?;
    x = n.cast(x, n.policy.compute)?;
    let (last, first, target) = (n.channels_last()?, first_axis(n, x)?, target(n)?);
    if n.config.flag("pad_to_aspect_ratio", false)? {
        let (h, w) = (n.extent(x, first)?, n.extent(x, first + 1)?);
        let share = |a: i64, b: i64, c: i64| ((a.saturating_mul(b) as f32) / c as f32) as i64;
        let (pad_h, pad_w) = (share(w, target[0], target[1]).max(h), share(h, target[1], target[0]).max(w));
        let (top, left) = ((pad_h - h) / 2, (pad_w - w) / 2);
        let fill = n.config.float("fill_value", 0.0)?;
        let (pads, fill) = (n.builder.ints(&[top, left, top, left]), n.number_like(x, fill));
        let axes = n.builder.ints(&[first as i64, first as i64 + 1]);
        x = n.apply(frit_ir::ops::pad_by::PadBy { mode: frit_ir::ops::pad_by::PadMode::Constant }, &[x, pads, fill, axes])?;
    }
    if n.config.flag("crop_to_aspect_ratio", false)? {
        x = cropped_to(n, x, first, target)?;
    }
    let (interpolation, antialias) = (n.config.text("interpolation", "bilinear")?, n.config.flag("antialias", false)?);
    Ok(bare([resized(n, x, last, &target, interpolation, antialias)?]))
}

/// The middle of an image; of one that is too small what has the same proportions, made larger.
fn center_crop(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let x = n.cast(x, n.policy.compute)?;
    let (last, first, [height, width]) = (n.channels_last()?, first_axis(n, x)?, target(n)?);
    let (h, w) = (n.extent(x, first)?, n.extent(x, first + 1)?);
    if h >= height && w >= width {
        let (top, left) = ((h - height) / 2, (w - width) / 2);
        let x = n.slice(x, first, top, top + height, 1)?;
        return Ok(bare([n.slice(x, first + 1, left, left + width, 1)?]));
    }
    let x = cropped_to(n, x, first, [height, width])?;
    Ok(bare([resized(n, x, last, &[height, width], "bilinear", false)?]))
}

/// `[0, 1]`, from which one-hot rows are made.
fn zero_one(n: &mut Layer<'_>, dtype: DType) -> Result<ValueId, OpError> {
    let values = n.builder.constant(Tensor::from_slice::<f32>(&[2], &[0.0, 1.0]));
    n.cast(values, dtype)
}

fn categories(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let depth = n.config.count("num_tokens")?;
    let mode = n.config.text("output_mode", "multi_hot")?;
    if n.config.flag("sparse", false)? {
        return Err(OpError::unsupported("sparse results are not supported").help("make the layer with sparse=False"));
    }
    let dtype = n.policy.compute;
    let values = zero_one(n, dtype)?;
    let indices = n.cast(x, DType::I64)?;
    let rank = n.rank(x)?;
    match mode {
        // Values that stand alone along the last axis are rows by themselves.
        "one_hot" => {
            let alone = rank > 1 && n.builder.ty(x).dims()?[rank - 1].known() == Some(1);
            let axis = if alone { rank - 1 } else { rank };
            let indices = if alone {
                let mut dims = n.dims(indices)?;
                dims.pop();
                n.reshape(indices, &dims)?
            } else {
                indices
            };
            Ok(bare([n.apply(OneHot { depth, axis }, &[indices, values])?]))
        }
        "multi_hot" | "count" => {
            let rows = n.apply(OneHot { depth, axis: rank }, &[indices, values])?;
            let over = rank.saturating_sub(1);
            let statistic = if mode == "count" { Statistic::Sum } else { Statistic::Max };
            let mut y = if rank == 0 { rows } else { n.apply(Aggregate { statistic, axes: vec![over], keep: false }, &[rows])? };
            if mode == "count"
                && let Some(weights) = n.value(1, "count_weights")
            {
                let rows = n.apply(OneHot { depth, axis: rank }, &[indices, values])?;
                let behind = n.builder.ints(&[rank as i64]);
                let weights = n.apply(Unsqueeze {}, &[weights.value, behind])?;
                let weights = n.cast(weights, dtype)?;
                let rows = n.mul(rows, weights)?;
                y = n.apply(Aggregate { statistic: Statistic::Sum, axes: vec![over], keep: false }, &[rows])?;
            }
            Ok(bare([y]))
        }
        other => Err(OpError::invalid(format!("'output_mode' is '{other}'"))),
    }
}

/// How many of the boundaries each number has reached.
fn discretize(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    if n.config.text("output_mode", "int")? != "int" {
        return Err(OpError::unsupported("results other than integers are not supported").help("make the layer with output_mode=\"int\", and put CategoryEncoding behind it"));
    }
    let bounds = n.config.maybe_list("bin_boundaries")?.ok_or_else(|| Config::missing("bin_boundaries"))?;
    let bounds = numbers(&Value::Array(bounds.to_vec()))?;
    let bounds = n.builder.constant(bounds);
    let rank = n.rank(x)?;
    let x = n.cast(x, DType::F32)?;
    let behind = n.builder.ints(&[rank as i64]);
    let x = n.apply(Unsqueeze {}, &[x, behind])?;
    let reached = n.apply(LessEqual {}, &[bounds, x])?;
    let reached = n.cast(reached, DType::I32)?;
    Ok(bare([n.apply(Aggregate { statistic: Statistic::Sum, axes: vec![rank], keep: false }, &[reached])?]))
}
