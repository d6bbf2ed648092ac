//! Gaussian error linear unit.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = x / 2 * (1 + erf(x / sqrt(2)))`, or with `tanh` its approximation `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`. Source: arXiv:1606.08415.
    Gelu = "gelu" {
        /// Is it the approximation?
        pub tanh: bool = true,
    }, Floats, |e, x| wide(e, x, |e, x| {
        if !tanh {
            return e.unary(Unary::Gelu, x);
        }
        // (1 + tanh u) / 2 = 1 / (1 + e^-2u)
        let d = e.dtype(x);
        let (cubic, scale, one) = (e.float(0.044715, d), e.float(-2.0 * (2.0 / std::f64::consts::PI).sqrt(), d), e.float(1.0, d));
        let square = e.mul(x, x);
        let cube = e.mul(square, x);
        let correction = e.mul(cubic, cube);
        let sum = e.add(x, correction);
        let scaled = e.mul(scale, sum);
        let power = e.unary(Unary::Exp, scaled);
        let below = e.add(one, power);
        e.binary(Binary::Div, x, below)
    }),
    // Below zero the gate is a small difference of larger terms.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
