//! Operators on images: resampling, blocks of pixels, regions and boxes.

use frit_ir::ops::grid_sample::{GridSample, Outside};
use frit_ir::ops::resize_to::{Coordinates, Interpolation, ResizeTo, Rounding};
use frit_ir::ops::{
    affine_grid::AffineGrid, channel_bias::ChannelBias, deform_conv::DeformConv, depth_to_space::DepthToSpace, fold::Fold, gather::Gather, non_max_suppression::NonMaxSuppression, pad::Pad,
    roi_align::RoiAlign, slice_by::SliceBy, transpose::Transpose,
};
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::call::{Call, Values};
use super::movement::{reshaped, unsqueezed};
use super::{Handler, create};

pub(super) const OPS: &[(&str, Handler)] = &[
    ("_upsample_bicubic2d_aa", |c| resized(c, Interpolation::Cubic, 2, true)),
    ("_upsample_bilinear2d_aa", |c| resized(c, Interpolation::Linear, 2, true)),
    ("_upsample_nearest_exact1d", |c| nearest(c, 1, true)),
    ("_upsample_nearest_exact2d", |c| nearest(c, 2, true)),
    ("_upsample_nearest_exact3d", |c| nearest(c, 3, true)),
    ("affine_grid_generator", |c| {
        let theta = c.tensor("theta")?;
        let (size, _) = c.shape("size")?;
        let value = c.apply(AffineGrid { align_corners: c.flag("align_corners")? }, &[theta, size])?;
        c.one(value)
    }),
    ("col2im", |c| {
        let x = c.tensor("self")?;
        let (x, single) = if c.rank(x)? == 2 { (unsqueezed(c, x, &[0])?, true) } else { (x, false) };
        let margin = c.per_axis("padding", 2)?;
        let op = Fold {
            image: c.per_axis("output_size", 2)?,
            kernel: c.per_axis("kernel_size", 2)?,
            strides: c.per_axis("stride", 2)?,
            dilations: c.per_axis("dilation", 2)?,
            before: margin.clone(),
            after: margin,
        };
        let y = c.apply(op, &[x])?;
        let y = unbatched(c, y, single)?;
        c.one(y)
    }),
    ("grid_sampler", grid_sample),
    ("grid_sampler_2d", grid_sample),
    ("grid_sampler_3d", grid_sample),
    ("native_channel_shuffle", |c| super::call(c.context, "aten::channel_shuffle", Some(""), &super::Arguments::positional(c.values.clone()))),
    ("pixel_shuffle", |c| {
        let x = c.tensor("self")?;
        let block = c.int("upscale_factor")?;
        let extents = c.extents(x)?;
        let [lead @ .., channels, height, width] = extents.as_slice() else { return Err(OpError::invalid("'pixel_shuffle' wants an image")) };
        let x = reshaped(c, x, &[lead.iter().product(), *channels, *height, *width])?;
        let y = c.apply(DepthToSpace { block, channels_first: true }, &[x])?;
        let tail = c.extents(y)?;
        let shape: Vec<i64> = lead.iter().chain(&tail[1..]).copied().collect();
        let y = reshaped(c, y, &shape)?;
        c.one(y)
    }),
    ("pixel_unshuffle", |c| {
        let x = c.tensor("self")?;
        let block = c.int("downscale_factor")?;
        let extents = c.extents(x)?;
        let [lead @ .., channels, height, width] = extents.as_slice() else { return Err(OpError::invalid("'pixel_unshuffle' wants an image")) };
        if block < 1 || *height < block || *width < block || height % block != 0 || width % block != 0 {
            return Err(OpError::invalid(format!("an image of {height} by {width} has no blocks of {block}")));
        }
        let batch: i64 = lead.iter().product();
        let x = reshaped(c, x, &[batch, *channels, height / block, block, width / block, block])?;
        let x = c.apply(Transpose { perm: vec![0, 1, 3, 5, 2, 4] }, &[x])?;
        let shape: Vec<i64> = lead.iter().copied().chain([channels * block * block, height / block, width / block]).collect();
        let y = reshaped(c, x, &shape)?;
        c.one(y)
    }),
    ("torchvision::deform_conv2d", |c| {
        let (x, weight, offset) = (c.tensor("input")?, c.tensor("weight")?, c.tensor("offset")?);
        let margin = vec![c.int("pad_h")?, c.int("pad_w")?];
        let op = DeformConv {
            strides: vec![c.int("stride_h")?, c.int("stride_w")?],
            dilations: vec![c.int("dilation_h")?, c.int("dilation_w")?],
            before: margin.clone(),
            after: margin,
            groups: c.int("groups")?,
            offset_groups: c.int("offset_groups")?,
        };
        let mut inputs = vec![x, weight, offset];
        if c.flag("use_mask")? {
            inputs.push(c.tensor("mask")?);
        }
        let y = c.apply(op, &inputs)?;
        let bias = c.tensor("bias")?;
        let y = c.apply(ChannelBias {}, &[y, bias])?;
        c.one(y)
    }),
    ("upsample_bicubic2d", |c| resized(c, Interpolation::Cubic, 2, false)),
    ("upsample_bilinear2d", |c| resized(c, Interpolation::Linear, 2, false)),
    ("upsample_linear1d", |c| resized(c, Interpolation::Linear, 1, false)),
    ("upsample_nearest1d", |c| nearest(c, 1, false)),
    ("upsample_nearest2d", |c| nearest(c, 2, false)),
    ("upsample_nearest3d", |c| nearest(c, 3, false)),
    ("upsample_trilinear3d", |c| resized(c, Interpolation::Linear, 3, false)),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("im2col", windows),
    ("torchvision::nms", |c| {
        let (boxes, scores) = (c.tensor("dets")?, c.tensor("scores")?);
        let threshold = c.float("iou_threshold")?;
        let (boxes, scores) = (unsqueezed(c, boxes, &[0])?, unsqueezed(c, scores, &[0, 1])?);
        let most = c.builder().ints(&[i64::MAX]);
        let (overlap, score) = (c.builder().scalar(DType::F32, threshold), c.builder().scalar(DType::F32, f64::NEG_INFINITY));
        let rows = c.apply(NonMaxSuppression { centered: false }, &[boxes, scores, most, overlap, score])?;
        let column = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(2)));
        let value = c.apply(Gather { axis: 1 }, &[rows, column])?;
        c.one(value)
    }),
    ("torchvision::roi_align", |c| {
        let (x, rois) = (c.tensor("input")?, c.tensor("rois")?);
        let op = RoiAlign {
            largest: false,
            height: c.int("pooled_height")?,
            width: c.int("pooled_width")?,
            samples: c.int("sampling_ratio")?.max(0),
            scale: c.float("spatial_scale")?,
            half_pixel: c.flag("aligned")?,
        };
        let (from, to, axes) = (c.builder().ints(&[1]), c.builder().ints(&[5]), c.builder().ints(&[1]));
        let boxes = c.apply(SliceBy {}, &[rois, from, to, axes])?;
        let column = c.builder().constant(Tensor::scalar(DType::I64, Scalar::Int(0)));
        let batch = c.apply(Gather { axis: 1 }, &[rois, column])?;
        let batch = c.cast(batch, DType::I64)?;
        let value = c.apply(op, &[x, boxes, batch])?;
        c.one(value)
    }),
];

