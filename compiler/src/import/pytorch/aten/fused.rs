//! Whole layers, which PyTorch runs as one operator where nothing is learnt: expanded into the operators that they stand for.

use frit_ir::OpError;

use super::call::{Call, Values};
use super::{Arguments, Handler, call};
use crate::import::pytorch::value::Value;

pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("_native_multi_head_attention", |c| {
        let [query, key, value, embed, heads] = all(c, ["query", "key", "value", "embed_dim", "num_head"]);
        let weights = all(c, ["qkv_weight", "qkv_bias", "proj_weight", "proj_bias"]);
        let masks = all(c, ["mask", "mask_type"]);
        let (wanted, mean) = (c.flag("need_weights")?, c.flag("average_attn_weights")?);
        heads_together(c, &[query, key, value], &[embed, heads], &weights, &masks, wanted, mean)
    }),
    ("_transformer_encoder_layer_fwd", encoder_layer),
];

fn all<const N: usize>(c: &Call<'_>, names: [&str; N]) -> [Value; N] {
    names.map(|name| c.get(name).clone())
}

/// One result of another operator.
fn aten(c: &mut Call<'_>, name: &str, arguments: &[&Value]) -> Result<Value, OpError> {
    let arguments = Arguments::positional(arguments.iter().map(|value| (*value).clone()).collect());
    call(c.context, &format!("aten::{name}"), None, &arguments)?.into_iter().next().ok_or_else(|| OpError::bug(format!("'{name}' gives nothing")))
}

fn ints(list: &[i64]) -> Value {
    Value::List(list.iter().map(|n| Value::Int(*n)).collect())
}

/// Source: torch.nn.MultiheadAttention with `batch_first`, without dropout.
fn heads_together(c: &mut Call<'_>, qkv: &[Value; 3], sizes: &[Value; 2], weights: &[Value; 4], masks: &[Value; 2], wanted: bool, mean: bool) -> Values {
    let [Value::Int(embed), Value::Int(heads)] = sizes else { return Err(OpError::unsupported("the sizes of an attention are not known")) };
    let [in_weight, in_bias, out_weight, out_bias] = weights;
    let one = match qkv {
        [Value::Tensor(q), Value::Tensor(k), Value::Tensor(v)] => q == k && k == v,
        _ => return Err(c.wrong("query")),
    };
    if *heads <= 0 || embed % heads != 0 {
        return Err(OpError::invalid(format!("{embed} channels are no {heads} heads")));
    }
    let (two, three, first, second, last) = (Value::Int(2), Value::Int(3), Value::Int(0), Value::Int(1), Value::Int(-1));
    let parts = if one {
        let joint = aten(c, "linear", &[&qkv[0], in_weight, in_bias])?;
        aten(c, "chunk", &[&joint, &three, &last])?
    } else {
        let weights = aten(c, "chunk", &[in_weight, &three, &first])?;
        let biases = aten(c, "chunk", &[in_bias, &three, &first])?;
        let (Some(weights), Some(biases)) = (weights.elements(), biases.elements()) else { return Err(OpError::bug("'chunk' gives no list")) };
        let (weights, biases) = (weights.to_vec(), biases.to_vec());
        let parts = qkv.iter().zip(weights.iter().zip(&biases)).map(|(x, (weight, bias))| aten(c, "linear", &[x, weight, bias])).collect::<Result<Vec<_>, _>>()?;
        Value::List(parts)
    };
    let mut split = Vec::new();
    for part in parts.elements().unwrap_or_default().to_vec() {
        let wide = aten(c, "unflatten", &[&part, &last, &ints(&[*heads, embed / heads])])?;
        split.push(aten(c, "transpose", &[&wide, &second, &two])?);
    }
    let [q, k, v] = split.as_slice() else { return Err(OpError::bug("three parts were asked for")) };
    // A padding mask has a row for each of the batch.
    let mask = match masks {
        [Value::None, _] => None,
        [mask, Value::Int(1)] => {
            let rows = aten(c, "unsqueeze", &[mask, &second])?;
            Some(aten(c, "unsqueeze", &[&rows, &second])?)
        }
        [mask, _] => Some(mask.clone()),
    };
    let boolean = match &mask {
        Some(Value::Tensor(mask)) => {
            let value = c.context.read(*mask)?;
            c.dtype(value) == frit_ir::DType::Bool
        }
        _ => false,
    };
    let (y, shown) = if wanted {
        let scaled = aten(c, "mul", &[q, &Value::Float(1.0 / ((embed / heads) as f64).sqrt())])?;
        let turned = aten(c, "transpose", &[k, &Value::Int(-2), &last])?;
        let mut scores = aten(c, "matmul", &[&scaled, &turned])?;
        if let Some(mask) = &mask {
            scores = if boolean { aten(c, "masked_fill", &[&scores, mask, &Value::Float(f64::NEG_INFINITY)])? } else { aten(c, "add", &[&scores, mask])? };
        }
        let shares = aten(c, "softmax", &[&scores, &last])?;
        let y = aten(c, "matmul", &[&shares, v])?;
        (y, if mean { aten(c, "mean", &[&shares, &ints(&[1])])? } else { shares })
    } else {
        // Here what is true is looked at; there it is left out.
        let mask = match mask {
            Some(mask) if boolean => aten(c, "logical_not", &[&mask])?,
            mask => mask.unwrap_or(Value::None),
        };
        (aten(c, "scaled_dot_product_attention", &[q, k, v, &mask])?, Value::None)
    };
    let y = aten(c, "transpose", &[&y, &second, &two])?;
    let y = aten(c, "flatten", &[&y, &two])?;
    Ok(vec![aten(c, "linear", &[&y, out_weight, out_bias])?, shown])
}

