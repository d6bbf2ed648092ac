//! Layers that move elements.

use frit_ir::ops::pad_by::{PadBy, PadMode};
use frit_ir::ops::tile::Tile;
use frit_ir::ops::{flatten::Flatten, unsqueeze::Unsqueeze};
use frit_ir::{OpError, ValueId};
use serde_json::Value;

use super::config::{Config, integer, integers, items};
use super::image::resized;
use super::layer::{Layer, Masked, bare};
use super::{Mask, Row};
use crate::import::layout;

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("Cropping1D", Mask::Ends, |n| crop(n, 1)),
    ("Cropping2D", Mask::Ends, |n| crop(n, 2)),
    ("Cropping3D", Mask::Ends, |n| crop(n, 3)),
    ("Flatten", Mask::Ends, flatten),
    ("Permute", Mask::Ends, permute),
    ("RepeatVector", Mask::Ends, |n| {
        let x = n.x()?;
        let times = n.config.count("n")?;
        let axis = n.builder.ints(&[1]);
        let x = n.apply(Unsqueeze {}, &[x, axis])?;
        Ok(bare([n.apply(Tile { repeats: vec![1, times, 1] }, &[x])?]))
    }),
    ("Reshape", Mask::Ends, reshape),
    ("UpSampling1D", Mask::Ends, |n| {
        let x = n.x()?;
        let times = n.config.count("size")?;
        Ok(bare([repeated(n, x, 1, times)?]))
    }),
    ("UpSampling2D", Mask::Ends, up_2d),
    ("ZeroPadding1D", Mask::Ends, |n| pad(n, 1)),
    ("ZeroPadding2D", Mask::Ends, |n| pad(n, 2)),
    ("ZeroPadding3D", Mask::Ends, |n| pad(n, 3)),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[("UpSampling3D", Mask::Ends, |n| {
    let times = n.config.counts("size", 3, 2)?;
    let first = if n.channels_last()? { 1 } else { 2 };
    let mut y = n.x()?;
    for (k, times) in times.into_iter().enumerate() {
        y = repeated(n, y, first + k, times)?;
    }
    Ok(bare([y]))
})];

fn flatten(n: &mut Layer<'_>) -> Values {
    let mut x = n.x()?;
    if !n.channels_last()? {
        x = layout::channels_last(n.builder, x)?;
    }
    if n.rank(x)? == 1 {
        return Ok(bare([n.reshape(x, &[0, 1])?]));
    }
    Ok(bare([n.apply(Flatten { axis: 1 }, &[x])?]))
}

fn permute(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let dims = n.config.maybe_ints("dims")?.ok_or_else(|| Config::missing("dims"))?;
    let perm = std::iter::once(Ok(0)).chain(dims.iter().map(|axis| n.axis_of(x, *axis))).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..n.rank(x)?) {
        return Err(OpError::invalid(format!("'dims' is {dims:?} for an operand of {} axes", n.rank(x)?)));
    }
    Ok(bare([n.permuted(x, &perm)?]))
}

fn reshape(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let target = n.config.maybe_list("target_shape")?.ok_or_else(|| Config::missing("target_shape"))?;
    let target = target.iter().map(|dim| if dim.is_null() { Some(-1) } else { integer(dim) }).collect::<Option<Vec<_>>>().ok_or_else(|| OpError::invalid("'target_shape' is no list of integers"))?;
    if target.contains(&0) {
        return Err(OpError::unsupported("a shape without elements is not supported"));
    }
    let shape: Vec<i64> = std::iter::once(0).chain(target).collect();
    Ok(bare([n.reshape(x, &shape)?]))
}

/// Each element along an axis several times.
pub(super) fn repeated(n: &mut Layer<'_>, x: ValueId, axis: usize, times: i64) -> Result<ValueId, OpError> {
    if times == 1 {
        return Ok(x);
    }
    let extents = n.builder.extents(x)?;
    let Some(extent) = extents.get(axis).copied() else { return Err(OpError::invalid(format!("an operand of {} axes has no axis {axis}", extents.len()))) };
    let behind = n.builder.ints(&[axis as i64 + 1]);
    let x = n.apply(Unsqueeze {}, &[x, behind])?;
    let mut repeats = vec![1; extents.len() + 1];
    repeats[axis + 1] = times;
    let x = n.apply(Tile { repeats }, &[x])?;
    let mut shape = extents;
    shape[axis] = extent.checked_mul(times).ok_or_else(|| OpError::invalid(format!("{extent} elements {times} times")))?;
    n.reshape(x, &shape)
}

fn up_2d(n: &mut Layer<'_>) -> Values {
    let times = n.config.counts("size", 2, 2)?;
    let interpolation = n.config.text("interpolation", "nearest")?;
    let last = n.channels_last()?;
    let first = if last { 1 } else { 2 };
    let mut y = n.x()?;
    if interpolation == "nearest" {
        for (k, times) in times.into_iter().enumerate() {
            y = repeated(n, y, first + k, times)?;
        }
        return Ok(bare([y]));
    }
    let sizes = (0..2).map(|k| Ok(n.extent(y, first + k)?.saturating_mul(times[k]))).collect::<Result<Vec<_>, OpError>>()?;
    Ok(bare([resized(n, y, last, &sizes, interpolation, false)?]))
}

/// What is added or cut off in front and behind, per axis: one number for all, one for each, or a pair for each.
fn margins(n: &Layer<'_>, name: &str, spatial: usize) -> Result<Vec<[i64; 2]>, OpError> {
    let wrong = || OpError::invalid(format!("'{name}' is no margin of {spatial} axes"));
    let said = n.config.get(name).ok_or_else(|| Config::missing(name))?;
    let pair = |value: &Value| match integers(value)?.as_slice() {
        [one] => Some([*one; 2]),
        [before, after] => Some([*before, *after]),
        _ => None,
    };
    let margins: Vec<[i64; 2]> = match (integer(said), items(said)) {
        (Some(one), _) => vec![[one; 2]; spatial],
        (None, Some(list)) if spatial == 1 && list.len() == 2 => vec![pair(said).ok_or_else(wrong)?],
        (None, Some(list)) if list.len() == spatial => list.iter().map(pair).collect::<Option<_>>().ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    if margins.iter().flatten().any(|n| !(0..1 << 31).contains(n)) { Err(wrong()) } else { Ok(margins) }
}

/// The operand with margins; negative ones cut off.
fn framed(n: &mut Layer<'_>, margins: &[[i64; 2]], sign: i64) -> Values {
    let x = n.x()?;
    let first = if margins.len() == 1 || n.channels_last()? { 1 } else { 2 };
    let first = if margins.len() == 1 && !n.channels_last()? { 2 } else { first };
    let pads: Vec<i64> = margins.iter().map(|m| sign * m[0]).chain(margins.iter().map(|m| sign * m[1])).collect();
    let (pads, zero) = (n.builder.ints(&pads), n.number_like(x, 0.0));
    let axes = n.builder.ints(&(first..first + margins.len() as i64).collect::<Vec<_>>());
    Ok(bare([n.apply(PadBy { mode: PadMode::Constant }, &[x, pads, zero, axes])?]))
}

fn pad(n: &mut Layer<'_>, spatial: usize) -> Values {
    let margins = margins(n, "padding", spatial)?;
    framed(n, &margins, 1)
}

fn crop(n: &mut Layer<'_>, spatial: usize) -> Values {
    let margins = margins(n, "cropping", spatial)?;
    framed(n, &margins, -1)
}
