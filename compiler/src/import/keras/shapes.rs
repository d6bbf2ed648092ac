//! Operations of `keras.ops` that move elements, and those on images.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::pad_by::{PadBy, PadMode};
use frit_ir::ops::{concat::Concat, depth_to_space::DepthToSpace, expand_to::ExpandTo, gather::Gather, gather_elements::GatherElements, less::Less, range::Range, reshape_to::ReshapeTo, select::Select, shape_of::ShapeOf};
use frit_ir::ops::{slice_by::SliceBy, space_to_depth::SpaceToDepth, split::Split, squeeze::Squeeze, tile_by::TileBy, top_k::TopK, triangle::Triangle, unsqueeze::Unsqueeze};
use frit_ir::{DType, OpError, ValueId};
use serde_json::Value;

use super::Handler;
use super::config::{Config, integer, integers, items};
use super::image::resized;
use super::layer::{Arg, Layer, Masked, bare, dtype};
use super::movement::repeated;
use super::ops::{constant, together};
use crate::import::layout;

type Values = Result<Vec<Masked>, OpError>;

/// The operations, by class.
pub(super) const OPS: &[(&str, Handler)] = &[
    ("Arange", arange),
    ("Argsort", |n| sorted(n, true)),
    ("BroadcastTo", |n| {
        let x = n.x()?;
        let shape = n.config.maybe_ints("shape")?.ok_or_else(|| Config::missing("shape"))?;
        let shape = n.builder.ints(&shape);
        Ok(bare([n.apply(ExpandTo {}, &[x, shape])?]))
    }),
    ("Concatenate", concatenate),
    ("ConvertToTensor", |n| {
        let x = n.x()?;
        match n.config.maybe_text("dtype")? {
            Some(name) => Ok(bare([n.cast(x, dtype(name)?)?])),
            None => Ok(bare([x])),
        }
    }),
    ("Copy", |n| Ok(bare([n.x()?]))),
    ("DepthToSpace", |n| blocks(n, true)),
    ("ExpandDims", |n| {
        let x = n.x()?;
        let axes = n.config.maybe_ints("axis")?.ok_or_else(|| Config::missing("axis"))?;
        let axes = n.builder.ints(&axes);
        Ok(bare([n.apply(Unsqueeze {}, &[x, axes])?]))
    }),
    ("Flip", |n| {
        let x = n.x()?;
        super::ops::axes(n, x)?.into_iter().try_fold(x, |x, axis| n.reversed(x, axis)).map(|y| bare([y]))
    }),
    ("FullLike", |n| {
        let x = n.x()?;
        let data = match n.arg(1, "fill_value") {
            Some(Arg::Data(data)) => *data,
            _ => return Err(OpError::unsupported("a tensor to fill with is not supported").help("use keras.ops.broadcast_to")),
        };
        let own = n.builder.dtype(x);
        let fill = constant(n, data, Some(own))?;
        filled(n, x, fill)
    }),
    ("GetItem", get_item),
    ("Moveaxis", |n| {
        let x = n.x()?;
        let rank = n.rank(x)?;
        let list = |name: &str| -> Result<Vec<usize>, OpError> { n.config.maybe_ints(name)?.ok_or_else(|| Config::missing(name))?.iter().map(|axis| n.axis_of(x, *axis)).collect() };
        let (from, to) = (list("source")?, list("destination")?);
        let mut order: Vec<usize> = (0..rank).filter(|axis| !from.contains(axis)).collect();
        let mut moves: Vec<(usize, usize)> = to.into_iter().zip(from).collect();
        moves.sort_unstable();
        for (to, from) in moves {
            order.insert(to.min(order.len()), from);
        }
        transposed(n, x, &order)
    }),
    ("OnesLike", |n| {
        let x = n.x()?;
        let one = n.number_like(x, 1.0);
        filled(n, x, one)
    }),
    ("Pad", pad),
    ("Ravel", |n| {
        let x = n.x()?;
        let all = n.builder.ints(&[-1]);
        Ok(bare([n.apply(ReshapeTo { zero_copies: false }, &[x, all])?]))
    }),
    ("Repeat", |n| {
        let x = n.x()?;
        let times = n.config.count("repeats")?;
        let (x, axis) = match n.config.maybe_int("axis")? {
            Some(axis) => (x, n.axis_of(x, axis)?),
            None => (n.reshape(x, &[-1])?, 0),
        };
        Ok(bare([repeated(n, x, axis, times)?]))
    }),
    ("Reshape", |n| {
        let x = n.x()?;
        let said = n.config.get("newshape").or_else(|| n.config.get("shape")).ok_or_else(|| Config::missing("newshape"))?;
        let list = items(said).map_or_else(|| vec![said], |list| list.iter().collect());
        let shape = list.into_iter().map(|dim| if dim.is_null() { Some(-1) } else { integer(dim) }).collect::<Option<Vec<_>>>().ok_or_else(|| OpError::invalid("'newshape' is no list of integers"))?;
        let shape = n.builder.ints(&shape);
        Ok(bare([n.apply(ReshapeTo { zero_copies: false }, &[x, shape])?]))
    }),
    ("Resize", |n| {
        let mut x = n.x()?;
        let sizes = n.config.maybe_ints("size")?.ok_or_else(|| Config::missing("size"))?;
        if n.config.flag("crop_to_aspect_ratio", false)? || n.config.flag("pad_to_aspect_ratio", false)? || sizes.len() != 2 {
            return Err(OpError::unsupported("keeping proportions is not supported here").help("use the layer Resizing"));
        }
        let interpolation = n.config.text("interpolation", "bilinear")?;
        if interpolation != "nearest" && !n.builder.dtype(x).is_float() {
            x = n.cast(x, DType::F32)?;
        }
        let (last, antialias) = (n.channels_last()?, n.config.flag("antialias", false)?);
        Ok(bare([resized(n, x, last, &sizes, interpolation, antialias)?]))
    }),
    ("Slice", |n| {
        let x = n.x()?;
        let shape = n.config.maybe_ints("shape")?.ok_or_else(|| Config::missing("shape"))?;
        let starts = match n.arg(1, "start_indices") {
            Some(Arg::List(list)) => list.iter().map(|arg| if let Arg::Data(data) = arg { integer(data) } else { None }).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let starts = starts.filter(|starts| starts.len() == shape.len()).ok_or_else(|| OpError::unsupported("a start that is computed is not supported").help("give the start as numbers"))?;
        let ends: Vec<i64> = starts.iter().zip(&shape).map(|(start, extent)| if *extent < 0 { i64::MAX } else { start.saturating_add(*extent) }).collect();
        let (starts, ends) = (n.builder.ints(&starts), n.builder.ints(&ends));
        Ok(bare([n.apply(SliceBy {}, &[x, starts, ends])?]))
    }),
    ("Sort", |n| sorted(n, false)),
    ("SpaceToDepth", |n| blocks(n, false)),
    ("Split", split),
    ("Squeeze", |n| {
        let x = n.x()?;
        match n.config.maybe_ints("axis")? {
            Some(axes) => {
                let axes = n.builder.ints(&axes);
                Ok(bare([n.apply(Squeeze {}, &[x, axes])?]))
            }
            None => Ok(bare([n.apply(Squeeze {}, &[x])?])),
        }
    }),
    ("Stack", |n| {
        let values = common(n)?;
        let rank = n.rank(values[0])?;
        let axis = frit_ir::shape::axis(n.config.maybe_int("axis")?.unwrap_or(0), rank + 1)?;
        let place = n.builder.ints(&[axis as i64]);
        let values = values.into_iter().map(|x| n.apply(Unsqueeze {}, &[x, place])).collect::<Result<Vec<_>, _>>()?;
        Ok(bare([n.apply(Concat { axis }, &values)?]))
    }),
    ("Swapaxes", |n| {
        let x = n.x()?;
        let (a, b) = (n.axis_of(x, n.config.int("axis1")?)?, n.axis_of(x, n.config.int("axis2")?)?);
        let mut order: Vec<usize> = (0..n.rank(x)?).collect();
        order.swap(a, b);
        transposed(n, x, &order)
    }),
    ("Take", |n| {
        let x = n.x()?;
        let indices = match n.arg(1, "indices") {
            Some(Arg::Value(indices)) => indices.value,
            Some(Arg::Data(data)) => {
                let data = *data;
                constant(n, data, Some(DType::I64))?
            }
            Some(Arg::List(list)) => {
                let list = list.iter().map(|arg| if let Arg::Data(data) = arg { integer(data) } else { None }).collect::<Option<Vec<_>>>().ok_or_else(|| OpError::invalid("the indices are no integers"))?;
                n.builder.ints(&list)
            }
            _ => return Err(OpError::invalid("it has no indices")),
        };
        let indices = if matches!(n.builder.dtype(indices), DType::I32 | DType::I64) { indices } else { n.cast(indices, DType::I32)? };
        let (x, axis) = match n.config.maybe_int("axis")? {
            Some(axis) => (x, n.axis_of(x, axis)?),
            None => (n.reshape(x, &[-1])?, 0),
        };
        Ok(bare([n.apply(Gather { axis }, &[x, indices])?]))
    }),
    ("TakeAlongAxis", |n| {
        let x = n.x()?;
        let indices = n.value(1, "indices").ok_or_else(|| OpError::invalid("it has no indices"))?.value;
        let indices = if matches!(n.builder.dtype(indices), DType::I32 | DType::I64) { indices } else { n.cast(indices, DType::I32)? };
        let axis = n.axis_of(x, n.config.maybe_int("axis")?.unwrap_or(-1))?;
        Ok(bare([n.apply(GatherElements { axis }, &[x, indices])?]))
    }),
    ("Tile", |n| {
        let x = n.x()?;
        let repeats = n.config.maybe_ints("repeats")?.ok_or_else(|| Config::missing("repeats"))?;
        let rank = n.rank(x)?;
        let more = repeats.len().saturating_sub(rank);
        let x = if more > 0 {
            let axes = n.builder.ints(&(0..more as i64).collect::<Vec<_>>());
            n.apply(Unsqueeze {}, &[x, axes])?
        } else {
            x
        };
        let repeats: Vec<i64> = std::iter::repeat_n(1, rank.saturating_sub(repeats.len())).chain(repeats).collect();
        let repeats = n.builder.ints(&repeats);
        Ok(bare([n.apply(TileBy {}, &[x, repeats])?]))
    }),
    ("Transpose", |n| {
        let x = n.x()?;
        let order = match n.config.maybe_ints("axes")? {
            Some(axes) => axes.iter().map(|axis| n.axis_of(x, *axis)).collect::<Result<Vec<_>, _>>()?,
            None => (0..n.rank(x)?).rev().collect(),
        };
        transposed(n, x, &order)
    }),
    ("Tril", |n| triangle(n, false)),
    ("Triu", |n| triangle(n, true)),
    ("Unstack", |n| {
        let x = n.x()?;
        let axis = n.axis_of(x, n.config.maybe_int("axis")?.unwrap_or(0))?;
        let parts = part_count(n.extent(x, axis)?)?;
        let values = n.builder.apply_all(Split { axis, parts }, &[x])?;
        let place = n.builder.ints(&[axis as i64]);
        values.into_iter().map(|x| Ok(n.apply(Squeeze {}, &[x, place])?.into())).collect()
    }),
    ("ZerosLike", |n| {
        let x = n.x()?;
        let zero = n.number_like(x, 0.0);
        filled(n, x, zero)
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("RGBToGrayscale", |n| {
        let x = n.x()?;
        let axis = n.axis_of(x, if n.channels_last()? { -1 } else { -3 })?;
        let rank = n.rank(x)?;
        let mut shape = vec![1; rank];
        shape[axis] = 3;
        let weights = n.builder.constant(frit_ir::Tensor::from_slice::<f32>(&shape, &[0.2989, 0.587, 0.114]));
        let own = n.builder.dtype(x);
        let weights = n.cast(weights, own)?;
        let parts = n.mul(x, weights)?;
        Ok(bare([n.apply(Aggregate { statistic: Statistic::Sum, axes: vec![axis], keep: true }, &[parts])?]))
    }),
    ("Roll", roll),
];

fn transposed(n: &mut Layer<'_>, x: ValueId, order: &[usize]) -> Values {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..n.rank(x)?) {
        return Err(OpError::invalid(format!("{order:?} is no order of {} axes", n.rank(x)?)));
    }
    Ok(bare([n.permuted(x, order)?]))
}

/// A number for each element of `x`.
fn filled(n: &mut Layer<'_>, x: ValueId, number: ValueId) -> Values {
    let to = match n.config.maybe_text("dtype")? {
        Some(name) => dtype(name)?,
        None => n.builder.dtype(x),
    };
    let number = n.cast(number, to)?;
    let shape = n.apply(ShapeOf { start: 0, end: None }, &[x])?;
    Ok(bare([n.apply(ExpandTo {}, &[number, shape])?]))
}

/// All values of the first operand in one dtype.
fn common(n: &mut Layer<'_>) -> Result<Vec<ValueId>, OpError> {
    let values: Vec<ValueId> = n.inputs().iter().map(|x| x.value).collect();
    let dtype = values.iter().map(|x| n.builder.dtype(*x)).reduce(together).ok_or_else(|| OpError::invalid("it has no operand"))?;
    values.into_iter().map(|x| n.cast(x, dtype)).collect()
}

fn concatenate(n: &mut Layer<'_>) -> Values {
    let values = common(n)?;
    let axis = n.axis_of(values[0], n.config.maybe_int("axis")?.unwrap_or(0))?;
    Ok(bare([n.apply(Concat { axis }, &values)?]))
}

fn part_count(parts: i64) -> Result<usize, OpError> {
    usize::try_from(parts).ok().filter(|parts| (1..1 << 16).contains(parts)).ok_or_else(|| OpError::invalid(format!("it makes {parts} parts")))
}

fn split(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let axis = n.axis_of(x, n.config.maybe_int("axis")?.unwrap_or(0))?;
    let said = n.config.get("indices_or_sections").ok_or_else(|| Config::missing("indices_or_sections"))?;
    if let Some(parts) = integer(said) {
        let parts = part_count(parts)?;
        return Ok(bare(n.builder.apply_all(Split { axis, parts }, &[x])?));
    }
    let bounds = integers(said).ok_or_else(|| OpError::invalid("'indices_or_sections' is no list of integers"))?;
    let mut start = 0;
    let mut values = Vec::new();
    for end in bounds.into_iter().chain([i64::MAX]) {
        values.push(n.slice(x, axis, start, end, 1)?);
        start = end;
    }
    Ok(bare(values))
}

fn triangle(n: &mut Layer<'_>, upper: bool) -> Values {
    let x = n.x()?;
    let diagonal = n.config.maybe_int("k")?.unwrap_or(0);
    Ok(bare([n.apply(Triangle { upper, diagonal }, &[x])?]))
}

fn sorted(n: &mut Layer<'_>, places: bool) -> Values {
    let x = n.x()?;
    let axis = n.axis_of(x, n.config.maybe_int("axis")?.unwrap_or(-1))?;
    let all = n.extent(x, axis)?;
    let all = n.builder.ints(&[all]);
    let all = n.reshape(all, &[])?;
    let results = n.builder.apply_all(TopK { axis, largest: false }, &[x, all])?;
    if places {
        return Ok(bare([n.cast(results[1], DType::I32)?]));
    }
    Ok(bare([results[0]]))
}

fn roll(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let shifts = n.config.maybe_ints("shift")?.ok_or_else(|| Config::missing("shift"))?;
    let Some(axes) = n.config.maybe_ints("axis")? else {
        return Err(OpError::unsupported("rolling all elements is not supported").help("give an axis"));
    };
    let mut y = x;
    for (k, axis) in axes.iter().enumerate() {
        let axis = n.axis_of(x, *axis)?;
        let extent = n.extent(x, axis)?;
        let shift = shifts.get(k).or(shifts.first()).copied().unwrap_or(0).rem_euclid(extent.max(1));
        if shift > 0 {
            let (end, start) = (n.slice(y, axis, extent - shift, i64::MAX, 1)?, n.slice(y, axis, 0, extent - shift, 1)?);
            y = n.apply(Concat { axis }, &[end, start])?;
        }
    }
    Ok(bare([y]))
}

fn pad(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let rank = n.rank(x)?;
    let said = n.config.get("pad_width").ok_or_else(|| Config::missing("pad_width"))?;
    let wrong = || OpError::invalid("'pad_width' is no margin");
    let pair = |value: &Value| match integers(value)?.as_slice() {
        [one] => Some([*one; 2]),
        [before, after] => Some([*before, *after]),
        _ => None,
    };
    let widths: Vec<[i64; 2]> = match (integer(said), items(said)) {
        (Some(one), _) => vec![[one; 2]; rank],
        (None, Some(list)) if list.iter().all(|item| integer(item).is_some()) && list.len() <= 2 => vec![pair(said).ok_or_else(wrong)?; rank],
        (None, Some(list)) => list.iter().map(pair).collect::<Option<Vec<_>>>().ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    let widths = if widths.len() == 1 { vec![widths[0]; rank] } else { widths };
    if widths.len() != rank || widths.iter().flatten().any(|width| !(0..1 << 31).contains(width)) {
        return Err(wrong());
    }
    let mode = match n.config.text("mode", "constant")? {
        "constant" => PadMode::Constant,
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => return Err(OpError::unsupported(format!("mode '{other}' is not supported")).help("use constant, reflect, edge or wrap")),
    };
    let own = n.builder.dtype(x);
    let fill = match n.arg(1, "constant_values") {
        Some(Arg::Data(data)) => {
            let data = *data;
            constant(n, data, Some(own))?
        }
        _ => n.number_like(x, 0.0),
    };
    let fill = n.cast(fill, own)?;
    let pads: Vec<i64> = widths.iter().map(|width| width[0]).chain(widths.iter().map(|width| width[1])).collect();
    let pads = n.builder.ints(&pads);
    Ok(bare([n.apply(PadBy { mode }, &[x, pads, fill])?]))
}

fn arange(n: &mut Layer<'_>) -> Values {
    let mut bounds = Vec::new();
    for (at, name) in ["start", "stop", "step"].into_iter().enumerate() {
        bounds.push(match n.arg(at, name) {
            Some(Arg::Data(data)) => {
                let data = *data;
                Some(constant(n, data, None)?)
            }
            Some(arg) => arg.values().first().map(|value| value.value),
            None => None,
        });
    }
    let to = match n.config.maybe_text("dtype")? {
        Some(name) => dtype(name)?,
        None => bounds.iter().flatten().map(|bound| n.builder.dtype(*bound)).reduce(together).ok_or_else(|| OpError::invalid("it has no bounds"))?,
    };
    let (start, stop) = match (bounds[0], bounds[1]) {
        (Some(start), Some(stop)) => (start, stop),
        (Some(stop), None) => (n.builder.scalar(to, 0.0), stop),
        (None, _) => return Err(OpError::invalid("it has no bounds")),
    };
    let step = bounds[2].unwrap_or_else(|| n.builder.scalar(to, 1.0));
    let (start, stop, step) = (n.cast(start, to)?, n.cast(stop, to)?, n.cast(step, to)?);
    Ok(bare([n.apply(Range {}, &[start, stop, step])?]))
}

/// Blocks of pixels as channels, or the other way.
fn blocks(n: &mut Layer<'_>, to_space: bool) -> Values {
    let x = n.x()?;
    let block = n.config.count("block_size")?;
    let last = n.channels_last()?;
    let x = if last { layout::channels_first(n.builder, x)? } else { x };
    let y = if to_space { n.apply(DepthToSpace { block, channels_first: false }, &[x])? } else { n.apply(SpaceToDepth { block }, &[x])? };
    Ok(bare([if last { layout::channels_last(n.builder, y)? } else { y }]))
}

/// `x[key]`: along each axis a part, one element, or a new axis; `...` stands for the axes that are not named.
fn get_item(n: &mut Layer<'_>) -> Values {
    let mut x = n.x()?;
    let keys: Vec<&Arg<'_, Masked>> = match n.arg(1, "key") {
        Some(Arg::List(list)) => list.iter().collect(),
        Some(arg) => vec![arg],
        None => vec![&Arg::Data(&Value::Null)],
    };
    /// One part of a key.
    enum Key {
        Slice(Option<i64>, Option<i64>, i64),
        Index(i64),
        Tensor(ValueId),
        New,
        Rest,
    }
    let kind = |data: &Value| data.get("class_name").and_then(Value::as_str).map(str::to_owned);
    let mut parts = Vec::new();
    for key in keys {
        parts.push(match key {
            Arg::Value(index) => Key::Tensor(index.value),
            Arg::Data(Value::Null) => Key::New,
            Arg::Data(data) => match (integer(data), kind(data).as_deref()) {
                (Some(index), _) => Key::Index(index),
                (None, Some("__ellipsis__")) => Key::Rest,
                (None, Some("__slice__") | None) if data.is_object() => {
                    let config = Config::new(data.get("config").unwrap_or(data));
                    Key::Slice(config.maybe_int("start")?, config.maybe_int("stop")?, config.maybe_int("step")?.unwrap_or(1))
                }
                _ => return Err(OpError::unsupported("this index is not supported").help("index with numbers, slices or one tensor")),
            },
            _ => return Err(OpError::unsupported("an index that is a list is not supported").help("use keras.ops.take")),
        });
    }
    let rank = n.rank(x)?;
    let named = parts.iter().filter(|part| !matches!(part, Key::New | Key::Rest)).count();
    let rest = rank.checked_sub(named).ok_or_else(|| OpError::invalid(format!("an index names {named} of {rank} axes")))?;
    if parts.iter().filter(|part| matches!(part, Key::Tensor(_))).count() > 1 {
        return Err(OpError::unsupported("an index of several tensors is not supported").help("use keras.ops.take"));
    }
    let mut axis = 0;
    for part in parts {
        match part {
            Key::Rest => axis += rest,
            Key::New => {
                let place = n.builder.ints(&[axis as i64]);
                x = n.apply(Unsqueeze {}, &[x, place])?;
                axis += 1;
            }
            Key::Slice(start, stop, step) => {
                if step == 0 {
                    return Err(OpError::invalid("the step of a slice is 0"));
                }
                if (start, stop, step) != (None, None, 1) {
                    let (first, behind) = if step > 0 { (0, i64::MAX) } else { (-1, i64::MIN) };
                    x = n.slice(x, axis, start.unwrap_or(first), stop.unwrap_or(behind), step)?;
                }
                axis += 1;
            }
            Key::Index(index) => {
                let index = n.builder.ints(&[index]);
                let index = n.reshape(index, &[])?;
                x = n.apply(Gather { axis }, &[x, index])?;
            }
            Key::Tensor(index) if n.builder.dtype(index) != DType::Bool => {
                let zero = n.number_like(index, 0.0);
                let below = n.apply(Less {}, &[index, zero])?;
                let extent = n.extent(x, axis)?;
                let extent = n.number_like(index, extent as f64);
                let raised = n.add(index, extent)?;
                let index = n.apply(Select {}, &[below, raised, index])?;
                let more = n.rank(index)?;
                x = n.apply(Gather { axis }, &[x, index])?;
                axis += more;
            }
            Key::Tensor(_) => return Err(OpError::unsupported("an index of truth values is not supported").help("use keras.ops.where")),
        }
    }
    Ok(bare([x]))
}
