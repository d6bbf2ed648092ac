//! Discrete Fourier transforms.
use std::f64::consts::TAU;

use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::ops::{matmul::MatMul, pad::Pad, reshape::Reshape, transpose::Transpose};
use crate::scalar::Scalar;
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, checked_elems};

op! {
    /// `y[k] = sum over n of x[n] * e^(-2 pi i n k / length)` along `axis`. The last axis of `x` holds real and imaginary
    /// part (or the real part only); the input is cut off or filled with zeros to `length`. The inverse has the other
    /// sign and is divided by `length`. One-sided, the forward transform gives the first `length / 2 + 1` results, and the
    /// inverse takes that many and gives a real signal. Source: ONNX `DFT`.
    pub struct Dft = "dft" {
        /// The axis; not the last.
        pub axis: usize,
        /// Length of the transform.
        pub length: i64,
        /// Is it the inverse?
        pub inverse: bool,
        /// Is the transform of a real signal held by half?
        pub onesided: bool,
    }
}

/// Transforms up to this long become products with a matrix; longer ones are done by a fast transform.
const LONGEST_PRODUCT: i64 = 1024;

impl Dft {
    /// Elements along the axis that are read and made, and the number of parts of a result.
    fn sizes(&self) -> (i64, i64, i64) {
        let half = self.length / 2 + 1;
        match (self.onesided, self.inverse) {
            (false, _) => (self.length, self.length, 2),
            (true, false) => (self.length, half, 2),
            (true, true) => (half, self.length, 1),
        }
    }

    /// How much input `n`, part `from`, adds to result `k`, part `to`.
    fn factor(&self, n: i64, from: i64, k: i64, to: i64) -> f64 {
        let angle = TAU * ((i128::from(n) * i128::from(k)) % i128::from(self.length)) as f64 / self.length as f64;
        let angle = if self.inverse { angle } else { -angle };
        let scale = if self.inverse { 1.0 / self.length as f64 } else { 1.0 };
        // The half that is not held is the conjugate of the other: its real part counts twice.
        let twice = self.inverse && self.onesided && n != 0 && 2 * n != self.length;
        let scale = if twice { 2.0 * scale } else { scale };
        scale * match (from, to) {
            (0, 0) | (1, 1) => angle.cos(),
            (0, _) => angle.sin(),
            _ => -angle.sin(),
        }
    }
}

/// `sum over n of x[n] * e^(sign * 2 pi i n k / len)` for every `k`: halves as long as the length is even.
fn transform(x: &[(f64, f64)], sign: f64) -> Vec<(f64, f64)> {
    let count = x.len();
    let turn = |k: usize| (TAU * k as f64 / count as f64 * sign).sin_cos();
    if count <= 1 || count % 2 == 1 {
        let turns: Vec<(f64, f64)> = (0..count).map(turn).collect();
        let sum = |k: usize| {
            x.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, (a, b))| {
                let (sin, cos) = turns[(n as u128 * k as u128 % count as u128) as usize];
                (re + a * cos - b * sin, im + a * sin + b * cos)
            })
        };
        return (0..count).map(sum).collect();
    }
    let pick = |first: usize| x.iter().skip(first).step_by(2).copied().collect::<Vec<_>>();
    let (even, odd) = (transform(&pick(0), sign), transform(&pick(1), sign));
    let mut result = vec![(0.0, 0.0); count];
    for k in 0..count / 2 {
        let ((sin, cos), (a, b)) = (turn(k), odd[k]);
        let (re, im) = (a * cos - b * sin, a * sin + b * cos);
        result[k] = (even[k].0 + re, even[k].1 + im);
        result[k + count / 2] = (even[k].0 - re, even[k].1 - im);
    }
    result
}