/// Source: torch.nn.TransformerEncoderLayer, without dropout.
fn encoder_layer(c: &mut Call<'_>) -> Values {
    let [x, embed, heads] = all(c, ["src", "embed_dim", "num_heads"]);
    let weights = all(c, ["qkv_weight", "qkv_bias", "proj_weight", "proj_bias"]);
    let masks = all(c, ["mask", "mask_type"]);
    let eps = c.get("eps").clone();
    let norms = [all(c, ["norm_weight_1", "norm_bias_1"]), all(c, ["norm_weight_2", "norm_bias_2"])];
    let [w1, b1, w2, b2] = all(c, ["ffn_weight_1", "ffn_bias_1", "ffn_weight_2", "ffn_bias_2"]);
    let (gelu, first) = (c.flag("use_gelu")?, c.flag("norm_first")?);
    let shape = match embed {
        Value::Int(n) => ints(&[n]),
        _ => return Err(c.wrong("embed_dim")),
    };
    let sizes = [embed, heads];
    let norm = |c: &mut Call<'_>, x: &Value, at: usize| aten(c, "layer_norm", &[x, &shape, &norms[at][0], &norms[at][1], &eps]);
    let attention = |c: &mut Call<'_>, x: &Value| -> Result<Value, OpError> {
        let results = heads_together(c, &[x.clone(), x.clone(), x.clone()], &sizes, &weights, &masks, false, false)?;
        results.into_iter().next().ok_or_else(|| OpError::bug("an attention gives nothing"))
    };
    let feed = |c: &mut Call<'_>, x: &Value| {
        let wide = aten(c, "linear", &[x, &w1, &b1])?;
        let wide = aten(c, if gelu { "gelu" } else { "relu" }, &[&wide])?;
        aten(c, "linear", &[&wide, &w2, &b2])
    };
    let inner = if first { norm(c, &x, 0)? } else { x.clone() };
    let y = attention(c, &inner)?;
    let mut y = aten(c, "add", &[&x, &y])?;
    if !first {
        y = norm(c, &y, 0)?;
    }
    let inner = if first { norm(c, &y, 1)? } else { y.clone() };
    let z = feed(c, &inner)?;
    let mut z = aten(c, "add", &[&y, &z])?;
    if !first {
        z = norm(c, &z, 1)?;
    }
    Ok(vec![z])
}
