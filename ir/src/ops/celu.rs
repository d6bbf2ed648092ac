//! Continuously differentiable exponential linear unit.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = max(0, x) + min(0, alpha * (e^(x / alpha) - 1))`. Source: arXiv:1704.07483.
    Celu = "celu" {
        /// Limit below zero, negated.
        pub alpha: f64 = 2.0,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let zero = e.float(0.0, d);
        let alpha = e.float(*alpha, d);
        let ratio = e.binary(Binary::Div, x, alpha);
        let power = e.unary(Unary::Expm1, ratio);
        let scaled = e.mul(alpha, power);
        let above = e.binary(Binary::Max, zero, x);
        let below = e.binary(Binary::Min, zero, scaled);
        e.add(above, below)
    }),
    // The result is a small difference of larger terms close to a zero.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