fn unbatched(c: &mut Call<'_>, x: ValueId, single: bool) -> Result<ValueId, OpError> {
    if !single {
        return Ok(x);
    }
    let axes = c.builder().ints(&[0]);
    c.apply(frit_ir::ops::squeeze::Squeeze {}, &[x, axes])
}

fn nearest(c: &mut Call<'_>, spatial: usize, exact: bool) -> Values {
    let (coordinates, rounding) = if exact { (Coordinates::HalfPixel, Rounding::PreferCeil) } else { (Coordinates::Asymmetric, Rounding::Floor) };
    resize(c, ResizeTo { rounding, ..ResizeTo::new(Interpolation::Nearest, coordinates) }, spatial)
}

fn resized(c: &mut Call<'_>, interpolation: Interpolation, spatial: usize, antialias: bool) -> Values {
    let coordinates = if c.flag("align_corners")? { Coordinates::AlignCorners } else { Coordinates::HalfPixel };
    let op = ResizeTo::new(interpolation, coordinates);
    // PyTorch's cubic kernel is another one where it antialiases, and elements outside count nothing there.
    let cubic = if antialias { -0.5 } else { -0.75 };
    resize(c, ResizeTo { cubic, antialias, exclude_outside: antialias, ..op }, spatial)
}

/// The factors that are given count, not the ratio of the extents.
fn resize(c: &mut Call<'_>, op: ResizeTo, spatial: usize) -> Values {
    let x = c.first()?;
    let rank = c.rank(x)?;
    if rank != spatial + 2 {
        return Err(OpError::invalid(format!("'{}' of a tensor of {rank} axes", c.name)));
    }
    let names: &[&str] = match spatial {
        1 => &["scales"],
        2 => &["scales_h", "scales_w"],
        _ => &["scales_d", "scales_h", "scales_w"],
    };
    let single = names.iter().map(|name| c.maybe_float(name)).collect::<Result<Option<Vec<_>>, _>>()?;
    let factors = match c.maybe_floats("scale_factors")? {
        Some(factors) => Some(factors),
        None => single,
    };
    let region = c.builder().constant(Tensor::from_slice::<f32>(&[0], &[]));
    let op = ResizeTo { axes: Some((2..rank as i64).collect()), ..op };
    let align = op.coordinates == Coordinates::AlignCorners;
    let sized = c.has("output_size");
    let none = c.builder().constant(Tensor::from_slice::<f32>(&[0], &[]));
    let inputs = match factors {
        // With corners aligned the factors don't matter, only the extents.
        Some(factors) if align && !sized => {
            let sizes: Vec<i64> = c.extents(x)?[2..].iter().zip(&factors).map(|(extent, factor)| (*extent as f64 * factor) as i64).collect();
            let sizes = c.builder().ints(&sizes);
            [x, region, none, sizes]
        }
        Some(factors) if !align && fits(c, x, &factors)? => {
            let scales = c.builder().constant(Tensor::from_f64s(DType::F64, &[factors.len() as i64], &factors)?);
            let scales = c.cast(scales, DType::F32)?;
            let none = c.builder().ints(&[]);
            [x, region, scales, none]
        }
        _ => {
            let (sizes, _) = c.shape("output_size")?;
            [x, region, none, sizes]
        }
    };
    let value = c.apply(op, &inputs)?;
    c.one(value)
}

