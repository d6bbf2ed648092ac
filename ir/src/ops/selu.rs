//! Scaled exponential linear unit.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = gamma * x` where `x > 0`, else `gamma * alpha * (e^x - 1)`. Source: arXiv:1706.02515.
    Selu = "selu" {
        /// Limit below zero before scaling, negated.
        pub alpha: f64 = 1.67326,
        /// Scale.
        pub gamma: f64 = 1.0507,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let zero = e.float(0.0, d);
        let below = e.binary(Binary::Le, x, zero);
        let power = e.unary(Unary::Expm1, x);
        let alpha = e.float(*alpha, d);
        let scaled = e.mul(alpha, power);
        let either = e.select(below, scaled, x);
        let gamma = e.float(*gamma, d);
        e.mul(gamma, either)
    }),
    // The result is a small difference of larger terms close to a zero.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
