//! Attention, and sums of products by an equation.

use frit_ir::ops::attention::{Attention, Scores};
use frit_ir::ops::{einsum::Einsum, expand_to::ExpandTo, reshape_to::ReshapeTo};
use frit_ir::{OpError, ValueId};

use super::Handler;
use super::call::{Call, Values};
use super::math::in_training;
use super::movement::{reshaped, unsqueezed};

pub(super) const OPS: &[(&str, Handler)] = &[
    ("_scaled_dot_product_attention_math", |c| attention(c, 2)),
    ("_scaled_dot_product_efficient_attention", |c| attention(c, 4)),
    ("_scaled_dot_product_flash_attention_for_cpu", |c| attention(c, 2)),
    ("_scaled_dot_product_fused_attention_overrideable", |c| attention(c, 9)),
    ("einsum", |c| {
        let equation = c.maybe_text("equation")?.ok_or_else(|| c.wrong("equation"))?.to_owned();
        let tensors = c.tensors("tensors")?;
        let tensors = super::math::common(c, &tensors)?;
        let value = c.apply(Einsum { equation }, &tensors)?;
        c.one(value)
    }),
    ("scaled_dot_product_attention", |c| attention(c, 1)),
];

/// `results` of which all but the first are only for learning, and are not given.
fn attention(c: &mut Call<'_>, results: usize) -> Values {
    if c.maybe_float("dropout_p")?.is_some_and(|p| p != 0.0) {
        return Err(in_training("scaled_dot_product_attention"));
    }
    let (q, k, v) = (c.tensor("query")?, c.tensor("key")?, c.tensor("value")?);
    let mask = if c.has("attn_mask") { c.maybe_tensor("attn_mask")? } else { c.maybe_tensor("attn_bias")? };
    let (scale, causal) = (c.maybe_float("scale")?, c.flag("is_causal")?);
    let rank = c.rank(q)?;
    let (qe, ke, ve) = (c.context.builder.ty(q).dims()?.to_vec(), c.context.builder.ty(k).dims()?.to_vec(), c.context.builder.ty(v).dims()?.to_vec());
    if [&qe, &ke, &ve].iter().any(|dims| dims.len() < 2) {
        return Err(OpError::invalid("'scaled_dot_product_attention' wants at least two axes"));
    }
    // Axes in front of the heads are the batch; where there is more than one they become one.
    let lead = |dims: &[frit_ir::Dim]| dims[..dims.len() - 2].to_vec();
    let mut mask = mask;
    let plain = rank == 4 && ke.len() == 4 && ve.len() == 4 && qe[0] == ke[0] && qe[0] == ve[0];
    let (q4, k4, v4) = if plain {
        (q, k, v)
    } else if rank <= 4 && ke.len() == rank && ve.len() == rank && lead(&qe) == lead(&ke) && lead(&qe) == lead(&ve) {
        let axes: Vec<i64> = (0..4 - rank as i64).collect();
        if let Some(given) = mask
            && c.rank(given)? == 3
        {
            mask = Some(unsqueezed(c, given, &[0])?);
        }
        (unsqueezed(c, q, &axes)?, unsqueezed(c, k, &axes)?, unsqueezed(c, v, &axes)?)
    } else {
        let types = [q, k, v].map(|x| c.context.builder.ty(x).clone());
        let heads: Vec<frit_ir::TensorType> = types.iter().zip([&qe, &ke, &ve]).map(|(ty, dims)| frit_ir::TensorType::ranked(ty.dtype, lead(dims))).collect();
        let joint = frit_ir::shape::broadcast(&heads.iter().collect::<Vec<_>>())?;
        let joint = joint.iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
        if let Some(given) = mask {
            let extents = c.extents(given)?;
            let [.., queries, keys] = extents[..] else { return Err(OpError::unsupported("a mask of one axis is not supported")) };
            let whole: Vec<i64> = joint.iter().copied().chain([queries, keys]).collect();
            mask = Some(folded(c, given, &whole)?);
        }
        let mut wide = Vec::new();
        for (x, dims) in [(q, &qe), (k, &ke), (v, &ve)] {
            let tail = dims[dims.len() - 2..].iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
            let whole: Vec<i64> = joint.iter().copied().chain(tail).collect();
            wide.push(folded(c, x, &whole)?);
        }
        (wide[0], wide[1], wide[2])
    };
    let op = Attention {
        heads: None,
        kv_heads: None,
        scale,
        causal,
        left: -1,
        right: -1,
        softcap: 0.0,
        precision: None,
        scores: Scores::Raw,
        has_mask: mask.is_some(),
        has_past: false,
        has_lengths: false,
        zeros: true,
        hidden: None,
    };
    let inputs: Vec<ValueId> = [Some(q4), Some(k4), Some(v4), mask].into_iter().flatten().collect();
    let y = c.context.builder.apply_all(op, &inputs)?[0];
    let y = if q4 == q {
        y
    } else if rank < 4 {
        let axes: Vec<i64> = (0..4 - rank as i64).collect();
        let axes = c.builder().ints(&axes);
        c.apply(frit_ir::ops::squeeze::Squeeze {}, &[y, axes])?
    } else {
        let extents = c.extents(y)?;
        let types = [q, k, v].map(|x| c.context.builder.ty(x).clone());
        let heads: Vec<frit_ir::TensorType> = types.iter().zip([&qe, &ke, &ve]).map(|(ty, dims)| frit_ir::TensorType::ranked(ty.dtype, lead(dims))).collect();
        let joint = frit_ir::shape::broadcast(&heads.iter().collect::<Vec<_>>())?;
        let shape = joint.iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).chain(extents[2..].iter().map(|n| Ok(*n))).collect::<Result<Vec<_>, _>>()?;
        reshaped(c, y, &shape)?
    };
    let mut values = c.one(y)?;
    values.resize(results, crate::import::pytorch::value::Value::None);
    Ok(values)
}

/// A tensor repeated to a shape whose axes before the last three become one.
fn folded(c: &mut Call<'_>, x: ValueId, shape: &[i64]) -> Result<ValueId, OpError> {
    let whole = c.builder().ints(shape);
    let x = c.apply(ExpandTo {}, &[x, whole])?;
    let count = shape.len();
    let lead = if count > 3 { shape[..count - 3].iter().product() } else { 1 };
    let mut flat = vec![lead];
    flat.extend(&shape[count.saturating_sub(3)..]);
    let flat = c.builder().ints(&flat);
    c.apply(ReshapeTo { zero_copies: false }, &[x, flat])
}
