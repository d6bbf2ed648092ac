//! The logistic function.
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `1 / (1 + exp(-x))`.
    Sigmoid = "sigmoid", Floats, |e, x| {
        let dtype = e.dtype(x);
        let one = e.float(1.0, dtype);
        let negative = e.unary(Unary::Neg, x);
        let power = e.unary(Unary::Exp, negative);
        let sum = e.add(one, power);
        e.binary(Binary::Div, one, sum)
    },
    tolerance: |d| Tolerance::ulps(8.0, d),
    domain: Domain::Ordinary,
}
