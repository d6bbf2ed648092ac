//! Attention without softmax, as a recurrence over time.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{Built, add, broadcast, cast, mul, reshape, scale, sub, transpose};
use crate::ops::{Arg, Arity, Domain, OpDef, Sample, Tolerance};
use crate::ops::{exp::Exp, matmul::MatMul, scan::Scan};
use crate::shape::{Dim, TensorType};

op! {
    /// `linear_attention(q, k, v, past?, decay?, rate?)`. Operands are `[batch, time, heads * size]`; the state `S` of each
    /// key head is `[k_size, v_size]`. Each step, with decay `g` (per key element or per head) and rate `r` (per head or for
    /// all): `S = exp(g) S`; `S = S + k' u`, where `u = v`, or with a rate `u = r (v - k S)`; `o = scale q S`. A key head serves
    /// `heads / kv_heads` query heads that are neighbours. Computed in f32. Results: all `o`, and the last `S`
    /// `[batch, kv_heads, k_size, v_size]` in the past's dtype. Source: ONNX `LinearAttention`.
    pub struct LinearAttention = "linear_attention" {
        /// Number of heads of `q`.
        pub heads: i64,
        /// Number of heads of `k` and `v`.
        pub kv_heads: i64,
        /// Factor of the result; 0 for one over the root of `k_size`.
        pub scale: f64,
        /// Is `past` there?
        pub has_past: bool,
        /// Is `decay` there?
        pub has_decay: bool,
        /// Is `rate` there?
        pub has_rate: bool,
    }
}

/// `[batch, time, heads * size]` as `[time, batch, heads, size]` in f32.
fn unpack(b: &mut Builder, x: ValueId, heads: i64) -> Built {
    let [batch, time, wide] = b.extents(x)?[..] else { return Err(OpError::invalid(format!("'linear_attention' of {}", b.ty(x)))) };
    if heads < 1 || wide % heads != 0 {
        return Err(OpError::invalid(format!("'linear_attention' splits {} into {heads} heads", b.ty(x))));
    }
    let x = cast(b, x, DType::F32)?;
    let apart = reshape(b, x, &[batch, time, heads, wide / heads])?;
    transpose(b, apart, &[1, 0, 2, 3])
}

