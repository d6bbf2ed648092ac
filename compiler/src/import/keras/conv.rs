//! Convolutions.

use frit_ir::ops::padding::Padding;
use frit_ir::ops::{convolution::Convolution, deconvolution::Deconvolution};
use frit_ir::{OpError, ValueId};

use super::activation::activate;
use super::layer::{Layer, Masked, bare};
use super::{Mask, Row};
use crate::import::layout;

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("Conv1D", Mask::Ends, |n| convolution(n, 1)),
    ("Conv2D", Mask::Ends, |n| convolution(n, 2)),
    ("Conv2DTranspose", Mask::Ends, |n| transposed(n, 2)),
    ("Conv3D", Mask::Ends, |n| convolution(n, 3)),
    ("Conv3DTranspose", Mask::Ends, |n| transposed(n, 3)),
    ("Convolution1D", Mask::Ends, |n| convolution(n, 1)),
    ("Convolution2D", Mask::Ends, |n| convolution(n, 2)),
    ("Convolution2DTranspose", Mask::Ends, |n| transposed(n, 2)),
    ("Convolution3D", Mask::Ends, |n| convolution(n, 3)),
    ("DepthwiseConv1D", Mask::Ends, |n| depthwise(n, 1)),
    ("DepthwiseConv2D", Mask::Ends, |n| depthwise(n, 2)),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("Conv1DTranspose", Mask::Ends, |n| transposed(n, 1)),
    ("SeparableConv1D", Mask::Ends, |n| separable(n, 1)),
    ("SeparableConv2D", Mask::Ends, |n| separable(n, 2)),
    ("SeparableConvolution2D", Mask::Ends, |n| separable(n, 2)),
];

/// The operand with its channels second.
pub(super) fn image(n: &mut Layer<'_>, spatial: usize) -> Result<ValueId, OpError> {
    let x = n.x()?;
    let rank = n.rank(x)?;
    if rank != spatial + 2 {
        return Err(OpError::invalid(format!("it takes an operand of {} axes, not {rank}", spatial + 2)));
    }
    if n.channels_last()? { layout::channels_first(n.builder, x) } else { Ok(x) }
}

/// What has its channels second as the layer has them.
pub(super) fn back(n: &mut Layer<'_>, y: ValueId) -> Result<ValueId, OpError> {
    if n.channels_last()? { layout::channels_last(n.builder, y) } else { Ok(y) }
}

/// How windows lie.
pub(super) struct Windows {
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<i64>,
    pub(super) padding: Padding,
    pub(super) before: Vec<i64>,
}

pub(super) fn windows(n: &Layer<'_>, kernel: &[i64]) -> Result<Windows, OpError> {
    let spatial = kernel.len();
    let (strides, dilations) = (n.config.counts("strides", spatial, 1)?, n.config.counts("dilation_rate", spatial, 1)?);
    let (padding, before) = match n.config.text("padding", "valid")? {
        "valid" => (Padding::None, Vec::new()),
        "same" => (Padding::SameEnd, Vec::new()),
        "causal" if spatial == 1 => (Padding::Given, vec![(kernel[0] - 1).saturating_mul(dilations[0])]),
        other => return Err(OpError::invalid(format!("'padding' is '{other}'"))),
    };
    Ok(Windows { strides, dilations, padding, before })
}

/// The spatial extents of a filter, which come first.
fn kernel_extents(n: &Layer<'_>, kernel: ValueId, spatial: usize) -> Result<Vec<i64>, OpError> {
    let extents = n.builder.extents(kernel)?;
    if extents.len() == spatial + 2 { Ok(extents[..spatial].to_vec()) } else { Err(OpError::invalid(format!("its kernel has shape {extents:?}"))) }
}

fn finish(n: &mut Layer<'_>, y: ValueId) -> Values {
    let y = back(n, y)?;
    Ok(bare([activate(n, y, "activation")?]))
}

/// A filter, then the bias if there is one.
fn with_bias(n: &mut Layer<'_>, x: ValueId, filter: ValueId, at: usize) -> Result<Vec<ValueId>, OpError> {
    let mut operands = vec![x, filter];
    if n.config.flag("use_bias", true)? {
        operands.push(n.weight(at)?);
    }
    Ok(operands)
}

fn refuse_quantised(n: &Layer<'_>) -> Result<(), OpError> {
    match n.policy.quantised {
        Some(_) => Err(OpError::unsupported("weights that are quantised are not supported here").help("save the model before it is quantised")),
        None => Ok(()),
    }
}