/// Do the factors give the extents that are asked for, if any are?
fn fits(c: &Call<'_>, x: ValueId, factors: &[f64]) -> Result<bool, OpError> {
    let (Some(wanted), Ok(extents)) = (c.maybe_ints("output_size")?, c.extents(x)) else { return Ok(true) };
    Ok(extents[2..].iter().zip(factors).zip(&wanted).all(|((n, factor), wanted)| (*n as f64 * f64::from(*factor as f32)).floor() == *wanted as f64))
}

fn grid_sample(c: &mut Call<'_>) -> Values {
    let interpolation = match c.int("interpolation_mode")? {
        0 => Interpolation::Linear,
        1 => Interpolation::Nearest,
        2 => Interpolation::Cubic,
        other => return Err(OpError::invalid(format!("interpolation mode {other}"))),
    };
    let outside = match c.int("padding_mode")? {
        0 => Outside::Zeros,
        1 => Outside::Border,
        2 => Outside::Reflection,
        other => return Err(OpError::invalid(format!("padding mode {other}"))),
    };
    let (x, grid) = (c.tensor("input")?, c.tensor("grid")?);
    let value = c.apply(GridSample { interpolation, outside, align_corners: c.flag("align_corners")? }, &[x, grid])?;
    c.one(value)
}

/// The windows of an image as columns.
fn windows(c: &mut Call<'_>) -> Values {
    let x = c.tensor("self")?;
    let (x, single) = if c.rank(x)? == 3 { (unsqueezed(c, x, &[0])?, true) } else { (x, false) };
    let [kernel, dilations, margin, strides] = ["kernel_size", "dilation", "padding", "stride"].map(|name| c.per_axis(name, 2));
    let (kernel, dilations, margin, strides) = (kernel?, dilations?, margin?, strides?);
    let before: Vec<i64> = [0, 0].iter().chain(&margin).copied().collect();
    let dtype = c.dtype(x);
    let mut y = c.apply(Pad { before: before.clone(), after: before, value: Scalar::zero(dtype) }, &[x])?;
    let extents = c.extents(y)?;
    let mut counts = Vec::new();
    for k in 0..2 {
        let (taps, dilation, stride, n) = (kernel[k], dilations[k], strides[k], extents[k + 2]);
        let span = taps.checked_sub(1).and_then(|gaps| gaps.checked_mul(dilation)).and_then(|span| span.checked_add(1)).filter(|span| taps > 0 && dilation > 0 && stride > 0 && *span <= n);
        let Some(span) = span else { return Err(OpError::invalid(format!("windows of {kernel:?} don't fit an image of {:?}", &extents[2..]))) };
        let count = (n - span) / stride + 1;
        if count.saturating_mul(taps) > create::MOST {
            return Err(OpError::unsupported("so many windows are not supported"));
        }
        let places: Vec<i64> = (0..taps).flat_map(|tap| (0..count).map(move |at| at * stride + tap * dilation)).collect();
        let places = c.builder().constant(Tensor::from_ints(&places).reshaped(&[taps, count])?);
        // The first axis that was picked from has become two.
        y = c.apply(Gather { axis: 2 + 2 * k }, &[y, places])?;
        counts.push(count);
    }
    let y = c.apply(Transpose { perm: vec![0, 1, 2, 4, 3, 5] }, &[y])?;
    let y = reshaped(c, y, &[extents[0], extents[1] * kernel[0] * kernel[1], counts[0] * counts[1]])?;
    let y = unbatched(c, y, single)?;
    c.one(y)
}
