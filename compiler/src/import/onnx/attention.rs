//! Attention and what goes with it.

use frit_ir::ops::attention::{Attention, Scores};
use frit_ir::ops::{causal_conv::CausalConv, einsum::Einsum, linear_attention::LinearAttention, rotary_embedding::RotaryEmbedding};
use frit_ir::{OpError, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("Attention", attention),
    ("CausalConvWithState", causal_conv),
    ("Einsum", |n| {
        let equation = n.maybe_text("equation").ok_or_else(|| n.missing("equation"))?.to_owned();
        let inputs = n.all_inputs()?;
        Ok(vec![n.apply(Einsum { equation }, &inputs)?])
    }),
    ("LinearAttention", linear_attention),
    ("RotaryEmbedding", rotary_embedding),
];

/// The operands that are always there, then those that are.
fn operands(n: &Node<'_, '_>, required: usize) -> Values {
    let mut inputs = (0..required).map(|at| n.input(at)).collect::<Result<Vec<_>, _>>()?;
    inputs.extend((required..n.inputs.len()).filter_map(|at| n.optional(at)));
    Ok(inputs)
}

fn attention(n: &mut Node<'_, '_>) -> Values {
    if n.optional(4).is_some() != n.optional(5).is_some() {
        return Err(OpError::invalid("'Attention' has one of past_key and past_value"));
    }
    let op = Attention {
        heads: n.maybe_int("q_num_heads"),
        kv_heads: n.maybe_int("kv_num_heads"),
        scale: n.maybe_float("scale"),
        causal: n.flag("is_causal", false),
        left: n.int("left_window_size", -1),
        right: n.int("right_window_size", -1),
        softcap: n.float("softcap", 0.0),
        precision: n.maybe_dtype("softmax_precision")?,
        scores: match n.int("qk_matmul_output_mode", 0) {
            0 => Scores::Raw,
            1 => Scores::Capped,
            2 => Scores::Masked,
            3 => Scores::Weights,
            other => return Err(OpError::invalid(format!("qk_matmul_output_mode is {other}"))),
        },
        has_mask: n.optional(3).is_some(),
        has_past: n.optional(4).is_some(),
        has_lengths: n.optional(6).is_some(),
        zeros: true,
        hidden: None,
    };
    let inputs = operands(n, 3)?;
    n.builder.apply_all(op, &inputs)
}

fn causal_conv(n: &mut Node<'_, '_>) -> Values {
    let silu = match n.text("activation", "none") {
        "none" => false,
        "silu" | "swish" => true,
        other => return Err(OpError::unsupported(format!("activation '{other}' is not supported"))),
    };
    let op = CausalConv { silu, has_bias: n.optional(2).is_some(), has_past: n.optional(3).is_some() };
    let inputs = operands(n, 2)?;
    n.builder.apply_all(op, &inputs)
}

fn linear_attention(n: &mut Node<'_, '_>) -> Values {
    let (decays, corrects) = match n.text("update_rule", "gated_delta") {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(OpError::unsupported(format!("update rule '{other}' is not supported"))),
    };
    if n.optional(4).is_some() != decays || n.optional(5).is_some() != corrects {
        return Err(OpError::invalid("'LinearAttention' has other operands than its update rule takes"));
    }
    let op = LinearAttention {
        heads: n.required_int("q_num_heads")?,
        kv_heads: n.required_int("kv_num_heads")?,
        scale: n.float("scale", 0.0),
        has_past: n.optional(3).is_some(),
        has_decay: decays,
        has_rate: corrects,
    };
    let inputs = operands(n, 3)?;
    n.builder.apply_all(op, &inputs)
}

fn rotary_embedding(n: &mut Node<'_, '_>) -> Values {
    let op = RotaryEmbedding { heads: n.int("num_heads", 0), width: n.int("rotary_embedding_dim", 0), interleaved: n.flag("interleaved", false) };
    let inputs = operands(n, 3)?;
    Ok(vec![n.apply(op, &inputs)?])
}
