//! Neighbours as bf16, two in a word.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::scalar::{Binary, Scalar, Unary, pair};
use crate::shape::{Dim, TensorType};
use crate::tensor::{AlignedBytes, Tensor, checked_elems};

op! {
    /// Elements `2i` and `2i + 1` along an axis as the nearest bf16, ties to even, in the low and the high half of an i32. What an odd
    /// number of them lacks is zero. NaN has the bits 0x7fc0.
    pub struct Pair = "pair" {
        /// The axis.
        pub axis: usize,
    }
}

/// The bits of the bf16 nearest to an f32.
fn nearest(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { 0x7fc0 } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }
}

/// The pairs along an axis apart again, as f32, subnormal ones as zeros: twice as many elements, also where there was one less.
///
/// # Errors
/// Unsupported where memory runs out.
pub fn apart(words: &Tensor, axis: usize) -> Result<Tensor, OpError> {
    let inner: i64 = words.extents()[axis + 1..].iter().product();
    let mut extents = words.extents().to_vec();
    extents[axis] *= 2;
    let mut values = Vec::with_capacity(2 * words.elems());
    if words.dtype() != DType::I32 {
        return Err(OpError::invalid(format!("{} holds no pairs", words.ty())));
    }
    for row in words.as_slice::<i32>().chunks(inner.max(1) as usize) {
        for half in 0..2 {
            values.extend(row.iter().map(|word| f64::from(pair(i128::from(*word))[half])));
        }
    }
    Tensor::from_f64s(DType::F32, &extents, &values)
}

/// An operand of such words for samples: ordinary numbers, a few of them subnormal.
pub(super) fn drawn(extents: &[i64]) -> Input {
    let mut bits = 0x2545_f491u32;
    let mut number = || {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let x = (bits >> 8) as f32 / (1 << 22) as f32 - 2.0;
        nearest(if bits >> 26 == 7 { x * 1e-39 } else { x })
    };
    let words: Vec<i32> = (0..extents.iter().product::<i64>()).map(|_| (number() | number() << 16) as i32).collect();
    Input::Given(Tensor::from_slice(extents, &words))
}

