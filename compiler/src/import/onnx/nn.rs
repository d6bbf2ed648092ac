//! Contractions, convolutions, pools and normalisations.

use frit_ir::ops::global_pool::{GlobalPool, Pool};
use frit_ir::ops::padding::Padding;
use frit_ir::ops::{average_pool::AveragePool, batch_norm::BatchNorm, convolution::Convolution, deconvolution::Deconvolution, deform_conv::DeformConv, dot::Dot, gemm::Gemm, group_norm::GroupNorm};
use frit_ir::ops::{layer_norm::LayerNorm, lp_norm::LpNorm, lp_pool::LpPool, lrn::Lrn, channel_bias::ChannelBias, matmul::MatMul, max_pool::MaxPool, max_unpool::MaxUnpool, rms_norm::RmsNorm};
use frit_ir::{DType, OpError, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("AveragePool", average_pool),
    ("BatchNormalization", batch_norm),
    ("Conv", conv),
    ("ConvTranspose", conv_transpose),
    ("DeformConv", deform_conv),
    ("Gemm", gemm),
    ("GlobalAveragePool", |n| n.simple(GlobalPool { pool: Pool::Mean, p: 1 }, 1)),
    ("GlobalLpPool", |n| {
        let p = n.int("p", 2);
        n.simple(GlobalPool { pool: Pool::Norm, p }, 1)
    }),
    ("GlobalMaxPool", |n| n.simple(GlobalPool { pool: Pool::Max, p: 1 }, 1)),
    ("GroupNormalization", group_norm),
    ("InstanceNormalization", |n| {
        let epsilon = n.float("epsilon", 1e-5);
        n.simple(GroupNorm { groups: 0, epsilon, per_group: false, stash: DType::F32 }, 3)
    }),
    ("LRN", lrn),
    ("LayerNormalization", layer_norm),
    ("LpNormalization", |n| {
        let op = LpNorm { axis: n.int("axis", -1), p: n.int("p", 2) };
        n.simple(op, 1)
    }),
    ("LpPool", lp_pool),
    ("MatMul", matmul),
    ("MaxPool", max_pool),
    ("MaxUnpool", max_unpool),
    ("RMSNormalization", rms_norm),
];

/// Operands that may be left out at the end.
fn present(n: &Node<'_, '_>, required: usize, optional: usize) -> Values {
    let mut inputs = (0..required).map(|at| n.input(at)).collect::<Result<Vec<_>, _>>()?;
    inputs.extend((required..required + optional).map_while(|at| n.optional(at)));
    Ok(inputs)
}

/// The rule for the margins of a window op, and the margins where they are given.
pub(super) fn margins(n: &Node<'_, '_>) -> Result<(Padding, Vec<i64>, Vec<i64>), OpError> {
    let padding = match n.text("auto_pad", "NOTSET") {
        "NOTSET" => Padding::Given,
        "VALID" => Padding::None,
        "SAME_UPPER" => Padding::SameEnd,
        "SAME_LOWER" => Padding::SameBegin,
        other => return Err(OpError::invalid(format!("auto_pad is '{other}'")).help("it is NOTSET, VALID, SAME_UPPER or SAME_LOWER")),
    };
    if padding != Padding::Given {
        return Ok((padding, Vec::new(), Vec::new()));
    }
    let pads = n.maybe_ints("pads").unwrap_or_default();
    let (before, after) = pads.split_at(pads.len() / 2);
    Ok((padding, before.to_vec(), after.to_vec()))
}

pub(super) fn list(n: &Node<'_, '_>, name: &str) -> Vec<i64> {
    n.maybe_ints(name).unwrap_or_default().to_vec()
}

fn kernel(n: &Node<'_, '_>) -> Result<Vec<i64>, OpError> {
    n.maybe_ints("kernel_shape").map(<[i64]>::to_vec).ok_or_else(|| n.missing("kernel_shape"))
}

fn conv(n: &mut Node<'_, '_>) -> Values {
    let (padding, before, after) = margins(n)?;
    let op = Convolution { strides: list(n, "strides"), dilations: list(n, "dilations"), before, after, padding, groups: n.int("group", 1) };
    let inputs = present(n, 2, 1)?;
    Ok(vec![n.apply(op, &inputs)?])
}

fn conv_transpose(n: &mut Node<'_, '_>) -> Values {
    let (padding, before, after) = margins(n)?;
    let op = Deconvolution {
        strides: list(n, "strides"),
        dilations: list(n, "dilations"),
        before,
        after,
        extra: list(n, "output_padding"),
        extents: list(n, "output_shape"),
        padding,
        groups: n.int("group", 1),
    };
    let inputs = present(n, 2, 1)?;
    Ok(vec![n.apply(op, &inputs)?])
}

fn matmul(n: &mut Node<'_, '_>) -> Values {
    let ranks = [n.builder.rank(n.input(0)?), n.builder.rank(n.input(1)?)];
    if ranks.iter().all(|rank| rank.as_ref().is_ok_and(|rank| *rank > 1)) { n.simple(MatMul {}, 2) } else { n.simple(Dot {}, 2) }
}

