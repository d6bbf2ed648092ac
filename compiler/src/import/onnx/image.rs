//! Ops on images: resampling, blocks of pixels, regions and boxes.

use frit_ir::ops::attr::AttrValue;
use frit_ir::ops::grid_sample::GridSample;
use frit_ir::ops::resize_to::{Coordinates, Interpolation, ResizeTo, Rounding};
use frit_ir::ops::{
    Attr, affine_grid::AffineGrid, col2im::Col2Im, depth_to_space::DepthToSpace, max_roi_pool::MaxRoiPool, non_max_suppression::NonMaxSuppression, roi_align::RoiAlign,
    space_to_depth::SpaceToDepth,
};
use frit_ir::{DType, OpError, Tensor, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("AffineGrid", |n| n.simple(AffineGrid { align_corners: n.flag("align_corners", false) }, 2)),
    ("Col2Im", |n| {
        let list = |name: &str| n.maybe_ints(name).map(<[i64]>::to_vec);
        let op = Col2Im { strides: list("strides"), dilations: list("dilations"), pads: list("pads") };
        n.simple(op, 3)
    }),
    ("DepthToSpace", |n| {
        let channels_first = match n.text("mode", "DCR") {
            "DCR" => false,
            "CRD" => true,
            other => return Err(n.unknown_text("mode", other)),
        };
        let block = n.required_int("blocksize")?;
        n.simple(DepthToSpace { block, channels_first }, 1)
    }),
    ("GridSample", grid_sample),
    ("MaxRoiPool", |n| {
        let Some([height, width]) = n.maybe_ints("pooled_shape") else { return Err(n.missing("pooled_shape")) };
        n.simple(MaxRoiPool { height: *height, width: *width, scale: n.float("spatial_scale", 1.0) }, 2)
    }),
    ("NonMaxSuppression", non_max_suppression),
    ("Resize", resize),
    ("RoiAlign", roi_align),
    ("SpaceToDepth", |n| {
        let block = n.required_int("blocksize")?;
        n.simple(SpaceToDepth { block }, 1)
    }),
    ("Upsample", upsample),
];

/// A text attribute whose values are the names of an op's own choices.
fn choice<T: AttrValue>(n: &Node<'_, '_>, name: &str, default: &'static str) -> Result<T, OpError> {
    let text = n.text(name, default);
    T::from_attr(Attr::Text(text.to_owned())).ok_or_else(|| n.unknown_text(name, text))
}

fn interpolation(n: &Node<'_, '_>, default: &'static str) -> Result<Interpolation, OpError> {
    match n.text("mode", default) {
        "nearest" => Ok(Interpolation::Nearest),
        "linear" | "bilinear" => Ok(Interpolation::Linear),
        "cubic" | "bicubic" => Ok(Interpolation::Cubic),
        other => Err(n.unknown_text("mode", other)),
    }
}

fn grid_sample(n: &mut Node<'_, '_>) -> Values {
    let op = GridSample { interpolation: interpolation(n, "linear")?, outside: choice(n, "padding_mode", "zeros")?, align_corners: n.flag("align_corners", false) };
    n.simple(op, 2)
}

fn non_max_suppression(n: &mut Node<'_, '_>) -> Values {
    let most = n.optional(2).unwrap_or_else(|| n.builder.ints(&[0]));
    let overlap = n.optional(3).unwrap_or_else(|| n.builder.scalar(DType::F32, 0.0));
    let score = n.optional(4).unwrap_or_else(|| n.builder.scalar(DType::F32, f64::NEG_INFINITY));
    let inputs = [n.input(0)?, n.input(1)?, most, overlap, score];
    Ok(vec![n.apply(NonMaxSuppression { centered: n.flag("center_point_box", false) }, &inputs)?])
}

fn roi_align(n: &mut Node<'_, '_>) -> Values {
    let largest = match n.text("mode", "avg") {
        "avg" => false,
        "max" => true,
        other => return Err(n.unknown_text("mode", other)),
    };
    let half_pixel = match n.text("coordinate_transformation_mode", if n.opset < 16 { "output_half_pixel" } else { "half_pixel" }) {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(n.unknown_text("coordinate_transformation_mode", other)),
    };
    let op = RoiAlign {
        largest,
        height: n.int("output_height", 1),
        width: n.int("output_width", 1),
        samples: n.int("sampling_ratio", 0),
        scale: n.float("spatial_scale", 1.0),
        half_pixel,
    };
    n.simple(op, 3)
}

fn resize(n: &mut Node<'_, '_>) -> Values {
    if n.opset < 11 {
        return scaled(n, Rounding::Outward);
    }
    let op = ResizeTo {
        interpolation: interpolation(n, "nearest")?,
        coordinates: choice(n, "coordinate_transformation_mode", "half_pixel")?,
        rounding: choice(n, "nearest_mode", "round_prefer_floor")?,
        cubic: n.float("cubic_coeff_a", -0.75),
        exclude_outside: n.flag("exclude_outside", false),
        extrapolation: n.float("extrapolation_value", 0.0),
        antialias: n.flag("antialias", false),
        axes: n.maybe_ints("axes").map(<[i64]>::to_vec),
        aspect: choice(n, "keep_aspect_ratio_policy", "stretch")?,
    };
    let empty = Tensor::from_slice::<f32>(&[0], &[]);
    let mut inputs = vec![n.input(0)?];
    for at in 1..=2 {
        inputs.push(n.optional(at).unwrap_or_else(|| n.builder.constant(empty.clone())));
    }
    inputs.push(n.optional(3).unwrap_or_else(|| n.builder.ints(&[])));
    Ok(vec![n.apply(op, &inputs)?])
}

/// Resizing as it was before opset 11: by scales from the origin.
fn scaled(n: &mut Node<'_, '_>, rounding: Rounding) -> Values {
    let op = ResizeTo { rounding, ..ResizeTo::new(interpolation(n, "nearest")?, Coordinates::Asymmetric) };
    let scales = match (n.optional(1), n.maybe_floats("scales")) {
        (Some(scales), _) => scales,
        (None, Some(scales)) => n.builder.constant(Tensor::from_slice(&[scales.len() as i64], scales)),
        (None, None) => return Err(n.missing("scales")),
    };
    let region = n.builder.constant(Tensor::from_slice::<f32>(&[0], &[]));
    let sizes = n.builder.ints(&[]);
    let inputs = [n.input(0)?, region, scales, sizes];
    Ok(vec![n.apply(op, &inputs)?])
}

fn upsample(n: &mut Node<'_, '_>) -> Values {
    scaled(n, Rounding::Floor)
}
