//! Input times its sigmoid; with `alpha` 1 also called SiLU.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = x / (1 + e^(-alpha * x))`. Source: arXiv:1710.05941.
    Swish = "swish" {
        /// Scale of the input of the sigmoid.
        pub alpha: f64 = 1.0,
    }, Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        let alpha = e.float(*alpha, d);
        let scaled = e.mul(alpha, x);
        let minus = e.unary(Unary::Neg, scaled);
        let power = e.unary(Unary::Exp, minus);
        let one = e.float(1.0, d);
        let sum = e.add(one, power);
        e.binary(Binary::Div, x, sum)
    }),
    // An exponential and a quotient, each with a few roundings.
    tolerance: |d| Tolerance::ulps(16.0, d),
    domain: Domain::Any,
}
