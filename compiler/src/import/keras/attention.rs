//! Attention.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::attention::{Attention, Scores};
use frit_ir::ops::{abs::Abs, and::And, iota::Iota, less::Less, less_equal::LessEqual, matmul::MatMul, sigmoid::Sigmoid, softmax::Softmax, sub::Sub, tanh::Tanh, unsqueeze::Unsqueeze};
use frit_ir::{DType, OpError, ValueId};

use super::layer::{Arg, Layer, Masked, bare};
use super::{Mask, Row, Version};

type Values = Result<Vec<Masked>, OpError>;

pub(super) const EXPANDED: &[Row] = &[
    ("AdditiveAttention", Mask::Own, |n| simple(n, true)),
    ("Attention", Mask::Own, |n| simple(n, false)),
    ("GroupQueryAttention", Mask::Own, grouped),
    ("GroupedQueryAttention", Mask::Own, grouped),
    ("MultiHeadAttention", Mask::Own, multi_head),
];

/// The score that Keras gives keys that are not seen, where it has one function for all of attention.
fn hidden(dtype: DType) -> f64 {
    -0.7 * if dtype == DType::F16 { 65500.0 } else { 3.38953e38 }
}

fn with_axis(n: &mut Layer<'_>, x: ValueId, axis: i64) -> Result<ValueId, OpError> {
    let axis = n.builder.ints(&[axis]);
    n.apply(Unsqueeze {}, &[x, axis])
}

fn both(n: &mut Layer<'_>, a: Option<ValueId>, b: ValueId) -> Result<Option<ValueId>, OpError> {
    Ok(Some(match a {
        Some(a) => n.apply(And {}, &[a, b])?,
        None => b,
    }))
}

/// The places of queries down and those of keys across.
fn places(n: &mut Layer<'_>, queries: i64, keys: i64) -> Result<(ValueId, ValueId), OpError> {
    let rows = n.apply(Iota { dtype: DType::I64, extents: vec![1, queries, 1], axis: 1 }, &[])?;
    let columns = n.apply(Iota { dtype: DType::I64, extents: vec![1, 1, keys], axis: 2 }, &[])?;
    Ok((rows, columns))
}

/// `softmax(q k') v`, or with scores that are sums over `tanh(q + k)`.
fn simple(n: &mut Layer<'_>, additive: bool) -> Values {
    let inputs = n.inputs();
    let (q, v) = match inputs.as_slice() {
        [q, v] | [q, v, _] => (*q, *v),
        many => return Err(OpError::invalid(format!("it takes two or three operands, not {}", many.len()))),
    };
    let k = inputs.get(2).map_or(v.value, |k| k.value);
    let given = |n: &Layer<'_>, at: usize| match n.arg(usize::MAX, "mask") {
        Some(Arg::List(list)) => list.get(at).and_then(|arg| arg.values().first().map(|mask| mask.value)),
        _ => None,
    };
    let (q_mask, v_mask) = (given(n, 0).or(q.mask), given(n, 1).or(v.mask));
    let causal = n.call_flag("use_causal_mask") || n.config.flag("causal", false)?;
    let wants_scores = n.call_flag("return_attention_scores");
    if [q.value, v.value, k].iter().any(|x| n.rank(*x).is_ok_and(|rank| rank != 3)) {
        return Err(OpError::unsupported("operands of other than 3 axes are not supported").help("reshape them"));
    }
    let concat = !additive && n.config.text("score_mode", "dot")? == "concat";
    let scale = if n.config.flag("use_scale", additive)? { Some(n.weight(0)?) } else { None };
    let (queries, keys) = (n.extent(q.value, 1)?, n.extent(k, 1)?);
    let mask = match v_mask {
        Some(mask) => Some(with_axis(n, mask, 1)?),
        None => None,
    };
    let (mut y, scores) = if additive || concat {
        let (rows, columns) = (with_axis(n, q.value, 2)?, with_axis(n, k, 1)?);
        let mut sum = n.add(rows, columns)?;
        if let (true, Some(scale)) = (concat, scale) {
            sum = n.mul(sum, scale)?;
        }
        let mut terms = n.apply(Tanh {}, &[sum])?;
        if let (true, Some(scale)) = (additive, scale) {
            terms = n.mul(terms, scale)?;
        }
        let mut scores = n.apply(Aggregate { statistic: Statistic::Sum, axes: vec![3], keep: false }, &[terms])?;
        if concat {
            let factor = n.weight(usize::from(scale.is_some()))?;
            scores = n.mul(scores, factor)?;
        }
        let mut seen = mask;
        if causal {
            let (rows, columns) = places(n, queries, keys)?;
            let before = n.apply(LessEqual {}, &[columns, rows])?;
            seen = both(n, seen, before)?;
        }
        if let Some(seen) = seen {
            let least = n.offset(scores, if n.builder.dtype(scores) == DType::F16 { -65504.0 } else { -1e9 })?;
            scores = n.select(seen, scores, least)?;
        }
        let weights = n.apply(Softmax { axis: 2, zeros: false }, &[scores])?;
        (n.apply(MatMul {}, &[weights, v.value])?, weights)
    } else {
        let query = match scale {
            Some(scale) => n.mul(q.value, scale)?,
            None => q.value,
        };
        let hidden = Some(if n.builder.dtype(query) == DType::F16 { -65504.0 } else { -1e9 });
        let mut operands = vec![query, k, v.value];
        if let Some(mask) = mask {
            operands.push(with_axis(n, mask, 1)?);
        }
        let op = Attention { scale: Some(1.0), causal, hidden, has_mask: mask.is_some(), ..plain(1, 1) };
        let results = n.builder.apply_all(op, &operands)?;
        let weights = results[3];
        (results[0], if wants_scores { n.reshape(weights, &[0, queries, keys])? } else { weights })
    };
    if let Some(mask) = q_mask {
        let mask = with_axis(n, mask, 2)?;
        let zero = n.number_like(y, 0.0);
        y = n.select(mask, y, zero)?;
    }
    let mut results = vec![Masked { value: y, mask: q_mask }];
    if wants_scores {
        results.push(scores.into());
    }
    Ok(results)
}

