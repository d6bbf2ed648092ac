//! Input times the hyperbolic tangent of its softplus.
use crate::ops::sample::wide;
use crate::ops::{Domain, Tolerance};
use crate::scalar::{Binary, Unary};

elementwise! {
    /// `y = x * tanh(ln(1 + e^x))`, computed as `x * n / (n + 2)` with `n = e^x * (e^x + 2)`. Source: arXiv:1908.08681.
    Mish = "mish", Floats, |e, x| wide(e, x, |e, x| {
        let d = e.dtype(x);
        // From here on the quotient is 1.
        let (end, two) = (e.float(20.0, d), e.float(2.0, d));
        let held = e.binary(Binary::Min, x, end);
        let power = e.unary(Unary::Exp, held);
        let sum = e.add(power, two);
        let n = e.mul(power, sum);
        let below = e.add(n, two);
        let gate = e.binary(Binary::Div, n, below);
        e.mul(x, gate)
    }),
    // An exponential and a quotient, each with a few roundings.
    tolerance: |d| Tolerance::ulps(16.0, d),
    domain: Domain::Any,
}
