//! Ops that move elements: shapes, indices, sorting.

use frit_ir::ops::attr::AttrValue;
use frit_ir::ops::pad_by::PadBy;
use frit_ir::ops::scatter_elements::{ScatterElements, Update};
use frit_ir::ops::{
    Attr, center_crop_pad::CenterCropPad, compress::Compress, concat::Concat, constant::Constant, expand_to::ExpandTo, eye_like::EyeLike, flatten::Flatten, gather::Gather,
    gather_elements::GatherElements, gather_nd::GatherNd, nonzero::NonZero, one_hot_by::OneHotBy, range::Range, reshape_to::ReshapeTo, reverse_sequence::ReverseSequence,
    scatter_nd::ScatterNd, shape_of::ShapeOf, size_of::SizeOf, slice_by::SliceBy, split::Split, squeeze::Squeeze, tensor_scatter::TensorScatter, tile_by::TileBy, top_k::TopK,
    transpose::Transpose, trilu_by::TriluBy, unique::Unique, unsqueeze::Unsqueeze,
};
use frit_ir::shape::axis;
use frit_ir::{DType, OpError, Scalar, Tensor, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("CenterCropPad", |n| {
        let axes = n.maybe_ints("axes").map(<[i64]>::to_vec);
        n.simple(CenterCropPad { axes }, 2)
    }),
    ("Compress", |n| {
        let axis = n.maybe_int("axis").map(|k| n.axis(k)).transpose()?;
        n.simple(Compress { axis }, 2)
    }),
    ("Concat", concat),
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("Dropout", dropout),
    ("Expand", |n| n.simple(ExpandTo {}, 2)),
    ("EyeLike", |n| {
        let dtype = n.maybe_dtype("dtype")?.unwrap_or(n.builder.dtype(n.input(0)?));
        n.simple(EyeLike { dtype, diagonal: n.int("k", 0) }, 1)
    }),
    ("Flatten", |n| {
        let rank = n.builder.rank(n.input(0)?)?;
        let at = n.int("axis", 1);
        let axis = if at == rank as i64 { rank } else { axis(at, rank)? };
        n.simple(Flatten { axis }, 1)
    }),
    ("Gather", |n| {
        let axis = n.axis(n.int("axis", 0))?;
        n.simple(Gather { axis }, 2)
    }),
    ("GatherElements", |n| {
        let axis = n.axis(n.int("axis", 0))?;
        n.simple(GatherElements { axis }, 2)
    }),
    ("GatherND", |n| {
        let batch = usize::try_from(n.int("batch_dims", 0)).map_err(|_| OpError::invalid("'batch_dims' is negative"))?;
        n.simple(GatherNd { batch }, 2)
    }),
    ("Identity", |n| Ok(vec![n.input(0)?])),
    ("NonZero", |n| n.simple(NonZero {}, 1)),
    ("OneHot", |n| n.simple(OneHotBy { axis: n.int("axis", -1) }, 3)),
    ("Pad", pad),
    ("Range", |n| n.simple(Range {}, 3)),
    ("Reshape", |n| {
        let zero_copies = !n.flag("allowzero", false);
        n.simple(ReshapeTo { zero_copies }, 2)
    }),
    ("ReverseSequence", |n| {
        let (time, batch) = (n.axis(n.int("time_axis", 0))?, n.axis(n.int("batch_axis", 1))?);
        n.simple(ReverseSequence { batch, time }, 2)
    }),
    ("Scatter", scatter_elements),
    ("ScatterElements", scatter_elements),
    ("ScatterND", |n| {
        let update = update(n)?;
        n.simple(ScatterNd { update }, 3)
    }),
    ("Shape", |n| n.simple(ShapeOf { start: n.int("start", 0), end: n.maybe_int("end") }, 1)),
    ("Size", |n| n.simple(SizeOf {}, 1)),
    ("Slice", slice),
    ("Split", split),
    ("Squeeze", |n| match n.ints_operand(1, "axes") {
        Some(axes) => Ok(vec![n.apply(Squeeze {}, &[n.input(0)?, axes])?]),
        None => n.simple(Squeeze {}, 1),
    }),
    ("TensorScatter", |n| {
        let axis = n.axis(n.int("axis", -2))?;
        let circular = match n.text("mode", "linear") {
            "linear" => false,
            "circular" => true,
            other => return Err(n.unknown_text("mode", other)),
        };
        let inputs: Vec<ValueId> = [Some(n.input(0)?), Some(n.input(1)?), n.optional(2)].into_iter().flatten().collect();
        Ok(vec![n.apply(TensorScatter { axis, circular }, &inputs)?])
    }),
    ("Tile", |n| n.simple(TileBy {}, 2)),
    ("TopK", top_k),
    ("Transpose", transpose),
    ("Trilu", |n| {
        let diagonal = n.optional(1).unwrap_or_else(|| n.builder.ints(&[0]));
        Ok(vec![n.apply(TriluBy { upper: n.flag("upper", true) }, &[n.input(0)?, diagonal])?])
    }),
    ("Unique", |n| {
        let axis = n.maybe_int("axis").map(|k| n.axis(k)).transpose()?;
        n.simple(Unique { axis, sorted: n.flag("sorted", true) }, 1)
    }),
    ("Unsqueeze", |n| {
        let axes = n.ints_operand(1, "axes").ok_or_else(|| n.missing("axes"))?;
        Ok(vec![n.apply(Unsqueeze {}, &[n.input(0)?, axes])?])
    }),
];

