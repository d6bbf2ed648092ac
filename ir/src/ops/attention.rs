//! Scaled dot-product attention.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::attr::attr_enum;
use crate::ops::compose::{Built, add, cast, count, less, reshape, scale, select, sub, transpose};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{and::And, concat::Concat, matmul::MatMul, pad::Pad, softmax::Softmax, tanh::Tanh};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};

attr_enum! {
    /// Which scores the last result holds.
    pub enum Scores {
        /// Products of queries and keys, scaled.
        Raw = "raw",
        /// The same after the soft cap.
        Capped = "capped",
        /// The same with mask and causal mask added.
        Masked = "masked",
        /// After the softmax.
        Weights = "weights",
    }
}

op! {
    /// `attention(q, k, v, mask?, past_k?, past_v?, lengths?)`: `softmax(cap(scale q k') + bias) v` for each head.
    ///
    /// `q` is `[batch, heads, queries, size]`, `k` and `v` are `[batch, kv_heads, keys, size]` and `[.., v_size]`; or all are
    /// `[batch, time, heads * size]`, and so is the result. Each key head serves `heads / kv_heads` query heads that are
    /// neighbours. The past is put before `k` and `v`. The bias is -inf where a key is not seen: where a bool `mask` is false;
    /// where the key's place is beyond the query's (`causal`) or out of the window (`left`, `right`, from 0 on); where it is
    /// not below the sample's `lengths`. A float `mask` is added. A mask may be shorter than there are keys; the rest is not
    /// seen. The query's place is its index plus the length of the past, or plus `lengths - queries`. `cap(x)` is
    /// `softcap * tanh(x / softcap)` where `softcap` is not 0. A query whose scores are all -inf, as where it sees no key, gives 0, or NaN (`zeros`).
    /// With `hidden` there is no bias of -inf: scores of keys that are not seen are that number instead.
    ///
    /// Results: `y`, keys and values with the past, and `scores` `[batch, heads, queries, keys]`.
    /// Source: Vaswani et al., arXiv 1706.03762; ONNX `Attention`.
    pub struct Attention = "attention" {
        /// Number of heads of `q`; for operands of four axes it is not needed.
        pub heads: Option<i64>,
        /// Number of heads of `k` and `v`; for operands of four axes it is not needed.
        pub kv_heads: Option<i64>,
        /// Factor of the products; by default one over the root of the head's size.
        pub scale: Option<f64>,
        /// Does a query see only keys up to its own place?
        pub causal: bool,
        /// How many keys before its own place a query sees; negative for all.
        pub left: i64,
        /// How many keys behind its own place a query sees; negative for all.
        pub right: i64,
        /// Bound of the scores; 0 for none.
        pub softcap: f64,
        /// The dtype that the softmax is computed in; by default that of `q`.
        pub precision: Option<DType>,
        /// What the last result holds.
        pub scores: Scores,
        /// Is `mask` there?
        pub has_mask: bool,
        /// Are `past_k` and `past_v` there?
        pub has_past: bool,
        /// Are `lengths` there?
        pub has_lengths: bool,
        /// Does a query whose scores are all -inf give 0 (rather than NaN)?
        pub zeros: bool,
        /// What the scores of keys are replaced by that are not seen.
        pub hidden: Option<f64>,
    }
}

/// The operands after the third that are there: mask, past keys and values, lengths.
type Optional<T> = (Option<T>, Option<(T, T)>, Option<T>);

impl Attention {
    fn split<T: Copy>(&self, inputs: &[T]) -> Result<Optional<T>, OpError> {
        let mut rest = inputs[3..].iter().copied();
        let wrong = || OpError::invalid("'attention' has fewer operands than it says");
        let mask = if self.has_mask { Some(rest.next().ok_or_else(wrong)?) } else { None };
        let past = if self.has_past { Some((rest.next().ok_or_else(wrong)?, rest.next().ok_or_else(wrong)?)) } else { None };
        let lengths = if self.has_lengths { Some(rest.next().ok_or_else(wrong)?) } else { None };
        Ok((mask, past, lengths))
    }