impl OpDef for Pair {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I32]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let mut dims = args[0].ty.dims()?.to_vec();
        if self.axis >= dims.len() || !matches!(args[0].ty.dtype, DType::F32 | DType::F16 | DType::BF16) {
            return Err(OpError::invalid(format!("'pair' of {} along axis {}", args[0].ty, self.axis)));
        }
        dims[self.axis] = dims[self.axis].plus(&Dim::Known(1)).floor_div(&Dim::Known(2));
        Ok(vec![TensorType::ranked(DType::I32, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        let (dtype, given) = (args[0].dtype, args[0].extents()?[self.axis]);
        Ok(Body::Loops(vec![Compute::map(DType::I32, &extents, |e, at| {
            let (one, two) = (e.int(1), e.int(2));
            let first = e.mul(at[self.axis], two);
            let second = e.add(first, one);
            let inside = e.within(second, None, (given % 2 == 1).then_some(given));
            let load = |e: &mut Exprs, place: ExprId, guard: Option<ExprId>| {
                let mut index = at.to_vec();
                index[self.axis] = place;
                let x = match guard {
                    Some(guard) => e.guarded_load(Source(0), dtype, index, guard),
                    None => e.load(Source(0), dtype, index),
                };
                let x = e.cast(DType::F32, x);
                rounded(e, x)
            };
            let (low, high) = (load(e, first, None), load(e, second, Some(inside)));
            let (bits, mask) = (e.constant(Scalar::Int(16), DType::U32), e.constant(Scalar::Int(0xffff_0000), DType::U32));
            let low = e.binary(Binary::Shr, low, bits);
            let high = e.binary(Binary::And, high, mask);
            let word = e.binary(Binary::Or, low, high);
            e.bitcast(DType::I32, word)
        })]))
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = inputs[0];
        if x.dtype() != DType::F32 {
            return crate::ops::eval_body(self, inputs);
        }
        let extents = self.infer(&[Arg { ty: &x.ty(), value: None }])?[0].extents()?;
        let (depth, inner) = (x.extents()[self.axis] as usize, checked_elems(&x.extents()[self.axis + 1..])?);
        let mut buffer = AlignedBytes::zeroed(checked_elems(&extents)? * 4)?;
        let (words, numbers) = (buffer.as_mut_slice().as_chunks_mut::<4>().0, x.bytes().as_chunks::<4>().0);
        let number = |at: &[u8; 4]| nearest(f32::from_le_bytes(*at));
        let rows = words.chunks_mut((depth.div_ceil(2) * inner).max(1)).zip(numbers.chunks((depth * inner).max(1)));
        for (words, numbers) in rows {
            for (words, two) in words.chunks_mut(inner.max(1)).zip(numbers.chunks((2 * inner).max(1))) {
                let (low, high) = two.split_at(inner);
                for (k, word) in words.iter_mut().enumerate() {
                    *word = (number(&low[k]) | high.get(k).map_or(0, number) << 16).to_le_bytes();
                }
            }
        }
        Ok(vec![Tensor::from_bytes(DType::I32, &extents, buffer)?])
    }
}

/// The bits of an f32 that is rounded to bf16, in their upper half; the lower half is what is left.
fn rounded(e: &mut Exprs, x: ExprId) -> ExprId {
    let [sixteen, one, half, nan] = [16, 1, 0x7fff, 0x7fc0_0000].map(|n| e.constant(Scalar::Int(n), DType::U32));
    let bits = e.bitcast(DType::U32, x);
    let above = e.binary(Binary::Shr, bits, sixteen);
    let odd = e.binary(Binary::And, above, one);
    let more = e.add(odd, half);
    let sum = e.add(bits, more);
    let is_nan = e.unary(Unary::IsNan, x);
    e.select(is_nan, nan, sum)
}

impl Pair {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for (shape, axis) in [(&[3i64, 8][..], 1), (&[3, 9], 1), (&[7, 33], 0), (&[2, 5, 3, 4], 1), (&[1, 1], 1), (&[0, 3], 0), (&[3, 0], 0)] {
            samples.push(Sample::drawn(Pair { axis }, Domain::Any, &[(DType::F32, shape)]));
        }
        samples.push(Sample::drawn(Pair { axis: 0 }, Domain::Any, &[(DType::BF16, &[9, 5])]));
        samples.push(Sample::drawn(Pair { axis: 1 }, Domain::Any, &[(DType::F16, &[3, 19])]));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounded by another definition: of the two neighbours the nearer one, the even one where both are as near.
    fn reference(x: f32) -> u32 {
        let below = f64::from(f32::from_bits(x.to_bits() & 0xffff_0000));
        let unit = 2f64.powi(x.abs().log2().floor().max(-126.0) as i32 - 7) * f64::from(x.signum());
        let (low, rest) = (x.to_bits() >> 16, (f64::from(x) - below) / unit);
        low + u32::from(rest > 0.5 || rest == 0.5 && low & 1 == 1)
    }

    #[test]
    fn numbers_become_the_nearest_bf16() {
        assert_eq!(nearest(f32::NAN), 0x7fc0);
        assert_eq!(nearest(-f32::NAN), 0x7fc0);
        assert_eq!(nearest(f32::from_bits(0x7f80_0001)), 0x7fc0);
        for (x, bits) in [(0.0, 0), (-0.0, 0x8000), (f32::INFINITY, 0x7f80), (f32::NEG_INFINITY, 0xff80), (f32::MAX, 0x7f80), (-f32::MAX, 0xff80), (1.0, 0x3f80)] {
            assert_eq!(nearest(x), bits, "{x}");
        }
        let mut bits = 0x1234_5678u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Also numbers that lie halfway.
            for x in [bits, bits & 0xffff_8000, bits & 0x807f_ffff | 0x0080_0000].map(f32::from_bits).into_iter().filter(|x| x.is_finite() && *x != 0.0) {
                assert_eq!(nearest(x), reference(x), "{x:e}");
            }
        }
    }

    #[test]
    fn pairs_come_apart() {
        let x = Tensor::from_slice(&[3, 2], &[1f32, 2.0, 3.0, 1e-40, -0.0, f32::INFINITY]);
        let words = Pair { axis: 0 }.eval(&[&x]).expect("pairs").remove(0);
        assert_eq!(words.extents(), [2, 2]);
        assert_eq!(apart(&words, 0).expect("fits").as_slice::<f32>().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), [1f32, 2.0, 3.0, 0.0, -0.0, f32::INFINITY, 0.0, 0.0].map(f32::to_bits));
    }
}