fn gemm(n: &mut Node<'_, '_>) -> Values {
    let op = Gemm { alpha: n.float("alpha", 1.0), beta: n.float("beta", 1.0), trans_a: n.flag("transA", false), trans_b: n.flag("transB", false) };
    let inputs = present(n, 2, 1)?;
    Ok(vec![n.apply(op, &inputs)?])
}

fn max_pool(n: &mut Node<'_, '_>) -> Values {
    let (padding, before, after) = margins(n)?;
    let op = MaxPool {
        extents: kernel(n)?,
        strides: list(n, "strides"),
        dilations: list(n, "dilations"),
        before,
        after,
        padding,
        ceil: n.flag("ceil_mode", false),
        indices: n.wants(1),
        reversed: n.flag("storage_order", false),
    };
    n.simple(op, 1)
}

fn average_pool(n: &mut Node<'_, '_>) -> Values {
    let (padding, before, after) = margins(n)?;
    let op = AveragePool {
        extents: kernel(n)?,
        strides: list(n, "strides"),
        dilations: list(n, "dilations"),
        before,
        after,
        padding,
        ceil: n.flag("ceil_mode", false),
        counts_margin: n.flag("count_include_pad", false),
    };
    n.simple(op, 1)
}

fn lp_pool(n: &mut Node<'_, '_>) -> Values {
    let (padding, before, after) = margins(n)?;
    let op = LpPool {
        p: n.int("p", 2),
        extents: kernel(n)?,
        strides: list(n, "strides"),
        dilations: list(n, "dilations"),
        before,
        after,
        padding,
        ceil: n.flag("ceil_mode", false),
    };
    n.simple(op, 1)
}

fn batch_norm(n: &mut Node<'_, '_>) -> Values {
    if n.int("spatial", 1) == 0 {
        return Err(OpError::unsupported("'BatchNormalization' with spatial = 0 is not supported").help("convert the model to opset 9 or newer"));
    }
    // Before opset 14 the outputs that are named tell whether it is training.
    let training = if n.opset >= 14 { n.flag("training_mode", false) } else { n.wants(1) };
    let momentum = training.then(|| n.float("momentum", 0.9));
    if training && n.opset < 14 {
        return Err(OpError::unsupported("'BatchNormalization' in training mode before opset 14 is not supported").help("convert the model to opset 14 or newer"));
    }
    let epsilon = n.float("epsilon", 1e-5);
    n.simple(BatchNorm { epsilon, momentum }, 5)
}

fn stash(n: &Node<'_, '_>) -> Result<DType, OpError> {
    Ok(n.maybe_dtype("stash_type")?.unwrap_or(DType::F32))
}

fn layer_norm(n: &mut Node<'_, '_>) -> Values {
    let op = LayerNorm { axis: n.int("axis", -1), epsilon: n.float("epsilon", 1e-5), stash: stash(n)? };
    let inputs = present(n, 2, 1)?;
    n.builder.apply_all(op, &inputs)
}

fn rms_norm(n: &mut Node<'_, '_>) -> Values {
    let op = RmsNorm { axis: n.int("axis", -1), epsilon: n.float("epsilon", 1e-5), stash: stash(n)? };
    n.simple(op, 2)
}

fn group_norm(n: &mut Node<'_, '_>) -> Values {
    let op = GroupNorm { groups: n.required_int("num_groups")?, epsilon: n.float("epsilon", 1e-5), per_group: n.opset < 21, stash: stash(n)? };
    n.simple(op, 3)
}

fn lrn(n: &mut Node<'_, '_>) -> Values {
    let op = Lrn { alpha: n.float("alpha", 1e-4), beta: n.float("beta", 0.75), bias: n.float("bias", 1.0), size: n.required_int("size")? };
    n.simple(op, 1)
}

fn max_unpool(n: &mut Node<'_, '_>) -> Values {
    let (_, before, after) = margins(n)?;
    let op = MaxUnpool { extents: kernel(n)?, strides: list(n, "strides"), before, after };
    let inputs = present(n, 2, 1)?;
    Ok(vec![n.apply(op, &inputs)?])
}

fn deform_conv(n: &mut Node<'_, '_>) -> Values {
    let (_, before, after) = margins(n)?;
    let op = DeformConv { strides: list(n, "strides"), dilations: list(n, "dilations"), before, after, groups: n.int("group", 1), offset_groups: n.int("offset_group", 1) };
    let mut inputs = vec![n.input(0)?, n.input(1)?, n.input(2)?];
    inputs.extend(n.optional(4));
    let y = n.apply(op, &inputs)?;
    match n.optional(3) {
        Some(bias) => Ok(vec![n.apply(ChannelBias {}, &[y, bias])?]),
        None => Ok(vec![y]),
    }
}