    /// `[batch, heads, time, size]` of an operand.
    fn dims(ty: &TensorType, heads: Option<i64>) -> Result<[Dim; 4], OpError> {
        match (ty.dims()?, heads) {
            ([batch, heads, time, size], _) => Ok([batch.clone(), heads.clone(), time.clone(), size.clone()]),
            ([batch, time, wide], Some(heads)) if heads > 0 => {
                if wide.known().is_some_and(|n| n % heads != 0) {
                    return Err(OpError::invalid(format!("'attention' splits {ty} into {heads} heads")));
                }
                Ok([batch.clone(), Dim::Known(heads), time.clone(), wide.floor_div(&Dim::Known(heads))])
            }
            _ => Err(OpError::invalid(format!("'attention' of {ty} without a number of heads"))),
        }
    }

    fn heads_first(b: &mut Builder, x: ValueId, heads: Option<i64>) -> Result<(ValueId, [i64; 4]), OpError> {
        let dims = Self::dims(b.ty(x), heads)?;
        let known = dims.iter().map(|dim| dim.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<_>, _>>()?;
        let [batch, heads, time, size] = known[..] else { return Err(OpError::bug("four extents")) };
        if b.rank(x)? == 4 {
            return Ok((x, [batch, heads, time, size]));
        }
        let split = reshape(b, x, &[batch, time, heads, size])?;
        Ok((transpose(b, split, &[0, 2, 1, 3])?, [batch, heads, time, size]))
    }

    /// What a mask says of `keys` keys: of those behind its end that they are not seen.
    fn widened(b: &mut Builder, mask: ValueId, keys: i64) -> Built {
        let extents = b.extents(mask)?;
        let last = extents.last().copied().unwrap_or(1);
        if last >= keys || extents.is_empty() {
            return Ok(mask);
        }
        let mut after = vec![0; extents.len()];
        if let Some(slot) = after.last_mut() {
            *slot = keys - last;
        }
        let value = if b.dtype(mask) == DType::Bool { Scalar::Bool(false) } else { Scalar::Float(f64::NEG_INFINITY) };
        b.apply(Pad { before: vec![0; extents.len()], after, value }, &[mask])
    }

    /// Which of `[queries, keys, past]` are seen by place, window and `lengths`; nothing where all are. It broadcasts to them.
    fn seen(&self, b: &mut Builder, lengths: Option<ValueId>, [queries, keys, past]: [i64; 3]) -> Result<Option<ValueId>, OpError> {
        let key = count(b, DType::I64, 4, 3, keys)?;
        let length = match lengths {
            Some(lengths) => {
                let lengths = cast(b, lengths, DType::I64)?;
                let batch = b.extents(lengths)?.iter().product();
                Some(reshape(b, lengths, &[batch, 1, 1, 1])?)
            }
            None => None,
        };
        let mut seen: Vec<ValueId> = Vec::new();
        if self.causal || self.left >= 0 || self.right >= 0 {
            let query = count(b, DType::I64, 4, 2, queries)?;
            let place = match length {
                Some(length) if past == 0 => {
                    let queries = b.constant(crate::tensor::Tensor::scalar(DType::I64, Scalar::Int(i128::from(queries))));
                    let first = sub(b, length, queries)?;
                    add(b, query, first)?
                }
                _ => add_int(b, query, past)?,
            };
            let right = match (self.causal, self.right >= 0) {
                (true, _) => Some(0),
                (false, true) => Some(self.right),
                (false, false) => None,
            };
            if let Some(right) = right {
                let end = add_int(b, place, right.saturating_add(1))?;
                seen.push(less(b, key, end)?);
            }
            if self.left >= 0 {
                let before = add_int(b, place, -self.left.saturating_add(1))?;
                seen.push(less(b, before, key)?);
            }
        }
        if let Some(length) = length {
            seen.push(less(b, key, length)?);
        }
        seen.into_iter().map(Ok).reduce(|x, y| b.apply(And {}, &[x?, y?])).transpose()
    }

    /// The scores with all that hides keys.
    fn masked(&self, b: &mut Builder, scores: ValueId, mask: Option<ValueId>, seen: Option<ValueId>) -> Built {
        let dtype = b.dtype(scores);
        let keys = b.extents(scores)?[3];
        let mask = mask.map(|mask| Self::widened(b, mask, keys)).transpose()?;
        let chosen = mask.filter(|mask| b.dtype(*mask) == DType::Bool);
        let added = match mask.filter(|_| chosen.is_none()) {
            Some(mask) => Some(cast(b, mask, dtype)?),
            None => None,
        };
        let (zero, never) = (b.scalar(dtype, 0.0), b.scalar(dtype, f64::NEG_INFINITY));
        if let Some(number) = self.hidden {
            let mut scores = match added {
                Some(added) => add(b, scores, added)?,
                None => scores,
            };
            let hidden = b.scalar(dtype, number);
            for seen in chosen.into_iter().chain(seen) {
                scores = select(b, seen, scores, hidden)?;
            }
            return Ok(scores);
        }
        let mut bias = match chosen {
            Some(mask) => Some(select(b, mask, zero, never)?),
            None => added,
        };
        if let Some(seen) = seen {
            bias = Some(select(b, seen, bias.unwrap_or(zero), never)?);
        }
        bias.map_or(Ok(scores), |bias| add(b, scores, bias))
    }
}

fn add_int(b: &mut Builder, x: ValueId, number: i64) -> Built {
    if number == 0 {
        return Ok(x);
    }
    let number = b.constant(crate::tensor::Tensor::scalar(DType::I64, Scalar::Int(i128::from(number))));
    add(b, x, number)
}

impl OpDef for Attention {
    derived!();
    fn arity(&self) -> Arity {
        3..=7
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0], args[1], args[2], args[0]]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let types: Vec<&TensorType> = args.iter().map(|arg| arg.ty).collect();
        let (_, past, _) = self.split(&types)?;
        let (q, k, v) = (types[0], types[1], types[2]);
        let [batch, heads, queries, size] = Self::dims(q, self.heads)?;
        let [_, kv_heads, new, k_size] = Self::dims(k, self.kv_heads)?;
        let [_, _, _, v_size] = Self::dims(v, self.kv_heads)?;
        let grouped = match (heads.known(), kv_heads.known()) {
            (Some(a), Some(b)) => b > 0 && a % b == 0,
            _ => true,
        };
        if !grouped || !size.may_equal(&k_size) || !q.dtype.is_float() || k.dtype != q.dtype || v.dtype != q.dtype {
            return Err(OpError::invalid(format!("'attention' of {q}, {k} and {v}")));
        }
        let keys = match past {
            Some((past, _)) => past.dims()?.get(2).cloned().unwrap_or(Dim::Unknown).plus(&new),
            None => new,
        };
        let y = if q.rank()? == 4 { vec![batch.clone(), heads.clone(), queries.clone(), v_size.clone()] } else { vec![batch.clone(), queries.clone(), heads.times(&v_size)] };
        let ranked = |dims| TensorType::ranked(q.dtype, dims);
        Ok(vec![ranked(y), ranked(vec![batch.clone(), kv_heads.clone(), keys.clone(), k_size]), ranked(vec![batch.clone(), kv_heads, keys.clone(), v_size]), ranked(vec![batch, heads, queries, keys])])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (mask, past, lengths) = self.split(inputs)?;
        let dtype = b.dtype(inputs[0]);
        let (mut q, [batch, heads, queries, size]) = Self::heads_first(b, inputs[0], self.heads)?;
        let (mut k, [_, kv_heads, _, _]) = Self::heads_first(b, inputs[1], self.kv_heads)?;
        let (mut v, [_, _, _, v_size]) = Self::heads_first(b, inputs[2], self.kv_heads)?;
        let mut before = 0;
        if let Some((past_k, past_v)) = past {
            before = b.extents(past_k)?.get(2).copied().unwrap_or(0);
            k = b.apply(Concat { axis: 2 }, &[past_k, k])?;
            v = b.apply(Concat { axis: 2 }, &[past_v, v])?;
        }
        let keys = b.extents(k)?[2];
        if kv_heads == 0 || heads % kv_heads != 0 {
            return Err(OpError::invalid(format!("'attention' shares {kv_heads} key heads among {heads} query heads")));
        }
        let factor = self.scale.unwrap_or(1.0 / (size as f64).sqrt());
        let wide = dtype == dtype.accumulator();
        let mut scaled_k = k;
        if !wide {
            // Products of narrow floats may overflow before they are scaled.
            q = scale(b, q, factor.sqrt())?;
            scaled_k = scale(b, k, factor.sqrt())?;
        }
        let group = heads / kv_heads;
        let q = reshape(b, q, &[batch, kv_heads, group * queries, size])?;
        let columns = transpose(b, scaled_k, &[0, 1, 3, 2])?;
        let products = b.apply(MatMul {}, &[q, columns])?;
        let mut raw = reshape(b, products, &[batch, heads, queries, keys])?;
        if wide {
            raw = scale(b, raw, factor)?;
        }
        let mut capped = raw;
        if self.softcap != 0.0 {
            let small = scale(b, raw, 1.0 / self.softcap)?;
            let bounded = b.apply(Tanh {}, &[small])?;
            capped = scale(b, bounded, self.softcap)?;
        }
        let seen = self.seen(b, lengths, [queries, keys, before])?;
        let masked = self.masked(b, capped, mask, seen)?;
        let precise = cast(b, masked, self.precision.unwrap_or(dtype))?;
        let weights = b.apply(Softmax { axis: 3, zeros: self.zeros }, &[precise])?;
        let weights = cast(b, weights, dtype)?;
        let grouped = reshape(b, weights, &[batch, kv_heads, group * queries, keys])?;
        let y = b.apply(MatMul {}, &[grouped, v])?;
        let mut y = reshape(b, y, &[batch, heads, queries, v_size])?;
        if b.rank(inputs[0])? == 3 {
            let swapped = transpose(b, y, &[0, 2, 1, 3])?;
            y = reshape(b, swapped, &[batch, queries, heads * v_size])?;
        }
        let scores = match self.scores {
            Scores::Raw => raw,
            Scores::Capped => capped,
            Scores::Masked => masked,
            Scores::Weights => weights,
        };
        Ok(vec![y, k, v, scores])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Attention {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |heads, kv_heads, causal| Attention {
            heads,
            kv_heads,
            scale: None,
            causal,
            left: -1,
            right: -1,
            softcap: 0.0,
            precision: None,
            scores: Scores::Raw,
            has_mask: false,
            has_past: false,
            has_lengths: false,
            zeros: true,
            hidden: None,
        };
        let hidden = Attention { has_mask: true, causal: true, hidden: Some(-1e4), ..op(None, None, false) };
        let masked = Attention { has_mask: true, zeros: false, ..op(None, None, false) };
        let f = DType::F32;
        vec![
            Sample::drawn(masked, Domain::Ordinary, &[(f, &[2, 3, 4, 8]), (f, &[2, 3, 6, 8]), (f, &[2, 3, 6, 5]), (f, &[4, 6])]),
            Sample::drawn(hidden, Domain::Ordinary, &[(f, &[2, 3, 4, 8]), (f, &[2, 3, 6, 8]), (f, &[2, 3, 6, 5]), (DType::Bool, &[2, 1, 1, 6])]),
            Sample::drawn(op(None, None, false), Domain::Ordinary, &[(f, &[2, 3, 4, 8]), (f, &[2, 3, 6, 8]), (f, &[2, 3, 6, 5])]),
            Sample::drawn(op(None, None, true), Domain::Ordinary, &[(f, &[1, 4, 5, 8]), (f, &[1, 2, 5, 8]), (f, &[1, 2, 5, 8])]),
            Sample::drawn(op(Some(4), Some(2), true), Domain::Ordinary, &[(f, &[2, 5, 32]), (f, &[2, 5, 16]), (f, &[2, 5, 16])]),
        ]
    }
}
