//! Gaussian error linear unit.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::Unary;

elementwise! {
    /// `y = x / 2 * (1 + erf(x / sqrt(2)))`, or with `tanh` its approximation `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`. Source: arXiv:1606.08415.
    Gelu = "gelu" {
        /// Is it the approximation?
        pub tanh: bool = true,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let (half, one) = (e.float(0.5, d), e.float(1.0, d));
        let inner = if *tanh {
            let (cubic, scale) = (e.float(0.044715, d), e.float((2.0 / std::f64::consts::PI).sqrt(), d));
            let square = e.mul(x, x);
            let cube = e.mul(square, x);
            let correction = e.mul(cubic, cube);
            let sum = e.add(x, correction);
            let scaled = e.mul(scale, sum);
            e.unary(Unary::Tanh, scaled)
        } else {
            let scale = e.float(std::f64::consts::FRAC_1_SQRT_2, d);
            let scaled = e.mul(scale, x);
            e.unary(Unary::Erf, scaled)
        };
        let gate = e.add(one, inner);
        let halved = e.mul(half, x);
        e.mul(halved, gate)
    }),
    // Below zero the gate is a small difference of larger terms.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