impl OpDef for Dft {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let ty = args[0].ty;
        let mut dims = ty.dims()?.to_vec();
        let last = dims.len().saturating_sub(1);
        let parts = dims.get(last).and_then(Dim::known);
        if self.axis >= last || self.length < 1 || !ty.dtype.is_float() || parts.is_some_and(|n| !(1..=2).contains(&n)) {
            return Err(OpError::invalid(format!("'dft' of length {} along axis {} of {ty}", self.length, self.axis)));
        }
        let (_, made, parts) = self.sizes();
        dims[self.axis] = Dim::Known(made);
        dims[last] = Dim::Known(parts);
        Ok(vec![TensorType::ranked(ty.dtype, dims)])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(if self.length <= LONGEST_PRODUCT { Body::Expansion } else { Body::Routine })
    }
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (dtype, mut extents) = (b.dtype(x[0]), b.extents(x[0])?);
        let rank = extents.len();
        let (taken, made, parts) = self.sizes();
        let (given, from) = (extents[self.axis], extents[rank - 1]);
        let mut value = x[0];
        if given != taken {
            let mut after = vec![0; rank];
            after[self.axis] = taken - given;
            value = b.apply(Pad { before: vec![0; rank], after, value: Scalar::Float(0.0) }, &[value])?;
        }
        let mut perm: Vec<usize> = (0..rank - 1).filter(|k| *k != self.axis).collect();
        perm.extend([self.axis, rank - 1]);
        value = b.apply(Transpose { perm: perm.clone() }, &[value])?;
        let rows = checked_elems(&extents[..self.axis])? * checked_elems(&extents[self.axis + 1..rank - 1])?;
        value = b.apply(Reshape { extents: vec![rows as i64, taken * from] }, &[value])?;
        let factors: Vec<f64> = (0..taken * from).flat_map(|i| (0..made * parts).map(move |j| (i, j))).map(|(i, j)| self.factor(i / from, i % from, j / parts, j % parts)).collect();
        let matrix = b.constant(Tensor::from_f64s(dtype, &[taken * from, made * parts], &factors)?);
        value = b.apply(MatMul {}, &[value, matrix])?;
        extents[self.axis] = made;
        extents[rank - 1] = parts;
        value = b.apply(Reshape { extents: perm.iter().map(|k| extents[*k]).collect() }, &[value])?;
        let mut back = vec![0; rank];
        for (to, from) in perm.iter().enumerate() {
            back[*from] = to;
        }
        Ok(vec![b.apply(Transpose { perm: back }, &[value])?])
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let ty = inputs[0].ty();
        let extents = self.infer(&[Arg { ty: &ty, value: None }])?[0].extents()?;
        let from = inputs[0].extents();
        let rank = from.len();
        let (_, made, parts) = self.sizes();
        let (given, components) = (from[self.axis] as usize, from[rank - 1] as usize);
        let (outer, inner) = (checked_elems(&from[..self.axis])?, checked_elems(&from[self.axis + 1..rank - 1])?);
        let x = inputs[0].f64s();
        let length = self.length as usize;
        // Before anything of the transform's length is allocated, its result must fit.
        let mut result = Tensor::zeros(DType::F64, &extents)?.f64s();
        let (sign, scale) = if self.inverse { (1.0, 1.0 / length as f64) } else { (-1.0, 1.0) };
        let taken = self.sizes().0 as usize;
        for lane in 0..outer * inner {
            let (o, i) = (lane / inner, lane % inner);
            let at = |n: usize| ((o * given + n) * inner + i) * components;
            let mut signal = vec![(0.0, 0.0); length];
            for (n, slot) in signal.iter_mut().enumerate().take(given.min(taken)) {
                *slot = (x[at(n)], if components == 2 { x[at(n) + 1] } else { 0.0 });
            }
            if self.inverse && self.onesided {
                for n in taken..length {
                    let (re, im) = signal[length - n];
                    signal[n] = (re, -im);
                }
            }
            for (k, (re, im)) in transform(&signal, sign).into_iter().enumerate().take(made as usize) {
                let place = ((o * made as usize + k) * inner + i) * parts as usize;
                result[place] = re * scale;
                if parts == 2 {
                    result[place + 1] = im * scale;
                }
            }
        }
        Ok(vec![Tensor::from_f64s(inputs[0].dtype(), &extents, &result)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        // Sums of `length` terms, and cosines rounded to the dtype.
        Tolerance::sum(dtype, 64.0)
    }
}

impl Dft {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for (inverse, onesided, extents, length) in [
            (false, false, &[2i64, 12, 1][..], 12),
            (false, false, &[2, 9, 3, 2], 9),
            (true, false, &[1, 10, 2], 10),
            (false, true, &[3, 16, 1], 16),
            (true, true, &[3, 9, 2], 16),
            (true, true, &[3, 5, 2], 9),
            (false, false, &[1, 5, 1], 8),
            (false, false, &[1, 2000, 1], 2000),
            (false, false, &[0, 4, 1], 4),
        ] {
            samples.push(Sample::drawn(Dft { axis: 1, length, inverse, onesided }, Domain::Ordinary, &[(DType::F32, extents)]));
        }
        samples
    }
}
