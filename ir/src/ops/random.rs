//! Random numbers.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs};
use crate::ops::attr::attr_enum;
use crate::ops::reshape::flatten;
use crate::ops::{Arg, Arity, Body, OpDef, Sample, Tolerance};
use crate::scalar::{Binary, Scalar, Unary};
use crate::shape::TensorType;

attr_enum! {
    /// How numbers are distributed.
    pub enum Distribution {
        /// Evenly from `first` (inclusive) to `second`.
        Uniform = "uniform",
        /// Normally with mean `first` and deviation `second`.
        Normal = "normal",
    }
}

op! {
    /// Numbers that depend on nothing but the seed and their place: the finalizer of SplitMix64 (Steele, Lea and Flood,
    /// Fast Splittable Pseudorandom Number Generators, 2014) of the place, made normal by Box and Muller's transform.
    pub struct Random = "random" {
        /// Dtype of the result.
        pub dtype: DType,
        /// Extents of the result.
        pub extents: Vec<i64>,
        /// How they are distributed.
        pub distribution: Distribution,
        /// Lower bound or mean.
        pub first: f64,
        /// Upper bound or deviation.
        pub second: f64,
        /// The seed.
        pub seed: i64,
    }
}

/// A number in 0..1 with 24 bits, from a place in a stream.
fn uniform(e: &mut Exprs, place: ExprId, seed: u64) -> ExprId {
    let constant = |e: &mut Exprs, n: u64| e.constant(Scalar::Int(i128::from(n)), DType::U64);
    let mut z = e.cast(DType::U64, place);
    let (step, start) = (constant(e, 0x9e37_79b9_7f4a_7c15), constant(e, seed));
    z = e.mul(z, step);
    z = e.add(z, start);
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
        let (shift, factor) = (constant(e, shift), constant(e, factor));
        let high = e.binary(Binary::Shr, z, shift);
        z = e.binary(Binary::Xor, z, high);
        z = e.mul(z, factor);
    }
    let shift = constant(e, 40);
    let bits = e.binary(Binary::Shr, z, shift);
    let bits = e.cast(DType::I64, bits);
    let bits = e.cast(DType::F64, bits);
    let unit = e.float(1.0 / f64::from(1 << 24), DType::F64);
    e.mul(bits, unit)
}

impl OpDef for Random {
    derived!();
    fn arity(&self) -> Arity {
        0..=0
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![self.dtype]
    }
    fn infer(&self, _: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        crate::tensor::checked_elems(&self.extents)?;
        if !self.dtype.is_float() {
            return Err(OpError::invalid(format!("'random' makes floats, not {}", self.dtype)));
        }
        Ok(vec![TensorType::known(self.dtype, &self.extents)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        let seed = self.seed as u64;
        Ok(Body::Loops(vec![Compute::map(self.dtype, &self.extents, |e, at| {
            let place = flatten(e, &self.extents, at);
            let even = uniform(e, place, seed.wrapping_mul(2).wrapping_add(1));
            let (first, second) = (e.float(self.first, DType::F64), e.float(self.second, DType::F64));
            let value = match self.distribution {
                Distribution::Uniform => {
                    let width = e.sub(second, first);
                    let offset = e.mul(even, width);
                    e.add(first, offset)
                }
                Distribution::Normal => {
                    let other = uniform(e, place, seed.wrapping_mul(2).wrapping_add(0x5851_f42d_4c95_7f2d));
                    let (one, turn, minus_two) = (e.float(1.0, DType::F64), e.float(std::f64::consts::TAU, DType::F64), e.float(-2.0, DType::F64));
                    // In 0..=1 without 0.
                    let flipped = e.sub(one, even);
                    let log = e.unary(Unary::Log, flipped);
                    let square = e.mul(minus_two, log);
                    let radius = e.unary(Unary::Sqrt, square);
                    let angle = e.mul(turn, other);
                    let cosine = e.unary(Unary::Cos, angle);
                    let normal = e.mul(radius, cosine);
                    let scaled = e.mul(second, normal);
                    e.add(first, scaled)
                }
            };
            e.cast(self.dtype, value)
        })]))
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // A logarithm, a root and a cosine of moderate size.
        Tolerance::sum(dtype, 8.0)
    }
}

impl Random {
    pub(crate) fn samples() -> Vec<Sample> {
        [(Distribution::Uniform, DType::F32), (Distribution::Normal, DType::F32), (Distribution::Normal, DType::F64)]
            .into_iter()
            .map(|(distribution, dtype)| Sample { op: Random { dtype, extents: vec![3, 37], distribution, first: -1.0, second: 2.0, seed: 7 }.into(), inputs: vec![] })
            .collect()
    }
}
