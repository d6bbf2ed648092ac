//! Pools.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::global_pool::{GlobalPool, Pool};
use frit_ir::ops::padding::Padding;
use frit_ir::ops::{average_pool::AveragePool, concat::Concat, flatten::Flatten, max_pool::MaxPool};
use frit_ir::{OpError, ValueId};

use super::conv::{back, image};
use super::layer::{Layer, Masked, bare};
use super::{Mask, Row};

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("AveragePooling1D", Mask::Ends, |n| average(n, 1)),
    ("AveragePooling2D", Mask::Ends, |n| average(n, 2)),
    ("AveragePooling3D", Mask::Ends, |n| average(n, 3)),
    ("GlobalAveragePooling1D", Mask::Ends, global_average_1d),
    ("GlobalAveragePooling2D", Mask::Ends, |n| global(n, 2, Pool::Mean)),
    ("GlobalAveragePooling3D", Mask::Ends, |n| global(n, 3, Pool::Mean)),
    ("GlobalMaxPool1D", Mask::Ends, |n| global(n, 1, Pool::Max)),
    ("GlobalMaxPooling1D", Mask::Ends, |n| global(n, 1, Pool::Max)),
    ("GlobalMaxPooling2D", Mask::Ends, |n| global(n, 2, Pool::Max)),
    ("GlobalMaxPooling3D", Mask::Ends, |n| global(n, 3, Pool::Max)),
    ("MaxPooling1D", Mask::Ends, |n| max(n, 1)),
    ("MaxPooling2D", Mask::Ends, |n| max(n, 2)),
    ("MaxPooling3D", Mask::Ends, |n| max(n, 3)),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("AdaptiveAveragePooling1D", Mask::Ends, |n| adaptive(n, 1, Statistic::Mean)),
    ("AdaptiveAveragePooling2D", Mask::Ends, |n| adaptive(n, 2, Statistic::Mean)),
    ("AdaptiveAveragePooling3D", Mask::Ends, |n| adaptive(n, 3, Statistic::Mean)),
    ("AdaptiveMaxPooling1D", Mask::Ends, |n| adaptive(n, 1, Statistic::Max)),
    ("AdaptiveMaxPooling2D", Mask::Ends, |n| adaptive(n, 2, Statistic::Max)),
    ("AdaptiveMaxPooling3D", Mask::Ends, |n| adaptive(n, 3, Statistic::Max)),
];

/// Extents of windows, their distance and how margins are found.
fn windows(n: &Layer<'_>, spatial: usize) -> Result<(Vec<i64>, Vec<i64>, Padding), OpError> {
    let extents = if n.config.get("pool_size").is_some() { n.config.counts("pool_size", spatial, 2)? } else { n.config.counts("pool_length", spatial, 2)? };
    let strides = if n.config.get("strides").is_some() { n.config.counts("strides", spatial, 1)? } else { extents.clone() };
    let padding = match n.config.text("padding", "valid")? {
        "valid" => Padding::None,
        "same" => Padding::SameEnd,
        other => return Err(OpError::invalid(format!("'padding' is '{other}'"))),
    };
    Ok((extents, strides, padding))
}

fn max(n: &mut Layer<'_>, spatial: usize) -> Values {
    let x = image(n, spatial)?;
    let (extents, strides, padding) = windows(n, spatial)?;
    let y = n.apply(MaxPool { extents, strides, dilations: vec![], before: vec![], after: vec![], padding, ceil: false, indices: false, reversed: false }, &[x])?;
    Ok(bare([back(n, y)?]))
}

fn average(n: &mut Layer<'_>, spatial: usize) -> Values {
    let x = image(n, spatial)?;
    let (extents, strides, padding) = windows(n, spatial)?;
    let y = n.apply(AveragePool { extents, strides, dilations: vec![], before: vec![], after: vec![], padding, ceil: false, counts_margin: false }, &[x])?;
    Ok(bare([back(n, y)?]))
}

fn global(n: &mut Layer<'_>, spatial: usize, pool: Pool) -> Values {
    let x = image(n, spatial)?;
    let y = n.apply(GlobalPool { pool, p: 1 }, &[x])?;
    if n.config.flag("keepdims", false)? {
        return Ok(bare([back(n, y)?]));
    }
    Ok(bare([n.apply(Flatten { axis: 1 }, &[y])?]))
}

/// The mean of those steps that count.
fn global_average_1d(n: &mut Layer<'_>) -> Values {
    let Some(mask) = n.mask() else { return global(n, 1, Pool::Mean) };
    let x = n.x()?;
    let (steps, features) = if n.channels_last()? { (1, 2) } else { (2, 1) };
    let keep = n.config.flag("keepdims", false)?;
    let axis = n.builder.ints(&[features]);
    let mask = n.apply(frit_ir::ops::unsqueeze::Unsqueeze {}, &[mask, axis])?;
    let zero = n.number_like(x, 0.0);
    let kept = n.select(mask, x, zero)?;
    let dtype = n.builder.dtype(x);
    let count = n.cast(mask, dtype)?;
    let total = |n: &mut Layer<'_>, x: ValueId| n.apply(Aggregate { statistic: Statistic::Sum, axes: vec![steps], keep }, &[x]);
    let (sum, count) = (total(n, kept)?, total(n, count)?);
    Ok(bare([n.div(sum, count)?]))
}

/// Windows along an axis of an adaptive pool, each of which is a slice.
const MOST_PARTS: i64 = 1 << 10;

/// As many windows along each axis as are wanted: window `i` of `m` goes from `i n / m`, rounded down, to `(i + 1) n / m`, rounded up.
fn adaptive(n: &mut Layer<'_>, spatial: usize, statistic: Statistic) -> Values {
    let mut y = image(n, spatial)?;
    let wanted = n.config.counts("output_size", spatial, 1)?;
    for (k, parts) in wanted.into_iter().enumerate() {
        let axis = k + 2;
        let extent = n.extent(y, axis)?;
        if parts > MOST_PARTS {
            return Err(OpError::unsupported(format!("'output_size' is {parts}, which is not supported")).help(format!("at most {MOST_PARTS} along an axis are")));
        }
        let mut columns = Vec::new();
        for part in 0..parts {
            let (start, end) = (part * extent / parts, ((part + 1) * extent + parts - 1) / parts);
            let window = n.slice(y, axis, start, end, 1)?;
            columns.push(n.apply(Aggregate { statistic, axes: vec![axis], keep: true }, &[window])?);
        }
        y = n.apply(Concat { axis }, &columns)?;
    }
    Ok(bare([back(n, y)?]))
}
