//! Rotation of pairs of elements by an angle that depends on the place in a sequence.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::compose::{add, mul, reshape, slice, sub};
use crate::ops::{Arg, Arity, Domain, Input, OpDef, Sample, Tolerance};
use crate::ops::{concat::Concat, gather::Gather};
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `rotary_embedding(x, cos, sin, places?)`: the first `width` elements of each head are pairs `(a, b)`, which become
    /// `(a cos - b sin, a sin + b cos)`. `x` is `[batch, heads, time, size]`, or `[batch, time, heads * size]`; `cos` and `sin`
    /// are `[batch, time, width/2]`, or `[places, width/2]` with `places` `[batch, time]` saying which row counts.
    /// Source: Su et al., arXiv 2104.09864; ONNX `RotaryEmbedding`.
    pub struct RotaryEmbedding = "rotary_embedding" {
        /// Number of heads, for an `x` of three axes.
        pub heads: i64,
        /// How many elements of a head are rotated; 0 for all.
        pub width: i64,
        /// Are pairs neighbours (rather than one of each half)?
        pub interleaved: bool,
    }
}

impl OpDef for RotaryEmbedding {
    derived!();
    fn arity(&self) -> Arity {
        3..=4
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let x = args[0].ty;
        let rank = x.rank()?;
        if !(rank == 4 || (rank == 3 && self.heads > 0)) || !x.dtype.is_float() || args[1].ty.dtype != x.dtype || args[2].ty.dtype != x.dtype {
            return Err(OpError::invalid(format!("'rotary_embedding' of {x} by {} and {}", args[1].ty, args[2].ty)));
        }
        Ok(vec![x.clone()])
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let extents = b.extents(inputs[0])?;
        // Time is axis 2 where heads come first, else axis 1.
        let (x, shape, time) = if let [batch, time, wide] = extents[..] {
            let shape = vec![batch, time, self.heads, wide / self.heads.max(1)];
            (reshape(b, inputs[0], &shape)?, shape, 1)
        } else {
            (inputs[0], extents.clone(), 2)
        };
        let size = shape[3];
        let width = if self.width == 0 { size } else { self.width };
        if width % 2 != 0 || !(0..=size).contains(&width) {
            return Err(OpError::invalid(format!("'rotary_embedding' rotates {width} of {size} elements")));
        }
        let half = width / 2;
        let mut angles = Vec::new();
        for table in &inputs[1..3] {
            let rows = match inputs.get(3) {
                Some(places) => b.apply(Gather { axis: 0 }, &[*table, *places])?,
                None => *table,
            };
            let mut wide = b.extents(rows)?;
            if wide.len() != 3 {
                return Err(OpError::invalid(format!("'rotary_embedding' by angles of shape {wide:?}")));
            }
            wide.insert(3 - time, 1);
            angles.push(reshape(b, rows, &wide)?);
        }
        let (first, second) = if self.interleaved {
            let pairs = slice(b, x, 3, 0, width, 1)?;
            (slice(b, pairs, 3, 0, half, 2)?, slice(b, pairs, 3, 1.min(width), half, 2)?)
        } else {
            (slice(b, x, 3, 0, half, 1)?, slice(b, x, 3, half, half, 1)?)
        };
        let [cos, sin] = angles[..] else { return Err(OpError::bug("two tables")) };
        let (ac, bs) = (mul(b, first, cos)?, mul(b, second, sin)?);
        let (as_, bc) = (mul(b, first, sin)?, mul(b, second, cos)?);
        let (real, imaginary) = (sub(b, ac, bs)?, add(b, as_, bc)?);
        let rotated = if self.interleaved {
            let mut apart = shape[..3].to_vec();
            apart.extend([half, 1]);
            let (real, imaginary) = (reshape(b, real, &apart)?, reshape(b, imaginary, &apart)?);
            let pairs = b.apply(Concat { axis: 4 }, &[real, imaginary])?;
            apart.truncate(3);
            apart.push(width);
            reshape(b, pairs, &apart)?
        } else {
            b.apply(Concat { axis: 3 }, &[real, imaginary])?
        };
        let whole = if width < size {
            let rest = slice(b, x, 3, width, size - width, 1)?;
            b.apply(Concat { axis: 3 }, &[rotated, rest])?
        } else {
            rotated
        };
        Ok(vec![reshape(b, whole, &extents)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // Two products and a sum.
        Tolerance::sum(dtype, 4.0)
    }
}

impl RotaryEmbedding {
    pub(crate) fn samples() -> Vec<Sample> {
        let op = |heads, width, interleaved| RotaryEmbedding { heads, width, interleaved };
        let f = DType::F32;
        let drawn = |shape: &[i64]| Input::Drawn(f, shape.to_vec(), Domain::Between(-1.0, 1.0));
        vec![
            Sample::drawn(op(0, 0, false), Domain::Between(-1.0, 1.0), &[(f, &[2, 3, 4, 8]), (f, &[2, 4, 4]), (f, &[2, 4, 4])]),
            Sample { op: op(2, 4, true).into(), inputs: vec![drawn(&[1, 3, 16]), drawn(&[9, 2]), drawn(&[9, 2]), Input::Given(Tensor::from_slice(&[1, 3], &[4i64, 0, 8]))] },
        ]
    }
}