fn plain(heads: i64, kv_heads: i64) -> Attention {
    Attention {
        heads: Some(heads),
        kv_heads: Some(kv_heads),
        scale: None,
        causal: false,
        left: -1,
        right: -1,
        softcap: 0.0,
        precision: None,
        scores: Scores::Weights,
        has_mask: false,
        has_past: false,
        has_lengths: false,
        zeros: true,
        hidden: None,
    }
}

/// Where a part keeps its weights: some versions hide the names of parts.
fn placed(n: &mut Layer<'_>, part: &str) -> Result<String, OpError> {
    Ok(if n.has_weight(part)? { part.to_owned() } else { format!("_{part}") })
}

/// A projection into heads, which come out as one axis: `x` is `[batch, time, features]`, the kernel `[features, heads, size]`.
fn projected(n: &mut Layer<'_>, x: ValueId, part: &str) -> Result<ValueId, OpError> {
    let part = &placed(n, part)?;
    let kernel = n.weight_of(part, 0)?;
    let features = n.extent(kernel, 0)?;
    let kernel = n.reshape(kernel, &[features, -1])?;
    let y = n.apply(MatMul {}, &[x, kernel])?;
    if !n.config.flag("use_bias", true)? {
        return Ok(y);
    }
    let bias = n.weight_of(part, 1)?;
    let bias = n.reshape(bias, &[-1])?;
    n.add(y, bias)
}

fn multi_head(n: &mut Layer<'_>) -> Values {
    let heads = n.config.count("num_heads")?;
    let size = n.config.count("key_dim")?;
    heads_of(n, heads, heads, size)
}

fn grouped(n: &mut Layer<'_>) -> Values {
    let (heads, kv_heads, size) = (n.config.count("num_query_heads")?, n.config.count("num_key_value_heads")?, n.config.count("head_dim")?);
    heads_of(n, heads, kv_heads, size)
}