fn convolution(n: &mut Layer<'_>, spatial: usize) -> Values {
    refuse_quantised(n)?;
    let x = image(n, spatial)?;
    let kernel = n.weight(0)?;
    let extents = kernel_extents(n, kernel, spatial)?;
    let Windows { strides, dilations, padding, before } = windows(n, &extents)?;
    let groups = n.config.maybe_int("groups")?.unwrap_or(1);
    let filter = layout::filter_first(n.builder, kernel)?;
    let operands = with_bias(n, x, filter, 1)?;
    let after = vec![0; before.len()];
    let y = n.apply(Convolution { strides, dilations, before, after, padding, groups }, &operands)?;
    finish(n, y)
}

/// Each channel with filters of its own, which are the last axis.
fn depthwise_filter(n: &mut Layer<'_>, kernel: ValueId, spatial: usize) -> Result<(ValueId, i64), OpError> {
    let extents = n.builder.extents(kernel)?;
    let (channels, each) = (extents[spatial], extents[spatial + 1]);
    let perm: Vec<usize> = [spatial, spatial + 1].into_iter().chain(0..spatial).collect();
    let filter = n.permuted(kernel, &perm)?;
    let shape: Vec<i64> = [channels * each, 1].into_iter().chain(extents[..spatial].iter().copied()).collect();
    Ok((n.reshape(filter, &shape)?, channels))
}

fn depthwise(n: &mut Layer<'_>, spatial: usize) -> Values {
    refuse_quantised(n)?;
    let x = image(n, spatial)?;
    let kernel = n.weight(0)?;
    let extents = kernel_extents(n, kernel, spatial)?;
    let Windows { strides, dilations, padding, before } = windows(n, &extents)?;
    let (filter, groups) = depthwise_filter(n, kernel, spatial)?;
    let operands = with_bias(n, x, filter, 1)?;
    let after = vec![0; before.len()];
    let y = n.apply(Convolution { strides, dilations, before, after, padding, groups }, &operands)?;
    finish(n, y)
}

fn separable(n: &mut Layer<'_>, spatial: usize) -> Values {
    refuse_quantised(n)?;
    let x = image(n, spatial)?;
    let (depthwise, pointwise) = (n.weight(0)?, n.weight(1)?);
    let extents = kernel_extents(n, depthwise, spatial)?;
    let Windows { strides, dilations, padding, before } = windows(n, &extents)?;
    let (filter, groups) = depthwise_filter(n, depthwise, spatial)?;
    let after = vec![0; before.len()];
    let y = n.apply(Convolution { strides, dilations, before, after, padding, groups }, &[x, filter])?;
    kernel_extents(n, pointwise, spatial)?;
    let filter = layout::filter_first(n.builder, pointwise)?;
    let operands = with_bias(n, y, filter, 2)?;
    let y = n.apply(Convolution { strides: vec![], dilations: vec![], before: vec![], after: vec![], padding: Padding::None, groups: 1 }, &operands)?;
    finish(n, y)
}

fn transposed(n: &mut Layer<'_>, spatial: usize) -> Values {
    let x = image(n, spatial)?;
    let kernel = n.weight(0)?;
    let extents = kernel_extents(n, kernel, spatial)?;
    let Windows { strides, dilations, .. } = windows(n, &extents)?;
    let same = match n.config.text("padding", "valid")? {
        "valid" => false,
        "same" => true,
        other => return Err(OpError::invalid(format!("'padding' is '{other}'"))),
    };
    let extra = match n.config.get("output_padding") {
        Some(_) => Some(n.config.per_axis("output_padding", spatial, 0)?),
        None => None,
    };
    let mut before = vec![0; spatial];
    let mut after = vec![0; spatial];
    for k in 0..spatial {
        let reach = (extents[k] - 1).saturating_mul(dilations[k]).saturating_add(1);
        // How much longer all windows are than the result.
        let excess = match (same, &extra) {
            (true, None) => reach - strides[k],
            (true, Some(extra)) => reach - reach % 2 - extra[k],
            (false, None) => (reach - strides[k]).min(0),
            (false, Some(extra)) => -extra[k],
        };
        before[k] = excess.max(0) / 2;
        after[k] = excess - before[k];
    }
    let filter = layout::filter_first(n.builder, kernel)?;
    let operands = with_bias(n, x, filter, 1)?;
    let y = n.apply(Deconvolution { strides, dilations, before, after, extra: vec![], extents: vec![], padding: Padding::Given, groups: 1 }, &operands)?;
    finish(n, y)
}
