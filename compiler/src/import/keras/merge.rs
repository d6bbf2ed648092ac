//! Layers that make one value of several.

use frit_ir::ops::{average::Average, broadcast::Broadcast, concat::Concat, einsum::Einsum, max::Max, min::Min, or::Or, unsqueeze::Unsqueeze};
use frit_ir::{DType, Op, OpError, Tensor, ValueId};

use super::config::{Config, integers};
use super::layer::{Layer, Masked, bare};
use super::norm::unit_length;
use super::{Mask, Row};

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("Add", Mask::Own, |n| merge(n, |n, x, y| n.add(x, y))),
    ("Average", Mask::Own, |n| merge_all(n, Average {})),
    ("Concatenate", Mask::Own, concatenate),
    ("Dot", Mask::Own, dot),
    ("Maximum", Mask::Own, |n| merge(n, |n, x, y| n.apply(Max {}, &[x, y]))),
    ("Minimum", Mask::Own, |n| merge(n, |n, x, y| n.apply(Min {}, &[x, y]))),
    ("Multiply", Mask::Own, |n| merge(n, |n, x, y| n.mul(x, y))),
    ("Subtract", Mask::Own, |n| merge(n, |n, x, y| n.sub(x, y))),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("CustomScaleLayer", Mask::Ends, |n| {
        // A part of Keras's own InceptionResNetV2.
        let inputs = n.inputs();
        let [x, y] = inputs.as_slice() else { return Err(OpError::invalid(format!("it takes two operands, not {}", inputs.len()))) };
        let scale = n.config.float("scale", 1.0)?;
        let scaled = n.scale(y.value, scale)?;
        Ok(bare([n.add(x.value, scaled)?]))
    }),
];

/// All values, those with fewer axes with more of extent 1 behind the first.
fn aligned(n: &mut Layer<'_>) -> Result<Vec<ValueId>, OpError> {
    let inputs = n.inputs();
    let ranks = inputs.iter().map(|x| n.rank(x.value)).collect::<Result<Vec<_>, _>>()?;
    let most = ranks.iter().copied().max().ok_or_else(|| OpError::invalid("it has no operand"))?;
    let mut values = Vec::new();
    for (x, rank) in inputs.iter().zip(ranks) {
        values.push(if rank == most {
            x.value
        } else {
            let axes = n.builder.ints(&(1..=(most - rank) as i64).collect::<Vec<_>>());
            n.apply(Unsqueeze {}, &[x.value, axes])?
        });
    }
    Ok(values)
}

/// Which steps count of at least one: known where all carry a mask.
fn either(n: &mut Layer<'_>) -> Result<Option<ValueId>, OpError> {
    let Some(masks) = n.inputs().iter().map(|x| x.mask).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let Some((first, rest)) = masks.split_first() else { return Ok(None) };
    rest.iter().try_fold(*first, |all, mask| n.apply(Or {}, &[all, *mask])).map(Some)
}

fn merge(n: &mut Layer<'_>, join: fn(&mut Layer<'_>, ValueId, ValueId) -> Result<ValueId, OpError>) -> Values {
    let values = aligned(n)?;
    let mut value = values[0];
    for next in &values[1..] {
        value = join(n, value, *next)?;
    }
    Ok(vec![Masked { value, mask: either(n)? }])
}

fn merge_all(n: &mut Layer<'_>, op: impl Into<Op>) -> Values {
    let values = aligned(n)?;
    let value = n.apply(op, &values)?;
    Ok(vec![Masked { value, mask: either(n)? }])
}

fn concatenate(n: &mut Layer<'_>) -> Values {
    let inputs = n.inputs();
    let first = inputs.first().ok_or_else(|| OpError::invalid("it has no operand"))?.value;
    let rank = n.rank(first)?;
    let axis = n.axis_of(first, n.config.maybe_int("axis")?.unwrap_or(-1))?;
    let values: Vec<ValueId> = inputs.iter().map(|x| x.value).collect();
    let value = n.apply(Concat { axis }, &values)?;
    // A step counts if any of its elements does. Elements of a step count alike, so that along the steps the masks are joined, too.
    let mask = if inputs.iter().all(|x| x.mask.is_none()) || rank < 2 {
        None
    } else {
        let mut masks = Vec::new();
        for x in &inputs {
            let extents = n.builder.extents(x.value)?;
            let steps = &extents[..rank - 1];
            masks.push(match x.mask {
                Some(mask) => {
                    let own = n.rank(mask)?;
                    let mut shape = n.dims(mask)?;
                    shape.resize(own.max(rank - 1), 1);
                    let mask = n.reshape(mask, &shape)?;
                    n.apply(Broadcast { extents: steps.to_vec() }, &[mask])?
                }
                None => {
                    let one = n.builder.constant(Tensor::from_bools(&[], &[true]));
                    n.apply(Broadcast { extents: steps.to_vec() }, &[one])?
                }
            });
        }
        Some(if axis + 1 == rank {
            let mut all = masks[0];
            for mask in &masks[1..] {
                all = n.apply(Or {}, &[all, *mask])?;
            }
            all
        } else {
            n.apply(Concat { axis }, &masks)?
        })
    };
    let mask = mask.filter(|mask| n.builder.dtype(*mask) == DType::Bool);
    Ok(vec![Masked { value, mask }])
}

/// The sums of products along one axis of each of two values, for each sample.
fn dot(n: &mut Layer<'_>) -> Values {
    let inputs = n.inputs();
    let [x, y] = inputs.as_slice() else { return Err(OpError::invalid(format!("it takes two operands, not {}", inputs.len()))) };
    let (mut x, mut y) = (x.value, y.value);
    let axes = n.config.get("axes").and_then(integers).ok_or_else(|| Config::missing("axes"))?;
    let axes = match axes.as_slice() {
        [one] => [n.axis_of(x, *one)?, n.axis_of(y, *one)?],
        [a, b] => [n.axis_of(x, *a)?, n.axis_of(y, *b)?],
        many => return Err(OpError::invalid(format!("'axes' has {} numbers", many.len()))),
    };
    if n.config.flag("normalize", false)? {
        x = unit_length(n, x, vec![axes[0]], 1e-12)?;
        y = unit_length(n, y, vec![axes[1]], 1e-12)?;
    }
    let (rank_x, rank_y) = (n.rank(x)?, n.rank(y)?);
    if axes.contains(&0) || rank_x + rank_y > 24 {
        return Err(OpError::invalid("'axes' names the batch"));
    }
    let mut letters = 'c'..='z';
    let mut name = |rank: usize, summed: usize| -> String { (0..rank).map(|k| if k == 0 { 'a' } else if k == summed { 'b' } else { letters.next().unwrap_or('z') }).collect() };
    let (left, right) = (name(rank_x, axes[0]), name(rank_y, axes[1]));
    let result: String = left.chars().chain(right.chars().skip(1)).filter(|letter| *letter != 'b').collect();
    let mut value = n.apply(Einsum { equation: format!("{left},{right}->{result}") }, &[x, y])?;
    if rank_x == 2 && rank_y == 2 {
        value = n.reshape(value, &[0, 1])?;
    }
    Ok(bare([value]))
}