fn heads_of(n: &mut Layer<'_>, heads: i64, kv_heads: i64, size: i64) -> Values {
    if n.policy.quantised.is_some() {
        return Err(OpError::unsupported("weights that are quantised are not supported here").help("save the model before it is quantised"));
    }
    let q = n.value(0, "query").ok_or_else(|| OpError::invalid("it has no query"))?;
    let v = n.value(1, "value").ok_or_else(|| OpError::invalid("it has no value"))?;
    let k = n.value(2, "key");
    let rank = n.rank(q.value)?;
    let mut shape = n.builder.extents(q.value)?;
    let axes = n.config.maybe_ints("attention_axes")?;
    if axes.is_some_and(|axes| axes.len() + 2 != rank) {
        return Err(OpError::unsupported("attention along some of the axes is not supported").help("move the other axes to the batch with Reshape or Permute"));
    }
    let wants_scores = n.call_flag("return_attention_scores");
    if rank > 3 && wants_scores {
        return Err(OpError::unsupported("scores along several axes are not supported").help("make one axis of them with Reshape"));
    }
    let flat = |n: &mut Layer<'_>, x: ValueId| -> Result<ValueId, OpError> {
        let extents = n.builder.extents(x)?;
        match extents.as_slice() {
            [_, _, _] => Ok(x),
            [batch, .., features] => n.reshape(x, &[*batch, -1, *features]),
            _ => Err(OpError::invalid("it takes operands of at least 3 axes")),
        }
    };
    let (query, value) = (flat(n, q.value)?, flat(n, v.value)?);
    let key = match k {
        Some(k) => flat(n, k.value)?,
        None => value,
    };
    let (queries, keys) = (n.extent(query, 1)?, n.extent(value, 1)?);
    // Which keys each query sees, as far as masks say it: `[batch, queries, keys]`, or what broadcasts to it.
    let mut seen = None;
    if let Some(mask) = q.mask {
        let mask = with_axis(n, mask, 2)?;
        seen = both(n, seen, mask)?;
    }
    let key_mask = k.and_then(|k| k.mask);
    for mask in [v.mask, key_mask].into_iter().flatten() {
        let mask = with_axis(n, mask, 1)?;
        seen = both(n, seen, mask)?;
    }
    let causal = n.call_flag("use_causal_mask");
    if let Some(window) = n.config.maybe_int("sliding_window")? {
        let (rows, columns) = places(n, queries, keys)?;
        let off = n.apply(Sub {}, &[rows, columns])?;
        let off = n.apply(Abs {}, &[off])?;
        let window = n.builder.scalar(DType::I64, window as f64);
        let near = n.apply(Less {}, &[off, window])?;
        seen = both(n, seen, near)?;
    }
    if let Some(mask) = n.value(usize::MAX, "attention_mask") {
        let mask = n.cast(mask.value, DType::Bool)?;
        seen = match (seen, n.rank(mask)?) {
            (Some(seen), 4) => {
                let seen = with_axis(n, seen, 1)?;
                both(n, Some(seen), mask)?
            }
            (seen, _) => both(n, seen, mask)?,
        };
    }
    let gate = if n.config.flag("use_gate", false)? {
        let gate = projected(n, query, "gate_dense")?;
        Some(n.apply(Sigmoid {}, &[gate])?)
    } else {
        None
    };
    let mut operands = vec![projected(n, query, "query_dense")?, projected(n, key, "key_dense")?, projected(n, value, "value_dense")?];
    if let Some(seen) = seen {
        operands.push(match n.rank(seen)? {
            2 | 4 => seen,
            _ => with_axis(n, seen, 1)?,
        });
    }
    // Keras has two ways: where it needs the scores, a query that sees nothing gives nothing.
    let fused = n.config.float("dropout", 0.0)? == 0.0 && !wants_scores && rank == 3;
    let scale = Some(1.0 / (size as f64).sqrt());
    let hidden = hidden(n.builder.dtype(operands[0]));
    let op = Attention { scale, causal, hidden: fused.then_some(hidden), has_mask: seen.is_some(), ..plain(heads, kv_heads) };
    let results = n.builder.apply_all(op, &operands)?;
    let mut y = results[0];
    if let Some(gate) = gate {
        y = n.mul(y, gate)?;
    }
    let part = &placed(n, "output_dense")?;
    let kernel = n.weight_of(part, 0)?;
    let out = n.builder.extents(kernel)?.get(2..).map(<[i64]>::to_vec).ok_or_else(|| OpError::invalid("its output kernel has no axes"))?;
    let wide: i64 = out.iter().product();
    let kernel = n.reshape(kernel, &[-1, wide])?;
    y = n.apply(MatMul {}, &[y, kernel])?;
    if n.config.flag("use_bias", true)? {
        let bias = n.weight_of(part, 1)?;
        let bias = n.reshape(bias, &[-1])?;
        y = n.add(y, bias)?;
    }
    if rank > 3 || out.len() > 1 {
        shape.pop();
        shape.extend(out);
        y = n.reshape(y, &shape)?;
    }
    if n.class == "MultiHeadAttention" && n.version() == Version::Three {
        // Keras takes the masks away from what it was given; who reads that later sees none.
        let given = [Some(q), Some(v), k];
        given.into_iter().flatten().for_each(|operand| n.unmask(operand.value));
    }
    let mut values = vec![Masked { value: y, mask: q.mask }];
    if wants_scores {
        values.extend(bare([results[3]]));
    }
    Ok(values)
}
