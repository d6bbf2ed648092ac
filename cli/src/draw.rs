//! Inputs drawn at random from a fixed seed.
//!
//! In: dtypes and extents. Out: plausible tensors: floats of a normal distribution with standard deviation 0.5, integers from
//! 1 to 9, bools that hold. Must not know: models.

use frit::{DType, Error, Scalar, Tensor};

/// A source of random numbers: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number above 0 and at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// A number of a standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A tensor.
    ///
    /// # Errors
    /// Invalid for text, which can't be drawn.
    pub(crate) fn tensor(&mut self, name: &str, dtype: DType, extents: &[i64]) -> Result<Tensor, Error> {
        let lost = |error| Error::at(error, "", Vec::new());
        let elems = frit_ir::tensor::checked_elems(extents).map_err(lost)?;
        if dtype == DType::Str {
            return Err(Error::invalid(format!("text can't be drawn for input '{name}'")).help(format!("give it with --input {name}=FILE.npy")));
        }
        let mut value = || match dtype.int_range() {
            _ if dtype.is_float() => Scalar::Float(self.normal() * 0.5),
            _ if dtype == DType::Bool => Scalar::Bool(true),
            Some((_, highest)) => Scalar::Int((1 + i128::from(self.next() % 9)).min(highest)),
            None => Scalar::Int(0),
        };
        Tensor::from_scalars(dtype, extents, (0..elems).map(|_| value())).map_err(lost)
    }
}

#[cfg(test)]
mod tests {
    use frit::DType;

    use super::Draw;

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = |seed| Draw::new(seed).tensor("x", DType::F32, &[1000]).expect("small");
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let spread = draw(1).f64s().iter().map(|x| x * x).sum::<f64>() / 1000.0;
        assert!((0.2..0.3).contains(&spread), "{spread}");
        assert!(Draw::new(0).tensor("i", DType::I64, &[99]).expect("small").ints().iter().all(|n| (1..10).contains(n)));
        assert!(Draw::new(0).tensor("s", DType::Str, &[1]).is_err());
    }
}