impl OpDef for LinearAttention {
    derived!();
    fn arity(&self) -> Arity {
        let n = 3 + usize::from(self.has_past) + usize::from(self.has_decay) + usize::from(self.has_rate);
        n..=n
    }
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        vec![args[0], if self.has_past { args[3] } else { args[0] }]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (q, k, v) = (args[0].ty, args[1].ty, args[2].ty);
        let (dq, dk, dv) = (q.dims()?, k.dims()?, v.dims()?);
        if [dq, dk, dv].iter().any(|dims| dims.len() != 3) || self.heads < 1 || self.kv_heads < 1 || self.heads % self.kv_heads != 0 || !q.dtype.is_float() {
            return Err(OpError::invalid(format!("'linear_attention' of {q}, {k} and {v} with {} and {} heads", self.heads, self.kv_heads)));
        }
        let (heads, kv_heads) = (Dim::Known(self.heads), Dim::Known(self.kv_heads));
        let (k_size, v_size) = (dk[2].floor_div(&kv_heads), dv[2].floor_div(&kv_heads));
        let state = TensorType::ranked(if self.has_past { args[3].ty.dtype } else { q.dtype }, vec![dq[0].clone(), kv_heads, k_size, v_size.clone()]);
        Ok(vec![TensorType::ranked(q.dtype, vec![dq[0].clone(), dq[1].clone(), heads.times(&v_size)]), state])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let dtype = b.dtype(inputs[0]);
        let (q, k, v) = (unpack(b, inputs[0], self.heads)?, unpack(b, inputs[1], self.kv_heads)?, unpack(b, inputs[2], self.kv_heads)?);
        let (&[time, batch, _, k_size], &[_, _, _, v_size]) = (&b.extents(q)?[..], &b.extents(v)?[..]) else { return Err(OpError::bug("four axes")) };
        let group = self.heads / self.kv_heads;
        let q = reshape(b, q, &[time, batch, self.kv_heads, group, k_size])?;
        let k = reshape(b, k, &[time, batch, self.kv_heads, 1, k_size])?;
        let v = reshape(b, v, &[time, batch, self.kv_heads, 1, v_size])?;
        let mut rest = inputs[3..].iter().copied();
        let mut next = |there: bool| if there { rest.next() } else { None };
        let (past, decay, rate) = (next(self.has_past), next(self.has_decay), next(self.has_rate));
        let (state, state_dtype) = match past {
            Some(past) => (cast(b, past, DType::F32)?, b.dtype(past)),
            None => {
                let zero = b.scalar(DType::F32, 0.0);
                (broadcast(b, zero, &[batch, self.kv_heads, k_size, v_size])?, dtype)
            }
        };
        let mut scanned = vec![q, k, v];
        if let Some(decay) = decay {
            let decay = unpack(b, decay, self.kv_heads)?;
            let size = b.extents(decay)?[3];
            let decay = reshape(b, decay, &[time, batch, self.kv_heads, size, 1])?;
            scanned.push(b.apply(Exp {}, &[decay])?);
        }
        if let Some(rate) = rate {
            let heads = b.extents(rate)?[2];
            let rate = unpack(b, rate, heads)?;
            scanned.push(reshape(b, rate, &[time, batch, heads, 1, 1])?);
        }
        let mut inner = Builder::new("step");
        inner.set_origins(b.origins().clone());
        let mut state_in = inner.input("state", b.ty(state).clone());
        let mut elements = Vec::new();
        for (at, value) in scanned.iter().enumerate() {
            elements.push(inner.input(at.to_string(), TensorType::known(DType::F32, &b.extents(*value)?[1..])));
        }
        let c = &mut inner;
        if self.has_decay {
            state_in = mul(c, state_in, elements[3])?;
        }
        let mut update = elements[2];
        if self.has_rate {
            let known = c.apply(MatMul {}, &[elements[1], state_in])?;
            let missing = sub(c, update, known)?;
            update = mul(c, missing, elements[elements.len() - 1])?;
        }
        let column = reshape(c, elements[1], &[batch, self.kv_heads, k_size, 1])?;
        let written = mul(c, column, update)?;
        let next_state = add(c, state_in, written)?;
        let read = c.apply(MatMul {}, &[elements[0], next_state])?;
        inner.output("state", next_state);
        inner.output("read", read);
        let count = scanned.len();
        let op = Scan { body: inner.finish(), states: 1, input_axes: vec![0; count], input_reversed: vec![false; count], output_axes: vec![0], output_reversed: vec![false] };
        let operands: Vec<ValueId> = std::iter::once(state).chain(scanned).collect();
        let results = b.apply_all(op, &operands)?;
        let factor = if self.scale == 0.0 { 1.0 / (k_size as f64).sqrt() } else { self.scale };
        let read = scale(b, results[1], factor)?;
        let read = transpose(b, read, &[1, 0, 2, 3, 4])?;
        let packed = reshape(b, read, &[batch, time, self.heads * v_size])?;
        Ok(vec![cast(b, packed, dtype)?, cast(b, results[0], state_dtype)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 64.0)
    }
}

impl LinearAttention {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |has_decay, has_rate| LinearAttention { heads: 4, kv_heads: 2, scale: 0.0, has_past: false, has_decay, has_rate };
        let f = DType::F32;
        vec![
            Sample::drawn(op(false, false), Domain::Between(-0.5, 0.5), &[(f, &[2, 5, 16]), (f, &[2, 5, 8]), (f, &[2, 5, 6])]),
            Sample::drawn(op(true, true), Domain::Between(-0.5, 0.5), &[(f, &[2, 5, 16]), (f, &[2, 5, 8]), (f, &[2, 5, 6]), (f, &[2, 5, 2]), (f, &[2, 5, 1])]),
        ]
    }
}