fn concat(n: &mut Node<'_, '_>) -> Values {
    let inputs = n.all_inputs()?;
    let rank = inputs.iter().find_map(|v| n.builder.rank(*v).ok()).ok_or_else(OpError::unknown)?;
    let axis = axis(n.int("axis", 1), rank)?;
    Ok(vec![n.apply(Concat { axis }, &inputs)?])
}

fn constant(n: &mut Node<'_, '_>) -> Values {
    let value = if let Some(tensor) = n.maybe_tensor("value")? {
        tensor
    } else if let Some(tensor) = n.maybe_tensor("sparse_value")? {
        tensor
    } else if let Some(ints) = n.maybe_ints("value_ints") {
        Tensor::from_ints(ints)
    } else if let Some(int) = n.maybe_int("value_int") {
        Tensor::from_slice(&[], &[int])
    } else if let Some(floats) = n.maybe_floats("value_floats") {
        Tensor::from_slice(&[floats.len() as i64], floats)
    } else if let Some(float) = n.maybe_float("value_float") {
        Tensor::from_slice(&[], &[float as f32])
    } else if let Some(texts) = n.maybe_texts("value_strings") {
        Tensor::from_strings(&[texts.len() as i64], texts)?
    } else if let Some(text) = n.maybe_text("value_string") {
        Tensor::from_strings(&[], vec![text.to_owned()])?
    } else {
        return Err(n.missing("value"));
    };
    Ok(vec![n.apply(Constant { value }, &[])?])
}

