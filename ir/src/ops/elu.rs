//! Exponential linear unit.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = x` where `x >= 0`, else `alpha * (e^x - 1)`. Source: arXiv:1511.07289.
    Elu = "elu" {
        /// Limit below zero, negated.
        pub alpha: f64 = 1.5,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let zero = e.float(0.0, d);
        let below = e.binary(Binary::Lt, x, zero);
        let power = e.unary(Unary::Expm1, x);
        let alpha = e.float(*alpha, d);
        let scaled = e.mul(alpha, power);
        e.select(below, scaled, x)
    }),
    // The result is a small difference of larger terms close to a zero.
    tolerance: |d| Tolerance::sum(d, 4.0),
    domain: Domain::Any,
}
