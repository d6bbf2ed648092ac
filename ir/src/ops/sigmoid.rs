//! Logistic function.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = 1 / (1 + e^-x)`.
    Sigmoid = "sigmoid", Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let minus = e.unary(Unary::Neg, x);
        let power = e.unary(Unary::Exp, minus);
        let one = e.float(1.0, d);
        let sum = e.add(one, power);
        e.binary(Binary::Div, one, sum)
    }),
    // An exponential and a quotient, each with a few roundings.
    tolerance: |d| Tolerance::ulps(16.0, d),
    domain: Domain::Any,
}