fn transpose(n: &mut Node<'_, '_>) -> Values {
    let rank = match n.maybe_ints("perm") {
        Some(perm) => perm.len(),
        None => n.builder.rank(n.input(0)?)?,
    };
    let perm = match n.maybe_ints("perm") {
        Some(perm) => perm.iter().map(|k| axis(*k, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    n.simple(Transpose { perm }, 1)
}

fn constant_of_shape(n: &mut Node<'_, '_>) -> Values {
    let value = n.maybe_tensor("value")?.unwrap_or_else(|| Tensor::scalar(DType::F32, Scalar::Float(0.0)));
    let value = n.builder.constant(value.reshaped(&[])?);
    Ok(vec![n.apply(ExpandTo {}, &[value, n.input(0)?])?])
}

/// What it does outside of training: nothing; its mask is all true.
fn dropout(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    if let Some(training) = n.optional(2) {
        let known = |n: &Node<'_, '_>, value| n.builder.as_constant(value).map(|t| t.f64s().iter().any(|x| *x != 0.0));
        let keeps_all = n.optional(1).is_some_and(|ratio| known(n, ratio) == Some(false));
        if known(n, training) != Some(false) && !keeps_all {
            return Err(OpError::unsupported("dropout in training mode is not supported").help("export the model for inference"));
        }
    }
    let mut results = vec![x];
    if n.wants(1) {
        let dtype = if n.opset < 10 { n.builder.dtype(x) } else { DType::Bool };
        let kept = n.builder.constant(Tensor::scalar(dtype, Scalar::Int(1)));
        let shape = n.apply(ShapeOf { start: 0, end: None }, &[x])?;
        results.push(n.apply(ExpandTo {}, &[kept, shape])?);
    }
    Ok(results)
}

fn pad(n: &mut Node<'_, '_>) -> Values {
    let mode = n.text("mode", "constant");
    let mode = AttrValue::from_attr(Attr::Text(mode.to_owned())).ok_or_else(|| n.unknown_text("mode", mode))?;
    let x = n.input(0)?;
    let pads = n.ints_operand(1, "pads").ok_or_else(|| n.missing("pads"))?;
    let dtype = n.builder.dtype(x);
    let value = match n.optional(2) {
        Some(value) => value,
        None => n.builder.scalar(dtype, n.float("value", 0.0)),
    };
    let mut inputs = vec![x, pads, value];
    inputs.extend(n.optional(3));
    Ok(vec![n.apply(PadBy { mode }, &inputs)?])
}

fn update(n: &Node<'_, '_>) -> Result<Update, OpError> {
    Ok(match n.text("reduction", "none") {
        "none" => Update::Replace,
        "add" => Update::Add,
        "mul" => Update::Multiply,
        "max" => Update::Max,
        "min" => Update::Min,
        other => return Err(n.unknown_text("reduction", other)),
    })
}

fn scatter_elements(n: &mut Node<'_, '_>) -> Values {
    let axis = n.axis(n.int("axis", 0))?;
    let update = update(n)?;
    n.simple(ScatterElements { axis, update }, 3)
}

fn slice(n: &mut Node<'_, '_>) -> Values {
    let starts = n.ints_operand(1, "starts").ok_or_else(|| n.missing("starts"))?;
    let ends = n.ints_operand(2, "ends").ok_or_else(|| n.missing("ends"))?;
    let mut inputs = vec![n.input(0)?, starts, ends];
    let (axes, steps) = (n.ints_operand(3, "axes"), n.optional(4));
    match (axes, steps) {
        (Some(axes), steps) => {
            inputs.push(axes);
            inputs.extend(steps);
        }
        (None, Some(steps)) => {
            let count = n.builder.extents(starts)?.first().copied().unwrap_or(1);
            let rank = n.builder.rank(inputs[0])? as i64;
            inputs.extend([n.builder.ints(&(0..count.min(rank)).collect::<Vec<_>>()), steps]);
        }
        (None, None) => {}
    }
    Ok(vec![n.apply(SliceBy {}, &inputs)?])
}

fn split(n: &mut Node<'_, '_>) -> Values {
    let axis = n.axis(n.int("axis", 0))?;
    let mut inputs = vec![n.input(0)?];
    inputs.extend(n.ints_operand(1, "split"));
    let parts = n.maybe_int("num_outputs").map_or(Ok(n.outputs), |parts| usize::try_from(parts).map_err(|_| OpError::invalid("'num_outputs' is negative")))?;
    if parts < n.outputs || parts > 1 << 20 {
        return Err(OpError::invalid(format!("a split into {parts} parts has {} results", n.outputs)));
    }
    n.builder.apply_all(Split { axis, parts }, &inputs)
}

fn top_k(n: &mut Node<'_, '_>) -> Values {
    let axis = n.axis(n.int("axis", -1))?;
    let k = match n.optional(1) {
        Some(k) => k,
        None => {
            let k = n.required_int("k")?;
            n.builder.ints(&[k])
        }
    };
    n.builder.apply_all(TopK { axis, largest: n.flag("largest", true) }, &[n.input(0)?, k])
}
