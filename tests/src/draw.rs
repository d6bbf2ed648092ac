//! Inputs drawn at random, the same for the same seed on every machine.
//!
//! In: dtype, extents, a [`Domain`] and a seed. Out: a [`Tensor`]. Must not know: ops, models.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a
//! counter that moves by the golden ratio, and a mixing function. It is not for secrets.

use frit_ir::ops::{Domain, Input, Sample};
use frit_ir::{DType, OpError, Scalar, Tensor};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end` (exclusive), which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 to 1 (exclusive), one of 2^53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number around zero with variance one: four uniform ones, summed.
    pub fn normal(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 3f64.sqrt()
    }
}

/// One in so many values of [`Domain::Any`] is a special one.
const SPECIAL: u64 = 6;

/// A drawn tensor.
///
/// Ordinary floats are normal around zero; ordinary integers lie in -8..=8, or 0..=16 where the dtype has no sign;
/// truth values are even; strings have up to three letters of three. [`Domain::Any`] puts NaN, both zeros, both
/// infinities, the dtype's extremes, subnormals and powers of two (floats), or the dtype's extremes (integers), in place
/// of every sixth or so.
///
/// # Errors
/// As [`Tensor::from_scalars`].
pub fn tensor(dtype: DType, extents: &[i64], domain: Domain, seed: u64) -> Result<Tensor, OpError> {
    let mut random = Random::new(seed);
    let elems = frit_ir::tensor::checked_elems(extents)?;
    if dtype == DType::Str {
        let strings = (0..elems).map(|_| (0..random.below(4)).map(|_| ["a", "b", "\u{e9}"][random.below(3) as usize]).collect()).collect();
        return Tensor::from_strings(extents, strings);
    }
    Tensor::from_scalars(dtype, extents, (0..elems).map(|_| scalar(dtype, domain, &mut random)))
}

/// A tensor whose finite floats are replaced where they are so large that sums and products may overflow.
///
/// # Errors
/// As [`Tensor::from_scalars`].
pub fn tamed(tensor: &Tensor) -> Result<Tensor, OpError> {
    if !tensor.dtype().is_float() {
        return Ok(tensor.clone());
    }
    let small = |x: Scalar| if x.as_f64().is_finite() && x.as_f64().abs() > 100.0 { Scalar::Float(1.5) } else { x };
    Tensor::from_scalars(tensor.dtype(), tensor.extents(), tensor.scalars().map(small))
}

fn scalar(dtype: DType, domain: Domain, random: &mut Random) -> Scalar {
    if domain == Domain::Any && random.below(SPECIAL) == 0 {
        return special(dtype, random);
    }
    match (domain, dtype.int_range()) {
        (_, Some((0, 1))) => Scalar::Bool(random.below(2) == 1),
        (Domain::Between(low, high), None) => Scalar::Float(low + (high - low) * random.unit()),
        (Domain::Between(low, high), Some((lowest, highest))) => {
            let low = (low.ceil() as i128).clamp(lowest, highest);
            let high = (high.floor() as i128).clamp(low, highest);
            Scalar::Int(low + i128::from(random.below((high - low) as u64 + 1)))
        }
        (_, None) => Scalar::Float(random.normal()),
        (_, Some((lowest, highest))) => {
            let (low, high) = (lowest.max(-8), highest.min(if lowest == 0 { 16 } else { 8 }));
            Scalar::Int(low + i128::from(random.below((high - low) as u64 + 1)))
        }
    }
}

fn special(dtype: DType, random: &mut Random) -> Scalar {
    if let Some((low, high)) = dtype.int_range() {
        return [Scalar::Int(low), Scalar::Int(high), Scalar::Int(0), Scalar::Int(1)][random.below(4) as usize];
    }
    let (largest, tiny) = match dtype {
        DType::F64 => (f64::MAX, f64::MIN_POSITIVE / 4.0),
        DType::F16 => (65_504.0, 2f64.powi(-20)),
        DType::BF16 => (f64::from(f32::from_bits(0x7f7f_0000)), f64::from(f32::MIN_POSITIVE) / 4.0),
        _ => (f64::from(f32::MAX), f64::from(f32::MIN_POSITIVE) / 4.0),
    };
    let floats = [f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, largest, -largest, tiny, 1.0, -2.0, 1e6, -0.5];
    Scalar::Float(floats[random.below(floats.len() as u64) as usize])
}

/// The operands of a sample.
///
/// # Errors
/// As [`tensor`].
pub fn operands(sample: &Sample, seed: u64) -> Result<Vec<Tensor>, OpError> {
    let mut seeds = Random::new(seed);
    sample
        .inputs
        .iter()
        .map(|input| match input {
            Input::Drawn(dtype, extents, domain) => tensor(*dtype, extents, *domain, seeds.bits()),
            Input::Given(tensor) | Input::Constant(tensor) => Ok(tensor.clone()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // The first outputs for seed 1234567, as the reference implementation (https://prng.di.unimi.it/splitmix64.c) gives them.
        let mut random = Random::new(1_234_567);
        assert_eq!([random.bits(), random.bits(), random.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn domains_are_kept() {
        for dtype in DType::ALL.iter().copied().filter(|d| *d != DType::Str) {
            let between = tensor(dtype, &[1000], Domain::Between(0.0, 3.0), 1).unwrap();
            assert!(between.f64s().iter().all(|x| (0.0..=3.0).contains(x)), "{dtype}");
        }
        assert!(tensor(DType::F32, &[1000], Domain::Ordinary, 1).unwrap().f64s().iter().all(|x| x.abs() < 4.0));
        let any = tensor(DType::F32, &[1000], Domain::Any, 1).unwrap().f64s();
        assert!(any.iter().any(|x| x.is_nan()) && any.contains(&f64::INFINITY) && any.iter().any(|x| x.to_bits() == (-0.0f64).to_bits()));
    }
}
